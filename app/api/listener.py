"""Accepts connections for the HTTP server, with the two limits that it lacks itself."""

from __future__ import annotations

import asyncio

from aiohttp import web

MAX_CONNECTIONS = 128
FIRST_REQUEST_S = 10.0
_END_OF_HEAD = b"\r\n\r\n"


class Listener:
    """A protocol factory that caps open connections and the time until the first request is there."""

    def __init__(self, server: web.Server) -> None:
        self.server = server
        self.open: set[Connection] = set()

    def __call__(self) -> Connection:
        """The protocol of one new connection."""
        return Connection(self)


class Connection(asyncio.Protocol):
    """Passes everything on to aiohttp's protocol, unless there are too many or nothing comes."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._inner: web.RequestHandler | None = None
        self._late: asyncio.TimerHandle | None = None
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let it in while there is room."""
        if not isinstance(transport, asyncio.Transport) or len(self._listener.open) >= MAX_CONNECTIONS:
            transport.close()
            return
        self._listener.open.add(self)
        self._late = asyncio.get_running_loop().call_later(FIRST_REQUEST_S, transport.abort)
        self._inner = self._listener.server()
        self._inner.connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Make room for the next one."""
        self._listener.open.discard(self)
        self._in_time()
        if self._inner is not None:
            self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass bytes on; a complete head ends the wait for the first request."""
        if self._inner is None:
            return
        if self._late is not None:
            self._tail = (self._tail + data)[-len(data) - len(_END_OF_HEAD) + 1 :]
            if _END_OF_HEAD in self._tail:
                self._in_time()
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass on that the peer sends no more."""
        if self._inner is not None:
            self._inner.eof_received()
        return None

    def pause_writing(self) -> None:
        """Pass on that the peer reads too slowly."""
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Pass on that the peer reads again."""
        if self._inner is not None:
            self._inner.resume_writing()

    def _in_time(self) -> None:
        self._tail = b""
        if self._late is not None:
            self._late.cancel()
            self._late = None
