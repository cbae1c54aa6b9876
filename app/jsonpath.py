"""JSONPath: as a type of the configuration, and looked up in documents that may be anything."""

from __future__ import annotations

import functools
from typing import Annotated, Any

from pydantic import AfterValidator

MAX_PATH = 200


def look_up(document: Any, path: str) -> list[Any]:
    """All values at a path that was found valid. Raises `ValueError` with a sentence where the library fails."""
    try:
        return [match.value for match in _compiled(path).find(document)]
    except (TypeError, ValueError, LookupError, AttributeError, RecursionError):  # of the library, for odd documents
        raise ValueError(f"{path} cannot be looked up in the answer") from None


def _valid_path(value: str) -> str:
    if len(value) > MAX_PATH:
        raise ValueError(f"is longer than {MAX_PATH} characters")
    try:
        _compiled(value)
    except Exception as error:  # the parser raises plain Exception
        raise ValueError(f"{value!r} is not a JSONPath like $.power: {error}") from None
    return value


@functools.cache
def _compiled(path: str) -> Any:
    """The parsed path; parsing costs twenty times the look-up, and the library is imported only when used."""
    from jsonpath_ng.ext.parser import parse as parse_path  # noqa: PLC0415

    return parse_path(path)


JsonPath = Annotated[str, AfterValidator(_valid_path)]
