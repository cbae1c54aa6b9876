"""Who may say and hear what at the stack's broker: asked of a real Mosquitto, by what arrives and what does not."""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiomqtt
import pytest

from tests.conftest import free_port
from tests.stack.compose import ROOT
from tests.stack.conftest import LOGINS, PASSWORDS, PATH, StackBroker, stack_broker, start_script

pytestmark = pytest.mark.e2e

LIMIT = "solar/116180400000/cmd/limit_nonpersistent_absolute"

DISCOVERY = "homeassistant/device/zero_export_home/config"

MAY_WRITE = [
    ("app", LIMIT),
    ("app", "zeropower/status"),
    ("app", "zeropower/state/limit"),
    ("app", "zeropower/set/enabled"),  # it clears retained commands
    ("app", "zeropower/state/heartbeat"),
    ("app", "zeropower/state/instance"),
    ("opendtu", "solar/dtu/status"),
    ("opendtu", "solar/dtu/heap/free"),
    ("opendtu", "solar/ac/power"),
    ("opendtu", "solar/dc/is_valid"),
    ("opendtu", "solar/116180400000/name"),
    ("opendtu", "solar/116180400000/status/reachable"),
    ("opendtu", "solar/116180400000/device/hwpartnumber"),
    ("opendtu", "solar/116180400000/radio/rssi"),
    ("opendtu", "solar/116180400000/0/power"),
    ("opendtu", "solar/116180400000/6/irradiation"),
    ("home", "zeropower/set/enabled"),
    ("home", "zeropower/set/target_point_w"),
    ("home", "zeropower/set/override"),
    ("home", "zeropower/set/ensemble"),
    ("home", "zeropower/price/export"),
    ("home", "homeassistant/status"),
]

MAY_NOT_WRITE = [
    ("app", "solar/116180400000/cmd/limit_persistent_absolute"),  # wears the inverter's flash
    ("app", "solar/116180400000/cmd/limit_persistent_relative"),
    ("app", "solar/116180400000/cmd/limit_nonpersistent_relative"),
    ("app", "solar/116180400000/cmd/power"),
    ("app", "solar/116180400000/cmd/restart"),
    ("app", "solar/116180400000/0/power"),
    ("app", "solar/dtu/status"),
    ("opendtu", LIMIT),
    ("opendtu", "solar/116180400000/cmd/power"),
    ("opendtu", "solar/116180400000/7/power"),
    ("opendtu", "zeropower/set/enabled"),
    ("opendtu", "zeropower/status"),
    ("home", LIMIT),
    ("home", "solar/116180400000/cmd/power"),
    ("home", "solar/dtu/status"),
    ("home", "zeropower/status"),
    ("home", "zeropower/state/limit"),
    ("home", "zeropower/state/instance"),
    ("home", "zeropower/state/heartbeat"),
    ("home", "zeropower/set/anything/else"),
    ("home", "zero-export/venus"),
    ("home", "enphase/envoy-s/meters"),
]

MAY_READ = [
    ("app", "opendtu", "solar/dtu/uptime"),
    ("app", "opendtu", "solar/116180400000/0/power"),
    ("app", "app", LIMIT),  # a second controller would be heard
    ("app", "home", "zeropower/set/enabled"),
    ("opendtu", "app", LIMIT),
    ("home", "app", "zeropower/state/grid_power"),
    ("home", "app", "zeropower/state/heartbeat"),
    ("home", "opendtu", "solar/ac/power"),
    ("home", "app", DISCOVERY),
    ("home", "app", "zero-export/venus"),
    ("home", "app", "zero-export/venus/pv"),
    ("home", "app", "enphase/envoy-s/meters"),
    ("home", "home", "homeassistant/status"),
]

MAY_NOT_READ = [
    ("opendtu", "app", "zeropower/state"),
    ("opendtu", "home", "zeropower/set/enabled"),
    ("opendtu", "opendtu", "solar/ac/power"),
    ("opendtu", "app", DISCOVERY),
    ("home", "home", DISCOVERY),  # nobody else says what there is
    ("home", "opendtu", DISCOVERY),
    ("home", "app", "homeassistant/sensor/zero_export_home/config"),
    ("home", "app", "homeassistant/status"),
    ("app", "app", DISCOVERY),
]


