"""Pruning deletes old delivered punches with all that is theirs, and nothing else."""

from __future__ import annotations

import shutil
import sqlite3

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.clock import Trust, TrustSource
from daemon.model import PunchState, RecordedAs, TapResult
from daemon.queue import deliveries, lanes, queue, retention
from daemon.queue.opening import open_file
from daemon.queue.records import put_trust
from daemon.queue.retention import Place, Pruned, prune
from tests.support.rows import T0, Rows

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
    assert prune(rows.conn, T0 + 10 * DAY).deleted == 1
    assert prune(rows.conn, T0 + 10 * DAY).deleted == 0
    assert {table: before[table] - count for table, count in everything(rows.conn).items()} == dict.fromkeys(before, 1)
    left = {punch.state for punch in queue.list_punches(rows.conn)}
    assert left == set(PunchState) - {PunchState.IN_FLIGHT}
    assert rows.again(young) == young


def test_the_other_end_of_an_unfinished_shift_stays(rows):
    """A delivered clock-in is kept while its clock-out, or anything near it of that person, is not finished."""
    rows.delivered(T0 - 9 * DAY)
    clock_in = rows.delivered(T0)
    clock_out = rows.move(rows.punch(T0 + 3600), PunchState.REVIEW, reason="could_not_close")
    assert prune(rows.conn, T0 + 100 * DAY).deleted == 1
    assert rows.again(clock_in) == clock_in
    rows.move(clock_out, PunchState.DISCARDED)
    assert prune(rows.conn, T0 + 100 * DAY).deleted == 1


def test_half_a_pair_may_go_first(rows):
    """When the limit falls between a pair's punches, the younger one stays readable without the shared attempt."""
    rows.punch(T0)
    rows.punch(T0 + 3600)
    attempt = deliveries.begin_attempt(rows.conn, "record_shift", {}, ["p1", "p2"], T0)
    deliveries.end_attempt(rows.conn, attempt, "done", at=T0)
    for punch in queue.list_punches(rows.conn):
        rows.move(punch, PunchState.DELIVERED, recorded_as=RecordedAs.TIME_ACTIVITY)
    assert prune(rows.conn, T0 + DAY, limit=1).deleted == 1
    later = rows.punch(T0 + 7200)
    before, _ = lanes.load_lane(rows.conn, "7")
    assert (before.punch.id, before.attempt) == ("p2", None)
    assert deliveries.history(rows.conn, "p2").attempts == ()
    rows.move(later, PunchState.DISCARDED)
    assert prune(rows.conn, T0 + DAY).deleted == 1
    assert rows.conn.execute("PRAGMA foreign_key_check").fetchall() == []


def test_the_oldest_go_first_and_a_few_at_a_time(rows):
    """One call deletes at most `limit`, so that no tap waits long behind it."""
    for n in range(5):
        rows.delivered(T0 + n)
    assert [prune(rows.conn, T0 + DAY, limit=2).deleted for _ in range(4)] == [2, 2, 1, 0]


def test_each_call_looks_at_a_few_and_says_where_to_go_on(rows):
    """What may not go is passed over once, not looked at again by every call."""
    for n in range(4):
        rows.punch(T0 + n)
    for n in range(4):
        rows.delivered(T0 + 9 * DAY + n)
    deleted, place = [], Place()
    while place is not None:
        pruned = prune(rows.conn, T0 + 50 * DAY, place, limit=3)
        deleted.append(pruned.deleted)
        place = pruned.then
    assert deleted == [0, 2, 2]


def prune_taps(conn, before, *how, **more) -> Pruned:
    """As the daemon does: a permit needs a transaction around it."""
    conn.execute("BEGIN")
    pruned = retention.prune_taps(conn, before, *how, **more)
    conn.execute("COMMIT")
    return pruned


def trusted(conn, boot="b1"):
    """This boot's clock is known: T0 was 1000 s after its start (as Rows makes taps)."""
    put_trust(conn, Trust(boot, T0 - 1000, 0.5, TrustSource.KERNEL, T0))


def taps_left(conn) -> list[int]:
    return [tap_id for (tap_id,) in conn.execute("SELECT id FROM taps ORDER BY id")]


def test_old_taps_that_became_nothing_go(rows):
    """Repeats, refused ones and unclaimed unknown ones go; those of a punch stay with it, young ones stay."""
    trusted(rows.conn)
    for result in (TapResult.UNKNOWN_BADGE, TapResult.REPEAT, TapResult.REFUSED):
        rows.tap(T0, result=result)
    punch = rows.punch(T0 + 60)
    rows.conn.execute("UPDATE taps SET punch_id = ? WHERE id = 4", (punch.id,))
    rows.tap(T0 + 20 * DAY, result=TapResult.UNKNOWN_BADGE)
    rows.tap(T0 + 20 * DAY, result=TapResult.REPEAT)
    assert prune_taps(rows.conn, T0 + 10 * DAY) == Pruned(3, None)
    assert taps_left(rows.conn) == [4, 5, 6]
    assert rows.again(punch) == punch


def test_a_tap_has_the_age_of_its_boot_not_of_its_wall_clock(rows):
    """A box without a clock chip that came up years behind loses no tap of yesterday to that."""
    trusted(rows.conn)
    trusted(rows.conn, "b2")
    rows.conn.execute("UPDATE boots SET trusted_offset_s = ? WHERE boot_id = 'b2'", (T0 + 400 * DAY - 1000,))
    rows.tap(T0, result=TapResult.UNKNOWN_BADGE, boot="b1")
    rows.tap(T0, result=TapResult.UNKNOWN_BADGE, boot="b2")  # the wall clock said T0 here too
    rows.tap(T0 - 9999 * DAY, result=TapResult.UNKNOWN_BADGE, boot="never trusted")
    assert prune_taps(rows.conn, T0 + 100 * DAY).deleted == 1
    assert taps_left(rows.conn) == [2, 3]


