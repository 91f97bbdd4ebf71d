"""What every test with real processes shares."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator

import pytest


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Tells the figures of a campaign: at the end of the run, and with the failure where there is one."""

    def told(figures: str) -> None:
        print(figures)
        record_property("tried", figures)

    return told


@pytest.fixture(autouse=True)
def _left_to_the_collector(request: pytest.FixtureRequest) -> Iterator[None]:
    """Where a test lets what breaks in the middle go uncollected, it is collected here and not in another test."""
    yield
    if request.node.get_closest_marker("filterwarnings") is not None:
        gc.collect()
