"""What a token says of itself, and what to do about it. Pure: the time is an argument; signatures are not looked at."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from app.documents import optional

Role = Literal["owner", "installer"]
TOKENS = "https://entrez.enphaseenergy.com"
MAX_LENGTH = 8192  # of a token; they have about 600 signs
LATEST_S = 1e11  # no time stamp in seconds is beyond
LIFETIME_S = {"owner": 365 * 86_400.0, "installer": 12 * 3600.0}  # where it does not say when it was made
RENEW_AT = 0.1  # of its lifetime, when so much is left
EARLIEST_S = 14 * 86_400.0  # before it runs out; also when a person is told
EARLIEST_INSTALLER_S = 3600.0  # when a person is told of a token that lives for 12 hours


@dataclass(frozen=True, slots=True)
class Claims:
    """Role and times of a token, and the serial number of the gateway that it is made for; None: it does not say."""

    role: Role | None
    issued_utc_s: float | None
    expires_utc_s: float | None
    gateway: str | None = None

    def left_s(self, utc_s: float) -> float:
        """Seconds until it runs out; endless where it does not say."""
        return float("inf") if self.expires_utc_s is None else self.expires_utc_s - utc_s

    def is_due(self, utc_s: float) -> bool:
        """Whether it is time for another one: a tenth of its life is left, or 14 days."""
        lifetime_s = LIFETIME_S[self.role or "owner"]
        if self.expires_utc_s is not None and self.issued_utc_s is not None:
            lifetime_s = max(0.0, self.expires_utc_s - self.issued_utc_s)
        return self.left_s(utc_s) <= min(RENEW_AT * lifetime_s, EARLIEST_S)


def claims_of(token: str) -> Claims | None:
    """What a token says; None: it is none."""
    parts = token.split(".")
    if len(token) > MAX_LENGTH or len(parts) != 3:
        return None
    try:
        said = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    role = said.get("enphaseUser")
    known: Role | None = "owner" if role == "owner" else "installer" if role == "installer" else None
    gateway = said.get("aud")
    serial = gateway if isinstance(gateway, str) and re.fullmatch(r"\d{6,16}", gateway, re.ASCII) else None
    return Claims(known, _moment(said.get("iat")), _moment(said.get("exp")), serial)


def is_token(text: str) -> bool:
    """Whether a header can carry it, and it can be one."""
    return 0 < len(text) <= MAX_LENGTH and text.isascii() and text.isprintable() and " " not in text


def advice(token: str, utc_s: float) -> str:
    """What to check where a token is refused."""
    claims = claims_of(token)
    if claims is None:
        return f"token: this is none, make one at {TOKENS}"
    if claims.expires_utc_s is None:
        return f"token: it does not say how long it is valid; {TOKENS} makes new ones"
    if claims.left_s(utc_s) < 0.0:
        return f"token: it ran out on {day(claims.expires_utc_s)}, make a new one at {TOKENS}"
    made_for = f"it is made for {claims.gateway} and" if claims.gateway else "it is"
    until = f"{made_for} valid until {day(claims.expires_utc_s)}"
    return f"token: is it of this gateway? ({until}; {TOKENS} makes new ones)"


def role_advice(role: str | None) -> str:
    """What to do where a valid token may not do something: a sentence of its own."""
    if role == "installer":
        return (
            "The token is an installer's and valid, but the gateway does not allow this: ask Enphase about the account."
        )
    whose = "an owner's" if role == "owner" else "not said to be an installer's"
    return (
        f"The token is {whose}, and this needs an installer's: set enlighten_role to installer where the Enlighten "
        "account is a self-installer's (Enphase support gives that access, DIY, when asked), or put a token that it "
        f"makes at {TOKENS} into token_file."
    )


def expiry_notice(token: str, utc_s: float) -> str | None:
    """A sentence for the person who has to make the next token, when it is time to; else None."""
    claims = claims_of(token)
    if claims is None or claims.expires_utc_s is None:
        return None
    left_s = claims.left_s(utc_s)
    if left_s > (EARLIEST_INSTALLER_S if claims.role == "installer" else EARLIEST_S):
        return None
    if left_s <= 0.0:
        return f"the token ran out at {moment(claims.expires_utc_s)}: make a new one at {TOKENS}"
    return f"the token runs out at {moment(claims.expires_utc_s)}: make a new one at {TOKENS}"


def day(utc_s: float) -> str:
    """A date as it is shown."""
    return datetime.fromtimestamp(utc_s, UTC).date().isoformat()


def moment(utc_s: float) -> str:
    """A time as it is shown."""
    return datetime.fromtimestamp(utc_s, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _moment(value: object) -> float | None:
    number = optional(value)
    return number if number is not None and 0.0 < number < LATEST_S else None
