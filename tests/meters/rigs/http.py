"""Devices that answer JSON over HTTP: one answerer, and for each product what its documents look like."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from tests.conftest import until
from tests.meters.contract import SILENT_CASES, Case, Rig
from tests.meters.fakes.tcp import Listener
from tests.meters.hostile import HEAD, page

ABSENT = object()  # a power that is left out of the document, with its key
Documents = Callable[[Any, float], Mapping[str, Any]]  # power, time stamp -> what stands at each path
STATUSES = {
    Case.UNAUTHORISED: b"401 Unauthorized\r\nWWW-Authenticate: Basic realm=x",
    Case.FORBIDDEN: b"403 Forbidden",
    Case.NOT_FOUND: b"404 Not Found",
    Case.BUSY: b"429 Too Many Requests\r\nRetry-After: 0",
    Case.BROKEN: b"500 Internal Server Error",
}
INSTEAD = {Case.MISSING: ABSENT, Case.NULL: None, Case.NAN: float("nan"), Case.TEXT: "n/a", Case.RESTART: 0}
START_S = 1.7e9


class HttpDevice(Listener):
    """Answers every GET with what ``documents`` makes of the power. Closes the connection, as small devices do."""

    def __init__(self, keys: Mapping[str, Any], documents: Documents, certificate: Path | None) -> None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if certificate is not None else None
        if tls is not None and certificate is not None:
            tls.load_cert_chain(certificate)
        super().__init__(tls)
        self.section = {"interval_s": 0.2, "timeout_s": 0.5, **_filled(keys, f"127.0.0.1:{self.port}")}
        self._documents = documents
        self._case, self._power_w = Case.GOOD, 0.0
        self._newest_s = START_S
        self._answered = 0

    async def show(self, case: Case, power_w: float) -> None:
        """Behave so from now on."""
        self._case, self._power_w = case, power_w
        await (self.close() if case is Case.REFUSED else self.listen())
        if case in SILENT_CASES:
            before = self._answered
            await until(lambda: self._answered >= before + 3)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with suppress(OSError, asyncio.IncompleteReadError):
            try:
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.split(b" ")[1].decode().partition("?")[0]
                await self._answer(path, writer)
                self._answered += 1
                await writer.drain()
            finally:
                self._open.discard(writer)
                writer.close()

    async def _answer(self, path: str, writer: asyncio.StreamWriter) -> None:
        case = self._case
        if case in STATUSES:
            writer.write(b"HTTP/1.1 " + STATUSES[case] + b"\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        elif case is Case.HTML:
            writer.write(page(b"<!doctype html><title>Log in</title>"))
        elif case is Case.SILENCE:
            await asyncio.sleep(3600)
        elif case is Case.DRIP:
            writer.write(HEAD + b"Content-Length: 99999\r\n\r\n{")
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.05)
        elif case is Case.HUGE:
            writer.write(HEAD + b"\r\n[")
            while True:
                writer.write(b" " * 65536)
                await writer.drain()
        else:
            self._document(path, writer)

    def _document(self, path: str, writer: asyncio.StreamWriter) -> None:
        case = self._case
        if case not in SILENT_CASES:
            self._newest_s += 1.0
        stamp_s = START_S - 3600.0 if case is Case.OLD else self._newest_s
        documents = self._documents(INSTEAD.get(case, self._power_w), stamp_s)
        if path not in documents:
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
            return
        answer = page(json.dumps(_pruned(documents[path])).encode(), HEAD + b"Connection: close\r\n")
        if case is Case.RESET:
            writer.write(answer[:-9])
            writer.transport.abort()
            return
        writer.write(answer)


def http_rig(
    name: str,
    keys: Mapping[str, Any],
    documents: Documents,
    missing: Mapping[Case, str],
    *,
    certificate: Path | None = None,
    quick: Mapping[str, float] | None = None,
) -> Rig:
    """A rig for a device that is polled for JSON. ``{at}`` in ``keys`` becomes its address."""

    @asynccontextmanager
    async def serve(_folder: Path) -> AsyncIterator[HttpDevice]:
        device = HttpDevice(keys, documents, certificate)
        try:
            yield device
        finally:
            await device.close()

    return Rig(name, (str(keys["type"]),), serve, missing, quick or {})


def _filled(keys: Mapping[str, Any], address: str) -> dict[str, Any]:
    return {key: value.replace("{at}", address) if isinstance(value, str) else value for key, value in keys.items()}


def _pruned(node: Any) -> Any:
    """The document without what is absent."""
    if isinstance(node, dict):
        return {key: _pruned(value) for key, value in node.items() if value is not ABSENT}
    if isinstance(node, list):
        return [_pruned(one) for one in node if one is not ABSENT]
    return node
