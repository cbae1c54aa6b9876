"""The section `enphase:` of the configuration."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from app.enphase.config import EnphaseLogin
from app.enphase.ensemble.config import EnsembleConfig


class EnphaseSection(EnphaseLogin):
    """An Enphase gateway, and what it is used for besides metering and curtailing."""

    ensemble: EnsembleConfig | None = Field(None, description="storage, relays and dry contacts; default: not")

    @field_validator("ensemble", mode="before")
    @classmethod
    def _named_is_wanted(cls, value: Any) -> Any:
        return {} if value is None else value  # `ensemble:` and nothing below it
