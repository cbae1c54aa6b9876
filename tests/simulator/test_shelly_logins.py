"""The login of the simulated Shellys: what firmware 1 forgives and firmware 2 does not."""

from __future__ import annotations

import pytest

from app.meters.shelly import digest
from app.meters.shelly.digest import Challenge
from app.simulator.shelly_logins import FAILURES, SLOTS, Logins, NonceTable, Refusal

REALM, PASSWORD = "shellypro3em-02005e100002", "sesame"


def challenge(table: NonceTable, now_s: float) -> str:
    refusal = table.challenge(now_s)
    assert refusal.status == 401
    return refusal.nonce


def filled(table: NonceTable) -> list[str]:
    """Take every slot, slowly enough."""
    return [challenge(table, 100.0 * number) for number in range(SLOTS)]


@pytest.mark.parametrize("counts", [[2], [1, 1], [1, 3, 2]])
def test_a_count_begins_at_1_and_goes_up(counts: list[int]) -> None:
    table = NonceTable()
    nonce = challenge(table, 0.0)
    *good, bad = counts
    for count in good:
        assert table.use(nonce, count, 1.0, proven=True) is None
    refusal = table.use(nonce, bad, 1.0, proven=True)
    assert refusal is not None
    assert refusal.status == 401


def test_a_nonce_is_good_for_an_hour_and_30000_uses() -> None:
    table = NonceTable()
    nonce = challenge(table, 0.0)
    assert all(table.use(nonce, 1 + count, 3600.0, proven=True) is None for count in range(30_000))
    refusal = table.use(nonce, 30_001, 3600.0, proven=True)
    assert refusal is not None
    assert (refusal.status, refusal.stale) == (401, True)
    nonce = challenge(table, 4000.0)
    refusal = table.use(nonce, 1, 7601.0, proven=True)
    assert refusal is not None
    assert refusal.stale


def test_a_full_table_throttles_for_two_seconds_and_then_gives_away_the_oldest_slot() -> None:
    table = NonceTable()
    first, *_ = filled(table)
    now_s = 100.0 * SLOTS
    assert table.challenge(now_s) == Refusal(429)
    assert table.challenge(now_s + 1.9) == Refusal(429)
    new = challenge(table, now_s + 2.1)
    assert table.use(new, 1, now_s + 2.2, proven=True) is None
    for second in range(5):
        assert table.use(first, 1, now_s + 3.0 + second, proven=True) == Refusal(429), "for ever, and rightly so"
    assert table.throttled == 7


def test_too_many_failures_in_ten_minutes_shut_out_everybody() -> None:
    table = NonceTable()
    nonce = challenge(table, 0.0)
    for _ in range(FAILURES - 1):
        assert table.use(nonce, 1, 10.0, proven=False) != Refusal(429)
    assert table.use(nonce, 1, 11.0, proven=True) is None
    table.use(nonce, 2, 12.0, proven=False)
    assert table.use(nonce, 2, 13.0, proven=True) == Refusal(429)
    assert table.use(nonce, 2, 700.0, proven=True) is None


def test_a_restart_knows_nothing_of_before() -> None:
    table = NonceTable()
    nonce = challenge(table, 0.0)
    table.forget()
    refusal = table.use(nonce, 1, 1.0, proven=True)
    assert refusal is not None
    assert refusal.status == 401


@pytest.mark.parametrize("firmware", [1, 2])
def test_headers_and_frames_are_checked(firmware: int) -> None:
    logins = Logins(REALM, PASSWORD, firmware)
    refusal = logins.http("", "GET", "/rpc/x", 5.0)
    assert refusal is not None
    asked = digest.challenge_of_header(logins.header(refusal))
    assert asked is not None
    assert logins.http(digest.header(asked, 1, "c", PASSWORD, "GET", "/rpc/x"), "GET", "/rpc/x", 6.0) is None
    assert logins.http(digest.header(asked, 2, "c", PASSWORD, "GET", "/rpc/x"), "GET", "/rpc/y", 6.0) is not None
    assert logins.http(digest.header(asked, 2, "c", "wrong", "GET", "/rpc/x"), "GET", "/rpc/x", 6.0) is not None
    refusal = logins.frame(None, 7.0)
    assert refusal is not None
    asked = digest.challenge_of_frame(logins.message(refusal))
    assert asked is not None
    assert isinstance(asked.nonce, int) == (firmware == 1)
    for count in (1, 2):
        assert logins.frame(digest.frame_auth(asked, count if firmware == 2 else 1, "0c", PASSWORD), 8.0) is None
    assert logins.frame(digest.frame_auth(asked, 3, "0c", "wrong"), 8.0) is not None
    logins.forget()
    assert logins.frame(digest.frame_auth(asked, 4, "0c", PASSWORD), 9.0) is not None
    assert isinstance(asked, Challenge)
