"""What every answer of the HTTP server has in common: its headers, its JSON, and how it refuses."""

from __future__ import annotations

import json
import logging
from typing import Any

from aiohttp import web
from aiohttp.http import HttpProcessingError

from app.api.guard import RefusedError

MAX_BODY = 4096
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_SENTENCES = {
    404: "{path} is not served here: see /openapi.json for what is",
    405: "{method} is not possible on {path}: use {allowed}",
    413: f"the body is larger than {MAX_BODY} bytes: send less",
}


def json_answer(data: Any, status: int = 200) -> web.Response:
    """Data as compact JSON."""
    return web.Response(
        text=json.dumps(data, allow_nan=False, separators=(",", ":")), status=status, content_type="application/json"
    )


def refusal(request: web.Request, error: RefusedError | web.HTTPException) -> web.Response:
    """The answer to a request that is refused."""
    if isinstance(error, RefusedError):
        response = json_answer({"error": str(error)}, error.status)
        response.headers.update(error.headers)
        return response
    allowed = error.headers.get("Allow", "")
    sentence = _SENTENCES.get(error.status, "{method} {path} cannot be answered: check the request")
    text = sentence.format(method=request.method, path=request.path[:200], allowed=allowed)
    response = json_answer({"error": text}, error.status)
    if allowed:
        response.headers["Allow"] = allowed
    return response


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Tell browsers to be careful with every answer."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = "zero-export"  # and no versions of what is behind it


def server_log() -> logging.Logger:
    """Where aiohttp reports bugs; what is no HTTP is none, and anybody could fill the disk with it."""
    log = logging.getLogger("app.api.aiohttp")
    log.filters = [lambda record: not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))]
    return log
