"""SIGKILL at any write, any sync and any send of a day at the door: nothing acknowledged is lost, doubled or misdated.

strace kills punchd before its n-th call of one kind (tests/crashes/day.py). Then it is started again, whoever got no
answer taps once more, and the day goes on.

Every n is tried with CRASH_STEPS=all (`make crash`); otherwise a spread of them.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.crashes.day import Step, all_steps, at_the_door, spread, watched
from tests.support.door import disagreements
from tests.support.nursery import Nursery

SIDE_BY_SIDE = 5
#: How many of the calls of one kind are tried where not all are.
SPREAD = {"pwrite64": 3, "fdatasync": 4, "sendto": 3}


@pytest.fixture(scope="module")
def nursery(may_trace: None) -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, because sockets are in it."""
    with tempfile.TemporaryDirectory(prefix="crash") as name:
        yield Path(name)


def survived(steps: list[Step], folder: Path) -> Counter[str]:
    """A day for each step, with a kill there; how many kills fell into what. Fails where a day ends wrong."""
    hits: Counter[str] = Counter()
    nursery = Nursery()
    try:
        for step in steps:
            hits[survived_one(step, folder, nursery)] += 1
    finally:
        nursery.close()
    return hits


def survived_one(step: Step, folder: Path, nursery: Nursery) -> str:
    """What went on when the kill came."""
    inject = f"inject={step.call}:signal=KILL:when={step.n}"
    trace = ("-o", "/dev/null", "-e", f"trace={step.call}", "-e", inject)
    with tempfile.TemporaryDirectory(dir=folder) as name, at_the_door(Path(name), nursery) as (here, sandbox):
        with watched(here.punchd, step.thread, *trace):
            here.whole_day()
        log = (Path(name) / "log").read_text()
    assert here.refused == 0
    assert disagreements(here.taps, sandbox.timesheet()) == [], f"{step}, killed in {here.interrupted}:\n{log}"
    where = re.sub(r" of person .*", "", here.interrupted or "not reached")
    return f"{step.call} of {'the loop' if step.thread == 0 else 'the database'}, in {where}"


@pytest.mark.timeout(0)
# The sandbox lives in a thread of this process: a kill in the middle of a request leaves its socket to the collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_killed_at_any_step_nothing_is_lost_doubled_or_misdated(folder, nursery, tell):
    """Whatever call a SIGKILL comes before, the timesheet ends as the day was tapped, and nothing needs a person."""
    steps = all_steps(folder, nursery)
    tried = steps if os.environ.get("CRASH_STEPS") == "all" else spread(steps, SPREAD)
    # A day is mostly waiting, so a few go side by side.
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        parts = [pool.submit(survived, tried[n::SIDE_BY_SIDE], folder) for n in range(SIDE_BY_SIDE)]
        hits = sum((part.result() for part in parts), Counter())
    figures = [f"{len(tried)} of {len(steps)} steps tried:", *(f"{n:6} {kind}" for kind, n in sorted(hits.items()))]
    tell("\n".join(figures))
    killed = sum(count for kind, count in hits.items() if "not reached" not in kind)
    assert killed >= 0.8 * len(tried), "a day must not end before the kill"
