"""One MQTT connection that comes back by itself, shared by everything that speaks to that broker."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiomqtt

from app.fields import BrokerConfig

log = logging.getLogger(__name__)

KEEPALIVE_S = 10
MAX_QUEUED = 10_000
CONNECT_TIMEOUT_S = 5.0
LONGEST_PAUSE_S = 10.0


@dataclass(frozen=True, slots=True)
class Message:
    """One message. ``retain`` is True only for a stored copy that the broker replays to a new subscriber."""

    topic: str
    payload: bytes
    retain: bool


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


Handler = Callable[[Message], None]
Greeting = Callable[[], Awaitable[None]]


class Broker:
    """A connection with its subscriptions. ``run`` keeps it up; everything else may be called at any time."""

    def __init__(self, address: Address, client_id: str, will: tuple[str, str] | None = None) -> None:
        self.address = address
        self._client_id = client_id
        self._will = aiomqtt.Will(will[0], will[1], qos=1, retain=True) if will else None
        self._handlers: list[tuple[str, Handler]] = []
        self._greetings: list[Greeting] = []
        self._farewells: list[Callable[[], None]] = []
        self._client: aiomqtt.Client | None = None
        self._met = False
        self.fault: str | None = None

    @property
    def connected(self) -> bool:
        """Whether messages can be sent now."""
        return self._client is not None

    def subscribe(self, topic_filter: str, handler: Handler) -> None:
        """Have ``handler`` called for every matching message; before `run` only."""
        self._handlers.append((topic_filter, handler))

    def on_connect(self, greeting: Greeting) -> None:
        """Have ``greeting`` awaited after every (re)connect, once the subscriptions stand."""
        self._greetings.append(greeting)

    def on_disconnect(self, farewell: Callable[[], None]) -> None:
        """Have ``farewell`` called whenever the connection is lost."""
        self._farewells.append(farewell)

    async def publish(
        self, topic: str, payload: str, *, qos: int = 0, retain: bool = False, timeout_s: float = 2.0
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

    async def run(self) -> None:
        """Connect, dispatch and reconnect for ever."""
        pause_s = 1.0
        while True:
            self._met = False
            try:
                await self._session()
            except aiomqtt.MqttError as error:
                self._down(_sentence(self.address, error))
            pause_s = 1.0 if self._met else min(LONGEST_PAUSE_S, pause_s * 1.5)
            await asyncio.sleep(random.uniform(0.5, 1.0) * pause_s)  # noqa: S311 - jitter, no secret

    async def _session(self) -> None:
        async with aiomqtt.Client(
            self.address.host,
            self.address.port,
            username=self.address.username or None,
            password=self.address.password or None,
            identifier=self._client_id,
            will=self._will,
            keepalive=KEEPALIVE_S,
            timeout=CONNECT_TIMEOUT_S,
            max_queued_incoming_messages=MAX_QUEUED,
        ) as client:
            await client.subscribe([(topic_filter, 0) for topic_filter, _ in self._handlers])
            self._client, self._met = client, True
            log.info("connected to the MQTT broker at %s", self.address)
            self.fault = None
            greetings = asyncio.gather(*(greeting() for greeting in self._greetings))
            try:
                async for message in client.messages:
                    self._dispatch(message)
                raise aiomqtt.MqttError("it closed the connection")
            finally:
                greetings.cancel()
                self._client = None
                for farewell in self._farewells:
                    farewell()

    def _dispatch(self, message: aiomqtt.Message) -> None:
        payload = message.payload
        if not isinstance(payload, bytes | bytearray):
            return
        received = Message(str(message.topic), bytes(payload), message.retain)
        for topic_filter, handler in self._handlers:
            if message.topic.matches(topic_filter):
                handler(received)

    def _down(self, sentence: str) -> None:
        if self.fault is None:
            log.warning("%s; trying again until it is back", sentence)
        self.fault = sentence


def _sentence(address: Address, error: aiomqtt.MqttError) -> str:
    text = str(error)
    if "uthori" in text or "Bad user name" in text:
        who = f"user {address.username!r}" if address.username else "no user name"
        return f"the MQTT broker at {address} refuses the login ({who}): check mqtt.username and mqtt.password"
    return f"cannot reach the MQTT broker at {address}: {text}"
