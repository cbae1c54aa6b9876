"""The rooms and their doors: who may import whom."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

APP = Path(__file__).parent.parent / "app"
MODULES = sorted(APP.rglob("*.py"))
PURE = ["model.py", *(f"control/{path.name}" for path in (APP / "control").glob("*.py"))]
PURE += ["recording.py", "differences.py"]
PURE += ["telemetry/points.py", "telemetry/projector.py", "telemetry/rollup.py", "api/status.py", "simulator/house.py"]
PURE += [
    "api/values.py",
    "api/prices.py",
    "api/homeassistant.py",
    "prices/timetable.py",
    "prices/shape.py",
    "prices/formula.py",
    "excursions.py",
]
PURE += [f"meters/shelly/{name}.py" for name in ("digest", "parse", "uptime")]
PURE += ["prices/board.py", "jsonpath.py", "ledger.py", "potential.py"]
PURE += ["telemetry/segment.py", "telemetry/answers.py", "telemetry/troubles.py"]
PURE += ["simulator/battery.py"]
PURE += ["counter.py", "energy.py", "localtime.py", "telemetry/tables.py", "telemetry/csvfile.py"]
PURE += ["meters/obis.py", "meters/sml.py"]
PURE += [f"enphase/{name}.py" for name in ("clamps", "meters", "inventory", "messages")]
PURE += ["api/envoy.py", "api/envoy_metrics.py", "telemetry/envoy.py", "telemetry/memory.py"]
PURE += ["meters/homewizard_data.py", "meters/speedwire.py", "discover/paste.py"]
PURE += ["enphase/about.py", "enphase/token.py", "meters/enphase_stream.py"]
PURE += [f"inverters/enphase/{name}.py" for name in ("dpel", "profiles", "production", "quirks", "health")]
PURE += ["api/venus.py", "feedback.py", "meters/victron_services.py"]
PURE += ["alphaess/data.py", "alphaess/refusals.py", "batteries/values.py"]
PURE += ["simulator/ahoytopics.py", *(f"inverters/hoymiles/{name}.py" for name in ("models", "payload"))]
PURE += [f"inverters/goodwe/{name}.py" for name in ("budget", "profiles", "proof", "scale", "values")]
HOMES = {
    "simple_pid": {"control/pid.py", "simulator/laws/plain_pid.py"},
    "influxdb_client": {"telemetry/influx.py"},
    "sqlite3": {f"telemetry/{name}.py" for name in ("archive", "database", "records", "sqlite")} | {"exporting.py"},
    "pyarrow": {"telemetry/parquet.py"},
    "jsonpath_ng": {"jsonpath.py"},
    "prometheus_client": {"api/metrics.py"},
    "yaml": {"yamlfile.py"},
    "amqtt": {"simulator/broker.py"},
    "matplotlib": {"simulator/plot.py"},
    "pymodbus": {"modbus.py"},
    "pyenphase": {"enphase/ensemble/client.py"},
    "smllib": {"meters/sml.py"},
    "zeroconf": {"discover/browse.py"},
    "aiomqtt": {"broker.py", "mqttconnection.py", "simulator/mqttdtu.py"},
}
ABOVE = {"app.runtime": {"cli.py", "demo.py"}, "app.cli": {"__main__.py"}, "app.demo": {"cli.py"}}


def imports(path: Path) -> set[str]:
    """Every module that the file names in an import, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def relative(path: Path) -> str:
    return path.relative_to(APP).as_posix()


@pytest.mark.parametrize("name", PURE)
def test_a_pure_room_has_no_clock_no_io_and_no_asyncio(name: str) -> None:
    forbidden = {"asyncio", "time", "logging", "socket", "os", "random", "aiohttp", "aiomqtt", "threading", "pathlib"}
    assert not imports(APP / name) & forbidden


@pytest.mark.parametrize("name", [name for name in PURE if name.startswith(("control", "model"))])
def test_the_core_knows_nothing_but_the_model(name: str) -> None:
    ours = {module for module in imports(APP / name) if module.startswith("app.")}
    assert all(module.startswith(("app.model", "app.control")) for module in ours), ours


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_nobody_reaches_up_and_each_library_has_its_home(path: Path) -> None:
    name, used = relative(path), imports(path)
    for module, allowed in ABOVE.items():
        assert name in allowed or not any(use == module or use.startswith(module + ".") for use in used), module
    for library, homes in HOMES.items():
        assert name in homes or not any(use.split(".")[0] == library for use in used), library
