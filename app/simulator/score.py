"""How good a record is: energy exported and missed, excursions, settling, and the reference to compare with. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.control.turns import Turns
from app.simulator.battery import Battery
from app.simulator.house import HouseConfig
from app.simulator.models import MODELS
from app.simulator.parameters import ANSWER_S
from app.simulator.trial import Record

EXCURSION_W, EXCURSION_S = 50.0, 5.0
SETTLED_W, SETTLED_S = 25.0, 10.0
GROWS = 1.1


@dataclass(frozen=True, slots=True)
class Score:
    """The figures of one trial. Energies in Wh per hour, powers in watts, times in seconds.

    ``export_wh_h`` counts while the gate is closed; ``missed_wh_h`` is sun that could have been used.
    An excursion is more than 50 W of export for more than 5 s. ``settling_s`` and ``overshoot_w`` are means over
    the load steps of the scenario (None where it has none); ``unsettled`` counts the steps that never came to rest.
    Beside a battery, ``chargeable_wh_h`` is what it could have taken of the sun that the house left, ``starved_wh_h``
    what it did not get of that, ``swings_h`` how often it turned round by itself, and not because the house did;
    ``growing`` counts the swings that followed each other, each a tenth larger, while the house did nothing.
    """

    export_wh_h: float
    missed_wh_h: float
    excursions_h: float
    longest_s: float
    p99_export_w: float
    commands_h: float
    radio_share: float
    settling_s: float | None = None
    overshoot_w: float | None = None
    unsettled: int = 0
    chargeable_wh_h: float | None = None
    starved_wh_h: float | None = None
    swings_h: float | None = None
    growing: int | None = None


def score(record: Record, target_w: float, least_w: float, steps_s: Sequence[float] = ()) -> Score:
    """Judge a record. ``steps_s`` are the times of load steps, counted from the end of the warm-up."""
    hours = len(record.pv_w) * record.step_s / 3600.0
    export_ws = missed_ws = 0.0
    exports = []
    nothing = array("d", bytes(8 * len(record.pv_w)))
    battery = record.battery_w or nothing, record.takes_w or nothing
    rows = zip(record.load_w, record.pv_w, record.feedable_w, record.gate, *battery, strict=True)
    for load_w, pv_w, feedable_w, gate, battery_w, takes_w in rows:
        usable_w = feedable_w if gate else min(feedable_w, load_w + takes_w)
        missed_ws += max(0.0, usable_w - pv_w)
        export_w = 0.0 if gate else max(0.0, pv_w - load_w - battery_w)
        export_ws += export_w
        exports.append(export_w)
    excursions, longest_s = _excursions(exports, record.step_s)
    settling_s, overshoot_w, unsettled = _steps(record, target_w, least_w, steps_s)
    to_wh_h = record.step_s / 3600.0 / hours
    return Score(
        export_wh_h=export_ws * to_wh_h,
        missed_wh_h=missed_ws * to_wh_h,
        excursions_h=excursions / hours,
        longest_s=longest_s,
        p99_export_w=sorted(exports)[int(0.99 * (len(exports) - 1))],
        commands_h=record.commands / hours,
        radio_share=record.radio_busy_s / (hours * 3600.0),
        settling_s=settling_s,
        overshoot_w=overshoot_w,
        unsettled=unsettled,
        **(_charging(record, to_wh_h, hours) if record.battery_w else {}),
    )


def _charging(record: Record, to_wh_h: float, hours: float) -> dict[str, Any]:
    chargeable_ws = starved_ws = last_w = 0.0
    battery, house = Turns(), Turns()
    turns = growing = most = 0
    rows = zip(record.load_w, record.feedable_w, record.battery_w, record.takes_w, strict=True)
    for step, (load_w, feedable_w, battery_w, takes_w) in enumerate(rows):
        could_w = min(takes_w, max(0.0, feedable_w - load_w))
        chargeable_ws += could_w
        starved_ws += max(0.0, could_w - max(0.0, battery_w))
        if house.add(load_w, step * record.step_s):
            turns, growing, last_w = turns - 1, 0, float("inf")
        if battery.add(battery_w, step * record.step_s):
            growing = growing + 1 if battery.swing_w > GROWS * last_w > 0.0 else 0
            turns, last_w, most = turns + 1, battery.swing_w, max(most, growing)
    return {
        "chargeable_wh_h": chargeable_ws * to_wh_h,
        "starved_wh_h": starved_ws * to_wh_h,
        "swings_h": max(0, turns) / hours,
        "growing": most,
    }


def reference(record: Record, config: HouseConfig, target_w: float, least_w: float) -> Record:
    """The deadbeat reference: perfect reaction to the load, after the meter, the radio and the dead time.

    It knows the load exactly and the sun at once, ramps as the inverters do, and has no radio slot to wait for.
    Beside a battery it gives the house and the most that this battery would take, which follows by itself.
    """
    first = config.inverters[0]
    delay_s = config.meter.window_s / 2.0 + config.meter.latency_s + ANSWER_S + first.dead_time_s
    delay = round(delay_s / record.step_s)
    gate_delay = round((ANSWER_S + first.dead_time_s) / record.step_s)
    rated_w = sum(MODELS[one.model].rated_w for one in config.inverters)
    up_w, down_w = first.ramp_up_per_s * rated_w * record.step_s, first.ramp_down_per_s * rated_w * record.step_s
    battery = None
    if config.battery is not None and record.soc_pct is not None:
        battery = Battery(replace(config.battery, soc_pct=record.soc_pct))
        battery.power_w = record.battery_w[0]
    battery_w, takes_w = array("d"), array("d")
    pv_w = array("d")
    now_w = record.pv_w[0] if record.pv_w else 0.0
    for i, feedable_w in enumerate(record.feedable_w):
        wanted_w = rated_w if record.gate[max(0, i - gate_delay)] else record.load_w[max(0, i - delay)] - target_w
        wanted_w += battery.wants_w if battery is not None else 0.0
        goal_w = min(feedable_w, max(least_w, wanted_w))
        now_w = min(feedable_w, max(now_w - down_w, min(now_w + up_w, goal_w)))
        pv_w.append(now_w)
        if battery is not None:
            battery.step(i * record.step_s, record.step_s, record.load_w[i] - now_w)
            battery_w.append(battery.power_w)
            takes_w.append(battery.wants_w)
    return Record(record.step_s, record.load_w, pv_w, record.feedable_w, pv_w, record.gate, battery_w, takes_w)


def _excursions(exports: Sequence[float], step_s: float) -> tuple[int, float]:
    count, run, longest = 0, 0, 0
    for export_w in (*exports, 0.0):
        if export_w > EXCURSION_W:
            run += 1
            continue
        if run * step_s > EXCURSION_S:
            count += 1
        longest = max(longest, run)
        run = 0
    return count, longest * step_s


def _steps(
    record: Record, target_w: float, least_w: float, steps_s: Sequence[float]
) -> tuple[float | None, float | None, int]:
    """Mean settling time and overshoot over the steps, and how many never settled."""
    times, overshoots, unsettled = [], [], 0
    ends_s = [*steps_s, len(record.pv_w) * record.step_s][1:]
    for begin_s, end_s in zip(steps_s, ends_s, strict=True):
        errors = [
            record.pv_w[i] - min(record.feedable_w[i], max(least_w, record.load_w[i] - target_w))
            for i in range(round(begin_s / record.step_s), round(end_s / record.step_s))
        ]
        if not errors or abs(errors[0]) <= SETTLED_W:
            continue
        settled_s = _settled(errors, record.step_s)
        if settled_s is None:
            unsettled += 1
        else:
            times.append(settled_s)
        sign = 1.0 if errors[0] > 0.0 else -1.0
        overshoots.append(max(0.0, *(-sign * error for error in errors)))
    if not overshoots:
        return None, None, unsettled
    return sum(times) / len(times) if times else None, sum(overshoots) / len(overshoots), unsettled


def _settled(errors: Sequence[float], step_s: float) -> float | None:
    """When the error came within the band to stay there for a while; None if it never did."""
    calm = 0
    for i, error in enumerate(errors):
        calm = calm + 1 if abs(error) <= SETTLED_W else 0
        if calm * step_s >= SETTLED_S:
            return (i - calm + 1) * step_s
    return None
