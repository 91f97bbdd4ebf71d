"""The head of a lane: what the planner sees, however long the lane is."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from daemon.delivery.policy import ROUNDING_MAX_S
from daemon.model import Direction, PunchState
from daemon.queue import deliveries, lanes
from daemon.queue.lanes import BESIDE_S, HEAD_MAX, NEXT_MAX
from tests.support.rows import Rows


def _fill(rows: Rows, count: int) -> list[str]:
    ways = (Direction.CLOCK_IN, Direction.CLOCK_OUT)
    return [rows.punch(at=1000.0 + 100 * n, direction=ways[n % 2]).id for n in range(count)]


def test_a_long_lane_shows_its_oldest_and_the_last_of_them_has_its_neighbour(rows: Rows) -> None:
    """At most HEAD_MAX are planned; the one behind them is there, but only for its neighbour's sake."""
    ids = _fill(rows, 3 * HEAD_MAX)
    head = lanes.load_head(rows.conn, "7")
    assert [entry.punch.id for entry in head] == ids[: HEAD_MAX + 1]
    assert [entry.context for entry in head] == [False] * HEAD_MAX + [True]


def test_what_goes_next_is_there_with_its_other_half_and_the_one_after(rows: Rows) -> None:
    """A narrow look shows a whole shift and what follows it; that more waits, and since when, is told beside it."""
    ids = _fill(rows, 3 * HEAD_MAX)
    head = lanes.load_head(rows.conn, "7", NEXT_MAX)
    assert NEXT_MAX >= 3
    assert [entry.punch.id for entry in head if not entry.context] == ids[:NEXT_MAX]
    assert lanes.waiting(rows.conn, "7") == [1000 + 100 * n for n in range(HEAD_MAX)]
    assert lanes.waiting(rows.conn, "nobody") == []


def test_a_narrow_look_sees_all_that_waits_for_something(rows: Rows) -> None:
    """Only of what may go less is shown: what is held, out, or in review is there as in a wide one."""
    ids = _fill(rows, 12)
    for punch_id, state in zip(ids, [PunchState.HELD] * 4 + [PunchState.REVIEW] * 4, strict=False):
        deliveries.set_state(rows.conn, punch_id, state, at=2000.0, reason="refused")
    head = lanes.load_head(rows.conn, "7", NEXT_MAX)
    assert [entry.punch.id for entry in head if not entry.context] == ids[: 8 + NEXT_MAX]


def _moving(rows: Rows, but: Collection[str] = ()) -> list[str]:
    return [e.punch.id for e in lanes.load_head(rows.conn, "7") if not e.context and e.punch.id not in but]


def _halves(rows: Rows, *, in_review: Direction) -> tuple[list[str], list[str], str]:
    """Twelve shifts of which one half is in review and the other held for it, and a clock-out held for something else:
    the clock-ins, the clock-outs, that one."""
    ids = _fill(rows, 3 * HEAD_MAX)
    starts, ends = ids[::2], ids[1::2]
    reviewed, held = (starts, ends) if in_review is Direction.CLOCK_IN else (ends, starts)
    for punch_id in reviewed:
        deliveries.set_state(rows.conn, punch_id, PunchState.REVIEW, at=2000.0, reason="refused")
    for punch_id in held:
        deliveries.set_state(rows.conn, punch_id, PunchState.HELD, at=2000.0, reason="earlier_punch_in_review")
    last = rows.punch(at=9000.0, direction=Direction.CLOCK_OUT).id
    deliveries.set_state(rows.conn, last, PunchState.HELD, at=9000.0, reason="waiting_for_clock_in")
    return starts, ends, last


