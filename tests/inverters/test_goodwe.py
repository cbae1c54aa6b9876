"""The GoodWe driver at a dongle that answers Modbus TCP."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest
from pymodbus.constants import ExcCodes

from app.access import Access
from app.checks import running
from app.inverters.goodwe import GoodWe, GoodWeConfig, driver
from app.modbus import ModbusClient
from app.model import DeviceUnavailable, InverterState
from tests.conftest import until
from tests.inverters.fake_goodwe import RATED_W, Dongle, dongle

NAME = "roof"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "LOOK_S", 0.2)
    monkeypatch.setattr(driver, "TWICE_S", 0.1)
    monkeypatch.setattr(driver, "FIRST_PAUSE_S", 0.1)
    monkeypatch.setattr(driver, "LONGEST_PAUSE_S", 0.4)


@pytest.fixture
async def place() -> AsyncIterator[Dongle]:
    async with dongle() as found:
        yield found


def section(place: Dongle, **keys: Any) -> GoodWeConfig:
    """The section, and the driver more hurried than people may want it."""
    given = {"type": "goodwe", "name": NAME, "host": place.host, "max_watt": RATED_W, **keys}
    return GoodWeConfig.model_validate(given).model_copy(update={"interval_s": 0.05})


def made(place: Dongle, folder: Path, **keys: Any) -> GoodWe:
    access = Access(cast(aiohttp.ClientSession, None), lambda _: cast(Any, None), folder)
    return GoodWe(section(place, **keys), access)


@asynccontextmanager
async def working(place: Dongle, folder: Path, **keys: Any) -> AsyncIterator[GoodWe]:
    """A driver that has heard the inverter and looked at its limit."""
    found = made(place, folder, **keys)
    async with running(found.run()):
        await until(lambda: state(found).acked_at_s is not None, what="the first look")
        yield found


def state(found: GoodWe) -> InverterState:
    return found.states()[0]


def memory(folder: Path) -> dict[str, Any]:
    [path] = folder.glob("goodwe-*.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


# -- what it tells ---------------------------------------------------------------------------------------


async def test_what_it_measures(place: Dongle, tmp_path: Path) -> None:
    async with working(place, tmp_path) as found:
        now = state(found)
        assert (now.ac.power_w, now.ac.dc_power_w) == (4000.0, 4120.0)
        assert now.ac.temperature_c == pytest.approx(31.5)
        assert now.ac.voltage_v == pytest.approx(231.4)
        assert now.ac.yield_day_wh == 12_300.0
        assert now.ac.yield_total_kwh == pytest.approx(456.7)
        [panel] = now.panels  # 0xFFFF is no value
        assert panel.channel == 1
        assert panel.voltage_v == pytest.approx(360.1)
        assert panel.current_a == pytest.approx(5.2)
        assert (now.serial, now.max_w, now.min_w, now.reachable, now.producing) == (NAME, RATED_W, 50.0, True, True)
        assert (now.guardable, now.radio, now.pace_s, now.step_w) == (False, NAME, 10.0, 50.0)
        assert (now.writes_today, now.writes_budget, now.dead_time_s) == (0, 300, (0.5, 12.0))
        assert now.acked_w == RATED_W
        first = now.data_seq
        await until(lambda: state(found).data_seq > first + 1)
        assert place.inverter.writes == [], "looking changes nothing"


async def test_values_that_it_does_not_know_are_asked_for_seldom(place: Dongle, tmp_path: Path) -> None:
    place.inverter.put(30195, [0xFFFF] * 15)
    async with working(place, tmp_path) as found:
        await until(lambda: state(found).data_seq > 10)
        asked = [address for _, address, _ in place.inverter.asked]
        assert asked.count(36000) == 1, "again after 300 s"
        assert asked.count(30100) >= 10


async def test_a_meter_of_its_own_is_told_where_the_limit_counts_there(place: Dongle, tmp_path: Path) -> None:
    place.inverter.takes("dns", [0, 5000])
    place.inverter.put(30209, [1])
    place.inverter.put(30195, [0xFFFF, 0xFF9C])
    async with working(place, tmp_path, profile="dns") as found:
        await until(lambda: found.own_meter.connected is True)
        assert found.own_meter.power_w == -100.0
        assert "its limit counts at the meter of its own" in (state(found).note or "")


# -- limits ----------------------------------------------------------------------------------------------

WRITTEN: list[tuple[str, str, list[int], float, list[tuple[int, list[int]]], float]] = [
    ("dns_seed", "active_pct", [100], 2549.0, [(291, [1]), (256, [50])], 2500.0),
    ("dns_seed", "active_pct", [100], 3.0, [(291, [1]), (256, [1])], 50.0),
    ("dns_seed", "pct", [100], 1299.9, [(291, [1]), (292, [25]), (293, [250])], 1250.0),
    ("dns", "watts", [0, 5000], 1299.9, [(40327, [1]), (40328, [0, 1299])], 1299.0),
    ("dns", "watts", [0, 5000], 0.0, [(40327, [1]), (40328, [0, 50])], 50.0),
    ("dt", "pct", [100], 4999.9, [(40327, [1]), (40336, [99])], 4950.0),
    ("et", "watts", [5000], 1234.0, [(47509, [1]), (47510, [1234])], 1234.0),
]


@pytest.mark.parametrize(("profile", "control", "open_at", "asked_w", "writes", "holds_w"), WRITTEN)
async def test_a_limit_is_rounded_down_and_written_in_order(
    profile: str,
    control: str,
    open_at: list[int],
    asked_w: float,
    writes: list[tuple[int, list[int]]],
    holds_w: float,
    tmp_path: Path,
) -> None:
    async with dongle() as place:
        inverter = place.inverter
        if profile == "dns_seed":
            inverter.obeys = control
        else:
            inverter.takes(profile, open_at)
        layout = {35000 + offset: 0 for offset in range(225)} if profile == "et" else {}
        inverter.registers |= layout
        async with working(place, tmp_path, profile=profile, control=control) as found:
            assert await found.set_limit(NAME, asked_w)
            now = state(found)
            assert inverter.writes == writes
            assert inverter.limit_w == holds_w
            assert (now.commanded_w, now.acked_w) == (holds_w, holds_w)
            assert now.acked_pct == pytest.approx(holds_w / 50.0)
            assert now.acked_at_s is not None
            assert now.commanded_at_s is not None
            assert now.acked_at_s >= now.commanded_at_s
            assert now.writes_today == len(writes)


async def test_equal_values_are_not_written_again(place: Dongle, tmp_path: Path) -> None:
    async with working(place, tmp_path) as found:
        for asked_w in (2500.0, 2510.0, 2549.0, 2500.0):
            assert await found.set_limit(NAME, asked_w)
        at_s = state(found).commanded_at_s
        assert await found.set_limit(NAME, 2520.0)
        assert place.inverter.writes == [(291, [1]), (256, [50])]
        assert state(found).commanded_at_s == at_s, "nothing new is in flight"
        assert await found.set_limit(NAME, 2400.0)
        assert place.inverter.writes[2:] == [(256, [48])], "the switch stays"
    inverter = place.inverter
    async with working(place, tmp_path) as again:
        assert await again.set_limit(NAME, 2400.0)
        assert len(inverter.writes) == 3, "nor after a restart"
        assert state(again).commanded_w == 2400.0
        assert state(again).writes_today == 3, "counted over restarts"


async def test_the_limiter_may_be_switched_off_when_nothing_is_limited(place: Dongle, tmp_path: Path) -> None:
    async with working(place, tmp_path, limiter_always_on=False) as found:
        await found.set_limit(NAME, 1000.0)
        await found.set_limit(NAME, RATED_W)
        assert place.inverter.writes[2:] == [(291, [0]), (256, [100])]
        assert state(found).acked_w == RATED_W


async def test_other_addresses(place: Dongle, tmp_path: Path) -> None:
    place.inverter.registers |= {500: 100, 501: 0}
    place.inverter.writable |= {500, 501}
    async with working(place, tmp_path, registers={"pct": 500, "switch": 501}) as found:
        await found.set_limit(NAME, 1000.0)
        assert place.inverter.writes == [(501, [1]), (500, [20])]
        assert {one.verified for one in found.config.scale.registers} == {"unverified"}


async def test_an_inverter_of_a_bigger_kind_is_counted_by_what_its_100_percent_are(
    place: Dongle, tmp_path: Path
) -> None:
    async with working(place, tmp_path, max_watt=3000, rated_watt=5000) as found:
        assert state(found).max_w == 3000.0
        await found.set_limit(NAME, 4000.0)
        assert place.inverter.registers[256] == 60


# -- what was there before us ----------------------------------------------------------------------------


async def test_a_limit_that_is_not_ours_is_never_exceeded_and_comes_back(place: Dongle, tmp_path: Path) -> None:
    place.inverter.registers |= {291: 1, 256: 70}
    async with working(place, tmp_path) as found:
        assert state(found).max_w == 3500.0
        assert "a limit of 3500 W was there before us" in (state(found).note or "")
        assert await found.set_limit(NAME, RATED_W)
        assert place.inverter.writes == []
        await found.set_limit(NAME, 1000.0)
    assert memory(tmp_path)["found"] == {"291": 1, "256": 70}
    async with working(place, tmp_path) as again:
        assert state(again).max_w == 3500.0, "what is ours is not taken for what was found"
        assert await again.release(NAME)
        assert place.inverter.registers[256] == 70
        assert await again.release(NAME, 100.0)
        assert place.inverter.registers[256] == 100
        assert state(again).max_w == RATED_W
    async with working(place, tmp_path) as last:
        assert state(last).max_w == RATED_W


async def test_a_limit_that_somebody_set_while_we_were_away_is_kept_too(place: Dongle, tmp_path: Path) -> None:
    async with working(place, tmp_path) as found:
        await found.set_limit(NAME, 1000.0)
    place.inverter.registers[256] = 60
    async with working(place, tmp_path) as found:
        assert state(found).max_w == 3000.0
    async with working(place, tmp_path, found_limit="ignore") as found:
        assert state(found).max_w == RATED_W


async def test_a_write_that_was_under_way_when_we_died_is_ours(place: Dongle, tmp_path: Path) -> None:
    async with working(place, tmp_path) as found:
        await found.set_limit(NAME, 3000.0)
        place.inverter.stuck.add(256)
        await found.set_limit(NAME, 1000.0)
    assert memory(tmp_path)["ours"]["256"] == 20
    place.inverter.stuck.clear()
    async with working(place, tmp_path) as found:
        assert state(found).max_w == RATED_W


# -- what goes wrong -------------------------------------------------------------------------------------


async def test_another_value_than_ours_is_told_and_costs_the_limit(place: Dongle, tmp_path: Path) -> None:
    async with working(place, tmp_path) as found:
        await found.set_limit(NAME, 1000.0)
        before = state(found).resets
        place.inverter.registers[256] = 90
        await until(lambda: state(found).resets == before + 1)
        assert state(found).foreign == "register 256: 90"
        assert await found.set_limit(NAME, 1000.0)
        assert place.inverter.registers[256] == 20


@pytest.mark.parametrize("lost", [{}, {"r256": 100, "r291": 0}], ids=["kept", "lost"])
async def test_a_restart_is_nobodys_command(lost: dict[str, int], place: Dongle, tmp_path: Path) -> None:
    async with working(place, tmp_path) as found:
        await found.set_limit(NAME, 1000.0)
        before, seen = state(found).resets, state(found).data_seq
        await place.close()
        await until(lambda: found.fault is not None)
        await place.reboot(**lost)
        await until(lambda: state(found).data_seq > seen + 5)
        assert state(found).resets == before + bool(lost)
        assert state(found).foreign is None
        assert await found.set_limit(NAME, 1000.0)
        assert place.inverter.limit_w == 1000.0
        assert len(place.inverter.writes) == (4 if lost else 2), "a value that it kept is not written again"


async def test_a_value_that_does_not_stay_is_written_again_ever_more_seldom(
    place: Dongle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.inverter.stuck.add(256)
    async with working(place, tmp_path) as found:
        assert await found.set_limit(NAME, 1000.0)
        assert not await found.set_limit(NAME, 1000.0)
        assert state(found).acked_w == RATED_W
        assert "register 256 shows 100 after 20 was written" in (state(found).note or "")
        assert len(place.inverter.writes) == 2
        place.inverter.stuck.clear()
        monkeypatch.setattr(found.limiter, "_again_s", 0.0)
        assert await found.set_limit(NAME, 1000.0)
        assert state(found).acked_w == 1000.0
        assert "shows" not in (state(found).note or "")


@pytest.mark.parametrize(
    ("refusal", "told"),
    [
        (ExcCodes.ILLEGAL_FUNCTION, "does not know function 6 .*cannot be written"),
        (ExcCodes.ILLEGAL_ADDRESS, "has no register 291 to write .*check model and address"),
        (ExcCodes.ILLEGAL_VALUE, "does not take 1 in register 291"),
        (ExcCodes.DEVICE_FAILURE, "fault of its own"),
    ],
)
async def test_a_refusal_is_named_and_not_repeated_at_once(
    refusal: ExcCodes, told: str, place: Dongle, tmp_path: Path
) -> None:
    place.inverter.refusals[291] = refusal
    async with working(place, tmp_path) as found:
        assert not await found.set_limit(NAME, 1000.0)
        fault = found.gateway().fault
        assert fault is not None
        assert re.search(f"{NAME} cannot be limited: the GoodWe at .* {told}", fault)
        assert state(found).writes_today == 0
        place.inverter.refusals.clear()
        assert not await found.set_limit(NAME, 1000.0), "not in the next second"
        found.limiter._refused_s = float("-inf")
        assert await found.set_limit(NAME, 1000.0)
        assert found.gateway().fault is None


async def test_what_was_written_before_a_refusal_counts(place: Dongle, tmp_path: Path) -> None:
    place.inverter.obeys = "pct"
    place.inverter.refusals[293] = ExcCodes.ILLEGAL_VALUE
    async with working(place, tmp_path, control="pct") as found:
        assert not await found.set_limit(NAME, 1000.0)
        assert [address for address, _ in place.inverter.writes] == [291, 292]
        assert state(found).writes_today == 2


async def test_busy_is_an_outage_and_no_fault_of_the_profile(place: Dongle, tmp_path: Path) -> None:
    place.inverter.refusals[291] = ExcCodes.DEVICE_BUSY
    async with working(place, tmp_path) as found:
        assert not await found.set_limit(NAME, 1000.0)
        assert found.gateway().fault is None
        place.inverter.refusals.clear()
        assert await found.set_limit(NAME, 1000.0)


async def test_a_second_client_is_told_of(place: Dongle, tmp_path: Path) -> None:
    other = ModbusClient(place.host, 5.0)
    await other.read(3, 256, 1, 247)
    found = made(place, tmp_path)
    async with running(found.run()):
        await until(lambda: found.fault is not None)
        assert "serves one Modbus client at a time: is another one connected?" in (found.fault or "")
        assert state(found).reachable is False
        other.close()
        await until(lambda: state(found).reachable is True)
    with pytest.raises(DeviceUnavailable):
        async with working(place, tmp_path):
            await ModbusClient(place.host, 5.0).read(3, 256, 1, 247)


async def test_two_behind_one_dongle_share_its_connection(place: Dongle, tmp_path: Path) -> None:
    access = Access(cast(aiohttp.ClientSession, None), lambda _: cast(Any, None), tmp_path)
    both = [GoodWe(section(place, name=name), access) for name in ("one", "two")]
    async with running(*(one.run() for one in both)):
        await until(lambda: all(state(one).acked_at_s is not None for one in both))
        assert place.clients == 1
        assert place.turned_away == 0


async def test_disconnects_and_slow_answers(place: Dongle, tmp_path: Path) -> None:
    place.inverter.answer_s = 0.05
    async with working(place, tmp_path) as found:
        for round_ in range(5):
            seen = state(found).data_seq
            place.drop()
            await until(lambda seen=seen: state(found).data_seq > seen)
            assert await found.set_limit(NAME, 1000.0 + 100.0 * round_)
        assert state(found).reachable is True
        assert place.inverter.limit_w == 1400.0


async def test_an_outage_is_a_fault_by_day_and_none_by_night(
    place: Dongle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "LOST_S", 0.1)
    async with working(place, tmp_path) as found:
        await place.close()
        await until(lambda: "cannot be reached" in (found.gateway().fault or ""))
        await place.listen()
        await until(lambda: found.gateway().fault is None)
        place.inverter.sun_w = 5.0
        await until(lambda: state(found).ac.power_w == 5.0)
        await place.close()
        await until(lambda: state(found).reachable is False)
        assert found.gateway().fault is None
        assert found.gateway().online is False


async def test_a_limit_that_cannot_be_sent_is_said_to_be_so(place: Dongle, tmp_path: Path) -> None:
    async with working(place, tmp_path) as found:
        await place.close()
        assert not await found.set_limit(NAME, 1000.0)
        assert state(found).commanded_w is None


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
async def test_no_limit_is_no_command(wrong: float, place: Dongle, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="refusing"):
        await made(place, tmp_path).set_limit(NAME, wrong)
    with pytest.raises(ValueError, match="refusing"):
        await made(place, tmp_path, enabled=False).set_limit(NAME, 100.0)


async def test_a_damaged_memory_is_kept_aside(place: Dongle, tmp_path: Path) -> None:
    async with working(place, tmp_path) as found:
        await found.set_limit(NAME, 1000.0)
    [path] = tmp_path.glob("goodwe-*.json")
    path.write_text('{"found": [1, 2], "ours": "no"}')
    async with working(place, tmp_path) as found:
        assert state(found).writes_today == 0
        assert path.with_suffix(".damaged").exists()


# -- wear ------------------------------------------------------------------------------------------------


async def spend(found: GoodWe, count: int) -> None:
    """So many writes, each of them allowed."""
    for number in range(count):
        found.limiter._written_s = float("-inf")
        assert await found.set_limit(NAME, 4000.0 - 50.0 * number)


async def test_the_budget_keeps_a_reserve_for_cuts_and_its_last_write_for_the_lowest(
    place: Dongle, tmp_path: Path
) -> None:
    async with working(place, tmp_path, writes_per_day=20) as found:
        await spend(found, 15)  # and the switch makes 16
        assert state(found).writes_today == 16
        held_w = place.inverter.limit_w
        found.limiter._written_s = float("-inf")
        assert not await found.set_limit(NAME, held_w + 500.0), "no raise out of the reserve"
        assert "the rest is kept for cuts" in (state(found).note or "")
        for cut_w in (1000.0, 900.0, 800.0):
            assert await found.set_limit(NAME, cut_w)
        assert place.inverter.limit_w == 800.0
        assert await found.set_limit(NAME, 700.0)
        assert place.inverter.limit_w == 50.0, "the last one goes to the lowest"
        now = state(found)
        assert (now.writes_today, now.commanded_w) == (20, 50.0)
        assert "all 20 writes of today are used up" in (now.note or "")
        assert not await found.set_limit(NAME, 3000.0)
        place.inverter.registers[256] = 100
        await until(lambda: state(found).foreign is not None)
        assert await found.set_limit(NAME, 3000.0), "what is safe is written whatever it costs"
        assert place.inverter.limit_w == 50.0
        place.inverter.registers[256] = 100
        before = state(found).resets
        await until(lambda: state(found).resets > before)
        assert not await found.set_limit(NAME, 50.0), "and not in the same minute"
    async with working(place, tmp_path, writes_per_day=20) as again:
        assert state(again).writes_today == 21, "a restart gives no new ones"


async def test_raises_slow_down_as_writes_run_ahead_of_the_day(place: Dongle, tmp_path: Path) -> None:
    async with working(place, tmp_path, writes_per_day=20) as found:
        assert (state(found).pace_s, state(found).step_w) == (10.0, 50.0)
        await spend(found, 13)
        assert state(found).pace_s > 10.0
        assert state(found).step_w > 50.0


async def test_where_nothing_wears_out_nothing_is_counted(place: Dongle, tmp_path: Path) -> None:
    async with working(place, tmp_path, writes_per_day=20, volatile=True) as found:
        for number in range(30):
            assert await found.set_limit(NAME, 4000.0 - 50.0 * number)
        assert (state(found).writes_today, state(found).writes_budget) == (None, None)
        assert (state(found).pace_s, state(found).step_w) == (10.0, 50.0)


# -- proof -----------------------------------------------------------------------------------------------

UNPROVEN = "register meaning not yet proven by power"


async def follow(found: GoodWe, place: Dongle, limits_w: tuple[float, ...]) -> None:
    for limit_w in limits_w:
        await found.set_limit(NAME, limit_w)
        seen = state(found).data_seq
        await until(lambda seen=seen: state(found).data_seq > seen + 5)


async def test_power_proves_what_the_registers_mean_and_that_is_kept(place: Dongle, tmp_path: Path) -> None:
    async with working(place, tmp_path) as found:
        assert UNPROVEN in (state(found).note or "")
        await follow(found, place, (3000.0, 2000.0))
        await until(lambda: UNPROVEN not in (state(found).note or ""))
    async with working(place, tmp_path) as again:
        assert UNPROVEN not in (state(again).note or "")
    async with working(place, tmp_path, control="pct") as other:
        assert UNPROVEN in (state(other).note or ""), "other registers prove themselves anew"


async def test_a_register_that_is_read_back_and_does_nothing_proves_nothing(place: Dongle, tmp_path: Path) -> None:
    place.inverter.obeys = None
    async with working(place, tmp_path) as found:
        await follow(found, place, (3000.0, 2000.0, 1000.0))
        assert state(found).acked_w == 1000.0
        assert UNPROVEN in (state(found).note or "")


# -- the doctor ------------------------------------------------------------------------------------------


async def told(found: GoodWe) -> str:
    async with running(found.run()):
        return "\n".join(str(check) for check in await found.examine())


async def test_the_doctor_goes_step_by_step(place: Dongle, tmp_path: Path) -> None:
    found = await told(made(place, tmp_path))
    assert "is GW5000-DNS, serial number 55000DSN20000001" in found
    assert "register 256 (pct, seed) holds 100" in found
    assert "zero-export doctor inverter --step-test" in found
    assert "fail" not in found
    assert place.inverter.writes == []


Prepare = Callable[[Dongle], Awaitable[None]]


async def other_registers(place: Dongle) -> None:
    place.inverter.takes("dns", [0, 5000])


async def a_static_limit(place: Dongle) -> None:
    place.inverter.registers |= {291: 1, 256: 70}


async def gone(place: Dongle) -> None:
    await place.close()


async def no_name(place: Dongle) -> None:
    for address in range(30001, 30041):
        del place.inverter.registers[address]


@pytest.mark.parametrize(
    ("prepare", "keys", "told_"),
    [
        (other_registers, {}, "profile dns_seed does not fit: .*profile: dns, control: watts"),
        (a_static_limit, {}, "a limit of 3500 W was there before us.*\n.*release --value 100"),
        (gone, {}, "fail .*cannot be reached"),
        (no_name, {}, "does not tell what it is"),
        (a_static_limit, {"serial": "OTHER1"}, "config.yaml says OTHER1"),
    ],
)
async def test_what_the_doctor_finds(
    prepare: Prepare, keys: dict[str, Any], told_: str, place: Dongle, tmp_path: Path
) -> None:
    await prepare(place)
    found = await told(made(place, tmp_path, **keys))
    assert re.search(told_, found), found
