"""What Amber's answers look like: its own OpenAPI description, and what reality adds to it.

Not in the description (version 1.0), and seen in answers: a resolution of 5 minutes, ``intervalLength`` of a site,
``advancedPrice`` of an interval, the statuses 403 and 429.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator

DESCRIPTION = Path(__file__).with_name("amber-openapi.json")
ADVANCED = {
    "type": "object",
    "required": ["low", "predicted", "high"],
    "properties": {name: {"type": "number"} for name in ("low", "predicted", "high")},
}
BEYOND = {403, 429}  # answered, though not described


@cache
def description() -> Any:
    """The description, as JSON Schema understands it, with the additions."""
    document = _nullable(json.loads(DESCRIPTION.read_text()))
    schemas = document["components"]["schemas"]
    for name in ("CurrentInterval", "ForecastInterval"):
        schemas[name]["allOf"][1]["properties"]["advancedPrice"] = {"anyOf": [ADVANCED, {"type": "null"}]}
    schemas["Site"]["properties"]["intervalLength"] = {"type": "integer", "enum": [5, 30]}
    for name in ("/sites/{siteId}/prices/current", "/sites/{siteId}/prices"):
        for parameter in document["paths"][name]["get"]["parameters"]:
            if parameter["name"] == "resolution":
                parameter["schema"]["enum"] = [5, 30]
    return document


def check_answer(path: str, body: Any, status: int = 200) -> None:
    """Raise where ``body`` is no such answer to a GET of ``path``, which is written as in the description."""
    assert str(status) in description()["paths"][path]["get"]["responses"] or status in BEYOND, status
    if status == 200:
        _answers(path).validate(body)


def check_question(path: str, query: dict[str, str]) -> None:
    """Raise where the query is none that ``path`` knows."""
    known = {one["name"]: one["schema"] for one in description()["paths"][path]["get"].get("parameters", [])}
    for name, text in query.items():
        assert name in known, name
        value = int(text) if known[name]["type"] == "integer" else text
        Draft202012Validator(known[name]).validate(value)


@cache
def _answers(path: str) -> Validator:
    answer = description()["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    return Draft202012Validator({**answer, "components": description()["components"]})


def _nullable(node: Any) -> Any:
    """OpenAPI 3.0 says ``nullable`` where JSON Schema has a type for it."""
    if isinstance(node, list):
        return [_nullable(one) for one in node]
    if not isinstance(node, dict):
        return node
    plain = {key: _nullable(value) for key, value in node.items() if key != "nullable"}
    return {"anyOf": [plain, {"type": "null"}]} if node.get("nullable") is True else plain
