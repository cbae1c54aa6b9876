"""The other end of $NOTIFY_SOCKET."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest


@dataclass
class Listener:
    """Hears what a program tells its supervisor."""

    socket: socket.socket
    heard: list[str] = field(default_factory=list)

    def listen(self) -> list[str]:
        with suppress(BlockingIOError):
            while True:
                self.heard.append(self.socket.recv(100).decode())
        return self.heard


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "notify")[:100])
        end.setblocking(False)
        yield Listener(end)
