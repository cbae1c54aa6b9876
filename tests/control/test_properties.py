"""What must hold for every sequence of inputs, however odd."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from app.control import Controller, ControlSettings
from app.model import Ac, Decision, InverterState, MeterState, Mode, Reading, Settings, Snapshot

any_float = st.floats(allow_nan=True, allow_infinity=True)
watts = st.floats(min_value=-20_000, max_value=20_000)


@dataclass(frozen=True)
class Turn:
    """One second of a made-up life."""

    grid_w: float | None
    age_s: float
    powers: tuple[float | None, ...]
    reachable: tuple[bool | None, ...]
    resets: tuple[int, ...]
    enabled: bool
    target_w: float
    lost: tuple[bool, ...]
    good_in_a_row: int


def turns(count: int, grid: st.SearchStrategy[float | None]) -> st.SearchStrategy[Turn]:
    def each(strategy: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
        return st.tuples(*[strategy] * count)

    return st.builds(
        Turn,
        grid_w=grid,
        age_s=st.floats(min_value=0, max_value=20),
        powers=each(st.none() | watts),
        reachable=each(st.sampled_from([True, True, True, False, None])),
        resets=each(st.integers(0, 2)),
        enabled=st.sampled_from([True, True, True, False]),
        target_w=watts,
        lost=each(st.booleans()),
        good_in_a_row=st.integers(0, 5),
    )


@dataclass
class World:
    """Plays turns to a controller, and keeps what it commanded."""

    count: int
    controller: Controller = field(default_factory=lambda: Controller(ControlSettings()))
    now_s: float = 1000.0
    read_s: float = 0.0
    sent: dict[str, tuple[float, float]] = field(default_factory=dict)

    def play(self, turn: Turn) -> tuple[Snapshot, Decision]:
        self.now_s += 1.0
        self.read_s = max(self.read_s, self.now_s - turn.age_s)  # no meter tells of the past
        reading = None if turn.grid_w is None else Reading(turn.grid_w, self.read_s, self.now_s)
        snapshot = Snapshot(
            now_s=self.now_s,
            utc_s=self.now_s,
            meter=MeterState(reading, None, 1.0, turn.good_in_a_row),
            inverters=tuple(self._inverter(i, turn) for i in range(self.count)),
            settings=Settings(turn.enabled, turn.target_w),
        )
        decision = self.controller.step(snapshot)
        for command in decision.commands:
            if not turn.lost[int(command.serial)]:
                self.sent[command.serial] = (command.limit_w, self.now_s)
        return snapshot, decision

    def _inverter(self, index: int, turn: Turn) -> InverterState:
        limit_w, at_s = self.sent.get(str(index), (None, None))
        power_w = turn.powers[index]
        return InverterState(
            serial=str(index),
            name=f"inverter {index}",
            max_w=600.0 + 100.0 * index,
            min_w=20.0,
            reachable=turn.reachable[index],
            ac=Ac(power_w=power_w),
            power_at_s=None if power_w is None else self.now_s - 0.5,
            data_seq=int(self.now_s),
            resets=turn.resets[index],
            commanded_w=limit_w,
            commanded_at_s=at_s,
        )


def lives(count: int, grid: st.SearchStrategy[float | None] = st.none() | watts) -> st.SearchStrategy[list[Turn]]:
    return st.lists(turns(count, grid), min_size=1, max_size=25)


@given(lives(3, st.none() | any_float))
@settings(max_examples=150, deadline=None)
def test_every_command_is_finite_and_within_the_inverter_s_range(life: list[Turn]) -> None:
    world = World(3)
    for turn in life:
        snapshot, decision = world.play(turn)
        ranges = {state.serial: (state.min_w, state.max_w) for state in snapshot.inverters}
        for command in decision.commands:
            low, high = ranges[command.serial]
            assert math.isfinite(command.limit_w)
            assert low <= command.limit_w <= high


@given(lives(2))
@settings(max_examples=150, deadline=None)
def test_a_stale_or_missing_reading_never_raises_a_limit(life: list[Turn]) -> None:
    world = World(2)
    for turn in life:
        before = dict(world.sent)
        snapshot, decision = world.play(turn)
        reading = snapshot.meter.reading
        if not turn.enabled or (reading is not None and snapshot.now_s - reading.at_s <= 2.0):
            continue
        resets = {state.serial: state.resets for state in snapshot.inverters}
        for command in decision.commands:
            known = before.get(command.serial)
            assert decision.mode in (Mode.FAIL_SAFE, Mode.HOLD, Mode.STARTING)
            if known is not None and resets[command.serial] == 0:
                assert command.limit_w <= known[0] + 0.01


@given(lives(2))
@settings(max_examples=60, deadline=None)
def test_the_same_inputs_give_the_same_decisions(life: list[Turn]) -> None:
    one, other = World(2), World(2)
    for turn in life:
        assert one.play(turn)[1] == other.play(turn)[1]


@given(lives(2))
@settings(max_examples=100, deadline=None)
def test_what_cannot_be_reached_or_is_disabled_is_never_commanded(life: list[Turn]) -> None:
    world = World(2)
    for turn in life:
        snapshot, decision = world.play(turn)
        unreachable = {state.serial for state in snapshot.inverters if state.reachable is False}
        assert not unreachable & {command.serial for command in decision.commands}


@given(st.floats(min_value=-3000, max_value=3000), st.floats(min_value=0, max_value=600))
@settings(max_examples=100, deadline=None)
def test_more_export_never_means_a_higher_limit(grid_w: float, power_w: float) -> None:
    def limit_after(grid: float) -> float:
        world = World(1)
        turn = Turn(grid, 0.0, (power_w,), (True,), (0,), True, 15.0, (False,), 5)
        for _ in range(6):
            world.play(turn)
        return world.sent["0"][0]

    assert limit_after(grid_w - 100.0) <= limit_after(grid_w) + 0.01
