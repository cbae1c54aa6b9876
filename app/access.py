"""What a driver of a device may use of the program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from app.broker import Broker
from app.fields import BrokerConfig


def _unknown() -> float | None:
    return None


@dataclass(frozen=True, slots=True)
class Access:
    """The ways out. ``broker``: the connection to the broker of a section, or to ours for None.

    ``shared``: what several drivers of one device use together, by a key of their own. ``publishes_grid``: we publish
    our grid power as a meter of its own (`venus`): a device may show it, and must not be believed.
    ``own_pv_w``: what our own inverters give together now, None while that is not known: a device may not see them.
    """

    session: aiohttp.ClientSession
    broker: Callable[[BrokerConfig | None], Broker]
    data_dir: Path
    shared: dict[Any, Any] = field(default_factory=dict)
    publishes_grid: bool = False
    own_pv_w: Callable[[], float | None] = _unknown
