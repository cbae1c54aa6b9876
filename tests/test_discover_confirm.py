"""What a device is, by what it answers; whoever announces it may be anybody."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from app.discover import browse, confirm
from app.discover.browse import Announced, is_near
from app.discover.confirm import (
    ESPHOME,
    FAMILIES,
    HOMEWIZARD,
    OPENDTU,
    SHELLY,
    Group,
    found_homewizard,
    found_shelly,
    groups,
)
from app.discover.opendtu import found_opendtu, parse_inverter
from app.discover.paste import Found, Line, as_yaml, plain
from app.discover.sma import found_sma
from app.meters import MeterConfig
from app.model import DeviceDataError, DeviceError, DeviceUnavailable
from app.outbound import new_session
from tests.meters.fakes.sma import datagram, values
from tests.meters.hostile import NEVER_DONE, NONSENSE, TOO_MUCH, hostile

HOSTILE = NEVER_DONE | TOO_MUCH | NONSENSE


def meter(found: Found) -> dict[str, Any]:
    """Its lines, which the configuration accepts."""
    section: dict[str, Any] = found.as_json()["config"]["meter"]
    TypeAdapter(MeterConfig).validate_python(section)
    return section


class TestShelly:
    @pytest.mark.parametrize(
        ("about", "keys"),
        [
            ({"type": "SHEM-3", "mac": "x", "auth": False}, {}),
            ({"type": "SHEM", "mac": "x", "auth": True}, {"channel": 0, "password": "${SHELLY_PASSWORD}"}),
            ({"gen": 2, "model": "SPEM-003CEBEU", "mac": "x", "auth_en": False}, {}),
            ({"gen": 2, "model": "SPEM-002CEBEU50", "mac": "x", "auth_en": False}, {"channel": 0}),
            ({"gen": 3, "model": "S3EM-003CXCEU63", "mac": "x"}, {}),
            ({"gen": 4, "model": "S4EM-001PXCEU16", "mac": "x"}, {}),
        ],
    )  # fmt: skip
    def test_its_meters(self, about: Any, keys: dict[str, Any]) -> None:
        assert meter(found_shelly("10.0.0.5", about)) == {"type": "shelly", "host": "10.0.0.5", **keys}

    @pytest.mark.parametrize(
        "about", [{"type": "SHPLG-S", "mac": "x"}, {"gen": 2, "model": "SNPL-00112EU", "mac": "x"}]
    )
    def test_others_are_named_and_of_no_use(self, about: Any) -> None:
        found = found_shelly("10.0.0.5", about)
        assert (found.lines, found.remarks) == ((), ("it has no clamps for a grid connection",))
        assert "of no use here" in as_yaml([found])

    @pytest.mark.parametrize("about", [None, [], "x", {}, {"gen": 2}, {"gen": 2, "mac": "x"}, {"type": "SHEM"}])
    def test_what_is_none_is_refused(self, about: Any) -> None:
        with pytest.raises(DeviceDataError, match="no Shelly"):
            found_shelly("10.0.0.5", about)


class TestHomeWizard:
    def test_version_1_needs_no_token_and_tells_of_version_2(self) -> None:
        found = found_homewizard("HWE-P1", "10.0.0.5", "10.0.0.5", switched_on=True)
        assert meter(found) == {"type": "homewizard", "host": "10.0.0.5"}
        assert found.remarks == (
            "with a token it also tells how old its values are: zero-export pair homewizard 10.0.0.5",
        )

    def test_version_2_where_version_1_is_off(self) -> None:
        found = found_homewizard("HWE-KWH3", "10.0.0.5", "10.0.0.5:8443", switched_on=False)
        assert meter(found)["token"] == "${HOMEWIZARD_TOKEN}"
        assert "zero-export pair homewizard 10.0.0.5:8443 makes it" in as_yaml([found])

    def test_an_api_that_is_off_says_where_it_is_switched_on(self) -> None:
        found = found_homewizard("HWE-P1", "10.0.0.5", None, switched_on=False)
        assert "Local API" in found.remarks[0]

    def test_a_socket_is_no_meter(self) -> None:
        assert found_homewizard("HWE-SKT", "10.0.0.5", None, switched_on=True).lines == ()


LISTED = {"serial": "116180400000", "name": "Roof"}


class TestOpenDtu:
    def test_its_inverters(self) -> None:
        details = {"max_power": 1500, "hw_model_name": "HM-1500-4T"}, {"inverters": [{"DC": {"0": 1, "1": 2}}]}
        one = parse_inverter("116180400000", LISTED, details)
        assert (one.max_w, one.channels) == (1500.0, 2)
        text = as_yaml([found_opendtu("10.0.0.9", "v26.1.1", {"mqtt_enabled": True}, [one])])
        assert yaml.safe_load(text)["inverters"] == [{"serial": "116180400000", "max_watt": 1500, "channels": 2}]
        assert "# Roof, HM-1500-4T" in text

    @pytest.mark.parametrize(
        "details",
        [
            ({}, {}),
            ({"max_power": 0}, {"inverters": []}),
            ({"max_power": None}, {"inverters": [None]}),
            ({"max_power": "800"}, {"inverters": [{"DC": []}]}),
            ({"max_power": 1e9}, {"inverters": {"DC": {}}}),
            ({"max_power": float("nan")}, {"inverters": [{"DC": {str(i): 0 for i in range(7)}}]}),
        ],
    )
    def test_what_it_does_not_know_is_to_be_filled_in(self, details: Any) -> None:
        one = parse_inverter("116180400000", LISTED, details)
        text = as_yaml([found_opendtu("10.0.0.9", "v26.1.1", {}, [one])])
        assert "    # max_watt: # rated AC power: fill in" in text
        assert yaml.safe_load(text)["inverters"] == [{"serial": "116180400000"}]
        assert "MQTT is off there" in text

    @pytest.mark.parametrize(
        ("mqtt", "sections"),
        [
            ({"hostname": "10.0.0.2", "port": 1884, "mqtt_topic": "x/"}, {"mqtt": ("10.0.0.2", 1884), "topic": "x"}),
            ({"hostname": "", "port": 1883, "mqtt_topic": "a b"}, {}),
            ({"hostname": "x\ny: z", "port": -1, "mqtt_topic": "${HOME}"}, {}),
            ({"hostname": "${AMBER_TOKEN}", "mqtt_topic": "a/${AMBER_TOKEN}"}, {}),
            ({"hostname": 5, "port": None, "mqtt_topic": None}, {}),
        ],
    )  # fmt: skip
    def test_only_what_fits_becomes_a_line(self, mqtt: dict[str, Any], sections: dict[str, Any]) -> None:
        config = yaml.safe_load(as_yaml([found_opendtu("10.0.0.9", "v26.1.1", mqtt, [])]))
        found = config.get("mqtt", {})
        assert ((found.get("host"), found.get("port")) if found else None) == sections.get("mqtt")
        assert config["opendtu"].get("topic_prefix") == sections.get("topic")


class TestSma:
    def test_its_power_tells_which_one_it_is(self) -> None:
        found = found_sma(3011842589, datagram(values(-250.0)), "10.0.0.7")
        assert meter(found) == {"type": "sma", "serial": 3011842589}
        assert "serial: 3011842589 # shows -250 W now, + is import" in as_yaml([found])
        assert "shows no power" in as_yaml([found_sma(5, datagram(values(1.0))[:99], "10.0.0.7")])


class TestPaste:
    def test_of_two_meters_the_second_is_a_comment(self) -> None:
        one, other = (found_shelly(host, {"type": "SHEM-3", "mac": "x"}) for host in ("10.0.0.5", "10.0.0.6"))
        text = as_yaml([one, other])
        assert yaml.safe_load(text) == {"meter": {"type": "shelly", "host": "10.0.0.5"}}
        assert "# instead of the one above:\n# meter:\n#   type: shelly\n#   host: 10.0.0.6\n" in text

    def test_what_is_not_complete_is_a_comment(self) -> None:
        lines = (Line("type", "esphome"), Line("host", "10.0.0.5"), Line("sensor", None, "its name"))
        text = as_yaml([Found("ESPHome", "ESPHome", "10.0.0.5", (Line("meter", lines),), ready=False)])
        assert "#   sensor: # its name" in text
        assert not yaml.safe_load(text)

    @settings(max_examples=200, deadline=None)
    @given(st.text(max_size=80), st.text(max_size=20))
    def test_no_text_of_a_device_leaves_its_comment(self, text: str, model: str) -> None:
        one = parse_inverter("116180400000", {"name": text}, ({"max_power": 800, "hw_model_name": model}, {}))
        shelly = found_shelly("10.0.0.5", {"type": text, "mac": "x"})
        written = as_yaml([found_opendtu("10.0.0.9", text, {"mqtt_enabled": True}, [one]), shelly])
        assert yaml.safe_load(written) == {
            "opendtu": {"host": "10.0.0.9"},
            "inverters": [{"serial": "116180400000", "max_watt": 800}],
        }
        assert all(line.isprintable() for line in written.split("\n"))

    def test_texts_are_cut(self) -> None:
        assert plain("a\x1b[31m\n" + "b" * 99, 10) == "a?[31m?bb…"


class TestGroups:
    def test_services_of_one_name_are_one_device(self) -> None:
        found = groups(
            [
                Announced("_http._tcp", "shellypro3em-AABBCC", "10.0.0.5", 80),
                Announced("_shelly._tcp", "shellypro3em-aabbcc", "10.0.0.5", 80),
                Announced("_http._tcp", "ShellyEM3-1", "10.0.0.6", 80),
                Announced("_http._tcp", "OpenDTU-123456", "10.0.0.7", 80),
                Announced("_http._tcp", "a printer", "10.0.0.8", 80),
                Announced("_hwenergy._tcp", "p1meter-bbcc", "10.0.0.9", 80, {"serial": "5c2fafaabbcc"}),
                Announced("_homewizard._tcp", "HomeWizard P1", "10.0.0.9", 443, {"serial": "5c2fafaabbcc"}),
            ]
        )
        assert {(one.family, one.host, len(one.announced)) for one in found} == {
            (SHELLY, "10.0.0.5", 2),
            (SHELLY, "10.0.0.6", 1),
            (OPENDTU, "10.0.0.7", 1),
            (HOMEWIZARD, "10.0.0.9:443", 2),
        }

    @pytest.mark.parametrize(
        ("address", "near"),
        [("192.168.1.5", True), ("10.9.9.9", True), ("169.254.1.1", True), ("127.0.0.1", True)]
        + [(text, False) for text in ("8.8.8.8", "239.12.255.254", "0.0.0.0", "fe80::1", "x")],
    )
    def test_nobody_outside_is_asked(self, address: str, near: bool) -> None:
        assert is_near(address) is near


class TestAsking:
    @pytest.mark.parametrize("name", HOSTILE)
    @pytest.mark.parametrize("family", FAMILIES)
    async def test_a_hostile_server_is_given_up_in_time(
        self, family: str, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(confirm, "TIMEOUT_S", 0.5)
        service = {SHELLY: "_shelly._tcp", OPENDTU: "_http._tcp", HOMEWIZARD: "_hwenergy._tcp"}.get(
            family, "_http._tcp"
        )
        async with hostile(HOSTILE[name]) as server, new_session() as session:
            group = Group(family, "somebody", (Announced(service, "somebody", "127.0.0.1", server.port),))
            async with asyncio.timeout(60):
                outcome = await asyncio.gather(confirm.confirm(session, group), return_exceptions=True)
            if isinstance(outcome[0], DeviceError):
                assert len(str(outcome[0])) < 300
            else:  # a page is all that an ESPHome device has to show
                assert isinstance(outcome[0], Found)
                assert family == ESPHOME
            assert server.asked

    async def test_an_opendtu_that_tells_nobody_is_found_by_its_announcement(self) -> None:
        refusal = b"HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"
        async with hostile(refusal) as server, new_session() as session:
            announced = Announced("_opendtu._tcp", "dtu", "127.0.0.1", server.port)
            found = await confirm.confirm(session, Group(OPENDTU, "dtu", (announced,)))
            assert "readonly" in found.remarks[0]
            other = Announced("_http._tcp", "opendtu", "127.0.0.1", server.port)
            with pytest.raises(DeviceError):
                await confirm.confirm(session, Group(OPENDTU, "opendtu", (other,)))


async def test_without_zeroconf_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zeroconf", None)
    with pytest.raises(DeviceUnavailable, match="pip install zeroconf"):
        await browse.browse(0.01, None)
