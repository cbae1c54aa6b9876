"""Ten minutes of a house as the program records them: two inverters that answer at different times, and another site
beside it. And the days and months before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from app.model import (
    Account,
    Fault,
    Gate,
    Ledger,
    Mode,
    Outlook,
    Phase,
    PriceSlot,
    PriceState,
    Reading,
    Settings,
    Tick,
)
from app.telemetry.points import Point
from app.telemetry.projector import Projector
from app.telemetry.rollup import Rollup
from tests.enphase.fake_envoy import make_envoy
from tests.telemetry.ticks import BATTERY, EAST, LEDGER, RULED, WEST, make_account, make_inverter, make_tick

SECONDS = 600
CLOSED_AT_S = 400
BROKEN_S = range(200, 260)
EXCEEDED_S = range(300, 330)
OTHER = "116180400009"
DAYS, MONTHS, DAY_S = 40, 8, 86_400
METHOD = "what the sun gave before"
FAULT = Fault("meter", "The meter is silent.", "Check it.")
PHASES = (Phase(20.0, 230.0, 1.5, 0.95), Phase(0.0, 231.0, 0.2, 0.9), Phase(0.0, 232.0, 0.1, 0.8))


def recorded(start_s: float) -> Iterator[Point]:
    """Grid and control each second, each inverter every five seconds, and not all at the same time."""
    home, cabin, rollup = Projector("home", url), Projector("cabin", url), Rollup()
    outlook = Outlook(slots(start_s + SECONDS), ())
    for second in range(SECONDS):
        tick = _tick(second, start_s, outlook)
        yield from home.points(tick)
        if (minute := rollup.add(tick)) is not None:
            yield home.minute(minute)
        other = make_inverter(OTHER, "Cabin", 1 + second // 5, utc_s=start_s + second, power_w=5000.0)
        yield from cabin.points(make_tick(float(second), utc_s=start_s + second, inverters=(other,), ledger=None))


def _tick(second: int, start_s: float, outlook: Outlook) -> Tick:
    now_s, opened = start_s + second, second < CLOSED_AT_S
    west = {"power_w": 300.0, "dc_power_w": 310.0, "yield_day_wh": 1000.0, "yield_total_kwh": 100.0, "acked_w": 200.0}
    grid_w = -80.0 if second in EXCEEDED_S else 20.0
    inverters = (
        make_inverter(EAST, "Roof east", 1 + second // 5, utc_s=start_s + second // 5 * 5, rule=RULED),
        make_inverter(WEST, "Roof west", 1 + (second + 2) // 5, utc_s=start_s + (second + 2) // 5 * 5 - 2, **west),
    )
    lengths_s = (20.0,) if second >= EXCEEDED_S.stop else ()
    return make_tick(
        float(second),
        utc_s=now_s,
        reading=Reading(grid_w, 99.8 + second, now_s, PHASES, 1_000_000.0 + second, 2_000.0, latency_s=0.041),
        battery=replace(BATTERY, at_s=99.5 + second // 15 * 15),
        grid_w=grid_w,
        pv_w=700.0,
        limit_w=700.0,
        inverters=inverters,
        settings=Settings(enabled=second < 500),
        mode=Mode.OPEN if opened else Mode.LIMIT,
        price=PriceState(4.5 if opened else -3.0, 32.0, estimated=False, valid_until_utc_s=start_s + 3600.0),
        gate=Gate(Mode.OPEN if opened else Mode.LIMIT, "", start_s, by_hand=second < 60),
        outlook=outlook,
        faults=(FAULT,) if second in BROKEN_S else (),
        excursions=make_account(20.0 if second in EXCEEDED_S else 0.0, lengths_s),
        envoy=make_envoy(float(second // 5 * 5), start_s + second // 5 * 5),
        ledger=replace(LEDGER, today=account(0), month=account(0), total=account(9), day_utc_s=None, month_utc_s=None),
    )


def slots(now_s: float) -> tuple[PriceSlot, ...]:
    """Half hours, from an hour ago to a day ahead; what is to come is not confirmed."""
    starts = [now_s // 1800 * 1800 + 1800 * index for index in range(-2, 48)]
    return tuple(PriceSlot(at_s, at_s + 1800, 7.0, 29.0, confirmed=at_s < now_s) for at_s in starts)


def url(settings: Settings) -> str:
    """A signed link, as the program makes it."""
    state = "off" if settings.enabled else "on"
    back = "http%3A%2F%2Fpi%3A3000%2Fd%2Fzero-export"
    return f"http://pi:8080/api/toggle?state={state}&exp=1750000000&sig=ab12&redirect={back}"


def account(ago: int) -> Account:
    """Of the day or month so long ago: the further away, the more sun."""
    return Account(4000.0, 500.0 + ago, 800.0, 90.0, 25.0, -40.0, pv_wh=6500.0 + 100.0 * ago)


def before(now_s: float) -> Iterator[Point]:
    """Days and months, each as its last turn of the loop left it; the newest as it grew, in three steps."""
    today_s = now_s // DAY_S * DAY_S
    for ago in range(DAYS - 1, -1, -1):
        yield from _ledger("day", account(ago), today_s - ago * DAY_S)
    for ago in range(MONTHS - 1, -1, -1):
        yield from _ledger("month", account(ago), today_s - ago * 30 * DAY_S)
    for part in (0.2, 0.6, 1.0):
        whole = account(0)
        yield from _ledger("day", replace(whole, import_wh=whole.import_wh * part), today_s)


def _ledger(kind: str, amounts: Account, began_s: float) -> list[Point]:
    ledger = Ledger("AUD", METHOD, "", began_s, amounts, month=amounts, day_utc_s=began_s, month_utc_s=began_s)
    found = Projector("home").points(make_tick(ledger=ledger))
    return [point for point in found if point.measurement == kind]
