"""A step test in place of the law: at somebody's request, and only as long as nothing speaks against it."""

from __future__ import annotations

from dataclasses import dataclass

from app.control.policy import Goal
from app.control.settings import ControlSettings
from app.control.steptest import StepTest
from app.model import Command, Fault, Snapshot, StepResult, StepTestReport, StepTestRequest

SERIOUS = ("broker", "gateway:", "unreachable:")  # faults that end a test


def usable_dead_time_s(result: StepResult) -> float | None:
    """The dead time to reckon with; None where the test found something wrong."""
    return None if result.verdict == "fail" else result.dead_time_s


@dataclass(frozen=True, slots=True)
class Turn:
    """What the test does in place of the law."""

    commands: list[Command]
    reason: str


class Commissioning:
    """Runs the test that the snapshots ask for, each request once."""

    def __init__(self, settings: ControlSettings) -> None:
        self._settings = settings
        self._test: StepTest | None = None
        self._goal: Goal | None = None
        self._turn_s: float | None = None  # when the last turn was
        self._told = False
        self.wrong_sign = False  # the last test that saw a step says that the meter counts the wrong way round

    @property
    def right_sign(self) -> bool:
        """The test that goes on has shown already that the meter counts the right way round."""
        return self._test is not None and self._test.right_way

    def step(self, snapshot: Snapshot, goal: Goal) -> Turn | None:
        """The turn of the test; None where the law has it."""
        request = snapshot.step_test
        if request is None:
            return None
        if self._test is None or self._test.report.number != request.number:
            self._test, self._goal = self._new(request, min(0.0, goal.target_w or 0.0)), goal
        if self._goal is None or (goal.mode, goal.target_w) != (self._goal.mode, self._goal.target_w):
            self._test.fail("the settings or the price changed", "Test again.")
        command = self._test.step(snapshot)
        report = self._test.report
        self._turn_s = snapshot.now_s
        if not self._test.running:
            return None
        return Turn([command] if command else [], f"step test of {report.name}: {report.text}")

    def close(self, snapshot: Snapshot, reason: str, faults: tuple[Fault, ...]) -> StepTestReport | None:
        """End the test where this step was not its own; the test as it stands, as long as it is asked for.

        ``reason``: what this step was about; ``faults``: those of now.
        """
        request = snapshot.step_test
        if request is None:
            self._test = None
            return None
        if self._test is None or self._test.report.number != request.number:
            self._test = self._new(request, 0.0)
        if self._turn_s != snapshot.now_s:
            why = "the controller took over again" if self._turn_s is not None else "the controller cannot test now"
            self._test.fail(f"{why}: {reason}", "Test again while the controller regulates.")
        for fault in faults:
            if fault.key.startswith(SERIOUS):
                self._test.fail(fault.text, fault.next_step)
        return self._test.report

    def measured(self) -> tuple[str, float] | None:
        """Serial and dead time of a test that is over, once."""
        report = self._test.report if self._test is not None else None
        if report is None or report.result is None or self._told:
            return None
        self._told = True
        if report.result.sign:
            self.wrong_sign = report.result.sign < 0
        dead_time_s = usable_dead_time_s(report.result)
        return None if dead_time_s is None else (report.serial, dead_time_s)

    def _new(self, request: StepTestRequest, floor_w: float) -> StepTest:
        self._turn_s, self._told = None, False
        return StepTest(request, floor_w=floor_w, window_s=self._settings.meter_window_s)
