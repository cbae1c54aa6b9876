"""Every law on the scoreboard, by the name it is shown under; ours first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from app.simulator.laws import Law, Site
from app.simulator.laws.hoymiles_zero_export import hoymiles_zero_export
from app.simulator.laws.integrator import integrator
from app.simulator.laws.lektronik import lektronik
from app.simulator.laws.opendtu_onbattery import opendtu_onbattery
from app.simulator.laws.opendtu_pr3227 import opendtu_pr3227
from app.simulator.laws.plain_pid import plain_pid
from app.simulator.laws.zero_export import zero_export

OURS = "zero-export"


def released_while_open(law: Law) -> Law:
    """What an automation beside a controller without prices does: pause and release it while export is wanted."""

    def live(site: Site) -> Iterator[float | None]:
        while True:
            living = law(site)
            while not site.gate_open:
                pause_s = next(living)
                due_s, shown_s = site.now_s + (pause_s or 0.0), site.grid_at_s
                while not site.gate_open and (site.now_s < due_s - 1e-6 if pause_s else site.grid_at_s == shown_s):
                    yield min(0.1, due_s - site.now_s) if pause_s else 0.1
            for one in site.inverters:
                site.limit_w(one.serial, one.rated_w)
            while site.gate_open:
                yield 1.0

    return live


LAWS: Mapping[str, Callable[[], Law]] = {
    OURS: zero_export,
    "HZE": hoymiles_zero_export,
    "HZE tuned": lambda: hoymiles_zero_export(
        loop_s=5.0, tolerance_w=10.0, max_point_w=25.0, min_point_w=-10.0, jump_pct=0.0, fast_decrease=True
    ),
    "lektronik": lektronik,
    "OnBattery DPL": opendtu_onbattery,
    "OnBattery DPL tuned": lambda: opendtu_onbattery(hysteresis_w=20.0),
    "OpenDTU PR 3227": opendtu_pr3227,
    "simple-pid": plain_pid,
    "5 s integrator": integrator,
}
