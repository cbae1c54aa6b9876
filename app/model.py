"""The words every room shares: units, signs and the data of one tick.

Signs, everywhere: ``grid_w > 0`` import, ``< 0`` export; ``pv_w >= 0``; a limit is AC watts.
``None`` means unknown and is never replaced by 0. ``*_s`` on a monotonic clock is control time,
``utc_s`` is a Unix time stamp.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Self


class DeviceError(Exception):
    """A device or service could not be used; the text is a sentence for the user."""

    def saying(self, text: str) -> Self:
        """The same in other words."""
        other = type(self).__new__(type(self), text)
        other.__dict__.update(self.__dict__)
        return other


class DeviceUnavailable(DeviceError):  # noqa: N818 - an outage is no error of ours
    """No answer, or too late: worth retrying."""


class DeviceAuthError(DeviceError):
    """The device refuses our credentials: retrying fast would lock us out."""


class DeviceDataError(DeviceError):
    """An answer came, and it cannot be used (wrong device, missing or invalid value)."""


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase or channel of a grid meter; whatever the device does not report is None."""

    power_w: float | None = None
    voltage_v: float | None = None
    current_a: float | None = None
    power_factor: float | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """One valid answer of a grid meter.

    ``at_s`` is the monotonic time that the source can prove (for a polled device: when the answer
    was complete). ``import_wh``/``export_wh`` are the device's own lifetime counters, which count per
    phase and are therefore not netted on most three-phase meters.
    """

    power_w: float
    at_s: float
    utc_s: float
    phases: tuple[Phase, ...] = ()
    import_wh: float | None = None
    export_wh: float | None = None
    latency_s: float | None = None


@dataclass(frozen=True, slots=True)
class MeterState:
    """What is known of the grid meter now. ``interval_s`` is its own (expected) update interval.

    ``due_s``: how often a reading comes, by which an outage is noticed; None: every ``interval_s``. A value that stands
    still, or that a device makes seldom and is asked for often, has a long interval, and is soon missed. ``there``: a
    meter is configured.
    """

    reading: Reading | None = None
    fault: str | None = None
    interval_s: float = 1.0
    good_in_a_row: int = 0
    due_s: float | None = None
    there: bool = True


@dataclass(frozen=True, slots=True)
class Ac:
    """The AC side of an inverter, as last reported."""

    power_w: float | None = None
    voltage_v: float | None = None
    current_a: float | None = None
    frequency_hz: float | None = None
    power_factor: float | None = None
    reactive_power_var: float | None = None
    dc_power_w: float | None = None
    temperature_c: float | None = None
    efficiency_pct: float | None = None
    yield_day_wh: float | None = None
    yield_total_kwh: float | None = None


@dataclass(frozen=True, slots=True)
class Panel:
    """One DC input of an inverter; ``channel`` counts from 1."""

    channel: int
    name: str | None = None
    power_w: float | None = None
    voltage_v: float | None = None
    current_a: float | None = None
    yield_day_wh: float | None = None
    yield_total_kwh: float | None = None
    irradiation_pct: float | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """What a slow inverter keeps to by itself, until it is given another rule.

    ``export_w``: the most that the house may export; None: as much as the inverter may without us.
    ``produce``: False: it is to give nothing at all.
    """

    export_w: float | None = None
    produce: bool = True

    def __str__(self) -> str:
        if not self.produce:
            return "no production"
        return "normal export" if self.export_w is None else f"export up to {self.export_w:g} W"


