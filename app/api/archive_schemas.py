"""What `archive` answers, as the API's description has it."""

from __future__ import annotations

from app.api import series
from app.api.archive import MAX_COUNT, MAX_ENTRIES, MAX_EXPORTS, MAX_HISTORY_S, MAX_RANGE_S, MAX_UTC_S, SPANS
from app.api.shapes import TEXT, Json, answer, body, many, number, optional, query, record, ref
from app.telemetry.points import ACCOUNT
from app.telemetry.tables import TABLES

_WHEN = TEXT | {"description": "ISO 8601, UTC"}
_BUSY = answer("Too many ask at once, or the store is away: wait for as many seconds as Retry-After says", "Error")


def archive_schemas() -> dict[str, Json]:
    """Every one by its name."""
    return {
        "History": record(utc_s=many({"type": "number"}), **{name: many(number("W")) for name in series.NAMES}),
        "Energy": record(
            currency=TEXT | {"description": "money is hundredths of it"},
            method=TEXT | {"description": "how curtailed energy is estimated"},
            rows=many(ref("Period")),
        ),
        "Period": record(
            date=TEXT | {"description": "the local day, or the month as in 2026-12"},
            start_utc=_WHEN,
            **{field.name: number(f"{field.unit}: {field.about}") for field in ACCOUNT},
        ),
        "Journal": record(
            entries=many(ref("Entry")),
            more={"type": "boolean", "description": "older ones are there: ask again, before the utc of the last"},
        ),
        "Entry": record(
            utc=_WHEN,
            kind=TEXT | {"description": "mode, settings, fault, fault_cleared, excursion or envoy"},
            text=TEXT,
            key=optional("string", "stable name of the mode or fault"),
            next_step=optional("string", "what to do about a fault"),
            length_s=number("s; of an excursion"),
            worst_w=number("W beyond what is allowed; of an excursion"),
        ),
    }


def archive_paths() -> dict[str, Json]:
    """The routes that ask for the past."""
    return {
        "/api/history": {"get": _history()},
        "/api/energy": {"get": _energy()},
        "/api/journal": {"get": _journal()},
        "/api/export": {"get": _export()},
    }


def _read(summary: str, parameters: list[Json], found: Json) -> Json:
    return {"summary": summary, "parameters": parameters, "responses": {"200": found, "503": _BUSY}}


def _history() -> Json:
    wanted = _whole(1, MAX_HISTORY_S) | {"default": 3600}
    parameters = [
        query("seconds", wanted, "how far back, where from and to are not given"),
        query("from", _whole(0, MAX_UTC_S), f"Unix time in seconds; at most {MAX_RANGE_S // 86_400} days before to"),
        query("to", _whole(0, MAX_UTC_S), "Unix time in seconds, not included (default: now)"),
    ]
    text = "Stored powers: the last hour every 5 s, else minutes or longer, about 1500 rows at most"
    return _read(text, parameters, answer("One list per series, equally long", "History"))


def _energy() -> Json:
    span: Json = {"type": "string", "enum": list(SPANS), "default": "day"}
    text = f"how many back from now (default: {', '.join(f'{count} of a {name}' for name, count in SPANS.items())})"
    parameters = [query("span", span, "what a row is"), query("count", _whole(1, MAX_COUNT), text)]
    found = answer("Oldest first, the current one last; what has no data is left out", "Energy")
    return _read("Energy and money by local day or month", parameters, found)


def _journal() -> Json:
    before = {"type": "number", "minimum": 0, "maximum": MAX_UTC_S}
    parameters = [
        query("limit", _whole(1, MAX_ENTRIES) | {"default": 100}, "how many"),
        query("before", before, "Unix time in seconds: only what is older"),
    ]
    return _read("What happened: modes, settings, faults, excursions", parameters, answer("Newest first", "Journal"))


def _export() -> Json:
    parameters = [
        query("table", {"type": "string", "enum": list(TABLES), "default": "minute"}, "which one"),
        query("from", _whole(0, MAX_UTC_S), "Unix time in seconds (default: all that there is)"),
        query("to", _whole(0, MAX_UTC_S), "Unix time in seconds, not included"),
    ]
    text = f"A table of the store as CSV, of any length; {MAX_EXPORTS} at once"
    return _read(text, parameters, body("RFC 4180, times in UTC, as an attachment", TEXT, "text/csv"))


def _whole(least: int, most: int) -> Json:
    return {"type": "integer", "minimum": least, "maximum": most}
