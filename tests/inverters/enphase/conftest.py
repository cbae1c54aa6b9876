"""A driver beside a gateway that speaks HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app.access import Access
from app.broker import Address, Broker
from app.checks import running
from app.inverters.enphase import Enphase, EnphaseInverterConfig, rulekeeper
from app.outbound import new_session
from tests.enphase.fake import SERIAL, FakeGateway, token
from tests.enphase.fake_limits import NORMAL, ZERO, Limits

PROFILES: dict[str, Any] = {"profile_normal": NORMAL, "profile_zero": ZERO}
Rig = tuple[Enphase, Limits, FakeGateway]


def config(host: str = "10.0.0.9", **keys: Any) -> EnphaseInverterConfig:
    profiles = PROFILES if keys.get("control") == "grid_profile" else {}
    login = {} if "password" in keys else {"token": token(role="installer")}
    base = {"type": "enphase", "host": host, "serial": SERIAL, "max_watt": 8200, "control": "dpel"}
    return EnphaseInverterConfig.model_validate({**base, **login, **profiles, **keys})


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever waits, waits shortly."""
    monkeypatch.setattr(rulekeeper, "READ_BACK_S", (0.0, 0.02, 0.02))
    monkeypatch.setattr(rulekeeper, "LOOK_S", 0.3)
    monkeypatch.setattr(rulekeeper, "LOOK_SOON_S", (0.05, 0.1))


@pytest.fixture
async def system(tmp_path: Path, quick: None) -> AsyncIterator[Callable[..., Any]]:
    """Makes a driver and its gateway; they live as long as the test."""
    async with AsyncExitStack() as stack:

        async def make(limits: Limits | None = None, firmware: str = "8", *, run: bool = False, **keys: Any) -> Rig:
            limits = limits or Limits()
            gateway = await stack.enter_async_context(limits.behind(firmware).serve())
            one = await stack.enter_async_context(connected(gateway, tmp_path, run=run, **keys))
            return one, limits, gateway

        yield make


@asynccontextmanager
async def connected(gateway: FakeGateway, folder: Path, *, run: bool = False, **keys: Any) -> AsyncIterator[Enphase]:
    """A driver of this gateway; ``run``: it keeps in touch."""
    async with new_session() as session:
        access = Access(session, lambda _config: Broker(Address("127.0.0.1", 9), "none"), folder)
        one = Enphase(config(gateway.host, **keys), access)
        async with running(*((one.run(),) if run else ())):
            await asyncio.sleep(0)
            yield one