@dataclass(frozen=True, slots=True)
class RuleState:
    """How an inverter stands to its rules, one that takes minutes to follow and regulates by itself.

    ``dwell_s``: the least time between two switches; ``reaction_s``: until its power has followed for certain.
    ``least_export_w``: no rule may ask for less export, but for no production at all: a battery that regulates as well
    would make the sun collapse. ``normal_export_w``: what it may export without a rule; None: not known. ``steps``: the
    values of ``export_w`` that it knows; None: any. ``can_stop``: it knows ``produce=False``.
    ``accepted``: the last rule that it took from us, in this run or an earlier one, and since when. ``shown``: what it
    said last when it was asked; None: none of the rules, or not known where there is no ``shown_at_s``. ``own_meter``:
    it measures the grid itself; without, a rule is a limit of its production, and ``acked_w`` shows that. ``refused``:
    why the last try failed, None where it did not; ``tried_at_s`` is of the last try, whatever came of it. ``kept_up``:
    False where a limit has to be sent again and again, and this run has not begun to.
    """

    dwell_s: float
    reaction_s: float
    least_export_w: float = 0.0
    normal_export_w: float | None = None
    steps: tuple[float | None, ...] | None = None
    can_stop: bool = False
    own_meter: bool = True
    accepted: Rule | None = None
    accepted_at_s: float | None = None
    shown: Rule | None = None
    shown_at_s: float | None = None
    refused: str | None = None
    tried_at_s: float | None = None
    kept_up: bool = True


@dataclass(frozen=True, slots=True)
class InverterState:
    """One inverter as its driver knows it.

    ``power_at_s``: when a live message last proved ``ac.power_w`` (None: never; retained copies do not
    count). ``commanded_w``/``commanded_at_s``: the last command that the transport took. ``acked_w``: the
    limit that the gateway echoes, None if it shows none.
    ``resets`` counts the events after which the limit must be taken as lost (inverter or gateway
    restarted, came back, lost its day yield); ``data_seq`` counts the answers of the inverter itself.
    ``radio`` names the transmitter that it shares with others: commands on one wait for each other. ``gateway``: who
    speaks for it, for people.
    ``phase`` counts from 1; None: it feeds all three alike, or nobody has told. ``power_on``: as last switched by us,
    since ``powered_at_s``; None: never, or it may have changed since.
    ``foreign``/``foreign_at_s``: the last command to it that was not ours, as ``topic: payload``.
    ``undelivered_since_s``: since when the broker takes our commands and hands them to nobody (its access rules).
    ``guarded``: its dead-man will is armed: if we die, the broker lowers it. ``guardable``: there can be one.
    ``switchable``: it can be switched off. ``trusted``: what limits it is known to do so, or its power has proven it.
    ``enabled``: it may be commanded. ``refused``: why not, where the configuration would have it and its gateway rules
    it out now; it is then not enabled.
    ``rule``: how it stands to its rules; None: it takes limits in watts. ``pace_s``: the least time between two limits;
    ``step_w``: smaller changes are not worth one; ``dead_time_s``: as `ControlSettings.dead_time_s`, where it is known
    to be another. ``writes_today`` of ``writes_budget``: limits written to a memory that wears out.
    """

    serial: str
    name: str
    max_w: float
    min_w: float
    enabled: bool = True
    reachable: bool | None = None
    producing: bool | None = None
    ac: Ac = field(default_factory=Ac)
    panels: tuple[Panel, ...] = ()
    power_at_s: float | None = None
    utc_s: float | None = None
    data_seq: int = 0
    commanded_w: float | None = None
    commanded_at_s: float | None = None
    acked_w: float | None = None
    acked_pct: float | None = None
    acked_at_s: float | None = None
    rated_w: float | None = None
    rssi_dbm: float | None = None
    resets: int = 0
    radio: str = ""
    note: str | None = None
    phase: int | None = None
    power_on: bool | None = None
    powered_at_s: float | None = None
    foreign: str | None = None
    foreign_at_s: float | None = None
    undelivered_since_s: float | None = None
    guarded: bool = False
    guardable: bool = True
    switchable: bool = True
    trusted: bool = True
    refused: str | None = None
    gateway: str = "OpenDTU"
    rule: RuleState | None = None
    pace_s: float = 0.0
    step_w: float = 0.0
    dead_time_s: tuple[float, float] | None = None
    writes_today: int | None = None
    writes_budget: int | None = None

    @property
    def regulated(self) -> bool:
        """Whether it takes limits in watts, and from us."""
        return self.enabled and self.rule is None


