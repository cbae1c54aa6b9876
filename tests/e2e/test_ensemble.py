"""The command line and the whole controller at an Enphase gateway with storage, relays and dry contacts."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from app.cli import main
from tests.conftest import until
from tests.e2e.conftest import Installation
from tests.e2e.test_commands import run
from tests.enphase.fake import FakeGateway
from tests.enphase.fake_ensemble import FakeEnsemble

pytestmark = pytest.mark.e2e

NC1 = {"action": "dry_contact", "id": "NC1", "state": "closed"}


def configure(place: Installation, fake: FakeGateway, actions: dict[str, Any] | None = None, **sections: Any) -> None:
    login = {"token": fake.valid} if fake.has_tokens else {"password": fake.passwords["envoy"]}
    ensemble = {"interval_s": 10, "min_write_interval_s": 10, "actions": actions or {}}
    place.configure(enphase={"host": fake.host, **login, "ensemble": ensemble}, **sections)


async def test_the_command_line_needs_no_controller(installation: Installation) -> None:
    place, ensemble = installation, FakeEnsemble("8", acbs=("1219",), collar=True)

    async def command(*words: str) -> tuple[int, str]:
        code, out, err = await run("ensemble", *words, "--config", str(place.app.config))
        assert fake.valid not in out + err
        return code, out + err

    async with ensemble.gateway(strict=True).serve() as fake:
        configure(place, fake)
        code, said = await command("status")
        assert code == 0
        assert "storage mode self-consumption, reserve 20 %, charge from grid off, optimised schedules off" in said
        assert "dry contact NC1 (Boiler): open" in said
        code, said = await command("reserve", "30")
        assert (code, ensemble.storage["reserved_soc"]) == (0, 30.0)
        assert "the gateway took it\nin force\nEnlighten may overwrite it" in said
        code, said = await command("storage-mode", "backup")
        assert code == 1, "the process before counts"
        assert "at least 60 s apart: try again in" in said


async def test_every_command_does_what_it_says(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process, since there are many."""
    monkeypatch.setattr("app.enphase.ensemble.command.READ_BACK_S", (0.05, 0.1))
    place, ensemble = installation, FakeEnsemble("8", acbs=("1219",))

    async def command(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        code = await asyncio.to_thread(main, ["ensemble", *words, "--config", str(place.app.config)])
        said = capsys.readouterr()
        assert fake.valid not in said.out + said.err
        return code, said.out + said.err

    async with ensemble.gateway().serve() as fake:
        configure(place, fake)
        code, said = await command("status", "--json")
        assert (code, json.loads(said)["soc_pct"]) == (0, 39.0)
        settings = ("load_name=Pool pump", "soc_low_pct=40", "override=false")
        assert (await command("dry-contact", "NC2", "set", *settings))[0] == 0
        assert (ensemble.contacts[1]["load_name"], ensemble.contacts[1]["override"]) == ("Pool pump", "false")
        assert ensemble.incomplete == []
        assert (await command("charge-from-grid", "on"))[0] == 0
        assert (await command("dry-contact", "NC1", "closed"))[0] == 0
        assert (await command("acb-sleep", "1219", "10", "20"))[0] == 0
        code, said = await command("grid", "off")
        assert (code, ensemble.mains) == (2, "closed")
        assert "--confirm ISLAND" in said
        assert (await command("grid", "off", "--confirm", "ISLAND"))[0] == 0
        assert ensemble.mains == "open"
        assert (await command("grid", "on"))[0] == 0
        assert (ensemble.mains, ensemble.asleep, ensemble.statuses["NC1"]) == ("closed", {"1219": (10, 20)}, "closed")
        for words in (("reserve", "101"), ("dry-contact", "NC1", "set", "speed=1"), ("dry-contact", "NC1", "set", "x")):
            assert (await command(*words))[0] == 2, words
        assert "use one of NC1, NC2" in (await command("dry-contact", "NC9", "open"))[1]
        assert (await command("acb-wake", "1219"))[0] == 1, "too soon"
        (place.folder / "data" / "ensemble.json").unlink()
        ensemble.storage["opt_schedules"] = True
        code, said = await command("storage-mode", "backup")
        assert code == 1
        assert "optimised schedules are on: the gateway accepts the mode and ignores it" in said
        ensemble.deaf = True
        code, said = await command("dry-contact", "NC2", "open")
        assert code == 1
        assert "does not do it: it still shows closed" in said
        configure(place, fake, control={"dry_run": True})
        code, said = await command("dry-contact", "NC2", "open")
        assert code == 1
        assert "dry_run" in said
    code, said = await command("status")
    assert code == 1
    assert "cannot reach" in said
    place.configure()
    assert "no enphase.ensemble section" in (await command("status"))[1]


async def test_http_mqtt_and_the_mode_command_it_through_the_controller(installation: Installation) -> None:
    place, ensemble = installation, FakeEnsemble("7")
    topic = "zeropower/set/ensemble"
    async with ensemble.gateway().serve() as fake:
        configure(
            place,
            fake,
            {"limit": [NC1], "open": [NC1 | {"state": "open"}]},
            price={"type": "fixed", "currency": "EUR", "export_value_c": -1},
        )
        await place.publish(topic, json.dumps({"action": "reserve", "soc_pct": 35}), retain=True)
        await place.app.start()
        await place.app.when(lambda status: bool((status["ensemble"] or {}).get("batteries")))
        await until(lambda: ensemble.storage["reserved_soc"] == 35.0, 30.0, "what the broker kept is obeyed")
        assert await place.retained(topic) is None, "and cleared"
        await until(lambda: ensemble.statuses["NC1"] == "closed", 30.0, "the action of the mode limit")
        status, answer = await place.app.ask("POST", "/api/ensemble", json={"action": "grid", "state": "on"})
        assert (status, answer["written"]) == (200, False)
        status, answer = await place.app.ask("POST", "/api/ensemble", json={"action": "grid", "state": "off"})
        assert (status, ensemble.mains) == (400, "closed")
        await place.publish(topic, '{"action": "dry_contact", "id": "NC8", "state": "open"}')
        refused = await place.app.when(lambda status: any(one["key"] == "ensemble_refused" for one in status["faults"]))
        assert any("use one of NC1, NC2" in fault["text"] for fault in refused["faults"])
        await place.publish(topic, '{"action": "grid", "state": "off"}')
        await place.publish(topic, "{")
        await until(lambda: place.app.logged("nothing changed"), 20.0)
        assert ensemble.mains == "closed"
        told = json.loads(await place.retained("zeropower/state/ensemble") or "{}")
        assert (told["name"], "age_s" in told) == (f"enphase at {fake.host}", False)
        written = len(ensemble.written)
        assert await place.app.stop() == 0
        await place.publish(topic, '{"action": "grid", "state": "off", "confirm": "ISLAND"}', retain=True)
        await place.app.start()
        await place.app.when(lambda status: bool((status["ensemble"] or {}).get("batteries")))
        await until(lambda: place.app.logged("a kept message does not open the grid relay"), 20.0)
        assert len(ensemble.written) == written, "nor does a restart in the same mode write anything"
        assert await place.retained(topic) is None
        fake.slow_s = 30.0  # the gateway hangs
        before = (await place.app.status())["time_utc"]
        await place.app.when(lambda status: status["time_utc"] != before and (status["ages"]["tick_s"] or 9.0) < 3.0)
        await place.app.stop()
        assert not [line for line in place.app.log if "Traceback" in line or "Unclosed" in line]
        assert fake.valid not in "".join(place.app.log)
