"""The OpenAPI 3.1 description of everything that the HTTP server answers."""

from __future__ import annotations

import re

from app.api.archive_schemas import archive_paths
from app.api.guard import MAX_URL, allowed_bases
from app.api.schemas import schemas
from app.api.shapes import ON_OFF, TEXT, Json, answer, body, query, ref
from app.api.storage_schemas import act_on_storage
from app.config import HttpConfig

Security = list[dict[str, list[str]]]
TOGGLE = "/api/toggle"


LOOKING, CHANGING = "read_token", "token"


def openapi(version: str, config: HttpConfig | None = None) -> Json:
    """The whole document, with the tokens that this configuration asks for."""
    config = config or HttpConfig()
    bearer = {"type": "http", "scheme": "bearer"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Zero export", "version": version, "description": _INTRODUCTION},
        "paths": _paths(
            looking=[{LOOKING: []}, {CHANGING: []}] if config.read_token else [{}],
            changing=[{CHANGING: []}] if config.token else [{}],
            redirect=_redirect(config),
        ),
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                LOOKING: bearer | {"description": "http.read_token of the configuration: looks, and changes nothing"},
                CHANGING: bearer | {"description": "http.token of the configuration: may do everything"},
            },
        },
    }


_INTRODUCTION = (
    "Grid power is positive on import and negative on export; a limit is AC watts; null means unknown, and times are "
    "UTC. Changes from a browser need a signed link, or a POST or PUT from the controller's own page. Where http.token "
    "is set, every change but that of a signed link needs it as a bearer token; where http.read_token is set, looking "
    "needs one of the two. After five different wrong tokens within a minute, further ones from the same address are "
    "refused until the first is a minute old."
)


def _paths(*, looking: Security, changing: Security, redirect: Json) -> Json:
    found = _page_paths()
    _add(found, _looking_paths(), looking, _LOOKING_REFUSALS)
    _add(found, _changing_paths(redirect), changing, _CHANGING_REFUSALS)
    for operation in found[TOGGLE].values():
        operation["security"] = [{}, *(way for way in changing if way)]  # a signed link needs no token
    for item in found.values():
        for operation in item.values():
            operation["responses"] |= {code: answer(text, "Error") for code, text in _ANYWHERE.items()}
            operation["responses"]["400"]["content"]["text/plain"] = {"schema": TEXT}  # what is hardly HTTP
    return found


def _add(found: Json, paths: Json, security: Security, refusals: dict[str, str]) -> None:
    for path, item in paths.items():
        for operation in item.values():
            operation["security"] = security
            operation["responses"] |= {code: answer(text, "Error") for code, text in refusals.items()}
        found.setdefault(path, {}).update(item)


def _looking_paths() -> Json:
    return {
        "/api/status": {"get": _read("Everything worth showing", "Status")},
        "/api/step-test": {"get": _read("The step test that is running, or else the last one", "StepTests")},
        "/api/prices": {"get": _read("The prices around now, and what the gate made of them", "Prices")},
        "/api/ensemble": {"get": _read("Storage, relays and dry contacts behind an Enphase gateway", "EnsembleAnswer")},
        "/api/events": {"get": _events()},
        **archive_paths(),
        "/metrics": {"get": {"summary": "Prometheus text, version 0.0.4", "responses": {"200": _plain("text/plain")}}},
        "/openapi.json": {
            "get": {"summary": "This document", "responses": {"200": body("The document", {"type": "object"})}},
        },
    }


def _changing_paths(redirect: Json) -> Json:
    post = {"200": answer("The new state", "Enabled")}
    return {
        TOGGLE: {
            "get": _toggle("Flip zero export, or set it", {"200": _ENABLED_OR_PAGE}, redirect),
            "post": _toggle("The same, from a form or script", post, redirect),
        },
        "/api/settings": {"put": _change(), "post": _change()},
        "/api/override": {"put": _override(), "post": _override()},
        "/api/step-test": {"post": _start_test(), "delete": _cancel_test()},
        "/api/ensemble": {"post": act_on_storage()},
    }