@dataclass(frozen=True, slots=True)
class GatewayState:
    """The box between us and the inverters (OpenDTU). ``online`` is None until it is known.

    ``next_step``: what to do about its fault, where that is not the usual.
    """

    name: str
    online: bool | None = None
    uptime_s: float | None = None
    rssi_dbm: float | None = None
    temperature_c: float | None = None
    heap_free_b: float | None = None
    seen_at_s: float | None = None
    utc_s: float | None = None
    data_seq: int = 0
    fault: str | None = None
    next_step: str = ""


@dataclass(frozen=True, slots=True)
class BatteryState:
    """A battery that regulates by itself. ``power_w > 0`` charging.

    ``at_s``: when a message last proved power and charge; ``interval_s``: how often it is expected to tell.
    ``max_charge_w``: the most that it takes, where that is known.
    """

    name: str
    soc_pct: float | None = None
    power_w: float | None = None
    at_s: float | None = None
    interval_s: float = 10.0
    capacity_wh: float | None = None
    max_charge_w: float | None = None
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class EnvoyLine:
    """One phase of a meter of an Enphase gateway (``phase`` counts from 1), or all of them together (0).

    Signs as everywhere: production and consumption are positive, the grid is positive while it delivers.
    ``forward_wh``/``reverse_wh``: the meter's own counters, in the direction of positive and of negative power; the
    energies of ``today`` and of the ``lifetime`` come from a report that the gateway compiles seldom.
    """

    phase: int = 0
    power_w: float | None = None
    current_a: float | None = None
    voltage_v: float | None = None
    reactive_power_var: float | None = None
    apparent_power_va: float | None = None
    power_factor: float | None = None
    frequency_hz: float | None = None
    today_wh: float | None = None
    today_vah: float | None = None
    lifetime_wh: float | None = None
    lifetime_vah: float | None = None
    forward_wh: float | None = None
    reverse_wh: float | None = None


@dataclass(frozen=True, slots=True)
class EnvoyMeter:
    """A meter of an Enphase gateway. ``kind`` is pv, grid or consumption; ``at_s``: when its values were new.

    ``phases``: those that it measures. ``status``: what the gateway says of its clamps.
    """

    kind: str
    total: EnvoyLine
    phases: tuple[EnvoyLine, ...] = ()
    at_s: float | None = None
    utc_s: float | None = None
    status: str = "normal"


@dataclass(frozen=True, slots=True)
class Microinverter:
    """The last report of one micro-inverter to its gateway: every few minutes by day, and none by night."""

    serial: str
    power_w: float | None = None
    reported_utc_s: float | None = None


@dataclass(frozen=True, slots=True)
class EnvoyDevice:
    """How a gateway knows one device. ``kind`` is inverter, battery or relay; ``status`` in the gateway's own words.

    ``relay`` (open or closed) and ``reason`` are told of relays only.
    """

    serial: str
    kind: str
    status: tuple[str, ...] = ()
    producing: bool | None = None
    communicating: bool | None = None
    provisioned: bool | None = None
    operating: bool | None = None
    relay: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class EnvoyEvent:
    """One line of a gateway's list of events, as it wrote it: ``datetime`` is text in its own time zone."""

    id: str
    message: str
    serial: str
    type: str
    datetime: str


@dataclass(frozen=True, slots=True)
class EnvoyState:
    """What an Enphase gateway tells now; what is too old is not in it.

    ``None`` for a list: the gateway does not tell it, or has not for too long. ``news``: events that came up while we
    listened, or while the program was down. ``notes``: which of its documents cannot be had, as sentences.
    """

    name: str
    serial: str | None = None
    software: str | None = None
    meters: tuple[EnvoyMeter, ...] = ()
    microinverters: tuple[Microinverter, ...] | None = None
    devices: tuple[EnvoyDevice, ...] | None = None
    battery: BatteryState | None = None
    events: tuple[EnvoyEvent, ...] | None = None
    news: tuple[EnvoyEvent, ...] = ()
    notes: tuple[str, ...] = ()


