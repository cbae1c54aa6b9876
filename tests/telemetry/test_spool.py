"""The spool by itself: what is accepted is there after anything, in its order, and within its bounds."""

from __future__ import annotations

import itertools
import os
import random
import resource
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app.telemetry.segment import LEAST_B, parse_name
from app.telemetry.spool import LASTING_POINTS, MEMORY_B, POINTS, REVISED, TOLD_S, Parcel, Spool, lane_of, waiting
from app.telemetry.troubles import ALARM

GB = 1_000_000_000


@dataclass
class Place:
    """A spool in a folder, at a time of one's choice."""

    folder: Path
    cap_b: int = 256_000_000
    at_s: float = 1_750_000_000.0
    free_b: int = 100 * GB
    spools: list[Spool] = field(default_factory=list)

    def open(self) -> Spool:
        now: Callable[[], float] = lambda: self.at_s  # noqa: E731
        disk = lambda _: (200 * GB, 0, self.free_b)  # noqa: E731
        self.spools.append(Spool(self.folder, self.cap_b, utc_s=now, now_s=now, disk=disk))
        self.spools[-1].tend()
        return self.spools[-1]

    def crash(self) -> Spool:
        """As if the process had been killed: nothing is written or tidied up, and the next one begins."""
        spool = self.spools[-1]
        for lane in spool._lanes.values():
            lane.close()
        os.close(spool._lock)
        spool._lock = -1
        return self.open()

    def files(self, lane: str = POINTS) -> list[str]:
        return sorted(path.name for path in (self.folder / lane).iterdir())


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path / "spool")
    yield place
    for spool in place.spools:
        spool.close()


def lines(first: int, end: int, size: int = 0) -> list[str]:
    return [f"grid,site=home power_w={i}.{'0' * size}1 {1_750_000_000_000 + i}" for i in range(first, end)]


def drained(spool: Spool, lane: str = POINTS) -> list[str]:
    found: list[str] = []
    if newest := spool.newest(lane):
        spool.give_back(newest)
    while parcel := spool.oldest(lane):
        found += [line.decode() for line in parcel.lines]
        spool.done(parcel)
    return found


def test_points_that_others_replace_have_lanes_that_keep_their_order() -> None:
    assert {name: lane_of(name) for name in ("grid", "forecast", "minute", "day", "month", "event")} == {
        "grid": POINTS,
        "forecast": REVISED,
        "minute": LASTING_POINTS,
        "day": LASTING_POINTS,
        "month": LASTING_POINTS,
        "event": POINTS,
    }


def test_the_newest_go_first_and_the_others_oldest_first(place: Place) -> None:
    spool = place.open()
    for start in (0, 10, 20):
        spool.accept(POINTS, lines(start, start + 10))
        newest = spool.newest(POINTS)
        assert newest is not None
        assert [line.decode() for line in newest.lines] == lines(start, start + 10)
        spool.give_back(newest)
    assert spool.newest(POINTS) is None
    spool.accept(POINTS, lines(30, 40))
    assert spool.state.pending == 40
    newest, oldest = spool.newest(POINTS), spool.oldest(POINTS, 20)
    assert newest is not None
    assert oldest is not None
    assert [line.decode() for line in newest.lines] == lines(30, 40)
    assert [line.decode() for line in oldest.lines] == lines(0, 20)
    spool.done(newest)
    spool.done(oldest)
    assert drained(spool) == lines(20, 30), "and what was given back, but not what is under way"
    assert spool.state.pending == 0
    assert place.files() == []


@pytest.mark.parametrize("lane", [REVISED, LASTING_POINTS])
def test_a_lane_in_order_gives_what_came_first_also_where_it_came_just_now(place: Place, lane: str) -> None:
    spool = place.open()
    spool.accept(lane, lines(0, 10))
    first = spool.oldest(lane)
    assert first is not None
    spool.accept(lane, lines(10, 20))
    spool.give_back(first)
    assert drained(spool, lane) == lines(0, 20)


