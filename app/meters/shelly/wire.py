"""The two ways to reach a Shelly: one HTTP request, and one WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Protocol

import aiohttp

from app.model import DeviceUnavailable
from app.outbound import Answer, ask, dial

CLOSING_S = 0.3


class Socket(Protocol):
    """A WebSocket that stands."""

    async def send(self, text: str) -> None:
        """Send a frame. Raises `DeviceUnavailable` when it is closed."""

    async def receive(self) -> str | None:
        """The next frame; None: it is closed."""

    async def close(self) -> None:
        """Close it, without waiting for the other side for long."""


class Wire(Protocol):
    """What the driver needs of the network."""

    async def get(self, path: str, headers: Mapping[str, str]) -> Answer:
        """One GET. Raises `DeviceUnavailable`."""

    async def open(self) -> Socket:
        """A WebSocket at ``/rpc``. Raises `DeviceUnavailable`."""


class Network:
    """The real network."""

    def __init__(self, session: aiohttp.ClientSession, host: str, timeout_s: float) -> None:
        self._session, self._host, self._timeout_s = session, host, timeout_s

    async def get(self, path: str, headers: Mapping[str, str]) -> Answer:
        """One GET over a connection of its own: the devices have six, and keep none."""
        url, connect_s = f"http://{self._host}{path}", min(1.0, self._timeout_s)
        headers = {"Connection": "close", **headers}
        return await ask(self._session, url, self._timeout_s, connect_s=connect_s, headers=headers)

    async def open(self) -> Socket:
        """A WebSocket at ``/rpc``."""
        return _Socket(await dial(self._session, f"ws://{self._host}/rpc", self._timeout_s))


class _Socket:
    """A WebSocket of aiohttp."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def send(self, text: str) -> None:
        try:
            await self._socket.send_str(text)
        except (aiohttp.ClientError, OSError):
            raise DeviceUnavailable("it closed the connection") from None

    async def receive(self) -> str | None:
        message = await self._socket.receive()
        return message.data if message.type is aiohttp.WSMsgType.TEXT else None

    async def close(self) -> None:
        """Each frame that still comes makes aiohttp wait anew: a device that chatters would never be left."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSING_S):
                await self._socket.close()