class Mode(StrEnum):
    """What the controller is doing, in one word; `Decision.reason` says why."""

    STARTING = "starting"
    LIMIT = "limit"
    OPEN = "open"
    SHUTDOWN = "shutdown"
    PAUSED = "paused"
    HOLD = "hold"
    FAIL_SAFE = "fail_safe"
    NIGHT = "night"


@dataclass(frozen=True, slots=True)
class Override:
    """Somebody decides instead of the price, until a moment. ``mode`` is LIMIT or OPEN."""

    mode: Mode
    until_utc_s: float

    def __str__(self) -> str:
        return f"{self.mode} by hand until {datetime.fromtimestamp(self.until_utc_s, UTC):%Y-%m-%d %H:%M} UTC"


@dataclass(frozen=True, slots=True)
class Settings:
    """What people change at run time."""

    enabled: bool = True
    target_point_w: float = 15.0
    override: Override | None = None

    def __str__(self) -> str:
        override = "" if self.override is None else f", {self.override}"
        return f"zero export {'on' if self.enabled else 'off'}, target {self.target_point_w:g} W{override}"


@dataclass(frozen=True, slots=True)
class PriceSlot:
    """The prices of one interval, end not included, in hundredths of the currency per kWh.

    ``export_value_c``: what one exported kWh earns; negative means you pay for it. ``confirmed``: it is final,
    no estimate and no forecast.
    """

    start_utc_s: float
    end_utc_s: float
    export_value_c: float | None
    import_price_c: float | None = None
    confirmed: bool = False


@dataclass(frozen=True, slots=True)
class PriceState:
    """The normalised price of now, in hundredths of ``currency`` per kWh.

    ``export_value_c``: what one exported kWh earns; negative means you pay for it. ``fault``: what is wrong with the
    source; the price may be known all the same. ``refused``: it does not accept our login.
    """

    export_value_c: float | None = None
    import_price_c: float | None = None
    estimated: bool = True
    valid_until_utc_s: float | None = None
    fault: str | None = None
    refused: bool = False
    currency: str = ""


@dataclass(frozen=True, slots=True)
class Gate:
    """What the price, or somebody in its place, asks for. ``mode`` is LIMIT, OPEN or SHUTDOWN.

    ``by_hand``: an override decides. ``since_utc_s``: when this mode began.
    """

    mode: Mode
    reason: str
    since_utc_s: float
    by_hand: bool = False


@dataclass(frozen=True, slots=True)
class StepTestRequest:
    """Somebody wants the reaction of one inverter measured. ``number`` tells one request from the next."""

    serial: str
    number: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything the core may look at in one step; nothing else exists for it.

    ``dead_man``: the broker can be told what to send when it loses us.
    """

    now_s: float
    utc_s: float
    meter: MeterState
    inverters: tuple[InverterState, ...]
    settings: Settings
    price: PriceState | None = None
    gateways: tuple[GatewayState, ...] = ()
    broker_connected: bool = True
    broker_fault: str | None = None
    step_test: StepTestRequest | None = None
    dead_man: bool = False
    battery: BatteryState | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """One limit to send now."""

    serial: str
    limit_w: float
    reason: str


@dataclass(frozen=True, slots=True)
class Switch:
    """One inverter to switch on or off now."""

    serial: str
    on: bool
    reason: str


@dataclass(frozen=True, slots=True)
class RuleCommand:
    """One rule to give a slow inverter now."""

    serial: str
    rule: Rule
    reason: str


@dataclass(frozen=True, slots=True)
class Ruling:
    """How a slow inverter stands to the rule that is wanted of it.

    ``obeyed``: whether its power follows the rule it has; None: that does not show. ``waiting``: why the wanted one has
    not been given yet; empty: it has. ``reverted_s``: since when somebody else has set it to another one.
    """

    serial: str
    wanted: Rule
    obeyed: bool | None = None
    waiting: str = ""
    reverted_s: float | None = None


@dataclass(frozen=True, slots=True)
class Will:
    """The limit that the broker is to send to one inverter when it loses us."""

    serial: str
    limit_w: float


@dataclass(frozen=True, slots=True)
class Fault:
    """Something is wrong: ``key`` is stable, ``text`` is for people, ``next_step`` is what to do."""

    key: str
    text: str
    next_step: str
    since_utc_s: float | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a limit, as the grid meter showed it.

    ``gain``: change of the grid power over change of the limit. ``dead_time_s``: from sending the limit to its effect,
    the meter's own lag included; None where the step was not clearly seen.
    """

    from_w: float
    to_w: float
    gain: float
    dead_time_s: float | None


