"""How far each punch has come: states, attempts, counts and history. The only SQL about them, beside lanes.py.

Plain functions on an open connection, called inside `Database.write` or `Database.read`; they never commit.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from daemon.model import Punch, PunchState, RecordedAs
from daemon.queue.queue import find_punch
from daemon.queue.records import from_json, journal, to_json

_FINAL: Final = (PunchState.DELIVERED, PunchState.DISCARDED)

#: The detail of a punch that was brought back after damage and could not be looked up then, for want of its time; and
#: of an attempt that stands for any request that may have been made before the damage.
SALVAGED: Final = "salvaged after damage; whether it was delivered is not known"

#: What is neither delivered nor discarded, as the index of it has it; and its states.
UNFINISHED: Final = "state NOT IN ('delivered', 'discarded')"
UNFINISHED_STATES: Final = "('pending', 'held', 'in_flight', 'review')"
#: An attempt's columns, as `read_attempt` takes them.
ATTEMPT_COLUMNS: Final = "id, kind, step, sent_at, ended_at, outcome, status, request_id, detail"
_ANYTHING = f"SELECT EXISTS (SELECT 1 FROM deliveries INDEXED BY deliveries_unfinished WHERE {UNFINISHED})"
_ANYTHING_OF = f"""
    SELECT EXISTS (SELECT 1 FROM deliveries INDEXED BY deliveries_unfinished
                   WHERE {UNFINISHED} AND state IN {UNFINISHED_STATES} AND user_id = ?)"""
_REVIEWS = f"""
    SELECT count(*) FROM deliveries INDEXED BY deliveries_unfinished WHERE {UNFINISHED} AND state = 'review'"""
_LAST_ATTEMPT = f"""
    SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE id = (SELECT attempt_id FROM deliveries WHERE punch_seq = ?)"""
_SET_STATE = """
    UPDATE deliveries SET state = ?, reason = ?, detail = ?, remote_id = ?, recorded_as = ?, changed_at = ?
    WHERE punch_seq = ?"""
_BEGIN = "INSERT INTO attempts (punch_seq, pair_seq, kind, step, sent_at, detail) VALUES (?, ?, ?, ?, ?, ?)"
_FLY = """
    UPDATE deliveries SET state = 'in_flight', reason = NULL, detail = NULL, attempts = attempts + 1, attempt_id = ?,
        changed_at = ? WHERE punch_seq = ?"""
_HEARD = "UPDATE attempts SET status = ?, detail = ? WHERE id = ? AND ended_at IS NULL"
_END = """
    UPDATE attempts SET ended_at = ?, outcome = ?, status = ?, request_id = ?, detail = ?
    WHERE id = ? AND ended_at IS NULL"""
_COUNTS = f"""
    SELECT state, count(*) FROM deliveries INDEXED BY deliveries_unfinished WHERE {UNFINISHED} GROUP BY state"""
_OLDEST_PENDING = f"""
    SELECT min(p.occurred_at) FROM deliveries d INDEXED BY deliveries_unfinished
    CROSS JOIN punches p ON p.seq = d.punch_seq
    WHERE d.{UNFINISHED} AND d.state = 'pending'"""
_ATTEMPTS = f"SELECT {ATTEMPT_COLUMNS} FROM attempts WHERE punch_seq = :seq OR pair_seq = :seq ORDER BY id"
_JOURNAL = "SELECT at, by, action, data FROM journal WHERE punch_id = ? ORDER BY id"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request that may write, journalled before it left. `ended_at` is None while its answer is not known."""

    id: int
    kind: str
    step: dict[str, Any]
    sent_at: float
    ended_at: float | None
    outcome: str | None
    status: int | None
    request_id: str | None
    detail: str | None

    @property
    def answered(self) -> bool:
        """Whether something answered it with a success, whatever that proves."""
        return self.status is not None and 200 <= self.status < 300


def anything_unfinished(conn: sqlite3.Connection) -> bool:
    """Whether any punch is neither delivered nor discarded."""
    return bool(conn.execute(_ANYTHING).fetchone()[0])


