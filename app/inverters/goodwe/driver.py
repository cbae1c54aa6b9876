"""The driver of one GoodWe inverter: measured values in, limits out, over Modbus TCP."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable

from app.access import Access
from app.checks import Check
from app.inverters.base import InverterDriver
from app.inverters.goodwe.config import GoodWeConfig
from app.inverters.goodwe.device import Device
from app.inverters.goodwe.examine import examine
from app.inverters.goodwe.limiter import Limiter
from app.inverters.goodwe.memory import kept
from app.inverters.goodwe.profiles import Quirk
from app.inverters.goodwe.values import Identity, Measured, OwnMeter
from app.model import Ac, DeviceDataError, DeviceError, DeviceUnavailable, GatewayState, InverterState

log = logging.getLogger(__name__)

TWICE_S = 1.0  # a dongle may hold on to a connection that we have given up, and turn the next one away
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 30.0  # from one try to connect to the next
LOST_S = 15.0  # an outage that is shorter is none
LOOK_S, ABOUT_S = 15.0, 30.0  # between two looks at the limit, and at the meter of its own
AWAKE_W = 20.0  # one that went silent at more than this did not fall asleep


class GoodWe(InverterDriver):
    """One inverter. Nobody lowers it when we die: Modbus knows no last will."""

    def __init__(
        self,
        config: GoodWeConfig,
        access: Access,
        *,
        clock: Callable[[], float] = time.monotonic,
        utc: Callable[[], float] = time.time,
    ) -> None:
        self.config, self._clock, self._utc = config, clock, utc
        client = Device.client(access.shared, config.host, config.timeout_s)
        self.device = Device(client, config.unit, config.known.layout)
        self.limiter = Limiter(config, self.device, kept(access.data_dir, config.id), clock, utc)
        self.identity, self.own_meter = Identity(), OwnMeter()
        self.fault: str | None = None  # why it cannot be read
        self.limits_fault: str | None = None  # why its limit cannot be read or written
        self.tried = 0
        self._measured = Measured(Ac(), ())
        self._at_s: float | None = None
        self._utc_s: float | None = None
        self._data_seq = 0
        self._started_s = clock()
        self._looked_s = self._asked_s = self._identified_s = float("-inf")
        self._away = self._missed = False  # it is unreachable; it was not heard since the last look

    # -- the driver's surface --------------------------------------------------------------------------

    @property
    def reachable(self) -> bool | None:
        """Whether it answers; None until that is known."""
        if self._at_s is None:
            return False if self.fault is not None else None
        return self.fault is None or self._clock() - self._at_s < LOST_S

    def states(self, guarded: frozenset[str] = frozenset()) -> tuple[InverterState, ...]:  # noqa: ARG002 - never is
        """What is known now."""
        config, limiter, measured = self.config, self.limiter, self._measured
        acked_w, budget = limiter.acked_w, limiter.budget
        state = InverterState(
            serial=config.id,
            name=config.name or self.identity.model or config.id,
            max_w=limiter.max_w,
            min_w=min(config.floor_w, limiter.max_w),
            enabled=config.enabled,
            reachable=self.reachable,
            producing=None if measured.ac.power_w is None else measured.ac.power_w > 0.0,
            ac=measured.ac,
            panels=measured.panels[: config.channels],
            power_at_s=self._at_s,
            utc_s=self._utc_s,
            data_seq=self._data_seq,
            commanded_w=limiter.commanded_w,
            commanded_at_s=limiter.commanded_at_s,
            acked_w=acked_w,
            acked_pct=None if acked_w is None else 100.0 * acked_w / config.scale.rated_w,
            acked_at_s=limiter.acked_at_s,
            rated_w=self.identity.rated_w,
            resets=limiter.resets,
            radio=config.id,
            note="; ".join(self.notes()),
            phase=config.phase,
            foreign=limiter.foreign,
            foreign_at_s=limiter.foreign_at_s,
            guardable=False,
            switchable=False,
            trusted=limiter.proof.proven,
            gateway=f"the dongle at {config.host}",
            pace_s=limiter.pace_s,
            step_w=limiter.step_w,
            dead_time_s=config.dead_time_s,
            writes_today=limiter.writes_today if budget is not None else None,
            writes_budget=config.writes_per_day if budget is not None else None,
        )
        return (state,)

    def gateway(self) -> GatewayState:
        """Its connection. By night it sleeps, dongle and all: that is no fault."""
        power_w = self._measured.ac.power_w
        asleep = self._at_s is not None and (power_w is None or power_w <= AWAKE_W)
        fault = self.limits_fault
        if self.reachable is False and not asleep and self._clock() - self._started_s > LOST_S:
            fault = self.fault
        return GatewayState(
            name=f"GoodWe at {self.config.host}",
            online=self.reachable,
            seen_at_s=self._at_s,
            utc_s=self._utc_s,
            data_seq=self._data_seq,
            fault=fault,
        )

    async def run(self) -> None:
        """Read it every ``interval_s``; where it does not answer, ever more seldom."""
        pause_s = FIRST_PAUSE_S
        try:
            while True:
                try:
                    await self._poll()
                except DeviceError as error:
                    self._lost(error)
                    await asyncio.sleep(pause_s)
                    pause_s = min(LONGEST_PAUSE_S, 2.0 * pause_s)
                else:
                    pause_s = FIRST_PAUSE_S
                    await asyncio.sleep(self.config.interval_s)
                finally:
                    self.tried += 1
        finally:
            self.device.close()

    async def set_limit(self, serial: str, limit_w: float) -> bool:
        """Write a limit, rounded down to what the register holds; True when it is written, or was there."""
        if not math.isfinite(limit_w) or not self.config.enabled:
            raise ValueError(f"refusing to command {serial} to {limit_w!r} W")
        try:
            held = await _twice(lambda: self.limiter.hold(limit_w))
        except DeviceError as error:
            self._unwritten(error)
            return False
        if held:
            self._written()
        return held

    async def release(self, serial: str, share_pct: float | None = None) -> bool:
        """Open it again, past the budget of writes; True when it is read back. Raises `DeviceError`."""
        if not self.config.enabled:
            raise ValueError(f"refusing to release {serial}")
        return await _twice(lambda: self.limiter.release(share_pct))

    async def examine(self) -> list[Check]:
        """What `doctor` finds, step by step."""
        return await examine(self)

    def notes(self) -> list[str]:
        """What whoever looks at it should know."""
        limiter, known = self.limiter, self.config.known
        found = ["no dead-man limit over Modbus: if this program dies, its last limit stays"]
        if not limiter.proof.proven:
            found.append("register meaning not yet proven by power")
        if limiter.found_w is not None:
            found.append(f"a limit of {limiter.found_w:.0f} W was there before us and is kept as the highest")
        if self.own_meter.connected and Quirk.OWN_METER in known.quirks:
            found.append("its limit counts at the meter of its own, not at its output")
        budget = limiter.budget
        if budget is not None and budget.left <= budget.each:
            found.append(
                f"all {budget.a_day} writes of today are used up: it stays at its lowest limit until midnight, "
                "and only fail-safe limits are written"
            )
        elif budget is not None and budget.left <= budget.reserve:
            found.append(f"{budget.used} of {budget.a_day} writes of today are used: the rest is kept for cuts")
        if limiter.trouble is not None:
            found.append(limiter.trouble)
        return found

    # -- keeping in touch ------------------------------------------------------------------------------

    async def _poll(self) -> None:
        """What it gives, and now and then the rest. Raises `DeviceError` where it does not tell the first."""
        found = await self.device.measured()
        now_s = self._clock()
        if found.ac.power_w is None:
            raise DeviceDataError(f"the GoodWe at {self.config.host} tells no power: check unit and profile")
        self._measured, self._at_s, self._utc_s = found, now_s, self._utc()
        self._data_seq += 1
        if self.fault is not None and self._away:
            log.info("%s answers again", self.config.id)
        self.fault = None
        if self.limiter.measured(now_s, found.ac.power_w):
            log.info("%s: its power follows the register that limits it", self.config.id)
            await self.limiter.save()
        self._away = False
        if self._missed or now_s - self._looked_s >= LOOK_S:
            await self._look(now_s)
        if now_s - self._identified_s >= self.config.optional_retry_s and self.identity == Identity():
            self._identified_s = now_s
            self.identity = await self._optional_identity()
        if now_s - self._asked_s >= (ABOUT_S if self.own_meter != OwnMeter() else self.config.optional_retry_s):
            self._asked_s = now_s
            self.own_meter = await self.device.own_meter() or OwnMeter()

    async def _look(self, now_s: float) -> None:
        try:
            await self.limiter.look(been_away=self._missed)
        except DeviceDataError as error:
            self._unwritten(error)
        else:
            self._written()
        self._looked_s, self._missed = now_s, False

    async def _optional_identity(self) -> Identity:
        try:
            return await self.device.identity()
        except DeviceDataError:
            return Identity()

    def _lost(self, error: DeviceError) -> None:
        self.fault, self._missed = str(error), True
        if self.reachable is False and not self._away:
            self._away = True
            log.info("%s", error)

    def _unwritten(self, error: DeviceError) -> None:
        """Its limit could not be written or read; an outage `run` notices by itself."""
        if isinstance(error, DeviceUnavailable):
            log.debug("%s: %s", self.config.id, error)
            return
        if self.limits_fault is None:
            log.warning("%s cannot be limited: %s", self.config.id, error)
        self.limits_fault = f"{self.config.name or self.config.id} cannot be limited: {error}."

    def _written(self) -> None:
        if self.limits_fault is not None:
            log.info("%s can be limited again", self.config.id)
        self.limits_fault = None


async def _twice(work: Callable[[], Awaitable[bool]]) -> bool:
    """Do it, and once more where there was no answer. Raises `DeviceError`."""
    try:
        return await work()
    except DeviceUnavailable:
        await asyncio.sleep(TWICE_S)
        return await work()