@dataclass(frozen=True, slots=True)
class StepResult:
    """How one inverter reacts to its limit. ``verdict`` is ok, warn or fail.

    ``gain`` is about 1; negative: the meter sees the inverter the wrong way round; about 0: it does not see it.
    ``reported_gain``: the same by the inverter's own reports. A ramp of None is faster than the meter shows.
    ``phase`` counts from 1; None where it is not known, or all phases move alike.
    """

    verdict: str
    text: str
    next_step: str
    gain: float
    reported_gain: float | None = None
    dead_time_s: float | None = None
    dead_time_range_s: tuple[float, float] | None = None
    ramp_down_w_per_s: float | None = None
    ramp_up_w_per_s: float | None = None
    phase: int | None = None
    steps: tuple[Step, ...] = ()

    @property
    def sign(self) -> int:
        """1 where the meter and the inverter agree on the direction, -1 where not, 0 where no step was seen."""
        return 0 if abs(self.gain) < 0.15 else 1 if self.gain > 0.0 else -1


class Progress(StrEnum):
    """How far a step test is."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class StepTestReport:
    """A step test as it stands. ``text``: what is going on, or why it failed; ``result`` is there once it is done."""

    number: int
    serial: str
    name: str
    state: Progress
    text: str
    next_step: str = ""
    step: int = 0
    steps: int = 0
    result: StepResult | None = None


@dataclass(frozen=True, slots=True)
class Room:
    """What the law regulates to beside a battery.

    ``room_w``: what the inverters may give beyond what house and battery take now, so that the battery takes what it
    can, and gives nothing instead of them; None: not known. ``battery_w``: how much of it all is the battery's, so that
    its ups and downs are not taken for appliances. Limits are raised by no more than ``raise_w_per_s``.
    ``lost``: there are no fresh data. ``swings``: two regulators work against each other.
    """

    target_w: float
    room_w: float | None
    battery_w: float = 0.0
    raise_w_per_s: float | None = None
    lost: bool = False
    swings: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome of one step.

    ``pv_w`` is the last reported power, carried forward by the limits that came into force since.
    ``limit_w`` is the sum of the limits in force after ``commands`` (None while any is unknown),
    ``setpoint_w`` the site ceiling that the law asks for, ``load_w`` the estimated household load,
    ``error_w`` = grid - target. ``trim_*`` are the PID terms in watts. ``dead_times``: by serial, the seconds that the
    law reckons with. ``step_test``: the one that was asked for, as it stands. ``wills``: those to be armed now.
    ``gate``: None without prices and without an override. ``rules``: for slow inverters, to be given now; ``rulings``:
    how each of those stands. ``room``: for the battery, while one is regulated beside.
    """

    mode: Mode
    reason: str
    commands: tuple[Command, ...] = ()
    target_w: float | None = None
    grid_w: float | None = None
    pv_w: float | None = None
    load_w: float | None = None
    setpoint_w: float | None = None
    limit_w: float | None = None
    error_w: float | None = None
    trim_p_w: float | None = None
    trim_i_w: float | None = None
    trim_d_w: float | None = None
    faults: tuple[Fault, ...] = ()
    dead_times: tuple[tuple[str, float], ...] = ()
    step_test: StepTestReport | None = None
    switches: tuple[Switch, ...] = ()
    wills: tuple[Will, ...] = ()
    gate: Gate | None = None
    rules: tuple[RuleCommand, ...] = ()
    rulings: tuple[Ruling, ...] = ()
    room: Room | None = None


