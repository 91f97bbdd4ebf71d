"""Employees and badges: the only SQL about them. Plain functions on an open connection; they never commit."""

from __future__ import annotations

import sqlite3
from daemon.model import Badge, Employee


def find_employee(conn: sqlite3.Connection, user_id: str) -> Employee | None:
    """One employee, also a removed one."""
    raise NotImplementedError


def list_employees(conn: sqlite3.Connection, *, removed: bool = False) -> list[Employee]:
    """All employees by name, with their badges; removed ones only when asked for."""
    raise NotImplementedError


def put_employee(conn: sqlite3.Connection, user_id: str, name: str, job_id: str | None, max_shift_s: int | None = None) -> None:
    """Add an employee, bring a removed one back, or change name and job (max_shift_s is kept where None)."""
    raise NotImplementedError


def remove_employee(conn: sqlite3.Connection, user_id: str, at: float) -> None:
    """Mark as removed and release all badges."""
    raise NotImplementedError


def badge_owner(conn: sqlite3.Connection, badge: str) -> tuple[Badge | None, Employee | None]:
    """What a badge is and who has it; (None, None) when unknown or released."""
    raise NotImplementedError


def released_at(conn: sqlite3.Connection, badge: str) -> float | None:
    """When this badge was last released, None if never."""
    raise NotImplementedError


def assign_badge(conn: sqlite3.Connection, badge: str, user_id: str, at: float) -> None:
    """Give a badge to an employee."""
    raise NotImplementedError


def block_badge(conn: sqlite3.Connection, badge: str, at: float) -> None:
    """Block a badge, known or not."""
    raise NotImplementedError


def release_badge(conn: sqlite3.Connection, badge: str, at: float) -> bool:
    """Free a badge; False when it was neither assigned nor blocked."""
    raise NotImplementedError


def list_badges(conn: sqlite3.Connection) -> list[Badge]:
    """All assigned and blocked badges."""
    raise NotImplementedError
