"""Values that come over MQTT by themselves, each when it likes: gathered, and told as one state."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from app.batteries.base import Emit
from app.broker import Broker, Message
from app.model import BatteryState, DeviceError, DeviceUnavailable

SILENT = 3.0  # times the interval: then it is said to be silent
GATHER_S = 0.1  # what comes so close together is told as one
Parse = Callable[[bytes], float | None]


async def _nothing() -> None:
    """There is nothing to be done meanwhile."""


class Followed:
    """The values of one battery as they were last told. A retained copy is of unknown age, and is none.

    ``state`` makes of them what is to be emitted; None: nothing that is new.
    """

    def __init__(
        self,
        name: str,
        broker: Broker,
        interval_s: float,
        state: Callable[[float], BatteryState | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._broker, self._interval_s = name, broker, interval_s
        self._state, self._clock = state, clock
        self._values: dict[str, tuple[float, float]] = {}  # by its key: the value, and when it came
        self._wrong: DeviceError | None = None
        self._heard = False  # a retained copy at least
        self.changed = asyncio.Event()

    def take(self, key: str, parse: Parse) -> Callable[[Message], None]:
        """A handler of messages that hold this value. ``parse``: None where the message says that there is none."""

        def handle(message: Message) -> None:
            self._heard = True
            if message.retain:
                return
            try:
                value = parse(message.payload)
            except DeviceError as error:
                self._wrong = error.saying(f"{self._name}: {message.topic}: {error}")
                value = None
            if value is None:
                self._values.pop(key, None)
            else:
                self._values[key] = value, self._clock()
            self.changed.set()

        return handle

    def value(self, key: str, oldest_s: float) -> tuple[float, float] | None:
        """A value and when it came, unless that is longer ago than ``oldest_s``."""
        found = self._values.get(key)
        return found if found is not None and self._clock() - found[1] <= oldest_s else None

    async def run(
        self,
        emit: Emit,
        silence: Callable[[], DeviceError | None] = lambda: None,
        ask: Callable[[], Awaitable[None]] = _nothing,
    ) -> None:
        """Emit what comes, what is wrong with it, and that nothing comes: ``silence`` may know why.

        ``ask`` is awaited whenever something came, and every interval, so that more does.
        """
        told_s = self._clock()
        while True:
            await self._waited()
            await ask()
            now_s = self._clock()
            outcome = self._outcome(now_s)
            if outcome is None and now_s - told_s >= SILENT * self._interval_s:
                outcome = silence() or self._silence()
            if outcome is not None:
                told_s = now_s
                emit(outcome)

    def _outcome(self, now_s: float) -> BatteryState | DeviceError | None:
        """What is to be said now; None: nothing new."""
        wrong, self._wrong = self._wrong, None
        if wrong is not None:
            return wrong
        try:
            return self._state(now_s)
        except DeviceError as error:
            return error

    async def _waited(self) -> None:
        """Until something has come, or for an interval."""
        try:
            async with asyncio.timeout(self._interval_s):
                await self.changed.wait()
        except TimeoutError:
            return
        await asyncio.sleep(GATHER_S)
        self.changed.clear()

    def _silence(self) -> DeviceError:
        if not self._broker.connected:
            return DeviceUnavailable(f"{self._name}: {self._broker.fault or 'the MQTT broker is not connected'}")
        told = ", only a retained copy of unknown age" if self._heard and not self._values else ""
        return DeviceUnavailable(f"{self._name}: nothing for {SILENT * self._interval_s:.0f} s{told}")
