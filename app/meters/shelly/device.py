"""What a Shelly is, and what it is asked for its power: one for Gen1, one for all since."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from app.meters.shelly.parse import (
    UNKNOWN,
    Channels,
    Counters,
    Measured,
    Unsuitable,
    complaints,
    parse_em,
    parse_em1,
    parse_em1_counters,
    parse_em_counters,
    parse_gen1,
    parse_switch,
    reversed_channels,
)
from app.meters.shelly.rpc import NoSuchComponent
from app.model import DeviceDataError

Call = Callable[[str, int], Awaitable[Any]]
Tell = Callable[[str], None]  # what is to stand in the log once


class Device(Protocol):
    """A device of a known kind. Everything raises `DeviceError`."""

    async def measure(self) -> Measured:
        """Power and phases now, and the counters where they come with it."""

    async def counters(self) -> Counters:
        """The counters where they are asked for apart."""


class Gen1Device:
    """One request tells everything. ``status`` asks it."""

    def __init__(self, status: Callable[[], Awaitable[Any]], channels: Channels | None) -> None:
        self._status, self._channels = status, channels

    async def measure(self) -> Measured:
        """Out of ``/status``."""
        return parse_gen1(await self._status(), self._channels)

    async def counters(self) -> Counters:
        """They come with the power."""
        return UNKNOWN


class RpcDevice:
    """A component (``EM``, ``EM1``, ``PM1``, ``Switch``) with its channels; ``phases`` picks some of an EM."""

    def __init__(self, call: Call, name: str, channels: Channels, phases: Channels | None, tell: Tell) -> None:
        self.name = name
        self._call, self._channels, self._phases, self._tell = call, channels, phases, tell

    async def measure(self) -> Measured:
        """Out of ``GetStatus``, channel by channel."""
        statuses = [await self._call(f"{self.name}.GetStatus", channel) for channel in self._channels]
        for status in statuses:
            for complaint in complaints(status):
                self._tell(f"reports {complaint}")
        match self.name:
            case "EM":
                return *parse_em(statuses[0], self._phases), UNKNOWN
            case "EM1":
                return *parse_em1(statuses), UNKNOWN
        return parse_switch(statuses, self.name)

    async def counters(self) -> Counters:
        """Out of ``EMData`` or ``EM1Data``; the others tell them with their power."""
        if self.name not in ("EM", "EM1"):
            return UNKNOWN
        asked = [await self._call(f"{self.name}Data.GetStatus", channel) for channel in self._channels]
        return parse_em_counters(asked[0], self._phases) if self.name == "EM" else parse_em1_counters(asked)

    async def look(self) -> None:
        """Say which channels the device turns around itself: its power is right as it is."""
        for channel in self._channels:
            try:
                turned = reversed_channels(await self._call(f"{self.name}.GetConfig", channel))
            except DeviceDataError:
                continue
            if turned:
                self._tell(f"turns {turned} around itself (reverse): its power is taken as it is")


async def rpc_device(call: Call, about: dict[str, Any], chosen: Channels | None, who: str, tell: Tell) -> RpcDevice:
    """The metering component of a device, by what it answers. Raises `Unsuitable` where there is none."""
    single = about.get("profile") == "monophase"
    channels = chosen or ((0, 1, 2) if single else (0,))
    candidates = [] if single else [RpcDevice(call, "EM", (0,), chosen, tell)]
    candidates += [RpcDevice(call, name, channels, None, tell) for name in ("EM1", "PM1", "Switch")]
    for device in candidates:
        try:
            await device.measure()
        except NoSuchComponent:
            continue
        except Unsuitable:
            raise
        except DeviceDataError:  # it is this one, with a value that cannot be used now
            pass
        await device.look()
        return device
    raise Unsuitable(f"{who} has no grid metering on channel {channels[0]}: use an EM or 3EM, or another meter.channel")