def test_a_killed_process_leaves_everything_it_has_accepted(place: Place) -> None:
    spool = place.open()
    for i in range(100):
        spool.accept(POINTS, lines(i, i + 1))
        spool.accept(LASTING_POINTS, lines(i, i + 1))
    spool.newest(POINTS)
    spool = place.crash()
    assert spool.state.pending == 200
    assert spool.state.oldest_utc_s == place.at_s
    spool.accept(POINTS, lines(100, 101))
    spool.accept(LASTING_POINTS, lines(100, 101))
    newest = spool.newest(POINTS)
    assert newest is not None
    assert [line.decode() for line in newest.lines] == lines(100, 101)
    spool.give_back(newest)
    assert drained(spool) == lines(0, 101)
    assert drained(spool, LASTING_POINTS) == lines(0, 101)
    assert place.crash().state.pending == 0


def test_killed_between_sending_and_deleting_it_sends_again(place: Place) -> None:
    spool = place.open()
    spool.accept(POINTS, lines(0, 10))
    sent = spool.newest(POINTS)
    assert sent is not None
    assert drained(place.crash()) == [line.decode() for line in sent.lines]


def test_old_files_are_gzipped_together_and_stay_in_their_order(place: Place) -> None:
    spool = place.open()
    for i in range(200):  # a server that answers with an error once a minute, for more than three hours
        place.at_s += 60.0
        spool.accept(POINTS, lines(i * 60, i * 60 + 60))
        newest = spool.newest(POINTS)
        assert newest is not None
        spool.give_back(newest)
        spool.tend()
    names = [name for file in place.files() if (name := parse_name(file))]
    assert sum(name.packed for name in names) >= 2
    assert sum(not name.packed for name in names) <= 62
    assert spool.state.pending == 12_000
    before_b = spool.state.used_b
    assert before_b == sum((place.folder / POINTS / file).stat().st_size for file in place.files())
    assert before_b < 60_000 * 12_000 / 60 / 4
    spool = place.crash()
    assert (spool.state.pending, spool.state.used_b) == (12_000, before_b)
    assert drained(spool) == lines(0, 12_000)


def test_killed_while_packing_it_loses_nothing(place: Place) -> None:
    spool = place.open()
    spool.accept(POINTS, lines(0, 3000, 300))
    spool.accept(POINTS, lines(3000, 6000, 300))
    before = {path.name: path.read_bytes() for path in (place.folder / POINTS).iterdir()}
    spool.tend()
    after = set(place.files())
    assert any(name.endswith(".lp.gz") for name in after)
    for name, content in before.items():  # as if the originals had not been deleted any more
        (place.folder / POINTS / name).write_bytes(content)
    (place.folder / POINTS / "000000000001.tmp").write_bytes(b"half of a gz")
    found = drained(place.crash())
    assert list(dict.fromkeys(found)) == lines(0, 6000, 300)
    assert place.files() == []


def test_the_oldest_give_way_are_counted_and_told(place: Place) -> None:
    place.cap_b = 3_000_000
    spool = place.open()
    accepted = 0
    alarmed = None
    while spool.state.dropped == 0:
        spool.accept(POINTS, [f"grid power_w={random.random()},x={random.random()} {accepted + i}" for i in range(500)])
        spool.accept(LASTING_POINTS, lines(accepted, accepted + 1))
        spool.tend()
        accepted += 500
        if alarmed is None and spool.state.fault is not None:
            alarmed = spool.state.used_b
            assert "is 8" in spool.state.fault.text
            assert spool.state.dropped == 0
    assert alarmed is not None
    assert ALARM * place.cap_b <= alarmed < (ALARM + 0.1) * place.cap_b
    fault = spool.state.fault
    assert fault is not None
    assert f"the oldest {spool.state.dropped} points are lost" in fault.text
    assert spool.state.used_b <= place.cap_b
    assert len(drained(spool, LASTING_POINTS)) == accepted / 500, "what lasts gives way last"
    left = drained(spool)
    assert len(left) == accepted - spool.state.dropped
    assert left[-1].endswith(f" {accepted - 1}")
    assert spool.state.fault is not None, "a loss is told for a while"
    place.at_s += TOLD_S + 1.0
    spool.tend()
    assert spool.state.fault is None


