"""What the copy is told of the database: the records that are due from one place in it on. Reads only.

A place is a link of the chain and a line of the journal. Punches and kept taps come with their links; how deliveries
end, what people decide, and who is in the directory come with the journal. So the same reading serves after each
commit, when the copy has fallen behind, and when it is begun anew.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from daemon.queue import chain
from daemon.queue.chain import PUNCH_FACTS, TAP_FACTS
from daemon.queue.lines import Record
from daemon.queue.records import from_json

_STANDING: Final = ("state", "reason", "detail", "remote_id", "recorded_as")
_DUE_LINKS = f"""
    SELECT c.id, c.kind, c.why, c.salt, c.digest, c.hash,
        {", ".join(f"p.{name}" for name in PUNCH_FACTS)}, {", ".join(f"d.{name}" for name in _STANDING)},
        {", ".join(f"t.{name}" for name in TAP_FACTS)}
    FROM chain c LEFT JOIN punches p ON c.kind = 'punch' AND p.seq = c.row_id
    LEFT JOIN deliveries d ON d.punch_seq = p.seq LEFT JOIN taps t ON c.kind = 'tap' AND t.id = c.row_id
    WHERE c.id > ? AND c.gone IS NULL AND c.kind <> 'origin' ORDER BY c.id LIMIT ?"""
_HEADS = "SELECT (SELECT max(id) FROM chain), (SELECT max(id) FROM journal)"
_DUE_LINES = "SELECT id, at, action, punch_id, data FROM journal WHERE id > ? ORDER BY id LIMIT ?"
_FORGOTTEN = "SELECT EXISTS (SELECT 1 FROM journal WHERE id > ? AND action = 'employee.forgotten')"
_STATES = """
    SELECT wanted.value, d.state FROM json_each(?) wanted CROSS JOIN punches p ON p.id = wanted.value
    JOIN deliveries d ON d.punch_seq = p.seq"""
_STANDS = f"""
    SELECT {", ".join(f"d.{name}" for name in _STANDING)} FROM punches p JOIN deliveries d ON d.punch_seq = p.seq
    WHERE p.id = ?"""
_EMPLOYEE = ("user_id", "name", "job_id", "max_shift_s", "removed_at")
_BADGE = ("badge", "state", "user_id", "since", "released_at")
_EMPLOYEES = f"SELECT {', '.join(_EMPLOYEE)} FROM employees"
_BADGES = f"SELECT {', '.join(_BADGE)} FROM badges"
#: Lines of the journal that tell of many people at once.
_MANY = ("employees.imported", "employees.synced")
#: How a delivery ended, or what a person decided; the rest of the journal is nothing that a copy needs.
_TELLING = ("punch.delivered", "punch.discarded", "punch.review")


@dataclass(frozen=True, slots=True)
class Place:
    """How far something reaches: a link of the chain, a line of the journal."""

    link: int = 1  # the origin
    line: int = 0


@dataclass(frozen=True, slots=True)
class Due:
    """Records for the copy and the place they reach. `facts`: punches or taps are among them. `altered`: ids of rows
    left out, because they are no longer what was stored."""

    records: list[Record]
    reach: Place
    facts: bool = False
    altered: tuple[str, ...] = ()


def heads(conn: sqlite3.Connection) -> Place:
    """How far the database reaches."""
    link, line = conn.execute(_HEADS).fetchone()
    return Place(link or 1, line or 0)


def due(conn: sqlite3.Connection, after: Place, limit: int) -> Due:
    """What came after a place, at most about `limit` records of each kind (one line of the journal may make many)."""
    records: list[Record] = []
    altered: list[str] = []
    rows = conn.execute(_DUE_LINKS, (after.link, limit)).fetchall()
    for row in rows:
        record = link_record(row)
        if record is None:
            altered.append(str(row[6] or f"a kept tap (link {row[0]})"))
        else:
            records.append({**record, "n": row[0], "j": after.line})
    link = rows[-1][0] if len(rows) == limit else heads(conn).link
    line = after.line
    for line_id, at, action, punch_id, data in conn.execute(_DUE_LINES, (after.line, limit)).fetchall():
        told = list(_told(conn, at, action, punch_id, data))
        records += ({**record, "n": link, "j": line if number < len(told) else line_id}
                    for number, record in enumerate(told, 1))  # fmt: skip
        line = line_id
    return Due(records, Place(link, line), bool(rows), tuple(altered))


def link_record(row: tuple[Any, ...]) -> Record | None:
    """A row of a link with what it vouches for, as a record; None where that is no longer what was stored."""
    _, kind, why, salt, digested, hashed, *rest = row
    split = len(PUNCH_FACTS) + len(_STANDING)
    facts = rest[: len(PUNCH_FACTS)] if kind == "punch" else rest[split:]
    if not isinstance(hashed, bytes) or chain.digest(salt, facts) != digested:
        return None
    named = dict(zip(PUNCH_FACTS if kind == "punch" else TAP_FACTS, facts, strict=True))
    record: Record = {"is": kind, "why": why, "salt": salt.hex(), "hash": hashed.hex(), kind: named}
    if kind == "punch":
        record |= _standing(rest[len(PUNCH_FACTS) : split])
    return record


def forgotten_since(conn: sqlite3.Connection, place: Place) -> bool:
    """Whether somebody was forgotten after a place: what the copy holds up to there may tell of them."""
    return bool(conn.execute(_FORGOTTEN, (place.line,)).fetchone()[0])


def directory(conn: sqlite3.Connection) -> Iterator[Record]:
    """Everybody, and every badge."""
    yield from _rows(conn, "employee", _EMPLOYEES, _EMPLOYEE)
    yield from _rows(conn, "badge", _BADGES, _BADGE)


def standing(conn: sqlite3.Connection, punch_id: str) -> Record | None:
    """Where a punch stands; None when it is not there."""
    row = conn.execute(_STANDS, (punch_id,)).fetchone()
    return None if row is None else _standing(row)


def states(conn: sqlite3.Connection, punch_ids: list[str]) -> list[tuple[str, object]]:
    """The state of each of these punches that is there."""
    return conn.execute(_STATES, (json.dumps(punch_ids),)).fetchall()


def live_links(conn: sqlite3.Connection, after: int, limit: int) -> list[tuple[Any, ...]]:
    """The next links that vouch for something, as `link_record` takes them."""
    return conn.execute(_DUE_LINKS, (after, limit)).fetchall()


def _told(conn: sqlite3.Connection, at: float, action: str, punch_id: str | None, data: str) -> Iterator[Record]:
    if not (isinstance(action, str) and isinstance(data, str)):
        return  # a line that damage made tells nothing, and stops nothing
    if punch_id is not None:
        stands = standing(conn, punch_id) if action in _TELLING or action.startswith("review.") else None
        if stands is not None:
            yield {"is": "mark", "id": punch_id, "at": at, **stands}
    elif action in _MANY:
        yield from directory(conn)
    elif action.startswith(("employee.", "badge.")):
        about = from_json(data)  # what damage made unreadable tells nothing, and stops nothing
        if "user_id" in about:
            yield from _rows(conn, "employee", f"{_EMPLOYEES} WHERE user_id = ?", _EMPLOYEE, about["user_id"])
            yield from _rows(conn, "badge", f"{_BADGES} WHERE user_id = ?", _BADGE, about["user_id"])
        elif "badge" in about:
            yield from _rows(conn, "badge", f"{_BADGES} WHERE badge = ?", _BADGE, about["badge"])


def _rows(
    conn: sqlite3.Connection, kind: str, statement: str, names: tuple[str, ...], *values: object
) -> Iterator[Record]:
    for row in conn.execute(statement, values).fetchall():
        yield {"is": kind, kind: dict(zip(names, row, strict=True))}


def _standing(values: Any) -> Record:
    return {name: value for name, value in zip(_STANDING, values, strict=True) if value is not None}
