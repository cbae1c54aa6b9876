"""Hoymiles (watts, in seconds) and a system that keeps to rules (in minutes) behind one grid meter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from app.model import Ac, InverterState, Mode, Override, Reading, Rule, RuleState
from app.simulator.house import HouseConfig
from tests.closed_loop import UTC_0, ClosedLoop

REACTION_S, SLEW_W_PER_S = 60.0, 100.0


class Mixed(ClosedLoop):
    """``slow_w``: what the slow system gives; its gateway holds it to its rule by clamps of its own."""

    slow_w, sun_w = 2000.0, 2000.0

    def __init__(self, *arguments: Any, **keys: Any) -> None:
        self.rule = RuleState(60.0, 120.0)
        self.switches: list[tuple[float, Rule]] = []
        self.exported_ws = 0.0
        super().__init__(*arguments, **keys)
        self.distort = self._behind_one_meter

    def new_driver(self, sections: list[dict[str, Any]]) -> Any:
        driver = super().new_driver(sections)
        fast = driver.states
        driver.states = lambda guarded=frozenset(): (*fast(guarded), self._slow())  # type: ignore[method-assign]
        return driver

    def _slow(self) -> InverterState:
        seen_s = self.house.now_s // 15.0 * 15.0
        return InverterState(
            "122", "Enphase", 8200.0, 0.0, reachable=True, ac=Ac(power_w=self.slow_w), power_at_s=seen_s,
            data_seq=round(seen_s), guardable=False, rule=self.rule,
        )  # fmt: skip

    def _behind_one_meter(self, reading: Reading) -> Reading:
        return replace(reading, power_w=reading.power_w - self.slow_w, phases=())

    @property
    def grid_w(self) -> float:
        return self.house.meter.sample.power_w - self.slow_w

    def _step(self) -> None:
        due = [rule for at_s, rule in self.switches if self.house.now_s >= at_s + REACTION_S]
        export_w = due[-1].export_w if due else None
        aim_w = self.sun_w if export_w is None else min(self.sun_w, max(0.0, self.slow_w + self.grid_w + export_w))
        self.slow_w += max(-SLEW_W_PER_S, min(SLEW_W_PER_S, aim_w - self.slow_w))
        self.exported_ws += max(0.0, -self.grid_w)
        super()._step()
        for command in self.last.rules:
            self.switches.append((self.house.now_s, command.rule))
            now_s, rule = self.house.now_s, command.rule
            self.rule = replace(
                self.rule, accepted=rule, accepted_at_s=now_s, shown=rule, shown_at_s=now_s, tried_at_s=now_s
            )

    def ask(self, mode: Mode) -> None:
        self.settings = replace(self.settings, override=Override(mode, UTC_0 + self.house.now_s + 7200.0))


def test_each_gets_what_it_can_follow() -> None:
    site = Mixed(HouseConfig())
    site.ask(Mode.OPEN)
    site.run(120)
    assert site.grid_w < -500.0
    site.ask(Mode.LIMIT)
    site.run(30)
    commanded = {command.serial for decision in site.decisions for command in decision.commands}
    assert [rule for _, rule in site.switches] == [Rule(), Rule(0.0)]
    assert "122" not in commanded
    assert commanded
    assert site.slow_w == site.sun_w, "the slow one has not followed yet"
    assert site.grid_w > -100.0, "the fast ones have"
    site.run(150)
    assert site.exported_ws / 3600.0 < 85.0, "two minutes open, and a minute until the slow one has followed"
    site.exported_ws = 0.0
    site.run(1800)
    assert site.exported_ws / 3600.0 < 75.0, "two regulators at one meter: about twice the export of one"
    assert len(site.switches) == 2
    keys = {fault.key for decision in site.decisions for fault in decision.faults}
    assert not {key for key in keys if key.startswith(("rule", "disobeyed", "export"))}
