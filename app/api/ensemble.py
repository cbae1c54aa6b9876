"""Looking at storage, relays and dry contacts over HTTP, and asking for one action at a time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aiohttp import web

from app.api.answers import json_answer
from app.api.changes import no_constant
from app.api.guard import RefusedError
from app.api.storage import ensemble
from app.enphase.ensemble.actions import parse
from app.enphase.ensemble.desk import RefusedActionError, TooSoonError
from app.model import DeviceError

if TYPE_CHECKING:
    from app.enphase.ensemble.driver import Ensemble

EXAMPLE = '{"action": "reserve", "soc_pct": 30}'
NONE_HERE = "there is no enphase.ensemble section in the configuration, so there is no storage to command: add it"


class EnsembleDesk:
    """The requests under `/api/ensemble`; ``of`` is None where no gateway is configured for it."""

    def __init__(self, of: Ensemble | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._of, self._clock = of, clock

    async def get(self, _request: web.Request) -> web.Response:
        """What the gateway last told."""
        return json_answer({"ensemble": self._document()})

    async def act(self, request: web.Request) -> web.Response:
        """Do one action."""
        if request.content_type != "application/json":
            raise RefusedError(415, f"Content-Type {request.content_type!r} is not read here: send application/json")
        action = self._action(await request.read())
        if self._of is None:
            raise RefusedError(409, NONE_HERE)
        try:
            outcome = await self._of.act(action, f"http {request.remote}")
        except (RefusedActionError, TooSoonError) as error:
            raise RefusedError(409, str(error)) from None
        except DeviceError as error:
            raise RefusedError(502, f"{error}: look at the gateway, it may have been done all the same") from None
        return json_answer({"written": outcome.written, "text": outcome.text, "ensemble": self._document()})

    def _action(self, body: bytes) -> Any:
        try:
            data = json.loads(body, parse_constant=no_constant)
        except (ValueError, RecursionError):
            raise RefusedError(400, f"the body is not JSON: send for example {EXAMPLE}") from None
        try:
            return parse(data)
        except ValueError as error:
            raise RefusedError(400, str(error)) from None

    def _document(self) -> dict[str, Any] | None:
        return ensemble(self._of.state, self._clock()) if self._of is not None else None
