"""The states of a punch: which moves there are, what they write, and what the database itself refuses."""

from __future__ import annotations

import sqlite3

import pytest

from daemon.model import PunchState, RecordedAs, TapResult
from daemon.queue import deliveries, lanes, queue
from tests.support.rows import T0

PENDING, HELD, IN_FLIGHT = PunchState.PENDING, PunchState.HELD, PunchState.IN_FLIGHT
DELIVERED, REVIEW, DISCARDED = PunchState.DELIVERED, PunchState.REVIEW, PunchState.DISCARDED
OPEN = (PENDING, HELD, REVIEW)

#: Every move `set_state` makes; every other one it refuses.
MOVES = {
    *((old, new) for old in (*OPEN, IN_FLIGHT) for new in (*OPEN, DELIVERED)),
    *((old, DISCARDED) for old in OPEN),
    (IN_FLIGHT, IN_FLIGHT),
    (DELIVERED, DELIVERED),
    (DISCARDED, DISCARDED),
}


def standing(rows, state):
    """A punch that stands in `state`; one in flight has an attempt without an outcome."""
    if state is DELIVERED:
        return rows.delivered()
    punch = rows.punch()
    if state is IN_FLIGHT:
        deliveries.begin_attempt(rows.conn, "open_shift", {}, [punch.id], T0)
        return rows.again(punch)
    return rows.move(punch, state, reason="x")


@pytest.mark.parametrize("new", PunchState)
@pytest.mark.parametrize("old", PunchState)
def test_every_move(rows, old, new):
    """A punch moves exactly where the table allows; any other wish is a programmer's error that writes nothing."""
    punch = standing(rows, old)
    assert punch.state is old
    before = "\n".join(rows.conn.iterdump())
    if (old, new) in MOVES:
        moved = rows.move(punch, new, reason="y", recorded_as=RecordedAs.CLOCK_IN)
        assert (moved.state, moved.reason) == (new, "y")
    else:
        with pytest.raises(AssertionError, match="cannot go"):
            rows.move(punch, new, reason="y", recorded_as=RecordedAs.CLOCK_IN)
        assert "\n".join(rows.conn.iterdump()) == before


def test_a_retried_punch_with_an_open_request_is_in_flight_again(rows):
    """Out of review it goes back to in_flight only while its last request has no outcome."""
    punch = standing(rows, IN_FLIGHT)
    rows.move(punch, REVIEW, reason="internal_error")
    assert rows.move(punch, IN_FLIGHT).state is IN_FLIGHT
    rows.move(punch, REVIEW, reason="internal_error")
    (entry,) = lanes.load_lane(rows.conn, "7")
    deliveries.end_attempt(rows.conn, entry.attempt.id, "absent", at=T0)
    with pytest.raises(AssertionError, match="cannot go"):
        rows.move(punch, IN_FLIGHT)


def test_delivered_says_as_what(rows):
    """A punch is not delivered without saying what it became on the timesheet."""
    with pytest.raises(AssertionError, match="delivered as what"):
        rows.move(rows.punch(), DELIVERED, remote_id="r")


def test_a_transition_is_journalled_once(rows):
    """The journal has who, when, from where and why; setting the same again writes nothing."""
    punch = rows.punch()
    for _ in range(2):
        deliveries.set_state(rows.conn, punch.id, REVIEW, at=T0 + 5, by="uid:0", reason="locked_days", detail="no")
    assert deliveries.history(rows.conn, punch.id).journal == (
        {
            "at": T0 + 5,
            "by": "uid:0",
            "action": "punch.review",
            "data": {"from": "pending", "reason": "locked_days", "detail": "no"},
        },
    )


def test_reason_and_detail_are_cleared_and_the_record_is_kept(rows):
    """A retry clears why it was in review, and never what the server already has."""
    punch = rows.move(rows.punch(), REVIEW, reason="x", detail="y", remote_id="r", recorded_as=RecordedAs.CLOCK_OUT)
    again = rows.move(punch, PENDING)
    assert (again.reason, again.detail, again.remote_id, again.recorded_as) == (None, None, "r", RecordedAs.CLOCK_OUT)


def test_an_attempt_is_journalled_begun_and_ended_once(rows):
    """Each request that may write stands in the history with its outcome; one without cannot be repeated blindly."""
    punch = rows.punch()
    attempt = deliveries.begin_attempt(rows.conn, "open_shift", {"at": 5}, [punch.id], T0)
    with pytest.raises(AssertionError, match="no outcome yet"):
        deliveries.begin_attempt(rows.conn, "open_shift", {"at": 5}, [punch.id], T0)
    deliveries.end_attempt(rows.conn, attempt, "absent", at=T0 + 9, status=504, request_id="q", detail="gone")
    with pytest.raises(AssertionError, match="no attempt"):
        deliveries.end_attempt(rows.conn, attempt, "done", at=T0 + 9)
    deliveries.begin_attempt(rows.conn, "open_shift", {"at": 5}, [punch.id], T0 + 10)
    first, second = deliveries.history(rows.conn, punch.id).attempts
    assert first == deliveries.Attempt(attempt, "open_shift", {"at": 5}, T0, T0 + 9, "absent", 504, "q", "gone")
    assert second.ended_at is None
    assert rows.again(punch).attempts == 2


