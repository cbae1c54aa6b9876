"""OpenDTU over real MQTT: topics, formats, retained messages, last will and commands, on two brokers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiomqtt
import pytest

from app.simulator.devices import FakeOpenDtu
from app.simulator.house import House
from tests.conftest import Mosquitto

HM1500 = "116180400001"
HM800 = "114180400002"


class Listener:
    """Everything that arrives, and waiting for something."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client
        self.seen: list[tuple[str, str, bool]] = []

    async def collect(self) -> None:
        async for message in self.client.messages:
            assert isinstance(message.payload, bytes)
            self.seen.append((str(message.topic), message.payload.decode(), message.retain))

    async def until(self, topic: str, pattern: str = "", *, within_s: float = 5.0) -> str:
        """The next new payload of the topic that matches."""
        begin = len(self.seen)
        async with asyncio.timeout(within_s):
            while True:
                for name, payload, _ in self.seen[begin:]:
                    if name == topic and re.search(pattern, payload):
                        return payload
                await asyncio.sleep(0.02)

    def last(self) -> dict[str, str]:
        return {topic: payload for topic, payload, _ in self.seen}


@asynccontextmanager
async def listening(port: int, topics: str = "solar/#") -> AsyncIterator[Listener]:
    async with aiomqtt.Client("127.0.0.1", port) as client:
        listener = Listener(client)
        await client.subscribe(topics)
        task = asyncio.create_task(listener.collect())
        yield listener
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


FORMATS = {
    "dtu/uptime": r"\d+",
    "dtu/heap/free": r"\d+",
    "dtu/rssi": r"-\d+",
    "dtu/temperature": r"\d+\.\d\d",
    f"{HM1500}/name": "Roof south",
    f"{HM1500}/radio/tx_request": r"\d+",
    f"{HM1500}/device/hwpartnumber": "269627408",
    f"{HM1500}/device/fwbuildversion": "10020",
    f"{HM1500}/device/fwbuilddatetime": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d",
    f"{HM1500}/device/hwversion": r"\d\d\.\d\d",
    f"{HM1500}/status/reachable": "1",
    f"{HM1500}/status/producing": "1",
    f"{HM1500}/status/last_update": r"1\d{9}",
    f"{HM1500}/0/voltage": r"23\d\.\d",
    f"{HM1500}/0/current": r"\d\.\d\d",
    f"{HM1500}/0/power": r"1\d{3}\.\d",
    f"{HM1500}/0/frequency": r"(49\.9|50\.0)\d",
    f"{HM1500}/0/powerfactor": r"[01]\.\d{3}",
    f"{HM1500}/0/reactivepower": r"-\d+\.\d",
    f"{HM1500}/4/voltage": r"\d\d\.\d",
    f"{HM1500}/4/power": r"3\d\d\.\d",
    f"{HM1500}/4/yieldday": r"\d+",
    f"{HM1500}/4/yieldtotal": r"\d+\.\d{3}",
    f"{HM1500}/4/irradiation": r"\d+\.\d{3}",
    f"{HM1500}/0/efficiency": r"95\.000",
    f"{HM800}/2/power": r"3\d\d\.\d",
    "ac/power": r"\d+\.\d",
    "ac/yieldtotal": r"\d+\.\d{3}",
    "ac/yieldday": r"\d+",
    "ac/is_valid": "1",
    "dc/power": r"\d+\.\d",
    "dc/irradiation": r"\d+\.\d{3}",
    "dc/is_valid": "1",
}
ORDER = ["name", "radio/rssi", "device/hwversion", "status/reachable", "status/last_update", "0/voltage"]
ORDER += ["0/reactivepower", "1/name", "1/irradiation", "2/name", "2/irradiation", "0/powerdc", "0/efficiency"]


async def test_topics_formats_and_order(broker_port: int, quick_house: House) -> None:
    async with listening(broker_port) as listener, FakeOpenDtu(quick_house, "127.0.0.1", broker_port):
        await listener.until(f"solar/{HM800}/device/hwversion")
        await listener.until(f"solar/{HM800}/0/efficiency")
    last = listener.last()
    for topic, pattern in FORMATS.items():
        assert re.fullmatch(pattern, last[f"solar/{topic}"]), (topic, last[f"solar/{topic}"])
    backwards = [topic.removeprefix(f"solar/{HM800}/") for topic, _, _ in reversed(listener.seen)]
    end = backwards.index("0/efficiency")
    burst = backwards[end : backwards.index("name", end) + 1][::-1]
    assert [name for name in burst if name in ORDER] == ORDER
    assert f"solar/{HM800}/3/power" not in last
    assert f"solar/{HM1500}/status/limit_relative" not in last, "unknown until a limit was acknowledged or read"
    assert not any(retained for _, _, retained in listener.seen), "live messages carry no retain flag"


