"""A digest login at one device: one request at a time, and a fresh start where the device has forgotten us."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp

from app.documents import document
from app.model import DeviceAuthError
from app.outbound import Answer, ask, place


class DigestLogin:
    """Asks one device with a digest login, MD5 or SHA-256 as it wants; its challenge is used again.

    A refusal (401) or a full table of challenges (429) makes the challenge worthless: the next request begins without.
    """

    def __init__(self, username: str, password: str) -> None:
        self._username, self._password = username, password
        self._middleware: aiohttp.DigestAuthMiddleware | None = None
        self._lock = asyncio.Lock()

    async def get_json(
        self,
        session: aiohttp.ClientSession,
        url: str,
        timeout_s: float,
        *,
        connect_s: float = 1.0,
        login: str = "username and password",
        **request: Any,
    ) -> Any:
        """As `app.documents.get_json`."""
        answer = await self.ask(session, url, timeout_s, connect_s=min(connect_s, timeout_s), **request)
        return document(answer, place(url), login)

    async def ask(self, session: aiohttp.ClientSession, url: str, timeout_s: float, **request: Any) -> Answer:
        """As `app.outbound.ask`."""
        async with self._lock:
            try:
                answer = await ask(session, url, timeout_s, middlewares=(self.sign,), **request)
            except DeviceAuthError:
                self._middleware = None
                raise
            if answer.status in (401, 429):
                self._middleware = None
            return answer

    async def sign(self, asked: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        """The middleware of one request, for those that are made elsewhere."""
        if self._middleware is None:
            self._middleware = aiohttp.DigestAuthMiddleware(self._username, self._password)
        try:
            return await self._middleware(asked, handler)
        except aiohttp.ClientError as error:
            if type(error) is aiohttp.ClientError:  # of the middleware: those of the connection are subclasses
                raise DeviceAuthError(f"the digest login at {asked.url.origin()} fails: {error}") from None
            raise
