"""Tells others of the price's mode: a status file, and a command after each change. Control never waits for either."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator, model_validator

from app import program
from app.fields import CommandLine, Section
from app.model import Fault, Gate, Mode, PriceState
from app.program import ProgramError

log = logging.getLogger(__name__)

RETRY_S = 60.0  # a status file that could not be written


class ModeHookConfig(Section):
    """Who is told of the mode that the price asks for: `limit`, `open` or `shutdown`."""

    status_file: Path | None = Field(None, description="holds `normal` while export is open, else `zero`")
    command: CommandLine = Field((), description="run after each change: a program and its arguments, without a shell")
    timeout_s: float = Field(30.0, gt=0, le=3600, description="the command is killed after so long")

    @field_validator("status_file")
    @classmethod
    def _a_file(cls, value: Path | None) -> Path | None:
        if value is not None and not value.name:
            raise ValueError(f"{str(value)!r} is a folder: name a file in it")
        return value

    @field_validator("status_file", mode="before")
    @classmethod
    def _none_if_empty(cls, value: Any) -> Any:
        return value or None

    @model_validator(mode="after")
    def _somebody(self) -> ModeHookConfig:
        if not self.command and self.status_file is None:
            raise ValueError("give status_file, command or both")
        return self


@dataclass(frozen=True, slots=True)
class _Change:
    """A mode, and what was known when it began."""

    mode: Mode
    reason: str
    export_value_c: float | None
    import_price_c: float | None

    @property
    def status(self) -> str:
        """The whole content of the status file."""
        return "normal" if self.mode is Mode.OPEN else "zero"

    def as_environment(self, site: str) -> dict[str, str]:
        return {
            "ZERO_EXPORT_MODE": self.mode.value,
            "ZERO_EXPORT_STATUS": self.status,
            "ZERO_EXPORT_PRICE_C": _number(self.export_value_c),
            "ZERO_EXPORT_IMPORT_PRICE_C": _number(self.import_price_c),
            "ZERO_EXPORT_REASON": self.reason,
            "ZERO_EXPORT_SITE": site,
        }


class ModeHook:
    """Told the gate again and again, it passes on what changes; what comes too fast is passed on as the newest."""

    def __init__(self, config: ModeHookConfig, site: str) -> None:
        self._config, self._site = config, site
        self._newest: _Change | None = None
        self._written: _Change | None = None  # the last that the file was to show, for the command to follow
        self._done: Mode | None = None  # with which the command has last succeeded
        self._changed, self._turn = asyncio.Event(), asyncio.Event()
        self._file_fault: Fault | None = None
        self._command_fault: Fault | None = None
        if config.command:
            program.look_for(config.command, "price.on_change.command")

    def observe(self, gate: Gate | None, price: PriceState | None) -> None:
        """Take in one turn of the loop."""
        if gate is None or (self._newest is not None and self._newest.mode is gate.mode):
            return
        value_c, import_c = (None, None) if price is None else (price.export_value_c, price.import_price_c)
        self._newest = _Change(gate.mode, gate.reason, value_c, import_c)
        self._changed.set()

    def faults(self) -> tuple[Fault, ...]:
        """What could not be told; over with the next success."""
        return tuple(fault for fault in (self._file_fault, self._command_fault) if fault is not None)

    async def run(self) -> None:
        """Pass on each change, for ever: first to the file, which the command may read."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._write_files())
            group.create_task(self._run_commands())

    async def _write_files(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(RETRY_S if self._file_fault is not None else None):
                    await self._changed.wait()
            self._changed.clear()
            change, path = self._newest, self._config.status_file
            if change is None:
                continue
            if path is not None:
                await self._write(path, change.status)
            if change is not self._written:
                self._written = change
                self._turn.set()

    async def _write(self, path: Path, status: str) -> None:
        try:
            await asyncio.to_thread(_replace, path, status)
        except OSError as error:
            why = error.strerror or type(error).__name__
            if self._file_fault is None:
                log.warning("price.on_change.status_file: %s cannot be written: %s", path, why)
            self._file_fault = Fault(
                "mode_file",
                f"The status file {path} cannot be written, so it may show an old state: {why}.",
                "Let this program write into its folder (in a container, mount the folder and not the file), or change "
                "price.on_change.status_file.",
                _since(self._file_fault),
            )
        else:
            self._file_fault = None

    async def _run_commands(self) -> None:
        while True:
            await self._turn.wait()
            self._turn.clear()
            change, command = self._written, self._config.command
            if change is None or not command or change.mode is self._done:
                continue  # it has come back to the mode that the command knows
            self._done = None
            try:
                await program.run(command, change.as_environment(self._site), self._config.timeout_s)
            except ProgramError as error:
                log.warning("price.on_change.command: %s %s; the mode is %s", command[0], error, change.mode)
                self._command_fault = Fault(
                    "mode_command",
                    f"The command {command[0]}, run as the mode became {change.mode}, {error}.",
                    "Run it by hand to see why; here it is run again with the next change of the mode.",
                    _since(self._command_fault),
                )
            else:
                self._done, self._command_fault = change.mode, None


def _since(fault: Fault | None) -> float:
    """When a fault that lasts has begun."""
    return time.time() if fault is None or fault.since_utc_s is None else fault.since_utc_s


def _replace(path: Path, text: str) -> None:
    """Write the file so that nobody ever reads half of it."""
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        temporary.write_text(text, encoding="ascii")
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise


def _number(value: float | None) -> str:
    """Nothing where it is unknown."""
    return "" if value is None or not math.isfinite(value) else f"{value + 0.0:g}"
