"""Where a gateway says what is produced: its clamps, else its microinverters, else the sum that old firmware shows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from app.enphase.clamps import METERS
from app.enphase.gateway import LARGE_BYTES, Gateway
from app.inverters.enphase.production import (
    Produced,
    by_clamps,
    by_document,
    by_summary,
    production_clamps,
    stores,
    stores_by_document,
)
from app.model import DeviceDataError, DeviceError

Read = Callable[[], Awaitable[Produced]]
LOOK_AGAIN_S = 3600.0  # at which clamps and storage there are
TIMEOUT_S = 10.0
SLOW_TIMEOUT_S = 20.0  # /production.json was seen to take 9 s
SLOW_S = 60.0  # so it is asked for no more often


class ProductionMeter:
    """Finds the best source and keeps to it. ``slowest_s``: how seldom that source may be asked.

    ``storage``: whether the gateway shows a battery of Enphase's; None: not known.
    """

    def __init__(self, gateway: Gateway, clock: Callable[[], float], storage: bool | None = None) -> None:
        self.slowest_s = 0.0
        self.storage = storage
        self.source = ""
        self._gateway, self._clock = gateway, clock
        self._read: Read | None = None
        self._looked_s = 0.0
        self._stamp_s: float | None = None

    async def read(self) -> tuple[Produced, float | None]:
        """The production, and when that was known to be so; None: it is an old value again. Raises `DeviceError`."""
        if self._read is None or self._clock() - self._looked_s > LOOK_AGAIN_S:
            self._read = await self._find()
        try:
            produced = await self._read()
        except DeviceDataError:
            self._read = None
            raise
        new = produced.stamp_s is None or produced.stamp_s != self._stamp_s
        self._stamp_s = produced.stamp_s
        return produced, self._clock() if new else None

    async def _find(self) -> Read:
        """By clamps where they count the production; the documents of old firmware lack this or that."""
        eid = production_clamps(await self._or_none(METERS))
        document = None if eid is not None else await self._or_none("/production.json")
        await self._find_storage(document)
        self._looked_s, self.slowest_s = self._clock(), 0.0
        if eid is not None:
            self.source = "/ivp/meters/readings"
            return partial(self._by_clamps, eid)
        if document is not None:
            self.source, self.slowest_s = "/production.json", SLOW_S
            return self._by_document
        self.source = "/api/v1/production"
        return self._by_summary

    async def _find_storage(self, document: object) -> None:
        """AC Batteries are counted in /production.json, later ones are in the inventory."""
        try:
            found = stores(await self._or_none("/ivp/ensemble/inventory"))
            document = document if document is not None else await self._or_none("/production.json")
        except DeviceError:
            return  # the production matters more, and tells what is wrong
        self.storage = found or stores_by_document(document)

    async def _or_none(self, path: str) -> object:
        """A document that not every firmware has."""
        try:
            found: object = await self._gateway.get_json(path, SLOW_TIMEOUT_S, max_bytes=LARGE_BYTES)
        except DeviceDataError:
            return None
        return found

    async def _by_clamps(self, eid: int) -> Produced:
        return by_clamps(await self._gateway.get_json("/ivp/meters/readings", TIMEOUT_S), eid)

    async def _by_document(self) -> Produced:
        return by_document(await self._gateway.get_json("/production.json", SLOW_TIMEOUT_S, max_bytes=LARGE_BYTES))

    async def _by_summary(self) -> Produced:
        return by_summary(await self._gateway.get_json("/api/v1/production", TIMEOUT_S))
