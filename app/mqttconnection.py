"""One MQTT connection, from connecting to closed for good: what aiomqtt leaves to its user."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import aiomqtt

from app.fields import BrokerConfig

log = logging.getLogger(__name__)

TIMEOUT_S = 2.0
RECEIVE_BUFFER_B = 65_536  # a flood waits at the broker, and its answers to us do not wait behind it
NO_ANSWER = "Operation timed out"  # aiomqtt's words for it
CLOSED = "it closed the connection"

Take = Callable[[aiomqtt.Message], None]


@dataclass(frozen=True, slots=True)
class Address:
    """Where the broker is, and who we are there."""

    host: str
    port: int
    username: str = ""
    password: str = ""

    @classmethod
    def of(cls, config: BrokerConfig) -> Address:
        """The address that a configuration gives."""
        host, _, port = config.host.rpartition(":")
        return cls(host or config.host, int(port) if host else config.port, config.username, config.password)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class _Inbox(asyncio.Queue[aiomqtt.Message]):
    """Hands on what arrives at once: nothing piles up here, and TCP holds back whoever sends too much."""

    def __init__(self, take: Take) -> None:
        super().__init__()
        self._take = take

    def put_nowait(self, item: aiomqtt.Message) -> None:
        """Take in one message."""
        self._take(item)


def new_client(take: Take, host: str, port: int, **options: Any) -> aiomqtt.Client:
    """A client that hands every message to ``take`` as it arrives; ``options`` are aiomqtt's."""
    queue_type = cast("type[asyncio.Queue[aiomqtt.Message]]", lambda maxsize: _Inbox(take))  # noqa: ARG005
    buffer = [(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_B)]
    return aiomqtt.Client(host, port, timeout=TIMEOUT_S, queue_type=queue_type, socket_options=buffer, **options)


@asynccontextmanager
async def connection(client: aiomqtt.Client) -> AsyncIterator[asyncio.Task[None]]:
    """Connected inside, with a task that fails when the connection ends. Raises `aiomqtt.MqttError`.

    However the block is left, the connection is closed for good, with a goodbye where the broker still listens: one
    that aiomqtt gave up on would stay open, and its will with it.
    """
    paho, early_end = client._client, client._disconnected  # noqa: SLF001 - aiomqtt has no other way to bound and to close
    paho.connect_timeout = TIMEOUT_S
    opening = asyncio.ensure_future(client.__aenter__())
    ended: asyncio.Task[None] | None = None
    try:
        await asyncio.shield(opening)
        if not paho.is_connected():  # lost again before aiomqtt began to look at that
            raise aiomqtt.MqttError(CLOSED)
        ended = asyncio.create_task(_end_of(client))
        yield ended
    finally:
        await settled(opening)  # the thread that connects cannot be stopped
        paho.disconnect()
        for wait_s in (0.0, 0.0, 0.01, 0.05, 0.2):
            await asyncio.sleep(wait_s)
            if paho.socket() is None:
                break
        else:
            _cut(paho.socket())
        if ended is not None:
            await settled(ended)
        if early_end.done():
            early_end.exception()


async def settled(task: asyncio.Future[Any]) -> None:
    """Wait until a task has ended, whatever its outcome."""
    await asyncio.wait({task}, timeout=3.0 * TIMEOUT_S)
    if task.done() and not task.cancelled():
        task.exception()


def sentence(address: Address, error: aiomqtt.MqttError) -> str:
    """What went wrong, for people."""
    text = str(error)
    if text == NO_ANSWER:
        return f"the MQTT broker at {address} is connected and does not answer"
    if "uthori" in text or "Bad user name" in text:
        who = f"user {address.username!r}" if address.username else "no user name"
        return f"the MQTT broker at {address} refuses the login ({who}): check mqtt.username and mqtt.password"
    return f"cannot reach the MQTT broker at {address}: {text}"


async def _end_of(client: aiomqtt.Client) -> None:
    try:
        await anext(client.messages)  # `_Inbox` keeps none: this waits for the end
    except aiomqtt.MqttError as error:
        raise aiomqtt.MqttError(CLOSED) from error


def _cut(sock: object) -> None:
    if isinstance(sock, socket.socket):
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            log.debug("already closed")
