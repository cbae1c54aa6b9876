"""OpenDTU between its MQTT client and the air: polls, commands, echoes, and when it publishes. Pure.

Timings and rules are those of OpenDTU's source: every limit holds the radio for 2 s, inverters are polled one per
interval, the limit shown is an echo of the last one acknowledged, and nothing is published while a radio is busy.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

from app.simulator.inverter import Inverter
from app.simulator.link import Link, Received
from app.simulator.models import RadioBand
from app.simulator.noise import seeded
from app.simulator.parameters import ANSWER_S, READ_LIMIT_AFTER_COMMAND_S, READ_LIMIT_EVERY_S, DtuConfig
from app.simulator.payload import LimitValue, parse_command
from app.simulator.radio import Job, JobKind, Radio


class Dtu:
    """Faults are plain attributes: ``drop_commands``, ``hung`` (main loop stands still), `reboot`."""

    def __init__(self, config: DtuConfig, inverters: Iterable[Inverter], seed: str) -> None:
        self.config = config
        self.drop_commands = False
        self.hung = False
        self.reboots = 0
        self.published = 0
        self.booted_s = 0.0
        self.limit_busy_s = 0.0  # how long its radios have been held by limits
        self.received: deque[Received] = deque(maxlen=1000)
        self._rng = seeded(seed)
        self._inverters = tuple(inverters)
        self._now_s = 0.0
        self._boot(0.0)
        if config.up_since_s:
            self.booted_s -= config.up_since_s
            for link in self.links.values():
                link.meet(0.0)

    def _boot(self, now_s: float) -> None:
        self.booted_s = now_s
        self.links = {inverter.config.serial: Link(inverter) for inverter in self._inverters}
        self._radios = {band: Radio(self._exchange) for band in RadioBand}
        self._turn = 0
        self._poll_s = now_s + 0.1
        self._publish_s = now_s + self.config.publish_interval_s * self._rng.random()
        self._due_s = now_s  # when there is something to do, at the earliest

    @property
    def up(self) -> bool:
        """False while it reboots."""
        return self._now_s >= self.booted_s

    @property
    def now_s(self) -> float:
        """The time of its last step."""
        return self._now_s

    @property
    def uptime_s(self) -> float:
        """Since the last boot."""
        return max(0.0, self._now_s - self.booted_s)

    def reboot(self) -> None:
        """Lose everything it knew, and be back after ``boot_s``."""
        self.reboots += 1
        self._boot(self._now_s + self.config.boot_s)

    def receive(self, serial: str, command: str, payload: str, *, retained: bool = False) -> None:
        """Take a message from ``<serial>/cmd/<command>``, the way OpenDTU does: no range check, odd payloads too."""
        self.received.append(Received(self._now_s, serial, command, payload, retained))
        link = self.links.get(serial.lower())
        if link is None or self.drop_commands or self.hung or not self.up:
            return
        try:
            order = parse_command(command, payload, retained=retained)
        except OverflowError:
            self.reboot()  # the firmware does not catch a number too large for it
            return
        if order is None:
            return
        kind, value = order
        if isinstance(value, LimitValue):
            link.requested, link.refused = value, False
        self._submit(link, kind, value)

    def step(self, now_s: float) -> None:
        """Do what is due at ``now_s``. `published` grows when a burst of messages is to go out."""
        self._now_s = now_s
        if now_s < self._due_s - 1e-9 or self.hung or not self.up:
            return
        for radio in self._radios.values():
            job = radio.finish(now_s)
            if job is not None:
                self._conclude(job, now_s)
        if now_s >= self._poll_s - 1e-9:
            self._poll_next(now_s)
        if now_s >= self._publish_s - 1e-9 and all(radio.idle for radio in self._radios.values()):
            self._publish(now_s)
        for radio in self._radios.values():
            radio.start(now_s)
        self._due_s = min(self._poll_s, *(radio.ends_s for radio in self._radios.values()))
        if self._publish_s > now_s:  # otherwise it waits until the radios are idle
            self._due_s = min(self._due_s, self._publish_s)

    def _publish(self, now_s: float) -> None:
        self._publish_s = now_s + self.config.publish_interval_s
        self.published += 1
        for link in self.links.values():
            link.fresh = link.data_seq != link.published_seq
            link.published_seq = link.data_seq

    def _poll_next(self, now_s: float) -> None:
        self._poll_s = now_s + self.config.poll_interval_s
        links = tuple(self.links.values())
        link = links[self._turn % len(links)]
        self._turn += 1
        self._submit(link, JobKind.STATS)
        idle_s = now_s - max(link.command_ok_s, self.booted_s)
        if now_s - link.limit_read_s > READ_LIMIT_EVERY_S and idle_s > READ_LIMIT_AFTER_COMMAND_S:
            self._submit(link, JobKind.READ_LIMIT)
        if link.data is not None and not link.info_known:
            self._submit(link, JobKind.INFO)
        if link.refused and link.requested is not None:
            link.refused = False
            self._submit(link, JobKind.LIMIT, link.requested)

    def _submit(self, link: Link, kind: JobKind, value: LimitValue | bool | None = None) -> None:
        config = self.config
        slots = {JobKind.STATS: config.stats_slot_s, JobKind.INFO: config.query_slot_s}
        slots[JobKind.READ_LIMIT] = config.query_slot_s
        self._due_s = self._now_s
        self._radio(link).submit(Job(kind, link.serial, slots.get(kind, config.limit_slot_s), value))

    def _radio(self, link: Link) -> Radio:
        return self._radios[link.inverter.model.band]

    def _exchange(self, job: Job, now_s: float) -> bool:
        """In the air: the request may get lost, or only the answer to it."""
        link = self.links[job.serial]
        inverter = link.inverter
        link.counters.tx_request += job.tries == 1
        self.limit_busy_s += job.slot_s if job.kind is JobKind.LIMIT else 0.0
        lost = self._rng.random() < self.config.loss
        if not inverter.answers or (lost and self._rng.random() < 0.5):
            return False
        match job.kind:
            case JobKind.STATS:
                job.answer = inverter.read(now_s)
            case JobKind.READ_LIMIT:
                job.answer = inverter.limit_w / inverter.model.rated_w * 100.0
            case JobKind.LIMIT:
                watts = job.value.watts(inverter.model.rated_w)
                persistent = job.value.persistent
                inverter.accept_limit(watts, now_s + ANSWER_S, persistent=persistent, repeated=job.delivered)
            case JobKind.POWER:
                inverter.on = job.value
            case JobKind.RESTART:
                inverter.reset(now_s)
        job.delivered = True
        return not lost

    def _conclude(self, job: Job, now_s: float) -> None:
        link = self.links[job.serial]
        counters = link.counters
        if job.heard:
            counters.rx_success += 1
        else:
            counters.rx_fail_nothing += 1
        match job.kind:
            case JobKind.STATS:
                link.failures = 0 if job.heard else link.failures + 1
                if job.heard:
                    link.data, link.data_seq = job.answer, link.data_seq + 1
            case JobKind.INFO:
                link.info_known = link.info_known or job.heard
            case JobKind.READ_LIMIT if job.heard:
                link.limit_pct, link.limit_read_s = min(100.0, job.answer), now_s
            case JobKind.LIMIT if job.heard:
                self._echo(link, job.value)
                link.acked, link.command_ok_s = job.value, now_s
            case JobKind.LIMIT:
                link.refused = not self._radio(link).supersedes(job)

    @staticmethod
    def _echo(link: Link, value: LimitValue) -> None:
        """Show the acknowledged limit, cut to 0.1 %; in watts that needs the rated power, else 0 is shown."""
        if not value.relative and link.rated_w is None:
            link.limit_pct = link.limit_pct or 0.0
            return
        percent = value.number if value.relative else value.number / link.inverter.model.rated_w * 100.0
        link.limit_pct = min(100.0, math.floor(percent * 10.0 + 1e-6) / 10.0)
