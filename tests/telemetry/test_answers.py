"""What servers say when they do not take points, and what is made of it."""

from __future__ import annotations

import json

import pytest

from app.telemetry.answers import Outcome, asked_s, judge, message, no_answer

NOW_S = 1_750_000_000.0


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.TAKEN),
        (204, Outcome.TAKEN),
        (302, Outcome.BROKEN),
        (400, Outcome.REFUSED),
        (401, Outcome.CLOSED),
        (403, Outcome.CLOSED),
        (404, Outcome.CLOSED),
        (413, Outcome.TOO_LARGE),
        (418, Outcome.BROKEN),
        (422, Outcome.REFUSED),
        (429, Outcome.BUSY),
        (500, Outcome.BROKEN),
        (502, Outcome.BROKEN),
        (503, Outcome.BUSY),
    ],
)
def test_each_status_has_its_meaning(status: int, outcome: Outcome) -> None:
    answer = judge(status, "", None, bucket="b", utc_s=NOW_S)
    assert answer.outcome is outcome
    assert (answer.what == answer.next_step == "") == (outcome is Outcome.TAKEN)


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        ("partial write: points beyond retention policy dropped=3", 3),
        ('partial write: field type conflict: input field "x" is type float, already exists as string dropped=1', 1),
        ("partial write: unable to parse 'x': missing fields dropped=0", None),
        ("unable to parse 'x': missing fields", None),
    ],
)
def test_a_partial_write_says_how_many_it_has_refused(body: str, refused: int | None) -> None:
    answer = judge(422, json.dumps({"code": "unprocessable entity", "message": body}), None, bucket="b", utc_s=NOW_S)
    assert answer.refused == refused
    assert body[:40] in answer.said


def test_every_kind_of_body_is_read() -> None:
    core = {"error": "partial write of line protocol occurred", "data": [{"line_number": 2, "error_message": "no"}]}
    assert message(json.dumps(core)) == "partial write of line protocol occurred: no"
    assert message('{"error": "a\\n b"}') == "a b"
    assert message("plain <b>text</b>\n") == "plain <b>text</b>"
    assert message('{"message": null, "data": 3}') == message("[]") == message("") == ""
    assert message("refused: Token s3cret==, bye") == "refused: Token ***, bye"
    link = 'cannot parse toggle_url="http://a/api/toggle?state=off&exp=17&sig=b9a6bc645c&redirect=x"'
    assert message(link) == link.replace("b9a6bc645c", "***")
    assert len(message("x" * 5000)) == 200


@pytest.mark.parametrize(
    ("header", "pause_s"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-3", None),
        ("²", None),
        ("0", 0.0),
        ("17", 17.0),
        ("99999999999999999999", 3600.0),
        ("Sun, 15 Jun 2025 15:07:10 GMT", 30.0),
        ("Sun, 15 Jun 2025 15:00:00 GMT", 0.0),
    ],
)
def test_a_pause_is_asked_for_in_seconds_or_as_a_date(header: str | None, pause_s: float | None) -> None:
    assert asked_s(header, NOW_S) == pause_s


def test_no_answer_in_time_is_not_the_same_as_no_server() -> None:
    assert no_answer("refused", in_time=True).outcome is Outcome.AWAY
    assert no_answer("no answer in time", in_time=False).outcome is Outcome.SLOW
