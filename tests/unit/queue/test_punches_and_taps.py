"""What goes in comes out, the lists are what they say, and no query costs more than it must."""

from __future__ import annotations

import re
import sqlite3

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.model import Direction, PunchState, Source, TapResult
from daemon.queue import deliveries, lanes, queue, retention
from drivers.reader import Evidence, Tap
from tests.support.rows import T0

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
INSTANT = st.floats(0, 1e11, allow_subnormal=False)
EVIDENCE = st.builds(Evidence, INSTANT, INSTANT, TEXT, st.booleans())
NEW = st.builds(
    queue.NewPunch,
    id=st.uuids().map(str),
    tap_id=st.none(),
    user_id=st.just("7"),
    direction=st.sampled_from([*Direction, None]),
    occurred_at=INSTANT,
    time_error_s=st.none() | INSTANT,
    time_known=st.booleans(),
    raw_at=INSTANT,
    evidence=EVIDENCE,
    reader=st.none() | TEXT,
    badge=st.none() | TEXT,
    source=st.just(Source.DECISION),
    job_id=st.none() | TEXT,
    state=st.sampled_from([PunchState.PENDING, PunchState.HELD, PunchState.REVIEW]),
    reason=st.none() | TEXT,
    detail=st.none() | TEXT,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(new=NEW)
def test_a_punch_comes_back_as_it_was_stored(rows, new):
    """Every field of every punch survives the database, to the last bit of its times."""
    rows.conn.execute("BEGIN")  # every example begins from the same rows
    punch = queue.insert_punch(rows.conn, new, T0, name="Ann")
    assert queue.find_punch(rows.conn, new.id) == punch
    rows.conn.execute("ROLLBACK")
    rows.conn.execute("BEGIN")
    assert queue.insert_punch(rows.conn, new, T0) == punch, "read back for the name, it is the same"
    rows.conn.execute("ROLLBACK")
    names = "id user_id direction occurred_at time_error_s time_known raw_at reader badge source job_id state reason"
    for name in [*names.split(), "detail"]:
        assert getattr(punch, name) == getattr(new, name), name
    seen = new.evidence
    assert (punch.boot_id, punch.boottime_s, punch.synchronised) == (seen.boot_id, seen.boottime_s, seen.synchronised)
    assert (punch.name, punch.attempts, punch.remote_id, punch.recorded_as) == ("Ann", 0, None, None)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seen=EVIDENCE, reader=TEXT, badge=TEXT, stated=st.none() | INSTANT)
def test_an_unknown_tap_comes_back_as_it_was_stored(rows, seen, reader, badge, stated):
    """A tap nobody owns yet keeps everything that will make it a punch."""
    rows.conn.execute("BEGIN")
    tap = Tap(reader, badge, seen, stated)
    tap_id = queue.insert_tap(rows.conn, tap, TapResult.UNKNOWN_BADGE, "unknown_badge", None)
    (stored,) = queue.unclaimed_taps(rows.conn, badge)
    rows.conn.execute("ROLLBACK")
    assert stored == queue.StoredTap(tap_id, reader, badge, seen.wall_s, seen, stated, TapResult.UNKNOWN_BADGE, None)


def test_unclaimed_taps_are_of_unknown_badges_only(rows):
    """Taps come in the order they were stored, of one badge or of all."""
    ids = [rows.tap(T0 + n, badge=b, result=TapResult.UNKNOWN_BADGE) for n, b in enumerate("BAB")]
    rows.tap(badge="A", result=TapResult.REFUSED)
    assert [tap.id for tap in queue.unclaimed_taps(rows.conn)] == ids
    assert [tap.id for tap in queue.unclaimed_taps(rows.conn, "B")] == [ids[0], ids[2]]


@pytest.mark.parametrize("state", [PunchState.DELIVERED, PunchState.DISCARDED, PunchState.IN_FLIGHT])
def test_a_punch_begins_open(rows, state):
    """A new punch is neither finished nor in flight: nothing was sent for it."""
    with pytest.raises(AssertionError, match="cannot begin"):
        rows.punch(state=state)


def test_the_last_punch_is_the_last_in_the_lane_that_counts(rows):
    """A discarded punch does not decide what the next tap is; somebody else's neither."""
    rows.employee("8", "Bob")
    assert queue.last_punch(rows.conn, "7") is None
    first = rows.punch(T0)
    rows.move(rows.punch(T0 + 60), PunchState.DISCARDED)
    rows.punch(T0 + 120, "8")
    assert queue.last_punch(rows.conn, "7") == first


