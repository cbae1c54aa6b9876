"""Holds the limit of one inverter: rounded down, written when it changes, read back, and not more often than wise."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from dataclasses import replace

from app.inverters.goodwe.budget import Budget
from app.inverters.goodwe.config import GoodWeConfig
from app.inverters.goodwe.device import Device
from app.inverters.goodwe.memory import Memory
from app.inverters.goodwe.proof import Proof
from app.inverters.goodwe.scale import Held
from app.kept import Kept
from app.localtime import began_utc_s, later, local_day
from app.model import DeviceDataError, DeviceError

log = logging.getLogger(__name__)

AGAIN_S, AGAIN_MOST_S = 15.0, 600.0  # until a value that does not stay is written again: twice as long each time
REFUSED_S = 30.0  # a register that cannot be written will not be there in a second
PAST_S = 300.0  # between two writes when all are used up


class Limiter:
    """``commanded_w``, ``acked_w`` and ``resets`` are as in `InverterState`; ``trouble``: why a limit is not held."""

    def __init__(
        self,
        config: GoodWeConfig,
        device: Device,
        file: Kept[Memory],
        clock: Callable[[], float],
        utc: Callable[[], float],
    ) -> None:
        self._config, self._device, self._file = config, device, file
        self._clock, self._utc = clock, utc
        self._scale = config.scale
        self._word = "+".join(str(one.address) for one in self._scale.registers)
        self._memory = file.read()
        self.proof = Proof(self._scale.rated_w, proven=self._memory.proven == self._word)
        self.commanded_w: float | None = None
        self.commanded_at_s: float | None = None
        self.acked_steps: int | None = None
        self.acked_at_s: float | None = None
        self.foreign: str | None = None
        self.foreign_at_s: float | None = None
        self.resets = 0
        self.trouble: str | None = None
        self._lock = asyncio.Lock()
        self._held: dict[int, int] | None = None  # as last read; None: not known
        self._confirmed: dict[int, int] | None = None  # our own value, as it was read back
        self._unconfirmed: dict[int, int] | None = None  # written, and not read back so far
        self._met = False
        self._told_resets = -1
        self._written_s = self._past_s = self._refused_s = float("-inf")
        self._again_s = AGAIN_S

    # -- what is known ---------------------------------------------------------------------------------

    @property
    def found_w(self) -> float | None:
        """The limit that was there before us and is kept as the highest; None where there was none."""
        steps = self._found_steps
        return None if steps is None else self._scale.watts(steps)

    @property
    def max_w(self) -> float:
        """The highest limit that is written."""
        return self._scale.watts(self._top)

    @property
    def acked_w(self) -> float | None:
        """The limit that the registers show."""
        return None if self.acked_steps is None else self._scale.watts(self.acked_steps)

    @property
    def writes_today(self) -> int:
        """Registers written on this local day."""
        return self._memory.writes if self._memory.day == local_day(self._utc()) else 0

    @property
    def budget(self) -> Budget | None:
        """What may be written today; None where writing wears nothing out."""
        return self._budget(1) if self._config.wears else None

    @property
    def pace_s(self) -> float:
        """The least time between two limits that are no emergency."""
        budget = self._budget(len(self._scale.limits))
        return max(self._config.min_interval_s, budget.pause_s if self._config.wears else 0.0)

    @property
    def step_w(self) -> float:
        """Smaller changes are not worth a write."""
        least_w = max(self._scale.step_w, self._config.min_step_pct * self._scale.rated_w / 100.0)
        return least_w * (self._budget(len(self._scale.limits)).coarseness if self._config.wears else 1.0)

    # -- what is done ----------------------------------------------------------------------------------

    async def look(self, *, been_away: bool = False) -> None:
        """Read the registers of the limit. ``been_away``: it may have restarted since. Raises `DeviceError`."""
        async with self._lock:
            await self._read(been_away=been_away)

    async def hold(self, limit_w: float) -> bool:
        """Write a limit where it differs from what is held. False: not now. Raises `DeviceError`."""
        async with self._lock:
            if self._held is None:
                await self._read()
            steps = max(self._config.lowest, min(self._top, self._scale.steps(limit_w)))
            granted = self._granted(steps)
            if granted is None:
                return False
            wanted = self._scale.holding(granted)
            changes = self._changes(wanted)
            if changes:
                await self._write(wanted, changes, self._scale.watts(granted))
            elif self.commanded_w != self._scale.watts(granted) or self._told_resets != self.resets:
                self._commanded(self._scale.watts(granted))
                await self._read()
            return True

    async def release(self, share_pct: float | None) -> bool:
        """Open it to so much of its rated power, or to what was found before us; True when it is read back.

        Somebody asks for it, so it costs what it costs. Raises `DeviceError`.
        """
        async with self._lock:
            await self._read()
            wanted = self._opened(share_pct)
            steps = self._scale.shown(wanted) or self._scale.full
            if share_pct is not None:
                self._memory = replace(self._memory, found=dict(wanted), found_utc_s=self._utc())
            changes = self._changes(wanted)
            if changes:
                await self._write(wanted, changes, self._scale.watts(steps))
            else:
                self._commanded(self._scale.watts(steps))
                await self._file.save(self._memory)
                await self._read()
            return self.trouble is None

    def measured(self, at_s: float, power_w: float) -> bool:
        """Take in a power; True when it has just proven what the registers mean."""
        before = self.proof.proven
        self.proof.measured(at_s, power_w)
        if before or not self.proof.proven:
            return False
        self._memory = replace(self._memory, proven=self._word)
        return True

    async def save(self) -> None:
        """Keep what is known."""
        await self._file.save(self._memory)

    # -- inside ----------------------------------------------------------------------------------------

    @property
    def _found_steps(self) -> int | None:
        found = self._memory.found
        if found is None or self._config.found_limit == "ignore":
            return None
        steps = self._scale.shown(found)
        return None if not steps or steps >= self._scale.full else max(steps, self._config.lowest)

    @property
    def _top(self) -> int:
        steps = self._scale.steps(self._config.max_watt)
        return max(self._config.lowest, min(steps, self._found_steps or steps))

    def _opened(self, share_pct: float | None) -> dict[int, int]:
        found = self._memory.found
        if share_pct is not None:
            steps = self._scale.steps(self._scale.rated_w * share_pct / 100.0)
            return self._scale.holding(max(self._config.lowest, steps))
        if found is not None and self._config.found_limit == "keep" and self._scale.shown(found):
            return {one.address: found[one.address] for one in self._scale.registers}
        return self._scale.holding(self._top)

    def _budget(self, each: int) -> Budget:
        utc_s = self._utc()
        day = local_day(utc_s)
        began_s = began_utc_s(day)
        ends_s = began_utc_s(later(day, 1)) if began_s is not None else None
        rest_s = ends_s - utc_s if ends_s is not None else 0.0
        return Budget(self._config.writes_per_day, self.writes_today, rest_s, each)

    def _granted(self, steps: int) -> int | None:
        """The steps that may be written now; None: none."""
        now_s, changes = self._clock(), self._changes(self._scale.holding(steps))
        if not changes:
            return steps
        if now_s - self._refused_s < REFUSED_S:
            return None
        if self._unconfirmed is not None and self._unconfirmed == self._scale.holding(steps):
            if now_s - self._written_s < self._again_s:
                return None
            self._again_s = min(AGAIN_MOST_S, 2.0 * self._again_s)
        if not self._config.wears:
            return steps
        budget = self._budget(len(changes))
        held = self._scale.shown(self._held) if self._held is not None else None
        granted = budget.grants(steps, held, self._config.lowest, now_s - self._written_s)
        if granted is not None and budget.left < budget.each:
            if now_s - self._past_s < PAST_S:
                return None
            self._past_s = now_s
        return granted

    def _changes(self, wanted: Held) -> dict[int, int]:
        """What has to be written: equal values are not."""
        held = self._held or {}
        known = {
            address: (self._memory.ours.get(address) if self._scale.unshown(address, value) else value)
            for address, value in held.items()
        }
        return {address: value for address, value in wanted.items() if known.get(address) != value}

    def _commanded(self, limit_w: float) -> None:
        self.commanded_w, self.commanded_at_s = limit_w, self._clock()
        self._told_resets = self.resets

    async def _write(self, wanted: dict[int, int], changes: dict[int, int], limit_w: float) -> None:
        """Count, keep, write, read back. Raises `DeviceError` where it was not written for certain."""
        before = self._memory
        memory = replace(
            before,
            ours=wanted,
            before={address: (self._held or {}).get(address, value) for address, value in wanted.items()},
            day=local_day(self._utc()),
            writes=self.writes_today + len(changes),
        )
        await self._file.save(memory)  # a write that is not counted would be one too many
        self._memory, self._confirmed = memory, None
        by_address = {one.address: one for one in self._scale.registers}
        sent_s, done = self._clock(), 0
        try:
            for address, value in changes.items():
                await self._device.write(by_address[address], value)
                done += 1
        except DeviceError as error:
            self._held, self.resets = None, self.resets + 1
            if isinstance(error, DeviceDataError):
                self._refused_s = self._clock()
                self._memory = replace(memory, writes=memory.writes - len(changes) + done)
            raise
        finally:
            self._written_s = sent_s
        if self._unconfirmed != wanted:
            self._again_s = AGAIN_S
        self._held, self._unconfirmed = {**(self._held or {}), **changes}, wanted
        self._commanded(limit_w)
        try:
            await self._read()
        except DeviceError as error:
            log.debug("%s: not read back: %s", self._config.id, error)

    async def _read(self, *, been_away: bool = False) -> None:
        """Read the registers, and see what has become of them."""
        held = await self._device.held(self._scale.registers)
        self._held = held
        self.acked_steps, self.acked_at_s = self._scale.shown(held), self._clock()
        if not self._met:
            self._meet(held)
        if self._confirmed is not None and held != self._confirmed:
            self._changed(held, been_away=been_away)
        elif self._unconfirmed is not None:
            self._confirm(held)

    def _meet(self, held: dict[int, int]) -> None:
        """The first look of this run: what is not ours is somebody's, and kept."""
        self._met = True
        memory = self._memory
        ours = memory.found is not None and all(
            value in (memory.ours.get(address), memory.before.get(address)) or self._scale.unshown(address, value)
            for address, value in held.items()
        )
        if ours:
            return
        self._memory = replace(memory, found=held, found_utc_s=self._utc(), ours={}, before={})
        if self.found_w is not None:
            log.warning(
                "%s: a limit of %.0f W was there before us; it is never exceeded (found_limit)",
                self._config.id,
                self.found_w,
            )

    def _changed(self, held: Held, *, been_away: bool) -> None:
        """The limit is another one than ours: it restarted, or somebody else writes."""
        old = self._confirmed or {}
        self._confirmed = None
        self.resets += 1
        what = ", ".join(f"register {address}: {value}" for address, value in held.items() if old.get(address) != value)
        if been_away:
            log.info("%s came back with another limit (%s)", self._config.id, what)
            return
        self.foreign, self.foreign_at_s = what, self._clock()

    def _confirm(self, held: dict[int, int]) -> None:
        """Whether our last write has stayed."""
        wanted = self._unconfirmed or {}
        off = [a for a, value in wanted.items() if held.get(a) != value and not self._scale.unshown(a, held.get(a, -1))]
        if off:
            shown = ", ".join(f"register {a} shows {held.get(a)} after {wanted[a]} was written" for a in off)
            if self.trouble is None:
                log.warning("%s: %s", self._config.id, shown)
            self.trouble = shown
            return
        if self.trouble is not None:
            log.info("%s: its registers hold what is written again", self._config.id)
        self.trouble, self._again_s = None, AGAIN_S
        self._confirmed, self._unconfirmed = held, None
        if self.commanded_w is not None and math.isfinite(self.commanded_w) and self.commanded_at_s is not None:
            self.proof.wrote(self.commanded_at_s, self.commanded_w)
