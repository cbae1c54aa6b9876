"""Keeps the prices of one source current: asks, backs off, remembers, and says what the price is now."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from app.kept import Kept
from app.model import DeviceAuthError, DeviceDataError, DeviceError, PriceSlot, PriceState
from app.prices.base import EARLIEST_S, LATEST_S, MAX_PRICE_C, AskAgain, Busy, PriceSource
from app.prices.timetable import PAST_S, Timetable

log = logging.getLogger(__name__)

REFUSED_S = 3600.0  # only a person can mend a token; but services have refused good ones, too
FIRST_RETRY_S, LONGEST_RETRY_S, LONGEST_BUSY_S = 10.0, 60.0, 300.0
AT_EASE_S = 3600.0  # with final prices for so long, there is time
SHORTEST_PAUSE_S = 3.0
SAVE_EVERY_S = 600.0
NAP_S = 30.0
MAX_SKEW_S = 30.0  # more between our clock and the service's: one of them is wrong
BUILT_UTC_S = 1_767_225_600.0  # 2026-01-01: a clock that shows an earlier time was never set
AROUND_S = 60.0  # so often those are looked up whom nobody waits for
JITTER_S = 2.0  # off the round seconds at which everybody asks


@dataclass(frozen=True, slots=True)
class KeptPrices:
    """What outlives the program. ``of`` names the configuration that these prices belong to; ``saved_utc_s``: when."""

    of: str = ""
    slots: tuple[PriceSlot, ...] = ()
    saved_utc_s: float = 0.0

    def __post_init__(self) -> None:
        """Refuse a file that no price could come from."""
        times = [at_s for slot in self.slots for at_s in (slot.start_utc_s, slot.end_utc_s)]
        values = [value for slot in self.slots for value in (slot.export_value_c, slot.import_price_c)]
        if not all(EARLIEST_S <= at_s <= LATEST_S for at_s in times) or not 0.0 <= self.saved_utc_s <= LATEST_S:
            raise ValueError("a time is none")
        if not all(value is None or abs(value) <= MAX_PRICE_C for value in values):
            raise ValueError("a price is none")


class PriceFeed:
    """The prices of ``source``; they outlive the program in ``kept``, for the configuration that ``of`` names.

    ``utc`` is this computer's clock, which may be wrong; ``monotonic`` is not.
    """

    def __init__(
        self,
        source: PriceSource,
        max_stale_s: float,
        kept: Kept[KeptPrices] | None = None,
        *,
        of: str = "",
        utc: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        jitter_s: float = JITTER_S,
    ) -> None:
        self._source, self._kept, self._of, self._jitter_s = source, kept, of, jitter_s
        self._utc, self._monotonic = utc, monotonic
        self._known = Timetable(source.name, source.currency, max_stale_s)
        self._saved_s = -math.inf
        stored = KeptPrices() if kept is None else kept.read()
        if stored.of == of:
            self._known.merge(stored.slots, utc())
        self._since_utc_s = stored.saved_utc_s  # until the first answer: the time is later than that
        self._fault: str | None = None
        self._refused = False
        self._failures = 0
        self._around_utc_s, self._around = -math.inf, tuple[PriceSlot, ...]()
        self._server_s: float | None = None  # the service's clock, when the monotonic one was 0

    def state(self) -> PriceState:
        """The price of now, as far as it is known."""
        utc_s = self._utc()
        wrong = self._clock_fault(utc_s)
        known = PriceState(currency=self._source.currency, fault=wrong) if wrong else self._known.at(utc_s)
        if self._fault is None or wrong is not None:
            return known
        return replace(known, fault=self._fault, refused=self._refused)

    def around(self) -> tuple[PriceSlot, ...]:
        """The prices of the last hours and those ahead, in order; none while this computer's clock is wrong."""
        utc_s = self._utc()
        if self._clock_fault(utc_s):
            return ()
        if not 0.0 <= utc_s - self._around_utc_s < AROUND_S:
            self._around_utc_s, self._around = utc_s, self._known.since(utc_s - PAST_S)
        return self._around

    async def run(self) -> None:
        """Keep the prices current for ever; raises nothing that a service can cause."""
        while True:
            wait_s = await self.update()
            await self._sleep(wait_s + random.uniform(0.0, self._jitter_s))  # noqa: S311 - jitter, no secret

    async def _sleep(self, seconds: float) -> None:
        """Less where this computer's clock is put right meanwhile: for the new time, prices may be missing."""
        until_s = self._monotonic() + seconds
        apart_s = self._utc() - self._monotonic()
        while (rest_s := until_s - self._monotonic()) > 0.0:
            await asyncio.sleep(min(rest_s, NAP_S))
            if abs(self._utc() - self._monotonic() - apart_s) > MAX_SKEW_S:
                return

    async def update(self) -> float:
        """Ask once; the seconds until the next question."""
        try:
            fetched = await self._source.fetch()
        except DeviceError as error:
            if isinstance(error, DeviceDataError):  # the service has answered, and there is no price for us in it
                await self._forget()
            return self._failed(error)
        utc_s = self._utc()
        self._server_s = None if fetched.server_utc_s is None else fetched.server_utc_s - self._monotonic()
        self._known.merge(fetched.slots, utc_s)
        self._since_utc_s, self._around_utc_s = 0.0, -math.inf
        if self._fault is not None:
            log.info("%s is back", self._source.name)
        self._fault, self._refused, self._failures = None, False, 0
        due = self._monotonic() - self._saved_s >= SAVE_EVERY_S
        if self._kept is not None and due and self._clock_fault(utc_s) is None:
            self._saved_s = self._monotonic()
            await self._kept.save(KeptPrices(self._of, self._known.slots, utc_s))
        return max(SHORTEST_PAUSE_S, fetched.pause_s, self._source.pause_s(utc_s, self._known))

    async def _forget(self) -> None:
        self._known.clear()
        self._around_utc_s = self._saved_s = -math.inf
        if self._kept is not None:
            await self._kept.save(KeptPrices(self._of))

    def _failed(self, error: DeviceError) -> float:
        if self._fault is None:
            log.warning("%s", error)
        self._fault, self._refused = str(error), isinstance(error, DeviceAuthError)
        self._failures += 1
        if self._refused:
            return REFUSED_S
        if isinstance(error, Busy) and error.wait_s is not None:
            return max(error.wait_s, self._back_off_s(LONGEST_BUSY_S, 2))  # it has said so before, and was wrong
        if isinstance(error, AskAgain) and error.wait_s is not None:
            return error.wait_s
        longest_s = LONGEST_BUSY_S if isinstance(error, Busy) else LONGEST_RETRY_S
        later = self._known.slot(self._utc() + AT_EASE_S)
        if later is not None and later.confirmed:
            longest_s = AT_EASE_S / 4.0
        return self._back_off_s(longest_s)

    def _back_off_s(self, longest_s: float, first: int = 1) -> float:
        """Twice as long with each failure from the ``first`` one on; before that, nothing."""
        nth = self._failures - first
        return 0.0 if nth < 0 else min(longest_s, FIRST_RETRY_S * 2.0 ** min(nth, 8))

    def _clock_fault(self, utc_s: float) -> str | None:
        if utc_s < BUILT_UTC_S:
            return "this computer's clock is not set: check its network time"
        if utc_s < self._since_utc_s - MAX_SKEW_S:  # after a power cut it goes on where it was some time before
            return "this computer's clock shows an earlier time than at the last run: check its network time"
        skew_s = 0.0 if self._server_s is None else utc_s - self._server_s - self._monotonic()
        if abs(skew_s) > MAX_SKEW_S:
            by = f"{abs(skew_s):.0f} s {'ahead of' if skew_s > 0.0 else 'behind'}"
            return f"this computer's clock is {by} that of {self._source.name}: check its network time"
        return None
