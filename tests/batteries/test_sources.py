"""Batteries by other ways: OpenDTU-OnBattery, Victron, Enphase, anybody's MQTT topics, and JSON over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiomqtt
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.batteries import enphase, victron
from app.batteries.values import power_w, soc_pct
from app.batteries.victron import parser, registers
from app.checks import running
from app.meters.base import MAX_POWER_W
from app.model import DeviceAuthError, DeviceDataError, DeviceUnavailable
from tests.batteries.conftest import Listen, section
from tests.conftest import Mosquitto, until
from tests.enphase.fake import FakeGateway
from tests.meters.fakes.modbus import bus
from tests.meters.fakes.web import WebFake
from tests.meters.hostile import NONSENSE, hostile

JUNK = [b"", b"\xff\xfe", b"n/a", b"null", b"NaN", b"1e999", b"[" * 2000, b'{"v": ', b" " * 100_000, b"true", b"{}"]


def at(mosquitto: Mosquitto) -> dict[str, str]:
    return {"host": f"{mosquitto.host}:{mosquitto.port}"}


@asynccontextmanager
async def publisher(mosquitto: Mosquitto) -> AsyncIterator[Callable[..., Any]]:
    """Publishes what is given by topic."""
    async with aiomqtt.Client(mosquitto.host, mosquitto.port) as client:

        async def publish(values: dict[str, Any], *, retain: bool = False) -> None:
            for topic, value in values.items():
                payload = value if isinstance(value, bytes) else str(value)
                await client.publish(topic, payload, qos=1, retain=retain)

        yield publish


class TestMqtt:
    """Charge and power in one message, or on two topics."""

    async def test_one_message_for_both(self, mosquitto: Mosquitto, listen: Listen) -> None:
        keys = {"type": "mqtt", "topic": "b", "soc_path": "$.soc", "power_path": "$.p", "mqtt": at(mosquitto)}
        async with publisher(mosquitto) as publish, listen(**keys, soc_scale=100, power_unit="kW") as heard:
            await publish({"b": json.dumps({"soc": 0.615, "p": -1.5})})
            state = await heard.state(61.5, -1500.0)
            assert (state.name, state.interval_s) == ("mqtt topic b", 10.0)
            await publish({"b": json.dumps({"soc": 0.62, "p": "2000 W"})})
            await heard.state(62.0, 2000.0)

    async def test_two_topics_and_a_power_the_other_way_round(self, mosquitto: Mosquitto, listen: Listen) -> None:
        keys = {"type": "mqtt", "soc_topic": "b/soc", "power_topic": "b/p", "mqtt": at(mosquitto), "name": "Cellar"}
        async with publisher(mosquitto) as publish, listen(**keys, invert=True) as heard:
            await publish({"b/p": 100})
            assert (await heard.state(None, -100.0)).name == "Cellar"
            await publish({"b/soc": "62 %", "b/p": 200})
            await heard.state(62.0, -200.0)
            await publish({"b/p": 300})
            await heard.state(62.0, -300.0)

    async def test_a_retained_copy_is_of_unknown_age(self, mosquitto: Mosquitto, listen: Listen) -> None:
        keys = {"type": "mqtt", "soc_topic": "b/soc", "power_topic": "b/p", "mqtt": at(mosquitto), "interval_s": 0.2}
        async with publisher(mosquitto) as publish:
            await publish({"b/soc": 62, "b/p": 200}, retain=True)
            async with listen(**keys) as heard:
                await heard.error("only a retained copy of unknown age")
                assert heard.states == []

    async def test_a_charge_that_is_not_told_again_is_forgotten(self, mosquitto: Mosquitto, listen: Listen) -> None:
        keys = {"type": "mqtt", "soc_topic": "b/soc", "power_topic": "b/p", "mqtt": at(mosquitto), "soc_valid_s": 1}
        async with publisher(mosquitto) as publish, listen(**keys) as heard:
            await publish({"b/soc": 62, "b/p": 200})
            await heard.state(62.0, 200.0)

            async def again() -> None:
                number = 0
                while True:
                    number += 1
                    await publish({"b/p": 200 + number})
                    await asyncio.sleep(0.15)

            async with running(again()):
                await until(lambda: heard.states[-1].soc_pct is None)

    async def test_silence_and_a_broker_that_is_gone_are_told(self, mosquitto: Mosquitto, listen: Listen) -> None:
        keys = {"type": "mqtt", "soc_topic": "b/soc", "power_topic": "b/p", "mqtt": at(mosquitto), "interval_s": 0.2}
        async with listen(**keys) as heard:
            assert isinstance(await heard.error("mqtt topic b/p: nothing for 1 s"), DeviceUnavailable)
            await mosquitto.stop()
            await heard.error("MQTT broker")
            await mosquitto.start()
            async with publisher(mosquitto) as publish:

                async def again() -> None:
                    while True:
                        await publish({"b/soc": 62, "b/p": 200})
                        await asyncio.sleep(0.1)

                async with running(again()):
                    await heard.state(62.0, 200.0)

    @pytest.mark.parametrize("junk", JUNK, ids=lambda junk: repr(junk[:12]))
    async def test_junk_is_a_fault_and_no_more(self, mosquitto: Mosquitto, listen: Listen, junk: bytes) -> None:
        keys = {"type": "mqtt", "topic": "b", "soc_path": "$.soc", "power_path": "$.p", "mqtt": at(mosquitto)}
        async with publisher(mosquitto) as publish, listen(**keys) as heard:
            await publish({"b": junk})
            assert isinstance(await heard.error("mqtt topic b: b: "), DeviceDataError)
            await publish({"b": b'{"soc": 5, "p": 7}'})
            await heard.state(5.0, 7.0)

    @pytest.mark.parametrize(
        "keys",
        [
            {},
            {"topic": "b"},
            {"topic": "b", "soc_path": "$.a"},
            {"soc_topic": "b"},
            {"power_topic": "b"},
            {"topic": "b", "soc_topic": "c", "power_topic": "d", "soc_path": "$.a", "power_path": "$.b"},
            {"topic": "b/#", "soc_path": "$.a", "power_path": "$.b"},
        ],
    )
    def test_topics_that_do_not_go_together(self, keys: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            section(type="mqtt", **keys)


class TestOnBattery:
    """OpenDTU-OnBattery publishes values one by one."""

    def values(self, **changes: Any) -> dict[str, Any]:
        found = {"dataAge": 0, "stateOfCharge": "62.00", "voltage": "51.20", "current": "-10.00", **changes}
        return {f"solar/battery/{key}": value for key, value in found.items() if value is not None}

    async def test_charge_and_the_power_of_voltage_and_current(self, mosquitto: Mosquitto, listen: Listen) -> None:
        async with (
            publisher(mosquitto) as publish,
            listen(type="opendtu-onbattery", mqtt=at(mosquitto)) as heard,
        ):
            await publish(self.values())
            state = await heard.state(62.0, -512.0)
            assert state.name == "OpenDTU-OnBattery at solar/battery"
            await publish(self.values(current="20.00", stateOfCharge=None))
            await heard.state(62.0, 1024.0)

    async def test_data_are_as_old_as_it_says(self, mosquitto: Mosquitto, listen: Listen) -> None:
        async with (
            publisher(mosquitto) as publish,
            listen(type="opendtu-onbattery", mqtt=at(mosquitto)) as heard,
        ):
            await publish(self.values(dataAge=0))
            fresh = await heard.state(62.0, -512.0)
            await publish(self.values(dataAge=3600, current="5.00"))
            old = await heard.state(62.0, 256.0)
            assert fresh.at_s is not None
            assert old.at_s is not None
            assert old.at_s < fresh.at_s - 3000.0

    async def test_without_a_current_there_is_a_charge(self, mosquitto: Mosquitto, listen: Listen) -> None:
        async with (
            publisher(mosquitto) as publish,
            listen(type="opendtu-onbattery", topic_prefix="dtu", mqtt=at(mosquitto)) as heard,
        ):
            values = self.values(current=None, voltage=None)
            await publish({topic.replace("solar", "dtu"): value for topic, value in values.items()})
            await heard.state(62.0, None)

    @pytest.mark.parametrize("junk", JUNK, ids=lambda junk: repr(junk[:12]))
    @pytest.mark.parametrize("key", ["current", "dataAge"])
    async def test_junk_is_a_fault_and_no_more(
        self, mosquitto: Mosquitto, listen: Listen, key: str, junk: bytes
    ) -> None:
        async with (
            publisher(mosquitto) as publish,
            listen(type="opendtu-onbattery", mqtt=at(mosquitto)) as heard,
        ):
            await publish(self.values(**{key: junk}))
            await heard.error(f"solar/battery/{key}: ")
            await publish(self.values())
            await heard.state(62.0, -512.0)


@dataclass
class FakeGx:
    """A GX device with a battery: it publishes what is asked for, while it is kept alive."""

    mosquitto: Mosquitto
    values: dict[str, Any] = field(default_factory=lambda: {"Soc": 62.0, "Power": -512.0})
    portal: str = "c0619ab12345"
    asked: list[str] = field(default_factory=list)
    mute: bool = False
    instead: bytes | None = None

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[FakeGx]:
        async with aiomqtt.Client(self.mosquitto.host, self.mosquitto.port) as client:
            await client.subscribe(f"R/{self.portal}/#")
            serial = json.dumps({"value": self.portal})
            await client.publish(f"N/{self.portal}/system/0/Serial", serial, retain=True)
            async with running(self._answer(client)):
                yield self

    async def _answer(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            self.asked.append(message.topic.value)
            path = message.topic.value.partition("/system/0/")[2]
            key = path.removeprefix("Dc/Battery/")
            if key in self.values and not self.mute:
                payload = self.instead or json.dumps({"value": self.values[key]}).encode()
                await client.publish(f"N/{self.portal}/system/0/{path}", payload)


class TestVictron:
    """A GX device, over its MQTT and over Modbus."""

    async def test_charge_and_power_over_mqtt(self, mosquitto: Mosquitto, listen: Listen) -> None:
        keys = {"type": "victron", "mqtt": at(mosquitto), "interval_s": 0.5}
        async with FakeGx(mosquitto).serve() as gx, listen(**keys) as heard:
            await heard.state(62.0, -512.0)
            gx.values |= {"Soc": 63, "Power": 1500}
            await heard.state(63.0, 1500.0)
            assert f"R/{gx.portal}/keepalive" in gx.asked

    async def test_a_value_that_stands_still_is_one_of_now(self, mosquitto: Mosquitto, listen: Listen) -> None:
        keys = {"type": "victron", "mqtt": at(mosquitto), "interval_s": 0.5}
        async with FakeGx(mosquitto).serve(), listen(**keys) as heard:
            await heard.state(62.0, -512.0)
            await until(lambda: len({state.at_s for state in heard.states}) >= 3)

    async def test_no_battery_and_no_device_are_told(self, mosquitto: Mosquitto, listen: Listen) -> None:
        keys = {"type": "victron", "mqtt": at(mosquitto), "interval_s": 0.5}
        async with listen(**keys) as heard:
            await heard.error("no GX device is heard at this broker")
            async with FakeGx(mosquitto, {"Soc": None, "Power": None}).serve():
                await heard.error("tells of no battery: look whether a battery monitor is chosen there")
                async with FakeGx(mosquitto, portal="another").serve():
                    await heard.error("say which one in battery.portal_id")

    async def test_junk_is_a_fault(self, mosquitto: Mosquitto, listen: Listen) -> None:
        keys = {"type": "victron", "mqtt": at(mosquitto), "interval_s": 0.5}
        async with FakeGx(mosquitto).serve() as gx, listen(**keys) as heard:
            await heard.state(62.0, -512.0)
            gx.instead = b'{"value": "n/a"}'
            await heard.error("is 'n/a'")
            gx.instead = None
            before = len(heard.states)
            await until(lambda: len(heard.states) > before)

    async def test_charge_and_power_over_modbus(self, listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(victron, "UNIT", 1)  # that of the device on the table
        async with bus() as place:
            place.device.put(840, [512, 0xFFF6, 0x10000 - 512, 62])
            async with listen(type="victron", transport="modbus", host=place.host, interval_s=0.5) as heard:
                await heard.state(62.0, -512.0)
                place.device.put(840, [512, 30, 1500, 63])
                await heard.state(63.0, 1500.0)
                place.device.put(840, [0, 0, 0, 0])
                await heard.error("shows a battery of 0 V")

    @pytest.mark.parametrize("raw", [[], [1, 2, 3], [512, 0, 0, 700], [512, 0, 70_000, 50]])
    def test_registers_that_are_none(self, raw: list[int]) -> None:
        with pytest.raises(DeviceDataError):
            registers(raw)

    @given(st.binary(max_size=40), st.sampled_from(["soc", "power"]))
    def test_whatever_comes_is_read_or_refused(self, payload: bytes, key: str) -> None:
        for document in (payload, b'{"value": ' + payload + b"}"):
            try:
                value = parser(key)(document)
            except DeviceDataError:
                continue
            assert value is None or isinstance(value, float)

    @pytest.mark.parametrize(
        "keys", [{}, {"transport": "modbus"}, {"transport": "modbus", "host": "h", "portal_id": "a"}]
    )
    def test_sections_that_name_no_device(self, keys: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            section(type="victron", **keys)


def live(**changes: Any) -> dict[str, Any]:
    """The live data of a gateway: it charges with 6774 W."""
    meters = {
        "last_update": 1_726_696_114,
        "soc": 86,
        "enc_agg_soc": 86,
        "enc_agg_energy": 8600,
        "acb_agg_soc": 0,
        "acb_agg_energy": 0,
        "pv": {"agg_p_mw": 7_000_000},
        "storage": {"agg_p_mw": -6_774_000, "agg_s_mva": -6_812_225},
        **changes,
    }
    return {"connection": {"mqtt_state": "connected", "sc_stream": "disabled"}, "meters": meters}


class LiveGateway:
    """A gateway whose live data advance only while its stream is on."""

    def __init__(self) -> None:
        self.document = live()
        self.fake = FakeGateway("8", handlers={enphase.STATUS: self._status, f"POST {enphase.STREAM}": self._stream})

    def _status(self, _request: web.Request) -> Any:
        if self.document["connection"]["sc_stream"] == "enabled":
            self.document["meters"]["last_update"] += 1
        return self.document

    async def _stream(self, request: web.Request) -> Any:
        assert await request.json() == {"enable": 1}
        self.document["connection"]["sc_stream"] = "enabled"
        return self.document["connection"]


class TestEnphase:
    """IQ batteries behind a gateway."""

    async def test_charge_and_power_once_the_live_stream_is_on(self, listen: Listen) -> None:
        gateway = LiveGateway()
        async with gateway.fake.serve() as fake:
            keys = {"type": "enphase", "host": fake.host, "token": fake.valid, "interval_s": 1}
            async with listen(**keys) as heard:
                await heard.state(86.0, 6774.0)
                gateway.document["meters"]["storage"]["agg_p_mw"] = 2_500_000
                state = await heard.state(86.0, -2500.0)
                assert state.name == f"batteries of enphase at {fake.host}"

    async def test_data_that_do_not_advance_are_old(self, listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("app.meters.freshness.PATIENCE_S", 1.0)
        monkeypatch.setattr("app.meters.freshness.LONGEST_STEP_S", 0.3)
        fake = FakeGateway("8", handlers={enphase.STATUS: lambda _request: live()})
        async with fake.serve(), listen(type="enphase", host=fake.host, token=fake.valid, interval_s=1) as heard:
            assert isinstance(await heard.error("the time stamp of the value has not advanced"), DeviceDataError)
            assert heard.states == []

    async def test_a_refused_login(self, listen: Listen) -> None:
        fake = FakeGateway("8", handlers={enphase.STATUS: lambda _request: live()})
        async with fake.serve(), listen(type="enphase", host=fake.host, token=fake.valid + "x") as heard:
            fake.fault = "403"
            assert isinstance(await heard.error("refuses"), DeviceAuthError)

    @pytest.mark.parametrize(
        "document",
        [
            None,
            [],
            {},
            {"meters": None},
            {"meters": {"soc": 5}},
            live(storage=None),
            live(storage={"agg_p_mw": "x"}),
            live(storage={"agg_p_mw": None}),
            live(storage={"agg_p_mw": 1e15}),
            live(soc="full"),
            live(soc=400),
            live(last_update=None),
            live(last_update=-1),
            live(soc=0, enc_agg_energy=0, storage={"agg_p_mw": 0}),
        ],
    )
    def test_documents_that_are_no_live_data(self, document: Any) -> None:
        with pytest.raises(DeviceDataError):
            enphase.parse(document)


class FakeStore(WebFake):
    """Answers with a document."""

    document: Any = None

    def routes(self, router: web.UrlDispatcher) -> None:
        router.add_get("/battery", self._battery)

    async def _battery(self, _request: web.Request) -> web.Response:
        return web.json_response(self.document)


class TestHttpJson:
    """Anything that answers JSON."""

    @asynccontextmanager
    async def followed(self, listen: Listen, host: str, **keys: Any) -> AsyncIterator[Any]:
        keys = {"soc_path": "$.b[0].soc", "power_path": "$.b[0].p", "interval_s": 0.5, "timeout_s": 0.5, **keys}
        async with listen(type="http_json", url=f"http://{host}/battery", **keys) as heard:
            yield heard

    async def test_charge_and_power(self, listen: Listen) -> None:
        store = FakeStore()
        store.document = {"b": [{"soc": "61,5 %", "p": "1.2 kW"}]}
        async with store.serve(), self.followed(listen, store.host, bearer_token="t0ken-t0ken") as heard:
            await heard.state(61.5, 1200.0)
            assert store.headers[-1]["Authorization"] == "Bearer t0ken-t0ken"
            store.document = {"b": [{"soc": "t0ken-t0ken", "p": 1}]}
            error = await heard.error("not a state of charge")
            assert "t0ken" not in str(error)
            store.document = {"b": []}
            await heard.error("no values at $.b[0].")

    @pytest.mark.parametrize("name", NONSENSE)
    async def test_a_hostile_server_is_a_fault(self, listen: Listen, name: str) -> None:
        async with hostile(NONSENSE[name]) as server, self.followed(listen, server.host) as heard:
            await until(lambda: heard.errors != [])
            assert heard.states == []
            assert all(20 < len(str(error)) < 400 for error in heard.errors)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("sp"), inner, max_size=2),
        max_leaves=8,
    )
)
def test_whatever_stands_there_is_a_value_or_a_refusal(document: Any) -> None:
    for path in (None, "$.s", "$..p"):
        with suppress(DeviceDataError):
            assert 0.0 <= soc_pct(document, path, 1.0) <= 100.0
        with suppress(DeviceDataError):
            assert abs(power_w(document, path, "W")) <= MAX_POWER_W
