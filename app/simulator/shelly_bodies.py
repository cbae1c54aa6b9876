"""What Shelly energy meters answer: the kinds there are, their JSON, and how it looks when they fail. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from app.simulator.meter import MeterSample

VOLTAGE_V = (230.4, 229.6, 231.2)
Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ShellyKind:
    """``phases``: one channel per phase. Otherwise channel 0 is the grid, channel 1 the sun's feed (negative)."""

    generation: int
    model: str
    app: str
    channels: int
    phases: bool
    profile: str | None = None

    @property
    def triphase(self) -> bool:
        """One EM component for three phases, instead of one EM1 per channel."""
        return self.profile == "triphase"


KINDS = {
    "gen1-em": ShellyKind(1, "SHEM", "", 2, phases=False),
    "gen1-3em": ShellyKind(1, "SHEM-3", "", 3, phases=True),
    "pro3em": ShellyKind(2, "SPEM-003CEBEU", "Pro3EM", 3, phases=True, profile="triphase"),
    "pro3em-mono": ShellyKind(2, "SPEM-003CEBEU", "Pro3EM", 3, phases=True, profile="monophase"),
    "proem50": ShellyKind(2, "SPEM-002CEBEU50", "ProEM", 2, phases=False),
    "3em63g3": ShellyKind(3, "S3EM-003CXCEU63", "S3EMG3", 3, phases=True, profile="triphase"),
    "emg3": ShellyKind(3, "S3EM-002CXCEU", "EMG3", 2, phases=False),
}
MAC = "02005E100002"


class Fault(StrEnum):
    """Ways in which a meter fails."""

    DOWN = "down"  # the connection breaks
    HANG = "hang"  # accepts, and never answers
    SLOW = "slow"  # answers after `delay_s`
    FROZEN = "frozen"  # answers at once, the same for ever
    INVALID = "invalid"  # its self-check failed
    MISSING = "missing"  # no power in the answer
    NULL = "null"  # power is null
    NAN = "nan"  # power is not a number, as some JSON writers put it
    TEXT = "text"  # power is a string
    HTTP_500 = "http-500"
    THROTTLED = "throttled"  # HTTP 429
    GARBAGE = "garbage"  # HTTP 200, and no JSON


@dataclass(frozen=True, slots=True)
class Channel:
    """One clamp."""

    power_w: float
    voltage_v: float
    import_wh: float
    export_wh: float

    @property
    def factor(self) -> float:
        """Signed like the power."""
        return round(max(-1.0, min(1.0, self.power_w / (abs(self.power_w) + 40.0))), 2)

    @property
    def apparent_va(self) -> float:
        """Never below the active power."""
        return abs(self.power_w) + 40.0

    @property
    def current_a(self) -> float:
        """Always positive, as on the devices."""
        return round(self.apparent_va / self.voltage_v, 3)


def channels(kind: ShellyKind, sample: MeterSample) -> list[Channel]:
    """What each clamp measures."""
    if kind.phases:
        rows = zip(sample.phases_w, VOLTAGE_V, sample.import_wh, sample.export_wh, strict=True)
        return [Channel(*row) for row in rows]
    grid = Channel(sample.power_w, VOLTAGE_V[0], sum(sample.import_wh), sum(sample.export_wh))
    return [grid, Channel(-sample.pv_w, VOLTAGE_V[0], 0.0, sample.pv_wh)]


def device_id(kind: ShellyKind) -> str:
    """Its host name, which is also the realm of its logins."""
    return f"shelly{kind.app.lower()}-{MAC.lower()}"


def identity(kind: ShellyKind, *, auth: bool) -> Body:
    """``/shelly``: never needs a login."""
    if kind.generation == 1:
        firmware = "20230913-114244/v1.14.0-gcb84623"
        return {"type": kind.model, "mac": MAC, "auth": auth, "fw": firmware, "num_emeters": kind.channels}
    body: Body = {"name": None, "id": device_id(kind), "mac": MAC, "slot": 0, "model": kind.model}
    body |= {"gen": kind.generation, "fw_id": "20250924-062723/1.6.1-gd8534ee", "ver": "1.6.1", "app": kind.app}
    body |= {"auth_en": auth, "auth_domain": device_id(kind) if auth else None}
    return body | ({"profile": kind.profile} if kind.profile else {})


def emeter(channel: Channel, *, three: bool) -> Body:
    """One channel of a Gen1 device; the 3EM shows current, the EM reactive power."""
    body: Body = {"power": round(channel.power_w, 2), "pf": channel.factor}
    body |= {"current": round(channel.current_a, 2)} if three else {"reactive": 40.0}
    body |= {"voltage": channel.voltage_v, "is_valid": True}
    return body | {"total": round(channel.import_wh, 1), "total_returned": round(channel.export_wh, 1)}


