"""The JSON schemas of what an Enphase gateway tells."""

from __future__ import annotations

from app.api.shapes import TEXT, Json, many, maybe, number, optional, record, ref


def envoy_schemas() -> dict[str, Json]:
    """Every schema by its name."""
    line = {
        "power_w": number("W; at the grid positive is import"),
        "voltage_v": number("V; of all phases together: their sum"),
        "current_a": number("A"),
        "reactive_power_var": number("var"),
        "apparent_power_va": number("VA"),
        "power_factor": number("-1 to 1"),
        "frequency_hz": number("Hz"),
        "today_wh": number("as the gateway reports it"),
        "lifetime_wh": number("since its first day"),
    }
    return {
        "Envoy": record(
            name=TEXT,
            serial=optional("string", "of the gateway"),
            software=optional("string"),
            meters=many(ref("EnvoyMeter")),
            microinverters=_maybe_many("Microinverter"),
            devices=_maybe_many("EnvoyDevice"),
            battery=maybe("EnvoyBattery"),
            events={"type": "integer", "minimum": 0, "description": "that it has noted since this program's start"},
            notes=many(TEXT | {"description": "which of its documents cannot be had, and why"}),
        ),
        "EnvoyMeter": record(
            kind={"type": "string", "enum": ["pv", "grid", "consumption"]},
            status=TEXT | {"description": "what the gateway says of its clamps"},
            age_s=number("since the gateway had new values"),
            **line,
            phases=many(ref("EnvoyPhase")),
        ),
        "EnvoyPhase": record(phase={"type": "integer", "minimum": 1, "maximum": 3}, **line),
        "Microinverter": record(serial=TEXT, power_w=number("W, as reported last"), age_s=number("of that report")),
        "EnvoyDevice": record(
            serial=TEXT,
            kind={"type": "string", "enum": ["inverter", "battery", "relay"]},
            status=many(TEXT | {"description": "in the gateway's own words"}),
            producing=optional("boolean"),
            communicating=optional("boolean"),
            provisioned=optional("boolean"),
            operating=optional("boolean"),
            relay=optional("string", "of a relay: open or closed"),
            reason=optional("string", "of a relay: why"),
        ),
        "EnvoyBattery": record(
            soc_pct=number("%, of all batteries"),
            power_w=number("W; positive is charging"),
            capacity_wh=number("Wh"),
            age_s=number("s"),
        ),
    }


def _maybe_many(name: str) -> Json:
    return {"oneOf": [many(ref(name)), {"type": "null"}]}
