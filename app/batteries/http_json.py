"""Any battery that answers a GET with JSON: the URL, and where in the answer charge and power stand."""

from __future__ import annotations

import time
from typing import Literal

import aiohttp
from pydantic import Field

from app.access import Access
from app.batteries.base import Emit
from app.batteries.values import ValuesSection, power_w, soc_pct
from app.documents import get_json
from app.endpoint import Endpoint
from app.jsonpath import JsonPath
from app.meters.base import poll
from app.model import BatteryState, DeviceDataError, DeviceError
from app.outbound import place
from app.redact import Redactor, secrets_of

LONGEST_PAUSE_S = 60.0


class HttpJsonBatteryConfig(ValuesSection, Endpoint):
    """A battery behind a URL."""

    type: Literal["http_json"]
    soc_path: JsonPath = Field(description="JSONPath of the state of charge")
    power_path: JsonPath = Field(description="JSONPath of the power, positive while it charges")
    interval_s: float = Field(10.0, ge=0.5, le=300, description="seconds between two requests")
    timeout_s: float = Field(5.0, gt=0, le=30, description="give up on one request after this many seconds")

    def driver(self, access: Access) -> HttpJsonBattery:
        """The driver for this URL."""
        return HttpJsonBattery(self, access.session)


class HttpJsonBattery:
    """Polls one URL."""

    def __init__(self, config: HttpJsonBatteryConfig, session: aiohttp.ClientSession) -> None:
        self.name = f"http_json at {place(config.url)}"
        self._config, self._session = config, session
        self._public = Redactor(secrets_of(config))

    async def run(self, emit: Emit) -> None:
        """Emit a state every interval."""
        await poll(self.read, self._config.interval_s, emit, longest_s=LONGEST_PAUSE_S)

    async def read(self) -> BatteryState:
        """One state now. Raises `DeviceError`."""
        config = self._config
        try:
            headers = config.request_headers
            document = await get_json(self._session, config.url, config.timeout_s, headers=headers)
            try:
                soc = soc_pct(document, config.soc_path, config.soc_scale)
                power = power_w(document, config.power_path, config.power_unit)
            except DeviceDataError as error:
                raise DeviceDataError(f"{place(config.url)}: {error}") from None
        except DeviceError as error:  # it may quote what the server says, and the server knows our login
            error.args = (self._public(str(error)),)
            raise
        return config.state(self.name, soc, power, time.monotonic())
