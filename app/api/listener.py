"""Accepts connections for the HTTP server, with the limits that it lacks itself.

Whoever has not sent a whole request can be put out for a newcomer, the oldest first: thousands that only hold
connections open keep nobody away, also where all come from one address. Whoever is being answered stays.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from app.api.guard import RefusedError

MAX_CONNECTIONS = 256
ACCEPTED_AT_ONCE = 32  # newcomers per turn of the loop: few enough that none is put out before it could speak
QUEUED = 1024  # newcomers that the system keeps meanwhile; whom it turns away comes back a second later
HEAD_S = 5.0
BODY_S = 3.0  # less, so that whoever is late is told
MAX_BYTES = 65_536  # of one request; nothing here needs a tenth of it
_END_OF_HEAD = b"\r\n\r\n"


class Listener:
    """A protocol factory that keeps count of its connections."""

    def __init__(self, server: web.Server) -> None:
        self.server = server
        self._open: dict[asyncio.BaseTransport, Connection] = {}
        self._waiting: dict[Connection, None] = {}  # in the order in which they may be put out

    def __call__(self) -> Connection:
        """The protocol of one new connection."""
        return Connection(self)

    @contextmanager
    def answering(self, transport: asyncio.BaseTransport | None) -> Iterator[None]:
        """Keep this connection while the block answers its request."""
        connection = self._open.get(transport) if transport is not None else None
        if connection is None:
            yield
            return
        connection.serve()
        try:
            yield
        finally:
            connection.wait()

    def enter(self, connection: Connection, transport: asyncio.BaseTransport) -> bool:
        """Take a connection in, for the oldest that waits if need be; False where all are being answered."""
        if len(self._open) >= MAX_CONNECTIONS:
            oldest = next(iter(self._waiting), None)
            if oldest is None:
                return False
            oldest.put_out()
        self._open[transport] = connection
        self._waiting[connection] = None
        return True

    def close(self) -> None:
        """End every connection that is still there."""
        for connection in list(self._open.values()):
            connection.put_out()

    def leave(self, connection: Connection, transport: asyncio.BaseTransport) -> None:
        """Forget a connection."""
        self._open.pop(transport, None)
        self._waiting.pop(connection, None)

    def waits(self, connection: Connection, *, waits: bool) -> None:
        """Whether the connection may be put out; one that begins to wait is the newest."""
        self._waiting.pop(connection, None)
        if waits:
            self._waiting[connection] = None


class Connection(asyncio.Protocol):
    """Passes everything on to aiohttp's protocol, and watches how long a request takes to be there.

    Aiohttp's part begins with a whole head: until then a connection costs next to nothing.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._inner: web.RequestHandler | None = None
        self._transport: asyncio.Transport | None = None
        self._head = bytearray()
        self._serving = False
        self._bytes = 0
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let it in where there is room."""
        if not isinstance(transport, asyncio.Transport) or not self._listener.enter(self, transport):
            transport.close()
            return
        self._transport = transport
        self._hurry()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Make room for the next one."""
        self._forget()
        if self._inner is not None:
            self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Pass bytes on, unless there are too many; with the first of a request, its time begins."""
        self._bytes += len(data)
        if self._transport is None or self._bytes > MAX_BYTES:
            self.put_out()
            return
        if not self._serving:
            self._hurry()
        if self._inner is None:
            self._head += data
            if self._head.find(_END_OF_HEAD, max(0, len(self._head) - len(data) - 3)) < 0:
                return
            data = bytes(self._head)
            self._head.clear()
            self._inner = self._listener.server()
            self._inner.connection_made(self._transport)
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Pass on that the peer sends no more."""
        if self._inner is not None:
            self._inner.eof_received()
        return None

    def pause_writing(self) -> None:
        """The peer takes nothing: it need not be kept."""
        self._listener.waits(self, waits=True)
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """The peer takes its answer again."""
        self._listener.waits(self, waits=not self._serving)
        if self._inner is not None:
            self._inner.resume_writing()

    def serve(self) -> None:
        """The whole request is there."""
        self._serving = True
        self._bytes = 0
        self._in_time()
        self._listener.waits(self, waits=False)

    def wait(self) -> None:
        """It is answered; the next one may take its time to begin."""
        self._serving = False
        if self._transport is not None:
            self._listener.waits(self, waits=True)

    def put_out(self) -> None:
        """End it now."""
        if self._transport is not None:
            self._transport.abort()
        self._forget()

    def _hurry(self) -> None:
        if self._late is None and self._transport is not None:
            self._late = asyncio.get_running_loop().call_later(HEAD_S, self.put_out)

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _forget(self) -> None:
        self._in_time()
        if self._transport is not None:
            self._listener.leave(self, self._transport)
            self._transport = None


def queue_up(server: asyncio.Server) -> None:
    """Let more newcomers queue than are accepted at once; asyncio has one number for both."""
    for listening in server.sockets:
        with socket.socket(fileno=os.dup(listening.fileno())) as same:
            same.listen(QUEUED)


async def whole(request: web.Request) -> None:
    """Wait for the body, so that what is being answered is complete. Raises `RefusedError` where it does not come."""
    if not request.can_read_body:
        return
    try:
        async with asyncio.timeout(BODY_S):
            await request.read()
    except TimeoutError:
        raise RefusedError(408, f"the body was not there within {BODY_S:g} s: send it again") from None
    except (web.RequestPayloadError, ConnectionError, RuntimeError):  # the last where the peer has gone meanwhile
        raise RefusedError(400, "the body breaks off, or its length or its chunks are wrong") from None
