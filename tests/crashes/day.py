"""One day at one door, and the system calls in it: what a kill, or an error of the disk, can come before.

strace watches one thread of a running punchd and does something at its n-th call of one kind. Whoever gets no answer,
or is refused because the disk fails, taps once more, and the day goes on. The tappers' own list is the judge.
"""

from __future__ import annotations

import itertools
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from sandbox.connecteam.behaviour import SecondClockIn
from sandbox.connecteam.limits import EXPERT
from sandbox.handle import Sandbox
from sandbox.tally import Meaning, Tapped
from tests.support.door import Control, EndedError, disagreements, door, second
from tests.support.nursery import Newborn, Nursery
from tests.support.punchd_process import Kiosk
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
#: No fault lasts for so many taps.
REFUSED_MAX = 50


#: What may fail of the database's thread: every way in which it changes a file.
CHANGES = ("pwrite64", "fdatasync", "fsync", "write", "ftruncate")
#: The files that it changes. Anything else it writes to is no disk: Python hands a signal on by a write.
FILES = ("punchd.db", "punchd.db-wal", "punchd.db-shm", "punchd.db.new", "punchd.copy", "punchd.copy.new")


@dataclass(frozen=True)
class Step:
    """The n-th call of one kind in one thread (0: the loop's; else by age). Equal `part`s are the same thing done
    again: the same place among the same calls on the same files."""

    thread: int
    call: str
    n: int
    part: tuple[object, ...] = ()


class Door:
    """One day at one door. `interrupted` names what a kill came in, `refused` counts honest refusals."""

    def __init__(self, folder: Path, url: str, nursery: Nursery) -> None:
        self.kiosk = door(folder, url)
        self.taps: list[Tapped] = []
        self.interrupted: str | None = None
        self.refused = 0
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
        while not answers or answers[-1]["reason"] == "cannot_store":
            self.refused += bool(answers)
            assert self.refused <= REFUSED_MAX, "the disk works again, and taps are still refused"
            self._again(what, lambda control: answers.append(control.tap(f"04A2B3C{person}", at)))
        result = answers[-1]["reason"] or answers[-1]["result"]
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


def on_files(kiosk: Kiosk) -> list[str]:
    """Options of strace: what happens to the files of the state directory, and nothing else, is seen, fails, counts."""
    return [word for name in FILES for word in ("-P", str(kiosk.state / name))]


def all_steps(folder: Path, nursery: Nursery, calls: Sequence[str] = CALLS, *, files_only: bool = False) -> list[Step]:
    """Every step of an undisturbed day, by looking at one."""
    with at_the_door(folder / "count", nursery) as (here, sandbox):
        threads = range(len(here.punchd.threads()))
        traces = [folder / f"trace{thread}" for thread in threads]
        options = ["-y", "-e", f"trace={','.join(calls)}", *(on_files(here.kiosk) if files_only else ())]
        loop = watched(here.punchd, 0, "-o", str(traces[0]), *options)
        with loop, watched(here.punchd, threads[-1], "-o", str(traces[-1]), *options):
            here.whole_day()
    assert here.interrupted is None
    assert disagreements(here.taps, sandbox.timesheet()) == []
    steps = [step for thread in (0, threads[-1]) for step in _steps(thread, traces[thread].read_text())]
    synced = sum(step.call == "fdatasync" for step in steps if step.thread == threads[-1])
    assert synced > len(DAY), "the youngest thread is not the database's"
    return sorted(steps, key=lambda step: (step.thread, step.call, step.n))


def _steps(thread: int, trace: str) -> Iterator[Step]:
    """The calls of one thread, each with its place among its neighbours."""
    calls = [(call, file or "") for call, file in re.findall(r"^(\w+)\((?:\d+<[^>]*?([^/>]*)>)?", trace, re.MULTILINE)]
    counted: Counter[str] = Counter()
    runs = [(one, len(list(group))) for one, group in itertools.groupby(calls)]
    for number, ((call, file), length) in enumerate(runs):
        before, after = runs[number - 1 : number], [one for one, _ in runs[number + 1 : number + 3]]
        for place in range(length):
            counted[call] += 1
            where = "first" if place == 0 else "last" if place == length - 1 else "between"
            yield Step(thread, call, counted[call], (file, where, length, *before, *after))


def distinct(steps: Sequence[Step]) -> list[Step]:
    """One of each kind: the first of those that do the same thing. What is no file of punchd's is left out."""
    found = {(step.call, step.part): step for step in reversed(steps) if str(step.part[0]).startswith("punchd.")}
    return list(found.values())[::-1]


def spread(steps: list[Step], of_each: Mapping[str, int]) -> list[Step]:
    """So many of the steps of each kind of call, from elsewhere each day."""
    found: list[Step] = []
    for (_, call), group in itertools.groupby(steps, lambda step: (step.thread, step.call)):
        kind = list(group)
        if of_each.get(call, 0):
            stride = max(1, len(kind) // of_each[call])
            found += kind[int(time.time() / 86400) % stride :: stride]
    return found
