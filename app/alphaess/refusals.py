"""What AlphaESS's codes mean, and what to do about each; its own words are in whatever language it likes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from app.documents import optional
from app.model import DeviceAuthError, DeviceDataError, DeviceError, DeviceUnavailable

BUSY = 6053
LASTING_PAUSE_S = 900.0  # until it is tried again after a refusal that only a change of the configuration ends
LONGEST_PAUSE_S = 120.0  # between tries while the cloud does not answer
LONGEST_BUSY_S = 300.0  # and while it says that it is asked too often
_THERE = "at open.alphaess.com"
_LONGEST_WORDS = 80


class Refusal(DeviceError):  # noqa: N818 - answers, as those of the model
    """The cloud has answered that it will not. ``lasting``: only a change of the configuration, or there, ends it."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code

    @property
    def lasting(self) -> bool:
        """Whether asking again soon is no use."""
        return not isinstance(self, DeviceUnavailable)


class NotNow(Refusal, DeviceUnavailable):
    """It may do so later."""


class NotThat(Refusal, DeviceDataError):  # noqa: N818
    """What is asked for is not there."""


class NotYou(Refusal, DeviceAuthError):  # noqa: N818
    """The login is refused."""


_CODES: dict[int, tuple[type[Refusal], str]] = {
    6001: (NotThat, "does not take the parameters for {name}: check serial"),
    6002: (NotThat, f"says that {{name}} is not bound to this app_id: add it {_THERE}"),
    6005: (NotThat, f"says that this app_id is not bound to {{name}}: add it {_THERE}"),
    6006: (NotNow, "refuses the time of the request: this computer's clock {skew}: have it set by NTP"),
    6007: (NotYou, "refuses the signature: check app_id and app_secret"),
    6009: (NotYou, f"does not let this internet address in: change the list of allowed addresses {_THERE}"),
    6010: (NotYou, "misses the signature in the request: check base_url, and what stands between"),
    6011: (NotYou, "misses the app_id in the request: check base_url, and what stands between"),
    6012: (NotYou, "misses the time in the request: check base_url, and what stands between"),
    6017: (NotYou, f"does not let this app_id see {{name}}: add the system {_THERE}"),
    6026: (NotNow, "tells of a fault of its own"),
    6038: (NotThat, f"says that {{name}} is not bound to this account: add it {_THERE}"),
    6042: (NotNow, "says that {name} is offline: check its network"),
    BUSY: (NotNow, "says that it is asked too often: does something else use this app_id, too?"),
    10001: (NotThat, "does not understand the request: check base_url"),
}


def refusal(envelope: Mapping[str, Any], name: str, skew_s: float | None) -> Refusal:
    """What an answer without success means. ``skew_s``: how far our clock is ahead of the cloud's."""
    number = optional(envelope["code"])
    code = int(number) if number is not None and abs(number) < 1e9 else 0
    kind, text = _CODES.get(code, (NotNow, "refuses the request"))
    if code not in _CODES:
        words = str(envelope.get("expMsg") or envelope.get("msg") or "")[:_LONGEST_WORDS]
        text += f" ({words})" if words.isprintable() and words else ""
        text = text.replace("{", "{{").replace("}", "}}")
    return kind(f"AlphaESS {text.format(name=name, skew=_wrong(skew_s))} (code {str(envelope['code'])[:12]})", code)


def pause_s(error: DeviceError, interval_s: float, before_s: float) -> float:
    """How long to wait after a failure; ``before_s``: how long that was the last time."""
    longer_s = max(interval_s, 2.0 * before_s)
    match error:
        case Refusal(code=code) if code == BUSY:
            return max(interval_s, min(LONGEST_BUSY_S, longer_s))
        case Refusal(lasting=True) | DeviceAuthError():
            return max(interval_s, LASTING_PAUSE_S)
    return max(interval_s, min(LONGEST_PAUSE_S, longer_s))


def skew(headers: Mapping[str, str], utc_s: float) -> float | None:
    """How far our clock is ahead of the one that wrote ``Date``; None where that is not told."""
    try:
        sent = parsedate_to_datetime(headers.get("Date", ""))
        return utc_s - (sent if sent.tzinfo else sent.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def _wrong(skew_s: float | None) -> str:
    if skew_s is None or abs(skew_s) < 60.0:
        return "is wrong by more than 5 minutes"
    return f"is {abs(skew_s) / 60.0:.0f} min {'ahead' if skew_s > 0 else 'behind'}"
