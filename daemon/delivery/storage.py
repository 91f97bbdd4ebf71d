"""What the loop reads and writes in one transaction each. No SQL of its own: functions of daemon/queue, put together.

Every change is made only if the punch still stands where the plan saw it: a person may have decided in the meantime.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from daemon.dating import is_wrong, refuse_wrong, settles_direction
from daemon.delivery.plan import Send, Verdict
from daemon.delivery.policy import FORGOTTEN_S, ROUNDING_MAX_S
from daemon.delivery.reviewing import rested
from daemon.delivery.settle import Settlement
from daemon.delivery.steps import encode
from daemon.delivery.walk import described
from daemon.errors import NotFoundError, RefusedError, StorageError
from daemon.model import Employee, Punch, PunchState, RecordedAs
from daemon.queue import deliveries, lanes, people, records
from daemon.queue.deliveries import anything_unfinished, count_reviews
from daemon.queue.lanes import LanePunch, unfinished_lanes
from daemon.queue.queue import find_punch, list_punches
from daemon.timesheets.timesheet import Reply, ShiftRecord

#: Reviews for a shift that somebody may have left open long before.
_MAY_BE_OLD = ("already_open", "closed_another_shift")
_PAUSED = "delivery.paused"
_PACE = "delivery.budget"
#: Errors that are not one person's trouble: the disk's. They restart delivery.
EVERYBODYS = (sqlite3.Error, StorageError)


@dataclass(frozen=True, slots=True)
class Stored:
    """A person's lane as it is stored, and who they are.

    `elsewhere`: nothing of theirs is delivery's to move, and yet something is unfinished: it waits for its time.
    `waiting`: the seconds of what may go, also beyond `punches`.
    """

    punches: list[LanePunch]
    employee: Employee | None
    elsewhere: bool
    waiting: list[int]
    wide: bool = False


def load(conn: sqlite3.Connection, user_id: str, *, wide: bool = False) -> Stored:
    """A person's lane: of what may go only the next, or (`wide`) as much as is planned at a time."""
    punches = lanes.load_head(conn, user_id, lanes.HEAD_MAX if wide else lanes.NEXT_MAX)
    elsewhere = not punches and deliveries.anything_unfinished_of(conn, user_id)
    employee, waiting = people.find_employee(conn, user_id), lanes.waiting(conn, user_id)
    return Stored(punches, employee, elsewhere, waiting, wide)


def apply(conn: sqlite3.Connection, verdicts: Sequence[Verdict], planned: Mapping[str, PunchState], at: float) -> None:
    """Write down what the planner decided without a request, where nothing changed since it looked."""
    for verdict in verdicts:
        punch = find_punch(conn, verdict.punch_id)
        if punch is None or (punch.state is not planned[verdict.punch_id] and not _moved_by(verdicts, punch)):
            continue
        if verdict.attempt_id is not None and verdict.attempt_outcome is not None:
            deliveries.end_attempt(conn, verdict.attempt_id, verdict.attempt_outcome, at=at, detail=verdict.detail)
        _move(conn, verdict, at)


def _moved_by(verdicts: Sequence[Verdict], punch: Punch) -> bool:
    """Whether the punch's state is what an earlier verdict of the same plan made it."""
    return any(v.punch_id == punch.id and v.state is punch.state for v in verdicts)


def begin(conn: sqlite3.Connection, send: Send, at: float) -> int | None:
    """Journal a request before it leaves; None when one of its punches is no longer pending."""
    for punch_id in send.punch_ids:
        punch = find_punch(conn, punch_id)
        if punch is None or punch.state is not PunchState.PENDING:
            return None
    kind, fields = encode(send.step)
    return deliveries.begin_attempt(conn, kind, fields, send.punch_ids, at)


