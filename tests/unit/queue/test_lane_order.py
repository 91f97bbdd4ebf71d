"""Where a punch stands in its lane: by its time, never against the order of the taps."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.model import PunchState
from daemon.queue import deliveries, lanes, queue
from daemon.queue.migrations import migrate, migrations
from tests.support.rows import T0, Rows

BEHIND = T0 - 7200  # a clock that came up two hours behind


def test_known_times_order_the_lane(rows):
    """Punches of known time stand in the order they occurred, a decision among them too."""
    rows.punch(T0)
    rows.punch(T0 + 3600)
    decided = rows.punch(T0 + 1800, decision=True)
    assert rows.lane() == ["p1", decided.id, "p2"]


def test_an_unknown_time_behind_the_last_punch_comes_right_after_it(rows):
    """A tap on a clock that lost two hours stands after the person's last punch, as it was tapped."""
    rows.punch(T0)
    rows.punch(BEHIND, known=False, boot="b2")
    rows.punch(BEHIND + 30, known=False, boot="b2")
    assert rows.lane() == ["p1", "p2", "p3"]


def test_an_unknown_time_of_a_second_boot_keeps_the_order_of_the_taps(rows):
    """A boot further behind than the one before does not put its taps first."""
    rows.punch(BEHIND, known=False, boot="b1")
    rows.punch(BEHIND - 600, known=False, boot="b2")
    assert rows.lane() == ["p1", "p2"]


def test_a_later_known_tap_comes_after_one_whose_clock_was_ahead(rows):
    """A tap of unknown time on a clock in the future does not overtake a later tap of known time."""
    rows.punch(T0 + 10**6, known=False, boot="b1")
    rows.punch(T0, boot="b2")
    assert rows.lane() == ["p1", "p2"]
    assert queue.last_punch(rows.conn, "7").id == "p2"


def test_a_clock_that_was_wrong_though_trusted_cannot_turn_the_lane(rows):
    """After one punch dated years ahead the later ones still stand behind it, and decide what the next tap is."""
    rows.punch(T0 + 10**8)
    rows.punch(T0, boot="b2")
    rows.punch(T0 + 3600, boot="b2")
    assert rows.lane() == ["p1", "p2", "p3"]
    assert queue.last_punch(rows.conn, "7").id == "p3"


def test_a_claimed_tap_stands_where_it_was_tapped(rows):
    """A tap kept from before its badge was assigned goes between the punches it was tapped between."""
    kept = rows.tap(T0 + 100)
    rows.punch(T0 + 200)
    rows.punch(T0 + 100, tap_id=kept)
    assert rows.lane() == ["p2", "p1"]


def test_settling_follows_the_real_time(rows):
    """A time that becomes known puts its punch where it belongs among decisions made meanwhile."""
    unknown = rows.punch(BEHIND, known=False, boot="b2")
    decided = rows.punch(T0 - 60, decision=True)
    assert rows.lane() == [unknown.id, decided.id]
    queue.settle_time(rows.conn, unknown.id, T0, 0.5)
    assert rows.lane() == [decided.id, unknown.id]
    settled = rows.again(unknown)
    assert (settled.occurred_at, settled.time_error_s, settled.time_known, settled.raw_at) == (T0, 0.5, True, BEHIND)


def test_half_settled_is_in_order_too(rows):
    """While only the first of two taps of one boot is settled, the second still stands after it."""
    rows.punch(T0 - 9000)
    first = rows.punch(BEHIND, known=False, boot="b2")
    second = rows.punch(BEHIND + 60, known=False, boot="b2")
    queue.settle_time(rows.conn, first.id, T0, 0.5)
    assert rows.lane() == ["p1", first.id, second.id]


@given(
    gaps=st.lists(st.integers(1, 100_000), min_size=1, max_size=6),
    offset=st.floats(-1e8, 1e8),
    jitter=st.lists(st.floats(-1, 1), min_size=6, max_size=6),
    order=st.permutations(range(6)),
)
def test_settling_one_boot_never_undoes_the_order_of_its_taps(gaps, offset, jitter, order):
    """However far the clock was off, in whichever order times are filled in, with small steps of the clock between."""
    with _memory() as conn:
        rows = Rows(conn)
        rows.employee()
        at = [T0 + sum(gaps[: i + 1]) for i in range(len(gaps))]
        punches = [rows.punch(t + offset, known=False, boottime_s=t - T0) for t in at]
        for index in order:
            if index < len(at):
                queue.settle_time(conn, punches[index].id, at[index] + jitter[index], 1.0)
                assert rows.lane() == [punch.id for punch in punches]


