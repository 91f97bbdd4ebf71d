"""The words of the domain as types: employees, badges, punches and the states they go through.

Instants end in `_at` and are Unix seconds (float inside, floored to whole seconds on the way out); durations
end in `_s`. All ids and badges are strings.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass


class Direction(enum.StrEnum):
    """Which way a punch goes."""

    CLOCK_IN = "clock_in"
    CLOCK_OUT = "clock_out"

    @property
    def other(self) -> Direction:
        """The opposite direction."""
        return Direction.CLOCK_OUT if self is Direction.CLOCK_IN else Direction.CLOCK_IN


class PunchState(enum.StrEnum):
    """How far the delivery of a punch has come (contract, "States of a punch")."""

    PENDING = "pending"
    HELD = "held"
    IN_FLIGHT = "in_flight"
    DELIVERED = "delivered"
    REVIEW = "review"
    DISCARDED = "discarded"

    @property
    def finished(self) -> bool:
        """Whether nothing will ever be sent for this punch again."""
        return self in (PunchState.DELIVERED, PunchState.DISCARDED)


class Source(enum.StrEnum):
    """Where a punch came from."""

    TAP = "tap"
    DECISION = "decision"


class RecordedAs(enum.StrEnum):
    """What a delivered punch became on the timesheet."""

    CLOCK_IN = "clock_in"
    CLOCK_OUT = "clock_out"
    TIME_ACTIVITY = "time_activity"
    SHIFT_UPDATE = "shift_update"


class ReaderDirection(enum.StrEnum):
    """How a reader decides the direction of its taps."""

    TOGGLE = "toggle"
    CLOCK_IN = "clock_in"
    CLOCK_OUT = "clock_out"

    @property
    def fixed(self) -> Direction | None:
        """The direction this reader imposes, None on `toggle`."""
        return None if self is ReaderDirection.TOGGLE else Direction(self.value)


class BadgeState(enum.StrEnum):
    """What a badge in the directory is."""

    ASSIGNED = "assigned"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True)
class Employee:
    """One person of the directory. `removed_at` is set when removed; their punches still go."""

    user_id: str
    name: str
    job_id: str | None = None
    max_shift_s: int | None = None
    badges: tuple[str, ...] = ()
    removed_at: float | None = None


@dataclass(frozen=True, slots=True)
class Badge:
    """One badge the directory knows: assigned to an employee, or blocked (then `user_id` is its last owner)."""

    badge: str
    state: BadgeState
    user_id: str | None
    name: str | None
    since: float


@dataclass(frozen=True, slots=True)
class UnknownBadge:
    """A badge nobody owns, and the taps kept for it. Times are best known, Unix seconds."""

    badge: str
    taps: int
    first_at: float
    last_at: float
    reader: str


@dataclass(frozen=True, slots=True)
class Punch:
    """One accepted tap, with how far its delivery has come.

    `occurred_at` is the best known time, `raw_at` what the wall clock said. `time_known` is False while
    neither this boot's clock nor a person has settled the time. `order` places it in its lane.
    """

    id: str
    seq: int
    user_id: str
    name: str
    direction: Direction | None
    occurred_at: float
    raw_at: float
    time_error_s: float | None
    time_known: bool
    boot_id: str
    boottime_s: float
    synchronised: bool
    reader: str | None
    badge: str | None
    source: Source
    job_id: str | None
    state: PunchState
    reason: str | None
    detail: str | None
    attempts: int
    remote_id: str | None
    recorded_as: RecordedAs | None

    @property
    def second(self) -> int:
        """The whole second that goes to a timesheet: floored."""
        return math.floor(self.occurred_at)


class TapResult(enum.StrEnum):
    """What became of a tap (contract, "A `tap` answers")."""

    ACCEPTED = "accepted"
    REPEAT = "repeat"
    UNKNOWN_BADGE = "unknown_badge"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class TapAnswer:
    """The answer to one tap. `reason` is a code of daemon/reasons.py, or None when accepted."""

    result: TapResult
    reason: str | None = None
    punch: Punch | None = None
    enrolled: bool = False