def hand_over(
    conn: sqlite3.Connection, settle_last: Callable[[sqlite3.Connection], None], user_id: str, send: Send, at: float
) -> tuple[int | None, Stored]:
    """Write down the last answer, which was `user_id`'s, and journal the next request: one transaction, one sync.

    The attempt of `send` as `begin` has it, and the lane of the last answer as it stands now.
    """
    settle_last(conn)
    return begin(conn, send, at), load(conn, user_id)


def begin_together(conn: sqlite3.Connection, sends: Mapping[str, Send], at: float) -> dict[str, int]:
    """Journal one request for several people before it leaves; each one's attempt, where still wanted."""
    begun = {user_id: begin(conn, send, at) for user_id, send in sends.items()}
    return {user_id: attempt_id for user_id, attempt_id in begun.items() if attempt_id is not None}


def end_together(
    conn: sqlite3.Connection, begun: Mapping[int, Send], outcome: str, reply: Reply, at: float, pace: str | None
) -> None:
    """One request for several people surely did nothing: all of them may go again."""
    keep_pace(conn, pace)
    for attempt_id, send in begun.items():
        deliveries.end_attempt(
            conn, attempt_id, outcome, at=at, status=reply.status, request_id=reply.request_id, detail=reply.body
        )
        for punch_id in send.punch_ids:
            deliveries.set_state(conn, punch_id, PunchState.PENDING, at=at)


def settle(
    conn: sqlite3.Connection,
    send: Send,
    attempt_id: int,
    settlement: Settlement,
    reply: Reply,
    at: float,
    pace: str | None = None,
) -> None:
    """Write down an answer, and what the pacer knows. An attempt of unknown outcome stays open, and says why."""
    detail = settlement.detail
    keep_pace(conn, pace)
    if settlement.attempt_outcome is not None:
        deliveries.end_attempt(
            conn,
            attempt_id,
            settlement.attempt_outcome,
            at=at,
            status=reply.status,
            request_id=reply.request_id,
            detail=detail or reply.body,
        )
    else:
        deliveries.note_answer(conn, attempt_id, reply.status, detail)
        for punch_id in send.punch_ids:
            data = {"attempt": attempt_id, "why": detail, "status": reply.status}
            records.journal(conn, at, "automatic", "attempt.unanswered", punch_id, data)
    for verdict in settlement.verdicts:
        _move(conn, verdict, at)


def _move(conn: sqlite3.Connection, verdict: Verdict, at: float) -> None:
    deliveries.set_state(
        conn,
        verdict.punch_id,
        verdict.state,
        at=at,
        reason=verdict.reason,
        detail=verdict.detail,
        remote_id=verdict.remote_id,
        recorded_as=verdict.recorded_as,
    )


def retry(conn: sqlite3.Connection, punch_ids: Sequence[str], at: float, by: str) -> list[Punch]:
    """Take punches out of review. One whose last request has no known outcome is looked up first, not sent.

    But of `outcome_unclear` that was done, and the person has compared: what is there is not this punch. One whose
    second is wrong is looked up where that is owed, and never sent.
    """
    for punch_id in punch_ids:
        punch = _existing(conn, punch_id)
        if punch.state is not PunchState.REVIEW:
            raise RefusedError(
                f"Cannot retry {punch_id}: it is {punch.state}, not in review. See: punchctl punches show {punch_id}"
            )
        if punch.reason == "server_changed_time":  # what the service recorded is never sent again
            raise RefusedError(
                f"Cannot retry {punch_id}: the timesheet has it already, with another time. Correct that there, or "
                f"take it as it is: punchctl review resolve {punch_id} --accept-server"
            )
        if punch.direction is None:
            raise RefusedError(
                f"Cannot retry {punch_id}: whether it is in or out is not known. {settles_direction(punch)}"
            )
        entry = lanes.find_lane_punch(conn, punch_id)
        if punch.reason == "outcome_unclear" and entry is not None and entry.outcome_unknown and entry.attempt:
            deliveries.end_attempt(conn, entry.attempt.id, "absent", at=at, detail=f"{punch.detail}; not it: {by}")
        if is_wrong(punch) and entry is not None and entry.outcome_unknown:  # it keeps its reason: back there if absent
            deliveries.set_state(
                conn, punch_id, PunchState.IN_FLIGHT, at=at, by=by, reason=punch.reason, detail=punch.detail
            )
        else:
            refuse_wrong(punch, f"retry {punch_id}")
            deliveries.release(conn, punch_id, at=at, by=by)
        records.journal(conn, at, by, "review.retried", punch_id)
    return [_existing(conn, punch_id) for punch_id in punch_ids]


