"""What every test of a gateway's client needs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.access import Access
from app.broker import Address, Broker
from app.outbound import new_session


@pytest.fixture
async def access(tmp_path: Path) -> AsyncIterator[Access]:
    async with new_session() as session:
        yield Access(session, lambda _config: Broker(Address("127.0.0.1", 9), "none"), tmp_path)
