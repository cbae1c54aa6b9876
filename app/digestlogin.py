"""A digest login at one device: one request at a time, and a fresh start where the device has forgotten us."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp

from app.documents import Busy, get_json
from app.model import DeviceAuthError


class DigestLogin:
    """Asks one device with a digest login, MD5 or SHA-256 as it wants; its challenge is used again.

    A refusal (401) or a full table of challenges (429) makes the challenge worthless: the next request begins without.
    """

    def __init__(self, username: str, password: str) -> None:
        self._username, self._password = username, password
        self._middleware: aiohttp.DigestAuthMiddleware | None = None
        self._lock = asyncio.Lock()

    async def get_json(self, session: aiohttp.ClientSession, url: str, timeout_s: float, **request: Any) -> Any:
        """As `app.meters.base.get_json`."""
        async with self._lock:
            if self._middleware is None:
                self._middleware = aiohttp.DigestAuthMiddleware(self._username, self._password)
            digest = self._middleware

            async def answer(
                asked: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
            ) -> aiohttp.ClientResponse:
                try:
                    return await digest(asked, handler)
                except aiohttp.ClientError as error:
                    if type(error) is aiohttp.ClientError:  # of the middleware: those of the connection are subclasses
                        raise DeviceAuthError(f"the digest login at {asked.url.origin()} fails: {error}") from None
                    raise

            try:
                return await get_json(session, url, timeout_s, middlewares=(answer,), **request)
            except (DeviceAuthError, Busy):
                self._middleware = None
                raise
