"""Asking the controller for a step test, watching it, and calling it off."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from app.api.changes import no_constant, shown
from app.api.guard import RefusedError
from app.api.status import step_test
from app.steptests import RefusedTestError, StepTests

EXAMPLE = 'send for example {"serial": "116180400000"}'


class StepTestDesk:
    """The requests under `/api/step-test`."""

    def __init__(self, tests: StepTests) -> None:
        self._tests = tests

    async def get(self, _request: web.Request) -> web.Response:
        """The test that is running, or else the last one."""
        return self._answer()

    async def start(self, request: web.Request) -> web.Response:
        """Ask for a test."""
        if request.content_type != "application/json":
            raise RefusedError(415, f"Content-Type {request.content_type!r} is not read here: send application/json")
        serial = parse(await request.read())
        try:
            self._tests.ask(serial)
        except RefusedTestError as refused:
            raise RefusedError(409, str(refused)) from None
        return self._answer(202)

    async def cancel(self, _request: web.Request) -> web.Response:
        """Call the running test off."""
        self._tests.cancel()
        return self._answer()

    def _answer(self, status: int = 200) -> web.Response:
        data = {"step_test": step_test(self._tests.report)}
        return web.json_response(data, status=status, headers={"Cache-Control": "no-store"})


def parse(text: bytes) -> str:
    """The serial that a JSON body names. Raises `RefusedError` (400)."""
    try:
        data: Any = json.loads(text, parse_constant=no_constant)
    except (ValueError, RecursionError):
        raise RefusedError(400, f"the body is not JSON: {EXAMPLE}") from None
    if not isinstance(data, dict) or set(data) != {"serial"}:
        raise RefusedError(400, f"the body does not name a serial and nothing else: {EXAMPLE}")
    serial = data["serial"]
    if not isinstance(serial, str) or not serial:
        raise RefusedError(400, f"serial {shown(serial)} is no text: {EXAMPLE}")
    return serial.lower()
