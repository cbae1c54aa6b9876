"""Keeping prices current: what stays known, how often is asked, what outlives a restart, whose clock is right."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app.kept import Kept
from app.model import DeviceAuthError, DeviceDataError, DeviceError, DeviceUnavailable, PriceSlot
from app.prices import feed as module
from app.prices.base import AskAgain, Busy, Fetched
from app.prices.feed import BUILT_UTC_S, KeptPrices, PriceFeed
from app.prices.timetable import Timetable

T_S = 1_775_282_400.0


def slot(value_c: float = 5.0, *, begin_s: float = T_S, confirmed: bool = True) -> PriceSlot:
    return PriceSlot(begin_s, begin_s + 300.0, value_c, None, confirmed)


@dataclass
class Scripted:
    """A source that answers what it is told to, the last thing again and again."""

    script: list[Fetched | DeviceError]
    name: str = "Amber"
    currency: str = "AUD"
    pause: float = 60.0
    asked: int = 0

    async def fetch(self) -> Fetched:
        self.asked += 1
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(answer, DeviceError):
            raise answer
        return answer

    def pause_s(self, utc_s: float, known: Timetable) -> float:
        return self.pause


@dataclass
class Here:
    """This computer: its clocks, and the feed on it."""

    utc_s: float = T_S + 30.0
    monotonic_s: float = 500.0
    waits: list[float] = field(default_factory=list)

    def feed(
        self, *script: Fetched | DeviceError, kept: Kept[KeptPrices] | None = None, of: str = "amber"
    ) -> PriceFeed:
        self.source = Scripted(list(script))
        return PriceFeed(
            self.source, 900.0, kept, of=of, utc=lambda: self.utc_s, monotonic=lambda: self.monotonic_s, jitter_s=0.0
        )

    def passes(self, seconds: float) -> None:
        self.utc_s += seconds
        self.monotonic_s += seconds


@pytest.fixture
def here() -> Here:
    return Here()


def stored(folder: Path) -> Kept[KeptPrices]:
    return Kept(folder / "prices.json", KeptPrices, KeptPrices(), "prices")


DOWN = DeviceUnavailable("Amber answers HTTP 503")


async def test_before_the_first_answer_nothing_is_known_and_nothing_is_wrong(here: Here) -> None:
    state = here.feed(DOWN).state()
    assert (state.export_value_c, state.fault, state.refused, state.currency) == (None, None, False, "AUD")


async def test_a_failed_question_keeps_what_is_known_and_tells(here: Here) -> None:
    feed = here.feed(Fetched((slot(),)), DOWN)
    await feed.update()
    await feed.update()
    state = feed.state()
    assert (state.export_value_c, state.estimated, state.fault) == (5.0, False, "Amber answers HTTP 503")


async def test_a_service_without_a_price_for_us_leaves_none(here: Here) -> None:
    feed = here.feed(Fetched((slot(),)), DeviceDataError("no feed-in price"))
    await feed.update()
    assert len(feed.around()) == 1
    await feed.update()
    assert (feed.state().export_value_c, feed.state().fault) == (None, "no feed-in price")
    assert feed.around() == (), "nor is one shown"


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        (DOWN, [10, 20, 40, 60, 60]),
        (DeviceDataError("no feed-in price"), [10, 20, 40, 60, 60]),
        (DeviceAuthError("refused"), [3600, 3600]),
        (Busy("Amber", None), [10, 20, 40, 80, 160, 300, 300]),
        (Busy("Amber", 41.0), [41, 41, 41, 41, 80, 160, 300, 300]),
        (Busy("Amber", 2.0), [2, 10, 20, 40, 80, 160, 300, 300]),
        (AskAgain("mqtt topic price: no price", 0.0), [0, 0, 0]),
    ],
)
async def test_how_long_it_waits_after_a_failure(here: Here, error: DeviceError, waits: list[int]) -> None:
    feed = here.feed(error)
    assert [await feed.update() for _ in waits] == waits


async def test_after_a_success_the_back_off_begins_anew(here: Here) -> None:
    feed = here.feed(DOWN, DOWN, Fetched(()), DOWN)
    assert [await feed.update() for _ in range(4)] == [10.0, 20.0, 60.0, 10.0]


@pytest.mark.parametrize(("source_s", "answer_s", "wait_s"), [(60.0, 0.0, 60.0), (-7.0, 0.0, 3.0), (5.0, 90.0, 90.0)])
async def test_the_longest_of_all_pauses_counts_and_none_is_too_short(
    here: Here, source_s: float, answer_s: float, wait_s: float
) -> None:
    feed = here.feed(Fetched((), pause_s=answer_s))
    here.source.pause = source_s
    assert await feed.update() == wait_s


async def test_a_refused_login_is_marked_and_the_price_still_serves(here: Here) -> None:
    feed = here.feed(Fetched((slot(),)), DeviceAuthError("Amber refuses the login"))
    await feed.update()
    await feed.update()
    assert (feed.state().refused, feed.state().export_value_c) == (True, 5.0)


async def test_prices_outlive_the_program(here: Here, tmp_path: Path) -> None:
    await here.feed(Fetched((slot(), slot(7.0, begin_s=T_S + 300.0, confirmed=False))), kept=stored(tmp_path)).update()
    here.passes(60.0)
    again = here.feed(DOWN, kept=stored(tmp_path))
    assert (again.state().export_value_c, again.state().estimated) == (5.0, False)
    here.passes(300.0)
    assert (again.state().export_value_c, again.state().estimated) == (7.0, True)
    here.passes(86_400.0)
    assert here.feed(DOWN, kept=stored(tmp_path)).state().export_value_c is None


async def test_prices_of_another_configuration_are_left_alone(here: Here, tmp_path: Path) -> None:
    """Another site, source or formula: what was settled there is wrong here."""
    await here.feed(Fetched((slot(),)), kept=stored(tmp_path)).update()
    assert here.feed(DOWN, kept=stored(tmp_path), of="fixed").state().export_value_c is None
    assert here.feed(DOWN, kept=stored(tmp_path)).state().export_value_c == 5.0


async def test_what_a_service_takes_back_does_not_return_with_a_restart(here: Here, tmp_path: Path) -> None:
    feed = here.feed(Fetched((slot(),)), DeviceDataError("no feed-in price"), kept=stored(tmp_path))
    await feed.update()
    await feed.update()
    assert here.feed(DOWN, kept=stored(tmp_path)).state().export_value_c is None


async def test_after_a_power_cut_a_clock_that_goes_on_where_it_was_is_not_believed(here: Here, tmp_path: Path) -> None:
    """Computers without a battery start at the time that they have last saved, and so at another price."""
    await here.feed(Fetched((slot(begin_s=T_S - 300.0), slot())), kept=stored(tmp_path)).update()
    here.utc_s -= 100.0
    feed = here.feed(DOWN, Fetched((slot(begin_s=T_S - 300.0), slot())), kept=stored(tmp_path))
    await feed.update()
    state = feed.state()
    assert (state.export_value_c, "earlier time than at the last run" in str(state.fault)) == (None, True)
    assert feed.around() == ()
    here.utc_s += 100.0
    assert feed.state().export_value_c == 5.0, "the clock was put right"
    here.utc_s -= 100.0
    await feed.update()
    assert (feed.state().export_value_c, feed.state().fault) == (5.0, None), "the service itself has answered"


async def test_what_a_wrong_clock_shows_is_not_saved(here: Here, tmp_path: Path) -> None:
    feed = here.feed(Fetched((slot(),), here.utc_s - 3600.0), Fetched((slot(),), here.utc_s), kept=stored(tmp_path))
    await feed.update()
    assert not (tmp_path / "prices.json").exists()
    await feed.update()
    assert (tmp_path / "prices.json").exists()


async def test_prices_are_saved_now_and_then_only(here: Here, tmp_path: Path) -> None:
    """Cards wear out, and Amber is asked a dozen times in five minutes."""
    feed = here.feed(*(Fetched((slot(float(value)),)) for value in range(1, 4)), kept=stored(tmp_path))
    saved = []
    for passed_s in (0.0, 3.0, 3600.0):
        here.passes(passed_s)
        await feed.update()
        saved.append((tmp_path / "prices.json").read_text())
    assert (saved[0] == saved[1], saved[1] == saved[2]) == (True, False)


@pytest.mark.parametrize("content", ["", "{", "[1]", '[{"start_utc_s": "soon"}]', "null", "\x00"])
async def test_a_damaged_file_starts_anew(here: Here, tmp_path: Path, content: str) -> None:
    (tmp_path / "prices.json").write_text(content)
    assert here.feed(DOWN, kept=stored(tmp_path)).state().export_value_c is None
    assert (tmp_path / "prices.damaged").exists()


@pytest.mark.parametrize(("ahead_s", "words"), [(31.0, "31 s ahead of"), (-300.0, "300 s behind")])
async def test_a_clock_that_is_not_the_service_s_makes_every_price_unknown(
    here: Here, ahead_s: float, words: str
) -> None:
    feed = here.feed(Fetched((slot(),), server_utc_s=here.utc_s - ahead_s), Fetched((slot(),), here.utc_s - 10.0))
    await feed.update()
    fault = f"this computer's clock is {words} that of Amber: check its network time"
    assert (feed.state().export_value_c, feed.state().fault, feed.around()) == (None, fault, ())
    await feed.update()
    assert (feed.state().export_value_c, feed.state().fault) == (5.0, None)


async def test_a_clock_that_is_set_between_two_answers_is_seen_at_once(here: Here) -> None:
    """The monotonic clock goes on as the service's does."""
    feed = here.feed(Fetched((slot(),), server_utc_s=here.utc_s))
    await feed.update()
    here.passes(100.0)
    assert feed.state().export_value_c == 5.0
    here.utc_s += 3600.0
    assert "3600 s ahead of" in str(feed.state().fault)


