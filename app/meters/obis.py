"""Telegrams of electricity meters: registers by OBIS number, the texts of D0 and DSMR, and the grid power. Pure.

1.7.0 is the power that is taken, 2.7.0 the power that is given, 16.7.0 their signed difference; 36, 56 and 76.7.0 are
the phases, which some meters show without a sign; 15.7.0 never has one. 1.8.x and 2.8.x are the counters.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from app.documents import optional
from app.meters.base import watts
from app.model import DeviceDataError, Phase

WATTS = {"W": 1.0, "kW": 1000.0}
WATT_HOURS = {"Wh": 1.0, "kWh": 1000.0}
SIGNED_PHASES = ("36.7.0", "56.7.0", "76.7.0")
TAKEN_PHASES, GIVEN_PHASES = ("21.7.0", "41.7.0", "61.7.0"), ("22.7.0", "42.7.0", "62.7.0")
_LINE = re.compile(r"(?:(\d{1,3})-\d{1,3}:)?(\d{1,3}\.\d{1,3}\.\d{1,3})(?:\*(\d{1,3}))?\(([^()]{0,80})\)")
_NUMBER = re.compile(r"[+-]?\d{1,15}(?:[.,]\d{1,12})?")
_UNLOCK = (
    "it shows no power at all: enter the PIN at the meter and switch on its full data set (INF on), "
    "as its operator explains"
)


@dataclass(frozen=True, slots=True)
class Register:
    """What a meter shows in one register; a text where it shows no number."""

    value: float | str | None
    unit: str


@dataclass(frozen=True, slots=True)
class Telegram:
    """One telegram: the registers by number (``"16.7.0"``), and the meter's own clock, of whatever epoch."""

    registers: Mapping[str, Register]
    stamp_s: float | None


@dataclass(frozen=True, slots=True)
class Grid:
    """What a telegram says of the grid: watts, positive is import; lifetime energies in Wh where it shows them."""

    power_w: float
    phases: tuple[Phase, ...]
    import_wh: float | None
    export_wh: float | None


def crc16(data: bytes) -> int:
    """CRC-16/ARC, of a DSMR telegram from ``/`` to ``!``, both included."""
    crc = 0
    for byte in data:
        crc = crc >> 8 ^ _CRC[(crc ^ byte) & 0xFF]
    return crc


def _step(crc: int) -> int:
    for _ in range(8):
        crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


_CRC = tuple(_step(byte) for byte in range(256))


def text_telegrams(body: bytes) -> list[Telegram]:
    """The whole D0 telegrams of a text, from ``/`` to ``!``. What is cut off at either end is left out."""
    return [text_telegram(found) for found in re.findall(rb"/[^/!]*!", body)]


def text_telegram(telegram: bytes) -> Telegram:
    """The registers of one D0 or DSMR telegram."""
    registers: dict[str, Register] = {}
    stamps: dict[str, float] = {}
    for line in telegram.decode("ascii", errors="replace").splitlines():
        match = _LINE.match(line.strip())
        if match is None:
            continue
        medium, number, storage, content = match.groups()
        if medium == "0":
            stamps.update(_stamp(number, content))
        elif medium in (None, "1") and storage in (None, "255"):
            text, _, unit = content.partition("*")
            value = float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else text
            registers.setdefault(number, Register(value, unit.strip()))
    return Telegram(registers, stamps.get("1.0.0", stamps.get("96.8.0")))


def _stamp(number: str, content: str) -> Iterator[tuple[str, float]]:
    """The time of a DSMR telegram (YYMMDDhhmmss, W for winter, S for summer), or the seconds of operation of a D0 one.

    Which zone it is does not matter, but the two hours of the night when summer ends do.
    """
    if number == "96.8.0" and re.fullmatch(r"[0-9A-Fa-f]{1,12}", content):
        yield number, float(int(content, 16))
    elif number == "1.0.0" and re.fullmatch(r"\d{12}[SW]?", content, re.ASCII):
        try:
            moment = datetime.strptime(content[:12], "%y%m%d%H%M%S").replace(tzinfo=UTC)
        except ValueError:  # a clock that was never set
            return
        yield number, moment.timestamp() - (3600.0 if content.endswith("S") else 0.0)


def negative(telegram: Telegram) -> set[str]:
    """The registers that show a negative value, and hence have a sign."""
    registers = telegram.registers.items()
    return {number for number, register in registers if isinstance(register.value, float) and register.value < 0.0}


def grid(telegram: Telegram, power_w: float) -> Grid:
    """What a telegram says beside its power. Raises `DeviceDataError` where all of it is 0."""
    import_wh, export_wh = _energy(telegram, "1.8"), _energy(telegram, "2.8")
    if power_w == 0.0 and import_wh == 0.0 and not export_wh:
        raise DeviceDataError("it shows 0 W and no energy at all: it has just started, or has no contact to its meter")
    return Grid(power_w, _phases(telegram, power_w), import_wh, export_wh)


