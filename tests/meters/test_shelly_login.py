"""The login of Shellys from Gen2 on: the hashes, the challenges, and when a nonce is used, renewed or given up."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.meters.shelly import digest
from app.meters.shelly.digest import Challenge, challenge_of_frame, challenge_of_header
from app.meters.shelly.login import Challenged, LeftAlone, Login, Nonce, Throttled, Use, signed
from app.model import DeviceAuthError, DeviceError

REALM, PASSWORD, CNONCE = "shellypro3em-aabbccddeeff", "secret", "0a4f113b"
CHALLENGE = Challenge(REALM, "60dc59c6")
HA1 = "775aaf324b6eca79a20304cd355612bb25bebcafbfe302b6e555690d7afa130a"
BASE64 = "OgBragAAAABIJQrTQ+CQu06/wzazzr6ryyv4Oy5Kugnhv+ZUq21nzTBN0hAVtZ5e"  # as of firmware 2.0.0


def test_the_hashes_are_those_of_the_known_answers() -> None:
    assert digest.user_hash(REALM, PASSWORD) == HA1
    assert digest.FRAME_HASH.startswith("6370ec6991510383")
    assert (
        digest.response(HA1, "60dc59c6", 1, CNONCE, digest.FRAME_HASH)
        == "c013d50329fc94e9656134a0625c645c5bd22e4f1b0a6938cb065a118830ab02"
    )


@pytest.mark.parametrize(
    ("method", "uri", "proof"),
    [
        ("GET", "/rpc/EM.GetStatus?id=0", "710d10c02f7eaba2de4e8b3281b93f8406bd91c8d3537de8dd82e39e72bd6cab"),
        ("POST", "/rpc", "38e0c5c5886ce0753433823d6668a9f4c51b0a8c65fd316470644d0876fa8611"),
    ],
)
def test_a_header_carries_the_known_answer(method: str, uri: str, proof: str) -> None:
    header = digest.header(CHALLENGE, 1, CNONCE, PASSWORD, method, uri)
    assert f'response="{proof}"' in header
    assert f'uri="{uri}"' in header
    assert "qop=auth, nc=00000001" in header
    assert PASSWORD not in header


def test_a_frame_carries_the_known_answer_and_its_count() -> None:
    auth = digest.frame_auth(CHALLENGE, 1, CNONCE, PASSWORD)
    assert auth == {
        "realm": REALM, "username": "admin", "nonce": "60dc59c6", "cnonce": CNONCE, "algorithm": "SHA-256", "nc": 1,
        "response": "c013d50329fc94e9656134a0625c645c5bd22e4f1b0a6938cb065a118830ab02",
    }  # fmt: skip


def test_a_nonce_that_is_a_number_is_answered_with_numbers_and_without_a_count() -> None:
    """As firmware before 2.0 sends it in frames."""
    auth = digest.frame_auth(Challenge(REALM, 1725185413), 1, CNONCE, PASSWORD)
    assert "nc" not in auth
    assert auth["nonce"] == 1725185413
    assert isinstance(auth["cnonce"], int)
    assert auth["response"] == digest.response(HA1, 1725185413, 1, auth["cnonce"], digest.FRAME_HASH)


@pytest.mark.parametrize(
    ("header", "nonce"),
    [
        (f'Digest qop="auth", realm="{REALM}", nonce="60dc59c6", algorithm=SHA-256', "60dc59c6"),
        (f'Digest qop="auth", realm="{REALM}", nonce="{BASE64}==", algorithm=SHA-256', f"{BASE64}=="),
        (f"digest realm={REALM},nonce={BASE64}==,qop=auth,algorithm=sha-256", f"{BASE64}=="),
        (f'Digest  qop = "auth,auth-int" , nonce="a, b=c", realm="{REALM}", algorithm="SHA-256"', "a, b=c"),
    ],
)
def test_challenges_in_headers_are_read(header: str, nonce: str) -> None:
    assert challenge_of_header(header) == Challenge(REALM, nonce)


def test_a_stale_challenge_is_told_apart() -> None:
    stale = challenge_of_header(f'Digest qop="auth", realm="{REALM}", nonce="x", algorithm=SHA-256, stale=true')
    assert stale == Challenge(REALM, "x", stale=True)
    frame = {"auth_type": "digest", "nonce": "x", "nc": 1, "realm": REALM, "algorithm": "SHA-256", "stale": True}
    assert challenge_of_frame(json.dumps(frame)) == stale


@pytest.mark.parametrize("nc", [1, "1"])
def test_challenges_in_frames_are_read_also_with_a_count_of_text(nc: Any) -> None:
    frame = {"auth_type": "digest", "nonce": 1725185413, "nc": nc, "realm": REALM, "algorithm": "SHA-256"}
    assert challenge_of_frame(json.dumps(frame)) == Challenge(REALM, 1725185413)
    assert challenge_of_frame(json.dumps(frame | {"nonce": BASE64})) == Challenge(REALM, BASE64)


@pytest.mark.parametrize(
    "header",
    [
        "",
        'Basic realm="x"',
        'Digest realm="x"',
        'Digest realm="x", nonce="", qop="auth", algorithm=SHA-256',
        'Digest realm="x", nonce="1", qop="auth"',
        'Digest realm="x", nonce="1", qop="auth", algorithm=MD5',
        'Digest realm="x", nonce="1", qop="auth-int", algorithm=SHA-256',
        f'Digest realm="x", nonce="{"1" * 300}", qop="auth", algorithm=SHA-256',
    ],
)
def test_challenges_that_cannot_be_answered_are_none(header: str) -> None:
    assert challenge_of_header(header) is None


@pytest.mark.parametrize("message", [None, 5, "", "no", "[1]", "{}", '{"realm": "x", "nonce": true}', "[" * 100_000])
def test_messages_that_hold_no_challenge_are_none(message: Any) -> None:
    assert challenge_of_frame(message) is None


@given(st.text(), st.text(max_size=20), st.text(max_size=20))
def test_no_challenge_breaks_a_header_in_two(text: str, realm: str, nonce: str) -> None:
    for header in (text, f'Digest realm="{realm}", nonce="{nonce}", qop="auth", algorithm=SHA-256', f"Digest {text}"):
        found = challenge_of_header(header)
        if found is not None:
            assert digest.header(found, 1, CNONCE, PASSWORD, "GET", "/").isprintable()
    frame = {"realm": realm, "nonce": nonce, "algorithm": "SHA-256"}
    found = challenge_of_frame(json.dumps(frame))
    assert found is None or digest.header(found, 1, CNONCE, PASSWORD, "GET", "/").isprintable()


class Device:
    """Answers as a test says: an exception is raised, anything else is the answer."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[Use | None] = []
        self.now_s = 0.0
        self.login = Login(PASSWORD, "shelly at 10.0.0.9")
        self.nonce = self.login.nonce()

    def clock(self) -> float:
        return self.now_s

    async def ask(self) -> Any:
        return await signed(self.login, self.nonce, self.clock, self._send)

    async def _send(self, use: Use | None) -> Any:
        self.asked.append(use)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def counts(self) -> list[int | None]:
        return [None if use is None else use.nc for use in self.asked]


