"""The configuration: its shape, its defaults, and errors that say where and what."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from app.batteries import BatteryConfig
from app.enphase.section import EnphaseSection
from app.feedback import refuse_feedback
from app.fields import BrokerConfig, CommandLine, Section, TopicPrefix, Url, is_notorious
from app.inverters import InverterConfig, keeps_to_rules
from app.inverters.opendtu import OpenDtuConfig
from app.meters import MeterConfig
from app.mistakes import sentence
from app.prices import PriceConfig
from app.yamlfile import ConfigError, Document, Problem, load_document

__all__ = ["Config", "ConfigError", "load", "schema"]


class MqttConfig(BrokerConfig):
    """The broker that OpenDTU and we share."""

    topic_prefix: TopicPrefix = "zeropower"


class ControlConfig(Section):
    """How to regulate. Powers in watts, positive grid power is import."""

    target_point_w: float = Field(15.0, ge=-100_000, le=100_000, description="grid power to hold; positive is import")
    dry_run: bool = Field(False, description="compute, record and show, and never command")
    enabled: bool = Field(True, description="state at the very first start")
    deadband_w: float = Field(10.0, ge=0, le=500, description="deviations up to this size are left alone")
    max_raise_w_per_s: float | None = Field(
        None, gt=0, description="how fast the site limit may rise; default: no limit"
    )
    min_command_interval_s: float = Field(
        2.5, ge=0.5, le=60, description="between two limits to one inverter; export cuts may go earlier"
    )
    dead_time_s: tuple[float, float] = Field(
        (0.3, 4.0), description="shortest and longest time from a limit to its effect on power"
    )
    phases: Literal["net", "each"] = Field(
        "net", description="net: the sum over all phases decides; each: no phase may export"
    )
    switch_off: bool = Field(
        False, description="switch inverters off while the house takes less than their minima together"
    )
    cyclic_loads: Literal["balanced", "strict", "self_use"] = Field(
        "balanced", description="loads that cycle faster than can be followed: strict stays low, self_use rides along"
    )
    fail_safe_w: float | None = Field(
        None, ge=0, description="site total while the grid power is unknown; default: the minima"
    )
    max_grid_w: float = Field(
        70_000.0,
        gt=0,
        le=1_000_000,
        description="what the house connection can carry; a reading beyond is not believed",
    )
    exit_limit: Literal["fail_safe", "release", "keep"] = Field(
        "fail_safe", description="what a clean stop leaves behind"
    )
    stale_hold_s: float | None = Field(
        None, gt=0, le=60, description="no raise past this age; default max(2, 1.5 x interval)"
    )
    stale_fail_safe_s: float | None = Field(
        None, gt=0, le=300, description="fail-safe past this age; default max(5, 3 x interval)"
    )
    export_limit_w: float | None = Field(
        None, ge=0, le=1_000_000, description="the grid operator's cap on export; binds always"
    )

    @field_validator("dead_time_s")
    @classmethod
    def _ordered(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= value[0] <= value[1] <= 60:
            raise ValueError(f"{list(value)} is not [shortest, longest] within 0 to 60 s")
        return value


class InfluxConfig(Section):
    """An InfluxDB 2.x server (or anything that speaks its v2 write API)."""

    url: Url = "http://localhost:8086"
    token: str = Field(repr=False, min_length=1)
    token_file: Path | None = Field(
        None, description="where the token is kept; read again when it is refused, so it may change or appear later"
    )
    org: str = "solar"
    bucket: str = "zero_export"
    spool_mb: float = Field(256, ge=8, description="what may wait on the disk; then the oldest gives way")

    @field_validator("token_file", mode="before")
    @classmethod
    def _none_if_empty(cls, value: Any) -> Any:
        return value or None

    @property
    def lasting_bucket(self) -> str:
        """The bucket of what is kept for good."""
        return f"{self.bucket}_1m"


class HttpConfig(Section):
    """The page and the API."""

    host: str = "0.0.0.0"  # noqa: S104 - the page is for the whole house
    port: int = Field(8080, ge=0, le=65535)
    token: str = Field("", repr=False, description="required as a bearer token for every change, where set")
    read_token: str = Field(
        "", repr=False, description="where set, looking needs this bearer token or http.token; it changes nothing"
    )
    public_url: Url = Field("http://localhost:8080", description="where browsers reach this page")
    grafana_url: Url | None = Field(
        None, description="where browsers reach Grafana; default: port 3000 of public_url's host"
    )
    allowed_origins: tuple[Url, ...] = Field((), description="origins that a toggle may redirect to, besides Grafana's")
    allowed_hosts: tuple[str, ...] = Field((), description="more host names under which this page may be used")

    @field_validator("token", "read_token")
    @classmethod
    def _strong(cls, value: str) -> str:
        """The messages do not repeat the value."""
        if value and (len(value) < 8 or not value.isascii() or not value.isprintable() or " " in value):
            raise ValueError("use at least 8 letters, digits or signs of ASCII, without spaces; or leave it empty")
        if value and is_notorious(value):
            raise ValueError("is among the first that anybody tries: make one with  openssl rand -hex 16")
        return value

    @model_validator(mode="after")
    def _two_tokens(self) -> HttpConfig:
        if self.read_token and not self.token:
            raise ValueError("http.read_token: set http.token too, else everybody may change what few may look at")
        if self.read_token and self.read_token == self.token:
            raise ValueError("http.read_token: is the same as http.token: make another, or leave it empty")
        return self

    @property
    def grafana(self) -> str:
        """Grafana's base URL."""
        parts = urlsplit(self.public_url)
        return self.grafana_url or f"{parts.scheme}://{_bracketed(parts.hostname or 'localhost')}:3000"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


