"""A kiosk's state directory with known content, to be damaged; and the judgement of what a start makes of it."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daemon.errors import StorageError
from daemon.model import Direction, PunchState, ReaderDirection, TapResult
from daemon.queue import people
from daemon.queue.chain import PUNCH_FACTS, TAP_FACTS
from daemon.queue.database import Database
from daemon.queue.queue import claim_tap, list_punches
from daemon.queue.records import get_setting, journal
from daemon.queue.rewriting import empty_wal
from daemon.queue.salvaged import REPORT
from tests.support.rows import T0, Rows

DB, WAL, COPY = "punchd.db", "punchd.db-wal", "punchd.copy"
LOGGED = 40
#: What the name of a kept tap begins with, among those of punches.
KEPT = "kept tap "
BOOT, BOOTTIME = TAP_FACTS.index("boot_id"), TAP_FACTS.index("boottime_s")
Facts = dict[str, tuple[Any, ...]]


def _hired(conn: sqlite3.Connection, rows: Rows) -> None:
    for number in range(10):
        rows.employee(str(number), f"Person {number}")
        people.assign_badge(conn, f"04A{number}", str(number), T0 - 99)
        journal(conn, T0 - 99, "uid:0", "badge.assigned", data={"badge": f"04A{number}", "user_id": str(number)})


def _lived(conn: sqlite3.Connection, rows: Rows, number: int) -> None:
    user_id, at = str(number % 10), T0 + 600 * number
    way = Direction.CLOCK_IN if number // 10 % 2 == 0 else Direction.CLOCK_OUT
    rows.conn = conn
    if number % 37 == 5:
        rows.tap(at, badge="0499", result=TapResult.UNKNOWN_BADGE, way=ReaderDirection.TOGGLE)
    if number % 53 == 19:
        tap = rows.tap(at + 60, result=TapResult.UNKNOWN_BADGE)
        claim_tap(conn, tap, rows.punch(at + 60, user_id, direction=way, tap_id=tap).id)
    if number % 41 == 7:
        rows.move(rows.punch(at, user_id, known=False, direction=None), PunchState.HELD, reason="clock_untrusted")
    elif number % 3:
        rows.delivered(at, user_id, direction=way)
    else:
        rows.punch(at, user_id, direction=way)


async def make(folder: Path, count: int, *, cut: bool) -> Facts:
    """So many punches and what belongs to them, with the second copy; `cut`: as a power cut leaves it, the last LOGGED
    of them in its log alone."""
    folder.mkdir()
    state = folder.with_name(folder.name + "-made")
    state.mkdir()
    db = await Database.open(state / DB, inline=True, copy=state / COPY)
    rows = Rows(None)  # type: ignore[arg-type]
    await db.write(lambda conn: _hired(conn, Rows(conn)))
    for number in range(count):
        if cut and number == count - LOGGED:
            await db.read(empty_wal)
        await db.write(lambda conn, number=number: _lived(conn, rows, number))  # type: ignore[misc]
    truth = await db.read(facts_of)
    if not cut:
        await db.close()
    for name in (DB, WAL, COPY):
        if (state / name).exists():
            shutil.copy(state / name, folder / name)
    if cut:
        await db.close()
    shutil.rmtree(state)
    return truth


def facts_of(conn: sqlite3.Connection) -> Facts:
    """Every punch's facts, without its number and its tap's; and every kept tap's, as KEPT and when it was tapped."""
    rows = conn.execute(f"SELECT {', '.join(PUNCH_FACTS)} FROM punches").fetchall()
    facts = {row[0]: row[:1] + row[3:] for row in rows}
    for row in conn.execute(f"SELECT {', '.join(TAP_FACTS)} FROM taps "
                            "WHERE result = 'unknown_badge' AND punch_id IS NULL ORDER BY id").fetchall():  # fmt: skip
        name = f"{KEPT}{row[BOOT]} {row[BOOTTIME]}"
        facts[f"{name}, again" if name in facts else name] = row[1:]
    return facts


def tapped_at(facts: tuple[Any, ...]) -> float:
    """What the wall clock said when a punch, or a kept tap, of `facts_of` was tapped."""
    kept = len(facts) == len(TAP_FACTS) - 1
    return float(facts[TAP_FACTS.index("raw_at") - 1 if kept else PUNCH_FACTS.index("raw_at") - 2])


@dataclass
class Judged:
    """What a start made of a damaged directory."""

    refused: str = ""
    report: dict[str, Any] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    altered: set[str] = field(default_factory=set)
    added: set[str] = field(default_factory=set)
    unfinished: dict[str, str] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)

    @property
    def salvaged(self) -> bool:
        """Whether the start had to salvage."""
        return bool(self.report)


async def judge(folder: Path, truth: Facts, *, lists: bool = True) -> Judged:
    """Start on what lies in `folder`, look at everything, stop; what is set aside must be as it lay there."""
    before = {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith("-shm")}
    judged = Judged()
    try:
        db = await Database.open(folder / DB, inline=True, copy=folder / COPY)
    except StorageError as error:
        judged.refused = error.message
        after = {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith("-shm")}
        assert after == before, "what is refused is left as it is"
        return judged
    try:
        judged.findings = await db.check()
        judged.report = await db.read(lambda conn: json.loads(get_setting(conn, REPORT) or "{}"))
        if not judged.findings:
            found = await db.read(facts_of)
            states = await db.read(lambda conn: conn.execute(
                "SELECT p.id, d.state FROM punches p JOIN deliveries d ON d.punch_seq = p.seq").fetchall())  # fmt: skip
            if lists:
                await db.read(list_punches)  # what nothing is found in can be read
            judged.missing, judged.added = truth.keys() - found.keys(), found.keys() - truth.keys()
            if found != truth:
                judged.altered = {one for one in truth.keys() & found.keys() if not _same(truth[one], found[one])}
            judged.unfinished = {one: state for one, state in states if state not in ("delivered", "discarded")}
    finally:
        await db.close()
    if judged.report:
        aside = Path(judged.report["folder"])
        for name, content in before.items():
            if name in (DB, WAL, COPY):
                assert (aside / name).read_bytes() == content, f"{name} was not set aside bit for bit"
    return judged


def _same(true: tuple[Any, ...], found: tuple[Any, ...]) -> bool:
    """A place in the lane of a punch without a time is nobody's promise."""
    if len(true) == len(TAP_FACTS) - 1:
        return true == found
    order, known = PUNCH_FACTS.index("order_at") - 2, PUNCH_FACTS.index("time_known") - 2
    return all(one == other for place, (one, other) in enumerate(zip(true, found, strict=True))
               if place != order or true[known])  # fmt: skip


def flip(path: Path, offset: int, bit: int = 0x10) -> None:
    """Change one byte."""
    with path.open("r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ bit]))


def opened(path: Path) -> sqlite3.Connection:
    """A plain connection, for tests that change things behind punchd's back."""
    return sqlite3.connect(path)


__all__ = [
    "COPY",
    "DB",
    "KEPT",
    "WAL",
    "Facts",
    "Judged",
    "closing",
    "facts_of",
    "flip",
    "judge",
    "make",
    "opened",
    "tapped_at",
]
