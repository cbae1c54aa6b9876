"""Inverters: one file or folder per gateway or protocol. The union below is the registry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from app.access import Access
from app.inverters.ahoydtu import AhoyDtuInverterConfig, ahoydtus
from app.inverters.base import InverterDriver, InverterSection
from app.inverters.enphase import Enphase, EnphaseInverterConfig
from app.inverters.goodwe import GoodWe, GoodWeConfig
from app.inverters.opendtu import OpenDtu, OpenDtuConfig, OpenDtuInverterConfig

__all__ = ["InverterConfig", "InverterDriver", "InverterSection", "build"]


def _named(value: Any) -> Any:
    return {"type": "opendtu", **value} if isinstance(value, dict) else value


InverterConfig = Annotated[
    Annotated[
        OpenDtuInverterConfig | AhoyDtuInverterConfig | GoodWeConfig | EnphaseInverterConfig,
        Field(discriminator="type"),
    ],
    BeforeValidator(_named),
]


RULED = {"enphase"}  # types that keep to rules by themselves


def keeps_to_rules(section: dict[str, Any]) -> bool:
    """Whether an entry of the file is never sent a limit in watts."""
    return section.get("type") in RULED or section.get("enabled") is False


def build(inverters: Sequence[InverterConfig], opendtu: OpenDtuConfig, access: Access) -> list[InverterDriver]:
    """The drivers of these sections: one for all behind OpenDTU, one for all behind an AhoyDTU, one for each other."""
    behind = tuple(item for item in inverters if isinstance(item, OpenDtuInverterConfig))
    drivers: list[InverterDriver] = [OpenDtu(opendtu, behind, access.broker(opendtu.mqtt))] if behind else []
    drivers += ahoydtus((item for item in inverters if isinstance(item, AhoyDtuInverterConfig)), access)
    drivers += [GoodWe(item, access) for item in inverters if isinstance(item, GoodWeConfig)]
    drivers += [Enphase(item, access) for item in inverters if isinstance(item, EnphaseInverterConfig)]
    return drivers
