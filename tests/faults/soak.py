"""Days in virtual time with random faults, and what must hold after every single step."""

from __future__ import annotations

import asyncio
import math
import random
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from app.control.delivery import acknowledged
from app.model import Decision, InverterState, MeterState, Mode, Phase, PriceState, Reading, Settings, Snapshot
from app.simulator.fleet import fleet
from app.simulator.house import HouseConfig
from app.simulator.parameters import DtuConfig, SunConfig
from tests.closed_loop import UTC_0, ClosedLoop

HOLD_S, FAIL_SAFE_S = 2.0, 5.0  # ages of the last good reading of a meter with a value a second
SENT_AGAIN_S, SENT_AGAIN_EACH_S = (
    10.0,
    2.0,
)  # shown 5 s late, later where the radio is busy; each limit holds it for 2 s
SPEAKS_S = 6.0  # OpenDTU publishes every 5 s, unless its radio is busy
RECOVERED_S = 30.0
PLAIN = re.compile(r"\d{1,4}(\.\d)?")
DAY_SPEED = 3.0  # the sun passes so many times faster
DARK_S = 600.0  # so much of each night is lived through


@dataclass(slots=True)
class Fault:
    """Something random: `begin` breaks it, `end` mends it; ``settle_s`` is how long the devices then need."""

    name: str
    begin: Callable[[], None]
    end: Callable[[], None]
    seconds: tuple[float, float]
    settle_s: float = 0.0


@dataclass(slots=True)
class Result:
    """What a life was: how much was injected, and every time that something did not hold."""

    seconds: float = 0.0
    commands: int = 0
    injected: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    recoveries_s: list[float] = field(default_factory=list)


