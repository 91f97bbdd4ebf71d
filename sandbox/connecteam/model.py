"""The things on a Connecteam account: people, time clocks, jobs, shifts, breaks. Data only.

Instants are Unix seconds; user and time clock ids are integers, job ids UUID strings, activity ids 24 hex digits
(facts 1.7).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class User:
    """A person of the company. `clocks` are the time clocks they are assigned to."""

    id: int
    first_name: str
    last_name: str
    clocks: set[int]
    created_at: int
    modified_at: int
    kind: str = "user"  # user | manager | owner
    phone: str = ""
    email: str | None = None
    kiosk_code: str | None = None
    custom_fields: dict[str, str] = field(default_factory=dict)
    archived_at: int | None = None

    @property
    def name(self) -> str:
        """First and last name."""
        return f"{self.first_name} {self.last_name}".strip()


@dataclass(slots=True)
class Job:
    """A job, or a sub-job when `parent_id` is set."""

    id: str
    title: str
    clocks: set[int]
    parent_id: str | None = None
    code: str = ""
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Geofence:
    """A circle that punches must come from."""

    latitude: float
    longitude: float
    radius_m: float


@dataclass(slots=True)
class TimeClock:
    """A time clock and its settings. `timezone` is an IANA name."""

    id: int
    name: str
    timezone: str
    archived: bool = False
    job_required: bool = False
    breaks: bool = True
    geofence: Geofence | None = None
    auto_clock_out_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class TimePoint:
    """A start or an end. `source` is one of autoClockOut, nfc, mobile, pc, kiosk, api, admin (facts 1.5)."""

    at: int
    timezone: str
    source: str
    mode: str | None = None
    location: dict[str, Any] | None = None


@dataclass(slots=True)
class Shift:
    """One shift, open while it has no end.

    `written_at` and `end_written_at` say when the service came to know; lists may show it only later (U10).
    """

    id: str
    user_id: int
    clock_id: int
    start: TimePoint
    created_at: int
    modified_at: int
    written_at: float
    end: TimePoint | None = None
    end_written_at: float = 0.0
    job_id: str | None = None
    sub_job_id: str | None = None
    employee_note: str | None = None
    manager_note: str | None = None
    scheduler_shift_id: str | None = None
    auto_ended: bool = False

    def touches(self, start: int, end: int | None) -> bool:
        """Whether it shares any second with [start, end); None stands for a time without end."""
        return (self.end is None or start < self.end.at) and (end is None or self.start.at < end)


@dataclass(slots=True)
class Break:
    """One manual break, open while it has no end."""

    id: str
    user_id: int
    clock_id: int
    kind_id: str
    start: TimePoint
    end: TimePoint | None = None


@dataclass(frozen=True, slots=True)
class BreakKind:
    """A kind of manual break that people may take (facts 1.6)."""

    id: str
    name: str
    paid: bool
    minutes: int
