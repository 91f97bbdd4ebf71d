"""Changing a database as damage would: past its triggers and its checks, which are there again afterwards."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path


@contextmanager
def unguarded(conn: sqlite3.Connection) -> Iterator[None]:
    """Inside the block no trigger is asked, and no check of a column."""
    triggers = conn.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        conn.execute(f"DROP TRIGGER {name}")
    conn.execute("PRAGMA ignore_check_constraints = ON")
    yield
    conn.execute("PRAGMA ignore_check_constraints = OFF")
    for _, sql in triggers:
        conn.execute(sql)


def behind_its_back(path: Path, *statements: str) -> None:
    """Change what no statement of punchd could, in a database that nobody has open."""
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        with unguarded(conn):
            for statement in statements:
                conn.execute(statement)
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
