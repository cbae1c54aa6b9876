"""Whether a controller of this site is running, here or anywhere at its broker."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import aiohttp

from app.broker import Address, Broker
from app.checks import running, until
from app.config import Config

BROKER_WAIT_S = 6.0
HTTP_WAIT_S = 3.0


async def controller_url(config: Config) -> str | None:
    """Where the page of this site's controller answers; None where it does not."""
    http = config.http
    host = "" if http.host in ("0.0.0.0", "::", "") else f"http://{http.host}:{http.port}"  # noqa: S104 - no address
    looking = {"Authorization": f"Bearer {http.read_token}"} if http.read_token else {}
    async with aiohttp.ClientSession(headers=looking, timeout=aiohttp.ClientTimeout(total=HTTP_WAIT_S)) as session:
        for url in (f"http://127.0.0.1:{http.port}", host, http.public_url.rstrip("/")):
            status = await get_object(session, f"{url}/api/status") if url else None
            if status is not None and status.get("site") == config.site and "inverters" in status:
                return url
    return None


async def get_object(session: aiohttp.ClientSession, url: str) -> dict[str, Any] | None:
    """The JSON object there, None where there is none."""
    with suppress(aiohttp.ClientError, TimeoutError, ValueError):
        async with session.get(url, allow_redirects=False) as response:
            data = json.loads(await response.text()) if response.status == 200 else None
            return data if isinstance(data, dict) else None
    return None


async def controller_online(config: Config) -> bool:
    """Whether the broker knows of a controller that is connected."""
    found: list[bytes] = []
    broker = Broker(Address.of(config.mqtt), f"zero-export-{config.site}-look")
    broker.subscribe(f"{config.mqtt.topic_prefix}/status", lambda message: found.append(message.payload))
    async with running(broker.run()):
        await until(lambda: broker.connected or broker.fault is not None, BROKER_WAIT_S)
        await until(lambda: bool(found) or not broker.connected, 1.0)
    return found[-1:] == [b"online"]
