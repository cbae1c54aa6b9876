"""The JSON schemas of everything that goes in and out over HTTP."""

from __future__ import annotations

from app.api.archive_schemas import archive_schemas
from app.api.envoy_schemas import envoy_schemas
from app.api.price_schemas import price_schemas
from app.api.shapes import FLAG, ON_OFF, TEXT, Json, many, maybe, number, optional, record, ref
from app.api.status import STALLED_S
from app.api.storage_schemas import storage_schemas
from app.model import Mode, Progress
from app.state import TARGET_RANGE_W

TARGET: Json = {
    "type": "number",
    "minimum": TARGET_RANGE_W[0],
    "maximum": TARGET_RANGE_W[1],
    "description": "grid power to hold, in watts; positive is import",
}


def _watts(*names: str) -> dict[str, Json]:
    return {name: number("W") for name in names}


def schemas() -> dict[str, Json]:
    """Every schema by its name."""
    return {
        "Error": record(error=TEXT | {"description": "what is wrong with which value, and what to do"}),
        "Enabled": record(enabled=ON_OFF),
        "Settings": record(enabled=ON_OFF, target_point_w=TARGET),
        "Change": {
            "type": "object",
            "properties": {"enabled": FLAG, "target_point_w": TARGET},
            "additionalProperties": False,
            "minProperties": 1,
        },
        "Status": _status(),
        "Meter": _meter(),
        "Phase": record(
            power_w=number("W"), voltage_v=number("V"), current_a=number("A"), power_factor=number("-1 to 1")
        ),
        "Inverter": _inverter(),
        "Rule": _rule(),
        "RuleState": _rule_state(),
        "Panel": _panel(),
        "Gateway": _gateway(),
        "Battery": _battery(),
        **price_schemas(),
        **envoy_schemas(),
        "StepTests": record(step_test=maybe("StepTest")),
        "StepTest": _step_test(),
        "StepResult": _step_result(),
        "StepTrial": record(
            **_watts("from_w", "to_w"),
            gain=number("change of grid power over change of limit"),
            dead_time_s=number("s"),
        ),
        "Serial": {
            "type": "object",
            "properties": {"serial": TEXT | {"minLength": 1}},
            "required": ["serial"],
            "additionalProperties": False,
        },
        "Fault": record(key=TEXT, text=TEXT, next_step=TEXT, since=optional("string", "ISO 8601, UTC")),
        "Store": record(
            name=TEXT,
            written=number("points kept for good since the start"),
            pending=number("points that wait"),
            oldest_s=number("for how long the oldest of them has waited"),
            dropped=number("points lost for want of room"),
            refused=number("points that the store cannot use"),
            spool_b=number("B that wait on the disk; null without a spool"),
            spool_max_b=number("B that may wait there"),
            spool_used_pct=number("how full it is"),
        ),
        "Excursions": _excursions(),
        "Excursion": record(
            began=optional("string", "ISO 8601, UTC"), length_s=number("s"), worst_w=number("W beyond what is allowed")
        ),
        "Ages": record(
            tick_s=number("since the control loop last turned"),
            meter_s=number("of the meter reading"),
            inverters_s={"type": "object", "additionalProperties": number("by serial")},
        ),
        **archive_schemas(),
        **storage_schemas(),
        "Health": record(
            status={"type": "string", "enum": ["ok", "starting", "stalled"]},
            tick_age_s=number("since the control loop last turned"),
            max_age_s={"type": "number", "const": STALLED_S},
            version=TEXT,
        ),
    }


def _status() -> Json:
    return record(
        enabled=ON_OFF,
        mode={"type": "string", "enum": [mode.value for mode in Mode]},
        reason=TEXT,
        **_watts("grid_w", "pv_w", "load_w", "limit_w", "setpoint_w", "target_w"),
        target_point_w=TARGET,
        dry_run=FLAG | {"description": "limits are computed and never sent"},
        meter=maybe("Meter"),
        inverters=many(ref("Inverter")),
        gateways=many(ref("Gateway")),
        battery=maybe("Battery"),
        price=maybe("Price"),
        gate=maybe("Gate"),
        override=maybe("Override"),
        ledger=maybe("Ledger"),
        broker_connected=optional("boolean"),
        step_test=maybe("StepTest"),
        excursions=maybe("Excursions"),
        enphase=maybe("Envoy") | {"description": "null where no Enphase gateway is configured"},
        ensemble=maybe("Ensemble"),
        stores=many(ref("Store")),
        faults=many(ref("Fault")),
        ages=ref("Ages"),
        site=TEXT,
        version=TEXT,
        time_utc=optional("string", "of the tick, ISO 8601"),
    )


def _meter() -> Json:
    return record(
        **_watts("power_w"),
        age_s=number("s"),
        interval_s=number("expected time between two readings"),
        fault=optional("string", "why there is no newer reading"),
        phases=many(ref("Phase")),
        import_wh=number("the meter's own counter"),
        export_wh=number("the meter's own counter"),
        latency_s=number("s"),
    )


def _phase() -> Json:
    return record(power_w=number("W"), voltage_v=number("V"), current_a=number("A"), power_factor=number("-1 to 1"))


