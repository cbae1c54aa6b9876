"""What waits to be written: bounded, oldest dropped first, and nothing lost while a write is under way."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class Buffer(Generic[T]):
    """Items in the order of time. A batch that was taken stays here until it is ``done``."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._waiting: deque[T] = deque()
        self._batch: list[T] = []
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._batch) + len(self._waiting)

    def add(self, items: Iterable[T]) -> None:
        """Store items, dropping the oldest that are not under way where there is no room."""
        self._waiting.extend(items)
        while len(self) > self._capacity and self._waiting:
            self._waiting.popleft()
            self.dropped += 1

    def take(self, count: int) -> list[T]:
        """The oldest items, at most ``count``; the same ones again until they are done."""
        self._waiting.extendleft(reversed(self._batch))
        self._batch = [self._waiting.popleft() for _ in range(min(count, len(self._waiting)))]
        return self._batch

    def done(self) -> int:
        """Forget the batch that was taken; returns its size."""
        count = len(self._batch)
        self._batch = []
        return count
