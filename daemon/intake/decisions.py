"""What a person decides about a punch: the missing one's time, or its own true time. Inserts punches made by decision.

A decision never changes a punch whose time is known; it adds one (`source: "decision"`, reader and badge null) and,
where it replaces one, discards that by a recorded decision. All journalled with who and when.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from daemon.clock import Timekeeper, moved
from daemon.dating import is_wrong, refuse_wrong, settles_direction
from daemon.errors import InvalidInputError, NotFoundError, RefusedError
from daemon.intake.ids import new_id
from daemon.intake.intake import Intake
from daemon.intake.placing import Desk
from daemon.intake.settling import settle
from daemon.model import Direction, Punch, PunchState, Source
from daemon.queue.database import Database
from daemon.queue.deliveries import release, set_state
from daemon.queue.lanes import find_lane_punch
from daemon.queue.people import find_employee
from daemon.queue.queue import NewPunch, find_punch, insert_punch, list_punches, settle_time
from daemon.queue.records import journal
from drivers.reader import Evidence

#: What a person may decide about: what is in review, and what waits for something that only they may know.
_OPEN = (PunchState.REVIEW, PunchState.HELD)


@dataclass(frozen=True, slots=True)
class Resolved:
    """The punch decided on as it now stands, and the one that was added, if any."""

    punch: Punch
    added: Punch | None = None


@dataclass(frozen=True, slots=True)
class _Case:
    """One decision inside its transaction."""

    conn: sqlite3.Connection
    desk: Desk
    seen: Evidence
    punch: Punch
    at: float
    by: str


class Decisions:
    """Gives punches the times that only people know. Raises NotFoundError, RefusedError, InvalidInputError."""

    def __init__(self, database: Database, intake: Intake, timekeeper: Timekeeper) -> None:
        self._database, self._intake, self._timekeeper = database, intake, timekeeper

    async def resolve(
        self,
        punch_id: str,
        *,
        clock_out: float | None = None,
        clock_in: float | None = None,
        time: float | None = None,
        by: str,
    ) -> Resolved:
        """Exactly one of: when the person of this clock-in left, when the person of this clock-out came, or when this
        punch truly happened (Unix seconds). All or nothing."""
        given = [(word, at) for word, at in (("out", clock_out), ("in", clock_in), ("time", time)) if at is not None]
        if len(given) != 1:
            raise InvalidInputError("Cannot resolve: give exactly one of clock_out, clock_in, time.")
        (word, at), desk, seen = given[0], self._intake.desk(), self._timekeeper.evidence()
        if at > desk.now:
            raise InvalidInputError("Cannot resolve: that time lies in the future. State a time that has passed.")

        def decide(conn: sqlite3.Connection) -> tuple[Resolved, list[Punch]]:
            case = _Case(conn, desk, seen, _open_punch(conn, punch_id), at, by)
            if word == "time":
                return _true_time(case)
            return _missing_punch(case, Direction.CLOCK_OUT if word == "out" else Direction.CLOCK_IN)

        resolved, settled = await self._database.write(decide)
        if resolved.added is not None:
            self._intake.publish("punch.committed", resolved.added)
        for punch in (resolved.punch, *settled):
            self._intake.publish("punch.settled", punch)
        return resolved


def _open_punch(conn: sqlite3.Connection, punch_id: str) -> Punch:
    punch = find_punch(conn, punch_id)
    if punch is None:
        raise NotFoundError(f"Cannot find a punch {punch_id}. List what needs a person with: punchctl review list")
    if punch.state not in _OPEN:
        raise RefusedError(
            f"Cannot resolve {punch_id}: it is {punch.state}; only held ones and those in review can be."
        )
    if punch.reason == "server_changed_time":  # released or replaced it would be sent, and stand there twice
        raise RefusedError(
            f"Cannot resolve {punch_id} so: the timesheet has it already, with another time. Correct that there, or "
            f"take it as it is: punchctl review resolve {punch_id} --accept-server"
        )
    return punch


def _missing_punch(case: _Case, direction: Direction) -> tuple[Resolved, list[Punch]]:
    """Add the other half of a shift and let both go."""
    punch, at = case.punch, case.at
    if punch.direction is None and punch.state is PunchState.REVIEW:
        raise RefusedError(
            f"Cannot add a {direction} to {punch.id}: whether it is in or out is not known. {settles_direction(punch)}"
        )
    if punch.direction is not direction.other:
        word = "a clock-in" if direction is Direction.CLOCK_OUT else "a clock-out"
        raise RefusedError(f"Cannot add a {direction} to {punch.id}: it is not {word}.")
    if not punch.time_known:
        raise RefusedError(f"Cannot resolve {punch.id} so: its own time is not known. Give it with --time first.")
    refuse_wrong(punch, f"add a {direction} to {punch.id}")
    gap = at - punch.occurred_at if direction is Direction.CLOCK_OUT else punch.occurred_at - at
    limit = case.desk.rules.policy(find_employee(case.conn, punch.user_id)).max_shift_s
    if not 1 <= gap <= limit:
        raise InvalidInputError(
            f"Cannot resolve: the shift would last {gap / 3600:.1f} h; it must be more than nothing and at most "
            f"{limit / 3600:g} h (max_shift_hours)."
        )
    low, high = sorted((at, punch.occurred_at))
    between = [
        other
        for other in list_punches(case.conn, user_id=punch.user_id, since=low, until=high + 1)
        if other.id != punch.id and other.state is not PunchState.DISCARDED and low <= other.occurred_at <= high
    ]
    if between:
        raise RefusedError(f"Cannot resolve: {between[0].id} lies in between. Decide that one first, or discard it.")
    added = _add(case, direction)
    _release(case, "review.resolved", {direction.value: at, "added": added.id})
    return Resolved(_again(case), added), []


def _true_time(case: _Case) -> tuple[Resolved, list[Punch]]:
    """Fill in a time that was not known; a known one that is wrong is replaced, never changed."""
    punch = case.punch
    if not punch.time_known:
        settle_time(case.conn, punch.id, case.at, 0.0)
        if punch.direction is not None:
            _release(case, "review.resolved", {"time": case.at})
        else:
            _leave_to_the_lane(case)
        return Resolved(_again(case)), settle(case.conn, case.desk)
    if punch.direction is None:
        if punch.state is PunchState.HELD:
            raise RefusedError(
                f"Cannot resolve {punch.id}: it waits for an earlier punch. Give that one its time first."
            )
        if int(case.at) != punch.second or is_wrong(punch):
            raise RefusedError(
                f"Cannot resolve {punch.id} so: its time is known, and whether it is in or out is not. "
                f"{settles_direction(punch)}"
            )
        _leave_to_the_lane(case)
        return Resolved(_again(case)), settle(case.conn, case.desk)
    entry = find_lane_punch(case.conn, punch.id)
    if entry is not None and entry.outcome_unknown:
        raise RefusedError(
            f"Cannot replace {punch.id}: what its last request did is not known, so it may stand on the timesheet. "
            f"Find out first: punchctl review retry {punch.id}, or review resolve {punch.id} --accept-server"
        )
    added = _add(case, punch.direction)
    text = f"replaced by {added.id}"
    set_state(
        case.conn,
        punch.id,
        PunchState.DISCARDED,
        at=case.desk.now,
        by=case.by,
        reason="by_decision",
        detail=text,
    )
    journal(case.conn, case.desk.now, case.by, "review.resolved", punch.id, {"time": case.at, "added": added.id})
    return Resolved(_again(case), added), []


def _leave_to_the_lane(case: _Case) -> None:
    """Its time is settled; its direction is decided by the punches before it, as of all that are held for that."""
    punch, now, reason = case.punch, case.desk.now, "earlier_punch_undecided"
    if punch.state is PunchState.REVIEW:  # salvaged
        set_state(case.conn, punch.id, PunchState.HELD, at=now, by=case.by, reason=reason, detail=punch.detail)
    journal(case.conn, now, case.by, "review.resolved", punch.id, {"time": case.at})


def _add(case: _Case, direction: Direction) -> Punch:
    evidence = moved(case.seen, case.at - case.desk.now)
    new = NewPunch(
        id=new_id(case.seen.wall_s, case.desk.chance),
        tap_id=None,
        user_id=case.punch.user_id,
        direction=direction,
        occurred_at=case.at,
        time_error_s=0.0,
        time_known=True,
        raw_at=case.at,
        evidence=evidence,
        reader=None,
        badge=None,
        source=Source.DECISION,
        job_id=case.punch.job_id,
    )
    added = insert_punch(case.conn, new, case.desk.now)
    journal(case.conn, case.desk.now, case.by, "punch.decided", added.id, {"for": case.punch.id})
    return added


def _release(case: _Case, action: str, data: dict[str, object]) -> None:
    """Let the punch go again."""
    release(case.conn, case.punch.id, at=case.desk.now, by=case.by)
    journal(case.conn, case.desk.now, case.by, action, case.punch.id, data)


def _again(case: _Case) -> Punch:
    punch = find_punch(case.conn, case.punch.id)
    assert punch is not None
    return punch
