"""Signed links: they name the state that they set, and they expire.

A panel on another page (Grafana) carries one, so that one click there is enough and no foreign page
can make up its own.
"""

from __future__ import annotations

import hashlib
import hmac
from enum import Enum
from typing import Literal
from urllib.parse import urlencode

from multidict import MultiMapping

from app.config import HttpConfig

State = Literal["on", "off"]


class Link(Enum):
    """What the signature of a request is worth."""

    NONE = "none"
    VALID = "valid"
    EXPIRED = "expired"
    FORGED = "forged"


def toggle_url(config: HttpConfig, key: bytes, *, state: State, expires_utc_s: int) -> str:
    """A link that sets ``state`` until it expires, and leads back to the Grafana dashboard."""
    query = {
        "state": state,
        "exp": str(expires_utc_s),
        "sig": sign(key, state, str(expires_utc_s)),
        "redirect": f"{config.grafana}/d/zero-export",
    }
    return f"{config.public_url}/api/toggle?{urlencode(query)}"


def sign(key: bytes, state: str, expires: str) -> str:
    """The signature over a state and its expiry."""
    return hmac.new(key, _bytes(f"toggle:{state}:{expires}"), hashlib.sha256).hexdigest()


def check(key: bytes, query: MultiMapping[str], *, now_utc_s: float) -> Link:
    """What the parameters ``state``, ``exp`` and ``sig`` prove at this time."""
    if "sig" not in query and "exp" not in query:
        return Link.NONE
    state, expires, signature = (_only(query, name) for name in ("state", "exp", "sig"))
    if not hmac.compare_digest(_bytes(signature), _bytes(sign(key, state, expires))):
        return Link.FORGED
    return Link.VALID if now_utc_s < int(expires) else Link.EXPIRED


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")  # a query may hold what is no valid text


def _only(query: MultiMapping[str], name: str) -> str:
    values = query.getall(name, [])
    return values[0] if len(values) == 1 else ""
