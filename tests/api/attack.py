"""Attacks on the HTTP port, run as a program of their own so that they disturb nobody who measures.

``python -m tests.api.attack KIND PORT SECONDS``
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

HOST = "Host: pi\r\n"
Attack = Callable[[int], Awaitable[None]]


async def _connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)


async def half_open(port: int) -> None:
    """Half a request, a byte more now and then; comes back as soon as it is put out."""
    reader, writer = await _connect(port)
    try:
        writer.write(f"GET /api/status HTTP/1.1\r\n{HOST}X-Slow: ".encode())
        while not reader.at_eof() and not writer.is_closing():
            writer.write(b"a")
            with suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await reader.read(1)
    finally:
        writer.transport.abort()
    await asyncio.sleep(0.2)


async def second_request(port: int) -> None:
    """A whole request first, and then half of one."""
    reader, writer = await _connect(port)
    try:
        writer.write(f"GET /healthz HTTP/1.1\r\n{HOST}\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"GET /api/sta")
        await reader.read()
    finally:
        writer.transport.abort()


async def body(port: int) -> None:
    """10 MB where 4 kB are too much."""
    reader, writer = await _connect(port)
    try:
        head = f"PUT /api/settings HTTP/1.1\r\n{HOST}Content-Type: application/json\r\nContent-Length: 10000000\r\n\r\n"
        writer.write(head.encode())
        for _ in range(160):
            writer.write(b" " * 65536)
            await writer.drain()
        await reader.read()
    finally:
        writer.transport.abort()


async def slow_body(port: int) -> None:
    """A body of which a byte comes now and then."""
    reader, writer = await _connect(port)
    try:
        head = f"PUT /api/settings HTTP/1.1\r\n{HOST}Content-Type: application/json\r\nContent-Length: 4000\r\n\r\n"
        writer.write(head.encode())
        while not reader.at_eof():
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.5)
    finally:
        writer.transport.abort()


async def never_read(port: int) -> None:
    """Asks for much again and again, and takes nothing."""
    _reader, writer = await _connect(port)
    try:
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(f"GET /web/vendor/uPlot.iife.min.js HTTP/1.1\r\n{HOST}\r\n".encode() * 400)
        await asyncio.sleep(3.0)
    finally:
        writer.transport.abort()


async def streams(port: int) -> None:
    """An event stream that is read."""
    reader, writer = await _connect(port)
    try:
        writer.write(f"GET /api/events HTTP/1.1\r\n{HOST}\r\n".encode())
        while await reader.read(65536):
            pass
    finally:
        writer.transport.abort()
    await asyncio.sleep(0.2)


async def requests(port: int) -> None:
    """One whole request after the other, as fast as they are answered."""
    reader, writer = await _connect(port)
    try:
        while True:
            writer.write(f"GET /api/status HTTP/1.1\r\n{HOST}\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]))
            done[0] += 1
    finally:
        writer.transport.abort()


async def history(port: int) -> None:
    """The longest history, again and again."""
    reader, writer = await _connect(port)
    try:
        while True:
            writer.write(f"GET /api/history?seconds=2678400 HTTP/1.1\r\n{HOST}\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]))
            done[0] += 1
            await asyncio.sleep(0.2)
    finally:
        writer.transport.abort()


async def paced(port: int) -> None:
    """50 whole requests per second."""
    reader, writer = await _connect(port)
    due_s = time.monotonic()
    try:
        while True:
            writer.write(f"GET /api/status HTTP/1.1\r\n{HOST}\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]))
            done[0] += 1
            due_s = max(due_s + 0.02, time.monotonic() - 0.1)
            await asyncio.sleep(due_s - time.monotonic())
    finally:
        writer.transport.abort()


async def connects(port: int) -> None:
    """Opens and resets, as fast as it goes."""
    _reader, writer = await _connect(port)
    writer.transport.abort()
    done[0] += 1


async def garbage(port: int) -> None:
    """What is no HTTP at all."""
    reader, writer = await _connect(port)
    try:
        writer.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 8)
        await reader.read()
        done[0] += 1
    finally:
        writer.transport.abort()


done = [0]
KINDS: dict[str, tuple[Attack, int]] = {
    "half_open": (half_open, 1000),
    "second_request": (second_request, 300),
    "body": (body, 8),
    "slow_body": (slow_body, 300),
    "never_read": (never_read, 100),
    "streams": (streams, 100),
    "requests": (requests, 50),
    "paced": (paced, 20),
    "history": (history, 300),
    "connects": (connects, 20),
    "garbage": (garbage, 20),
}


async def attack(kind: str, port: int, seconds: float) -> None:
    """Run so many of one kind side by side, each again when it ends."""

    async def again() -> None:
        while True:
            with suppress(OSError, asyncio.IncompleteReadError, IndexError):
                await KINDS[kind][0](port)
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(again()) for _ in range(KINDS[kind][1])]
    print("begun", flush=True)
    await asyncio.sleep(seconds)
    print(f"{kind}: {done[0] / seconds:.0f} per second", flush=True)
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(attack(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
