"""MQTT connections that come back by themselves, each shared by everything that speaks to its broker."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiomqtt

from app.mqttconnection import NO_ANSWER, TIMEOUT_S, Address, connection, new_client, sentence, settled
from app.seldom import Seldom

__all__ = ["Address", "Broker", "Greeting", "Handler", "Message"]

log = logging.getLogger(__name__)

KEEPALIVE_S = 10
HEARTBEAT_S, ANSWER_S = 1.0, 0.8  # a pause and two heartbeats unanswered: a frozen broker is noticed within 3 s
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 1.5  # a limit is on the wire within 3 s of the broker's return
LONGEST_PAUSE_AFTER_S = 10.0  # where the broker is there and does not want us
STOOD_S = 5.0  # a connection that lasted so long was a good one
FILTERS_AT_ONCE = 100
TELL_AGAIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Message:
    """One message. ``retain`` is True only for a stored copy that the broker replays to a new subscriber."""

    topic: str
    payload: bytes
    retain: bool


Handler = Callable[[Message], None]
Greeting = Callable[[], Awaitable[None]]


class Broker:
    """A connection with its subscriptions. ``run`` keeps it up; everything else may be called at any time.

    ``will``: topic and payload that the broker is to publish when it loses us. ``heartbeat_topic``: gets the time once
    a second, which proves that the broker still answers. ``after``: connect only while that one is connected, and leave
    telling of it to that one.
    """

    def __init__(
        self,
        address: Address,
        client_id: str,
        will: tuple[str, str] | None = None,
        *,
        retain_will: bool = True,
        keepalive_s: int = KEEPALIVE_S,
        heartbeat_topic: str | None = None,
        after: Broker | None = None,
    ) -> None:
        self.address = address
        self._client_id, self._keepalive_s = client_id, keepalive_s
        self._will = aiomqtt.Will(will[0], will[1], qos=1, retain=retain_will) if will else None
        self.heartbeat_topic, self._after = heartbeat_topic, after
        self._exact: dict[str, list[Handler]] = {}
        self._wild: list[tuple[str, Handler]] = []
        self._greetings: list[Greeting] = []
        self._farewells: list[Callable[[], None]] = []
        self._client: aiomqtt.Client | None = None
        self.standing = asyncio.Event()
        self._heard = 0
        self._told, self._seldom = False, Seldom(TELL_AGAIN_S)
        self.fault: str | None = None

    @property
    def connected(self) -> bool:
        """Whether the connection and its subscriptions stand."""
        return self.standing.is_set()

    def subscribe(self, topic_filter: str, handler: Handler) -> None:
        """Have ``handler`` called for every matching message; before `run` only."""
        if "+" in topic_filter or "#" in topic_filter:
            self._wild.append((topic_filter, handler))
        else:
            self._exact.setdefault(topic_filter, []).append(handler)

    def on_connect(self, greeting: Greeting) -> None:
        """Have ``greeting`` awaited after every (re)connect, once the subscriptions stand."""
        self._greetings.append(greeting)

    def on_disconnect(self, farewell: Callable[[], None]) -> None:
        """Have ``farewell`` called whenever the connection is lost."""
        self._farewells.append(farewell)

    async def publish(
        self, topic: str, payload: str, *, qos: int = 0, retain: bool = False, timeout_s: float = TIMEOUT_S
    ) -> bool:
        """Send a message; False when it could not be handed over in time. Never raises for the broker's sake."""
        client = self._client
        if client is None:
            return False
        try:
            await client.publish(topic, payload, qos=qos, retain=retain, timeout=timeout_s)
        except (aiomqtt.MqttError, ValueError) as error:
            log.debug("cannot publish to %s at %s: %s", topic, self.address, error)
            return False
        return True

    async def replay(self, topic: str) -> None:
        """Have the broker send the retained message of a topic once more, if there is one."""
        if self._client is not None:
            try:
                await self._client.subscribe(topic, 0)
            except aiomqtt.MqttError as error:
                log.debug("cannot subscribe to %s at %s: %s", topic, self.address, error)

    async def run(self) -> None:
        """Connect, dispatch and reconnect for ever."""
        pause_s, longest_s = FIRST_PAUSE_S, LONGEST_PAUSE_S if self._after is None else LONGEST_PAUSE_AFTER_S
        while True:
            if self._after is not None:
                await self._after.standing.wait()
            started_s = time.monotonic()
            try:
                await self._session()
            except aiomqtt.MqttError as error:
                self._down(sentence(self.address, error))
            except Exception as error:  # where a connection breaks at a bad moment, KeyError and ValueError come too
                log.debug("the connection to %s broke", self.address, exc_info=True)
                self._down(f"cannot use the MQTT broker at {self.address}: {type(error).__name__} {error}")
            stood = time.monotonic() - started_s > STOOD_S
            pause_s = FIRST_PAUSE_S if stood else min(longest_s, 1.5 * pause_s)
            await asyncio.sleep(random.uniform(0.5, 1.0) * pause_s)  # noqa: S311 - jitter, no secret

    async def _session(self) -> None:
        """One connection, until it breaks."""
        client = new_client(
            self._dispatch,
            self.address.host,
            self.address.port,
            username=self.address.username or None,
            password=self.address.password or None,
            identifier=self._client_id,
            will=self._will,
            keepalive=self._keepalive_s,
        )
        async with connection(client) as ended:
            self._client = client
            staying = asyncio.create_task(self._stay(client))
            try:
                await asyncio.wait({staying, ended}, return_when=asyncio.FIRST_COMPLETED)
                (staying if staying.done() else ended).result()
            finally:
                self._leave()
                staying.cancel()
                await settled(staying)

    async def _stay(self, client: aiomqtt.Client) -> None:
        """Subscribe, greet, and raise once the broker answers no more."""
        filters = [*self._exact, *dict.fromkeys(wild for wild, _ in self._wild)]
        for first in range(0, len(filters), FILTERS_AT_ONCE):
            await client.subscribe([(one, 0) for one in filters[first : first + FILTERS_AT_ONCE]])
        if self._client is client:  # and not left meanwhile: Python 3.11's wait_for can swallow a cancellation
            self._arrive()
            await asyncio.gather(self._prove(client), *(greeting() for greeting in self._greetings))

    async def _prove(self, client: aiomqtt.Client) -> None:
        if self.heartbeat_topic is None:
            await asyncio.Event().wait()
        while self._client is client:
            await asyncio.sleep(HEARTBEAT_S)
            heard = self._heard
            if not (await self._beat() or await self._beat() or self._heard != heard):
                raise aiomqtt.MqttError(NO_ANSWER)

    async def _beat(self) -> bool:
        return await self.publish(str(self.heartbeat_topic), f"{time.time():.0f}", qos=1, timeout_s=ANSWER_S)

    def _dispatch(self, message: aiomqtt.Message) -> None:
        self._heard += 1
        payload, topic = message.payload, message.topic.value
        if self._client is None or not isinstance(payload, bytes | bytearray):
            return
        handlers = self._exact.get(topic, [])
        if self._wild:
            handlers = handlers + [handler for wild, handler in self._wild if message.topic.matches(wild)]
        received = Message(topic, bytes(payload), bool(message.retain))
        for handler in handlers:
            try:
                handler(received)
            except Exception:  # a bug; it must not cost the connection
                if self._seldom.due("handler"):
                    log.exception("cannot take in a message on %s", topic)

    def _arrive(self) -> None:
        if (self._told or self.fault is None) and self._after is None:
            log.info("connected to the MQTT broker at %s", self.address)
        self._told, self.fault = False, None
        self.standing.set()

    def _leave(self) -> None:
        stood = self.standing.is_set()
        self._client = None
        self.standing.clear()
        for farewell in self._farewells if stood else ():
            farewell()

    def _down(self, sentence: str) -> None:
        if self._after is None and self.fault is None and self._seldom.due(sentence):
            self._told = True
            log.warning("%s; trying again until it is back", sentence)
        self.fault = sentence
