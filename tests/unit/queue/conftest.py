"""A real database file for every test of what stands on it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from daemon.queue.opening import open_file
from tests.support.rows import Rows


@pytest.fixture
def conn(tmp_path) -> Iterator[sqlite3.Connection]:
    """An open database with nothing in it."""
    connection, _ = open_file(tmp_path / "punchd.db")
    # Nothing here asks what survives a power cut, and a sync a statement would cost more than the tests themselves.
    connection.execute("PRAGMA synchronous = OFF")
    yield connection
    connection.close()


@pytest.fixture
def rows(conn) -> Rows:
    """Rows on it, with one employee, 7."""
    made = Rows(conn)
    made.employee()
    return made
