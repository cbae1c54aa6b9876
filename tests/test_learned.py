"""What was learned survives a restart, and a damaged file does no harm."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from pathlib import Path

import pytest

from app.control.deadtime import CANDIDATES_S, DeadTime
from app.learned import LearnedStore

UTC_S = 1_750_000_000.0
EAST, WEST = "116180400001", "116180400002"


def store(path: Path) -> LearnedStore:
    return LearnedStore(path, lambda: UTC_S)


def known(dead_time_s: float, *, times: int = 20) -> DeadTime:
    """What the law knows after it has seen that many changes, calm ones with the right dead time only."""
    found = DeadTime((0.3, 4.0))
    for _ in range(times):
        found.learn([200.0 * abs(math.log(dead_time_s / candidate_s)) for candidate_s in CANDIDATES_S], 200.0)
    return found


def unsure() -> DeadTime:
    """What it knows where two dead times would do."""
    found = DeadTime((0.3, 4.0))
    for _ in range(20):
        found.learn([0.0 if candidate_s < 1.0 or candidate_s > 8.0 else 200.0 for candidate_s in CANDIDATES_S], 200.0)
    return found


async def test_a_step_test_is_kept_at_once_and_found_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "data" / "learned.json"
    first = store(path)
    keeping = asyncio.create_task(first.run(dict))
    first.measured(EAST, 1.416, 6)
    async with asyncio.timeout(30):
        while not path.exists():
            await asyncio.sleep(0.01)
    keeping.cancel()
    assert json.loads(path.read_text()) == {
        EAST: {"dead_time_s": 1.42, "evidence": 6.0, "source": "step test", "at": "2025-06-15T15:06:40Z"}
    }
    assert store(path).dead_times() == {EAST: 1.42}
    assert not list(path.parent.glob("*.tmp"))


async def test_what_the_law_learned_is_kept_where_it_is_sure_and_new(tmp_path: Path) -> None:
    path = tmp_path / "learned.json"
    kept = store(path)
    await kept.close({EAST: known(3.0), WEST: unsure()})
    assert kept.dead_times() == {EAST: pytest.approx(3.0, rel=0.15)}
    first = path.read_text()
    await kept.close({EAST: known(3.05)})
    assert path.read_text() == first, "no more than 10 % off: not worth a write"
    await kept.close({EAST: known(5.0), WEST: known(1.0, times=1)})
    assert store(path).dead_times() == {EAST: pytest.approx(5.0, rel=0.15)}


@pytest.mark.parametrize("content", ["{", "[]", "null", "\xff\xfe"])
async def test_a_damaged_file_is_put_aside_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    path = tmp_path / "learned.json"
    path.write_bytes(content.encode("latin-1"))
    with caplog.at_level(logging.WARNING):
        anew = store(path)
    assert anew.dead_times() == {}
    assert "learning anew" in caplog.text
    assert (tmp_path / "learned.damaged").read_bytes() == content.encode("latin-1")
    await anew.close({EAST: known(2.0)})
    assert store(path).dead_times().keys() == {EAST}


@pytest.mark.parametrize("value", [-1, 0, 1e9, "3", None, True, [1.0]])
def test_an_entry_that_cannot_be_is_ignored_and_the_others_are_not(tmp_path: Path, value: object) -> None:
    path = tmp_path / "learned.json"
    path.write_text(json.dumps({EAST: {"dead_time_s": value}, WEST: {"dead_time_s": 2.5}, "x": 4}))
    assert store(path).dead_times() == {WEST: 2.5}


async def test_a_folder_that_cannot_be_written_is_said_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = store(tmp_path / "data" / "learned.json")
    (tmp_path / "data").write_text("a file where the folder should be")
    await kept.close({EAST: known(2.0)})
    assert "cannot save what was learned" in caplog.text
    assert kept.dead_times().keys() == {EAST}
