"""`doctor inverter --step-test`: asks the controller that is running for it, or else does it itself."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import aiohttp

from app import inverters
from app.access import Access
from app.api.status import step_test
from app.broker import Address, Broker
from app.brokers import Brokers
from app.checks import Check, running, until
from app.config import Config
from app.control.commissioning import usable_dead_time_s
from app.control.settings import ControlSettings
from app.control.steptest import StepTest
from app.fleet import Fleet
from app.learned import LearnedStore
from app.meters import build
from app.meters.slot import MeterSlot
from app.model import InverterState, Progress, Settings, Snapshot, StepTestReport, StepTestRequest
from app.outbound import new_session

NAME = "step test"
BROKER_WAIT_S = 6.0
HTTP_WAIT_S = 3.0
POLL_S = 0.5
LOST_S = 15.0  # without an answer of the controller
Say = Callable[[str], None]


async def step_tests(config: Config, serials: Sequence[str], say: Say) -> list[Check]:
    """Test these inverters, one after the other; ``say`` gets a line for everything that happens."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    if config.control.dry_run:
        return [Check(NAME, "fail", "control.dry_run is on: nothing is commanded", "Set it to false for the test.")]
    url = await _controller(config)
    if url is not None:
        say(f"a controller is running: it does the test ({url})")
        return await _beside(config, url, serials, say)
    if await _online(config):
        text = "a controller is connected to the broker, and its page does not answer here"
        return [Check(NAME, "fail", text, "Run this where the controller runs, or check http.public_url.")]
    return await _alone(config, serials, say)


# -- beside a controller -----------------------------------------------------------------------------


async def _controller(config: Config) -> str | None:
    """Where the page of this site's controller answers; None where it does not."""
    http = config.http
    host = "" if http.host in ("0.0.0.0", "::", "") else f"http://{http.host}:{http.port}"  # noqa: S104 - no address
    looking = {"Authorization": f"Bearer {http.read_token}"} if http.read_token else {}
    async with aiohttp.ClientSession(headers=looking, timeout=aiohttp.ClientTimeout(total=HTTP_WAIT_S)) as session:
        for url in (f"http://127.0.0.1:{http.port}", host, http.public_url.rstrip("/")):
            status = await _get(session, f"{url}/api/status") if url else None
            if status is not None and status.get("site") == config.site and "inverters" in status:
                return url
    return None


async def _get(session: aiohttp.ClientSession, url: str) -> dict[str, Any] | None:
    """The JSON object there, None where there is none."""
    with suppress(aiohttp.ClientError, TimeoutError, ValueError):
        async with session.get(url, allow_redirects=False) as response:
            data = json.loads(await response.text()) if response.status == 200 else None
            return data if isinstance(data, dict) else None
    return None


async def _beside(config: Config, url: str, serials: Sequence[str], say: Say) -> list[Check]:
    token = {"Authorization": f"Bearer {config.http.token}"} if config.http.token else {}
    timeout = aiohttp.ClientTimeout(total=HTTP_WAIT_S)
    async with aiohttp.ClientSession(headers=token, timeout=timeout) as session:
        return [await _ask(session, f"{url}/api/step-test", serial, say) for serial in serials]


async def _ask(session: aiohttp.ClientSession, url: str, serial: str, say: Say) -> Check:
    """One test by the controller, watched until it is over."""
    try:
        async with session.post(url, json={"serial": serial}) as response:
            answer = json.loads(await response.text())
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        return Check(NAME, "fail", f"{serial}: the controller does not answer: {error}", "See its log.")
    if "step_test" not in answer:
        return Check(NAME, "fail", f"{serial}: {answer.get('error', 'the controller refuses')}", "Try again later.")
    number, over = answer["step_test"]["number"], False
    try:
        check = await _follow(session, url, number, serial, say)
        over = True
        return check
    finally:
        if not over:
            say(f"{serial}: calling the test off; the controller regulates again")
            with suppress(aiohttp.ClientError, TimeoutError):
                await session.delete(url)


async def _follow(session: aiohttp.ClientSession, url: str, number: int, serial: str, say: Say) -> Check:
    said, heard_s = "", time.monotonic()
    while time.monotonic() - heard_s < LOST_S:
        test = (await _get(session, url) or {}).get("step_test")
        if test is not None and test["number"] != number:
            return Check(NAME, "fail", f"{serial}: somebody else started another test", "Try again later.")
        if test is not None:
            heard_s = time.monotonic()
            if test["state"] != Progress.RUNNING:
                return _check(test)
            if test["text"] != said:
                said = test["text"]
                say(f"{test['name']}: {said}")
        await asyncio.sleep(POLL_S)
    return Check(NAME, "fail", f"{serial}: the controller does not answer any more", "See its log.")


