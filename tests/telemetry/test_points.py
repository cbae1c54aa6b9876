"""The schema is one: what derives from it has not drifted, and it keeps the house's rules."""

from __future__ import annotations

from pathlib import Path

from app.telemetry.docs import markdown
from app.telemetry.points import SCHEMA, TEXT

ROOT = Path(__file__).parents[2]
SUFFIXES = {
    "W": ("_w",),
    "Wh": ("_wh",),
    "kWh": ("_kwh",),
    "V": ("_v",),
    "A": ("_a",),
    "Hz": ("_hz",),
    "var": ("_var",),
    "VA": ("_va",),
    "°C": ("_c",),
    "%": ("_pct",),
    "dBm": ("_dbm",),
    "ms": ("_ms",),
    "s": ("_s",),
    "B": ("_b",),
    "ct/kWh": ("_c",),
    "ct": ("_c",),
}


def test_the_documentation_is_that_of_the_schema() -> None:
    stored = (ROOT / "docs" / "telemetry.md").read_text(encoding="utf-8")
    assert stored == markdown(), "run: python -m app.telemetry.docs > docs/telemetry.md"


def test_the_contract_is_kept() -> None:
    tags = {measurement.name: measurement.tags for measurement in SCHEMA}
    assert {"grid", "inverter", "panel", "dtu", "control", "price", "event"} <= set(tags)
    assert tags["inverter"] == ("serial", "name")
    assert tags["panel"] == ("serial", "channel")


def test_names_are_unique_and_say_their_unit() -> None:
    assert len({measurement.name for measurement in SCHEMA}) == len(SCHEMA)
    for measurement in SCHEMA:
        names = [*measurement.tags, *(field.name for field in measurement.fields)]
        assert len(set(names)) == len(names), measurement.name
        for field in measurement.fields:
            assert field.about.strip(), field.name
            if field.unit not in ("", TEXT):
                assert field.name.endswith(SUFFIXES[field.unit]), (measurement.name, field.name, field.unit)