def test_unsettled_punches(rows):
    """Those without a time or a direction, in lane order, until they have both; not the discarded."""
    rows.punch(T0)
    both = rows.punch(T0 + 10, known=False, direction=None)
    rows.move(rows.punch(T0 + 20, known=False), PunchState.DISCARDED)
    assert [punch.id for punch in queue.unsettled_punches(rows.conn)] == [both.id]
    queue.settle_time(rows.conn, both.id, T0 + 11, 0.5)
    assert [punch.id for punch in queue.unsettled_punches(rows.conn)] == [both.id]
    queue.settle_direction(rows.conn, both.id, Direction.CLOCK_OUT)
    assert queue.unsettled_punches(rows.conn) == []
    with pytest.raises(AssertionError, match="without a direction"):
        queue.settle_direction(rows.conn, both.id, Direction.CLOCK_IN)


@pytest.fixture
def many(rows):
    """Punches of three people, in every state."""
    for user_id in ("8", "9"):
        rows.employee(user_id, f"N{user_id}")
    for n in range(36):
        user_id, state = "789"[n % 3], list(PunchState)[n // 3 % 6]
        at = T0 + (n * 7919 % 36) * 60
        if state is PunchState.DELIVERED:
            rows.delivered(at, user_id, boot=f"b{n}")
            continue
        punch = rows.punch(at, user_id, boot=f"b{n}")
        if state is PunchState.IN_FLIGHT:
            deliveries.begin_attempt(rows.conn, "open_shift", {}, [punch.id], at)
        else:
            rows.move(punch, state, reason="x")
    return rows


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    states=st.sets(st.sampled_from(PunchState)),
    user_id=st.none() | st.sampled_from("789x"),
    since=st.none() | st.integers(-1, 37).map(lambda n: T0 + n * 60),
    until=st.none() | st.integers(-1, 37).map(lambda n: T0 + n * 60),
    limit=st.none() | st.integers(0, 40),
)
def test_lists_are_what_the_filters_say(many, states, user_id, since, until, limit):
    """Any mixture of filters gives what filtering everything by hand gives, oldest first, the oldest `limit`."""
    everything = queue.list_punches(many.conn)
    assert len(everything) == 36
    assert everything == sorted(everything, key=lambda p: (p.occurred_at, p.seq))
    expected = [
        punch
        for punch in everything
        if (not states or punch.state in states)
        and (user_id is None or punch.user_id == user_id)
        and (since is None or punch.occurred_at >= since)
        and (until is None or punch.occurred_at < until)
    ]
    found = queue.list_punches(many.conn, states=sorted(states), user_id=user_id, since=since, until=until, limit=limit)
    assert found == expected[:limit]


def plans(conn: sqlite3.Connection, call) -> list[str]:
    """The query plan of every statement that `call` runs."""
    seen: list[str] = []
    conn.set_trace_callback(seen.append)
    call()
    conn.set_trace_callback(None)
    lines = []
    for statement in seen:
        if re.match(r"\s*(SELECT|UPDATE|DELETE|INSERT|WITH)", statement):
            lines += [row[3] for row in conn.execute(f"EXPLAIN QUERY PLAN {statement}")]
    return lines


QUERIES = {
    "counts": deliveries.counts,
    "unfinished_lanes": lanes.unfinished_lanes,
    "load_lane": lambda conn: lanes.load_lane(conn, "7"),
    "last_punch": lambda conn: queue.last_punch(conn, "7"),
    "find_punch": lambda conn: queue.find_punch(conn, "p1"),
    "history": lambda conn: deliveries.history(conn, "p1"),
    "unsettled": queue.unsettled_punches,
    "unclaimed": lambda conn: queue.unclaimed_taps(conn, "04A1"),
    "review": lambda conn: queue.list_punches(conn, states=[PunchState.REVIEW]),
    "since": lambda conn: queue.list_punches(conn, since=T0, limit=10),
    "of a person": lambda conn: queue.list_punches(conn, user_id="7"),
    "insert_punch": lambda conn: queue.place(conn, "7", 10**6, T0, known=True),
    "prune": lambda conn: retention.prune(conn, T0 + 60),
}


@pytest.mark.parametrize("query", QUERIES)
def test_no_query_walks_through_all_that_is_stored(many, query):
    """Punches, deliveries, taps, attempts and journal grow for ever: each is searched by an index, never scanned.

    (A scan of the index of what is unfinished, or unsettled, costs what is unfinished; one of json_each, what is asked
    for; one of a subquery, what that found, which has a line of its own.)
    """
    small = (
        "deliveries_unfinished",
        "punches_unsettled",
        "CONSTANT ROW",
        "SCAN states",
        "SCAN lanes",
        "SCAN json_each",
        "SCAN (subquery-",
    )
    lines = plans(many.conn, lambda: QUERIES[query](many.conn))
    assert lines
    for line in lines:
        scanned = line.startswith("SCAN") and not any(index in line for index in small) and "employees" not in line
        assert not scanned, line
