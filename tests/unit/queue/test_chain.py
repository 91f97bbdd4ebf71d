"""The chain of digests: silent change shows and is named; what changes for a recorded reason does not."""

from __future__ import annotations

import sqlite3

import pytest

from daemon.model import Direction, PunchState, TapResult
from daemon.queue import erasure, people, queue
from daemon.queue.chain import PUNCH_FACTS, TAP_FACTS, adopt_step, digest, hashed, head, is_adopting
from daemon.queue.records import put_setting
from daemon.queue.retention import prune, prune_taps
from daemon.queue.verify import Verification, altered_unfinished, verify
from tests.support.rows import T0, Rows
from tests.support.tampering import unguarded


def silently(conn: sqlite3.Connection, statement: str, *values: object) -> None:
    """Change the file as a flipped bit would: no trigger is asked."""
    conn.execute("PRAGMA foreign_keys = OFF")
    with unguarded(conn):
        conn.execute(statement, values)


def told(verification: Verification) -> list[tuple[str, str, str | None]]:
    return [(one.what, one.kind, one.punch) for one in verification.wrong]


@pytest.fixture
def many(rows) -> Rows:
    """Punches of two people, a decision, one without time and direction, two kept taps."""
    rows.employee("8", "Bob")
    for number in range(5):
        rows.delivered(T0 + 100 * number)
    rows.punch(T0 + 1000, "8")
    rows.punch(T0 + 2000, "8", decision=True)
    rows.move(rows.punch(T0 + 3000, "8", known=False, direction=None), PunchState.HELD, reason="clock_untrusted")
    rows.tap(T0 + 4000, badge="0499", result=TapResult.UNKNOWN_BADGE)
    rows.tap(T0 + 5000, badge="0498", result=TapResult.UNKNOWN_BADGE)
    return rows


def test_what_was_only_stored_verifies(many):
    """Punches of every kind and kept taps verify; a page at a time gives the same."""
    whole = verify(many.conn)
    assert whole.sound
    assert (whole.punches, whole.taps, whole.adopted) == (8, 2, 0)
    paged = Verification()
    while paged.page(many.conn, 2):
        pass
    assert paged.document() == whole.document()


def test_every_fact_of_a_punch_is_covered(many):
    """Changing any one of them silently is found, and named."""
    (values,) = many.conn.execute(f"SELECT {', '.join(PUNCH_FACTS)} FROM punches WHERE id = 'p3'").fetchall()
    for name, value in zip(PUNCH_FACTS, values, strict=True):
        if name in ("seq", "id"):
            continue  # another row, or another name: below
        many.conn.execute("SAVEPOINT one")
        other = {"direction": "clock_out", "user_id": "8", "source": "decision"}.get(name)
        silently(many.conn, f"UPDATE punches SET {name} = ? WHERE id = 'p3'",
                 other or (f"{value}x" if isinstance(value, str) else (value or 0) + 1))  # fmt: skip
        found = verify(many.conn)
        assert told(found) == [("changed", "punch", "p3")], name
        assert found.broken_link is None
        many.conn.execute("ROLLBACK TO one")
    silently(many.conn, "UPDATE punches SET reader = CAST(x'61ff' AS TEXT) WHERE id = 'p3'")  # no text at all
    assert told(verify(many.conn)) == [("changed", "punch", "p3")]
    silently(many.conn, "UPDATE punches SET reader = 'front' WHERE id = 'p3'")
    assert verify(many.conn).sound


def test_every_fact_of_a_kept_tap_is_covered(many):
    """As for punches."""
    tap_id, values = many.conn.execute("SELECT id FROM taps WHERE badge = '0499'").fetchone()[0], None
    values = many.conn.execute(f"SELECT {', '.join(TAP_FACTS)} FROM taps WHERE id = ?", (tap_id,)).fetchone()
    for name, value in zip(TAP_FACTS, values, strict=True):
        if name == "id":
            continue
        many.conn.execute("SAVEPOINT one")
        changed = "refused" if name == "result" else f"{value}x" if isinstance(value, str) else (value or 0) + 1
        silently(many.conn, f"UPDATE taps SET {name} = ? WHERE id = ?", changed, tap_id)
        assert told(verify(many.conn)) == [("changed", "tap", str(tap_id))], name
        many.conn.execute("ROLLBACK TO one")


