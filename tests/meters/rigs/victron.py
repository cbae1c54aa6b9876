"""A GX device, over its MQTT at a real Mosquitto and over Modbus TCP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.conftest import Mosquitto, running_mosquitto
from tests.meters.contract import Case, Rig
from tests.meters.fakes.venus import FakeModbus, FakeVenus

PAYLOADS = {
    Case.MISSING: "{}",
    Case.NAN: '{"value": NaN}',
    Case.TEXT: '{"value": "n/a"}',
    Case.HTML: "<!doctype html>",
    Case.RESET: '{"value": 77',
    Case.HUGE: " " * 100_000,
}


class _Mqtt:
    """Publishes what changes and what is asked for."""

    def __init__(self, mosquitto: Mosquitto, venus: FakeVenus) -> None:
        self._mosquitto, self._venus = mosquitto, venus
        self.section: dict[str, Any] = {
            "type": "victron", "mqtt": {"host": f"{mosquitto.host}:{mosquitto.port}"}, "interval_s": 0.5, "phases": 1,
        }  # fmt: skip

    async def show(self, case: Case, power_w: float) -> None:
        """Behave so from now on."""
        venus = self._venus
        venus.mute, venus.gone = case is Case.SILENCE, False
        venus.instead = PAYLOADS.get(case)
        if case is Case.REFUSED:
            await self._mosquitto.stop()
            return
        if self._mosquitto.process is None or self._mosquitto.process.returncode is not None:
            await self._mosquitto.start()
        if case is Case.NOT_FOUND:
            await venus.vanish()
        elif case is Case.NULL:
            await venus.set(L1=None)
        elif case in (Case.GOOD, Case.EXPORT):
            await venus.set(L1=power_w)


@asynccontextmanager
async def _mqtt(folder: Path) -> AsyncIterator[_Mqtt]:
    async with running_mosquitto(folder) as mosquitto, FakeVenus(mosquitto).serve() as venus:
        yield _Mqtt(mosquitto, venus)


class _Modbus:
    """Answers for its registers."""

    def __init__(self, fake: FakeModbus) -> None:
        self._fake = fake
        self.section: dict[str, Any] = {
            "type": "victron", "transport": "modbus", "host": f"127.0.0.1:{fake.port}", "interval_s": 0.2,
            "timeout_s": 0.5, "scale": 0.25,
        }  # fmt: skip

    async def show(self, case: Case, power_w: float) -> None:
        """Behave so from now on; registers hold whole watts, so they count quarters here."""
        fake = self._fake
        habits = {Case.SILENCE: "hang", Case.RESET: "reset", Case.DRIP: "drip", Case.HUGE: "flood"}
        before, fake.habit = fake.habit, habits.get(case, "")
        fake.error = {Case.MISSING: 2, Case.NOT_FOUND: 2, Case.BUSY: 6, Case.BROKEN: 4}.get(case)
        fake.powers = [0, 0, 0] if case is Case.RESTART else [round(4.0 * power_w), 0, 0]
        if case is Case.REFUSED:
            await fake.close()
        else:
            await fake.listen()
        if before:
            fake.drop()


@asynccontextmanager
async def _modbus(_folder: Path) -> AsyncIterator[_Modbus]:
    async with FakeModbus().serve() as fake:
        yield _Modbus(fake)


NUMBERS = "registers are numbers"
RIGS = [
    Rig(
        "victron",
        ("victron",),
        _mqtt,
        {
            Case.UNAUTHORISED: "the login is the broker's: tests/test_broker.py",
            Case.FORBIDDEN: "a denied topic is silence",
            Case.BUSY: "a broker has no such answer",
            Case.BROKEN: "a broker has no such answer",
            Case.DRIP: "a message is whole or none",
            Case.DUPLICATE: "its messages carry no time of the value",
            Case.OLD: "its messages carry no time of the value",
            Case.RESTART: "what is not there after a restart is null",
        },
    ),
    Rig(
        "victron modbus",
        ("victron",),
        _modbus,
        {
            Case.NULL: NUMBERS,
            Case.NAN: NUMBERS,
            Case.TEXT: NUMBERS,
            Case.HTML: NUMBERS,
            Case.UNAUTHORISED: "no login in this protocol",
            Case.FORBIDDEN: "no login in this protocol",
            Case.DUPLICATE: "registers carry no time",
            Case.OLD: "registers carry no time",
        },
    ),
]
