"""Who may say and hear what at the stack's broker: asked of a real Mosquitto, by what arrives and what does not."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
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

MAY_WRITE = [
    ("app", LIMIT),
    ("app", "zeropower/status"),
    ("app", "zeropower/state/limit"),
    ("app", "zeropower/set/enabled"),  # it clears retained commands
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
    ("meter", "tele/meter/SENSOR"),
]

MAY_NOT_WRITE = [
    ("app", "solar/116180400000/cmd/limit_persistent_absolute"),  # wears the inverter's flash
    ("app", "solar/116180400000/cmd/limit_persistent_relative"),
    ("app", "solar/116180400000/cmd/limit_nonpersistent_relative"),
    ("app", "solar/116180400000/cmd/power"),
    ("app", "solar/116180400000/cmd/restart"),
    ("app", "solar/116180400000/0/power"),
    ("app", "solar/dtu/status"),
    ("app", "tele/meter/SENSOR"),
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
    ("meter", "zeropower/set/enabled"),
    ("meter", LIMIT),
    ("meter", "solar/116180400000/0/power"),
]

MAY_READ = [
    ("app", "opendtu", "solar/dtu/uptime"),
    ("app", "opendtu", "solar/116180400000/0/power"),
    ("app", "app", LIMIT),  # a second controller would be heard
    ("app", "home", "zeropower/set/enabled"),
    ("app", "meter", "tele/meter/SENSOR"),
    ("opendtu", "app", LIMIT),
    ("home", "app", "zeropower/state/grid_power"),
    ("home", "opendtu", "solar/ac/power"),
]

MAY_NOT_READ = [
    ("opendtu", "app", "zeropower/state"),
    ("opendtu", "home", "zeropower/set/enabled"),
    ("opendtu", "opendtu", "solar/ac/power"),
    ("meter", "app", "zeropower/state"),
    ("meter", "app", LIMIT),
    ("home", "meter", "tele/meter/SENSOR"),
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

    The writer waits for the broker's acknowledgement; a message that the reader surely may read is sent after it.
    The broker keeps the order, so when that one is there, the first one came before it or never comes.
    """
    last = LIMIT if reader == "opendtu" else "zeropower/last"
    if reader == "meter":
        pytest.skip("asked separately")
    async with client(broker, reader) as hears, client(broker, writer) as says, client(broker, "app") as app:
        for everything in ("#", topic, last):
            await hears.subscribe(everything)
        await says.publish(topic, "the message", qos=1)
        await app.publish(last, "the last one", qos=1)
        async for message in hears.messages:
            if message.payload == b"the message":
                return True
            if message.payload == b"the last one":
                return False
    raise AssertionError("the connection ended")


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


@pytest.mark.parametrize(("user", "password"), [("app", "wrong"), ("opendtu", "app-pw"), ("stranger", "app-pw"), ("", "")])
async def test_nobody_connects_without_a_password_of_their_own(broker: StackBroker, user: str, password: str) -> None:
    with pytest.raises(aiomqtt.MqttError, match=r"Not authorized|not authori[sz]ed"):
        async with client(broker, user, password):
            pass


async def test_the_dead_mans_will_reaches_opendtu_when_the_controller_is_killed(broker: StackBroker) -> None:
    if (mosquitto_sub := shutil.which("mosquitto_sub")) is None:
        pytest.skip("needs mosquitto_sub: apt install mosquitto-clients")
    arguments = ["-u", "app", "-P", PASSWORDS["app"], "--will-topic", LIMIT, "--will-payload", "45", "--will-qos", "1"]
    async with client(broker, "opendtu") as dtu:
        await dtu.subscribe("solar/+/cmd/limit_nonpersistent_absolute")
        controller = subprocess.Popen([mosquitto_sub, "-p", str(broker.port), *arguments, "-t", LIMIT, "-C", "1"])
        async with client(broker, "app") as app:
            while controller.poll() is None:  # it ends after its first message: it was connected, then it is too late
                await app.publish(LIMIT, "600", qos=1)
                break
            controller.send_signal(signal.SIGKILL)
            controller.wait()
            async for message in dtu.messages:
                if message.payload == b"45":
                    assert not message.retain
                    return


def test_the_health_check_is_content_with_this_broker_and_with_no_other(broker: StackBroker) -> None:
    def check(port: int) -> int:
        environment = {"PATH": PATH, "MOSQUITTO_RUN_DIR": str(broker.run), "MOSQUITTO_PORT": str(port)}
        return subprocess.run(["sh", ROOT / "mosquitto/healthcheck.sh"], env=environment, capture_output=True).returncode

    assert check(broker.port) == 0
    assert check(free_port()) != 0


def test_passwords_are_hashed_and_nobody_else_can_read_them(broker: StackBroker) -> None:
    written = (broker.run / "passwd").read_text()
    assert written.count(":$7$") == 5
    assert not any(password in written for password in PASSWORDS.values())
    assert [oct(os.stat(path).st_mode & 0o777) for path in (broker.run, broker.run / "passwd")] == ["0o700", "0o600"]


async def test_rules_follow_the_prefixes_of_the_configuration() -> None:
    with stack_broker(MQTT_TOPIC_PREFIX="site2/zero", OPENDTU_TOPIC_PREFIX="site2/pv/") as broker:
        limit = "site2/pv/116180400000/cmd/limit_nonpersistent_absolute"
        async with client(broker, "opendtu") as dtu, client(broker, "app") as app:
            await dtu.subscribe("site2/pv/+/cmd/#")
            await app.publish(LIMIT, "old prefix", qos=1)
            await app.publish(limit, "600", qos=1)
            assert (await anext(aiter(dtu.messages))).payload == b"600"


async def test_switching_off_is_allowed_only_where_it_is_asked_for() -> None:
    with stack_broker(OPENDTU_ALLOW_POWER="1") as broker:
        assert await arrives(broker, "app", "app", "solar/116180400000/cmd/power")
        assert not await arrives(broker, "app", "app", "solar/116180400000/cmd/restart")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"MQTT_PASSWORD": ""}, "password of app is empty; run: make env"),
        ({"HOME_MQTT_PASSWORD": "a:b"}, "has a colon"),
        ({"OPENDTU_TOPIC_PREFIX": "#"}, "OPENDTU_TOPIC_PREFIX=# is no topic prefix"),
        ({"MQTT_TOPIC_PREFIX": "a b"}, "is no topic prefix"),
        ({"MQTT_USERNAME": "#"}, "is no user name"),
        ({"MQTT_USERNAME": "opendtu"}, "two users are called opendtu"),
    ],
)
def test_a_setting_that_would_open_or_break_the_rules_stops_the_start(
    tmp_path: Path, settings: dict[str, str], words: str
) -> None:
    tmp_path.chmod(0o777)
    process = start_script(tmp_path, free_port(), LOGINS | settings)
    assert words in process.communicate(timeout=10)[1]
    assert process.returncode == 1
