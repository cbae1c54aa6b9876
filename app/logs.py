"""Logging: to standard output always, to a rotated file where one is configured."""

from __future__ import annotations

import logging
import sys
from logging.handlers import RotatingFileHandler

from app.config import LogConfig

FORMAT = "%(asctime)s %(levelname)-7s %(message)s"


def setup(config: LogConfig) -> None:
    """Send our own lines, and other libraries' warnings, to the configured places.

    Raises OSError when the log file cannot be opened.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stdout)]
    if config.file is not None:
        config.file.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(
            RotatingFileHandler(
                config.file, maxBytes=int(config.max_mb * 1e6), backupCount=config.backups, encoding="utf-8"
            )
        )
    logging.basicConfig(level=logging.WARNING, format=FORMAT, handlers=handlers, force=True)
    logging.getLogger("app").setLevel(config.level)
    logging.getLogger("mqtt").setLevel(logging.ERROR)  # aiomqtt; its errors reach us as exceptions


def quiet() -> None:
    """No log lines: the command tells all there is in its own words."""
    logging.basicConfig(level=logging.CRITICAL, force=True)
