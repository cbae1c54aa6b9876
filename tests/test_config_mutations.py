"""Configurations that are broken in every way that people, editors and attackers break them.

Each is refused within a second, with its place and a sentence; none hangs, crashes or shows a secret.
"""

from __future__ import annotations

import copy
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.config import Config, ConfigError, load
from app.dotenv import environment_for
from app.yamlfile import MAX_BYTES

FULL = os.environ.get("FAULTS_FULL", "") not in ("", "0")
LONGEST_S = 5.0  # of computing; milliseconds are usual
SECRETS = [
    f"CANARY-{name}-7d21" for name in ("mqtt", "own", "shelly", "json", "header", "amber", "influx", "http", "look")
]
PROJECT = Path(__file__).parent.parent
REAL = (PROJECT / "config.yaml").read_text().replace("11xxxxxxxxxx", "116180400000")
ENVIRONMENT = {"METER_IP": "10.0.0.5", "INFLUXDB_TOKEN": SECRETS[6], "MQTT_PASSWORD": SECRETS[0]}
LINE = re.compile(r"^[^\n:]+config\.yaml:[1-9][0-9]*: .+[^ ]$")

ELABORATE: dict[str, Any] = {
    "site": "garden-2",
    "data_dir": "data",
    "mqtt": {
        "host": "broker:1884", "port": 1883, "username": "app", "password": SECRETS[0], "topic_prefix": "zeropower",
    },
    "opendtu": {
        "topic_prefix": "solar",
        "host": "10.0.0.7",
        "mqtt": {"host": "10.0.0.8", "port": 1883, "username": "dtu", "password": SECRETS[1]},
    },
    "meter": [
        {
            "type": "shelly", "host": "10.0.0.5", "password": SECRETS[2], "interval_s": 1.0, "timeout_s": 1.5,
            "invert": False,
        },
        {
            "type": "http_json",
            "url": "http://10.0.0.9/meter",
            "path": "$.power",
            "unit": "kW",
            "sum": True,
            "username": "u",
            "password": SECRETS[3],
            "headers": {"X-Key": SECRETS[4]},
        },
    ],
    "inverters": [
        {"serial": "116180400000", "name": "Garage", "enabled": True, "max_watt": 1500, "min_watt": 45, "channels": 4},
        {"serial": "116180400001", "type": "opendtu", "max_watt": 800.5, "phase": 2},
    ],
    "control": {
        "target_point_w": 15, "dry_run": False, "enabled": True, "deadband_w": 10, "max_raise_w_per_s": 50.0,
        "min_command_interval_s": 2.5, "dead_time_s": [0.3, 4], "phases": "net", "switch_off": False,
        "cyclic_loads": "balanced", "fail_safe_w": 100, "exit_limit": "fail_safe", "stale_hold_s": 2,
        "stale_fail_safe_s": 5, "export_limit_w": 5000,
    },
    "price": {"type": "amber", "token": SECRETS[5], "site_id": "S1", "export_threshold_c": 1.5},
    "influxdb": {"url": "http://db:8086", "token": SECRETS[6], "org": "solar", "bucket": "zero_export"},
    "recorder": {"max_mb": 64},
    "http": {
        "host": "127.0.0.1", "port": 8080, "token": SECRETS[7], "read_token": SECRETS[8],
        "public_url": "http://pi.local:8080", "grafana_url": "http://pi.local:3000",
        "allowed_origins": ["https://grafana.example.org"], "allowed_hosts": ["zero.example.org"],
    },
    "log": {"level": "INFO", "max_mb": 5, "backups": 3},
}  # fmt: skip
REQUIRED = [
    ("meter",), ("inverters",), ("meter", 0, "type"), ("meter", 0, "host"), ("meter", 1, "url"), ("meter", 1, "path"),
    ("inverters", 0, "serial"), ("inverters", 1, "max_watt"), ("price", "type"), ("price", "token"),
    ("influxdb", "token"),
]  # fmt: skip
ENDLESS = {"fail_safe_w", "max_raise_w_per_s"}  # have no upper bound, as there is none to give
NUMBERS: list[Any] = ["lots", "1,5", [1], {"a": 1}, float("nan"), float("inf"), -1e30, 1e30, 10**39, "0x1g", "", "--"]
SWITCHES: list[Any] = ["maybe", 7, 2.5, [True], {"a": True}, "truefalse", "${", None]
SECTIONS: list[Any] = ["text", 5, [[]], [5], {"nobody": "knows"}]
TEXTS: list[Any] = [{"a": "b"}, ["a", "b"], True, 1.5, None]
Broken = tuple[str, bytes]
Place = tuple[str | int, ...]


