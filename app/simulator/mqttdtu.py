"""A gateway as an MQTT broker sees it: telemetry out, commands in, a last will. What it says, others know."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import ClassVar, Self

import aiomqtt

from app.simulator.house import House

log = logging.getLogger(__name__)
LOOK_EVERY_S = 0.1
RECONNECT_S = 2.0
KEEP_ALIVE_S = 15  # of the MQTT library that these gateways use

News = Iterable[tuple[str, str, bool]]  # topic below the prefix, payload, retained


class FakeDtu:
    """``async with …(house, "127.0.0.1", 1883) as dtu``: connected, subscribed and publishing inside.

    Or `start` and `close`, which do not wait for a broker. Faults of the box: `silent` (connected, publishes nothing),
    `go_offline`/`come_back` (power cut: the broker delivers the will), and those of ``house.dtu``
    (``drop_commands``, ``hung``, ``reboot()``) and ``house.inverters[i]`` (``reachable``, ``ignores_limit``,
    ``reset()``, ``on``). ``house.dtu.received`` holds every command that arrived.
    """

    name: ClassVar[str]
    client_id: ClassVar[str]
    status: ClassVar[tuple[str, str, str]]  # its topic below the prefix, and what it says when there and when away

    def __init__(
        self,
        house: House,
        mqtt_host: str,
        mqtt_port: int = 1883,
        *,
        username: str | None = None,
        password: str | None = None,
        prefix: str = "solar/",
        retain: bool = True,
    ) -> None:
        self.house = house
        self.silent = False
        self.connected = asyncio.Event()
        self._prefix = prefix
        self._retain = retain
        self._address = (mqtt_host, mqtt_port)
        self._login = (username, password)
        self._powered = asyncio.Event()
        self._powered.set()
        self._client: aiomqtt.Client | None = None
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    # -- what one gateway does in its own way ----------------------------------------------------------

    def filters(self) -> Iterable[tuple[str, int]]:
        """What it subscribes to below the prefix, and with which QoS."""
        raise NotImplementedError

    def take(self, topic: str, payload: str, *, retained: bool) -> None:
        """A message came on a topic below the prefix."""
        raise NotImplementedError

    def greeting(self) -> News:
        """What it says as soon as it is connected, beside its status."""
        return ()

    def news(self, utc_minus_now_s: float) -> News:
        """What there is to say now."""
        raise NotImplementedError

    # -- the box ---------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        self.start()
        try:
            await asyncio.wait_for(self.connected.wait(), timeout=10.0)
        except TimeoutError:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def start(self) -> asyncio.Task[None]:
        """Serve in the background, reconnecting for ever as the box does. Only a bug ends the task."""
        self._task = asyncio.create_task(self._run())
        return self._task

    async def close(self) -> None:
        """Say goodbye and stop."""
        self._closing = True  # Python 3.11's wait_for, within aiomqtt, can swallow a cancellation
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        down = False
        while not self._closing:
            await self._powered.wait()
            try:
                await self._session()
            except* aiomqtt.MqttError as errors:
                wanted = self._powered.is_set() and self.house.dtu.up
                if wanted and (self.connected.is_set() or not down):
                    reason = errors.exceptions[0]
                    log.warning("%s: no broker at %s:%d (%s), trying again", self.name, *self._address, reason)
                down = True
            finally:
                self.connected.clear()
                self._client = None
            await asyncio.sleep(RECONNECT_S)

    def go_offline(self) -> None:
        """Power cut: the connection breaks without a goodbye, so that the broker publishes the will."""
        self.house.dtu.hung = True
        self._powered.clear()
        self.connected.clear()
        self._break_connection()

    async def come_back(self) -> None:
        """Power returns: a fresh boot. Returns once connected again."""
        self.house.dtu.hung = False
        self.house.dtu.reboot()
        self._powered.set()
        await self.connected.wait()

    def _break_connection(self) -> None:
        client = self._client
        sock = client._client.socket() if client is not None else None  # noqa: SLF001 - only the socket can be cut
        if isinstance(sock, socket.socket):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    async def _session(self) -> None:
        """One connection, from boot or reconnect until it breaks or the box reboots."""
        dtu = self.house.dtu
        while not dtu.up:
            await self._look()
        reboots = dtu.reboots
        username, password = self._login
        topic, there, away = self.status
        topic = self._prefix + topic
        async with aiomqtt.Client(
            *self._address,
            username=username or None,
            password=password or None,
            identifier=self.client_id,
            will=aiomqtt.Will(topic, away, qos=2, retain=self._retain),
            keepalive=KEEP_ALIVE_S,
            clean_session=True,
        ) as client:
            self._client = client
            await self._say(client, self.greeting())
            await client.publish(topic, there, retain=self._retain)
            for below, qos in self.filters():
                await client.subscribe(self._prefix + below, qos=qos)
            log.info("%s: connected to %s:%d", self.name, *self._address)
            self.connected.set()
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._obey(client))
                    tasks.create_task(self._publish(client, reboots))
            except asyncio.CancelledError:
                with suppress(aiomqtt.MqttError):
                    await client.publish(topic, away, retain=self._retain, timeout=1.0)
                raise

    async def _obey(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            payload = message.payload if isinstance(message.payload, bytes) else b""
            self.house.follow(asyncio.get_running_loop().time())
            below = str(message.topic)[len(self._prefix) :]
            self.take(below, payload.decode(errors="replace"), retained=bool(message.retain))

    async def _publish(self, client: aiomqtt.Client, reboots: int) -> None:
        while True:
            await self._look()
            if self.house.dtu.reboots != reboots:
                self._break_connection()
                return
            news = list(self.news(time.time() - self.house.now_s))
            if not self.silent:
                await self._say(client, news)

    async def _say(self, client: aiomqtt.Client, news: News) -> None:
        for topic, payload, retain in news:
            await client.publish(self._prefix + topic, payload, retain=retain and self._retain)

    async def _look(self) -> None:
        if self._closing:
            raise asyncio.CancelledError
        await asyncio.sleep(LOOK_EVERY_S)
        self.house.follow(asyncio.get_running_loop().time())
