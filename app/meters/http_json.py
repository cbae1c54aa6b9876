"""Any meter that answers a GET with JSON: the URL, and where in the answer the power stands."""

from __future__ import annotations

import re
import time
from typing import Any, Literal

import aiohttp
from pydantic import Field, model_validator

from app.endpoint import Endpoint
from app.jsonpath import JsonPath, look_up
from app.meters.base import Emit, Meter, PolledConfig, get_json, optional, poll, watts
from app.model import DeviceDataError, DeviceError, Reading
from app.outbound import place
from app.redact import Redactor, secrets_of

_UNITS = {"": 1.0, "w": 1.0, "kw": 1000.0, "mw": 0.001}
_QUANTITY = re.compile(r"^\s*([+-]?\d+(?:[.,]\d+)?)\s*([a-zA-Z]*)\s*$")


class HttpJsonConfig(PolledConfig, Endpoint):
    """A meter behind a URL. Give ``path``, or ``import_path`` and ``export_path`` where it counts them apart."""

    type: Literal["http_json"]
    path: JsonPath | None = Field(None, description="JSONPath of the signed power, positive is import")
    import_path: JsonPath | None = None
    export_path: JsonPath | None = None
    sum: bool = Field(False, description="true: the path may match several values, which are summed")
    unit: Literal["W", "kW", "mW"] = Field("W", description="unit of plain numbers; a unit in the answer wins")

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
        self._headers = config.request_headers
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
        found = look_up(document, path)
    except ValueError as error:
        raise DeviceDataError(f"{who}: {error}") from None
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
