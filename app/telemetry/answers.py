"""What an answer of a server with InfluxDB's write API means for the lines it was sent. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import Enum, auto

LONGEST_ASKED_S = 3600.0
_LOGIN = re.compile(r"\b(Token|Bearer|Basic) [^\s'\",]+")
_SIGNATURE = re.compile(r"\bsig(=|%3D)[0-9A-Za-z]+")
_DROPPED = re.compile(r"\bdropped=(\d+)")


class Outcome(Enum):
    """What to do with the lines."""

    TAKEN = auto()
    REFUSED = auto()  # some or all of them cannot be used; the others may have been taken
    TOO_LARGE = auto()
    SLOW = auto()  # no answer in time: fewer lines may do
    BUSY = auto()  # later, and not before the time that the server asks for
    CLOSED = auto()  # not before somebody has put something right
    BROKEN = auto()
    AWAY = auto()


@dataclass(frozen=True, slots=True)
class Answer:
    """``what`` the server does, as the end of a sentence about it, and the ``next_step``.

    ``refused``: how many lines it says that it has refused, where it says so; it has taken the others then.
    """

    outcome: Outcome
    what: str = ""
    next_step: str = ""
    said: str = ""
    pause_s: float | None = None
    refused: int | None = None


TAKEN = Answer(Outcome.TAKEN)


def judge(status: int, body: str, retry_after: str | None, *, bucket: str, utc_s: float) -> Answer:
    """The meaning of an HTTP answer to lines for ``bucket``."""
    said = f"HTTP {status}: {message(body)}".removesuffix(": ")
    match status:
        case _ if 200 <= status < 300:
            return TAKEN
        case 400 | 422:
            count = _DROPPED.search(body)
            refused = int(count[1]) if count and int(count[1]) else None
            step = "look into its log, and check influxdb.url; the points wait"
            return Answer(Outcome.REFUSED, f"refuses every point ({said})", step, said, refused=refused)
        case 413:
            step = "let it, or the proxy before it, take larger requests"
            return Answer(Outcome.TOO_LARGE, f"takes not even one point at a time ({said})", step, said)
        case 401 | 403:
            what = f"refuses the token (HTTP {status})"
            return Answer(Outcome.CLOSED, what, f"check influxdb.token and that it may write to {bucket}", said)
        case 404:
            step = "check influxdb.bucket and influxdb.org, or create the bucket"
            return Answer(Outcome.CLOSED, f"does not know bucket {bucket} ({said})", step, said)
        case 429 | 503:
            step = "wait; if it stays, give it more memory or a faster disk"
            pause_s = asked_s(retry_after, utc_s)
            return Answer(Outcome.BUSY, f"is overloaded (HTTP {status})", step, said, pause_s)
        case _:
            return Answer(Outcome.BROKEN, f"answers {said}", "look into its log, and check influxdb.url", said)


def no_answer(why: str, *, in_time: bool) -> Answer:
    """The connection failed, or there was no answer ``in_time``."""
    step = "check that it runs, and influxdb.url"
    return Answer(Outcome.AWAY if in_time else Outcome.SLOW, f"cannot be reached: {why}", step, why)


def message(body: str) -> str:
    """What the server says, in one short line, without our login and signed links, which it may repeat."""
    try:
        found = json.loads(body)
    except ValueError:
        found = body
    if isinstance(found, dict):
        details = found.get("data")
        first = details[0] if isinstance(details, list) and details else None
        more = first.get("error_message") if isinstance(first, dict) else None
        found = ": ".join(str(part) for part in (found.get("message") or found.get("error"), more) if part)
    text = _LOGIN.sub(r"\1 ***", " ".join(str(found or "").split()))
    return _SIGNATURE.sub(r"sig\1***", text)[:200]


def asked_s(retry_after: str | None, utc_s: float) -> float | None:
    """The pause that a Retry-After header asks for, in seconds or as a date; an hour at most."""
    text = (retry_after or "").strip()
    if text.isascii() and text.isdigit():
        pause_s = float(text[:9])
    else:
        try:
            until = parsedate_to_datetime(text)
        except ValueError:
            return None
        pause_s = (until if until.tzinfo else until.replace(tzinfo=UTC)).timestamp() - utc_s
    return min(LONGEST_ASKED_S, max(0.0, pause_s))
