"""Fifty people, an outage and two restarts: the main promise, on real processes, driven by punchctl alone.

The taps are given by `punchctl tap --json`, four at a time. What stands on the sandbox's timesheet in the end is held
against the tappers' own list; punchd is asked nothing but whether it is done.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sandbox.tally import Meaning, Tapped
from tests.support.door import Control, disagreements, door, people_csv, rows, second
from tests.support.punchd_process import PATIENCE_S, Kiosk, Punchd
from tests.support.sandbox_process import SandboxProcess, sandbox_process

PEOPLE = [(str(100 + number), f"Person {number}", f"04A2B3C4D5{number:02X}80") for number in range(50)]
HOUR = 3600
#: Where the taps of one part of the day lie: nobody comes earlier than ten hours ago.
EARLIEST_S = 10 * HOUR
#: The service's requests a minute are our own limit here: the day shall be over in seconds.
QUICK = "settle_seconds = 0.2\nbackoff_max_seconds = 0.5\ntimeout_seconds = 5\nrequests_per_minute = 10000"
UNREACHABLE = 69
PUNCHCTL = (sys.executable, "-m", "daemon.control.cli", "--json", "--socket")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, because sockets are in it."""
    with tempfile.TemporaryDirectory(prefix="fifty") as name:
        yield Path(name)


class Crowd:
    """The people, and their own list of their taps."""

    def __init__(self, kiosk: Kiosk, chance: random.Random) -> None:
        self.taps: list[Tapped] = []
        #: Whose tap found no punchd, or got no answer.
        self.interrupted: list[str] = []
        #: Whether punchd is there, and whether anybody has had an answer.
        self.open, self.any_answer = threading.Event(), threading.Event()
        self._kiosk = kiosk
        self._chance = chance
        now = second()
        #: When each comes and when each leaves, unless they leave while we look.
        self.came = {user: now - EARLIEST_S + chance.randrange(5 * HOUR) for user, _, _ in PEOPLE}
        self.left = {user: self.came[user] + chance.randrange(HOUR, 4 * HOUR) for user, _, _ in PEOPLE}

    def tap_in(self, group: Sequence[tuple[str, str, str]]) -> None:
        """A group comes, in the order in which they came."""
        self._all(group, Meaning.COMES, self.came)

    def tap_out(self, group: Sequence[tuple[str, str, str]]) -> None:
        """A group leaves."""
        self._all(group, Meaning.LEAVES, self.left)

    def tap_now(self, group: Sequence[tuple[str, str, str]], meaning: Meaning) -> None:
        """A group taps this very moment."""
        self._all(group, meaning, None)

    def _all(self, group: Sequence[tuple[str, str, str]], meaning: Meaning, at: dict[str, int] | None) -> None:
        turns = sorted(group, key=lambda person: at[person[0]]) if at else self._chance.sample(group, len(group))
        with ThreadPoolExecutor(4) as four:
            self.taps += four.map(lambda person: self._tap(person, meaning, at[person[0]] if at else None), turns)

    def _tap(self, person: tuple[str, str, str], meaning: Meaning, at: int | None) -> Tapped:
        """One tap; without an answer once more when punchd is back, and then a repeat is an answer, too."""
        user, name, badge = person
        words = ("tap", badge, "--reader", "front", *(("--at", str(at)) if at else ()))
        earliest, answered = second(), ("accepted",)
        while (done := tried(self._kiosk, *words)).returncode == UNREACHABLE and not at:
            self.interrupted.append(user)
            self.open.wait(PATIENCE_S)
            answered = ("accepted", "repeat")
        answer = json.loads(done.stdout)
        assert answer.get("result") in answered, answer
        self.any_answer.set()
        return Tapped(user, name, meaning, at or earliest, at or second())