@asynccontextmanager
async def client(broker: StackBroker, user: str, password: str | None = None) -> AsyncIterator[aiomqtt.Client]:
    """Connected as this user."""
    async with aiomqtt.Client(
        "127.0.0.1", broker.port, username=user, password=PASSWORDS[user] if password is None else password, timeout=5
    ) as connected:
        yield connected


async def arrives(broker: StackBroker, reader: str, writer: str, topic: str) -> bool:
    """Whether ``reader``, subscribed to everything, gets what ``writer`` publishes.

    The writer waits for the broker's acknowledgement, then the reader for another one: the broker answers in order,
    so the message is there by then or never comes.
    """
    async with client(broker, reader) as hears, client(broker, writer) as says:
        await hears.subscribe("#")
        await hears.subscribe(topic)
        await says.publish(topic, "the message", qos=1)
        await hears.subscribe(topic)
        waiting = [await anext(aiter(hears.messages)) for _ in range(len(hears.messages))]
        return "the message" in {bytes(message.payload).decode() for message in waiting}


@pytest.mark.parametrize(("user", "topic"), MAY_WRITE)
async def test_what_a_user_has_to_say_arrives(broker: StackBroker, user: str, topic: str) -> None:
    assert await arrives(broker, "app", user, topic)


@pytest.mark.parametrize(("user", "topic"), MAY_NOT_WRITE)
async def test_what_a_user_has_no_business_saying_does_not_arrive(broker: StackBroker, user: str, topic: str) -> None:
    assert not await arrives(broker, "app", user, topic)


@pytest.mark.parametrize(("reader", "writer", "topic"), MAY_READ)
async def test_a_user_hears_what_it_needs(broker: StackBroker, reader: str, writer: str, topic: str) -> None:
    assert await arrives(broker, reader, writer, topic)


@pytest.mark.parametrize(("reader", "writer", "topic"), MAY_NOT_READ)
async def test_a_user_does_not_hear_the_rest(broker: StackBroker, reader: str, writer: str, topic: str) -> None:
    assert not await arrives(broker, reader, writer, topic)


@pytest.mark.parametrize(
    ("user", "password"), [("app", "wrong"), ("opendtu", "app-pw"), ("stranger", "app-pw"), ("", "")]
)
async def test_nobody_connects_without_a_password_of_their_own(broker: StackBroker, user: str, password: str) -> None:
    with pytest.raises(aiomqtt.MqttError, match=r"Not authorized|not authori[sz]ed"):
        async with client(broker, user, password):
            pass


async def fires(
    broker: StackBroker, user: str, topic: str, gateway: str = "opendtu", commands: str = "solar/+/cmd/#"
) -> bool:
    """Whether the gateway gets the last will that this user leaves with the broker."""
    will = ["--will-topic", topic, "--will-payload", "45", "--will-qos", "1"]
    login = ["-h", "127.0.0.1", "-p", str(broker.port), "-u", user, "-P", PASSWORDS[user]]
    async with client(broker, gateway) as dtu, client(broker, "app") as app:
        await dtu.subscribe(commands)
        await app.publish("zeropower/hello", "connected", qos=1, retain=True)
        controller = await asyncio.create_subprocess_exec(
            "mosquitto_sub", *login, *will, "-t", "zeropower/hello", stdout=asyncio.subprocess.PIPE
        )
        assert controller.stdout is not None
        assert await controller.stdout.readline() == b"connected\n"
        controller.kill()
        await controller.communicate()
        try:
            async with asyncio.timeout(1.5):
                message = await anext(aiter(dtu.messages))
        except TimeoutError:
            return False
        assert (message.payload, message.retain) == (b"45", False)
        return True


async def test_the_dead_mans_will_reaches_opendtu_when_the_controller_is_killed(broker: StackBroker) -> None:
    assert await fires(broker, "app", LIMIT)


@pytest.mark.parametrize(
    ("user", "topic"),
    [
        ("app", "solar/116180400000/cmd/limit_persistent_absolute"),
        ("app", "solar/116180400000/cmd/power"),
        ("home", LIMIT),
    ],
)
async def test_no_other_will_is_executed(broker: StackBroker, user: str, topic: str) -> None:
    assert not await fires(broker, user, topic)


