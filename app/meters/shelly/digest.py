"""Digest authentication with SHA-256 (RFC 7616) as Shelly speaks it: in a header, and inside a frame. Pure.

A frame has no method and no address: the devices hash the words ``dummy_method:dummy_uri`` in their place.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

USER = "admin"  # the only one from Gen2 on
LONGEST = 200  # characters of a realm or a nonce
LONGEST_HEADER = 1000  # what follows is not looked at
_FIELD = re.compile(r'(\w+)\s*=\s*(?:"([^"\\]*)"|([^\s,"]+))')  # base64 ends in = signs, quoted or not


@dataclass(frozen=True, slots=True)
class Challenge:
    """What the device wants answered. In frames, firmware before 2.0 sends the nonce as a number."""

    realm: str
    nonce: str | int
    nc: int = 1  # the count of the first use
    stale: bool = False  # the password was right, and only the nonce too old

    @property
    def counted(self) -> bool:
        """Whether every use has to count one further; with a number, all uses are the first."""
        return isinstance(self.nonce, str)


def sha256(*parts: str) -> str:
    """The hash of the parts, joined by colons, as hexadecimal digits."""
    return hashlib.sha256(":".join(parts).encode()).hexdigest()


def user_hash(realm: str, password: str, user: str = USER) -> str:
    """HA1: who asks."""
    return sha256(user, realm, password)


FRAME_HASH = sha256("dummy_method", "dummy_uri")


def response(who: str, nonce: str | int, nc: str | int, cnonce: str | int, what: str) -> str:
    """The proof, out of `user_hash` and the hash of what is asked (HA2)."""
    return sha256(who, str(nonce), str(nc), str(cnonce), "auth", what)


def header(challenge: Challenge, nc: int, cnonce: str, password: str, method: str, uri: str) -> str:
    """The value of an Authorization header."""
    count = f"{nc:08x}"
    what = sha256(method, uri)
    proof = response(user_hash(challenge.realm, password), challenge.nonce, count, cnonce, what)
    return (
        f'Digest username="{USER}", realm="{challenge.realm}", nonce="{challenge.nonce}", uri="{uri}", '
        f'algorithm=SHA-256, response="{proof}", qop=auth, nc={count}, cnonce="{cnonce}"'
    )


def frame_auth(challenge: Challenge, nc: int, cnonce: str, password: str) -> dict[str, Any]:
    """The ``auth`` object of a frame; its numbers are written as the challenge writes its nonce."""
    own: str | int = cnonce if challenge.counted else int(cnonce, 16) % 1_000_000_000
    proof = response(user_hash(challenge.realm, password), challenge.nonce, nc, own, FRAME_HASH)
    auth = {"realm": challenge.realm, "username": USER, "nonce": challenge.nonce, "cnonce": own}
    auth |= {"response": proof, "algorithm": "SHA-256"}
    return auth | {"nc": nc} if challenge.counted else auth


def challenge_of_header(text: str) -> Challenge | None:
    """The challenge in a WWW-Authenticate header; None where it is one that we cannot answer."""
    scheme, _, rest = text[:LONGEST_HEADER].strip().partition(" ")
    if scheme.lower() != "digest":
        return None
    fields = {key.lower(): quoted or plain for key, quoted, plain in _FIELD.findall(rest)}
    return _challenge(fields, fields.get("qop", "auth").split(","))


def challenge_of_frame(message: Any) -> Challenge | None:
    """The challenge in the message of a frame's error 401, which is JSON in a string."""
    try:
        fields = json.loads(message)
    except (TypeError, ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or fields.get("auth_type", "digest") != "digest":
        return None
    return _challenge(fields, ["auth"])


def _challenge(fields: dict[str, Any], qop: list[str]) -> Challenge | None:
    realm, nonce = fields.get("realm"), fields.get("nonce")
    if not isinstance(realm, str) or isinstance(nonce, bool) or not isinstance(nonce, str | int) or nonce == "":
        return None
    plain = str(nonce).isprintable() and realm.isprintable() and not set(f"{realm}{nonce}") & set('"\\')
    if not plain or len(realm) > LONGEST or len(str(nonce)) > LONGEST:
        return None
    if str(fields.get("algorithm")).upper() != "SHA-256" or "auth" not in [one.strip() for one in qop]:
        return None
    return Challenge(realm, nonce, _count(fields.get("nc")), str(fields.get("stale")).lower() == "true")


def _count(value: Any) -> int:
    """The count as a number; the wall displays send it as text."""
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 1