def challenged(nonce: str | int = "a", *, stale: bool = False) -> Challenged:
    return Challenged(Challenge(REALM, nonce, stale=stale))


async def test_one_challenge_then_the_count_goes_up() -> None:
    device = Device(challenged(), 1, 2, 3)
    assert [await device.ask() for _ in range(3)] == [1, 2, 3]
    assert device.counts == [None, 1, 2, 3]
    assert len({use.cnonce for use in device.asked if use is not None}) == 3


async def test_a_number_for_a_nonce_is_used_with_the_same_count() -> None:
    device = Device(challenged(7), 1, 2)
    assert [await device.ask() for _ in range(2)] == [1, 2]
    assert device.counts == [None, 1, 1]


async def test_a_device_that_wants_no_login_gets_none() -> None:
    device = Device(1, 2)
    assert [await device.ask() for _ in range(2)] == [1, 2]
    assert device.counts == [None, None]


async def test_a_nonce_that_has_grown_old_is_renewed_once_without_anybody_noticing() -> None:
    device = Device(challenged(), 1, challenged("b", stale=True), 2)
    assert [await device.ask() for _ in range(2)] == [1, 2]
    assert device.counts == [None, 1, 2, 1]


@pytest.mark.parametrize(("seconds", "uses"), [(3001.0, 1), (1.0, 25_001)])
async def test_a_nonce_is_renewed_before_its_time(seconds: float, uses: int) -> None:
    device = Device(challenged(), *range(uses), challenged("b"), "last")
    for _ in range(uses):
        await device.ask()
    device.now_s = seconds
    if uses < 25_000:
        assert await device.ask() == "last"
        assert device.counts == [None, 1, None, 1]
    else:
        assert device.counts[-2:] == [25_000, None]


