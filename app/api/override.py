"""What somebody asks for in the price's place, in JSON or in a few words: the one reading for HTTP and MQTT."""

from __future__ import annotations

import json
from typing import Any

from app.control.gate import LONGEST_OVERRIDE_S
from app.model import Mode, Override, PriceState

NEXT_PRICE = "next_price"
LONGEST_MIN = LONGEST_OVERRIDE_S / 60.0
_HOW = 'send {"mode": "open" or "limit", "minutes": 30}, or "until": "next_price" for minutes, or {"mode": "auto"}'


def from_json(data: Any, price: PriceState | None, utc_s: float) -> Override | None:
    """The override that a JSON object asks for; None is auto. Raises ValueError with a sentence."""
    if not isinstance(data, dict) or not set(data) <= {"mode", "minutes", "until"}:
        raise ValueError(f"that is no override: {_HOW}")
    mode = data.get("mode")
    if mode not in ("limit", "open", "auto"):
        raise ValueError(f"mode {_shown(mode)} is none of limit, open and auto: {_HOW}")
    if mode == "auto" and len(data) == 1:
        return None
    if mode == "auto" or len(data) != 2:
        raise ValueError(f"limit and open need one end, minutes or until, and auto has none: {_HOW}")
    until_utc_s = _next(price, utc_s) if "until" in data else utc_s + 60.0 * _minutes(data["minutes"])
    if "until" in data and data["until"] != NEXT_PRICE:
        raise ValueError(f'until {_shown(data["until"])} is not "{NEXT_PRICE}": send that, or minutes')
    return Override(Mode(mode), until_utc_s)


def from_text(text: str, price: PriceState | None, utc_s: float) -> Override | None:
    """The same from ``open 30``, ``limit next``, ``auto``, or from JSON."""
    if text.startswith("{"):
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            raise ValueError(f"{text[:40]!r} is no JSON: {_HOW}") from None
        return from_json(data, price, utc_s)
    match text.lower().split():
        case ["auto"]:
            return None
        case [("limit" | "open") as mode, ("next" | "next_price")]:
            return Override(Mode(mode), _next(price, utc_s))
        case [("limit" | "open") as mode, number] if number.isascii() and number.isdigit() and len(number) < 9:
            return Override(Mode(mode), utc_s + 60.0 * _minutes(int(number)))
    raise ValueError(f"{text[:40]!r} is no override: send 'open 30', 'limit 30' (minutes), 'open next' or 'auto'")


def _minutes(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= LONGEST_MIN:
        raise ValueError(f"minutes {_shown(value)} is no number from 1 to {LONGEST_MIN:.0f}: send one")
    return float(value)


def _next(price: PriceState | None, utc_s: float) -> float:
    if price is None:
        raise ValueError("there is no price section in the configuration, so no next price: send minutes")
    until_utc_s = price.valid_until_utc_s
    if until_utc_s is None or not 0.0 < until_utc_s - utc_s <= LONGEST_OVERRIDE_S:
        raise ValueError("nobody knows when the next price comes: send minutes")
    return until_utc_s


def _shown(value: Any) -> str:
    return json.dumps(value)[:60]
