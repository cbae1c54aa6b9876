"""The integral trim that removes what the load estimate cannot know: the inverters' static error.

The only place that imports simple_pid. The library clamps its integral and nothing more, so real
anti-windup is ours: the trim integrates only while the inverters follow their limits (see `Trim.step`).
"""

from __future__ import annotations

from dataclasses import dataclass

from simple_pid import PID


@dataclass(frozen=True, slots=True)
class Terms:
    """The parts of the correction in watts: ``p`` acts through the load estimate at gain 1."""

    p_w: float
    i_w: float
    d_w: float

    @property
    def trim_w(self) -> float:
        """What is added to the ceiling that the load estimate gives."""
        return self.i_w + self.d_w


class Trim:
    """An integrator in watts around ``grid - target``, with a clock that only arguments move."""

    def __init__(self, integral_per_s: float) -> None:
        self._pid = PID(0.0, integral_per_s, 0.0, setpoint=0.0, sample_time=None, time_fn=lambda: 0.0)

    def step(self, error_w: float, dt_s: float, *, limit_w: float, follow: bool) -> Terms:
        """The correction for ``error_w`` = grid - target (positive: importing too much).

        ``follow`` is False while power does not follow the limit (sun-limited, commands in flight,
        stale, paused): then the trim is held, whatever the error says. ``limit_w`` bounds it both ways.
        """
        held = float(self._pid.components[1])
        self._pid.output_limits = (-limit_w, limit_w)
        if follow and dt_s > 0.0:
            self._pid(-error_w, dt=dt_s)
        else:
            self._pid.set_auto_mode(False)
            self._pid.set_auto_mode(True, last_output=min(max(held, -limit_w), limit_w))
        _, integral, derivative = self._pid.components
        return Terms(p_w=error_w, i_w=float(integral), d_w=float(derivative))

    def reset(self) -> None:
        """Forget the trim: the plant it belonged to is gone."""
        self._pid.reset()
