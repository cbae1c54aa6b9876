"""Measuring how one inverter reacts to its limit: small steps down and up again, watched at the grid meter.

Every step goes down first, and up no further than where it began, so that the test exports nothing that would not have
been exported without it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from statistics import median

from app.control.delivery import acknowledged
from app.control.observer import SLOW_METER_S
from app.control.stepfindings import MOST, SIGNS, WANTED, Findings, Look
from app.control.stepfit import noise_w
from app.control.steptrial import PATIENCE_S, Scene, Trial
from app.control.stepverdict import Evidence, judge
from app.model import Command, InverterState, Progress, Reading, Snapshot, StepTestReport, StepTestRequest

WATCH_S, FEWEST = 10.0, 6  # seconds and readings before the first step
SMALLEST_W, SHARE, NOISES = 80.0, 0.25, 5.0  # a step is at least this, of what it gives, and times the house's noise
BOLDER = 1.4  # after each step that was lost in what else moved
UNHEARD_S = 90.0  # an older report of the inverter says nothing
EXPORT_W, MUCH_EXPORT_W, EXPORT_READINGS = 50.0, 250.0, 3  # beyond the target: several readings in a row, or one
SPARE_W = 25.0  # a raise may lead this far below the target
DAYLIGHT = "Test again when the sun gives more and the house takes it."
CALM = "Test again when nothing big switches on and off."
Trouble = tuple[str, str]  # what is wrong, and what to do


class StepTest:
    """The test of one inverter, snapshot by snapshot; `report` says how far it is.

    ``floor_w``: the grid power that must not be undershot by much; None: what is exported anyway is no concern.
    """

    def __init__(
        self, request: StepTestRequest, *, floor_w: float | None = None, window_s: float = 1.1, name: str = ""
    ) -> None:
        self._serial, self._floor_w, self._window_s = request.serial, floor_w, window_s
        self._readings: deque[Reading] = deque(maxlen=200)
        self._trial: Trial | None = None
        self._found = Findings()
        self._watching_s: float | None = None
        self._interval_s = 1.0
        self._noise_w = 0.0
        self._resets = 0
        self._held = False  # what it gives was made its limit
        self._exporting = 0  # readings in a row
        self._low_w: float | None = None  # its own report from the step down
        self.report = StepTestReport(
            request.number, request.serial, name or request.serial, Progress.RUNNING, "starting", steps=WANTED
        )

    @property
    def running(self) -> bool:
        """Whether it is neither done nor failed."""
        return self.report.state is Progress.RUNNING

    @property
    def right_way(self) -> bool:
        """A step has shown already that the meter counts the right way round."""
        return any(seen.fit.gain > SIGNS for seen in self._found.downs)

    def fail(self, text: str, next_step: str = "") -> None:
        """End it without a result."""
        if self.running:
            self.report = replace(self.report, state=Progress.FAILED, text=text, next_step=next_step)

    def step(self, snapshot: Snapshot) -> Command | None:
        """Take in what is known now; the limit to send, if any."""
        state = next((one for one in snapshot.inverters if one.serial == self._serial), None)
        if state is None:
            self.fail(f"there is no inverter {self._serial}", "Use a serial number of the configuration.")
            return None
        if not self.running:
            return None
        self._take(snapshot, state)
        trouble = self._trouble(snapshot, state) or self._export(state)
        if trouble is not None:
            self.fail(*trouble)
        elif self.running and self._trial is None:
            return self._watch(snapshot, state)
        elif self.running and self._trial is not None and self._trial.update(snapshot.now_s, state):
            return self._next(self._trial, snapshot.now_s, state)
        return None

    # -- what comes in, and what may go wrong --------------------------------------------------------

    def _take(self, snapshot: Snapshot, state: InverterState) -> None:
        self.report = replace(self.report, name=state.name)
        self._interval_s = snapshot.meter.interval_s
        if self._watching_s is None:
            self._watching_s = snapshot.now_s
            self._say(f"watching the house for {WATCH_S:.0f} s")
        reading = snapshot.meter.reading
        if reading is not None and (not self._readings or reading.at_s > self._readings[-1].at_s):
            self._readings.append(reading)
            low = self._floor_w is not None and reading.power_w < self._floor_w - EXPORT_W
            self._exporting = self._exporting + 1 if low else 0

    def _trouble(self, snapshot: Snapshot, state: InverterState) -> Trouble | None:
        """Why the test cannot go on, and what to do."""
        now_s, begun_s = snapshot.now_s, self._watching_s or 0.0
        if state.refused:
            return state.refused, "Test again once that is over."
        if not state.enabled:
            return f"{state.name} is disabled in the configuration", "Set enabled: true for it."
        if not state.regulated:
            return f"{state.name} takes no limits in watts", "Test an inverter that does."
        if not snapshot.broker_connected:
            return snapshot.broker_fault or "the MQTT broker is not connected", "Run: zero-export doctor mqtt"
        begun = self._held or self._trial is not None
        if begun and self._resets != state.resets:
            return f"{state.name} or {state.gateway} restarted, and its limit is lost", "Test again."
        self._resets = state.resets
        if not state.reachable and (self._trial is not None or now_s - begun_s > 1.5 * WATCH_S):
            return f"{state.gateway} cannot reach {state.name}", "At night this is normal; by day check that link."
        since_s = now_s - (self._readings[-1].at_s if self._readings else begun_s)
        if since_s > max(5.0, 3.0 * self._interval_s):
            why = f": {snapshot.meter.fault}" if snapshot.meter.fault else ""
            return f"no grid reading for {since_s:.0f} s{why}", "Run: zero-export doctor meter"
        if self._trial is not None and self._trial.lost(now_s):
            return f"the limit of {state.name} could not be sent", "Run: zero-export doctor, and see its log."
        return None

    def _export(self, state: InverterState) -> Trouble | None:
        """Whether the house exports more than it may; where a cut caused it, that is the verdict."""
        if self._floor_w is None or not self._readings:
            return None
        grid_w = self._readings[-1].power_w
        if self._exporting < EXPORT_READINGS and grid_w >= self._floor_w - MUCH_EXPORT_W:
            return None
        if self._trial is not None and self._trial.down and self._trial.sent:
            seen, judged = self._trial.look(final=False)
            if judged is Look.SEEN and seen.fit.gain < -SIGNS:
                self._measure(self._trial)
                self._conclude(state)
                return None
        return f"the grid power fell to {grid_w:.0f} W, so the test was ended", CALM

    # -- the stages ----------------------------------------------------------------------------------

    def _watch(self, snapshot: Snapshot, state: InverterState) -> Command | None:
        """Learn how restless the house is, and see to it that the limit holds the inverter, not the sun."""
        watched_s = snapshot.now_s - (self._watching_s or 0.0)
        if watched_s < WATCH_S or len(self._readings) < FEWEST or not state.reachable:
            return None
        power_w = state.ac.power_w
        if power_w is None or state.power_at_s is None or snapshot.now_s - state.power_at_s > UNHEARD_S:
            if watched_s > PATIENCE_S:
                self.fail(f"{state.gateway} reports no power of {state.name}", "Run: zero-export doctor inverter")
            return None
        self._noise_w = noise_w(self._readings)
        limit_w = state.commanded_w or state.acked_w or None
        if limit_w is not None and (self._held or power_w >= _held_share(limit_w, state) * limit_w - 12.0):
            return self._down(limit_w, snapshot.now_s, state)
        self._held, self._watching_s = True, snapshot.now_s
        self._readings.clear()
        limit_w = round(min(state.max_w, max(state.min_w, power_w)), 1)
        if self._step_w(limit_w, state) is None:
            return None
        self._say(f"holding it at what it gives, {limit_w:.0f} W, and watching the house for {WATCH_S:.0f} s")
        return Command(self._serial, limit_w, self._reason)

    def _step_w(self, limit_w: float, state: InverterState) -> float | None:
        """How far to step down from a limit; None, and the test failed, where no step there can be seen."""
        room_w, restless_w = limit_w - state.min_w, NOISES * self._noise_w
        if room_w < SMALLEST_W:
            text = f"{state.name} gives {limit_w:.0f} W: too little for a step of {SMALLEST_W:.0f} W"
            self.fail(f"{text} above its minimum of {state.min_w:.0f} W", DAYLIGHT)
            return None
        if room_w < restless_w:
            moves = f"the grid power moves by {self._noise_w:.0f} W from one reading to the next"
            self.fail(f"the house is too restless: {moves}", CALM)
            return None
        share = SHARE * BOLDER**self._found.unclear
        return min(room_w, max(SMALLEST_W, restless_w, share * limit_w))

    def _down(self, from_w: float, now_s: float, state: InverterState) -> Command | None:
        step_w = self._step_w(from_w, state)
        if step_w is None:
            return None
        agreeing = len(self._found.agreeing())
        again = ", again" if self._found.tried > agreeing else ""
        number = min(WANTED, agreeing + 1)
        self._say(f"step {number} of {WANTED}{again}: {from_w:.0f} W -> {from_w - step_w:.0f} W", number)
        return self._go(from_w, from_w - step_w, now_s, state)

    def _up(self, down: Trial, now_s: float, state: InverterState) -> Command | None:
        """Back to where the step began; where export is a concern, only as far as the house takes it now."""
        to_w = down.from_w
        if self._floor_w is not None:
            grid_w = median([reading.power_w for reading in self._readings][-3:])
            to_w = min(to_w, down.to_w + grid_w - self._floor_w + SPARE_W)
        if to_w < down.to_w + SPARE_W:
            self.fail("the house takes less than at the beginning of the test", CALM)
            return None
        self._say(f"step {self.report.step} of {WANTED}: back to {to_w:.0f} W", self.report.step)
        return self._go(down.to_w, to_w, now_s, state)

    def _go(self, from_w: float, to_w: float, now_s: float, state: InverterState) -> Command:
        gains = [abs(seen.fit.gain) for seen in self._found.downs] or [1.0]
        first = self._found.tried == (0 if to_w < from_w else 1)
        rated_w = state.rated_w or state.max_w
        scene = Scene(rated_w, self._window_s, self._interval_s, self._noise_w, median(gains), report=first)
        self._trial = Trial(from_w, round(to_w, 1), now_s, self._readings, scene)
        return Command(self._serial, self._trial.to_w, self._reason)

    def _next(self, trial: Trial, now_s: float, state: InverterState) -> Command | None:
        found = self._found
        found.acknowledged |= acknowledged(state)
        self._measure(trial)
        if trial.down:
            return self._up(trial, now_s, state)
        if found.enough:
            self._conclude(state)
        elif found.tried >= MOST:
            self.fail(f"the house is too restless: of {MOST} steps no {WANTED} tell the same", CALM)
        else:
            return self._down(trial.to_w, now_s, state)
        return None

    # -- what it means -------------------------------------------------------------------------------

    def _measure(self, trial: Trial) -> None:
        """Note what a step has shown."""
        seen, judged = trial.look(final=True)
        self._found.add(seen, judged)
        if trial.down and judged is Look.SEEN:
            gains = trial.phase_gains(seen.fit.dead_time_s)
            self._found.phases += [gains] if gains else []
        if not trial.down and self._low_w is not None and trial.reported_w is not None:
            self._found.reported.append((trial.reported_w - self._low_w) / (trial.to_w - trial.from_w))
        self._low_w = trial.reported_w

    def _conclude(self, state: InverterState) -> None:
        found = self._found
        result = judge(
            Evidence(
                name=state.name,
                gateway=state.gateway,
                rated_w=state.rated_w or state.max_w,
                downs=found.agreeing() if found.enough else found.downs[-1:],
                ups=found.agreeing(up=True),
                reported_gain=median(found.reported) if found.reported else None,
                phase_gains=found.phase_gains(),
                slow=self._interval_s > SLOW_METER_S,
                acknowledged=found.acknowledged,
                expected_phase=state.phase,
            )
        )
        self.report = replace(
            self.report, state=Progress.DONE, text=result.text, next_step=result.next_step, result=result
        )

    def _say(self, text: str, number: int = 0) -> None:
        self.report = replace(self.report, text=text, step=number)

    @property
    def _reason(self) -> str:
        return f"step test of {self.report.name}: {self.report.text}"


def _held_share(limit_w: float, state: InverterState) -> float:
    """An inverter that gives at least this share of its limit is held by it; low limits are met less exactly."""
    return 0.96 if limit_w >= 0.16 * (state.rated_w or state.max_w) else 0.82
