"""Secrets are shown nowhere: not in errors, not in logs, and they are not in the image."""

from __future__ import annotations

import base64
import fnmatch
import json
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from pydantic import BaseModel

from app import logs
from app.config import Config, ConfigError, LogConfig, load
from app.dotenv import environment_for
from app.redact import Redactor, secrets_of
from app.yamlfile import is_secret
from tests.canaries import MARK, canary, everything

PROJECT = Path(__file__).parent.parent


ODD = "s3cret+/=?& ü"


class TestRedactor:
    """Replaces every way in which a secret can be written."""

    @pytest.mark.parametrize("written", [ODD, quote(ODD), quote(ODD, safe=""), json.dumps(ODD)])
    def test_each_form_of_it(self, written: str) -> None:
        assert Redactor([ODD])(f"before {written} after").replace('"', "") == "before *** after"

    def test_quotes_and_backslashes_as_python_and_json_write_them(self) -> None:
        public, secret = Redactor(["a'b\\c\"d"]), "a'b\\c\"d"
        for written in (secret, repr(secret), json.dumps(secret), quote(secret)):
            assert public(written).strip("'\"") == "***"

    def test_a_longer_secret_goes_before_a_shorter_one_in_it(self) -> None:
        assert Redactor(["abcd", "abcd-efgh"])("abcd-efgh abcd") == "*** ***"

    def test_a_login_in_a_url_even_if_it_is_nobodys(self) -> None:
        assert Redactor()("see http://admin:hunter2@10.0.0.5/x") == "see http://***@10.0.0.5/x"
        assert Redactor()("http://10.0.0.5:80/a@b") == "http://10.0.0.5:80/a@b"

    def test_what_is_too_short_to_be_looked_for_stays(self) -> None:
        assert Redactor(["on", "", "abc"])("zero export is on") == "zero export is on"

    def test_all_secrets_of_a_configuration_are_found(self, tmp_path: Path) -> None:
        config = configuration(tmp_path, everything("127.0.0.1", {}))
        found = secrets_of(config)
        for name in (
            "mqtt",
            "shelly",
            "json",
            "bearer",
            "header",
            "amber",
            "alpha",
            "envoy",
            "told",
            "gx",
            "influx",
            "http",
            "look",
            "query",
            "hook",
            "hookkey",
        ):
            assert any(canary(name) in secret for secret in found), name
        login = base64.b64encode(f"u:{canary('json')}".encode()).decode()
        assert Redactor(found)(f"Authorization: Basic {login}") == "Authorization: Basic ***"
        assert MARK not in Redactor(found)(json.dumps(everything("127.0.0.1", {})))


def models(model: type[BaseModel], seen: set[type[BaseModel]]) -> set[type[BaseModel]]:
    """All models that a configuration consists of."""
    seen.add(model)
    for field in model.model_fields.values():
        for inner in inner_models(field.annotation):
            if inner not in seen:
                models(inner, seen)
    return seen


def inner_models(annotation: Any) -> Iterable[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from inner_models(argument)


def test_what_is_called_a_secret_is_declared_as_one_and_the_other_way_round() -> None:
    """Two ways to know a secret: by its declaration once the configuration is read, by its name before."""
    exceptions = {"token_file", "webhook", "url"}  # a path, a section, and the address of a webhook is below `webhook`
    for model in models(Config, set()):
        for name, field in model.model_fields.items():
            told, called = not field.repr, is_secret((name,))
            assert told == called or name in exceptions, f"{model.__name__}.{name}"


def configuration(folder: Path, document: dict[str, Any]) -> Config:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(document))
    return load(path, {})


