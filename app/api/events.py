"""Server-sent events: one JSON status per tick, to a bounded number of readers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from app.hub import Hub
from app.model import Tick

MAX_READERS = 32
HEARTBEAT_S = 15.0
STUCK_S = 20.0  # a reader that takes nothing for this long is gone
QUEUED = 2
RETRY_MS = 2000


class Events:
    """The open event streams. A slow reader misses ticks; nobody waits for it."""

    def __init__(
        self, hub: Hub, show: Callable[[Tick | None], dict[str, Any]], *, heartbeat_s: float = HEARTBEAT_S
    ) -> None:
        self._hub = hub
        self._show = show
        self._heartbeat_s = heartbeat_s
        self._tasks: set[asyncio.Task[Any]] = set()
        self._shown: tuple[Tick, bytes] | None = None

    @property
    def readers(self) -> int:
        """How many streams are open."""
        return len(self._tasks)

    def close(self) -> None:
        """End every stream now."""
        for task in self._tasks:
            task.cancel()

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Serve one reader until it leaves."""
        if len(self._tasks) >= MAX_READERS:
            text = f"{MAX_READERS} event streams are open already: close other pages, or try again later"
            return web.json_response({"error": text}, status=503, headers={"Retry-After": "10"})
        task = asyncio.current_task()
        if task is None:
            raise AssertionError("a request is always handled in a task")
        self._tasks.add(task)
        try:
            return await self._serve(request)
        finally:
            self._tasks.discard(task)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        response = web.StreamResponse(headers=headers)
        with self._hub.subscribe(size=QUEUED) as subscription:
            await response.prepare(request)
            try:
                async with asyncio.timeout(STUCK_S):
                    await response.write(f"retry: {RETRY_MS}\n\n".encode() + self._latest())
                while True:
                    try:
                        async with asyncio.timeout(self._heartbeat_s):
                            message = self._message(await subscription.get())
                    except TimeoutError:
                        message = b": nothing new\n\n"
                    async with asyncio.timeout(STUCK_S):
                        await response.write(message)
            except (TimeoutError, ConnectionError):
                if request.transport is not None:
                    request.transport.abort()  # closing gracefully would wait for the reader again
                return response

    def _latest(self) -> bytes:
        return _event(self._show(self._hub.latest))

    def _message(self, tick: Tick) -> bytes:
        """The event of a tick, made once for all readers."""
        if self._shown is None or self._shown[0] is not tick:
            self._shown = (tick, _event(self._show(tick)))
        return self._shown[1]


def _event(data: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(data, allow_nan=False, separators=(',', ':'))}\n\n".encode()
