"""What AhoyDTU publishes and how it reads commands: topics, payloads, number formats and their order. Pure.

The gateway behind it is the simulated OpenDTU: the radio is the same, only that AhoyDTU asks every inverter every 15 s,
which is for the configuration of the house to say.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from app.simulator.answers import InverterData
from app.simulator.dtu import Dtu
from app.simulator.link import Link
from app.simulator.parameters import EFFICIENCY
from app.simulator.payload import LimitValue, parse_number

Messages = Iterator[tuple[str, str, bool]]  # topic, payload, retained

STATUS_EVERY_S = 60.0
INACTIVE_S, OFF_S = 300.0, 900.0  # config.h: no answer for so long
OFF, STARTING, PRODUCING, WAS_PRODUCING, WAS_ON = range(5)


@dataclass(slots=True)
class _Told:
    """What has been said of one inverter."""

    data_seq: int = 0
    status: int = OFF
    told_status: int = OFF
    command_ok_s: float = 0.0
    limit_read_s: float = 0.0
    hardware: bool = False


class AhoyTopics:
    """The memory of what has been published. ``json``: channels as objects."""

    def __init__(self, dtu: Dtu) -> None:
        self.json = False
        self._dtu = dtu
        self._reboots = -1
        self._told: dict[str, _Told] = {}
        self._minute_s = 0.0

    def greeting(self) -> Messages:
        """After connecting."""
        yield "version", "0.8.156", False
        yield "device", "AHOY-DTU", False
        yield "ip_addr", "192.0.2.18", True
        yield from self._itself()

    def news(self, utc_minus_now_s: float) -> Messages:
        """What has happened since the last call."""
        dtu = self._dtu
        if dtu.reboots != self._reboots:
            self._reboots = dtu.reboots
            self._told = {serial: _Told() for serial in dtu.links}
        if dtu.hung or not dtu.up:
            return
        if dtu.uptime_s >= self._minute_s + STATUS_EVERY_S:
            yield from self._itself()
        for link in dtu.links.values():
            yield from self._inverter(link, self._told[link.serial], utc_minus_now_s)

    def _itself(self) -> Messages:
        self._minute_s = self._dtu.uptime_s
        yield "uptime", f"{self._dtu.uptime_s:.0f}", False
        yield "wifi_rssi", "-61", False
        yield "free_heap", "142336", False
        yield "cpu_temp", "48.30", False

    def _inverter(self, link: Link, told: _Told, utc_minus_now_s: float) -> Messages:
        name = link.inverter.config.name
        told.status = self._status(link, told.status)
        if told.status != told.told_status:
            told.told_status = told.status
            yield f"{name}/available", f"{told.status}", True
        if link.data is not None and link.data_seq != told.data_seq:
            told.data_seq = link.data_seq
            yield f"{name}/last_success", f"{link.data.at_s + utc_minus_now_s:.0f}", True
            yield from (self._objects if self.json else self._fields)(name, link.data)
            yield f"{name}/radio_stat", json.dumps({"tx": link.counters.tx_request}), False
        if link.info_known and not told.hardware:
            told.hardware = True
            yield f"{name}/hardware", json.dumps({"part": link.inverter.model.part, "version": "256"}), True
        yield from self._limits(link, told)

    def _limits(self, link: Link, told: _Told) -> Messages:
        """What was asked for, as soon as the inverter has answered; then what it has."""
        name, inverter = link.inverter.config.name, link.inverter
        answered = link.command_ok_s > told.command_ok_s and isinstance(link.acked, LimitValue)
        if answered and link.acked is not None:
            told.command_ok_s = link.command_ok_s
            yield f"{name}/ack_pwr_limit", f"{link.acked.number:.1f}", True
        if answered or link.limit_read_s > told.limit_read_s:
            told.limit_read_s = max(told.limit_read_s, link.limit_read_s)
            topic = "active_PowerLimit" if self.json else "ch0/active_PowerLimit"
            yield f"{name}/{topic}", _g(inverter.limit_w / inverter.model.rated_w * 100.0), False

    def _status(self, link: Link, before: int) -> int:
        if link.data is None:
            return OFF
        silent_s = self._dtu.now_s - link.data.at_s
        if silent_s > INACTIVE_S:
            return OFF if silent_s > OFF_S else WAS_ON
        if link.data.power_w > 0.0:
            return PRODUCING
        return WAS_PRODUCING if before in (PRODUCING, WAS_PRODUCING) else STARTING

    def _fields(self, name: str, data: InverterData) -> Messages:
        for channel, fields in _channels(data):
            for key, value in fields.items():
                yield f"{name}/ch{channel}/{key}", _g(value), key.startswith("Yield")

    def _objects(self, name: str, data: InverterData) -> Messages:
        for channel, fields in _channels(data):
            values = {key: float(_g(value)) for key, value in fields.items()}
            yield f"{name}/ch{channel}", json.dumps({"ts": round(data.at_s)} | values), False


def _channels(data: InverterData) -> Iterator[tuple[int, dict[str, float]]]:
    """The inputs first, then the inverter; its power in the middle."""
    for channel, panel in enumerate(data.inputs, start=1):
        yield (
            channel,
            {
                "U_DC": panel.voltage_v,
                "I_DC": panel.current_a,
                "P_DC": panel.power_w,
                "YieldDay": panel.yield_day_wh,
                "YieldTotal": panel.yield_total_kwh,
                "Irradiation": panel.irradiation_pct,
            },
        )
    yield (
        0,
        {
            "U_AC": data.voltage_v,
            "I_AC": data.current_a,
            "P_AC": data.power_w,
            "Q_AC": data.reactive_power_var,
            "F_AC": data.frequency_hz,
            "PF_AC": data.power_factor,
            "Temp": data.temperature_c,
            "ALARM_MES_ID": 3.0,
            "YieldDay": sum(panel.yield_day_wh for panel in data.inputs),
            "YieldTotal": sum(panel.yield_total_kwh for panel in data.inputs),
            "P_DC": data.dc_power_w,
            "Efficiency": 100.0 * EFFICIENCY if data.power_w else 0.0,
            "MaxPower": data.power_w,
        },
    )


def command(dtu: Dtu, topic: str, payload: str) -> None:
    """Take a message from below the prefix, as AhoyDTU does: lenient numbers, and watts where they end in W."""
    if not payload:
        return
    if topic == "ctrl/restart_ahoy":
        dtu.reboot()
        return
    what, _, number = topic.removeprefix("ctrl/").partition("/")
    serials = list(dtu.links)
    if not number.isdecimal() or int(number) >= len(serials):
        return
    serial = serials[int(number)]
    try:
        value = parse_number(payload) or 0.0
    except OverflowError:
        value = 0.0
    if what == "limit":
        kind = "absolute" if payload.endswith("W") else "relative"
        dtu.receive(serial, f"limit_nonpersistent_{kind}", f"{value:.1f}")
    elif what == "power":
        dtu.receive(serial, "power", f"{int(value) == 1:d}")
    elif what == "restart":
        dtu.receive(serial, "restart", "1")


def _g(value: float) -> str:
    return f"{round(value, 3):g}"
