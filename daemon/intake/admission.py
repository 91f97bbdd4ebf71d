"""One tap, from badge to stored answer, inside one transaction."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from daemon.errors import NotFoundError, RefusedError
from daemon.intake.attendance import New, Refused, Repeat, in_future
from daemon.intake.claims import hand_over
from daemon.intake.moments import Occurrence, note_doubt
from daemon.intake.placing import Desk, insert, judge
from daemon.model import Badge, BadgeState, Employee, Punch, ReaderDirection, TapAnswer, TapResult
from daemon.queue.people import badge_owner, find_employee
from daemon.queue.queue import insert_tap
from daemon.queue.records import journal
from drivers.reader import Tap


@dataclass(frozen=True, slots=True)
class Arrival:
    """A tap as it reaches the transaction. `unstable`: its badge changes at each tap; `doubted`: its clock is."""

    tap: Tap
    occurrence: Occurrence
    unstable: bool
    doubted: bool


@dataclass(frozen=True, slots=True)
class Wish:
    """The badge of this tap is awaited for an employee."""

    user_id: str
    by: str


@dataclass(frozen=True, slots=True)
class Admitted:
    """What was stored. `punches` are all that came to be; `wish` is what became of the wish, if there was one."""

    answer: TapAnswer
    punches: tuple[Punch, ...] = ()
    wish: Badge | RefusedError | None = None


def admit(conn: sqlite3.Connection, arrival: Arrival, wish: Wish | None, desk: Desk) -> Admitted:
    """Store a tap and what it comes to; of one that somebody asked for, also who."""
    admitted = _admit(conn, arrival, wish, desk)
    tap, answer = arrival.tap, admitted.answer
    if tap.by is not None:
        told = {"reader": tap.reader, "result": answer.result.value}
        journal(conn, desk.now, tap.by, "tap.simulated", answer.punch.id if answer.punch else None, told)
    return admitted


def _admit(conn: sqlite3.Connection, arrival: Arrival, wish: Wish | None, desk: Desk) -> Admitted:
    if arrival.doubted:
        note_doubt(conn, arrival.tap.evidence.boot_id)
    known, owner = badge_owner(conn, arrival.tap.badge)
    refusal = _refusal(arrival, known, desk)
    if refusal is not None:
        return Admitted(_stored(conn, arrival, TapResult.REFUSED, refusal), wish=_unfit(refusal) if wish else None)
    failure = None
    if wish is not None:
        try:
            return _enrol(conn, arrival, wish, desk)
        except RefusedError as error:
            failure = error  # the tap counts as any other
    answer = _count(conn, arrival, owner, desk)
    return Admitted(answer, (answer.punch,) if answer.punch is not None else (), failure)


def _refusal(arrival: Arrival, known: Badge | None, desk: Desk) -> str | None:
    """Why a tap is refused whoever it belongs to."""
    if in_future(arrival.occurrence.moment, desk.now):
        return "time_in_future"
    if arrival.unstable:
        return "unstable_badge"
    return "badge_blocked" if known is not None and known.state is BadgeState.BLOCKED else None


def _unfit(reason: str) -> RefusedError:
    return RefusedError(f"cannot enrol this badge: its tap was refused ({reason}); use another badge", code=reason)


def _enrol(conn: sqlite3.Connection, arrival: Arrival, wish: Wish, desk: Desk) -> Admitted:
    employee = find_employee(conn, wish.user_id)
    if employee is None or employee.removed_at is not None:
        raise NotFoundError(f"cannot enrol a badge for {wish.user_id}: no such employee any more; add them first")
    punches = hand_over(conn, arrival.tap.badge, employee, desk, by=wish.by)
    badge, _ = badge_owner(conn, arrival.tap.badge)
    assert badge is not None, "a badge that was just assigned is known"
    _stored(conn, arrival, TapResult.ACCEPTED, "badge_enrolled")
    return Admitted(TapAnswer(TapResult.ACCEPTED, "badge_enrolled", enrolled=True), tuple(punches), badge)


def _count(conn: sqlite3.Connection, arrival: Arrival, employee: Employee | None, desk: Desk) -> TapAnswer:
    """A tap of a badge that may be used, which is `employee`'s: a punch, a repeat, or nobody's."""
    if employee is None:
        way = desk.rules.direction(arrival.tap.reader)
        return _stored(conn, arrival, TapResult.UNKNOWN_BADGE, "unknown_badge", way)
    decision, _ = judge(conn, arrival.occurrence, employee, desk)
    match decision:
        case Refused(reason):
            return _stored(conn, arrival, TapResult.REFUSED, reason)
        case Repeat():
            return _stored(conn, arrival, TapResult.REPEAT, "repeat_tap")
        case New():
            punch_id = desk.new_id(arrival.occurrence)
            tap_id = insert_tap(conn, arrival.tap, TapResult.ACCEPTED, None, punch_id)
            what = arrival.occurrence
            punch = insert(conn, decision, what, employee, desk, punch_id=punch_id, tap_id=tap_id)
            return TapAnswer(TapResult.ACCEPTED, punch=punch)


def _stored(
    conn: sqlite3.Connection, arrival: Arrival, result: TapResult, reason: str, way: ReaderDirection | None = None
) -> TapAnswer:
    insert_tap(conn, arrival.tap, result, reason, None, way=way)
    return TapAnswer(result, reason)
