"""The `ensemble` section below `enphase`."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from app.enphase.ensemble.actions import Automatic, no_grid
from app.fields import Section

Actions = Annotated[
    tuple[Annotated[Automatic, Field(discriminator="action")], ...], BeforeValidator(no_grid), Field(max_length=20)
]


class ModeActions(Section):
    """What is done once with each change of the price's mode."""

    limit: Actions = Field((), description="as the controller begins to hold its target")
    open: Actions = Field((), description="as export begins to pay")
    shutdown: Actions = Field((), description="as the inverters are shut down")


class EnsembleConfig(Section):
    """Storage, relays and dry contacts behind the gateway."""

    interval_s: float = Field(60.0, ge=10, le=3600, description="between two looks; each is a handful of requests")
    min_write_interval_s: float = Field(30.0, ge=10, le=86_400, description="between two writes of the same thing")
    tariff_writes_per_day: int = Field(
        24, ge=1, le=200, description="how often storage mode, reserve and charge from grid may be written in 24 h"
    )
    actions: ModeActions = ModeActions()
