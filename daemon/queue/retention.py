"""Pruning: what is delivered, and taps that became nothing, are deleted after a long time; never anything else.

The only SQL that deletes punches or taps. Each call looks at a few rows and says where to go on, so that no tap waits
long for it, however much there is. Plain functions on an open connection; they never commit.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final

from daemon.queue.chain import let_go
from daemon.queue.records import get_setting, put_setting

#: So many rows a call: some milliseconds on a small machine.
STEP_MAX: Final = 50
#: A delivered punch stays while one of the same person this near to it is unfinished: it may be the other end of its
#: shift (36 hours at most), and it shows a person in review what went before.
_NEAR_S = 3 * 86_400
#: A tap of a boot whose clock was never trusted has no age of its own; one of known age among so many taps after it
#: gives it one. (Without one it stays.)
_VOUCHING_MAX: Final = 1000

_PUNCHES = """
    SELECT p.occurred_at, p.seq, p.id, p.tap_id, d.state = 'delivered' AND NOT EXISTS (
        SELECT 1 FROM deliveries u INDEXED BY deliveries_unfinished CROSS JOIN punches q ON q.seq = u.punch_seq
        WHERE u.user_id = p.user_id AND u.state NOT IN ('delivered', 'discarded')
          AND u.state IN ('pending', 'held', 'in_flight', 'review')
          AND q.order_at BETWEEN p.order_at - :near AND p.order_at + :near)
    FROM punches p INDEXED BY punches_by_time CROSS JOIN deliveries d ON d.punch_seq = p.seq
    WHERE p.occurred_at < :before AND (p.occurred_at, p.seq) > (:at, :seq)
    ORDER BY p.occurred_at, p.seq LIMIT :limit"""
_DELETE_JOURNAL = "DELETE FROM journal WHERE punch_id = ?"
_DELETE_ATTEMPTS = "DELETE FROM attempts WHERE punch_seq = :seq OR pair_seq = :seq"
_DELETE_DELIVERY = "DELETE FROM deliveries WHERE punch_seq = ?"
_DELETE_PUNCH = "DELETE FROM punches WHERE seq = ?"
_DELETE_TAP = "DELETE FROM taps WHERE id = ?"

#: When each tap was stored, where its boot's clock was ever trusted, and whether a punch stands on it.
_TAPS = """
    SELECT t.id, t.boottime_s + b.trusted_offset_s, EXISTS (SELECT 1 FROM punches p WHERE p.id = t.punch_id)
    FROM taps t LEFT JOIN boots b ON b.boot_id = t.boot_id WHERE t.id > ? ORDER BY t.id LIMIT ?"""
_KNOWN_AFTER = """
    SELECT at FROM (
        SELECT t.boottime_s + b.trusted_offset_s AS at
        FROM taps t LEFT JOIN boots b ON b.boot_id = t.boot_id WHERE t.id > ? ORDER BY t.id LIMIT ?)
    WHERE at IS NOT NULL LIMIT 1"""
#: How many punches there are, about: costs two looks into an index, however many.
_ABOUT = "SELECT coalesce((SELECT max(seq) FROM punches) - (SELECT min(seq) FROM punches) + 1, 0)"
_STALE = "copy.stale"
#: The second copy is rewritten when a tenth of what it holds is gone: writing it daily would wear the medium out.
_STALE_PART = 10
_PERMIT = "INSERT INTO permits (what, tap_max) VALUES ('drop_unclaimed', ?)"
_NO_PERMIT = "DELETE FROM permits WHERE what = 'drop_unclaimed'"


@dataclass(frozen=True, slots=True)
class Place:
    """How far pruning has come: everything up to here was looked at."""

    at: float = -1e18  # before anything that ever happened
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one call deleted, and where the next one goes on; `then` is None when there is nothing older left."""

    deleted: int
    then: Place | None


def prune(
    conn: sqlite3.Connection,
    before: float,
    after: Place = Place(),
    limit: int = STEP_MAX,
) -> Pruned:
    """Look at the next `limit` punches that occurred before `before`, the oldest first; delete those delivered.

    Each goes with its tap, attempts and journal.
    """
    asked = {"before": before, "near": _NEAR_S, "at": after.at, "seq": after.seq, "limit": limit}
    rows = conn.execute(_PUNCHES, asked).fetchall()
    deleted = 0
    for _, seq, punch_id, tap_id, may_go in rows:
        if not may_go:
            continue
        conn.execute(_DELETE_JOURNAL, (punch_id,))
        conn.execute(_DELETE_ATTEMPTS, {"seq": seq})
        conn.execute(_DELETE_DELIVERY, (seq,))
        let_go(conn, "punch", seq, "pruned")
        conn.execute(_DELETE_PUNCH, (seq,))
        let_go(conn, "tap", tap_id, "pruned")
        conn.execute(_DELETE_TAP, (tap_id,))
        deleted += 1
    return Pruned(deleted, Place(rows[-1][0], rows[-1][1]) if len(rows) == limit else None)


def prune_taps(
    conn: sqlite3.Connection,
    before: float,
    after: Place = Place(),
    limit: int = STEP_MAX,
) -> Pruned:
    """Look at the next `limit` taps in the order they were stored; delete those stored before `before` on which no
    punch stands: repeats, refused ones, and unknown badges nobody claimed.

    When a tap was stored is known by its boot's trusted clock, never by what the wall clock said (a box without a
    clock chip may have said anything); otherwise it is older than every tap after it.
    """
    rows = conn.execute(_TAPS, (after.seq, limit)).fetchall()
    old = 0  # how many of these are surely old: all up to the last that is known to be
    for number, (_, stored_at, _) in enumerate(rows, 1):
        if stored_at is not None and stored_at >= before:
            return Pruned(_delete_taps(conn, rows[:old]), None)
        if stored_at is not None:
            old = number
    if len(rows) == limit and old < len(rows):
        vouching = conn.execute(_KNOWN_AFTER, (rows[-1][0], _VOUCHING_MAX)).fetchone()
        old = len(rows) if vouching is not None and vouching[0] < before else old
    then = Place(seq=rows[-1][0]) if len(rows) == limit else None
    return Pruned(_delete_taps(conn, rows[:old]), then)


def note_stale(conn: sqlite3.Connection, gone: int) -> bool:
    """Note that so many rows are gone which the second copy still holds; whether it is time to rewrite it."""
    stale = int(get_setting(conn, _STALE) or 0) + gone
    due = stale > 0 and stale * _STALE_PART >= conn.execute(_ABOUT).fetchone()[0]
    put_setting(conn, _STALE, None if due else str(stale))
    return bool(due)


def _delete_taps(conn: sqlite3.Connection, rows: list[tuple[int, float | None, int]]) -> int:
    gone = [tap_id for tap_id, _, punched in rows if not punched]
    if gone:
        conn.execute(_PERMIT, (gone[-1],))
        for tap_id in gone:
            let_go(conn, "tap", tap_id, "pruned")
        conn.executemany(_DELETE_TAP, [(tap_id,) for tap_id in gone])
        conn.execute(_NO_PERMIT)
    return len(gone)
