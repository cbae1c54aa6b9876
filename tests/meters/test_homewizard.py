"""HomeWizard meters: what they say, which of it is believed, their token and their certificate."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from app.access import Access
from app.broker import Address, Broker
from app.meters import Meter, MeterConfig, base, homewizard, push
from app.meters.homewizard import HomeWizard, HomeWizardConfig, HomeWizardV2
from app.meters.homewizard_data import V1, V2, parse
from app.model import DeviceAuthError, DeviceDataError, DeviceError, DeviceUnavailable
from app.outbound import new_session
from app.pins import FILE
from tests.conftest import until
from tests.meters.fakes.homewizard import FOLDER, TOKEN, FakeHomeWizard, fixture
from tests.meters.followed import Followed, following
from tests.meters.hostile import NEVER_DONE, NONSENSE, TOO_MUCH, hostile, silent


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is locked out here, and nothing is far away."""
    monkeypatch.setattr(base, "AFTER_REFUSAL_S", 0.3)
    monkeypatch.setattr(push, "FIRST_PAUSE_S", 0.1)
    monkeypatch.setattr(push, "LONGEST_PAUSE_S", 0.3)


def config(host: str = "192.168.1.20", **keys: Any) -> HomeWizardConfig:
    keys = {"type": "homewizard", "host": host, "interval_s": 0.2, "timeout_s": 2.0, **keys}
    found = TypeAdapter(MeterConfig).validate_python(keys)
    assert isinstance(found, HomeWizardConfig)
    return found


@asynccontextmanager
async def driver(fake: FakeHomeWizard, folder: Path, **keys: Any) -> AsyncIterator[Meter]:
    async with new_session() as session:
        access = Access(session, lambda _config: Broker(Address("127.0.0.1", 9), "none"), folder)
        yield config(fake.host, **({"token": TOKEN} if fake.version == 2 else {}), **keys).driver(access)


@asynccontextmanager
async def followed(fake: FakeHomeWizard, folder: Path, **keys: Any) -> AsyncIterator[Followed]:
    async with driver(fake, folder, **keys) as meter, following(meter) as outcomes:
        yield outcomes


class TestMeasurement:
    def test_version_1_of_a_p1_meter(self) -> None:
        found = parse(fixture("v1-p1"), V1)
        assert (found.power_w, found.import_wh, found.export_wh, found.stamp_s) == (203.0, 13779338.0, 2874500.0, None)
        assert [phase.power_w for phase in found.phases] == [-21.0, 57.0, 168.0]
        assert (found.phases[0].voltage_v, found.phases[0].current_a, found.phases[1].voltage_v) == (230.1, -0.4, None)

    def test_version_2_of_a_p1_meter(self) -> None:
        found = parse(fixture("v2-p1"), V2)
        assert (found.power_w, [phase.power_w for phase in found.phases]) == (-543.0, [-676.0, 133.0, 0.0])
        later = parse(fixture("v2-p1") | {"timestamp": "2024-06-28T14:12:35"}, V2)
        assert later.stamp_s is not None
        assert found.stamp_s is not None
        assert later.stamp_s - found.stamp_s == 1.0

    def test_a_kwh_meter_has_no_clock_and_one_phase(self) -> None:
        found = parse(fixture("v2-kwh1"), V2)
        assert (found.power_w, found.stamp_s, found.import_wh) == (-1058.296, None, 30511.0)
        assert parse({"power_w": 5, "power_l1_w": 5, "voltage_v": 230.5}, V2).phases[0].voltage_v == 230.5

    @pytest.mark.parametrize("power", [-123, 456])
    def test_phases_that_do_not_make_the_power_are_unknown(self, power: float) -> None:
        assert parse(fixture("v1-odd"), V1).phases == ()
        unsigned = {"power_w": -900, "power_l1_w": 300, "power_l2_w": 300, "power_l3_w": 300}
        assert parse(unsigned, V2).phases == ()
        assert parse({"power_w": 300, "power_l1_w": 300, "power_l2_w": None}, V2).phases == ()

    @pytest.mark.parametrize(
        ("document", "text"),
        [
            ({}, "there is no power_w"),
            ({"power_w": None}, "None"),
            ({"power_w": "5"}, "'5'"),
            ({"power_w": True}, "True"),
            ({"power_w": float("nan")}, "nan"),
            ({"power_w": 5e6}, "no house connection"),
            ({"power_w": 0, "energy_import_kwh": 0, "energy_export_kwh": 0}, "just started"),
            ({"power_w": 0, "energy_import_kwh": 0.0}, "just started"),
            ({"power_w": 0, "energy_import_t1_kwh": 0, "energy_import_t2_kwh": 0.0}, "just started"),
            ({"power_w": 5, "timestamp": "soon"}, "not a time"),
            ([], "no measurement"),
            (None, "no measurement"),
        ],
    )
    def test_what_is_no_power_is_refused(self, document: Any, text: str) -> None:
        with pytest.raises(DeviceDataError, match=text):
            parse(document, V2)

    def test_no_load_is_a_power_too(self) -> None:
        assert parse({"power_w": 0, "energy_import_kwh": 7.5, "energy_export_kwh": 0}, V2).power_w == 0.0
        assert parse({"power_w": 0}, V2).power_w == 0.0


