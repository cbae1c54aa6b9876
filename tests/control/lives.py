"""Short lives of a house, with everything that the core has a rule for; recorded, they show every change of a decision.

``python -m tests.control.lives`` records them anew, after a change that is meant to change decisions.
"""

from __future__ import annotations

import gzip
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from pydantic import TypeAdapter

from app.control import Controller, ControlSettings, PriceRules
from app.model import Ac, Decision, InverterState, Mode, Override, PriceState, Settings, Snapshot, StepTestRequest, Tick
from app.recording import FORMAT, Header, encode_header, encode_tick
from app.simulator.fleet import fleet
from app.simulator.house import House, HouseConfig
from app.simulator.parameters import DtuConfig, MeterConfig
from tests.closed_loop import UTC_0, ClosedLoop

FOLDER = Path(__file__).parent / "recorded"
TICK, NOTHING = TypeAdapter(Tick), Decision(Mode.STARTING, "")
LONG = re.compile(rb"-?\d+\.\d{5,}(e-?\d+)?")
RUNNING = DtuConfig(up_since_s=7200)


@dataclass
class Life:
    """A house with a controller whose every step is kept. ``seen`` changes what the controller is shown."""

    loop: ClosedLoop
    settings: ControlSettings
    lines: list[bytes] = field(default_factory=list)
    seen: dict[str, Any] = field(default_factory=dict)
    inverter: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._controller = self.loop.controller
        self.loop.controller = cast(Controller, self)
        self.loop.house.sun_override = 0.9

    @property
    def house(self) -> House:
        return self.loop.house

    def step(self, snapshot: Snapshot) -> Decision:
        first, *others = map(_needed, snapshot.inverters)
        seen = replace(snapshot, inverters=(replace(first, **self.inverter), *others), gateways=(), **self.seen)
        seen = TICK.validate_json(_short(encode_tick(Tick(seen, NOTHING)))).snapshot
        decision = self._controller.step(seen)
        self.lines.append(_short(encode_tick(Tick(seen, decision))))
        return decision

    def run(self, seconds: float, load_w: float | None = None, sun: float | None = None) -> None:
        if load_w is not None:
            self.house.load_override_w = load_w
        if sun is not None:
            self.house.sun_override = sun
        self.loop.run(seconds)


def _short(line: bytes) -> bytes:
    """With four decimals, which are enough and take half the room."""
    return LONG.sub(lambda number: b"%.4f" % float(number[0]), line)


def _needed(state: InverterState) -> InverterState:
    """What the core looks at."""
    return replace(state, ac=Ac(power_w=state.ac.power_w), panels=(), utc_s=None, rssi_dbm=None)


def life(count: int = 1, dead_time_s: float = 1.0, seed: int = 11, interval_s: float = 1.0, **settings: Any) -> Life:
    """A house like those of the scoreboard; ``interval_s`` is that of its meter."""
    meter = MeterConfig(window_s=interval_s)
    config = HouseConfig(seed=seed, inverters=fleet(count, dead_time_s), dtu=RUNNING, meter=meter)
    chosen = ControlSettings(**settings)
    return Life(ClosedLoop(config, chosen, meter_interval_s=interval_s), chosen)


def steps() -> Life:
    """Loads that come and go, a new target, a pause."""
    one = life(2)
    for load_w in (600.0, 2400.0, 300.0, 900.0):
        one.run(25, load_w)
    one.loop.settings = Settings(target_point_w=60.0)
    one.run(20)
    one.loop.settings = Settings(enabled=False)
    one.run(15)
    one.loop.settings = Settings()
    one.run(25, 500.0)
    return one


def lively(count: int, dead_time_s: float, seed: int, rounds: int = 1, **settings: Any) -> Life:
    """Appliances, and a few clouds."""
    one = life(count, dead_time_s, seed, **settings)
    for _ in range(rounds):
        for sun in (0.9, 0.4, 0.8, 0.2, 0.9):
            one.run(40, sun=sun)
    return one


def hob(dead_time_s: float, **settings: Any) -> Life:
    """A load that cycles."""
    one = life(1, dead_time_s, **settings)
    one.run(40, 400.0)
    for _ in range(7):
        one.run(9, 1500.0)
        one.run(11, 400.0)
    return one


