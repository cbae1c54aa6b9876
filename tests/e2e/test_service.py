"""The real program and whoever supervises it."""

from __future__ import annotations

import signal

import pytest

from tests.conftest import until
from tests.e2e.conftest import Installation
from tests.notified import Listener, listener

__all__ = ["listener"]
pytestmark = pytest.mark.e2e


async def test_the_program_tells_when_it_is_ready_that_it_lives_and_that_it_ends(
    installation: Installation, listener: Listener
) -> None:
    installation.app.environment["NOTIFY_SOCKET"] = listener.socket.getsockname()
    await installation.app.start()
    await until(lambda: listener.listen().count("WATCHDOG=1") >= 4, 30.0)
    assert listener.heard[:2] == ["READY=1", "WATCHDOG=1"]
    assert "STOPPING=1" not in listener.heard
    assert await installation.app.stop(signal.SIGTERM) == 0
    assert listener.listen().count("STOPPING=1") == listener.heard.count("READY=1") == 1