def discard(conn: sqlite3.Connection, punch_id: str, why: str, at: float, by: str) -> Punch:
    """Decide that a punch is not sent. One that is out, or delivered, cannot be discarded."""
    punch = _existing(conn, punch_id)
    if punch.state not in (PunchState.REVIEW, PunchState.HELD, PunchState.PENDING):
        remedy = (
            "wait until its outcome is known" if punch.state is PunchState.IN_FLIGHT else "change it in the service"
        )
        raise RefusedError(f"Cannot discard {punch_id}: it is {punch.state}; {remedy}.")
    deliveries.set_state(conn, punch_id, PunchState.DISCARDED, at=at, by=by, reason="by_decision", detail=why)
    records.journal(conn, at, by, "review.discarded", punch_id, {"reason": why})
    return _existing(conn, punch_id)


def reviewed(conn: sqlite3.Connection, punch_id: str) -> Punch:
    """A punch in review. Raises NotFoundError, RefusedError."""
    punch = _existing(conn, punch_id)
    if punch.state is not PunchState.REVIEW:
        raise RefusedError(f"Cannot decide on {punch_id}: it is {punch.state}, not in review.")
    return punch


def shifts_of_others(conn: sqlite3.Connection, punch: Punch, since: float) -> set[str]:
    """Ids of the shifts whose start (of a clock-out: whose end) another of the person's punches stands for."""
    near = list_punches(conn, user_id=punch.user_id, since=since - ROUNDING_MAX_S)
    return {other.remote_id for other in near
            if other.remote_id and other.id != punch.id and other.direction is punch.direction
            and other.state is not PunchState.DISCARDED}  # fmt: skip


def accept(conn: sqlite3.Connection, punch_id: str, record: ShiftRecord, at: float, by: str) -> Punch:
    """Take what stands on the timesheet for this punch, as a person decided."""
    punch, entry = reviewed(conn, punch_id), lanes.find_lane_punch(conn, punch_id)
    if entry is not None and entry.attempt is not None and entry.outcome_unknown:
        deliveries.end_attempt(conn, entry.attempt.id, "accepted", at=at)
    deliveries.set_state(
        conn,
        punch_id,
        PunchState.DELIVERED,
        at=at,
        by=by,
        detail=described(record),
        remote_id=record.id,
        recorded_as=RecordedAs(str(punch.direction)),
    )
    records.journal(conn, at, by, "review.accepted", punch_id, {"shift": record.id})
    return _existing(conn, punch_id)


def give_up(conn: sqlite3.Connection, user_id: str, why: str, at: float, sending: Sequence[str] = ()) -> bool:
    """Put the punch that failed in review; whether there was one.

    `sending`: ids of those whose request failed: the first that may still move. None, or none of them may: it is not
    known which one it was, and the person's oldest is put there.
    """
    movable = (PunchState.PENDING, PunchState.HELD, PunchState.IN_FLIGHT)
    head = [entry.punch for entry in lanes.load_head(conn, user_id) if not entry.context]
    failed = [punch for punch_id in sending if (punch := find_punch(conn, punch_id)) is not None]
    for punch in (*failed, *head):
        if punch.state in movable:
            deliveries.set_state(conn, punch.id, PunchState.REVIEW, at=at, reason="internal_error", detail=why)
            return True
    return False


