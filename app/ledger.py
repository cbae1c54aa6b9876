"""Energy at the grid, what the limits held back, and what the price's gate saved or cost. Pure: time is an argument.

Every turn of the loop stands until the next one. What is not known is not counted: no grid power no import, export or
money, no price no money. Money counts at the price known at the moment, which may still be an estimate. The gate is
compared with inverters that feed in all that they could, up to the grid operator's cap.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, field, replace

from app.excursions import local_day
from app.model import Account, Decision, Gate, Ledger, Mode, PriceState, Snapshot
from app.potential import METHOD, KeptSun, Potential

GAP_S = 10.0  # a longer time between two turns counts nothing
KEPT_DAYS = 8  # more than today, since a clock may be wrong for a while
S_PER_H, W_PER_KW = 3600.0, 1000.0


@dataclass(frozen=True, slots=True)
class KeptLedger:
    """Everything that outlives the program. ``days``: by their local dates."""

    currency: str = ""
    since_utc_s: float | None = None
    total: Account = field(default_factory=Account)
    days: dict[str, Account] = field(default_factory=dict)
    sun: KeptSun = field(default_factory=KeptSun)

    def __post_init__(self) -> None:
        """Refuse a file that no sum could be added to."""
        amounts = [amount for account in (self.total, *self.days.values()) for amount in astuple(account)]
        if not all(math.isfinite(amount) for amount in (*amounts, self.since_utc_s or 0.0)):
            raise ValueError("an amount is no finite number")


class LedgerKeeper:
    """Keeps the account. ``currency``: that of the prices, empty without; ``cap_w``: the grid operator's, on export.

    ``kept`` is what an earlier run left; in another currency than now it ends there, and all sums start anew.
    """

    def __init__(self, currency: str, cap_w: float | None, kept: KeptLedger | None = None) -> None:
        kept = kept or KeptLedger()
        if currency and kept.currency not in ("", currency):
            kept = KeptLedger(sun=kept.sun)
        self._currency = currency or kept.currency
        self._cap_w = math.inf if cap_w is None else cap_w
        self._since_utc_s, self._total, self._days = kept.since_utc_s, kept.total, dict(kept.days)
        self._potential = Potential(kept.sun)
        self._at_s: float | None = None
        self._rates = Account()  # what the last turn adds, per hour

    def observe(self, snapshot: Snapshot, decision: Decision) -> Ledger:
        """Take in one turn of the loop; what the account says now."""
        day = local_day(snapshot.utc_s)
        if self._since_utc_s is None:
            self._since_utc_s = snapshot.utc_s
        if self._at_s is not None and 0.0 < snapshot.now_s - self._at_s <= GAP_S:
            hours = (snapshot.now_s - self._at_s) / S_PER_H
            self._total = _plus(self._total, self._rates, hours)
            self._days[day] = _plus(self._day(day), self._rates, hours)
        self._at_s = snapshot.now_s
        self._rates = self._rates_of(snapshot, decision)
        return Ledger(self._currency, METHOD, day, self._since_utc_s, self._day(day), self._total)

    def kept(self) -> KeptLedger:
        """What is to outlive the program, as it is now."""
        return KeptLedger(self._currency, self._since_utc_s, self._total, self._days, self._potential.kept)

    def _day(self, day: str) -> Account:
        if day not in self._days:
            self._days[day] = Account()
            for oldest in sorted(self._days)[:-KEPT_DAYS]:
                if oldest != day:
                    del self._days[oldest]
        return self._days[day]

    def _rates_of(self, snapshot: Snapshot, decision: Decision) -> Account:
        held_back = self._potential.observe(snapshot)
        rates = Account(curtailed_wh=held_back.power_w, uncertain_s=S_PER_H if held_back.uncertain else 0.0)
        grid_w, price = decision.grid_w, snapshot.price
        if grid_w is None or not math.isfinite(grid_w):
            return rates
        rates = replace(rates, import_wh=max(0.0, grid_w), export_wh=max(0.0, -grid_w))
        if price is None or not _known(price.export_value_c):
            return rates
        saved_c = 0.0
        if _closes(decision.gate, decision.mode):
            free_w = min(grid_w, max(-self._cap_w, grid_w - held_back.power_w))
            saved_c = _cost_c_per_h(free_w, price) - _cost_c_per_h(grid_w, price)
        return replace(rates, earned_c=-_cost_c_per_h(min(0.0, grid_w), price), saved_c=saved_c)


def _closes(gate: Gate | None, mode: Mode) -> bool:
    """Whether the gate, by the price or by hand, is what holds the inverters back."""
    return gate is not None and gate.mode is not Mode.OPEN and mode is not Mode.PAUSED


def _cost_c_per_h(grid_w: float, price: PriceState) -> float:
    """What this grid power costs; negative where it earns. Import of an unknown price is left out."""
    price_c = price.export_value_c if grid_w < 0.0 else price.import_price_c
    return 0.0 if price_c is None or not math.isfinite(price_c) else grid_w / W_PER_KW * price_c


def _known(price_c: float | None) -> bool:
    return price_c is not None and math.isfinite(price_c)


def _plus(account: Account, rates: Account, hours: float) -> Account:
    return Account(
        import_wh=account.import_wh + rates.import_wh * hours,
        export_wh=account.export_wh + rates.export_wh * hours,
        curtailed_wh=account.curtailed_wh + rates.curtailed_wh * hours,
        uncertain_s=account.uncertain_s + rates.uncertain_s * hours,
        earned_c=account.earned_c + rates.earned_c * hours,
        saved_c=account.saved_c + rates.saved_c * hours,
    )
