"""One law on one simulated house, in virtual time: what it did, step by step. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from app.simulator.house import House
from app.simulator.laws import Published, Seen, Stored
from app.simulator.link import Link
from app.simulator.scenarios import Scenario


class Plant:
    """A `Site` (see `laws`): the simulated house as a controller sees it. ``gate_open``: export is wanted now."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.gate_open = False
        self.commands = 0
        self._publications = -1
        self.published = tuple(
            Published(
                link.serial, link.inverter.model.band, link.inverter.model.rated_w, _least_w(link), reachable=False
            )
            for link in house.dtu.links.values()
        )

    def follow(self) -> None:
        """Take notice of what OpenDTU has published."""
        if self.house.dtu.published != self._publications:
            self._publications = self.house.dtu.published
            links = self.house.dtu.links
            self.published = tuple(_publish(links[was.serial], was, self.now_s) for was in self.published)

    @property
    def meter_interval_s(self) -> float:
        """How often the meter shows a new value."""
        return self.house.config.meter.window_s

    @property
    def now_s(self) -> float:
        """The time."""
        return self.house.now_s

    @property
    def grid_w(self) -> float:
        """What the meter shows now."""
        return self.house.meter.sample.power_w

    @property
    def grid_at_s(self) -> float:
        """Since when the meter has shown this value."""
        return self.house.meter.sample.at_s

    @property
    def battery(self) -> Stored | None:
        """What the battery has told, where there is one."""
        battery = self.house.battery
        if battery is None:
            return None
        told, config = battery.report, battery.config
        return Stored(told.at_s, told.power_w, told.soc_pct, config.report_s, config.charge_w)

    @property
    def inverters(self) -> tuple[Seen, ...]:
        """Every inverter, as OpenDTU knows it now."""
        return tuple(_seen(link) for link in self.house.dtu.links.values())

    def limit_w(self, serial: str, watts: float) -> None:
        """Send a limit in watts."""
        self._send(serial, "limit_nonpersistent_absolute", watts)

    def limit_pct(self, serial: str, percent: float) -> None:
        """Send a limit in percent of rated power."""
        self._send(serial, "limit_nonpersistent_relative", percent)

    def _send(self, serial: str, command: str, value: float) -> None:
        self.commands += 1
        self.house.dtu.receive(serial, command, f"{value:.1f}")


@dataclass(slots=True)
class Record:
    """What happened, one entry per ``step_s`` after the warm-up: powers in watts, ``gate`` 1.0 while export is wanted.

    ``feedable_w`` is what the inverters could have fed without limits. Where there is a battery: ``battery_w`` is what
    it takes, ``takes_w`` the most that it would take (0 once it counts as full), ``soc_pct`` its charge at the start.
    """

    step_s: float
    load_w: array[float] = field(default_factory=lambda: array("d"))
    pv_w: array[float] = field(default_factory=lambda: array("d"))
    feedable_w: array[float] = field(default_factory=lambda: array("d"))
    limit_w: array[float] = field(default_factory=lambda: array("d"))
    gate: array[float] = field(default_factory=lambda: array("d"))
    battery_w: array[float] = field(default_factory=lambda: array("d"))
    takes_w: array[float] = field(default_factory=lambda: array("d"))
    soc_pct: float | None = None
    commands: int = 0
    radio_busy_s: float = 0.0

    @property
    def taken_w(self) -> array[float]:
        """What house and battery take."""
        if not self.battery_w:
            return self.load_w
        return array("d", (load_w + one_w for load_w, one_w in zip(self.load_w, self.battery_w, strict=True)))


def run(scenario: Scenario, law: Callable[[Plant], Iterator[float | None]], seed: int, dead_time_s: float) -> Record:
    """Let the law live through the scenario."""
    house = House(scenario.house(seed, dead_time_s))
    plant = Plant(house)
    record = Record(house.config.step_s)
    script = iter(scenario.script(seed))
    event = next(script, None)
    living: Iterator[float | None] = law(plant)
    wake_s: float | None = 0.0
    seen_s = -1.0
    busy_0 = 0.0
    for _ in range(round((scenario.warm_up_s + scenario.seconds) / house.config.step_s)):
        while event is not None and house.now_s >= event.at_s - 1e-6:
            event.act(plant)
            event = next(script, None)
        house.step()
        plant.follow()
        if house.now_s >= wake_s - 1e-6 if wake_s is not None else house.meter.sample.at_s != seen_s:
            seen_s = house.meter.sample.at_s
            pause_s = next(living)
            wake_s = None if pause_s is None else house.now_s + pause_s
        if house.now_s <= scenario.warm_up_s + 1e-6:
            plant.commands, busy_0 = 0, house.dtu.limit_busy_s
            continue
        record.load_w.append(sum(house.load_w))
        record.pv_w.append(house.pv_w)
        record.feedable_w.append(house.feedable_w)
        record.limit_w.append(sum(inverter.limit_w for inverter in house.inverters))
        record.gate.append(float(plant.gate_open))
        if house.battery is not None:
            record.soc_pct = house.battery.soc_pct if record.soc_pct is None else record.soc_pct
            record.battery_w.append(house.battery.power_w)
            record.takes_w.append(house.battery.wants_w)
    record.commands = plant.commands
    record.radio_busy_s = house.dtu.limit_busy_s - busy_0
    return record


def _least_w(link: Link) -> float:
    """The lowest limit that controllers send: the product's own default."""
    return max(20.0, 0.03 * link.inverter.model.rated_w)


def _publish(link: Link, was: Published, now_s: float) -> Published:
    """What OpenDTU tells of an inverter in one burst of messages, after what it told before."""
    data = link.data
    fresh = link.fresh and data is not None and link.reachable
    yield_wh = sum(one.yield_day_wh for one in data.inputs) if data is not None else 0.0
    lost = (link.reachable and not was.reachable and was.published_s > 0.0) or (fresh and yield_wh < was.yield_day_wh)
    return replace(
        was,
        reachable=link.reachable,
        power_w=data.power_w if fresh and data is not None else was.power_w,
        power_at_s=data.at_s if fresh and data is not None else was.power_at_s,
        yield_day_wh=yield_wh if fresh else was.yield_day_wh,
        data_seq=was.data_seq + fresh,
        limit_w=None if link.limit_pct is None else link.limit_pct * was.rated_w / 100.0,
        published_s=now_s,
        resets=was.resets + lost,
    )


def _seen(link: Link) -> Seen:
    data, model = link.data, link.inverter.model
    requested = link.requested
    limit_pct = link.limit_pct
    return Seen(
        serial=link.serial,
        rated_w=model.rated_w,
        min_w=_least_w(link),
        mppts=model.mppts,
        pdl=model.pdl,
        reachable=link.reachable,
        power_w=None if data is None else data.power_w,
        power_at_s=None if data is None else data.at_s,
        mppt_w=() if data is None else _mppts(link),
        limit_w=None if limit_pct is None else limit_pct * model.rated_w / 100.0,
        acked=requested is None or link.acked is requested,
        acked_at_s=link.command_ok_s,
    )


def _mppts(link: Link) -> tuple[float, ...]:
    """AC watts of each tracker, from its DC inputs."""
    data, mppts = link.data, link.inverter.model.mppts
    if data is None or not data.inputs:
        return ()
    per_mppt = len(data.inputs) // mppts
    total_w = data.dc_power_w or 1.0
    sums = (sum(one.power_w for one in data.inputs[i * per_mppt : (i + 1) * per_mppt]) for i in range(mppts))
    return tuple(dc_w * data.power_w / total_w for dc_w in sums)
