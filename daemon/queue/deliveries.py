"""How far each punch has come: states, lanes, attempts, counts and history. The only SQL about them.

Plain functions on an open connection, called inside `Database.write` or `Database.read`; they never commit.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from daemon.model import Punch, PunchState, RecordedAs


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request that may write, journalled before it left. `ended_at` is None while its answer is not known."""

    id: int
    kind: str
    step: dict[str, Any]
    sent_at: float
    ended_at: float | None
    outcome: str | None
    status: int | None
    request_id: str | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class LanePunch:
    """A punch in its lane, with its last attempt."""

    punch: Punch
    attempt: Attempt | None


def unfinished_lanes(conn: sqlite3.Connection) -> list[str]:
    """user_ids of all people with a punch that is neither delivered nor discarded."""
    raise NotImplementedError


def load_lane(conn: sqlite3.Connection, user_id: str) -> list[LanePunch]:
    """The person's unfinished punches, and of the others those right before and right after each, in lane order.

    Discarded punches are left out, as if they were not there.
    """
    raise NotImplementedError


def set_state(
    conn: sqlite3.Connection,
    punch_id: str,
    state: PunchState,
    *,
    at: float,
    by: str = "automatic",
    reason: str | None = None,
    detail: str | None = None,
    remote_id: str | None = None,
    recorded_as: RecordedAs | None = None,
) -> None:
    """Move a punch to a state and journal the transition (`punch.STATE`, with reason and detail). None clears reason and
    detail; remote_id and recorded_as are kept where None. A punch that is delivered never leaves that state."""
    raise NotImplementedError


def begin_attempt(
    conn: sqlite3.Connection, kind: str, step: dict[str, Any], punch_ids: Sequence[str], sent_at: float
) -> int:
    """Journal a request before it leaves: one punch, or the clock-in and clock-out of a pair; they become `in_flight`."""
    raise NotImplementedError


def end_attempt(
    conn: sqlite3.Connection,
    attempt_id: int,
    outcome: str,
    *,
    at: float,
    status: int | None = None,
    request_id: str | None = None,
    detail: str | None = None,
) -> None:
    """Write down what became of an attempt."""
    raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Counts:
    """How many punches stand where."""

    pending: int
    held: int
    in_flight: int
    review: int
    oldest_pending_at: float | None


def counts(conn: sqlite3.Connection) -> Counts:
    """Count unfinished punches by state; costs what is unfinished, not what is stored."""
    raise NotImplementedError


@dataclass(frozen=True, slots=True)
class History:
    """Everything that happened to one punch."""

    attempts: tuple[Attempt, ...]
    journal: tuple[dict[str, Any], ...]  # {"at", "by", "action", "data"}


def history(conn: sqlite3.Connection, punch_id: str) -> History:
    """All attempts and journal lines of one punch, oldest first."""
    raise NotImplementedError
