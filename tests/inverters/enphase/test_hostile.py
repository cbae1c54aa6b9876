"""Whatever a gateway sends, it is used or it is a sentence; and the arithmetic of limits never lifts one."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from app.inverters.enphase import dpel, production, profiles
from app.inverters.enphase.past import Past
from app.inverters.enphase.quirks import DPEL_QUIRKS, habits
from app.kept import Kept
from app.model import DeviceDataError, DeviceError, Rule
from tests.enphase.fake_limits import Limits, off_document
from tests.inverters.enphase.conftest import config

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
names = st.sampled_from(
    ["dynamic_pel_settings", "enable", "export_limit", "limit_value_W", "slew_rate", "profiles", "profile_id", "eid",
     "profile_name", "selected_profile", "production", "type", "wNow", "activeCount", "channels", "voltage", "devices",
     "measurementType", "state", "activePower", "wattsNow", "storage", "readingTime", "timestamp", "x"]
)  # fmt: skip
words = st.sampled_from(["production", "enabled", "eim", "inverters", "acb", "ENCHARGE", "true"])
anything = st.recursive(
    scalars | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=5),
    max_leaves=25,
)
READERS: list[Callable[[Any], Any]] = [
    profiles.parse, production.production_clamps, production.by_document, production.by_summary, production.stores,
    production.stores_by_document, lambda what: production.by_clamps(what, 1), dpel.Dpel().limit_in,
    lambda what: dpel.Dpel().shown(what, None, None),
    lambda what: dpel.Dpel().written(Rule(0.0), what, None),
]  # fmt: skip


@pytest.mark.parametrize("reader", READERS)
@settings(max_examples=150, deadline=None)
@given(what=anything)
def test_nonsense_is_a_sentence(reader: Callable[[Any], Any], what: Any) -> None:
    with suppress(DeviceError):
        reader(what)


@pytest.mark.parametrize("what", [json.loads("[" * 500 + "]" * 500), json.loads('{"a": "\\ud800"}'), {"\ud800": 1}])
def test_a_document_that_could_not_be_kept_is_not_used(what: Any) -> None:
    with pytest.raises(DeviceDataError):
        dpel.Dpel().limit_in({"dynamic_pel_settings": {"enable": False, "relay_config": what}})


def test_a_name_that_could_not_be_shown_is_none() -> None:
    found = profiles.parse({"selected_profile": "\ud800", "profiles": [{"profile_name": "\udfff"}]})
    assert (found.selected, found.known) == (None, ())


limits = st.floats(0.0, 20_000.0).map(lambda watts: round(watts, 1))
documents = st.fixed_dictionaries(
    {"enable": st.booleans() | st.sampled_from([0, 1]), "limit_value_W": limits, "export_limit": st.booleans()},
    optional={
        "slew_rate": st.just(50.0), "enable_dynamic_limiting": st.booleans(), "installed_capacity": st.just(8200.0),
        "relay_config": st.just({"default_pct_limit": 0.0}),
    },
).map(lambda one: {"dynamic_pel_settings": one, "filename": "site_settings", "version": "00.00.01"})  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(found=documents, of_export=st.booleans(), inverted=st.booleans(), rules=st.lists(limits, min_size=1, max_size=4))
def test_no_rule_lifts_what_was_there_and_the_last_one_restores_it(
    found: dict[str, Any], of_export: bool, inverted: bool, rules: list[float]
) -> None:
    law = dpel.Dpel(of_export, inverted)
    before, now = law.limit_in(found), found
    for watts in rules:
        try:
            now = law.written(Rule(watts), now, found)
        except DeviceDataError:
            assert before is not None
            assert before.of_export is not of_export
            return
        there = law.limit_in(now)
        assert there is not None
        assert there.of_export is of_export
        assert there.watts <= min(watts, before.watts if before is not None else math.inf)
        assert law.shows(Rule(watts), now, found)
        kept = ("installed_capacity", "relay_config")
        assert all(now[dpel.SETTINGS].get(key) == found[dpel.SETTINGS].get(key) for key in kept)
    restored = law.written(Rule(), now, found)
    assert restored[dpel.SETTINGS] == found[dpel.SETTINGS]
    assert law.shown(restored, found, None) == Rule()


@settings(max_examples=100, deadline=None)
@given(found=anything.filter(lambda one: isinstance(one, dict)))
def test_what_is_kept_can_be_kept(tmp_path_factory: pytest.TempPathFactory, found: dict[str, Any]) -> None:
    adapter = Kept(tmp_path_factory.getbasetemp() / "x", Past, Past(), "x")._json
    assert adapter.validate_json(adapter.dump_json(Past("dpel", Rule(0.0), 1.0, found))).control == "dpel"


@pytest.mark.parametrize(
    ("answer", "taken"),
    [
        ("{\"message\": \"/ivp/grest/profile/x 'selected_profile': 'y' accepted.\"}", True),
        ('{"message": "profile could not be activated, profile is not in profile package"}', False),
        ('{"message": "not accepted"}', False),
        ("", False),
        ("<html>Log in</html>", False),
    ],
)
def test_only_its_words_say_that_a_profile_was_taken(answer: str, taken: bool) -> None:
    assert profiles.accepted(answer) is taken


def test_a_list_of_hundreds_of_profiles_is_told_shortly() -> None:
    rows = [{"profile_name": f"Profile {number}", "profile_version": "1.0"} for number in range(2000)]
    found = profiles.parse({"profiles": rows})
    assert len(found.known) == profiles.MOST
    assert len(found.problem("Profile  7:1.0") or "") < 500
    assert "differs only in spaces from 'Profile 7:1.0'" in (found.problem("Profile  7:1.0") or "")


def test_every_quirk_names_its_source_and_the_firmware_in_between_is_covered() -> None:
    assert len({quirk.name for quirk in DPEL_QUIRKS}) == len(DPEL_QUIRKS)
    assert all(quirk.source and quirk.told and (quirk.since or quirk.before) for quirk in DPEL_QUIRKS)
    assert habits((7, 6, 175)).unsupported
    assert habits((8, 2, 4398)).inverted
    assert not habits((8, 3, 5232)).inverted
    assert habits(None) == habits((8, 0, 1))


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"control": "grid_profile", "dwell_s": 120}, "at least 300"),
        ({"control": "grid_profile", "profile_zero": "a", "profile_normal": "a"}, "is the same as"),
        ({"control": "dpel", "profile_zero": "a"}, "works with control: grid_profile only"),
        ({"control": "production", "limit": "export"}, "works with control: dpel only"),
        ({"serial": "12xxxxxxxxxx"}, "is a placeholder"),
        ({"serial": "1234"}, "12 digits"),
        ({"token": ""}, "no way to log in"),
    ],
)
def test_mistakes_of_the_configuration_are_told(keys: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        config(**keys)


def test_a_login_stays_out_of_whatever_is_shown() -> None:
    one = config(token="secret-token-1")
    assert "secret-token-1" not in repr(one)
    assert json.loads(json.dumps(off_document())) == off_document()
    assert Limits().export_w == 3400.0
