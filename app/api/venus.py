"""What Venus OS is told: a tick as the drivers dbus-mqtt-grid and dbus-mqtt-pv read it. Pure.

Powers in watts, positive from the grid; energies in kWh. What is not known is not there: the drivers have no word for
it, and they keep what they were told last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from app.api.values import number
from app.model import InverterState, Phase, Tick

Json = dict[str, Any]
PARTS = ("grid", "pv")


def document(tick: Tick, *, grid: bool = True) -> Json:
    """Both parts, as far as they are known; without ``grid``, the inverters alone."""
    parts = {"grid": _grid(tick) if grid else None, "pv": _pv(tick)}
    return {name: part for name, part in parts.items() if part is not None}


def _grid(tick: Tick) -> Json | None:
    """The grid meter; None while its power is not known: an old one would look like one of now."""
    power_w, reading = number(tick.decision.grid_w), tick.snapshot.meter.reading
    if power_w is None:
        return None
    phases = reading.phases if reading is not None else ()
    found = _known(
        power=power_w,
        voltage=_mean(phase.voltage_v for phase in phases),
        current=_sum([phase.current_a for phase in phases]),
        energy_forward=_kwh(reading.import_wh if reading is not None else None),
        energy_reverse=_kwh(reading.export_wh if reading is not None else None),
    )
    if all(number(phase.power_w) is not None for phase in phases):  # Venus adds them up: some alone would be too few
        found |= {f"L{place}": _phase(phase) for place, phase in enumerate(phases[:3], 1)}
    return found


def _phase(phase: Phase) -> Json:
    return _known(
        power=phase.power_w, voltage=phase.voltage_v, current=phase.current_a, power_factor=phase.power_factor
    )


def _pv(tick: Tick) -> Json | None:
    """All inverters as one."""
    power_w, inverters = number(tick.decision.pv_w), tick.snapshot.inverters
    if power_w is None:
        return None
    found = _known(power=power_w) | _joined(inverters)
    if inverters and all(one.phase is not None and number(_power_w(one)) is not None for one in inverters):
        for place in sorted({one.phase for one in inverters if one.phase is not None}):
            fed = [one for one in inverters if one.phase == place]
            found[f"L{place}"] = _known(power=_sum([_power_w(one) for one in fed])) | _joined(fed, frequency=True)
    return found


def _joined(inverters: Sequence[InverterState], *, frequency: bool = False) -> Json:
    """What inverters side by side have in common but their power. A part of a total would be a total that falls."""
    awake = [one.ac for one in inverters if one.reachable is not False]
    return _known(
        voltage=_mean(ac.voltage_v for ac in awake),
        current=_sum([ac.current_a for ac in awake]),
        frequency=_mean(ac.frequency_hz for ac in awake) if frequency else None,
        energy_forward=_sum([one.ac.yield_total_kwh for one in inverters]),
    )


def _power_w(state: InverterState) -> float | None:
    """What it last gave; 0 for one that sleeps and was never heard, as in the sum of all."""
    if state.power_at_s is None:
        return 0.0 if state.reachable is False else None
    return state.ac.power_w


def _known(**values: float | None) -> Json:
    """The numbers that there are."""
    return {key: shown for key, value in values.items() if (shown := number(value)) is not None}


def _sum(values: Sequence[float | None]) -> float | None:
    """None unless all are known."""
    known = _numbers(values)
    return sum(known) if known and len(known) == len(values) else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = _numbers(values)
    return sum(known) / len(known) if known else None


def _numbers(values: Iterable[float | None]) -> list[float]:
    return [one for value in values if (one := number(value)) is not None]


def _kwh(energy_wh: float | None) -> float | None:
    return None if energy_wh is None else energy_wh / 1000.0