def test_a_disk_that_fills_up_is_left_to_others(place: Place) -> None:
    spool = place.open()
    for i in range(0, 200_000, 500):
        spool.accept(POINTS, [f"grid power_w={random.random()},x={random.random()} {i + j}" for j in range(500)])
    assert spool.state.used_b > LEAST_B
    assert spool.state.dropped == 0
    place.free_b = 400_000_000
    spool.tend()
    assert spool.state.used_b <= LEAST_B
    assert spool.state.dropped > 0
    fault = spool.state.fault
    assert fault is not None
    assert "the disk has little free space" in fault.text


@pytest.mark.parametrize("seed", range(20))
def test_files_damaged_in_any_way_are_salvaged(place: Place, seed: int, caplog: pytest.LogCaptureFixture) -> None:
    dice = random.Random(seed)
    spool = place.open()
    for i in range(40):
        spool.accept(POINTS, lines(i * 100, i * 100 + 100))
        if i % 10 == 9:
            newest = spool.newest(POINTS)
            assert newest is not None
            spool.give_back(newest)
        if i == 29:
            place.at_s += 4000.0
            spool.tend()  # packs the first thirty batches
    folder = place.folder / POINTS
    packed, plain = sorted(folder.iterdir())
    assert packed.name.endswith(".gz")
    victim = dice.choice([packed, plain])
    content = bytearray(victim.read_bytes())
    if dice.random() < 0.5:
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    else:
        del content[dice.randrange(len(content)) :]
    victim.write_bytes(content)
    (folder / "000000000900.lp").write_bytes(b"")
    (folder / "000000000901.lp").write_bytes(dice.randbytes(5000))
    (folder / "000000000902-1750000000000-000100.lp.gz").write_bytes(dice.randbytes(500))
    (folder / "readme.txt").write_text("not ours")
    (folder / "000000000903.lp").mkdir()
    spool = place.crash()
    spool.accept(POINTS, lines(4000, 4001))
    found = drained(spool)
    assert found[-1] == lines(4000, 4001)[0]
    assert set(found) <= set(lines(0, 4001))
    assert found == sorted(found, key=lambda line: int(line.rsplit(" ", 1)[1]))
    whole = lines(3000, 4000) if victim == packed else lines(0, 3000)
    assert set(whole) <= set(found), "the other file is untouched"
    if victim == plain:
        assert len(found) >= 3901 or len(content) < 40_000
    assert place.files() == ["000000000903.lp", "readme.txt"]
    kept = {path.name for path in (place.folder / "damaged").iterdir()}
    assert {"points-000000000901.lp", "points-000000000902-1750000000000-000100.lp.gz"} <= kept
    assert any("is damaged" in message for message in caplog.messages)


