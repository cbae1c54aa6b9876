"""What an Enphase gateway tells of its devices, its batteries and its events. Pure: documents in, facts out."""

from __future__ import annotations

from typing import Any

from app.enphase.meters import number
from app.model import BatteryState, DeviceDataError, EnvoyDevice, EnvoyEvent, Microinverter

INVERTERS, INVENTORY = "/api/v1/production/inverters", "/inventory.json"
ENSEMBLE, SECCTRL, POWER = "/ivp/ensemble/inventory", "/ivp/ensemble/secctrl", "/ivp/ensemble/power"
EVENTS = "/datatab/event_dt.rb?start=0&length=10"
KINDS = {"PCU": "inverter", "ACB": "battery", "ENCHARGE": "battery", "NSRB": "relay"}
MOST_DEVICES, MOST_EVENTS, MOST_WORDS = 1000, 10, 10
LONGEST_SERIAL, LONGEST_TEXT = 32, 200
OLDEST_UTC_S, LATEST_UTC_S = 1e9, 1e11  # of a report: before 2001 there was none, and no clock is so far ahead


def microinverters(document: Any) -> tuple[Microinverter, ...]:
    """The last report of each micro-inverter, each once. Raises `DeviceDataError`."""
    found: dict[str, Microinverter] = {}
    for row in _rows(document, INVERTERS):
        serial = _serial(row.get("serialNumber"))
        reported_s = number(row.get("lastReportDate"))
        known = reported_s is not None and OLDEST_UTC_S < reported_s < LATEST_UTC_S
        if serial is not None:
            power_w = number(row.get("lastReportWatts")) if known else None
            found[serial] = Microinverter(serial, power_w, reported_s if known else None)
    return tuple(found.values())


def devices(document: Any, what: str = INVENTORY) -> tuple[EnvoyDevice, ...]:
    """Micro-inverters, batteries and relays, each once. Raises `DeviceDataError`."""
    found: dict[str, EnvoyDevice] = {}
    for group in _rows(document, what):
        kind = KINDS.get(str(group.get("type")))
        for row in _rows(group.get("devices", []), what) if kind is not None else ():
            serial = _serial(row.get("serial_num"))
            if serial is not None and kind is not None:
                found[serial] = _device(serial, kind, row)
    if len(found) > MOST_DEVICES:
        raise DeviceDataError(f"{what} has more than {MOST_DEVICES} devices")
    return tuple(found.values())


def _device(serial: str, kind: str, row: dict[str, Any]) -> EnvoyDevice:
    status = row.get("device_status")
    words = status[:MOST_WORDS] if isinstance(status, list) else []
    return EnvoyDevice(
        serial,
        kind,
        tuple(text for word in words if (text := _text(word)) is not None),
        producing=_flag(row.get("producing")),
        communicating=_flag(row.get("communicating")),
        provisioned=_flag(row.get("provisioned")),
        operating=_flag(row.get("operating")),
        relay=_text(row.get("relay")),
        reason=_text(row.get("reason")),
    )


def battery(inventory: Any, secctrl: Any, power: Any, reported: Any, name: str) -> BatteryState | None:
    """All batteries of the gateway as one; None: it has none. Documents that are not there are None.

    Charge and size come from ``secctrl``, or else from the batteries themselves; AC batteries without any of that are
    in the report of the production (``reported``).
    """
    units = _units(inventory)
    full = [value for row in units if (value := _percent(row.get("percentFull"))) is not None]
    told = secctrl if isinstance(secctrl, dict) else {}
    sizes = [number(told.get(key)) for key in ("Max_energy", "Enc_max_available_capacity")]
    size_wh = next((one for one in sizes if one is not None and one > 0.0), None)
    if not units and size_wh is None:
        return _ac_batteries(reported, name)
    charge = [_percent(told.get(key)) for key in ("agg_soc", "ENC_agg_soc", "ACB_agg_soc")]
    charge.append(sum(full) / len(full) if full else None)
    soc_pct = next((one for one in charge if one is not None), None)
    return BatteryState(name, soc_pct, _charging_w(power), capacity_wh=size_wh)


def _charging_w(power: Any) -> float | None:
    """Positive is charging; each battery tells what it gives, in milliwatts. The key has that colon."""
    units = power.get("devices:", power.get("devices")) if isinstance(power, dict) else None
    rows = units[:MOST_DEVICES] if isinstance(units, list) else []
    given_mw = [number(row.get("real_power_mw")) if isinstance(row, dict) else None for row in rows]
    known = [one for one in given_mw if one is not None]
    return 0.0 - sum(known) / 1000.0 if known and len(known) == len(given_mw) else None


def _ac_batteries(reported: Any, name: str) -> BatteryState | None:
    storage = reported.get("storage") if isinstance(reported, dict) else None
    for row in storage[:MOST_DEVICES] if isinstance(storage, list) else ():
        if isinstance(row, dict) and row.get("type") == "acb" and number(row.get("activeCount")):
            sign = {"charging": 1.0, "discharging": -1.0, "idle": 0.0}.get(str(row.get("state")))
            power_w = number(row.get("wNow"))
            charging_w = None if sign is None or power_w is None else sign * abs(power_w)
            return BatteryState(name, _percent(row.get("percentFull")), charging_w)
    return None


def _units(inventory: Any) -> list[dict[str, Any]]:
    """The batteries, out of the inventory of the storage system."""
    groups = [one for one in inventory if isinstance(one, dict)] if isinstance(inventory, list) else []
    listed = [one.get("devices") for one in groups[:MOST_DEVICES] if one.get("type") == "ENCHARGE"]
    return [row for units in listed if isinstance(units, list) for row in units[:MOST_DEVICES] if isinstance(row, dict)]


def events(document: Any) -> tuple[EnvoyEvent, ...]:
    """The newest ten events, as the gateway's own page lists them, by their numbers. Raises `DeviceDataError`."""
    listed = document.get("aaData") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise DeviceDataError(f"{EVENTS} is no list of events")
    found: dict[str, EnvoyEvent] = {}
    for row in listed[:MOST_EVENTS]:
        cells = [_cell(cell) for cell in row[:5]] if isinstance(row, list) else []
        if len(cells) == 5 and cells[0]:
            found[cells[0]] = EnvoyEvent(*cells)
    return tuple(sorted(found.values(), key=lambda event: (len(event.id), event.id)))


def _rows(document: Any, what: str) -> list[dict[str, Any]]:
    few = isinstance(document, list) and len(document) <= MOST_DEVICES
    if not few or not all(isinstance(row, dict) for row in document):
        raise DeviceDataError(f"{what} is no list of devices")
    rows: list[dict[str, Any]] = document
    return rows


def _serial(value: Any) -> str | None:
    """A serial number: letters and digits. Some firmware writes it as a number."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text if len(text) <= LONGEST_SERIAL and text.isascii() and text.isalnum() else None


def _percent(value: Any) -> float | None:
    found = number(value)
    return found if found is not None and 0.0 <= found <= 100.0 else None


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _text(value: Any) -> str | None:
    """Short text of which every sign can be shown."""
    return _cell(value) if isinstance(value, str) else None


def _cell(value: Any) -> str:
    text = str(value)[:LONGEST_TEXT] if isinstance(value, str | int | float) else ""
    return "".join(sign if sign.isprintable() else " " for sign in text)