def test_the_health_check_is_content_with_this_broker_and_with_no_other(broker: StackBroker) -> None:
    def check(port: int) -> int:
        environment = {"PATH": PATH, "MOSQUITTO_RUN_DIR": str(broker.run), "MOSQUITTO_PORT": str(port)}
        script = ["sh", str(ROOT / "mosquitto/healthcheck.sh")]
        return subprocess.run(script, env=environment, capture_output=True, check=False).returncode

    assert check(broker.port) == 0
    assert check(free_port()) != 0


def test_passwords_are_hashed_and_nobody_else_can_read_them(broker: StackBroker) -> None:
    written = (broker.run / "passwd").read_text()
    assert written.count(":$7$") == 4
    assert not any(password in written for password in PASSWORDS.values())
    assert [oct(path.stat().st_mode & 0o777) for path in (broker.run, broker.run / "passwd")] == ["0o700", "0o600"]


async def test_rules_follow_the_prefixes_of_the_configuration() -> None:
    with stack_broker(MQTT_TOPIC_PREFIX="site2/zero", OPENDTU_TOPIC_PREFIX="site2/pv/") as broker:
        limit = "site2/pv/116180400000/cmd/limit_nonpersistent_absolute"
        async with client(broker, "opendtu") as dtu, client(broker, "app") as app:
            await dtu.subscribe("site2/pv/+/cmd/#")
            await app.publish(LIMIT, "old prefix", qos=1)
            await app.publish(limit, "600", qos=1)
            async with asyncio.timeout(30):
                assert (await anext(aiter(dtu.messages))).payload == b"600"


async def test_home_assistant_may_have_another_prefix_and_still_its_usual_birth() -> None:
    with stack_broker(HOMEASSISTANT_PREFIX="ha/two") as broker:
        assert await arrives(broker, "home", "app", DISCOVERY.replace("homeassistant", "ha/two"))
        assert not await arrives(broker, "home", "app", DISCOVERY)
        for topic in ("homeassistant/status", "ha/two/status"):
            assert await arrives(broker, "app", "home", topic)


async def test_switching_off_is_allowed_only_where_it_is_asked_for() -> None:
    with stack_broker(OPENDTU_ALLOW_POWER="1") as broker:
        assert await arrives(broker, "app", "app", "solar/116180400000/cmd/power")
        assert not await arrives(broker, "app", "app", "solar/116180400000/cmd/restart")


@pytest.mark.parametrize("serials", ["116180400000,11418040001A", " 116180400000 , 11418040001a "])
async def test_the_controller_can_be_held_to_its_own_inverters(serials: str) -> None:
    with stack_broker(OPENDTU_SERIALS=serials, OPENDTU_ALLOW_POWER="1") as broker:
        for serial, own in (("116180400000", True), ("11418040001a", True), ("116180400002", False)):
            for command in ("limit_nonpersistent_absolute", "power"):
                assert await arrives(broker, "app", "app", f"solar/{serial}/cmd/{command}") is own, serial
        assert not await arrives(broker, "app", "app", "solar/116180400000/cmd/limit_persistent_absolute")
        assert await fires(broker, "app", LIMIT)
        assert not await fires(broker, "app", LIMIT.replace("116180400000", "116180400002"))


