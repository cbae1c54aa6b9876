"""Any meter that answers a GET with JSON: the URL, and where in the answer the power stands.

Products that are known stand in presets.yaml: their URL and paths, so that an address is all that is to be given.
"""

from __future__ import annotations

import time
from typing import Any, Literal

import aiohttp
from pydantic import ConfigDict, Field, model_validator

from app.endpoint import Endpoint
from app.meters.base import About, Access, Emit, Meter, PolledConfig, get_json, poll
from app.meters.extract import Extracted, Extraction, extract
from app.meters.presets import asked, filled, presets
from app.model import DeviceDataError, DeviceError, Reading
from app.outbound import place
from app.redact import Redactor, secrets_of


def _presets_in_schema(schema: dict[str, Any]) -> None:
    """For editors: a preset asks for keys of its own, and knows the URL."""
    schema["required"] = [key for key in schema["required"] if key != "url"]
    schema["properties"]["preset"]["anyOf"][0]["enum"] = sorted(presets())
    schema["properties"] |= {key: {"type": ["string", "integer"]} for key in sorted(asked())}


class HttpJsonConfig(PolledConfig, Endpoint, Extraction):
    """A meter behind a URL. Give ``path``, or ``import_path`` and ``export_path`` where it counts them apart."""

    about = About(
        products="anything that answers JSON over HTTP",
        example='type: http_json\nurl: http://192.168.1.20/api/power\npath: "$.power"',
        speed="as fast as the device; one request a second",
    )

    model_config = ConfigDict(json_schema_extra=_presets_in_schema)

    type: Literal["http_json", "tasmota", "iobroker", "vzlogger", "fronius", "amis", "emlog", "shrdzm"]
    preset: str | None = Field(None, description="a product of docs/meters.md, which knows its URL and paths")

    @model_validator(mode="before")
    @classmethod
    def _known_product(cls, given: Any) -> Any:
        return filled(given) if isinstance(given, dict) else given

    def driver(self, access: Access) -> Meter:
        """The driver for this URL."""
        return HttpJson(self, access.session)


class HttpJson:
    """Polls one URL."""

    def __init__(self, config: HttpJsonConfig, session: aiohttp.ClientSession) -> None:
        self.name = f"{config.preset or config.type} at {place(config.url)}"
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
            found = parse(document, self._config)
        except DeviceError as error:  # it may quote what the server says, and the server knows our login
            raise type(error)(self._public(str(error))) from None
        done_s = time.monotonic()
        return Reading(
            found.power_w,
            at_s=done_s,
            utc_s=time.time(),
            phases=found.phases,
            import_wh=found.import_wh,
            export_wh=found.export_wh,
            latency_s=done_s - started_s,
        )


def parse(document: Any, config: HttpJsonConfig) -> Extracted:
    """What the answer says; watts, positive is import. Raises `DeviceDataError` naming the path."""
    try:
        return extract(document, config)
    except DeviceDataError as error:
        raise DeviceDataError(f"{place(config.url)}: {error}") from None
