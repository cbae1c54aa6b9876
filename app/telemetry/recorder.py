"""Feeds every tick to the stores and to the page's history. Control never waits for any of this."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from app.config import Config
from app.hub import Hub, Subscription
from app.model import Fault, Settings, StoreState, Tick
from app.state import SettingsStore
from app.telemetry.projector import Projector
from app.telemetry.records import Records
from app.telemetry.rollup import Rollup
from app.telemetry.sink import Sink
from app.telemetry.sqlite import SqliteSink

log = logging.getLogger(__name__)

WAITING = 120  # ticks kept while the store is being opened


class Telemetry:
    """The record of the system: points to InfluxDB or SQLite, minutes to both, and the page's history.

    ``toggle_url(settings)`` gives the signed link that leads to the other state; it is asked about once a minute.
    """

    def __init__(
        self, config: Config, hub: Hub, store: SettingsStore, toggle_url: Callable[[Settings], str | None]
    ) -> None:
        site = config.site
        self._hub = hub
        self._sqlite = SqliteSink(config.data_dir / "telemetry.db", raw=config.influxdb is None)
        self._sinks: list[Sink] = [self._sqlite]
        self._watched: list[Callable[[], Fault | None]] = [self._sqlite.fault]
        if config.influxdb is not None:
            from app.telemetry.influx import InfluxSink  # noqa: PLC0415 - 23 MB that only its users pay

            influx = InfluxSink(config.influxdb, config.data_dir / "spool")
            self._sinks.append(influx)
            self._watched += [influx.fault, influx.spool_fault]
        self._projector = Projector(site, toggle_url)
        self._rollup: Rollup | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False
        self.records = Records(self._sqlite, site)
        self.history = self.records.history
        store.on_change(lambda _, source: self._projector.changed_by(source))

    async def run(self) -> None:
        """Record every tick, for ever."""
        if not self._closed:
            with self._hub.subscribe(WAITING) as ticks:
                await self._restore()
                async with asyncio.TaskGroup() as group:
                    self._tasks = [group.create_task(sink.run(), name=f"telemetry {sink.name}") for sink in self._sinks]
                    self._tasks.append(group.create_task(self._record(ticks), name="telemetry record"))
        await asyncio.Event().wait()  # closed: nothing is left to do but to be cancelled

    async def close(self) -> None:
        """Write what is left, within a few seconds. `run` may still be under way; it records no more."""
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        minute = self._rollup.flush() if self._rollup is not None else None
        if minute is not None:
            for sink in self._sinks:
                sink.offer([self._projector.minute(minute)])
        await asyncio.gather(*(sink.close() for sink in self._sinks))

    def faults(self) -> tuple[Fault, ...]:
        """What keeps telemetry from being stored now."""
        return tuple(fault for ask in self._watched if (fault := ask()) is not None)

    def stores(self) -> tuple[StoreState, ...]:
        """How each store stands."""
        return tuple(sink.stats for sink in self._sinks)

    async def _restore(self) -> None:
        """Go on where the last run of the program ended; once, since this run knows better afterwards."""
        if self._rollup is None:
            self._rollup = Rollup(await self.records.last_minute())
            await self.history.seed()

    async def _record(self, ticks: Subscription) -> None:
        while True:
            self._take(await ticks.get())

    def _take(self, tick: Tick) -> None:
        points = self._projector.points(tick)
        minute = self._rollup.add(tick) if self._rollup is not None else None
        if minute is not None:
            points.append(self._projector.minute(minute))
        self.history.add(tick)
        for sink in self._sinks:
            sink.offer(points)
