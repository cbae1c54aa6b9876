"""The dashboards against Grafana's own types, by its published package and the TypeScript compiler."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.grafana import boards
from tests.grafana.boards import BOARDS, HOME, Json

TYPES = Path(__file__).parent / "types"
NODE = shutil.which("node")
Spoil = Callable[[Json], object]


def find(board: Json, kind: str) -> Json:
    """The first panel of a kind."""
    found: Json = next(panel for panel in board["panels"] if panel["type"] == kind)
    return found


SPOILT: dict[str, Spoil] = {
    "an option that no stat has": lambda b: find(b, "stat")["options"].update(colourMode="value"),
    "a word that an option does not know": lambda b: find(b, "stat")["options"].update(colorMode="backgrounds"),
    "an option that is missing": lambda b: find(b, "table")["options"].pop("frameIndex"),
    "a number for a word": lambda b: find(b, "timeseries")["options"]["legend"].update(placement=1),
    "a setting that no line has": lambda b: find(b, "timeseries")["fieldConfig"]["defaults"]["custom"].update(width=2),
    "a band with a line's setting": lambda b: find(b, "state-timeline")["fieldConfig"]["defaults"]["custom"].update(
        drawStyle="line"
    ),
    "an override of what there is not": lambda b: find(b, "timeseries")["fieldConfig"]["overrides"][0][
        "properties"
    ].append({"id": "custom.lineWidht", "value": 2}),
    "an override of the wrong kind": lambda b: find(b, "timeseries")["fieldConfig"]["overrides"][0][
        "properties"
    ].append({"id": "custom.lineWidth", "value": "2"}),
    "a kind of panel that is not known": lambda b: find(b, "stat").update(type="stats"),
    "a threshold without a value": lambda b: find(b, "stat")["fieldConfig"]["defaults"]["thresholds"]["steps"][0].pop(
        "value"
    ),
    "a mapping without its type": lambda b: find(b, "state-timeline")["fieldConfig"]["defaults"]["mappings"][0].pop(
        "type"
    ),
    "a query of another data source": lambda b: find(b, "stat")["targets"][0].update(expr="up"),
    "a panel without a place": lambda b: find(b, "stat").pop("gridPos"),
    "a link without a kind": lambda b: b["links"][0].pop("type"),
    "a variable of no kind": lambda b: b["templating"]["list"][0].update(type="choice"),
    "a mark with a setting too many": lambda b: b["annotations"]["list"][0].update(colour="red"),
    "a dashboard with a setting too many": lambda b: b.update(theme="dark"),
}


@pytest.fixture(scope="module")
def compiler() -> str:
    if NODE is None or shutil.which("npm") is None:
        pytest.skip("needs Node.js: apt install nodejs npm")
    if not (TYPES / "node_modules/typescript").exists():
        pytest.skip("needs Grafana's types: make test fetches them, or npm ci in tests/grafana/types")
    return NODE


def checked(compiler: str, *files: Path) -> tuple[int, str]:
    """Exit code and complaints."""
    command = [compiler, str(TYPES / "check.mjs"), *map(str, files)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_the_dashboards_are_what_grafana_reads(compiler: str) -> None:
    assert checked(compiler, *boards.FILES) == (0, "")


def test_what_grafana_would_not_understand_is_found(compiler: str, tmp_path: Path) -> None:
    files = {}
    for number, (what, spoil) in enumerate(SPOILT.items()):
        board = copy.deepcopy(BOARDS[HOME])
        spoil(board)
        files[what] = tmp_path / f"{number}.json"
        files[what].write_text(json.dumps(board, indent=2), encoding="utf-8")
    code, said = checked(compiler, *files.values())
    assert code == 1
    assert {what for what, file in files.items() if f"{file}:" not in said} == set()


def test_the_types_are_those_of_the_grafana_that_the_stack_pins() -> None:
    image = boards.compose()["services"]["grafana"]["image"]
    wanted = json.loads((TYPES / "package.json").read_text(encoding="utf-8"))["devDependencies"]
    assert image == f"grafana/grafana:{wanted['@grafana/schema']}"


def test_the_lock_pins_every_package_by_hash_and_names_no_registry() -> None:
    text = (TYPES / "package-lock.json").read_text(encoding="utf-8")
    packages = {name: one for name, one in json.loads(text)["packages"].items() if name}
    assert set(packages) == {"node_modules/@grafana/schema", "node_modules/tslib", "node_modules/typescript"}
    assert all(one["integrity"].startswith("sha512-") for one in packages.values())
    assert "://" not in text
    wanted = json.loads((TYPES / "package.json").read_text(encoding="utf-8"))["devDependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values()), "an exact version"