def test_a_file_that_cannot_be_read_is_put_aside(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = place.open()
    spool.accept(POINTS, lines(0, 10))
    first = spool.newest(POINTS)
    assert first is not None
    spool.give_back(first)
    spool.accept(POINTS, lines(10, 20))
    read = Path.read_bytes

    def fail(path: Path) -> bytes:
        if path.name == "000000000001.lp":
            raise OSError(5, "Input/output error")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", fail)
    second = spool.newest(POINTS)
    assert second is not None
    spool.give_back(second)
    assert drained(spool) == lines(10, 20)
    assert spool.state.dropped == 10
    assert place.files() == ["000000000001.lp.damaged"]


def test_a_second_process_keeps_points_in_memory_until_the_first_is_gone(place: Place) -> None:
    first, second = place.open(), place.open()
    first.accept(POINTS, lines(0, 10))
    second.accept(POINTS, lines(10, 20))
    fault = second.state.fault
    assert fault is not None
    assert (fault.key, fault.text) == (
        "spool",
        f"Another program uses {place.folder}: points for InfluxDB wait in memory only.",
    )
    assert first.state.fault is None
    assert second.state.held_lines == 10
    newest = second.newest(POINTS)
    assert newest is not None, "and are sent from there"
    assert [line.decode() for line in newest.lines] == lines(10, 20)
    second.give_back(newest)
    first.close()
    place.at_s += 10.0
    second.accept(POINTS, lines(20, 30))
    assert second.state.fault is None
    assert second.state.held_lines == 0
    assert drained(second) == lines(0, 30)


def test_memory_is_bounded_too(place: Place) -> None:
    place.open()
    second = place.open()
    count = 0
    while second.state.dropped == 0:
        second.accept(POINTS, lines(count, count + 5000, 100))
        count += 5000
        assert count < 1_000_000
    held = drained(second)
    assert len(held) == count - second.state.dropped
    assert MEMORY_B * 0.7 < sum(map(len, held)) <= MEMORY_B
    assert held == lines(count - len(held), count, 100)


def test_a_folder_that_cannot_be_made_is_a_fault_and_memory_serves(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file where the folder should be")
    place = Place(tmp_path / "spool")
    spool = place.open()
    spool.accept(POINTS, lines(0, 10))
    fault = spool.state.fault
    assert fault is not None
    assert "cannot be written" in fault.text
    assert "data_dir" in fault.next_step
    (tmp_path / "spool").unlink()
    place.at_s += 10.0
    spool.tend()
    assert spool.state.fault is None
    assert spool.state.held_lines == 0
    spool.close()
    assert drained(place.open()) == lines(0, 10)
    place.spools[-1].close()


def test_a_folder_deleted_under_it_is_made_again(place: Place) -> None:
    spool = place.open()
    spool.accept(POINTS, lines(0, 10))
    spool.newest(POINTS)
    shutil.rmtree(place.folder)
    spool.accept(POINTS, lines(10, 20))
    place.at_s += 10.0
    spool.accept(POINTS, lines(20, 30))
    assert spool.state.fault is None
    assert drained(spool) == lines(10, 30)
    assert place.files() == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of four megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if done.returncode:  # not allowed here: no file may grow then, which the spool meets in the same place
        yield folder
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)  # a failed test may still use it


def fill(folder: Path) -> Callable[[], None]:
    """Leave no room; returns what makes room again."""
    if os.path.ismount(folder):
        with (folder / "full").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        return (folder / "full").unlink
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_told_and_got_over(small_disk: Path) -> None:
    place = Place(small_disk / "spool")
    spool = place.open()
    for i in range(0, 1000, 10):
        spool.accept(POINTS, lines(i, i + 10))
    make_room = fill(small_disk)
    try:
        for i in range(1000, 2000, 10):
            place.at_s += 1.0
            spool.accept(POINTS, lines(i, i + 10))
            fault = spool.state.fault
            assert fault is not None or i < 1300  # the last page of the open file still takes some
        assert fault is not None
        assert fault.text == (
            f"There is no room on the disk of {place.folder}: points for InfluxDB wait in memory only."
        )
        assert spool.state.held_lines > 500
        assert spool.state.pending == 2000
    finally:
        make_room()
    place.at_s += 10.0
    spool.accept(POINTS, lines(2000, 2010))
    assert spool.state.fault is None
    assert spool.state.held_lines == 0
    spool = place.crash()
    assert drained(spool) == lines(0, 2010)
    assert spool.state.dropped == 0
    spool.close()


def test_nobody_else_may_look_at_it(place: Place) -> None:
    """Its points hold signed links, as the settings file holds their key."""
    place.open().accept(POINTS, lines(0, 1))
    assert stat.filemode(place.folder.stat().st_mode) == "drwx------"


def test_what_waits_can_be_seen_without_using_the_spool(place: Place) -> None:
    assert waiting(place.folder) == (0, None)
    spool = place.open()
    spool.accept(POINTS, lines(0, 10))
    spool.accept(LASTING_POINTS, lines(0, 10))
    size_b, oldest_utc_s = waiting(place.folder)
    assert size_b == spool.state.used_b > 500
    assert oldest_utc_s is not None


def test_nothing_is_synced_while_all_is_well_and_all_once_it_waits(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[float] = []
    sync = os.fdatasync

    def note(file: int) -> None:
        synced.append(place.at_s)
        sync(file)

    monkeypatch.setattr(os, "fdatasync", note)
    spool = place.open()
    for _ in range(300):
        place.at_s += 1.0
        spool.accept(POINTS, lines(0, 5))
        spool.tend()
        newest = spool.newest(POINTS)
        assert newest is not None
        spool.done(newest)
    assert synced == []
    begun_s = place.at_s
    for _ in range(600):
        place.at_s += 1.0
        spool.accept(POINTS, lines(0, 5))
        spool.tend()
    assert 9 <= len(set(synced)) <= 11
    times = [begun_s, *sorted(set(synced)), place.at_s]
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) <= 60.0


def test_the_lock_is_not_left_to_children(place: Place) -> None:
    spool = place.open()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    spool.close()
    again = place.open()
    assert again.state.fault is None
    child.communicate(b"\n")


@pytest.mark.parametrize("seed", range(25))
def test_no_order_of_events_loses_or_overtakes_anything(place: Place, seed: int) -> None:
    """Points come, are sent, taken or given back, the disk fails and works again, and the process is killed."""
    dice = random.Random(seed)
    spool, number = place.open(), 0
    waiting_for: dict[str, list[str]] = {POINTS: [], LASTING_POINTS: []}
    under_way: list[Parcel] = []
    blocked = place.folder / POINTS

    def took(parcel: Parcel) -> None:
        found = [line.decode() for line in parcel.lines]
        gone = set(found)
        if parcel.lane == LASTING_POINTS:
            left = waiting_for[parcel.lane]
            assert found == left[: len(found)], "in order, and the oldest first"
        waiting_for[parcel.lane] = [one for one in waiting_for[parcel.lane] if one not in gone]
        spool.done(parcel)

    for _ in range(300):
        place.at_s += dice.choice([0.1, 1.0, 10.0, 700.0])
        match dice.choice(
            ["come", "come", "come", "new", "old", "old lasting", "taken", "back", "tend", "kill", "break"]
        ):
            case "come":
                lane, more = dice.choice([POINTS, LASTING_POINTS]), dice.choice([1, 3, 700])
                waiting_for[lane] += lines(number, number + more)
                spool.accept(lane, lines(number, number + more))
                number += more
            case "new" if parcel := spool.newest(POINTS):
                under_way.append(parcel)
            case "old" if parcel := spool.oldest(POINTS, dice.choice([1, 100, 5000])):
                under_way.append(parcel)
            case "old lasting" if not any(parcel.lane == LASTING_POINTS for parcel in under_way):
                under_way += [parcel] if (parcel := spool.oldest(LASTING_POINTS)) else []
            case "taken" if under_way:
                took(under_way.pop(dice.randrange(len(under_way))))
            case "back" if under_way:
                spool.give_back(under_way.pop())
            case "tend":
                spool.tend()
            case "kill" if not spool.state.held_lines and blocked.is_dir() and spool.state.fault is None:
                spool, under_way = place.crash(), []
            case "break":
                if blocked.is_dir():
                    blocked.rename(place.folder / "moved")
                    spool._fail(OSError(5, "Input/output error"))
                    blocked.write_text("")
                else:
                    blocked.unlink()
                    (place.folder / "moved").rename(blocked)
        assert spool.state.dropped == 0
    if not blocked.is_dir():
        blocked.unlink()
        (place.folder / "moved").rename(blocked)
    place.at_s += 10.0
    spool.tend()
    for parcel in under_way:
        spool.give_back(parcel)
    assert set(drained(spool)) >= set(waiting_for[POINTS])
    assert drained(spool, LASTING_POINTS) == waiting_for[LASTING_POINTS]
    assert spool.state.pending == 0
