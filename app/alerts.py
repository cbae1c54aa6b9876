"""Tells people of faults and of their end, through hooks. Control never waits for any of them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from app.config import AlertsConfig
from app.hooks import Alert, Command, Hook, HookError, Webhook
from app.model import Fault

log = logging.getLogger(__name__)

LOOK_S = 1.0
QUEUED = 100


@dataclass(slots=True)
class _Seen:
    first_s: float
    last_s: float
    fault: Fault
    told: bool = False


class Watch:
    """Which faults to tell of: those that last ``after_s``, and the end of those that were told.

    One that goes away for less than ``after_s`` was there all the time: a fault that flaps is told once.
    """

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._seen: dict[str, _Seen] = {}

    def look(self, faults: Iterable[Fault], now_s: float) -> tuple[list[Fault], list[Fault]]:
        """Take in the faults of now; those to tell of as new, and as over."""
        new, over = [], []
        for fault in faults:
            seen = self._seen.setdefault(fault.key, _Seen(now_s, now_s, fault))
            seen.last_s, seen.fault = now_s, fault
            if not seen.told and now_s - seen.first_s >= self._after_s:
                seen.told = True
                new.append(fault)
        for key, seen in list(self._seen.items()):
            if seen.last_s < now_s and now_s - seen.last_s >= self._after_s:
                del self._seen[key]
                if seen.told:
                    over.append(seen.fault)
        return new, over


class _Lane:
    """What waits for one hook. The oldest give way; a hook that fails is one line in the log until it works again."""

    def __init__(self, hook: Hook) -> None:
        self._hook = hook
        self._queue: asyncio.Queue[Alert] = asyncio.Queue(QUEUED)
        self._failing = False

    def put(self, alert: Alert) -> None:
        if self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait(alert)

    async def run(self) -> None:
        while True:
            alert = await self._queue.get()
            error = await self._deliver(alert)
            if error is not None and not self._failing:
                log.warning("%s %s; the alert about %s is lost", self._hook.name, error, alert.fault.key)
            if error is None and self._failing:
                log.info("%s works again", self._hook.name)
            self._failing = error is not None

    async def _deliver(self, alert: Alert) -> HookError | None:
        """Try it as often as the hook wants; the last error."""
        for pause_s in (*self._hook.retry_s, None):
            try:
                await self._hook.send(alert)
            except HookError as error:
                if pause_s is None:
                    return error
                await asyncio.sleep(pause_s)
            else:
                break
        return None


class Alerts:
    """The edge that watches the faults of now and tells each hook. ``faults()`` gives all of them."""

    def __init__(self, config: AlertsConfig, site: str, faults: Callable[[], Iterable[Fault]]) -> None:
        hooks: list[Hook] = [Command(config.command)] if config.command else []
        if config.webhook is not None:
            hooks.append(Webhook(config.webhook))
        self._lanes = [_Lane(hook) for hook in hooks]
        self._watch = Watch(config.after_s)
        self._site = site
        self._faults = faults

    async def run(self) -> None:
        """Tell of every fault that lasts, for ever."""
        async with asyncio.TaskGroup() as group:
            for lane in self._lanes:
                group.create_task(lane.run())
            while True:
                self._look()
                await asyncio.sleep(LOOK_S)

    def _look(self) -> None:
        new, over = self._watch.look(self._faults(), time.monotonic())
        alerts = [Alert("fault", fault, self._site, time.time()) for fault in new]
        alerts += [Alert("recovered", fault, self._site, time.time()) for fault in over]
        for alert in alerts:
            for lane in self._lanes:
                lane.put(alert)
