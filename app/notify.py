"""Tells the supervisor how we are, in the words of systemd's sd_notify(3): datagrams to $NOTIFY_SOCKET."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

EVERY_S = 1.0  # signs of life, at most


class Supervisor:
    """Whoever waits for our signs of life; nobody where ``address`` is empty. Nothing here raises or waits."""

    def __init__(self, address: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address  # @: in the abstract name space
        self._clock, self._told_s = clock, float("-inf")
        self._socket: socket.socket | None = None
        if address[:1] in ("/", "@"):
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> Supervisor:
        """The one that has started us."""
        return cls(environment.get("NOTIFY_SOCKET", ""))

    def ready(self) -> None:
        """The start is over."""
        self._tell("READY=1")

    def alive(self) -> None:
        """The loop turns."""
        now_s = self._clock()
        if now_s - self._told_s >= EVERY_S:
            self._told_s = now_s
            self._tell("WATCHDOG=1")

    def stopping(self) -> None:
        """The end has begun."""
        self._tell("STOPPING=1")

    def _tell(self, what: str) -> None:
        if self._socket is not None:
            with suppress(OSError, ValueError):  # nobody listens, or too slowly: it will have its reasons
                self._socket.sendto(what.encode(), self._address)
