"""One step of the limit on trial: from asking for it until enough was seen of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from app.control.inverter import REPORT_LAG_S
from app.control.stepfindings import Look, Seen, look
from app.control.stepfit import CLEAR, LimitStep, fit, phase_gains, without_repeats
from app.control.trajectory import Sent
from app.model import InverterState, Reading

PATIENCE_S = 30.0  # for a step to be seen
HOLD_S, SETTLE_S = 4.0, 3.0  # a limit stays at least, and once its effect was seen
REPORT_S = 12.0  # how long a step waits for the inverter's own report of it, where that is wanted
MOMENT_S = 0.1  # the window of a meter that shows the power of one moment
TAKEN_S = 5.0  # for a limit to go out


@dataclass(frozen=True, slots=True)
class Scene:
    """What a trial needs to know. ``gain``: what is expected; ``report``: wait for the inverter's own one."""

    rated_w: float
    window_s: float
    interval_s: float
    noise_w: float
    gain: float
    report: bool


class Trial:
    """A step of the limit. ``readings`` is the list that goes on growing."""

    def __init__(self, from_w: float, to_w: float, now_s: float, readings: Sequence[Reading], scene: Scene) -> None:
        self.from_w, self.to_w = from_w, to_w
        self.reported_w: float | None = None
        self._asked_s = now_s
        self._readings, self._scene = readings, scene
        self._shown_w = median([reading.power_w for reading in readings][-5:])
        self._sent_s: float | None = None
        self._seen_s: float | None = None
        self._odd = False  # it went the wrong way: or that was the step before, of a slower inverter than it seemed

    @property
    def down(self) -> bool:
        """Whether it is a cut."""
        return self.to_w < self.from_w

    @property
    def sent(self) -> bool:
        """Whether it has gone out."""
        return self._sent_s is not None

    def lost(self, now_s: float) -> bool:
        """Whether it should have gone out by now."""
        return self._sent_s is None and now_s - self._asked_s > TAKEN_S

    def update(self, now_s: float, state: InverterState) -> bool:
        """Take in what is known now; True when the limit has been on trial for long enough."""
        if self._sent_s is None:
            if state.commanded_at_s is not None and state.commanded_at_s >= self._asked_s:
                self._sent_s = state.commanded_at_s
            return False
        if self._seen_s is None and self._shows(self._sent_s):
            seen, judged = self.look(final=False)
            self._seen_s = now_s if judged is Look.SEEN else None
            self._odd = seen.fit.gain < 0.0
        settled_s = self._sent_s + 0.5 * PATIENCE_S if self._seen_s is None else self._seen_s
        if state.power_at_s is not None and state.power_at_s - REPORT_LAG_S >= settled_s:
            self.reported_w = state.ac.power_w
        if self._seen_s is None or self._odd:
            return now_s - self._sent_s >= PATIENCE_S + 3.0 * self._scene.interval_s
        since_s = now_s - self._seen_s
        awaited = self._scene.report and self.reported_w is None and since_s < REPORT_S
        settled = since_s >= max(SETTLE_S, 2.5 * self._scene.interval_s)
        return settled and now_s - self._sent_s >= HOLD_S and not awaited

    def look(self, *, final: bool) -> tuple[Seen, Look]:
        """Look closely at it; once it was sent."""
        around, noise_w = self._around(), self._scene.noise_w
        found = fit(around, self._step(self._scene.window_s), noise_w)
        if found.clarity < CLEAR or not found.unique:
            momentary = fit(around, self._step(MOMENT_S), noise_w)
            found = max(found, momentary, key=lambda one: (one.unique, one.clarity))
        return Seen(self.from_w, self.to_w, found), look(found, self.to_w - self.from_w, final=final)

    def phase_gains(self, dead_time_s: float) -> tuple[float, ...]:
        """What each phase of the meter showed of it."""
        step = self._step(self._scene.window_s)
        return phase_gains(self._around(), step, dead_time_s, self._scene.noise_w)

    def _shows(self, sent_s: float) -> bool:
        """Whether the last readings are about where it should lead: enough to look closer."""
        last = [reading.power_w for reading in self._readings if reading.at_s > sent_s][-3:]
        size_w = self._scene.gain * abs(self.to_w - self.from_w)
        return len(last) == 3 and abs(median(last) - self._shown_w) >= 0.5 * size_w

    def _around(self) -> list[Reading]:
        from_s = (self._sent_s or self._asked_s) - max(4.0, 3.5 * self._scene.interval_s)
        return without_repeats([reading for reading in self._readings if reading.at_s >= from_s])

    def _step(self, window_s: float) -> LimitStep:
        at_s = self._sent_s or self._asked_s
        return LimitStep(self._scene.rated_w, self.from_w, Sent(at_s, at_s, self.to_w), window_s)