class TestLogs:
    """Every line of every handler goes through the redactor."""

    def written(self, folder: Path, tell: Callable[[logging.Logger], None]) -> str:
        config = LogConfig(file=folder / "log.txt")
        root = logging.getLogger()
        before = list(root.handlers), root.level
        try:
            logs.setup(config, Redactor([canary("log"), "short"]))
            tell(logging.getLogger("app.test"))
        finally:
            for handler in root.handlers:
                if handler not in before[0]:
                    handler.close()
            root.handlers, root.level = before
        return (folder / "log.txt").read_text()

    def test_messages_arguments_and_exceptions(self, tmp_path: Path) -> None:
        def tell(log: logging.Logger) -> None:
            log.warning("password %s of %r", canary("log"), {"token": canary("log")})
            log.warning("see http://u:%s@10.0.0.5/?k=%s", "other", quote(canary("log")))
            try:
                try:
                    raise ValueError(canary("log"))
                except ValueError as error:
                    raise RuntimeError(f"because of {error}") from error
            except RuntimeError:
                log.exception("failed")
            log.info("%s%s", "x" * 3960, canary("log"))

        text = self.written(tmp_path, tell)
        assert MARK not in text
        assert text.count("***") >= 6
        assert "RuntimeError: because of ***" in text

    def test_a_device_makes_up_no_lines(self, tmp_path: Path) -> None:
        text = self.written(
            tmp_path, lambda log: log.info("it is a %s", "Pro\n2026-01-01 INFO all is well\x1b[2J\u2028")
        )
        assert len(text.splitlines()) == 1
        assert "\\n2026" in text
        assert "\x1b" not in text

    def test_a_line_has_an_end(self, tmp_path: Path) -> None:
        assert len(self.written(tmp_path, lambda log: log.info("x" * 10**6))) < 5000


METER = "type: http_json, url: 'http://h/', path: $.p"
WRONG_PLACES = {
    "a number for a token": ("http: {token: 4711081547110815}", "4711081547110815"),
    "a float for a password": ("mqtt: {password: 47110815.5}", "47110815"),
    "a list for a password": (f"mqtt: {{password: [{MARK}]}}", MARK),
    "a map for a token": (f"influxdb: {{token: {{{MARK}: {MARK}}}}}", MARK),
    "a weak token": ("http: {token: 'two CANARYS'}", MARK),
    "a token like another": (f"http: {{token: {MARK}12, read_token: {MARK}12}}", MARK),
    "no blank after the colon": (f"mqtt: {{password:{MARK}}}", MARK),
    "no blank after the colon, in a block": (f"mqtt:\n  password:{MARK}\n  host: a", MARK),
    "a misspelt key": (f"mqtt: {{passwort: {MARK}}}", MARK),
    "the value as a key": (f"mqtt:\n  password:\n    {MARK}:\n", MARK),
    "without quotes, with !": (f"mqtt: {{password: !{MARK}}}", MARK),
    "without quotes, with two !": (f"mqtt: {{password: !{MARK}!x}}", MARK),
    "without quotes, with *": (f"mqtt: {{password: *{MARK}}}", MARK),
    "without quotes, with &": (f"mqtt: {{password: &{MARK} }}", MARK),
    "without quotes, with @": (f"mqtt: {{password: @{MARK}}}", MARK),
    "without quotes, with %": (f"mqtt: {{password: %{MARK}}}", MARK),
    "without quotes, with a brace": (f"mqtt: {{password: {{{MARK}}}", MARK),
    "an open quote": (f'mqtt: {{password: "{MARK}}}', MARK),
    "an open variable": (f"mqtt: {{password: '${{{MARK}'}}", "${CANARY"),
    "digits without end": ("http: {token: " + "4711" * 20 + "}", "47114711"),
    "a login in the URL of the meter": (f"meter: {{type: http_json, url: 'http://u:{MARK}@h/', path: $.p}}", MARK),
    "a key in a broken URL": (f"meter: {{type: http_json, url: 'htp://h/?key={MARK}', path: $.p}}", MARK),
    "a login in a broken URL": (f"meter: {{type: http_json, url: 'htp://u:{MARK}@h/', path: $.p}}", MARK),
    "a login in the URL of the database": (f"influxdb: {{token: x, url: 'http://u:{MARK}@db:8086'}}", MARK),
    "a token in the URL of the database": (f"influxdb: {{token: x, url: 'http://db:8086?token={MARK}'}}", MARK),
    "a login in the host": (f"mqtt: {{host: 'mqtt://u:{MARK}@broker'}}", MARK),
    "a header of two lines": (f'meter: {{{METER}, headers: {{X: "{MARK}\\nb"}}}}', MARK),
    "a header that is a number": (f"meter: {{{METER}, headers: {{X: 4711081547}}}}", "4711081547"),
    "a bearer token with a blank": (f'meter: {{{METER}, bearer_token: "{MARK}\\t1"}}', MARK),
    "an Amber token with a blank": (f"price: {{type: amber, token: 'psk {MARK}'}}", MARK),
    "an address for a webhook": (f"alerts: {{webhook: {{url: 'hook.example/{MARK}'}}}}", MARK),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_PLACES)
