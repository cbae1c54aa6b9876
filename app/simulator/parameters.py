"""Every parameter of the plant, and where it comes from. Pure.

"OpenDTU": its source. "Profile": the grid profile DE_VDE4105_2018, as inverters carry it. "Users": reports in the
issues of OpenDTU, OpenDTU-OnBattery (OnB), AhoyDTU and HoymilesZeroExport (HZE). "Ours": not known, chosen to be
plausible.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.simulator.traces import Trace

Span = tuple[float, float]  # drawn evenly between the two

# The inverter: limits.
LIMIT_STEPS = 1000  # in rated power: OpenDTU, limits go through the air in tenths of a percent
MIN_LIMIT = 0.02  # of rated power: AhoyDTU's manual; lower limits stop it, until a restart (users: OnB #809, #1041)
STATIC_BIAS = 0.01  # limits are met within 1 % from 16 % of rated power on: HMS-2000 as measured in OnB PR 1756
STATIC_SHORTFALL = 0.12  # but by 5 to 17 % too low up to 15 %: the same measurement
STATIC_SHORT_BELOW, STATIC_RIGHT_FROM = 0.10, 0.16  # shares of rated power between which that fades: the same
MUTE_WITHIN_S, MUTE_S = 15.0, 900.0  # a limit repeated so soon can silence its radio so long: OpenDTU #1587, Ahoy #1757

# The inverter: the rest.
EFFICIENCY = 0.95  # ours: weighted efficiencies of data sheets, less some losses
SLEEP_DC_W = 5.0  # ours: with less than this from its panels an inverter is off, radio included
PANEL_V: Span = (32.0, 38.0)  # ours: at the power point and, held back, near open circuit
READING_SPREAD = 0.003  # ours: of the power it reports
HEAT_S = 600.0  # ours: time constant of its temperature

# The mains: ours.
GRID_V, VOLTAGE_SPREAD_V, VOLTAGE_WALK_S = 231.0, 1.0, 120.0
GRID_HZ, FREQUENCY_SPREAD_HZ, FREQUENCY_WALK_S = 50.0, 0.015, 20.0

# OpenDTU.
ANSWER_S = 0.2  # from sending a limit to the inverter having it: log in OpenDTU #1862
TRIES = 5  # OpenDTU, CommandAbstract.h: sent again 4 times when nobody answers
REACHABLE_FAILURES = 2  # OpenDTU, defaults.h: unreachable with the third failed poll in a row
READ_LIMIT_EVERY_S, READ_LIMIT_AFTER_COMMAND_S = 120.0, 240.0  # OpenDTU, Hoymiles.h

# How often what changes slowly is computed anew: ours.
BASE_EVERY_S = 1.0  # base load
SUN_EVERY_H = 1.0 / 3600.0  # clear sky, in hours of the sun's day

# The household.
INRUSH_S = 0.5  # ours: how long a motor that starts draws more
ALWAYS: Span = (1e9, 1e9)


@dataclass(frozen=True, slots=True)
class Stage:
    """Uses ``watts`` for ``on_s`` and ``idle_w`` for ``off_s``, in turn, for ``use_s``."""

    watts: float
    on_s: Span
    off_s: Span
    use_s: Span
    idle_w: float = 0.0


@dataclass(frozen=True, slots=True)
class Appliance:
    """Uses ``watts`` in cycles of ``on_s``/``off_s`` while in use; in use for ``use_s``, every ``gap_s``.

    ``first_s`` is when it is first taken into use; ``inrush_w`` is added in the first half second of each cycle.
    ``then`` follows in each use.
    """

    name: str
    phase: int
    watts: float
    on_s: Span
    off_s: Span
    use_s: Span
    gap_s: Span
    first_s: Span
    inrush_w: float = 0.0
    then: tuple[Stage, ...] = ()

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Everything that it does in one use, in order."""
        return Stage(self.watts, self.on_s, self.off_s, self.use_s), *self.then


