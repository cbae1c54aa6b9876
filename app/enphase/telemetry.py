"""What an Enphase gateway tells besides what control needs: asked one after the other, since it has few sockets.

A document that cannot be had does not spoil the others. What is too old is not shown any more, and never as 0.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

from app.access import Access
from app.enphase import inventory, meters
from app.enphase.about import GatewayAbout
from app.enphase.clamps import METERS, Clamps
from app.enphase.gateway import LARGE_BYTES, Gateway
from app.enphase.publish import EnvoyPublisher
from app.enphase.section import EnphaseSection
from app.enphase.sources import Held, Source, Trouble
from app.kept import Kept
from app.model import (
    BatteryState,
    DeviceAuthError,
    DeviceDataError,
    DeviceError,
    DeviceUnavailable,
    EnvoyDevice,
    EnvoyEvent,
    EnvoyMeter,
    EnvoyState,
    Fault,
    Microinverter,
)

log = logging.getLogger(__name__)

TIMEOUT_S, LIVE_TIMEOUT_S, REPORT_TIMEOUT_S = 15.0, 5.0, 30.0  # the report takes it up to 10 s to compile
LOOK_AGAIN_S = 600.0  # at which meters there are
REPORT_EVERY_S = 900.0  # where only its energies are wanted
SILENT_S = 60.0  # for so long meters that tell nothing are shown
STILL_S = 360.0  # and those that tell the same: some firmware has new values every five minutes only
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 60.0  # for a gateway that does not answer
MOST_NEWS = 50


class EnvoyTelemetry:
    """Asks one gateway. `state` is what it tells now."""

    def __init__(self, section: EnphaseSection, access: Access) -> None:
        self._section = section
        self._gateway = Gateway.of(access, section)
        slow_s = section.slow_interval_s
        self._report_source = Source("Enphase energies", slow_s, self._ask_report)
        self._sources = [
            Source("Enphase gateway", LONGEST_PAUSE_S, self._greet, needed=False),
            Source("Enphase meters", section.interval_s, self._ask_meters, longest_s=LONGEST_PAUSE_S),
            self._report_source,
            Source("Enphase micro-inverters", slow_s, self._ask_microinverters),
            Source("Enphase devices", slow_s, self._ask_devices),
            Source("Enphase batteries", slow_s, self._ask_battery, needed=False),
            Source("Enphase events", slow_s, self._ask_events, needed=False),
        ]
        self._clamps: tuple[Clamps, ...] = ()
        self._looked_s: float | None = None
        self._stamp_s: float | None = None
        self._measured = Held[tuple[EnvoyMeter, ...]]()
        self._reported = Held[tuple[EnvoyMeter, ...]]()
        self._report: Any = None
        self._microinverters = Held[tuple[Microinverter, ...]]()
        self._devices = Held[tuple[EnvoyDevice, ...]]()
        self._batteries = Held[tuple[EnvoyDevice, ...]]()
        self._battery = Held[BatteryState]()
        self._events: tuple[EnvoyEvent, ...] | None = None
        self._news: tuple[EnvoyEvent, ...] = ()
        self._listed = Kept(access.data_dir / "envoy-events.json", tuple[str, ...], tuple[str, ...](), "events")
        self._known = self._listed.read()
        self._about: GatewayAbout | None = None
        self._notes: tuple[str, ...] = ()
        self._state = EnvoyState(self._gateway.name)
        self._made_of: tuple[object, ...] = ()
        self._trouble = Trouble()
        self._publisher: EnvoyPublisher | None = None
        if section.publish is not None:
            broker = access.broker(section.publish.mqtt)
            self._publisher = EnvoyPublisher(section.publish, broker, lambda: self.state(time.monotonic()))

    def edges(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """What is to run beside control, by name."""
        edges: dict[str, Callable[[], Awaitable[None]]] = {"enphase": self.run}
        return edges if self._publisher is None else edges | {"enphase mqtt": self._publisher.run}

    def state(self, now_s: float) -> EnvoyState:
        """What is known now; the same object while nothing has changed."""
        held = (self._measured, self._reported, self._microinverters, self._devices, self._batteries, self._battery)
        made_of = (*(one.at(now_s) for one in held), self._events, self._news, self._about, self._notes)
        if made_of != self._made_of:
            self._made_of = made_of
            self._state = self._assembled(now_s)
        return self._state

    def faults(self, now_s: float) -> tuple[Fault, ...]:
        """A gateway that has told nothing for some minutes, or does not let us in."""
        fault = self._trouble.fault(now_s)
        return () if fault is None else (fault,)

    async def run(self) -> None:
        """Ask, for ever."""
        pause_s = FIRST_PAUSE_S
        while True:
            if await self._round():
                pause_s = FIRST_PAUSE_S
                await asyncio.sleep(max(0.1, min(source.due_s for source in self._sources) - time.monotonic()))
            else:
                await asyncio.sleep(pause_s)
                pause_s = min(LONGEST_PAUSE_S, 2.0 * pause_s)

    async def _round(self) -> bool:
        """Ask what is due; False as soon as the gateway does not answer, since no other document would come either."""
        there = True
        for source in self._sources:
            if there and source.due_s <= time.monotonic():
                try:
                    await source.ask()
                except DeviceError as failure:
                    error = failure.saying(self._gateway.shown(str(failure)))
                    source.failed(error, time.monotonic())
                    there = not isinstance(error, DeviceUnavailable)
                    if not there or isinstance(error, DeviceAuthError):
                        self._trouble.begins(error, time.monotonic(), time.time())
                else:
                    source.done(time.monotonic())
                    if source.needed:
                        self._trouble.ends()
        notes = [source.note for source in self._sources if source.needed]
        self._notes = tuple(dict.fromkeys(note for note in (*notes, self._gateway.expiry_notice) if note))
        return there

    async def _greet(self) -> None:
        self._about = await self._gateway.about()

    async def _get(self, path: str, timeout_s: float = TIMEOUT_S) -> Any:
        return await self._gateway.get_json(path, timeout_s, max_bytes=LARGE_BYTES)

    async def _ask_meters(self) -> None:
        now_s = time.monotonic()
        if self._looked_s is None or now_s - self._looked_s > LOOK_AGAIN_S:
            try:
                self._clamps = meters.measuring(await self._get(METERS, LIVE_TIMEOUT_S))
            except DeviceDataError as error:  # firmware for gateways without clamps: its report tells what there is
                log.debug("%s: %s", self._gateway.name, error)
                self._clamps = ()
            self._looked_s = now_s
            slow_s = self._section.slow_interval_s
            self._report_source.every_s = max(REPORT_EVERY_S, slow_s) if self._clamps else slow_s
        if not self._clamps:
            return
        try:
            told = meters.readings(await self._get(meters.READINGS, LIVE_TIMEOUT_S), self._clamps)
        except DeviceDataError:
            self._looked_s = None
            raise
        self._measure(told.meters, told.stamp_s)

    def _measure(self, found: Sequence[EnvoyMeter], stamp_s: float | None) -> None:
        """Take in meters; those of the same moment as the last ones stay what they were."""
        now_s = time.monotonic()
        held = self._measured.value
        if held and held[0].at_s is not None and stamp_s is not None and stamp_s == self._stamp_s:
            self._measured.until_s = min(now_s + self._shown_for_s, held[0].at_s + STILL_S)
            return
        self._stamp_s = stamp_s
        utc_s = time.time()
        values = tuple(replace(meter, at_s=now_s, utc_s=utc_s) for meter in found)
        self._measured.hold(values, now_s + self._shown_for_s)

    @property
    def _shown_for_s(self) -> float:
        return max(SILENT_S, 4.0 * self._section.interval_s)

    async def _ask_report(self) -> None:
        self._report = await self._get(meters.REPORT, REPORT_TIMEOUT_S)
        now_s, utc_s = time.monotonic(), time.time()
        found = tuple(replace(meter, at_s=now_s, utc_s=utc_s) for meter in meters.report(self._report))
        self._reported.hold(found, now_s + 3.0 * self._report_source.every_s)

    async def _ask_microinverters(self) -> None:
        self._slow(self._microinverters, inventory.microinverters(await self._get(inventory.INVERTERS)))

    async def _ask_devices(self) -> None:
        self._slow(self._devices, inventory.devices(await self._get(inventory.INVENTORY)))

    async def _ask_battery(self) -> None:
        """Where there are no batteries only the first of the three documents is asked for."""
        stock = await self._optional(inventory.ENSEMBLE)
        units = inventory.devices(stock, inventory.ENSEMBLE) if stock is not None else ()
        there = any(one.kind == "battery" for one in units)
        secctrl = await self._optional(inventory.SECCTRL) if there else None
        power = await self._optional(inventory.POWER) if there else None
        name = f"battery of {self._gateway.name}"
        state = inventory.battery(stock, secctrl, power, self._report, name)
        self._slow(self._batteries, tuple(one for one in units if one.kind == "battery"))
        if state is not None:
            every_s = self._section.slow_interval_s
            self._slow(self._battery, replace(state, at_s=time.monotonic(), interval_s=every_s))

    async def _optional(self, path: str) -> Any:
        """A document that many gateways do not have, or do not show to everybody; None without."""
        try:
            return await self._get(path)
        except (DeviceDataError, DeviceAuthError) as error:
            log.debug("%s: %s", self._gateway.name, error)
            return None

    async def _ask_events(self) -> None:
        found = inventory.events(await self._get(inventory.EVENTS))
        self._events = found
        fresh = tuple(event for event in found if event.id not in self._known) if self._known else ()
        self._news = (*self._news, *fresh)[-MOST_NEWS:] if fresh else self._news
        known = tuple(event.id for event in found)
        if known and known != self._known:
            self._known = known
            await self._listed.save(known)

    def _slow(self, held: Held[Any], value: Any) -> None:
        held.hold(value, time.monotonic() + 3.0 * self._section.slow_interval_s)

    def _assembled(self, now_s: float) -> EnvoyState:
        live, reported = self._measured.at(now_s), self._reported.at(now_s) or ()
        shown = meters.with_energies(live, reported) if live else () if self._clamps else reported
        devices, batteries = self._devices.at(now_s), self._batteries.at(now_s)
        return EnvoyState(
            self._gateway.name,
            serial=None if self._about is None else self._about.serial,
            software=None if self._about is None else self._about.software,
            meters=shown,
            microinverters=self._microinverters.at(now_s),
            devices=None if devices is None and not batteries else (*(devices or ()), *(batteries or ())),
            battery=self._battery.at(now_s),
            events=self._events,
            news=self._news,
            notes=self._notes,
        )
