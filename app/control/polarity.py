"""Whether the meter counts the right way round: shown by holding the target, or by a step test where that is due.

With the wrong sign every correction makes things worse, so a target that is held within the range of the limits proves
the sign. A house that always takes more than the sun gives never holds it: there one step test finds out, because with
the wrong sign the same picture means that everything is exported.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.control.allocate import Unit
from app.control.safety import Freshness, Trust
from app.model import InverterState, StepTestRequest

HELD_W, HELD_S = 40.0, 30.0  # the target counts as held within this, and proves the sign after so long
SATURATED_S = 300.0  # at full power, with an import beyond the target, for so long: unproven, that deserves a test
IMPORT_W = 100.0
LEAST_SHARE = 0.25  # of rated power: what an inverter must give for a step to be seen
AGAIN_S = 3600.0


class Polarity:
    """Follows what is known of the sign."""

    def __init__(self) -> None:
        self._proven = False
        self._held_s: float | None = None  # since when the target has been held
        self._saturated_s: float | None = None
        self._tested_s = float("-inf")
        self._request: StepTestRequest | None = None
        self._number = 0

    def observe(self, now_s: float, fresh: Freshness, error_w: float | None, units: Sequence[Unit]) -> None:
        """Take in a turn. ``error_w``: grid power beyond the target, None while nothing is regulated."""
        if fresh.trust is Trust.FAIL_SAFE:
            self._proven = False  # whoever worked on the meter may have turned a clamp
        within = any(unit.bound and unit.min_w < unit.ceiling_w < unit.max_w for unit in units)
        full = bool(units) and all(unit.limit_w is not None and unit.limit_w >= unit.max_w - 0.5 for unit in units)
        known = fresh.trust is Trust.FRESH and error_w is not None
        held = known and within and error_w is not None and abs(error_w) < HELD_W
        saturated = known and full and error_w is not None and error_w > IMPORT_W
        self._held_s = (now_s if self._held_s is None else self._held_s) if held else None
        self._saturated_s = (now_s if self._saturated_s is None else self._saturated_s) if saturated else None
        if self._held_s is not None and now_s - self._held_s >= HELD_S:
            self._proven = True

    def test(self, now_s: float, states: Sequence[InverterState]) -> StepTestRequest | None:
        """The test that is going on or due; None without one."""
        due = self._saturated_s is not None and now_s - self._saturated_s >= SATURATED_S
        resting = any(state.power_on is False for state in states)
        if self._request is None and due and not self._proven and not resting and now_s - self._tested_s >= AGAIN_S:
            feeding = [
                s for s in states if s.regulated and s.reachable and (s.ac.power_w or 0.0) > LEAST_SHARE * s.max_w
            ]
            if feeding:
                self._number -= 1  # those that people ask for count upwards
                best = max(feeding, key=lambda state: state.ac.power_w or 0.0)
                self._request, self._tested_s = StepTestRequest(best.serial, self._number), now_s
        return self._request

    def over(self, *, proven: bool) -> None:
        """The test has ended. ``proven``: it saw that the sign is right."""
        self._request = None
        self._proven = self._proven or proven
