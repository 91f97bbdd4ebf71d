"""The head of a lane: what the planner sees, however long the lane is."""

from __future__ import annotations

from daemon.model import Direction, PunchState
from daemon.queue import deliveries
from daemon.queue.deliveries import HEAD_MAX
from tests.support.rows import Rows


def _fill(rows: Rows, count: int) -> list[str]:
    ways = (Direction.CLOCK_IN, Direction.CLOCK_OUT)
    return [rows.punch(at=1000.0 + 100 * n, direction=ways[n % 2]).id for n in range(count)]


def test_a_long_lane_shows_its_oldest_and_the_last_of_them_has_its_neighbour(rows: Rows) -> None:
    """At most HEAD_MAX are planned; the one behind them is there, but only for its neighbour's sake."""
    ids = _fill(rows, 3 * HEAD_MAX)
    head = deliveries.load_head(rows.conn, "7")
    assert [entry.punch.id for entry in head] == ids[: HEAD_MAX + 1]
    assert [entry.context for entry in head] == [False] * HEAD_MAX + [True]


def test_a_short_lane_is_whole(rows: Rows) -> None:
    """Then the head is the lane."""
    _fill(rows, 5)
    assert deliveries.load_head(rows.conn, "7") == deliveries.load_lane(rows.conn, "7")


def test_old_reviews_do_not_push_live_punches_out(rows: Rows) -> None:
    """However many need a person, what may move is seen."""
    ids = _fill(rows, 2 * HEAD_MAX)
    for punch_id in ids[:-1]:
        deliveries.set_state(rows.conn, punch_id, PunchState.REVIEW, at=2000.0, reason="refused")
    head = deliveries.load_head(rows.conn, "7")
    assert head[-1].punch.id == ids[-1]
    assert not head[-1].context


def test_the_head_costs_what_it_shows(rows: Rows) -> None:
    """Found through the index of what is unfinished, without sorting it."""
    for statement in deliveries._HEAD:
        plan = " ".join(row[3] for row in rows.conn.execute(f"EXPLAIN QUERY PLAN {statement}", ("7",)))
        assert "deliveries_unfinished" in plan
        assert "TEMP B-TREE" not in plan
