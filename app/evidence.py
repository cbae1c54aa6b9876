"""The evidence of excursions in a file, so that it outlives the program."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from app.excursions import Evidence

log = logging.getLogger(__name__)

SAVE_EVERY_S = 60.0
_JSON = TypeAdapter(Evidence)


class EvidenceStore:
    """One file, replaced as a whole when something has changed, about once a minute and at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = asyncio.Lock()
        self._saved = b""
        self._failing = False

    def read(self) -> Evidence:
        """What earlier runs left; a damaged file is kept aside."""
        try:
            self._saved = self._path.read_bytes()
            return _JSON.validate_json(self._saved)
        except FileNotFoundError:
            return Evidence()
        except (OSError, ValidationError) as error:
            kept = self._path.with_suffix(".damaged")
            why = "it is no such file" if isinstance(error, ValidationError) else error.strerror
            log.warning("cannot read %s (%s); counting anew, the file is kept as %s", self._path, why, kept.name)
            try:
                os.replace(self._path, kept)
            except OSError:
                log.warning("cannot keep %s", kept)
            return Evidence()

    async def run(self, evidence: Callable[[], Evidence]) -> None:
        """Save what has changed, once a minute, for ever."""
        while True:
            await asyncio.sleep(SAVE_EVERY_S)
            await self.save(evidence())

    async def save(self, evidence: Evidence) -> None:
        """Save what has changed."""
        content = _JSON.dump_json(evidence, indent=1)
        async with self._lock:
            if content != self._saved:
                await asyncio.to_thread(self._write, content)

    def _write(self, content: bytes) -> None:
        temporary = self._path.with_suffix(".tmp")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self._path)
        except OSError as error:
            if not self._failing:
                log.error("cannot save the excursions to %s: %s; trying again", self._path, error.strerror)
            self._failing = True
        else:
            self._saved, self._failing = content, False