async def test_telemetry_is_retained_and_replayed_as_such(broker_port: int, quick_house: House) -> None:
    async with listening(broker_port) as listener, FakeOpenDtu(quick_house, "127.0.0.1", broker_port) as dtu:
        await listener.until(f"solar/{HM1500}/0/power")
        dtu.silent = True
        await asyncio.sleep(0.2)
        async with listening(broker_port) as late:
            await late.until(f"solar/{HM1500}/0/power")
            assert late.last()["solar/dtu/status"] == "online"
            assert all(retained for _, _, retained in late.seen)


async def test_a_limit_is_obeyed_echoed_and_measured(broker_port: int, quick_house: House) -> None:
    async with listening(broker_port) as listener, FakeOpenDtu(quick_house, "127.0.0.1", broker_port):
        await listener.until(f"solar/{HM1500}/device/hwpartnumber")
        await listener.client.publish(f"solar/{HM1500}/cmd/limit_nonpersistent_absolute", "333.0", qos=1)
        assert await listener.until(f"solar/{HM1500}/status/limit_relative") == "22.20"
        assert listener.last()[f"solar/{HM1500}/status/limit_absolute"] == "333.00"
        await listener.until(f"solar/{HM1500}/0/power", r"^33\d\.\d$")
    assert [(order.command, order.payload, order.retained) for order in quick_house.dtu.received] == [
        ("limit_nonpersistent_absolute", "333.0", False)
    ]


async def test_a_retained_limit_is_executed_live_and_ignored_when_replayed(
    broker_port: int, quick_house: House
) -> None:
    topic = f"solar/{HM1500}/cmd/limit_nonpersistent_absolute"
    async with listening(broker_port) as listener:
        await listener.client.publish(topic, "300", retain=True)
        async with FakeOpenDtu(quick_house, "127.0.0.1", broker_port):
            await listener.until(f"solar/{HM1500}/0/power")
            assert [order.retained for order in quick_house.dtu.received] == [True]
            assert quick_house.inverters[0].limit_w == 1500.0
            await listener.client.publish(topic, "450", retain=True)
            await listener.until(f"solar/{HM1500}/status/limit_relative")
            assert quick_house.dtu.received[-1].retained is False


async def test_the_broker_says_offline_when_the_box_loses_power(broker_port: int, quick_house: House) -> None:
    async with listening(broker_port) as listener, FakeOpenDtu(quick_house, "127.0.0.1", broker_port) as dtu:
        await listener.until(f"solar/{HM1500}/0/power")
        dtu.go_offline()
        await listener.until("solar/dtu/status", "offline", within_s=1.0)
        async with listening(broker_port, "solar/dtu/status") as late:
            assert await late.until("solar/dtu/status") == "offline"
        await dtu.come_back()
        await listener.until("solar/dtu/uptime", r"^[0-2]$")
        assert listener.last()["solar/dtu/status"] == "online"


async def test_a_reboot_flickers_and_starts_counting_again(broker_port: int, quick_house: House) -> None:
    quick_house.run(100.0)
    async with listening(broker_port) as listener, FakeOpenDtu(quick_house, "127.0.0.1", broker_port):
        await listener.until("solar/dtu/uptime", r"^\d{3}$")
        quick_house.dtu.reboot()
        await listener.until("solar/dtu/status", "offline", within_s=1.0)
        await listener.until("solar/dtu/status", "online")
        await listener.until("solar/dtu/uptime", r"^\d$")


async def test_a_clean_end_says_offline(broker_port: int, quick_house: House) -> None:
    async with listening(broker_port) as listener:
        async with FakeOpenDtu(quick_house, "127.0.0.1", broker_port):
            pass
        await asyncio.sleep(0.1)
        assert listener.last() == {"solar/dtu/status": "offline"}


async def test_a_hung_box_stays_online_and_says_nothing(broker_port: int, quick_house: House) -> None:
    async with listening(broker_port) as listener, FakeOpenDtu(quick_house, "127.0.0.1", broker_port):
        await listener.until(f"solar/{HM1500}/0/power")
        quick_house.dtu.hung = True
        await asyncio.sleep(0.15)
        heard = len(listener.seen)
        await asyncio.sleep(0.8)
        assert len(listener.seen) == heard
        assert listener.last()["solar/dtu/status"] == "online"


async def test_it_comes_back_to_a_restarted_broker(mosquitto: Mosquitto, quick_house: House) -> None:
    async with FakeOpenDtu(quick_house, "127.0.0.1", mosquitto.port) as dtu:
        await mosquitto.stop()
        async with asyncio.timeout(30):
            while dtu.connected.is_set():
                await asyncio.sleep(0.02)
        await mosquitto.start()
        async with listening(mosquitto.port) as listener:
            await listener.until(f"solar/{HM1500}/0/power")


@pytest.mark.parametrize("prefix", ["solar/", "house/dtu/"])
async def test_any_prefix(mosquitto: Mosquitto, quick_house: House, prefix: str) -> None:
    async with (
        listening(mosquitto.port, "#") as listener,
        FakeOpenDtu(quick_house, "127.0.0.1", mosquitto.port, prefix=prefix),
    ):
        await listener.client.publish(f"{prefix}{HM800}/cmd/power", "0")
        await listener.until(f"{prefix}ac/power")
    assert [order.serial for order in quick_house.dtu.received] == [HM800]
