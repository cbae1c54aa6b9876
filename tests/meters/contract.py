"""What every meter driver has to hold to, and how a driver's protocol says so: one `Rig` per ``type``.

A rig serves a fake device that speaks the protocol of the driver, gives the section of config.yaml that reads it, and
knows how the protocol expresses each `Case`. `tests/meters/test_contract.py` takes every rig through every case with
the real driver (as `app.meters.build` makes it) and holds its outcomes against `EXPECTED`.

To plug in a driver of yours, write ``tests/meters/rigs/<name>.py`` with a list ``RIGS`` (it is found by its place)::

    class FakeThing(Fake):
        section = {"type": "thing", "host": "127.0.0.1:…", "interval_s": 0.2, "timeout_s": 0.5}

        async def show(self, case: Case, power_w: float) -> None:
            match case:
                case Case.GOOD: …  # from now on, the device shows power_w, again and again, each time newer
                case Case.NULL: …

    @asynccontextmanager
    async def serve(folder: Path) -> AsyncIterator[FakeThing]:
        …
        yield FakeThing(…)

    RIGS = [Rig("thing", ("thing",), serve, {Case.UNAUTHORISED: "no login in this protocol"})]

``show`` returns when the device behaves so from now on. For the cases of `SILENT_CASES` (which may make no outcome at
all) it returns only when the driver has been given the value, so that the test does not end before it was tried.
``power_w`` is what the device shows where the case shows a power at all: where that must not be believed, it is
`FALSE_W`. Short intervals and time-outs in the section, and ``quick`` (constants of the driver's modules by their path,
such as the longest pause before it connects again), keep the tests quick; what is waited for is a condition, never a
time. A device that speaks JSON over HTTP needs no fake of its own: see `tests/meters/rigs/http.py`.

A case that a protocol cannot express is given a reason instead; it is a sentence for the reader, and may not be empty.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

from app.model import DeviceAuthError, DeviceDataError, DeviceError, DeviceUnavailable

IMPORT_W, EXPORT_W, BACK_W = 321.5, -654.25, 123.0  # what a device shows: at first, exporting, and after the case
FALSE_W = 7777.0  # what must never be taken for a reading


class Case(Enum):
    """What a device does; the value says it in words."""

    GOOD = "an import"
    EXPORT = "an export"
    MISSING = "no power in the answer"
    NULL = "null for a power"
    NAN = "NaN for a power"
    TEXT = "a word for a power"
    HTML = "a page for people"
    UNAUTHORISED = "401, or a login that is refused in whatever way"
    FORBIDDEN = "403"
    NOT_FOUND = "404, or a value that is not there any more"
    BUSY = "429, or too many clients"
    BROKEN = "500, or a fault that the device tells of itself"
    SILENCE = "no answer, no data"
    DRIP = "an answer that comes byte by byte, and never ends"
    REFUSED = "nobody listens at the port"
    RESET = "the connection breaks in the middle of a value"
    HUGE = "an answer without end"
    DUPLICATE = "another power with the same time stamp as before, or the same copy again"
    OLD = "another power with a time stamp of the past"
    RESTART = "zeros all over, as after a restart without contact to the meter"


EXPECTED: Mapping[Case, type[DeviceError] | tuple[type[DeviceError], ...]] = {
    Case.MISSING: DeviceDataError,
    Case.NULL: DeviceDataError,
    Case.NAN: DeviceDataError,
    Case.TEXT: DeviceDataError,
    Case.HTML: DeviceDataError,
    Case.UNAUTHORISED: DeviceAuthError,
    Case.FORBIDDEN: DeviceAuthError,
    Case.NOT_FOUND: DeviceDataError,
    Case.BUSY: (DeviceDataError, DeviceUnavailable),
    Case.BROKEN: (DeviceDataError, DeviceUnavailable),
    Case.SILENCE: DeviceUnavailable,
    Case.DRIP: DeviceUnavailable,
    Case.REFUSED: DeviceUnavailable,
    Case.RESET: (DeviceUnavailable, DeviceDataError),
    Case.HUGE: (DeviceDataError, DeviceUnavailable),
    Case.RESTART: DeviceDataError,
}
SILENT_CASES = (Case.DUPLICATE, Case.OLD)  # no outcome is right as well, as long as it is no reading


class Fake(Protocol):
    """A device that is served, and what is in config.yaml for it."""

    section: dict[str, Any]

    async def show(self, case: Case, power_w: float) -> None:
        """Behave so from now on."""


@dataclass(frozen=True)
class Rig:
    """How the protocol of some types is tried. ``missing``: cases that it cannot express, each with the reason.

    ``quick``: constants such as ``app.meters.thing.LONGEST_PAUSE_S`` and what they are meanwhile.
    """

    name: str
    types: tuple[str, ...]
    serve: Callable[[Path], AbstractAsyncContextManager[Fake]]
    missing: Mapping[Case, str] = field(default_factory=dict)
    quick: Mapping[str, float] = field(default_factory=dict)

    @property
    def cases(self) -> list[Case]:
        """Those that it expresses."""
        return [case for case in Case if case not in self.missing]


def rigs() -> list[Rig]:
    """Every rig of the folder beside this file, in the order of the files' names."""
    from tests.meters import rigs as folder

    found: list[Rig] = []
    for module in sorted(pkgutil.iter_modules(folder.__path__), key=lambda module: module.name):
        found += getattr(importlib.import_module(f"{folder.__name__}.{module.name}"), "RIGS", [])
    return found
