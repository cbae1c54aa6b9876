"""The dynamic power export limit of a gateway (``/ivp/ss/dpel``): its document, and a rule as one. Pure.

Only what a rule is about is changed; all else stays as the gateway gave it. What was there before our first change is
the normal state: a limit of somebody else's is never lifted, and comes back as it was.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.documents import optional
from app.inverters.enphase.quirks import STEADY_SLEW_RATE
from app.model import DeviceDataError, Rule

SETTINGS = "dynamic_pel_settings"
OURS = ("enable", "export_limit", "limit_value_W", "slew_rate", "enable_dynamic_limiting")
SAME_W = 0.5
DEEPEST = 8  # levels of a document that is kept and sent back
Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit that a gateway holds. ``of_export``: at the grid connection; else of all production."""

    watts: float
    of_export: bool

    def __str__(self) -> str:
        return f"{'export' if self.of_export else 'production'} limited to {self.watts:g} W"


@dataclass(frozen=True, slots=True)
class Dpel:
    """How limits are written here. ``inverted``: the gateway takes ``export_limit`` the other way round.

    ``dynamic``: what ``enable_dynamic_limiting`` is to be while we limit; None: as the document's shape asks for.
    """

    of_export: bool = True
    inverted: bool = False
    slew_rate: float = STEADY_SLEW_RATE
    dynamic: bool | None = None

    def limit_in(self, document: Document) -> Limit | None:
        """The limit that a document holds, None where it is off. Raises `DeviceDataError`."""
        settings = settings_of(document)
        if not _flag(settings.get("enable")):
            return None
        watts = optional(settings.get("limit_value_W"))
        if watts is None or watts < 0.0:
            raise DeviceDataError("/ivp/ss/dpel is enabled without a limit_value_W")
        return Limit(watts, _flag(settings.get("export_limit")) is not self.inverted)

    def written(self, rule: Rule, now: Document, found: Document | None) -> Document:
        """The document that gives the gateway a rule. ``now``: what it shows; ``found``: before our first change.

        Raises `DeviceDataError` where the rule cannot be had without lifting a limit that is not ours.
        """
        settings = settings_of(now)
        before = settings_of(found) if found is not None else settings
        kept = {key: value for key, value in settings.items() if key not in OURS}
        if rule.export_w is None:
            return _whole(now, kept | {key: before[key] for key in OURS if key in before})
        watts = self._within(rule.export_w, self.limit_in(found if found is not None else now))
        dynamic = self.dynamic
        if dynamic is None:
            dynamic = _flag(settings.get("enable_dynamic_limiting")) or "installed_capacity" in settings
        ours = (True, self.of_export is not self.inverted, watts, self.slew_rate, dynamic)
        return _whole(now, kept | dict(zip(OURS, ours, strict=True)))

    def shows(self, rule: Rule, now: Document, found: Document | None) -> bool:
        """Whether a document gives the gateway this rule."""
        try:
            wanted, settings = settings_of(self.written(rule, now, found)), settings_of(now)
        except DeviceDataError:
            return False
        if _flag(wanted.get("enable")) is not _flag(settings.get("enable")):
            return False
        if not _flag(wanted.get("enable")):
            return True
        limits = (optional(wanted.get("limit_value_W")), optional(settings.get("limit_value_W")))
        if limits[0] is None or limits[1] is None or abs(limits[0] - limits[1]) > SAME_W:
            return False
        if rule.export_w is None and not _close(optional(wanted.get("slew_rate")), optional(settings.get("slew_rate"))):
            return False  # the same limit, and not yet as it was
        flags = ("export_limit", "enable_dynamic_limiting")
        return all(_flag(wanted.get(key)) is _flag(settings.get(key)) for key in flags)

    def shown(self, now: Document, found: Document | None, likely: Rule | None) -> Rule | None:
        """The rule that a document gives; ``likely`` where several would look so. None: it is none of ours."""
        for rule in (likely, Rule()):
            if rule is not None and self.shows(rule, now, found):
                return rule
        limit = self.limit_in(now)
        rule = Rule(limit.watts) if limit is not None and limit.of_export is self.of_export else None
        return rule if rule is not None and self.shows(rule, now, found) else None

    def _within(self, wanted_w: float, foreign: Limit | None) -> float:
        """A limit that a limit of somebody else's allows as well."""
        if foreign is None:
            return max(0.0, wanted_w)
        if foreign.of_export is not self.of_export:
            there, ours = ("export", "production") if foreign.of_export else ("production", "export")
            raise DeviceDataError(
                f"the gateway holds a limit that was there before ({foreign}), and a limit of {ours} would replace it: "
                f"set limit: {there}"
            )
        return max(0.0, min(wanted_w, foreign.watts))


def settings_of(document: Any) -> Mapping[str, Any]:
    """The part of a document that is about limits. Raises `DeviceDataError`."""
    settings = document.get(SETTINGS) if isinstance(document, dict) else None
    if not isinstance(settings, dict) or not _plain(settings, DEEPEST):
        raise DeviceDataError(f"/ivp/ss/dpel holds no {SETTINGS}")
    return settings


def differs(one: Document, other: Document) -> bool:
    """Whether two documents differ in what rules are about."""
    a, b = settings_of(one), settings_of(other)
    if not _flag(a.get("enable")) and not _flag(b.get("enable")):
        return False
    numbers = ("limit_value_W",)
    same = all(_flag(a.get(key)) is _flag(b.get(key)) for key in ("enable", "export_limit"))
    return not same or any(not _close(optional(a.get(key)), optional(b.get(key))) for key in numbers)


def _whole(now: Document, settings: dict[str, Any]) -> Document:
    """A document to be sent: without its date, which is the gateway's own."""
    names = {"filename": "site_settings", "version": "00.00.01"}
    kept = {key: now[key] for key in names if isinstance(now.get(key), str)}
    return {SETTINGS: settings, **names, **kept}


def _close(one: float | None, other: float | None) -> bool:
    return one == other if one is None or other is None else math.isclose(one, other, abs_tol=SAME_W)


def _plain(value: Any, levels: int) -> bool:
    """Whether it can be kept and sent back: not too deep, and in letters that there are (JSON knows halves of some)."""
    if isinstance(value, str):
        return not any("\ud800" <= sign <= "\udfff" for sign in value)
    inner = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(_plain(one, levels - 1) for one in inner)


def _flag(value: Any) -> bool:
    """A switch, which some firmware tells as 0 or 1."""
    return value is True or (isinstance(value, int | float) and value == 1) or value in ("true", "1")
