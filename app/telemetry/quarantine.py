"""What cannot be sent: lines that the server refuses, and the pieces of damaged files. Kept for people, bounded."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

log = logging.getLogger(__name__)

MAX_B = 1_000_000  # then the file becomes the old one, in place of the one before
DAMAGED_FILES = 20


class Quarantine:
    """``quarantine.lp`` with the server's reasons as comments, and the folder ``damaged``. Raises nothing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def refused(self, lines: Sequence[bytes], why: str, utc_s: float) -> None:
        """Keep lines that the server cannot use."""
        path = self._folder / "quarantine.lp"
        said = f"# {datetime.fromtimestamp(utc_s, UTC):%Y-%m-%dT%H:%M:%SZ} {why}\n".encode()
        content = (said + b"".join(line + b"\n" for line in lines))[:MAX_B]
        try:
            if path.exists() and path.stat().st_size + len(content) > MAX_B:
                os.replace(path, path.with_name("quarantine.old.lp"))
            with path.open("ab") as file:
                file.write(content)
        except OSError as error:
            log.warning("%s cannot be written (%s): %d refused lines are not kept", path, error.strerror, len(lines))

    def damaged(self, name: str, pieces: Sequence[bytes]) -> None:
        """Keep what a file holds besides its whole batches, once."""
        path = self._folder / "damaged" / name
        with suppress(OSError):
            if not pieces or path.exists():
                return
        log.warning("the spool's file %s is damaged: %d bytes of it are not sent", name, sum(map(len, pieces)))
        with suppress(OSError):
            path.parent.mkdir(exist_ok=True)
            if len(list(path.parent.iterdir())) < DAMAGED_FILES:
                path.write_bytes(b"".join(pieces))
