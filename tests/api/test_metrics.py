"""The Prometheus text: its grammar, its units, its silence about what is unknown."""

from __future__ import annotations

import math
import re
from dataclasses import fields, replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from app.api.families import FAMILIES
from app.api.metrics import PREFIX, metrics
from app.model import Ac, GatewayState, MeterState, Panel, Phase, PriceState, Reading, Settings, StoreState, Tick
from app.telemetry.points import ACCOUNT as ACCOUNT_FIELDS
from app.telemetry.points import RAW, TEXT
from tests.enphase.fake_envoy import make_envoy
from tests.telemetry.ticks import RULED

from .conftest import House
from .ticks import ACCOUNT, BATTERY, GATE, LEDGER, METER_FAULT, UTC_S, make_inverter, make_tick

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
VALUE = r"-?(?:\d+(?:\.\d+)?(?:e[+-]?\d+)?)"
LABEL = r'[a-z_]+="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(rf"({NAME})(\{{{LABEL}(?:,{LABEL})*\}})? ({VALUE})")


def exposed(tick: Tick | None, settings: Settings | None = None, **dropped: int) -> dict[str, float]:
    """Every series and its value, from text that keeps to the grammar."""
    text = metrics(tick, settings or Settings(), dropped, now_s=100.5, version="1.2.3", site="home").decode()
    assert text.endswith("\n")
    series: dict[str, float] = {}
    announced: set[str] = set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            name = line.split()[2]
            assert name not in announced, "a family is there twice"
            announced.add(name)
        elif not line.startswith("# HELP "):
            found = SAMPLE.fullmatch(line)
            assert found, line
            assert found[1] in announced, line
            assert found[1] + (found[2] or "") not in series, line
            series[found[1] + (found[2] or "")] = float(found[3])
    assert sorted(value for _, _, value in parsed(text)) == sorted(series.values())
    return series


def parsed(text: str) -> list[tuple[str, dict[str, str], float]]:
    """The same as Prometheus' own parser reads it: name, labels, value."""
    families = list(text_string_to_metric_families(text))
    kinds = {family.name: (family.kind, family.text) for family in FAMILIES}
    for family in families:
        name = family.name.removeprefix(PREFIX) + ("_total" if family.type == "counter" else "")
        assert kinds[name] == (family.type, family.documentation)
    return [(sample.name, sample.labels, sample.value) for family in families for sample in family.samples]


def test_a_regulating_house() -> None:
    found = exposed(make_tick(-7.5, price=PriceState(-1.5, 30.0)))
    inverter = '{name="Garage",serial="116180400001"}'
    assert found["zero_export_grid_power_watts"] == -7.5
    assert found["zero_export_enabled"] == 1
    assert found['zero_export_mode{mode="limit"}'] == 1
    assert found['zero_export_mode{mode="fail_safe"}'] == 0
    assert found["zero_export_meter_age_seconds"] == 0.8
    assert found["zero_export_meter_import_joules_total"] == 3_600_000.0
    assert found[f"zero_export_inverter_limit_watts{inverter}"] == 640.0
    assert found[f"zero_export_inverter_yield_joules_total{inverter}"] == 1204.5 * 3.6e6
    assert found['zero_export_panel_power_watts{channel="2",serial="116180400001"}'] == 309.8
    assert found["zero_export_price_export_cents_per_kwh"] == -1.5
    assert found['zero_export_info{site="home",version="1.2.3"}'] == 1


def test_a_battery() -> None:
    found = exposed(make_tick(battery=BATTERY))
    assert found['zero_export_battery_charge_ratio{name="Cellar"}'] == 0.615
    assert found['zero_export_battery_power_watts{name="Cellar"}'] == -420.0
    assert found['zero_export_battery_age_seconds{name="Cellar"}'] == 2.5
    assert "zero_export_battery" not in "".join(exposed(make_tick()))


def test_what_is_unknown_has_no_sample() -> None:
    bare = make_inverter(ac=Ac(power_w=float("nan")), reachable=None, commanded_w=None)
    found = exposed(make_tick(None, inverters=(bare,), meter=MeterState(), gateways=(), faults=(METER_FAULT,)))
    for part in (
        "grid_power",
        "load_power",
        "meter_",
        "inverter_power",
        "inverter_reachable",
        "inverter_limit",
        "gateway",
    ):
        assert not [name for name in found if name.startswith(PREFIX + part)], part
    assert found['zero_export_fault{key="meter"}'] == 1


