"""What is measured, built from the parts the service is built from; and a bare replay of its transactions."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx

from daemon.alarms import Alarms
from daemon.clock import SystemClock, Timekeeper, Trust, TrustSource
from daemon.config import AttendanceConfig, ReaderConfig
from daemon.events import Events
from daemon.intake.intake import Intake
from daemon.model import TapResult
from daemon.queue.database import Database
from daemon.queue.people import assign_badge, put_employee
from drivers.reader import Evidence, Tap

T = TypeVar("T")

PEOPLE = 50
#: Between two taps, so that none is a repeat.
APART_S = 120.0
Statement = tuple[str, Any]


class MovableClock:
    """The real clocks, read at their real price, with what was skipped added."""

    def __init__(self) -> None:
        self._clock = SystemClock()
        self.skipped_s = 0.0

    def now(self) -> Evidence:
        """What the machine knows of the time, `skipped_s` later."""
        seen, skipped_s = self._clock.now(), self.skipped_s
        return Evidence(seen.wall_s + skipped_s, seen.boottime_s + skipped_s, seen.boot_id, seen.synchronised)


def badge(person: int) -> str:
    """The badge of one of PEOPLE."""
    return f"04AB{person:04X}"


def hire(conn: sqlite3.Connection) -> None:
    """PEOPLE with a badge each."""
    for person in range(PEOPLE):
        put_employee(conn, f"{person}", f"Person {person}", None)
        assign_badge(conn, badge(person), f"{person}", 0.0)


class Door:
    """An intake on a database, and people who tap one after another."""

    def __init__(self, database: Any) -> None:
        self.database = database
        self.clock = MovableClock()
        now = self.clock.now()
        trust = Trust(now.boot_id, now.wall_s - now.boottime_s, 0.1, TrustSource.SERVER, now.wall_s)
        self.timekeeper = Timekeeper(self.clock, [trust])
        events = Events(self.timekeeper.now)
        self.intake = Intake(
            database,
            self.timekeeper,
            attendance=AttendanceConfig(),
            readers=(ReaderConfig("front", "simulated"),),
            alarms=Alarms(self.timekeeper.now),
            events=events,
            chance=random.Random(7),
        )
        self._taps = 0

    async def tap(self) -> float:
        """The next person taps; how long the acknowledgement took (seconds)."""
        self.clock.skipped_s += APART_S
        tap = Tap("front", badge(self._taps % PEOPLE), self.clock.now())
        self._taps += 1
        began = time.perf_counter()
        answer = await self.intake.accept(tap)
        spent = time.perf_counter() - began
        assert answer.result is TapResult.ACCEPTED, answer
        await asyncio.sleep(0)  # nobody else taps before the loop's next turn, in which everybody is told
        return spent


async def open_door(path: Path) -> Door:
    """A door on a database, new or not, in which PEOPLE are known."""
    database = await Database.open(path)
    await database.write(hire)
    return Door(database)


class Recorder:
    """A Database that notes the statements of each write transaction, with their values."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.transactions: list[list[Statement]] = []

    async def write(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """As Database.write."""
        noted: list[Statement] = []
        self.transactions.append(noted)
        return await self._database.write(lambda conn: fn(_Noting(conn, noted)))  # type: ignore[arg-type]

    async def read(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """As Database.read."""
        return await self._database.read(fn)


class _Noting:
    def __init__(self, conn: sqlite3.Connection, noted: list[Statement]) -> None:
        self._conn, self._noted = conn, noted

    def execute(self, sql: str, values: Any = ()) -> sqlite3.Cursor:
        self._noted.append((sql, values))
        return self._conn.execute(sql, values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._conn, name)


def replay(conn: sqlite3.Connection, statements: Sequence[Statement]) -> float:
    """One transaction of these statements in bare sqlite3; how long it took (seconds)."""
    began = time.perf_counter()
    conn.execute("BEGIN IMMEDIATE")
    for sql, values in statements:
        conn.execute(sql, values).fetchone()
    conn.execute("COMMIT")
    return time.perf_counter() - began


@contextmanager
def over_socket(path: Path) -> Iterator[httpx.Client]:
    """A client of one of the service's sockets."""
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://punchd", timeout=60) as client:
        yield client
