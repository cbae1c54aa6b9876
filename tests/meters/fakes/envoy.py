"""An Enphase gateway: https with a certificate of its own and a token, or http with a digest login."""

from __future__ import annotations

import base64
import copy
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.meters.fakes.digest import DigestDoor

FOLDER = Path(__file__).parent.parent / "fixtures" / "enphase"


def fixture(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text())


def token(until_s: float = 2e9) -> str:
    """As Enphase makes them; nobody here looks at the signature."""
    parts = ({"typ": "JWT", "alg": "ES256"}, {"enphaseUser": "owner", "exp": int(until_s)})
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts]
    return ".".join((*encoded, "c2lnbmF0dXJlLXNpZ25hdHVyZQ"))


@dataclass
class FakeEnvoy:
    """``meters`` and ``readings`` may be changed at any time; ``tick``: how far a request moves its clock."""

    valid: str = field(default_factory=token)
    door: DigestDoor | None = None
    meters: Any = field(default_factory=lambda: fixture("meters"))
    readings: Any = field(default_factory=lambda: fixture("readings"))
    tick: int = 1
    asked: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def grid(self) -> dict[str, Any]:
        """The row of the grid clamps."""
        row: dict[str, Any] = self.readings[1]
        return row

    @asynccontextmanager
    async def serve(self, certificate: str = "one") -> AsyncIterator[FakeEnvoy]:
        """Listen, at the same port when it is done again."""
        context = None
        if self.door is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(FOLDER / f"{certificate}.pem")
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port, ssl_context=context).start()
        self.port = runner.addresses[0][1]
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        if self.door is not None:
            refusal = self.door.refusal(request)
            if refusal is not None:
                return refusal
        elif request.headers.get("Authorization") != f"Bearer {self.valid}":
            return web.Response(status=401, text="<html>401 Authorization Required</html>")
        documents: dict[str, Callable[[], Any]] = {
            "/ivp/meters": lambda: self.meters,
            "/ivp/meters/readings": self._read,
        }
        if request.path not in documents:
            return web.Response(status=404)
        return web.json_response(documents[request.path]())

    def _read(self) -> Any:
        if self.tick and isinstance(self.readings, list):
            for row in self.readings:
                row["timestamp"] += self.tick
        return copy.deepcopy(self.readings)
