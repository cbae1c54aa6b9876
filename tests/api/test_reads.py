"""Everything that only reads: status, history, health, files, and the headers on all of it."""

from __future__ import annotations

import asyncio
import socket

import pytest

from app.api import listener
from app.api.http import HttpServer
from app.api.series import NAMES
from app.config import HttpConfig
from app.model import Fault

from .conftest import Build, House
from .ticks import UTC_S, make_tick


async def test_status_over_http(house: House) -> None:
    house.faults = (Fault("spool", "The spool is full.", "Check the disk."),)
    response, data = await house.ask("GET", "/api/status")
    assert (response.status, response.headers["Cache-Control"]) == (200, "no-store")
    assert (data["enabled"], data["grid_w"], data["version"]) == ("on", 14.6, "1.2.3")
    assert data["faults"][0]["key"] == "spool"


async def test_health_follows_the_age_of_the_last_tick(build: Build) -> None:
    house = await build()
    response, data = await house.ask("GET", "/healthz")
    assert (response.status, data["status"], data["tick_age_s"]) == (503, "starting", None)
    house.hub.publish(make_tick())
    for now_s, status, word in [(100.0, 200, "ok"), (105.0, 200, "ok"), (105.1, 503, "stalled")]:
        house.now_s = now_s
        response, data = await house.ask("GET", "/healthz")
        assert (response.status, data["status"]) == (status, word)
    response, _ = await house.ask("HEAD", "/healthz")
    assert response.status == 503


class TestHistory:
    """What the store has, fit for the page."""

    async def test_columns_from_the_store(self, house: House) -> None:
        house.stored = {"utc_s": [UTC_S - 120, UTC_S - 60], "grid_w": [1.23456, float("nan")], "pv_w": [None, 5]}
        _, data = await house.ask("GET", "/api/history")
        assert data == {
            "utc_s": [UTC_S - 120, UTC_S - 60],
            "grid_w": [1.235, None],
            "pv_w": [None, 5.0],
            "load_w": [None, None],
            "limit_w": [None, None],
            "grid_min_w": [None, None],
            "grid_max_w": [None, None],
        }
        assert house.asked == [3600.0]

    async def test_a_store_that_has_to_be_waited_for(self, house: House) -> None:
        stored = asyncio.get_running_loop().create_future()
        stored.set_result({"utc_s": [UTC_S - 1], "load_w": [3.0]})
        house.stored = stored
        _, data = await house.ask("GET", "/api/history?seconds=86400")
        assert (data["load_w"], house.asked) == ([3.0], [86_400.0])

    async def test_nothing_stored_yet(self, house: House) -> None:
        _, data = await house.ask("GET", "/api/history")
        assert data == {name: [] for name in ("utc_s", *NAMES)}

    @pytest.mark.parametrize("seconds", ["0", "-5", "x", "", "1e3", "nan", "2678401", "9" * 20, "٣"])
    async def test_a_bad_length_of_time(self, house: House, seconds: str) -> None:
        response, data = await house.ask("GET", f"/api/history?seconds={seconds}")
        assert response.status == 400
        assert "whole number" in data["error"]