class TestConfiguration:
    @pytest.mark.parametrize("keys", [{"version": 2}, {"version": 3}, {"token": "a\nb"}, {"host": "x.x"}])
    def test_what_cannot_work_is_refused(self, keys: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            config(**keys)

    def test_a_token_makes_it_version_2_and_one_may_say_otherwise(self) -> None:
        access = Access(None, lambda _config: Broker(Address("127.0.0.1", 9), "none"), Path("x"))  # type: ignore[arg-type]
        assert isinstance(config().driver(access), HomeWizard)
        assert isinstance(config(token="").driver(access), HomeWizard)
        assert isinstance(config(token=TOKEN).driver(access), HomeWizardV2)
        assert isinstance(config(token=TOKEN, version=1).driver(access), HomeWizard)

    def test_the_error_says_how_to_get_a_token(self) -> None:
        with pytest.raises(ValidationError, match="zero-export pair homewizard HOST"):
            config(version=2)


class TestVersion1:
    async def test_it_is_read(self, tmp_path: Path) -> None:
        async with FakeHomeWizard(1, fixture("v1-p1")).serve() as fake, followed(fake, tmp_path) as outcomes:
            reading = await outcomes.reads(203.0)
            fake.document = {"active_power_w": -77.5}
            await outcomes.reads(-77.5)
        assert reading.import_wh == 13779338.0
        assert set(fake.asked) == {"GET /api/v1/data"}

    async def test_an_api_that_is_off_says_where_it_is_switched_on(self, tmp_path: Path) -> None:
        fake = FakeHomeWizard(1, fixture("v1-p1"), refusal=403)
        async with fake.serve(), followed(fake, tmp_path) as outcomes:
            error = await outcomes.says("Settings, Meters, your meter, Local API")
            fake.refusal = None
            await outcomes.reads(203.0)
        assert isinstance(error, DeviceAuthError)
        assert fake.host in str(error)


class TestVersion2:
    async def test_its_websocket_is_followed(self, tmp_path: Path) -> None:
        async with FakeHomeWizard().serve() as fake, followed(fake, tmp_path) as outcomes:
            reading = await outcomes.reads(-543.0)
            fake.document = {"power_w": 12.5}
            await outcomes.reads(12.5)
        assert fake.asked == ["GET /api/ws"]
        assert reading.import_wh == 13779338.0
        assert outcomes.errors == []

    async def test_one_that_repeats_a_value_at_each_connection_is_never_believed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(homewizard, "FIRST_STEP_S", 0.1)
        fake = FakeHomeWizard(replays=True, step_s=5.0)  # each copy newer than the one before
        async with fake.serve(), followed(fake, tmp_path) as outcomes:
            await until(lambda: any("measurement" in one for one in fake.asked), what=str(fake.asked))
            assert outcomes.readings == []
            await outcomes.reads(-543.0)  # asked, it has something new each time

    async def test_a_replay_that_cannot_be_asked_either_is_a_fault(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(homewizard, "FIRST_STEP_S", 0.1)
        monkeypatch.setattr(homewizard, "ASK_FOR_S", 0.5)
        monkeypatch.setattr("app.meters.freshness.PATIENCE_S", 0.3)
        fake = FakeHomeWizard(replays=True, step_s=0.0)
        async with fake.serve(), followed(fake, tmp_path) as outcomes:
            error = await outcomes.says("has not advanced")
            await until(lambda: fake.connections >= 3)
            assert outcomes.readings == []
            fake.replays, fake.step_s, fake.document = False, 1.0, {"power_w": 5.0}
            await outcomes.reads(5.0)
        assert isinstance(error, DeviceDataError)
        assert fake.host in str(error)

    async def test_a_smart_meter_that_is_gone_is_noticed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("app.meters.freshness.PATIENCE_S", 0.5)
        fake = FakeHomeWizard()
        async with fake.serve(), followed(fake, tmp_path) as outcomes:
            await outcomes.reads(-543.0)
            fake.step_s, fake.document = 0.0, {"power_w": 7777.0}
            await outcomes.says("has not advanced")
            fake.step_s, fake.document = 1.0, {"power_w": 6.0}
            await outcomes.reads(6.0)
        assert 7777.0 not in outcomes.powers_w

    async def test_where_the_websocket_is_refused_it_is_asked_and_later_followed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        monkeypatch.setattr(homewizard, "ASK_FOR_S", 1.0)
        fake = FakeHomeWizard(ws_refusal=503)
        async with fake.serve(), followed(fake, tmp_path) as outcomes:
            reading = await outcomes.reads(-543.0)
            assert reading.latency_s is not None
            fake.ws_refusal, fake.document = None, {"power_w": 8.0}
            await until(lambda: fake.connections == 1)
            await until(lambda: outcomes.readings[-1].latency_s is None)
        assert caplog.text.count("its WebSocket tells nothing") == 1
        assert "HTTP 503" in caplog.text
        assert caplog.text.count("followed over its WebSocket") == 1
        assert outcomes.errors == []

    async def test_a_kwh_meter_is_asked_while_its_value_stands_still(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(homewizard, "FIRST_STEP_S", 0.1)
        fake = FakeHomeWizard(document=fixture("v2-kwh1"), stamped=False, replays=True)
        async with fake.serve(), followed(fake, tmp_path) as outcomes:
            await outcomes.reads(-1058.296)
            await until(lambda: len(outcomes.readings) > 5)
            fake.document = {"power_w": 9.0}
            await outcomes.reads(9.0)
        assert fake.said[0] == {"type": "measurement"}
        assert fake.connections == 1
        assert outcomes.errors == []

    async def test_a_connection_that_goes_silent_or_breaks_is_made_anew(self, tmp_path: Path) -> None:
        fake = FakeHomeWizard()
        async with fake.serve(), followed(fake, tmp_path) as outcomes:
            await outcomes.reads(-543.0)
            fake.deaf = True
            error = await outcomes.says("has told no value for")
            fake.deaf, fake.document = False, {"power_w": 1.0}
            await outcomes.reads(1.0)
            fake.drop()
            fake.document = {"power_w": 2.0}
            await outcomes.says("closed the connection")
            await outcomes.reads(2.0)
            await fake.stop()
            await outcomes.says("refused")
            fake.document = {"power_w": 3.0}
            await fake.start()
            await outcomes.reads(3.0)
        assert isinstance(error, DeviceUnavailable)

    @pytest.mark.parametrize(
        ("raw", "text"),
        [
            ("<html>", "no message of its protocol"),
            ("[" * 40_000, "no message of its protocol"),
            (json.dumps({"type": "error", "data": {"message": "busy " + TOKEN}}), "says: busy ***"),
            (json.dumps({"type": "error", "data": TOKEN}), "says: ***"),
            (json.dumps({"type": "measurement", "data": {"power_w": TOKEN}}), "power_w is '***'"),
            (json.dumps({"type": "measurement", "data": None}), "no measurement"),
            (json.dumps({"type": "measurement"}), "no measurement"),
            (json.dumps({"type": "system", "data": {}}), "has told no value"),
            ("x" * 200_000, "closed the connection"),
        ],
    )
    async def test_what_it_should_not_say_is_a_fault_without_the_token(
        self, raw: str, text: str, tmp_path: Path
    ) -> None:
        fake = FakeHomeWizard()
        async with fake.serve(), followed(fake, tmp_path) as outcomes:
            await outcomes.reads(-543.0)
            fake.raw = raw
            await outcomes.says(text)
            fake.raw, fake.document = None, {"power_w": 4.0}
            await outcomes.reads(4.0)
        assert all(TOKEN not in str(error) and len(str(error)) < 400 for error in outcomes.errors)

    @pytest.mark.parametrize("ws_refusal", [None, 401])
    async def test_a_token_that_is_refused_says_how_to_get_another(
        self, ws_refusal: int | None, tmp_path: Path
    ) -> None:
        fake = FakeHomeWizard(valid="F" * 32, ws_refusal=ws_refusal)
        async with fake.serve(), followed(fake, tmp_path) as outcomes:
            error = await outcomes.says("zero-export pair homewizard HOST")
            fake.valid = TOKEN
            await outcomes.reads(-543.0)
        assert isinstance(error, DeviceAuthError)
        assert TOKEN not in str(error)


class TestCertificate:
    @pytest.mark.parametrize("ws_refusal", [None, 404])
    async def test_another_one_than_at_the_first_contact_gets_no_token(
        self, ws_refusal: int | None, tmp_path: Path
    ) -> None:
        fake = FakeHomeWizard(ws_refusal=ws_refusal)
        async with fake.serve(), followed(fake, tmp_path) as outcomes:
            await outcomes.reads(-543.0)
            await fake.stop()
            await until(lambda: bool(outcomes.errors))
            fake.asked.clear()
            await fake.start("other")
            error = await outcomes.says(f"take {fake.host} out of {tmp_path / FILE}")
            assert fake.asked == []
            (tmp_path / FILE).unlink()  # as it is told to do
            fake.document = {"power_w": 4.0}
            await outcomes.reads(4.0)
        assert isinstance(error, DeviceAuthError)

    async def test_it_is_remembered_over_a_restart(self, tmp_path: Path) -> None:
        fake = FakeHomeWizard()
        async with fake.serve(), followed(fake, tmp_path) as outcomes:
            await outcomes.reads(-543.0)
        async with followed(fake, tmp_path) as outcomes:
            await fake.start("other")
            await outcomes.says("another certificate")
        await fake.stop()
        assert list(json.loads((tmp_path / FILE).read_text())) == [fake.host]


HOSTILE = NEVER_DONE | TOO_MUCH | NONSENSE


class TestHostileServers:
    """Version 1 is tried with the other drivers, in test_hostile_servers.py."""

    @pytest.mark.parametrize("name", HOSTILE)
    async def test_what_is_behind_tls_is_an_error_in_time_too(self, name: str, tmp_path: Path) -> None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(FOLDER / "one.pem")
        outcomes = Followed()
        async with hostile(HOSTILE[name], tls) as server, new_session() as session:
            access = Access(session, lambda _config: Broker(Address("127.0.0.1", 9), "none"), tmp_path)
            meter = HomeWizardV2(config(server.host, token=TOKEN, timeout_s=0.5), access)
            async with asyncio.timeout(60):
                for ask in (meter.read, lambda: meter._follow(outcomes.outcomes.append)):
                    with pytest.raises(DeviceError) as caught:
                        await ask()
                    assert len(str(caught.value)) < 300
                    assert TOKEN not in str(caught.value)
            assert len(server.asked) >= 2
        assert outcomes.outcomes == []

    @pytest.mark.parametrize("behaviour", [silent, b"HTTP/1.1 200 OK\r\n\r\n"])
    async def test_what_speaks_no_tls_is_an_error_in_time(self, behaviour: Any, tmp_path: Path) -> None:
        async with hostile(behaviour) as server, new_session() as session:
            access = Access(session, lambda _config: Broker(Address("127.0.0.1", 9), "none"), tmp_path)
            meter = HomeWizardV2(config(server.host, token=TOKEN, timeout_s=0.5), access)
            with pytest.raises(DeviceUnavailable, match=f"https://{server.host}"):
                await meter.read()
        assert not (tmp_path / FILE).exists()
