"""A GX device: what dbus-flashmq does at its broker, and its Modbus registers."""

from __future__ import annotations

import asyncio
import json
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiomqtt

from app.checks import running
from tests.conftest import Mosquitto, until
from tests.meters.fakes.tcp import Listener


class FakeVenus:
    """Publishes what changes, while keep-alives come; answers what is asked for.

    ``gone``: without a grid service. ``mute``: without answers. ``instead``: what it publishes for every phase.
    ``services``: grid meters by instance; the first one is what the system shows.
    """

    def __init__(self, mosquitto: Mosquitto, portal: str = "c0619ab12345") -> None:
        self._mosquitto, self.portal = mosquitto, portal
        self.alive_for_s = 60.0
        self.phases: dict[str, object] = {"L1": None, "L2": None, "L3": None}
        self.gone = self.mute = False
        self.instead: str | None = None
        self.asked: list[tuple[str, bytes]] = []
        self.services: dict[int, dict[str, object]] = {}
        self._alive_until_s = 0.0
        self._client: aiomqtt.Client | None = None

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[FakeVenus]:
        async with running(self._run()):
            await until(lambda: self._client is not None)
            yield self

    async def set(self, **phases: object) -> None:
        """The meter has measured; what is the same as before is not published."""
        changed = {name: value for name, value in phases.items() if self.phases.get(name) != value}
        self.phases |= phases
        for name in changed if time.monotonic() < self._alive_until_s else ():
            await self._publish(name)

    async def vanish(self) -> None:
        """The grid service has left the bus."""
        self.gone = True
        for name in self.phases:
            await self.send(name, "")

    async def send(self, name: str, payload: str | bytes) -> None:
        """Publish something for a phase."""
        await self._tell(f"system/0/Ac/Grid/{name}/Power", payload)

    async def appear(self, instance: int, **paths: object) -> None:
        """A grid meter comes to the bus, or changes: all that it has is published."""
        self.services[instance] = self.services.get(instance, {}) | paths
        await self._show(instance)

    async def disappear(self, instance: int) -> None:
        """A grid meter leaves the bus."""
        for path in self.services.pop(instance):
            await self._tell(f"grid/{instance}/{path}", "")

    async def _show(self, instance: int) -> None:
        for path, value in self.services[instance].items():
            await self._tell(f"grid/{instance}/{path}", json.dumps({"value": value}))

    async def _tell(self, path: str, payload: str | bytes) -> None:
        if self._client is not None:
            with suppress(aiomqtt.MqttError):
                await self._client.publish(f"N/{self.portal}/{path}", payload)

    async def _publish(self, name: str) -> None:
        if not self.gone and not self.mute:
            await self.send(name, self.instead or json.dumps({"value": self.phases[name]}))

    async def _run(self) -> None:
        while True:
            with suppress(aiomqtt.MqttError):
                async with aiomqtt.Client(self._mosquitto.host, self._mosquitto.port) as client:
                    serial = json.dumps({"value": self.portal})
                    await client.publish(f"N/{self.portal}/system/0/Serial", serial, retain=True)
                    await client.subscribe(f"R/{self.portal}/#")
                    self._client = client
                    async for message in client.messages:
                        assert isinstance(message.payload, bytes)
                        await self._answer(message.topic.value, message.payload)
            self._client = None
            await asyncio.sleep(0.1)

    async def _answer(self, topic: str, payload: bytes) -> None:
        self.asked.append((topic, payload))
        if topic.endswith("/keepalive"):
            self._alive_until_s = time.monotonic() + self.alive_for_s
            if b"suppress-republish" not in payload:
                for name in self.phases:
                    await self._publish(name)
                for instance in self.services:
                    await self._show(instance)
                if self._client is not None and not self.mute:
                    done = json.dumps({"value": int(time.time())})
                    await self._client.publish(f"N/{self.portal}/full_publish_completed", done)
        elif "/grid/" in topic:
            place, path = topic.split("/", 4)[3:]
            value = self.services.get(int(place), {}).get(path)
            await self._tell(f"grid/{place}/{path}", json.dumps({"value": value}))
        elif topic.endswith("/Power"):
            name = topic.split("/")[-2]
            if name in self.phases:
                await self._publish(name)


class FakeModbus(Listener):
    """Its Modbus TCP: three signed registers from 820 on, for unit 100. ``error``: an exception code instead."""

    def __init__(self) -> None:
        super().__init__()
        self.powers: list[int] = [0, 0, 0]
        self.error: int | None = None
        self.habit = ""
        self.asked: list[tuple[int, int, int, int]] = []  # unit, function, address, count

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[FakeModbus]:
        await self.listen()
        try:
            yield self
        finally:
            await self.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with suppress(OSError, asyncio.IncompleteReadError):
            try:
                while True:
                    number, _, _, unit, function, address, count = struct.unpack(
                        ">HHHBBHH", await reader.readexactly(12)
                    )
                    self.asked.append((unit, function, address, count))
                    await self._answer(writer, number, unit, function, count)
            finally:
                self._open.discard(writer)
                writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, number: int, unit: int, function: int, count: int) -> None:
        if self.habit == "hang":
            return
        if self.error is not None:
            writer.write(struct.pack(">HHHBBB", number, 0, 3, unit, function | 0x80, self.error))
            return
        shown = self.powers[:count]
        values = struct.pack(f">{len(shown)}h", *shown)
        answer = struct.pack(">HHHBBB", number, 0, 3 + len(values), unit, function, len(values)) + values
        if self.habit == "reset":
            writer.write(answer[:-3])
            writer.transport.abort()
        elif self.habit == "drip":
            for one in answer:
                writer.write(bytes([one]))
                await writer.drain()
                await asyncio.sleep(0.3)
        elif self.habit == "flood":
            while True:
                writer.write(b"\xff" * 65_536)
                await writer.drain()
        else:
            writer.write(answer)
