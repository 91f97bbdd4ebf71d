"""Taps and punches: the only SQL about them. How far each has come is in deliveries.py.

Plain functions on an open connection, called inside `Database.write` or `Database.read`; they never commit. The
intake is the only caller of those that insert punches.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from daemon.model import Direction, Punch, PunchState, Source, TapResult
from drivers.reader import Evidence, Tap


@dataclass(frozen=True, slots=True)
class NewPunch:
    """What a punch is made of. `evidence` is of the moment it stands for (moved back when that was stated)."""

    id: str
    tap_id: int | None
    user_id: str
    direction: Direction | None
    occurred_at: float
    time_error_s: float | None
    time_known: bool
    raw_at: float
    evidence: Evidence
    reader: str | None
    badge: str | None
    source: Source
    job_id: str | None
    state: PunchState = PunchState.PENDING
    reason: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class StoredTap:
    """A tap as it was stored."""

    id: int
    reader: str
    badge: str
    raw_at: float
    evidence: Evidence
    stated_at: float | None
    result: TapResult
    punch_id: str | None


def insert_tap(conn: sqlite3.Connection, tap: Tap, result: TapResult, reason: str | None, punch_id: str | None) -> int:
    """Store a tap and what became of it; its id."""
    raise NotImplementedError


def insert_punch(conn: sqlite3.Connection, new: NewPunch, at: float) -> Punch:
    """Store a punch and its delivery row. `order_at` is its time, or just after the person's last where that is later and
    the time is not known."""
    raise NotImplementedError


def find_punch(conn: sqlite3.Connection, punch_id: str) -> Punch | None:
    """One punch by id."""
    raise NotImplementedError


def last_punch(conn: sqlite3.Connection, user_id: str) -> Punch | None:
    """The person's last punch in lane order that is not discarded."""
    raise NotImplementedError


def list_punches(
    conn: sqlite3.Connection,
    *,
    states: Sequence[PunchState] = (),
    user_id: str | None = None,
    since: float | None = None,
    until: float | None = None,
    limit: int | None = None,
) -> list[Punch]:
    """Punches, oldest first by occurred_at; the oldest `limit` of them."""
    raise NotImplementedError


def unsettled_punches(conn: sqlite3.Connection) -> list[Punch]:
    """All punches whose time is not known or whose direction is null, by person and lane order."""
    raise NotImplementedError


def settle_time(conn: sqlite3.Connection, punch_id: str, occurred_at: float, error_s: float | None) -> None:
    """Fill in a time that was not known; the lane order follows it."""
    raise NotImplementedError


def settle_direction(conn: sqlite3.Connection, punch_id: str, direction: Direction) -> None:
    """Fill in a direction that was null."""
    raise NotImplementedError


def unclaimed_taps(conn: sqlite3.Connection, badge: str | None = None) -> list[StoredTap]:
    """Taps of unknown badges that became no punch (of one badge, or all), in the order they were stored."""
    raise NotImplementedError


def claim_tap(conn: sqlite3.Connection, tap_id: int, punch_id: str) -> None:
    """Note which punch an unknown badge's tap became (a repeat names the punch it repeats)."""
    raise NotImplementedError