def test_a_tap_of_unknown_age_is_older_than_the_next_of_known_age(rows):
    """Taps are stored in order, so an old one vouches for all before it; also across the edge of a step."""
    trusted(rows.conn)
    for _ in range(4):
        rows.tap(T0, result=TapResult.REFUSED, boot="never trusted")
    rows.tap(T0, result=TapResult.REFUSED)
    rows.tap(T0, result=TapResult.REFUSED, boot="never trusted")
    first = prune_taps(rows.conn, T0 + DAY, limit=2)
    assert first.deleted == 2
    second = prune_taps(rows.conn, T0 + DAY, first.then, limit=2)
    third = prune_taps(rows.conn, T0 + DAY, second.then, limit=2)
    assert (second.deleted, third.deleted) == (2, 1)
    assert taps_left(rows.conn) == [6]


def test_an_unclaimed_tap_goes_by_pruning_alone(rows):
    """Any other deletion is refused, also of one that lies beyond what the permit says; and a permit ends."""
    rows.tap(T0, result=TapResult.UNKNOWN_BADGE)
    rows.tap(T0, result=TapResult.UNKNOWN_BADGE)
    with pytest.raises(sqlite3.IntegrityError, match="may still become a punch"):
        rows.conn.execute("DELETE FROM taps")
    rows.conn.execute("BEGIN")
    rows.conn.execute("INSERT INTO permits (what, tap_max) VALUES ('drop_unclaimed', 1)")
    rows.conn.execute("DELETE FROM taps WHERE id = 1")
    with pytest.raises(sqlite3.IntegrityError, match="may still become a punch"):
        rows.conn.execute("DELETE FROM taps WHERE id = 2")
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        rows.conn.execute("COMMIT")
    rows.conn.execute("ROLLBACK")
    assert taps_left(rows.conn) == [1, 2]


STORED = st.lists(
    st.tuples(
        st.integers(0, 40),  # the day
        st.sampled_from(["7", "8"]),
        st.sampled_from([*PunchState, "discarded by decision", "repeat", "unknown", "claimed"]),
        st.sampled_from(["b1", "never trusted"]),
    ),
    max_size=30,
)


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """A database that was made once."""
    path = tmp_path_factory.mktemp("empty") / "punchd.db"
    open_file(path)[0].close()
    return path


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stored=STORED, limit=st.integers(1, 7))
def test_nothing_but_the_finished_is_ever_pruned(tmp_path_factory, empty, stored, limit):
    """Whatever stands there: what is undelivered, held, in review or discarded stays, with its tap and its history."""
    path = shutil.copy(empty, tmp_path_factory.mktemp("db") / "punchd.db")
    conn, _ = open_file(path)
    conn.execute("PRAGMA synchronous = OFF")
    rows = Rows(conn)
    trusted(conn)
    for user_id in ("7", "8"):
        rows.employee(user_id)
    for day, user_id, what, boot in sorted(stored, key=lambda one: one[0]):
        _store(rows, T0 + day * DAY, user_id, what, boot)
    kept = {p.id: p for p in queue.list_punches(conn) if p.state is not PunchState.DELIVERED}
    histories = {punch_id: deliveries.history(conn, punch_id) for punch_id in kept}
    young = {p.id for p in queue.list_punches(conn, since=T0 + 20 * DAY)}
    unclaimed = {tap.id for tap in queue.unclaimed_taps(conn) if tap.raw_at >= T0 + 20 * DAY}
    for step in (prune, prune_taps):
        place = Place()
        while place is not None:
            place = step(conn, T0 + 20 * DAY, place, limit).then
    left = {p.id: p for p in queue.list_punches(conn)}
    assert kept.items() <= left.items()
    assert young <= set(left)
    assert {punch_id: deliveries.history(conn, punch_id) for punch_id in kept} == histories
    wanted = {tap_id for (tap_id,) in conn.execute("SELECT tap_id FROM punches WHERE tap_id IS NOT NULL")}
    assert wanted | unclaimed <= set(taps_left(conn))
    assert conn.execute("PRAGMA foreign_key_check").fetchall() == []
    assert conn.execute("SELECT count(*) FROM permits").fetchone() == (0,)
    conn.close()


def _store(rows: Rows, at: float, user_id: str, what: str, boot: str) -> None:
    if what in ("repeat", "unknown"):
        rows.tap(at, result=TapResult.REPEAT if what == "repeat" else TapResult.UNKNOWN_BADGE, boot=boot)
        return
    if what == "claimed":
        tap_id = rows.tap(at, result=TapResult.UNKNOWN_BADGE, boot=boot)
        queue.claim_tap(rows.conn, tap_id, rows.punch(at, user_id, boot=boot, tap_id=tap_id).id)
        return
    punch = rows.punch(at, user_id, boot=boot)
    rows.conn.execute("UPDATE taps SET punch_id = ? WHERE id = (SELECT max(id) FROM taps)", (punch.id,))
    match what:
        case PunchState.DELIVERED:
            rows.move(punch, PunchState.DELIVERED, recorded_as=RecordedAs.CLOCK_IN)
        case PunchState.IN_FLIGHT:
            deliveries.begin_attempt(rows.conn, "open_shift", {}, [punch.id], at)
        case PunchState.PENDING:
            pass
        case "discarded by decision":
            rows.move(punch, PunchState.DISCARDED, by="uid:0", reason="by_decision")
        case _:
            rows.move(punch, PunchState(what), reason="x")