class LogConfig(Section):
    """Logs always go to standard output; to a rotated file too where one is named."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    file: Path | None = None
    max_mb: float = Field(5.0, gt=0, le=1000)
    backups: int = Field(3, ge=0, le=100)


class RecorderConfig(Section):
    """Every tick kept in files below ``data_dir``, for `zero-export replay`."""

    max_mb: float = Field(64.0, ge=1, le=100_000, description="the oldest ticks are deleted beyond this size")


class HomeAssistantConfig(Section):
    """Everything as devices in Home Assistant, by MQTT discovery on the broker of ``mqtt``."""

    discovery_prefix: TopicPrefix = Field("homeassistant", description="as in Home Assistant's MQTT settings")
    name: str = Field("", max_length=60, description="of the controller there; default: Zero export, and its site")


class VenusConfig(Section):
    """Grid meter and inverters in Venus OS, by its drivers dbus-mqtt-grid and dbus-mqtt-pv."""

    topic: TopicPrefix = Field("zero-export/venus", description="what both drivers read; each part alone below it")
    interval_s: float = Field(2.0, ge=1, le=5, description="between two messages")
    grid: bool = Field(True, description="false: the inverters alone, where the GX device has a grid meter of its own")
    mqtt: BrokerConfig | None = Field(None, description="the broker, where it is not ours: that of the GX device")


class ExcursionConfig(Section):
    """Which exports are put on the account of excursions."""

    over_w: float = Field(50.0, ge=0, le=100_000, description="by more than so much beyond what is allowed")
    longer_s: float = Field(15.0, ge=1, le=3600, description="for at least so long")


class WebhookConfig(Section):
    """A URL that every alert is sent to as JSON. It may hold a secret, so it is never shown."""

    url: str = Field(repr=False)
    bearer_token: str = Field("", repr=False)
    headers: dict[str, str] = Field(default_factory=dict, repr=False)

    @field_validator("url")
    @classmethod
    def _valid_url(cls, value: str) -> str:
        if not re.fullmatch(r"https?://[^\s/?#@]+([/?#]\S*)?", value):
            raise ValueError("is not a URL like https://example.org/hook, without a login in it")
        return value

    @field_validator("bearer_token", "headers")
    @classmethod
    def _one_line(cls, value: str | dict[str, str]) -> str | dict[str, str]:
        given = value if isinstance(value, str) else "".join((*value, *value.values()))
        if not given.isprintable():
            raise ValueError("holds a line break or another control character: remove it")
        return value


class AlertsConfig(Section):
    """What is run or called when a fault has lasted for a while, and when it is over."""

    command: CommandLine = Field((), description="a program and its arguments; run without a shell")
    webhook: WebhookConfig | None = None
    after_s: float = Field(30.0, ge=0, le=86_400, description="only faults that last so long are told")

    @model_validator(mode="after")
    def _somebody(self) -> AlertsConfig:
        if not self.command and self.webhook is None:
            raise ValueError("give command, webhook or both")
        return self


class Config(Section):
    """The whole of `config.yaml`."""

    site: str = Field("home", pattern=r"^[a-z0-9][a-z0-9_-]{0,30}$", description="names the installation")
    data_dir: Path = Path("data")
    mqtt: MqttConfig = MqttConfig()
    opendtu: OpenDtuConfig = OpenDtuConfig()
    meter: tuple[MeterConfig, ...] = Field((), description="one meter, or a list that is summed")
    inverters: tuple[InverterConfig, ...] = Field(min_length=1, max_length=20)
    control: ControlConfig = ControlConfig()
    price: PriceConfig | None = None
    battery: BatteryConfig | None = Field(None, description="a battery that regulates by itself; default: none")
    influxdb: InfluxConfig | None = None
    recorder: RecorderConfig | None = Field(None, description="record ticks; default: not")
    excursions: ExcursionConfig = ExcursionConfig()
    alerts: AlertsConfig | None = Field(None, description="who is told of faults; default: nobody")
    enphase: EnphaseSection | None = Field(None, description="record all that an Enphase gateway tells; default: not")
    homeassistant: HomeAssistantConfig | None = Field(None, description="be found by it; default: not")
    venus: VenusConfig | None = Field(None, description="be shown by Venus OS; default: not")
    http: HttpConfig = HttpConfig()
    log: LogConfig = LogConfig()

    @property
    def names_broker(self) -> bool:
        """Whether the file speaks of our broker; else only a device that publishes there makes us connect."""
        priced = self.price is not None and self.price.type == "mqtt"
        return "mqtt" in self.model_fields_set or self.homeassistant is not None or priced

    @model_validator(mode="before")
    @classmethod
    def _meter_where_needed(cls, data: Any) -> Any:
        """Limits in watts follow a meter; what keeps to rules by itself can do without."""
        known = isinstance(data, dict) and isinstance(data.get("inverters"), list)
        without = known and all(isinstance(one, dict) and keeps_to_rules(one) for one in data["inverters"])
        return data if not isinstance(data, dict) or "meter" in data or without else data | {"meter": None}

    @field_validator("meter", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        if value is None or value == []:
            raise PydanticCustomError("missing", "is missing")
        return [value] if isinstance(value, dict) else value

    @field_validator("recorder", "homeassistant", "venus", mode="before")
    @classmethod
    def _named_is_wanted(cls, value: Any) -> Any:
        return {} if value is None else value  # `recorder:` and nothing below it

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        ids = [inverter.id for inverter in self.inverters]
        doubled = sorted({one for one in ids if ids.count(one) > 1})
        if doubled:
            raise ValueError(f"inverters: serial {', '.join(doubled)} is there twice")
        claims = [claim for inverter in self.inverters for claim in inverter.claims]
        doubled = sorted({one for one in claims if claims.count(one) > 1})
        if doubled:
            raise ValueError(f"inverters: {', '.join(doubled)} is there twice")
        cap_w = self.control.export_limit_w
        missing = [(i.id, i.unknown_beside(cap_w)) for i in self.inverters if i.enabled and cap_w is not None]
        for one, what in missing:
            if what:
                raise ValueError(f"inverters: control.export_limit_w is {cap_w:g}, so {one} needs {what}")
        if self.control.phases == "each" and self.control.switch_off:
            raise ValueError("control.switch_off: works with phases: net only")
        if self.control.phases == "each":
            unknown = [i.id for i in self.inverters if i.enabled and i.phase is None and not i.three_phase]
            wrong = [i.id for i in self.inverters if i.phase is not None and i.three_phase]
            if unknown:
                raise ValueError(
                    f"inverters: control.phases is each, so {', '.join(unknown)} needs phase: 1, 2 or 3 (what it feeds)"
                )
            if wrong:
                raise ValueError(f"inverters: {', '.join(wrong)} feeds three phases: remove its phase")
        if self.publishes_grid and self.venus is not None:
            refuse_feedback(self.meter, self.venus.topic, self.venus.mqtt or self.mqtt, self.mqtt)
        return self

    @property
    def publishes_grid(self) -> bool:
        """Whether our grid power is published as a meter that others may show, and we may read."""
        return self.venus is not None and self.venus.grid


def load(path: Path, environment: dict[str, str]) -> Config:
    """Read, expand and validate the file. Raises `ConfigError` with every problem found."""
    document = load_document(path, environment)
    try:
        config = Config.model_validate(document.data)
    except ValidationError as error:
        raise ConfigError(document.problems + _problems(document, error)) from None
    if document.problems:
        raise ConfigError(document.problems)
    return config


@cache
def schema() -> dict[str, Any]:
    """JSON Schema of the file, for editors; to be read only."""
    return Config.model_json_schema()


def _problems(document: Document, error: ValidationError) -> list[Problem]:
    found = []
    known = schema()
    for item in error.errors(include_url=False):
        if item["type"] == "too_short" and item["input"]:
            continue  # its entries are wrong, each with a problem of its own
        location = _in_file(document, item["loc"], missing=item["type"] == "missing")
        if not document.unresolved(location):  # else it is reported already: its variable is not set
            found.append(document.problem(location, sentence(item, known)))
    return found


def _in_file(document: Document, path: tuple[int | str, ...], *, missing: bool) -> tuple[int | str, ...]:
    """Pydantic's path without the steps that are not in the file: union tags, and the list around one meter."""
    location: tuple[int | str, ...] = ()
    for index, part in enumerate(path):
        if document.has((*location, part)) or (missing and index == len(path) - 1):
            location = (*location, part)
    return location
