"""The registers by which GoodWe inverters are limited, as data: where they stand, and how far each is verified. Pure.

``seed``: a public project for a GW5000-DNS-30 wrote them (mjoconr/GoodweAlphaAmberControl); ``library``: the library
goodwe writes them; ``unverified``: only somebody's report, or an address of the configuration. No public document of
GoodWe's tells what any of them means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

Verified = Literal["seed", "library", "unverified"]
Control = Literal["active_pct", "pct", "watts"]
Unit = Literal["switch", "pct", "pct10", "w"]
Layout = Literal["dt", "et"]

SEED = "mjoconr/GoodweAlphaAmberControl"
LIBRARY = "the library goodwe 0.4.10"


class Quirk(StrEnum):
    """What a limit of these inverters may mean besides what it says."""

    ZERO_IS_UNLIMITED = "zero_is_unlimited"
    READS_BACK_ZERO = "reads_back_zero"
    OWN_METER = "own_meter"


QUIRKS: Mapping[Quirk, str] = {
    Quirk.ZERO_IS_UNLIMITED: "0 may mean that there is no limit: it is never written, the lowest is one step",
    Quirk.READS_BACK_ZERO: "some show 0 whatever was written: a 0 that is read is no answer",
    Quirk.OWN_METER: "with a GoodWe meter it limits the export there, and not the inverter's own power",
}


@dataclass(frozen=True, slots=True)
class Register:
    """One holding register, or two with the high word first. ``unit``: what it counts (``pct10``: tenths of 1 %)."""

    address: int
    unit: Unit
    verified: Verified
    source: str
    words: int = 1


@dataclass(frozen=True, slots=True)
class Profile:
    """How one family is limited. ``switch`` is written first; ``limits``: the registers of each way to tell a limit.

    ``layout``: where its measured values stand. ``volatile``: known to be lost with the power, so that writing it
    wears nothing out.
    """

    name: str
    products: str
    layout: Layout
    switch: Register
    limits: Mapping[Control, tuple[Register, ...]]
    quirks: tuple[Quirk, ...] = ()
    volatile: bool = False

    @property
    def control(self) -> Control:
        """The way to tell a limit where the configuration names none: the first one."""
        return next(iter(self.limits))

    def at(self, addresses: Mapping[str, int], control: Control) -> Profile:
        """The same with other addresses: of ``switch``, or of what is counted (``pct``, ``pct10``, ``w``)."""

        def moved(one: Register) -> Register:
            address = addresses.get(one.unit, one.address)
            if address == one.address:
                return one
            return replace(one, address=address, verified="unverified", source="the configuration")

        limits = {control: tuple(moved(one) for one in self.limits[control])}
        return replace(self, switch=moved(self.switch), limits=limits)


def _library(address: int, unit: Unit, words: int = 1) -> Register:
    return Register(address, unit, "library", LIBRARY, words)


_NVM = (Quirk.ZERO_IS_UNLIMITED, Quirk.READS_BACK_ZERO, Quirk.OWN_METER)

PROFILES: Mapping[str, Profile] = {
    one.name: one
    for one in (
        Profile(
            "dns_seed",
            "D-NS (GW5000-DNS-30)",
            "dt",
            Register(291, "switch", "seed", SEED),
            {
                "active_pct": (Register(256, "pct", "seed", SEED),),
                "pct": (Register(292, "pct", "seed", SEED), Register(293, "pct10", "seed", SEED)),
            },
            (Quirk.ZERO_IS_UNLIMITED,),
        ),
        Profile(
            "dns",
            "D-NS and other single-phase ones",
            "dt",
            _library(40327, "switch"),
            {"watts": (_library(40328, "w", 2),)},
            _NVM,
        ),
        Profile(
            "dt",
            "DT, SDT and other three-phase ones",
            "dt",
            _library(40327, "switch"),
            {"pct": (_library(40336, "pct"),)},
            _NVM,
        ),
        Profile(
            "ms",
            "MS",
            "dt",
            _library(40327, "switch"),
            {"pct": (Register(40328, "pct", "unverified", "a report to that library: the MS counts in percent"),)},
            _NVM,
        ),
        Profile(
            "et",
            "ET, EH, BT, BH (hybrid)",
            "et",
            _library(47509, "switch"),
            {"watts": (_library(47510, "w"),)},
            _NVM,
        ),
    )
}
