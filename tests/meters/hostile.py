"""Servers that a meter or a price service may turn into: broken, hostile, or somebody else's."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@dataclass
class Hostile:
    """A listening server, and what it was sent."""

    port: int
    asked: list[bytes] = field(default_factory=list)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"


@asynccontextmanager
async def hostile(behaviour: Behaviour | bytes, tls: ssl.SSLContext | None = None) -> AsyncIterator[Hostile]:
    """A server that takes each request and then does as told; bytes are sent as they are, and then it closes."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            try:
                place.asked.append(await reader.readuntil(b"\r\n\r\n"))
                await (sends(behaviour) if isinstance(behaviour, bytes) else behaviour)(writer)
            finally:
                writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    place = Hostile(server.sockets[0].getsockname()[1])
    try:
        yield place
    finally:
        server.close()


def sends(data: bytes, *, every_s: float = 0.0, times: int = 1, then: bytes = b"") -> Behaviour:
    """Sends ``data`` so many times with pauses, after ``then``."""

    async def behave(writer: asyncio.StreamWriter) -> None:
        writer.write(then)
        for _ in range(times):
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(every_s)

    return behave


def page(body: bytes, head: bytes = HEAD) -> bytes:
    """A whole answer with this body."""
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


async def silent(_writer: asyncio.StreamWriter) -> None:
    """Takes the request and says nothing."""
    await asyncio.sleep(60)


ENDLESS = 1_000_000
NEVER_DONE: dict[str, Behaviour | bytes] = {
    "silence": silent,
    "half a status line": sends(b"", every_s=60, then=b"HTTP/1.1 20"),
    "a byte of the head now and then": sends(b"a", every_s=0.05, times=ENDLESS, then=HEAD + b"X: "),
    "a byte of the body now and then": sends(
        b" ", every_s=0.05, times=ENDLESS, then=HEAD + b"Content-Length: 999\r\n\r\n"
    ),
    "a body that never comes": sends(b"", every_s=60, then=HEAD + b"Content-Length: 9\r\n\r\n"),
    "chunks of one byte": sends(b"1\r\n \r\n", every_s=0.05, times=ENDLESS, then=CHUNKED),
    "continue, continue": sends(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, times=ENDLESS),
}  # fmt: skip
TOO_MUCH: dict[str, Behaviour | bytes] = {
    "a body without end": sends(b" " * 65536, times=ENDLESS, then=HEAD + b"\r\n"),
    "10 MB": sends(b" " * 65536, times=153, then=HEAD + b"Content-Length: 10000000\r\n\r\n"),
    "chunks without end": sends(b"10000\r\n" + b" " * 65536 + b"\r\n", times=ENDLESS, then=CHUNKED),
    "a head without end": sends(b"X-Filler: " + b"x" * 4000 + b"\r\n", times=ENDLESS, then=HEAD),
    "a header without end": sends(b"x" * 65536, times=ENDLESS, then=HEAD + b"X: "),
    "a status line without end": sends(b"x" * 65536, times=ENDLESS, then=b"HTTP/1.1 200 "),
    "a chunk size without end": sends(b"0" * 65536, times=ENDLESS, then=CHUNKED),
    "a packed 20 MB": page(gzip.compress(bytes(20_000_000), 9), HEAD + b"Content-Encoding: gzip\r\n"),
    "twice packed": page(gzip.compress(gzip.compress(bytes(10_000_000))), HEAD + b"Content-Encoding: gzip, gzip\r\n"),
    "said to be packed": page(b'{"p": 1}', HEAD + b"Content-Encoding: br\r\n"),
    "more trailers than anybody reads": sends(
        b"X: y\r\n" * 1000, times=ENDLESS, then=HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"
    ),
}
NONSENSE: dict[str, Behaviour | bytes] = {
    "nothing": b"",
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "TLS": b"\x15\x03\x03\x00\x02\x02\x28",
    "random bytes": bytes(range(256)) * 20,
    "a broken head": b"HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 8\r\nContent-Length: 9\r\n\r\n" + b'{"p": 1}',
    "a negative length": HEAD + b"Content-Length: -1\r\n\r\n" + b'{"p": 1}',
    "a length of a word": HEAD + b"Content-Length: x\r\n\r\n" + b'{"p": 1}',
    "length and chunks": HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" + b'{"p": 1}',
    "a body that breaks off": HEAD + b"Content-Length: 99\r\n\r\n" + b'{"p": 1}',
    "a chunk that breaks off": HEAD + b"Transfer-Encoding: chunked\r\n\r\nff\r\n" + b'{"p": 1}',
    "a chunk of a bad size": HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n" + b'{"p": 1}',
    "an empty body": page(b""),
    "a login page": page(b"<!doctype html><title>Log in</title>"),
    "no UTF-8": page(b'{"p": "\xff\xfe"}'),
    "half a document": page(b'{"p": 1'),
    "two documents": page(b'{"p": 1}{"p": 2}'),
    "a deep list": page(b"[" * 60_000),
    "a deep object": page(b'{"p":' * 12_000),
    "a deep document": page(b'{"p":' * 9000 + b"1" + b"}" * 9000),
    "a number of 60000 digits": page(b'{"p": ' + b"9" * 60_000 + b"}"),
    "not a number": page(b'{"p": NaN, "mac": "x", "emeters": [{"power": NaN}]}'),
    "infinity": page(b'{"p": Infinity, "mac": "x", "emeters": [{"power": -Infinity}]}'),
    "beyond all floats": page(b'{"p": 1e999, "mac": "x", "emeters": [{"power": 1e999}]}'),
    "null": page(b"null"),
    "a list": page(b"[1, 2]"),
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "a part": b"HTTP/1.1 206 Partial Content\r\nContent-Length: 8\r\n\r\n" + b'{"p": 1}',
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n"
    + b'{"p": 1}',
    "an error": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 8\r\n\r\n" + b'{"p": 1}',
    "a status of its own": b"HTTP/1.1 999 Whatever\r\nContent-Length: 8\r\n\r\n" + b'{"p": 1}',
    "a challenge without nonce": b'HTTP/1.1 401 No\r\nWWW-Authenticate: Digest realm="x"\r\nContent-Length: 0\r\n\r\n',
    "a challenge of rubbish": b"HTTP/1.1 401 No\r\nWWW-Authenticate: Digest \xff=,,,\r\nContent-Length: 0\r\n\r\n",
    "a refusal of 10 MB": sends(b" " * 65536, times=153, then=b"HTTP/1.1 401 No\r\nContent-Length: 10000000\r\n\r\n"),
}