async def test_without_serials_every_inverter_behind_opendtu_may_be_commanded() -> None:
    with stack_broker(OPENDTU_SERIALS=" ") as broker:
        assert await arrives(broker, "app", "app", LIMIT.replace("116180400000", "116180400002"))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"OPENDTU_SERIALS": "+"}, "OPENDTU_SERIALS=+: serial numbers only"),
        ({"OPENDTU_SERIALS": "116180400000/#"}, "serial numbers only"),
        ({"MQTT_PASSWORD": ""}, "password of app is empty; run: make env"),
        ({"HOME_MQTT_PASSWORD": "a:b"}, "has a colon"),
        ({"OPENDTU_TOPIC_PREFIX": "#"}, "OPENDTU_TOPIC_PREFIX=# is no topic prefix"),
        ({"MQTT_TOPIC_PREFIX": "a b"}, "is no topic prefix"),
        ({"HOMEASSISTANT_PREFIX": "+"}, "HOMEASSISTANT_PREFIX=+ is no topic prefix"),
        ({"MQTT_USERNAME": "#"}, "is no user name"),
        ({"AHOYDTU_IDS": "+"}, "AHOYDTU_IDS=+: ids only"),
        ({"AHOYDTU_TOPIC_PREFIX": "#"}, "AHOYDTU_TOPIC_PREFIX=# is no topic prefix"),
        ({"AHOYDTU_MQTT_PASSWORD": "a b"}, "has a colon, a space"),
        ({"MQTT_USERNAME": "opendtu"}, "two users are called opendtu"),
    ],
)
def test_a_setting_that_would_open_or_break_the_rules_stops_the_start(settings: dict[str, str], words: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        process = start_script(Path(folder), free_port(), LOGINS | settings)
        assert words in process.communicate(timeout=10)[1]
        assert process.returncode == 1


# -- AhoyDTU -------------------------------------------------------------------------------------------

AHOY = {"AHOYDTU_MQTT_PASSWORD": PASSWORDS["ahoydtu"]}
AHOY_LIMIT = "inverter/ctrl/limit/0"
AHOY_SAYS = [
    *("mqtt", "uptime", "free_heap", "status", "comm_disabled", "total/P_AC", "total", "Roof south/available"),
    *("Roof south/last_success", "Roof south/ack_pwr_limit", "Roof south/ch0", "Roof south/ch0/P_AC"),
    *("Roof south/ch0/active_PowerLimit", "Roof south/active_PowerLimit", "Roof south/ch6/U_DC"),
    *("Roof south/radio_stat", "Roof south/hardware", "Roof south/alarm/1"),
]


async def test_ahoydtu_says_all_that_it_has_to_say_and_gets_limits_alone() -> None:
    with stack_broker(**AHOY) as broker:
        for topic in AHOY_SAYS:
            assert await arrives(broker, "app", "ahoydtu", f"inverter/{topic}"), topic
        assert await arrives(broker, "home", "ahoydtu", "inverter/Roof south/ch0/P_AC")
        assert await arrives(broker, "ahoydtu", "app", AHOY_LIMIT)
        for user, topic in (
            ("app", "inverter/ctrl/power/0"),
            ("app", "inverter/ctrl/restart/0"),
            ("app", "inverter/ctrl/restart_ahoy"),
            ("app", "inverter/setup/set_time"),
            ("app", "inverter/Roof south/ch0/P_AC"),
            ("home", AHOY_LIMIT),
            ("opendtu", AHOY_LIMIT),
            ("ahoydtu", AHOY_LIMIT),
            ("ahoydtu", LIMIT),
            ("ahoydtu", "zeropower/set/enabled"),
        ):
            assert not await arrives(broker, "app", user, topic), (user, topic)
        assert not await arrives(broker, "ahoydtu", "app", LIMIT)
        assert await fires(broker, "app", AHOY_LIMIT, "ahoydtu", "inverter/ctrl/#")


async def test_ahoydtu_can_have_another_topic_ids_and_switching_off() -> None:
    settings = {"AHOYDTU_TOPIC_PREFIX": "barn/dtu/", "AHOYDTU_IDS": "0, 3", "AHOYDTU_ALLOW_POWER": "1"}
    with stack_broker(**AHOY, **settings) as broker:
        for number, own in ((0, True), (3, True), (1, False)):
            for command in ("limit", "power"):
                assert await arrives(broker, "ahoydtu", "app", f"barn/dtu/ctrl/{command}/{number}") is own
        assert not await arrives(broker, "ahoydtu", "app", "barn/dtu/ctrl/restart/0")
        assert not await arrives(broker, "app", "app", AHOY_LIMIT)


async def test_without_a_password_for_it_there_is_no_ahoydtu(broker: StackBroker) -> None:
    assert not await arrives(broker, "app", "app", AHOY_LIMIT)
    with pytest.raises(aiomqtt.MqttError, match=r"[Nn]ot authori[sz]ed"):
        async with client(broker, "ahoydtu"):
            pass
