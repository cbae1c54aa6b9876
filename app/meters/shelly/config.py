"""The section of a Shelly meter."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from app.access import Access
from app.fields import Host
from app.meters.base import About, Meter, PolledConfig


class ShellyConfig(PolledConfig):
    """A Shelly grid meter."""

    about = About(
        products="Shelly EM, 3EM, Pro 3EM, 3EM-63, Pro EM, EM of Gen1 to Gen4, PM Mini and 1PM from Gen3 on",
        example="type: shelly\nhost: 192.168.1.20",
        speed="1 s",
        limits="without a password, or with the one of the device (password: …). Plugs and switches that measure "
        "without a sign (those of Gen1 and Gen2) cannot see export, and are refused. A clamp that the device turns "
        "around itself (its setting reverse) is not to be turned once more by invert or phase_factors",
    )

    type: Literal["shelly"]
    host: Host
    channel: tuple[int, ...] | None = Field(
        None,
        description="channel or list of channels to sum; default: 0 of a two-channel meter, all of a three-phase one",
    )
    username: str = Field("admin", description="of Gen1; later ones know only admin")
    password: str = Field("", repr=False)

    @field_validator("channel", mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        return (value,) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("channel")
    @classmethod
    def _known(cls, value: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if value is not None and (not value or len(set(value)) < len(value) or not all(0 <= c <= 3 for c in value)):
            raise ValueError(f"{list(value)} is no choice of channels: use numbers from 0 to 3, each once")
        return value

    def driver(self, access: Access) -> Meter:
        """The driver for this device."""
        from app.meters.shelly.driver import Shelly  # noqa: PLC0415 - the driver reads this section

        return Shelly(self, access.session)
