"""Pruning: delivered punches are deleted after a long time, never anything else. The only SQL that deletes punches."""

from __future__ import annotations

import sqlite3

#: A delivered punch stays while one of the same person this near to it is unfinished: it may be the other end of its
#: shift (36 hours at most), and it shows a person in review what went before.
_NEAR_S = 3 * 86_400

_TO_PRUNE = """
    SELECT p.seq, p.id, p.tap_id FROM punches p INDEXED BY punches_by_time
    CROSS JOIN deliveries d ON d.punch_seq = p.seq
    WHERE p.occurred_at < :before AND d.state = 'delivered' AND NOT EXISTS (
        SELECT 1 FROM deliveries u INDEXED BY deliveries_unfinished CROSS JOIN punches q ON q.seq = u.punch_seq
        WHERE u.user_id = p.user_id AND u.state NOT IN ('delivered', 'discarded')
          AND q.order_at BETWEEN p.order_at - :near AND p.order_at + :near)
    ORDER BY p.occurred_at, p.seq LIMIT :limit"""
_DELETE_JOURNAL = "DELETE FROM journal WHERE punch_id = ?"
_DELETE_ATTEMPTS = "DELETE FROM attempts WHERE punch_seq = :seq OR pair_seq = :seq"
_DELETE_DELIVERY = "DELETE FROM deliveries WHERE punch_seq = ?"
_DELETE_PUNCH = "DELETE FROM punches WHERE seq = ?"
_DELETE_TAP = "DELETE FROM taps WHERE id = ?"


def prune(conn: sqlite3.Connection, before: float, limit: int = 200) -> int:
    """Delete the oldest delivered punches that occurred before `before`, each with its tap, attempts and journal.

    At most `limit`, so that no tap waits long for this transaction; how many. Call it again until it says 0.
    """
    found = conn.execute(_TO_PRUNE, {"before": before, "near": _NEAR_S, "limit": limit}).fetchall()
    for seq, punch_id, tap_id in found:
        conn.execute(_DELETE_JOURNAL, (punch_id,))
        conn.execute(_DELETE_ATTEMPTS, {"seq": seq})
        conn.execute(_DELETE_DELIVERY, (seq,))
        conn.execute(_DELETE_PUNCH, (seq,))
        conn.execute(_DELETE_TAP, (tap_id,))
    return len(found)
