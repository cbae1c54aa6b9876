"""Server-sent events, as they come in pieces. Pure."""

from __future__ import annotations

from dataclasses import dataclass

MAX_EVENT_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Event:
    """One event; ``data`` as it was sent."""

    kind: str
    data: str


class Events:
    """Takes in bytes and gives back the events that are whole."""

    def __init__(self) -> None:
        self._rest = b""
        self._kind, self._data = "message", list[str]()
        self._size = 0

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that end in ``chunk``. Raises `ValueError` for one without end."""
        *lines, self._rest = (self._rest + chunk).replace(b"\r\n", b"\n").split(b"\n")
        found = [event for line in lines if (event := self._line(line)) is not None]
        if len(self._rest) + self._size > MAX_EVENT_BYTES:
            raise ValueError(f"an event of more than {MAX_EVENT_BYTES} bytes")
        return found

    def _line(self, line: bytes) -> Event | None:
        """What a line completes: an empty one ends the event."""
        if not line.rstrip(b"\r"):
            event = Event(self._kind, "\n".join(self._data)) if self._data else None
            self._kind, self._data, self._size = "message", [], 0
            return event
        self._size += len(line)
        field, _, value = line.decode("utf-8", errors="replace").rstrip("\r").partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            self._data.append(value)
        elif field == "event":
            self._kind = value
        return None