@given(st.lists(st.tuples(st.floats(-1e7, 1e7), st.booleans()), min_size=1, max_size=8))
def test_taps_keep_their_order_whatever_the_clock_said(taps):
    """The lane of taps is the order in which they were stored, for any mixture of known, unknown and wrong times."""
    with _memory() as conn:
        rows = Rows(conn)
        rows.employee()
        made = [rows.punch(T0 + off, known=known, boot=f"b{n}").id for n, (off, known) in enumerate(taps)]
        assert rows.lane() == made
        for punch in queue.unsettled_punches(conn):
            queue.settle_time(conn, punch.id, T0, 1.0)
            assert rows.lane() == made


class TestLoadLane:
    """The unfinished punches of one person with their neighbours."""

    def test_takes_the_unfinished_and_their_neighbours(self, rows):
        """Of the finished punches only those right before and right after an unfinished one come along."""
        rows.employee("8", "Bob")
        for hour in range(3):
            rows.delivered(T0 + hour * 3600)
        held = rows.punch(T0 + 3 * 3600, state=PunchState.HELD)
        after = rows.delivered(T0 + 4 * 3600)
        rows.delivered(T0 + 5 * 3600)
        rows.punch(T0, "8")
        lane = lanes.load_lane(rows.conn, "7")
        assert [entry.punch.id for entry in lane] == ["p3", held.id, after.id]
        assert lane[1].punch == held
        assert lane[2].punch == after

    def test_leaves_discarded_punches_out(self, rows):
        """A discarded punch is as if it were not there: the neighbour is the one beyond it."""
        before = rows.delivered(T0)
        gone = rows.punch(T0 + 60)
        rows.move(gone, PunchState.DISCARDED, reason="by_decision")
        last = rows.punch(T0 + 120)
        lane = lanes.load_lane(rows.conn, "7")
        assert [entry.punch.id for entry in lane] == [before.id, last.id]

    def test_brings_the_last_attempt(self, rows):
        """Each punch comes with its last attempt; both punches of a pair with the same one."""
        rows.punch(T0)
        rows.punch(T0 + 3600)
        first = deliveries.begin_attempt(rows.conn, "record_shift", {"start": 1}, ["p1", "p2"], T0)
        deliveries.end_attempt(rows.conn, first, "absent", at=T0 + 1)
        second = deliveries.begin_attempt(rows.conn, "open_shift", {"at": 2}, ["p1"], T0 + 2)
        one, two = lanes.load_lane(rows.conn, "7")
        assert (one.attempt.id, one.attempt.step, one.attempt.ended_at) == (second, {"at": 2}, None)
        assert (two.attempt.id, two.attempt.outcome) == (first, "absent")
        assert (one.punch.attempts, two.punch.attempts) == (2, 1)

    def test_names_every_unfinished_lane_once(self, rows):
        """Only people with something unfinished are named."""
        for user_id in ("8", "9"):
            rows.employee(user_id, "X")
        rows.punch(T0, "8")
        rows.punch(T0 + 1, "8", state=PunchState.HELD)
        rows.delivered(T0, "9")
        assert lanes.unfinished_lanes(rows.conn) == ["8"]


class _memory:
    """A database in memory: a fresh one for every example costs no file."""

    def __enter__(self) -> sqlite3.Connection:
        self._conn = sqlite3.connect(":memory:", isolation_level=None)
        migrate(self._conn, migrations())
        return self._conn

    def __exit__(self, *error: object) -> None:
        self._conn.close()


def test_a_known_time_is_settled_once(rows):
    """Settling a time that is known already is a programmer's error."""
    with pytest.raises(AssertionError, match="known already"):
        queue.settle_time(rows.conn, rows.punch().id, T0, 0.5)
