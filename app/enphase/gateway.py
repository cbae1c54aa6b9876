"""One Enphase gateway, whoever asks it: meter, inverters and telemetry share its few sockets and its login."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Self

import aiohttp

from app.access import Access
from app.documents import body_of, loads, refusal
from app.enphase.about import GatewayAbout, about_of
from app.enphase.config import WAYS, EnphaseLogin
from app.enphase.doors import Door, PasswordDoor, TokenDoor, Turns
from app.enphase.login import source_of
from app.enphase.token import Role, claims_of, expiry_notice
from app.model import DeviceAuthError, DeviceDataError, DeviceError, DeviceUnavailable
from app.outbound import MAX_BODY_BYTES, Answer, ask
from app.pins import Pin
from app.redact import Redactor, secrets_of

log = logging.getLogger(__name__)

TIMEOUT_S = 10.0
LARGE_BYTES = 1_048_576  # for the documents of big sites: production.json, inventory.json
SAID_SIGNS = 200  # of what a refusal says


class Gateway:
    """The gateway of one host. All errors are `DeviceError`; its daily outage is a `DeviceUnavailable`."""

    def __init__(self, login: EnphaseLogin, access: Access) -> None:
        self.host = login.host
        self.name = f"enphase at {login.host}"
        self._access = access
        self._turns = Turns(self.name)
        self._asking = asyncio.Lock()
        self._about: GatewayAbout | None = None
        self._told = ""
        self._take(login)

    @classmethod
    def of(cls, access: Access, login: EnphaseLogin) -> Self:
        """The one of this host; the first section that has a login decides, any of them may want an installer's."""
        gateway: Self | None = access.shared.get((cls, login.host))
        if gateway is None:
            gateway = access.shared[cls, login.host] = cls(login, access)
        else:
            gateway._join(login)
        return gateway

    def _join(self, other: EnphaseLogin) -> None:
        chosen = self.login if self.login.has_login else other
        if other.has_login and other.model_dump(include=_LOGIN) != chosen.model_dump(include=_LOGIN):
            log.warning("%s has two different logins in the configuration: the first one is used", self.name)
        if "installer" in (self.login.enlighten_role, other.enlighten_role):
            chosen = chosen.model_copy(update={"enlighten_role": "installer"})
        if chosen.model_dump(include=_DECIDES) != self.login.model_dump(include=_DECIDES):
            self._take(chosen)

    @property
    def has_token(self) -> bool:
        """Whether we log in with tokens (firmware 7 and later), and not with a password."""
        return isinstance(self._door, TokenDoor)

    @property
    def role(self) -> Role | None:
        """What the token says of who it is for; None without one."""
        claims = claims_of(self._token)
        return claims.role if claims is not None else None

    @property
    def made_for(self) -> str | None:
        """The serial number of the gateway that the token is made for; None without one, or where it does not say."""
        claims = claims_of(self._token)
        return claims.gateway if claims is not None else None

    @property
    def token_expires_utc_s(self) -> float | None:
        """When the token runs out; None without one, or where it does not say."""
        claims = claims_of(self._token)
        return claims.expires_utc_s if claims is not None else None

    @property
    def expiry_notice(self) -> str | None:
        """A sentence while somebody has to make a new token by hand: 14 days before (an installer's: 1 h)."""
        by_hand = isinstance(self._door, TokenDoor) and self._door.tokens.by_hand
        return expiry_notice(self._token, time.time()) if by_hand else None

    async def about(self, timeout_s: float = TIMEOUT_S) -> GatewayAbout:
        """Who it is; asked once. Needs no login."""
        async with self._asking:
            if self._about is None:
                self._about = await self._ask_about(timeout_s)
            return self._about

    async def get_json(self, path: str, timeout_s: float = TIMEOUT_S, *, max_bytes: int = MAX_BODY_BYTES) -> Any:
        """GET a JSON document."""
        return loads(self._url(path), await self._get(path, timeout_s, max_bytes))

    async def get_text(self, path: str, timeout_s: float = TIMEOUT_S, *, max_bytes: int = MAX_BODY_BYTES) -> str:
        """GET a document as text."""
        return (await self._get(path, timeout_s, max_bytes)).decode(errors="replace")

    async def send(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        form: Any = None,
        timeout_s: float = TIMEOUT_S,
        max_bytes: int = MAX_BODY_BYTES,
    ) -> str:
        """PUT, POST or DELETE; what it answers. Raises `DeviceError` for anything but 2xx, with what that says.

        ``form``: fields, or text that is sent as it is under the content type of forms.
        """
        request: dict[str, Any] = {"method": method, "any_status": True, "max_bytes": max_bytes}
        if json is not None:
            request["json"] = json
        if isinstance(form, str):
            request |= {"data": form, "headers": {"Content-Type": "application/x-www-form-urlencoded"}}
        elif form is not None:
            request["data"] = form
        try:
            answer = await self._door_now.ask(path, timeout_s, **request)
            if 200 <= answer.status < 300:
                return answer.body.decode(errors="replace")
            error = refusal(answer, self._url(path), self._door_now.advice())
            raise error.saying(f"{error}{_said(answer)}")
        except DeviceError as error:
            raise error.saying(self.shown(str(error))) from None

    @asynccontextmanager
    async def stream(self, path: str, timeout_s: float = TIMEOUT_S) -> AsyncIterator[AsyncIterator[str]]:
        """The lines of an answer without end, such as ``/stream/meter``; ``timeout_s`` also between two of them."""
        try:
            async with self._door_now.listen(path, timeout_s) as response:
                if response.status != 200:
                    answer = Answer(response.status, response.headers, b"")
                    raise refusal(answer, self._url(path), self._door_now.advice())
                yield _lines(response, self._url(path), timeout_s)
        except DeviceError as error:
            raise error.saying(self.shown(str(error))) from None

    async def token(self) -> str:
        """The token, for libraries that log in by themselves."""
        if not isinstance(self._door_now, TokenDoor):
            raise DeviceAuthError(f"{self.name} is configured with a password: it has no token")
        self._door_now.token = await self._door_now.tokens.get()
        return self._token

    async def ssl(self, timeout_s: float = TIMEOUT_S) -> aiohttp.Fingerprint | bool:
        """What aiohttp takes as ``ssl``: the certificate of the first contact, or False for whichever."""
        return await self._door_now.ssl(timeout_s) if isinstance(self._door_now, TokenDoor) else False

    def turn(self, timeout_s: float) -> AbstractAsyncContextManager[None]:
        """One of its few turns, for libraries that send by themselves. Raises `DeviceUnavailable` where none comes."""
        return self._turns.take(timeout_s)

    def shown(self, text: str) -> str:
        """A sentence with the name of the gateway and without our secrets: it may quote what the gateway says."""
        text = text if self.host in text else f"{self.name}: {text}"
        return Redactor({*secrets_of(self.login), self._token})(text)

    def _take(self, login: EnphaseLogin) -> None:
        self.login = login
        self._door: Door | None = None
        session = self._access.session
        if login.password:
            self._door = PasswordDoor(login.host, session, self._turns, login.username, login.password)
        elif login.has_login:
            folder = self._access.data_dir
            tokens = source_of(login, session, folder, self._serial, self.name)
            pin = None if login.certificate == "any" else Pin(folder, login.host)
            self._door = TokenDoor(login.host, session, self._turns, tokens, pin)
            self._door.token = login.token  # its role is known before it is shown to anybody

    @property
    def _door_now(self) -> Door:
        if self._door is None:
            raise DeviceAuthError(f"{self.name}: no section of the configuration says how to log in; give {WAYS}")
        return self._door

    @property
    def _token(self) -> str:
        return self._door.token if isinstance(self._door, TokenDoor) else ""

    async def _serial(self) -> str:
        return self.login.known_serial or (await self.about()).serial

    def _url(self, path: str) -> str:
        base = self._door.base if self._door is not None else self.host
        return f"{base}{path.partition('?')[0]}"

    async def _get(self, path: str, timeout_s: float, max_bytes: int) -> bytes:
        try:
            answer = await self._door_now.ask(path, timeout_s, max_bytes=max_bytes)
            self._watch_expiry()
            return body_of(answer, self._url(path), self._door_now.advice())
        except DeviceError as error:
            raise error.saying(self.shown(str(error))) from None

    def _watch_expiry(self) -> None:
        notice = self.expiry_notice or ""
        if notice and notice != self._told:
            log.warning("%s: %s", self.name, notice)
        self._told = notice

    async def _ask_about(self, timeout_s: float) -> GatewayAbout:
        """At our own way in; and at the other one, where nobody answers there: firmware decides which it is."""
        schemes = ("http", "https") if isinstance(self._door, PasswordDoor) else ("https", "http")
        first: DeviceError | None = None
        for scheme in schemes:
            url = f"{scheme}://{self.host}/info"
            try:
                async with self._turns.take(timeout_s):
                    answer = await ask(
                        self._access.session, url, timeout_s, connect_s=timeout_s, ssl=False, headers=_AND_CLOSE
                    )
                return about_of(body_of(answer, url), url)
            except (DeviceUnavailable, DeviceDataError) as error:
                first = first or error
        raise first or DeviceUnavailable(self.name)


_AND_CLOSE = {"Connection": "close"}  # it is asked once, and a socket would be held for nothing
_LOGIN = {"token", "token_file", "enlighten_username", "enlighten_password", "username", "password"}
_DECIDES = {*_LOGIN, "enlighten_role"}


async def _lines(response: aiohttp.ClientResponse, who: str, timeout_s: float) -> AsyncIterator[str]:
    rest = b""
    while True:
        try:
            async with asyncio.timeout(timeout_s):
                chunk = await response.content.readany()
        except TimeoutError:
            raise DeviceUnavailable(f"{who} has said nothing for {timeout_s:g} s") from None
        if not chunk:
            raise DeviceUnavailable(f"{who} has closed the stream")
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > MAX_BODY_BYTES:
            raise DeviceDataError(f"{who} sends a line without end")
        for line in lines:
            yield line.decode(errors="replace").rstrip("\r")


def _said(answer: Answer) -> str:
    """What a refusal says, as far as people can read it."""
    text = " ".join(answer.body.decode(errors="replace").split())
    readable = "".join(sign for sign in text if sign.isprintable())[:SAID_SIGNS]
    return f"; it says: {readable}" if readable else ""
