"""One moment of one employee becomes a punch, a repeat or a refusal, inside a transaction.

The only place that inserts punches made of taps: live ones (admission.py) and kept ones (claims.py).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from daemon.intake.attendance import Decision, Moment, New, Origin, Policy, ServerView, decide, elapsed_s, toggle
from daemon.intake.ids import Chance, new_id
from daemon.intake.moments import Occurrence, Reckoner
from daemon.intake.rules import Rules
from daemon.model import Direction, Employee, Punch, PunchState, ReaderDirection, Source
from daemon.queue.queue import NewPunch, insert_punch, last_punch, list_punches


@dataclass(frozen=True, slots=True)
class Desk:
    """What a transaction of the intake needs besides the connection.

    `now` is the best known time; `server_view` is a quick look into memory, called on the database's thread.
    """

    rules: Rules
    reckoner: Reckoner
    now: float
    chance: Chance
    server_view: Callable[[str], ServerView | None]

    def new_id(self, occurrence: Occurrence) -> str:
        """An id for the punch of an occurrence."""
        return new_id(occurrence.evidence.wall_s, self.chance)

    def direction(self, occurrence: Occurrence) -> ReaderDirection:
        """How the reader of an occurrence decided when it was tapped, as far as that is known; else as it does now."""
        return occurrence.way or self.rules.direction(occurrence.reader)


def judge(
    conn: sqlite3.Connection, occurrence: Occurrence, employee: Employee, desk: Desk
) -> tuple[Decision, Punch | None]:
    """What becomes of it, and the person's last punch, which a repeat repeats."""
    moment = occurrence.moment
    kept = moment.origin is Origin.KEPT
    policy = desk.rules.policy(employee, kept=kept)
    reader = desk.direction(occurrence)
    last = last_punch(conn, employee.user_id)
    # A kept tap lies in the past: what the server shows now says nothing of it.
    view = None if kept else desk.server_view(employee.user_id)
    decision = decide(moment, last, reader, policy, now=desk.now, server=view)
    if isinstance(decision, New) and decision.reason == "out_of_order" and reader.fixed is None and last is not None:
        decision = New(_before_last(conn, moment, last, policy), decision.state, decision.reason)
    return decision, last


def insert(
    conn: sqlite3.Connection,
    decision: New,
    occurrence: Occurrence,
    employee: Employee,
    desk: Desk,
    *,
    punch_id: str,
    tap_id: int,
) -> Punch:
    """Store the punch that was decided on."""
    moment, evidence = occurrence.moment, occurrence.evidence
    new = NewPunch(
        id=punch_id,
        tap_id=tap_id,
        user_id=employee.user_id,
        direction=decision.direction,
        occurred_at=moment.at,
        time_error_s=occurrence.error_s,
        time_known=moment.known,
        raw_at=evidence.wall_s,
        evidence=evidence,
        reader=occurrence.reader,
        badge=occurrence.badge,
        source=Source.TAP,
        job_id=desk.rules.job(employee, occurrence.reader),
        state=decision.state,
        reason=decision.reason,
    )
    return insert_punch(conn, new, desk.now, name=employee.name)


def _before_last(conn: sqlite3.Connection, moment: Moment, last: Punch, policy: Policy) -> Direction | None:
    """The direction of a tap that lies before the person's last punch: what stood there then decides it."""
    since_last_s = elapsed_s(moment, last)
    if since_last_s is not None and since_last_s > 0:
        # It was tapped after `last`, whose time is wrong: the order of the taps is what is known.
        return toggle(moment, last, policy)
    around = list_punches(conn, user_id=last.user_id, since=moment.at - policy.max_shift_s, until=moment.at)
    before = [punch for punch in around if punch.state is not PunchState.DISCARDED and punch.occurred_at < moment.at]
    return toggle(moment, before[-1] if before else None, policy)