def test_every_fault_is_a_series_of_its_own() -> None:
    found = exposed(make_tick(faults=(METER_FAULT,), outside=(replace(METER_FAULT, key="unguarded:1161"),)))
    faults = {series: value for series, value in found.items() if series.startswith("zero_export_fault")}
    assert faults == {'zero_export_fault{key="meter"}': 1, 'zero_export_fault{key="unguarded:1161"}': 1}


def test_the_account_of_excursions() -> None:
    found = exposed(make_tick(excursions=ACCOUNT))
    assert found["zero_export_excursions_total"] == 17
    assert found["zero_export_excursion_seconds"] == 0
    assert found["zero_export_excursion_longest_today_seconds"] == 75.5
    assert found["zero_export_export_beyond_today_joules"] == 23.4 * 3600
    unknown = exposed(make_tick(excursions=replace(ACCOUNT, current_s=None)))
    assert "zero_export_excursion_seconds" not in unknown
    assert not [series for series in exposed(make_tick()) if "excursion" in series]


def test_dropped_messages_are_counted_by_their_source() -> None:
    found = exposed(None, None, opendtu=3, surface=0)
    assert found['zero_export_mqtt_dropped_messages_total{source="opendtu"}'] == 3
    assert found['zero_export_mqtt_dropped_messages_total{source="surface"}'] == 0


def test_an_enphase_gateway() -> None:
    found = exposed(make_tick(envoy=make_envoy(99.0, UTC_S)))
    assert found['zero_export_envoy_power_watts{kind="grid",phase="all"}'] == -36.162
    assert found['zero_export_envoy_power_watts{kind="pv",phase="L3"}'] == 2.5, "the truth, however small"
    assert found['zero_export_envoy_reverse_joules_total{kind="grid",phase="L3"}'] == 412_345.25 * 3600
    assert found['zero_export_envoy_age_seconds{kind="pv"}'] == 1.5
    assert found['zero_export_microinverter_report_timestamp_seconds{serial="122000000001"}'] == UTC_S - 120
    assert found['zero_export_envoy_device_relay_closed{kind="relay",serial="122100000001"}'] == 1
    assert found['zero_export_envoy_device_ok{kind="battery",serial="122300000001"}'] == 1
    assert found["zero_export_envoy_battery_charge_ratio"] == 0.62
    assert 'zero_export_envoy_device_producing{kind="battery",serial="122300000001"}' not in found
    assert not [series for series in exposed(make_tick()) if "envoy" in series or "microinverter" in series]


def test_before_the_first_tick() -> None:
    found = exposed(None, Settings(enabled=False, target_point_w=-20.0))
    assert found["zero_export_enabled"] == 0
    assert found["zero_export_target_point_watts"] == -20.0
    assert not [name for name in found if "power" in name]


def test_hostile_names_stay_inside_their_quotes() -> None:
    name = 'a"} 1\nevil 2\\'
    found = exposed(make_tick(inverters=(make_inverter(name=name),)))
    assert not [series for series in found if series.startswith("evil")]
    assert found[r'zero_export_inverter_power_watts{name="a\"} 1\nevil 2\\",serial="116180400001"}'] == 612.4


@given(st.text(max_size=60), st.floats(allow_subnormal=False))
def test_whatever_a_device_calls_itself_and_says_is_read_back(name: str, power_w: float) -> None:
    inverter = make_inverter(name=name, ac=Ac(power_w=power_w))
    text = metrics(make_tick(inverters=(inverter,)), Settings(), now_s=100.5, version="1.2.3", site="home").decode()
    found = {(series, labels.get("name")): value for series, labels, value in parsed(text)}
    assert found["zero_export_inverter_limit_watts", name] == 640.0
    shown = found.get(("zero_export_inverter_power_watts", name))
    assert shown == (round(power_w, 6) if math.isfinite(power_w) else None)


def test_names_keep_to_the_conventions() -> None:
    for family in FAMILIES:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", family.name)
        assert family.name.endswith("_total") is (family.kind == "counter")
        assert not re.search(r"_(w|wh|kwh|v|a|c|s|ms|pct)(_|$)", family.name.replace("cents_per_kwh", ""))


