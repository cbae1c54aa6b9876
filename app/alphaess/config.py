"""The login at AlphaESS's cloud, and which system is meant."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints, WithJsonSchema, model_validator

from app.endpoint import HeaderText
from app.fields import Section, Url

BASE_URL = "https://openapi.alphaess.com/api"
SHORTEST_S = 10.0  # the cloud's own data are as old, and it refuses who asks too often


def _patient(value: float) -> float:
    if not SHORTEST_S <= value <= 300.0:
        raise ValueError(f"{value:g} is not within {SHORTEST_S:g} to 300 s: the cloud is not to be asked more often")
    return value


class AlphaEssLogin(Section):
    """Keys of everything that asks AlphaESS's cloud."""

    app_id: HeaderText = Field(min_length=1, description="AppID of your developer account at open.alphaess.com")
    app_secret: HeaderText = Field(min_length=1, repr=False, description="AppSecret of that account")
    serial: Annotated[str, StringConstraints(pattern="^[0-9A-Za-z]*$", max_length=40)] = Field(
        "", description="serial number of the system; not needed where the account has one only"
    )
    index: int | None = Field(None, ge=1, le=1000, description="or which one in the account's list, from 1 on")
    base_url: Url = Field(BASE_URL, description="where the cloud is")
    interval_s: Annotated[
        float, AfterValidator(_patient), WithJsonSchema({"type": "number", "minimum": 10, "maximum": 300})
    ] = Field(15.0, description="seconds between two requests, at least 10")
    timeout_s: float = Field(12.0, gt=0, le=60, description="give up on one request after this many seconds")

    @model_validator(mode="after")
    def _one_way(self) -> AlphaEssLogin:
        if self.serial and self.index is not None:
            raise ValueError("give serial or index, not both")
        return self
