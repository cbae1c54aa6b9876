"""Tokens: who may read, who may change something, and how often somebody may guess."""

from __future__ import annotations

import hashlib
import ipaddress
import math
import secrets
import time
from collections.abc import Awaitable, Callable
from enum import Enum

from aiohttp import web

from app.api import guard
from app.api.guard import RefusedError, Verdict
from app.config import HttpConfig

MAX_WRONG = 5
WINDOW_S = 60.0
MAX_ADDRESSES = 1024
LOG_IN = {"WWW-Authenticate": "Bearer"}
TOO_WEAK = {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Scope(Enum):
    """What a token allows."""

    READ = "read"
    CONTROL = "control"


class Door:
    """Lets requests in by `http.token` (everything) and `http.read_token` (looking), where they are set."""

    def __init__(self, config: HttpConfig, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._guesses = Guesses(clock)

    @property
    def reading_is_free(self) -> bool:
        """Whether everybody in the house may look."""
        return not self._config.read_token

    def reading(self, handler: Handler) -> Handler:
        """The handler, behind the token that looking needs."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            if not self.reading_is_free and self._scope(request) is None:
                raise RefusedError(
                    401, "looking needs a token here: send the header Authorization: Bearer <http.read_token>", LOG_IN
                )
            return await handler(request)

        return guarded

    def changing(self, handler: Handler) -> Handler:
        """The handler, behind everything that a change needs."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            self.change(request)
            return await handler(request)

        return guarded

    def change(self, request: web.Request, *, signed: bool = False) -> Verdict:
        """Whether a request may change something. ``signed``: it carries a valid signed link, and needs no token."""
        verdict = guard.verdict(request.method, request.headers, self._config, signed=signed)
        if verdict is Verdict.ACT and self._config.token and not signed:
            scope = self._scope(request)
            if scope is Scope.READ:
                raise RefusedError(403, "this token may only look: a change needs the one of http.token", TOO_WEAK)
            if scope is None:
                raise RefusedError(
                    401, "the token is missing or wrong: send the header Authorization: Bearer <http.token>", LOG_IN
                )
        return verdict

    def _scope(self, request: web.Request) -> Scope | None:
        """What the token of a request allows; None for a wrong one or none. Raises `RefusedError` (429)."""
        given = guard.bearer(request.headers)
        if not given:
            return None
        tried = self._guesses.of(client(request.remote))
        tried.begin(given)
        for scope, token in ((Scope.CONTROL, self._config.token), (Scope.READ, self._config.read_token)):
            if token and secrets.compare_digest(guard.as_bytes(given), token.encode()):
                return scope
        tried.wrong(given)
        return None


class Guesses:
    """The wrong tokens of the last minute, by client.

    After five different ones every further token from there, right or wrong, is refused unseen until the first
    is a minute old: whoever guesses must not learn that he was right. One wrong token that comes again and again
    (a script with an old one) is no new guess and keeps nobody else out.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._clients: dict[str, Tried] = {}

    def of(self, address: str) -> Tried:
        """What was tried from there; with too many clients, the one not heard of for longest is forgotten."""
        tried = self._clients.pop(address, None) or Tried(self._clock)
        while len(self._clients) >= MAX_ADDRESSES:
            del self._clients[next(iter(self._clients))]
        self._clients[address] = tried
        return tried


class Tried:
    """The wrong tokens of one client, as digests: when each came first, and how often."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._wrong: dict[bytes, tuple[float, int]] = {}

    def begin(self, token: str) -> None:
        """Raise `RefusedError` (429) where this token may not be tried now."""
        now_s = self._clock()
        self._wrong = {mark: tried for mark, tried in self._wrong.items() if now_s - tried[0] < WINDOW_S}
        tries = self._wrong.get(_digest(token))
        if (tries[1] if tries else len(self._wrong)) < MAX_WRONG:
            return
        first_s = tries[0] if tries else min(tried[0] for tried in self._wrong.values())
        wait_s = math.ceil(first_s + WINDOW_S - now_s)
        text = (
            f"{MAX_WRONG} wrong tokens came from this address within a minute: wait {wait_s} s, then send the right one"
        )
        raise RefusedError(429, text, {"Retry-After": str(wait_s)})

    def wrong(self, token: str) -> None:
        """Note that it was wrong."""
        first_s, count = self._wrong.get(_digest(token), (self._clock(), 0))
        self._wrong[_digest(token)] = first_s, count + 1


def client(remote: str | None) -> str:
    """Who counts as one client: an IPv4 address, or an IPv6 network, in which everybody has addresses at will."""
    try:
        address = ipaddress.ip_address((remote or "").partition("%")[0])
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is None:
            return str(ipaddress.ip_network((address, 64), strict=False))
        address = address.ipv4_mapped
    return str(address)


def _digest(token: str) -> bytes:
    return hashlib.blake2b(guard.as_bytes(token), digest_size=16).digest()
