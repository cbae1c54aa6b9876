"""Enphase's cloud, as far as it is needed: an account logs in, and is given a token for its gateway."""

from __future__ import annotations

import aiohttp

from app.documents import document, refusal
from app.enphase.config import EnphaseLogin
from app.enphase.token import TOKENS, claims_of, is_token
from app.model import DeviceAuthError, DeviceDataError, DeviceError
from app.outbound import Answer, ask, place

TIMEOUT_S = 10.0


async def fetch_token(session: aiohttp.ClientSession, login: EnphaseLogin, serial: str) -> str:
    """A new token of this gateway. Raises `DeviceError`; `DeviceAuthError` where asking again does not help."""
    url = f"{login.enlighten_url}/login/login.json"
    form = {"user[email]": login.enlighten_username, "user[password]": login.enlighten_password}
    answer = await ask(session, url, TIMEOUT_S, method="POST", data=form)
    said = document(answer, place(url), "enlighten_username and enlighten_password")
    session_id = said.get("session_id") if isinstance(said, dict) else None
    if not isinstance(session_id, str) or not session_id:
        raise DeviceAuthError(
            f"{place(url)} knows the account, but lets nobody in with a password alone: it has multi-factor "
            f"authentication. Switch that off in the account, or make a token by hand at {TOKENS} and put it into token"
        )
    url = f"{login.entrez_url}/tokens"
    wish = {"session_id": session_id, "serial_num": serial, "username": login.enlighten_username}
    answer = await ask(session, url, TIMEOUT_S, method="POST", json=wish)
    return _token(answer, place(url), serial)


def _token(answer: Answer, who: str, serial: str) -> str:
    if answer.status != 200:
        raise _refused(answer, who, serial)
    token = answer.body.decode("ascii", errors="replace").strip()
    claims = claims_of(token)
    if not is_token(token) or claims is None or claims.expires_utc_s is None:
        raise DeviceDataError(f"{who} answers with something that is no token")
    return token


def _refused(answer: Answer, who: str, serial: str) -> DeviceError:
    return refusal(
        answer, who, f"that the Enlighten account is the one of the gateway {serial} (owner, or its installer)"
    )