@dataclass(frozen=True, slots=True)
class Excursion:
    """One export beyond what is allowed: how long its power was known to be beyond, and the most beyond."""

    began_utc_s: float
    length_s: float
    worst_w: float


@dataclass(frozen=True, slots=True)
class Excursions:
    """Exports by more than ``over_w`` beyond what is allowed, for at least ``longer_s``; an account of evidence.

    ``current_s``: how long it has been beyond by now: 0 while it is not, None while that is unknown. ``today`` is the
    local day in which they began, ``in_10_min`` and ``in_24_h`` reach back from now, all others to ``since_utc_s``.
    ``beyond_today_wh``: all energy beyond what is allowed, however short; ``unknown_today_s``: for how long the grid
    power was unknown while a bound was in force. ``last`` may still go on.
    """

    over_w: float
    longer_s: float
    since_utc_s: float
    current_s: float | None = None
    today: int = 0
    today_over_60_s: int = 0
    longest_today_s: float = 0.0
    worst_today_w: float = 0.0
    beyond_today_wh: float = 0.0
    unknown_today_s: float = 0.0
    in_10_min: int = 0
    in_24_h: int = 0
    total: int = 0
    over_60_s: int = 0
    longest_s: float = 0.0
    last: Excursion | None = None


@dataclass(frozen=True, slots=True)
class Outlook:
    """The prices around now, some hours back and as far ahead as they are known, in order and without overlaps.

    ``modes``: what the gate asked for in that time: since when, and which mode.
    """

    slots: tuple[PriceSlot, ...] = ()
    modes: tuple[tuple[float, Mode], ...] = ()


@dataclass(frozen=True, slots=True)
class Account:
    """Energy at the grid and what the gate made of it, over a time. Money in hundredths of the currency.

    ``earned_c``: by export, negative where it cost. ``curtailed_wh`` is estimated; ``uncertain_s``: for how long no
    estimate was possible while the inverters were held back. ``saved_c``: by holding them back, compared with letting
    them feed in; negative where that would have paid. ``pv_wh``: given by the inverters, AC.
    """

    import_wh: float = 0.0
    export_wh: float = 0.0
    curtailed_wh: float = 0.0
    uncertain_s: float = 0.0
    earned_c: float = 0.0
    saved_c: float = 0.0
    pv_wh: float = 0.0

    @property
    def self_used_wh(self) -> float:
        """What the house has used of the sun."""
        return max(0.0, self.pv_wh - self.export_wh)

    @property
    def load_wh(self) -> float:
        """What the house has used in all."""
        return self.import_wh + self.self_used_wh


@dataclass(frozen=True, slots=True)
class Period:
    """The account of a local day or month (``name``) that is over."""

    name: str
    began_utc_s: float
    account: Account


@dataclass(frozen=True, slots=True)
class Ledger:
    """The accounts of the local day ``date`` (ISO), of its month, and of all days since ``since_utc_s``.

    ``day_utc_s``, ``month_utc_s``: when that day and that month began. ``closed``: the last ones before, which a gap
    over midnight may still have changed; the same tuple while nothing in it changes.
    """

    currency: str
    method: str  # how curtailed energy is estimated, in plain words
    date: str
    since_utc_s: float
    today: Account = Account()
    total: Account = Account()
    month: Account = Account()
    day_utc_s: float | None = None
    month_utc_s: float | None = None
    closed: tuple[Period, ...] = ()


@dataclass(frozen=True, slots=True)
class StoreState:
    """How a store of telemetry stands. Counts are points since the start of the program.

    ``written``: kept for good; ``pending``: waiting, since ``oldest_s`` seconds for the oldest (0: none waits);
    ``dropped``: lost for want of room; ``refused``: the store cannot use them. ``spool_b`` of at most
    ``spool_max_b`` wait on the disk; None for a store without a spool.
    """

    name: str
    written: int = 0
    pending: int = 0
    dropped: int = 0
    refused: int = 0
    oldest_s: float = 0.0
    spool_b: int | None = None
    spool_max_b: int | None = None

    @property
    def spool_used_pct(self) -> float | None:
        """How full the spool is."""
        return 100.0 * self.spool_b / self.spool_max_b if self.spool_b is not None and self.spool_max_b else None


