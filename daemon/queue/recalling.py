"""What only the copy remembers of deliveries: the database is of before them, and sends nothing blindly."""

from __future__ import annotations

import sqlite3
from typing import Final

from daemon.model import PunchState, RecordedAs
from daemon.queue.deliveries import SALVAGED, begin_attempt, doubtful_step, end_attempt, set_state
from daemon.queue.lines import Record
from daemon.queue.records import journal
from daemon.queue.salvaged import Seen

_FINISHED: Final = ("delivered", "discarded")


def recall(conn: sqlite3.Connection, marks: list[Record], seen: Seen) -> None:
    """The copy says of these punches that they are finished, the database has forgotten it.

    A mark of a delivery is believed: it is written when the delivery has been proven and stored, its line has a
    checksum, and nothing comes after a delivery that a database could know better. To look it up instead would send it
    again where a manager has changed or deleted its shift since. So is a mark of a decision not to send. One that does
    not say what the delivery was recorded as is looked up.
    """
    conn.execute("BEGIN IMMEDIATE")
    try:
        out = {attempt for mark in marks if (attempt := _recall(conn, mark, seen)) is not None}
        for attempt in sorted(out):
            if not conn.execute(_STILL_OUT, (attempt,)).fetchone()[0]:
                end_attempt(conn, attempt, "recalled", at=seen.wall_s if seen.known else marks[-1]["at"])
        conn.execute("COMMIT")
    except BaseException:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        raise


#: Of a pair, one may be recalled and the other still be in doubt.
_STILL_OUT: Final = """
    SELECT EXISTS (SELECT 1 FROM attempts a JOIN deliveries d ON d.punch_seq IN (a.punch_seq, a.pair_seq)
                   WHERE a.id = ? AND d.attempt_id = a.id AND d.state NOT IN ('delivered', 'discarded'))"""


def _recall(conn: sqlite3.Connection, mark: Record, seen: Seen) -> int | None:
    """Carry one mark out; the request of that punch whose outcome the database did not know, if there was one."""
    row = conn.execute(
        "SELECT p.user_id, p.occurred_at, p.direction, p.job_id, d.state, a.id FROM punches p JOIN deliveries d ON "
        "d.punch_seq = p.seq LEFT JOIN attempts a ON a.id = d.attempt_id AND a.ended_at IS NULL WHERE p.id = ?",
        (mark["id"],),
    ).fetchone()
    if row is None or row[4] in _FINISHED:
        return None
    *punch, state, out = row
    at, detail, remote_id = seen.wall_s if seen.known else mark["at"], mark.get("detail"), mark.get("remote_id")
    if mark["state"] == "discarded":
        if state == "in_flight":  # its outcome was known when that was decided
            set_state(conn, mark["id"], PunchState.REVIEW, at=at, reason="outcome_unclear")
        set_state(conn, mark["id"], PunchState.DISCARDED, at=at, reason=mark.get("reason"), detail=detail)
    elif mark.get("recorded_as") in tuple(RecordedAs):
        as_ = RecordedAs(mark["recorded_as"])
        set_state(conn, mark["id"], PunchState.DELIVERED, at=at, detail=detail, remote_id=remote_id, recorded_as=as_)
    elif out is None and punch[2] is not None:
        kind, step = doubtful_step(*punch)
        begin_attempt(conn, kind, step, [mark["id"]], max(punch[1], at), detail=SALVAGED)
    journal(conn, at, "automatic", "delivery.recalled", mark["id"], {"copy": mark["state"]})
    return None if out is None else int(out)
