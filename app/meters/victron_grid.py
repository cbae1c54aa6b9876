"""The phases of a Victron GX device, as messages and registers tell them. Pure but for the wall clock of readings."""

from __future__ import annotations

import time

from app.documents import optional
from app.meters.base import watts
from app.meters.victron_gx import value_of
from app.model import DeviceDataError, DeviceError, DeviceUnavailable, Phase, Reading

LONGEST_S = 25.0  # a phase that has not come for so long is not believed: it is asked for sooner than that
LEARN_S = 3.0  # after the first phase: the others are known by then
AWAY = "the GX device has no grid power: its grid meter is away, or was never set up"
EDGE_W = 32_767  # of a register; what is beyond is shown as this


class Grid:
    """The phases as they were last told. A phase that was there once is needed from then on."""

    def __init__(self, phases: int | None) -> None:
        self._given, self._needed = phases is not None, phases or 0
        self._told: dict[str, tuple[float | None, float]] = {}  # by phase: watts, None: it has none; and when
        self._wrong: dict[str, str] = {}
        self._since_s: float | None = None
        self._shown_s = 0.0
        self.published = False  # all that there is, once

    def take(self, phase: str, payload: bytes, now_s: float) -> bool:
        """Take in a message; whether it is one of a phase."""
        if phase not in ("L1", "L2", "L3"):
            return False
        self._wrong.pop(phase, None)
        power_w = None
        try:
            power_w = parse(payload, phase)
        except DeviceDataError as error:
            self._wrong[phase] = str(error)
        if power_w is not None:
            self._since_s = now_s if self._since_s is None else self._since_s
            if not self._given:
                self._needed = max(self._needed, int(phase[1]))
        self._told[phase] = power_w, now_s
        return True

    def forget(self) -> None:
        """The connection is gone, and what was told is not to be believed any more."""
        self._told.clear()
        self._wrong.clear()
        self._since_s, self.published = None, False

    @property
    def names(self) -> tuple[str, ...]:
        """The phases that there are, or may be."""
        count = self._needed if self._given or (self._needed and self._complete) else 3
        return tuple(f"L{number}" for number in range(1, count + 1))

    def old(self, before_s: float) -> tuple[str, ...]:
        """Those of them that were not told since."""
        return tuple(name for name in self.names if name not in self._told or self._told[name][1] < before_s)

    def outcome(self, now_s: float) -> Reading | DeviceError | None:
        """What is to be said now; None: nothing new."""
        if not self._known(now_s):
            return None
        newest_s = max(at_s for _, at_s in self._told.values())
        if newest_s <= self._shown_s:
            return None
        self._shown_s = newest_s
        powers_w = {f"L{n}": self._told.get(f"L{n}", (None, 0.0))[0] for n in range(1, self._needed + 1)}
        old = [phase for phase in powers_w if phase in self._told and now_s - self._told[phase][1] > LONGEST_S]
        if old:
            return DeviceUnavailable(
                f"{', '.join(old)} has not been told for {LONGEST_S:.0f} s, although it was asked for"
            )
        missing = [phase for phase, power_w in powers_w.items() if power_w is None]
        if missing or not powers_w:
            return DeviceDataError(self._what_is_missing(missing))
        phases = tuple(Phase(power_w) for power_w in powers_w.values())
        power_w = sum(power_w or 0.0 for power_w in powers_w.values())
        return Reading(power_w, newest_s, time.time() - (now_s - newest_s), phases)

    @property
    def away(self) -> str | None:
        """What to say where the phases that are needed have none, and were not told since."""
        told = [self._told[name][0] for name in self.names if name in self._told]
        return AWAY if told and told.count(None) == len(told) else None

    def since(self, length_s: float, now_s: float) -> bool:
        """Whether the first phase was told so long ago."""
        return self._since_s is not None and now_s - self._since_s > length_s

    def _known(self, now_s: float) -> bool:
        """Whether it is known which phases there are."""
        if self._given:
            return all(name in self._told for name in self.names)
        return bool(self._told) and (self._complete or self.since(LEARN_S, now_s))

    @property
    def _complete(self) -> bool:
        return self.published or len(self._told) == 3

    def _what_is_missing(self, missing: list[str]) -> str:
        wrong = [self._wrong[phase] for phase in missing if phase in self._wrong]
        if wrong:
            return "; ".join(wrong)
        if len(missing) == self._needed:
            return AWAY
        return f"no power on {', '.join(missing)}: the GX device has lost a phase of its grid meter"


def parse(payload: bytes, phase: str) -> float | None:
    """The watts in a message; None: it says that there are none. Raises `DeviceDataError`."""
    value = value_of(payload, f"{phase} ")
    return None if value is None else watts(value, f"the power of {phase}")


def registers(raw: list[int], count: int) -> tuple[float, ...]:
    """The watts of the phases, out of signed registers. Raises `DeviceDataError`."""
    if len(raw) != count or not all(optional(one) is not None and 0 <= one <= 0xFFFF for one in raw):
        raise DeviceDataError(f"{len(raw)} registers came, and not {count}")
    values = [one - 0x10000 if one & 0x8000 else one for one in raw]
    for number, value in enumerate(values, 1):
        if abs(value) >= EDGE_W:
            raise DeviceDataError(f"L{number} is {value} W, which is the end of its register and no power")
    return tuple(float(value) for value in values)
