"""The same methods over one WebSocket that stays open, and what keeps it open."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from app.meters.shelly.digest import challenge_of_frame, frame_auth
from app.meters.shelly.login import Challenged, Login, Nonce, Throttled, Use, signed
from app.meters.shelly.rpc import NoSuchComponent
from app.meters.shelly.wire import Socket
from app.model import DeviceDataError, DeviceError, DeviceUnavailable

log = logging.getLogger(__name__)

ABSENT = (-105, -114, 404)  # no handler, component not found, no such method
FRAMES_AT_ONCE = 100  # notifications before the answer that is waited for
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 300.0
STOOD_S = 60.0  # a connection that lasted so long was a good one


class Lost(DeviceUnavailable):
    """The connection is gone, or cannot be used: the same may be asked over HTTP at once."""


class Silent(DeviceUnavailable):
    """Nothing came in time: the connection is not to be used again."""


class SocketRpc:
    """Calls over a WebSocket, one at a time, told apart by their ids. Notifications are passed over."""

    def __init__(
        self, socket: Socket, who: str, login: Login, nonce: Nonce, timeout_s: float, clock: Callable[[], float]
    ) -> None:
        self._socket, self._who, self._timeout_s, self._clock = socket, who, timeout_s, clock
        self._login, self._nonce = login, nonce
        self._source = f"zero-export-{secrets.token_hex(4)}"  # without one, the device does not answer
        self._id = 0

    async def call(self, method: str, number: int | None = None) -> Any:
        """The result of one call. Raises `Lost` or `Silent` where the connection is at its end."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await signed(self._login, self._nonce, self._clock, partial(self._ask, method, number))
        except TimeoutError:
            raise Silent(f"{self._who} does not answer within {self._timeout_s:g} s (WebSocket)") from None

    async def greet(self) -> None:
        """Make sure that it answers, with the one call that needs no login."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._ask("Shelly.GetDeviceInfo", None, None)
        except (NoSuchComponent, Challenged):
            return
        except TimeoutError:
            raise Silent(f"does not answer within {self._timeout_s:g} s") from None
        except Throttled:
            raise Lost("answers 429") from None

    async def close(self) -> None:
        """Close the connection."""
        await self._socket.close()

    async def _ask(self, method: str, number: int | None, use: Use | None) -> Any:
        self._id += 1
        frame: dict[str, Any] = {"id": self._id, "src": self._source, "method": method}
        if number is not None:
            frame["params"] = {"id": number}
        if use is not None:
            frame["auth"] = frame_auth(use.challenge, use.nc, use.cnonce, self._login.password)
        try:
            await self._socket.send(json.dumps(frame))
        except DeviceUnavailable as error:
            raise Lost(str(error)) from None
        answer = await self._answer()
        if isinstance(answer.get("error"), dict):
            raise self._refusal(method, answer["error"])
        if "result" not in answer:
            raise Lost("it answers with neither a result nor an error")
        return answer["result"]

    async def _answer(self) -> dict[str, Any]:
        """The frame with our id; those before it are notifications, and answers that came too late."""
        for _ in range(FRAMES_AT_ONCE):
            text = await self._socket.receive()
            if text is None:
                raise Lost("it closed the connection")
            try:
                frame = json.loads(text)
            except (ValueError, RecursionError):
                frame = None
            if not isinstance(frame, dict):
                raise Lost("it sends frames that are no JSON objects")
            if frame.get("id") == self._id:
                return frame
        raise Lost("it sends nothing but notifications")

    def _refusal(self, method: str, error: dict[str, Any]) -> Exception:
        code, message = error.get("code"), error.get("message")
        if code == 401:
            return Challenged(challenge_of_frame(message))
        if code == 429:
            return Throttled()
        said = f"{self._who} answers {method} with error {str(code)[:20]}: {str(message)[:80]}"
        return NoSuchComponent(said) if code in ABSENT else DeviceDataError(said)


class Standing:
    """Keeps a WebSocket open while it is wanted: tries again later and later where that fails, or does not last."""

    def __init__(self, dial: Callable[[], Awaitable[SocketRpc]], who: str, clock: Callable[[], float]) -> None:
        self._dial, self._who, self._clock = dial, who, clock
        self._wanted = asyncio.Event()
        self._pause_s = self._since_s = 0.0
        self._told: bool | None = None
        self.rpc: SocketRpc | None = None

    def want(self) -> None:
        """The device is there, and of a kind that may have one."""
        if self.rpc is None:
            self._wanted.set()

    async def drop(self, why: str) -> None:
        """Close it, and do not open another one until it is wanted again."""
        rpc, self.rpc = self.rpc, None
        self._wanted.clear()
        if rpc is not None:
            self._tell(standing=False, why=why)
            self._longer(stood=self._clock() - self._since_s > STOOD_S)
            await rpc.close()

    async def run(self) -> None:
        """Open it for ever, whenever it is wanted."""
        try:
            while True:
                await self._wanted.wait()
                await asyncio.sleep(self._pause_s * random.uniform(0.75, 1.0))  # noqa: S311 - jitter, no secret
                if self._wanted.is_set():
                    await self._open()
        finally:
            rpc, self.rpc = self.rpc, None
            if rpc is not None:
                await rpc.close()

    async def _open(self) -> None:
        try:
            rpc = await self._dial()
        except DeviceError as error:
            self._longer(stood=False)
            self._tell(standing=False, why=str(error))
            return
        if not self._wanted.is_set():  # the device has gone meanwhile
            await rpc.close()
            return
        self.rpc, self._since_s = rpc, self._clock()
        self._wanted.clear()
        self._tell(standing=True)

    def _longer(self, *, stood: bool) -> None:
        self._pause_s = FIRST_PAUSE_S if stood else min(LONGEST_PAUSE_S, max(FIRST_PAUSE_S, 2.0 * self._pause_s))

    def _tell(self, *, standing: bool, why: str = "") -> None:
        """Once when it stands, and once when it does not."""
        if standing != self._told:
            self._told = standing
            how = "over a WebSocket" if standing else f"over HTTP, since there is no WebSocket: {why}"
            log.info("%s is asked %s", self._who, how)
