"""What `doctor` says of one device, and how it waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. ``status`` is ok, warn or fail; ``values`` are the numbers behind the sentence."""

    name: str
    status: str
    detail: str
    next_step: str = ""
    values: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        step = f"\n      next: {self.next_step}" if self.next_step else ""
        return f"{self.status:4}  {self.name}: {self.detail}{step}"

    def as_json(self) -> dict[str, Any]:
        """The same for machines."""
        step = {"next_step": self.next_step} if self.next_step else {}
        return {"name": self.name, "status": self.status, **dict(self.values), "detail": self.detail, **step}


async def until(condition: Callable[[], bool], timeout_s: float) -> None:
    """Wait for a condition, no longer than this."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            while not condition():  # noqa: ASYNC110 - the conditions span several objects
                await asyncio.sleep(0.05)


@asynccontextmanager
async def running(*works: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run something beside the block."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        yield
    finally:
        while waiting := [task for task in tasks if not task.done()]:
            for task in waiting:  # once may not do: Python 3.11's wait_for can swallow a cancellation
                task.cancel()
            await asyncio.wait(waiting, timeout=1.0)
        await asyncio.gather(*tasks, return_exceptions=True)