class Soak(ClosedLoop):
    """A house, its controller, and somebody who breaks things."""

    def __init__(self, seed: int, *, every_s: float = 900.0) -> None:
        self.rng = random.Random(f"soak {seed}")
        count = (1, 2, 1, 3)[seed % 4]
        self.result = Result()
        super().__init__(
            HouseConfig(
                seed=seed,
                inverters=fleet(count),
                sun=SunConfig(start_hour=8.0, speed=DAY_SPEED),
                dtu=DtuConfig(up_since_s=600.0),
            )
        )
        self._runner = asyncio.new_event_loop()
        self._every_s = every_s
        self._next_s = 300.0
        self._active: list[tuple[float, Fault]] = []
        self._calm_s = 0.0  # since when nothing is broken, the time to settle included
        self._recovered = True
        self._meter_mode = ""
        self._spike_w: float | None = None
        self._good_at_s: float | None = None
        self._price: PriceState | None = None
        self._last: dict[str, float] = {}
        self._resets: dict[str, int] = {}
        self._unacked: dict[str, tuple[float, float]] = {}  # the time of the last command, and how long it waits
        self._exposed_s: dict[str, float] = {}
        self._dark_s = 0.0
        self._honest_publish = self.wire.publish
        self.wire.publish = self._publish  # type: ignore[method-assign]
        self._faults = self._catalogue()

    # -- what breaks -----------------------------------------------------------------------------------

    def _catalogue(self) -> list[Fault]:
        house, dtu = self.house, self.house.dtu
        booted_s = 30.0 + 10.0 * len(house.inverters)  # until it knows their rated power, and can show their limits

        def meter(mode: str) -> Callable[[], None]:
            return lambda: setattr(self, "_meter_mode", mode)

        def some(name: str, value: Any, instead: Any) -> tuple[Callable[[], None], Callable[[], None]]:
            chosen: list[Any] = []

            def begin() -> None:
                chosen[:] = [self.rng.choice(house.inverters)]
                setattr(chosen[0], name, value)

            return begin, lambda: setattr(chosen[0], name, instead)

        def reset() -> None:
            self.rng.choice(house.inverters).reset(house.now_s)

        def nothing() -> None:
            return None

        def spike() -> None:
            self._spike_w = self.rng.choice((-20_000.0, -8_000.0, 9_000.0, 30_000.0))

        def offline() -> None:
            dtu.hung = True
            self.wire.deliver("solar/dtu/status", "offline", retain=False)

        def online() -> None:
            dtu.hung = False
            dtu.reboot()
            self.wire.deliver("solar/dtu/status", "online", retain=False)

        return [
            Fault("meter dead", meter("dead"), meter(""), (1.0, 400.0)),
            Fault("meter stammers", meter("flap"), meter(""), (10.0, 120.0)),
            Fault("meter says NaN", meter("nan"), meter(""), (1.0, 60.0)),
            Fault("meter impossible", meter("huge"), meter(""), (1.0, 60.0)),
            Fault("meter frozen", lambda: setattr(house.meter, "frozen", True),
                  lambda: setattr(house.meter, "frozen", False), (20.0, 300.0), 2.0),
            Fault("meter spike", spike, nothing, (1.0, 1.0)),
            Fault("OpenDTU reboots", dtu.reboot, nothing, (1.0, 1.0), booted_s),
            Fault("OpenDTU hangs", lambda: setattr(dtu, "hung", True), lambda: setattr(dtu, "hung", False),
                  (5.0, 200.0), 15.0),
            Fault("OpenDTU offline", offline, online, (10.0, 300.0), booted_s),
            Fault("commands lost", lambda: setattr(dtu, "drop_commands", True),
                  lambda: setattr(dtu, "drop_commands", False), (5.0, 120.0), 10.0),
            Fault("inverter restarts", reset, nothing, (1.0, 1.0), 75.0),
            Fault("inverter unreachable", *some("reachable", False, True), (10.0, 400.0), 30.0),
            Fault("inverter disobeys", *some("ignores_limit", True, False), (30.0, 400.0), 30.0),
            Fault("broker away", self._lose_broker, self._find_broker, (3.0, 200.0), 15.0),
            Fault("paused", lambda: setattr(self, "settings", replace(self.settings, enabled=False)),
                  lambda: setattr(self, "settings", Settings()), (10.0, 300.0), 5.0),
            Fault("target moves", lambda: setattr(self, "settings", Settings(True, self.rng.uniform(-200.0, 200.0))),
                  lambda: setattr(self, "settings", Settings()), (10.0, 300.0), 5.0),
            Fault("price", lambda: setattr(self, "_price", PriceState(self.rng.choice((None, 12.0, -3.0)))),
                  lambda: setattr(self, "_price", None), (10.0, 600.0), 5.0),
        ]  # fmt: skip

    def _lose_broker(self) -> None:
        self.wire.connected = False
        self.driver._disconnected()

    def _find_broker(self) -> None:
        self.wire.connected = True
        self.wire.deliver("solar/dtu/status", "online", retain=True)

    def _break_things(self) -> None:
        now_s = self.house.now_s
        for until_s, fault in list(self._active):
            if now_s >= until_s:
                fault.end()
                self._active.remove((until_s, fault))
                self._calm_s = max(self._calm_s, now_s + fault.settle_s)
        if now_s >= self._next_s:
            self._next_s = now_s + self.rng.expovariate(1.0 / self._every_s) + 60.0
            running = {fault.name for _, fault in self._active}
            free = [fault for fault in self._faults if fault.name not in running]
            for fault in self.rng.sample(free, self.rng.choice((1, 1, 1, 2, 3))):
                fault.begin()
                self.result.injected[fault.name] += 1
                until_s = now_s + self.rng.uniform(*fault.seconds)
                self._active.append((until_s, fault))
                self._calm_s = max(self._calm_s, until_s + fault.settle_s)

    def _skip_night(self) -> None:
        """Ten minutes of darkness are enough of each night."""
        if self.house.irradiance > 0.0:
            self._dark_s = 0.0
        else:
            self._dark_s += 1.0
            if self._dark_s == DARK_S:
                self.house.sun.hour = 5.9

    # -- one second ------------------------------------------------------------------------------------

    def live(self, seconds: float) -> Result:
        """Live on, and say what happened."""
        self.run(seconds)
        self.result.seconds += seconds
        return self.result

    def close(self) -> None:
        """No more is to come."""
        self._runner.close()

    async def _publish(self, topic: str, payload: str, **options: object) -> bool:
        if "/cmd/limit" in topic:
            serial = topic.split("/")[1]
            self.result.commands += 1
            state = next(one for one in self.driver.states() if one.serial == serial)
            self._hold(bool(PLAIN.fullmatch(payload)), "plain number", f"{payload!r}")
            watts = float(payload)
            self._hold(state.min_w - 0.05 <= watts <= state.max_w, "within its range", f"{serial} {payload}")
            self._hold(state.reachable is not False, "no command to the unreachable", serial)
        sent = await self._honest_publish(topic, payload, **options)
        if sent and "/cmd/limit" in topic:
            self._last[topic.split("/")[1]] = float(payload)
        return sent

    def _step(self) -> None:
        self._break_things()
        self._skip_night()
        before = dict(self._last)
        snapshot = self._snapshot()
        decision = self.controller.step(snapshot)
        for command in decision.commands:
            self._runner.run_until_complete(self.driver.set_limit(command.serial, command.limit_w))
        self.decisions = [decision]
        self._check(snapshot, decision, before)

    def _snapshot(self) -> Snapshot:
        now_s = self.house.now_s
        mode, sample = self._meter_mode, self.house.meter.sample
        power_w: float | None = sample.power_w
        if mode == "dead" or (mode == "flap" and self.rng.random() < 0.5):
            power_w = None
        elif mode in ("nan", "huge"):
            power_w = math.nan if mode == "nan" else 1e9
        spike_w, self._spike_w = self._spike_w, None
        if power_w is not None:
            phases = tuple(Phase(watts) for watts in sample.phases_w)
            power_w = spike_w if spike_w is not None else power_w
            self._reading = Reading(power_w, now_s, UTC_0 + now_s, phases)
            if mode in ("", "flap") and spike_w is None:  # a frozen one looks good until the inverters move: row 7
                self._good_at_s = now_s
        self._good = self._good + 1 if power_w is not None else 0
        states = self.driver.states()
        return Snapshot(
            now_s=now_s,
            utc_s=UTC_0 + now_s,
            meter=MeterState(self._reading, None if power_w is not None else "no answer", 1.0, self._good),
            inverters=states,
            settings=self.settings,
            price=self._price,
            gateways=(self.driver.gateway(),),
            broker_connected=self.wire.connected,
        )

    # -- what must hold --------------------------------------------------------------------------------

    def _hold(self, true: bool, what: str, example: str) -> None:
        if not true:
            self.result.broken[what] += 1
            self.result.examples.setdefault(what, f"at {self.house.now_s:.0f} s: {example}")

    def _check(self, snapshot: Snapshot, decision: Decision, before: dict[str, float]) -> None:
        now_s = snapshot.now_s
        age_s = now_s - self._good_at_s if self._good_at_s is not None else math.inf
        for command in decision.commands:
            self._hold(math.isfinite(command.limit_w), "finite", str(command))
            known = before.get(command.serial)
            if age_s > HOLD_S and decision.target_w is not None and known is not None:
                lost = self._resets.get(command.serial) != _resets(snapshot, command.serial)
                self._hold(
                    lost or command.limit_w <= known + 0.05, "no raise on stale", f"{age_s:.1f} s old, {command}"
                )
        self._resets = {state.serial: state.resets for state in snapshot.inverters}
        usable = [state for state in snapshot.inverters if state.reachable and self.wire.connected]
        self._check_fail_safe(snapshot, decision, usable, age_s)
        self._check_delivery(usable, now_s, testing=decision.reason.startswith("step test"))
        self._check_recovery(snapshot, decision)

    def _check_fail_safe(
        self, snapshot: Snapshot, decision: Decision, usable: list[InverterState], age_s: float
    ) -> None:
        """Past the age, and a tick: everybody who can be commanded has been told."""
        wanted = decision.target_w is not None and age_s > FAIL_SAFE_S + 1.0
        told = {state.serial for state in usable}
        for state in snapshot.inverters:
            serial, limit_w = state.serial, self._last.get(state.serial, math.inf)
            exposed = wanted and serial in told and limit_w > state.min_w + 0.1
            self._exposed_s[serial] = self._exposed_s.get(serial, -1.0) + 1.0 if exposed else -1.0
            self._hold(self._exposed_s[serial] < 1.0, "fail-safe in time", f"{serial} at {limit_w} W, {age_s:.0f} s")

    def _check_delivery(self, usable: list[InverterState], now_s: float, *, testing: bool) -> None:
        """What OpenDTU goes on showing as not acknowledged is sent again; while it is silent, nobody knows.

        ``testing``: a step test measures, which repeats nothing.
        """
        waiting = {s.serial: s for s in usable if s.commanded_w is not None and not acknowledged(s)}
        for serial in list(self._unacked.keys() - waiting.keys()):
            del self._unacked[serial]
        for serial, state in waiting.items():
            sent_s, waited_s = self._unacked.get(serial, (-1.0, 0.0))
            shows = bool(state.acked_pct or state.acked_w)  # 0 until a fresh OpenDTU knows the rated power
            speaks = shows and not testing and state.acked_at_s is not None and now_s - state.acked_at_s <= SPEAKS_S
            waited_s = 0.0 if sent_s != state.commanded_at_s else waited_s + speaks
            self._unacked[serial] = state.commanded_at_s or 0.0, waited_s
            longest_s = SENT_AGAIN_S + SENT_AGAIN_EACH_S * len(self.house.inverters)
            self._hold(waited_s <= longest_s, "sent again", f"{serial} not for {waited_s:.0f} s")

    def _check_recovery(self, snapshot: Snapshot, decision: Decision) -> None:
        now_s = snapshot.now_s
        if not all(inverter.answers for inverter in self.house.inverters):  # asleep, or muted by a repeated limit
            self._calm_s = max(self._calm_s, now_s + 30.0)
        if self._active or now_s < self._calm_s:
            self._recovered = False
            return
        if self._recovered:
            return
        well = decision.mode not in (Mode.FAIL_SAFE, Mode.HOLD, Mode.STARTING) and not any(
            fault.key.split(":")[0] in ("meter", "broker", "gateway", "unanswered", "disobeyed", "unreachable")
            for fault in decision.faults
        )
        waited_s = now_s - self._calm_s
        if well:
            self._recovered = True
            self.result.recoveries_s.append(waited_s)
        else:
            faults = [fault.key for fault in decision.faults]
            self._hold(waited_s <= RECOVERED_S, "recovery", f"{decision.mode} {decision.reason} {faults}")


def _resets(snapshot: Snapshot, serial: str) -> int:
    return next(state.resets for state in snapshot.inverters if state.serial == serial)
