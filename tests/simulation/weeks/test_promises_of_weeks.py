"""Some weeks of a small company keep every promise: what `make simulate` does at length."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from tests.simulation.weeks.drawing import draw_script
from tests.simulation.weeks.one import judge

#: Few enough for every run of the tests; `make simulate` takes them as they come.
SEEDS = (202, 203, 204, 206, 207, 208)
PEOPLE = 6


@pytest.mark.timeout(600)
def test_weeks_of_a_small_company_keep_every_promise():
    """Each with its own troubles, service and layout; two processes share them."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        weeks = [draw_script(seed, people=PEOPLE) for seed in SEEDS]
        told = dict(zip(SEEDS, pool.map(judge, weeks), strict=True))
    assert {seed: broken for seed, broken in told.items() if broken} == {}