def anything_unfinished_of(conn: sqlite3.Connection, user_id: str) -> bool:
    """Whether any punch of a person is neither delivered nor discarded."""
    return bool(conn.execute(_ANYTHING_OF, (user_id,)).fetchone()[0])


def count_reviews(conn: sqlite3.Connection) -> int:
    """How many punches need a person; costs those."""
    return int(conn.execute(_REVIEWS).fetchone()[0])


def set_state(
    conn: sqlite3.Connection,
    punch_id: str,
    state: PunchState,
    *,
    at: float,
    by: str = "automatic",
    reason: str | None = None,
    detail: str | None = None,
    remote_id: str | None = None,
    recorded_as: RecordedAs | None = None,
) -> None:
    """Move a punch to a state and journal the transition (`punch.STATE`, with reason and detail).

    None clears reason and detail; remote_id and recorded_as are kept where None. Nothing is written when nothing
    changes. What is delivered or discarded stays so; `delivered` needs a `recorded_as`; a punch is `in_flight` only
    while its last attempt has no outcome, and is not discarded then. Anything else is a programmer's error
    (AssertionError).
    """
    old = find_punch(conn, punch_id)
    assert old is not None, f"no punch {punch_id}"
    assert _may_move(conn, old, state), f"punch {punch_id} cannot go from {old.state} to {state}"
    remote_id = old.remote_id if remote_id is None else remote_id
    recorded_as = old.recorded_as if recorded_as is None else recorded_as
    assert state is not PunchState.DELIVERED or recorded_as is not None, f"punch {punch_id} delivered as what?"
    new = (state, reason, detail, remote_id, recorded_as)
    if new == (old.state, old.reason, old.detail, old.remote_id, old.recorded_as):
        return
    recorded = None if recorded_as is None else recorded_as.value
    conn.execute(_SET_STATE, (state.value, reason, detail, remote_id, recorded, at, old.seq))
    facts = {"reason": reason, "detail": detail, "remote_id": remote_id, "recorded_as": recorded}
    told = {"from": old.state.value} | {name: fact for name, fact in facts.items() if fact is not None}
    journal(conn, at, by, f"punch.{state.value}", punch_id, told)


def release(conn: sqlite3.Connection, punch_id: str, *, at: float, by: str = "automatic") -> None:
    """Let a punch that waited go again; one whose last request has no known outcome is looked up first.

    So is a salvaged one: whether there ever was a request is not known.
    """
    punch = find_punch(conn, punch_id)
    assert punch is not None, f"no punch {punch_id}"
    state = PunchState.IN_FLIGHT if _is_open(conn, punch.seq) else PunchState.PENDING
    set_state(conn, punch_id, state, at=at, by=by)
    if punch.detail == SALVAGED and state is PunchState.PENDING:
        assert punch.direction is not None, "without a direction it cannot go"
        kind, step = doubtful_step(punch.user_id, punch.occurred_at, punch.direction.value, punch.job_id)
        begin_attempt(conn, kind, step, [punch_id], at, detail=SALVAGED)


def doubtful_step(user_id: str, at: float, direction: str, job_id: str | None) -> tuple[str, dict[str, Any]]:
    """The request that would have been made for a punch, as delivery writes steps down. Which shift a clock-out was
    to end is not known: its `shift_id` is empty."""
    if direction == "clock_in":
        return "open_shift", {"user_id": user_id, "at": math.floor(at), "job_id": job_id}
    return "end_shift", {"user_id": user_id, "at": math.floor(at), "shift_id": ""}


def _may_move(conn: sqlite3.Connection, punch: Punch, state: PunchState) -> bool:
    if punch.state in _FINAL:
        return state is punch.state
    if state is PunchState.IN_FLIGHT:
        return _is_open(conn, punch.seq)
    return not (state is PunchState.DISCARDED and punch.state is PunchState.IN_FLIGHT)


