"""Where the prices stand in a JSON document, and how they are read out of it. Pure: time is an argument."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from pydantic import Field, model_validator

from app.jsonpath import JsonPath, look_up
from app.model import DeviceUnavailable, PriceSlot
from app.prices.base import EARLIEST_S, LATEST_S, Currency, PriceSection
from app.prices.web import cents, utc_s

MOST_ENTRIES = 500  # five days of quarter-hours; more would hold up the control loop
SHORTEST_PAST_S = 60.0  # what lasted less is not remembered, else a restless price fills the memory


class Shape(PriceSection):
    """JSONPaths to one price, or below ``slots`` to many; with these the others are relative to each entry."""

    currency: Currency = Field(description="three letters, like EUR; prices are hundredths of it per kWh")
    factor: float = Field(
        1.0,
        ge=-1e6,
        le=1e6,
        description="makes the numbers hundredths of the currency per kWh: 100 for EUR/kWh, 0.1 for EUR/MWh; negative "
        "where the service counts what export costs (import_price keeps its sign)",
    )
    export_value: JsonPath = Field("$", description="what one exported kWh earns; a number, negative if you pay")
    import_price: JsonPath | None = None
    estimated: JsonPath | None = Field(None, description="true or false; default: every price is confirmed")
    valid_until: JsonPath | None = Field(None, description="end of the one price: ISO time with zone, or Unix time")
    slots: JsonPath | None = Field(None, description="the entries of a list of prices, like $.prices[*]")
    start: JsonPath | None = Field(None, description="of each entry: ISO time with zone, or Unix time (s or ms)")
    end: JsonPath | None = Field(None, description="of each entry; default: where the next one starts")

    @model_validator(mode="after")
    def _one_or_many(self) -> Shape:
        if self.factor == 0.0:
            raise ValueError("factor: is 0, which makes every price 0: 1 leaves them as they are")
        if self.slots is None and (self.start is not None or self.end is not None):
            raise ValueError("start and end belong to slots: give slots, or remove them")
        if self.slots is not None and self.start is None:
            raise ValueError("slots: give start too, where each entry says when it begins")
        if self.slots is not None and self.valid_until is not None:
            raise ValueError("valid_until belongs to one price: with slots, use end")
        return self

    @property
    def timed(self) -> bool:
        """Whether the document itself says when its prices hold."""
        return self.slots is not None or self.valid_until is not None


def read(document: Any, shape: Shape, now_utc_s: float, valid_s: float) -> tuple[PriceSlot, ...]:
    """The prices in a document; one that does not say how long it holds is taken to do so for ``valid_s``.

    Entries without a usable price or time are left out. Raises `DeviceUnavailable` where no price is left.
    """
    if shape.slots is not None:
        return _many(document, shape, shape.slots, valid_s)
    end_s = now_utc_s + valid_s
    if shape.valid_until is not None:
        end_s = _moment(document, shape.valid_until)
        if end_s <= now_utc_s:
            raise DeviceUnavailable(f"its price ended at {datetime.fromtimestamp(end_s, UTC):%Y-%m-%d %H:%M} UTC")
    return (_slot(document, shape, now_utc_s, end_s),)


def _many(document: Any, shape: Shape, path: str, valid_s: float) -> tuple[PriceSlot, ...]:
    entries = _all(document, path)
    if len(entries) > MOST_ENTRIES:
        raise DeviceUnavailable(f"{len(entries)} entries at {path}: more than {MOST_ENTRIES} are not read")
    begun: list[tuple[float, Any]] = []
    wrong: list[DeviceUnavailable] = []
    for entry in entries:
        try:
            begun.append((_moment(entry, str(shape.start)), entry))
        except DeviceUnavailable as error:
            wrong.append(error)
    ends = _ends([start_s for start_s, _ in begun], valid_s)
    slots: list[PriceSlot] = []
    for start_s, entry in begun:
        try:
            end_s = ends[start_s] if shape.end is None else _moment(entry, shape.end)
            slots.append(_slot(entry, shape, start_s, end_s))
        except DeviceUnavailable as error:
            wrong.append(error)
    if not slots:
        why = f", one of them: {wrong[0]}" if wrong else ""
        raise DeviceUnavailable(f"no price in the {len(entries)} entries at {path}{why}")
    return tuple(slots)


def _ends(starts: list[float], valid_s: float) -> dict[float, float]:
    """Each ends where the next one starts; the last one is as long as the one before it."""
    ordered = sorted(set(starts))
    ends = dict(pairwise(ordered))
    if ordered:
        ends[ordered[-1]] = ordered[-1] + (ordered[-1] - ordered[-2] if len(ordered) > 1 else valid_s)
    return ends


def _slot(item: Any, shape: Shape, start_s: float, end_s: float) -> PriceSlot:
    if end_s <= start_s:
        raise DeviceUnavailable(f"it ends before it starts (price.start {shape.start}, price.end {shape.end})")
    value = _one(item, shape.export_value)
    value_c = _cents(value, shape.factor)
    if value_c is None:
        what = "a text: send a number without quotes" if isinstance(value, str) else "no price"
        raise DeviceUnavailable(f"{shape.export_value} is {_shown(value)}, {what}")
    import_c = _cents(_maybe(item, shape.import_price), abs(shape.factor))
    confirmed = shape.estimated is None or _maybe(item, shape.estimated) is False
    return PriceSlot(start_s, end_s, 0.0 + value_c, import_c, confirmed)  # added, -0 becomes 0


def _cents(value: Any, factor: float) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        price_c = cents(value * factor)
    except OverflowError:  # JSON knows no largest integer
        return None
    return None if price_c is None else round(price_c, 6)  # 100 times 0.07 is to be 7, where that is the threshold


def _moment(item: Any, path: str) -> float:
    value = _one(item, path)
    if isinstance(value, bool) or not isinstance(value, int | float):
        at_s = utc_s(value)
    else:
        at_s = next((value / unit for unit in (1, 1000) if EARLIEST_S * unit <= value < LATEST_S * unit), None)
    if at_s is None:
        raise DeviceUnavailable(f"{path} is {_shown(value)}, no ISO time with a time zone and no Unix time")
    return at_s


def _one(item: Any, path: str) -> Any:
    found = _all(item, path)
    if len(found) != 1:
        raise DeviceUnavailable(f"{len(found)} values at {path}: name one" if found else f"nothing at {path}")
    return found[0]


def _maybe(item: Any, path: str | None) -> Any:
    try:
        return None if path is None else _one(item, path)
    except DeviceUnavailable:
        return None


def _all(item: Any, path: str) -> list[Any]:
    try:
        return look_up(item, path)
    except ValueError as error:
        raise DeviceUnavailable(str(error)) from None


def _shown(value: Any) -> str:
    """The beginning of a value, whatever it is."""
    if isinstance(value, dict | list):
        return f"a {'list' if isinstance(value, list) else 'group'} of {len(value)}"
    return repr(value)[:42]


class Trail:
    """Makes, of one price after another, slots of which each ends where the next one begins: the newest word counts."""

    def __init__(self) -> None:
        self._last: PriceSlot | None = None

    def add(self, new: PriceSlot) -> tuple[PriceSlot, ...]:
        """What is to be told of the newest price, and of the end of the one before it."""
        old, self._last = self._last, new
        if old is None or not old.start_utc_s < new.start_utc_s < old.end_utc_s:
            return (new,)
        if _price(old) == _price(new):
            self._last = replace(new, start_utc_s=old.start_utc_s)
            return (self._last,)
        if new.confirmed and new.start_utc_s - old.start_utc_s < SHORTEST_PAST_S:
            return (new,)
        return (replace(old, end_utc_s=new.start_utc_s), new)


def _price(slot: PriceSlot) -> tuple[float | None, float | None, bool]:
    return slot.export_value_c, slot.import_price_c, slot.confirmed
