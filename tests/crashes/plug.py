"""One punchd whose state lies on a disk of its own, and the hand at its plug."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.crashes.disk import Disk, disk
from tests.crashes.notebook import Noted, of_punches
from tests.crashes.people import ATTENDANCE, Crowd
from tests.crashes.settling import all_punches
from tests.crashes.surroundings import copied
from tests.support.door import QUICK, door
from tests.support.nursery import Newborn, Nursery
from tests.support.punchd_process import PATIENCE_S, Kiosk

MOUNTS = tuple(f"data={data},commit={commit}" for data in ("ordered", "writeback") for commit in (5, 60))


@dataclass
class Plug:
    """One service on one disk, and the hand at its plug."""

    disk: Disk
    kiosk: Kiosk
    nursery: Nursery
    chance: random.Random
    log: Path
    problems: list[str] = field(default_factory=list)

    @classmethod
    def of(
        cls, folder: Path, url: str, nursery: Nursery, chance: random.Random, undo: ExitStack, *, size_mb: int = 24
    ) -> Plug:
        """A kiosk whose state lies on a disk of its own."""
        kiosk = door(folder, url)
        one = undo.enter_context(disk(folder, size_mb=size_mb, options=chance.choice(MOUNTS)))
        kiosk.state = one.where / "state"
        kiosk.write(base_url=url, more=QUICK, attendance=ATTENDANCE)
        return cls(one, kiosk, nursery, chance, folder / "log")

    def ready(self) -> Newborn:
        """punchd, ready for taps."""
        return self.nursery.start(self.kiosk.config, self.log)

    def begin(self) -> Newborn:
        """punchd, about to start."""
        return self.nursery.begin(self.kiosk.config, self.log)

    def pull(self, punchd: Newborn, crowd: Crowd | None = None) -> None:
        """The power goes; what comes back is what had reached the disk."""
        stop(punchd)
        self.disk.lose_power(self.chance.choice(MOUNTS))
        if crowd is not None:
            crowd.gate.close()
        punchd.killed()
        if punchd.code != -9:
            self.problems.append(f"punchd ended by itself with {punchd.code}; see {self.log}")
        if crowd is not None:
            crowd.quiet()

    def missing(self, notes: Sequence[Noted]) -> list[str]:
        """Which answered taps are not there. (One whose answer was cut off may be there as well.)"""
        found = of_punches(notes, all_punches(self.kiosk))
        return [words for words in found.words if ": nothing at " in words]

    def alone(self, notes: Sequence[Noted]) -> list[str]:
        """Which answered taps one of the two records lacks by itself. Ask before a start: it mends one by the other."""
        answered = {note.punch_id for note in notes if note.punch_id is not None}
        if not answered:
            return []
        database, copy = self.kiosk.state / "punchd.db", self.kiosk.state / "punchd.copy"
        with copied(database) as conn:
            stored = {str(one) for (one,) in conn.execute("SELECT id FROM punches")}
        told = set()
        for line in copy.read_bytes().splitlines():
            with suppress(ValueError):  # torn by the cut: nobody was told of what is in it
                record = json.loads(line)
                told |= {record["punch"]["id"]} if record["is"] == "punch" else set()
        return [f"{one} is not in {name}" for name, there in (("the database", stored), ("the copy", told))
                for one in sorted(answered - there)]  # fmt: skip

    def salvaged(self) -> list[str]:
        """Where a start found its database damaged, and set it aside."""
        return sorted(str(folder) for folder in self.kiosk.state.glob("damaged-*"))


def stop(punchd: Newborn) -> None:
    """Let it do nothing more; what it is inside the kernel for is ended first."""
    os.kill(punchd.pid, signal.SIGSTOP)
    wait_stopped(punchd.pid, PATIENCE_S)


def wait_stopped(pid: int, patience_s: float) -> bool:
    """Whether all of its threads stand still within this time."""
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        threads = [(task / "stat").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
        if all(thread.rpartition(")")[2].split()[0] in "Tt" for thread in threads):
            return True
        time.sleep(0.0005)
    return False
