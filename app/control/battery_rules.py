"""What people make of a battery that regulates by itself: the rules of the `battery` section, as the core needs them.

Whatever the law makes of a battery goes by these and by `app.model.BatteryState`; who reads it is of no account.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BatteryRules:
    """The field names are those of the `battery` section. Powers in watts; SOC is the state of charge.

    ``allow_charge``: leave room for the battery to charge, instead of holding the inverters to the household alone.
    ``auto_charge_below_soc`` (%): below it, and while it does not charge, ``auto_charge_w`` of room are left so that
    it begins to; None: never. ``auto_charge_max_w``: the most room that is left for charging, whatever it takes.
    ``full_soc_pct``: from there on it is full. ``bias_w``, ``bias_full_w``: so much more is imported than the target
    asks for, while it is not full and while it is. ``taper``: the room shrinks as it gets full. ``strict``: without
    fresh data the inverters give nothing, instead of being held as in a house without a battery. ``stale_s``: data
    older than that are not fresh.
    """

    allow_charge: bool = True
    auto_charge_below_soc: float | None = None
    auto_charge_w: float = 1500.0
    auto_charge_max_w: float = 3000.0
    full_soc_pct: float = 99.5
    bias_w: float = 0.0
    bias_full_w: float = 50.0
    taper: bool = True
    strict: bool = False
    stale_s: float = 30.0

    def __post_init__(self) -> None:
        """Raises `ValueError` with a sentence for rules that cannot be meant."""
        for name in ("auto_charge_w", "auto_charge_max_w", "bias_w", "bias_full_w"):
            _within(name, getattr(self, name), 0.0, 100_000.0)
        _within("full_soc_pct", self.full_soc_pct, 50.0, 100.0)
        _within("stale_s", self.stale_s, 1.0, 3600.0)
        if self.auto_charge_below_soc is not None:
            _within("auto_charge_below_soc", self.auto_charge_below_soc, 0.0, 100.0)


def _within(name: str, value: float, lowest: float, highest: float) -> None:
    if not lowest <= value <= highest:  # NaN is not, either
        raise ValueError(f"{name}: {value:g} is not within {lowest:g} to {highest:g}")
