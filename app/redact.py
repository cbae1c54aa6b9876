"""Keeps the secrets of a configuration out of everything that is shown.

A secret is every field that its model declares with ``repr=False``, and the values in the query of a URL.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, urlsplit

from pydantic import BaseModel

MIN_LENGTH = 4  # shorter ones stand in every sentence
HIDDEN = "***"
_LOGIN = re.compile(r"(?<=://)[^\s/@]*:[^\s/@]*@")


class Redactor:
    """Replaces secrets in a text, also where they are written as in a URL, in JSON or in a login."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets for form in _forms(secret) if len(form) >= MIN_LENGTH}
        longest_first = sorted(forms, key=lambda form: (-len(form), form))
        self._secrets = re.compile("|".join(map(re.escape, longest_first))) if forms else None

    def __call__(self, text: str) -> str:
        """The text as it may be shown."""
        text = _LOGIN.sub(f"{HIDDEN}@", text)
        return text if self._secrets is None else self._secrets.sub(HIDDEN, text)


def secrets_of(config: BaseModel) -> frozenset[str]:
    """Every secret value of a configuration or of one of its sections."""
    return frozenset(secret for secret in _secrets(config) if secret)


def _secrets(section: BaseModel) -> Iterator[str]:
    username = getattr(section, "username", "")
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if field.repr:
            for part in _parts(value):
                yield from _secrets(part) if isinstance(part, BaseModel) else _in_query(part)
            continue
        for part in _parts(value):
            if isinstance(part, str):
                yield part
                yield base64.b64encode(f"{username}:{part}".encode()).decode()


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = tuple(value.values())
    for part in value if isinstance(value, tuple | list) else (value,):
        if isinstance(part, str | BaseModel):
            yield part


def _in_query(text: str) -> Iterator[str]:
    if text.startswith(("http://", "https://")):
        for _, value in parse_qsl(urlsplit(text).query):
            yield value


def _forms(secret: str) -> set[str]:
    quoted = {quote(secret, safe=""), quote(secret), quote_plus(secret)}
    return {secret, *quoted, json.dumps(secret)[1:-1], repr(secret)[1:-1]}
