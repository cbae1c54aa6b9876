"""A real process records what it decides, and the command decides the same from what it left."""

from __future__ import annotations

import asyncio
import json
import stat
import sys
from typing import Any

import pytest

from tests.e2e.conftest import Installation, until

pytestmark = pytest.mark.e2e


async def replayed(place: Installation, *arguments: str) -> tuple[int | None, Any]:
    """What the command answers on the recording that the process left."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app", "replay", "--json", *arguments, str(place.folder / "data" / "ticks"),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert not err, err.decode()
    return process.returncode, json.loads(out)


async def test_what_a_real_process_recorded_is_decided_the_same_again(installation: Installation) -> None:
    place = installation
    place.configure(http={"host": "127.0.0.1", "port": place.app.port, "token": "t0p-s3cret"})
    place.app.arguments = ("--record",)
    await place.app.start()
    await until(lambda: len(place.commands()) >= 3, 30, "some commands")
    place.house.load_override_w = 300.0
    seen = len(place.commands())
    await until(lambda: len(place.commands()) > seen, 30, "a cut")
    await asyncio.sleep(3)
    assert await place.app.stop() == 0

    folder = place.folder / "data" / "ticks"
    (path,) = folder.iterdir()
    assert (stat.S_IMODE(folder.stat().st_mode), stat.S_IMODE(path.stat().st_mode)) == (0o700, 0o600)
    code, report = await replayed(place)
    assert code == 0, report
    assert (report["differing"], report["warm_up_ticks"], report["notes"]) == (0, 0, [])
    assert report["ticks"] >= 5
    assert report["inverters"] == [one.serial for one in place.house.config.inverters]
    assert report["commands_recorded"] == report["commands_now"] > 0

    place.configure(control={"deadband_w": 500})
    code, report = await replayed(place, "--config", str(place.app.config))
    assert code == 1
    assert report["kinds"]["commands"] > 0


async def test_nothing_is_recorded_unless_it_is_wanted(installation: Installation) -> None:
    await installation.app.start()
    await installation.app.when(bool)
    assert await installation.app.stop() == 0
    assert not (installation.folder / "data" / "ticks").exists()