def leaves(node: Any, place: Place = ()) -> Iterator[tuple[Place, Any]]:
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if isinstance(value, dict | list):
            yield from leaves(value, (*place, key))
        else:
            yield (*place, key), value


def sections(node: Any, place: Place = ()) -> Iterator[Place]:
    for key, value in node.items() if isinstance(node, dict) else enumerate(node):
        if isinstance(value, dict | list):
            yield (*place, key)
            yield from sections(value, (*place, key))


def changed(place: Place, value: Any = None, *, delete: bool = False, rename: str = "") -> str:
    """The elaborate configuration with one place changed."""
    document = copy.deepcopy(ELABORATE)
    parent: Any = document
    for part in place[:-1]:
        parent = parent[part]
    if delete:
        del parent[place[-1]]
    elif rename:
        parent[rename] = parent.pop(place[-1])
    else:
        parent[place[-1]] = value
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def wrong_values() -> Iterator[Broken]:
    """Another type, or a number that nobody means."""
    for place, value in leaves(ELABORATE):
        key = place[-1]
        kinds = SWITCHES if isinstance(value, bool) else NUMBERS if isinstance(value, int | float) else TEXTS
        for wrong in kinds:
            if wrong is None and not isinstance(value, bool) and key in ("fail_safe_w", "grafana_url"):
                continue  # none is a value here
            if key in ENDLESS and wrong in (1e30, 10**39):
                continue
            yield f"{'.'.join(map(str, place))} = {str(wrong)[:20]}", changed(place, wrong).encode()


def wrong_keys() -> Iterator[Broken]:
    """Missing, misspelt and additional keys, and sections that are none."""
    for place in REQUIRED:
        yield f"without {'.'.join(map(str, place))}", changed(place, delete=True).encode()
    for place, _ in leaves(ELABORATE):
        if isinstance(place[-1], str) and place[-2:-1] != ("headers",):
            for rename in (place[-1] + "x", place[-1].upper(), place[-1].replace("_", "-") + "-"):
                yield f"{'.'.join(map(str, place))} called {rename}", changed(place, rename=rename).encode()
    for place in sections(ELABORATE):
        for wrong in SECTIONS if place[-1] != "headers" else SECTIONS[:-1]:
            yield f"{'.'.join(map(str, place))} = {wrong}", changed(place, wrong).encode()


