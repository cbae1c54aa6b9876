"""Which rule each slow inverter is to keep to: the policy's mode and limit, switched seldom, given again when lost.

A slow inverter holds an export limit by itself and takes minutes to follow: it never gets the steps of the law.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from app.control.policy import Goal
from app.model import InverterState, Mode, Reading, Rule, RuleCommand, RuleState, Ruling, Snapshot

SHOWS_S = 30.0  # what it shows later than this after a rule, it would show with that rule in force
AGAIN_S, LONGEST_AGAIN_S = 60.0, 900.0  # between two tries, twice as long after each that was refused
LONGEST_VAIN_S = 3600.0  # the same for tries that were taken and had no effect
ESTIMATE_S = 45.0  # prices are confirmed within 17 to 37 s (amber-express): closing for less costs a pair of switches
PROOF_S = 30.0  # without contradiction for so long, its power counts as having followed
CONTRADICTED_S = 60.0
BEYOND_W, BEYOND_SHARE = 100.0, 0.03  # of rated power: an export so far beyond the rule is a contradiction
DARK_SHARE = 0.03  # one that gives less proves nothing, and whoever exports then, it is not this one


def wanted(goal: Goal, slow: RuleState) -> Rule:
    """The rule that fits a goal, of those that the inverter knows."""
    if goal.mode is Mode.SHUTDOWN and slow.can_stop:
        return Rule(0.0, produce=False)
    if goal.target_w is None:
        return Rule()
    allowed_w = 0.0 - goal.target_w
    if goal.mode in (Mode.OPEN, Mode.PAUSED) and _normal_fits(allowed_w, slow):
        return Rule()
    export_w = max(0.0, allowed_w, slow.least_export_w)
    if slow.steps is not None:
        known = [step for step in slow.steps if step is not None]
        export_w = max([step for step in known if step <= export_w], default=min(known, default=0.0))
    return Rule(export_w)


def closed(slow: RuleState) -> Rule:
    """The rule to leave behind where nobody watches any more."""
    return wanted(Goal(Mode.LIMIT, 0.0, ""), slow)


def _normal_fits(allowed_w: float, slow: RuleState) -> bool:
    """Whether the normal state keeps to the grid operator's cap; where it only knows that, the installer made it so."""
    if slow.normal_export_w is not None:
        return slow.normal_export_w <= allowed_w
    return slow.steps is not None


@dataclass(slots=True)
class _Watch:
    """What is remembered of one slow inverter."""

    wanted: Rule | None = None
    wanted_s: float = -math.inf
    accepted: Rule | None = None
    switched_s: float = -math.inf
    tried_s: float | None = None
    refusals: int = 0
    vain: int = 0  # how often it was given again because its power did not follow
    reverted_s: float | None = None
    good_s: float | None = None  # since when nothing has contradicted its rule
    bad_s: float | None = None
    obeyed: bool | None = None


class Rules:
    """Told the snapshots one after the other, it answers with the rules to give now, and with how each stands."""

    def __init__(self) -> None:
        self._watched: dict[str, _Watch] = {}

    def step(
        self, snapshot: Snapshot, goal: Goal, reading: Reading | None, *, estimated: bool = False
    ) -> tuple[tuple[RuleCommand, ...], tuple[Ruling, ...]]:
        """``reading``: of the grid power, where it can be trusted. ``estimated``: the goal is that of an estimate."""
        commands, rulings = [], []
        for state in snapshot.inverters:
            if state.enabled and state.rule is not None:
                watch = self._watched.setdefault(state.serial, _Watch())
                rule = wanted(goal, state.rule)
                _follow(watch, rule, state.rule, snapshot.now_s)
                _judge(watch, state, state.rule, reading, snapshot.now_s)
                command, waiting = _decide(watch, rule, state, state.rule, snapshot.now_s, goal.reason)
                unsure_s = _unsure_s(watch, rule, state.rule, snapshot.now_s) if estimated else 0.0
                if command is not None and unsure_s > 0.0:
                    command, waiting = None, f"{unsure_s:.0f} s more for the price to be confirmed"
                commands += [command] if command is not None else []
                rulings.append(Ruling(state.serial, rule, watch.obeyed, waiting, watch.reverted_s))
        return tuple(commands), tuple(rulings)


def _follow(watch: _Watch, rule: Rule, slow: RuleState, now_s: float) -> None:
    """Take in what was accepted and refused since."""
    if rule != watch.wanted:
        watch.wanted, watch.wanted_s, watch.refusals = rule, now_s, 0
    if slow.accepted != watch.accepted:
        watch.accepted = slow.accepted
        watch.switched_s = now_s if slow.accepted_at_s is None else slow.accepted_at_s
        watch.good_s = watch.bad_s = watch.obeyed = None
        watch.vain = 0
    if slow.tried_at_s != watch.tried_s:
        watch.tried_s = slow.tried_at_s
        watch.refusals = watch.refusals + 1 if slow.refused is not None else 0
        watch.vain += watch.obeyed is False