async def test_a_clock_that_was_never_set_makes_every_price_unknown(here: Here) -> None:
    feed = here.feed(Fetched((slot(begin_s=0.0),)))
    here.utc_s = 30.0
    await feed.update()
    assert here.utc_s < BUILT_UTC_S
    assert (feed.state().export_value_c, "clock is not set" in str(feed.state().fault)) == (None, True)


async def test_a_fault_of_the_clock_is_told_before_one_of_the_service(here: Here) -> None:
    feed = here.feed(Fetched((slot(),), server_utc_s=here.utc_s - 60.0), DOWN)
    await feed.update()
    await feed.update()
    assert "60 s ahead of" in str(feed.state().fault)


async def test_it_runs_for_ever_and_logs_once_down_and_once_up(
    here: Here, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real_sleep, pauses = asyncio.sleep, list[float]()

    async def no_sleep(_feed: PriceFeed, seconds: float) -> None:
        pauses.append(seconds)
        await real_sleep(0.0)

    monkeypatch.setattr(PriceFeed, "_sleep", no_sleep)
    feed = here.feed(DOWN, DOWN, DOWN, Fetched((slot(),)))
    with caplog.at_level(logging.DEBUG):
        task = asyncio.create_task(feed.run())
        async with asyncio.timeout(20):
            while len(pauses) < 6:
                await real_sleep(0.001)
        task.cancel()
    ours = [record.getMessage() for record in caplog.records if record.name == "app.prices.feed"]
    assert ours == ["Amber answers HTTP 503", "Amber is back"]
    assert pauses[:5] == [10.0, 20.0, 40.0, 60.0, 60.0]


async def test_everybody_asks_at_another_moment(monkeypatch: pytest.MonkeyPatch, here: Here) -> None:
    """Services refuse at round seconds: up to two seconds are added to each pause."""
    source, pauses, real_sleep = Scripted([Fetched(())]), list[float](), asyncio.sleep

    async def no_sleep(_feed: PriceFeed, seconds: float) -> None:
        pauses.append(seconds)
        await real_sleep(0.0)

    monkeypatch.setattr(PriceFeed, "_sleep", no_sleep)
    task = asyncio.create_task(PriceFeed(source, 900.0, utc=lambda: here.utc_s).run())
    while len(pauses) < 50:
        await real_sleep(0.0)
    task.cancel()
    assert all(60.0 <= pause <= 62.0 for pause in pauses)
    assert max(pauses) - min(pauses) > 1.0


@pytest.mark.parametrize("jump_s", [4 * 86_400.0, -3600.0])
async def test_a_clock_that_is_put_right_ends_the_pause(
    here: Here, monkeypatch: pytest.MonkeyPatch, jump_s: float
) -> None:
    """After a boot without a clock, the prices of the right time are not waited for until the old pause is over."""
    monkeypatch.setattr(module, "NAP_S", 0.01)
    source = Scripted([Fetched((slot(),), pause_s=3600.0)] * 3)
    feed = PriceFeed(source, 0.0, utc=lambda: here.utc_s, monotonic=time.monotonic, jitter_s=0.0)
    task = asyncio.create_task(feed.run())
    await asyncio.sleep(0.1)
    assert source.asked == 1
    here.utc_s += jump_s
    async with asyncio.timeout(20):
        while source.asked < 2:
            await asyncio.sleep(0.01)
    task.cancel()


@pytest.mark.parametrize("wrong", [{"start_utc_s": -1e299}, {"end_utc_s": 1e299}, {"export_value_c": 1e300}])
async def test_a_damaged_file_of_prices_is_kept_aside(here: Here, tmp_path: Path, wrong: dict[str, float]) -> None:
    await here.feed(Fetched((slot(),)), kept=stored(tmp_path)).update()
    path = tmp_path / "prices.json"
    document = json.loads(path.read_text())
    document["slots"][0] |= wrong
    path.write_text(json.dumps(document))
    assert here.feed(DOWN, kept=stored(tmp_path)).state().export_value_c is None
    assert path.with_suffix(".damaged").exists()
