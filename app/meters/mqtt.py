"""A meter that somebody publishes over MQTT: a number, text with a unit, or JSON, on one topic or on two."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any, Literal

from pydantic import Field, model_validator

from app.access import Access
from app.broker import Broker, Message
from app.fields import BrokerConfig, TopicPrefix
from app.meters.base import About, Emit, Meter, MeterSection
from app.meters.extract import Extracted, Extraction, extract, quantity
from app.meters.freshness import DeviceTime
from app.model import DeviceDataError, DeviceError, DeviceUnavailable, Reading
from app.outbound import MAX_BODY_BYTES

SILENT = 3.0  # times the interval: then the topic is said to be silent
GATHER_S = 0.1  # what comes so close together is told as one: two halves of a power, or more than anybody needs


class MqttMeterConfig(MeterSection, Extraction):
    """A meter on an MQTT topic. Without a path, the message is the power itself."""

    about = About(
        products="anything that publishes its power over MQTT",
        example='type: mqtt\ntopic: tele/meter/SENSOR\npath: "$.SML.Power_curr"',
        speed="as fast as it publishes",
        limits="a retained copy is of unknown age, and is never used",
    )

    plain = True
    type: Literal["mqtt"]
    topic: TopicPrefix | None = Field(None, description="without wildcards")
    import_topic: TopicPrefix | None = Field(None, description="where import and export have a topic each")
    export_topic: TopicPrefix | None = None
    interval_s: float = Field(5.0, ge=0.2, le=60, description="how often something is published at least")
    mqtt: BrokerConfig | None = Field(None, description="its broker, where it is not ours")

    @model_validator(mode="after")
    def _topics(self) -> MqttMeterConfig:
        apart = self.import_topic is not None and self.export_topic is not None
        if (self.topic is None) == (not apart) or (self.topic is not None and (self.import_topic or self.export_topic)):
            raise ValueError("give topic, or import_topic and export_topic together")
        if apart and (self.import_path is not None or self.phase_paths or self.time_path is not None):
            raise ValueError("import_topic and export_topic go with path only")
        return self

    def driver(self, access: Access) -> Meter:
        """The driver for these topics."""
        return MqttMeter(self, access.broker(self.mqtt))


class MqttMeter:
    """Waits for messages; each live one is a reading, each bad one a fault."""

    def __init__(self, config: MqttMeterConfig, broker: Broker, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = f"mqtt topic {config.topic or config.import_topic}"
        self.interval_s = config.interval_s
        self._config, self._broker, self._clock = config, broker, clock
        self._outcomes: asyncio.Queue[Reading | DeviceError] = asyncio.Queue(maxsize=16)
        self._heard = False  # a retained copy at least
        self._time = DeviceTime()
        self._apart: dict[str, tuple[float, float]] = {}  # by topic: watts, and when
        topics = (config.topic,) if config.topic else (config.import_topic, config.export_topic)
        self._topics = tuple(str(topic) for topic in topics)
        for topic in self._topics:
            broker.subscribe(topic, self._take)

    async def run(self, emit: Emit) -> None:
        """Emit what comes, the last of what comes together, and that nothing comes."""
        while True:
            try:
                async with asyncio.timeout(SILENT * self._config.interval_s):
                    outcome = await self._outcomes.get()
            except TimeoutError:
                emit(DeviceUnavailable(self._silence()))
                continue
            await asyncio.sleep(GATHER_S)
            while not self._outcomes.empty():
                outcome = self._outcomes.get_nowait()
            emit(outcome)

    def _take(self, message: Message) -> None:
        self._heard = True
        if message.retain:
            return
        try:
            outcome: Reading | DeviceError | None = self._reading(message)
        except DeviceError as error:
            outcome = error.saying(f"{message.topic}: {error}")
        if outcome is not None:
            if self._outcomes.full():
                self._outcomes.get_nowait()
            self._outcomes.put_nowait(outcome)

    def _reading(self, message: Message) -> Reading | None:
        found, now_s = parse(message.payload, self._config), self._clock()
        utc_s = time.time()
        if len(self._topics) == 1:
            at_s = now_s if found.stamp_s is None else self._time.moment(found.stamp_s, now_s)
            if at_s is None:
                return None
            return Reading(found.power_w, at_s, utc_s - (now_s - at_s), found.phases, found.import_wh, found.export_wh)
        if found.power_w < 0.0:
            raise DeviceDataError(f"{found.power_w:g} W: import and export that are counted apart are never negative")
        self._apart[message.topic] = found.power_w, now_s
        if len(self._apart) < 2:
            return None
        (imported_w, import_s), (exported_w, export_s) = (self._apart[topic] for topic in self._topics)
        if abs(import_s - export_s) > 2.0 * self._config.interval_s:
            return None  # the other one is missing: half of the truth is none
        return Reading(imported_w - exported_w, min(import_s, export_s), utc_s)

    def _silence(self) -> str:
        if not self._broker.connected:
            return f"{self.name}: {self._broker.fault or 'the MQTT broker is not connected'}"
        told = ", only a retained copy of unknown age" if self._heard else ""
        return f"{self.name}: nothing for {SILENT * self._config.interval_s:.0f} s{told}"


def parse(payload: bytes, config: MqttMeterConfig) -> Extracted:
    """The power that a message tells. Raises `DeviceDataError`."""
    document = content(payload)
    if config.path is None and config.import_path is None and not config.phase_paths:
        return Extracted(quantity(document, "the message", config.unit))
    return extract(document, config)


def content(payload: bytes) -> Any:
    """The JSON of a message, or its text where it is none. Raises `DeviceDataError` where it is not to be read."""
    if not payload.strip():
        raise DeviceDataError("an empty message: the value was withdrawn")
    if len(payload) > MAX_BODY_BYTES:
        raise DeviceDataError(f"a message of {len(payload)} bytes is not read")
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return payload.decode("utf-8", errors="replace").strip()
