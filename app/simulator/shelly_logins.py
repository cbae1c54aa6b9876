"""Who a Shelly from Gen2 on lets in: Digest with SHA-256 over HTTP and in frames, by firmware. Pure: time is given.

Firmware 1 takes any time stamp of the last hour for a nonce. Firmware 2 has a table of 32 (see `NonceTable`). How many
failed logins it forgives is not published; here they are few, and what comes without a login counts.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections import deque
from dataclasses import dataclass
from typing import Any
from urllib.request import parse_http_list, parse_keqv_list

VALID_S, MOST_USES, SLOTS = 3600.0, 30_000, 32
THROTTLE_S = 2.0
FAILURES, FAILURES_WITHIN_S = 10, 600.0
BOOT_UTC_S = 1_785_000_000
FRAME = "dummy_method:dummy_uri"


def _sha256(*parts: str) -> str:
    return hashlib.sha256(":".join(parts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is said instead of an answer: 401 with a new nonce, or 429."""

    status: int
    nonce: str = ""
    stale: bool = False


@dataclass(slots=True)
class _Slot:
    issued_s: float
    uses: int = 0
    nc: int = 0


class NonceTable:
    """The nonces of firmware 2. One that was thrown out is answered with 429, however right the password."""

    def __init__(self) -> None:
        self._slots: dict[str, _Slot] = {}
        self._key = secrets.token_bytes(16)
        self._throttled_until_s: float | None = None
        self._failed_s: deque[float] = deque()
        self.throttled = 0  # how often it said 429
        self.issued = 0

    def forget(self) -> None:
        """As a restart does: no nonce of before is one of ours."""
        self._slots.clear()
        self._failed_s.clear()
        self._key = secrets.token_bytes(16)

    def challenge(self, now_s: float, *, stale: bool = False) -> Refusal:
        """A new nonce for who came without one, or with one that is too old."""
        self._failed_s.append(now_s)
        while now_s - self._failed_s[0] > FAILURES_WITHIN_S:
            self._failed_s.popleft()
        if len(self._failed_s) > FAILURES or not self._room(now_s):
            return self.throttle()
        stamp = int(BOOT_UTC_S + now_s).to_bytes(8, "little") + secrets.token_bytes(8)
        nonce = base64.b64encode(stamp + self._sign(stamp)).decode()
        self._slots[nonce] = _Slot(now_s)
        self.issued += 1
        return Refusal(401, nonce, stale)

    def throttle(self) -> Refusal:
        """429."""
        self.throttled += 1
        return Refusal(429)

    def use(self, nonce: str, nc: int, now_s: float, *, proven: bool) -> Refusal | None:
        """Whether a login with this nonce is good; ``proven``: its hash is right."""
        if len(self._failed_s) > FAILURES and now_s - self._failed_s[0] <= FAILURES_WITHIN_S:
            return self.throttle()
        slot = self._slots.get(nonce)
        if slot is None:
            return self.throttle() if self._ours(nonce) else self.challenge(now_s)
        if now_s - slot.issued_s > VALID_S or slot.uses >= MOST_USES:
            del self._slots[nonce]
            return self.challenge(now_s, stale=True)
        if not proven or nc <= slot.nc or (slot.nc == 0 and nc != 1):
            return self.challenge(now_s)
        slot.nc, slot.uses = nc, slot.uses + 1
        return None

    def _room(self, now_s: float) -> bool:
        """Find a slot: a free one, or the oldest once the throttle has passed."""
        for nonce in [nonce for nonce, slot in self._slots.items() if now_s - slot.issued_s > VALID_S]:
            del self._slots[nonce]
        if len(self._slots) < SLOTS:
            return True
        if self._throttled_until_s is None:
            self._throttled_until_s = now_s + THROTTLE_S
        if now_s < self._throttled_until_s:
            return False
        self._throttled_until_s = None
        del self._slots[next(iter(self._slots))]
        return True

    def _ours(self, nonce: str) -> bool:
        try:
            raw = base64.b64decode(nonce, validate=True)
        except ValueError:
            return False
        return hmac.compare_digest(raw[16:], self._sign(raw[:16]))

    def _sign(self, stamp: bytes) -> bytes:
        return hmac.digest(self._key, stamp, "sha256")


class Logins:
    """The login of one device. ``firmware`` is 1 or 2."""

    def __init__(self, realm: str, password: str, firmware: int) -> None:
        self.table = NonceTable() if firmware >= 2 else None
        self._realm, self._password = realm, password
        self._boot_s = BOOT_UTC_S

    def forget(self) -> None:
        """As a restart does."""
        self._boot_s += 2 * int(VALID_S)
        if self.table is not None:
            self.table.forget()

    def http(self, authorization: str, method: str, uri: str, now_s: float) -> Refusal | None:
        """What is wrong with the header of a request; None: nothing."""
        given = authorization.removeprefix("Digest ")
        fields = parse_keqv_list(parse_http_list(given)) if "=" in given else {}
        nc = fields.get("nc", "")
        count = int(nc, 16) if len(nc) == 8 and nc.isalnum() else -1
        return self._check(fields, nc, count, f"{method}:{uri}", now_s)

    def frame(self, auth: Any, now_s: float) -> Refusal | None:
        """What is wrong with the ``auth`` of a frame; None: nothing."""
        fields = {key: str(value) for key, value in auth.items()} if isinstance(auth, dict) else {}
        nc = fields.get("nc", "1" if self.table is None else "")
        return self._check(fields, nc, int(nc) if nc.isdigit() else -1, FRAME, now_s)

    def header(self, refusal: Refusal) -> str:
        """The WWW-Authenticate of a 401."""
        stale = ", stale=true" if refusal.stale else ""
        return f'Digest qop="auth", realm="{self._realm}", nonce="{refusal.nonce}", algorithm=SHA-256{stale}'

    def message(self, refusal: Refusal) -> str:
        """The message of the error in a frame: JSON in a string."""
        if refusal.status == 429:
            return "Too many failed authentication attempts"
        nonce = int(refusal.nonce, 16) if self.table is None else refusal.nonce
        told = {"auth_type": "digest", "nonce": nonce, "nc": 1, "realm": self._realm, "algorithm": "SHA-256"}
        return json.dumps(told | ({"stale": True} if refusal.stale else {}))

    def _check(self, fields: dict[str, str], nc: str, count: int, what: str, now_s: float) -> Refusal | None:
        nonce = fields.get("nonce", "")
        if not nonce:
            return self._challenge(now_s)
        who = _sha256("admin", self._realm, self._password)
        wanted = _sha256(who, nonce, nc, fields.get("cnonce", ""), "auth", _sha256(what))
        proven = fields.get("username") == "admin" and hmac.compare_digest(fields.get("response", ""), wanted)
        if self.table is not None:
            return self.table.use(nonce, count, now_s, proven=proven)
        issued_s = int(nonce) if what is FRAME and nonce.isdigit() else int(nonce, 16) if len(nonce) == 8 else 0
        fresh = 0 <= int(self._boot_s + now_s) - issued_s <= VALID_S
        return None if proven and fresh else self._challenge(now_s)

    def _challenge(self, now_s: float) -> Refusal:
        if self.table is not None:
            return self.table.challenge(now_s)
        return Refusal(401, f"{int(self._boot_s + now_s):08x}")
