"""The price, the gate and the ledger as plain JSON values. Pure."""

from __future__ import annotations

from typing import Any

from app.api.values import iso, number
from app.model import Account, Gate, Ledger, Outlook, PriceSlot, PriceState, Settings, Tick


def price(price: PriceState) -> dict[str, Any]:
    """The price of now."""
    return {
        "export_value_c": number(price.export_value_c),
        "import_price_c": number(price.import_price_c),
        "estimated": price.estimated,
        "valid_until_utc": iso(price.valid_until_utc_s),
        "fault": price.fault,
        "currency": price.currency,
    }


def gate(gate: Gate) -> dict[str, Any]:
    """What the price, or somebody in its place, asks for."""
    return {
        "mode": gate.mode.value,
        "reason": gate.reason,
        "since_utc": iso(gate.since_utc_s),
        "by_hand": gate.by_hand,
    }


def override(settings: Settings) -> dict[str, Any] | None:
    """What somebody decides in the price's place, None where nobody does."""
    found = settings.override
    return None if found is None else {"mode": found.mode.value, "until_utc": iso(found.until_utc_s)}


def ledger(ledger: Ledger) -> dict[str, Any]:
    """Energy and money, of today, of this month and of all days."""
    return {
        "currency": ledger.currency,
        "method": ledger.method,
        "date": ledger.date,
        "since_utc": iso(ledger.since_utc_s),
        "today": _account(ledger.today),
        "month": _account(ledger.month),
        "total": _account(ledger.total),
    }


def _account(account: Account) -> dict[str, Any]:
    return {
        "import_wh": number(account.import_wh),
        "export_wh": number(account.export_wh),
        "curtailed_wh": number(account.curtailed_wh),
        "uncertain_s": number(account.uncertain_s),
        "earned_c": number(account.earned_c),
        "saved_c": number(account.saved_c),
        "pv_wh": number(account.pv_wh),
        "self_used_wh": number(account.self_used_wh),
        "load_wh": number(account.load_wh),
    }


def outlook(tick: Tick | None) -> dict[str, Any]:
    """The prices around now, and what the gate made of them."""
    outlook = (tick.outlook if tick else None) or Outlook()
    known = tick.snapshot.price if tick else None
    return {
        "currency": known.currency if known else "",
        "slots": [_slot(slot) for slot in outlook.slots],
        "modes": [{"since_utc": iso(since_s), "mode": mode.value} for since_s, mode in outlook.modes],
    }


def _slot(slot: PriceSlot) -> dict[str, Any]:
    return {
        "start_utc": iso(slot.start_utc_s),
        "end_utc": iso(slot.end_utc_s),
        "export_value_c": number(slot.export_value_c),
        "import_price_c": number(slot.import_price_c),
        "confirmed": slot.confirmed,
    }
