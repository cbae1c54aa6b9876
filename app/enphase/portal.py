"""The web page of Entrez, where people make tokens: self-installers are given an installer's only there.

It is made for people, and may change at any time; what cannot be found in it is said.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from html.parser import HTMLParser

import aiohttp

from app.documents import refusal
from app.enphase.config import EnphaseLogin
from app.enphase.token import claims_of, is_token
from app.model import DeviceDataError
from app.outbound import ask, place

TIMEOUT_S = 10.0
MAX_BYTES = 524_288
MAX_COOKIES, MAX_OPTIONS = 20, 2000
_COOKIE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]{0,4096}")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Page(HTMLParser):
    """What is needed of a page: the mark that it wants back, the token, and the sites to choose from."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.csrf = ""
        self.texts: list[str] = []  # of text areas
        self.options: list[list[str]] = []  # value, then whatever else an option holds
        self._into: list[str] | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take in a tag."""
        values = {name: value or "" for name, value in attrs}
        self._into = None
        if tag == "input" and values.get("name") == "_csrf":
            self.csrf = values.get("value", "")[:4096]
        elif tag == "textarea":
            self.texts.append("")
            self._into = self.texts
        elif tag == "option" and len(self.options) < MAX_OPTIONS:
            self.options.append([values.pop("value", ""), *values.values(), ""])
            self._into = self.options[-1]

    def handle_data(self, data: str) -> None:
        """Take in what stands between tags."""
        if self._into is not None:
            self._into[-1] += data

    def handle_endtag(self, _tag: str) -> None:
        """Nothing that follows belongs to it."""
        self._into = None

    @property
    def token(self) -> str | None:
        """The token that it shows."""
        shown = (text.strip() for text in self.texts)
        return next((text for text in shown if is_token(text) and claims_of(text) is not None), None)

    def site_of(self, serial: str) -> str | None:
        """The site that a gateway belongs to, as its form wants it."""
        found = next((option for option in self.options if any(serial in part for part in option)), None)
        return None if found is None else (found[0] or found[-1].strip())[:200] or None


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
        request = {} if form is None else {"method": "POST", "data": {**form, "_csrf": self._csrf}}
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