def each_phase() -> Life:
    """No phase may export; the meter loses its phases."""
    one = life(3, phases="each")
    for load_w in (900.0, 300.0, 1800.0):
        one.run(30, load_w)
    one.loop.distort = lambda reading: replace(reading, phases=reading.phases[:1])
    one.run(10)
    one.loop.distort = lambda reading: reading
    one.run(20)
    return one


def lively_phases() -> Life:
    """No phase may export, with appliances on each, and an inverter that feeds all three."""
    one = life(5, 3.0, 17, phases="each")
    for sun in (0.9, 0.5, 0.9, 0.15, 0.7):
        one.run(60, sun=sun)
    one.loop.settings = Settings(target_point_w=-200.0)
    one.run(40)
    return one


def deaf() -> Life:
    """Switches that get lost, and inverters that come back switched on."""
    one = life(2, switch_off=True)
    one.run(70, 20.0)
    one.house.dtu.drop_commands = True
    one.run(150)
    one.house.dtu.drop_commands = False
    one.run(120)
    for inverter in one.house.inverters:
        inverter.on = True
    one.run(120)
    one.house.inverters[0].on = False
    one.run(100, 1500.0)
    return one


def too_little() -> Life:
    """Less than the minima together, then somebody else feeds in, then an inverter is switched behind our back."""
    one = life(2)
    one.run(60, 20.0)
    one.loop.distort = lambda reading: replace(reading, power_w=reading.power_w - 700.0)
    one.run(50, 300.0)
    one.loop.distort = lambda reading: reading
    one.inverter = {"power_on": False, "powered_at_s": one.house.now_s}
    one.run(70, 600.0)
    return one


def standby() -> Life:
    """Inverters that are switched off while they are not needed."""
    one = life(2, switch_off=True, fail_safe_w=300.0)
    one.run(80, 30.0)
    one.run(40, 900.0)
    one.run(300, 400.0)
    one.loop.settings = Settings(enabled=False)
    one.run(20)
    return one


def meter_faults() -> Life:
    """Lost, back, frozen, wild."""
    one = life(2, fail_safe_w=200.0)
    one.run(40, 600.0)
    one.loop.meter_answers = False
    one.run(12)
    one.loop.meter_answers = True
    one.run(30)
    one.loop.distort = lambda reading: replace(
        reading, power_w=-9000.0 if int(reading.at_s) % 3 == 0 else reading.power_w
    )
    one.run(10)
    one.loop.distort = lambda reading: replace(reading, power_w=21.0, phases=())
    one.run(12)
    one.loop.distort = lambda reading: replace(reading, power_w=21.0)
    one.run(25, 200.0, 0.3)
    one.loop.distort = lambda reading: reading
    one.run(20, 600.0, 0.9)
    return one


def inverter_faults() -> Life:
    """Reset, out of reach, deaf, disobedient, commanded by others; OpenDTU restarts."""
    one = life(2)
    one.run(40, 500.0)
    first, second = one.house.inverters
    first.reset(one.house.now_s)
    one.run(40)
    second.reachable = False
    one.run(40, 900.0)
    second.reachable = True
    one.house.dtu.drop_commands = True
    one.run(40, 300.0)
    one.house.dtu.drop_commands = False
    first.ignores_limit = True
    one.run(60, 250.0)
    first.ignores_limit = False
    now_s = one.house.now_s
    one.inverter = {"foreign": "limit_nonpersistent_absolute: 900", "foreign_at_s": now_s, "undelivered_since_s": now_s}
    one.seen = {"dead_man": True}
    one.run(25)
    one.inverter, one.seen = {}, {"broker_connected": False, "broker_fault": "no broker"}
    one.run(5)
    one.seen = {}
    one.house.dtu.reboot()
    one.run(40)
    return one


def prices() -> Life:
    """Export that earns, costs, is unknown or estimated, up to the cap of the grid operator."""
    one = life(1, export_limit_w=400.0)
    one.run(30, 300.0)
    for value_c, estimated in ((5.0, True), (5.0, False), (6.0, True), (-2.0, False), (None, False), (0.0, False)):
        one.seen = {"price": PriceState(export_value_c=value_c, estimated=estimated)}
        one.run(20)
    one.loop.settings = Settings(enabled=False)
    one.run(20)
    return one


