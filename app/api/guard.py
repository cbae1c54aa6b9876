"""Who may change something, and where a redirect may lead: pure rules over one request's headers.

Over plain HTTP nothing tells a foreign page's navigation from ours, so a browser has to bring proof.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from enum import Enum
from urllib.parse import quote, urlsplit

from multidict import MultiMapping

from app.config import HttpConfig

Headers = MultiMapping[str]
Origin = tuple[str, str, int]

LOCAL_SUFFIXES = (".local", ".lan", ".home.arpa", ".internal", ".localhost")
MAX_URL = 2048
_PORTS = {"http": 80, "https": 443}
_NETLOC = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:@]+)(:[0-9]*)?")  # urlsplit overlooks what follows a bracket
_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_BROWSER_HEADERS = ("Origin", "Referer", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Sec-Fetch-User")
_PREFETCH_HEADERS = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")


class Verdict(Enum):
    """What a request for a change gets: the change, or a page that asks."""

    ACT = "act"
    ASK = "ask"


class RefusedError(Exception):
    """The request changes nothing; the text says what is wrong and what to do."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.headers = headers or {}


def verdict(method: str, headers: Headers, config: HttpConfig, *, signed: bool = False) -> Verdict:
    """Whether a request may change something, but for its token. ``signed``: it carries a valid signed link.

    Raises `RefusedError` with 421 (unknown Host) or 403 (prefetch, foreign page).
    """
    host = _only(headers, "Host")
    if not host_allowed(host, config):
        raise RefusedError(421, f"Host {host!r} is not known here: add it to http.allowed_hosts, or use the IP address")
    if is_prefetch(headers):
        raise RefusedError(403, "a prefetch changes nothing: open the link instead")
    if signed:
        return Verdict.ACT
    if is_browser(headers) and not (method in ("POST", "PUT") and is_same_origin(headers, config)):
        if method == "GET":
            return Verdict.ASK
        raise RefusedError(403, f"{method} from another page is refused: use the controller's own page")
    return Verdict.ACT


def as_bytes(text: str) -> bytes:
    """A header's text as bytes; it may hold what is no valid text."""
    return text.encode("utf-8", "backslashreplace")


def is_browser(headers: Headers) -> bool:
    """Whether the request looks like a browser's, in doubt yes."""
    agent = headers.get("User-Agent", "").lstrip().lower()
    return agent.startswith("mozilla/") or any(name in headers for name in _BROWSER_HEADERS)


def is_prefetch(headers: Headers) -> bool:
    """Whether the browser only guesses that somebody may open this."""
    purposes = " ".join(headers.get(name, "") for name in _PREFETCH_HEADERS).lower()
    return any(word in purposes for word in ("prefetch", "prerender", "preview"))


def is_same_origin(headers: Headers, config: HttpConfig) -> bool:
    """Whether a page served under the same name as this request sent it."""
    site = headers.get("Sec-Fetch-Site")
    if "Origin" not in headers:
        return site == "same-origin"
    if site not in (None, "same-origin"):
        return False
    sender = origin(_only(headers, "Origin"))
    if sender is None:
        return False
    # a reverse proxy may hide our public name from Host; its configured origin is ours all the same
    ours = {origin(f"{sender[0]}://{_only(headers, 'Host')}")}
    if "public_url" in config.model_fields_set:
        ours.add(origin(config.public_url))
    return sender in ours


def bearer(headers: Headers) -> str:
    """The token that the request carries; empty where it carries none."""
    scheme, _, given = _only(headers, "Authorization").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else ""


def host_allowed(host: str, config: HttpConfig) -> bool:
    """Whether a Host header names this machine in a way that no foreign DNS entry can."""
    name = _host_name(host)
    if name is None:
        return False
    known = {_host_name(known) for known in (*config.allowed_hosts, urlsplit(config.public_url).netloc)}
    return name in known or _is_address(name) or "." not in name or name.endswith(LOCAL_SUFFIXES)


def safe_redirect(url: str, config: HttpConfig) -> str:
    """The URL as it may stand in a Location header. Raises `RefusedError` where its origin is not allowed."""
    allowed = {origin(base) for base in allowed_bases(config)}
    if origin(url) is None or origin(url) not in allowed:
        raise RefusedError(
            400, f"redirect {url[:200]!r} leads to no allowed origin: add its origin to http.allowed_origins"
        )
    return quote(url, safe="!#$%&'()*+,/:;=?@[]~")


def allowed_bases(config: HttpConfig) -> tuple[str, ...]:
    """URLs on whose origins a redirect may lead."""
    return (*config.allowed_origins, config.grafana, config.public_url)


def origin(url: str) -> Origin | None:
    """The canonical (scheme, host, port) of an absolute http(s) URL; None for everything else.

    Refuses what browsers and this parser could read differently: control characters, blanks,
    backslashes and user info.
    """
    if len(url) > MAX_URL or "\\" in url or " " in url or not url.isprintable():
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not host or not parts.netloc.isascii() or not _NETLOC.fullmatch(parts.netloc):
        return None
    return parts.scheme, host, _PORTS[parts.scheme] if port is None else port


def _only(headers: Headers, name: str) -> str:
    """The value of a header that must be there once; several are as good as none."""
    values = headers.getall(name, [])
    return values[0] if len(values) == 1 else ""


def _host_name(host: str) -> str | None:
    """The lower-case name or address of ``name[:port]``, None where it is neither."""
    parsed = origin(f"http://{host}") if "/" not in host and "?" not in host and "#" not in host else None
    name = parsed[1].removesuffix(".") if parsed else ""
    return name if _is_address(name) or _NAME.fullmatch(name) else None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
