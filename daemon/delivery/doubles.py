"""One punch that stands on the timesheet twice: found in whatever a read shows, told with what to delete.

What was absent from two reads goes again (facts, U10). A service that shows a write only later, and takes a second
clock-in, then has it twice. Nothing here deletes anything: a person does, and an alarm stands until they did.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from zoneinfo import ZoneInfo

import structlog

from daemon.alarms import Alarms
from daemon.model import Direction, Punch
from daemon.queue.database import Database
from daemon.queue.deliveries import history
from daemon.queue.queue import find_punch, list_punches
from daemon.queue.records import journal
from daemon.timesheets.timesheet import ShiftRecord

log = structlog.get_logger()

#: What the alarm names at most; the rest is counted.
NAMED_MAX = 3
_ACTION = "punch.recorded_twice"


@dataclass(frozen=True, slots=True)
class Double:
    """A punch and the records that all stand for it: the one to keep, and those to delete."""

    punch: Punch
    keep: ShiftRecord
    delete: tuple[ShiftRecord, ...]


def alike(records: Iterable[ShiftRecord]) -> list[tuple[ShiftRecord, ...]]:
    """PURE: records of one person that may stand for one punch: made by a program at one second, or with one mark."""
    groups: dict[tuple[str, object], dict[str, ShiftRecord]] = defaultdict(dict)
    for record in records:
        if record.started_by in (None, "api"):
            groups[record.user_id, record.start][record.id] = record
        if record.reference is not None:
            groups[record.user_id, record.reference][record.id] = record
    found = {tuple(sorted(group)): tuple(group.values()) for group in groups.values() if len(group) > 1}
    return list(found.values())


def judged(punch: Punch, group: Sequence[ShiftRecord]) -> Double:
    """PURE: which record to keep: the one that the punch was delivered as, else the one that was there first."""
    oldest_first = sorted(group, key=lambda r: (r.id != punch.remote_id, r.created_at or 0, r.id))
    return Double(punch, oldest_first[0], tuple(oldest_first[1:]))


def ours(conn: sqlite3.Connection, groups: Iterable[Sequence[ShiftRecord]], at: float) -> list[tuple[Double, bool]]:
    """Those that stand for a punch sent from here, journalled once each; and whether they were journalled just now."""
    found = []
    for group in groups:
        punch = _punch_of(conn, group)
        if punch is None:
            continue
        double = judged(punch, group)
        data = {"keep": double.keep.id, "delete": sorted(record.id for record in double.delete)}
        new = not any(line["action"] == _ACTION and line["data"] == data for line in history(conn, punch.id).journal)
        if new:
            journal(conn, at, "automatic", _ACTION, punch.id, data)
        found.append((double, new))
    return found


def _punch_of(conn: sqlite3.Connection, group: Sequence[ShiftRecord]) -> Punch | None:
    for reference in dict.fromkeys(record.reference for record in group if record.reference is not None):
        punch = find_punch(conn, reference)
        if punch is not None and punch.user_id == group[0].user_id and punch.attempts:
            return punch
    start = group[0].start
    there = list_punches(conn, user_id=group[0].user_id, since=start, until=start + 1)
    return next((p for p in there if p.direction is Direction.CLOCK_IN and p.attempts and p.second == start), None)


class Doubles:
    """The doubles that stand, as the newest reads show them, and the alarm that names them."""

    def __init__(self, db: Database, alarms: Alarms, now: Callable[[], float], zone: ZoneInfo) -> None:
        self._db, self._alarms, self._now, self._zone = db, alarms, now, zone
        self._standing: dict[str, Double] = {}

    @property
    def standing(self) -> dict[str, float]:
        """Whose doubles stand, and the start of each one's oldest: they are read until they are gone."""
        oldest: dict[str, float] = {}
        for double in self._standing.values():
            user_id, start = double.punch.user_id, float(double.keep.start)
            oldest[user_id] = min(start, oldest.get(user_id, start))
        return oldest

    async def note(self, people: Collection[str], since: int, until: int, records: Sequence[ShiftRecord]) -> None:
        """A read showed these people's shifts of [since, until]."""
        groups = alike(records)
        asked = frozenset(people)
        covered = [
            punch_id
            for punch_id, double in self._standing.items()
            if double.punch.user_id in asked and since <= double.keep.start <= until
        ]
        if not groups and not covered:
            return
        found = await self._db.write(partial(ours, groups=groups, at=self._now())) if groups else []
        for punch_id in covered:
            del self._standing[punch_id]
        for double, new in found:
            self._standing[double.punch.id] = double
            if new:
                ids = [record.id for record in double.delete]
                log.error("punch.recorded_twice", punch_id=double.punch.id, keep=double.keep.id, delete=ids)
        self._tell()

    def _tell(self) -> None:
        doubles = list(self._standing.values())
        if not doubles:
            self._alarms.clear("recorded_twice")
            return
        words = [
            # No names: alarms are logged (docs/privacy.md).
            f"employee {double.punch.user_id}, {self._local(record.start)}:"
            f" delete shift {record.id}, keep {double.keep.id}"
            for double in doubles
            for record in double.delete
        ]
        more = f"; and {len(words) - NAMED_MAX} more" if len(words) > NAMED_MAX else ""
        self._alarms.set("recorded_twice", f"On the timesheet twice: {'; '.join(words[:NAMED_MAX])}{more}.")

    def _local(self, second: int) -> str:
        return datetime.fromtimestamp(second, self._zone).strftime("%Y-%m-%d %H:%M:%S")