def meanings() -> Iterator[Broken]:
    """Values of the right type that cannot be meant: placeholders, weak secrets, contradictions."""
    wrong: dict[Place, list[Any]] = {
        ("http", "token"): [
            "changeme", "change-me-please", "password", "Passw0rd", "secret12", "admin123", "12345678", "00000000",
            "mytoken1",            "short", "two words", "tab\tinside", "ümläute-1", "token_token"[:5] + "2345",
        ],
        ("http", "read_token"): ["changeme", SECRETS[7], "letmein1", "x"],
        ("mqtt", "password"): ["changeme", "CHANGE_ME", "please-change-me-1", "<replace me>", "placeholder"],
        ("opendtu", "mqtt", "password"): ["change me!"],
        ("inverters", 0, "serial"): ["11xxxxxxxxxx", "1161", "116180400001", "11618040000g", 5, "", "1161804000000"],
        ("inverters", 0, "min_watt"): [1501, -1],
        ("inverters", 0, "channels"): [0, 7, 2.5],
        ("inverters", 1, "phase"): [0, 4],
        ("meter", 0, "host"): [
            "192.168.x.x", "your-meter", "http://10.0.0.5/", "10.0.0.5:0", "10.0.0.5:99999", "a b", "", "user@h",
        ],
        ("meter", 0, "channel"): [[], [4], [0, 0], "first", -1],
        ("meter", 0, "type"): ["shely", "opendtu", ""],
        ("meter", 1, "url"): [
            "10.0.0.9/meter", "ftp://10.0.0.9/", "http://", "http://user:pw@10.0.0.9/", "http://192.168.x.x/",
            "http://h:port/", "http://h:0/", "http://a b/", "http://[::1/", "http://h/#part", "http://h\\@evil/",
        ],
        ("meter", 1, "path"): ["$.[", "power[", "$..[?(", "x" * 300, "", "$." + "[" * 150],
        ("meter", 1, "headers"): [{"X": "a\nb"}, {"X\r\nY": "a"}, {"X": "ü"}, {"X": 5}],
        ("control", "dead_time_s"): [[4, 1], [1], [1, 2, 3], [-1, 2], [0, 99], ["a", "b"], "0.3"],
        ("control", "phases"): ["each", "all"],
        ("control", "exit_limit"): ["off", ""],
        ("control", "stale_hold_s"): [0, 61],
        ("mqtt", "topic_prefix"): ["a/#", "+", "/a", "", "a b"],
        ("mqtt", "port"): [0, 65536, -1, "mqtt"],
        ("influxdb", "url"): ["localhost", "http://u:p@db/", "http://db/?token=x", "db:8086", "http://[db/", "http://db:x/"],
        ("influxdb", "token"): [""],
        ("http", "public_url"): ["pi.local", "javascript:alert(1)", "http://pi.local\\@x/", "http://pi.local/ x"],
        ("http", "port"): [-1, 65536],
        ("log", "level"): ["LOUD", "debug"],
        ("site",): ["My House", "", "a" * 40, "-x", "ü"],
        ("price", "token"): ["", "psk with blank", "psk_ü", "psk\n"],
        ("price", "export_threshold_c"): [-1001, 1001],
        ("price", "on_unknown"): ["open", ""],
        ("price", "max_stale_s"): [-1, "long"],
    }  # fmt: skip
    for place, values in wrong.items():
        for value in values:
            yield f"{'.'.join(map(str, place))} = {str(value)[:24]!r}", changed(place, value).encode()