class TestFiles:
    """The page and its files."""

    async def test_the_page_allows_nothing_foreign_and_nothing_inline(self, house: House) -> None:
        response, page = await house.ask("GET", "/")
        assert (response.status, response.content_type) == (200, "text/html")
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert " style=" not in page
        assert " onclick" not in page
        assert "http://" not in page
        assert "https://" not in page

    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("app.js", "text/javascript"),
            ("style.css", "text/css"),
            ("icon.svg", "image/svg+xml"),
            ("vendor/uPlot.iife.min.js", "text/javascript"),
            ("vendor/uPlot.min.css", "text/css"),
            ("vendor/uPlot.LICENSE.txt", "text/plain"),
        ],
    )
    async def test_files_are_served_once_and_then_known(self, house: House, name: str, kind: str) -> None:
        response, _ = await house.ask("GET", f"/web/{name}")
        assert (response.status, response.content_type) == (200, kind)
        again, body = await house.ask("GET", f"/web/{name}", headers={"If-None-Match": response.headers["ETag"]})
        assert (again.status, body) == (304, "")

    async def test_compressed_and_plain_are_two_versions_of_a_file(self, house: House) -> None:
        found = {}
        for coding in ("gzip, br", "identity", "gzip;q=0, br"):
            headers = {"Accept-Encoding": coding}
            response, body = await house.ask("GET", "/web/app.js", headers=headers)
            found[coding] = response.headers.get("Content-Encoding"), response.headers["ETag"], body
            assert response.headers["Vary"] == "Accept-Encoding"
            headers |= {"If-None-Match": response.headers["ETag"]}
            again, nothing = await house.ask("GET", "/web/app.js", headers=headers)
            assert (again.status, nothing) == (304, "")
        assert [encoding for encoding, _, _ in found.values()] == ["gzip", None, None]
        assert found["identity"] == found["gzip;q=0, br"]
        assert found["identity"][1] != found["gzip, br"][1]
        assert found["identity"][2] == found["gzip, br"][2], "unpacked it is the same"

    @pytest.mark.parametrize(
        "path", ["/web/../http.py", "/web/%2e%2e/http.py", "/web//etc/passwd", "/web/confirm.html"]
    )
    async def test_nothing_else_is_served(self, house: House, path: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: pi\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        assert b" 404 " in answer.split(b"\r\n")[0]


async def test_every_answer_carries_the_security_headers(house: House) -> None:
    for path in (
        "/",
        "/api/status",
        "/web/app.js",
        "/metrics",
        "/nowhere",
        "/api/toggle?state=x",
        "/api/history?seconds=x",
    ):
        response, _ = await house.ask("GET", path, headers={"Origin": "http://evil.example"})
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "same-origin"
        assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
        assert "Access-Control-Allow-Origin" not in response.headers
        assert "ython" not in response.headers["Server"]


async def test_errors_are_json_that_names_the_next_step(house: House) -> None:
    response, data = await house.ask("GET", "/api/nothing")
    assert (response.status, list(data)) == (404, ["error"])
    assert "/openapi.json" in data["error"]
    response, data = await house.ask("DELETE", "/api/toggle")
    assert (response.status, response.headers["Allow"]) == (405, "GET,POST")
    assert "use GET,POST" in data["error"]


async def test_a_bug_is_an_answer_too(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.stored = {"utc_s": [1.0], "grid_w": []}  # columns that do not match
    response, data = await house.ask("GET", "/api/history")
    assert response.status == 500
    assert "log" in data["error"]
    assert "/api/history failed" in caplog.text


class TestListener:
    """Connections that are too many, or bring nothing."""

    async def test_a_busy_port_is_an_oserror(self, house: House) -> None:
        config = HttpConfig(host="127.0.0.1", port=house.server.port)
        second = HttpServer(config, house.hub, house.store, lambda _s: {}, version="1", site="home")
        with pytest.raises(OSError, match="in use"):
            await second.start()
        await second.stop()

    async def test_a_connection_that_sends_no_request_is_closed(
        self, build: Build, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(listener, "HEAD_S", 0.2)
        house = await build()
        reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
        writer.write(b"GET /api/status HTTP/1.1\r\nHost: pi\r\nX-Slow: ")
        async with asyncio.timeout(30):
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
        writer.close()

    async def test_a_request_that_comes_in_pieces_is_in_time(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(listener, "HEAD_S", 0.2)
        reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
        for piece in (b"GET /api/events HT", b"TP/1.1\r\nHost: pi\r", b"\nX: y\r\n\r", b"\n"):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)
        assert b"200 OK" in await reader.readline()
        await asyncio.sleep(0.25)
        house.hub.publish(make_tick(reason="later"))
        async with asyncio.timeout(30):
            await reader.readuntil(b'"reason":"later"')
        writer.close()

    async def test_one_too_many_is_turned_away_until_there_is_room(
        self, house: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(listener, "MAX_CONNECTIONS", 1)
        async with house.client.get(house.url + "/api/events"):
            with socket.create_connection(("127.0.0.1", house.server.port)) as second:
                second.settimeout(3)
                assert await asyncio.to_thread(second.recv, 1) == b""

    async def test_a_body_that_never_comes(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("app.api.listener.BODY_S", 0.1)
        reader, writer = await asyncio.open_connection("127.0.0.1", house.server.port)
        writer.write(
            b"PUT /api/settings HTTP/1.1\r\nHost: pi\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
        )
        async with asyncio.timeout(30):
            assert b" 408 " in await reader.readline()
        writer.close()
        assert house.enabled
