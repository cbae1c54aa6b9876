"""The words that JSON schemas are made of."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

ON_OFF: Json = {"type": "string", "enum": ["on", "off"]}
TEXT: Json = {"type": "string"}
FLAG: Json = {"type": "boolean"}


def number(text: str) -> Json:
    """A number that may be unknown."""
    return {"type": ["number", "null"], "description": text}


def optional(kind: str, text: str = "") -> Json:
    """A value that may be unknown."""
    return {"type": [kind, "null"]} | ({"description": text} if text else {})


def record(**properties: Json) -> Json:
    """An object that has exactly these keys."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def many(item: Json) -> Json:
    """A list of one kind of thing."""
    return {"type": "array", "items": item}


def ref(name: str) -> Json:
    """A schema by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def maybe(name: str) -> Json:
    """A schema by its name, or null."""
    return {"oneOf": [ref(name), {"type": "null"}]}


def body(text: str, schema: Json, kind: str = "application/json") -> Json:
    """An answer with this content."""
    return {"description": text, "content": {kind: {"schema": schema}}}


def answer(text: str, name: str) -> Json:
    """An answer whose JSON has a schema with a name."""
    return body(text, ref(name))


def query(name: str, schema: Json, text: str) -> Json:
    """A parameter of the URL that may be left out."""
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": text}
