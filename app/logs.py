"""Logging: to standard output always, to a rotated file where one is configured; secrets to neither."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable
from logging.handlers import RotatingFileHandler

from app.config import LogConfig

FORMAT = "%(asctime)s %(levelname)-7s %(message)s"
MAX_LINE = 4000
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class PublicFormatter(logging.Formatter):
    """Every record is one line that the program wrote: no secrets, nothing endless, no lines that a device made up."""

    def __init__(self, public: Callable[[str], str]) -> None:
        super().__init__(FORMAT)
        self._public = public

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The line itself, without what an exception adds below it."""
        line = self._public(super().formatMessage(record))  # before it is cut: half a secret would not be known
        return _CONTROL.sub(lambda sign: repr(sign[0])[1:-1], line[:MAX_LINE])

    def format(self, record: logging.LogRecord) -> str:
        """The whole text, also of an exception."""
        return self._public(super().format(record))


def setup(config: LogConfig, public: Callable[[str], str] = str) -> None:
    """Send our own lines, and other libraries' warnings, to the configured places, each as ``public`` shows it.

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
    for handler in handlers:
        handler.setFormatter(PublicFormatter(public))
    logging.basicConfig(level=logging.WARNING, handlers=handlers, force=True)
    logging.getLogger("app").setLevel(config.level)
    logging.getLogger("mqtt").setLevel(logging.ERROR)  # aiomqtt; its errors reach us as exceptions


def quiet() -> None:
    """No log lines: the command tells all there is in its own words."""
    logging.basicConfig(level=logging.CRITICAL, force=True)
