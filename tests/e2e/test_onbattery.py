"""OpenDTU-OnBattery's own power limiter beside the real process: no fight, no dead-man limit, and back by itself."""

from __future__ import annotations

import asyncio
import signal

import pytest

from app.simulator.devices import FakeOpenDtu
from tests.e2e.conftest import Installation, held, until

pytestmark = pytest.mark.e2e


async def test_nothing_is_commanded_while_it_is_on(installation: Installation) -> None:
    place, dtu = installation, installation.dtu
    assert isinstance(dtu, FakeOpenDtu)
    dtu.own_limiter = 1
    await place.app.start()
    await held(place)
    await place.app.when(lambda seen: all(one["guarded"] for one in seen["inverters"]))

    dtu.own_limiter = 0
    seen = await place.app.when(lambda seen: "own power limiter is on" in seen["reason"])
    await place.app.when(lambda seen: not any(one["guarded"] for one in seen["inverters"]))
    assert not any(one["enabled"] for one in seen["inverters"])
    assert all(one["power_w"] is not None for one in seen["inverters"])
    (fault,) = (one for one in seen["faults"] if one["key"] == "gateway:OpenDTU")
    assert "switch it off" in fault["next_step"]
    place.house.dtu.received.clear()
    place.house.load_override_w = 900.0
    await asyncio.sleep(3.0)
    assert place.commands() == []

    dtu.own_limiter = 1
    await held(place)
    await place.app.when(lambda seen: all(one["guarded"] for one in seen["inverters"]))

    dtu.own_limiter = 2
    await place.app.when(lambda seen: not any(one["guarded"] for one in seen["inverters"]))
    place.house.dtu.received.clear()
    await place.app.stop(signal.SIGKILL)
    await asyncio.sleep(1.0)
    assert place.commands() == [], "no will either"


async def test_a_leftover_of_an_onbattery_that_is_gone_holds_nobody_up(installation: Installation) -> None:
    await installation.publish("solar/powerlimiter/status/mode", "0", retain=True)
    await installation.app.start()
    await held(installation)
    await until(lambda: bool(installation.commands()))
