"""When to log in, and when to leave a device alone. Pure: the time is an argument.

From firmware 2.0 on a device has room for 32 nonces. One is good for an hour and 30 000 requests; whoever asks for
another one too often is throttled (429), and so is everybody after a few logins that failed within ten minutes. A nonce
that was thrown out is answered with 429 for ever: only a request without a login leads to a new one.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from app.meters.shelly.digest import Challenge
from app.model import DeviceAuthError, DeviceError, DeviceUnavailable

RENEW_AFTER_S, RENEW_AFTER_USES = 3000.0, 25_000
THROTTLED_S, LONGEST_THROTTLED_S = 2.5, 60.0
REFUSED_S, LONGEST_REFUSED_S = 60.0, 300.0
TRIES = 3  # with the nonce we have, with a new one, and once more where that has grown old meanwhile


class Challenged(Exception):  # noqa: N818 - no error: it is how the devices ask for a login
    """Answered with 401. ``challenge`` is None where it is none that can be answered."""

    def __init__(self, challenge: Challenge | None) -> None:
        self.challenge = challenge


class Throttled(Exception):  # noqa: N818
    """Answered with 429."""


class LeftAlone(DeviceUnavailable):
    """The device asked for a pause: it works, and so does the connection."""


@dataclass(frozen=True, slots=True)
class Use:
    """One use of a nonce."""

    challenge: Challenge
    nc: int
    first: bool

    @property
    def cnonce(self) -> str:
        """Our own random part, another one each time."""
        return secrets.token_hex(8)


class Nonce:
    """The nonce of one transport, used for as long as it is good."""

    def __init__(self) -> None:
        self._challenge: Challenge | None = None
        self._taken_s, self._uses = 0.0, 0

    def take(self, challenge: Challenge, now_s: float) -> None:
        """Use this one from now on."""
        self._challenge, self._taken_s, self._uses = challenge, now_s, 0

    def drop(self) -> None:
        """Ask without a login next time."""
        self._challenge = None

    def next(self, now_s: float) -> Use | None:
        """The next use; None: ask without a login, which brings a new nonce."""
        challenge = self._challenge
        if challenge is None or now_s - self._taken_s > RENEW_AFTER_S or self._uses >= RENEW_AFTER_USES:
            self._challenge = None
            return None
        self._uses += 1
        nc = challenge.nc + self._uses - 1 if challenge.counted else challenge.nc
        return Use(challenge, nc, self._uses == 1)


class Login:
    """The password of a device, and the pauses that it asked for; HTTP and WebSocket share them."""

    def __init__(self, password: str, who: str) -> None:
        self.password = password
        self._who = who
        self._nonces: list[Nonce] = []
        self._until_s = float("-inf")
        self._pause: DeviceError = DeviceUnavailable(who)
        self._throttled = self._refused = 0  # in a row

    def nonce(self) -> Nonce:
        """One for a transport of its own."""
        self._nonces.append(Nonce())
        return self._nonces[-1]

    def admit(self, now_s: float) -> None:
        """Raises `DeviceError` while the device is to be left alone."""
        if now_s < self._until_s:
            raise type(self._pause)(str(self._pause))

    def accepted(self) -> None:
        """It has answered what was asked."""
        self._throttled = self._refused = 0

    def challenged(self, nonce: Nonce, use: Use | None, challenge: Challenge | None, now_s: float) -> None:
        """Take in a 401. Raises `DeviceAuthError` where trying again does not help."""
        nonce.drop()
        if not self.password:
            self._refuse("asks for a password: set meter.password", now_s)
        if challenge is None:
            self._refuse("asks for a login of a kind that no Shelly has (not Digest with SHA-256)", now_s)
        if use is not None and use.first and not challenge.stale:
            self._refuse("refuses the login: check username and password", now_s)
        nonce.take(challenge, now_s)

    def throttled(self, now_s: float) -> NoReturn:
        """Take in a 429: no nonce is any good. Always raises."""
        for nonce in self._nonces:
            nonce.drop()
        seconds = min(LONGEST_THROTTLED_S, THROTTLED_S * 2.0**self._throttled)
        self._throttled += 1
        error = LeftAlone(f"{self._who} is throttling logins: asked again after {seconds:g} s")
        self._rest(error, seconds, now_s)

    def give_up(self, now_s: float) -> NoReturn:
        """Take in that every nonce was too old at once. Always raises."""
        self._refuse("calls each of its own nonces too old", now_s)

    def _refuse(self, why: str, now_s: float) -> NoReturn:
        seconds = min(LONGEST_REFUSED_S, REFUSED_S * 2.0**self._refused)
        self._refused += 1
        self._rest(DeviceAuthError(f"{self._who} {why}"), seconds, now_s)

    def _rest(self, error: DeviceError, seconds: float, now_s: float) -> NoReturn:
        self._until_s, self._pause = now_s + seconds, error
        raise error.saying(str(error))


async def signed(
    login: Login, nonce: Nonce, clock: Callable[[], float], send: Callable[[Use | None], Awaitable[Any]]
) -> Any:
    """Ask with the login that the device wants, if it wants one. ``send`` raises `Challenged` or `Throttled`."""
    login.admit(clock())
    for _ in range(TRIES):
        use = nonce.next(clock())
        try:
            answer = await send(use)
        except Challenged as refusal:
            login.challenged(nonce, use, refusal.challenge, clock())
        except Throttled:
            login.throttled(clock())
        else:
            login.accepted()
            return answer
    nonce.drop()
    return login.give_up(clock())