def tried(kiosk: Kiosk, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One run of punchctl."""
    command = [*PUNCHCTL, str(kiosk.runtime / "control.sock"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def punchctl(kiosk: Kiosk, *arguments: str) -> Any:
    """One run of punchctl, which must succeed."""
    done = tried(kiosk, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def started(kiosk: Kiosk, log: Path) -> Punchd:
    """punchd, ready for taps."""
    with log.open("a") as stderr:
        punchd = Punchd(kiosk, stderr=stderr)
    punchd.heard("READY=1")
    return punchd


def clock_ins(sandbox: SandboxProcess, since: int) -> list[tuple[int, str]]:
    """The seconds and people of the clock-ins that arrived after request number `since`, each once, in that order."""
    found = [entry for entry in sandbox.admin.requests(since) if entry["path"].endswith("/clock-in")]
    bodies = [json.loads(entry["body"]) for entry in found]
    return list(dict.fromkeys((body["timestamp"], str(body["userId"])) for body in bodies))


def test_what_fifty_people_tapped_stands_on_the_timesheet(folder):
    """In and out, through an outage that loses answers and requests, a SIGTERM and a SIGKILL: once, to the second."""
    chance = random.Random(50)
    with sandbox_process(folder / "sandbox", "--empty", "--plan", "enterprise") as sandbox:
        for user, name, _ in PEOPLE:
            sandbox.admin.post("/users", user_id=int(user), name=name)
        # The harsher reading (facts 5, U9): a request sent twice becomes two shifts.
        sandbox.admin.post("/behaviour", second_clock_in="second_shift")
        kiosk = door(folder / "kiosk", sandbox.url, more=QUICK)
        staff = folder / "staff.csv"
        staff.write_text(people_csv(PEOPLE))
        crowd, log = Crowd(kiosk, chance), folder / "log"
        early, late, now_in = PEOPLE[:20], PEOPLE[20:40], PEOPLE[40:]
        punchd = started(kiosk, log)
        try:
            # A morning with a network that loses one answer and one request, and is then cut in the middle of one.
            punchctl(kiosk, "employees", "import", str(staff))
            sandbox.admin.fault(kind="reset", path="*/clock-in", processed=True, skip=3, count=2)
            sandbox.admin.fault(kind="reset", path="*/clock-in", processed=False, skip=8, count=2)
            crowd.tap_in(early[:14])
            sandbox.admin.wait(path="*/clock-in", state="processed", count=8)
            sandbox.admin.fault(path="*/clock-in", hold=True, when="after", count=1)
            crowd.tap_in(early[14:])
            sandbox.admin.wait(path="*/clock-in", state="held")
            sandbox.admin.cable("cut")
            # The outage: taps go on, punchd is stopped in order, then killed while people tap.
            crowd.tap_out(early[:10])
            assert punchd.stopped() == 0
            punchd.clean_up()
            punchd = started(kiosk, log)
            crowd.tap_in(late)
            crowd.any_answer.clear()
            with ThreadPoolExecutor(1) as beside:
                tapping = beside.submit(crowd.tap_now, now_in, Meaning.COMES)
                assert crowd.any_answer.wait(PATIENCE_S)
                punchd.signal(signal.SIGKILL)
                assert punchd.ended() == -signal.SIGKILL
                punchd.clean_up()
                punchd = started(kiosk, log)
                crowd.open.set()
                tapping.result()
            assert crowd.interrupted, "somebody stood there when punchd was killed"
            crowd.tap_out(late[:10])
            waited = clock_ins(sandbox, 0)
            # The network is back; again answers get lost.
            before = sandbox.admin.requests()[-1]["number"]
            sandbox.admin.fault(kind="drop", path="*/clock-*", processed=True, skip=4, count=3)
            sandbox.admin.fault(kind="status", path="*/clock-*", processed=True, status=502, skip=9, count=2)
            sandbox.admin.cable("up")
            crowd.tap_out([*early[10:], *late[10:]])
            with Control(kiosk) as control:
                control.settled()
            in_order = clock_ins(sandbox, before)
            assert punchctl(kiosk, "review", "list") == []
            assert punchd.stopped() == 0
        finally:
            punchd.clean_up()
        timesheet = rows(sandbox.admin.timesheet())
    assert disagreements(crowd.taps, timesheet) == []
    assert len(crowd.taps) == 90
    assert len(timesheet) == 50
    fresh = [at for at, user in in_order if (at, user) not in waited]
    assert len(fresh) >= 30, "what was tapped during the outage arrived after it"
    assert fresh == sorted(fresh), "the oldest expires first, so it goes first"
