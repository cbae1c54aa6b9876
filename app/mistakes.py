"""What pydantic finds wrong in `config.yaml`, in words that its owner understands."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

_WRONG_TYPE = {
    "bool_parsing": "should be true or false",
    "bool_type": "should be true or false",
    "dict_type": "should be keys with values, one below the other",
    "float_parsing": "should be a number",
    "float_type": "should be a number",
    "int_from_float": "should be a whole number",
    "int_parsing": "should be a whole number",
    "int_type": "should be a whole number",
    "list_type": "should be a list: begin each entry with a -",
    "model_type": "should be keys with values, one below the other",
    "string_type": "should be a text: put it in quotes",
    "tuple_type": "should be a list: begin each entry with a -",
}

_FORMS = {
    r"^[a-z0-9][a-z0-9_-]{0,30}$": "use lower-case letters, digits, - and _ (at most 31)",
    r"^[a-z0-9_]+\.[a-z0-9_]+$": "is no id of an entity like sensor.grid_power",
    "^[^:]+$": "holds a colon, or nothing",
    "^[^:]*$": "holds a colon",
}


def sentence(item: Any, schema: dict[str, Any]) -> str:
    """One error of pydantic as what is wrong and what to do; `schema` is the JSON Schema of the whole file."""
    value = item.get("input")
    match item["type"]:
        case "extra_forbidden":
            key = str(item["loc"][-1])
            return f"unknown key: {_meant(key, _keys(schema, item['loc'][:-1])) or 'remove it or check its spelling'}"
        case "missing":
            return "is missing: add it"
        case "union_tag_invalid":
            expected, tag = item["ctx"]["expected_tags"], item["ctx"]["discriminator"].strip("'")
            meant = _meant(str(value.get(tag)), [one.strip(" '") for one in expected.split(",")])
            return f"{value.get(tag)!r} is no known {tag}: {f'{meant} ' if meant else ''}use one of {expected}"
        case "union_tag_not_found":
            tag = item["ctx"]["discriminator"].strip("'")
            example = "amber" if "price" in item["loc"] else "reserve" if tag == "action" else "shelly"
            return f"{tag} is missing: add it (for example {tag}: {example})"
        case "too_short":
            return "is empty: give at least one"
        case "string_too_short" if not value:
            return "is empty: give it a value"
        case "string_pattern_mismatch":
            return f"{value!r}: {_FORMS.get(item['ctx']['pattern'], 'is not of the form ' + item['ctx']['pattern'])}"
        case "value_error":
            return str(item["ctx"]["error"])
    shown = "" if isinstance(value, dict | list) else f"{value!r}: "
    wrong = _WRONG_TYPE.get(item["type"])
    return f"{shown}{wrong or item['msg'][0].lower() + item['msg'][1:]}"


def _meant(word: str, known: list[str]) -> str | None:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.7)
    return f"did you mean {near[0]!r}?" if near else None


def _keys(schema: dict[str, Any], path: tuple[int | str, ...]) -> list[str]:
    """The keys that may stand at pydantic's path: through lists, sections, and the type of a union."""
    nodes = [schema]
    for part in path:
        options = [option for node in nodes for option in _options(schema, node)]
        if isinstance(part, int):
            nodes = [option["items"] for option in options if "items" in option]
        elif tagged := [_mapping(option)[part] for option in options if part in _mapping(option)]:
            nodes = [{"$ref": reference} for reference in tagged]
        else:
            nodes = [option["properties"][part] for option in options if part in option.get("properties", {})]
    return [key for node in nodes for option in _options(schema, node) for key in option.get("properties", {})]


def _mapping(node: dict[str, Any]) -> dict[str, str]:
    mapping: dict[str, str] = node.get("discriminator", {}).get("mapping", {})
    return mapping


def _options(schema: dict[str, Any], node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What a node may be: itself, what it refers to, and each member of a union."""
    if "$ref" in node:
        yield from _options(schema, schema["$defs"][node["$ref"].rpartition("/")[2]])
        return
    yield node
    for option in [*node.get("anyOf", []), *node.get("oneOf", [])]:
        yield from _options(schema, option)
