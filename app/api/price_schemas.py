"""The JSON schemas of prices, gate, override and ledger."""

from __future__ import annotations

from app.api.override import LONGEST_MIN, NEXT_PRICE
from app.api.shapes import FLAG, TEXT, Json, many, maybe, number, optional, record, ref

GATE_MODE: Json = {"type": "string", "enum": ["limit", "open", "shutdown"]}


def price_schemas() -> dict[str, Json]:
    """Every one by its name."""
    return {
        "Price": _price(),
        "Prices": _prices(),
        "Gate": _gate(),
        "Override": record(
            mode={"type": "string", "enum": ["limit", "open"]}, until_utc=optional("string", "ISO 8601")
        ),
        "Overridden": record(override=maybe("Override")),
        "OverrideChange": _override_change(),
        "Ledger": _ledger(),
        "Account": _account(),
    }


def _price() -> Json:
    return record(
        export_value_c=number("cents that one exported kWh earns; negative means it costs"),
        import_price_c=number("cents per imported kWh"),
        estimated=FLAG,
        valid_until_utc=optional("string", "ISO 8601"),
        fault=optional("string"),
        currency=TEXT | {"description": "prices are hundredths of it"},
    )


def _prices() -> Json:
    when = TEXT | {"description": "ISO 8601, UTC"}
    slot = record(
        start_utc=when,
        end_utc=when,
        export_value_c=number("hundredths of the currency that one exported kWh earns"),
        import_price_c=number("the same per imported kWh"),
        confirmed=FLAG | {"description": "false: an estimate or a forecast"},
    )
    mode = record(since_utc=when, mode=GATE_MODE)
    return record(currency=TEXT, slots=many(slot), modes=many(mode))


def _gate() -> Json:
    by_hand = FLAG | {"description": "an override decides"}
    return record(mode=GATE_MODE, reason=TEXT, since_utc=optional("string", "ISO 8601"), by_hand=by_hand)


def _ledger() -> Json:
    return record(
        currency=TEXT,
        method=TEXT | {"description": "how curtailed energy is estimated"},
        date=TEXT | {"description": "the local day of today's account"},
        since_utc=optional("string", "when counting began; ISO 8601"),
        today=ref("Account"),
        month=ref("Account"),
        total=ref("Account"),
    )


def _account() -> Json:
    return record(
        import_wh=number("Wh"),
        export_wh=number("Wh"),
        curtailed_wh=number("Wh that the sun would have given, estimated"),
        uncertain_s=number("s held back without any estimate"),
        earned_c=number("by export, negative where it cost; hundredths of the currency"),
        saved_c=number("by holding back, negative where feeding in would have paid; hundredths of the currency"),
        pv_wh=number("Wh of all inverters"),
        self_used_wh=number("Wh of it that the house has used"),
        load_wh=number("Wh that the house has used in all"),
    )


def _override_change() -> Json:
    """What `PUT /api/override` takes."""
    mode: Json = {"type": "string", "enum": ["limit", "open"]}
    minutes: Json = {"type": "number", "minimum": 1, "maximum": LONGEST_MIN}
    until: Json = {"type": "string", "const": NEXT_PRICE}
    return {
        "oneOf": [record(mode=mode, minutes=minutes), record(mode=mode, until=until), record(mode={"const": "auto"})]
    }