def _check(test: dict[str, Any]) -> Check:
    """What doctor says of a test that is over."""
    found = dict(test["result"] or {})
    name = test["serial"] if test["name"] == test["serial"] else f"{test['name']} ({test['serial']})"
    values = (("serial", test["serial"]), *found.items())
    return Check(NAME, found.pop("verdict", "fail"), f"{name}: {test['text']}", test["next_step"], values)


# -- alone -------------------------------------------------------------------------------------------


async def _online(config: Config) -> bool:
    """Whether the broker knows of a controller that is connected."""
    found: list[bytes] = []
    broker = Broker(Address.of(config.mqtt), f"zero-export-{config.site}-look")
    broker.subscribe(f"{config.mqtt.topic_prefix}/status", lambda message: found.append(message.payload))
    async with running(broker.run()):
        await until(lambda: broker.connected or broker.fault is not None, BROKER_WAIT_S)
        await until(lambda: bool(found) or not broker.connected, 1.0)
    return found[-1:] == [b"online"]


async def _alone(config: Config, serials: Sequence[str], say: Say) -> list[Check]:
    store = LearnedStore(config.data_dir / "learned.json")
    async with new_session() as session:
        bench = Bench(config, session)
        async with running(*bench.works):
            await until(lambda: bench.fleet.connected or bench.fleet.broker_fault is not None, BROKER_WAIT_S)
            checks = []
            for number, serial in enumerate(serials, 1):
                report = await bench.test(StepTestRequest(serial, number), say)
                dead_time_s = usable_dead_time_s(report.result) if report.result is not None else None
                if report.result is not None and dead_time_s is not None:
                    store.measured(serial, dead_time_s, len(report.result.steps))
                checks.append(_check(step_test(report) or {}))
    await store.close({})
    return checks


class Bench:
    """Meter, brokers and inverters, with a step test in the place of the controller."""

    def __init__(self, config: Config, session: aiohttp.ClientSession) -> None:
        name = f"zero-export-{config.site}-steptest"
        own = Broker(Address.of(config.mqtt), name)
        brokers = Brokers(own, config.mqtt, name)
        access = Access(session, brokers.at, config.data_dir, publishes_grid=config.publishes_grid)
        self.meter = MeterSlot([build(item, access) for item in config.meter])
        drivers = inverters.build(config.inverters, config.opendtu, access)
        self.fleet = Fleet(drivers, [item.id for item in config.inverters], config.site)
        self.works = [self.meter.run(), self.fleet.run(), *(broker.run() for broker in (own, *brokers.others))]
        self._window_s = ControlSettings().meter_window_s

    async def test(self, request: StepTestRequest, say: Say) -> StepTestReport:
        """Test one inverter; whatever happens, its limit is put back where it was."""
        test, said = StepTest(request, window_s=self._window_s), ""
        back_w: float | None = None
        try:
            while test.running:
                await self._reading()
                command = test.step(self._freeze())
                if command is not None:
                    # where no limit was known, the first one is what it gave
                    back_w = (self._state(request.serial).acked_w or command.limit_w) if back_w is None else back_w
                    await self.fleet.driver(command.serial).set_limit(command.serial, command.limit_w)
                if test.running and test.report.text != said:
                    said = test.report.text
                    say(f"{test.report.name}: {said}")
        finally:
            if back_w is not None:
                await self._put_back(request.serial, back_w, say)
        return test.report

    async def _reading(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await self.meter.arrived.wait()
        self.meter.arrived.clear()

    def _freeze(self) -> Snapshot:
        return Snapshot(
            now_s=time.monotonic(),
            utc_s=time.time(),
            meter=self.meter.state,
            inverters=self.fleet.states(),
            settings=Settings(),
            broker_connected=self.fleet.connected,
            broker_fault=self.fleet.broker_fault,
        )

    def _state(self, serial: str) -> InverterState:
        return next(state for state in self.fleet.states() if state.serial == serial)

    async def _put_back(self, serial: str, limit_w: float, say: Say) -> None:
        state = self._state(serial)
        if state.commanded_w is not None and abs(state.commanded_w - min(limit_w, state.max_w)) < 0.1:
            say(f"{state.name}: its limit stays at {state.commanded_w:.0f} W")
        elif await self.fleet.driver(serial).set_limit(serial, limit_w):
            say(f"{state.name}: its limit is back at {limit_w:.0f} W")
        else:
            say(f"{state.name}: its limit could not be put back to {limit_w:.0f} W: set it there by hand")
