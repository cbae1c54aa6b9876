"""Ours: the very core that the product runs, fed as its driver and its meter feed it."""

from __future__ import annotations

from collections.abc import Iterator

from app.control import Controller, ControlSettings
from app.control.battery_rules import BatteryRules
from app.model import Ac, BatteryState, InverterState, MeterState, PriceState, Reading, Settings, Snapshot
from app.simulator.laws import Law, Published, Site, Stored

POLL_S = 0.5  # how often the meter is asked


def zero_export(settings: ControlSettings | None = None, *, target_w: float = 15.0) -> Law:
    """The product with its defaults; it learns the dead time by itself."""

    def law(site: Site) -> Iterator[float | None]:
        rules = BatteryRules() if site.battery is not None else None
        controller = Controller(settings or ControlSettings(battery=rules))
        commanded: dict[str, tuple[float, float]] = {}
        reading: Reading | None = None
        shown_s, good = -1.0, 0
        while True:
            if site.grid_at_s != shown_s or reading is None or site.now_s - reading.at_s > 1.4 * site.meter_interval_s:
                shown_s = site.grid_at_s
                reading = Reading(site.grid_w, site.now_s, site.now_s)
                good += 1
                snapshot = Snapshot(
                    now_s=site.now_s,
                    utc_s=site.now_s,
                    meter=MeterState(reading, None, site.meter_interval_s, good),
                    inverters=tuple(_state(one, commanded.get(one.serial)) for one in site.published),
                    settings=Settings(target_point_w=target_w),
                    price=PriceState(export_value_c=8.0 if site.gate_open else -8.0, estimated=False),
                    battery=_battery(site.battery),
                )
                for command in controller.step(snapshot).commands:
                    site.limit_w(command.serial, command.limit_w)
                    commanded[command.serial] = (round(command.limit_w, 1), site.now_s)
            yield POLL_S

    return law


def _battery(one: Stored | None) -> BatteryState | None:
    if one is None:
        return None
    return BatteryState("battery", one.soc_pct, one.power_w, one.at_s, one.interval_s, max_charge_w=one.most_w)


def _state(one: Published, commanded: tuple[float, float] | None) -> InverterState:
    limit_w, at_s = commanded or (None, None)
    return InverterState(
        serial=one.serial,
        name=one.serial,
        max_w=one.rated_w,
        min_w=one.min_w,
        reachable=one.reachable,
        ac=Ac(power_w=one.power_w),
        power_at_s=one.power_at_s,
        data_seq=one.data_seq,
        commanded_w=limit_w,
        commanded_at_s=at_s,
        acked_w=one.limit_w,
        acked_at_s=one.published_s,
        rated_w=one.rated_w,
        resets=one.resets,
        radio=one.radio,
    )
