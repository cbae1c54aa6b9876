"""What OpenDTU publishes: one burst of topics and payloads, in its order and its number formats. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from app.simulator.dtu import Dtu
from app.simulator.link import Link
from app.simulator.parameters import EFFICIENCY

Messages = Iterator[tuple[str, str]]


def burst(dtu: Dtu, utc_minus_now_s: float) -> Messages:
    """Every topic (below the prefix) of one publication: the DTU, each inverter, the totals."""
    yield from _dtu(dtu)
    for link in dtu.links.values():
        yield from _always(link, utc_minus_now_s)
        if link.fresh:
            yield from _channels(link)
    yield from _totals(dtu)


def _dtu(dtu: Dtu) -> Messages:
    yield "dtu/uptime", f"{dtu.uptime_s:.0f}"
    yield "dtu/ip", "192.0.2.17"
    yield "dtu/hostname", "OpenDTU-A1B2C3"
    yield "dtu/heap/size", "292340"
    yield "dtu/heap/free", f"{154000 - dtu.published * 37 % 4000}"
    yield "dtu/heap/minfree", "128404"
    yield "dtu/heap/maxalloc", "110580"
    yield "dtu/rssi", f"{-58 - dtu.published % 5}"
    yield "dtu/bssid", "02:00:5E:10:00:01"
    yield "dtu/temperature", f"{47.2 + dtu.published % 7 / 10:.2f}"


def _always(link: Link, utc_minus_now_s: float) -> Messages:
    serial, counters = link.serial, link.counters
    yield f"{serial}/name", link.inverter.config.name
    yield f"{serial}/radio/tx_request", f"{counters.tx_request}"
    yield f"{serial}/radio/tx_re_request", "0"
    yield f"{serial}/radio/rx_success", f"{counters.rx_success}"
    yield f"{serial}/radio/rx_fail_nothing", f"{counters.rx_fail_nothing}"
    yield f"{serial}/radio/rx_fail_partial", "0"
    yield f"{serial}/radio/rx_fail_corrupt", "0"
    yield f"{serial}/radio/rssi", "-127" if link.data is None else "-30"
    if link.info_known:
        built = datetime(2023, 5, 11, 15, 20, tzinfo=UTC)
        yield f"{serial}/device/bootloaderversion", "104"
        yield f"{serial}/device/fwbuildversion", f"{link.inverter.model.firmware}"
        yield f"{serial}/device/fwbuilddatetime", f"{built:%Y-%m-%d %H:%M:%S}"
        yield f"{serial}/device/hwpartnumber", f"{link.inverter.model.part}"
        yield f"{serial}/device/hwversion", "01.00"
    if link.limit_pct is not None:
        yield f"{serial}/status/limit_relative", f"{link.limit_pct:.2f}"
        if link.rated_w is not None:
            yield f"{serial}/status/limit_absolute", f"{link.limit_pct * link.rated_w / 100.0:.2f}"
    yield f"{serial}/status/reachable", f"{link.reachable:d}"
    yield f"{serial}/status/producing", f"{link.producing:d}"
    yield f"{serial}/status/last_update", "0" if link.data is None else f"{link.data.at_s + utc_minus_now_s:.0f}"


def _channels(link: Link) -> Messages:
    data, serial = link.data, link.serial
    if data is None:
        return
    yield f"{serial}/0/voltage", f"{data.voltage_v:.1f}"
    yield f"{serial}/0/current", f"{data.current_a:.2f}"
    yield f"{serial}/0/power", f"{data.power_w:.1f}"
    yield f"{serial}/0/frequency", f"{data.frequency_hz:.2f}"
    yield f"{serial}/0/powerfactor", f"{data.power_factor:.3f}"
    yield f"{serial}/0/reactivepower", f"{data.reactive_power_var:.1f}"
    for channel, panel in enumerate(data.inputs, start=1):
        yield f"{serial}/{channel}/name", f"{link.inverter.config.name} {channel}"
        yield f"{serial}/{channel}/voltage", f"{panel.voltage_v:.1f}"
        yield f"{serial}/{channel}/current", f"{panel.current_a:.2f}"
        yield f"{serial}/{channel}/power", f"{panel.power_w:.1f}"
        yield f"{serial}/{channel}/yieldday", f"{panel.yield_day_wh:.0f}"
        yield f"{serial}/{channel}/yieldtotal", f"{panel.yield_total_kwh:.3f}"
        yield f"{serial}/{channel}/irradiation", f"{panel.irradiation_pct:.3f}"
    yield f"{serial}/0/powerdc", f"{data.dc_power_w:.1f}"
    yield f"{serial}/0/yieldday", f"{sum(panel.yield_day_wh for panel in data.inputs):.0f}"
    yield f"{serial}/0/yieldtotal", f"{sum(panel.yield_total_kwh for panel in data.inputs):.3f}"
    yield f"{serial}/0/temperature", f"{data.temperature_c:.1f}"
    yield f"{serial}/0/efficiency", f"{100.0 * EFFICIENCY if data.power_w else 0.0:.3f}"


def _totals(dtu: Dtu) -> Messages:
    links = dtu.links.values()
    known = [link.data for link in links if link.data is not None]
    inputs = [panel for data in known for panel in data.inputs]
    rated_dc_w = sum(link.inverter.config.panel_w * len(link.data.inputs) for link in links if link.data is not None)
    dc_w = sum(data.dc_power_w for data in known)
    valid = f"{all(link.reachable for link in links):d}"
    yield "ac/power", f"{sum(data.power_w for data in known):.1f}"
    yield "ac/yieldtotal", f"{sum(panel.yield_total_kwh for panel in inputs):.3f}"
    yield "ac/yieldday", f"{sum(panel.yield_day_wh for panel in inputs):.0f}"
    yield "ac/is_valid", valid
    yield "dc/power", f"{dc_w:.1f}"
    yield "dc/irradiation", f"{100.0 * dc_w / rated_dc_w if rated_dc_w else 0.0:.3f}"
    yield "dc/is_valid", valid
