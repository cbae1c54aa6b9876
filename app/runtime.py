"""The one place that owns tasks: wires the rooms together, runs the loop, stops in order."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import aiohttp

from app import __version__, inverters
from app.access import Access
from app.actuator import Actuator
from app.alerts import Alerts
from app.api.discovery import Discovery
from app.api.http import HttpServer
from app.api.links import toggle_url
from app.api.mqtt import MqttSurface
from app.api.status import all_faults, status
from app.api.venusfeed import VenusFeed
from app.batteries import BatterySlot
from app.broker import Address, Broker
from app.brokers import Brokers
from app.config import Config
from app.control import EXPORT_WEIGHTS, Controller, ControlSettings, PriceRules
from app.control.commissioning import usable_dead_time_s
from app.enphase.ensemble.build import build as build_ensemble
from app.enphase.telemetry import EnvoyTelemetry
from app.excursions import Evidence, ExcursionCounter
from app.fleet import Fleet
from app.hub import Hub
from app.kept import Kept
from app.learned import LearnedStore
from app.leaving import PATIENCE_S, exit_commands, leave, leave_rules
from app.ledger import KeptLedger, LedgerKeeper
from app.meters import build
from app.meters.slot import MeterSlot
from app.model import Fault, Mode, Settings, Snapshot, StepTestReport, Tick
from app.outbound import new_session
from app.pricing import Pricing
from app.recorder import Recorder
from app.state import SettingsStore
from app.steptests import StepTests
from app.telemetry.recorder import Telemetry
from app.watchdog import Watchdog

log = logging.getLogger(__name__)

LONGEST_TICK_S = 1.05  # the loop turns at least this often, with or without a reading
LONGEST_HOLD_S = 0.5  # and while the reading is getting too old, since then the fail-safe is near
LINK_LIFETIME_S = 3600
LINK_STEP_S = 900
CLOSE_TIMEOUT_S = 5.0


async def run(config: Config, *, stop: asyncio.Event, on_ready: Callable[[str], None] | None = None) -> int:
    """Run the controller until ``stop`` is set. Raises `CannotListenError` when the HTTP port is taken."""
    async with new_session() as session:
        return await System(config, session).run(stop, on_ready)


class CannotListenError(OSError):
    """The port of the page cannot be used."""


class System:
    """Every part of one installation, wired."""

    def __init__(self, config: Config, session: aiohttp.ClientSession) -> None:
        self._config = config
        self._hub = Hub()
        configured = Settings(config.control.enabled, config.control.target_point_w)
        self._store = SettingsStore(config.data_dir / "settings.json", configured)
        name, prefix = f"zero-export-{config.site}", config.mqtt.topic_prefix
        heartbeat = f"{prefix}/state/heartbeat"
        will = (f"{prefix}/status", "offline")
        self._broker = Broker(Address.of(config.mqtt), name, will, heartbeat_topic=heartbeat)
        self._brokers = Brokers(self._broker, config.mqtt, f"{name}-device")
        access = Access(
            session,
            self._brokers.at,
            config.data_dir,
            publishes_grid=config.publishes_grid,
            own_pv_w=self._own_pv_w,
        )
        self._meter = MeterSlot([build(item, access) for item in config.meter])
        drivers = inverters.build(config.inverters, config.opendtu, access)
        self._envoy = EnvoyTelemetry(config.enphase, access) if config.enphase is not None else None
        self._fleet = Fleet(drivers, [item.id for item in config.inverters], config.site, heartbeat)
        self._actuator = Actuator(self._fleet)
        self._battery = BatterySlot(config.battery, access) if config.battery is not None else None
        self._pricing = Pricing(config, session, self._broker)
        self._ensemble = build_ensemble(config, access)
        self._ledger_file = Kept(config.data_dir / "ledger.json", KeptLedger, KeptLedger(), "ledger")
        self._ledger = LedgerKeeper(
            self._pricing.currency,
            config.control.export_limit_w,
            self._ledger_file.read(),
            most_w=config.control.max_grid_w,
        )
        self._learned = LearnedStore(config.data_dir / "learned.json")
        settings = replace(control_settings(config), learned_dead_time_s=self._learned.dead_times())
        self._controller = Controller(settings)
        self._recorder = (
            Recorder(config.data_dir / "ticks", config.recorder.max_mb, self._hub, site=config.site, settings=settings)
            if config.recorder is not None
            else None
        )
        enabled = [item.id for item in config.inverters if item.enabled and item.takes_watts]
        self._tests = StepTests(enabled, dry_run=config.control.dry_run)
        self._telemetry = Telemetry(config, self._hub, self._store, self._toggle_url)
        self._evidence = Kept(config.data_dir / "excursions.json", Evidence, Evidence(), "excursions")
        asked = config.excursions
        self._excursions = ExcursionCounter(
            asked.over_w, asked.longer_s, config.control.export_limit_w, self._evidence.read()
        )
        self._alerts = Alerts(config.alerts, config.site, self._faults) if config.alerts is not None else None
        self._mqtt = MqttSurface(
            self._broker, config.mqtt.topic_prefix, self._hub, self._store, self.describe, ensemble=self._ensemble
        )
        self._discovery = Discovery.of(config, self._broker, self._hub)
        self._venus = VenusFeed.of(config.venus, self._brokers.at, self._hub) if config.venus is not None else None
        self._http = HttpServer(
            config.http,
            self._hub,
            self._store,
            self._telemetry.history.query,
            version=__version__,
            site=config.site,
            faults=self._telemetry.faults,
            tests=self._tests,
            stored=self._telemetry.records,
            ensemble=self._ensemble,
            dropped=lambda: {"inverters": self._fleet.dropped, "set": self._mqtt.dropped},
        )
        self._watchdog = Watchdog()
        self._wake = self._meter.arrived
        for broker in self._fleet.brokers:
            broker.on_connect(self._connected)
        self._store.on_change(lambda _settings, _source: self._wake.set())

    async def run(self, stop: asyncio.Event, on_ready: Callable[[str], None] | None) -> int:
        """Start the page, then everything else; a bug in the loop ends the process, an edge is restarted."""
        try:
            await self._http.start()
        except OSError as error:
            raise CannotListenError(error.errno, error.strerror) from error
        if on_ready is not None:
            on_ready(f"{self._config.http.host}:{self._http.port}")
        stopping = asyncio.create_task(stop.wait(), name="stop")
        control = asyncio.create_task(self._loop(), name="control")
        edges = [asyncio.create_task(supervise(name, edge), name=name) for name, edge in self._edges().items()]
        try:
            await asyncio.wait({stopping, control}, return_when=asyncio.FIRST_COMPLETED)
            if control.done():
                control.result()
        finally:
            control.cancel()
            stopping.cancel()
            await self._close(edges, crashed=control.done() and not control.cancelled())
        return 0

    def _edges(self) -> dict[str, Callable[[], Awaitable[None]]]:
        edges: dict[str, Callable[[], Awaitable[None]]] = {
            "meter": self._meter.run,
            "inverters": self._fleet.run,
            "dead man": self._fleet.guard,
            "telemetry": self._telemetry.run,
            "learned": partial(self._learned.run, lambda: self._controller.learned),
        }
        if self._config.names_broker or self._brokers.own_used:
            edges |= {"mqtt": self._broker.run, "mqtt surface": self._mqtt.run, "discovery": self._discovery.run}
        edges |= self._pricing.edges()
        if self._battery is not None:
            edges["battery"] = self._battery.run
        if self._envoy is not None:
            edges |= self._envoy.edges()
        edges |= {f"mqtt of {broker.address}": broker.run for broker in self._brokers.others}
        if self._ensemble is not None:
            edges["ensemble"] = self._ensemble.run
        if self._recorder is not None:
            edges["recorder"] = self._recorder.run
        if self._venus is not None:
            edges["venus"] = self._venus.run
        if self._alerts is not None:
            edges["alerts"] = self._alerts.run
        if not self._config.control.dry_run:
            edges["excursions"] = partial(self._evidence.run, self._excursions.evidence)
            edges["ledger"] = partial(self._ledger_file.run, self._ledger.kept)
        return edges

    async def _loop(self) -> None:
        """The control loop. There is no try in it: a device's failure is data, an exception is a bug."""
        before: Tick | None = None
        while True:
            try:
                holding = before is not None and before.decision.mode in (Mode.HOLD, Mode.STARTING)
                async with asyncio.timeout(LONGEST_HOLD_S if holding else LONGEST_TICK_S):
                    await self._wake.wait()
            except TimeoutError:
                pass  # no reading: the step still has to see that time goes by
            self._wake.clear()
            started_s = time.perf_counter()
            snapshot = self.freeze()
            decision = self._controller.step(snapshot)
            if not self._config.control.dry_run:
                self._actuator.send(decision.commands)
                self._actuator.switch(decision.switches)
                self._actuator.rule(decision.rules)
                self._fleet.arm(decision.wills)
            step_s = time.perf_counter() - started_s
            self._note(self._tests.take(decision.step_test))
            tick = self._told(Tick(snapshot, decision, self._config.control.dry_run, step_s))
            self._hub.publish(tick)
            _log_changes(before, tick)
            before = tick
            self._watchdog.turned()

    async def _connected(self) -> None:
        """What could not be sent goes out now, not with the next reading."""
        self._wake.set()

    def _told(self, tick: Tick) -> Tick:
        """The same with what stands outside the core. A dry run keeps no accounts: the limits are not its own."""
        excursions = None if tick.dry_run else self._excursions.observe(tick.snapshot, tick.decision)
        excursion = self._excursions.fault()
        outside = (*(() if excursion is None else (excursion,)), *self._mqtt.faults(), *self._telemetry.faults())
        outside += self._pricing.faults()
        if self._battery is not None:
            outside += self._battery.faults(tick.snapshot.now_s, tick.snapshot.utc_s)
        envoy = None
        if self._envoy is not None:
            outside += self._envoy.faults(tick.snapshot.now_s)
            envoy = self._envoy.state(tick.snapshot.now_s)
        if self._ensemble is not None:
            outside += self._ensemble.faults()
            if self._pricing.settled:
                self._ensemble.observe(tick.decision.gate)
        ledger = None if tick.dry_run else self._ledger.observe(tick.snapshot, tick.decision)
        outlook = self._pricing.observe(tick.snapshot, tick.decision)
        stores = self._telemetry.stores()
        told = replace(tick, excursions=excursions, outside=outside, outlook=outlook, ledger=ledger)
        ensemble = self._ensemble.state if self._ensemble is not None else None
        return replace(told, stores=stores, envoy=envoy, ensemble=ensemble)

    def freeze(self) -> Snapshot:
        """Everything the core may look at, as it is now."""
        utc_s = time.time()
        return Snapshot(
            now_s=time.monotonic(),
            utc_s=utc_s,
            meter=self._meter.state,
            inverters=self._fleet.states(),
            settings=self._store.expire(utc_s),
            price=self._pricing.state(),
            gateways=self._fleet.gateways(),
            broker_connected=self._fleet.connected,
            broker_fault=self._fleet.broker_fault,
            step_test=self._tests.request,
            dead_man=not self._config.control.dry_run,
            battery=self._battery.state if self._battery is not None else None,
        )

    def _own_pv_w(self) -> float | None:
        return self._fleet.power_w()

    def _note(self, test: StepTestReport | None) -> None:
        """Keep what a step test that ended has measured."""
        if test is None:
            return
        log.info("step test of %s: %s. %s", test.name, test.text, test.next_step)
        dead_time_s = usable_dead_time_s(test.result) if test.result is not None else None
        if test.result is not None and dead_time_s is not None:
            self._learned.measured(test.serial, dead_time_s, len(test.result.steps))

    def describe(self, tick: Tick) -> dict[str, Any]:
        """The status document, as every surface shows it."""
        return status(
            tick,
            self._store.current,
            now_s=time.monotonic(),
            version=__version__,
            site=self._config.site,
        )

    def _faults(self) -> tuple[Fault, ...]:
        """Everything that is wrong now, a loop that stands still included."""
        return all_faults(self._hub.latest, now_s=time.monotonic())

    def _toggle_url(self, settings: Settings) -> str | None:
        """A signed link to the other state, the same one for a while so that it is seldom stored."""
        expires_s = int((time.time() // LINK_STEP_S) * LINK_STEP_S) + LINK_STEP_S + LINK_LIFETIME_S
        other: Literal["on", "off"] = "off" if settings.enabled else "on"
        return toggle_url(self._config.http, self._store.signing_key, state=other, expires_utc_s=expires_s)

    async def _close(self, edges: list[asyncio.Task[None]], *, crashed: bool) -> None:
        """Leave the configured limit behind, say goodbye, store what is left: each within a bounded time.

        ``crashed``: a bug ended the loop; what is sent need not be acknowledged, the next start is what matters.
        """
        self._watchdog.stop()
        steps = [
            ("exit limit", self._leave_limits(patience_s=0.0 if crashed else PATIENCE_S)),
            ("dead man", self._fleet.unguard()),
            ("goodbye", self._mqtt.close()),
            ("telemetry", self._telemetry.close()),
            ("learned", self._learned.close(self._controller.learned)),
            ("excursions and ledger", self._keep_evidence()),
            ("page", self._http.stop()),
        ]
        if self._ensemble is not None:
            steps.append(("ensemble", self._ensemble.close()))
        if self._recorder is not None:
            steps.append(("recorder", self._recorder.close()))
        for what, closing in steps:
            try:
                async with asyncio.timeout(CLOSE_TIMEOUT_S + PATIENCE_S * (what == "exit limit")):
                    await closing
            except TimeoutError:
                log.warning("%s: not done in time", what)
        for edge in edges:
            edge.cancel()
        await asyncio.wait(edges, timeout=CLOSE_TIMEOUT_S)

    async def _keep_evidence(self) -> None:
        if not self._config.control.dry_run:
            await self._evidence.save(self._excursions.evidence())
            await self._ledger_file.save(self._ledger.kept())

    async def _leave_limits(self, patience_s: float) -> None:
        """What a clean stop leaves in the inverters (`control.exit_limit`)."""
        tick, how = self._hub.latest, self._config.control.exit_limit
        # paused under the grid operator's cap has a target, and must not be left alone
        released = tick is not None and tick.decision.mode is Mode.PAUSED and tick.decision.target_w is None
        if self._config.control.dry_run:
            return
        async with asyncio.TaskGroup() as group:  # a slow gateway must not keep the others from their limits
            if tick is not None and not released:
                group.create_task(leave_rules(self._actuator, self._fleet.states, how))
            else:
                group.create_task(self._actuator.ruled())
            await self._actuator.finish()
            await self._actuator.wake()
            if tick is not None and not released and tick.decision.mode is not Mode.NIGHT and how != "keep":
                commands = exit_commands(tick.snapshot, how, self._config.control.fail_safe_w)
                await leave(self._actuator, self._fleet.states, commands, patience_s)


def control_settings(config: Config) -> ControlSettings:
    """The core's constants out of the `control` section."""
    control = config.control
    return ControlSettings(
        deadband_w=control.deadband_w,
        export_weight=EXPORT_WEIGHTS[control.cyclic_loads],
        min_command_interval_s=control.min_command_interval_s,
        max_raise_w_per_s=control.max_raise_w_per_s,
        dead_time_s=control.dead_time_s,
        phases=control.phases,
        switch_off=control.switch_off,
        stale_hold_s=control.stale_hold_s,
        stale_fail_safe_s=control.stale_fail_safe_s,
        fail_safe_w=control.fail_safe_w,
        max_grid_w=control.max_grid_w,
        export_limit_w=control.export_limit_w,
        battery=config.battery.rules if config.battery is not None else None,
        price=config.price.rules if config.price is not None else PriceRules(),
    )


async def supervise(name: str, edge: Callable[[], Awaitable[None]]) -> None:
    """Restart an edge that fails, with growing pauses; its failure never reaches control."""
    pause_s = 1.0
    while True:
        started_s = time.monotonic()
        try:
            await edge()
        except Exception:
            log.exception("%s failed; starting it again in %.0f s", name, pause_s)
        pause_s = 1.0 if time.monotonic() - started_s > 60.0 else min(30.0, pause_s * 2.0)
        await asyncio.sleep(random.uniform(0.5, 1.0) * pause_s)  # noqa: S311 - jitter, no secret


def _log_changes(before: Tick | None, now: Tick) -> None:
    """Modes and faults, once when they begin and once when they end: a fault is its key, whatever its text."""
    decision = now.decision
    if before is None or before.decision.mode is not decision.mode:
        log.info("mode %s: %s", decision.mode, decision.reason)
    old = {fault.key: fault for fault in before.faults} if before else {}
    new = {fault.key: fault for fault in now.faults}
    for key in new.keys() - old.keys():
        log.warning("fault %s: %s %s", key, new[key].text, new[key].next_step)
    for key in old.keys() - new.keys():
        log.info("over %s: %s", key, old[key].text)
    log.debug(
        "%s grid=%s load=%s limit=%s: %s",
        decision.mode,
        decision.grid_w,
        decision.load_w,
        decision.limit_w,
        decision.reason,
    )
