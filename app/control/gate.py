"""From the price, or somebody's override of it, to a mode: hold the target, open, or shut down.

What restricts engages at once, what releases waits for a confirmed price: estimates are known to have the wrong sign.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from app.model import Gate, Mode, Override, PriceState, Snapshot

LONGEST_OVERRIDE_S = 24 * 3600.0
_STRICTNESS = {Mode.OPEN: 0, Mode.LIMIT: 1, Mode.SHUTDOWN: 2}
_DOES = {
    Mode.LIMIT: "holding the target",
    Mode.OPEN: "exporting all the same",
    Mode.SHUTDOWN: "the inverters stay shut down",
}


@dataclass(frozen=True, slots=True)
class PriceRules:
    """What people make of a price; the field names are those of the `price` section."""

    export_threshold_c: float = 0.0
    at_threshold: Literal["limit", "allow"] = "limit"
    hysteresis_c: float = 0.0
    dwell_s: float = 0.0
    on_unknown: Literal["limit", "allow", "hold"] = "limit"
    shutdown_when_import_negative: bool = False


class PriceGate:
    """Told the price again and again, it answers with what to do."""

    def __init__(self, rules: PriceRules) -> None:
        self._rules = rules
        self._mode = Mode.LIMIT  # what the price asks for, whatever somebody has asked for instead
        self._closed_s = -math.inf  # when it was last open
        self._shown: tuple[Mode, bool, float] | None = None  # the answer before: mode, by hand, since when

    def step(self, snapshot: Snapshot) -> Gate | None:
        """What to do now; None where neither a price nor anybody says so."""
        reason = None if snapshot.price is None else self._follow(snapshot.price, snapshot.now_s)
        mode = self._mode
        override = active(snapshot.settings.override, snapshot.utc_s)
        if override is not None:
            mode, reason = override.mode, str(override)
        if reason is None:
            self._shown = None
            return None
        by_hand = override is not None
        if self._shown is None or self._shown[:2] != (mode, by_hand):
            self._shown = (mode, by_hand, snapshot.utc_s)
        return Gate(mode, reason, self._shown[2], by_hand)

    def _follow(self, price: PriceState, now_s: float) -> str:
        """Enter what the price asks for; why it is so."""
        value_c = price.export_value_c
        if value_c is None or math.isnan(value_c):
            mode = {"limit": Mode.LIMIT, "allow": Mode.OPEN, "hold": self._mode}[self._rules.on_unknown]
            self._enter(mode, now_s)
            return f"the price of export is unknown: {_DOES[mode]}"
        worth = f"export {_worth(value_c)}"
        wanted = self._wanted(value_c, price.import_price_c)
        if wanted is Mode.SHUTDOWN and self._mode is not Mode.SHUTDOWN and price.estimated:
            wanted = Mode.LIMIT  # it gives up the sun, and that is not done for an estimate
        if _STRICTNESS[wanted] < _STRICTNESS[self._mode]:
            if price.estimated:
                return f"{worth} by an estimate: {_DOES[self._mode]} until it is confirmed"
            rest_s = self._closed_s + self._rules.dwell_s - now_s
            if wanted is Mode.OPEN and rest_s > 0.0:
                self._enter(Mode.LIMIT, now_s)  # from a shutdown, too: what it was for is over
                return f"{worth}: {_DOES[self._mode]} for {rest_s:.0f} s more (price.dwell_s)"
        self._enter(wanted, now_s)
        if wanted is Mode.SHUTDOWN:
            return f"{worth} and import {_cost(price.import_price_c or 0.0)}: shut down"
        if wanted is Mode.LIMIT and value_c > self._rules.export_threshold_c:
            return f"{worth}, not yet {self._rules.hysteresis_c:g} c more than the threshold: holding the target"
        return worth if wanted is Mode.OPEN else f"{worth}: holding the target"

    def _wanted(self, value_c: float, import_price_c: float | None) -> Mode:
        least_c = self._rules.export_threshold_c
        if self._mode is not Mode.OPEN:
            least_c = round(least_c + self._rules.hysteresis_c, 6)  # 0.1 + 0.2 is to be 0.3
        if value_c > least_c or (value_c == least_c and self._rules.at_threshold == "allow"):
            return Mode.OPEN
        paid_to_import = import_price_c is not None and import_price_c < 0.0
        shut = self._rules.shutdown_when_import_negative and paid_to_import
        return Mode.SHUTDOWN if shut and value_c <= self._rules.export_threshold_c else Mode.LIMIT

    def _enter(self, mode: Mode, now_s: float) -> None:
        if self._mode is Mode.OPEN and mode is not Mode.OPEN:
            self._closed_s = now_s
        self._mode = mode


def active(override: Override | None, utc_s: float) -> Override | None:
    """The override, where it is in force at this moment; a clock that was set back does not prolong it for ever."""
    if override is None or not 0.0 < override.until_utc_s - utc_s <= LONGEST_OVERRIDE_S:
        return None
    return override


def _worth(value_c: float) -> str:
    return f"costs {-value_c:.1f} c/kWh" if value_c < 0.0 else f"earns {value_c:.1f} c/kWh"


def _cost(price_c: float) -> str:
    return f"earns {-price_c:.1f} c/kWh" if price_c < 0.0 else f"costs {price_c:.1f} c/kWh"
