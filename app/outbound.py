"""Asking servers that may be broken or hostile: one time-out over all of it, little memory, no way round.

Redirects are not followed and cookies not kept, so that a login goes to the host it is meant for and nowhere
else. Answers come unpacked or not at all: a few bytes can unpack to gigabytes.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from app.model import DeviceAuthError, DeviceDataError, DeviceUnavailable

MAX_BODY_BYTES = 65_536
REFUSAL_BYTES = 4096


class CertificateChanged(DeviceAuthError):  # noqa: N818 - a name that says what happened
    """The device does not show the certificate that was asked for (`aiohttp.Fingerprint`)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said; the body only where the status is 200, or where any was asked for. ``cookies``: new ones."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    cookies: Mapping[str, str] = field(default_factory=dict)


def new_session() -> aiohttp.ClientSession:
    """The session that all devices and services share."""
    return aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())


def place(url: str) -> str:
    """A URL as it may be shown: without login, query and fragment."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


async def ask(
    session: aiohttp.ClientSession,
    url: str,
    timeout_s: float,
    *,
    who: str = "",
    method: str = "GET",
    connect_s: float | None = None,
    headers: Mapping[str, str] | None = None,
    max_bytes: int = MAX_BODY_BYTES,
    any_status: bool = False,
    **request: Any,
) -> Answer:
    """Ask for a document. Raises `DeviceError` with a sentence that begins with ``who``, by default the URL.

    ``any_status``: the body also of other answers than 200; of a refusal only the beginning.
    """
    who = who or place(url)
    timeout = aiohttp.ClientTimeout(total=timeout_s, connect=connect_s)
    headers = {"Accept-Encoding": "identity", **(headers or {})}
    try:
        async with session.request(
            method, url, timeout=timeout, headers=headers, allow_redirects=False, auto_decompress=False, **request
        ) as response:
            body = b""
            if response.status == 200 or (any_status and response.ok):
                body = await _body(response, who, max_bytes)
            elif any_status:
                body = await _beginning(response)
            cookies = {name: cookie.value for name, cookie in response.cookies.items()}
            return Answer(response.status, response.headers, body, cookies)
    except TimeoutError:
        raise DeviceUnavailable(f"{who} does not answer within {timeout_s:g} s") from None
    except aiohttp.ServerFingerprintMismatch:
        raise CertificateChanged(f"{who} shows another certificate than at the first contact") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: a name that cannot be looked up
        raise DeviceUnavailable(f"cannot reach {who}: {cause(error)}") from None


async def dial(
    session: aiohttp.ClientSession,
    url: str,
    timeout_s: float,
    *,
    who: str = "",
    ssl: aiohttp.Fingerprint | bool = True,
) -> aiohttp.ClientWebSocketResponse:
    """Open a WebSocket. Raises `DeviceUnavailable` with a sentence that begins as those of `ask`."""
    who = who or place(url)
    # a session of its own, since only middleware can keep aiohttp from following a redirect; the connections are shared
    passing = aiohttp.ClientSession(
        connector=session.connector,
        connector_owner=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        middlewares=(_upgraded,),
    )
    try:
        async with passing, asyncio.timeout(timeout_s):
            closing = aiohttp.ClientWSTimeout(ws_close=0.2)
            return await passing.ws_connect(url, timeout=closing, max_msg_size=MAX_BODY_BYTES, ssl=ssl)
    except TimeoutError:
        raise DeviceUnavailable(f"{who} does not answer within {timeout_s:g} s") from None
    except aiohttp.ServerFingerprintMismatch:
        raise CertificateChanged(f"{who} shows another certificate than at the first contact") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise DeviceUnavailable(f"cannot reach {who}: {cause(error)}") from None


async def _upgraded(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Whatever the answer is, it is the last one."""
    response = await handler(request)
    if response.status != 101:
        response.close()
        raise aiohttp.WSServerHandshakeError(response.request_info, (), status=response.status)
    return response


@asynccontextmanager
async def listen(
    session: aiohttp.ClientSession,
    url: str,
    timeout_s: float,
    *,
    who: str = "",
    headers: Mapping[str, str] | None = None,
    **request: Any,
) -> AsyncIterator[aiohttp.ClientResponse]:
    """An answer that goes on for ever, once its head is there; whoever reads it bounds time and size himself.

    Raises `DeviceUnavailable` with a sentence that begins as those of `ask`, also for what happens inside the block.
    """
    who = who or place(url)
    timeout = aiohttp.ClientTimeout(total=None, sock_read=None)
    headers = {"Accept-Encoding": "identity", **(headers or {})}
    response = None
    try:
        try:
            async with asyncio.timeout(timeout_s):
                response = await session.get(
                    url, timeout=timeout, headers=headers, allow_redirects=False, auto_decompress=False, **request
                )
        except TimeoutError:
            raise DeviceUnavailable(f"{who} does not answer within {timeout_s:g} s") from None
        yield response
    except aiohttp.ServerFingerprintMismatch:
        raise CertificateChanged(f"{who} shows another certificate than at the first contact") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise DeviceUnavailable(f"cannot reach {who}: {cause(error)}") from None
    finally:
        if response is not None:
            response.close()


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """What a refusal says, as far as anybody would read it; nothing where it breaks off."""
    body = bytearray()
    with suppress(aiohttp.ClientPayloadError):
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) >= REFUSAL_BYTES:
                break
    return bytes(body[:REFUSAL_BYTES])


async def _body(response: aiohttp.ClientResponse, who: str, max_bytes: int) -> bytes:
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise DeviceDataError(f"{who} sends a packed answer, which was not asked for")
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > max_bytes:
            raise DeviceDataError(f"{who} answers more than {max_bytes} bytes")
    return bytes(body)


def cause(error: Exception) -> str:
    """What the operating system says, where it said something; aiohttp's own words may quote the whole URL."""
    match error:
        case aiohttp.ClientSSLError():
            return "its certificate is not accepted"
        case aiohttp.ClientConnectorDNSError() | UnicodeError() | aiohttp.InvalidURL():
            return "its name is not known"
        case OSError() if error.errno is not None and error.errno > 0:
            return os.strerror(error.errno).lower()
        case aiohttp.WSServerHandshakeError():
            return f"it speaks no WebSocket there (HTTP {error.status})"
        case aiohttp.ServerDisconnectedError():
            return "it closed the connection"
        case aiohttp.ClientPayloadError():
            return "its answer broke off"
        case aiohttp.ClientResponseError():
            return "its answer is not HTTP"
    return type(error).__name__
