"""What Home Assistant says of its entities, in events and in answers, and when that can be told. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from app.documents import optional
from app.meters.push import SILENT, Wanted, in_watts
from app.model import DeviceDataError

SETTLE_S = 0.2  # values that belong together come in messages of their own, soon after each other
SUBSCRIPTION = 1  # the number of the message that asks for the entities


@dataclass(frozen=True, slots=True)
class Entity:
    """One entity as it was last told. ``updated_utc_s``: when its value was updated, on Home Assistant's clock."""

    state: str
    unit: str = ""
    updated_utc_s: float | None = None


class Talk:
    """One subscription: what comes when. Times are on the monotonic clock."""

    def __init__(self, wanted: Wanted, interval_s: float, now_s: float) -> None:
        self._wanted, self._interval_s = wanted, interval_s
        self.number = SUBSCRIPTION
        self.heard_s, self.ping_s = now_s, now_s + interval_s
        self.due_s = math.inf  # when the values are to be told
        self.silent_s = SILENT * max(1.0, interval_s)
        self.told = False  # the values as they stood at first
        self._new: set[str] = set()
        self._since_s = -math.inf

    @property
    def wake_s(self) -> float:
        """When there is something to do."""
        return min(self.ping_s, self.due_s, self.heard_s + self.silent_s)

    def changed(self, before: Mapping[str, Entity], after: Mapping[str, Entity]) -> None:
        """Take in that something may have changed, and find when it can be told without mixing two instants.

        Of import and export one is about 0 in one instant. Where both are not, and one only is new, the other one is
        waited for.
        """
        names = self._wanted.names
        if self.due_s == math.inf:
            self._new, self._since_s = set(), self.heard_s
        self._new |= {name for name in names if before.get(name) != after.get(name)}
        pair = (after.get(str(self._wanted.imported)), after.get(str(self._wanted.exported)))
        if not self.told or len(self._new) == len(names):
            self.due_s = self.heard_s
        elif all(entity is not None and shows_power(entity) for entity in pair):
            self.due_s = self._since_s + self._interval_s
        else:
            self.due_s = self._since_s + min(SETTLE_S, self._interval_s)
        self.told = True


def apply(known: Mapping[str, Entity], event: Any) -> dict[str, Entity]:
    """The entities after an event of ``subscribe_entities``: added (a), changed (c) and removed (r).

    A change holds what is new (+) and which attributes are gone (-). Raises `DeviceDataError`.
    """
    event = mapping(event, "an event")
    entities = dict(known)
    for name, raw in mapping(event.get("a", {}), "a").items():
        told = mapping(raw, name)
        entities[name] = _told(Entity(""), told)
    for name, raw in mapping(event.get("c", {}), "c").items():
        if name in entities:
            change = mapping(raw, name)
            entity = _told(entities[name], mapping(change.get("+", {}), name))
            gone = mapping(change.get("-", {}), name).get("a", [])
            if isinstance(gone, list) and "unit_of_measurement" in gone:
                entity = replace(entity, unit="")
            entities[name] = entity
    removed = event.get("r", [])
    for name in removed if isinstance(removed, list) else ():
        entities.pop(str(name), None)
    return entities


def _told(entity: Entity, told: Mapping[str, Any]) -> Entity:
    """An entity with what is told of it. The time of an update is left out where it is that of the change."""
    attributes = mapping(told.get("a", {}), "attributes")
    stamp_s = optional(told.get("lu", told.get("lc")))
    return Entity(
        str(told.get("s", entity.state)),
        str(attributes.get("unit_of_measurement") or "") if "unit_of_measurement" in attributes else entity.unit,
        entity.updated_utc_s if stamp_s is None else stamp_s,
    )


def state_of(document: Any) -> Entity:
    """The entity of an answer of ``/api/states/<entity>``. Raises `DeviceDataError`."""
    told = mapping(document, "the answer")
    attributes = mapping(told.get("attributes", {}), "attributes")
    if not isinstance(told.get("state"), str):
        raise DeviceDataError("the answer holds no state: check meter.url")
    try:
        stamp_s = datetime.fromisoformat(str(told.get("last_reported") or told.get("last_updated"))).timestamp()
    except (ValueError, OverflowError, OSError):
        return Entity(told["state"], str(attributes.get("unit_of_measurement") or ""))
    return Entity(told["state"], str(attributes.get("unit_of_measurement") or ""), stamp_s)


def value_of(name: str, entity: Entity | None) -> float:
    """Watts. Raises `DeviceDataError` that names the entity and what is to be done."""
    if entity is None:
        raise DeviceDataError(
            f"{name} does not exist in Home Assistant, or this token may not read it: "
            "look it up under Developer tools, States"
        )
    if entity.state == "unavailable":
        raise DeviceDataError(f"{name} is unavailable: Home Assistant has lost the device behind it; look at it there")
    if entity.state == "unknown":
        raise DeviceDataError(f"{name} is unknown: its device has not told a value yet; look at it in Home Assistant")
    number = _number(entity.state)
    if number is None:
        raise DeviceDataError(f"{name} is {entity.state[:40]!r}, not a number: name a sensor that shows the power")
    return in_watts(number, entity.unit, name, "set its unit_of_measurement in Home Assistant, or name another sensor")


def shows_power(entity: Entity) -> bool:
    """Whether it shows a number that is not 0."""
    return bool(optional(_number(entity.state)))


def _number(state: str) -> float | None:
    try:
        return None if "_" in state else float(state)
    except ValueError:
        return None


def mapping(value: Any, what: str) -> dict[str, Any]:
    """An object of JSON. Raises `DeviceDataError` naming ``what``."""
    if not isinstance(value, dict):
        raise DeviceDataError(f"Home Assistant sends {type(value).__name__} for {what[:80]}, not an object")
    return value