SUFFIX = {
    "W": "_watts", "V": "_volts", "A": "_amperes", "Hz": "_hertz", "°C": "_celsius", "s": "_seconds", "ms": "_seconds",
    "Wh": "_joules", "kWh": "_joules", "%": "_ratio", "B": "_bytes", "dBm": "_dbm", "var": "_var", "VA": "_voltamperes",
    "ct/kWh": "_cents_per_kwh", "ct": "_cents",
}  # fmt: skip
ELSEWHERE = {
    "control.mode_number",  # mode, with a label
    "control.faults",  # fault, with a label
    "control.dc_w",  # the sum of inverter_dc_power_watts
    "control.commands",  # counted between two points, which one tick does not tell
    "price.gate_number",  # price_gate, with a label
    *(f"forecast.{name}" for name in ("export_value_c", "import_price_c", "confirmed")),  # not of now
    *(
        f"ledger.{span}_{item.name}" for span in ("today", "month") for item in ACCOUNT_FIELDS
    ),  # what the totals grow by
    "event.length_s",  # an event is no state
    "event.worst_w",
}


def test_every_number_that_telemetry_records_is_here_in_base_units() -> None:
    recorded = {
        f"{measurement.name}.{re.sub('^l[123]_', 'l*_', field.name)}": field.unit
        for measurement in RAW
        for field in measurement.fields
        if field.unit != TEXT
    }
    shown = {family.point: family.name for family in FAMILIES if family.point}
    assert shown.keys() == recorded.keys() - ELSEWHERE
    for point, name in shown.items():
        assert name.removesuffix("_total").endswith(SUFFIX.get(recorded[point], "")), point


def test_every_metric_can_appear() -> None:
    full = make_tick(
        price=PriceState(1.0, 2.0, valid_until_utc_s=UTC_S),
        inverters=(filled(make_inverter(), ac=filled(Ac()), panels=(filled(Panel(1)),), rule=RULED),),
        gateways=(filled(GatewayState("OpenDTU"), online=True),),
        meter=MeterState(filled(Reading(1.0, 99.0, UTC_S), phases=(filled(Phase()),))),
        faults=(METER_FAULT,),
        error_w=1.0,
        trim_p_w=1.0,
        trim_i_w=1.0,
        trim_d_w=1.0,
        dead_times=(("116180400001", 1.4),),
        excursions=ACCOUNT,
        gate=GATE,
        ledger=LEDGER,
        stores=(StoreState("influxdb", spool_b=1, spool_max_b=2),),
        battery=BATTERY,
        envoy=make_envoy(99.0, UTC_S),
    )
    shown = {series.partition("{")[0] for series in exposed(full, None, opendtu=1)}
    assert shown == {PREFIX + family.name for family in FAMILIES}  # no *_created, which is no state of ours


def filled(state: Any, **changes: Any) -> Any:
    """The same state with a number for everything that was unknown."""
    unknown = {item.name: 2.0 for item in fields(state) if getattr(state, item.name) is None}
    return replace(state, **(unknown | {"name": "x"} if "name" in unknown else unknown) | changes)


def test_units_are_converted() -> None:
    inverter = make_inverter(ac=Ac(efficiency_pct=95.5, yield_day_wh=10.0, yield_total_kwh=2.0), acked_pct=40.0)
    found = exposed(make_tick(inverters=(inverter,)))
    label = '{name="Garage",serial="116180400001"}'
    assert found[f"zero_export_inverter_efficiency_ratio{label}"] == 0.955
    assert found[f"zero_export_inverter_acked_limit_ratio{label}"] == 0.4
    assert found[f"zero_export_inverter_yield_day_joules{label}"] == 36_000.0
    assert found[f"zero_export_inverter_yield_joules_total{label}"] == 7_200_000.0
    assert found["zero_export_step_seconds"] == 0.0004


async def test_over_http(house: House) -> None:
    response, text = await house.ask("GET", "/metrics")
    assert response.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "zero_export_grid_power_watts 14.6\n" in text


async def test_names_that_are_no_text_do_not_break_it(house: House) -> None:
    house.hub.publish(make_tick(inverters=(make_inverter(name="\ud800"),)))
    response, _ = await house.ask("GET", "/metrics")
    assert response.status == 200
