"""OpenDTU and OpenDTU-OnBattery over MQTT (stub of configuration; driver follows)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from app.meters.base import DriverConfig, Host


def _valid_serial(value: str) -> str:
    if "x" in value.lower():
        raise ValueError(f"{value!r} is a placeholder: put the serial number of your inverter here (OpenDTU shows it)")
    if len(value) != 12 or any(c not in "0123456789abcdef" for c in value.lower()):
        raise ValueError(f"{value!r} is not a serial number: 12 digits, as OpenDTU shows it, in quotes")
    return value.lower()


class OpenDtuConfig(DriverConfig):
    """Where OpenDTU publishes."""

    topic_prefix: str = "solar"
    host: Host | Literal[""] = ""


class OpenDtuInverterConfig(DriverConfig):
    """One inverter behind OpenDTU."""

    serial: Annotated[str, AfterValidator(_valid_serial)]
    type: Literal["opendtu"] = "opendtu"
    name: str = ""
    enabled: bool = True
    max_watt: float = Field(gt=0, le=6500, description="rated AC power")
    min_watt: float | None = Field(None, ge=0, description="lowest limit to send; default 3 %, at least 20 W")
    channels: int | None = Field(None, ge=1, le=6, description="DC inputs; default: as reported")

    @model_validator(mode="after")
    def _ordered(self) -> OpenDtuInverterConfig:
        if self.min_watt is not None and self.min_watt > self.max_watt:
            raise ValueError(f"min_watt {self.min_watt:g} is above max_watt {self.max_watt:g}")
        return self

    @property
    def floor_w(self) -> float:
        """The lowest limit to send; far below it Hoymiles inverters oscillate or switch off."""
        return self.min_watt if self.min_watt is not None else min(self.max_watt, max(20.0, 0.03 * self.max_watt))
