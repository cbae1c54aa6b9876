"""The bridge of a Pulse: its one document, behind its login, with a content type that says something else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.test_utils import TestServer

from app.endpoint import basic_login

CODE = "AD56-54BA"


@dataclass
class Pulse:
    """What it hands out, and who has asked."""

    body: bytes = b""
    host: str = ""
    asked: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        """One request."""
        self.asked.append(str(request.rel_url))
        if request.headers.get("Authorization") != basic_login("admin", CODE):
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="TibberBridge"'})
        return web.Response(body=self.body, content_type="application/json")


@asynccontextmanager
async def pulse() -> AsyncIterator[Pulse]:
    """A bridge that is there."""
    place = Pulse()
    app = web.Application()
    app.router.add_get("/data.json", place.answer)
    async with TestServer(app, host="127.0.0.1") as server:
        place.host = f"127.0.0.1:{server.port}"
        yield place
