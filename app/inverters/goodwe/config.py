"""What `config.yaml` says of a GoodWe inverter."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, field_validator, model_validator

from app.fields import Host, Section
from app.inverters.base import InverterSection
from app.inverters.goodwe.profiles import PROFILES, Control, Profile
from app.inverters.goodwe.scale import A_HAIR, Scale

UNIT = 247
Address = int | None


class RegisterAddresses(Section):
    """Other addresses than those of the profile, counted from 0, as they are sent."""

    switch: Address = Field(None, ge=0, le=65535, description="the limiter's switch, 0 or 1")
    pct: Address = Field(None, ge=0, le=65535, description="the limit in percent of the rated power")
    pct10: Address = Field(None, ge=0, le=65535, description="the same in tenths of a percent")
    w: Address = Field(None, ge=0, le=65535, description="the limit in watts")

    def given(self) -> dict[str, int]:
        """Those that are named."""
        return self.model_dump(exclude_none=True)


class GoodWeConfig(InverterSection):
    """One GoodWe inverter that answers Modbus TCP, by its own dongle or behind a gateway."""

    type: Literal["goodwe"]
    serial: str = Field("", pattern=r"^[0-9A-Za-z]{0,20}$", description="its serial number; else give it a name")
    host: Host = Field(description="port 502 where it names none")
    unit: int = Field(UNIT, ge=0, le=255, description="its Modbus address; some dongles want 127")
    profile: Literal["dns_seed", "dns", "dt", "ms", "et"] = Field("dns_seed", description="which registers limit it")
    control: Control | None = Field(None, description="how the limit is told: active_pct, pct or watts")
    rated_watt: float | None = Field(
        None, gt=0, le=1_000_000, description="what its 100 % are, where max_watt is less than that"
    )
    registers: RegisterAddresses = RegisterAddresses()
    volatile: bool | None = Field(
        None, description="true where its limit is known to be lost with the power: writes are not counted then"
    )
    writes_per_day: int = Field(300, ge=20, le=100_000, description="registers that may be written on one local day")
    min_interval_s: float = Field(
        10.0, ge=1, le=600, description="between two limits; cuts against export may go earlier"
    )
    min_step_pct: float = Field(
        1.0, ge=0.1, le=20, description="smaller changes of the rated power are not worth a write"
    )
    limiter_always_on: bool = Field(True, description="false: its limiter is switched off while nothing is limited")
    found_limit: Literal["keep", "ignore"] = Field(
        "keep", description="keep: a limit that was there before our first one is never exceeded"
    )
    dead_time_s: tuple[float, float] = Field(
        (0.5, 12.0), description="shortest and longest time from a limit to its effect on power"
    )
    interval_s: float = Field(5.0, ge=1, le=60, description="seconds between two readings of its power")
    timeout_s: float = Field(3.0, gt=0, le=10, description="give up on one request after this many seconds")
    optional_retry_s: float = Field(
        300.0, ge=10, le=86_400, description="values that it does not know are asked for again after this many seconds"
    )
    channels: int | None = Field(None, ge=1, le=6, description="DC inputs to record; default: all that are reported")

    @field_validator("serial")
    @classmethod
    def _no_placeholder(cls, value: str) -> str:
        if "xx" in value.lower():
            raise ValueError(f"{value!r} is a placeholder: put the serial number of your inverter here, or give a name")
        return value

    @field_validator("dead_time_s")
    @classmethod
    def _ordered(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= value[0] <= value[1] <= 60:
            raise ValueError(f"{list(value)} is not [shortest, longest] within 0 to 60 s")
        return value

    @model_validator(mode="after")
    def _fits(self) -> GoodWeConfig:
        profile = PROFILES[self.profile]
        if not self.id:
            raise ValueError("serial: is missing: add it, or a name")
        if self.control is not None and self.control not in profile.limits:
            known = ", ".join(profile.limits)
            raise ValueError(f"control {self.control}: profile {self.profile} knows only {known}")
        if self.rated_watt is not None and self.rated_watt < self.max_watt:
            raise ValueError(f"rated_watt {self.rated_watt:g} is below max_watt {self.max_watt:g}")
        if self.min_watt is not None and self.min_watt > self.max_watt:
            raise ValueError(f"min_watt {self.min_watt:g} is above max_watt {self.max_watt:g}")
        used = {one.unit for one in self.scale.registers}
        useless = sorted(set(self.registers.given()) - used)
        if useless:
            raise ValueError(f"registers.{useless[0]}: is not used with profile {self.profile} and this control")
        if self.scale.full > self._most:
            raise ValueError(f"max_watt {self.max_watt:g} is more than the register can hold ({self._most})")
        return self

    @property
    def _most(self) -> int:
        first = self.scale.limits[0]
        return 100 if first.unit != "w" else int((1 << 16 * first.words) - 2)

    @property
    def known(self) -> Profile:
        """The profile, with the addresses of the configuration."""
        profile = PROFILES[self.profile]
        return profile.at(self.registers.given(), self.control or profile.control)

    @property
    def scale(self) -> Scale:
        """Between watts and what its registers hold."""
        control = self.control or PROFILES[self.profile].control
        return Scale(self.known, control, self.rated_watt or self.max_watt, self.limiter_always_on)

    @property
    def lowest(self) -> int:
        """The lowest limit to write, in steps: at least 1 %."""
        scale = self.scale
        lowest_w = max(self.min_watt or 0.0, scale.rated_w / 100.0)
        return min(scale.full, max(1, math.ceil(lowest_w / scale.step_w - A_HAIR)))

    @property
    def floor_w(self) -> float:
        """The lowest limit to write."""
        return min(self.max_watt, self.scale.watts(self.lowest))

    @property
    def wears(self) -> bool:
        """Whether writing its limits may wear out a memory."""
        return not (PROFILES[self.profile].volatile if self.volatile is None else self.volatile)
