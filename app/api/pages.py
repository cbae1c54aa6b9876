"""The static files of the page, and the small page that asks before a change."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from importlib.resources.abc import Traversable
from string import Template
from urllib.parse import urlencode, urlsplit

from aiohttp import web

CSP = "default-src 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; form-action 'self'"
_TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml", "txt": "text/plain"}


@dataclass(frozen=True, slots=True)
class _File:
    """One file; ``small`` is the same compressed, with a tag of its own: they are different bytes."""

    body: bytes
    small: bytes
    content_type: str
    etag: str

    @property
    def small_etag(self) -> str:
        return f"{self.etag}-gzip"


class Pages:
    """Everything below `web/`, read once: it is small, and so no request can name another file."""

    def __init__(self) -> None:
        root = files("app.api") / "web"
        self._files = {name: _file(entry) for name, entry in _walk(root)}
        self._confirm = Template(self._files.pop("confirm.html").body.decode())

    def file(self, request: web.Request) -> web.Response:
        """One file, or 304 where the browser has it already."""
        name = request.match_info.get("name", "index.html")
        found = self._files.get(name)
        if found is None:
            raise web.HTTPNotFound
        small = _takes_gzip(request)
        etag = found.small_etag if small else found.etag
        headers = {"Cache-Control": "no-cache", "ETag": f'"{etag}"', "Vary": "Accept-Encoding"}
        if found.content_type == "text/html":
            headers["Content-Security-Policy"] = CSP
        if any(tag.value == etag for tag in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        if small:
            headers["Content-Encoding"] = "gzip"
        body = found.small if small else found.body
        return web.Response(body=body, content_type=found.content_type, charset="utf-8", headers=headers)

    def confirm(self, *, enabled: bool | None, state: str | None, redirect: str | None, note: str) -> web.Response:
        """A page whose button sets the state that the link asked for, or else the opposite of what is.

        ``enabled`` None is kept from who looks: without a state in the link, the button flips it.
        """
        wanted = state or (None if enabled is None else "off" if enabled else "on")
        query = ({"state": wanted} if wanted else {}) | ({"redirect": redirect} if redirect else {})
        text = self._confirm.substitute(
            now="" if enabled is None else _now("on" if enabled else "off"),
            wanted=wanted or "over",
            note=escape(note),
            query=escape(urlencode(query)),
            back=escape(redirect or "../"),
        )
        # browsers apply form-action to where a submitted form is redirected to, too
        csp = CSP + (f" {_base(redirect)}" if redirect else "")
        headers = {"Content-Security-Policy": csp, "Cache-Control": "no-store"}
        return web.Response(text=text, content_type="text/html", headers=headers)


def _now(word: str) -> str:
    return f'<span data-t="confirm.now.{word}">It is {word} now.</span>'


def _takes_gzip(request: web.Request) -> bool:
    """Whether it was asked for by name, and not refused with ``q=0``."""
    for coding in request.headers.get("Accept-Encoding", "").lower().split(","):
        name, _, quality = coding.partition(";")
        if name.strip() == "gzip":
            return quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def _base(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _walk(folder: Traversable, prefix: str = "") -> list[tuple[str, Traversable]]:
    found: list[tuple[str, Traversable]] = []
    for entry in folder.iterdir():
        name = prefix + entry.name
        if entry.is_dir():
            found += _walk(entry, f"{name}/")
        elif name.rpartition(".")[2] in _TYPES:
            found.append((name, entry))
    return found


def _file(entry: Traversable) -> _File:
    body = entry.read_bytes()
    small = gzip.compress(body, mtime=0)
    return _File(body, small, _TYPES[entry.name.rpartition(".")[2]], hashlib.sha256(body).hexdigest()[:20])
