"""What a price source is, and the part of its section that all of them share."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, Protocol

from pydantic import AfterValidator, BeforeValidator, Field

from app.broker import Broker
from app.control import PriceRules
from app.fields import Section
from app.modehook import ModeHookConfig
from app.model import DeviceUnavailable, PriceSlot
from app.prices.timetable import Timetable

EARLIEST_S, LATEST_S = 1e9, 1e10  # the years 2001 to 2286: other times are none
MAX_PRICE_C = 100_000.0  # fifty times the cap of Amber's market: whatever is beyond is corrupt


def _valid_currency(value: str) -> str:
    if len(value) != 3 or not value.isascii() or not value.isalpha() or not value.isupper():
        raise ValueError(f"{value!r} is no currency: three capital letters, like EUR")
    return value


Currency = Annotated[str, AfterValidator(_valid_currency)]


def valid_token(what: str) -> BeforeValidator:
    """Refuses what can be no token, without repeating it: it may be a mistyped one. ``what`` should be there."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or not value or not value.isascii() or not value.isprintable() or " " in value:
            raise ValueError(f"is empty or no {what}")
        return value

    return BeforeValidator(check)


@dataclass(frozen=True, slots=True)
class Fetched:
    """One answer of a source. ``server_utc_s``: the service's own clock. ``pause_s``: the least until asked again."""

    slots: tuple[PriceSlot, ...]
    server_utc_s: float | None = None
    pause_s: float = 0.0


class AskAgain(DeviceUnavailable):
    """There was no use in the answer; ``wait_s`` until the next question, None: as ever."""

    def __init__(self, text: str, wait_s: float | None) -> None:
        super().__init__(text)
        self.wait_s = wait_s


class Busy(AskAgain):
    """Too many requests; ``wait_s`` where the service says for how long."""

    def __init__(self, who: str, wait_s: float | None) -> None:
        super().__init__(f"{who} answers that there are too many requests (HTTP 429)", wait_s)


class PriceSource(Protocol):
    """Knows what export earns and import costs. Each adapts its own signs and units to those of `PriceSlot`."""

    name: str  # begins sentences
    currency: str  # three letters; prices are hundredths of it

    async def fetch(self) -> Fetched:
        """The prices known now, in any order.

        Raises `DeviceUnavailable` where there is no use in the answer (what was known stays), `DeviceAuthError`, and
        `DeviceDataError` where the service has no price for us (what was known goes).
        """

    def pause_s(self, utc_s: float, known: Timetable) -> float:
        """After an answer: how long to wait until the next question."""


class PriceSection(Section):
    """What people make of the price, whatever its source."""

    export_threshold_c: float = Field(0.0, ge=-1000, le=1000, description="export only while it earns more than this")
    at_threshold: Literal["limit", "allow"] = Field("limit", description="what to do at exactly that price")
    hysteresis_c: float = Field(0.0, ge=0, le=1000, description="open only when it earns so much more than that")
    dwell_s: float = Field(0.0, ge=0, le=86_400, description="at least so long closed before it opens again")
    on_unknown: Literal["limit", "allow", "hold"] = Field(
        "limit", description="what to do while nobody knows the price"
    )
    max_stale_s: float = Field(45.0, ge=0, le=86_400, description="how long the last price serves after its end")
    shutdown_when_import_negative: bool = Field(
        False, description="shut the inverters down while the grid pays for taking power and not for giving it"
    )
    on_change: ModeHookConfig | None = Field(None, description="who is told of each change of mode; default: nobody")

    @property
    def rules(self) -> PriceRules:
        """The rules, as the core needs them."""
        return PriceRules(**{rule.name: getattr(self, rule.name) for rule in fields(PriceRules)})


@dataclass(frozen=True, slots=True)
class Outside:
    """What a source may need to be built: ``broker`` is the controller's own."""

    broker: Broker
