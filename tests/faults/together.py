"""Several scenarios at once, each in a house of its own: most of the time all of them wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.conftest import running_mosquitto
from tests.faults.scorecard import Card
from tests.faults.site import Site, site_of

Play = Callable[[Site, Card], Awaitable[None]]
APART_S = 0.5  # between two starts


def row(number: int, **options: Any) -> Callable[[Play], Play]:
    """The row of the scorecard that a scenario measures; ``options`` are those of its `site_of`."""

    def mark(play: Play) -> Play:
        play.__dict__.update(number=number, options=options)
        return play

    return mark


async def together(folder: Path, *plays: Play) -> None:
    """Play them all to their end, and fail with the first that failed."""
    ended = await asyncio.gather(
        *(_alone(folder / str(index), index * APART_S, play) for index, play in enumerate(plays)),
        return_exceptions=True,
    )
    for error in ended:
        if isinstance(error, BaseException):
            raise error


async def _alone(folder: Path, after_s: float, play: Play) -> None:
    card, error = Card(play.__dict__["number"]), "cancelled"
    await asyncio.sleep(after_s)
    folder.mkdir()
    try:
        options = play.__dict__["options"]
        async with running_mosquitto(folder) as mosquitto, site_of(folder, mosquitto, **options) as site:
            await play(site, card)
        error = ""
    except BaseException as problem:
        error = str(problem).splitlines()[0][:200] if str(problem) else type(problem).__name__
        raise
    finally:
        card.close(error)
