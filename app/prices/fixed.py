"""Prices by a weekly timetable of the wall clock, for tariffs that are known in advance."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from itertools import pairwise
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

import aiohttp
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from app.fields import Section
from app.model import PriceSlot
from app.prices.base import MAX_PRICE_C, Currency, Fetched, Outside, PriceSection, PriceSource
from app.prices.timetable import PAST_S, Timetable

AHEAD_S = 48 * 3600.0
EVERY_S = 6 * 3600.0
QUARTER_S = 900.0  # clocks are put forward and back at whole quarters of an hour of UTC
DAY_MIN = 24 * 60
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Price = Annotated[float, Field(ge=-MAX_PRICE_C, le=MAX_PRICE_C)]


def _joined(value: Any) -> Any:
    """A list of days is as good as a text."""
    return ",".join(map(str, value)) if isinstance(value, list) else value


def _valid_days(value: str) -> str:
    days_of(value)
    return value


@functools.cache
def days_of(text: str) -> frozenset[int]:
    """The days, 0 being Monday, of ``daily``, ``mon-fri``, ``sat,sun``, ``fri-mon``. Raises `ValueError`."""
    found: set[int] = set()
    for part in text.lower().replace(" ", "").split(","):
        first, dash, last = ("mon-sun" if part == "daily" else part).partition("-")
        last = last if dash else first
        if first not in DAYS or last not in DAYS:
            raise ValueError(f"{text!r} names no days: use daily, mon-fri or sat,sun (mon tue wed thu fri sat sun)")
        begin, end = DAYS.index(first), DAYS.index(last)
        found |= {day % 7 for day in range(begin, end + 1 if end >= begin else end + 8)}
    return frozenset(found)


def _minute(value: Any) -> int:
    """Minutes since midnight of ``HH:MM``."""
    match = re.fullmatch(r"(\d{1,2}):(\d\d)", value) if isinstance(value, str) else None
    minute = int(match[1]) * 60 + int(match[2]) if match and int(match[2]) < 60 else DAY_MIN + 1
    if minute > DAY_MIN:
        raise ValueError(f'{value!r} is no time of day: write it like "07:30", the end of a day is "24:00"')
    return minute


def _zone(value: str) -> str:
    try:
        return value and ZoneInfo(value).key
    except (LookupError, ValueError, OSError):
        raise ValueError(f"{value!r} is no time zone: use a name like Europe/Berlin or Australia/Sydney") from None


Minute = Annotated[int, BeforeValidator(_minute, json_schema_input_type=str)]


class Window(Section):
    """Hours with other prices than usual. One over midnight belongs to the day on which it begins."""

    days: Annotated[str, BeforeValidator(_joined), AfterValidator(_valid_days)] = Field(
        "daily", description="daily, mon-fri, sat,sun …"
    )
    start: Minute = Field(alias="from", description="HH:MM")
    end: Minute = Field(alias="to", description="HH:MM, not included; 24:00 is the end of the day")
    export_value_c: Price | None = Field(None, description="default: the usual one")
    import_price_c: Price | None = Field(None, description="default: the usual one")

    @model_validator(mode="after")
    def _some_time_some_price(self) -> Window:
        if self.start in (self.end, DAY_MIN):
            raise ValueError("from and to leave no time between them: a whole day is from 00:00 to 24:00")
        if self.export_value_c is None and self.import_price_c is None:
            raise ValueError("give export_value_c, import_price_c or both")
        return self

    def holds(self, wall: datetime) -> bool:
        """Whether it is in force at this time of the wall clock."""
        days, minute, today = days_of(self.days), wall.hour * 60 + wall.minute, wall.weekday()
        if self.start < self.end:
            return today in days and self.start <= minute < self.end
        return (today in days and minute >= self.start) or ((today - 1) % 7 in days and minute < self.end)


class FixedConfig(PriceSection):
    """A weekly timetable; the first window that holds decides, and the usual prices where none does."""

    type: Literal["fixed"]
    currency: Currency = Field(description="three letters, like EUR; prices are hundredths of it per kWh")
    timezone: Annotated[str, AfterValidator(_zone)] = Field(
        "", description="like Europe/Berlin; default: that of this computer (TZ)"
    )
    export_value_c: Price = Field(description="what one exported kWh usually earns; negative if you pay")
    import_price_c: Price | None = Field(None, description="what one imported kWh usually costs")
    windows: tuple[Window, ...] = Field((), max_length=100)

    def build(self, _session: aiohttp.ClientSession, _outside: Outside) -> PriceSource:
        """The source of this timetable."""
        return Fixed(self)


class Fixed:
    """Needs nothing but this computer's clock."""

    name = "The weekly timetable"

    def __init__(self, config: FixedConfig, utc: Callable[[], float] = time.time) -> None:
        self.currency = config.currency
        self._config, self._utc = config, utc

    async def fetch(self) -> Fetched:
        """The last hours and the next two days."""
        now_s = self._utc() // QUARTER_S * QUARTER_S
        return Fetched(slots(self._config, now_s - PAST_S, now_s + AHEAD_S))

    def pause_s(self, _utc_s: float, _known: Timetable) -> float:
        """Long before the end of what is known."""
        return EVERY_S


def slots(config: FixedConfig, start_s: float, end_s: float) -> tuple[PriceSlot, ...]:
    """The prices from ``start_s`` to ``end_s``, without holes and overlaps."""
    zone = ZoneInfo(config.timezone) if config.timezone else None  # None: datetime uses that of this computer
    priced = [
        (edge_s, _price(config, datetime.fromtimestamp(edge_s, zone)))
        for edge_s in _edges(config, zone, start_s, end_s)
    ]
    changes = priced[:1] + [now for before, now in pairwise(priced) if now[1] != before[1]]
    ends = [begin_s for begin_s, _ in changes[1:]] + [end_s]
    return tuple(
        PriceSlot(begin_s, until_s, *price, confirmed=True)
        for (begin_s, price), until_s in zip(changes, ends, strict=True)
    )


def _edges(config: FixedConfig, zone: tzinfo | None, start_s: float, end_s: float) -> list[float]:
    """Every moment at which the price can change: windows begin and end, or the clock is put forward or back."""
    first_s = start_s // QUARTER_S * QUARTER_S
    found = {first_s + QUARTER_S * number for number in range(int((end_s - first_s) // QUARTER_S) + 1)} | {start_s}
    midnight = datetime.fromtimestamp(start_s, zone).replace(hour=0, minute=0, second=0, microsecond=0)
    for day in range(int((end_s - start_s) // 86_400.0) + 3):
        for minute in {minute for window in config.windows for minute in (window.start, window.end)}:
            wall = midnight.replace(tzinfo=None) + timedelta(days=day, minutes=minute)
            found |= {wall.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1)}
    return sorted(edge_s for edge_s in found if start_s <= edge_s < end_s)


def _price(config: FixedConfig, wall: datetime) -> tuple[float, float | None]:
    window = next((window for window in config.windows if window.holds(wall)), None)
    export_c = None if window is None else window.export_value_c
    import_c = None if window is None else window.import_price_c
    return (
        config.export_value_c if export_c is None else export_c,
        config.import_price_c if import_c is None else import_c,
    )
