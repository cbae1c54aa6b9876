"""One system at AlphaESS's cloud, which is asked once an interval, however many want to know."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from app.access import Access
from app.alphaess import data
from app.alphaess.config import AlphaEssLogin
from app.alphaess.data import Power, SignFinder, Signs
from app.alphaess.refusals import NotThat, pause_s, refusal, skew
from app.documents import body_of, loads
from app.kept import Kept
from app.model import DeviceDataError, DeviceError
from app.outbound import ask
from app.redact import Redactor, secrets_of

T = TypeVar("T")

log = logging.getLogger(__name__)

FROZEN_S, FROZEN = 120.0, 8.0  # and so many intervals: the same values in all places for so long are old ones
LONGEST_RAW = 2000


@dataclass(frozen=True, slots=True)
class Told:
    """One answer, or why there is none. ``number`` counts them."""

    number: int
    at_s: float
    utc_s: float
    latency_s: float
    power: Power | None = None
    error: DeviceError | None = None


class System:
    """One system of one account."""

    def __init__(
        self,
        login: AlphaEssLogin,
        access: Access,
        kept: Kept[dict[str, Signs]],
        clock: Callable[[], float] = time.monotonic,
        utc: Callable[[], float] = time.time,
    ) -> None:
        self.name = f"AlphaESS {login.serial}".rstrip()
        self.interval_s = login.interval_s
        self._login, self._session, self._own_pv_w = login, access.session, access.own_pv_w
        self._kept, self._clock, self._utc = kept, clock, utc
        self._public = Redactor(secrets_of(login))
        self._serial = login.serial
        self._finder = SignFinder(kept.read().get(self._serial, Signs()))
        self._told = Told(0, 0.0, 0.0, 0.0)
        self._changed_s = 0.0
        self._last: Power | None = None
        self._due_s = self._pause_s = 0.0
        self._lock = asyncio.Lock()

    @staticmethod
    def of(access: Access, login: AlphaEssLogin) -> System:
        """The one of this program for a login; who comes first decides on its interval."""
        kept = access.shared.setdefault(
            System, Kept(access.data_dir / "alphaess.json", dict[str, Signs], {}, "signs of AlphaESS systems")
        )
        key = (System, login.base_url, login.app_id, login.serial, login.index)
        if key not in access.shared:
            access.shared[key] = System(login, access, kept)
        found: System = access.shared[key]
        return found

    @property
    def signs(self) -> Signs:
        """Which way round it counts, as far as that is known."""
        return self._finder.signs

    async def newer(self, seen: int) -> Told:
        """The answer after number ``seen``: one that is there already, or the next one, when it is due."""
        async with self._lock:
            if self._told.number <= seen:
                await asyncio.sleep(self._due_s - self._clock())
                self._told = await self._next(self._told.number + 1)
            return self._told

    async def follow(self, read: Callable[[Told], T], emit: Callable[[T | DeviceError], None]) -> None:
        """Emit what ``read`` makes of each answer, or the `DeviceError` that it raises, for ever."""
        seen = 0
        while True:
            told = await self.newer(seen)
            seen = told.number
            try:
                emit(read(told))
            except DeviceError as error:
                emit(error)

    async def _next(self, number: int) -> Told:
        started_s, power, error = self._clock(), None, None
        try:
            power = await self._power()
            self._pause_s = self.interval_s
        except DeviceError as failure:
            error = failure.saying(self._public(str(failure)))
            self._pause_s = pause_s(error, self.interval_s, self._pause_s)
        now_s = self._clock()
        self._due_s = max(started_s + self._pause_s, now_s + 0.05)
        return Told(number, now_s, self._utc(), now_s - started_s, power, error)

    async def _power(self) -> Power:
        """The values of now. Raises `DeviceError`."""
        if not self._serial:
            self._found(await self.listed())
        answer = await self._get("getLastPowerData", {"sysSn": self._serial})
        try:
            power = data.parse(answer)
        except DeviceDataError as error:
            raise DeviceDataError(f"{self.name}: the cloud {error}: look whether it is online") from None
        if power != self._last:
            self._last, self._changed_s = power, self._clock()
            log.debug("%s answers %s", self.name, str(answer)[:LONGEST_RAW])
        still_s = self._clock() - self._changed_s
        if still_s > max(FROZEN_S, FROZEN * self.interval_s):
            raise DeviceDataError(f"{self.name} has shown the same values for {still_s:.0f} s: they are old ones")
        if self._finder.take(power, self._own_pv_w()):
            await self._settled()
        return power

    async def listed(self) -> tuple[str, ...]:
        """The serial numbers of the account's systems. Raises `DeviceError`."""
        answer = await self._get("getEssList", {})
        try:
            return data.systems(answer)
        except DeviceDataError as error:
            raise NotThat(f"AlphaESS {error}") from None

    def _found(self, listed: tuple[str, ...]) -> None:
        """Take the system that is meant."""
        index, serials = self._login.index, ", ".join(listed[:10])
        if index is None and len(listed) > 1:
            raise NotThat(f"AlphaESS knows {len(listed)} systems ({serials}): say which one in serial, or in index")
        if index is not None and index > len(listed):
            raise NotThat(f"AlphaESS knows {len(listed)} systems ({serials}), and index is {index}")
        self._serial = listed[(index or 1) - 1]
        self.name = f"AlphaESS {self._serial}"
        self._finder = SignFinder(self._kept.read().get(self._serial, Signs()))

    async def _get(self, what: str, query: dict[str, str]) -> Any:
        """The ``data`` of an answer. Raises `DeviceError`."""
        login, stamp = self._login, str(int(self._utc()))
        headers = {
            "appId": login.app_id,
            "timeStamp": stamp,
            "sign": data.signature(login.app_id, login.app_secret, stamp),
        }
        answer = await ask(
            self._session, f"{login.base_url}/{what}", login.timeout_s, who="AlphaESS", headers=headers, params=query
        )
        if answer.status == 405:
            raise DeviceDataError(f"AlphaESS does not know {what} at {login.base_url} (HTTP 405): check base_url")
        envelope = loads("AlphaESS", body_of(answer, "AlphaESS", "app_id and app_secret"))
        if not isinstance(envelope, dict) or "code" not in envelope:
            raise DeviceDataError(f"AlphaESS answers with none of its documents: check base_url ({login.base_url})")
        if envelope["code"] != 200:
            raise refusal(envelope, self.name, skew(answer.headers, self._utc()))
        return envelope.get("data")

    async def _settled(self) -> None:
        """Tell which way round it counts, once, and keep it."""
        signs, ways = self.signs, {1: "as documented", -1: "the other way round than documented"}
        words = [f"{name} {ways[sign]}" for name, sign in (("pbat", signs.battery), ("pgrid", signs.grid)) if sign]
        log.info("%s counts %s, by the balance of its powers", self.name, " and ".join(words))
        await self._kept.save({**self._kept.read(), self._serial: signs})
