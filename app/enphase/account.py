"""Tokens that are fetched with an Enlighten account, kept over restarts, and renewed in good time.

The account must not be locked: after each failure there is a pause, and a refusal outlives the program.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from app.documents import Busy
from app.enphase.config import EnphaseLogin
from app.enphase.enlighten import fetch_token
from app.enphase.token import claims_of, is_token
from app.kept import Kept
from app.model import DeviceAuthError, DeviceError
from app.redact import Redactor, secrets_of

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 60.0, 3600.0  # after a failure; doubled each time
REFUSED_S = 3600.0  # an account that tries again and again is locked
NEWER_S = 3600.0  # a token that was made so lately is not replaced because a gateway refuses it
OTHER_ROLE_S = 6 * 3600.0  # until an installer's token is tried for again, where an owner's was given


class BackOff:
    """When the cloud may be asked again. Pure: the time is an argument, on a monotonic clock."""

    def __init__(self) -> None:
        self._until_s = float("-inf")
        self._pause_s = FIRST_PAUSE_S
        self._error: DeviceError | None = None

    def admit(self, now_s: float) -> None:
        """Raises what went wrong the last time while it is too early to try again."""
        if self._error is not None and now_s < self._until_s:
            minutes = max(1, round((self._until_s - now_s) / 60.0))
            raise self._error.saying(f"{self._error}; asked again in {minutes} min")

    def failed(self, error: DeviceError, now_s: float, *, ago_s: float = 0.0) -> None:
        """Take in a failure, ``ago_s`` before now."""
        pause_s = self._pause_s
        self._pause_s = min(LONGEST_PAUSE_S, 2.0 * pause_s)
        if isinstance(error, DeviceAuthError):
            pause_s = REFUSED_S
        elif isinstance(error, Busy):
            pause_s = max(pause_s, error.pause_s)
        self._error, self._until_s = error, now_s + pause_s - ago_s

    def succeeded(self) -> None:
        """Start anew."""
        self._error, self._pause_s = None, FIRST_PAUSE_S


@dataclass(frozen=True, slots=True)
class KeptToken:
    """What outlives the program. ``login``: a digest of the account that it belongs to, or was refused."""

    token: str = ""
    login: str = ""
    refused_utc_s: float | None = None


class Account:
    """Fetches a token with an Enlighten account, keeps it, and fetches the next one in good time."""

    by_hand = False

    def __init__(
        self,
        login: EnphaseLogin,
        session: aiohttp.ClientSession,
        folder: Path,
        serial: Callable[[], Awaitable[str]],
        who: str,
    ) -> None:
        self._login, self._session, self._folder, self._serial, self._who = login, session, folder, serial, who
        self._public = Redactor(secrets_of(login))
        self._identity = _digest(login.enlighten_username, login.enlighten_password)
        self._lock = asyncio.Lock()
        self._back_off = BackOff()
        self._kept: Kept[KeptToken] | None = None
        self._serial_number = ""
        self._token = ""
        self._fetched_s: float | None = None  # monotonic
        self._renewal: asyncio.Task[None] | None = None
        self._failing = False

    async def get(self) -> str:
        """The token in use; while it is valid, nobody waits for the next one."""
        async with self._lock:
            await self._load()
            if not self._usable():
                return self._token if await self._renewed_beside() else await self._fetch()
            if self._is_due():
                self._renew_beside()
            return self._token

    async def instead_of(self, refused: str) -> str | None:
        """A new one, unless that one is new itself."""
        async with self._lock:
            await self._renewed_beside()
            if self._token != refused:
                return self._token or None
            claims = claims_of(refused)
            made_s = claims.issued_utc_s if claims is not None else None
            if self._lately(NEWER_S) or (made_s is not None and 0.0 <= time.time() - made_s < NEWER_S):
                return None
            return await self._fetch()

    def _usable(self) -> bool:
        """Whether it can be shown; what was fetched lately is, since our clock may be wrong: the gateway judges."""
        claims = claims_of(self._token)
        return claims is not None and (claims.left_s(time.time()) > 0.0 or self._lately(NEWER_S))

    def _is_due(self) -> bool:
        claims = claims_of(self._token)
        if claims is None or self._lately(NEWER_S):
            return False
        lesser = self._login.enlighten_role == "installer" and claims.role != "installer"
        return claims.is_due(time.time()) or (lesser and not self._lately(OTHER_ROLE_S))

    def _lately(self, within_s: float) -> bool:
        return self._fetched_s is not None and time.monotonic() - self._fetched_s < within_s

    async def _load(self) -> None:
        """What an earlier run left, once."""
        if self._kept is not None:
            return
        self._serial_number = await self._serial()
        path = self._folder / f"enphase-{self._serial_number}.token"
        kept: Kept[KeptToken] = Kept(path, KeptToken, KeptToken(), "Enphase token", mode=0o600)
        found = await asyncio.to_thread(kept.read)
        self._kept = kept
        if found.login != self._identity:  # of another account, or of a password that was corrected since
            return
        if is_token(found.token):
            self._token = found.token
        if found.refused_utc_s is not None and 0.0 <= (ago_s := time.time() - found.refused_utc_s) < REFUSED_S:
            error = DeviceAuthError("Enlighten has refused the account before this start")
            self._back_off.failed(error, time.monotonic(), ago_s=ago_s)

    def _renew_beside(self) -> None:
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renew())

    async def _renewed_beside(self) -> bool:
        """Wait for a renewal that is under way; whether it brought a token that can be used."""
        if self._renewal is None or self._renewal.done():
            return False
        await asyncio.wait([self._renewal])
        return self._usable()

    async def _renew(self) -> None:
        """Beside everything else; the old token goes on meanwhile."""
        try:
            await self._fetch()
        except DeviceError as error:
            if not self._failing:
                log.warning("%s: the token cannot be renewed yet: %s", self._who, error)
            self._failing = True

    async def _fetch(self) -> str:
        self._back_off.admit(time.monotonic())
        try:
            token = await fetch_token(self._session, self._login, self._serial_number)
        except DeviceError as error:
            public = error.saying(self._public(str(error)))
            self._back_off.failed(public, time.monotonic())
            if isinstance(error, DeviceAuthError):
                await self._save(refused_utc_s=time.time())
            raise public from None
        self._fetched_s, self._failing = time.monotonic(), False
        self._back_off.succeeded()
        old, claims = claims_of(self._token), claims_of(token)
        lesser = old is not None and old.role == "installer" and claims is not None and claims.role != "installer"
        if lesser and self._usable():
            return self._token  # while an installer's is valid, an owner's is no replacement
        self._token = token
        await self._save()
        log.info("%s: a new token, %s", self._who, (claims and claims.role) or "of an unknown role")
        return token

    async def _save(self, *, refused_utc_s: float | None = None) -> None:
        if self._kept is not None:
            await self._kept.save(KeptToken(self._token, self._identity, refused_utc_s))


def _digest(username: str, password: str) -> str:
    """Tells accounts apart without telling what they are."""
    return hashlib.blake2b(f"{username}\0{password}".encode(), digest_size=8, person=b"enphase").hexdigest()
