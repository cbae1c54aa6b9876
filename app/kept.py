"""What must outlive the program, in a file each: read at the start, replaced as a whole when it has changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from app.files import put_aside, replace_file

log = logging.getLogger(__name__)

SAVE_EVERY_S = 60.0
T = TypeVar("T")


class Kept(Generic[T]):
    """One file. ``kind`` is what pydantic makes of its JSON; ``what`` it holds, for the log; ``mode``: its rights."""

    def __init__(self, path: Path, kind: Any, nothing: T, what: str, mode: int = 0o666) -> None:
        self._path, self._nothing, self._what, self._mode = path, nothing, what, mode
        self._json: TypeAdapter[T] = TypeAdapter(kind)
        self._lock = asyncio.Lock()
        self._saved = b""
        self._failing = False

    def read(self) -> T:
        """What earlier runs left; a damaged file is kept aside."""
        try:
            self._saved = self._path.read_bytes()
            return self._json.validate_json(self._saved)
        except FileNotFoundError:
            return self._nothing
        except (OSError, ValidationError) as error:
            why = "it is no such file" if isinstance(error, ValidationError) else error.strerror
            put_aside(self._path, why, "starting anew")
            return self._nothing

    async def run(self, value: Callable[[], T]) -> None:
        """Save what has changed, once a minute, for ever."""
        while True:
            await asyncio.sleep(SAVE_EVERY_S)
            await self.save(value())

    async def save(self, value: T) -> None:
        """Save what has changed."""
        content = self._json.dump_json(value, indent=1)
        async with self._lock:
            if content != self._saved:
                await asyncio.to_thread(self._write, content)

    def _write(self, content: bytes) -> None:
        try:
            replace_file(self._path, content, mode=self._mode)
        except OSError as error:
            if not self._failing:
                log.error("cannot save the %s to %s: %s; trying again", self._what, self._path, error.strerror)
            self._failing = True
        else:
            self._saved, self._failing = content, False
