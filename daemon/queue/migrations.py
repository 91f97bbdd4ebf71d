"""The schema and its steps: schema/NNNN_name.sql, numbered from 0001 without a gap; `user_version` counts them.

Each step is one transaction together with its number, so a power cut leaves the database at one version or the next.
A released step is never edited.
"""

from __future__ import annotations

import importlib.resources
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache

from daemon.queue.chain import as_it_stands

_FILE_NAME = re.compile(r"(\d{4})_\w+\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One step: after it the database has version `number`."""

    number: int
    name: str
    sql: str


@cache
def migrations() -> tuple[Migration, ...]:
    """All steps this version of punchd knows, in order."""
    found = []
    for file in (importlib.resources.files("daemon.queue") / "schema").iterdir():
        match = _FILE_NAME.fullmatch(file.name)
        if match:
            found.append(Migration(int(match[1]), file.name, file.read_text("utf-8")))
    found.sort(key=lambda step: step.number)
    assert found, "the package lacks its schema files"
    assert [step.number for step in found] == list(range(1, len(found) + 1)), "the schema files have a gap"
    return tuple(found)


@cache
def _schema() -> dict[tuple[str, str, str], str | None]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as conn:
        migrate(conn, migrations())
        return _words(conn)


def _words(conn: sqlite3.Connection) -> dict[tuple[str, str, str], str | None]:
    rows = conn.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema").fetchall()
    return {(kind, name, table): sql for kind, name, table, sql in rows}


def schema_findings(conn: sqlite3.Connection) -> list[str]:
    """What a migrated database says of its schema otherwise than the steps made it: SQLite believes every word."""
    with as_it_stands(conn):
        found = _words(conn)
    return [f"the {kind} {name} is not as it was made" for (kind, name, table), sql in _schema().items()
            if found.get((kind, name, table), "") != sql]  # fmt: skip


def schema_version(conn: sqlite3.Connection) -> int:
    """How many steps this database has had."""
    return int(conn.execute("PRAGMA user_version").fetchone()[0])


def migrate(conn: sqlite3.Connection, steps: Sequence[Migration]) -> None:
    """Apply the steps the database has not had. Raises sqlite3.Error; then it stands at the last whole step.

    `conn` is in autocommit mode with foreign keys off: a step may rebuild a table, and is checked as a whole instead.
    """
    for step in steps[schema_version(conn) :]:
        conn.execute("BEGIN IMMEDIATE")
        try:
            for statement in statements(step.sql):
                conn.execute(statement)
            broken = conn.execute("PRAGMA foreign_key_check").fetchall()
            if broken:
                raise sqlite3.IntegrityError(f"{step.name} leaves broken references: {broken[:3]}")
            conn.execute(f"PRAGMA user_version = {step.number:d}")
            conn.execute("COMMIT")
        except BaseException:
            if conn.in_transaction:
                conn.execute("ROLLBACK")
            raise


def statements(sql: str) -> Iterator[str]:
    """The single statements of a script. (sqlite3's own executescript would commit the transaction around them.)"""
    statement = ""
    for piece in re.split(r"(?<=;)", sql):
        statement += piece
        # True at a semicolon that ends a statement, not at one inside a string, a comment or a trigger's body.
        if sqlite3.complete_statement(statement):
            yield statement.strip()
            statement = ""
    code = re.sub(r"--[^\n]*|/\*.*?\*/", "", statement, flags=re.DOTALL)
    assert not code.strip(), f"a statement without its semicolon: {code.strip()[:60]}"
