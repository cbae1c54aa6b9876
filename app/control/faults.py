"""Everything that is wrong, in plain words with a next step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from app.control.delivery import Delivery
from app.control.observer import Observer
from app.control.safety import NEEDS_PHASES, Freshness, Trust
from app.control.standby import FEEDS_W
from app.model import Decision, Fault, InverterState, Mode, PriceState, Snapshot

UNANSWERED_S = 45.0
NOT_SWITCHED_S = 45.0
PATIENCE_S = {"broker": 3.0, "price": 15.0, "export": 30.0}  # a first answer, and a cut, take a moment: no fault
UNEXPLAINED_W = 50.0  # export of at least this much beyond the target
DAYLIGHT_W = 20.0  # an inverter that went silent at more than this did not fall asleep


class FaultBook:
    """The faults of now, each with the time since when it has been there."""

    def __init__(self) -> None:
        self._since: dict[str, tuple[float, float]] = {}  # key: when it began, in control time and in UTC

    def update(
        self, snapshot: Snapshot, fresh: Freshness, decision: Decision, delivery: Delivery, observer: Observer
    ) -> tuple[Fault, ...]:
        """The faults that this step shows."""
        found = [
            *_meter(fresh, decision),
            *_links(snapshot),
            *(f for s in snapshot.inverters for f in _inverter(s, snapshot, delivery, observer)),
            *_minimum(snapshot, decision),
            *_price(snapshot.price),
        ]
        begun = (snapshot.now_s, snapshot.utc_s)
        self._since = {fault.key: self._since.get(fault.key, begun) for fault in found}
        lasting = [f for f in found if snapshot.now_s - self._since[f.key][0] >= PATIENCE_S.get(f.key, 0.0)]
        return tuple(replace(fault, since_utc_s=self._since[fault.key][1]) for fault in lasting)


def _meter(fresh: Freshness, decision: Decision) -> Iterator[Fault]:
    if fresh.trust is Trust.FAIL_SAFE:
        yield Fault(
            "meter",
            f"{_capital(fresh.reason)}. {_consequence(decision)}"
            if not fresh.reason.startswith(NEEDS_PHASES)
            else f"{fresh.reason}. {_consequence(decision)}",
            "Use a meter of three phases, or set control.phases: net."
            if fresh.reason.startswith(NEEDS_PHASES)
            else "Check the meter's power and network, then run: zero-export doctor meter",
        )
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
            yield Fault(f"gateway:{gateway.name}", gateway.fault, "Check OpenDTU's power, WiFi and MQTT settings.")


def _inverter(state: InverterState, snapshot: Snapshot, delivery: Delivery, observer: Observer) -> Iterator[Fault]:
    if not state.enabled:
        return
    if state.reachable is False and (state.ac.power_w or 0.0) > DAYLIGHT_W and state.power_at_s is not None:
        yield Fault(
            f"unreachable:{state.serial}",
            f"{state.name} cannot be reached; it may still be producing {state.ac.power_w:.0f} W.",
            "Check the radio link between OpenDTU and the inverter.",
        )
    if state.reachable and _unanswered(state, snapshot, delivery):
        yield Fault(
            f"unanswered:{state.serial}",
            f"{state.name} has not acknowledged its limits for "
            f"{delivery.unanswered_s(state.serial, snapshot.now_s):.0f} s.",
            "Check in OpenDTU that commands are enabled and the radio link is good; check the broker's ACL.",
        )
    if state.reachable and _still_feeds(state, snapshot.now_s):
        yield Fault(
            f"not_switched:{state.serial}",
            f"{state.name} was switched off and still feeds {state.ac.power_w:.0f} W.",
            "Check that the broker lets us write cmd/power (OPENDTU_ALLOW_POWER=1 in the stack), and the radio link.",
        )
    if observer[state.serial].disobeyed:
        yield Fault(
            f"disobeyed:{state.serial}",
            f"{state.name} produces more than its limit; the limit is sent again.",
            "If this stays, restart the inverter from OpenDTU.",
        )


def _still_feeds(state: InverterState, now_s: float) -> bool:
    """Whether it reports power long after it was switched off."""
    if state.power_on is not False or state.powered_at_s is None or state.power_at_s is None:
        return False
    return min(now_s, state.power_at_s) - state.powered_at_s > NOT_SWITCHED_S and (state.ac.power_w or 0.0) > FEEDS_W


def _unanswered(state: InverterState, snapshot: Snapshot, delivery: Delivery) -> bool:
    """Whether a command and its repetition had the time to arrive: on one radio, each limit takes two seconds."""
    return delivery.unanswered_s(state.serial, snapshot.now_s) > UNANSWERED_S + 5.0 * len(snapshot.inverters)


def _minimum(snapshot: Snapshot, decision: Decision) -> Iterator[Fault]:
    enabled = [s for s in snapshot.inverters if s.enabled and s.reachable and s.power_on is not False]
    minimum_w = sum(state.min_w for state in enabled)
    exporting = (
        decision.grid_w is not None and decision.target_w is not None and decision.grid_w < decision.target_w - 10.0
    )
    at_minimum = decision.limit_w is not None and decision.limit_w <= minimum_w + 1.0
    if not exporting or decision.grid_w is None or decision.target_w is None:
        return
    if enabled and at_minimum and decision.load_w is not None and decision.load_w < minimum_w:
        yield Fault(
            "minimum",
            f"The house takes less than the inverters' minimum of {minimum_w:.0f} W: the rest is exported.",
            "Lower min_watt if your inverters stay stable there, or set control.switch_off: true.",
        )
    elif (at_minimum or not enabled) and decision.grid_w < decision.target_w - UNEXPLAINED_W:
        why = "every inverter is at its minimum" if enabled else "no inverter can be commanded"
        yield Fault(
            "export",
            f"The house exports {-decision.grid_w:.0f} W although {why}: something else feeds in."
            if decision.grid_w < 0.0
            else f"The grid power stays below the target although {why}: something else feeds in.",
            "Look for an inverter that is disabled here or cannot be reached, a battery, or a meter of the wrong sign.",
        )


def _price(price: PriceState | None) -> Iterator[Fault]:
    if price is not None and price.export_value_c is None:
        why = price.fault or "no price has come yet"
        yield Fault(
            "price",
            f"The price of export is unknown, so export stays closed: {why}.",
            "Check AMBER_TOKEN, AMBER_SITE_ID, the internet connection and this computer's clock.",
        )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
