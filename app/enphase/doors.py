"""The two ways into a gateway: a digest login over http (firmware before 7), a token over https (7 and later).

A token is shown once at ``/auth/check_jwt``; the session that this opens is used together with the token, and ends
when it was idle for 10 minutes, when somebody of a higher role comes, or when the gateway restarts.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, Protocol, TypeVar

import aiohttp

from app.digestlogin import DigestLogin
from app.enphase.login import TokenSource
from app.enphase.token import advice, claims_of, role_advice
from app.model import DeviceAuthError, DeviceError, DeviceUnavailable
from app.outbound import Answer, CertificateChanged, ask, listen
from app.pins import Pin

QUICK_S = 5.0  # whoever waits for longer shares one turn with all others who do
IDLE_S = 540.0  # a session ends after 10 minutes
_SESSION = re.compile(r"[A-Za-z0-9+/=_.-]{1,256}")
T = TypeVar("T")


class Turns:
    """At most two requests at a time, and only one of them slow: a gateway has 4 to 8 sockets, for everybody."""

    def __init__(self, who: str) -> None:
        self._who = who
        self._any, self._slow = asyncio.Semaphore(2), asyncio.Semaphore(1)

    @asynccontextmanager
    async def take(self, timeout_s: float) -> AsyncIterator[None]:
        """Wait for a turn. Raises `DeviceUnavailable` where none comes within ``timeout_s``."""
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(timeout_s):
                    if timeout_s > QUICK_S:
                        await stack.enter_async_context(self._slow)
                    await stack.enter_async_context(self._any)
            except TimeoutError:
                raise DeviceUnavailable(
                    f"{self._who} is busy with what was asked before, for more than {timeout_s:g} s"
                ) from None
            yield


class Door(Protocol):
    """A way in. ``base``: the URL that paths are put behind."""

    base: str

    async def ask(self, path: str, timeout_s: float, **request: Any) -> Answer:
        """As `app.outbound.ask`, logged in; 401 and 403 are the last word."""

    def listen(self, path: str, timeout_s: float) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """As `app.outbound.listen`, logged in."""

    def advice(self) -> str:
        """What to check where the login is refused."""


class PasswordDoor:
    """Digest over http."""

    def __init__(self, host: str, session: aiohttp.ClientSession, turns: Turns, username: str, password: str) -> None:
        self.base = f"http://{host}"
        self._session, self._turns, self._username = session, turns, username
        self._digest = DigestLogin(username, password)

    async def ask(self, path: str, timeout_s: float, **request: Any) -> Answer:
        """As the protocol says."""
        async with self._turns.take(timeout_s):
            return await self._digest.ask(
                self._session, f"{self.base}{path}", timeout_s, connect_s=timeout_s, **request
            )

    def listen(self, path: str, timeout_s: float) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """As the protocol says."""
        return listen(self._session, f"{self.base}{path}", timeout_s, middlewares=(self._digest.sign,))

    def advice(self) -> str:
        """As the protocol says."""
        what = "password, the last six digits of the serial number"
        if self._username == "installer":
            what = "password of the user installer, which is made out of the serial number"
        return f"{what}; firmware 7 and later needs a token"


class TokenDoor:
    """A token over https, with a certificate that the gateway made for itself."""

    def __init__(
        self, host: str, session: aiohttp.ClientSession, turns: Turns, tokens: TokenSource, pin: Pin | None
    ) -> None:
        self.base = f"https://{host}"
        self.tokens = tokens
        self.token = ""  # the last one that was shown
        self._session, self._turns, self._pin = session, turns, pin
        self._pinning = asyncio.Lock()
        self._opened_for, self._session_id, self._used_s = "", "", 0.0
        self._accepted = ""  # the token that the gateway called valid last

    async def ssl(self, timeout_s: float) -> aiohttp.Fingerprint | bool:
        """As aiohttp takes it. Raises `DeviceError`."""
        if self._pin is None:
            return False
        async with self._pinning:
            return await self._pin.get(timeout_s)

    async def ask(self, path: str, timeout_s: float, **request: Any) -> Answer:
        """As the protocol says."""
        extra = dict(request.pop("headers", None) or {})

        async def send(headers: Mapping[str, str]) -> Answer:
            return await self._ask(path, timeout_s, headers={**extra, **headers}, **request)

        return await self._logged_in(send, timeout_s)

    @asynccontextmanager
    async def listen(self, path: str, timeout_s: float) -> AsyncIterator[aiohttp.ClientResponse]:
        """As the protocol says."""
        async with AsyncExitStack() as stack:

            async def send(headers: Mapping[str, str]) -> aiohttp.ClientResponse:
                await stack.aclose()  # a refused one holds a socket
                ssl = await self.ssl(timeout_s)
                opening = listen(self._session, f"{self.base}{path}", timeout_s, headers=headers, ssl=ssl)
                return await stack.enter_async_context(opening)

            with self._pinned():
                response = await self._logged_in(send, timeout_s)
            yield response

    def advice(self) -> str:
        """As the protocol says."""
        if self.token and self._accepted == self.token:
            claims = claims_of(self.token)
            return f"the role. {role_advice(claims.role if claims is not None else None).rstrip('.')}"
        return advice(self.token, time.time())

    async def _logged_in(self, send: Callable[[Mapping[str, str]], Awaitable[T]], timeout_s: float) -> T:
        """Send with what we have; refused, open a session once, then take another token once."""
        token = self.token = await self.tokens.get()
        fresh = not self._is_open(token)
        valid = await self._open(token, timeout_s) if fresh else True
        answer: T | None = None
        if valid is not False:
            answer = await send(self._headers(token))
            if _status(answer) == 401 and not fresh:
                valid = await self._open(token, timeout_s)
                answer = answer if valid is False else await send(self._headers(token))
            if valid or _status(answer) != 401:
                self._used_s = time.monotonic()
                return answer
        other = await self._instead_of(token)
        if other is not None:
            self.token = other
            await self._open(other, timeout_s)
            answer = None
        return answer if answer is not None else await send(self._headers(self.token))

    async def _instead_of(self, token: str) -> str | None:
        try:
            return await self.tokens.instead_of(token)
        except DeviceAuthError:
            raise
        except DeviceError as error:
            raise DeviceAuthError(
                f"{self.base} refuses the login: check {advice(token, time.time())}; no new one was given: {error}"
            ) from None

    def _is_open(self, token: str) -> bool:
        return self._opened_for == token and time.monotonic() - self._used_s < IDLE_S

    async def _open(self, token: str, timeout_s: float) -> bool | None:
        """Show the token. True: it is valid; False: it is not; None: the gateway does not say."""
        self._session_id, self._opened_for = "", ""
        answer = await self._ask("/auth/check_jwt", timeout_s, headers=self._headers(token))
        self._accepted = token if answer.status == 200 else ""
        if answer.status == 401:
            return False
        self._opened_for, self._used_s = token, time.monotonic()
        return True if self._accepted else None

    async def _ask(self, path: str, timeout_s: float, **request: Any) -> Answer:
        ssl = await self.ssl(timeout_s)
        with self._pinned():
            async with self._turns.take(timeout_s):
                answer = await ask(
                    self._session, f"{self.base}{path}", timeout_s, connect_s=timeout_s, ssl=ssl, **request
                )
        given = answer.cookies.get("sessionId", "")
        if _SESSION.fullmatch(given):
            self._session_id = given
        return answer

    @contextmanager
    def _pinned(self) -> Iterator[None]:
        try:
            yield
        except CertificateChanged as error:
            raise self._pin.changed(error) if self._pin is not None else error from None

    def _headers(self, token: str) -> dict[str, str]:
        session = {"Cookie": f"sessionId={self._session_id}"} if self._session_id else {}
        return {"Authorization": f"Bearer {token}", **session}


def _status(answer: Any) -> int:
    return int(answer.status)
