"""Enphase's cloud: Enlighten, where accounts log in, and Entrez, which makes tokens."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from tests.conftest import free_port
from tests.enphase.fake import SERIAL, token


@dataclass
class FakeCloud:
    """``role``: of the tokens for programs; ``portal_role``: of those that its page gives, "" gives none;
    ``made_ago_s``: tokens say that they were made so long ago.

    ``answer``: "" as it should, "down" (503), "mfa", "html" (pages for people), "nonsense" (for a token).
    """

    username: str = "someone@example.org"
    password: str = "correct horse"
    role: str = "owner"
    portal_role: str = ""
    lifetime_s: float = 365 * 86_400.0
    made_ago_s: float = 0.0
    serials: tuple[str, ...] = (SERIAL,)
    answer: str = ""
    port: int = field(default_factory=free_port)
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
        app.router.add_get("/login_main_page", self._portal)
        app.router.add_post("/login", self._portal_login)
        app.router.add_get("/entrez_tokens", self._portal)
        app.router.add_post("/entrez_tokens", self._portal_tokens)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
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
        document: dict[str, object] = {
            "message": "success",
            "is_consumer": self.role == "owner",
            "manager_token": "m4n4g3r",
        }
        if self.answer != "mfa":
            document["session_id"] = opened = secrets.token_hex(16)
            self._sessions.add(opened)
        return web.json_response(document)

    async def _tokens(self, request: web.Request) -> web.Response:
        wish = await request.json()
        if wish["session_id"] not in self._sessions or wish["username"] != self.username:
            return web.Response(status=401)
        if wish["serial_num"] not in self.serials:
            return web.Response(status=403, text="no such gateway in this account")
        if self.answer == "nonsense":
            return web.Response(text="<html>a.b.c</html>")
        return web.Response(text=self._make(wish["serial_num"], self.role))

    def _make(self, serial: str, role: str) -> str:
        now_s = time.time() - self.made_ago_s
        made = token(now_s + self.lifetime_s, role=role, serial=serial, made_s=now_s)
        self.made.append(made)
        return made

    async def _portal(self, request: web.Request) -> web.Response:
        """A page with a mark that has to come back, and a cookie that goes with it."""
        if request.path == "/entrez_tokens" and request.cookies.get("SESSION") not in self._sessions:
            return web.Response(status=302, headers={"Location": "/login_main_page"})
        mark = secrets.token_hex(8)
        sites = "".join(f'<option value="Site {one[-3:]}" data-serial="{one}">' for one in self.serials)
        page = f'<html><form><input type="hidden" name="_csrf" value="{mark}"/><select>{sites}</select></form></html>'
        answer = web.Response(text=page, content_type="text/html")
        answer.set_cookie("XSRF", mark)
        return answer

    async def _portal_login(self, request: web.Request) -> web.Response:
        form = await request.post()
        given = (form.get("username"), form.get("password"), form.get("authFlow"))
        if given != (self.username, self.password, "entrezSession") or form.get("_csrf") != request.cookies.get("XSRF"):
            return web.Response(status=302, headers={"Location": "/login?error"})
        answer = web.Response(status=302, headers={"Location": "/entrez_tokens"})
        opened = secrets.token_hex(16)
        self._sessions.add(opened)
        answer.set_cookie("SESSION", opened)
        return answer

    async def _portal_tokens(self, request: web.Request) -> web.Response:
        form = await request.post()
        serial = str(form["serialNum"])
        marked = form.get("_csrf") == request.cookies.get("XSRF")
        known = request.cookies.get("SESSION") in self._sessions and serial in self.serials
        if not self.portal_role or not marked or not known or form["Site"] != f"Site {serial[-3:]}":
            return web.Response(text="<html>Something went wrong</html>", content_type="text/html")
        made = self._make(serial, self.portal_role)
        page = f'<html><textarea id="JWTToken" cols="30" rows="10" >{made}</textarea></html>'
        return web.Response(text=page, content_type="text/html")