def gen1_status(kind: ShellyKind, sample: MeterSample, utc_s: float, uptime_s: float) -> Body:
    """``/status``."""
    three = kind.channels == 3
    body: Body = {"wifi_sta": {"connected": True, "ssid": "home", "ip": "192.0.2.18", "rssi": -61}}
    body |= {"unixtime": int(utc_s), "has_update": False, "mac": MAC, "relays": [{"ison": False, "is_valid": True}]}
    body |= {"emeters": [emeter(channel, three=three) for channel in channels(kind, sample)]}
    body |= {"total_power": round(sample.power_w, 2), "fs_mounted": True} if three else {}
    return body | {"ram_total": 49440, "ram_free": 31444, "uptime": int(uptime_s)}


def em_status(sample: MeterSample, kind: ShellyKind) -> Body:
    """``EM.GetStatus``: three phases and their sum."""
    body: Body = {"id": 0}
    clamps = channels(kind, sample)
    for letter, clamp in zip("abc", clamps, strict=True):
        body |= {f"{letter}_current": clamp.current_a, f"{letter}_voltage": clamp.voltage_v}
        body |= {f"{letter}_act_power": round(clamp.power_w, 1), f"{letter}_aprt_power": round(clamp.apparent_va, 1)}
        body |= {f"{letter}_pf": clamp.factor, f"{letter}_freq": 50.0}
    body |= {"n_current": None, "total_current": round(sum(clamp.current_a for clamp in clamps), 3)}
    body |= {"total_act_power": round(sample.power_w, 3)}
    body |= {"total_aprt_power": round(sum(clamp.apparent_va for clamp in clamps), 3)}
    return body | {"user_calibrated_phase": []}


def em_data(sample: MeterSample, kind: ShellyKind) -> Body:
    """``EMData.GetStatus``: counters of each phase, not netted."""
    body: Body = {"id": 0}
    for letter, clamp in zip("abc", channels(kind, sample), strict=True):
        body |= {f"{letter}_total_act_energy": round(clamp.import_wh, 2)}
        body |= {f"{letter}_total_act_ret_energy": round(clamp.export_wh, 2)}
    body |= {"total_act": round(sum(sample.import_wh), 2), "total_act_ret": round(sum(sample.export_wh), 2)}
    return body


def em1_status(number: int, channel: Channel) -> Body:
    """``EM1.GetStatus``."""
    body: Body = {"id": number, "current": channel.current_a, "voltage": channel.voltage_v}
    body |= {"act_power": round(channel.power_w, 1), "aprt_power": round(channel.apparent_va, 1)}
    return body | {"pf": channel.factor, "freq": 50.0, "calibration": "factory"}


def em1_data(number: int, channel: Channel) -> Body:
    """``EM1Data.GetStatus``."""
    counters = {"total_act_energy": round(channel.import_wh, 2), "total_act_ret_energy": round(channel.export_wh, 2)}
    return {"id": number, **counters}


def components(kind: ShellyKind, sample: MeterSample) -> Body:
    """Every metering component by its key, as in ``Shelly.GetStatus``."""
    if kind.triphase:
        return {"em:0": em_status(sample, kind), "emdata:0": em_data(sample, kind)}
    body: Body = {}
    for number, channel in enumerate(channels(kind, sample)):
        body |= {f"em1:{number}": em1_status(number, channel), f"em1data:{number}": em1_data(number, channel)}
    return body


POWER_KEYS = ("power", "total_power", "act_power", "total_act_power", "a_act_power", "b_act_power", "c_act_power")
_INSTEAD = {Fault.NULL: None, Fault.NAN: float("nan"), Fault.TEXT: "12.5"}


def spoil(body: Any, fault: Fault | None) -> Any:
    """The same answer from a meter that fails this way."""
    if isinstance(body, list):
        return [spoil(item, fault) for item in body]
    if not isinstance(body, dict) or (fault not in _INSTEAD and fault not in (Fault.INVALID, Fault.MISSING)):
        return body
    spoilt = {key: spoil(value, fault) for key, value in body.items()}
    for key in [key for key in POWER_KEYS if key in spoilt]:
        if fault is Fault.MISSING:
            del spoilt[key]
        elif fault in _INSTEAD:
            spoilt[key] = _INSTEAD[fault]
        elif "is_valid" in spoilt:
            spoilt["is_valid"] = False
        else:
            spoilt["errors"] = ["power_meter_failure"]
    return spoilt
