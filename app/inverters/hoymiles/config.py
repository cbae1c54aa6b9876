"""What `config.yaml` says of a Hoymiles inverter, whatever gateway it is behind."""

from __future__ import annotations

import math
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from app.inverters.base import InverterSection, whole_tenths
from app.inverters.hoymiles.payload import MOST_CHANNELS

MAX_LIMIT_W = 6553.5  # the gateways encode watts x 10 in 16 bits and do not check


def _text_serial(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _valid_serial(value: str) -> str:
    if "x" in value.lower():
        raise ValueError(f"{value!r} is a placeholder: put the serial number of your inverter here (its DTU shows it)")
    if len(value) != 12 or any(c not in "0123456789abcdef" for c in value.lower()):
        raise ValueError(f"{value!r} is not a serial number: give its 12 digits in quotes, as its DTU shows them")
    return value.lower()


Serial = Annotated[str, BeforeValidator(_text_serial), AfterValidator(_valid_serial)]
OptionalSerial = Annotated[
    str, BeforeValidator(_text_serial), AfterValidator(lambda value: value and _valid_serial(value))
]


class HoymilesSection(InverterSection):
    """Keys of every Hoymiles inverter."""

    serial: str
    max_watt: Annotated[float, Field(gt=0, le=MAX_LIMIT_W, description="rated AC power"), AfterValidator(whole_tenths)]
    min_watt: float | None = Field(None, ge=0, description="lowest limit to send; default 3 %, at least 20 W")
    channels: int | None = Field(
        None, ge=1, le=MOST_CHANNELS, description="DC inputs to record; default: all that are reported"
    )
    phase: int | None = Field(None, ge=1, le=3, description="the phase that it feeds; none: all three alike (HMT)")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_watt is not None and self.min_watt > self.max_watt:
            raise ValueError(f"min_watt {self.min_watt:g} is above max_watt {self.max_watt:g}")
        return self

    @property
    def three_phase(self) -> bool:
        """Whether its serial number is one of the HMT series, which feeds three phases alike."""
        return self.serial.startswith("13")

    @property
    def floor_w(self) -> float:
        """The lowest limit to send; far below it Hoymiles inverters oscillate or switch off."""
        lowest_w = self.min_watt if self.min_watt is not None else max(20.0, 0.03 * self.max_watt)
        return min(self.max_watt, math.ceil(lowest_w * 10.0 - 1e-6) / 10.0)
