"""What an inverter answers when it is asked for its data. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DcInput:
    """One panel as the inverter reports it."""

    power_w: float
    voltage_v: float
    current_a: float
    yield_day_wh: float
    yield_total_kwh: float
    irradiation_pct: float


@dataclass(frozen=True, slots=True)
class InverterData:
    """One answer of the inverter: its state at ``at_s``."""

    at_s: float
    power_w: float
    voltage_v: float
    current_a: float
    frequency_hz: float
    power_factor: float
    reactive_power_var: float
    temperature_c: float
    inputs: tuple[DcInput, ...]

    @property
    def dc_power_w(self) -> float:
        """Sum over the panels."""
        return sum(panel.power_w for panel in self.inputs)
