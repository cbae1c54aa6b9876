"""Energy at the grid and of the sun, what the limits held back, and what the price's gate saved or cost. Pure.

What is not known is not counted: no grid power no money, no price no money. Energy comes from `energy`, which knows of
gaps too; all else counts from one turn of the loop to the next. Money counts at the price known at the moment, which
may still be an estimate. The gate is compared with inverters that feed in all that they could, up to the grid
operator's cap.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, field, fields, replace

from app.counter import S_PER_H
from app.energy import GAP_S, KeptEnergy, SiteEnergy
from app.localtime import NO_DAY, began_utc_s, days_of, local_day
from app.model import Account, Decision, Gate, Ledger, Mode, Period, PriceState, Snapshot
from app.potential import METHOD, HeldBack, KeptSun, Potential, sunshine

KEPT_DAYS = 8  # more than today, since a clock may be wrong for a while
KEPT_MONTHS = 3
MOST_W = 70_000.0  # what a house connection carries
W_PER_KW = 1000.0


@dataclass(frozen=True, slots=True)
class KeptLedger:
    """Everything that outlives the program. ``days`` and ``months``: by their local dates.

    ``held_back_utc_s``: when the loop last turned, where it held the inverters back then.
    """

    currency: str = ""
    since_utc_s: float | None = None
    total: Account = field(default_factory=Account)
    days: dict[str, Account] = field(default_factory=dict)
    sun: KeptSun = field(default_factory=KeptSun)
    months: dict[str, Account] = field(default_factory=dict)
    energy: KeptEnergy = field(default_factory=KeptEnergy)
    held_back_utc_s: float | None = None

    def __post_init__(self) -> None:
        """Refuse a file that no sum could be added to."""
        accounts = (self.total, *self.days.values(), *self.months.values())
        amounts = [amount for account in accounts for amount in astuple(account)]
        if not all(
            math.isfinite(amount) for amount in (*amounts, self.since_utc_s or 0.0, self.held_back_utc_s or 0.0)
        ):
            raise ValueError("an amount is no finite number")


class LedgerKeeper:
    """Keeps the account. ``currency``: that of the prices, empty without; ``cap_w``: the grid operator's, on export.

    ``kept`` is what an earlier run left; in another currency than now it ends there, and all sums start anew.
    ``most_w``: what the house connection carries.
    """

    def __init__(
        self, currency: str, cap_w: float | None, kept: KeptLedger | None = None, *, most_w: float = MOST_W
    ) -> None:
        kept = kept or KeptLedger()
        if currency and kept.currency not in ("", currency):
            kept = KeptLedger(sun=kept.sun)
        kept = kept if kept.months else _with_months(kept)
        self._currency = currency or kept.currency
        self._cap_w = math.inf if cap_w is None else cap_w
        self._since_utc_s, self._total = kept.since_utc_s, kept.total
        self._days, self._months = dict(kept.days), dict(kept.months)
        self._energy = SiteEnergy(most_w, kept.energy)
        self._potential = Potential(kept.sun)
        self._at_s: float | None = None
        self._held_utc_s = kept.held_back_utc_s
        self._rates: dict[str, float] = {}  # what the last turn adds, per hour
        self._closed: tuple[str, tuple[Period, ...]] | None = None

    def observe(self, snapshot: Snapshot, decision: Decision) -> Ledger:
        """Take in one turn of the loop; what the account says now."""
        now_s, utc_s = snapshot.now_s, snapshot.utc_s
        day = local_day(utc_s)
        if self._since_utc_s is None:
            self._since_utc_s = utc_s
        if self._at_s is not None and 0.0 < now_s - self._at_s <= GAP_S:
            hours = (now_s - self._at_s) / S_PER_H
            self._book(day, {name: rate * hours for name, rate in self._rates.items()})
        elif self._held_utc_s is not None and now_s != self._at_s:
            self._spread("uncertain_s", utc_s - self._held_utc_s, self._held_utc_s, utc_s)
        for gain in self._energy.observe(snapshot, decision.grid_w):
            self._spread(gain.name, gain.wh, gain.since_utc_s, utc_s)
        held_back = self._potential.observe(snapshot)
        self._at_s, self._rates = now_s, self._rates_of(held_back, snapshot.price, decision)
        self._held_utc_s = utc_s if held_back.power_w > 0.0 or held_back.uncertain else None
        return self._told(day)

    def kept(self) -> KeptLedger:
        """What is to outlive the program, as it is now."""
        return KeptLedger(
            self._currency,
            self._since_utc_s,
            self._total,
            self._days,
            self._potential.kept,
            self._months,
            self._energy.kept(),
            self._held_utc_s,
        )

    def _told(self, day: str) -> Ledger:
        today, month = self._account(self._days, day, KEPT_DAYS), self._account(self._months, day[:7], KEPT_MONTHS)
        if self._closed is None or self._closed[0] != day:
            self._closed = (day, tuple(self._over(day)))
        return Ledger(
            self._currency,
            METHOD,
            day,
            self._since_utc_s or 0.0,
            today,
            self._total,
            month,
            began_utc_s(day),
            began_utc_s(day[:7]),
            self._closed[1],
        )

    def _over(self, today: str) -> list[Period]:
        """The days and months that are kept and over."""
        named = [("day", day, account) for day, account in sorted(self._days.items()) if NO_DAY < day < today]
        named += [("month", month, account) for month, account in sorted(self._months.items()) if month < today[:7]]
        return [Period(name, at_s, account) for name, date, account in named if (at_s := began_utc_s(date)) is not None]

    def _spread(self, name: str, amount: float, since_utc_s: float, until_utc_s: float) -> None:
        """Book what a longer time has given: on its days by their parts of it, and the sun's by the sun in those."""
        parts = days_of(since_utc_s, until_utc_s)
        if len(parts) == 1:
            if amount > 0.0:
                self._book(parts[0][0], {name: amount})
            return
        shares = [sunshine(self._potential.kept, begin, end) for _, begin, end in parts] if name == "pv_wh" else []
        if not sum(shares) > 0.0:
            shares = [end - begin for _, begin, end in parts]
        for (day, _, _), share in zip(parts, shares, strict=True):
            self._book(day, {name: amount * share / sum(shares)})
        self._closed = None

    def _book(self, day: str, amounts: dict[str, float]) -> None:
        self._total = _plus(self._total, amounts)
        self._days[day] = _plus(self._account(self._days, day, KEPT_DAYS), amounts)
        self._months[day[:7]] = _plus(self._account(self._months, day[:7], KEPT_MONTHS), amounts)

    @staticmethod
    def _account(kept: dict[str, Account], date: str, count: int) -> Account:
        if date not in kept:
            kept[date] = Account()
            for oldest in sorted(kept)[:-count]:
                if oldest != date:
                    del kept[oldest]
        return kept[date]

    def _rates_of(self, held_back: HeldBack, price: PriceState | None, decision: Decision) -> dict[str, float]:
        rates = {"curtailed_wh": held_back.power_w, "uncertain_s": S_PER_H if held_back.uncertain else 0.0}
        grid_w = decision.grid_w
        if grid_w is None or not math.isfinite(grid_w) or price is None or not _known(price.export_value_c):
            return rates
        saved_c = 0.0
        if _closes(decision.gate, decision.mode):
            free_w = min(grid_w, max(-self._cap_w, grid_w - held_back.power_w))
            saved_c = _cost_c_per_h(free_w, price) - _cost_c_per_h(grid_w, price)
        return rates | {"earned_c": -_cost_c_per_h(min(0.0, grid_w), price), "saved_c": saved_c}


