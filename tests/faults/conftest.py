"""One installation per scenario, watched from outside, and the row that it fills in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import pytest

from tests.conftest import Mosquitto
from tests.faults.scorecard import Card, full
from tests.faults.site import Site, site_of

FAILED = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "row(number): the row of the scorecard that a scenario measures")
    config.addinivalue_line("markers", "long: only with FAULTS_FULL=1")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the long ones to `make faults-full`: they are counted as deselected."""
    long = [] if full() else [item for item in items if item.get_closest_marker("long")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.excinfo is not None and call.when != "teardown":
        item.stash[FAILED] = call.excinfo.exconly(tryshort=True).splitlines()[0][:200]
    return report


@pytest.fixture
def card(request: pytest.FixtureRequest) -> Iterator[Card]:
    """The row of the test's ``row`` marker."""
    marker = request.node.get_closest_marker("row")
    card = Card(marker.args[0])
    yield card
    card.close(request.node.stash.get(FAILED, None))


@pytest.fixture
async def site(tmp_path: Path, mosquitto: Mosquitto) -> AsyncIterator[Site]:
    """Two inverters and a Shelly behind a proxy; the controller not yet started."""
    async with site_of(tmp_path, mosquitto) as place:
        yield place
