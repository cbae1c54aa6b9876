"""What the steps of a step test mean, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from app.control.stepfindings import Seen
from app.control.stepfit import ramp_per_s
from app.model import Step, StepResult

UNSEEN = 0.15  # smaller gains are none
NEARLY_ONE = (0.75, 1.3)
SHOWN_S = 0.9  # a step that takes less looks like one at once
MOST_OF_IT = 0.7  # a phase that shows so much of the step has it all


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that was found about one inverter.

    ``phase_gains``: the gain by each phase of the meter. ``slow``: the meter is too slow for dead times.
    ``acknowledged``: the gateway showed the limits as acknowledged. ``expected_phase``: of the configuration.
    """

    name: str
    gateway: str
    rated_w: float
    downs: Sequence[Seen]
    ups: Sequence[Seen]
    reported_gain: float | None
    phase_gains: Sequence[float]
    slow: bool
    acknowledged: bool
    expected_phase: int | None = None


def judge(found: Evidence) -> StepResult:
    """The verdict."""
    gain = median(seen.fit.gain for seen in found.downs) if found.downs else 0.0
    phase = _phase(found.phase_gains, gain)
    verdict, trouble, next_step = _trouble(found, gain, phase)
    dead_times = [] if found.slow else sorted(seen.fit.dead_time_s for seen in found.downs)
    result = StepResult(
        verdict=verdict,
        text="",
        next_step=next_step,
        gain=round(gain, 2),
        reported_gain=None if found.reported_gain is None else round(found.reported_gain, 2),
        dead_time_s=round(median(dead_times), 2) if dead_times else None,
        dead_time_range_s=(round(dead_times[0], 2), round(dead_times[-1], 2)) if dead_times else None,
        ramp_down_w_per_s=_ramp_w_per_s(found, found.downs),
        ramp_up_w_per_s=_ramp_w_per_s(found, found.ups),
        phase=phase,
        steps=tuple(_step(seen, slow=found.slow) for seen in (*found.downs, *found.ups)),
    )
    return _with_text(result, found, trouble)


def _phase(gains: Sequence[float], gain: float) -> int | None:
    """Which phase moved, and no other."""
    if abs(gain) < UNSEEN or not gains:
        return None
    shares = [abs(one / gain) for one in gains]
    best = max(range(len(shares)), key=shares.__getitem__)
    others = [share for i, share in enumerate(shares) if i != best]
    return best + 1 if shares[best] >= MOST_OF_IT and max(others) <= 0.5 * shares[best] else None


def _trouble(found: Evidence, gain: float, phase: int | None) -> tuple[str, str, str]:
    """Verdict, what is wrong, and what to do."""
    where = f"phase {phase}" if phase is not None else "the meter"
    told = found.reported_gain
    if abs(gain) < UNSEEN:
        return ("fail", *_nothing_seen(found))
    share = gain / told if told is not None and told >= 0.25 else gain  # of what the inverter itself tells
    if share <= -NEARLY_ONE[0]:
        return (
            "fail",
            f"the grid power fell when {found.name} was cut: the clamp of {where} sits the wrong way round",
            "Turn the clamp around; where all phases are wrong, set invert: true under meter. Then test again.",
        )
    if share < 0.0:
        return (
            "fail",
            f"the grid power fell by {-share:.0%} of the cut: a clamp sits on another phase than its voltage tap",
            "Put each clamp of the meter on the phase that its voltage input is connected to. Then test again.",
        )
    if share > NEARLY_ONE[1]:
        text = f"the meter shows {share:.1f} times the step: something else followed it, or its clamp ratio is wrong"
        return "warn", text, "Check the type of clamp that is set in the meter, then test again."
    if phase is not None and found.expected_phase not in (None, phase):
        text = f"{found.name} feeds in on phase {phase} of the meter, and the configuration says {found.expected_phase}"
        return "warn", text, "Correct the phase in the configuration, or the clamps of the meter."
    if told is not None and told < NEARLY_ONE[0] and share >= NEARLY_ONE[0]:
        text = f"{found.name} itself changed by {told:.0%} only: its firmware splits the limit, some inputs are shaded"
        return "ok", text, ""
    if share < NEARLY_ONE[0]:
        text = f"the meter shows {share:.0%} of the step: the firmware splits the limit over inputs of which some are "
        return "warn", text + "shaded, or a clamp sits on another phase", "Test again while all panels are in the sun."
    return "ok", "", ""


def _nothing_seen(found: Evidence) -> tuple[str, str]:
    if found.reported_gain is not None and found.reported_gain >= 0.25:
        return (
            f"{found.name} followed its limit, and the meter showed nothing of it",
            "Check that the meter's clamps sit at the house's connection, and that this inverter feeds in behind them.",
        )
    if not found.acknowledged:
        return (
            f"{found.gateway} never showed a limit of {found.name} as acknowledged, and nothing moved",
            f"Check that {found.gateway} takes commands and reaches the inverter; over MQTT, check the broker's ACL.",
        )
    return (
        f"{found.name} did not follow its limit: neither its own reports nor the meter moved",
        "Restart the inverter, check in config.yaml which one it is and how it is limited, then test again.",
    )


def _ramp_w_per_s(found: Evidence, seen: Sequence[Seen]) -> float | None:
    """None where a step is over within a reading."""
    ramp = ramp_per_s([one.fit for one in seen])
    if ramp is None or median(abs(one.to_w - one.from_w) for one in seen) < SHOWN_S * ramp * found.rated_w:
        return None
    return round(ramp * found.rated_w, 1)


def _step(seen: Seen, *, slow: bool) -> Step:
    return Step(seen.from_w, seen.to_w, round(seen.fit.gain, 2), None if slow else round(seen.fit.dead_time_s, 2))


def _with_text(result: StepResult, found: Evidence, trouble: str) -> StepResult:
    parts = [trouble] if trouble else []
    if result.dead_time_s is not None and result.dead_time_range_s is not None:
        low_s, high_s = result.dead_time_range_s
        parts.append(f"it answers after {result.dead_time_s:.1f} s ({low_s:.1f} to {high_s:.1f} s)")
    elif found.slow and found.downs:
        parts.append("the meter is too slow to time it")
    parts += _ramps(result, found)
    parts.append(f"gain {result.gain:.2f}")
    parts += [f"on phase {result.phase} of the meter"] if result.phase is not None else []
    text = "; ".join([parts[0], ", ".join(parts[1:])]) if trouble else ", ".join(parts)
    return replace(result, text=text)


def _ramps(result: StepResult, found: Evidence) -> list[str]:
    ramps = (("down", result.ramp_down_w_per_s, found.downs), ("up", result.ramp_up_w_per_s, found.ups))
    words = []
    for word, ramp_w_per_s, seen in ramps:
        if ramp_w_per_s is not None:
            words.append(f"{word} at {ramp_w_per_s:.0f} W/s")
        elif seen:
            shown_w = median(abs(one.fit.gain * (one.to_w - one.from_w)) for one in seen)
            words.append(f"{word} at more than {shown_w:.0f} W/s")
    return [" and ".join(words)] if words else []
