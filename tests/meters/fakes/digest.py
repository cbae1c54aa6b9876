"""A digest login as devices want it: a challenge of limited use, a count that goes up, a table that is full."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from urllib.request import parse_http_list, parse_keqv_list

from aiohttp import web

_HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


@dataclass
class DigestDoor:
    """Lets those in who know the password. ``throttled``: answers 429 to whoever brings a challenge that is gone."""

    username: str
    password: str
    algorithm: str = "SHA-256"
    realm: str = "meter, ground floor"
    throttled: bool = False
    challenges: int = 0
    _counts: dict[str, int] = field(default_factory=dict)

    def forget(self) -> None:
        """As after an hour or a restart."""
        self._counts.clear()

    def refusal(self, request: web.Request) -> web.Response | None:
        """The answer to those who stay outside."""
        given = request.headers.get("Authorization", "").removeprefix("Digest ")
        fields = parse_keqv_list(parse_http_list(given)) if "=" in given else {}
        if fields and fields.get("nonce") not in self._counts and self.throttled:
            return web.Response(status=429, headers={"Retry-After": "1"})
        if fields and self._right(request, fields):
            return None
        nonce = secrets.token_urlsafe(16) + "+/=="
        self._counts[nonce], self.challenges = 0, self.challenges + 1
        challenge = f'Digest qop="auth", realm="{self.realm}", nonce="{nonce}", algorithm={self.algorithm}'
        return web.Response(status=401, headers={"WWW-Authenticate": challenge})

    def _right(self, request: web.Request, fields: dict[str, str]) -> bool:
        nonce, count = fields.get("nonce", ""), int(fields.get("nc", "0"), 16)
        if nonce not in self._counts or count != self._counts[nonce] + 1:
            return False
        user = self._hash(self.username, self.realm, self.password)
        wanted = self._hash(
            user, nonce, fields["nc"], fields["cnonce"], "auth", self._hash(request.method, request.raw_path)
        )
        if fields.get("username") != self.username or not secrets.compare_digest(fields["response"], wanted):
            return False
        self._counts[nonce] = count
        return True

    def _hash(self, *parts: str) -> str:
        return _HASHES[self.algorithm](":".join(parts).encode()).hexdigest()
