"""What the sources of prices share that are known a day ahead: their keys, the range asked for, how often."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pydantic import AfterValidator, Field

from app.model import DeviceUnavailable, PriceSlot
from app.prices.base import PriceSection
from app.prices.formula import Formula, compiled
from app.prices.timetable import Timetable
from app.prices.web import cents

HOUR_S, DAY_S = 3600.0, 86_400.0
LATE_S = 900.0  # between questions while tomorrow's prices are late
NOON_S = 12 * HOUR_S  # UTC; they come out before 13:00 in Central Europe, about 16:00 in Britain
SHORTEST_SLOT_S, LONGEST_SLOT_S = 900.0, HOUR_S
LATEST_S = 4e9  # the year 2096


@dataclass(frozen=True, slots=True)
class Spot:
    """The market's price of one interval, and the end price of import where it is known, in hundredths per kWh."""

    start_utc_s: float
    end_utc_s: float
    spot_c: float
    total_c: float | None = None


class SpotSection(PriceSection):
    """How a market's price becomes yours."""

    export_value: Formula = Field("spot", description="what one exported kWh earns, from `spot`")
    import_price: Formula | None = Field(None, description="what one imported kWh costs, from `spot`")

    def slots(self, who: str, asked: tuple[float, float], prices: Iterable[Spot]) -> tuple[PriceSlot, ...]:
        """Published prices are final. Raises `DeviceUnavailable` where there is none in the range ``asked`` for."""
        names = ("spot", "total")  # which of them a formula may use was checked with the configuration
        earns = compiled(self.export_value, names)
        costs = compiled(self.import_price, names) if self.import_price is not None else lambda _: None
        slots = []
        for price in prices:
            if not asked[0] - DAY_S <= price.start_utc_s < price.end_utc_s <= asked[1] + DAY_S:
                continue
            values = {"spot": price.spot_c} | ({} if price.total_c is None else {"total": price.total_c})
            slots.append(PriceSlot(price.start_utc_s, price.end_utc_s, earns(values), costs(values), confirmed=True))
        if not slots:
            raise DeviceUnavailable(f"{who} gives no prices for today")
        return tuple(slots)


def written(pattern: str, what: str) -> AfterValidator:
    """Refuses a text of another form, saying that it is no ``what``."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{value!r} is no {what}")
        return value

    return AfterValidator(check)


def asked_range(utc_s: float) -> tuple[float, float]:
    """From the start of today, with time to spare for Europe's midnights, to the end of the day after tomorrow."""
    return (utc_s - 6 * HOUR_S) // DAY_S * DAY_S, (utc_s // DAY_S + 3) * DAY_S


def day_ahead_pause_s(utc_s: float, known: Timetable) -> float:
    """An hour; less while tomorrow's prices should be there and are not. No more than 96 questions a day."""
    last_s = max((slot.end_utc_s for slot in known.slots), default=0.0)
    tomorrow_s = (utc_s // DAY_S + 1) * DAY_S
    late = last_s < utc_s + HOUR_S or (utc_s % DAY_S >= NOON_S and last_s < tomorrow_s + 20 * HOUR_S)
    return LATE_S if late else HOUR_S


def ends(starts: Iterable[float]) -> dict[float, float]:
    """The end of each interval: all are as long as the shortest, so that a missing one leaves a hole."""
    found = sorted(set(starts))
    lengths = [after - start for start, after in pairwise(found) if after - start >= SHORTEST_SLOT_S]
    length_s = min(lengths, default=SHORTEST_SLOT_S)
    return {start: start + min(length_s, LONGEST_SLOT_S) for start in found}


def spot_of_mwh(value: Any) -> float | None:
    """Hundredths per kWh from a price per MWh; None for whatever else a service may send."""
    price = cents(value)
    return None if price is None else round(price / 10.0, 6)


def unix_s(value: Any, per_s: float = 1.0) -> float | None:
    """Unix time from a number that can be one; None for whatever else a service may send."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 < value <= LATEST_S * per_s:
        return None
    return value / per_s


def is_euro_per_mwh(unit: Any) -> bool:
    """Whether a unit means EUR/MWh, however it is written."""
    return isinstance(unit, str) and unit.replace(" ", "").replace("€", "eur").lower() == "eur/mwh"
