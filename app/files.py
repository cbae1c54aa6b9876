"""Small files that must never be half written, and those that cannot be read."""

from __future__ import annotations

import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)


def replace_file(path: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Replace a file as a whole, and its folder where that is missing; after a power cut it is the old or the new one.

    ``mode``: its rights, less the umask. Raises OSError.
    """
    temporary = path.with_suffix(".tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def put_aside(path: Path, why: object, instead: str) -> None:
    """Keep a file that cannot be read beside its place, and log ``why``, and what is done ``instead``."""
    kept = path.with_suffix(".damaged")
    log.warning("cannot read %s (%s); %s, the file is kept as %s", path, why, instead, kept.name)
    try:
        os.replace(path, kept)
    except OSError:
        log.warning("cannot keep %s", kept)