def _is_open(conn: sqlite3.Connection, seq: int) -> bool:
    """Whether the punch's last attempt has no outcome yet."""
    row = conn.execute(_LAST_ATTEMPT, (seq,)).fetchone()
    return row is not None and read_attempt(row).ended_at is None


def begin_attempt(
    conn: sqlite3.Connection,
    kind: str,
    step: dict[str, Any],
    punch_ids: Sequence[str],
    sent_at: float,
    *,
    detail: str | None = None,
) -> int:
    """Journal a request before it leaves: one punch, or the clock-in and clock-out of a pair; they become `in_flight`.

    The attempt's id. `detail` SALVAGED: it stands for one that was forgotten. An attempt whose answer is still unknown
    must be ended first (AssertionError).
    """
    assert 1 <= len(punch_ids) <= 2, "an attempt covers a punch or a pair"
    seqs = []
    for punch_id in punch_ids:
        punch = find_punch(conn, punch_id)
        assert punch is not None, f"no punch {punch_id}"
        assert not punch.state.finished, f"punch {punch_id} is {punch.state}: nothing is sent for it again"
        assert not _is_open(conn, punch.seq), f"the last attempt for {punch_id} has no outcome yet"
        seqs.append(punch.seq)
    pair = seqs[1] if len(seqs) == 2 else None
    attempt_id = conn.execute(_BEGIN, (seqs[0], pair, kind, to_json(step), sent_at, detail)).lastrowid
    assert attempt_id is not None
    conn.executemany(_FLY, [(attempt_id, sent_at, seq) for seq in seqs])
    return attempt_id


def note_answer(conn: sqlite3.Connection, attempt_id: int, status: int | None, detail: str | None) -> None:
    """Write down what was heard of an attempt whose outcome stays unknown."""
    conn.execute(_HEARD, (status, detail, attempt_id))


def end_attempt(
    conn: sqlite3.Connection,
    attempt_id: int,
    outcome: str,
    *,
    at: float,
    status: int | None = None,
    request_id: str | None = None,
    detail: str | None = None,
) -> None:
    """Write down what became of an attempt. It ends once (AssertionError)."""
    ended = conn.execute(_END, (at, outcome, status, request_id, detail, attempt_id)).rowcount
    assert ended == 1, f"there is no attempt {attempt_id} without an outcome"


@dataclass(frozen=True, slots=True)
class Counts:
    """How many punches stand where."""

    pending: int
    held: int
    in_flight: int
    review: int
    oldest_pending_at: float | None


def counts(conn: sqlite3.Connection) -> Counts:
    """Count unfinished punches by state; costs what is unfinished, not what is stored."""
    by_state = dict(conn.execute(_COUNTS).fetchall())
    (oldest,) = conn.execute(_OLDEST_PENDING).fetchone()
    pending, held, in_flight, review = (by_state.get(state, 0) for state in ("pending", "held", "in_flight", "review"))
    return Counts(pending, held, in_flight, review, oldest)


@dataclass(frozen=True, slots=True)
class History:
    """Everything that happened to one punch."""

    attempts: tuple[Attempt, ...]
    journal: tuple[dict[str, Any], ...]  # {"at", "by", "action", "data"}


def history(conn: sqlite3.Connection, punch_id: str) -> History:
    """All attempts and journal lines of one punch, oldest first."""
    punch = find_punch(conn, punch_id)
    if punch is None:
        return History((), ())
    attempts = tuple(read_attempt(row) for row in conn.execute(_ATTEMPTS, {"seq": punch.seq}))
    lines = conn.execute(_JOURNAL, (punch_id,))
    return History(
        attempts,
        tuple({"at": at, "by": by, "action": action, "data": from_json(data)} for at, by, action, data in lines),
    )


def read_attempt(row: Sequence[Any]) -> Attempt:
    """An attempt from a row of ATTEMPT_COLUMNS."""
    attempt_id, kind, step, *rest = row
    return Attempt(attempt_id, kind, from_json(step), *rest)
