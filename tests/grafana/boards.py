"""The dashboards and the provisioning as plain data, for the tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "grafana"
FILES = sorted((GRAFANA / "dashboards").glob("*.json"))
HOME, INVERTERS, ENERGY, ENVOY = "zero-export", "zero-export-inverters", "zero-export-energy", "zero-export-enphase"
RAW, LASTING = "zero-export-influxdb", "zero-export-lasting"
Json = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """One query: where it stands, and which data source it is put to."""

    board: str
    where: str
    text: str
    source: str

    def __str__(self) -> str:
        return f"{self.board}/{self.where}"


def provisioned(name: str) -> Any:
    """A file below `provisioning`."""
    return yaml.safe_load((GRAFANA / "provisioning" / name).read_text(encoding="utf-8"))


def compose() -> Json:
    """The stack."""
    found: Json = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return found


def everything(uid: str) -> list[Json]:
    """All panels of a dashboard, headings too."""
    found: list[Json] = BOARDS[uid]["panels"]
    return found


def panels(uid: str) -> list[Json]:
    """Those that show something."""
    return [panel for panel in everything(uid) if panel["type"] != "row"]


def panel(uid: str, title: str) -> Json:
    """The one with this title."""
    (found,) = [one for one in panels(uid) if one["title"] == title]
    return found


def variables(uid: str) -> list[Json]:
    """The choices at the top."""
    found: list[Json] = BOARDS[uid]["templating"]["list"]
    return found


def marks(uid: str) -> list[Json]:
    """The annotations."""
    found: list[Json] = BOARDS[uid]["annotations"]["list"]
    return found


def _asked() -> Iterator[Asked]:
    for uid in BOARDS:
        for one in panels(uid):
            for target in one["targets"]:
                yield Asked(uid, f"{one['title']}/{target['refId']}", target["query"], target["datasource"]["uid"])
        for variable in variables(uid):
            yield Asked(uid, variable["name"], variable["query"]["query"], variable["datasource"]["uid"])
        for mark in marks(uid):
            yield Asked(uid, mark["name"], mark["query"], mark["datasource"]["uid"])


BOARDS: dict[str, Json] = {}
for _file in FILES:
    _document = json.loads(_file.read_text(encoding="utf-8"))
    BOARDS[_document["uid"]] = _document
ASKED = list(_asked())
(GROUP,) = provisioned("alerting/zero-export.yaml")["groups"]
RULES: dict[str, Json] = {rule["uid"]: rule for rule in GROUP["rules"]}