@pytest.mark.parametrize("final", [DELIVERED, DISCARDED])
def test_nothing_is_sent_for_a_finished_punch(rows, final):
    """An attempt for a delivered or discarded punch is a programmer's error."""
    punch = standing(rows, final)
    with pytest.raises(AssertionError, match="nothing is sent"):
        deliveries.begin_attempt(rows.conn, "open_shift", {}, [punch.id], T0)


def test_counts(rows):
    """Each unfinished state is counted; the oldest pending is the one that occurred first."""
    assert deliveries.counts(rows.conn) == deliveries.Counts(0, 0, 0, 0, None)
    for at, state in enumerate((HELD, REVIEW, REVIEW, DISCARDED)):
        rows.move(rows.punch(T0 + at * 100), state, reason="x")
    rows.delivered(T0 + 1000)
    rows.punch(T0 + 2000)
    rows.punch(T0 + 1500, decision=True)
    deliveries.begin_attempt(rows.conn, "open_shift", {}, [rows.punch(T0 + 3000).id], T0)
    assert deliveries.counts(rows.conn) == deliveries.Counts(2, 1, 1, 2, T0 + 1500)


IMMUTABLE_PUNCH = {
    "seq": 99, "id": "'x'", "tap_id": 99, "user_id": "'8'", "raw_at": 1.0, "boot_id": "'x'", "boottime_s": 1.0,
    "synchronised": 0, "reader": "'x'", "badge": "'x'", "source": "'decision'", "job_id": "'x'", "occurred_at": 1.0,
    "order_at": 1.0, "time_error_s": 9.0, "time_known": 0, "direction": "'clock_out'",
}  # fmt: skip
IMMUTABLE_TAP = {
    "id": 99, "reader": "'x'", "badge": "'x'", "raw_at": 1.0, "boottime_s": 1.0, "boot_id": "'x'", "synchronised": 0,
    "stated_at": 1.0, "result": "'refused'", "reason": "'x'", "way": "'toggle'",
}  # fmt: skip


def columns(conn, table):
    return {row[1] for row in conn.execute(f"PRAGMA table_info({table})")}


@pytest.mark.parametrize(("column", "value"), IMMUTABLE_PUNCH.items())
def test_the_database_itself_keeps_a_punch_as_it_is(rows, column, value):
    """No statement changes a fact of a settled punch."""
    rows.employee("8", "Bob")
    rows.punch()
    with pytest.raises(sqlite3.IntegrityError, match="a punch is a fact"):
        rows.conn.execute(f"UPDATE punches SET {column} = {value}")


@pytest.mark.parametrize(("column", "value"), IMMUTABLE_TAP.items())
def test_the_database_itself_keeps_a_tap_as_it_is(rows, column, value):
    """No statement changes a tap."""
    rows.tap()
    with pytest.raises(sqlite3.IntegrityError, match="a tap is a fact"):
        rows.conn.execute(f"UPDATE taps SET {column} = {value}")


def test_every_column_is_guarded(conn):
    """A column added later cannot be forgotten: it must appear in the lists above."""
    assert columns(conn, "punches") == set(IMMUTABLE_PUNCH) | {"link"}  # the link: test_chain.py
    assert columns(conn, "taps") == set(IMMUTABLE_TAP) | {"punch_id", "link"}


@pytest.mark.parametrize("state", [s for s in PunchState if s is not DELIVERED])
def test_the_database_itself_keeps_what_is_undelivered(rows, state):
    """Neither an undelivered punch nor its delivery can be deleted, by whatever statement."""
    standing(rows, state)
    for table in ("deliveries", "punches"):
        with pytest.raises(sqlite3.IntegrityError):
            rows.conn.execute(f"DELETE FROM {table}")


def test_the_database_itself_keeps_what_is_delivered_so(rows):
    """No statement takes a delivered punch back, or forgets its record on the server."""
    rows.delivered()
    for change in ("state = 'pending'", "remote_id = NULL", "user_id = 'x'", "recorded_as = NULL"):
        with pytest.raises(sqlite3.IntegrityError):
            rows.conn.execute(f"UPDATE deliveries SET {change}")


def test_the_database_itself_keeps_the_journal_and_unclaimed_taps(rows):
    """A line of the journal is never changed, and a tap that may still become a punch is never deleted."""
    rows.move(rows.punch(), HELD, reason="x")
    with pytest.raises(sqlite3.IntegrityError, match="journal"):
        rows.conn.execute("UPDATE journal SET by = 'uid:0'")
    rows.conn.execute("INSERT INTO taps SELECT 99, reader, badge, raw_at, boottime_s, boot_id, 1, NULL, "
                      "'unknown_badge', NULL, NULL, NULL, NULL FROM taps")  # fmt: skip
    with pytest.raises(sqlite3.IntegrityError, match="may still become a punch"):
        rows.conn.execute("DELETE FROM taps WHERE id = 99")


def test_a_claimed_tap_keeps_its_punch(rows):
    """A tap of an unknown badge is claimed once."""
    tap = rows.tap(result=TapResult.UNKNOWN_BADGE)
    punch = rows.punch(tap_id=tap)
    assert [t.id for t in queue.unclaimed_taps(rows.conn)] == [tap]
    queue.claim_tap(rows.conn, tap, punch.id)
    assert queue.unclaimed_taps(rows.conn) == []
    with pytest.raises(AssertionError, match="claimed already"):
        queue.claim_tap(rows.conn, tap, "other")
    with pytest.raises(sqlite3.IntegrityError, match="a tap is a fact"):
        rows.conn.execute("UPDATE taps SET punch_id = 'other'")