def fails(times: int) -> list[Challenged]:
    return [challenged(f"n{i}") for i in range(times)]


async def test_a_wrong_password_is_told_after_two_requests_and_the_device_left_alone_for_longer_and_longer() -> None:
    device = Device(*fails(20))
    for pause_s in (60.0, 120.0, 240.0, 300.0, 300.0):
        before = len(device.asked)
        with pytest.raises(DeviceAuthError, match="check username and password"):
            await device.ask()
        assert len(device.asked) == before + 2
        device.now_s += pause_s - 0.1
        with pytest.raises(DeviceAuthError, match="check username and password"):
            await device.ask()
        assert len(device.asked) == before + 2
        device.now_s += 0.1


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Device(Challenged(None)), "not Digest with SHA-256"),
        (lambda: Device(*(challenged(f"{i}", stale=True) for i in range(3))), "each of its own nonces too old"),
    ],
)
async def test_a_login_that_cannot_be_is_told(make: Callable[[], Device], text: str) -> None:
    with pytest.raises(DeviceAuthError, match=text):
        await make().ask()


async def test_without_a_password_it_is_asked_for() -> None:
    device = Device(challenged())
    device.login.password = ""
    with pytest.raises(DeviceAuthError, match="set meter.password"):
        await device.ask()
    assert device.counts == [None]


async def test_a_throttling_device_is_left_alone_and_then_asked_without_a_login() -> None:
    device = Device(challenged(), 1, Throttled(), Throttled(), challenged("b"), 2, Throttled(), 3)
    other = device.login.nonce()
    other.take(Challenge(REALM, "of the other transport"), 0.0)
    assert await device.ask() == 1
    for pause_s in (2.5, 5.0):
        with pytest.raises(LeftAlone, match=f"throttling logins: asked again after {pause_s:g} s"):
            await device.ask()
        device.now_s += pause_s - 0.1
        with pytest.raises(LeftAlone):
            await device.ask()
        device.now_s += 0.1
    assert await device.ask() == 2
    assert device.counts == [None, 1, 2, None, None, 1]
    assert other.next(device.now_s) is None, "that nonce is gone too"
    with pytest.raises(LeftAlone, match=r"2\.5 s"):
        await device.ask()


async def test_a_long_throttle_is_asked_once_a_minute() -> None:
    device = Device(*(Throttled() for _ in range(100)))
    while device.now_s < 600.0:
        with pytest.raises(DeviceError):
            await device.ask()
        device.now_s += 0.5
    assert len(device.asked) < 18


def test_a_nonce_without_a_challenge_has_no_next_use() -> None:
    assert Nonce().next(0.0) is None
