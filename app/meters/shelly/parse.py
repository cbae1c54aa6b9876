"""What the answers of Shellys mean: watts, phases, counters, and what the device says is wrong with them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from app.documents import optional
from app.meters.base import watts
from app.model import DeviceDataError, Phase

UNUSABLE = ("power_meter_failure", "ct_type_not_set")
HARMLESS = ("no_load",)
Channels = tuple[int, ...]
Counters = tuple[float | None, float | None]  # Wh, import and export
Power = tuple[float, tuple[Phase, ...]]
Measured = tuple[float, tuple[Phase, ...], Counters]
UNKNOWN: Counters = (None, None)


class Unsuitable(DeviceDataError):  # noqa: N818 - the device works
    """A device that works, and cannot serve as a grid meter."""


def parse_gen1(status: Any, channels: Channels | None) -> Measured:
    """Power, phases and counters out of ``/status``; ``channels`` None: 0 of two, all of three."""
    status = mapping(status, "/status")
    meters = status.get("emeters")
    if not isinstance(meters, list) or not meters:
        if status.get("meters"):
            raise Unsuitable("this Shelly measures without a sign (meters in /status) and cannot see export: use an EM")
        raise Unsuitable("this Shelly has no energy meter inputs (no emeters in /status): use an EM or 3EM")
    if channels is None:
        channels = (0, 1, 2) if len(meters) >= 3 else (0,)
    if max(channels) >= len(meters):
        raise Unsuitable(f"channel {max(channels)} does not exist: this Shelly has {len(meters)}")
    used = [mapping(meters[channel], f"emeters[{channel}]") for channel in channels]
    for channel, meter in zip(channels, used, strict=True):
        if meter.get("is_valid") is False:
            raise DeviceDataError(f"the Shelly says that channel {channel} is not valid (is_valid: false)")
    phases = tuple(_phase(meter, "power", f"emeters[{c}].power") for c, meter in zip(channels, used, strict=True))
    return *_together(phases), (_sum(used, "total"), _sum(used, "total_returned"))


def parse_em(status: Any, channels: Channels | None) -> Power:
    """Net power and phases out of ``EM.GetStatus``; ``channels`` picks phases (0 = a), None: the net sum."""
    em = mapping(status, "EM.GetStatus")
    _refuse_errors(em, "errors")
    chosen = "abc" if channels is None else [letter for i, letter in enumerate("abc") if i in channels]
    for letter in chosen:
        _refuse_errors(em, f"{letter}_errors")
    there = [letter for letter in chosen if f"{letter}_act_power" in em]
    if channels is not None and len(there) < len(channels):
        raise DeviceDataError(f"EM.GetStatus has no power for channels {list(channels)}")
    if there and len(there) < len(chosen):
        raise DeviceDataError(f"EM.GetStatus has powers of the phases {', '.join(there)} only")
    phases = tuple(_phase(em, "act_power", f"{letter}_act_power", f"{letter}_") for letter in there)
    sum_w = sum(phase.power_w or 0.0 for phase in phases)
    if channels is not None:
        return sum_w, phases
    total_w = watts(em.get("total_act_power"), "total_act_power")
    if phases and abs(sum_w - total_w) > 10.0 + 0.05 * abs(total_w):
        raise DeviceDataError(f"total_act_power is {total_w:g} W, but the phases sum to {sum_w:g} W")
    return total_w, phases


def parse_em1(statuses: list[Any]) -> Power:
    """The sum over ``EM1.GetStatus`` answers, one per chosen channel."""
    return _together(tuple(_channel(status, "EM1", "act_power") for status in statuses))


def parse_switch(statuses: list[Any], name: str = "Switch") -> Measured:
    """The sum over ``Switch.GetStatus`` or ``PM1.GetStatus`` answers; only those that measure with a sign.

    A device counts with a sign where it has a counter for what came back; that energy is in the other one too.
    """
    phases = tuple(_channel(status, name, "apower") for status in statuses)
    for status in statuses:
        if name == "Switch" and "ret_aenergy" not in status:
            raise Unsuitable("this Shelly measures without a sign (no ret_aenergy) and cannot see export: use an EM")
    both, exported = (
        _sum([_counter(status, key) for status in statuses], "total") for key in ("aenergy", "ret_aenergy")
    )
    imported = None if both is None or exported is None else max(0.0, both - exported)
    return *_together(phases), (imported, exported)


def parse_em_counters(answer: Any, phases: tuple[int, ...] | None) -> Counters:
    """Import and export in Wh out of ``EMData.GetStatus``, of the same phases as `parse_em`."""
    data = mapping(answer, "EMData.GetStatus")
    if phases is None:
        return optional(data.get("total_act")), optional(data.get("total_act_ret"))
    chosen = [letter for index, letter in enumerate("abc") if index in phases]
    imported = [{"wh": data.get(f"{letter}_total_act_energy")} for letter in chosen]
    exported = [{"wh": data.get(f"{letter}_total_act_ret_energy")} for letter in chosen]
    return _sum(imported, "wh"), _sum(exported, "wh")


def parse_em1_counters(answers: list[Any]) -> Counters:
    """The same out of ``EM1Data.GetStatus``, one answer per channel."""
    data = [mapping(answer, "EM1Data.GetStatus") for answer in answers]
    return _sum(data, "total_act_energy"), _sum(data, "total_act_ret_energy")


def complaints(status: Any) -> Iterator[str]:
    """What the device says is wrong, and leaves its values usable: out of range, phases in another order."""
    for key in ("errors", "a_errors", "b_errors", "c_errors", "n_errors"):
        errors = status.get(key) if isinstance(status, dict) else None
        for error in errors[:8] if isinstance(errors, list) else ():
            if error not in HARMLESS:
                yield f"{key}: {str(error)[:40]}"


def reversed_channels(config: Any) -> str:
    """Which channels the device turns around itself, by its configuration; empty: none."""
    reverse = config.get("reverse") if isinstance(config, dict) else None
    if isinstance(reverse, dict):
        return ", ".join(str(phase)[:9] for phase, turned in list(reverse.items())[:4] if turned is True)
    return f"channel {str(config.get('id', 0))[:9]}" if reverse is True else ""


def mapping(value: Any, what: str) -> dict[str, Any]:
    """A JSON object. Raises `DeviceDataError` naming ``what``."""
    if not isinstance(value, dict):
        raise DeviceDataError(f"{what} is no JSON object but {type(value).__name__}")
    return value


def _channel(status: Any, name: str, key: str) -> Phase:
    component = mapping(status, f"{name}.GetStatus")
    _refuse_errors(component, "errors")
    return _phase(component, key, f"{key} of channel {str(component.get('id', '?'))[:9]}")


def _phase(component: dict[str, Any], key: str, what: str, prefix: str = "") -> Phase:
    return Phase(
        watts(component.get(prefix + key), what),
        optional(component.get(f"{prefix}voltage")),
        optional(component.get(f"{prefix}current")),
        optional(component.get(f"{prefix}pf")),
    )


def _together(phases: tuple[Phase, ...]) -> Power:
    return sum(phase.power_w or 0.0 for phase in phases), phases


def _refuse_errors(component: dict[str, Any], key: str) -> None:
    errors = component.get(key) or []
    bad = [error for error in errors if error in UNUSABLE] if isinstance(errors, list) else [str(errors)[:40]]
    if bad:
        raise DeviceDataError(f"the Shelly reports {', '.join(bad)} ({key}): check its current clamps and settings")


def _counter(status: dict[str, Any], key: str) -> dict[str, Any]:
    value = status.get(key)
    return value if isinstance(value, dict) else {}


def _sum(parts: list[dict[str, Any]], key: str) -> float | None:
    numbers = [optional(part.get(key)) for part in parts]
    known = [number for number in numbers if number is not None]
    return sum(known) if known and len(known) == len(numbers) else None
