"""The client of a gateway, with every firmware, and with all that goes wrong there."""

from __future__ import annotations

from typing import Any

import pytest

from app.access import Access
from app.enphase.config import EnphaseLogin
from app.enphase.gateway import Gateway
from tests.enphase.fake import SOFTWARE, FakeGateway


def client(fake: FakeGateway, access: Access, **keys: Any) -> Gateway:
    if not keys:
        keys = {"token": fake.valid} if fake.has_tokens else {"password": fake.passwords["envoy"]}
    return Gateway.of(access, EnphaseLogin(host=fake.host, **keys))


@pytest.mark.parametrize("firmware", list(SOFTWARE))
async def test_every_firmware_tells_who_it_is_and_what_it_measures(firmware: str, access: Access) -> None:
    async with FakeGateway(firmware).serve() as fake:
        gateway = client(fake, access)
        about = await gateway.about()
        assert (about.serial, about.software, about.version[0]) == (fake.serial, SOFTWARE[firmware], int(firmware))
        assert about.wants_token is fake.has_tokens
        assert (await gateway.get_json("/ivp/meters"))[1]["measurementType"] == "net-consumption"
        assert (gateway.role, gateway.token_expires_utc_s) == (("owner", 2e9) if fake.has_tokens else (None, None))
        assert gateway.expiry_notice is None
