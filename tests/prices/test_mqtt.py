"""Prices on a topic of a real Mosquitto: live and retained, withdrawn, replaced, and over a restart of the broker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiomqtt
import pytest
from pydantic import ValidationError

from app.broker import Address, Broker, Message
from app.model import DeviceDataError, DeviceUnavailable
from app.prices import mqtt as module
from app.prices.feed import PriceFeed
from app.prices.mqtt import MqttPrice, MqttPriceConfig
from tests.conftest import Mosquitto, until

TOPIC = "zeropower/price/now"
NOW_S = 1_800_000_000.0  # 2027-01-15 08:00:00 UTC


def config(**keys: Any) -> MqttPriceConfig:
    return MqttPriceConfig.model_validate({"type": "mqtt", "topic": TOPIC, "currency": "EUR"} | keys)


class Listener:
    """Our side, with a clock that the test moves."""

    def __init__(self, port: int, **keys: Any) -> None:
        self.port, self.utc_s = port, NOW_S
        self.broker = Broker(Address("127.0.0.1", port), "prices")
        self.source = MqttPrice(config(**keys), self.broker, utc=lambda: self.utc_s)
        self.feed = PriceFeed(self.source, 45.0, utc=lambda: self.utc_s, monotonic=lambda: self.utc_s)

    async def publish(self, payload: str, *, retain: bool = False) -> None:
        async with aiomqtt.Client("127.0.0.1", self.port) as client:
            await client.publish(TOPIC, payload, qos=1, retain=retain)

    async def hears(self, payload: str, *, retain: bool = False) -> tuple[float | None, bool]:
        """Publish, wait until it is taken in, and say what the price is now, and whether that is an estimate."""
        fetching = asyncio.create_task(self.feed.update())
        await self.publish(payload, retain=retain)
        await asyncio.wait_for(fetching, 30)
        return self.now()

    def now(self) -> tuple[float | None, bool]:
        state = self.feed.state()
        return state.export_value_c, state.estimated


@asynccontextmanager
async def listening(mosquitto: Mosquitto, **keys: Any) -> AsyncIterator[Listener]:
    place = Listener(mosquitto.port, **keys)
    running = asyncio.create_task(place.broker.run())
    try:
        await until(lambda: place.broker.connected)
        yield place
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_a_plain_number_is_the_price_for_an_hour(mosquitto: Mosquitto) -> None:
    async with listening(mosquitto) as place:
        assert await place.hears("-2.5") == (-2.5, False)
        assert place.feed.state().valid_until_utc_s == NOW_S + 3600.0
        place.utc_s += 3601.0
        assert place.now() == (-2.5, True)
        place.utc_s += 45.0
        assert place.now() == (None, True)


async def test_json_is_read_as_from_a_url(mosquitto: Mosquitto) -> None:
    keys = {"export_value": "$.sell", "import_price": "$.buy", "factor": 100, "valid_s": 60}
    async with listening(mosquitto, **keys) as place:
        assert await place.hears(json.dumps({"sell": 0.125, "buy": 0.25})) == (12.5, False)
        state = place.feed.state()
        assert (state.import_price_c, state.valid_until_utc_s) == (25.0, NOW_S + 60.0)


async def test_of_two_messages_the_newest_wins(mosquitto: Mosquitto) -> None:
    async with listening(mosquitto) as place:
        await place.publish("8")
        await place.publish("-1")
        await until(lambda: place.source._newest is not None and place.source._newest[0].payload == b"-1")
        await place.feed.update()
        assert place.now() == (-1.0, False)
        waiting = asyncio.create_task(place.feed.update())
        await asyncio.sleep(0.1)
        assert not waiting.done(), "each message is taken in once"
        waiting.cancel()


async def test_a_retained_copy_of_unknown_age_is_an_estimate(mosquitto: Mosquitto) -> None:
    async with listening(mosquitto) as place:
        await place.publish("8", retain=True)
    async with listening(mosquitto) as place:
        await asyncio.wait_for(place.feed.update(), 30)
        assert place.now() == (8.0, True)
        assert await place.hears("8", retain=True) == (8.0, False), "what is published now is live"


async def test_a_retained_copy_that_tells_its_times_is_believed(mosquitto: Mosquitto) -> None:
    document = json.dumps({"sell": 8, "until": NOW_S + 600.0})
    keys = {"export_value": "$.sell", "valid_until": "$.until"}
    async with listening(mosquitto) as place:
        await place.publish(document, retain=True)
    async with listening(mosquitto, **keys) as place:
        await asyncio.wait_for(place.feed.update(), 30)
        assert place.now() == (8.0, False)
        assert place.feed.state().valid_until_utc_s == NOW_S + 600.0
    async with listening(mosquitto, **keys) as place:
        place.utc_s += 601.0
        await asyncio.wait_for(place.feed.update(), 30)
        assert place.now() == (None, True)
        assert "its price ended at 2027-01-15 08:10 UTC" in str(place.feed.state().fault)


async def test_a_retained_list_is_believed_slot_by_slot(mosquitto: Mosquitto) -> None:
    keys = {"slots": "$[*]", "start": "$.at", "export_value": "$.sell", "estimated": "$.guess"}
    entries = [
        {"at": NOW_S - 900, "sell": 8, "guess": False},
        {"at": NOW_S + 900, "sell": -2, "guess": True},
        {"at": NOW_S + 1800, "sell": None, "guess": True},
    ]
    async with listening(mosquitto) as place:
        await place.publish(json.dumps(entries), retain=True)
    async with listening(mosquitto, **keys) as place:
        await asyncio.wait_for(place.feed.update(), 30)
        assert place.now() == (8.0, False)
        place.utc_s += 900.0
        assert place.now() == (-2.0, True)


async def test_an_empty_message_withdraws_the_price(mosquitto: Mosquitto) -> None:
    async with listening(mosquitto) as place:
        assert await place.hears("8", retain=True) == (8.0, False)
        assert await place.hears("", retain=True) == (None, True)
        assert place.feed.state().fault == f"mqtt topic {TOPIC}: the price was withdrawn by an empty message"
        assert await place.hears("9") == (9.0, False)
        assert place.feed.state().fault is None


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ("12,5", "'12,5' is neither a number nor JSON"),
        ('"12.5"', "$ is '12.5', a text: send a number without quotes"),
        ("12.5 c", "neither a number nor JSON"),
        ("unavailable", "'unavailable' is neither a number nor JSON"),
        ("NaN", "$ is nan, no price"),
        ("1e999", "$ is inf, no price"),
        ("null", "$ is None, no price"),
        ("true", "$ is True, no price"),
        ("[]", "$ is a list of 0, no price"),
        ('{"sell": 8}', "$ is a group of 1, no price"),
        ("[" * 50_000, "neither a number nor JSON"),
        ("1" * 70_000, "more than 65536 bytes is not read"),
        ("9" * 6000, "neither a number nor JSON"),
        ("9" * 400, "no price"),
    ],
)
async def test_nonsense_is_named_and_the_last_price_stays(mosquitto: Mosquitto, payload: str, text: str) -> None:
    async with listening(mosquitto) as place:
        assert await place.hears("-3") == (-3.0, False)
        place.utc_s += 10.0
        assert await place.hears(payload) == (-3.0, False)
        fault = str(place.feed.state().fault)
        assert fault.startswith(f"mqtt topic {TOPIC}: ")
        assert text in fault
        assert len(fault) < 200


async def test_after_nonsense_it_listens_on_at_once(mosquitto: Mosquitto) -> None:
    """A home automation that starts says "unavailable" a few times; the price that follows may cost."""
    async with listening(mosquitto, valid_s=86_400) as place:
        assert await place.hears("10") == (10.0, False)
        for _ in range(5):
            fetching = asyncio.create_task(place.feed.update())
            await place.publish("unavailable")
            assert await asyncio.wait_for(fetching, 30) < 1.0
        assert await place.hears("-20") == (-20.0, False)


async def test_bytes_that_are_no_text_are_named(mosquitto: Mosquitto) -> None:
    async with listening(mosquitto) as place:
        place.source._take(Message(TOPIC, b"\xff\xfe\x00", retain=False))
        with pytest.raises(DeviceUnavailable, match="neither a number nor JSON"):
            await place.source.fetch()


async def test_a_restart_of_the_broker_is_survived(mosquitto: Mosquitto) -> None:
    async with listening(mosquitto) as place:
        assert await place.hears("8") == (8.0, False)
        await mosquitto.stop()
        await until(lambda: not place.broker.connected)
        assert place.now() == (8.0, False)
        await mosquitto.start()
        await until(lambda: place.broker.connected)
        place.utc_s += 60.0
        assert await place.hears("-4") == (-4.0, False)


async def test_the_copy_of_what_was_heard_live_makes_no_estimate_of_it(mosquitto: Mosquitto) -> None:
    """The broker sends it again to whoever comes back; another one is news."""
    async with listening(mosquitto) as place:
        assert await place.hears("8", retain=True) == (8.0, False)
        fetching = asyncio.create_task(place.feed.update())
        await place.broker.replay(TOPIC)
        await asyncio.sleep(0.3)
        assert (fetching.done(), place.now()) == (False, (8.0, False))
        place.utc_s += 60.0
        place.source._take(Message(TOPIC, b"-4", retain=True))
        await asyncio.wait_for(fetching, 30)
        assert place.now() == (-4.0, True), "it is newer than what was heard, however old"


async def test_a_topic_on_which_nothing_arrives_is_told_once(
    mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FIRST_S", 0.1)
    async with listening(mosquitto) as place:
        with pytest.raises(DeviceUnavailable, match="nothing has arrived yet: check price.topic"):
            await place.source.fetch()
        assert await place.hears("8") == (8.0, False)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(place.source.fetch(), 0.3)


async def test_withdrawn_is_no_outage(mosquitto: Mosquitto) -> None:
    async with listening(mosquitto) as place:
        place.source._take(Message(TOPIC, b" ", retain=False))
        with pytest.raises(DeviceDataError):
            await place.source.fetch()


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"topic": "price/#"}, "no spaces, no + or #"),
        ({"topic": ""}, "is not an MQTT topic"),
        ({"currency": ""}, "currency"),
        ({"valid_s": 0}, "valid_s"),
        ({"url": "http://10.0.0.9/"}, "url"),
    ],
)
def test_what_cannot_work_is_refused(keys: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError) as refused:
        config(**keys)
    assert text in str(refused.value)
