"""The OpenAPI 3.1 description of everything that the HTTP server answers."""

from __future__ import annotations

from app.api.schemas import ON_OFF, TEXT, Json, ref, schemas


def openapi(version: str) -> Json:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Zero export", "version": version, "description": _INTRODUCTION},
        "paths": _paths(),
        "components": {
            "schemas": schemas(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


_INTRODUCTION = (
    "Grid power is positive on import and negative on export; a limit is AC watts; null means unknown, and times are "
    "UTC. Changes from a browser need a signed link, or a POST or PUT from the controller's own page. Other clients "
    "need the bearer token where http.token is set."
)


def _paths() -> Json:
    refusals = {code: _answer(text, "Error") for code, text in _REFUSALS.items()}
    return {
        "/api/status": {"get": _read("Everything worth showing", "Status")},
        "/api/toggle": {
            "get": _toggle("Flip zero export, or set it", {"200": _ENABLED_OR_PAGE}, refusals),
            "post": _toggle("The same, from a form or script", {"200": _answer("The new state", "Enabled")}, refusals),
        },
        "/api/settings": {"put": _change(refusals), "post": _change(refusals)},
        "/api/step-test": {
            "get": _read("The step test that is running, or else the last one", "StepTests"),
            "post": _start_test(refusals),
            "delete": _cancel_test(refusals),
        },
        "/api/events": {"get": _events()},
        "/api/history": {"get": _history()},
        "/healthz": {
            "get": _read("Whether the control loop turns", "Health", {"503": _answer("It does not", "Health")}),
        },
        "/metrics": {"get": {"summary": "Prometheus text, version 0.0.4", "responses": {"200": _plain("text/plain")}}},
        "/openapi.json": {
            "get": {"summary": "This document", "responses": {"200": _body("The document", {"type": "object"})}},
        },
        "/": {"get": {"summary": "The web page", "responses": {"200": _plain("text/html")}}},
        "/web/{name}": {"get": _file()},
    }


_REFUSALS = {
    "400": "A value is wrong, or the redirect leads to no allowed origin; nothing changed",
    "401": "The token is missing or wrong; nothing changed",
    "403": "A prefetch, a page of another origin, or a bad link; nothing changed",
    "408": "The body did not come in time; nothing changed",
    "413": "The body is too large; nothing changed",
    "421": "The Host name is not known here; nothing changed",
}


def _body(text: str, schema: Json, kind: str = "application/json") -> Json:
    return {"description": text, "content": {kind: {"schema": schema}}}


def _answer(text: str, name: str) -> Json:
    return _body(text, ref(name))


def _plain(kind: str) -> Json:
    return _body("Text", TEXT, kind)


_ENABLED_OR_PAGE: Json = {
    "description": "The new state; a browser without proof gets a page that asks, and nothing changed",
    "content": {"application/json": {"schema": ref("Enabled")}, "text/html": {"schema": TEXT}},
}


def _read(summary: str, name: str, more: Json | None = None) -> Json:
    return {"summary": summary, "responses": {"200": _answer(summary, name)} | (more or {})}


def _query(name: str, schema: Json, text: str) -> Json:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": text}


def _toggle(summary: str, answers: Json, refusals: Json) -> Json:
    return {
        "summary": summary,
        "parameters": [
            _query("state", ON_OFF, "sets this instead of flipping"),
            _query("redirect", {"type": "string", "format": "uri"}, "where to go afterwards, on an allowed origin"),
            _query("exp", {"type": "integer"}, "Unix time at which a signed link expires"),
            _query("sig", TEXT, "signature of a link over state and exp"),
        ],
        "security": [{}, {"token": []}],
        "responses": answers | {"303": {"description": "Done; on to the redirect"}} | refusals,
    }


def _change(refusals: Json) -> Json:
    answers = {"200": _answer("The settings in force", "Settings"), "415": _answer("The body is not JSON", "Error")}
    return {
        "summary": "Set zero export, its target or both",
        "security": [{}, {"token": []}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": ref("Change")}}},
        "responses": answers | refusals,
    }


def _start_test(refusals: Json) -> Json:
    answers = {
        "202": _answer("It was asked for", "StepTests"),
        "409": _answer("One is running, or none is possible", "Error"),
        "415": _answer("The body is not JSON", "Error"),
    }
    return {
        "summary": "Measure how one inverter reacts to its limit",
        "security": [{}, {"token": []}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": ref("Serial")}}},
        "responses": answers | refusals,
    }


def _cancel_test(refusals: Json) -> Json:
    return {
        "summary": "Call the running step test off",
        "security": [{}, {"token": []}],
        "responses": {"200": _answer("The last one as it stands", "StepTests")} | refusals,
    }


def _events() -> Json:
    text = "Server-sent events: the data of each is a Status, one per tick"
    return {
        "summary": text,
        "responses": {"200": _body(text, TEXT, "text/event-stream"), "503": _answer("Too many readers", "Error")},
    }


def _history() -> Json:
    wanted = {"type": "integer", "minimum": 1, "maximum": 2_678_400, "default": 3600}
    answers = {
        "200": _answer("One list per series, equally long", "History"),
        "400": _answer("seconds is wrong", "Error"),
    }
    return {"summary": "Stored series", "parameters": [_query("seconds", wanted, "how far back")], "responses": answers}


def _file() -> Json:
    name = {"name": "name", "in": "path", "required": True, "schema": TEXT}
    answers = {
        "200": {"description": "The file"},
        "304": {"description": "Unchanged"},
        "404": _answer("No such file", "Error"),
    }
    return {"summary": "A file of the web page", "parameters": [name], "responses": answers}
