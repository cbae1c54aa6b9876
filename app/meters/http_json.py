"""Any meter that answers a GET with JSON: the URL, and where in the answer the power stands.

Products that are known stand in presets.yaml: their URL and paths, so that an address is all that is to be given.
"""

from __future__ import annotations

import time
from typing import Any, Literal

import aiohttp
from pydantic import ConfigDict, Field, model_validator

from app.access import Access
from app.digestlogin import DigestLogin
from app.documents import get_json
from app.endpoint import Endpoint
from app.jsonpath import JsonPath, look_up
from app.meters.base import About, Emit, Meter, PolledConfig, poll
from app.meters.extract import Extracted, Extraction, extract
from app.meters.freshness import DeviceTime
from app.meters.presets import asked, filled, presets
from app.model import DeviceAuthError, DeviceDataError, DeviceError, Reading
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
        limits="without a login, or with a username and password, a bearer_token, or headers of your own",
    )

    model_config = ConfigDict(json_schema_extra=_presets_in_schema)

    type: Literal["http_json", "tasmota", "iobroker", "vzlogger", "fronius", "amis", "emlog", "shrdzm"]
    preset: str | None = Field(None, description="a product of docs/meters.md, which knows its URL and paths")
    login: Literal["basic", "digest", "query"] = Field(
        "basic", description="how username and password are sent; query: as a part of the URL"
    )
    query_names: tuple[str, str] = Field(("user", "password"), description="for login: query: what they are called")
    denied_path: JsonPath | None = Field(None, description="JSONPath of what an answer holds when the login is wrong")
    error_path: JsonPath | None = Field(None, description="JSONPath of an error; 0, null and empty are none")

    @model_validator(mode="before")
    @classmethod
    def _known_product(cls, given: Any) -> Any:
        return filled(given) if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _one_login(self) -> HttpJsonConfig:
        if self.login != "basic" and self.bearer_token:
            raise ValueError(f"login: {self.login} and bearer_token do not go together: take out one")
        if self.login == "digest" and (not self.username or ":" in self.username):
            raise ValueError("login: digest needs a username, without a colon")
        return self

    def driver(self, access: Access) -> Meter:
        """The driver for this URL."""
        return HttpJson(self, access.session)


class HttpJson:
    """Polls one URL."""

    def __init__(self, config: HttpJsonConfig, session: aiohttp.ClientSession) -> None:
        self.name = f"{config.preset or config.type} at {place(config.url)}"
        self.interval_s = config.interval_s
        self._config, self._session = config, session
        self._public = Redactor(secrets_of(config))
        self._time = DeviceTime()
        self._request: dict[str, Any] = {"headers": config.request_headers}
        self._digest: DigestLogin | None = None
        if config.login != "basic":
            self._request = {"headers": dict(config.headers)}
        if config.login == "digest":
            self._digest = DigestLogin(config.username, config.password)
        elif config.login == "query" and config.password:
            self._request["params"] = dict(zip(config.query_names, (config.username, config.password), strict=True))

    async def run(self, emit: Emit) -> None:
        """Emit a reading every ``interval_s``."""
        await poll(self.read, self._config.interval_s, emit)

    async def read(self) -> Reading | None:
        """One reading now; None: the device has no new value. Raises `DeviceError`."""
        started_s = time.monotonic()
        try:
            document = await self._document()
            found = parse(document, self._config)
            done_s = time.monotonic()
            at_s = self._moment(found, done_s)
        except DeviceError as error:  # it may quote what the server says, and the server knows our login
            error.args = (self._public(str(error)),)
            raise
        if at_s is None:
            return None
        return Reading(
            found.power_w,
            at_s=at_s,
            utc_s=time.time() - (done_s - at_s),
            phases=found.phases,
            import_wh=found.import_wh,
            export_wh=found.export_wh,
            latency_s=done_s - started_s,
        )

    async def _document(self) -> Any:
        url, timeout_s = self._config.url, self._config.timeout_s
        if self._digest is not None:
            return await self._digest.get_json(self._session, url, timeout_s, **self._request)
        return await get_json(self._session, url, timeout_s, **self._request)

    def _moment(self, found: Extracted, now_s: float) -> float | None:
        if found.stamp_s is None:
            return now_s
        try:
            return self._time.moment(found.stamp_s, now_s)
        except DeviceDataError as error:
            raise DeviceDataError(f"{place(self._config.url)}: {error}") from None


def parse(document: Any, config: HttpJsonConfig) -> Extracted:
    """What the answer says; watts, positive is import. Raises `DeviceError` naming the path."""
    who = place(config.url)
    denied, wrong = _told(document, config.denied_path), _told(document, config.error_path)
    if denied:
        raise DeviceAuthError(f"{who} refuses the login ({denied}): check username and password")
    if wrong:
        raise DeviceDataError(f"{who} answers with an error: {config.error_path} is {wrong}")
    try:
        return extract(document, config)
    except DeviceDataError as error:
        raise DeviceDataError(f"{who}: {error}") from None


def _told(document: Any, path: str | None) -> str:
    """What stands at a path, if it says anything."""
    try:
        found = look_up(document, path) if path is not None else []
    except ValueError:
        return ""
    return ", ".join(str(value)[:80] for value in found if value)