def test_who_waits_for_a_person_keeps_nobody_else_back(rows: Rows) -> None:
    """However many clock-outs wait for clock-ins in review: the newest of them are seen, and whatever may move."""
    starts, ends, last = _halves(rows, in_review=Direction.CLOCK_IN)
    newest = ends[-HEAD_MAX:]
    assert _moving(rows, starts) == [*newest, last]
    # Whatever becomes of a clock-in, its own clock-out is looked at from then on, the oldest as well.
    deliveries.release(rows.conn, starts[0], at=2001.0)
    assert _moving(rows, starts) == [ends[0], *newest, last]
    for reason in ("already_open", "server_changed_time"):  # what the timesheet shows may move it
        deliveries.set_state(rows.conn, starts[1], PunchState.REVIEW, at=2002.0, reason="x")
        deliveries.set_state(rows.conn, starts[1], PunchState.REVIEW, at=2002.0, reason=reason)
        assert _moving(rows, starts) == [ends[0], ends[1], *newest, last]
    deliveries.set_state(rows.conn, starts[2], PunchState.DISCARDED, at=2003.0)
    assert _moving(rows, starts) == [*ends[:3], *newest, last]
    # Nobody knows what its last request did: that is asked, whatever it waits for.
    deliveries.release(rows.conn, ends[3], at=2004.0)
    deliveries.begin_attempt(rows.conn, "end_shift", {}, [ends[3]], 2004.0)
    deliveries.set_state(rows.conn, ends[3], PunchState.HELD, at=2004.0, reason="earlier_punch_in_review")
    assert _moving(rows, starts) == [*ends[:4], *newest, last]


def test_nor_do_clock_ins_that_wait_for_their_clock_outs(rows: Rows) -> None:
    """The same the other way round: what a person sends again is seen with its other half."""
    starts, ends, last = _halves(rows, in_review=Direction.CLOCK_OUT)
    newest = starts[-HEAD_MAX:]
    assert _moving(rows, ends) == [*newest, last]
    deliveries.release(rows.conn, ends[1], at=2001.0)
    assert _moving(rows, ends) == [starts[1], *newest, last]


def test_nor_does_what_waits_for_what_nobody_knows(rows: Rows) -> None:
    """Clock-outs after punches whose time, or direction, is not known, or whose clock is not trusted any more."""
    came = Direction.CLOCK_IN
    ways = ((came, False, "salvaged"), (None, True, "earlier_punch_undecided"), (came, True, "clock_untrusted"))
    ends, unknown = [], []
    for n in range(HEAD_MAX + 4):
        direction, known, reason = ways[n % 3]
        unknown.append(rows.punch(at=1000.0 + 200 * n, direction=direction, known=known).id)
        state = PunchState.REVIEW if reason == "salvaged" else PunchState.HELD
        deliveries.set_state(rows.conn, unknown[-1], state, at=2000.0, reason=reason)
        ends.append(rows.punch(at=1100.0 + 200 * n, direction=Direction.CLOCK_OUT).id)
        deliveries.set_state(rows.conn, ends[-1], PunchState.HELD, at=2000.0, reason="earlier_punch_undecided")
    last = rows.punch(at=9000.0, direction=Direction.CLOCK_OUT).id
    deliveries.set_state(rows.conn, last, PunchState.HELD, at=9000.0, reason="waiting_for_clock_in")
    assert _moving(rows, unknown) == [*ends[-HEAD_MAX:], last]
    deliveries.set_state(rows.conn, unknown[1], PunchState.DISCARDED, at=2001.0)
    assert _moving(rows, unknown) == [ends[1], *ends[-HEAD_MAX:], last]


def test_a_short_lane_is_whole(rows: Rows) -> None:
    """Then the head is the lane."""
    _fill(rows, 5)
    assert lanes.load_head(rows.conn, "7") == lanes.load_lane(rows.conn, "7")


def test_old_reviews_do_not_push_live_punches_out(rows: Rows) -> None:
    """However many need a person, what may move is seen."""
    ids = _fill(rows, 2 * HEAD_MAX)
    for punch_id in ids[:-1]:
        deliveries.set_state(rows.conn, punch_id, PunchState.REVIEW, at=2000.0, reason="refused")
    head = lanes.load_head(rows.conn, "7")
    assert head[-1].punch.id == ids[-1]
    assert not head[-1].context


def test_many_reviews_of_one_person_are_all_there(rows: Rows) -> None:
    """One read may mend each of them, the oldest too."""
    ids = _fill(rows, 4 * HEAD_MAX)
    for punch_id in ids:
        deliveries.set_state(rows.conn, punch_id, PunchState.REVIEW, at=2000.0, reason="refused")
    head = lanes.load_head(rows.conn, "7")
    assert [entry.punch.id for entry in head if not entry.context] == ids


