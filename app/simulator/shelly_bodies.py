"""What Shelly energy meters answer: the kinds there are, their JSON, and how it looks when they fail. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from app.simulator.meter import MeterSample

VOLTAGE_V = (230.4, 229.6, 231.2)
GARBAGE = "\x00\x7f<html>{]"  # what is sent as JSON, and is none
Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ShellyKind:
    """``phases``: one channel per phase. Otherwise channel 0 is the grid, channel 1 the sun's feed (negative).

    ``meter``: the component that measures; ``Meter`` is that of the plugs of Gen1. ``signed``: whether it knows export.
    """

    generation: int
    model: str
    app: str
    channels: int
    phases: bool
    profile: str | None = None
    meter: str = "EM1"
    signed: bool = True

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
    "pmminig3": ShellyKind(3, "S3PM-001PCEU16", "MiniPMG3", 1, phases=False, meter="PM1"),
    "1pmg4": ShellyKind(4, "S4SW-001P16EU", "S1PMG4", 1, phases=False, meter="Switch"),
    "plugs": ShellyKind(2, "SNPL-00112EU", "PlusPlugS", 1, phases=False, meter="Switch", signed=False),
    "gen1-plug": ShellyKind(1, "SHPLG-S", "", 1, phases=False, meter="Meter", signed=False),
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
    return [grid, Channel(-sample.pv_w, VOLTAGE_V[0], 0.0, sample.pv_wh)][: kind.channels]


def device_id(kind: ShellyKind) -> str:
    """Its host name, which is also the realm of its logins."""
    return f"shelly{kind.app.lower()}-{MAC.lower()}"


def identity(kind: ShellyKind, *, auth: bool, version: str = "1.6.1") -> Body:
    """``/shelly``: never needs a login."""
    if kind.generation == 1:
        firmware = "20230913-114244/v1.14.0-gcb84623"
        return {"type": kind.model, "mac": MAC, "auth": auth, "fw": firmware, "num_emeters": kind.channels}
    body: Body = {"name": None, "id": device_id(kind), "mac": MAC, "slot": 0, "model": kind.model}
    body |= {"gen": kind.generation, "fw_id": f"20250924-062723/{version}-gd8534ee", "ver": version, "app": kind.app}
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
    clamps = channels(kind, sample)
    if kind.meter == "Meter":
        power = {"power": round(abs(clamps[0].power_w), 2), "overpower": 0.0, "is_valid": True}
        body |= {"meters": [power | {"total": round(60.0 * clamps[0].import_wh)}], "relays": [{"ison": True}]}
    else:
        body |= {"emeters": [emeter(channel, three=three) for channel in clamps]}
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


def switch_status(number: int, channel: Channel, *, signed: bool) -> Body:
    """``Switch.GetStatus`` and ``PM1.GetStatus``. What came back counts in both registers."""
    power_w = channel.power_w if signed else abs(channel.power_w)
    body: Body = {"id": number, "apower": round(power_w, 1), "voltage": channel.voltage_v}
    body |= {"current": channel.current_a, "aenergy": {"total": round(channel.import_wh + channel.export_wh, 3)}}
    return body | ({"ret_aenergy": {"total": round(channel.export_wh, 3)}} if signed else {})


def components(kind: ShellyKind, sample: MeterSample) -> Body:
    """Every metering component by its key, as in ``Shelly.GetStatus``."""
    if kind.triphase:
        return {"em:0": em_status(sample, kind), "emdata:0": em_data(sample, kind)}
    body: Body = {}
    for number, channel in enumerate(channels(kind, sample)):
        if kind.meter == "EM1":
            body |= {f"em1:{number}": em1_status(number, channel), f"em1data:{number}": em1_data(number, channel)}
        else:
            body |= {f"{kind.meter.lower()}:{number}": switch_status(number, channel, signed=kind.signed)}
    return body


def grumble(status: Body, errors: dict[str, list[str]]) -> Body:
    """A status with errors, by phase (``a``, ``b``, ``c``, ``n``) or of all (``""``); without any, nothing is told."""
    return status | {f"{phase}_errors" if phase else "errors": given for phase, given in errors.items() if given}


POWER_KEYS = (
    "power",
    "total_power",
    "act_power",
    "apower",
    "total_act_power",
    "a_act_power",
    "b_act_power",
    "c_act_power",
)
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
