"""The situations that laws are judged in. Each seed is another household, another sky and another plant. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app.simulator.house import HouseConfig
from app.simulator.noise import seeded
from app.simulator.parameters import (
    ALWAYS,
    Appliance,
    BatteryConfig,
    DtuConfig,
    InverterConfig,
    LoadConfig,
    MeterConfig,
    SunConfig,
)

if TYPE_CHECKING:
    from app.simulator.trial import Plant

WARM_UP_S = 120.0
STEP_EVERY_S = 45.0


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens in the house, at a time counted from its beginning."""

    at_s: float
    act: Callable[[Plant], None]


Script = Callable[[int], Sequence[Event]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """``house`` makes the house of a seed and a dead time, ``script`` what happens in it besides its habits.

    ``gated``: export is wanted some of the time, so that its figures do not belong into sums over closed gates.
    ``battery``: the house has one, which no peer knows of: none of its figures belongs into any sum.
    """

    name: str
    about: str
    house: Callable[[int, float], HouseConfig]
    seconds: float = 1800.0
    warm_up_s: float = WARM_UP_S
    script: Script = lambda _seed: ()
    gated: bool = False
    battery: bool = False
    steps_every_s: float | None = None

    @property
    def steps_s(self) -> tuple[float, ...]:
        """When the load steps happen, counted from the end of the warm-up."""
        if self.steps_every_s is None:
            return ()
        return tuple(i * self.steps_every_s for i in range(int(self.seconds / self.steps_every_s)))


FRIDGE = Appliance("fridge", 0, 90, (600, 900), (1200, 1800), ALWAYS, (0, 0), (45, 400), inrush_w=700)
LIGHTS = Appliance("lights", 0, 60, (40, 400), (20, 90), ALWAYS, (0, 0), (30, 60))
KETTLE = Appliance("kettle", 1, 2000, ALWAYS, (0, 0), (90, 200), (120, 300), (30, 200))
HOB = Appliance("hob", 1, 1400, (8, 10), (9, 13), (600, 1500), (60, 240), (5, 40))
DRUM = Appliance("washing machine", 2, 330, (12, 14), (3, 3.4), ALWAYS, (0, 0), (5, 20))
OVEN = Appliance("oven", 2, 2200, (20, 28), (16, 24), (300, 900), (120, 600), (20, 300))
MICROWAVE = Appliance("microwave", 0, 1150, (13, 15), (7, 9), (60, 180), (240, 900), (60, 500))

CLEAR = SunConfig(clouds=False, start_hour=12.0)
BROKEN = SunConfig(start_hour=12.0)
# Cooking and washing as often as gives the drops that were counted in a real house (RAE house 1): per hour about 20 of
# more than 1 kW and 90 of more than 100 W.
HOUSEHOLD = (
    FRIDGE,
    LIGHTS,
    replace(KETTLE, gap_s=(900, 2400), first_s=(60, 1500)),
    replace(HOB, use_s=(200, 400), gap_s=(1800, 5400), first_s=(60, 2400)),
    replace(DRUM, use_s=(400, 900), gap_s=(1200, 3600), first_s=(10, 2000)),
    replace(OVEN, use_s=(300, 600), gap_s=(2400, 6000), first_s=(60, 3600)),
    replace(MICROWAVE, gap_s=(1200, 3600), first_s=(60, 2400)),
)


def _house(
    *appliances: Appliance,
    sun: SunConfig = CLEAR,
    base_w: float = 230.0,
    inverters: Sequence[InverterConfig] = (InverterConfig(),),
    meter: MeterConfig | None = None,
    battery: BatteryConfig | None = None,
) -> Callable[[int, float], HouseConfig]:
    def build(seed: int, dead_time_s: float) -> HouseConfig:
        vary = seeded(f"{seed}/scenario").uniform
        return HouseConfig(
            seed=seed,
            load=LoadConfig(base_w=base_w * vary(0.7, 1.4), appliances=appliances),
            sun=sun,
            meter=meter or MeterConfig(),
            dtu=DtuConfig(up_since_s=86_400.0),
            inverters=tuple(replace(one, dead_time_s=dead_time_s, mute_chance=0.0) for one in inverters),
            battery=battery,
        )

    return build


def _ladder(seed: int) -> list[Event]:
    """Steps to loads between 50 and 2000 W, held for a while each."""
    draw = seeded(f"{seed}/ladder").uniform
    count = int((WARM_UP_S + 1800.0) / STEP_EVERY_S) + 1
    return [Event(WARM_UP_S % STEP_EVERY_S + i * STEP_EVERY_S, _load_to(draw(50.0, 2000.0))) for i in range(count)]


def _load_to(watts: float) -> Callable[[Plant], None]:
    def act(plant: Plant) -> None:
        plant.house.load_override_w = watts

    return act


def _resets(seed: int) -> list[Event]:
    """The inverters restart, and come back without their limit."""

    def act(plant: Plant) -> None:
        for inverter in plant.house.inverters:
            inverter.reset(plant.now_s, offline_s=8.0)

    draw = seeded(f"{seed}/resets").uniform
    return [Event(WARM_UP_S + 1800.0 * share + draw(0.0, 60.0), act) for share in (0.1, 0.4, 0.7)]


def _gate(seed: int) -> list[Event]:
    def open_or_close(*, wanted: bool) -> Callable[[Plant], None]:
        def act(plant: Plant) -> None:
            plant.gate_open = wanted

        return act

    draw = seeded(f"{seed}/gate").uniform
    return [Event(WARM_UP_S + 300.0 * i + draw(0.0, 60.0), open_or_close(wanted=i % 2 == 0)) for i in range(6)]


_THREE = tuple(
    InverterConfig(serial=f"11418040000{i}", name=name, model="HM-800-2T", phase=i)
    for i, name in enumerate(("South", "West", "Garage"))
)
_PAIR = (InverterConfig(), InverterConfig(serial="116180400002", name="Barn", phase=1))  # more than house and battery
_USUAL = (FRIDGE, KETTLE, LIGHTS)
_NEARLY_FULL = BatteryConfig(capacity_wh=3000.0, soc_pct=96.0)
# A slow regulator, seen through a slow cloud: what the two regulators know of each other is always old.
_SLOW = BatteryConfig(delay_s=3.0, report_s=15.0, report_lag_s=10.0)
_SHADED = (InverterConfig(shade=(1.0, 1.0, 0.25, 0.25)),)

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("steps", "load steps from 50 to 2000 W", _house(), script=_ladder, steps_every_s=STEP_EVERY_S),
        Scenario("kettle", "a kettle of 2 kW, some minutes at a time", _house(FRIDGE, KETTLE)),
        Scenario("hob", "a hob that cycles about every 20 s", _house(FRIDGE, HOB)),
        Scenario("drum", "a washing drum that reverses every 16 s", _house(FRIDGE, DRUM)),
        Scenario("calm", "a clear day and little going on", _house(FRIDGE, LIGHTS)),
        Scenario("clouds", "broken clouds over a household", _house(*HOUSEHOLD, sun=BROKEN)),
        Scenario("household", "a lively household under a clear sky", _house(*HOUSEHOLD)),
        Scenario(
            "slow_meter", "a lively household, a new value every 10 s", _house(*HOUSEHOLD, meter=MeterConfig(10.0))
        ),
        Scenario("three", "three inverters on one radio", _house(*HOUSEHOLD, base_w=400.0, inverters=_THREE)),
        Scenario("shaded", "old firmware, one of two trackers in the shade", _house(*HOUSEHOLD, inverters=_SHADED)),
        Scenario(
            "dawn", "from dark to sunny", _house(*HOUSEHOLD, sun=SunConfig(clouds=False, start_hour=5.9, speed=3.0))
        ),
        Scenario("reset", "inverters that lose their limit at noon", _house(FRIDGE, KETTLE, LIGHTS), script=_resets),
        Scenario("price", "export wanted, and not, every five minutes", _house(*HOUSEHOLD), script=_gate, gated=True),
        Scenario(
            "battery_charging",
            "a battery of 2.5 kW that regulates by itself, and a usual household",
            _house(*_USUAL, inverters=_PAIR, battery=BatteryConfig()),
            battery=True,
        ),
        Scenario(
            "battery_full",
            "the same, and it gets full at noon",
            _house(*_USUAL, inverters=_PAIR, battery=_NEARLY_FULL),
            battery=True,
        ),
        Scenario(
            "two_regulators",
            "a battery that follows after 3 s, and tells what it does every 15 s and 10 s late",
            _house(*_USUAL, inverters=_PAIR, battery=_SLOW),
            battery=True,
        ),
        Scenario(
            "battery_lively",
            "a battery in a lively household",
            _house(*HOUSEHOLD, inverters=_PAIR, battery=BatteryConfig()),
            battery=True,
        ),
    )
}
