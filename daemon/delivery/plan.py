"""What the planner answers with. Frozen data."""

from __future__ import annotations

from dataclasses import dataclass

from daemon.model import PunchState, RecordedAs
from daemon.timesheets.timesheet import ShiftRecord, Write


@dataclass(frozen=True, slots=True)
class Verdict:
    """A punch's state changes without a request.

    `attempt_outcome` is set when this also settles the punch's open attempt (what a look-up showed of it). `record` is
    the timesheet's record that the verdict rests on, for the journal.
    """

    punch_id: str
    state: PunchState
    reason: str | None = None
    detail: str | None = None
    remote_id: str | None = None
    recorded_as: RecordedAs | None = None
    attempt_id: int | None = None
    attempt_outcome: str | None = None
    record: ShiftRecord | None = None


@dataclass(frozen=True, slots=True)
class Send:
    """One request that may write, for one punch or for the two of a pair (clock-in first).

    Not `alone` means that it may share a request with those of other people.
    """

    step: Write
    punch_ids: tuple[str, ...]
    alone: bool = True


@dataclass(frozen=True, slots=True)
class Read:
    """This lane cannot go on before a read that covers [since, until]."""

    since: int
    until: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What one lane wants: verdicts at once, then at most one request.

    `expired` says that the request is for what cannot expire again; `due` is the time of the punch it is for (oldest
    first). `wake_at` is when the plan may change although nothing happens, by our best time.
    """

    verdicts: tuple[Verdict, ...] = ()
    request: Send | Read | None = None
    expired: bool = False
    due: float = 0.0
    wake_at: float | None = None
