"""Ticks to points: what each tick adds to the record. Pure; only what is new is written, and never 0 for unknown."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from app.model import Excursion, GatewayState, InverterState, Outlook, Period, Settings, Tick
from app.telemetry import points
from app.telemetry.envoy import EnvoyProjector
from app.telemetry.memory import Memory
from app.telemetry.points import ControlSample, Event, Field, GridSample, InverterStatus, Point, PriceSample
from app.telemetry.rollup import Minute

CONTROL_SPACING_S = 0.95  # control turns several times a second; once a second is recorded
HEARTBEAT_S = 60.0  # what only changes is repeated this often, so that a short range still finds it
ToggleUrl = Callable[[Settings], str | None]


class Projector:
    """Turns each tick into the points that it adds. Time stamps are those of the samples.

    ``toggle_url(settings)`` gives the signed link that leads to the other state (None: there is none).
    """

    def __init__(self, site: str, toggle_url: ToggleUrl = lambda _: None) -> None:
        self._site = site
        self._toggle_url = toggle_url
        self._memory = Memory()
        self._commands = 0
        self._mode: str | None = None
        self._settings: Settings | None = None
        self._changed_by: str | None = None
        self._faults: dict[str, str] = {}
        self._excursion: Excursion | None = None
        self._account_seen = False
        self._event_utc_s = -math.inf
        self._outlook: Outlook | None = None
        self._closed: tuple[Period, ...] = ()
        self._envoy = EnvoyProjector(site)

    def changed_by(self, source: str) -> None:
        """Name the source of the settings that the next tick will show."""
        self._changed_by = source

    def points(self, tick: Tick) -> list[Point]:
        """What this tick adds."""
        found = [*self._grid(tick), *self._control(tick), *self._price(tick), *self._ledger(tick), *self._events(tick)]
        found += [*self._stores(tick), *self._battery(tick)]
        found += self._envoy.points(tick)
        for inverter in tick.snapshot.inverters:
            found += self._inverter(inverter, tick)
        for gateway in tick.snapshot.gateways:
            found += self._gateway(gateway, tick)
        return found

    def minute(self, minute: Minute) -> Point:
        """A completed minute as a point."""
        return Point("minute", self._tags(), points.known(points.MINUTE, minute), minute.utc_s)

    def _grid(self, tick: Tick) -> list[Point]:
        reading, now_s = tick.snapshot.meter.reading, tick.snapshot.now_s
        if reading is None or not self._memory.due(("grid",), reading.at_s, now_s):
            return []
        sample = GridSample(reading, max(0.0, now_s - reading.at_s))
        return self._point("grid", points.GRID, sample, reading.utc_s)

    def _control(self, tick: Tick) -> list[Point]:
        snapshot, decision = tick.snapshot, tick.decision
        self._commands += len(decision.commands)
        settings, now_s = snapshot.settings, snapshot.now_s
        if not self._memory.due(("control",), (decision.mode, settings), now_s, CONTROL_SPACING_S):
            return []
        url = self._toggle_url(settings) if self._memory.due(("url",), settings, now_s, HEARTBEAT_S) else None
        reason = decision.reason if self._memory.due(("reason",), decision.reason, now_s, HEARTBEAT_S) else None
        account = tick.excursions if self._memory.due(("account",), tick.excursions, now_s, HEARTBEAT_S) else None
        sample = ControlSample(tick, self._commands, reason, url, account)
        self._commands = 0
        return self._point("control", points.CONTROL, sample, snapshot.utc_s)

    def _price(self, tick: Tick) -> list[Point]:
        price, gate = tick.snapshot.price, tick.decision.gate
        if price is None:
            return []
        found = self._forecast(tick.outlook)
        mark = (price, None if gate is None else (gate.mode, gate.by_hand))
        if self._memory.due(("price",), mark, tick.snapshot.now_s, HEARTBEAT_S):
            found += self._point("price", points.PRICE, PriceSample(price, gate), tick.snapshot.utc_s)
        return found

    def _forecast(self, outlook: Outlook | None) -> list[Point]:
        """The prices that are new, or other than they were."""
        if outlook is None or outlook is self._outlook:
            return []
        known = set(self._outlook.slots) if self._outlook is not None else set()
        self._outlook = outlook
        new = [slot for slot in outlook.slots if slot not in known]
        return [point for slot in new for point in self._point("forecast", points.FORECAST, slot, slot.start_utc_s)]

    def _ledger(self, tick: Tick) -> list[Point]:
        ledger = tick.ledger
        if ledger is None or not self._memory.due(("ledger",), None, tick.snapshot.now_s, HEARTBEAT_S):
            return []
        found = self._point("ledger", points.LEDGER, ledger, tick.snapshot.utc_s)
        for name, account, began_s in (
            ("day", ledger.today, ledger.day_utc_s),
            ("month", ledger.month, ledger.month_utc_s),
        ):
            if began_s is not None:
                found += self._point(name, points.ACCOUNT, account, began_s)
        if ledger.closed is not self._closed:
            changed = [period for period in ledger.closed if period not in self._closed]
            self._closed = ledger.closed
            for period in changed:
                found += self._point(period.name, points.ACCOUNT, period.account, period.began_utc_s)
        return found

    def _stores(self, tick: Tick) -> list[Point]:
        if not self._memory.due(("stores",), None, tick.snapshot.now_s, HEARTBEAT_S):
            return []
        utc_s = tick.snapshot.utc_s
        return [
            point
            for store in tick.stores
            for point in self._point("store", points.STORE, store, utc_s, {"name": store.name})
        ]

    def _battery(self, tick: Tick) -> list[Point]:
        battery, now_s = tick.snapshot.battery, tick.snapshot.now_s
        if battery is None or battery.at_s is None or not self._memory.due(("battery",), battery.at_s, now_s):
            return []
        sampled_s = tick.snapshot.utc_s - max(0.0, now_s - battery.at_s)
        return self._point("battery", points.BATTERY, battery, sampled_s, {"name": battery.name})

    def _inverter(self, state: InverterState, tick: Tick) -> list[Point]:
        """What the inverter measured, when it answered; and limits and state, when they changed."""
        now_s, utc_s, found = tick.snapshot.now_s, tick.snapshot.utc_s, list[Point]()
        tags = {"serial": state.serial, "name": state.name}
        if state.data_seq > 0 and self._memory.due(("inverter", state.serial), state.data_seq, now_s):
            sampled_s = utc_s if state.utc_s is None else state.utc_s
            found += self._point("inverter", points.INVERTER_SAMPLE, state, sampled_s, tags)
            for panel in state.panels:
                panel_tags = {"serial": state.serial, "channel": str(panel.channel)}
                found += self._point("panel", points.PANEL, panel, sampled_s, panel_tags)
        dead_time_s = dict(tick.decision.dead_times).get(state.serial)
        known = InverterStatus(state, None if dead_time_s is None else round(dead_time_s, 1))
        status = points.known(points.INVERTER_STATE, known)
        if self._memory.due(("state", state.serial), status, now_s, HEARTBEAT_S):
            found.append(Point("inverter", self._tags(tags), status, utc_s))
        return found

    def _gateway(self, state: GatewayState, tick: Tick) -> list[Point]:
        value = (state.data_seq, state.online)
        known = state.data_seq > 0 or state.online is not None
        if not known or not self._memory.due(("dtu", state.name), value, tick.snapshot.now_s):
            return []
        sampled_s = tick.snapshot.utc_s if state.utc_s is None else state.utc_s
        return self._point("dtu", points.DTU, state, sampled_s, {"name": state.name})

    def _events(self, tick: Tick) -> list[Point]:
        found = [*self._mode_events(tick), *self._settings_events(tick), *self._fault_events(tick)]
        found += self._excursion_events(tick)
        found += self._envoy.events(tick)
        result = []
        for event in found:
            stamp_s = tick.snapshot.utc_s
            if 0.0 <= self._event_utc_s - stamp_s < 1.0:
                stamp_s = self._event_utc_s + 0.001  # two points of one series need two time stamps
            self._event_utc_s = stamp_s
            result += self._point("event", points.EVENT, event, stamp_s)
        return result

    def _mode_events(self, tick: Tick) -> list[Event]:
        mode, reason = tick.decision.mode, tick.decision.reason
        if mode == self._mode:
            return []
        self._mode = mode
        return [Event("mode", f"{mode}: {reason}", key=str(mode))]

    def _settings_events(self, tick: Tick) -> list[Event]:
        new, old = tick.snapshot.settings, self._settings
        if new == old:
            return []
        self._settings = new
        by, self._changed_by = f", by {self._changed_by}" if self._changed_by else "", None
        if old is None:
            return []
        return [Event("settings", f"{new}{by}")]

    def _fault_events(self, tick: Tick) -> list[Event]:
        now = {fault.key: fault for fault in tick.faults}
        found = [
            Event("fault", fault.text, key, fault.next_step) for key, fault in now.items() if key not in self._faults
        ]
        found += [Event("fault_cleared", text, key) for key, text in self._faults.items() if key not in now]
        self._faults = {key: fault.text for key, fault in now.items()}
        return found

    def _excursion_events(self, tick: Tick) -> list[Event]:
        """The one that is over; not the one that an earlier run of the program has left."""
        account = tick.excursions
        if account is None or account.current_s is None or account.current_s >= account.longer_s:
            return []
        seen, before = self._account_seen, self._excursion
        last, self._account_seen, self._excursion = account.last, True, account.last
        if last is None or last == before or not seen:
            return []
        text = f"the house exported up to {last.worst_w:.0f} W more than is allowed, for {last.length_s:.0f} s"
        return [Event("excursion", text, "excursion", length_s=last.length_s, worst_w=last.worst_w)]

    def _point(
        self,
        measurement: str,
        fields: Iterable[Field],
        source: object,
        utc_s: float,
        tags: dict[str, str] | None = None,
    ) -> list[Point]:
        values = points.known(fields, source)
        return [Point(measurement, self._tags(tags), values, utc_s)] if values else []

    def _tags(self, more: dict[str, str] | None = None) -> tuple[tuple[str, str], ...]:
        return (("site", self._site), *(more or {}).items())
