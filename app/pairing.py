"""Gets the token of a device whose owner presses its button."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable

from app.model import DeviceDataError, DeviceUnavailable
from app.outbound import ask, new_session

USER = "local/zero-export"
EVERY_S = 2.0
TIMEOUT_S = 5.0
_TOKEN = re.compile(r"[A-F0-9]{32}")


async def pair_homewizard(host: str, seconds: float, say: Callable[[str], None]) -> str:
    """A token of version 2 of its API; earlier ones of ours are no longer valid. Raises `DeviceError`.

    Whoever answers is believed: its certificate is remembered by the driver, from its first contact on.
    """
    url = f"https://{host}/api/user"
    try:
        async with asyncio.timeout(seconds), new_session() as session:
            say(f"press the button of the meter at {host} now, for a second (within {seconds:g} s) ...")
            while True:
                answer = await ask(
                    session,
                    url,
                    TIMEOUT_S,
                    method="POST",
                    json={"name": USER},
                    headers={"X-Api-Version": "2"},
                    ssl=False,
                )
                if answer.status == 200:
                    return _token(answer.body, host)
                if answer.status != 403:  # 403: not pressed yet
                    raise DeviceDataError(
                        f"{url} answers HTTP {answer.status}: version 2 of the API comes with firmware 6 of a P1 meter"
                    )
                await asyncio.sleep(EVERY_S)
    except TimeoutError:
        raise DeviceUnavailable(f"the button of the meter at {host} was not pressed within {seconds:g} s") from None


def _token(body: bytes, host: str) -> str:
    try:
        token = json.loads(body)["token"]
    except (ValueError, RecursionError, KeyError, TypeError):
        token = None
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise DeviceDataError(f"https://{host} answers without a token: is it a HomeWizard meter?")
    return token
