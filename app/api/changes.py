"""The two requests that change something: the toggle and the settings."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable
from typing import Any, cast

from aiohttp import web

from app.api import guard, links, prices
from app.api.door import Door
from app.api.guard import RefusedError, Verdict
from app.api.links import Link
from app.api.override import from_json
from app.api.pages import Pages
from app.api.values import on_off
from app.config import HttpConfig
from app.hub import Hub
from app.model import Settings
from app.state import TARGET_RANGE_W, SettingsStore

log = logging.getLogger(__name__)

SETTINGS_EXAMPLE = '{"enabled": true, "target_point_w": 15}'
OVERRIDE_EXAMPLE = '{"mode": "open", "minutes": 30}'
_NOTES = {
    Link.NONE: "",
    Link.EXPIRED: "The link that brought you here has expired, so nothing has changed yet.",
    Link.FORGED: "The link that brought you here was not made by this controller, so nothing has changed.",
}


class Changes:
    """Checks each request against the rules, and only then touches the settings."""

    def __init__(
        self,
        config: HttpConfig,
        store: SettingsStore,
        pages: Pages,
        door: Door,
        hub: Hub,
        *,
        utc: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._door = door
        self._store = store
        self._hub = hub
        self._pages = pages
        self._utc = utc

    async def toggle(self, request: web.Request) -> web.Response:
        """Flip or set `enabled`, or show the page that asks."""
        state, redirect = _one(request, "state"), _one(request, "redirect")
        if state not in (None, "on", "off"):
            raise RefusedError(400, f"state {state[:40]!r} is not known: use on or off")
        target = guard.safe_redirect(redirect, self._config) if redirect is not None else None
        link = links.check(self._store.signing_key, request.query, now_utc_s=self._utc())
        if self._door.change(request, signed=link is Link.VALID) is Verdict.ASK:
            enabled = self._store.current.enabled if self._door.reading_is_free else None
            return self._pages.confirm(enabled=enabled, state=state, redirect=target, note=_NOTES[link])
        if link in (Link.EXPIRED, Link.FORGED) and not guard.is_browser(request.headers):
            raise RefusedError(403, f"the link is {link.value}: open the dashboard again, or leave exp and sig away")
        if await request.read():
            raise RefusedError(400, "the toggle takes no body: give state and redirect in the URL, as in ?state=on")
        wanted = not self._store.current.enabled if state is None else state == "on"
        settings = self._store.update(enabled=wanted, source=_source(request, link))
        return _after(request, settings, target)

    async def settings(self, request: web.Request) -> web.Response:
        """Set `enabled`, `target_point_w` or both."""
        wanted = parse_settings(_document(request, await request.read(), SETTINGS_EXAMPLE))
        settings = self._store.update(**wanted, source=_source(request, Link.NONE))
        return _settings(settings)

    async def override(self, request: web.Request) -> web.Response:
        """Decide instead of the price for a while, or let it decide again."""
        data = _document(request, await request.read(), OVERRIDE_EXAMPLE)
        tick = self._hub.latest
        try:
            wanted = from_json(data, tick.snapshot.price if tick else None, self._utc())
        except ValueError as error:
            raise RefusedError(400, str(error)) from None
        settings = self._store.override(wanted, _source(request, Link.NONE))
        return web.json_response({"override": prices.override(settings)}, headers={"Cache-Control": "no-store"})


def _document(request: web.Request, body: bytes, example: str) -> Any:
    """The JSON of a request. Raises `RefusedError`."""
    if request.content_type != "application/json":
        raise RefusedError(415, f"Content-Type {request.content_type!r} is not read here: send application/json")
    try:
        return json.loads(body, parse_constant=no_constant)
    except (ValueError, RecursionError):
        raise RefusedError(400, f"the body is not JSON: send for example {example}") from None


def parse_settings(data: Any) -> dict[str, Any]:
    """The changes that a JSON body asks for. Raises `RefusedError` (400) with what is wrong and what to send."""
    if not isinstance(data, dict) or not data:
        raise RefusedError(400, f"the body names no setting: send for example {SETTINGS_EXAMPLE}")
    for key, value in data.items():
        match key:
            case "enabled" if isinstance(value, bool):
                continue
            case "enabled":
                raise RefusedError(400, f"enabled {shown(value)} is not true or false: send one of the two")
            case "target_point_w":
                _check_target(value)
            case _:
                raise RefusedError(400, f"{shown(key)} is not a setting: use enabled and target_point_w")
    return cast("dict[str, Any]", data)


def _check_target(value: Any) -> None:
    low, high = TARGET_RANGE_W
    known = isinstance(value, int | float) and not isinstance(value, bool)
    if not known or not low <= value <= high or not math.isfinite(value):
        text = f"target_point_w {shown(value)} is not a number of watts: send one between {low:g} and {high:g}"
        raise RefusedError(400, text)


def no_constant(name: str) -> float:
    """Refuse NaN and Infinity, which are no JSON."""
    raise ValueError(f"{name} is no JSON number")


def shown(value: Any) -> str:
    """A value of a request, as short as a sentence can bear it."""
    return json.dumps(value)[:60]


def _one(request: web.Request, name: str) -> str | None:
    values = request.query.getall(name, [])
    if len(values) > 1:
        raise RefusedError(400, f"{name} is there {len(values)} times: give it once")
    return values[0] if values else None


def _source(request: web.Request, link: Link) -> str:
    return f"{'link' if link is Link.VALID else 'http'} {request.remote}"


def _after(request: web.Request, settings: Settings, target: str | None) -> web.Response:
    form = request.method == "POST" and "text/html" in request.headers.get("Accept", "")
    if target is None and form:
        target = "../"  # a form that was sent by hand goes back to the page
    if target is None:
        return web.json_response({"enabled": on_off(settings.enabled)}, headers={"Cache-Control": "no-store"})
    return web.Response(status=303, headers={"Location": target, "Cache-Control": "no-store"})


def _settings(settings: Settings) -> web.Response:
    data = {"enabled": on_off(settings.enabled), "target_point_w": settings.target_point_w}
    return web.json_response(data, headers={"Cache-Control": "no-store"})
