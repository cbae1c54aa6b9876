"""Enphase's cloud: Enlighten, where accounts log in, and Entrez, which makes tokens."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from tests.enphase.fake import SERIAL, token


@dataclass
class FakeCloud:
    """``answer``: "" as it should, "down" (503), "mfa", "html" (pages for people), "nonsense" (for a token)."""

    username: str = "someone@example.org"
    password: str = "correct horse"
    role: str = "owner"
    lifetime_s: float = 365 * 86_400.0
    serials: tuple[str, ...] = (SERIAL,)
    answer: str = ""
    port: int = 0
    logins: int = 0
    made: list[str] = field(default_factory=list)
    _sessions: set[str] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def keys(self) -> dict[str, str]:
        """Of a section that uses it."""
        return {
            "enlighten_username": self.username,
            "enlighten_password": self.password,
            "enlighten_url": self.url,
            "entrez_url": self.url,
        }

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[FakeCloud]:
        app = web.Application()
        app.router.add_post("/login/login.json", self._login)
        app.router.add_post("/tokens", self._tokens)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        self.port = runner.addresses[0][1]
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _login(self, request: web.Request) -> web.Response:
        self.logins += 1
        if self.answer == "down":
            return web.Response(status=503, text="<html>maintenance</html>")
        if self.answer == "html":
            return web.Response(text="<!doctype html><title>Sign in</title>", content_type="text/html")
        form = await request.post()
        if (form.get("user[email]"), form.get("user[password]")) != (self.username, self.password):
            return web.json_response({"message": "Invalid credentials"}, status=401)
        document = {"message": "success", "is_consumer": self.role == "owner", "manager_token": "m4n4g3r"}
        if self.answer != "mfa":
            document["session_id"] = secrets.token_hex(16)
            self._sessions.add(document["session_id"])
        return web.json_response(document)

    async def _tokens(self, request: web.Request) -> web.Response:
        wish = await request.json()
        if wish["session_id"] not in self._sessions or wish["username"] != self.username:
            return web.Response(status=401)
        if wish["serial_num"] not in self.serials:
            return web.Response(status=403, text="no such gateway in this account")
        if self.answer == "nonsense":
            return web.Response(text="<html>a.b.c</html>")
        now_s = time.time()
        made = token(now_s + self.lifetime_s, role=self.role, serial=wish["serial_num"], made_s=now_s)
        self.made.append(made)
        return web.Response(text=made)
