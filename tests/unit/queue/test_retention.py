"""Pruning deletes old delivered punches with all that is theirs, and nothing else."""

from __future__ import annotations

from daemon.model import PunchState, RecordedAs, TapResult
from daemon.queue import deliveries, queue
from daemon.queue.retention import prune
from tests.support.rows import T0

DAY = 86_400


def everything(conn):
    """How many rows each table has."""
    tables = ("taps", "punches", "deliveries", "attempts", "journal")
    return {table: conn.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}


def test_only_old_delivered_punches_go(rows):
    """What is undelivered, discarded or young stays, and so do taps that became nothing."""
    rows.delivered(T0)
    for n, state in enumerate((PunchState.HELD, PunchState.REVIEW, PunchState.DISCARDED, PunchState.PENDING)):
        rows.employee(f"{n}", "X")
        rows.move(rows.punch(T0, f"{n}"), state, reason="x")
    young = rows.delivered(T0 + 20 * DAY)
    rows.tap(T0, result=TapResult.UNKNOWN_BADGE)
    rows.tap(T0, result=TapResult.REPEAT)
    before = everything(rows.conn)
    assert prune(rows.conn, T0 + 10 * DAY) == 1
    assert prune(rows.conn, T0 + 10 * DAY) == 0
    assert {table: before[table] - count for table, count in everything(rows.conn).items()} == dict.fromkeys(before, 1)
    left = {punch.state for punch in queue.list_punches(rows.conn)}
    assert left == set(PunchState) - {PunchState.IN_FLIGHT}
    assert rows.again(young) == young


def test_the_other_end_of_an_unfinished_shift_stays(rows):
    """A delivered clock-in is kept while its clock-out, or anything near it of that person, is not finished."""
    rows.delivered(T0 - 9 * DAY)
    clock_in = rows.delivered(T0)
    clock_out = rows.move(rows.punch(T0 + 3600), PunchState.REVIEW, reason="could_not_close")
    assert prune(rows.conn, T0 + 100 * DAY) == 1
    assert rows.again(clock_in) == clock_in
    rows.move(clock_out, PunchState.DISCARDED)
    assert prune(rows.conn, T0 + 100 * DAY) == 1


def test_half_a_pair_may_go_first(rows):
    """When the limit falls between a pair's punches, the younger one stays readable without the shared attempt."""
    rows.punch(T0)
    rows.punch(T0 + 3600)
    attempt = deliveries.begin_attempt(rows.conn, "record_shift", {}, ["p1", "p2"], T0)
    deliveries.end_attempt(rows.conn, attempt, "done", at=T0)
    for punch in queue.list_punches(rows.conn):
        rows.move(punch, PunchState.DELIVERED, recorded_as=RecordedAs.TIME_ACTIVITY)
    assert prune(rows.conn, T0 + DAY, limit=1) == 1
    later = rows.punch(T0 + 7200)
    before, _ = deliveries.load_lane(rows.conn, "7")
    assert (before.punch.id, before.attempt) == ("p2", None)
    assert deliveries.history(rows.conn, "p2").attempts == ()
    rows.move(later, PunchState.DISCARDED)
    assert prune(rows.conn, T0 + DAY) == 1
    assert rows.conn.execute("PRAGMA foreign_key_check").fetchall() == []


def test_the_oldest_go_first_and_a_few_at_a_time(rows):
    """One call deletes at most `limit`, so that no tap waits long behind it."""
    for n in range(5):
        rows.delivered(T0 + n)
    assert [prune(rows.conn, T0 + DAY, limit=2) for _ in range(4)] == [2, 2, 1, 0]
