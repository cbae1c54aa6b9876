"""What the inverters and the meter measure: the DC inputs and the AC side."""

from __future__ import annotations

from frame import Line
from parts import GREEN, ORANGE, RED, graph
from queries import Json, inputs, inverters, site


def inputs_lines() -> list[Line]:
    """Each DC input, named by the inverter's serial number and the input."""
    return [
        Line(
            8,
            [
                graph("Panel DC Voltages", "Voltage of each DC input.", "volt", [inputs("voltage_v")]),
                graph("Panel DC Power", "Power of each DC input.", "watt", [inputs("power_w")]),
            ],
        ),
        Line(
            7,
            [
                graph("Panel DC Current", "Current of each DC input.", "amp", [inputs("current_a")]),
                graph(
                    "Irradiation",
                    "Power of each DC input in percent of its panel's rated power, which OpenDTU has to be told.",
                    "percent",
                    [inputs("irradiation_pct")],
                ),
            ],
        ),
        Line(
            7,
            [
                graph(
                    "Panel Yield Today",
                    "Energy of today of each DC input, as the inverter counts it.",
                    "watth",
                    [inputs("yield_day_wh")],
                    every="1m",
                    gap_s=3600,
                ),
                graph(
                    "Panel Yield Total",
                    "Energy of each DC input since the first day, as the inverter counts it.",
                    "kwatth",
                    [inputs("yield_total_kwh")],
                    every="1m",
                    gap_s=3600,
                ),
            ],
        ),
    ]


def lines() -> list[Line]:
    """The AC side, in pairs."""
    return [
        Line(8, [voltage(), current()]),
        Line(8, [temperature(), efficiency()]),
        Line(
            7,
            [
                graph("Power Factor", "Power factor of each inverter.", "none", [inverters("power_factor")]),
                graph(
                    "Reactive Power",
                    "Reactive power of each inverter.",
                    "voltampreact",
                    [inverters("reactive_power_var")],
                ),
                graph(
                    "Frequency",
                    "Frequency of the grid, as each inverter sees it.",
                    "hertz",
                    [inverters("frequency_hz")],
                ),
            ],
        ),
        Line(
            7,
            [
                graph(
                    "Inverter Yield Today",
                    "Energy of today of each inverter, as it counts it; it starts again at 0 when it restarts.",
                    "watth",
                    [inverters("yield_day_wh")],
                    every="1m",
                    gap_s=3600,
                ),
            ],
        ),
    ]


def voltage() -> Json:
    """The inverters' and the meter's."""
    return graph(
        "Voltage",
        "AC voltage at each inverter, and of the phases at the meter. 253 V is 10 % more than 230 V.",
        "volt",
        [inverters("ac_voltage_v"), *_phases("voltage_v")],
        levels=[(GREEN, None), (RED, 253.0)],
    )


def current() -> Json:
    """The inverters' and the meter's."""
    return graph(
        "Current",
        "AC current of each inverter, and of the phases at the meter.",
        "amp",
        [inverters("ac_current_a"), *_phases("current_a")],
    )


def temperature() -> Json:
    """How warm they are."""
    return graph(
        "Temperature",
        "Temperature of each inverter.",
        "celsius",
        [inverters("temperature_c")],
        levels=[(GREEN, None), (ORANGE, 60.0), (RED, 75.0)],
    )


def efficiency() -> Json:
    """What they lose."""
    return graph("Efficiency", "AC power out of DC power, for each inverter.", "percent", [inverters("efficiency_pct")])


def _phases(field: str) -> list[Json]:
    return [site("grid", f"l{i}_{field}", f"Grid L{i}") for i in (1, 2, 3)]
