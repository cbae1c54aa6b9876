"""Products with a preset: what each answers, the watts in it, what it is asked, and what is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import ValidationError
from yarl import URL

from app.meters.http_json import HttpJson, HttpJsonConfig, parse
from app.meters.presets import NAMED, presets
from app.model import DeviceAuthError, DeviceDataError, DeviceError

FOLDER = Path(__file__).parent / "fixtures" / "presets"
UUID = "3c6a2d30-6b4f-11ee-8f4b-0f5f6e1d2c3b"
STATE = "smartmeter.0.1-0:16_7_0__255.value"


@dataclass(frozen=True)
class Product:
    """What is to be given besides the host, what the fixture holds, and what the device is asked."""

    power_w: float
    asked: str
    keys: dict[str, Any] = field(default_factory=dict)
    energies_wh: tuple[float | None, float | None] = (None, None)
    stamp_s: float | None = None


PRODUCTS = {
    "amis": Product(51.0, "/rest", {}, (10153293.0, 16837023.0)),
    "amsleser": Product(-1840.0, "/data.json"),
    "ecotracker": Product(422.0, "/v1/json", {}, (1234567.8, 12345.6)),
    "emlog": Product(139.0, "/pages/getinformation.php?heute&meterindex=2", {"meterindex": 2}),
    "fronius": Product(2274.9, "/solar_api/v1/GetPowerFlowRealtimeData.fcgi"),
    "fronius_meter": Product(
        -4493.4099, "/solar_api/v1/GetMeterRealtimeData.cgi?Scope=System", {}, (609060.0, 1848359.0), 1480314032.0
    ),
    "iammeter": Product(-99.5, "/api/monitorjson", {}, (1275075.0, 12500.0)),
    "iammeter_single": Product(152.0, "/api/monitorjson", {}, (22920380.0, 0.0)),
    "iobroker": Product(4.9, f"/getBulk/{STATE.replace(':', '%3A')}", {"id": STATE}, stamp_s=1740054549.072),
    "iometer": Product(-100.0, "/v1/reading", {}, (1234.5, 5432.1), 1731323471.0),
    "poweropti": Product(228.0, "/value", {"api_key": "k3yk3y"}, (17784955.0, 181.0), 1757053304.0),
    "sessy": Product(-1311.0, "/api/v2/p1/details", {"username": "ABCDEFGH", "password": "12345678"}),
    "shrdzm": Product(
        51.0, "/getLastData?user=me&password=a%26b%3D+ü%23", {"username": "me", "password": "a&b= ü#"}
    ),
    "stromleser_one": Product(8.16, "/v1/data", {}, (12345.0, 26561.0), 1776178480.0),
    "tasmota": Product(-894.0, "/cm?cmnd=Status%2010", {"id": "SML.Power_curr"}),
    "vzlogger": Product(241.5, f"/{UUID}", {"uuid": UUID}, stamp_s=1608489517.391),
    "youless": Product(-2382.0, "/e"),
    "zendure": Product(-167.0, "/properties/report"),
}  # fmt: skip
VARIANTS = {
    "emlog-text": -200.0,
    "iometer-24": 100.0,
    "stromleser_one-kwh": -5.0,
    "tasmota-dws": -1962.05,
    "tasmota-list": 8.15,
}
VARIANT_KEYS: dict[str, dict[str, Any]] = {
    "iometer-24": {"obis": "01-00:24.07.00*ff"},
    "tasmota-dws": {"id": "DWS7410.power"},
    "tasmota-list": {"id": "ENERGY.Power.0"},
}


def fixture(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text())


def config(name: str, **keys: Any) -> HttpJsonConfig:
    section = {"type": name} if name in NAMED else {"type": "http_json", "preset": name}
    return HttpJsonConfig.model_validate({"host": "10.0.0.9"} | section | PRODUCTS[name].keys | keys)


def test_every_preset_is_in_the_table() -> None:
    assert set(PRODUCTS) == set(presets())
    assert set(presets()) >= NAMED


@pytest.mark.parametrize("name", PRODUCTS)
def test_what_a_product_answers_is_read(name: str) -> None:
    found = parse(fixture(name), config(name))
    product = PRODUCTS[name]
    assert found.power_w == pytest.approx(product.power_w)
    assert (found.import_wh, found.export_wh) == pytest.approx(product.energies_wh)
    assert found.stamp_s == (None if product.stamp_s is None else pytest.approx(product.stamp_s, abs=1e-3))


@pytest.mark.parametrize("name", VARIANTS)
def test_what_another_firmware_answers_is_read(name: str) -> None:
    assert parse(fixture(name), config(name.split("-")[0], **VARIANT_KEYS.get(name, {}))).power_w == VARIANTS[name]


@pytest.mark.parametrize("name", PRODUCTS)
async def test_a_product_is_asked_as_it_wants(name: str) -> None:
    seen: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request)
        return web.json_response(fixture(name), content_type="text/html")  # content types lie

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        meter = HttpJson(config(name, host=f"127.0.0.1:{server.port}"), session)
        reading = await meter.read()
        assert (reading is None) == (PRODUCTS[name].stamp_s is not None), "one time stamp alone proves nothing"
    (request,) = seen
    asked = PRODUCTS[name].asked
    assert (request.rel_url.path, request.rel_url.query) == (URL(asked).path, URL(asked).query)
    if name == "poweropti":
        assert request.headers["X-API-KEY"] == "k3yk3y"
    assert ("Authorization" in request.headers) == (name == "sessy")


@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize("instead", [None, True, "", "n/a", [], float("nan"), 1e9, "5 VA", "1.2 MW"])
def test_a_power_that_is_none_is_refused(name: str, instead: Any) -> None:
    """Wherever the power of the product stands, nothing else is taken for one."""

    def spoilt(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: spoilt(value) for key, value in node.items()}
        if isinstance(node, list):
            return [spoilt(one) for one in node]
        return node if isinstance(node, str) and not node[:1].isdigit() else instead

    with pytest.raises(DeviceError, match=r"http://10\.0\.0\.9"):
        parse(spoilt(fixture(name)), config(name))


@pytest.mark.parametrize(
    ("name", "keys", "text"),
    [
        ("fronius-night", {}, "P_Grid is 'None'"),
        ("fronius_meter-none", {}, "Head.Status.Code is 255"),
        ("tasmota-started", {}, "has just started"),
        ("tasmota-list", {"id": "ENERGY.Power"}, "not a number of watts"),
        ("tasmota", {"id": "SML.power"}, "nothing at"),
        ("vzlogger-empty", {}, "nothing at"),
        ("iobroker", {"id": "smartmeter.0"}, "nothing at"),
        ("iometer-24", {}, "nothing at"),
    ],
)
def test_what_a_product_does_not_tell_is_an_error(name: str, keys: dict[str, Any], text: str) -> None:
    with pytest.raises(DeviceDataError, match=text):
        parse(fixture(name), config(name.split("-")[0], **keys))


def test_a_wrong_password_of_tasmota_is_an_answer_with_200() -> None:
    with pytest.raises(DeviceAuthError, match=r"Need user=.*check username and password"):
        parse(fixture("tasmota-denied"), config("tasmota"))


def test_iometer_in_another_unit_is_converted_and_without_one_refused() -> None:
    document = fixture("iometer")
    register = document["meter"]["reading"]["registers"][2]
    register["unit"] = "kW"
    assert parse(document, config("iometer")).power_w == -100_000.0
    for unit in ("VA", None, ""):
        register["unit"] = unit
        with pytest.raises(DeviceDataError, match="not one unit"):
            parse(document, config("iometer"))


def test_what_the_section_says_itself_wins() -> None:
    pair = config("tasmota", import_path="$.StatusSNS.SML.In", export_path="$.StatusSNS.SML.Out", timeout_s=1)
    assert (pair.path, pair.refuse_zeros, pair.timeout_s) == (None, False, 1.0)
    assert parse({"StatusSNS": {"SML": {"In": 0, "Out": 3}}}, pair).power_w == -3.0
    own = HttpJsonConfig.model_validate({"type": "amis", "url": "http://10.0.0.9/proxy"})
    assert parse(fixture("amis"), own).power_w == 51.0


def test_an_address_without_a_port_gets_that_of_the_product() -> None:
    assert config("vzlogger").url == f"http://10.0.0.9:8080/{UUID}"
    assert config("vzlogger", host="meter:8081").url == f"http://meter:8081/{UUID}"
    assert config("iobroker").url.startswith("http://10.0.0.9:8087/")
    assert config("vzlogger", host="[fd00::1]:80").url == f"http://[fd00::1]:80/{UUID}"


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ({"type": "tasmota", "host": "10.0.0.9"}, "tasmota: id is missing"),
        ({"type": "tasmota", "id": "SML.x"}, "tasmota: host is missing"),
        ({"type": "tasmota", "host": "10.0.0.9", "id": "SML.x'] | $..*"}, "holds a quotation mark"),
        ({"type": "tasmota", "host": "192.168.x.x", "id": "SML.x"}, "placeholder"),
        ({"type": "amis", "host": "http://10.0.0.9/"}, "is not a host"),
        ({"type": "amis", "host": "10.0.0.9", "id": "x"}, "Extra inputs"),
        ({"type": "http_json", "preset": "fridge", "host": "10.0.0.9"}, "'fridge' is not known: use one of amis, "),
    ],
)
def test_a_section_that_cannot_work_is_refused(section: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text.replace("[", r"\[")):
        HttpJsonConfig.model_validate(section)


def test_an_id_with_signs_of_a_url_stays_one() -> None:
    assert config("iobroker", id="linkeddevices.0.#1/a b").url.endswith("/getBulk/linkeddevices.0.%231%2Fa%20b")


def test_a_key_that_goes_into_a_header_may_hold_any_sign_and_is_not_shown() -> None:
    shown = config("poweropti", api_key="k'3[y\\")
    assert shown.headers == {"X-API-KEY": "k'3[y\\"}
    assert "3[y" not in repr(shown)
    with pytest.raises(ValidationError, match="a header cannot carry it"):
        config("poweropti", api_key="k3y\n")


def test_a_password_in_the_query_is_shown_nowhere() -> None:
    shown = config("shrdzm")
    assert "a&b" not in repr(shown) + shown.url
