"""What every test with real processes shares."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _left_to_the_collector(request: pytest.FixtureRequest) -> Iterator[None]:
    """Where a test lets what breaks in the middle go uncollected, it is collected here and not in another test."""
    yield
    if request.node.get_closest_marker("filterwarnings") is not None:
        gc.collect()
