"""Hoymiles inverters behind OpenDTU (or OpenDTU-OnBattery), over MQTT.

Topics and their meaning: OpenDTU's MQTT handlers. What matters: most topics are retained, so only live
messages prove anything; ``<serial>/0/*`` comes only with new data, a reachable flag and the time of the
sample precede it in the same burst, and ``0/efficiency`` ends it; ``status/limit_*`` echoes the last
acknowledged command and is no measurement.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from app.broker import Broker, Message
from app.fields import BrokerConfig, OptionalHost, Section, TopicPrefix
from app.model import Ac, GatewayState, InverterState, Panel

log = logging.getLogger(__name__)

PUBLISH_INTERVAL_S = 5.0  # OpenDTU's default and the least that its page accepts
_CHANNELS = tuple("0123456")  # 0 is AC, the others are DC inputs
MAX_LIMIT_W = 6553.5  # OpenDTU encodes watts x 10 in 16 bits and does not check

CMT_SERIALS = {"1124", "1125", "1400", "1143", "1144", "114a", "1410", "1164", "1166", "1420", "1361", "1382"}

_AC_FIELDS = {
    "power": "power_w",
    "voltage": "voltage_v",
    "current": "current_a",
    "frequency": "frequency_hz",
    "powerfactor": "power_factor",
    "reactivepower": "reactive_power_var",
    "powerdc": "dc_power_w",
    "temperature": "temperature_c",
    "efficiency": "efficiency_pct",
    "yieldday": "yield_day_wh",
    "yieldtotal": "yield_total_kwh",
}
_PANEL_FIELDS = {
    "power": "power_w",
    "voltage": "voltage_v",
    "current": "current_a",
    "yieldday": "yield_day_wh",
    "yieldtotal": "yield_total_kwh",
    "irradiation": "irradiation_pct",
}


def _text_serial(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _valid_serial(value: str) -> str:
    if "x" in value.lower():
        raise ValueError(f"{value!r} is a placeholder: put the serial number of your inverter here (OpenDTU shows it)")
    if len(value) != 12 or any(c not in "0123456789abcdef" for c in value.lower()):
        raise ValueError(f"{value!r} is not a serial number: give its 12 digits in quotes, as OpenDTU shows them")
    return value.lower()


def _whole_tenths(value: float) -> float:
    """Limits go out with one decimal: a maximum that cannot be sent exactly would never be seen as reached."""
    return max(0.1, math.floor(value * 10.0 + 1e-6) / 10.0)


class OpenDtuConfig(Section):
    """Where OpenDTU publishes."""

    topic_prefix: TopicPrefix = "solar"
    host: OptionalHost = Field("", description="OpenDTU's own address; optional")
    mqtt: BrokerConfig | None = Field(None, description="the broker that OpenDTU publishes to, where it is not ours")


class OpenDtuInverterConfig(Section):
    """One inverter behind OpenDTU."""

    serial: Annotated[str, BeforeValidator(_text_serial), AfterValidator(_valid_serial)]
    type: Literal["opendtu"] = "opendtu"
    name: str = Field("", max_length=60)
    enabled: bool = Field(True, description="false: read and shown, never commanded")
    max_watt: Annotated[float, Field(gt=0, le=MAX_LIMIT_W, description="rated AC power"), AfterValidator(_whole_tenths)]
    min_watt: float | None = Field(None, ge=0, description="lowest limit to send; default 3 %, at least 20 W")
    channels: int | None = Field(None, ge=1, le=6, description="DC inputs to record; default: all that are reported")
    phase: int | None = Field(None, ge=1, le=3, description="the phase that it feeds; none: all three alike (HMT)")

    @model_validator(mode="after")
    def _ordered(self) -> OpenDtuInverterConfig:
        if self.min_watt is not None and self.min_watt > self.max_watt:
            raise ValueError(f"min_watt {self.min_watt:g} is above max_watt {self.max_watt:g}")
        return self

    @property
    def three_phase(self) -> bool:
        """Whether its serial number is one of the HMT series, which feeds three phases alike."""
        return self.serial.startswith("13")

    @property
    def floor_w(self) -> float:
        """The lowest limit to send; far below it Hoymiles inverters oscillate or switch off."""
        lowest_w = self.min_watt if self.min_watt is not None else max(20.0, 0.03 * self.max_watt)
        return min(self.max_watt, math.ceil(lowest_w * 10.0 - 1e-6) / 10.0)


@dataclass(slots=True)
class _Inverter:
    """What has been heard of one inverter so far."""

    config: OpenDtuInverterConfig
    label: str = ""
    reachable: bool | None = None
    reachable_live: bool = False
    producing: bool | None = None
    ac: dict[str, float] = field(default_factory=dict)
    panels: dict[int, dict[str, Any]] = field(default_factory=dict)
    burst_s: float | None = None
    power_at_s: float | None = None
    utc_s: float | None = None
    updated_utc_s: float = 0.0
    data_seq: int = 0
    limit_pct: float | None = None
    limit_w: float | None = None
    limit_at_s: float | None = None
    rated_w: float | None = None
    rssi_dbm: float | None = None
    resets: int = 0
    commanded_w: float | None = None
    commanded_at_s: float | None = None
    power_on: bool | None = None
    powered_at_s: float | None = None


class OpenDtu:
    """All configured inverters behind one OpenDTU."""

    def __init__(
        self,
        config: OpenDtuConfig,
        inverters: tuple[OpenDtuInverterConfig, ...],
        broker: Broker,
        *,
        clock: Callable[[], float] = time.monotonic,
        utc: Callable[[], float] = time.time,
    ) -> None:
        self._prefix = config.topic_prefix
        self._broker = broker
        self._clock, self._utc = clock, utc
        self._inverters = {item.serial: _Inverter(item) for item in inverters}
        self._gap_s = max(60.0, 15.0 * len(inverters))  # each is polled every 5 s x their number
        self._dtu: dict[str, float] = {}
        self._online: bool | None = None
        self._own_limiter = False
        self._seen_s: float | None = None
        self._started_s = clock()
        self._dtu_seq = 0
        self._dtu_utc_s: float | None = None
        broker.on_disconnect(self._disconnected)
        for topic_filter in (f"{self._prefix}/dtu/+", f"{self._prefix}/dtu/heap/+"):
            broker.subscribe(topic_filter, self._on_dtu)
        broker.subscribe(f"{self._prefix}/powerlimiter/status/mode", self._on_own_limiter)
        for serial in self._inverters:
            broker.subscribe(f"{self._prefix}/{serial}/+", self._on_inverter)
            broker.subscribe(f"{self._prefix}/{serial}/+/+", self._on_inverter)

    # -- the driver's surface --------------------------------------------------------------------------

    def states(self) -> tuple[InverterState, ...]:
        """What is known now, in the order of the configuration."""
        now_s = self._clock()
        return tuple(self._state(inverter, now_s) for inverter in self._inverters.values())

    def gateway(self) -> GatewayState:
        """What is known of OpenDTU itself."""
        return GatewayState(
            name="OpenDTU",
            online=self._online,
            uptime_s=self._dtu.get("uptime"),
            rssi_dbm=self._dtu.get("rssi"),
            temperature_c=self._dtu.get("temperature"),
            heap_free_b=self._dtu.get("free"),
            seen_at_s=self._seen_s,
            utc_s=self._dtu_utc_s,
            data_seq=self._dtu_seq,
            fault=self._fault(),
        )

    async def set_limit(self, serial: str, limit_w: float) -> bool:
        """Send a non-persistent limit in AC watts; True when the broker has it."""
        inverter = self._inverters[serial]
        if not math.isfinite(limit_w) or not inverter.config.enabled:
            raise ValueError(f"refusing to command {serial} to {limit_w!r} W")
        limit_w = round(min(inverter.config.max_watt, max(inverter.config.floor_w, limit_w)), 1)
        sent_s = self._clock()
        topic = f"{self._prefix}/{serial}/cmd/limit_nonpersistent_absolute"
        if not await self._broker.publish(topic, f"{limit_w:.1f}", qos=1, retain=False):
            return False
        inverter.commanded_w, inverter.commanded_at_s = limit_w, sent_s
        return True

    async def set_power(self, serial: str, *, on: bool) -> bool:
        """Switch an inverter on or off; True when the broker has it."""
        inverter = self._inverters[serial]
        if not inverter.config.enabled:
            raise ValueError(f"refusing to switch {serial}")
        sent_s = self._clock()
        if not await self._broker.publish(f"{self._prefix}/{serial}/cmd/power", str(int(on)), qos=1, retain=False):
            return False
        if on is not inverter.power_on:  # not merely sent again
            inverter.power_on, inverter.powered_at_s = on, sent_s
        return True

    # -- what comes in ---------------------------------------------------------------------------------

    def _on_dtu(self, message: Message) -> None:
        key = message.topic.rsplit("/", 1)[1]
        if key == "status":
            self._on_dtu_status(message)
            return
        value = _number(message.payload)
        if value is None or message.retain:
            return
        if key == "uptime":
            if value < self._dtu.get("uptime", 0.0):
                self._lose_limits("OpenDTU has restarted")
            self._seen_s, self._dtu_utc_s = self._clock(), self._utc()
            self._dtu_seq += 1
            self._online = True
        self._dtu[key] = value

    def _disconnected(self) -> None:
        """Without the broker nothing is known of OpenDTU, and it may be back later than we are."""
        self._online = None

    def _on_dtu_status(self, message: Message) -> None:
        online = message.payload == b"online"
        if online and not message.retain:
            self._lose_limits("OpenDTU has connected")
        elif not online and self._online is not False:
            log.warning("OpenDTU is offline, says the broker")
        self._online = online

    def _on_own_limiter(self, message: Message) -> None:
        self._own_limiter = message.payload in (b"0", b"2")

    def _on_inverter(self, message: Message) -> None:
        serial, group, *rest = message.topic[len(self._prefix) + 1 :].split("/")
        inverter = self._inverters[serial]
        if not rest:
            if group == "name":
                inverter.label = _text(message.payload)
            return
        key = rest[0]
        channel = int(group) if group in _CHANNELS else None
        if channel is not None and key == "name":
            if 0 < channel <= (inverter.config.channels or 6):
                inverter.panels.setdefault(channel, {})["name"] = _text(message.payload) or None
            return
        value = _number(message.payload)
        if value is None:
            return
        if group == "status":
            self._on_status(inverter, key, value, live=not message.retain)
        elif group == "radio" and key == "rssi":
            inverter.rssi_dbm = value
        elif channel is not None and not message.retain and inverter.reachable is not False:
            self._on_channel(inverter, channel, key, value)

    def _on_status(self, inverter: _Inverter, key: str, value: float, *, live: bool) -> None:
        if key == "reachable":
            if live and inverter.reachable is False and value > 0:
                self._lose_limit(inverter, "can be reached again")
            if live or not inverter.reachable_live:
                inverter.reachable = value > 0
                inverter.reachable_live |= live
        elif not live:
            return
        elif key == "producing":
            inverter.producing = value > 0
        elif key == "last_update":
            if inverter.updated_utc_s and value - inverter.updated_utc_s > self._gap_s:
                self._lose_limit(inverter, f"was silent for {value - inverter.updated_utc_s:.0f} s")
            inverter.updated_utc_s = value or inverter.updated_utc_s
        elif key in ("limit_relative", "limit_absolute"):
            self._on_limit(inverter, key, value)

    def _on_limit(self, inverter: _Inverter, key: str, value: float) -> None:
        if key == "limit_relative":
            inverter.limit_pct = value
        else:
            inverter.limit_w = value
            if inverter.limit_pct and inverter.limit_pct >= 10.0:
                inverter.rated_w = round(value / inverter.limit_pct * 100.0)
        inverter.limit_at_s = self._clock()

    def _on_channel(self, inverter: _Inverter, channel: int, key: str, value: float) -> None:
        if channel > 0:
            if key in _PANEL_FIELDS and channel <= (inverter.config.channels or 6):
                inverter.panels.setdefault(channel, {})[_PANEL_FIELDS[key]] = value
            return
        if key not in _AC_FIELDS or not _plausible(key, value, inverter.config.max_watt):
            return
        if key == "yieldday" and value < inverter.ac.get("yield_day_wh", 0.0):
            self._lose_limit(inverter, "has restarted")
        inverter.ac[_AC_FIELDS[key]] = value
        if key == "power":
            self._prove_power(inverter)
        elif key == "efficiency" and inverter.burst_s is not None:
            inverter.burst_s = None
            inverter.data_seq += 1

    def _prove_power(self, inverter: _Inverter) -> None:
        """Date the new data: OpenDTU says when it heard the inverter, to the second."""
        now_s, now_utc_s = self._clock(), self._utc()
        age_s = now_utc_s - (inverter.updated_utc_s + 0.5)
        age_s = min(max(age_s, 0.0), 30.0) if -2.0 < age_s < 30.0 else 0.0  # else the clocks disagree
        inverter.power_at_s, inverter.utc_s, inverter.burst_s = now_s - age_s, now_utc_s - age_s, now_s

    # -- what that means -------------------------------------------------------------------------------

    def _lose_limits(self, why: str) -> None:
        for inverter in self._inverters.values():
            self._lose_limit(inverter, why)

    def _lose_limit(self, inverter: _Inverter, why: str) -> None:
        inverter.resets += 1
        inverter.power_on = None
        log.info("%s: %s; its limit counts as lost", inverter.config.name or inverter.config.serial, why)

    def _state(self, inverter: _Inverter, now_s: float) -> InverterState:
        if inverter.burst_s is not None and now_s - inverter.burst_s > 0.5:  # the end of a burst got lost
            inverter.burst_s = None
            inverter.data_seq += 1
        config = inverter.config
        return InverterState(
            serial=config.serial,
            name=config.name or inverter.label or config.serial,
            max_w=config.max_watt,
            min_w=config.floor_w,
            enabled=config.enabled,
            reachable=inverter.reachable if self._online else self._online,
            producing=inverter.producing,
            ac=Ac(**inverter.ac),
            panels=tuple(Panel(channel, **values) for channel, values in sorted(inverter.panels.items()) if values),
            power_at_s=inverter.power_at_s,
            utc_s=inverter.utc_s,
            data_seq=inverter.data_seq,
            commanded_w=inverter.commanded_w,
            commanded_at_s=inverter.commanded_at_s,
            acked_w=inverter.limit_w,
            acked_pct=inverter.limit_pct,
            acked_at_s=inverter.limit_at_s,
            rated_w=inverter.rated_w,
            rssi_dbm=inverter.rssi_dbm,
            resets=inverter.resets,
            radio=_radio(config.serial),
            phase=config.phase,
            note="switched off: the house takes too little" if inverter.power_on is False else None,
            power_on=inverter.power_on,
            powered_at_s=inverter.powered_at_s,
        )

    def _fault(self) -> str | None:
        now_s = self._clock()
        if self._own_limiter:
            return "OpenDTU-OnBattery's own power limiter works against this controller: switch it off there."
        if self._online is False:
            return "OpenDTU is offline: no limit can be sent, the inverters keep their last one."
        silent_s = now_s - (self._seen_s if self._seen_s is not None else self._started_s)
        if self._seen_s is None and silent_s > 15.0:
            return f"Nothing heard from OpenDTU under {self._prefix}/ since the start."
        if self._seen_s is not None and silent_s > 6.0 * PUBLISH_INTERVAL_S:
            return f"OpenDTU has been silent for {silent_s:.0f} s."
        return None


def _radio(serial: str) -> str:
    """The transmitter that OpenDTU reaches an inverter with: one for HM and HERF, another for HMS and HMT."""
    return "cmt" if serial[:4] in CMT_SERIALS else "nrf"


def _number(payload: bytes) -> float | None:
    """A finite number, or None: what else arrives is dropped, field by field."""
    if len(payload) > 32:
        return None
    try:
        value = float(payload)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _text(payload: bytes) -> str:
    return payload[:60].decode("utf-8", errors="replace").strip()


def _plausible(key: str, value: float, max_w: float) -> bool:
    """Refuse the saturated 16-bit values that corrupt radio answers decode to."""
    match key:
        case "power" | "powerdc":
            return 0.0 <= value <= 2.0 * max_w
        case "voltage":
            return value < 1000.0
        case "current":
            return abs(value) < 100.0
        case "temperature":
            return -60.0 < value < 150.0
    return True