def take_back(conn: sqlite3.Connection, punch_ids: Sequence[str], at: float) -> None:
    """Refusals that turn out to be a misconfiguration: nobody's punch stays in review for it."""
    for punch_id in punch_ids:
        punch = find_punch(conn, punch_id)
        if punch is not None and punch.state is PunchState.REVIEW and not is_wrong(punch):
            deliveries.set_state(conn, punch_id, PunchState.PENDING, at=at)


def people_to_read(conn: sqlite3.Connection, now: float) -> tuple[list[str], float, list[Punch]]:
    """Everybody of the directory and everybody in review, how far back reviews want to see (now: there is none), and
    all punches in review.

    One that an open shift keeps waiting, or that ended the wrong one, wants to see further: that shift may be so old.
    """
    reviewed = list_punches(conn, states=[PunchState.REVIEW])
    everybody = [employee.user_id for employee in people.list_employees(conn)]
    further = {punch.id: FORGOTTEN_S for punch in reviewed if punch.reason in _MAY_BE_OLD}
    oldest = min((punch.occurred_at - further.get(punch.id, 0.0) for punch in reviewed), default=now)
    return list(dict.fromkeys([*everybody, *(punch.user_id for punch in reviewed)])), oldest, reviewed


def jobs_of(conn: sqlite3.Connection) -> dict[str, str | None]:
    """Each employee's job."""
    return {employee.user_id: employee.job_id for employee in people.list_employees(conn, removed=True)}


def mend(conn: sqlite3.Connection, mended: Sequence[Punch], begun_at: float, at: float) -> list[Punch]:
    """Take these out of review, where they still stand there for the same reason and since before `begun_at`."""
    released = []
    for punch in mended:
        entry = lanes.find_lane_punch(conn, punch.id)
        if entry is None or (entry.punch.state, entry.punch.reason) != (PunchState.REVIEW, punch.reason):
            continue
        # Not every check shows what the service refuses for: an archived person is still assigned.
        if entry.since <= begun_at and rested(entry, begun_at):  # in doubt since a salvage, it is looked up first
            deliveries.release(conn, punch.id, at=at)
            released.append(_existing(conn, punch.id))
    return released


def is_paused(conn: sqlite3.Connection) -> bool:
    """Whether a person paused delivery."""
    return records.get_setting(conn, _PAUSED) is not None


def keep_pace(conn: sqlite3.Connection, pace: str | None) -> None:
    """Keep what the pacer must not forget (Pacer.memory), where there is anything."""
    if pace is not None:
        records.put_setting(conn, _PACE, pace)


def remembered(conn: sqlite3.Connection) -> tuple[bool, str | None]:
    """What survives a restart: whether delivery is paused, and what the pacer knew (None: nothing)."""
    return is_paused(conn), records.get_setting(conn, _PACE)


def set_paused(conn: sqlite3.Connection, paused: bool, at: float, by: str) -> None:
    """Remember that delivery is paused, or goes on."""
    records.put_setting(conn, _PAUSED, str(at) if paused else None)
    records.journal(conn, at, by, "sync.paused" if paused else "sync.resumed")


def _existing(conn: sqlite3.Connection, punch_id: str) -> Punch:
    punch = find_punch(conn, punch_id)
    if punch is None:
        raise NotFoundError(f"cannot find punch {punch_id}; see punchctl punches list")
    return punch


__all__ = [
    "accept",
    "anything_unfinished",
    "apply",
    "begin",
    "begin_together",
    "count_reviews",
    "discard",
    "end_together",
    "give_up",
    "is_paused",
    "jobs_of",
    "keep_pace",
    "load",
    "mend",
    "people_to_read",
    "remembered",
    "retry",
    "reviewed",
    "set_paused",
    "settle",
    "shifts_of_others",
    "take_back",
    "unfinished_lanes",
]
