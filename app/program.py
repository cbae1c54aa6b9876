"""Runs a program that people have named: bounded in time, and told nothing of our own secrets."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress

log = logging.getLogger(__name__)

LONGEST_TEXT = 2000  # an environment takes no endless values
INHERITED = ("PATH", "HOME", "LANG", "TZ")  # of our environment; the rest may hold secrets


class ProgramError(Exception):
    """A program could not be run to a good end; the text says why, without its arguments: they may hold secrets."""


def look_for(command: Sequence[str], key: str) -> None:
    """Log a program that is not there, at the start and not only when it is needed. ``key``: where it is configured."""
    if shutil.which(command[0]) is None:
        log.warning("%s: %s is not there or cannot be run: check its path and rights", key, command[0])


async def run(
    command: Sequence[str], environment: Mapping[str, str], timeout_s: float, *, stdin: bytes | None = None
) -> None:
    """Run it to its end, without a shell; kill it, and what it started, where that takes too long.

    Raises `ProgramError`.
    """
    kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            env={**kept, **{name: _harmless(value) for name, value in environment.items()}},
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise ProgramError(f"cannot be started: {getattr(error, 'strerror', None) or error}") from None
    try:
        async with asyncio.timeout(timeout_s):
            await process.communicate(stdin)
    except TimeoutError:
        raise ProgramError(f"was not done within {timeout_s:g} s and was killed") from None
    finally:
        await _end(process)
    if process.returncode != 0:
        raise ProgramError(f"ended with exit code {process.returncode}")


def _harmless(text: str) -> str:
    """What an environment can hold."""
    return text[:LONGEST_TEXT].replace("\0", "").encode("utf-8", "replace").decode()


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await process.wait()
