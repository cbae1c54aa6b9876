"""What an Enphase gateway tells, as points: each reading, each report and each change once. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from app.model import EnvoyDevice, EnvoyState, Microinverter, Tick
from app.telemetry import points
from app.telemetry.points import Event, Field, Point

DEVICE_EVERY_S = 600.0  # what only changes is repeated this often, so that a short range still finds it
OLD_NEWS_S = 86_400.0  # a report from longer ago, of a device that is gone, is no news: a store may refuse it
Tags = tuple[tuple[str, str], ...]


class EnvoyProjector:
    """Turns the gateway's part of each tick into the points that it adds. It remembers no more than is shown now."""

    def __init__(self, site: str) -> None:
        self._site = site
        self._measured: dict[str, float | None] = {}
        self._reported: dict[str, Microinverter] = {}
        self._devices: dict[str, tuple[EnvoyDevice, float]] = {}
        self._battery_at_s: float | None = None
        self._told: frozenset[str] = frozenset()

    def points(self, tick: Tick) -> list[Point]:
        """What this tick adds."""
        envoy = tick.envoy
        if envoy is None:
            return []
        now_s, utc_s = tick.snapshot.now_s, tick.snapshot.utc_s
        found = [*self._meters(envoy, utc_s), *self._microinverters(envoy, utc_s), *self._known(envoy, now_s, utc_s)]
        battery = envoy.battery
        if battery is not None and battery.at_s != self._battery_at_s:
            self._battery_at_s = battery.at_s
            found += self._point("envoy_battery", points.ENVOY_BATTERY, battery, utc_s)
        return found

    def events(self, tick: Tick) -> list[Event]:
        """What the gateway has noted since the tick before."""
        news = () if tick.envoy is None else tick.envoy.news
        fresh = [event for event in news if event.id not in self._told]
        if fresh:
            self._told = frozenset(event.id for event in news)
        return [
            Event("envoy", f"{one.message} ({one.type.strip()} {one.serial}, {one.datetime})", f"envoy:{one.id}")
            for one in fresh
        ]

    def _meters(self, envoy: EnvoyState, utc_s: float) -> list[Point]:
        new = [meter for meter in envoy.meters if self._measured.get(meter.kind, -1.0) != meter.at_s]
        self._measured |= {meter.kind: meter.at_s for meter in new}
        return [
            point
            for meter in new
            for line in (meter.total, *meter.phases)
            for point in self._point(
                "envoy_meter",
                points.ENVOY_METER,
                line,
                utc_s if meter.utc_s is None else meter.utc_s,
                (("kind", meter.kind), ("phase", points.envoy_phase(line))),
            )
        ]

    def _microinverters(self, envoy: EnvoyState, utc_s: float) -> list[Point]:
        """Each report at its own time; that of a clock that runs ahead, now."""
        found = []
        for one in envoy.microinverters or ():
            at_s = one.reported_utc_s
            if one != self._reported.get(one.serial) and at_s is not None and utc_s - at_s < OLD_NEWS_S:
                tags = (("serial", one.serial),)
                found += self._point("microinverter", points.MICROINVERTER, one, min(at_s, utc_s), tags)
        if envoy.microinverters is not None:
            self._reported = {one.serial: one for one in envoy.microinverters}
        return found

    def _known(self, envoy: EnvoyState, now_s: float, utc_s: float) -> list[Point]:
        if envoy.devices is None:
            return []
        found, before = [], self._devices
        self._devices = {}
        for device in envoy.devices:
            last, at_s = before.get(device.serial, (None, now_s))
            if device != last or now_s - at_s >= DEVICE_EVERY_S:
                at_s = now_s
                tags = (("serial", device.serial), ("kind", device.kind))
                found += self._point("envoy_device", points.ENVOY_DEVICE, device, utc_s, tags)
            self._devices[device.serial] = device, at_s
        return found

    def _point(
        self, measurement: str, fields: Iterable[Field], source: object, utc_s: float, tags: Tags = ()
    ) -> list[Point]:
        values = points.known(fields, source)
        return [Point(measurement, (("site", self._site), *tags), values, utc_s)] if values else []