def test_a_punch_that_is_gone_came_from_nowhere_or_has_another_id(many):
    """Lost rows, rows nobody stored and renamed ones are told apart."""
    many.conn.execute("PRAGMA foreign_keys = OFF")  # not possible inside a savepoint
    many.conn.execute("SAVEPOINT one")
    silently(many.conn, "DELETE FROM punches WHERE id = 'p2'")
    assert told(verify(many.conn)) == [("missing", "punch", None)]
    many.conn.execute("ROLLBACK TO one")
    silently(many.conn, "UPDATE punches SET id = 'other' WHERE id = 'p2'")
    assert told(verify(many.conn)) == [("changed", "punch", "other")]
    many.conn.execute("ROLLBACK TO one")
    silently(many.conn, "UPDATE punches SET link = NULL WHERE id = 'p2'")
    assert ("unlinked", "punch", "p2") in told(verify(many.conn))


def test_a_damaged_link_is_told_from_a_damaged_punch_and_dated(many):
    """A link that does not follow breaks the chain since its punch; one taken out breaks it as well."""
    for damage in (
        "UPDATE chain SET digest = zeroblob(32) WHERE id = 4",
        "UPDATE chain SET hash = zeroblob(32) WHERE id = 4",
        "DELETE FROM chain WHERE id = 4",
        "UPDATE chain SET why = 'adopted' WHERE id = 4",
    ):
        many.conn.execute("SAVEPOINT one")
        silently(many.conn, damage)
        found = verify(many.conn)
        assert not found.sound, damage
        assert found.broken_since in (T0 + 200, T0 + 300), damage
        assert set(told(found)) <= {("link", "punch", "p3"), ("unlinked", "punch", "p3")}, damage
        many.conn.execute("ROLLBACK TO one")
    silently(many.conn, "DELETE FROM chain")
    assert verify(many.conn).wrong_total == 8
    assert verify(many.conn).broken_link is not None


def test_a_link_made_anew_for_a_changed_punch_breaks_the_chain_behind_it(many):
    """Whoever changes a punch and computes its link again is seen at the next one, which was linked to what it was."""
    silently(many.conn, "UPDATE punches SET raw_at = raw_at + 60 WHERE id = 'p3'")
    seq, link, *facts = many.conn.execute(
        f"SELECT seq, link, {', '.join(PUNCH_FACTS)} FROM punches WHERE id = 'p3'").fetchone()  # fmt: skip
    (before,) = many.conn.execute("SELECT hash FROM chain WHERE id = ?", (link - 1,)).fetchone()
    (salt,) = many.conn.execute("SELECT salt FROM chain WHERE id = ?", (link,)).fetchone()
    digested = digest(salt, facts)
    own = hashed(before, link, "punch", "stored", seq, digested)
    silently(many.conn, "UPDATE chain SET digest = ?, hash = ? WHERE id = ?", digested, own, link)
    found = verify(many.conn)
    assert (told(found), found.broken_link, found.broken_since) == ([], link + 1, T0 + 300)


def test_what_is_filled_in_later_is_covered_from_then_on(many):
    """A time and a direction make new links; changing them afterwards is found."""
    before = head(many.conn)[0]
    queue.settle_time(many.conn, "p8", T0 + 3100, 0.1)
    queue.settle_direction(many.conn, "p8", Direction.CLOCK_OUT)
    assert head(many.conn)[0] == before + 2
    assert verify(many.conn).sound
    for change in ("occurred_at = occurred_at + 1", "direction = 'clock_in'", "order_at = order_at + 1"):
        many.conn.execute("SAVEPOINT one")
        silently(many.conn, f"UPDATE punches SET {change} WHERE id = 'p8'")
        assert told(verify(many.conn)) == [("changed", "punch", "p8")], change
        many.conn.execute("ROLLBACK TO one")


def test_a_place_that_others_push_about_is_no_change(rows):
    """Before its time is known a punch gives way to others in its lane: it verifies all the same."""
    rows.punch(T0, known=False, direction=None)
    rows.punch(T0 - 100, known=False, direction=None)
    queue.settle_time(rows.conn, "p1", T0 + 500, 0.1)
    assert verify(rows.conn).sound


def test_a_link_cannot_be_changed_or_deleted(many):
    """Not by a slip of ours: the schema refuses."""
    for statement in (
        "UPDATE chain SET digest = zeroblob(32) WHERE id = 4",
        "UPDATE chain SET hash = zeroblob(32), gone = 'pruned', salt = NULL, digest = NULL WHERE id = 4",
        "DELETE FROM chain WHERE id = 4",
        "UPDATE punches SET link = NULL WHERE id = 'p3'",
        "UPDATE punches SET link = 1 WHERE id = 'p3'",
    ):
        with pytest.raises(sqlite3.IntegrityError):
            many.conn.execute(statement)


