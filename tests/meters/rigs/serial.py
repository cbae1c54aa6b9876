"""Meters whose eye, port or bus is reached over the network: Tibber's bridge, P1 over TCP, Modbus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from app.checks import running
from tests.conftest import until
from tests.meters.contract import SILENT_CASES, Case, Rig
from tests.meters.fakes.modbus import Plain, float32
from tests.meters.fakes.p1 import Dongle, household, stamp, telegram
from tests.meters.fakes.sml import WATT_HOUR, Entry, frame, text
from tests.meters.hostile import HEAD, page
from tests.meters.rigs.http import HttpDevice

START = 100_000
NO_LOGIN = dict.fromkeys((Case.UNAUTHORISED, Case.FORBIDDEN), "the protocol has no login")


class Sml(HttpDevice):
    """A bridge with SML behind it."""

    seconds = START

    def _document(self, path: str, writer: asyncio.StreamWriter) -> None:
        case = self._case
        if case not in SILENT_CASES:
            self.seconds += 2
        power = Entry("16.7.0", round(self._power_w * 100), scaler=-2)
        counted = 0 if case is Case.RESTART else 5
        counter = Entry("1.8.0", counted, WATT_HOUR)
        match case:
            case Case.MISSING:
                power = Entry("32.7.0", 2300, scaler=-1)
            case Case.NULL:
                power = Entry("16.7.0", raw=b"\x01")
            case Case.TEXT:
                power = Entry("16.7.0", raw=text(b"n/a"))
            case Case.RESTART:
                power = Entry("16.7.0", 0)
        body = frame(counter, power, seconds=START - 3600 if case is Case.OLD else self.seconds)
        self._send(writer, body)

    def _send(self, writer: asyncio.StreamWriter, body: bytes) -> None:
        answer = page(body, HEAD + b"Connection: close\r\n")
        if self._case is Case.RESET:
            writer.write(answer[:-9])
            writer.transport.abort()
        else:
            writer.write(answer)


class D0(Sml):
    """A bridge with the text of D0 behind it."""

    def _document(self, path: str, writer: asyncio.StreamWriter) -> None:
        case = self._case
        if case not in SILENT_CASES:
            self.seconds += 2
        seconds = START - 3600 if case is Case.OLD else self.seconds
        shown = {Case.NULL: "", Case.NAN: "nan", Case.TEXT: "n/a", Case.RESTART: "0"}.get(case, f"{self._power_w:.2f}")
        power = "" if case is Case.MISSING else f"1-0:16.7.0*255({shown}*W)\r\n"
        energy = "0" if case is Case.RESTART else "5"
        lines = f"1-0:1.8.0*255({energy}*kWh)\r\n{power}0-0:96.8.0*255({seconds:08X})\r\n"
        self._send(writer, f"/TST5METER\r\n\r\n{lines}!\r\n".encode())


def _bridge(name: str, kind: type[Sml], missing: dict[Case, str]) -> Rig:
    keys = {"type": "tibber", "host": "{at}", "password": "AD56-54BA", "interval_s": 0.2}

    @asynccontextmanager
    async def serve(_folder: Path) -> AsyncIterator[HttpDevice]:
        device = kind(keys, lambda _power, _stamp: {}, None)
        try:
            yield device
        finally:
            await device.close()

    quick = {"app.meters.tibber.SHORTEST_S": 0.2, "app.meters.tibber.LONGEST_PAUSE_S": 1.0}
    return Rig(name, ("tibber",), serve, missing, quick)


class P1(Dongle):
    """Sends a telegram again and again, as the case says."""

    def __init__(self) -> None:
        super().__init__()
        self.section: dict[str, Any] = {"type": "dsmr", "host": self.host, "interval_s": 0.2}
        self._case, self._power_w, self._seconds = Case.SILENCE, 0.0, START
        self._sent = 0

    async def show(self, case: Case, power_w: float) -> None:
        """Behave so from now on."""
        self._case, self._power_w = case, power_w
        self.turned_away = case is Case.BUSY
        await (self.close() if case is Case.REFUSED else self.listen())
        if case is Case.BUSY:
            self.drop()
        before = self._sent
        if case in SILENT_CASES:
            await until(lambda: self._sent >= before + 3)

    async def run(self) -> None:
        """Send for ever."""
        while True:
            await asyncio.sleep(0.1)
            if self.clients and self._case not in (Case.SILENCE, Case.REFUSED):
                with suppress(OSError):
                    await self._behave()
                    self._sent += 1

    async def _behave(self) -> None:
        case = self._case
        if case not in SILENT_CASES:
            self._seconds += 1
        whole = household(self._power_w, START - 3600 if case is Case.OLD else self._seconds, **self._instead(case))
        match case:
            case Case.MISSING:
                await self.send(telegram({"0-0:1.0.0": stamp(self._seconds), "1-0:1.7.0": "00.500*kW"}))
            case Case.DRIP:
                for byte in b"/" + b"x" * 50:
                    await self.send(bytes([byte]))
                    await asyncio.sleep(0.02)
            case Case.RESET:
                await self.send(whole[:-20])
                self.drop()
            case Case.HUGE:
                await self.send(b"1-0:1.7.0(" * 10_000)
            case Case.HTML:
                await self.send(b"<!doctype html><title>Log in</title>\r\n")
            case _:
                await self.send(whole)

    @staticmethod
    def _instead(case: Case) -> dict[str, str]:
        shown = {Case.NULL: "", Case.NAN: "nan*kW", Case.TEXT: "none*kW"}.get(case)
        if case is Case.RESTART:
            nothing = {f"1-0:{number}": "0*kWh" for number in ("1.8.1", "1.8.2", "2.8.1", "2.8.2")}
            return {**nothing, "1-0:1.7.0": "0*kW", "1-0:2.7.0": "0*kW"}
        return {} if shown is None else {"1-0:1.7.0": shown}


@asynccontextmanager
async def _p1(_folder: Path) -> AsyncIterator[P1]:
    dongle = P1()
    async with running(dongle.run()):
        try:
            yield dongle
        finally:
            await dongle.close()


class Bus(Plain):
    """A meter of one phase that speaks Modbus."""

    def __init__(self) -> None:
        super().__init__({})
        self.section: dict[str, Any] = {
            "type": "modbus", "host": f"127.0.0.1:{self.port}", "model": "sdm120", "interval_s": 0.2, "timeout_s": 0.5,
        }  # fmt: skip

    async def show(self, case: Case, power_w: float) -> None:
        """Behave so from now on."""
        instead = {Case.NAN: float("nan"), Case.NULL: float("inf"), Case.RESTART: 0.0}
        power = float32(instead.get(case, power_w))
        gone = case in (Case.MISSING, Case.NOT_FOUND)
        self.registers = {} if gone else dict(enumerate(power, 0x0C))
        self.registers |= dict(enumerate(float32(0.0 if case is Case.RESTART else 5.0) + float32(0.0), 0x48))
        self.refusal = {Case.BUSY: 6, Case.BROKEN: 4}.get(case)
        self.behaviour = {Case.SILENCE: _silent, Case.DRIP: _drip, Case.RESET: _broken_off, Case.HUGE: _huge}.get(case)
        await (self.close() if case is Case.REFUSED else self.listen())


async def _silent(_writer: asyncio.StreamWriter, _answer: bytes) -> None:
    await asyncio.sleep(3600)


async def _drip(writer: asyncio.StreamWriter, answer: bytes) -> None:
    for byte in answer:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.2)


async def _broken_off(writer: asyncio.StreamWriter, answer: bytes) -> None:
    writer.write(answer[:-2])
    await writer.drain()
    writer.transport.abort()


async def _huge(writer: asyncio.StreamWriter, answer: bytes) -> None:
    while True:
        writer.write(answer[:7] + b"\x04\xfa" + b"\x00" * 60_000)
        await writer.drain()


@asynccontextmanager
async def _bus(_folder: Path) -> AsyncIterator[Bus]:
    device = Bus()
    try:
        yield device
    finally:
        await device.close()


RIGS = [
    _bridge("tibber sml", Sml, {Case.NAN: "its numbers are integers"}),
    _bridge("tibber d0", D0, {}),
    Rig(
        "dsmr",
        ("dsmr",),
        _p1,
        {
            **NO_LOGIN,
            Case.NOT_FOUND: "a stream has no addresses; a register that is gone is a missing one",
            Case.BROKEN: "a meter tells of no fault of its own",
            Case.HTML: "whatever is no telegram is passed over, until it is told that none comes",
        },
        {"app.meters.dsmr.FIRST_S": 1.0, "app.meters.push.LONGEST_PAUSE_S": 0.5, "app.meters.push.FIRST_PAUSE_S": 0.1},
    ),
    Rig(
        "modbus",
        ("modbus",),
        _bus,
        {
            **NO_LOGIN,
            Case.TEXT: "registers hold numbers",
            Case.HTML: "what is no answer of the protocol is no answer: a time-out",
            **dict.fromkeys(SILENT_CASES, "its answers carry no time of the value"),
        },
        {"app.meters.modbus.LONGEST_PAUSE_S": 0.5},
    ),
]
