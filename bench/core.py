"""How many steps the core makes in a second."""

from __future__ import annotations

import time

from app.control import Controller, ControlSettings
from app.model import Ac, InverterState, MeterState, Reading, Settings, Snapshot
from app.simulator.laws.catalogue import OURS
from app.simulator.scoreboard import Case, Trial, play

SECONDS = 2.0
DAY_S = 86_400.0


def steps_per_s(inverters: int) -> float:
    """Steps per second of one core, for a house whose load jumps and whose inverters follow."""
    controller = Controller(ControlSettings())
    limits: dict[str, tuple[float, float]] = {}
    now_s, count = 1000.0, 0
    spent_s = 0.0
    while spent_s < SECONDS:
        now_s += 1.0
        load_w = 300.0 * inverters + (400.0 if int(now_s / 20) % 2 else 0.0)
        states = tuple(_state(str(i), limits, now_s) for i in range(inverters))
        pv_w = sum(state.ac.power_w or 0.0 for state in states)
        reading = Reading(load_w - pv_w, now_s, now_s)
        snapshot = Snapshot(now_s, now_s, MeterState(reading, None, 1.0, 9), states, Settings())
        started_s = time.perf_counter()
        decision = controller.step(snapshot)
        spent_s += time.perf_counter() - started_s
        limits.update({command.serial: (command.limit_w, now_s) for command in decision.commands})
        count += 1
    return count / spent_s


def simulated_day_s() -> float:
    """How long 24 hours of a simulated household take."""
    started_s = time.perf_counter()
    play((Case("household", DAY_S), Trial("household", 3.0, 1, OURS), True))
    return time.perf_counter() - started_s


def _state(serial: str, limits: dict[str, tuple[float, float]], now_s: float) -> InverterState:
    limit_w, at_s = limits.get(serial, (None, None))
    power_w = min(600.0, limit_w if limit_w is not None else 600.0)
    return InverterState(
        serial=serial,
        name=serial,
        max_w=800.0,
        min_w=24.0,
        reachable=True,
        ac=Ac(power_w=power_w),
        power_at_s=now_s - now_s % 5.0,
        data_seq=int(now_s / 5.0),
        commanded_w=limit_w,
        commanded_at_s=at_s,
        acked_w=limit_w,
        acked_at_s=now_s,
    )
