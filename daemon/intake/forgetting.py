"""Forgets a person: looks for them a little at a time, then erases them in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from functools import partial

from daemon.errors import NotFoundError
from daemon.queue.database import Database
from daemon.queue.erasure import Forgotten, Traces, begin, erase, leave_no_copy, look_on
from daemon.queue.people import find_employee
from daemon.queue.records import journal

Write = Callable[[Callable[[sqlite3.Connection], Forgotten]], Awaitable[Forgotten]]


async def forget(database: Database, write: Write, user_id: str, now: float, by: str) -> Forgotten:
    """Erase name and badges of a person, also of one who was removed long ago; journalled without them.

    Raises NotFoundError where nobody of that id was ever here. Doing it again erases what came since.
    """
    traces = await database.read(partial(_begin, user_id=user_id, now=now))
    while not traces.complete:
        traces = await database.read(partial(_look_on, traces=traces))
    forgotten = await write(lambda conn: _erase(conn, traces, now, by))
    await database.read(leave_no_copy)
    await database.compact_copy()
    return forgotten


def _begin(conn: sqlite3.Connection, user_id: str, now: float) -> Traces:
    if find_employee(conn, user_id) is None:
        raise NotFoundError(f"cannot forget {user_id}: nobody of that id was ever here; see punchctl employees list")
    return begin(conn, user_id, now)


def _look_on(conn: sqlite3.Connection, traces: Traces) -> Traces:
    return look_on(conn, traces)


def _erase(conn: sqlite3.Connection, traces: Traces, now: float, by: str) -> Forgotten:
    # A punch may have brought a badge since: what is erased is what is there now.
    newest = begin(conn, traces.user_id, now)
    known = newest.badges.keys() <= traces.badges.keys()
    forgotten = erase(conn, traces if known else newest, now)
    journal(conn, now, by, "employee.forgotten", data={"user_id": traces.user_id, **asdict(forgotten)})
    return forgotten
