"""Ends a process whose control loop stands still: its supervisor starts it anew, its dead-man wills fire."""

from __future__ import annotations

import faulthandler
import os
import sys
import threading
from collections.abc import Callable

from app.notify import Supervisor

STALLED_S = 8.0
CHECK_S = 1.0


class Watchdog:
    """A thread that wants to hear of a turn of the loop every few seconds.

    It counts its own checks and reads no clock: a process that was stopped as a whole, and goes on, is not hanging.
    The supervisor hears of the turns from the loop itself, so that it misses them even where this thread hangs too.
    """

    def __init__(
        self,
        *,
        stalled_s: float = STALLED_S,
        check_s: float = CHECK_S,
        end: Callable[[int], None] = os._exit,
        supervisor: Supervisor | None = None,
    ) -> None:
        self._patience = round(stalled_s / check_s)
        self._check_s = check_s
        self._end = end
        self._supervisor = supervisor or Supervisor.of()
        self._turns = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def turned(self) -> None:
        """The loop has turned. The first time, the watch begins."""
        self._turns += 1
        if self._turns == 1:
            self._thread.start()
            self._supervisor.ready()
        self._supervisor.alive()

    def stop(self) -> None:
        """The loop is going to end, and that is meant."""
        self._stop.set()
        self._supervisor.stopping()

    def _watch(self) -> None:
        seen, missed = self._turns, 0
        while not self._stop.wait(self._check_s):
            missed = missed + 1 if self._turns == seen else 0
            seen = self._turns
            if missed >= self._patience:
                self._bark()
                return

    def _bark(self) -> None:
        """Say where it stands, without logging: whoever hangs may hold its lock."""
        waited_s = self._patience * self._check_s
        sys.stderr.write(
            f"the control loop has not turned for {waited_s:.0f} s: ending the process to be started anew\n"
        )
        faulthandler.dump_traceback(all_threads=True)
        sys.stderr.flush()
        self._end(1)
