"""The token of a HomeWizard meter: its button, and servers that are none."""

from __future__ import annotations

import asyncio
import sys

import pytest

from app import cli, pairing
from app.model import DeviceDataError, DeviceError, DeviceUnavailable
from app.pairing import pair_homewizard
from tests.conftest import until
from tests.meters.fakes.homewizard import TOKEN, FakeHomeWizard
from tests.meters.hostile import Behaviour, hostile, page, silent


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairing, "EVERY_S", 0.05)


async def test_it_waits_for_the_button() -> None:
    said: list[str] = []
    async with FakeHomeWizard().serve() as fake:
        task = asyncio.create_task(pair_homewizard(fake.host, 60.0, said.append))
        await until(lambda: len(fake.said) > 2)
        assert not task.done()
        fake.pressed = True
        assert await task == TOKEN
    assert fake.said[0] == {"name": "local/zero-export"}
    assert "press the button" in said[0]
    assert fake.host in said[0]


async def test_a_button_that_nobody_presses() -> None:
    async with FakeHomeWizard().serve() as fake:
        with pytest.raises(DeviceUnavailable, match="was not pressed within 0.5 s"):
            await pair_homewizard(fake.host, 0.5, lambda _line: None)


async def test_one_without_version_2() -> None:
    async with FakeHomeWizard(refusal=404).serve() as fake:
        with pytest.raises(DeviceDataError, match="HTTP 404.*firmware 6"):
            await pair_homewizard(fake.host, 60.0, lambda _line: None)


@pytest.mark.parametrize("valid", ["short", "\x1b[31m" + "A" * 27, 5, None])
async def test_what_is_no_token_is_not_shown(valid: str) -> None:
    async with FakeHomeWizard(valid=valid, pressed=True).serve() as fake:
        with pytest.raises(DeviceDataError, match="without a token"):
            await pair_homewizard(fake.host, 60.0, lambda _line: None)


@pytest.mark.parametrize("behaviour", [silent, page(b"{}"), b"rubbish\r\n\r\n"])
async def test_a_server_that_speaks_no_tls(behaviour: Behaviour | bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairing, "TIMEOUT_S", 0.5)
    async with hostile(behaviour) as server:
        with pytest.raises(DeviceError):
            await pair_homewizard(server.host, 60.0, lambda _line: None)


async def test_the_command_prints_what_to_put_where() -> None:
    async with FakeHomeWizard(pressed=True).serve() as fake:
        command = [sys.executable, "-m", "app", "pair", "homewizard", fake.host]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        output, errors = await process.communicate()
    assert process.returncode == 0
    assert f"HOMEWIZARD_TOKEN={TOKEN}\n" in output.decode()
    assert f'  host: {fake.host}\n  token: "${{HOMEWIZARD_TOKEN}}"\n' in output.decode()
    assert TOKEN not in errors.decode()


@pytest.mark.parametrize("host", ["http://10.0.0.5", "192.168.x.x", "a b"])
def test_a_host_that_is_none_is_refused(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["pair", "homewizard", host])
    assert stopped.value.code == 2
    assert host in capsys.readouterr().err
