"""The fuzzing itself: it counts what ran, and it sees what is kept."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import strategies as st

from tests.support.fuzzing import ENOUGH, LONG, TRIED, fuzzed, too_few


def test_a_long_run_is_at_least_so_many_inputs() -> None:
    """All targets together; one fewer is too few."""
    assert ENOUGH == 100_000
    assert too_few(Counter(keys=60_000, lists=40_000)) is None
    assert too_few(Counter(keys=60_000, lists=39_999)) == "1 hostile inputs fewer than the 100,000 of a long run"
    assert too_few(Counter()) is not None


@pytest.mark.skipif(LONG, reason="it would start itself")
def test_a_long_run_that_tried_too_little_fails() -> None:
    """All of its tests are green, and its exit code is not."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"{__file__}::{_GREEN}"]
    run = subprocess.run(
        command, cwd=Path(__file__).parents[2], env=os.environ | {"PUNCHD_FUZZ": "long"}, text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    assert run.returncode == 1, run.stdout
    assert "1 passed" in run.stdout
    assert "FAILED: 100,000 hostile inputs fewer" in run.stdout


_GREEN = test_a_long_run_is_at_least_so_many_inputs.__name__


def test_what_ran_is_counted() -> None:
    """Executions, whatever was asked for: of two values there are only two."""

    @fuzzed("counted", short=50, long=50, grows=True, one=st.booleans())
    def each(one: bool) -> None:
        assert one in (True, False)

    each()
    assert 1 <= TRIED.pop("counted") < 50


@pytest.mark.parametrize("by_value", [False, True])
def test_what_is_kept_of_each_input_is_seen(by_value: bool) -> None:
    """In a list, or once for each value: what is looked at is new each time."""
    hoard: list[object] = []
    seen: dict[bytes, list[int]] = {}

    @fuzzed("hoard", short=100, long=100, data=st.binary(min_size=8, max_size=30))
    def each(data: bytes) -> None:
        if by_value:
            seen.setdefault(data, [len(data)])
        else:
            hoard.append([data])

    with pytest.raises(AssertionError, match="each input leaves something in memory"):
        each()
    TRIED.pop("hoard")
