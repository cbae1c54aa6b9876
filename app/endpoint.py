"""A URL that is asked with whatever login its owner wants, as a part of a section."""

from __future__ import annotations

import base64
import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from app.fields import Section
from app.redact import Redactor


def _valid_url(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#\\]+([/?][^\s#]*)?", value) or "x.x" in value or not _named(value):
        shown = Redactor()(value.partition("?")[0])  # what stands behind it, or before @, may be a secret
        raise ValueError(f"{shown!r} is not a URL like http://192.168.1.20/api/power")
    if "@" in urlsplit(value).netloc:
        raise ValueError("holds a login: put it into username and password")
    return value


def _named(url: str) -> bool:
    """Whether the host and the port of a URL can be one."""
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _one_line(value: str) -> str:
    """What stands in a header of a request; the message does not repeat it."""
    if not value.isascii() or not value.isprintable():
        raise ValueError("holds a line break or a sign that is not ASCII: a header cannot carry it")
    return value


HeaderText = Annotated[str, AfterValidator(_one_line)]


def basic_login(username: str, password: str) -> str:
    """The value of an Authorization header for HTTP Basic."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


class Endpoint(Section):
    """A URL and the login there."""

    url: Annotated[str, AfterValidator(_valid_url)]
    username: str = ""
    password: str = Field("", repr=False)
    bearer_token: HeaderText = Field("", repr=False)
    headers: dict[HeaderText, HeaderText] = Field(default_factory=dict, repr=False)

    @property
    def request_headers(self) -> dict[str, str]:
        """Its headers, and the login as one of them."""
        headers = dict(self.headers)
        if self.bearer_token:
            headers["Authorization"] = f"Bearer {self.bearer_token}"
        elif self.username:
            headers["Authorization"] = basic_login(self.username, self.password)
        return headers
