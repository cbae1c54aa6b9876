"""Where the token of a gateway comes from: pasted by hand, out of a file, or fetched with an Enlighten account.

A gateway that refuses a token is no reason to throw it away: it may just have restarted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

import aiohttp

from app.enphase.account import Account
from app.enphase.config import EnphaseLogin
from app.enphase.token import is_token
from app.model import DeviceAuthError


class TokenSource(Protocol):
    """Gives the token to log in with. ``by_hand``: a person has to make the next one."""

    by_hand: bool

    async def get(self) -> str:
        """The token to use now. Raises `DeviceError` where there is none."""

    async def instead_of(self, refused: str) -> str | None:
        """Another one than that which the gateway has refused; None: there is none. Raises `DeviceError`."""


class Pasted:
    """The one of the configuration."""

    by_hand = True

    def __init__(self, token: str) -> None:
        self._token = token

    async def get(self) -> str:
        """It is always the same."""
        return self._token

    async def instead_of(self, refused: str) -> str | None:  # noqa: ARG002
        """There is no other."""
        return None


class FromFile:
    """The one in a file, which somebody may replace at any time."""

    by_hand = True

    def __init__(self, path: Path, who: str) -> None:
        self._path, self._who = path, who
        self._token = ""

    async def get(self) -> str:
        """What was read last."""
        if not self._token:
            self._token = await self._read()
        return self._token

    async def instead_of(self, refused: str) -> str | None:
        """Read it again."""
        self._token = ""  # and the next time once more
        token = await self._read()
        if token == refused:
            return None
        self._token = token
        return token

    async def _read(self) -> str:
        try:
            token = (await asyncio.to_thread(self._path.read_text)).strip()
        except (OSError, UnicodeError):
            raise DeviceAuthError(f"{self._who}: cannot read token_file {self._path}") from None
        if not is_token(token):
            raise DeviceAuthError(f"{self._who}: token_file {self._path} holds no token")
        return token


def source_of(
    login: EnphaseLogin,
    session: aiohttp.ClientSession,
    folder: Path,
    serial: Callable[[], Awaitable[str]],
    who: str,
) -> TokenSource:
    """The token source of a section."""
    if login.token:
        return Pasted(login.token)
    if login.token_file is not None:
        return FromFile(login.token_file, who)
    return Account(login, session, folder, serial, who)
