"""Types that the configuration of every room is made of."""

from __future__ import annotations

import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


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


def host_and_port(host: str, port: int) -> tuple[str, int]:
    """The parts of a `Host`; ``port`` where it names none."""
    name, _, own = host.rpartition(":") if ":" in host else (host, "", str(port))
    return name.strip("[]"), int(own)


def _valid_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known or not value.isprintable() or "\\" in value or " " in value:
        raise ValueError(f"{value!r} is not a URL like http://host:8086")
    if "@" in parts.netloc or parts.query or parts.fragment:  # not shown: it may hold a secret
        raise ValueError("holds more than a host, a port and a path: take out the login, and what begins with ? or #")
    return value.rstrip("/")


def is_notorious(secret: str) -> bool:
    """Whether a secret is one of those that everybody tries first, or one that asks to be replaced."""
    signs = re.sub(r"[^a-z0-9]", "", secret.lower())
    letters = re.sub(r"[0-9]", "", signs)
    return letters in _NOTORIOUS or signs in "01234567890123456789" or len(set(signs)) < 2 or asks_for_change(secret)


def asks_for_change(secret: str) -> bool:
    """Whether a secret says itself that it is none yet (``changeme``)."""
    letters = re.sub(r"[^a-z]", "", secret.lower())
    return any(word in letters for word in ("changeme", "changethis", "replaceme", "placeholder"))


def _own_password(value: str) -> str:
    if asks_for_change(value):
        raise ValueError("is a placeholder: put the password of your broker here")
    return value


def _valid_topic(value: str) -> str:
    if not value or any(c in value for c in "+#\0 ") or value.startswith("/"):
        raise ValueError(f"{value!r} is not an MQTT topic: no spaces, no + or #, no / in front")
    return value.rstrip("/")


def _a_list(value: Any) -> Any:
    if isinstance(value, str):
        raise ValueError("is a list: [program, argument, …]")  # noqa: TRY004 - pydantic takes no TypeError
    return value


def _runnable(value: tuple[str, ...]) -> tuple[str, ...]:
    if not all(part and "\0" not in part for part in value):
        raise ValueError("an argument is empty or holds a NUL")
    return value


_NOTORIOUS = {"abcdefgh", "admin", "administrator", "default", "guest", "homeassistant", "letmein", "mypassword"}
_NOTORIOUS |= {"mysecret", "mytoken", "opendtu", "pass", "password", "passwort", "passwrd", "qwerty", "qwertyuiop"}
_NOTORIOUS |= {"root", "secret", "test", "token", "user", "welcome", "yourtoken", "zeroexport", "zeropower"}
Host = Annotated[str, AfterValidator(valid_host)]
OptionalHost = Annotated[str, AfterValidator(lambda value: value and valid_host(value))]
Url = Annotated[str, AfterValidator(_valid_url)]
TopicPrefix = Annotated[str, AfterValidator(_valid_topic)]
CommandLine = Annotated[tuple[str, ...], BeforeValidator(_a_list), AfterValidator(_runnable)]


class BrokerConfig(Section):
    """An MQTT broker, and our login there. A port in ``host`` wins over ``port``."""

    host: Host = "localhost"
    port: int = Field(1883, ge=1, le=65535)
    username: str = ""
    password: Annotated[str, AfterValidator(_own_password)] = Field("", repr=False)