def files() -> Iterator[Broken]:
    """Files that are no such file, or one that would eat memory and time."""
    fill = "# " + "x" * 78 + "\n"
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 10))
    more = {
        "nothing": "",
        "blanks": " \n" * 1000,
        "a comment": "# nothing\n",
        "a list": "- a\n- b\n",
        "a word": "zero export",
        "a number": "5",
        "JSON lines": '{"a": 1}\n{"b": 2}\n',
        "two documents": REAL + "\n---\n" + REAL,
        "a thousand documents": "---\na: b\n" * 1000,
        "an alias": REAL + "x: &x 5\ny: *x\n",
        "an unknown alias": REAL + "y: *x\n",
        "an alias bomb": "l0: &l0 [lol, lol]\n" + levels + REAL,
        "a recursive alias": REAL + "x: &x [*x]\n",
        "merge keys": "base: &base {host: a}\n" + REAL.replace("mqtt:", "mqtt:\n  <<: *base", 1),
        "a merge key without alias": REAL.replace("mqtt:", "mqtt:\n  <<: {host: a}", 1),
        "a key twice": REAL + "site: other\n",
        "a section twice": REAL + "http: {port: 9}\n",
        "a key twice within": REAL.replace("port: 8080", "port: 8080\n  port: 8081"),
        "every key twice": REAL + REAL,
        "deep lists": REAL + "x: " + "[" * 30_000,
        "deep maps": REAL + "x: " + "{a: " * 10_000,
        "deep lists, closed": REAL + "x: " + "[" * 500 + "]" * 500,
        "deep by dashes": REAL + "x:\n" + "- " * 20_000,
        "question marks": REAL + "? " * 20_000,
        "tabs": REAL.replace("  host:", "\thost:"),
        "a tab before a colon": REAL.replace("site:", "site\t\t:\t\t\n\t"),
        "an open quote": REAL.replace('"${METER_IP}"', '"${METER_IP}'),
        "an open bracket": REAL.replace("inverters:", "inverters: [", 1),
        "a brace too many": REAL + "}\n",
        "a colon too few": REAL.replace("site: home", "site home"),
        "wrong indentation": REAL.replace("  port: 8080", " port: 8080"),
        "control characters": REAL + "x: \x07\n",
        "NUL": REAL + "\0",
        "a complex key": REAL + "? [a, b]\n: c\n",
        "a map as key": REAL + "{a: b}: c\n",
        "an object": REAL + "x: !!python/object/apply:os.system [id]\n",
        "a name": REAL.replace("site: home", "site: !!python/name:os.system"),
        "an own tag": REAL.replace("site: home", "site: !secret home"),
        "a tag without a value": REAL.replace("port: 8080", "port: !!int ''"),
        "a bool that is none": REAL.replace("dry_run: false", "dry_run: !!bool maybe"),
        "a time that is none": REAL.replace("port: 8080", "port: !!timestamp soon"),
        "a float that is none": REAL.replace("target_point_w: 15", "target_point_w: !!float x"),
        "binary": REAL.replace("site: home", "site: !!binary aG9tZQ=="),
        "broken binary": REAL.replace("site: home", "site: !!binary ü"),
        "a set": REAL.replace("site: home", "site: !!set {a, b}"),
        "base 60": REAL.replace("port: 8080", "port: 8:0:8"),
        "base 60 without end": REAL.replace("port: 8080", "port: " + "1:" * 20_000 + "1"),
        "hexadecimal without end": REAL.replace("port: 8080", "port: 0x" + "f" * 40_000),
        "digits without end": REAL.replace("port: 8080", "port: " + "9" * 40_000),
        "digits and lines": REAL.replace("port: 8080", "port: 1" + "_" * 40_000),
        "a day": REAL.replace("port: 8080", "port: 2024-01-01"),
        "no day": REAL.replace("port: 8080", "port: 2024-13-45"),
        "a long word": REAL.replace("site: home", "site: " + "a" * 40_000),
        "a long quote": REAL.replace("site: home", 'site: "' + "\\x41" * 9000 + '"'),
        "a long key": REAL + "a" * 1000 + ": 1\n",
        "a long block": REAL.replace("site: home", "site: |\n" + "  a\n" * 10_000),
        "a long list": REAL.replace("inverters:", "x: [" + "1, " * 10_000 + "]\ninverters:", 1),
        "many keys": REAL + "".join(f"k{n}: 1\n" for n in range(6000)),
        "many inverters": REAL.replace("inverters:", "inverters:\n" + "  - {serial: '1', max_watt: x}\n" * 1500, 1),
        "many anchors": REAL + "".join(f"k{n}: &k{n} 1\n" for n in range(4000)),
        "too large": REAL + fill * (MAX_BYTES // len(fill)),
        "a variable that is not set": REAL.replace("site: home", "site: ${NOBODY_SETS_THIS}"),
        "a variable with a message": REAL.replace("site: home", "site: ${NOBODY_SETS_THIS:?give it a name}"),
        "a variable in a default": REAL.replace("site: home", "site: ${A:-${B:-home}}"),
        "a variable in itself": REAL.replace("site: home", "site: ${RECURSIVE}"),
        "an open variable": REAL.replace("site: home", "site: ${SITE"),
        "an open default": REAL.replace("site: home", "site: ${SITE:-home"),
        "a variable that is none": REAL.replace("site: home", "site: ${1SITE}"),
        "an assignment": REAL.replace("site: home", "site: ${SITE:=home}"),
        "a variable in a variable's name": REAL.replace("site: home", "site: ${${SITE}}"),
        "many open variables": REAL.replace("site: home", "site: " + "${A:-" * 9000),
        "dollar signs": REAL.replace("site: home", "site: " + "$" * 3000),
        "a huge variable": REAL.replace("site: home", "site: ${HUGE}"),
    }  # fmt: skip
    yield from ((name, text.encode()) for name, text in more.items())
    yield "UTF-16", REAL.encode("utf-16")
    yield "Latin-1", REAL.replace("site: home", "site: h\u00f6me").encode("latin-1")
    yield "random bytes", random.Random(3).randbytes(5000)
    yield "half a character", REAL.encode() + b"\xc3"
    yield "an archive", b"PK\x03\x04" + bytes(2000)


def corpus() -> list[Broken]:
    """All that is short, and of the long lists as many as a second of everybody's time allows."""
    chance = random.Random(7)
    drawn = [*wrong_values(), *wrong_keys()]
    return [*(drawn if FULL else chance.sample(drawn, 250)), *meanings(), *files()]


def check(folder: Path, content: bytes) -> Config:
    path = folder / "config.yaml"
    path.write_bytes(content)
    environment = ENVIRONMENT | {"RECURSIVE": "x${RECURSIVE}", "HUGE": "x" * 1_000_000}
    return load(path, environment_for(path, environment))


def test_what_is_broken_here_is_right_to_begin_with(tmp_path: Path) -> None:
    assert check(tmp_path, REAL.encode()).site == "home"
    assert check(tmp_path, yaml.safe_dump(ELABORATE).encode()).http.read_token == SECRETS[8]


CORPUS = corpus()


def test_there_are_enough() -> None:
    assert len(CORPUS) >= 400
    assert len({name for name, _ in CORPUS}) == len(CORPUS)


@pytest.mark.parametrize(("name", "content"), CORPUS, ids=[name for name, _ in CORPUS])
def test_each_is_refused_in_time_with_its_place_and_a_reason(tmp_path: Path, name: str, content: bytes) -> None:
    started_s = time.process_time()
    with pytest.raises(ConfigError) as caught:
        check(tmp_path, content)
    assert time.process_time() - started_s < LONGEST_S
    said = str(caught.value)
    for line in said.splitlines():
        assert LINE.match(line) or line.startswith("… and "), line
        assert len(line) < 700
    assert not any(secret in said for secret in SECRETS)
    assert len(said) < 80_000


@pytest.mark.parametrize("seed", range(200 if FULL else 40))
def test_a_file_that_got_damaged_is_read_or_refused_and_nothing_else(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    content = bytearray((REAL if seed % 2 else yaml.safe_dump(ELABORATE)).encode())
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(content))
        match chance.randrange(4):
            case 0:
                content[at] = chance.randrange(256)
            case 1:
                del content[at : at + chance.randint(1, 40)]
            case 2:
                content[at:at] = chance.choice(
                    [b"\t", b"\n", b"[", b"{", b"&a ", b"*a ", b"!", b"${", b'"', b": ", b"- "]
                )
            case 3:
                content[at:at] = content[at : at + chance.randint(1, 200)]
    started_s = time.process_time()
    said = ""
    try:
        check(tmp_path, bytes(content))
    except ConfigError as refused:
        said = str(refused)
    assert time.process_time() - started_s < LONGEST_S
    assert all(LINE.match(line) for line in said.splitlines()), said


REFUSED = [
    "an alias bomb",
    "deep lists",
    "many open variables",
    "http.token = 'changeme'",
    "binary",
    "too large",
    "UTF-16",
]


@pytest.mark.parametrize("command", ["check", "run", "doctor"])
@pytest.mark.parametrize("name", REFUSED)
def test_the_program_says_so_and_ends(tmp_path: Path, name: str, command: str) -> None:
    (tmp_path / "config.yaml").write_bytes(dict(CORPUS)[name])
    done = subprocess.run(
        [sys.executable, "-m", "app", command, "--config", str(tmp_path / "config.yaml")],
        capture_output=True, text=True, check=False, timeout=20, env={**os.environ, **ENVIRONMENT}, cwd=PROJECT,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert all(LINE.match(line) for line in done.stderr.splitlines())
    assert not any(secret in done.stderr for secret in SECRETS)
