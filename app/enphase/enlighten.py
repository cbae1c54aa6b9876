"""Enphase's cloud, as far as it is needed: an account logs in, and is given a token for its gateway."""

from __future__ import annotations

import logging

import aiohttp

from app.documents import body_of, document, loads
from app.enphase.config import EnphaseLogin
from app.enphase.portal import portal_token
from app.enphase.token import TOKENS, claims_of, is_token
from app.model import DeviceAuthError, DeviceDataError, DeviceError
from app.outbound import ask, place
from app.redact import Redactor, secrets_of

log = logging.getLogger(__name__)

TIMEOUT_S = 10.0


async def fetch_token(session: aiohttp.ClientSession, login: EnphaseLogin, serial: str) -> str:
    """A new token of this gateway. Raises `DeviceError`; `DeviceAuthError` where asking again does not help.

    Where an installer's is wanted and the account is given an owner's, the web page of Entrez may have one; where that
    fails, the owner's is better than none.
    """
    token = await _owners(session, login, serial)
    if login.enlighten_role == "owner" or _role(token) == "installer":
        return token
    why = "its page gives an owner's as well"
    try:
        other = await portal_token(session, login, serial)
        if _role(other) == "installer":
            return other
    except DeviceError as error:
        why = Redactor(secrets_of(login))(str(error))
    log.warning("the Enlighten account was given an owner's token for %s, and no installer's: %s", serial, why)
    return token


async def _owners(session: aiohttp.ClientSession, login: EnphaseLogin, serial: str) -> str:
    """What the interface for programs gives: to self-installers as well it is an owner's."""
    url = f"{login.enlighten_url}/login/login.json"
    form = {"user[email]": login.enlighten_username, "user[password]": login.enlighten_password}
    answer = await ask(session, url, TIMEOUT_S, method="POST", data=form)
    said = document(answer, place(url), "enlighten_username and enlighten_password")
    session_id = said.get("session_id") if isinstance(said, dict) else None
    if not isinstance(session_id, str) or not session_id:
        raise DeviceAuthError(
            f"{place(url)} lets nobody in with a password alone: the account has multi-factor authentication. Switch "
            f"that off in the account, or make a token by hand at {TOKENS} and put it into token"
        )
    url = f"{login.entrez_url}/tokens"
    wish = {"session_id": session_id, "serial_num": serial, "username": login.enlighten_username}
    answer = await ask(session, url, TIMEOUT_S, method="POST", json=wish)
    body = body_of(
        answer, place(url), f"that the Enlighten account is the one of the gateway {serial} (owner, or its installer)"
    )
    return _token(body, place(url))


def _token(body: bytes, who: str) -> str:
    """The token of an answer: as text, or in a document."""
    text = body.decode("ascii", errors="replace").strip()
    if text.startswith("{"):
        said = loads(who, body)
        text = said["token"] if isinstance(said, dict) and isinstance(said.get("token"), str) else ""
    claims = claims_of(text)
    if not is_token(text) or claims is None or claims.expires_utc_s is None:
        raise DeviceDataError(f"{who} answers with something that is no token")
    return text


def _role(token: str) -> str | None:
    claims = claims_of(token)
    return claims.role if claims is not None else None
