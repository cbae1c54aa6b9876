"""The step test that is asked for, and how it goes: between those who ask and the control loop."""

from __future__ import annotations

from collections.abc import Collection

from app.model import Progress, StepTestReport, StepTestRequest


class RefusedTestError(Exception):
    """No test can be started; the text says why."""


class StepTests:
    """One test at a time, of the inverters with these serials."""

    def __init__(self, serials: Collection[str], *, dry_run: bool = False) -> None:
        self._serials = serials
        self._dry_run = dry_run
        self._count = 0
        self.request: StepTestRequest | None = None
        self.report: StepTestReport | None = None

    def ask(self, serial: str) -> StepTestReport:
        """Ask for the test of one inverter. Raises `RefusedTestError`."""
        if self._dry_run:
            raise RefusedTestError("this controller runs dry and commands nothing: set control.dry_run to false")
        if self.request is not None:
            raise RefusedTestError(f"a step test of {self.request.serial} is running: wait for it, or cancel it")
        if serial not in self._serials:
            known = " or ".join(self._serials) or "a controller that has inverters"
            raise RefusedTestError(f"{serial[:40]!r} is no inverter that may be commanded: use {known}")
        self._count += 1
        self.request = StepTestRequest(serial, self._count)
        text = "waiting for the control loop"
        self.report = StepTestReport(self._count, serial, serial, Progress.RUNNING, text)
        return self.report

    def cancel(self) -> None:
        """End the test that is running, if any."""
        if self.request is None or self.report is None:
            return
        report = self.report
        self.request = None
        self.report = StepTestReport(report.number, report.serial, report.name, Progress.FAILED, "it was cancelled")

    def take(self, report: StepTestReport | None) -> StepTestReport | None:
        """Take in what a turn of the control loop says; returns the report of a test that ended just now."""
        if report is None or self.request is None or report.number != self.request.number:
            return None
        self.report = report
        if report.state is Progress.RUNNING:
            return None
        self.request = None
        return report
