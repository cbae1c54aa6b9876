"""What AlphaESS's OpenAPI says: the signature of a request, the values of an answer, and their signs. Pure.

By its documentation ``pbat`` counts discharging as positive and ``pgrid`` import; systems that count the other way
round are known. ``pload = ppv + discharging + import`` tells which it is, as soon as the powers are large enough.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from app.documents import optional
from app.model import DeviceDataError

LEAST_W = 200.0  # a power that is smaller says nothing of its sign: the values of an answer are not of one instant
MARGIN_W = 100.0  # by so much better must one sign fit the balance than the other
TOLERANCE_W, TOLERANCE = 50.0, 0.05  # what a balance may be off, and as a part of all the powers in it
ENOUGH = 4  # different answers in a row that say the same
CLOSE_W = 20.0  # what the sum of the phases may be off
_SERIAL = re.compile("[0-9A-Za-z]{1,40}")


def signature(app_id: str, app_secret: str, stamp: str) -> str:
    """The header ``sign`` of a request at this Unix time, in whole seconds."""
    return hashlib.sha512(f"{app_id}{app_secret}{stamp}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Power:
    """One answer: watts as the cloud counts them, whichever way round that is. None: it does not tell."""

    soc_pct: float | None = None
    battery: float | None = None
    grid: float | None = None
    load_w: float | None = None
    pv_w: float | None = None
    phases: tuple[float, ...] = ()


def parse(data: Any) -> Power:
    """The values of ``getLastPowerData``. Raises `DeviceDataError` where there are none at all."""
    if not isinstance(data, dict) or not data:
        raise DeviceDataError("has no values of this system now")
    detail = data.get("pgridDetail")
    phases = [optional(detail.get(f"pmeterL{n}")) for n in (1, 2, 3)] if isinstance(detail, dict) else []
    known = tuple(phase for phase in phases if phase is not None)
    grid = optional(data.get("pgrid"))
    whole = len(known) == 3 and grid is not None and abs(sum(known) - grid) <= CLOSE_W
    soc, battery, load_w, pv_w = (optional(data.get(name)) for name in ("soc", "pbat", "pload", "ppv"))
    return Power(soc, battery, grid, load_w, pv_w, known if whole else ())


def systems(data: Any) -> tuple[str, ...]:
    """The serial numbers in ``getEssList``, in its order. Raises `DeviceDataError` where it is no such list."""
    rows = [row.get("sysSn") for row in data if isinstance(row, dict)] if isinstance(data, list) else []
    found = tuple(serial for serial in rows if isinstance(serial, str) and _SERIAL.fullmatch(serial))
    if not found:
        raise DeviceDataError("knows no system of this app_id: add yours at open.alphaess.com")
    return found


@dataclass(frozen=True, slots=True)
class Signs:
    """Which way round a system counts: 1 as documented, -1 the other way; None: not known yet."""

    battery: int | None = None
    grid: int | None = None

    def charging_w(self, power: Power) -> float | None:
        """The power of the battery, positive while it charges; as documented while the sign is not known."""
        return None if power.battery is None else -(self.battery or 1) * power.battery

    def import_w(self, power: Power) -> float | None:
        """The power at the grid, positive is import."""
        return None if power.grid is None else (self.grid or 1) * power.grid


def evidence(power: Power, own_pv_w: float | None) -> Signs:
    """What one answer says of the signs; None where both would do.

    ``own_pv_w``: what inverters give that the system may or may not see; both is tried.
    """
    load_w, battery, grid = power.load_w, power.battery, power.grid
    if load_w is None or load_w <= 0.0 or battery is None or grid is None:  # a negative load is shown as 0
        return Signs()
    sun = power.pv_w or 0.0
    suns_w = [sun] if own_pv_w is None else [sun, sun + own_pv_w]

    def off_w(b: int, g: int) -> float:
        return min(abs(load_w - sun_w - b * battery - g * grid) for sun_w in suns_w)

    most_off_w = max(TOLERANCE_W, TOLERANCE * (load_w + sun + abs(battery) + abs(grid)))
    return Signs(
        _decided(battery, lambda sign: min(off_w(sign, g) for g in (1, -1)), most_off_w),
        _decided(grid, lambda sign: min(off_w(b, sign) for b in (1, -1)), most_off_w),
    )


def _decided(power_w: float, off_w: Callable[[int], float], most_off_w: float) -> int | None:
    """The sign that fits, where it does and the other one does not."""
    if abs(power_w) < LEAST_W:
        return None
    as_documented_w, turned_w = off_w(1), off_w(-1)
    sign = 1 if as_documented_w <= turned_w else -1
    clear = abs(as_documented_w - turned_w) >= MARGIN_W and min(as_documented_w, turned_w) <= most_off_w
    return sign if clear else None


class SignFinder:
    """Gathers evidence answer by answer. Each sign is settled once, and stays."""

    def __init__(self, signs: Signs = Signs()) -> None:
        self.signs = signs
        self._runs = {"battery": (0, 0), "grid": (0, 0)}  # the sign that was seen last, and how often in a row
        self._before: Power | None = None

    def take(self, power: Power, own_pv_w: float | None = None) -> bool:
        """Take in an answer; whether it has settled something. The same values once more say nothing new."""
        if power == self._before:
            return False
        self._before = power
        seen, before = evidence(power, own_pv_w), self.signs
        for name in ("battery", "grid"):
            sign = getattr(seen, name)
            if sign is None or getattr(self.signs, name) is not None:
                continue
            last, count = self._runs[name]
            self._runs[name] = (sign, count + 1 if sign == last else 1)
            if self._runs[name][1] >= ENOUGH:
                self.signs = replace(self.signs, **{name: sign})
        return self.signs != before