# Cycles as users report them: drum 330 W every 16 s with 3 s pauses (AstraMeter #473), ceran and oven at full power for
# 10 to 20 s (HZE #208, #264), microwave (OnB #1083), kettle 2 kW for 2 to 4 min. Heaters of washing machine and
# dishwasher: about 2 kW, rating plates. How often they are used is ours: a lively household at lunch time.
_DRUM: Span = (12, 14)
_WASH = (
    Stage(2330, _DRUM, (3, 3), (420, 780), idle_w=2000),  # heating while it turns
    Stage(330, _DRUM, (3, 3), (900, 1500)),
    Stage(550, ALWAYS, (0, 0), (240, 420)),  # spinning
)
_DISHES = (
    Stage(2000, ALWAYS, (0, 0), (600, 900)),
    Stage(70, ALWAYS, (0, 0), (900, 1200)),
    Stage(2000, ALWAYS, (0, 0), (300, 500)),
)
_BAKING = (Stage(2200, (25, 25), (20, 20), (900, 1800)),)
APPLIANCES = (
    Appliance("fridge", 0, 90, (600, 900), (1200, 1800), ALWAYS, (0, 0), (45, 50), inrush_w=700),
    Appliance("kettle", 1, 2000, ALWAYS, (0, 0), (120, 240), (500, 1500), (95, 110)),
    Appliance("washing machine", 2, 330, _DRUM, (3, 3), (480, 780), (2400, 5400), (2, 4), then=_WASH),
    Appliance("hob", 1, 1400, (9, 9), (11, 11), (240, 720), (900, 2400), (190, 220)),
    Appliance("induction plate", 2, 1100, (1.5, 2.5), (2, 4), (180, 600), (1800, 4500), (620, 900)),
    Appliance("microwave", 0, 1150, (14, 14), (8, 8), (60, 75), (600, 2400), (16, 18)),
    Appliance("oven", 2, 2200, ALWAYS, (0, 0), (300, 480), (3600, 7200), (1200, 1500), then=_BAKING),
    Appliance("dishwasher", 0, 70, ALWAYS, (0, 0), (240, 360), (7200, 14400), (1800, 3000), then=_DISHES),
    Appliance("iron", 1, 2200, (8, 14), (20, 40), (600, 1200), (7200, 14400), (2400, 4200)),
    Appliance("vacuum cleaner", 0, 750, (60, 180), (5, 20), (300, 600), (3600, 9000), (900, 1600), inrush_w=400),
    Appliance("lights", 0, 60, (40, 400), (20, 90), ALWAYS, (0, 0), (30, 60)),
)


@dataclass(frozen=True, slots=True)
class LoadConfig:
    """``base_w`` never goes away; ``walk_w`` is the spread of the slow wandering around it.

    Powers and cycles of each appliance differ by up to ``variation`` from seed to seed, each cycle by ``jitter`` more.
    A ``trace`` (watts) takes the place of all this: it begins ``trace_start_s`` after its first row, and repeats.
    """

    base_w: float = 230.0
    walk_w: float = 25.0
    base_shares: tuple[float, float, float] = (0.5, 0.3, 0.2)
    appliances: tuple[Appliance, ...] = APPLIANCES
    walk_s: float = 60.0
    variation: float = 0.15
    jitter: float = 0.05
    trace: Trace | None = None
    trace_start_s: float = 0.0


@dataclass(frozen=True, slots=True)
class SunConfig:
    """A clear day is a half sine; clouds take a share of it (``depth``), with edges of 5 to 10 s: ours.

    ``speed`` makes the day pass faster; clouds keep their real time, as appliances and devices do.
    A ``trace`` (shares of full sun) takes the place of both; it begins ``trace_start_s`` after its first row.
    """

    start_hour: float = 10.75
    sunrise_hour: float = 6.0
    sunset_hour: float = 20.0
    speed: float = 1.0
    clouds: bool = True
    first_cloud_s: float = 70.0
    clear_s: Span = (40.0, 240.0)
    cloudy_s: Span = (20.0, 90.0)
    edge_s: Span = (5.0, 10.0)
    depth: Span = (0.25, 0.5)
    trace: Trace | None = None
    trace_start_s: float = 0.0


