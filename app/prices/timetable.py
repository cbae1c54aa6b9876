"""The prices known, by time. Pure: time is an argument."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from app.model import PriceSlot, PriceState

PAST_S = 12 * 3600.0  # for those who want to see what was
MOST = 500  # slots kept of what is over, and as many of what is not: five days of quarter-hours


class Timetable:
    """Slots, the newer word replacing the older; what is confirmed gives way only to what is confirmed.

    ``name`` of the source begins the sentences about it; ``max_stale_s``: how long the last price serves after its end.
    """

    def __init__(self, name: str, currency: str, max_stale_s: float) -> None:
        self._name, self._currency, self._max_stale_s = name, currency, max_stale_s
        self._slots: list[PriceSlot] = []

    def merge(self, slots: Iterable[PriceSlot], utc_s: float) -> None:
        """Take in what a source has answered, and forget what is over."""
        new = [slot for slot in slots if slot.end_utc_s > slot.start_utc_s]
        kept = [old for old in self._slots if not any(_replaces(one, old) for one in new)]
        settled = [old for old in kept if old.confirmed]
        new = [one for one in new if one.confirmed or not any(_same(one, old) for old in settled)]
        oldest_s = utc_s - max(PAST_S, self._max_stale_s)
        found = sorted({*kept, *new}, key=lambda slot: (slot.start_utc_s, slot.end_utc_s))
        last = max((slot.end_utc_s for slot in found if slot.start_utc_s <= utc_s), default=0.0)
        found = [slot for slot in found if slot.end_utc_s > oldest_s or slot.end_utc_s == last]
        over = sum(slot.end_utc_s <= utc_s for slot in found)
        self._slots = found[max(0, over - MOST) : over + MOST]

    def clear(self) -> None:
        """Forget everything."""
        self._slots = []

    def slot(self, utc_s: float) -> PriceSlot | None:
        """The slot of a moment: a confirmed one before others, a short one before a long one."""
        running = [slot for slot in self._slots if slot.start_utc_s <= utc_s < slot.end_utc_s]
        return min(running, key=lambda slot: (not slot.confirmed, slot.end_utc_s - slot.start_utc_s), default=None)

    def at(self, utc_s: float) -> PriceState:
        """The price of a moment. After its end the last one serves a while, as no more than an estimate."""
        slot = self.slot(utc_s)
        if slot is not None:
            return self._state(slot, estimated=not slot.confirmed)
        last = max((one for one in self._slots if one.end_utc_s <= utc_s), key=lambda one: one.end_utc_s, default=None)
        if last is None:
            if self._slots:
                return self._unknown(f"{self._name}'s first price begins in the future: check this computer's clock")
            return self._unknown(None)
        ended = f"{self._name}'s last price ended at {datetime.fromtimestamp(last.end_utc_s, UTC):%Y-%m-%d %H:%M} UTC"
        if utc_s - last.end_utc_s > self._max_stale_s:
            return self._unknown(ended)
        return self._state(last, estimated=True, fault=ended)

    def since(self, utc_s: float) -> tuple[PriceSlot, ...]:
        """All from a moment on, in order and without overlaps."""
        found: list[PriceSlot] = []
        for slot in self._slots:
            if slot.end_utc_s <= utc_s:
                continue
            best = self.slot(max(slot.start_utc_s, utc_s))
            if best is slot and (not found or slot.start_utc_s >= found[-1].end_utc_s):
                found.append(slot)
        return tuple(found)

    @property
    def slots(self) -> tuple[PriceSlot, ...]:
        """All that is known."""
        return tuple(self._slots)

    def _state(self, slot: PriceSlot, *, estimated: bool, fault: str | None = None) -> PriceState:
        if slot.export_value_c is None and fault is None:
            fault = f"{self._name}'s price of now leads to no export value: check the formula in price.export_value"
        return PriceState(
            slot.export_value_c, slot.import_price_c, estimated, slot.end_utc_s, fault, currency=self._currency
        )

    def _unknown(self, fault: str | None) -> PriceState:
        return PriceState(fault=fault, currency=self._currency)


def _overlap(one: PriceSlot, other: PriceSlot) -> bool:
    return one.start_utc_s < other.end_utc_s and other.start_utc_s < one.end_utc_s


def _same(one: PriceSlot, other: PriceSlot) -> bool:
    return (one.start_utc_s, one.end_utc_s) == (other.start_utc_s, other.end_utc_s)


def _replaces(new: PriceSlot, old: PriceSlot) -> bool:
    return _overlap(new, old) and (new.confirmed or not old.confirmed)