@dataclass(frozen=True, slots=True)
class StorageBattery:
    """One battery behind an Enphase gateway; power > 0 charges.

    ``kind``: "iq" (IQ Battery, Encharge) or "ac" (AC Battery). The sleep fields are those of AC Batteries.
    """

    serial: str
    kind: str
    soc_pct: float | None = None
    power_w: float | None = None
    sleep: str | None = None
    sleep_min_soc_pct: float | None = None
    sleep_max_soc_pct: float | None = None


@dataclass(frozen=True, slots=True)
class DryContactSettings:
    """What makes the gateway open and close a dry contact by itself."""

    load_name: str = ""
    mode: str | None = None
    soc_low_pct: float | None = None
    soc_high_pct: float | None = None
    grid_action: str | None = None
    micro_grid_action: str | None = None
    generator_action: str | None = None
    override: bool | None = None


@dataclass(frozen=True, slots=True)
class DryContact:
    """A relay of an IQ System Controller; ``status`` is open or closed. Settings are None where they are not told."""

    id: str
    status: str | None = None
    settings: DryContactSettings | None = None


@dataclass(frozen=True, slots=True)
class GridRelay:
    """The relay between the house and the grid: what was asked of it (``admin``), and where it stands (``oper``)."""

    admin_state: str | None = None
    oper_state: str | None = None
    mode: str | None = None


@dataclass(frozen=True, slots=True)
class MeterCollar:
    """An IQ Meter Collar, whose microgrid interconnection device (MID) takes the house off the grid."""

    mid_state: str | None = None
    grid_state: str | None = None
    state: str | None = None
    communicating: bool | None = None


@dataclass(frozen=True, slots=True)
class Combiner:
    """The controller of an IQ Combiner 6C."""

    state: str | None = None
    communicating: bool | None = None
    firmware: str | None = None


@dataclass(frozen=True, slots=True)
class EnsembleState:
    """Storage, relays and dry contacts behind an Enphase gateway, as last told; power > 0 charges.

    ``optimised_schedules``: while they are on, the gateway accepts a storage mode and ignores it.
    ``fault``: why there is nothing newer.
    """

    name: str
    at_s: float | None = None
    fault: str | None = None
    soc_pct: float | None = None
    power_w: float | None = None
    available_wh: float | None = None
    capacity_wh: float | None = None
    batteries: tuple[StorageBattery, ...] = ()
    storage_mode: str | None = None
    reserve_soc_pct: float | None = None
    charge_from_grid: bool | None = None
    optimised_schedules: bool | None = None
    grid: GridRelay | None = None
    dry_contacts: tuple[DryContact, ...] = ()
    collar: MeterCollar | None = None
    combiner: Combiner | None = None


@dataclass(frozen=True, slots=True)
class Tick:
    """One turn of the loop. Telemetry, events, MQTT, metrics and log are projections of it.

    ``outside``: what is wrong outside the core (stores, evidence); `faults` are all. ``outlook`` and ``envoy`` are not
    recorded. ``stores``: where telemetry goes, and how that stands. ``envoy``: what an Enphase gateway tells besides;
    None: none is asked, or it tells nothing.
    """

    snapshot: Snapshot
    decision: Decision
    dry_run: bool = False
    step_s: float = 0.0
    excursions: Excursions | None = None
    outside: tuple[Fault, ...] = ()
    outlook: Outlook | None = None
    ledger: Ledger | None = None
    stores: tuple[StoreState, ...] = ()
    envoy: EnvoyState | None = None
    ensemble: EnsembleState | None = None

    @property
    def faults(self) -> tuple[Fault, ...]:
        """Everything that is wrong, each key once, the core's own first."""
        found: dict[str, Fault] = {}
        for fault in (*self.decision.faults, *self.outside):
            found.setdefault(fault.key, fault)
        return tuple(found.values())
