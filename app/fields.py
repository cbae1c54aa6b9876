"""Types that the configuration of every room is made of."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Keys that nobody knows are errors: a misspelt one would silently do nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def valid_host(value: str) -> str:
    """Refuse what cannot be a ``name[:port]``: URLs, spaces and the placeholders of the examples."""
    if "x.x" in value.lower() or value.lower().startswith("your"):
        raise ValueError(f"{value!r} is a placeholder: put the address of your device here")
    name, _, port = value.rpartition(":") if ":" in value else (value, "", "80")
    if not name or any(c in value for c in "/@ \t\\?#") or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"{value!r} is not a host: give a name or address, with a port if needed (192.168.1.20:8080)")
    return value


def _valid_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise ValueError(f"{value!r} is not a URL like http://host:8086")
    return value.rstrip("/")


def _valid_topic(value: str) -> str:
    if not value or any(c in value for c in "+#\0 ") or value.startswith("/"):
        raise ValueError(f"{value!r} is not an MQTT topic prefix: no spaces, + or #")
    return value.rstrip("/")


Host = Annotated[str, AfterValidator(valid_host)]
OptionalHost = Annotated[str, AfterValidator(lambda value: value and valid_host(value))]
Url = Annotated[str, AfterValidator(_valid_url)]
TopicPrefix = Annotated[str, AfterValidator(_valid_topic)]


class BrokerConfig(Section):
    """An MQTT broker, and our login there. A port in ``host`` wins over ``port``."""

    host: Host = "localhost"
    port: int = Field(1883, ge=1, le=65535)
    username: str = ""
    password: str = Field("", repr=False)
