"""What OpenDTU says of one inverter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from app.broker import Message
from app.inverters.hoymiles.heard import Heard, Take
from app.inverters.hoymiles.payload import MOST_CHANNELS, text

AC_FIELDS = {
    "power": "power_w",
    "voltage": "voltage_v",
    "current": "current_a",
    "frequency": "frequency_hz",
    "powerfactor": "power_factor",
    "reactivepower": "reactive_power_var",
    "powerdc": "dc_power_w",
    "temperature": "temperature_c",
    "efficiency": "efficiency_pct",
    "yieldday": "yield_day_wh",
    "yieldtotal": "yield_total_kwh",
}
PANEL_FIELDS = {
    "power": "power_w",
    "voltage": "voltage_v",
    "current": "current_a",
    "yieldday": "yield_day_wh",
    "yieldtotal": "yield_total_kwh",
    "irradiation": "irradiation_pct",
}
STATUS_FIELDS = {
    "reachable": "reachable",
    "producing": "producing",
    "last_update": "updated_utc_s",
    "limit_relative": "limit_pct",
    "limit_absolute": "limit_w",
}


@dataclass(slots=True)
class OpenDtuHeard(Heard):
    """One inverter by OpenDTU's messages."""

    def topics(self) -> Iterator[tuple[str, Take]]:
        """Every topic below the serial that says something, and who takes it in: False where it cannot be used."""
        yield "name", self._take_name
        yield "radio/rssi", self.take_rssi
        for key, name in STATUS_FIELDS.items():
            yield f"status/{key}", partial(self._take_status, name)
        for key, name in AC_FIELDS.items():
            yield f"0/{key}", partial(self._take_ac, name)
        for channel in range(1, (self.config.channels or MOST_CHANNELS) + 1):
            yield f"{channel}/name", partial(self._take_panel_name, channel)
            for key, name in PANEL_FIELDS.items():
                yield f"{channel}/{key}", partial(self._take_panel, channel, name)

    def _take_name(self, message: Message) -> bool:
        self.label = text(message.payload)
        return True

    def _take_status(self, name: str, message: Message) -> bool:
        value = self.value(name, message)
        if value is None:
            return not message.payload
        if name == "reachable":
            self.take_reachable(value > 0.0, live=not message.retain)
        elif message.retain:
            return True
        elif name == "producing":
            self.producing = value > 0.0
        elif name == "updated_utc_s":
            self.take_updated(value)
        else:
            self._take_limit(name, value)
        return True

    def _take_limit(self, name: str, value: float) -> None:
        if name == "limit_pct":
            self.limit_pct = value
        else:
            self.limit_w = value
            if self.limit_pct and self.limit_pct >= 10.0:
                self.rated_w = round(value / self.limit_pct * 100.0)
        self.take_limit()

    def _take_ac(self, name: str, message: Message) -> bool:
        value = self.value(name, message)
        if value is None:
            return not message.payload
        if message.retain or self.reachable is False:
            return True
        if name == "yield_day_wh" and value < self.ac.get(name, 0.0):
            self.lose_limit("has restarted")
        self.ac[name] = value
        if name == "power_w":
            self.prove_power()
        elif name == "efficiency_pct":
            self.end_burst()
        return True

    def _take_panel_name(self, channel: int, message: Message) -> bool:
        self.panels.setdefault(channel, {})["name"] = text(message.payload) or None
        return True

    def _take_panel(self, channel: int, name: str, message: Message) -> bool:
        value = self.value(name, message)
        if value is None:
            return not message.payload
        if not message.retain and self.reachable is not False:
            self.panels.setdefault(channel, {})[name] = value
        return True
