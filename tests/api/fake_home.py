"""A small Home Assistant: finds devices by MQTT discovery, shows what their entities show, and sends their commands.

It renders the templates that keep to `GRAMMAR`, in which Jinja's expressions mean what Python's do, filters apart.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiomqtt

from app.checks import running

SHARED = ("availability", "availability_mode", "state_topic", "command_topic")  # what a component takes from its root
PATH = r"value_json(\.[a-z_]+)+"
WORD = r"'[a-z_]+'"
LISTED = rf"{PATH} \| (selectattr\('serial', 'eq', '[0-9a-f]{{12}}'\) \| )?map\(attribute={WORD}\) \| (first|list)"
CONDITION = rf"({PATH}( == {WORD}|( and {PATH} is not none))?|\({LISTED}\))"
GRAMMAR = re.compile(
    rf"\{{\{{ ({PATH}(\[:\d+\])?|{LISTED}"
    rf"|({PATH}|\({PATH} / \d+\) \| round\(\d\)|'[a-zA-Z]+') if {CONDITION} else (None|'[a-zA-Z]+')"
    rf"|value if value == 'auto' else value \+ ' \d+'"
    rf"|\{{({WORD}: {LISTED}(, )?)+\}} \| tojson) \}}\}}"
)


class Undefined:
    """Jinja's: renders as nothing, is false, and has no attributes."""

    def __str__(self) -> str:
        return ""

    def __bool__(self) -> bool:
        return False


class Value(dict[str, Any]):
    """An object of the JSON document, whose keys are attributes."""

    def __getattr__(self, name: str) -> Any:
        return self.get(name, Undefined())


@dataclass
class Filter:
    """What stands behind a ``|``."""

    work: Callable[[Any], Any]

    def __ror__(self, value: Any) -> Any:
        return self.work(value)


FILTERS = {
    "round": lambda digits: Filter(lambda value: round(value, digits)),
    "map": lambda attribute: Filter(lambda values: [value[attribute] for value in values]),
    "selectattr": lambda key, _eq, wanted: Filter(lambda values: [value for value in values if value[key] == wanted]),
    "first": Filter(lambda values: next(iter(values), Undefined())),
    "list": Filter(list),
    "tojson": Filter(json.dumps),
    "none": None,
}


def render(template: str, **variables: Any) -> str:
    """What a template makes of a value, as text. Raises where the document has not what it takes for granted."""
    assert GRAMMAR.fullmatch(template), template
    return str(eval(template[3:-3], {"__builtins__": {}}, FILTERS | variables))


def shown(template: str | None, payload: str) -> str:
    """A payload as a value template shows it; without one, as it is."""
    if template is None:
        return payload
    return render(template, value=payload, value_json=json.loads(payload, object_hook=Value))


def entities_of(message: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The components of a device message by id, each with what it shares with the others."""
    shared = {key: message[key] for key in SHARED if key in message}
    return {key: shared | part for key, part in message["components"].items() if len(part) > 1}


@dataclass
class Entity:
    """One entity, and the last that it heard."""

    config: dict[str, Any]
    device: dict[str, Any]
    available: dict[int, bool] = field(default_factory=dict)
    text: str = "unknown"
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def topics(self) -> set[str]:
        """Whatever it listens to."""
        told = {self.config[key] for key in ("state_topic", "json_attributes_topic") if key in self.config}
        return told | {item["topic"] for item in self.config["availability"]}

    @property
    def state(self) -> str:
        """As Home Assistant would show it."""
        return (
            self.text
            if all(self.available.get(index) for index in range(len(self.config["availability"])))
            else ("unavailable")
        )

    def hear(self, topic: str, payload: str) -> None:
        """Take in a message of one of its topics."""
        for index, item in enumerate(self.config["availability"]):
            if item["topic"] == topic:
                self.available[index] = shown(item.get("value_template"), payload) == "online"
        if self.config.get("json_attributes_topic") == topic:
            self.attributes = json.loads(shown(self.config["json_attributes_template"], payload))
        if self.config["state_topic"] == topic and payload:
            text = shown(self.config.get("value_template"), payload)
            known = {self.config.get("payload_on", "ON"): "on", self.config.get("payload_off", "OFF"): "off"}
            is_switch = self.config["platform"] in ("switch", "binary_sensor")
            if text:
                self.text = "unknown" if text == "None" else known[text] if is_switch else text


@dataclass
class FakeHome:
    """Connected to a broker: its entities by id, as they are now."""

    client: aiomqtt.Client
    entities: dict[str, Entity] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)  # discovery messages by topic
    discoveries: int = 0
    failed: Exception | None = None

    def state(self, entity_id: str) -> str:
        """One entity's state; empty where there is none such."""
        return self.entities[entity_id].state if entity_id in self.entities else ""

    async def command(self, entity_id: str, value: str) -> None:
        """What a person does to a switch, a number or a select."""
        config = self.entities[entity_id].config
        template = config.get("command_template")
        await self.client.publish(config["command_topic"], render(template, value=value) if template else value, qos=1)

    async def announce(self) -> None:
        """As after its start."""
        await self.client.publish("homeassistant/status", "online", qos=1)

    async def listen(self) -> None:
        """Take in everything, for ever."""
        try:
            async for message in self.client.messages:
                await self._hear(str(message.topic), bytes(message.payload).decode())
        except Exception as error:
            self.failed = error
            raise

    async def _hear(self, topic: str, payload: str) -> None:
        if topic.startswith("homeassistant/device/"):
            await self._discover(topic, payload)
        for entity in self.entities.values():
            if topic in entity.topics:
                entity.hear(topic, payload)

    async def _discover(self, topic: str, payload: str) -> None:
        self.discoveries += 1
        before, self.messages[topic] = self.messages.get(topic, ""), payload
        for part in entities_of(json.loads(before)).values() if before else ():
            del self.entities[part["default_entity_id"]]
        if not payload:
            del self.messages[topic]
            return
        message = json.loads(payload)
        found = [Entity(part, message["device"]) for part in entities_of(message).values()]
        self.entities |= {entity.config["default_entity_id"]: entity for entity in found}
        for one in sorted({one for entity in found for one in entity.topics}):
            await self.client.subscribe(one)


@asynccontextmanager
async def fake_home(host: str, port: int, **login: str) -> AsyncIterator[FakeHome]:
    """A Home Assistant that has just started."""
    async with aiomqtt.Client(host, port, timeout=60, **login) as client:  # type: ignore[arg-type]
        home = FakeHome(client)
        async with running(home.listen()):
            await client.subscribe("homeassistant/device/+/config")
            await home.announce()
            yield home
    assert home.failed is None, repr(home.failed)
