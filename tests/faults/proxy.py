"""A TCP proxy that fails the way networks and small devices do."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from enum import StrEnum
from types import TracebackType
from typing import Self

from tests.conftest import free_port

LOOK_EVERY_S = 0.02
CHUNK = 65_536
ABORT = struct.pack("ii", 1, 0)  # linger for 0 s: closing sends RST


class Break(StrEnum):
    """Ways in which a connection fails."""

    REFUSE = "refuse"  # nobody listens; what is open is reset
    BLACK_HOLE = "black hole"  # accepted, and then nothing moves
    DRIP = "drip"  # answers come at one byte a second
    RESET = "reset"  # reset as soon as something is said
    HALF_CLOSE = "half close"  # the question gets through, the answer is an end without a byte


class FaultProxy:
    """``async with FaultProxy("127.0.0.1:80") as proxy``: forwards, and fails as ``await proxy.fail(...)`` says.

    ``latency_s`` delays every chunk, both ways, and may be set at any time.
    """

    def __init__(self, upstream: str) -> None:
        host, _, port = upstream.rpartition(":")
        self._upstream = (host, int(port))
        self.port = free_port()
        self.latency_s = 0.0
        self.how: Break | None = None
        self.connections = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    @property
    def host(self) -> str:
        """``name:port``, as a configuration wants it."""
        return f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._shut()

    async def fail(self, how: Break | None) -> None:
        """Fail this way from now on; None: work again. What is open already fails too."""
        before, self.how = self.how, how
        if how is Break.REFUSE:
            await self._shut()
        elif before is Break.REFUSE:
            await self._listen()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def _shut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there: asyncio.StreamWriter | None = None
        try:
            back, there = await asyncio.open_connection(*self._upstream)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, there))
                group.create_task(self._pump(back, writer, answers=True))
            writer.close()
        except* OSError:
            pass
        finally:
            if not writer.is_closing():
                _reset(writer)
            if there is not None:
                there.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool = False) -> None:
        while data := await reader.read(CHUNK):
            await asyncio.sleep(self.latency_s)
            while self.how is Break.BLACK_HOLE:
                await asyncio.sleep(LOOK_EVERY_S)
            if self.how is Break.RESET:
                raise ConnectionResetError
            if self.how is Break.HALF_CLOSE and answers:
                break
            while answers and self.how is Break.DRIP and data:
                writer.write(data[:1])
                data = data[1:]
                await asyncio.sleep(1.0)
            writer.write(data)
            await writer.drain()
        with suppress(OSError):
            writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT)
    writer.transport.abort()
