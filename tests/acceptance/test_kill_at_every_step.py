"""SIGKILL at any write, any sync and any send of a day at the door: nothing acknowledged is lost, doubled or misdated.

strace watches one thread of a running punchd and kills the process before its n-th call of one kind. Then punchd is
started again, whoever got no answer taps once more, and the day goes on. The tappers' own list is the judge.

Every n is tried with CRASH_STEPS=all (`make crash`); otherwise a spread of them.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.connecteam.behaviour import SecondClockIn
from sandbox.connecteam.limits import EXPERT
from sandbox.handle import Sandbox
from sandbox.tally import Meaning, Tapped
from tests.support.door import Control, EndedError, disagreements, door, second
from tests.support.nursery import Newborn, Nursery
from tests.support.sandbox_process import PATIENCE_S, SandboxAdmin, sandbox_thread

ANNA, BRAM, CHIDI, DEWI = people = ("1", "2", "3", "4")
HOUR = 3600
#: (who, what they mean, how long ago it was; None: now)
DAY = (
    (ANNA, Meaning.COMES, 9 * HOUR),
    (BRAM, Meaning.COMES, 13 * HOUR + 1800),
    (BRAM, Meaning.LEAVES, 12 * HOUR + 1800),
    (CHIDI, Meaning.COMES, None),
    # Younger than what is looked for on the timesheet before it is sent at all.
    (DEWI, Meaning.COMES, 600),
    (DEWI, Meaning.LEAVES, 300),
    (ANNA, Meaning.LEAVES, None),
)
#: So that nobody waits for the account's budget.
AMPLE = replace(EXPERT, name="ample", per_minute=100_000, per_day=1_000_000)
CALLS = ("pwrite64", "fdatasync", "sendto")
SIDE_BY_SIDE = 3
#: How many of the calls of one kind are tried where not all are.
SPREAD = {"pwrite64": 8, "fdatasync": 9, "sendto": 6}

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace (apt-get install strace)")


@dataclass(frozen=True)
class Step:
    """The n-th call of one kind in one thread (0: the loop's; else by age)."""

    thread: int
    call: str
    n: int


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    tried = subprocess.run(["strace", "-f", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"this machine allows no tracing: {tried.stderr.strip()}")
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, because sockets are in it."""
    with tempfile.TemporaryDirectory(prefix="crash") as name:
        yield Path(name)


class Door:
    """One day at one door. `interrupted` names what went on when punchd was killed."""

    def __init__(self, folder: Path, url: str, nursery: Nursery) -> None:
        self.kiosk = door(folder, url)
        self.taps: list[Tapped] = []
        self.interrupted: str | None = None
        self._nursery = nursery
        self._log = folder / "log"
        self.punchd = nursery.start(self.kiosk.config, self._log)
        with Control(self.kiosk) as control:
            for person in people:
                control.post("employees", user_id=person, name=f"Person {person}", badge=f"04A2B3C{person}")

    def whole_day(self) -> None:
        """Everybody taps, everything is delivered, punchd is stopped; what a kill interrupts is done again."""
        for person, meaning, ago_s in DAY:
            self._tap(person, meaning, ago_s)
        self._again("the delivery", lambda control: control.settled())
        if self.punchd.stopped() != 0:
            self.interrupted = "the stop"
            self._restart()
            self._again("the delivery", lambda control: control.settled())
            assert self.punchd.stopped() == 0

    def _tap(self, person: str, meaning: Meaning, ago_s: int | None) -> None:
        """Tap until there is an answer. The list holds all seconds in which the person stood there."""
        earliest = second() - (ago_s or 0)
        at = None if ago_s is None else earliest
        answers: list[dict[str, Any]] = []
        what = f"a tap of person {person} {ago_s or ''}"
        self._again(what, lambda control: answers.append(control.tap(f"04A2B3C{person}", at)))
        result = answers[0]["reason"] or answers[0]["result"]
        # What was stored when the kill came is no second tap: not one more, or not later than itself.
        stored = ("repeat_tap", "time_not_after_last") if self.interrupted == what else ()
        assert result in ("accepted", *stored), answers
        self.taps.append(Tapped(person, person, meaning, earliest, second() if ago_s is None else earliest))

    def _again(self, what: str, do: object) -> None:
        assert callable(do)
        while True:
            try:
                with Control(self.kiosk) as control:
                    do(control)
                return
            except (httpx.HTTPError, EndedError):
                assert self.interrupted is None, "punchd ended without having been killed"
                self.interrupted = what
                self._restart()

    def _restart(self) -> None:
        assert self.punchd.ended() == -9
        self.punchd = self._nursery.start(self.kiosk.config, self._log)


@contextmanager
def at_the_door(folder: Path, nursery: Nursery) -> Iterator[tuple[Door, Sandbox]]:
    """An open door before a sandbox that loses one answer and one request."""
    sandbox = Sandbox(plan=AMPLE)
    # The harsher reading (facts 5, U9): nobody but punchd keeps a second request from becoming a second shift.
    sandbox.company.behaviour.second_clock_in = SecondClockIn.SECOND_SHIFT
    for person in people:
        sandbox.company.add_user(int(person), f"Person {person}")
    with sandbox_thread(sandbox) as server:
        admin = SandboxAdmin(server.admin_url)
        admin.fault(kind="reset", path="*/clock-in", user_id=CHIDI, processed=True, count=1)
        admin.fault(kind="reset", path="*/clock-out", user_id=DEWI, processed=False, count=1)
        admin.close()
        here = Door(folder, server.url, nursery)
        try:
            yield here, sandbox
        finally:
            here.punchd.killed()


@contextmanager
def watched(punchd: Newborn, thread: int, *options: str) -> Iterator[None]:
    """strace on one thread while a block lasts."""
    command = ["strace", "-p", str(punchd.threads()[thread]), *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr is not None
        assert "attached" in tracer.stderr.readline()
        try:
            yield
        finally:
            tracer.terminate()
            tracer.communicate(timeout=PATIENCE_S)


def all_steps(folder: Path, nursery: Nursery) -> list[Step]:
    """Every step of an undisturbed day, by looking at one."""
    counted: Counter[tuple[int, str]] = Counter()
    with at_the_door(folder / "count", nursery) as (here, sandbox):
        threads = range(len(here.punchd.threads()))
        traces = [folder / f"trace{thread}" for thread in threads]
        calls = f"trace={','.join(CALLS)}"
        loop = watched(here.punchd, 0, "-o", str(traces[0]), "-e", calls)
        with loop, watched(here.punchd, threads[-1], "-o", str(traces[-1]), "-e", calls):
            here.whole_day()
    assert here.interrupted is None
    assert disagreements(here.taps, sandbox.timesheet()) == []
    for thread in (0, threads[-1]):
        counted.update((thread, call) for call in re.findall(r"^(\w+)\(", traces[thread].read_text(), re.MULTILINE))
    assert counted[threads[-1], "fdatasync"] > len(DAY), f"the youngest thread is not the database's: {counted}"
    return [Step(thread, call, n) for (thread, call), count in sorted(counted.items()) for n in range(1, count + 1)]


def chosen(steps: list[Step]) -> list[Step]:
    """All steps, or a spread of each kind that begins elsewhere each day."""
    if os.environ.get("CRASH_STEPS") == "all":
        return steps
    found: list[Step] = []
    for (_, call), group in itertools.groupby(steps, lambda step: (step.thread, step.call)):
        kind = list(group)
        stride = max(1, len(kind) // SPREAD[call])
        found += kind[int(time.time() / 86400) % stride :: stride]
    return found


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
    assert disagreements(here.taps, sandbox.timesheet()) == [], f"{step}, killed in {here.interrupted}:\n{log}"
    where = re.sub(r" of person .*", "", here.interrupted or "not reached")
    return f"{step.call} of {'the loop' if step.thread == 0 else 'the database'}, in {where}"


@pytest.mark.timeout(0)
# The sandbox lives in a thread of this process: a kill in the middle of a request leaves its socket to the collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_killed_at_any_step_nothing_is_lost_doubled_or_misdated(folder, nursery, capsys):
    """Whatever call a SIGKILL comes before, the timesheet ends as the day was tapped, and nothing needs a person."""
    steps = all_steps(folder, nursery)
    tried = chosen(steps)
    # A day is mostly waiting, so a few go side by side.
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        parts = [pool.submit(survived, tried[n::SIDE_BY_SIDE], folder) for n in range(SIDE_BY_SIDE)]
        hits = sum((part.result() for part in parts), Counter())
    with capsys.disabled():
        print(f"\n{len(tried)} of {len(steps)} steps tried:")
        for kind, count in sorted(hits.items()):
            print(f"  {count:4} {kind}")
    killed = sum(count for kind, count in hits.items() if "not reached" not in kind)
    assert killed >= 0.8 * len(tried), "a day must not end before the kill"
