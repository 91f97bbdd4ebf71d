"""Rows for tests of what stands on the database: a person, a tap, a punch in one call each."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from daemon.model import Direction, Punch, PunchState, ReaderDirection, RecordedAs, Source, TapResult
from daemon.queue import deliveries, people, queue
from drivers.reader import Evidence, Tap

#: Saturday, 2026-11-21 08:00:00 UTC.
T0 = 1_795_248_000.0


@dataclass
class Rows:
    """Makes rows on one connection; punches get the ids p1, p2, …"""

    conn: sqlite3.Connection
    _numbers: Any = field(default_factory=lambda: count(1))

    def employee(self, user_id: str = "7", name: str = "Ann") -> str:
        """An employee, known from now on."""
        people.put_employee(self.conn, user_id, name, None)
        return user_id

    def tap(
        self,
        at: float = T0,
        *,
        badge: str = "04A1",
        result: TapResult = TapResult.ACCEPTED,
        boot: str = "b1",
        way: ReaderDirection | None = None,
    ) -> int:
        """A tap; its id."""
        seen = Evidence(at, at - T0 + 1000, boot, True)
        return queue.insert_tap(self.conn, Tap("front", badge, seen), result, None, None, way=way)

    def punch(
        self,
        at: float = T0,
        user_id: str = "7",
        *,
        direction: Direction | None = Direction.CLOCK_IN,
        known: bool = True,
        state: PunchState = PunchState.PENDING,
        decision: bool = False,
        tap_id: int | None = None,
        boot: str = "b1",
        boottime_s: float | None = None,
    ) -> Punch:
        """A punch of `at` (what the wall clock said; the true time where `known`), with a new tap if none is given."""
        seen = Evidence(at, at - T0 + 1000 if boottime_s is None else boottime_s, boot, known)
        if tap_id is None and not decision:
            tap_id = self.tap(at, boot=boot)
        new = queue.NewPunch(
            id=f"p{next(self._numbers)}",
            tap_id=tap_id,
            user_id=user_id,
            direction=direction,
            occurred_at=at,
            time_error_s=0.5 if known else None,
            time_known=known,
            raw_at=at,
            evidence=seen,
            reader=None if decision else "front",
            badge=None if decision else "04A1",
            source=Source.DECISION if decision else Source.TAP,
            job_id=None,
            state=state,
        )
        return queue.insert_punch(self.conn, new, at)

    def delivered(self, at: float = T0, user_id: str = "7", **how: Any) -> Punch:
        """A punch that has been delivered, by one attempt."""
        punch = self.punch(at, user_id, **how)
        attempt = deliveries.begin_attempt(self.conn, "open_shift", {"at": punch.second}, [punch.id], at)
        deliveries.end_attempt(self.conn, attempt, "done", at=at + 1, status=200)
        self.move(punch, PunchState.DELIVERED, remote_id=f"r-{punch.id}", recorded_as=RecordedAs.CLOCK_IN)
        return self.again(punch)

    def move(self, punch: Punch, state: PunchState, **how: Any) -> Punch:
        """Set a state, a minute after the punch."""
        deliveries.set_state(self.conn, punch.id, state, at=punch.occurred_at + 60, **how)
        return self.again(punch)

    def again(self, punch: Punch) -> Punch:
        """The punch as it stands now."""
        found = queue.find_punch(self.conn, punch.id)
        assert found is not None
        return found

    def lane(self, user_id: str = "7") -> list[str]:
        """The ids of all of a person's punches in lane order."""
        rows = self.conn.execute("SELECT id FROM punches WHERE user_id = ? ORDER BY order_at, seq", (user_id,))
        return [punch_id for (punch_id,) in rows]
