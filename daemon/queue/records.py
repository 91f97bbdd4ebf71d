"""The journal of who did what, settings that survive restarts, and boots: the only SQL about them."""

from __future__ import annotations

import sqlite3
from typing import Any

from daemon.clock import Trust
from drivers.reader import Evidence


def journal(
    conn: sqlite3.Connection, at: float, by: str, action: str, punch_id: str | None = None, data: dict[str, Any] | None = None
) -> None:
    """Write one line of the journal."""
    raise NotImplementedError


def get_setting(conn: sqlite3.Connection, key: str) -> str | None:
    """A stored setting."""
    raise NotImplementedError


def put_setting(conn: sqlite3.Connection, key: str, value: str | None) -> None:
    """Store a setting; None removes it."""
    raise NotImplementedError


def note_boot(conn: sqlite3.Connection, seen: Evidence) -> None:
    """Remember a boot when it is first seen."""
    raise NotImplementedError


def put_trust(conn: sqlite3.Connection, trust: Trust) -> None:
    """Remember that a boot's clock is trusted."""
    raise NotImplementedError


def list_trusts(conn: sqlite3.Connection) -> list[Trust]:
    """The trust of every boot that has one."""
    raise NotImplementedError
