"""Reading what is intact in a damaged database: row by row, around pages that cannot be read. Changes not a byte.

A database that cannot be read for another reason than damage (another program holds it, its log cannot be opened) is no
wreck: that is raised (sqlite3.OperationalError), or what is sound would count as lost.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from daemon.queue import chain
from daemon.queue.opening import connect

#: What reading damage raises: SQLite's own words about it may be no text either.
BROKEN: Final = (sqlite3.Error, UnicodeDecodeError)
#: What says nothing of the database itself.
_PASSING: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM,
                             sqlite3.SQLITE_READONLY, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_FULL})  # fmt: skip
#: The same of its log's index, which is shared memory: no room for it, or no way to it.
_NO_INDEX: Final = frozenset({sqlite3.SQLITE_IOERR_SHMOPEN, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_SHMLOCK,
                              sqlite3.SQLITE_IOERR_SHMMAP})  # fmt: skip
#: Beyond every id there can be.
_FAR: Final = 1 << 40


class Wreck:
    """A database as far as it can be read. `unreadable` counts the places by table; `why` is "" where it opens."""

    def __init__(self, path: Path) -> None:
        self.unreadable: Counter[str] = Counter()
        self.why = ""
        self._conn: sqlite3.Connection | None = None
        wal = path.with_name(path.name + "-wal")
        try:
            if not path.exists() or path.stat().st_size == 0:
                self.why = "it is missing or empty"
                return
            logged = wal.exists() and wal.stat().st_size > 0
        except OSError as error:
            self.why = str(error.strerror)
            return
        for immutable in (False, True) if logged else (True,):
            conn = None
            try:
                conn = connect(path, read_only=True, immutable=immutable)
                conn.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
                conn.execute("SELECT count(*) FROM sqlite_schema").fetchall()
            except BROKEN as error:
                self.why = str(error)
                if conn is not None:
                    conn.close()
                _raise_passing(error)
                continue
            self.why, self._conn = "", conn
            return

    def close(self) -> None:
        """Let go of the files."""
        if self._conn is not None:
            self._conn.close()

    def one(self, statement: str, *values: object) -> tuple[Any, ...] | None:
        """One row, None where it is not there or cannot be read."""
        if self._conn is None:
            return None
        try:
            row: tuple[Any, ...] | None = self._conn.execute(statement, values).fetchone()
        except BROKEN as error:
            _raise_passing(error)
            return None
        return row

    def vouches(self, link: Any, facts: Sequence[Any]) -> bool:
        """Whether the chain's link says that a row is as it was stored."""
        row = self.one("SELECT salt, digest FROM chain WHERE id = ? AND gone IS NULL", link)
        return row is not None and row[0] is not None and bool(chain.digest(row[0], facts) == row[1])

    def numbered(self, table: str, key: str, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """The rows of a table that is kept in the order of a number; what cannot be read is skipped and counted."""
        chosen = self._columns(table, columns)
        if chosen is None or self._conn is None:
            return
        statement = f"SELECT {key}, {chosen} FROM {table} NOT INDEXED WHERE {key} > ? ORDER BY {key}"
        after: int | None = -1
        step = 1
        while after is not None:
            before = reached = after
            try:
                for row in self._conn.execute(statement, (after,)):
                    if row[0] > reached:
                        before, reached = reached, row[0]
                    yield row[1:]
                return
            except BROKEN as error:
                _raise_passing(error)
                self.unreadable[table] += 1
            # A damaged page may give the same numbers again and again, so it is gone on ever further; and the last one
            # of it may be any number, so that is not believed.
            step = 1 if before > after else 2 * step
            after = self._readable_after(f"{statement} LIMIT 1", max(before, after + step - 1))

    def _columns(self, table: str, columns: Sequence[str]) -> str | None:
        """The columns as they can be asked for: those an older version did not have yet are null."""
        if self._conn is None:
            return None
        try:
            there = {row[1] for row in self._conn.execute(f"PRAGMA table_info({table})")}
        except BROKEN as error:
            _raise_passing(error)
            there = set()
        if not there:
            self.unreadable[table] += 1
            return None
        return ", ".join(name if name in there else f"NULL AS {name}" for name in columns)

    def _readable_after(self, statement: str, after: int) -> int | None:
        """The smallest number behind which reading goes on; None where nothing more can be read."""
        step = 1
        while not self._reads(statement, after + step):
            if step > _FAR:
                return None
            step *= 2
        bad, good = after + step // 2, after + step
        while bad + 1 < good:
            middle = (bad + good) // 2
            bad, good = (bad, middle) if self._reads(statement, middle) else (middle, good)
        return good

    def _reads(self, statement: str, after: int) -> bool:
        assert self._conn is not None
        try:
            self._conn.execute(statement, (after,)).fetchall()
        except BROKEN as error:
            _raise_passing(error)
            return False
        return True

    def named(self, table: str, key: str, columns: Sequence[str]) -> list[tuple[Any, ...]]:
        """The rows of a small table without numbers, read from both ends where its middle cannot be."""
        found: dict[Any, tuple[Any, ...]] = {}
        chosen = self._columns(table, columns)
        if chosen is None or self._conn is None:
            return []
        for way in ("ASC", "DESC"):
            try:
                for row in self._conn.execute(f"SELECT {key}, {chosen} FROM {table} ORDER BY {key} {way}"):
                    found[row[0]] = row[1:]
                break
            except BROKEN as error:
                _raise_passing(error)
                if way == "DESC":
                    self.unreadable[table] += 1
        return list(found.values())


def _raise_passing(error: Exception) -> None:
    code = getattr(error, "sqlite_errorcode", 0)
    if code & 0xFF in _PASSING or code in _NO_INDEX:
        raise error


def is_ours(path: Path) -> bool:
    """Whether a file is a punchd database by what is in it, whatever its header says."""
    with suppress(*BROKEN):
        conn = connect(path, read_only=True, immutable=True)
        try:
            names = {name for (name,) in conn.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        finally:
            conn.close()
        return {"punches", "deliveries", "permits"} <= names
    return False
