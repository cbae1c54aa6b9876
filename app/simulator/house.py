"""The house: its sun, its load, its inverters and what the meter sees. Pure; time comes from outside.

One `House` serves every fake device, and the scoreboard; it is advanced by whoever looks at it (`House.follow`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from app.simulator.battery import Battery
from app.simulator.dtu import Dtu
from app.simulator.inverter import Inverter
from app.simulator.load import Load, Phases
from app.simulator.meter import Meter
from app.simulator.parameters import BatteryConfig, DtuConfig, InverterConfig, LoadConfig, MeterConfig, SunConfig
from app.simulator.sun import Sun

MAX_CATCH_UP_S = 30.0  # after a longer pause of the process the missing time is skipped


@dataclass(frozen=True, slots=True)
class HouseConfig:
    """Everything about a house. Equal seeds give equal houses."""

    seed: int = 1
    step_s: float = 0.1
    load: LoadConfig = field(default_factory=LoadConfig)
    sun: SunConfig = field(default_factory=SunConfig)
    meter: MeterConfig = field(default_factory=MeterConfig)
    dtu: DtuConfig = field(default_factory=DtuConfig)
    inverters: tuple[InverterConfig, ...] = (InverterConfig(),)
    battery: BatteryConfig | None = None


@dataclass(slots=True)
class Energy:
    """Watt hours since the start. ``unlimited_export_wh`` is what no limit at all would have exported."""

    seconds: float = 0.0
    load_wh: float = 0.0
    pv_wh: float = 0.0
    available_wh: float = 0.0
    import_wh: float = 0.0
    export_wh: float = 0.0
    unlimited_export_wh: float = 0.0
    unlimited_import_wh: float = 0.0

    def add(self, dt_s: float, load_w: float, pv_w: float, available_w: float) -> None:
        """Count ``dt_s`` seconds of these powers."""
        hours = dt_s / 3600.0
        self.seconds += dt_s
        self.load_wh += load_w * hours
        self.pv_wh += pv_w * hours
        self.available_wh += available_w * hours
        if pv_w < load_w:
            self.import_wh += (load_w - pv_w) * hours
        else:
            self.export_wh += (pv_w - load_w) * hours
        if available_w < load_w:
            self.unlimited_import_wh += (load_w - available_w) * hours
        else:
            self.unlimited_export_wh += (available_w - load_w) * hours


class House:
    """Set ``load_override_w`` (total watts) or ``sun_override`` (0..1) at any time to take over from the habits."""

    def __init__(self, config: HouseConfig | None = None) -> None:
        self.config = config = config or HouseConfig()
        self.load_override_w: float | None = None
        self.sun_override: float | None = None
        self.now_s = 0.0
        self.energy = Energy()
        self.load = Load(config.load, f"{config.seed}/load")
        self.sun = Sun(config.sun, f"{config.seed}/sun")
        self.inverters = tuple(Inverter(one, f"{config.seed}/{one.serial}") for one in config.inverters)
        self.battery = Battery(config.battery) if config.battery is not None else None
        self.irradiance = self.sun.irradiance
        self.load_w: Phases = self.load.step(0.0)
        for inverter in self.inverters:
            inverter.settle(self.irradiance)
        self.dtu = Dtu(config.dtu, self.inverters, f"{config.seed}/dtu")
        self.meter = Meter(config.meter, f"{config.seed}/meter")
        self._steps = 0
        self._follows_from_s: float | None = None
        self.meter.start(self._phases(), self.pv_w)

    @property
    def pv_w(self) -> float:
        """AC power of all inverters."""
        return sum(inverter.power_w for inverter in self.inverters)

    @property
    def available_w(self) -> float:
        """AC power they could give without limits."""
        return sum(inverter.available_w for inverter in self.inverters)

    @property
    def feedable_w(self) -> float:
        """AC power they could give now without limits: less than available while some reconnect or start."""
        return sum(inverter.feedable_w for inverter in self.inverters)

    @property
    def grid_w(self) -> float:
        """True grid power now; import is positive."""
        return sum(self.load_w) - self.pv_w + self.battery_w

    @property
    def battery_w(self) -> float:
        """What a battery takes; negative: what it gives."""
        return self.battery.power_w if self.battery is not None else 0.0

    def inverter(self, serial: str) -> Inverter:
        """The inverter of this serial number."""
        return next(inverter for inverter in self.inverters if inverter.config.serial == serial)

    def step(self) -> None:
        """Live through one ``step_s``."""
        dt_s = self.config.step_s
        self._steps += 1
        self.now_s = now_s = self._steps * dt_s
        sun = self.sun.step(now_s, dt_s)
        self.irradiance = sun = sun if self.sun_override is None else self.sun_override
        habits, watts = self.load.step(now_s), self.load_override_w
        self.load_w = habits if watts is None else (watts / 3.0, watts / 3.0, watts / 3.0)
        self.dtu.step(now_s)
        for inverter in self.inverters:
            inverter.step(now_s, dt_s, sun)
        pv_w = self.pv_w
        if self.battery is not None:
            self.battery.step(now_s, dt_s, sum(self.load_w) - pv_w)
        self.meter.step(now_s, dt_s, self._phases(), pv_w)
        self.energy.add(dt_s, sum(self.load_w) + self.battery_w, pv_w, self.available_w)

    def run(self, seconds: float) -> None:
        """Live through ``seconds``, rounded to whole steps."""
        for _ in range(round(seconds / self.config.step_s)):
            self.step()

    def follow(self, clock_s: float) -> None:
        """Catch up with a clock; the first call only remembers where that clock stood."""
        if self._follows_from_s is None:
            self._follows_from_s = clock_s - self.now_s
        behind_s = clock_s - self._follows_from_s - self.now_s
        if behind_s > MAX_CATCH_UP_S:
            self._follows_from_s += behind_s
            return
        for _ in range(int(behind_s / self.config.step_s + 1e-6)):
            self.step()

    def _phases(self) -> list[float]:
        phases = [watts + self.battery_w / 3.0 for watts in self.load_w]
        for inverter in self.inverters:
            phase = inverter.config.phase
            if phase is not None:
                phases[phase] -= inverter.power_w
                continue
            for one in range(3):
                phases[one] -= inverter.power_w / 3.0
        return phases