@pytest.mark.parametrize("kind", ["open_shift", "end_shift"])
def test_beside_an_unknown_outcome_stands_what_its_shift_could_be_taken_for(rows: Rows, kind: str) -> None:
    """Delivered punches half an hour around it are there for its sake, older ones are not."""
    delivered = [rows.delivered(at=1000.0 + 360 * n) for n in range(10)]
    out = rows.punch(at=1000.0 + 360 * 10)
    deliveries.begin_attempt(rows.conn, kind, {}, [out.id], 5000.0)
    head = lanes.load_head(rows.conn, "7")
    assert [entry.punch.id for entry in head] == [*(punch.id for punch in delivered[5:]), out.id]
    assert [entry.context for entry in head] == [True] * 5 + [False]
    assert BESIDE_S >= 2 * ROUNDING_MAX_S


def test_beside_a_shift_that_is_looked_for_by_its_own_mark_stands_nobody(rows: Rows) -> None:
    """A recorded or closed shift cannot be taken for another's: only what is right beside it is loaded."""
    for round_, kind in enumerate(("record_shift", "close_shift")):
        delivered = [rows.delivered(at=1000.0 + 3600 * round_ + 180 * n) for n in range(10)]
        out = rows.punch(at=1000.0 + 3600 * round_ + 180 * 10)
        attempt = deliveries.begin_attempt(rows.conn, kind, {}, [out.id], 5000.0)
        head = lanes.load_head(rows.conn, "7")
        assert [entry.punch.id for entry in head] == [delivered[-1].id, out.id]
        deliveries.end_attempt(rows.conn, attempt, "refused", at=5001.0)
        rows.move(out, PunchState.REVIEW, reason="refused")
        rows.move(out, PunchState.DISCARDED)


def test_the_head_costs_what_it_shows(rows: Rows) -> None:
    """Found through the index of what is unfinished, without sorting it."""
    for statement in lanes._HEAD:
        asked = {"user_id": "7", "pending_max": HEAD_MAX}
        plan = " ".join(row[3] for row in rows.conn.execute(f"EXPLAIN QUERY PLAN {statement}", asked))
        assert "deliveries_unfinished" in plan
        assert "TEMP B-TREE" not in plan


def test_the_head_costs_the_same_however_long_the_lane_is(rows: Rows) -> None:
    """Counted in steps of SQLite's own machine, which no other work on this machine can change."""
    _fill(rows, 2 * HEAD_MAX)
    short = _steps(rows)
    _fill(rows, 100 * HEAD_MAX)
    assert _steps(rows) <= 1.1 * short


def test_the_head_costs_the_same_however_much_was_delivered_before_it(rows: Rows) -> None:
    """Also while a completed shift is out, whose outcome is then read: a backlog of one person costs that each time."""
    costs = []
    for count in (4, 200):
        for n in range(count):
            rows.delivered(at=1000.0 + 60 * n)
        pair = [rows.punch(at=20_000.0).id, rows.punch(at=20_060.0, direction=Direction.CLOCK_OUT).id]
        attempt = deliveries.begin_attempt(rows.conn, "record_shift", {}, pair, 5000.0)
        costs.append(_steps(rows))
        deliveries.end_attempt(rows.conn, attempt, "refused", at=5001.0)
        for punch_id in pair:
            deliveries.set_state(rows.conn, punch_id, PunchState.REVIEW, at=5001.0, reason="refused")
            deliveries.set_state(rows.conn, punch_id, PunchState.DISCARDED, at=5001.0)
    assert costs[1] <= 1.1 * costs[0]


def _steps(rows: Rows) -> int:
    taken = 0

    def step() -> None:
        nonlocal taken
        taken += 1

    rows.conn.set_progress_handler(step, 1)
    lanes.load_head(rows.conn, "7", NEXT_MAX)
    lanes.waiting(rows.conn, "7")
    rows.conn.set_progress_handler(None, 0)
    return taken


def test_who_waits_is_found_without_walking_over_what_waits(rows: Rows) -> None:
    """Everybody with something unfinished, each once, whatever state it is in; and whether there is anybody."""
    assert lanes.unfinished_lanes(rows.conn) == []
    assert not deliveries.anything_unfinished(rows.conn)
    rows.employee("8", "Bob")
    rows.employee("9", "Eve")
    _fill(rows, 5)
    stuck = rows.punch(at=50.0, user_id="9")
    rows.move(stuck, PunchState.REVIEW, reason="refused")
    rows.delivered(60.0, user_id="8")
    assert lanes.unfinished_lanes(rows.conn) == ["7", "9"]
    assert deliveries.anything_unfinished(rows.conn)
    assert deliveries.count_reviews(rows.conn) == 1
