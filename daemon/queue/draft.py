"""The new database that a salvage fills: only what makes sense to its schema goes in."""

from __future__ import annotations

import sqlite3
from typing import Any

from daemon.queue.salvaged import Salvage


class Draft:
    """One open transaction on it; its triggers are away meanwhile, its references unchecked."""

    def __init__(self, conn: sqlite3.Connection, report: Salvage) -> None:
        self.conn, self._report = conn, report

    def insert(self, table: str, columns: Any, values: Any, *, replace: bool = False, count: bool = True) -> bool:
        """Insert a row where it makes sense to the schema; what is there already stays, unless it is to be replaced.

        Whether it was inserted; what was not counts as refused in the report, unless `count` is False.
        """
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        before = self.conn.total_changes
        try:
            self.conn.execute(f"INSERT OR {'REPLACE' if replace else 'IGNORE'} INTO {table} ({names}) "
                              f"VALUES ({marks})", list(values))  # fmt: skip
        except (sqlite3.Error, UnicodeError, OverflowError):
            done = False
        else:
            done = self.conn.total_changes > before
        self._report.rows_refused += not done and count
        return done

    def count(self, statement: str) -> int:
        """The number that a statement gives."""
        return int(self.conn.execute(statement).fetchone()[0])


def is_text(values: tuple[Any, ...]) -> bool:
    """Whether what should be text still is."""
    try:
        return bool("".join(value for value in values if isinstance(value, str)).encode())
    except UnicodeEncodeError:
        return False
