"""Changing settings: all or nothing, and every refusal says what to send instead."""

from __future__ import annotations

from typing import Any

import pytest

from app.model import Settings

from .conftest import House

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_both_at_once_and_again(house: House, method: str) -> None:
    for _ in range(2):
        response, data = await house.ask(method, "/api/settings", json={"enabled": False, "target_point_w": -50})
        assert (response.status, data) == (200, {"enabled": "off", "target_point_w": -50.0})
    assert house.store.current == Settings(enabled=False, target_point_w=-50.0)


async def test_one_leaves_the_other_alone(house: House) -> None:
    await house.ask("PUT", "/api/settings", json={"target_point_w": 42.5})
    assert house.store.current == Settings(enabled=True, target_point_w=42.5)
    await house.ask("PUT", "/api/settings", json={"enabled": False})
    assert house.store.current == Settings(enabled=False, target_point_w=42.5)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", "not JSON"),
        (b"enabled=on", "not JSON"),
        (b"{", "not JSON"),
        (b'{"target_point_w": NaN}', "not JSON"),
        (b'{"target_point_w": Infinity}', "not JSON"),
        (b"\xff\xfe{", "not JSON"),
        (b"[" * 4000, "not JSON"),
        (b"[]", "no setting"),
        (b"{}", "no setting"),
        (b"null", "no setting"),
        (b'"enabled"', "no setting"),
        (b'{"enabled": "off"}', 'enabled "off"'),
        (b'{"enabled": 0}', "enabled 0"),
        (b'{"enabled": null}', "enabled null"),
        (b'{"target_point_w": "20"}', 'target_point_w "20"'),
        (b'{"target_point_w": true}', "target_point_w true"),
        (b'{"target_point_w": null}', "target_point_w null"),
        (b'{"target_point_w": [20]}', "target_point_w [20]"),
        (b'{"target_point_w": 100001}', "100001"),
        (b'{"target_point_w": -1e999}', "target_point_w"),
        (b'{"target_point_w": ' + b"9" * 400 + b"}", "target_point_w"),
        (b'{"enabled": false, "target": 20}', '"target" is not a setting'),
        (b'{"enabled": false, "target_point_w": 1e6}', "between -100000 and 100000"),
        (b'{"\\ud800": 1}', "is not a setting"),
    ],
)
async def test_what_is_wrong_changes_nothing(house: House, body: bytes, named: str) -> None:
    response, data = await house.ask("PUT", "/api/settings", data=body, headers=JSON)
    assert (response.status, house.store.current) == (400, Settings())
    assert named in data["error"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None])
async def test_only_json_is_read(house: House, kind: str | None) -> None:
    headers: dict[str, Any] = {"headers": {"Content-Type": kind}} if kind else {"skip_auto_headers": ["Content-Type"]}
    response, data = await house.ask("PUT", "/api/settings", data=b'{"enabled": false}', **headers)
    assert (response.status, house.enabled) == (415, True)
    assert "application/json" in data["error"]


async def test_a_body_beyond_4_kb_is_refused(house: House) -> None:
    body = b'{"enabled": false' + b" " * 5000 + b"}"
    response, data = await house.ask("PUT", "/api/settings", data=body, headers=JSON)
    assert (response.status, house.enabled) == (413, True)
    assert "4096" in data["error"]


async def test_a_packed_body_is_not_unpacked(house: House) -> None:
    headers = JSON | {"Content-Encoding": "gzip"}
    response, _ = await house.ask("PUT", "/api/settings", data=b"\x1f\x8b" + b"\0" * 50, headers=headers)
    assert (response.status, house.enabled) == (400, True)
