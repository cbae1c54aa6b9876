"""A process whose loop stands still is ended; one that merely was stopped as a whole is not."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

HANGS = """
import time
from app.watchdog import Watchdog
dog = Watchdog(stalled_s=0.6, check_s=0.1)
for _ in range(10):
    dog.turned()
    time.sleep(0.1)
print("hanging", flush=True)
time.sleep(30)
"""
LIVES = """
import time
from app.watchdog import Watchdog
dog = Watchdog(stalled_s=0.6, check_s=0.1)
print("living", flush=True)
for _ in range(int({turns})):
    dog.turned()
    time.sleep(0.1)
dog.stop()
time.sleep({after})
print("ended", flush=True)
"""


def process(script: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    )


def test_a_hanging_process_ends_and_says_where_it_stood() -> None:
    out, error = process(HANGS).communicate(timeout=60)
    assert "hanging" in out
    assert "has not turned" in error
    assert 'File "<string>", line 9' in error, "the stack of the thread that hangs"


def test_a_turning_loop_is_left_alone_and_so_is_one_that_is_closing() -> None:
    running = process(LIVES.format(turns=15, after=1.5))
    out, error = running.communicate(timeout=60)
    assert (running.returncode, error) == (0, "")
    assert "ended" in out


def test_a_process_that_was_stopped_and_goes_on_is_not_hanging() -> None:
    running = process(LIVES.format(turns=20, after=0))
    assert running.stdout is not None
    assert running.stdout.readline() == "living\n"
    running.send_signal(signal.SIGSTOP)
    time.sleep(2.0)
    running.send_signal(signal.SIGCONT)
    out, error = running.communicate(timeout=60)
    assert (running.returncode, error) == (0, "")
    assert "ended" in out
