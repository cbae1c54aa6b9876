"""The ways to tell somebody of a fault: a program that is run, and a URL that is called."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal, Protocol
from urllib.parse import urlsplit

import aiohttp

from app import program
from app.api.values import iso
from app.config import WebhookConfig
from app.model import Fault
from app.program import ProgramError

COMMAND_TIMEOUT_S, WEBHOOK_TIMEOUT_S = 30.0, 10.0
WEBHOOK_RETRY_S = (2.0, 10.0, 30.0)


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
        return {f"ALERT_{name.upper()}": told[name] or "" for name in names}


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
        program.look_for(command, "alerts.command")

    async def send(self, alert: Alert) -> None:
        """Run it to its end; kill it, and what it started, where that takes too long."""
        told = json.dumps(alert.as_json()).encode()
        try:
            await program.run(self._command, alert.as_environment(), COMMAND_TIMEOUT_S, stdin=told)
        except ProgramError as error:
            raise HookError(str(error)) from None


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
