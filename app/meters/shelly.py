"""Shelly energy meters of all generations, over HTTP. The device says itself what it is (``GET /shelly``).

Gen1 (EM, 3EM): ``/status``, ``emeters[]``, counters in Wh. Gen2 and later: ``EM.GetStatus`` (three phases
as one meter) or ``EM1.GetStatus`` (channels on their own: Pro EM, EM Gen3, and a 3EM in its monophase
profile). Power is signed on all of them, positive is import.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import aiohttp
from pydantic import Field, field_validator

from app.endpoint import basic_login
from app.fields import Host
from app.meters.base import About, Access, Emit, Meter, PolledConfig, get_json, optional, poll, watts, when_new
from app.model import DeviceAuthError, DeviceDataError, DeviceError, DeviceUnavailable, Phase, Reading
from app.redact import Redactor, secrets_of

log = logging.getLogger(__name__)

COUNTER_INTERVAL_S = 30.0
UNUSABLE = ("power_meter_failure", "ct_type_not_set")
Counters = tuple[float | None, float | None]
Power = tuple[float, tuple[Phase, ...]]


class ShellyConfig(PolledConfig):
    """A Shelly grid meter."""

    about = About(
        products="Shelly EM, 3EM, Pro 3EM, 3EM-63, Pro EM, EM of Gen1 to Gen4",
        example="type: shelly\nhost: 192.168.1.20",
        speed="1 s",
        limits="without a password, or with the one of the device (password: …)",
    )

    type: Literal["shelly"]
    host: Host
    channel: tuple[int, ...] | None = Field(
        None,
        description="channel or list of channels to sum; default: 0 of a two-channel meter, all of a three-phase one",
    )
    username: str = "admin"
    password: str = Field("", repr=False)

    @field_validator("channel", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("channel")
    @classmethod
    def _known(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if value is not None and (not value or len(set(value)) < len(value) or not all(0 <= c <= 3 for c in value)):
            raise ValueError(f"{list(value)} is no choice of channels: use numbers from 0 to 3, each once")
        return value

    def driver(self, access: Access) -> Meter:
        """The driver for this device."""
        return Shelly(self, access.session)


class Shelly:
    """One device, one request at a time; what it is, is found out again after it was away."""

    def __init__(self, config: ShellyConfig, session: aiohttp.ClientSession) -> None:
        self.name = f"shelly at {config.host}"
        self.interval_s = config.interval_s
        self._config = config
        self._session = session
        self._lock = asyncio.Lock()
        self._public = Redactor(secrets_of(config))
        self._digest: aiohttp.DigestAuthMiddleware | None = None
        self._counters: Counters = (None, None)
        self._read_power: Callable[[], Awaitable[Power]] | None = None
        self._read_counters: Callable[[], Awaitable[Counters]] | None = None
        self.model = self._told = "unknown"

    async def run(self, emit: Emit) -> None:
        """Emit a reading every ``interval_s``, soon after the device has made it."""
        interval_s = self._config.interval_s
        async with asyncio.TaskGroup() as group:
            asking = poll(self.read, interval_s / 2.0, when_new(emit, interval_s))
            group.create_task(asking, name=f"{self.name}: power")
            group.create_task(self._follow_counters(), name=f"{self.name}: counters")

    async def read(self) -> Reading:
        """One reading now. Raises `DeviceError`."""
        async with self._lock:
            try:
                read_power = self._read_power or await self._identify()
                started_s = time.monotonic()
                power_w, phases = await read_power()
            except DeviceError as error:  # it may quote what the device says, and the device knows our login
                self._read_power = self._read_counters = None
                raise type(error)(self._public(str(error))) from None
        done_s = time.monotonic()
        imported, exported = self._counters
        return Reading(
            power_w=power_w,
            at_s=done_s,
            utc_s=time.time(),
            phases=phases,
            import_wh=imported,
            export_wh=exported,
            latency_s=done_s - started_s,
        )

    async def _follow_counters(self) -> None:
        while True:
            if self._read_counters is not None:
                try:
                    async with self._lock:
                        self._counters = await self._read_counters()
                except DeviceError as error:
                    log.debug("no counters from %s: %s", self.name, error)
            await asyncio.sleep(COUNTER_INTERVAL_S if self._counters != (None, None) else 2.0)

    # -- identification ------------------------------------------------------------------------------

    async def _identify(self) -> Callable[[], Awaitable[Power]]:
        about = await self._get("/shelly", authenticated=False)
        if not isinstance(about, dict) or "mac" not in about:
            raise DeviceDataError(f"{self._config.host} answers, but is no Shelly: check meter.host")
        needs_login = bool(about.get("auth") or about.get("auth_en"))
        if needs_login and not self._config.password:
            raise DeviceAuthError(f"the Shelly at {self._config.host} asks for a password: set meter.password")
        if "gen" not in about:
            self.model = str(about.get("type", "Gen1"))[:40]
            read_power: Callable[[], Awaitable[Power]] = self._gen1
        else:
            self.model = str(about.get("model") or about.get("app") or "Gen2")[:40]
            read_power = await self._identify_rpc(about)
        if self.model != self._told:
            log.info("%s is a %s", self.name, self.model)
            self._told = self.model
        self._read_power = read_power
        return read_power

    async def _identify_rpc(self, about: dict[str, Any]) -> Callable[[], Awaitable[Power]]:
        if about.get("profile") != "monophase" and await self._has("EM.GetStatus?id=0"):
            self._read_counters = self._em_counters
            return self._em
        channels = self._config.channel or ((0, 1, 2) if about.get("profile") == "monophase" else (0,))
        if not await self._has(f"EM1.GetStatus?id={channels[0]}"):
            raise DeviceDataError(
                f"the {self.model} at {self._config.host} has no grid metering on channel {channels[0]}: "
                "use an EM or 3EM, or another meter.channel"
            )
        self._read_counters = lambda: self._em1_counters(channels)
        return lambda: self._em1(channels)

    async def _has(self, call: str) -> bool:
        try:
            await self._get(f"/rpc/{call}")
        except DeviceDataError:
            return False
        return True

    # -- reading -------------------------------------------------------------------------------------

    async def _gen1(self) -> Power:
        power_w, phases, self._counters = parse_gen1(await self._get("/status"), self._config.channel)
        return power_w, phases

    async def _em(self) -> Power:
        return parse_em(await self._get("/rpc/EM.GetStatus?id=0"), self._config.channel)

    async def _em1(self, channels: tuple[int, ...]) -> Power:
        return parse_em1([await self._get(f"/rpc/EM1.GetStatus?id={channel}") for channel in channels])

    async def _em_counters(self) -> Counters:
        return parse_em_counters(await self._get("/rpc/EMData.GetStatus?id=0"), self._config.channel)

    async def _em1_counters(self, channels: tuple[int, ...]) -> Counters:
        found = [_mapping(await self._get(f"/rpc/EM1Data.GetStatus?id={c}"), "EM1Data.GetStatus") for c in channels]
        return _sum(data.get("total_act_energy") for data in found), _sum(
            data.get("total_act_ret_energy") for data in found
        )

    # -- requests ------------------------------------------------------------------------------------

    async def _get(self, path: str, *, authenticated: bool = True) -> Any:
        """GET with whatever login the generation wants. A digest that was thrown out (429) is made anew."""
        request: dict[str, Any] = {}
        if authenticated and self._config.password:
            request = self._login(path)
        try:
            return await get_json(self._session, f"http://{self._config.host}{path}", self._config.timeout_s, **request)
        except DeviceDataError as error:
            if "HTTP 429" in str(error):
                self._digest = None
                raise DeviceUnavailable(f"{self.name} is throttling logins") from None
            raise
        except DeviceAuthError:
            self._digest = None
            raise

    def _login(self, path: str) -> dict[str, Any]:
        user, password = self._config.username, self._config.password
        if not path.startswith("/rpc"):
            return {"headers": {"Authorization": basic_login(user, password)}}
        if self._digest is None:
            self._digest = aiohttp.DigestAuthMiddleware(user, password)
        return {"middlewares": (self._digest,)}


def parse_gen1(status: Any, channels: tuple[int, ...] | None) -> tuple[float, tuple[Phase, ...], Counters]:
    """Power, phases and counters out of ``/status``; ``channels`` None: 0 of two, all of three."""
    meters = _mapping(status, "/status").get("emeters")
    if not isinstance(meters, list) or not meters:
        raise DeviceDataError("this Shelly has no energy meter inputs (no emeters in /status): use an EM or 3EM")
    if channels is None:
        channels = (0, 1, 2) if len(meters) >= 3 else (0,)
    if max(channels) >= len(meters):
        raise DeviceDataError(f"channel {max(channels)} does not exist: this Shelly has {len(meters)}")
    phases, used = [], []
    for channel in channels:
        meter = _mapping(meters[channel], f"emeters[{channel}]")
        if meter.get("is_valid") is False:
            raise DeviceDataError(f"the Shelly says that channel {channel} is not valid (is_valid: false)")
        used.append(meter)
        phases.append(
            Phase(
                watts(meter.get("power"), f"emeters[{channel}].power"),
                optional(meter.get("voltage")),
                optional(meter.get("current")),
                optional(meter.get("pf")),
            )
        )
    counters = _sum(m.get("total") for m in used), _sum(m.get("total_returned") for m in used)
    return sum(phase.power_w or 0.0 for phase in phases), tuple(phases), counters


def parse_em(status: Any, channels: tuple[int, ...] | None) -> Power:
    """Net power and phases out of ``EM.GetStatus``; ``channels`` picks phases (0 = a), None: the net sum."""
    em = _mapping(status, "EM.GetStatus")
    _refuse_errors(em, "errors")
    chosen = "abc" if channels is None else [c for i, c in enumerate("abc") if i in channels]
    phases = []
    for letter in chosen:
        _refuse_errors(em, f"{letter}_errors")
        key = f"{letter}_act_power"
        power_w = watts(em[key], key) if key in em else None
        phases.append(
            Phase(
                power_w,
                optional(em.get(f"{letter}_voltage")),
                optional(em.get(f"{letter}_current")),
                optional(em.get(f"{letter}_pf")),
            )
        )
    powers = [phase.power_w for phase in phases if phase.power_w is not None]
    if channels is not None:
        if not powers or len(powers) < len(channels):
            raise DeviceDataError(f"EM.GetStatus has no power for channels {list(channels)}")
        return sum(powers), tuple(phases)
    total_w = watts(em.get("total_act_power"), "total_act_power")
    if len(powers) == 3 and abs(sum(powers) - total_w) > 10.0 + 0.05 * abs(total_w):
        raise DeviceDataError(f"total_act_power is {total_w:g} W, but the phases sum to {sum(powers):g} W")
    return total_w, tuple(phases)


def parse_em_counters(data: Any, channels: tuple[int, ...] | None) -> Counters:
    """Import and export in Wh out of ``EMData.GetStatus``, of the same phases as `parse_em`."""
    data = _mapping(data, "EMData.GetStatus")
    if channels is None:
        return optional(data.get("total_act")), optional(data.get("total_act_ret"))
    chosen = [letter for index, letter in enumerate("abc") if index in channels]
    return _sum(data.get(f"{letter}_total_act_energy") for letter in chosen), _sum(
        data.get(f"{letter}_total_act_ret_energy") for letter in chosen
    )


def parse_em1(statuses: list[Any]) -> Power:
    """The sum over ``EM1.GetStatus`` answers, one per chosen channel."""
    phases = []
    for status in statuses:
        em1 = _mapping(status, "EM1.GetStatus")
        _refuse_errors(em1, "errors")
        what = f"act_power of channel {str(em1.get('id', '?'))[:9]}"
        phases.append(
            Phase(
                watts(em1.get("act_power"), what),
                optional(em1.get("voltage")),
                optional(em1.get("current")),
                optional(em1.get("pf")),
            )
        )
    return sum(phase.power_w or 0.0 for phase in phases), tuple(phases)


def _mapping(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DeviceDataError(f"{what} is no JSON object but {type(value).__name__}")
    return value


def _refuse_errors(component: dict[str, Any], key: str) -> None:
    errors = component.get(key) or []
    bad = [error for error in errors if error in UNUSABLE] if isinstance(errors, list) else [str(errors)[:40]]
    if bad:
        raise DeviceDataError(f"the Shelly reports {', '.join(bad)} ({key}): check its current clamps and settings")


def _sum(values: Any) -> float | None:
    numbers = [optional(value) for value in values]
    known = [number for number in numbers if number is not None]
    return sum(known) if known and len(known) == len(numbers) else None