def _unsure_s(watch: _Watch, rule: Rule, slow: RuleState, now_s: float) -> float:
    """For how long a closing waits that an estimate asks for; no longer than it may have to between two switches."""
    had = slow.accepted
    if rule.export_w is None or had is None or (had.export_w is not None and had.export_w <= rule.export_w):
        return 0.0
    return min(ESTIMATE_S, slow.dwell_s) - (now_s - watch.wanted_s)


def _judge(watch: _Watch, state: InverterState, slow: RuleState, reading: Reading | None, now_s: float) -> None:
    """Whether its power follows its rule, once it has had the time to."""
    beyond = None
    if slow.accepted is not None and now_s - watch.switched_s > slow.reaction_s:
        beyond = _beyond(slow.accepted, state, slow, reading)
    watch.bad_s = (now_s if watch.bad_s is None else watch.bad_s) if beyond is True else None
    watch.good_s = (now_s if watch.good_s is None else watch.good_s) if beyond is False else None
    if watch.bad_s is not None and now_s - watch.bad_s >= CONTRADICTED_S:
        watch.obeyed = False
    elif watch.good_s is not None and now_s - watch.good_s >= PROOF_S:
        watch.obeyed, watch.vain = True, 0


def _beyond(rule: Rule, state: InverterState, slow: RuleState, reading: Reading | None) -> bool | None:
    """Whether more is given than the rule allows; None where that does not show."""
    power_w = state.ac.power_w if state.power_at_s is not None else None
    if power_w is None or rule == Rule():
        return None
    margin_w = max(BEYOND_W, BEYOND_SHARE * state.max_w)
    if not rule.produce:
        return power_w > margin_w
    if not feeds(state):
        return None
    if not slow.own_meter:
        return None if state.acked_w is None else power_w > state.acked_w + margin_w
    return None if reading is None else -reading.power_w > (rule.export_w or 0.0) + margin_w


def feeds(state: InverterState) -> bool:
    """Whether an export can be that of this slow inverter."""
    return state.power_at_s is not None and (state.ac.power_w or 0.0) >= DARK_SHARE * state.max_w


def _decide(
    watch: _Watch, rule: Rule, state: InverterState, slow: RuleState, now_s: float, reason: str
) -> tuple[RuleCommand | None, str]:
    """The rule to give now, or why it waits."""
    why = _why(watch, rule, slow, now_s, reason)
    if why is None:
        return None, ""
    if not state.reachable:
        return None, "it cannot be reached"
    since_s = math.inf if slow.tried_at_s is None else now_s - slow.tried_at_s
    pause_s = AGAIN_S * 2.0 ** max(0, watch.refusals - 1) if slow.refused is not None or rule == slow.accepted else 0.0
    if since_s < min(LONGEST_AGAIN_S, pause_s):
        return None, f"tried again in {min(LONGEST_AGAIN_S, pause_s) - since_s:.0f} s"
    rest_s = slow.dwell_s - (now_s - watch.switched_s)
    if rule != slow.accepted and slow.accepted is not None and rest_s > 0.0:
        return None, f"{rest_s:.0f} s more, since it was switched only {now_s - watch.switched_s:.0f} s ago"
    return RuleCommand(state.serial, rule, why), ""


def _why(watch: _Watch, rule: Rule, slow: RuleState, now_s: float, reason: str) -> str | None:
    """Why the rule has to be given; None where it is in force as far as anybody knows."""
    if rule != slow.accepted:
        return None if slow.accepted is None and slow.shown == rule else reason
    if _shows_another(rule, slow):
        if watch.reverted_s is None:
            watch.reverted_s = now_s
        return f"it shows {slow.shown or 'none of the rules'}: given again"
    watch.reverted_s = None
    if not slow.kept_up and rule != Rule():
        return "it has to be sent again and again"
    pause_s = max(CONTRADICTED_S, slow.reaction_s) * 2.0**watch.vain
    patient = slow.tried_at_s is None or now_s - slow.tried_at_s > min(max(LONGEST_VAIN_S, slow.reaction_s), pause_s)
    return "its power does not follow: given again" if watch.obeyed is False and patient else None


def _shows_another(rule: Rule, slow: RuleState) -> bool:
    """Whether it has shown another rule than its last one, long enough after that."""
    if slow.shown_at_s is None or slow.shown == rule:
        return False
    in_time = slow.tried_at_s is None or slow.shown_at_s - slow.tried_at_s > SHOWS_S
    return in_time or slow.refused is not None  # a refusal changes nothing
