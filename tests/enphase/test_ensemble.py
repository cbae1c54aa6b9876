"""Storage, relays and dry contacts through pyenphase, at gateways of every firmware and of every mood."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from app.access import Access
from app.checks import running
from app.enphase.config import EnphaseLogin
from app.enphase.ensemble import client as client_module
from app.enphase.ensemble.actions import parse
from app.enphase.ensemble.client import EnsembleClient
from app.enphase.ensemble.config import EnsembleConfig
from app.enphase.ensemble.desk import FILE, Desk, RefusedActionError
from app.enphase.ensemble.driver import LOST_S, Ensemble
from app.enphase.ensemble.journal import JournalFile, TooSoonError
from app.enphase.gateway import Gateway
from app.model import DeviceAuthError, DeviceDataError, DeviceError, DeviceUnavailable, Fault, Gate, Mode
from tests.conftest import until
from tests.enphase.fake import FakeGateway, token
from tests.enphase.fake_ensemble import FakeEnsemble

RESERVE = {"action": "reserve", "soc_pct": 30}
BACKUP = {"action": "storage_mode", "mode": "backup"}
NC1 = {"action": "dry_contact", "id": "NC1", "state": "closed"}


@dataclass
class Site:
    """A gateway and its client; ``later_s`` moves the clock of the journal."""

    ensemble: FakeEnsemble
    fake: FakeGateway
    access: Access
    client: EnsembleClient
    later_s: float = 0.0
    config: EnsembleConfig = field(default_factory=EnsembleConfig)

    def utc(self) -> float:
        return 1.8e9 + self.later_s

    def clock(self) -> float:
        return 1000.0 + self.later_s

    @property
    def journal(self) -> JournalFile:
        return JournalFile(self.access.data_dir / FILE)

    @property
    def desk(self) -> Desk:
        return Desk(self.client, self.journal, self.config, clock=self.clock, utc=self.utc)

    def driver(self, actions: dict[str, Any] | None = None, **options: Any) -> Ensemble:
        """Looking often; the times of the journal are those of ``later_s``."""
        config = EnsembleConfig.model_validate({"actions": actions or {}})
        self.config = config.model_copy(update={"interval_s": 0.1})
        return Ensemble(
            self.desk, self.journal, self.config, self.client.name, clock=self.clock, utc=self.utc, **options
        )

    async def perform(self, data: dict[str, Any]) -> str:
        return (await self.desk.perform(parse(data))).text

    async def faults(self) -> dict[str, Fault]:
        """What a look finds wrong."""
        _, faults = await self.desk.check(await self.desk.read())
        return {fault.key: fault for fault in faults}


Build = Callable[..., Awaitable[Site]]


@pytest.fixture
async def build(access: Access) -> AsyncIterator[Build]:
    async with AsyncExitStack() as stack:

        async def start(firmware: str = "8", *, gateway: dict[str, Any] | None = None, **what: Any) -> Site:
            ensemble = FakeEnsemble(firmware, **what)
            fake = await stack.enter_async_context(ensemble.gateway(**(gateway or {})).serve())
            keys = {"token": fake.valid} if fake.has_tokens else {"password": fake.passwords["envoy"]}
            client = EnsembleClient(Gateway.of(access, EnphaseLogin(host=fake.host, **keys)))
            stack.push_async_callback(client.close)
            return Site(ensemble, fake, access, client)

        yield start


# -- reading


@pytest.mark.parametrize("firmware", ["5", "7", "8"])
async def test_every_firmware_with_storage_is_read_whole(build: Build, firmware: str) -> None:
    site = await build(firmware, acbs=("1219",), collar=True, combiner=True, gateway={"strict": firmware == "8"})
    state = await site.client.read(7.0)
    assert (state.at_s, state.soc_pct, state.available_wh, state.capacity_wh) == (7.0, 39.0, 3030.0, 7220.0)
    iq, ac = state.batteries
    assert (iq.kind, iq.soc_pct, iq.power_w, iq.sleep) == ("iq", 61.0, 1250.0, None)
    assert (ac.kind, ac.power_w, ac.sleep, ac.sleep_min_soc_pct) == ("ac", -130.0, "awake", 25.0)
    assert state.power_w == 1250.0 - 260.0, "what the gateway tells of all AC Batteries is fresher than their reports"
    assert state.storage_mode == ("economy" if firmware == "5" else "self-consumption")
    assert state.optimised_schedules is (False if firmware == "8" else None)
    assert state.grid is not None
    assert (state.grid.admin_state, state.grid.oper_state) == ("closed", "closed")
    boiler, pump = state.dry_contacts
    assert boiler.settings is not None
    assert (boiler.id, boiler.status, boiler.settings.load_name, boiler.settings.override) == (
        "NC1",
        "open",
        "Boiler",
        True,
    )
    assert (pump.id, pump.status) == ("NC2", "closed")
    assert state.collar is not None
    assert (state.collar.mid_state, state.collar.state) == ("close", "Installed")
    assert state.combiner is not None
    assert (state.combiner.state, state.combiner.communicating) == ("ENCHG_STATE_READY", True)


async def test_a_look_is_a_handful_of_requests_and_few_sockets(build: Build) -> None:
    site = await build(acbs=("1219",), gateway={"sockets": 3})
    await site.client.read(1.0)
    before = len(site.fake.asked)
    await site.client.read(2.0)
    assert len(site.fake.asked) - before <= 9, site.fake.asked[before:]
    assert (site.fake.turned_away, site.fake.most_at_once) == (0, 1)


async def test_a_look_waits_for_its_turn(build: Build) -> None:
    """Telemetry, a meter and inverters ask the same gateway, which has four sockets for all of them."""
    site = await build(gateway={"sockets": 3, "slow_s": 0.02})
    gateway = Gateway.of(site.access, EnphaseLogin(host=site.fake.host, token=site.fake.valid))

    async def others() -> None:
        for _ in range(20):
            await gateway.get_json("/ivp/meters/readings", 3.0)

    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(others())
        group.create_task(site.client.read(1.0))
    assert (site.fake.turned_away, site.fake.most_at_once) == (0, 2)


async def test_firmware_4_and_a_house_without_storage_show_nothing(build: Build) -> None:
    old = await build("4")
    assert (await old.client.read(1.0)).batteries == ()
    plain = await build(iq=(), enpower=False)
    state = await plain.client.read(1.0)
    assert (state.batteries, state.grid, state.dry_contacts, state.soc_pct) == ((), None, (), None)
    with pytest.raises(RefusedActionError, match="there is no grid relay"):
        await plain.perform({"action": "grid", "state": "on"})


async def test_a_session_that_the_gateway_forgot_is_opened_again(build: Build) -> None:
    site = await build(gateway={"strict": True})
    await site.client.read(1.0)
    site.fake.forget_sessions()
    with pytest.raises(DeviceAuthError, match="refuses the login"):
        await site.client.read(2.0)
    assert (await site.client.read(3.0)).soc_pct == 61.0


async def test_a_token_that_was_replaced_in_its_file_is_taken(access: Access) -> None:
    ensemble = FakeEnsemble()
    async with ensemble.gateway().serve() as fake:
        path = access.data_dir / "token"
        path.write_text(fake.valid)
        client = EnsembleClient(Gateway.of(access, EnphaseLogin(host=fake.host, token_file=path)))
        await client.read(1.0)
        fake.revoked.add(fake.valid)
        path.write_text(token(serial=fake.serial))
        with pytest.raises(DeviceAuthError):
            await client.read(2.0)
        assert (await client.read(3.0)).soc_pct == 61.0
        await client.close()


async def test_another_certificate_is_not_talked_to(build: Build) -> None:
    site = await build()
    await site.client.read(1.0)
    await site.fake.stop()
    seen = len(site.fake.asked)
    async with site.fake.serve("other"):
        for _ in range(2):
            with pytest.raises(DeviceError, match="certificate|reach"):
                await site.client.read(2.0)
        assert site.fake.asked[seen:] == [], "nothing is told to whoever that is"


# -- writing


@pytest.mark.parametrize("firmware", ["5", "7", "8"])
async def test_everything_that_can_be_set_is_set(build: Build, firmware: str) -> None:
    site = await build(firmware, acbs=("1219", "1220"))
    for data in (BACKUP, RESERVE, {"action": "charge_from_grid", "on": True}):
        assert "the gateway took it" in await site.perform(data)
        site.later_s += 60.0
    storage = site.ensemble.storage
    assert (storage["mode"], storage["reserved_soc"], storage["charge_from_grid"]) == ("backup", 30.0, True)
    assert site.ensemble.tariff["seasons"][0]["id"] == "season_1", "the rest of the tariff stays as it is"
    await site.perform(NC1)
    await site.perform({"action": "acb_sleep", "serial": "1219", "min_soc_pct": 10, "max_soc_pct": 20})
    await site.perform({"action": "grid", "state": "off", "confirm": "ISLAND"})
    assert (site.ensemble.statuses["NC1"], site.ensemble.asleep, site.ensemble.mains) == (
        "closed",
        {"1219": (10, 20)},
        "open",
    )
    await site.perform({"action": "grid", "state": "on"})
    site.later_s += 60.0
    await site.perform({"action": "acb_wake", "serial": "1219"})
    assert (site.ensemble.mains, site.ensemble.asleep) == ("closed", {})
    site.later_s += 3600.0
    assert await site.faults() == {}


async def test_ac_batteries_alone_are_set_at_a_gateway_without_an_ensemble(build: Build) -> None:
    site = await build("5", acbs=("1219",))
    for path in ("/ivp/ensemble/inventory", "/admin/lib/tariff"):
        site.ensemble.replaced[path] = web.Response(status=404)
    await site.perform({"action": "acb_sleep", "serial": "1219", "min_soc_pct": 10, "max_soc_pct": 20})
    assert site.ensemble.asleep == {"1219": (10, 20)}


async def test_all_settings_of_a_contact_are_sent(build: Build) -> None:
    site = await build()
    changes = {
        "load_name": "Bain-marie",
        "mode": "soc",
        "soc_high_pct": 90,
        "generator_action": "apply",
        "override": False,
    }
    await site.perform({"action": "dry_contact_settings", "id": "NC1", "settings": changes})
    (sent,) = [said["dry_contacts"] for path, said in site.ensemble.written if "settings" in path]
    assert site.ensemble.incomplete == []
    assert (sent["load_name"], sent["mode"], sent["soc_high"], sent["gen_action"]) == ("Bain-marie", "soc", 90, "apply")
    assert (sent["soc_low"], sent["override"], sent["priority"]) == (25.0, "false", 1.0)
    state = await site.client.read(2.0)
    assert state.dry_contacts[0].settings is not None
    assert state.dry_contacts[0].settings.load_name == "Bain-marie"


async def test_settings_that_cannot_be_sent_whole_are_not_sent(build: Build) -> None:
    site = await build()
    wanted = {"action": "dry_contact_settings", "id": "NC1", "settings": {"load_name": "x"}}
    site.ensemble.contacts[0]["new_in_firmware_9"] = 1
    with pytest.raises(DeviceDataError, match=r"not known here \(new_in_firmware_9\)"):
        await site.perform(wanted)
    site.ensemble.contacts = [site.ensemble.contacts[1]]
    site.later_s += 60.0
    with pytest.raises(RefusedActionError, match="may crash the gateway"):
        await site.perform(wanted)
    site.ensemble.contacts = [{"id": "NC1", "load_name": "Boiler"}]
    with pytest.raises(DeviceError):
        await site.perform(wanted)
    assert site.ensemble.written == []


async def test_equal_values_are_not_written_and_cost_nothing(build: Build) -> None:
    site = await build()
    for _ in range(3):
        assert "nothing was written" in await site.perform({"action": "reserve", "soc_pct": 20})
        assert "nothing was written" in await site.perform({"action": "grid", "state": "on"})
    assert site.ensemble.written == []
    assert (await site.journal.read()).tariff == ()


async def test_writes_of_another_process_count_too(build: Build) -> None:
    site = await build()
    await site.perform(RESERVE)
    with pytest.raises(TooSoonError, match="try again in 60 s"):
        await Desk(site.client, JournalFile(site.access.data_dir / FILE), site.config, utc=site.utc).perform(
            parse(BACKUP)
        )
    assert len(site.ensemble.written) == 1


async def test_a_write_that_is_not_answered_counts(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    site = await build()
    monkeypatch.setattr(client_module, "WRITE_S", 0.3)

    async def never(_request: Any) -> Any:
        await asyncio.sleep(30.0)

    site.ensemble.replaced["POST /ivp/ensemble/dry_contacts"] = None
    site.fake.handlers = {**site.fake.handlers, "POST /ivp/ensemble/dry_contacts": never}
    with pytest.raises(DeviceUnavailable, match=r"does not answer within 0.3 s"):
        await site.perform(NC1)
    with pytest.raises(TooSoonError):
        await site.perform(NC1)


async def test_nothing_is_sent_where_it_cannot_be_counted(build: Build) -> None:
    site = await build()
    (site.access.data_dir / "ensemble.tmp").mkdir()
    with pytest.raises(RefusedActionError, match="cannot be written"):
        await site.perform(RESERVE)
    assert site.ensemble.written == []


# -- what came of it


async def test_optimised_schedules_make_a_mode_a_fault_until_they_are_off(build: Build) -> None:
    site = await build(optimised=True)
    await site.perform(BACKUP)
    assert await site.faults() == {}, "it is given some seconds"
    site.later_s += 12.0
    fault = (await site.faults())["ensemble:storage_mode"]
    assert "optimised schedules are on: the gateway accepts the mode and ignores it" in fault.text
    assert "disable_optimized_schedules" in fault.next_step
    assert fault.since_utc_s == site.utc()
    site.later_s += 300.0
    assert (await site.faults())["ensemble:storage_mode"].since_utc_s == fault.since_utc_s
    await site.perform(BACKUP | {"disable_optimized_schedules": True})
    assert await site.faults() == {}, "a new action replaces it"
    site.later_s += 12.0
    assert await site.faults() == {}
    assert (site.ensemble.storage["mode"], site.ensemble.storage["opt_schedules"]) == ("backup", False)


async def test_what_enlighten_overwrites_is_a_fault(build: Build) -> None:
    site = await build(cloud_after_s=90.0)
    await site.perform(RESERVE)
    site.later_s = site.ensemble.later_s = 11.0
    assert await site.faults() == {}
    site.later_s = site.ensemble.later_s = 120.0
    assert await site.faults() == {}, "it is looked at again after 150 s"
    site.later_s = site.ensemble.later_s = 151.0
    fault = (await site.faults())["ensemble:reserve"]
    assert (
        "Enlighten has overwritten what was set here: reserve 30 % is not in force any more, but reserve 20 %"
        in fault.text
    )
    site.ensemble.storage["reserved_soc"] = 30.0
    assert await site.faults() == {}, "over when it matches"
    site.later_s += 1e4
    site.ensemble.storage["reserved_soc"] = 20.0
    assert await site.faults() == {}, "and what people change later is theirs"


async def test_to_ask_for_what_is_there_accepts_it(build: Build) -> None:
    site = await build(cloud_after_s=90.0)
    await site.perform(RESERVE)
    for later_s in (11.0, 151.0):
        site.later_s = site.ensemble.later_s = later_s
        await site.faults()
    assert await site.faults() != {}
    await site.perform({"action": "reserve", "soc_pct": 20})
    assert await site.faults() == {}


@pytest.mark.parametrize(
    ("data", "key"),
    [
        (NC1, "ensemble:dry_contact_NC1"),
        (BACKUP, "ensemble:storage_mode"),
        ({"action": "grid", "state": "off", "confirm": "ISLAND"}, "ensemble:grid"),
        (
            {"action": "dry_contact_settings", "id": "NC2", "settings": {"mode": "soc"}},
            "ensemble:dry_contact_settings_NC2",
        ),
    ],
)
async def test_a_silent_refusal_is_a_fault_also_after_a_restart(build: Build, data: dict[str, Any], key: str) -> None:
    site = await build(deaf=True)
    await site.perform(data)
    site.later_s += 11.0
    assert "does not do it" in (await site.faults())[key].text
    site.later_s += 500.0  # each look here is a new desk on the same file
    assert key in await site.faults()


async def test_ac_batteries_have_time_until_their_next_report(build: Build) -> None:
    site = await build(acbs=("1219",))
    await site.perform({"action": "acb_sleep", "serial": "1219", "min_soc_pct": 10, "max_soc_pct": 20})
    site.ensemble.asleep.clear()
    site.later_s += 900.0
    assert await site.faults() == {}
    site.later_s += 1000.0
    assert "does not do it: it still shows awake" in (await site.faults())["ensemble:acb_1219"].text


# -- hostile documents

PATHS = [
    "/production.json", "/inventory.json", "/ivp/ensemble/inventory", "/ivp/ensemble/secctrl", "/ivp/ensemble/power",
    "GET /ivp/ensemble/dry_contacts", "GET /ivp/ss/dry_contact_settings", "GET /admin/lib/tariff",
]  # fmt: skip
GARBAGE = [
    "nope",
    "[" * 5000,
    '{"tariff": 3, "devices:": 7, "dry_contacts": {"id": 1}, "production": 4}',
    "\x00" * 9,
    "null",
]
GARBAGE += ["[[]]", '[{"type": 1}]', '[{"type": "ENPOWER", "devices": []}, {"type": "ENCHARGE"}]', "x" * 1_200_000]


@pytest.mark.parametrize("path", PATHS)
async def test_garbage_is_an_error_of_the_device_and_nothing_else(build: Build, path: str) -> None:
    site = await build(acbs=("1219",))
    await site.client.read(1.0)
    told: list[str] = []
    for text in GARBAGE:
        site.ensemble.replaced[path] = text
        for _ in range(2):  # as it has come to know the gateway, and as it meets it
            try:
                assert (await site.client.read(2.0)).at_s == 2.0
            except DeviceError as error:
                told.append(str(error))
    assert told
    assert all(len(text) < 300 and text.isprintable() for text in told), told
    site.ensemble.replaced.clear()
    assert (await site.client.read(3.0)).soc_pct == 39.0


@pytest.mark.parametrize("kind", [ValueError, KeyError])
async def test_a_token_in_what_the_library_says_is_not_told(
    build: Build, kind: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = await build()

    async def quotes(_envoy: Any) -> Any:
        raise kind(f"{'x' * 60} {site.fake.valid}")

    monkeypatch.setattr("pyenphase.Envoy.update", quotes)
    with pytest.raises(DeviceDataError, match=r"x \*\*\*") as caught:
        await site.client.read(1.0)
    assert site.fake.valid[:24] not in str(caught.value)


async def test_values_of_any_kind_are_unknown_and_not_shown(build: Build) -> None:
    values: list[Any] = ["61", None, True, [], {"a": 1}, 1e300, -5, 101]
    for value in values:
        site = await build()
        site.ensemble.soc, site.ensemble.milliwatts = value, "fast" if value != 1e300 else 1e300
        site.ensemble.mains = "o\x1b[2J" + "x" * 500
        site.ensemble.storage["reserved_soc"] = value
        state = await site.client.read(1.0)
        assert (state.soc_pct, state.power_w, state.batteries[0].soc_pct, state.reserve_soc_pct) == (
            None,
            None,
            None,
            None,
        )
        assert state.grid is not None
        assert state.grid.admin_state is not None
        assert state.grid.admin_state.isprintable()
        assert len(state.grid.admin_state) <= 40
        await site.client.close()


@pytest.mark.parametrize("fault", ["reset", "401", "403", "503", "html"])
async def test_every_outage_is_told_in_a_sentence_and_ends(build: Build, fault: str) -> None:
    site = await build()
    site.fake.fault = fault
    with pytest.raises(DeviceError) as caught:
        await site.client.read(1.0)
    assert "enphase at" in str(caught.value) or site.fake.host in str(caught.value)
    assert site.fake.valid not in str(caught.value)
    site.fake.fault = ""
    assert (await site.client.read(2.0)).soc_pct == 61.0


async def test_a_gateway_that_hangs_is_given_up(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    site = await build()
    monkeypatch.setattr(client_module, "READ_S", 0.5)
    site.fake.slow_s = 30.0
    with pytest.raises(DeviceUnavailable, match=r"does not answer within 0\.5 s"):
        await site.client.read(1.0)


# -- in the controller


async def test_the_driver_shows_does_and_watches(build: Build) -> None:
    site = await build(deaf=True)
    driver = site.driver()
    async with running(driver.run()):
        await until(lambda: driver.state.at_s is not None)
        assert (driver.state.soc_pct, driver.faults()) == (61.0, ())
        driver.ask(parse(NC1), "MQTT")
        await until(lambda: bool(site.ensemble.written))
        site.later_s += 61.0
        await until(lambda: [fault.key for fault in driver.faults()] == ["ensemble:dry_contact_NC1"], 20.0)
        driver.ask(parse(NC1 | {"id": "NC9"}), "MQTT")
        await until(lambda: any("use one of NC1, NC2" in fault.text for fault in driver.faults()))
        site.later_s += 901.0
        assert "ensemble_refused" not in {fault.key for fault in driver.faults()}


async def test_a_gateway_that_is_away_is_a_fault_after_some_minutes_and_keeps_what_it_told(build: Build) -> None:
    site = await build()
    driver = site.driver()
    async with running(driver.run()):
        await until(lambda: driver.state.at_s is not None)
        async with site.fake.away():
            site.later_s += 61.0
            await until(lambda: driver.state.fault is not None, 20.0)
            assert driver.state.soc_pct == 61.0
            assert driver.faults() == ()
            site.later_s += LOST_S
            assert [fault.key for fault in driver.faults()] == ["ensemble"]
        site.later_s += 61.0
        await until(lambda: driver.faults() == (), 20.0)


async def test_a_dry_run_looks_and_writes_nothing(build: Build) -> None:
    site = await build()
    driver = site.driver({"limit": [NC1]}, dry_run=True)
    async with running(driver.run()):
        await until(lambda: driver.state.at_s is not None)
        driver.observe(Gate(Mode.LIMIT, "", 0.0))
        with pytest.raises(RefusedActionError, match="dry run"):
            await driver.act(parse(NC1), "http")
        driver.ask(parse(NC1), "MQTT")
        await until(lambda: bool(driver.faults()))
    assert site.ensemble.written == []


MODES = {
    "limit": [NC1, RESERVE],
    "open": [NC1 | {"state": "open"}],
}


async def test_each_change_of_the_mode_runs_its_actions_once(build: Build) -> None:
    site = await build()
    driver = site.driver(MODES)

    async def told(mode: Mode, count: int) -> None:
        for _ in range(3):
            driver.observe(Gate(mode, "", 0.0))
        await until(lambda: len(site.ensemble.written) == count, 10.0, f"{site.ensemble.written}")
        async with asyncio.timeout(10.0):
            while (await site.journal.read()).mode is not mode:
                await asyncio.sleep(0.02)

    async with running(driver.run()):
        await told(Mode.LIMIT, 2)
        assert site.ensemble.statuses["NC1"] == "closed"
        site.later_s += 100.0
        await told(Mode.OPEN, 3)
        assert site.ensemble.statuses["NC1"] == "open"
        site.later_s += 100.0
        await told(Mode.SHUTDOWN, 3)
        await told(Mode.LIMIT, 4)
        assert [said for path, said in site.ensemble.written if "tariff" in path][1:] == [], "the reserve is 30 already"
    again = site.driver(MODES)
    site.ensemble.statuses["NC1"] = "open"  # by hand, meanwhile
    async with running(again.run()):
        await until(lambda: again.state.at_s is not None)
        again.observe(Gate(Mode.LIMIT, "", 0.0))
        await asyncio.sleep(0.2)
        assert len(site.ensemble.written) == 4, "a restart in the same mode does nothing"
        again.observe(Gate(Mode.OPEN, "", 0.0))
        await until(lambda: again.faults() == ())


async def test_actions_of_a_mode_are_tried_again_then_told_and_do_not_hold_up_the_others(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.enphase.ensemble.modes.RETRY_S", (0.1,) * 500)
    site = await build()
    driver = site.driver({"limit": [RESERVE, NC1 | {"id": "NC9"}, NC1]})
    async with running(driver.run()):
        await until(lambda: driver.state.at_s is not None)
        site.fake.fault = "503"
        driver.observe(Gate(Mode.LIMIT, "", 0.0))
        await until(lambda: driver.state.fault is not None)
        assert driver.faults() == ()
        site.fake.fault = ""
        await until(lambda: site.ensemble.statuses["NC1"] == "closed", 20.0)
        assert site.ensemble.storage["reserved_soc"] == 30
        (fault,) = driver.faults()
        assert fault.key == "ensemble_mode"
        assert (
            "configured for the mode limit, was not done: dry contact 'NC9' is not there: use one of NC1, NC2"
            in fault.text
        )
        assert (await site.journal.read()).mode is None, "a restart tries it again"
        driver.observe(Gate(Mode.SHUTDOWN, "", 0.0))
        await until(lambda: driver.faults() == ())


async def test_actions_that_never_work_are_a_fault_in_the_end(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.enphase.ensemble.modes.RETRY_S", (0.01, 0.01))
    site = await build()
    driver = site.driver({"limit": [NC1]})
    async with running(driver.run()):
        await until(lambda: driver.state.at_s is not None)
        site.fake.fault = "503"
        driver.observe(Gate(Mode.LIMIT, "", 0.0))
        await until(lambda: bool(driver.faults()), 20.0)
        assert [fault.key for fault in driver.faults()] == ["ensemble_mode"]
    assert site.ensemble.written == []


async def test_a_gateway_that_was_starting_is_asked_again_what_it_has(build: Build) -> None:
    site = await build()
    site.ensemble.replaced["/ivp/ensemble/inventory"] = "[]"
    assert (await site.client.read(1.0)).batteries == ()
    site.ensemble.replaced.clear()
    assert len((await site.client.read(2.0)).batteries) == 1