def test_an_error_names_the_place_of_a_secret_and_not_the_secret(tmp_path: Path, name: str) -> None:
    text, secret = WRONG_PLACES[name]
    rest = "inverters: [{serial: '116180400000', max_watt: 1500}]\n"
    meter = "" if text.startswith("meter") else "meter: {type: shelly, host: 10.0.0.5}\n"
    (tmp_path / "config.yaml").write_text(f"{rest}{meter}{text}\n")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "config.yaml", {})
    assert secret not in str(caught.value)
    assert "config.yaml:" in str(caught.value)


@pytest.mark.parametrize(
    ("dotenv", "text"),
    [
        (f"MQTT_PASSWORD={MARK}\n{MARK}-second-line\n", ".env:2: is no KEY=value line"),
        (f"MQTT-PASSWORD={MARK}\n", ".env:1: is no KEY=value line"),
        (f"MQTT_PASSWORD_FILE={MARK}\n", "MQTT_PASSWORD_FILE: cannot read the file that it names"),
        (f"MQTT_PASSWORD_FILE=/dev/zero\n#{MARK}", "MQTT_PASSWORD_FILE: cannot read the file that it names"),
        (f"MQTT_PASSWORD={MARK}\0\n".encode("utf-16").decode("latin-1"), "is no KEY=value line"),
    ],
)
def test_neither_does_an_error_of_the_env_file(tmp_path: Path, dotenv: str, text: str) -> None:
    (tmp_path / ".env").write_text(dotenv)
    path = tmp_path / "config.yaml"
    path.write_text("mqtt: {password: '${MQTT_PASSWORD}'}\nmeter: {type: shelly, host: a}\ninverters: []\n")
    with pytest.raises(ConfigError) as caught:
        load(path, environment_for(path, {}))
    assert text in str(caught.value)
    assert MARK not in str(caught.value)


# -- the image ----------------------------------------------------------------------------------------------------


def in_image(name: str, rules: list[str]) -> bool:
    """Whether Docker sends a file to the builder: the last rule that matches it, or a folder above it, decides."""
    parts = name.split("/")
    above = ["/".join(parts[: length + 1]) for length in range(len(parts))]
    sent = True
    for rule in rules:
        pattern = rule.removeprefix("!")
        if pattern.startswith("**/"):
            matches = any(fnmatch.fnmatchcase(part, pattern[3:]) for part in parts)
        else:
            same = [one for one in above if one.count("/") == pattern.count("/")]
            matches = any(fnmatch.fnmatchcase(one, pattern) for one in same)
        sent = rule.startswith("!") if matches else sent
    return sent


def test_nothing_secret_is_sent_to_the_builder_of_the_image() -> None:
    lines = (PROJECT / ".dockerignore").read_text().splitlines()
    rules = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    assert in_image("app/cli.py", rules)
    assert in_image("app/api/web/index.html", rules)
    assert in_image("requirements.txt", rules)
    for name in (
        ".env", ".env.local", ".env.bak", "config.yaml", "config.local.yaml", "data/settings.json", "data/ticks/1.gz",
        "data/history.sqlite", "secrets/mqtt", "mosquitto/passwd", "influxdb/token", ".git/config", ".venv/bin/python",
        "docker-compose.override.yml", "tests/test_secrets.py", "id_ed25519", "server.key",
        "app/api/__pycache__/http.cpython-313.pyc",
    ):  # fmt: skip
        assert not in_image(name, rules), name


def test_the_image_is_made_of_what_it_needs_and_takes_no_secret_while_it_is_built() -> None:
    lines = (PROJECT / "app" / "Dockerfile").read_text().splitlines()
    copied = [line.split()[-2] for line in lines if line.startswith(("COPY", "ADD")) and "--from" not in line]
    assert sorted(copied) == ["app", "requirements.txt"]
    assert not [line for line in lines if line.startswith(("ARG", "ENV")) and is_secret((line,))]
