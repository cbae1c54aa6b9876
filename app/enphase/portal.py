"""The web page of Entrez, where people make tokens: self-installers are given an installer's only there.

It is made for people, and may change at any time; what cannot be found in it is said.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import unescape
from itertools import islice
from typing import Any

import aiohttp

from app.documents import refusal
from app.enphase.config import EnphaseLogin
from app.enphase.token import MAX_LENGTH, claims_of, is_token
from app.model import DeviceDataError
from app.outbound import ask, place

TIMEOUT_S = 10.0
MAX_BYTES = 262_144
MAX_COOKIES, MAX_OPTIONS = 20, 2000
_COOKIE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]{0,4096}")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_INPUT = re.compile(r"<input\b([^<>]{1,1000})>", re.IGNORECASE)
_TEXT_AREA = re.compile(rf"<textarea\b[^<>]{{0,500}}>([^<>]{{1,{2 * MAX_LENGTH}}})", re.IGNORECASE)
_OPTION = re.compile(r"<option\b([^<>]{0,500})>([^<>]{0,200})", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""(?<![\w-])([\w-]{1,40})\s?=\s?(?:"([^"]*)"|'([^']*)')""")


class Page:
    """What is needed of a page: the mark that it wants back, the token, and the sites to choose from.

    It is searched and not parsed: Python's parser of HTML can be kept busy for minutes by a page that is made for that.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    @property
    def csrf(self) -> str:
        """The mark; empty where there is none."""
        inputs = (_attributes(tag[1]) for tag in _INPUT.finditer(self._text))
        return next((values.get("value", "") for values in inputs if values.get("name") == "_csrf"), "")

    @property
    def token(self) -> str | None:
        """The token that it shows."""
        shown = (area[1].strip() for area in _TEXT_AREA.finditer(self._text))
        return next((text for text in shown if is_token(text) and claims_of(text) is not None), None)

    def site_of(self, serial: str) -> str | None:
        """The site that a gateway belongs to, as its form wants it."""
        for option in islice(_OPTION.finditer(self._text), MAX_OPTIONS):
            values, shown = _attributes(option[1]), unescape(option[2]).strip()
            if any(serial in part for part in (shown, *values.values())):
                return values.get("value") or shown or None
        return None


def _attributes(text: str) -> dict[str, str]:
    return {one[1].lower(): unescape(one[2] or one[3] or "") for one in _ATTRIBUTE.finditer(text)}


class _Visit:
    """One visit, with the cookies of it."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self._session, self._base = session, base
        self._cookies: dict[str, str] = {}
        self._csrf = ""

    async def page(self, path: str, form: Mapping[str, str] | None = None) -> tuple[int, Page]:
        """GET it, or POST a form to it. Raises `DeviceError`."""
        url = f"{self._base}{path}"
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}
        request: dict[str, Any] = {} if form is None else {"method": "POST", "data": {**form, "_csrf": self._csrf}}
        answer = await ask(
            self._session, url, TIMEOUT_S, headers=headers, max_bytes=MAX_BYTES, any_status=True, **request
        )
        for name, value in answer.cookies.items():
            if _NAME.fullmatch(name) and _COOKIE.fullmatch(value) and len(self._cookies) < MAX_COOKIES:
                self._cookies[name] = value
        if answer.status in (401, 403, 429):
            raise refusal(answer, place(url), "enlighten_username and enlighten_password")
        page = Page(answer.body.decode(errors="replace"))
        self._csrf = page.csrf or self._csrf
        return answer.status, page


async def portal_token(session: aiohttp.ClientSession, login: EnphaseLogin, serial: str) -> str:
    """A new token out of the web page. Raises `DeviceError`."""
    visit = _Visit(session, login.entrez_url)
    await visit.page("/login_main_page")
    form = {"username": login.enlighten_username, "password": login.enlighten_password, "authFlow": "entrezSession"}
    await visit.page("/login", form)
    _, choice = await visit.page("/entrez_tokens")  # fails for some accounts, and the next one does not
    status, page = await visit.page("/entrez_tokens", {"serialNum": serial, "Site": choice.site_of(serial) or serial})
    if page.token is None:
        raise DeviceDataError(
            f"{login.entrez_url}/entrez_tokens shows no token of the gateway {serial} (HTTP {status}): is it a site "
            "of this account? Make one by hand there, and put it into token_file"
        )
    return page.token