def _inverter() -> Json:
    return record(
        serial=TEXT,
        name=TEXT,
        enabled=FLAG | {"description": "false: shown, never commanded"},
        reachable=optional("boolean"),
        producing=optional("boolean"),
        power_w=number("W"),
        age_s=number("of the power"),
        limit_w=number("the last limit sent"),
        limit_age_s=number("since then"),
        acked_w=number("the limit that the gateway shows as acknowledged"),
        acked_age_s=number("since then"),
        **_watts("min_w", "max_w"),
        dead_time_s=number("from a limit to its effect, as the law reckons now"),
        temperature_c=number("°C"),
        voltage_v=number("V"),
        frequency_hz=number("Hz"),
        dc_power_w=number("W"),
        efficiency_pct=number("%"),
        yield_day_wh=number("Wh"),
        yield_total_kwh=number("kWh"),
        rssi_dbm=number("radio signal"),
        panels=many(ref("Panel")),
        note=optional("string", "a remark of the driver"),
        guarded=FLAG | {"description": "the broker lowers it if this controller dies"},
        guardable=FLAG | {"description": "there can be such a limit at the broker"},
        trusted=FLAG | {"description": "what limits it is known to do so, or its power has proven it"},
        rule=maybe("RuleState"),
        writes_today=optional("integer", "limits written to a memory that wears out"),
        writes_budget=optional("integer", "how many a day may be written"),
        foreign=optional("string", "the last command to it that was not ours"),
        foreign_age_s=number("since then"),
    )


def _rule() -> Json:
    return record(
        export_w=number("the most that the house may export; null: what the inverter may without us"),
        produce=FLAG | {"description": "false: it is to give nothing at all"},
    )


def _rule_state() -> Json:
    return record(
        wanted=maybe("Rule"),
        accepted=maybe("Rule"),
        age_s=number("since it was accepted"),
        shown=maybe("Rule"),
        shown_age_s=number("since the inverter showed that"),
        obeyed=optional("boolean", "its power follows the accepted rule; null: that does not show"),
        waiting=optional("string", "why the wanted rule has not been given yet"),
        refused=optional("string", "why the last try failed"),
    )


def _panel() -> Json:
    return record(
        channel={"type": "integer", "minimum": 1},
        name=optional("string"),
        power_w=number("W"),
        voltage_v=number("V"),
        current_a=number("A"),
        yield_day_wh=number("Wh"),
        yield_total_kwh=number("kWh"),
        irradiation_pct=number("%"),
    )


def _gateway() -> Json:
    return record(
        name=TEXT,
        online=optional("boolean"),
        age_s=number("since its last message"),
        uptime_s=number("s"),
        rssi_dbm=number("WiFi signal"),
        temperature_c=number("°C"),
        heap_free_b=number("bytes"),
        fault=optional("string"),
    )


def _battery() -> Json:
    return record(
        name=TEXT,
        soc_pct=number("state of charge"),
        power_w=number("W, positive while it charges"),
        age_s=number("of charge and power"),
        interval_s=number("expected time between two reports"),
        capacity_wh=number("what it holds, where that is configured"),
        max_charge_w=number("the most that it takes, where that is configured"),
        fault=optional("string", "why there is nothing newer"),
    )


def _excursions() -> Json:
    count: Json = {"type": "integer", "minimum": 0}
    return record(
        over_w=number("counted: export by more than so much beyond what is allowed"),
        longer_s=number("for at least so long"),
        current_s=number("beyond by now: 0 while it is not, null while that is unknown"),
        today=count | {"description": "that began today, local time"},
        today_over_60_s=count,
        longest_today_s=number("s"),
        worst_today_w=number("most beyond what is allowed"),
        beyond_today_wh=number("all energy beyond what is allowed, however short"),
        unknown_today_s=number("for how long the grid power was unknown while a bound was in force"),
        in_10_min=count,
        in_24_h=count,
        total=count,
        over_60_s=count,
        longest_s=number("of all"),
        since=optional("string", "when counting began; ISO 8601, UTC"),
        last=maybe("Excursion"),
    )


def _step_test() -> Json:
    return record(
        number={"type": "integer", "description": "tells one test from the next"},
        serial=TEXT,
        name=TEXT,
        state={"type": "string", "enum": [state.value for state in Progress]},
        text=TEXT | {"description": "what is going on, what was found, or why it failed"},
        next_step=TEXT,
        step={"type": "integer", "minimum": 0},
        steps={"type": "integer", "minimum": 0},
        result=maybe("StepResult"),
    )


def _step_result() -> Json:
    return record(
        verdict={"type": "string", "enum": ["ok", "warn", "fail"]},
        dead_time_s=number("median of the steps down, the meter's lag included"),
        dead_time_min_s=number("the shortest"),
        dead_time_max_s=number("the longest"),
        ramp_down_w_per_s=number("W/s; null: faster than the meter shows"),
        ramp_up_w_per_s=number("W/s; null: faster than the meter shows"),
        gain=number("change of grid power over change of limit, about 1"),
        reported_gain=number("the same by the inverter's own reports"),
        sign={"type": "integer", "enum": [-1, 0, 1], "description": "-1: the meter sees it the wrong way round"},
        phase={"type": ["integer", "null"], "minimum": 1, "description": "of the meter, on which the inverter feeds"},
        trials=many(ref("StepTrial")),
    )
