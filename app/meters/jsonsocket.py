"""A WebSocket that carries one JSON object per message."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import aiohttp

from app.model import DeviceDataError, DeviceUnavailable


class JsonSocket:
    """The same with errors that are sentences. ``name``: whose they are."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, name: str) -> None:
        self._socket, self._name = socket, name

    async def receive(self, timeout_s: float) -> dict[str, Any] | None:
        """The next message; None: not in time. Raises `DeviceError`."""
        try:
            message = await self._socket.receive(max(0.001, timeout_s))
        except TimeoutError:
            return None
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise DeviceUnavailable(f"{self._name} closed the connection")
        try:
            document = json.loads(message.data)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise DeviceDataError(f"{self._name} sends what is no message of its protocol")
        return document

    async def answer(self, timeout_s: float) -> dict[str, Any]:
        """The next message, which is due. Raises `DeviceError`."""
        message = await self.receive(timeout_s)
        if message is None:
            raise DeviceUnavailable(f"{self._name} does not answer within {timeout_s:g} s")
        return message

    async def send(self, message: Mapping[str, Any]) -> None:
        """Send one. Raises `DeviceUnavailable`."""
        try:
            await self._socket.send_json(message)
        except (aiohttp.ClientError, OSError):
            raise DeviceUnavailable(f"{self._name} closed the connection") from None

    async def close(self) -> None:
        """Hang up; waits for the other side no longer than the connection was opened with."""
        await self._socket.close()