@dataclass(frozen=True, slots=True)
class MeterConfig:
    """One new value, the mean of ``window_s``, per ``window_s``. Visible ``latency_s`` (half to one and a half) later.

    Shelly: every second (its documentation), answers within 40 to 120 ms (users: OnB #2397); IR heads: 1 to 10 s.
    ``phase_s`` is when the first window ends (None: drawn). Of all values a share ``dropout`` never arrives, nor does
    what follows within ``dropout_s``. Noise, per phase and Gaussian: ours.
    """

    window_s: float = 1.0
    latency_s: float = 0.08
    noise_w: float = 2.0
    noise_share: float = 0.005
    phase_s: float | None = None
    dropout: float = 0.0
    dropout_s: Span = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
class BatteryConfig:
    """A battery that holds the grid power at ``target_w`` by itself, ``delay_s`` later (0.5 to 3 s: users).

    From ``taper_pct`` below full on it takes less and less: data sheets show 5 to 10 %. It tells what it does every
    ``report_s``, and that is seen ``report_lag_s`` later: 2 s over MQTT; through AlphaESS's cloud 15 s and about 10 s.
    """

    capacity_wh: float = 5000.0
    charge_w: float = 2500.0
    discharge_w: float = 2500.0
    soc_pct: float = 40.0
    reserve_pct: float = 10.0
    taper_pct: float = 5.0
    delay_s: float = 1.0
    ramp_w_per_s: float = 2500.0
    target_w: float = 0.0
    report_s: float = 2.0
    report_lag_s: float = 0.3


@dataclass(frozen=True, slots=True)
class InverterConfig:
    """One inverter. Shares are of rated power. ``phase`` counts from 0; None: it feeds all three alike.

    ``panel_w`` is each panel's DC power in full sun, times its entry in ``shade`` (default 1.0 each).
    ``static_error``: outputs fall short of low limits, as measured. ``mute_chance``: of a limit that repeats the last.
    """

    serial: str = "116180400001"
    name: str = "Roof"
    model: str = "HM-1500-4T"
    phase: int | None = 0
    panel_w: float = 410.0
    shade: tuple[float, ...] = ()
    dead_time_s: float = 1.0  # users: 1 (OnB #1483), 3 (Ahoy #257), 10 s (HZE #264) from a limit to its effect
    dead_time_spread: float = 0.2  # ours
    ramp_up_per_s: float = 0.2  # profile: normal ramp-up
    ramp_down_per_s: float = 1.0  # profile: active power control
    reconnect_s: float = 60.0  # profile; after a restart and in the morning
    persistent_limit: float = 1.0
    static_error: bool = True
    soft_start_per_s: float = 0.1  # profile; after each reconnection
    stats_lag_s: Span = (0.0, 2.5)  # age of the powers it tells, drawn once: OnB #1483 saw more than a second
    mute_chance: float = 0.01  # ours: users report that it happens, not how often


@dataclass(frozen=True, slots=True)
class DtuConfig:
    """OpenDTU. ``loss`` is the share of exchanges that fail once, ``boot_s`` how long a reboot takes.

    ``up_since_s``: how long it has been running at the start; if at all, it has met its inverters.
    """

    poll_interval_s: float = 5.0  # OpenDTU, defaults.h: one inverter per interval
    publish_interval_s: float = 5.0  # OpenDTU, defaults.h
    limit_slot_s: float = 2.0  # OpenDTU, ActivePowerControlCommand: always waited out
    stats_slot_s: float = 0.5  # OpenDTU, RealTimeRunDataCommand
    query_slot_s: float = 0.4  # OpenDTU: two device queries of 0.2 s each
    loss: float = 0.02  # ours; half of the losses are those of answers
    boot_s: float = 6.0  # ours
    up_since_s: float = 0.0
