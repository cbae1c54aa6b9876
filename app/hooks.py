"""The ways to tell somebody of a fault: a program that is run, and a URL that is called."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import signal
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, Protocol
from urllib.parse import urlsplit

import aiohttp

from app.api.status import iso
from app.config import WebhookConfig
from app.model import Fault

log = logging.getLogger(__name__)

COMMAND_TIMEOUT_S, WEBHOOK_TIMEOUT_S = 30.0, 10.0
WEBHOOK_RETRY_S = (2.0, 10.0, 30.0)
LONGEST_TEXT = 2000  # an environment takes no endless values
INHERITED = ("PATH", "HOME", "LANG", "TZ")  # of our environment; the rest may hold secrets


@dataclass(frozen=True, slots=True)
class Alert:
    """What people are told."""

    state: Literal["fault", "recovered"]
    fault: Fault
    site: str
    utc_s: float

    def as_json(self) -> dict[str, str | None]:
        """The document that a webhook receives, and a command on its standard input."""
        return {
            "site": self.site,
            "state": self.state,
            "key": self.fault.key,
            "text": self.fault.text,
            "next_step": self.fault.next_step if self.state == "fault" else "",
            "since": iso(self.fault.since_utc_s),
            "time": iso(self.utc_s),
        }

    def as_environment(self) -> dict[str, str]:
        """The same for a command, in variables."""
        names = ("state", "key", "text", "next_step", "site", "since")
        told = self.as_json()
        return {f"ALERT_{name.upper()}": _harmless(told[name] or "") for name in names}


def _harmless(text: str) -> str:
    """What an environment can hold."""
    return text[:LONGEST_TEXT].replace("\0", "").encode("utf-8", "replace").decode()


class HookError(Exception):
    """An alert could not be handed over; the text says why."""


class Hook(Protocol):
    """A way to tell somebody. ``retry_s``: the pauses before it is tried again."""

    name: str
    retry_s: tuple[float, ...]

    async def send(self, alert: Alert) -> None:
        """Hand it over. Raises `HookError`."""


class Command:
    """Runs a program, with the alert as JSON on its standard input and in its environment."""

    retry_s: tuple[float, ...] = ()

    def __init__(self, command: tuple[str, ...]) -> None:
        self.name = f"the command {command[0]}"  # and not its arguments: they may hold secrets
        self._command = command
        if shutil.which(command[0]) is None:
            log.warning("alerts.command: %s is not there or cannot be run: check its path and rights", command[0])

    async def send(self, alert: Alert) -> None:
        """Run it to its end; kill it, and what it started, where that takes too long."""
        kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                env={**kept, **alert.as_environment()},
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise HookError(f"cannot be started: {getattr(error, 'strerror', None) or error}") from None
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT_S):
                await process.communicate(json.dumps(alert.as_json()).encode())
        except TimeoutError:
            raise HookError(f"was not done within {COMMAND_TIMEOUT_S:.0f} s and was killed") from None
        finally:
            await _end(process)
        if process.returncode != 0:
            raise HookError(f"ended with exit code {process.returncode}")


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await process.wait()


class Webhook:
    """Posts the alert as JSON. Redirects are not followed: what we send is for this URL alone."""

    retry_s: tuple[float, ...] = WEBHOOK_RETRY_S

    def __init__(self, config: WebhookConfig) -> None:
        self.name = f"the webhook at {urlsplit(config.url).netloc}"  # its path may be a secret
        self._url = config.url
        self._headers = dict(config.headers)
        if config.bearer_token:
            self._headers["Authorization"] = f"Bearer {config.bearer_token}"

    async def send(self, alert: Alert) -> None:
        """Post it; any answer but 2xx is a failure."""
        limit = aiohttp.ClientTimeout(total=WEBHOOK_TIMEOUT_S)
        try:
            async with (
                aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), timeout=limit) as session,
                session.post(self._url, json=alert.as_json(), headers=self._headers, allow_redirects=False) as answer,
            ):
                if not 200 <= answer.status < 300:
                    raise HookError(f"answers HTTP {answer.status}")
        except TimeoutError:
            raise HookError(f"has not answered within {WEBHOOK_TIMEOUT_S:.0f} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            cause = getattr(error, "os_error", error)  # the text of others may hold the URL
            raise HookError(f"cannot be reached: {getattr(cause, 'strerror', None) or type(error).__name__}") from None