def _with_months(kept: KeptLedger) -> KeptLedger:
    """What a version left that knew neither months nor the sun: of that, at least what was exported was given."""

    def sunny(account: Account) -> Account:
        return replace(account, pv_wh=max(account.pv_wh, account.export_wh))

    days = {day: sunny(account) for day, account in kept.days.items()}
    months: dict[str, Account] = {}
    for day, account in days.items():
        amounts = {one.name: getattr(account, one.name) for one in fields(account)}
        months[day[:7]] = _plus(months.get(day[:7], Account()), amounts)
    return replace(kept, total=sunny(kept.total), days=days, months=months)


def _closes(gate: Gate | None, mode: Mode) -> bool:
    """Whether the gate, by the price or by hand, is what holds the inverters back."""
    return gate is not None and gate.mode is not Mode.OPEN and mode is not Mode.PAUSED


def _cost_c_per_h(grid_w: float, price: PriceState) -> float:
    """What this grid power costs; negative where it earns. Import of an unknown price is left out."""
    price_c = price.export_value_c if grid_w < 0.0 else price.import_price_c
    return 0.0 if price_c is None or not math.isfinite(price_c) else grid_w / W_PER_KW * price_c


def _known(price_c: float | None) -> bool:
    return price_c is not None and math.isfinite(price_c)


def _plus(account: Account, amounts: dict[str, float]) -> Account:
    return replace(account, **{name: getattr(account, name) + amount for name, amount in amounts.items()})
