"""What every campaign stands on: a sandbox in a process of its own that loses answers, and people who are known."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from tests.crashes.people import Person
from tests.support.door import Control, people_csv
from tests.support.punchd_process import Kiosk
from tests.support.sandbox_process import SandboxProcess, sandbox_process

#: How often a request is lost before the service sees it, or its answer afterwards.
LOST = (
    {"kind": "reset", "processed": False},
    {"kind": "drop", "processed": True},
    {"kind": "status", "processed": True},
)
LOST_EACH = 0.02


@contextmanager
def lossy_sandbox(folder: Path, people: Sequence[Person], seed: int) -> Iterator[SandboxProcess]:
    """A service that knows these people. It loses requests and answers, and a request sent twice is two shifts."""
    options = ("--empty", "--plan", "ample", "--seed", str(seed))
    with sandbox_process(folder, *options, module="tests.crashes.ample") as sandbox:
        for person in people:
            sandbox.admin.post("/users", user_id=int(person.user_id), name=person.name)
        sandbox.admin.post("/behaviour", second_clock_in="second_shift")
        for fault in LOST:
            sandbox.admin.fault(method="POST", probability=LOST_EACH, **fault)
        yield sandbox


def hire(kiosk: Kiosk, people: Sequence[Person]) -> None:
    """Import these people."""
    with Control(kiosk) as control:
        control.import_csv(people_csv([(one.user_id, one.name, one.badge) for one in people]))


def crowd_csv(count: int, version: int) -> str:
    """So many people that nobody ever sees, all of one version."""
    return people_csv([(str(900_000 + n), f"Nobody {version}", f"04FF{n:06d}") for n in range(count)])


def versions(conn: sqlite3.Connection) -> list[tuple[str, int]]:
    """Which versions of them a database holds, and how many of each."""
    asked = "SELECT name, count(*) FROM employees WHERE name LIKE 'Nobody %' GROUP BY name"
    return [(str(name), int(count)) for name, count in conn.execute(asked)]


@contextmanager
def copied(database: Path) -> Iterator[sqlite3.Connection]:
    """A look at what a database holds while nobody runs it, without touching it."""
    with tempfile.TemporaryDirectory(prefix="look") as name:
        for file in (database, database.with_name(database.name + "-wal")):
            if file.exists():
                shutil.copy(file, name)
        with closing(sqlite3.connect(Path(name) / database.name)) as conn:
            yield conn
