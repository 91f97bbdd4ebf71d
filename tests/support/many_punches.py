"""A database with very many punches, written faster than people tap: for what must not depend on how many there are."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from daemon.queue.chain import link_all
from daemon.queue.opening import mark_clean, open_file

PEOPLE = 50


def fill(path: Path, count: int, state: Callable[[int], str] = lambda number: "delivered") -> None:
    """Create a database at `path` with `count` punches, one a second from 1,000,000,000 on, PEOPLE people in turn."""
    conn, _ = open_file(path)
    with closing(conn):
        conn.execute("PRAGMA synchronous = OFF")
        conn.execute("BEGIN")
        insert(conn, count, state)
        conn.execute("COMMIT")
        mark_clean(conn)


def insert(conn: sqlite3.Connection, count: int, state: Callable[[int], str]) -> None:
    """The same, into an open transaction."""
    for person in range(PEOPLE):
        conn.execute("INSERT OR IGNORE INTO employees (user_id, name) VALUES (?, ?)", (f"{person}", f"Person {person}"))
    conn.executemany(
        "INSERT INTO punches (id, tap_id, user_id, direction, occurred_at, raw_at, time_error_s, time_known, order_at,"
        " boot_id, boottime_s, synchronised, reader, badge, source, job_id)"
        " VALUES (?1, NULL, ?2, 'clock_in', ?3, ?3, 0.5, 1, ?3, 'boot', ?3, 1, 'front', '04A2B3C4', 'decision', NULL)",
        ((f"P{number:07}", f"{number % PEOPLE}", 1_000_000_000 + number) for number in range(count)),
    )
    conn.executemany(
        "INSERT INTO deliveries (punch_seq, user_id, order_at, state, recorded_as, changed_at)"
        " SELECT seq, user_id, order_at, ?2, 'clock_in', 0 FROM punches WHERE id = ?1",
        ((f"P{number:07}", state(number)) for number in range(count)),
    )
    link_all(conn, "adopted")
