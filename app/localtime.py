"""Days and months on the wall, in this process's time zone. Pure: time is an argument."""

from __future__ import annotations

from datetime import date, datetime, timedelta

LONGEST_S = 366 * 86_400.0
NO_DAY = "0000-00-00"


def local_day(utc_s: float) -> str:
    """The date on the wall; a clock that shows no date has a day of its own."""
    try:
        return datetime.fromtimestamp(utc_s).date().isoformat()
    except (ValueError, OverflowError, OSError):
        return NO_DAY


def began_utc_s(day: str) -> float | None:
    """When a local day (``2026-12-01``) or month (``2026-12``) began; None for what is no date."""
    try:
        return datetime.fromisoformat(day if len(day) > len("2026-12") else f"{day}-01").timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def later(day: str, days: int) -> str:
    """The date so many days later."""
    return (date.fromisoformat(day) + timedelta(days=days)).isoformat()


def months_back(day: str, months: int) -> str:
    """The month (``2026-12``) that lies so many months before that of a date."""
    year, month = int(day[:4]), int(day[5:7])
    year, month = divmod(year * 12 + month - 1 - months, 12)
    return f"{year:04}-{month + 1:02}"


def days_of(since_utc_s: float, until_utc_s: float) -> list[tuple[str, float, float]]:
    """The local days that a time touches, each with the part of the time that lies in it: date, since, until.

    A time that cannot be (backwards, or longer than a year) is its end alone.
    """
    last = local_day(until_utc_s)
    if last == NO_DAY or not 0.0 < until_utc_s - since_utc_s <= LONGEST_S or local_day(since_utc_s) == NO_DAY:
        return [(last, until_utc_s, until_utc_s)]
    found: list[tuple[str, float, float]] = []
    at_s, day = since_utc_s, local_day(since_utc_s)
    while day < last:
        day_after = later(day, 1)
        ends_s = began_utc_s(day_after)
        if ends_s is None:
            break
        found.append((day, at_s, ends_s))
        at_s, day = ends_s, day_after
    return [*found, (last, at_s, until_utc_s)]
