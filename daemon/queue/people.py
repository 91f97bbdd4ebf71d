"""Employees and badges: the only SQL about them. Plain functions on an open connection; they never commit."""

from __future__ import annotations

import sqlite3
from typing import Any

from daemon.model import Badge, BadgeState, Employee

_BADGES_OF = "SELECT badge FROM badges WHERE user_id = ? AND state = 'assigned' ORDER BY since, badge"
_EMPLOYEE = "SELECT user_id, name, job_id, max_shift_s, removed_at FROM employees WHERE user_id = ?"
_EMPLOYEES = """
    SELECT user_id, name, job_id, max_shift_s, removed_at FROM employees
    WHERE removed_at IS NULL OR ? ORDER BY name COLLATE NOCASE, user_id"""
_ALL_OWNED = "SELECT user_id, badge FROM badges WHERE state = 'assigned' ORDER BY user_id, since, badge"
_PUT_EMPLOYEE = """
    INSERT INTO employees (user_id, name, job_id, max_shift_s) VALUES (?, ?, ?, ?)
    ON CONFLICT (user_id) DO UPDATE SET name = excluded.name, job_id = excluded.job_id,
        max_shift_s = coalesce(excluded.max_shift_s, max_shift_s), removed_at = NULL"""
_REMOVE_EMPLOYEE = "UPDATE employees SET removed_at = ? WHERE user_id = ? AND removed_at IS NULL"
_RELEASE_ALL = """
    UPDATE badges SET state = 'released', since = :at, released_at = :at WHERE user_id = :user AND state = 'assigned'"""
_BADGE = "SELECT badge, state, user_id, since, released_at FROM badges WHERE badge = ?"
_LIST_BADGES = """
    SELECT b.badge, b.state, b.user_id, e.name, b.since FROM badges b LEFT JOIN employees e ON e.user_id = b.user_id
    WHERE b.state <> 'released' ORDER BY b.badge"""
_PUT_BADGE = """
    INSERT INTO badges (badge, state, user_id, since, released_at) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (badge) DO UPDATE SET state = excluded.state, user_id = excluded.user_id, since = excluded.since,
        released_at = excluded.released_at"""


def find_employee(conn: sqlite3.Connection, user_id: str) -> Employee | None:
    """One employee, also a removed one."""
    row = conn.execute(_EMPLOYEE, (user_id,)).fetchone()
    if row is None:
        return None
    return _employee(row, tuple(badge for (badge,) in conn.execute(_BADGES_OF, (user_id,))))


def list_employees(conn: sqlite3.Connection, *, removed: bool = False) -> list[Employee]:
    """All employees by name, with their badges; removed ones only when asked for."""
    owned: dict[str, list[str]] = {}
    for user_id, badge in conn.execute(_ALL_OWNED):
        owned.setdefault(user_id, []).append(badge)
    return [_employee(row, tuple(owned.get(row[0], ()))) for row in conn.execute(_EMPLOYEES, (removed,))]


def _employee(row: tuple[Any, ...], badges: tuple[str, ...]) -> Employee:
    user_id, name, job_id, max_shift_s, removed_at = row
    return Employee(user_id, name, job_id, max_shift_s, badges, removed_at)


def put_employee(
    conn: sqlite3.Connection, user_id: str, name: str, job_id: str | None, max_shift_s: int | None = None
) -> None:
    """Add an employee, bring a removed one back, or change name and job (max_shift_s is kept where None)."""
    conn.execute(_PUT_EMPLOYEE, (user_id, name, job_id, max_shift_s))


def remove_employee(conn: sqlite3.Connection, user_id: str, at: float) -> None:
    """Mark as removed and release all badges."""
    conn.execute(_REMOVE_EMPLOYEE, (at, user_id))
    conn.execute(_RELEASE_ALL, {"at": at, "user": user_id})


def badge_owner(conn: sqlite3.Connection, badge: str) -> tuple[Badge | None, Employee | None]:
    """What a badge is and who has it; (None, None) when unknown or released. Of a blocked one: its last owner."""
    row = conn.execute(_BADGE, (badge,)).fetchone()
    if row is None or row[1] == "released":
        return None, None
    _, state, user_id, since, _ = row
    owner = None if user_id is None else find_employee(conn, user_id)
    return Badge(badge, BadgeState(state), user_id, owner.name if owner else None, since), owner


def released_at(conn: sqlite3.Connection, badge: str) -> float | None:
    """When this badge was last released, None if never."""
    row = conn.execute(_BADGE, (badge,)).fetchone()
    return None if row is None else row[4]


def freed_from(conn: sqlite3.Connection, badge: str) -> str | None:
    """Whose a released badge was last (user_id), None where it is not released."""
    row = conn.execute(_BADGE, (badge,)).fetchone()
    return str(row[2]) if row is not None and row[1] == "released" and row[2] is not None else None


def assign_badge(conn: sqlite3.Connection, badge: str, user_id: str, at: float) -> None:
    """Give a badge to an employee. Taking it from another is a release: taps before `at` are not the new owner's."""
    row = conn.execute(_BADGE, (badge,)).fetchone()
    _, state, owner, _, released = row or (badge, None, None, None, None)
    if state == "assigned" and owner == user_id:
        return
    conn.execute(_PUT_BADGE, (badge, "assigned", user_id, at, at if state == "assigned" else released))


def block_badge(conn: sqlite3.Connection, badge: str, at: float) -> None:
    """Block a badge, known or not."""
    row = conn.execute(_BADGE, (badge,)).fetchone()
    _, state, owner, _, released = row or (badge, None, None, None, None)
    if state != "blocked":
        conn.execute(_PUT_BADGE, (badge, "blocked", owner, at, released))


def release_badge(conn: sqlite3.Connection, badge: str, at: float) -> bool:
    """Free a badge; False when it was neither assigned nor blocked."""
    row = conn.execute(_BADGE, (badge,)).fetchone()
    if row is None or row[1] == "released":
        return False
    conn.execute(_PUT_BADGE, (badge, "released", row[2], at, at))
    return True


def list_badges(conn: sqlite3.Connection) -> list[Badge]:
    """All assigned and blocked badges."""
    return [
        Badge(badge, BadgeState(state), user_id, name, since)
        for badge, state, user_id, name, since in conn.execute(_LIST_BADGES)
    ]
