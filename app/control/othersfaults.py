"""What is wrong with what regulates by itself: inverters that keep to rules, and batteries."""

from __future__ import annotations

from collections.abc import Iterator

from app.control.rules import feeds
from app.model import Decision, Fault, Snapshot


def rule_faults(snapshot: Snapshot, decision: Decision) -> Iterator[Fault]:
    """Slow inverters that do not take their rules, or do not keep to them."""
    rulings = {ruling.serial: ruling for ruling in decision.rulings}
    for state in snapshot.inverters:
        ruling, slow = rulings.get(state.serial), state.rule
        if ruling is None or slow is None:
            continue
        if slow.refused is not None and ruling.wanted != slow.accepted:
            yield Fault(
                f"rule_refused:{state.serial}",
                f"{state.name} does not take its rule ({ruling.wanted}): {slow.refused}.",
                "It is tried again. Run: zero-export doctor inverter",
            )
        elif state.reachable is False and ruling.wanted != slow.accepted:
            yield Fault(
                f"rule_waits:{state.serial}",
                f"{state.name} cannot be reached to give it its rule ({ruling.wanted}); it keeps to the one it has "
                f"({slow.accepted or slow.shown or 'not known'}).",
                "Check its gateway's power and network, then run: zero-export doctor inverter",
            )
        if ruling.reverted_s is not None:
            yield Fault(
                f"rule_changed:{state.serial}",
                f"Somebody else has changed the rule of {state.name}, to {slow.shown or 'none of those known here'}.",
                "It is given again. Its maker's cloud may do that: see docs/enphase.md.",
            )
        if ruling.obeyed is False:
            yield Fault(
                f"rule_broken:{state.serial}",
                f"{state.name} has taken its rule ({slow.accepted}) and its power does not follow.",
                "The rule is given again. If this stays, choose another control for it, or ask its installer.",
            )


def battery_faults(decision: Decision) -> Iterator[Fault]:
    """A battery whose regulator and this one work against each other."""
    if decision.room is not None and decision.room.swings:
        yield Fault(
            "two_regulators",
            "The battery's regulator and this one swing against each other; this one has slowed itself down.",
            "If it comes back, let the battery report more often, or leave it less room (battery.auto_charge_max_w).",
        )


def slow_feed(snapshot: Snapshot) -> bool:
    """Whether slow inverters, which take their time, explain an export."""
    return any(state.enabled and state.rule is not None and feeds(state) for state in snapshot.inverters)