def _page_paths() -> Json:
    stalled = {"503": answer("It does not", "Health")}
    return {
        "/healthz": {"get": _read("Whether the control loop turns", "Health", stalled)},
        "/": {"get": {"summary": "The web page", "responses": {"200": _plain("text/html"), "304": _UNCHANGED}}},
        "/web/{name}": {"get": _file()},
    }


_UNCHANGED: Json = {"description": "Unchanged"}
_ANYWHERE = {
    "400": "A value is wrong, the redirect leads to no allowed origin, or the body is broken; nothing changed",
    "408": "The body did not come in time; nothing changed",
    "413": "The body is too large; nothing changed",
}
_LOOKING_REFUSALS = {
    "401": "The token is missing or wrong",
    "429": "Too many wrong tokens: wait for as many seconds as Retry-After says",
}
_CHANGING_REFUSALS = {
    "401": "The token is missing or wrong; nothing changed",
    "403": "A prefetch, a page of another origin, a bad link, or a token that may only look; nothing changed",
    "421": "The Host name is not known here; nothing changed",
    "429": _LOOKING_REFUSALS["429"],
}


def _plain(kind: str) -> Json:
    return body("Text", TEXT, kind)


_ENABLED_OR_PAGE: Json = {
    "description": "The new state; a browser without proof gets a page that asks, and nothing changed",
    "content": {"application/json": {"schema": ref("Enabled")}, "text/html": {"schema": TEXT}},
}


def _read(summary: str, name: str, more: Json | None = None) -> Json:
    return {"summary": summary, "responses": {"200": answer(summary, name)} | (more or {})}


def _redirect(config: HttpConfig) -> Json:
    """URLs on one of the allowed origins."""
    origins = "|".join(re.sub(r"([.\[\]+*?(){}|^$])", r"\\\1", base) for base in allowed_bases(config))
    return {"type": "string", "maxLength": MAX_URL, "pattern": rf"^({origins})([/?#][!-\[\]-~]*)?$"}


def _toggle(summary: str, answers: Json, redirect: Json) -> Json:
    return {
        "summary": summary,
        "parameters": [
            query("state", ON_OFF, "sets this instead of flipping"),
            query("redirect", redirect, "where to go afterwards, on an allowed origin"),
            query("exp", {"type": "integer"}, "Unix time at which a signed link expires"),
            query("sig", TEXT, "signature of a link over state and exp"),
        ],
        "responses": answers | {"303": {"description": "Done; on to the redirect"}},
    }


def _change() -> Json:
    answers = {"200": answer("The settings in force", "Settings"), "415": answer("The body is not JSON", "Error")}
    return {
        "summary": "Set zero export, its target or both",
        "requestBody": {"required": True, "content": {"application/json": {"schema": ref("Change")}}},
        "responses": answers,
    }


def _override() -> Json:
    return {
        "summary": "Decide instead of the price for a while, or let it decide again",
        "requestBody": {"required": True, "content": {"application/json": {"schema": ref("OverrideChange")}}},
        "responses": {
            "200": answer("The override in force", "Overridden"),
            "415": answer("The body is not JSON", "Error"),
        },
    }


def _start_test() -> Json:
    answers = {
        "202": answer("It was asked for", "StepTests"),
        "409": answer("One is running, or none is possible", "Error"),
        "415": answer("The body is not JSON", "Error"),
    }
    return {
        "summary": "Measure how one inverter reacts to its limit",
        "requestBody": {"required": True, "content": {"application/json": {"schema": ref("Serial")}}},
        "responses": answers,
    }


def _cancel_test() -> Json:
    return {
        "summary": "Call the running step test off",
        "responses": {"200": answer("The last one as it stands", "StepTests")},
    }


def _events() -> Json:
    text = "Server-sent events: the data of each is a Status, one per tick"
    return {
        "summary": text,
        "responses": {"200": body(text, TEXT, "text/event-stream"), "503": answer("Too many readers", "Error")},
    }


def _file() -> Json:
    name = {"name": "name", "in": "path", "required": True, "schema": TEXT}
    answers = {
        "200": {"description": "The file"},
        "304": _UNCHANGED,
        "404": answer("No such file", "Error"),
    }
    return {"summary": "A file of the web page", "parameters": [name], "responses": answers}
