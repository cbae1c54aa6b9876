"""What is known of the limits of gateways by their firmware, each with its source. Pure.

These limits are documented by nobody: what stands here was observed by owners and installers. None of the mistakes that
a row can make lets a house export: a limit of the production bounds the export too.
"""

from __future__ import annotations

from dataclasses import dataclass

Version = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Quirk:
    """Firmware from ``since`` to below ``before`` (None: no bound), and what is to be reckoned with there.

    ``unsupported``: it has no such limit. ``inverted``: its ``export_limit`` means the opposite. ``resend_s``: it wants
    the limit again and again. ``reaction_s``: until it has followed, where that takes longer.
    """

    name: str
    told: str
    source: str
    since: Version | None = None
    before: Version | None = None
    unsupported: bool = False
    inverted: bool = False
    resend_s: float | None = None
    reaction_s: float | None = None

    def covers(self, version: Version) -> bool:
        """Whether it is about this firmware."""
        return (self.since is None or version >= self.since) and (self.before is None or version < self.before)


DPEL_QUIRKS = (
    Quirk(
        "before_8",
        "nobody has seen a dynamic limit before firmware 8",
        "Matthew1471/Enphase-API, dpel.adoc: 404; all reports of success in its #31 are of 8.x",
        before=(8,),
        unsupported=True,
    ),
    Quirk(
        "sluggish_8_2",
        "export_limit means the opposite, the limit takes 1.5 to 5 minutes, and has to be sent every 30 s until then",
        "Matthew1471/Enphase-API #31, 2025-10 and 2025-11: two owners with 8.2.4398, over with 8.3.5232",
        since=(8, 2, 4398),
        before=(8, 3, 5232),
        inverted=True,
        resend_s=30.0,
        reaction_s=300.0,
    ),
    Quirk(
        "slow_production_limit",
        "a limit of the production takes about 75 s",
        "vincentwolsink/home_assistant_enphase_envoy_installer #346, 2026-09: 8.3.5528",
        since=(8, 3, 5232),
        reaction_s=120.0,
    ),
)
SHAPE_QUIRK = Quirk(  # told by the document, not by the version
    "dynamic_limiting",
    "a gateway that keeps installed_capacity (Australia, New Zealand) takes the limit and does not enforce it while "
    "enable_dynamic_limiting is false",
    "PowerSync, history of enphase.py",
)
STEADY_SLEW_RATE = 100.0  # 2000 was seen to be unstable (PowerSync)


@dataclass(frozen=True, slots=True)
class Habits:
    """What the rows say together of one firmware."""

    unsupported: bool = False
    inverted: bool = False
    resend_s: float | None = None
    reaction_s: float | None = None
    told: tuple[str, ...] = ()


def habits(version: Version | None) -> Habits:
    """What is to be reckoned with; nothing, where the firmware is not known."""
    rows = [quirk for quirk in DPEL_QUIRKS if version is not None and quirk.covers(version)]
    return Habits(
        any(row.unsupported for row in rows),
        any(row.inverted for row in rows),
        min((row.resend_s for row in rows if row.resend_s is not None), default=None),
        max((row.reaction_s for row in rows if row.reaction_s is not None), default=None),
        tuple(f"{row.told} ({row.source})" for row in rows),
    )
