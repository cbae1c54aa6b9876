"""Files of the spool that were cut off or changed: every whole batch is found, and nothing is invented."""

from __future__ import annotations

import gzip

from hypothesis import given
from hypothesis import strategies as st

from app.telemetry.segment import LEAST_B, Name, fitting, frame, halves, pack, parse_name, room_b, salvage, unpack

TEXTS = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), min_size=1, max_size=40)
BATCHES = st.lists(st.lists(TEXTS, min_size=1, max_size=5), min_size=1, max_size=6)
UTC_MS = 1_750_000_000_123
LINES = [[f"grid,site=home power_w={i}.{j} {UTC_MS + i}" for j in range(3)] for i in range(8)]


def framed(batches: list[list[str]]) -> list[bytes]:
    return [frame(batch, UTC_MS + i) for i, batch in enumerate(batches)]


def found(data: bytes) -> list[list[str]]:
    return [batch.payload.decode().split("\n")[:-1] for batch in salvage(data)[0]]


def test_a_file_is_line_protocol_with_comments() -> None:
    text = frame(["a x=1 1", "b x=2 2"], UTC_MS).decode()
    assert text.startswith("a x=1 1\nb x=2 2\n#spool 1750000000123 2 16 ")
    assert text.endswith("\n")


@given(BATCHES)
def test_what_is_written_is_read(batches: list[list[str]]) -> None:
    data = b"".join(framed(batches))
    assert found(data) == batches
    assert salvage(data)[1] == []
    assert [batch.lines for batch in salvage(data)[0]] == [len(batch) for batch in batches]
    assert found(unpack(pack(data))) == batches


def test_a_file_cut_off_anywhere_keeps_its_whole_batches() -> None:
    parts = framed(LINES)
    data = b"".join(parts)
    ends = [sum(map(len, parts[: i + 1])) for i in range(len(parts))]
    for cut in range(len(data)):
        whole = sum(end <= cut for end in ends)
        batches, damaged = salvage(data[:cut])
        assert len(batches) == whole
        assert b"".join(damaged) == data[ends[whole - 1] if whole else 0 : cut]


def test_a_flipped_bit_anywhere_costs_one_batch() -> None:
    parts = framed(LINES)
    data = b"".join(parts)
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1 << position % 8
        hit = next(i for i in range(len(parts)) if position < sum(map(len, parts[: i + 1])))
        assert found(bytes(changed)) == LINES[:hit] + LINES[hit + 1 :]
        assert b"".join(salvage(bytes(changed))[1]) == bytes(changed)[sum(map(len, parts[:hit])) :][: len(parts[hit])]


@given(BATCHES, st.data())
def test_rubbish_in_between_costs_nothing_else(batches: list[list[str]], data: st.DataObject) -> None:
    parts = framed(batches)
    place = data.draw(st.integers(0, len(parts)))
    rubbish = data.draw(st.binary(min_size=1, max_size=200))
    batches_found, damaged = salvage(b"".join(parts[:place]) + rubbish + b"".join(parts[place:]))
    assert [b.payload.decode().split("\n")[:-1] for b in batches_found] == batches
    assert b"".join(damaged) == rubbish


@given(st.data())
def test_a_damaged_gzip_gives_what_comes_before_and_nothing_that_was_not_there(data: st.DataObject) -> None:
    many = [[f"grid,site=home power_w={(i * 7919) % 1000}.{j} {UTC_MS + i}" for j in range(3)] for i in range(200)]
    packed = pack(b"".join(framed(many)))
    changed = bytearray(packed)
    for position in data.draw(st.lists(st.integers(0, len(packed) - 1), min_size=1, max_size=3)):
        changed[position] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(packed)))
    for damaged in (bytes(changed), packed[:cut], bytes(changed)[:cut]):
        assert all(batch in many for batch in found(unpack(damaged)))
    assert found(unpack(packed[: len(packed) * 3 // 4])) == many[: len(found(unpack(packed[: len(packed) * 3 // 4])))]
    assert len(found(unpack(packed[: len(packed) * 3 // 4]))) > 100


def test_a_small_file_that_unpacks_to_much_is_cut_off() -> None:
    assert len(unpack(gzip.compress(bytes(200_000_000)))) < 64_000_000


@given(st.integers(0, 10**12 - 1), st.integers(0, 10**13 - 1), st.integers(0, 10**6 - 1))
def test_names_sort_as_their_numbers_do(seq: int, utc_ms: int, lines: int) -> None:
    for name in (Name(seq), Name(seq, utc_ms, lines)):
        assert parse_name(str(name)) == name
        assert (str(name) < str(Name(seq + 1))) or seq + 1 == 10**12
    for foreign in ("x.lp", "1.lp", f"{seq:012d}.tmp", f"{Name(seq)}.damaged", f"{Name(seq)}.gz", "quarantine.lp"):
        assert parse_name(foreign) is None


def test_what_fits_goes_together_and_one_always_goes() -> None:
    assert fitting([]) == 0
    assert fitting([(9000, 9_000_000), (1, 1)]) == 1
    assert fitting([(2000, 10), (3000, 10), (1, 10)]) == 2
    assert fitting([(1, 400_000), (1, 600_000), (1, 1)]) == 2
    assert halves([b"a", b"b", b"c"]) == ([b"a"], [b"b", b"c"])


def test_the_spool_leaves_room_to_others_and_keeps_some() -> None:
    gb = 1_000_000_000
    assert room_b(256_000_000, 10_000_000, 100 * gb, 200 * gb) == 256_000_000
    assert room_b(256_000_000, 100_000_000, gb // 2 + 20_000_000, 200 * gb) == 120_000_000, "up to the floor"
    assert room_b(256_000_000, 100_000_000, gb // 2 - 20_000_000, 200 * gb) == 80_000_000, "below it the oldest goes"
    assert room_b(256_000_000, 100_000_000, 0, 200 * gb) == LEAST_B
    assert room_b(256_000_000, 0, gb // 2, 2 * gb) == 256_000_000, "a small disk has a lower floor"
    assert room_b(1_000_000, 0, 0, 200 * gb) == 1_000_000