def signed_power(telegram: Telegram, signed: Collection[str], wanted: Sequence[str] = ()) -> float:
    """The grid power in watts. Raises `DeviceDataError` where no register shows it beyond doubt.

    ``signed``: registers that have shown a negative value before; ``wanted``: those that the user says are to be
    summed.
    """
    shown = telegram.registers
    if wanted:
        return sum(_power(telegram, number) for number in wanted)
    if "16.7.0" in shown:
        return _power(telegram, "16.7.0")
    if "1.7.0" in shown or "2.7.0" in shown:
        if "2.7.0" not in shown and "1.7.0" in signed:
            return _power(telegram, "1.7.0")
        return difference(telegram, "; a meter whose 1.7.0 has a sign: power_registers: [1.7.0]")
    phases = [number for number in SIGNED_PHASES if number in shown]
    if phases:
        if any(number in signed for number in phases):
            return sum(_power(telegram, number) for number in phases)
        raise DeviceDataError(
            f"it shows the power as {', '.join(phases)} only, which may have no sign: if they become negative while "
            f"the house exports, say power_registers: [{', '.join(phases)}]"
        )
    if "15.7.0" in shown:
        raise DeviceDataError(
            "it shows the power as 15.7.0 only, which is the same for import and export: "
            "a meter that does not show the direction cannot be used"
        )
    raise DeviceDataError(_UNLOCK)


def difference(telegram: Telegram, advice: str = "") -> float:
    """1.7.0 - 2.7.0 in watts. Raises `DeviceDataError` where one of them is missing; ``advice`` is added then."""
    if "1.7.0" not in telegram.registers and "2.7.0" not in telegram.registers:
        raise DeviceDataError(_UNLOCK)
    for number, other in (("1.7.0", "2.7.0"), ("2.7.0", "1.7.0")):
        if number not in telegram.registers:
            raise DeviceDataError(f"it shows {other} and no {number}: import and export are both needed{advice}")
    taken_w, given_w = _power(telegram, "1.7.0"), _power(telegram, "2.7.0")
    if min(taken_w, given_w) < 0.0:
        raise DeviceDataError(
            f"1.7.0 is {taken_w:g} W and 2.7.0 is {given_w:g} W: counted apart, they are never negative"
        )
    return taken_w - given_w


def _power(telegram: Telegram, number: str) -> float:
    register = telegram.registers.get(number)
    if register is None:
        raise DeviceDataError(f"it shows no register {number}")
    if register.value is None or register.value == "":
        raise DeviceDataError(f"register {number} has no value")
    if register.unit not in WATTS:
        raise DeviceDataError(f"register {number} is in {register.unit[:20] or 'no unit'}, not in W or kW")
    value = optional(register.value)
    return watts(register.value if value is None else value * WATTS[register.unit], f"register {number}")


def _energy(telegram: Telegram, number: str) -> float | None:
    """A counter in Wh: the total, or the sum of the tariffs. None where it shows none."""
    tariffs = [f"{number}.{tariff}" for tariff in range(1, 10)]
    parts = [f"{number}.0"] if f"{number}.0" in telegram.registers else [n for n in tariffs if n in telegram.registers]
    total_wh = 0.0
    for part in parts:
        register = telegram.registers[part]
        value = optional(register.value)
        if value is None or value < 0.0 or register.unit not in WATT_HOURS:
            return None
        total_wh += value * WATT_HOURS[register.unit]
    return total_wh if parts else None


def _phases(telegram: Telegram, power_w: float) -> tuple[Phase, ...]:
    """The phases, where they are the parts of this power; those without a sign are not."""
    tolerance_w = max(10.0, 0.02 * abs(power_w))
    for phases_w in (_shown(telegram, SIGNED_PHASES), _apart(telegram), _shown(telegram, TAKEN_PHASES)):
        if phases_w and abs(sum(phases_w) - power_w) <= tolerance_w:
            return tuple(Phase(phase_w) for phase_w in phases_w)
    return ()


def _apart(telegram: Telegram) -> list[float]:
    taken_w, given_w = _shown(telegram, TAKEN_PHASES), _shown(telegram, GIVEN_PHASES)
    return [t - g for t, g in zip(taken_w, given_w, strict=True)] if len(taken_w) == len(given_w) else []


def _shown(telegram: Telegram, numbers: Sequence[str]) -> list[float]:
    """The powers of those that it shows; none where one of them is no power."""
    try:
        return [_power(telegram, number) for number in numbers if number in telegram.registers]
    except DeviceDataError:
        return []