def test_pruning_keeps_it_whole_and_small(rows):
    """Pruned punches leave a hash, and neighbours merge: what is left verifies, and is not much."""
    for number in range(300):
        rows.delivered(T0 + 1000 * number)
    rows.employee("8", "Bob")
    kept = rows.punch(T0 + 500, "8")
    assert prune(rows.conn, T0 + 250_000, limit=1000).deleted == 250
    found = verify(rows.conn)
    assert found.sound
    assert found.punches == 51
    assert rows.conn.execute("SELECT count(*) FROM chain").fetchone()[0] < 60
    assert rows.again(kept).id == "p301"
    silently(rows.conn, "UPDATE punches SET user_id = 'x' WHERE id = 'p290'")
    assert told(verify(rows.conn)) == [("changed", "punch", "p290")]


def test_pruned_taps_leave_their_hash(rows):
    """A kept tap nobody claimed, and one that was claimed, go with their links."""
    rows.conn.execute("INSERT INTO boots VALUES ('b1', 0, 0, ?, 0.1, 'kernel', 0)", (T0 - 1000,))  # its age is known
    rows.tap(T0, badge="0499", result=TapResult.UNKNOWN_BADGE)
    claimed = rows.tap(T0 + 1, badge="0498", result=TapResult.UNKNOWN_BADGE)
    punch = rows.delivered(T0 + 1, tap_id=claimed)
    queue.claim_tap(rows.conn, claimed, punch.id)
    assert verify(rows.conn).sound
    rows.conn.execute("BEGIN")
    prune(rows.conn, T0 + 1000)
    prune_taps(rows.conn, T0 + 1000)
    rows.conn.execute("COMMIT")
    assert rows.conn.execute("SELECT count(*) FROM taps").fetchone() == (0,)
    found = verify(rows.conn)
    assert (found.sound, found.taps, found.punches) == (True, 0, 0)


def test_erasing_on_request_is_told_from_change_and_leaves_nothing_to_guess_from(rows):
    """Badges go, the chain holds, the erased links say so; no digest of the badge is left, nor the salt to try one."""
    people.assign_badge(rows.conn, "04A1", "7", T0 - 10)
    for number in range(3):
        rows.delivered(T0 + number)
    claimed = rows.tap(T0 + 50, badge="04A1", result=TapResult.UNKNOWN_BADGE)
    queue.claim_tap(rows.conn, claimed, rows.punch(T0 + 50, tap_id=claimed).id)
    rows.conn.execute(
        "UPDATE taps SET punch_id = (SELECT id FROM punches WHERE tap_id = taps.id) WHERE punch_id IS NULL"
    )
    old = {bytes(salt) for (salt,) in rows.conn.execute("SELECT salt FROM chain WHERE salt IS NOT NULL")}
    rows.conn.execute("BEGIN")
    erasure.erase(rows.conn, erasure.begin(rows.conn, "7", T0 + 99), T0 + 99)
    rows.conn.execute("COMMIT")
    found = verify(rows.conn)
    assert found.sound
    assert (found.punches, found.taps) == (4, 1)
    whys = {why for (why,) in rows.conn.execute("SELECT why FROM chain WHERE gone IS NULL AND kind <> 'origin'")}
    assert whys == {"erased"}
    left = {bytes(salt) for (salt,) in rows.conn.execute("SELECT salt FROM chain WHERE salt IS NOT NULL")}
    assert not left & old
    silently(rows.conn, "UPDATE punches SET badge = '04A1' WHERE id = 'p2'")
    assert told(verify(rows.conn)) == [("changed", "punch", "p2")]


def test_what_an_older_version_stored_is_linked_in_steps(many):
    """Cut off between two steps it goes on where it was; then all of it verifies as adopted."""
    silently(many.conn, "UPDATE punches SET link = NULL")
    silently(many.conn, "UPDATE taps SET link = NULL")
    silently(many.conn, "DELETE FROM chain WHERE id > 1")
    put_setting(many.conn, "chain.adopted", "0")
    steps = 0
    while is_adopting(many.conn):
        adopt_step(many.conn, limit=3)
        steps += 1
    assert steps == 4
    found = verify(many.conn)
    assert (found.sound, found.punches, found.taps, found.adopted) == (True, 8, 2, 10)


@pytest.mark.parametrize("page", [1, 2, 500])
def test_unfinished_punches_are_checked_alone(many, monkeypatch, page):
    """What is still to be delivered is held against its link without a walk through everything: all of it, however many
    are read at a time."""
    monkeypatch.setattr("daemon.queue.verify.PAGE", page)
    assert altered_unfinished(many.conn) == []
    silently(many.conn, "UPDATE punches SET raw_at = 0 WHERE id IN ('p1', 'p6', 'p8')")
    assert altered_unfinished(many.conn) == ["p6", "p8"]
