"""Any meter that answers a GET with JSON: the URL, and where in the answer the power stands."""

from __future__ import annotations

import functools
import re
import time
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import aiohttp
from pydantic import AfterValidator, Field, model_validator

from app.meters.base import Emit, Meter, PolledConfig, basic_login, get_json, optional, poll, watts
from app.model import DeviceDataError, DeviceError, Reading
from app.outbound import place
from app.redact import Redactor, secrets_of

MAX_PATH = 200
_UNITS = {"": 1.0, "w": 1.0, "kw": 1000.0, "mw": 0.001}
_QUANTITY = re.compile(r"^\s*([+-]?\d+(?:[.,]\d+)?)\s*([a-zA-Z]*)\s*$")


def _valid_url(value: str) -> str:
    if not re.fullmatch(r"https?://[^\s/?#\\]+([/?][^\s#]*)?", value) or "x.x" in value or not _named(value):
        raise ValueError(f"{value!r} is not a URL like http://192.168.1.20/api/power")
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


def _valid_path(value: str) -> str:
    if len(value) > MAX_PATH:
        raise ValueError(f"is longer than {MAX_PATH} characters")
    try:
        _compiled(value)
    except Exception as error:  # the parser raises plain Exception
        raise ValueError(f"{value!r} is not a JSONPath like $.power: {error}") from None
    return value


JsonPath = Annotated[str, AfterValidator(_valid_path)]
HeaderText = Annotated[str, AfterValidator(_one_line)]


class HttpJsonConfig(PolledConfig):
    """A meter behind a URL. Give ``path``, or ``import_path`` and ``export_path`` where it counts them apart."""

    type: Literal["http_json"]
    url: Annotated[str, AfterValidator(_valid_url)]
    path: JsonPath | None = Field(None, description="JSONPath of the signed power, positive is import")
    import_path: JsonPath | None = None
    export_path: JsonPath | None = None
    sum: bool = Field(False, description="true: the path may match several values, which are summed")
    unit: Literal["W", "kW", "mW"] = Field("W", description="unit of plain numbers; a unit in the answer wins")
    username: str = ""
    password: str = Field("", repr=False)
    bearer_token: HeaderText = Field("", repr=False)
    headers: dict[HeaderText, HeaderText] = Field(default_factory=dict, repr=False)

    @model_validator(mode="after")
    def _one_way(self) -> HttpJsonConfig:
        both = self.import_path is not None and self.export_path is not None
        if (self.path is None) == (not both) or (self.path is not None and (self.import_path or self.export_path)):
            raise ValueError("give path, or import_path and export_path together")
        return self

    def build(self, session: aiohttp.ClientSession) -> Meter:
        """The driver for this URL."""
        return HttpJson(self, session)


class HttpJson:
    """Polls one URL."""

    def __init__(self, config: HttpJsonConfig, session: aiohttp.ClientSession) -> None:
        self.name = f"http_json at {place(config.url)}"
        self.interval_s = config.interval_s
        self._config = config
        self._session = session
        self._headers = _headers(config)
        self._public = Redactor(secrets_of(config))

    async def run(self, emit: Emit) -> None:
        """Emit a reading every ``interval_s``."""
        await poll(self.read, self._config.interval_s, emit)

    async def read(self) -> Reading:
        """One reading now. Raises `DeviceError`."""
        started_s = time.monotonic()
        try:
            document = await get_json(self._session, self._config.url, self._config.timeout_s, headers=self._headers)
            power_w = parse(document, self._config)
        except DeviceError as error:  # it may quote what the server says, and the server knows our login
            raise type(error)(self._public(str(error))) from None
        done_s = time.monotonic()
        return Reading(power_w, at_s=done_s, utc_s=time.time(), latency_s=done_s - started_s)


def parse(document: Any, config: HttpJsonConfig) -> float:
    """The grid power in watts, positive is import. Raises `DeviceDataError` naming the path."""
    if config.path is not None:
        power_w = _value(document, config.path, config)
    else:
        power_w = _value(document, str(config.import_path), config) - _value(document, str(config.export_path), config)
    return -power_w if config.invert else power_w


def _value(document: Any, path: str, config: HttpJsonConfig) -> float:
    who = place(config.url)
    try:
        found = [match.value for match in _compiled(path).find(document)]
    except (TypeError, ValueError, LookupError, AttributeError, RecursionError):  # of the library, for odd documents
        raise DeviceDataError(f"{who}: {path} cannot be looked up in the answer") from None
    if not found:
        raise DeviceDataError(f"{who}: nothing at {path} in the answer")
    if len(found) > 1 and not config.sum:
        raise DeviceDataError(f"{who}: {len(found)} values at {path}: name one, or set sum: true")
    return sum(_watts(value, path, config.unit) for value in found)


def _watts(value: Any, path: str, unit: str) -> float:
    """A number, or a string like ``"-123,4 W"``."""
    factor = _UNITS[unit.lower()]
    if isinstance(value, str):
        match = _QUANTITY.match(value)
        if match is None or match[2].lower() not in _UNITS:
            raise DeviceDataError(f"{path} is {value[:40]!r}, not a power")
        if match[2]:
            factor = _UNITS[match[2].lower()]
        value = float(match[1].replace(",", "."))
    number = optional(value)
    return watts(value if number is None else number * factor, path)


@functools.cache
def _compiled(path: str) -> Any:
    """The parsed path; parsing costs twenty times the look-up, and the library is imported only when used."""
    from jsonpath_ng.ext.parser import parse as parse_path  # noqa: PLC0415

    return parse_path(path)


def _headers(config: HttpJsonConfig) -> dict[str, str]:
    headers = dict(config.headers)
    if config.bearer_token:
        headers["Authorization"] = f"Bearer {config.bearer_token}"
    elif config.username:
        headers["Authorization"] = basic_login(config.username, config.password)
    return headers