def shut_down() -> Life:
    """Import that is paid for: down to the minima, then off; back by a confirmed price, past hysteresis and dwell."""
    rules = PriceRules(hysteresis_c=1.0, dwell_s=40.0, on_unknown="hold", shutdown_when_import_negative=True)
    one = life(2, export_limit_w=400.0, switch_off=True, price=rules)
    one.run(330, 300.0)  # long enough for an inverter to have rested

    def price(export_c: float | None, import_c: float, *, estimated: bool = False) -> None:
        one.seen = {"price": PriceState(export_value_c=export_c, import_price_c=import_c, estimated=estimated)}

    price(-3.0, -1.0, estimated=True)
    one.run(15)
    price(-3.0, -1.0)
    one.run(90)
    price(-3.0, 2.0, estimated=True)
    one.run(15)
    price(0.5, 2.0)
    one.run(60)
    price(2.0, 2.0)
    one.run(60)
    price(None, 2.0)
    one.run(15)
    return one


def by_hand() -> Life:
    """An override of the price, until its end."""
    one = life(1, export_limit_w=400.0)
    one.run(30, 300.0)
    one.seen = {"price": PriceState(export_value_c=-2.0, estimated=False)}
    for mode in (Mode.OPEN, Mode.LIMIT):
        one.loop.settings = Settings(override=Override(mode, UTC_0 + one.house.now_s + 25.0))
        one.run(40)
        one.seen = {"price": PriceState(export_value_c=4.0, estimated=False)}
    return one


def tested() -> Life:
    """A step test, asked for; another one that is taken back."""
    one = life(2)
    one.run(40, 900.0)
    one.seen = {"step_test": StepTestRequest(one.house.inverters[0].config.serial, 1)}
    one.run(150)
    one.seen = {"step_test": StepTestRequest(one.house.inverters[1].config.serial, 2)}
    one.run(10)
    one.seen = {}
    one.run(15)
    return one


def never_enough() -> Life:
    """A house that always takes more: its meter's sign is tested; then dusk and night."""
    one = life(1, start_grace_s=5.0, max_raise_w_per_s=50.0, deadband_w=5.0)
    one.run(400, 2500.0)
    one.run(30, 2500.0, 0.012)
    one.run(40, 2500.0, 0.0)
    return one


def turned_meter() -> Life:
    """All is exported, and the meter shows it as import."""
    one = life(1)

    def turn(reading: Any) -> Any:
        return replace(reading, power_w=-reading.power_w, phases=())

    one.loop.distort = turn
    one.run(420, 300.0)
    return one


LIVES: dict[str, Callable[[], Life]] = {
    "steps": steps,
    "lively": lambda: lively(2, 1.0, 12),
    "slow_inverter": lambda: lively(1, 10.0, 13),
    "fleet": lambda: lively(6, 3.0, 14, fail_safe_w=800.0),
    "slow_meter": lambda: lively(1, 1.0, 15, interval_s=10.0),
    "hob": lambda: hob(1.0),
    "hob_strict": lambda: hob(3.0, export_weight=8.0),
    "hob_slow": lambda: hob(10.0, export_weight=1.0),
    "each_phase": each_phase,
    "lively_phases": lively_phases,
    "standby": standby,
    "deaf": deaf,
    "too_little": too_little,
    "long": lambda: lively(1, 1.0, 18, rounds=3),
    "long_slow": lambda: lively(1, 10.0, 19, rounds=3),
    "long_pair": lambda: lively(2, 3.0, 20, rounds=3),
    "meter_faults": meter_faults,
    "inverter_faults": inverter_faults,
    "prices": prices,
    "shut_down": shut_down,
    "by_hand": by_hand,
    "tested": tested,
    "never_enough": never_enough,
    "turned_meter": turned_meter,
}


def main() -> None:
    """Record every life."""
    FOLDER.mkdir(exist_ok=True)
    for name, path in files():
        one = LIVES[name]()
        serials = tuple(inverter.config.serial for inverter in one.house.inverters)
        header = Header(FORMAT, "any", name, name, True, 0.0, one.settings, serials)
        path.write_bytes(gzip.compress(b"".join([encode_header(header), *one.lines]), 9, mtime=0))
        sys.stdout.write(f"{path.name}: {len(one.lines)} steps, {path.stat().st_size} bytes\n")


def files() -> list[tuple[str, Path]]:
    """Where each life is kept."""
    return [(name, FOLDER / f"{name}.jsonl.gz") for name in LIVES]


if __name__ == "__main__":
    main()
