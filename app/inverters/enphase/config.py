"""What `config.yaml` says of an Enphase system as an inverter."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from app.enphase.config import EnphaseLogin
from app.inverters.base import InverterSection
from app.inverters.enphase.quirks import STEADY_SLEW_RATE

BATTERY_ALLOWANCE_W = 200.0  # less export than this, and a battery that regulates too makes the production collapse
DWELL_S = {"grid_profile": 300.0, "dpel": 60.0, "production": 300.0}
REACTION_S = {"grid_profile": 600.0, "dpel": 120.0, "production": 300.0}
ONLY = {
    "profile_normal": "grid_profile",
    "profile_zero": "grid_profile",
    "limit": "dpel",
    "slew_rate": "dpel",
    "resend_s": "dpel",
    "inverted": "dpel",
    "dynamic_limiting": "dpel",
}


def _text_serial(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _valid_serial(value: str) -> str:
    if "x" in value.lower():
        raise ValueError(f"{value!r} is a placeholder: put the serial number of your gateway here")
    if not value.isdecimal() or not value.isascii() or len(value) != 12:
        raise ValueError(f"{value!r} is not the serial number of a gateway: give its 12 digits in quotes")
    return value


class EnphaseInverterConfig(EnphaseLogin, InverterSection):
    """All microinverters behind one Enphase gateway, which holds them to a rule by itself."""

    takes_watts: ClassVar[bool] = False

    type: Literal["enphase"]
    serial: Annotated[str, BeforeValidator(_text_serial), AfterValidator(_valid_serial)] = Field(
        description="of the gateway, 12 digits in quotes"
    )
    enlighten_role: Literal["owner", "installer"] = Field("installer", description="limits need an installer's token")
    control: Literal["dpel", "grid_profile", "production"] = Field(
        description="how it is limited: dynamic limit (firmware 8), switched grid profiles, or switched off"
    )
    profile_normal: str = Field("", max_length=200, description="real name of the profile for normal export")
    profile_zero: str = Field("", max_length=200, description="real name of the profile without export")
    limit: Literal["export", "production"] = Field("export", description="what the dynamic limit is about")
    slew_rate: float = Field(STEADY_SLEW_RATE, gt=0, le=10_000, description="2000 was seen to be unstable")
    resend_s: float | None = Field(
        None, ge=10, le=3600, description="send the limit again and again; default: where the firmware needs it"
    )
    inverted: bool | None = Field(
        None, description="export_limit means the opposite; default: where the firmware is known for it"
    )
    dynamic_limiting: bool | None = Field(
        None, description="enable_dynamic_limiting while limited; default: true where installed_capacity is kept"
    )
    battery: bool | None = Field(None, description="a battery regulates as well; default: as the gateway shows")
    allowance_w: float | None = Field(
        None, ge=0, le=100_000, description="the least export to ask for; default: 0, and 200 with a battery"
    )
    normal_export_w: float | None = Field(
        None, ge=0, le=1_000_000, description="what the normal state may export; default: not known"
    )
    dwell_s: float | None = Field(
        None, ge=30, le=86_400, description="least time between two switches; default 60 (dpel), 300 (others)"
    )
    reaction_s: float | None = Field(
        None, ge=10, le=3600, description="until it has followed for certain; default 120 to 600"
    )
    interval_s: float = Field(15.0, ge=5, le=60, description="seconds between two requests for the production")

    @property
    def known_serial(self) -> str:
        """As configured: of the gateway in either key."""
        return self.gateway_serial or self.serial

    @model_validator(mode="after")
    def _fitting(self) -> EnphaseInverterConfig:
        for key in sorted(self.model_fields_set & ONLY.keys()):
            if self.control != ONLY[key]:
                raise ValueError(f"{key}: works with control: {ONLY[key]} only")
        if self.control == "grid_profile":
            if self.profile_normal and self.profile_normal == self.profile_zero:
                raise ValueError("profile_zero: is the same as profile_normal")
            if self.dwell_s is not None and self.dwell_s < DWELL_S["grid_profile"]:
                raise ValueError(f"dwell_s: {self.dwell_s:g} is too short: a profile takes minutes, so at least 300")
        return self

    def unknown_beside(self, export_limit_w: float) -> str:
        """Normal export of a switched system is whatever it is: only people know it."""
        unknown = self.control != "dpel" and self.normal_export_w is None and self.max_watt > export_limit_w
        return "normal_export_w (what the normal state may export)" if unknown else ""

    @property
    def dwell(self) -> float:
        """The least time between two switches, in seconds."""
        return self.dwell_s if self.dwell_s is not None else DWELL_S[self.control]
