"""The metric families of `/metrics`: name, type, help, and the telemetry field that records the same value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Family:
    """One metric family, without the common prefix. ``point`` is ``measurement.field`` of telemetry, if any."""

    name: str
    kind: str
    text: str
    point: str = ""


FAMILIES = tuple(
    Family(*row)
    for row in (
        ("info", "gauge", "Version and site of this controller."),
        ("enabled", "gauge", "1 while zero export is switched on, 0 while it is paused.", "control.enabled"),
        ("dry_run", "gauge", "1 while limits are computed and never sent.", "control.dry_run"),
        ("mode", "gauge", "1 for the mode in force, 0 for the others."),
        ("fault", "gauge", "1 for each fault that is there."),
        ("tick_age_seconds", "gauge", "Time since the control loop last turned."),
        ("step_seconds", "gauge", "Duration of the last control step.", "control.step_ms"),
        ("broker_connected", "gauge", "1 while the MQTT broker is connected."),
        ("mqtt_dropped_messages_total", "counter", "MQTT messages that were dropped unread, or unusable."),
        ("excursion_seconds", "gauge", "How long export has been beyond what is allowed.", "control.excursion_s"),
        ("excursions_total", "counter", "Excursions on the account."),
        ("excursions_over_60_seconds_total", "counter", "Those of at least 60 s."),
        ("excursions_in_10_minutes", "gauge", "Those of the last 10 minutes."),
        ("excursions_in_24_hours", "gauge", "Those of the last 24 hours."),
        ("excursions_today", "gauge", "Those that began today.", "control.excursions_today"),
        ("excursion_longest_today_seconds", "gauge", "The longest of today.", "control.excursion_longest_today_s"),
        ("excursion_worst_today_watts", "gauge", "The strongest of today.", "control.excursion_worst_today_w"),
        ("export_beyond_today_joules", "gauge", "Beyond what is allowed, today.", "control.export_beyond_today_wh"),
        ("grid_unknown_today_seconds", "gauge", "Nobody knew whether it was kept.", "control.grid_unknown_today_s"),
        ("grid_power_watts", "gauge", "Grid power; positive is import, negative is export.", "control.grid_w"),
        ("pv_power_watts", "gauge", "AC power of all inverters.", "control.pv_w"),
        ("load_power_watts", "gauge", "Estimated power of the household.", "control.load_w"),
        ("limit_watts", "gauge", "Sum of the limits in force.", "control.limit_w"),
        ("setpoint_watts", "gauge", "Ceiling of the site that the law asks for.", "control.setpoint_w"),
        ("target_watts", "gauge", "Grid power that is regulated to.", "control.target_w"),
        ("target_point_watts", "gauge", "Grid power that is set as the target."),
        ("error_watts", "gauge", "Grid power minus target.", "control.error_w"),
        ("pid_p_watts", "gauge", "Proportional part of the trim.", "control.pid_p_w"),
        ("pid_i_watts", "gauge", "Integral part of the trim.", "control.pid_i_w"),
        ("pid_d_watts", "gauge", "Derivative part of the trim.", "control.pid_d_w"),
        ("meter_power_watts", "gauge", "The last meter reading; positive is import.", "grid.power_w"),
        ("meter_age_seconds", "gauge", "Age of the last meter reading.", "grid.age_s"),
        ("meter_latency_seconds", "gauge", "Time the meter took for its last answer.", "grid.latency_ms"),
        ("meter_import_joules_total", "counter", "Import counted by the meter itself.", "grid.import_wh"),
        ("meter_export_joules_total", "counter", "Export counted by the meter itself.", "grid.export_wh"),
        ("meter_phase_power_watts", "gauge", "Power per phase; positive is import.", "grid.l*_power_w"),
        ("meter_phase_voltage_volts", "gauge", "Voltage per phase.", "grid.l*_voltage_v"),
        ("meter_phase_current_amperes", "gauge", "Current per phase.", "grid.l*_current_a"),
        ("meter_phase_power_factor_ratio", "gauge", "Power factor per phase.", "grid.l*_power_factor"),
        ("inverter_enabled", "gauge", "1 where the inverter may be commanded.", "inverter.enabled"),
        ("inverter_reachable", "gauge", "1 while the gateway reaches the inverter.", "inverter.reachable"),
        ("inverter_producing", "gauge", "1 while the inverter produces.", "inverter.producing"),
        ("inverter_guarded", "gauge", "1 while the broker holds its dead-man limit.", "inverter.guarded"),
        ("inverter_age_seconds", "gauge", "Age of the last reported power."),
        ("inverter_power_watts", "gauge", "AC power.", "inverter.ac_power_w"),
        ("inverter_dc_power_watts", "gauge", "DC power of all inputs.", "inverter.dc_power_w"),
        ("inverter_reactive_power_var", "gauge", "Reactive power.", "inverter.reactive_power_var"),
        ("inverter_limit_watts", "gauge", "Limit last sent.", "inverter.limit_commanded_w"),
        ("inverter_acked_limit_watts", "gauge", "Limit that the gateway shows as acknowledged.", "inverter.limit_w"),
        ("inverter_acked_limit_ratio", "gauge", "The same limit over the rated power.", "inverter.limit_pct"),
        ("inverter_max_watts", "gauge", "Highest limit."),
        ("inverter_dead_time_seconds", "gauge", "From a limit to its effect, as now reckoned.", "inverter.dead_time_s"),
        ("inverter_voltage_volts", "gauge", "AC voltage.", "inverter.ac_voltage_v"),
        ("inverter_current_amperes", "gauge", "AC current.", "inverter.ac_current_a"),
        ("inverter_frequency_hertz", "gauge", "AC frequency.", "inverter.frequency_hz"),
        ("inverter_power_factor_ratio", "gauge", "Power factor.", "inverter.power_factor"),
        ("inverter_temperature_celsius", "gauge", "Temperature.", "inverter.temperature_c"),
        ("inverter_efficiency_ratio", "gauge", "AC power over DC power.", "inverter.efficiency_pct"),
        ("inverter_yield_day_joules", "gauge", "Energy of today.", "inverter.yield_day_wh"),
        ("inverter_yield_joules_total", "counter", "Energy since the first day.", "inverter.yield_total_kwh"),
        ("inverter_resets_total", "counter", "Events that lost the limit.", "inverter.resets"),
        ("inverter_rssi_dbm", "gauge", "Signal between gateway and inverter.", "inverter.rssi_dbm"),
        ("panel_power_watts", "gauge", "DC power of one input.", "panel.power_w"),
        ("panel_voltage_volts", "gauge", "DC voltage of one input.", "panel.voltage_v"),
        ("panel_current_amperes", "gauge", "DC current of one input.", "panel.current_a"),
        ("panel_yield_day_joules", "gauge", "Energy of today of one input.", "panel.yield_day_wh"),
        ("panel_yield_joules_total", "counter", "Energy of one input since its first day.", "panel.yield_total_kwh"),
        ("panel_irradiation_ratio", "gauge", "Power over the panel's rated power.", "panel.irradiation_pct"),
        ("gateway_online", "gauge", "1 while the gateway is online.", "dtu.online"),
        ("gateway_uptime_seconds", "gauge", "Time since the gateway's start.", "dtu.uptime_s"),
        ("gateway_rssi_dbm", "gauge", "Signal of the gateway's WiFi.", "dtu.rssi_dbm"),
        ("gateway_temperature_celsius", "gauge", "Temperature of its processor.", "dtu.temperature_c"),
        ("gateway_heap_free_bytes", "gauge", "Its free memory.", "dtu.heap_free_b"),
        ("price_export_cents_per_kwh", "gauge", "What one exported kWh earns.", "price.export_value_c"),
        ("price_import_cents_per_kwh", "gauge", "Price of one imported kWh.", "price.import_price_c"),
        ("price_estimated", "gauge", "1 while the price is an estimate.", "price.estimated"),
        ("price_valid_until_timestamp_seconds", "gauge", "When the price ends.", "price.valid_until_utc_s"),
        ("price_gate", "gauge", "1 for what the price asks for, 0 for the others."),
        ("price_override", "gauge", "1 while somebody decides in its place.", "price.by_hand"),
        ("import_joules_total", "counter", "Imported energy, on the ledger.", "ledger.total_import_wh"),
        ("export_joules_total", "counter", "Exported energy, on the ledger.", "ledger.total_export_wh"),
        (
            "curtailed_joules_total",
            "counter",
            "Energy that the sun would have given, estimated.",
            "ledger.total_curtailed_wh",
        ),
        (
            "curtailed_unknown_seconds_total",
            "counter",
            "Time held back without any estimate.",
            "ledger.total_uncertain_s",
        ),
        ("export_earned_cents", "gauge", "Earned by export, negative where it cost.", "ledger.total_earned_c"),
        ("gate_saved_cents", "gauge", "Saved by holding back, negative where it cost.", "ledger.total_saved_c"),
    )
)
