"""Everything that is wrong, in plain words with a next step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from app.control.delivery import Delivery, shows_limits
from app.control.failsafe import may_feed_w
from app.control.observer import Observer
from app.control.othersfaults import battery_faults, rule_faults, slow_feed
from app.control.safety import NEEDS_PHASES, Freshness, Trust
from app.control.standby import FEEDS_W
from app.model import Decision, Fault, Gate, InverterState, Mode, PriceState, Snapshot

UNANSWERED_S, UNANSWERED_EACH_S = 17.0, 3.0
UNMET_S, UNMET_EACH_S = 45.0, 5.0  # a freshly booted OpenDTU shows no limit in watts until it knows the rated power
NOT_SWITCHED_S = 45.0
# what takes a moment is no fault
PATIENCE_S = {
    "broker": 2.0,
    "price": 15.0,
    "price_source": 600.0,
    "export": 30.0,
    "unguarded": 20.0,
    "unproven": 600.0,
    "rule_waits": 120.0,
}
UNEXPLAINED_W = 50.0  # export of at least this much beyond the target
PRICE_STEP = "Run 'zero-export doctor price'; check the price section of config.yaml and the internet connection."
CONFLICT_S = 60.0  # a command that was not ours is told of for so long


class FaultBook:
    """The faults of now, each with the time since when it has been there."""

    def __init__(self, on_unknown: str = "limit") -> None:
        self._on_unknown = on_unknown
        self._since: dict[str, tuple[float, float]] = {}  # key: when it began, in control time and in UTC

    def update(
        self, snapshot: Snapshot, fresh: Freshness, decision: Decision, delivery: Delivery, observer: Observer
    ) -> tuple[Fault, ...]:
        """The faults that this step shows."""
        found = [
            *_meter(snapshot, fresh, decision),
            *_links(snapshot),
            *(f for s in snapshot.inverters for f in _inverter(s, snapshot, delivery, observer)),
            *(f for s in snapshot.inverters if s.regulated for f in _command_path(s, snapshot, decision)),
            *(f for s in snapshot.inverters if s.regulated for f in _unproven(s, decision)),
            *rule_faults(snapshot, decision),
            *battery_faults(decision),
            *_minimum(snapshot, decision),
            *_price(snapshot.price, decision.gate, self._on_unknown),
        ]
        begun = (snapshot.now_s, snapshot.utc_s)
        self._since = {fault.key: self._since.get(fault.key, begun) for fault in found}
        lasting = [f for f in found if snapshot.now_s - self._since[f.key][0] >= _patience_s(f.key, snapshot)]
        return tuple(replace(fault, since_utc_s=self._since[fault.key][1]) for fault in lasting)


def _patience_s(key: str, snapshot: Snapshot) -> float:
    """For how long something may be wrong before it is told; a broker that is known to fail is told at once."""
    kind = key.partition(":")[0]
    return 0.0 if kind == "broker" and snapshot.broker_fault else PATIENCE_S.get(kind, 0.0)


def _meter(snapshot: Snapshot, fresh: Freshness, decision: Decision) -> Iterator[Fault]:
    if not snapshot.meter.there:
        return
    if fresh.trust is Trust.FAIL_SAFE:
        reason = fresh.reason if fresh.reason.startswith(NEEDS_PHASES) else _capital(fresh.reason)
        yield Fault("meter", f"{reason}. {_consequence(decision)}", fresh.next_step)
    elif fresh.reason and fresh.age_s is not None:
        yield Fault(
            "meter",
            f"{_capital(fresh.reason)}. "
            + (_consequence(decision) if decision.target_w is None else "Limits are not raised until it is back."),
            "If this stays, run: zero-export doctor meter",
        )


def _consequence(decision: Decision) -> str:
    """What a lost meter means now."""
    if decision.mode is Mode.FAIL_SAFE:
        return "The inverters are lowered to be safe."
    if decision.target_w is None:
        return "The inverters stay released; nothing is regulated now."
    if decision.rulings:
        return "The inverters keep to their rules by themselves; whether they do does not show now."
    return "No inverter can be commanded now."


def _links(snapshot: Snapshot) -> Iterator[Fault]:
    if not snapshot.broker_connected:
        yield Fault(
            "broker",
            f"No limit can be sent: {snapshot.broker_fault or 'the MQTT broker is not connected'}.",
            "Check that Mosquitto runs and that mqtt.host, username and password are right.",
        )
    for gateway in snapshot.gateways:
        if gateway.fault:
            usual = f"Check the power and the network of {gateway.name}, and its settings: zero-export doctor inverter"
            yield Fault(f"gateway:{gateway.name}", gateway.fault, gateway.next_step or usual)


def _inverter(state: InverterState, snapshot: Snapshot, delivery: Delivery, observer: Observer) -> Iterator[Fault]:
    if not state.regulated:
        return
    if may_feed_w(state):
        yield Fault(
            f"unreachable:{state.serial}",
            f"{state.name} cannot be reached; it may still be producing {may_feed_w(state):.0f} W.",
            f"Check the link between {state.gateway} and the inverter.",
        )
    if state.reachable and _unanswered(state, snapshot, delivery):
        yield Fault(
            f"unanswered:{state.serial}",
            f"{state.name} has not acknowledged its limits for "
            f"{delivery.unanswered_s(state.serial, snapshot.now_s):.0f} s.",
            f"Check that {state.gateway} reaches the inverter and accepts commands, "
            "and, over MQTT, that its login may read the command topics.",
        )
    if state.reachable and _still_feeds(state, snapshot.now_s):
        yield Fault(
            f"not_switched:{state.serial}",
            f"{state.name} was switched off and still feeds {state.ac.power_w:.0f} W.",
            "Check that the broker lets us write the topic (OPENDTU_ALLOW_POWER=1 or AHOYDTU_ALLOW_POWER=1 in the "
            f"stack), and the link between {state.gateway} and the inverter.",
        )
    if observer[state.serial].obedience.broken:
        yield Fault(
            f"disobeyed:{state.serial}",
            f"{state.name} produces more than its limit; the limit is sent again.",
            "If this stays, restart the inverter."
            if state.trusted
            else "Its power has never followed a limit: another profile or control may fit. "
            "Run: zero-export doctor inverter",
        )


def _unproven(state: InverterState, decision: Decision) -> Iterator[Fault]:
    """What limits it is a report, and it gives power by day without ever having shown that it follows."""
    if state.trusted or not state.reachable or decision.target_w is None or (state.ac.power_w or 0.0) <= FEEDS_W:
        return
    yield Fault(
        f"unproven:{state.serial}",
        f"The power of {state.name} has not followed a limit so far: whether the register limits it is not known.",
        "In a calm house run: zero-export doctor inverter --step-test; another profile or control may fit.",
    )


def _command_path(state: InverterState, snapshot: Snapshot, decision: Decision) -> Iterator[Fault]:
    """Commands that others send, that the broker keeps to itself, or that nobody would send if we died."""
    recent = state.foreign_at_s is not None and snapshot.now_s - state.foreign_at_s < CONFLICT_S
    if recent and decision.target_w is not None:  # while we are paused, others may command
        yield Fault(
            f"conflict:{state.serial}",
            f"Somebody else commands {state.name} ({state.foreign}); our limit is sent again.",
            "Stop the other controller, or OpenDTU-OnBattery's own limiter; remove retained commands from the broker.",
        )
    if state.undelivered_since_s is not None:
        yield Fault(
            f"undelivered:{state.serial}",
            f"The broker takes the limits for {state.name} and passes them on to nobody.",
            "Its access rules (ACL) must let the user mqtt.username write the topic of the limits.",
        )
    wanted = any(will.serial == state.serial for will in decision.wills)
    if snapshot.dead_man and wanted and not state.guarded and snapshot.broker_connected:
        yield Fault(
            f"unguarded:{state.serial}",
            f"The broker does not hold the dead-man limit of {state.name}: if this controller dies, its limit stays.",
            "Check max_connections and the access rules of the broker, and its log.",
        )


def _still_feeds(state: InverterState, now_s: float) -> bool:
    """Whether it reports power long after it was switched off."""
    if state.power_on is not False or state.powered_at_s is None or state.power_at_s is None:
        return False
    return min(now_s, state.power_at_s) - state.powered_at_s > NOT_SWITCHED_S and (state.ac.power_w or 0.0) > FEEDS_W


def _unanswered(state: InverterState, snapshot: Snapshot, delivery: Delivery) -> bool:
    """Whether a command and its repetition had the time to arrive: on one radio, each limit takes two seconds."""
    first_s, each_s = (UNANSWERED_S, UNANSWERED_EACH_S) if shows_limits(state) else (UNMET_S, UNMET_EACH_S)
    return delivery.unanswered_s(state.serial, snapshot.now_s) > first_s + each_s * len(snapshot.inverters)


def _minimum(snapshot: Snapshot, decision: Decision) -> Iterator[Fault]:
    enabled = [s for s in snapshot.inverters if s.regulated and s.reachable and s.power_on is not False]
    minimum_w = sum(state.min_w for state in enabled)
    exporting = (
        decision.grid_w is not None and decision.target_w is not None and decision.grid_w < decision.target_w - 10.0
    )
    at_minimum = decision.limit_w is not None and decision.limit_w <= minimum_w + 1.0
    if not exporting or decision.grid_w is None or decision.target_w is None:
        return
    others_feed = decision.pv_w is not None and -decision.grid_w > decision.pv_w + UNEXPLAINED_W
    if enabled and at_minimum and decision.load_w is not None and decision.load_w < minimum_w and not others_feed:
        yield Fault(
            "minimum",
            f"The house takes less than the inverters' minimum of {minimum_w:.0f} W: the rest is exported.",
            "Lower min_watt if your inverters stay stable there, or set control.switch_off: true.",
        )
    elif (
        (at_minimum or not enabled) and not slow_feed(snapshot) and decision.grid_w < decision.target_w - UNEXPLAINED_W
    ):
        why = "every inverter is at its minimum" if enabled else "no inverter can be commanded"
        yield Fault(
            "export",
            f"The house exports {-decision.grid_w:.0f} W although {why}: something else feeds in."
            if decision.grid_w < 0.0
            else f"The grid power stays below the target although {why}: something else feeds in.",
            "Look for an inverter that is disabled here or cannot be reached, a battery, or a meter of the wrong sign.",
        )


def _price(price: PriceState | None, gate: Gate | None, on_unknown: str) -> Iterator[Fault]:
    if price is None:
        return
    if price.export_value_c is None:
        why = price.fault or "no price has come yet"
        does = {"limit": "export stays closed", "allow": "export stays open", "hold": "nothing changes"}[on_unknown]
        if gate is not None and gate.by_hand:
            does = f"it is {gate.mode} by hand"
        yield Fault("price", f"The price of export is unknown, and {does}: {why}.", PRICE_STEP)
    elif price.fault is not None and price.refused:
        yield Fault("price_login", f"Prices cannot be renewed: {price.fault}.", PRICE_STEP)
    elif price.fault is not None:
        yield Fault("price_source", f"Prices cannot be renewed: {price.fault}.", PRICE_STEP)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
