"""The seam between delivery and the services punches go to, owned by delivery.

Delivery plans in shifts and hands a *step* to a timesheet; the timesheet answers with a `Reply` that holds an
*outcome*. Expected outcomes are values; a timesheet raises only for a programmer's error. Nothing outside a
service's own folder knows its URLs or field names. Every implementation passes tests/contract/test_timesheets.py.
Instants are Unix seconds; those that stand on a timesheet are whole seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol

# --- what a service can do ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a service offers (delivery.md, "One seam, three services").

    `live`: a shift can be opened now and closed later. `lookback_s`: how far back live requests reach, None for
    without limit. `close_late`: an open shift can be given an end by an update.
    """

    live: bool
    lookback_s: int | None
    close_late: bool


# --- steps: what delivery wants done --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenShift:
    """Open a live shift at `at`: a clock-in."""

    user_id: str
    at: int
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class EndShift:
    """End the person's open shift live at `at`: a clock-out. `shift_id` is the one that must be closed by it."""

    user_id: str
    at: int
    shift_id: str


@dataclass(frozen=True, slots=True)
class RecordShift:
    """Record a completed shift. `reference` is our mark in the record, unique to this pair of punches."""

    user_id: str
    start: int
    end: int
    reference: str
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class RecordShifts:
    """Record completed shifts of several people in one request, at most BATCH_PEOPLE_MAX and one a person.

    The answer proves nothing of the single shifts: each is settled by itself from a read-back.
    """

    shifts: tuple[RecordShift, ...]


@dataclass(frozen=True, slots=True)
class CloseShift:
    """Give an open shift of the past its end, by an update of the record.

    `reference` is our mark in it, None where somebody's note stands there already: that one is left alone.
    """

    user_id: str
    shift_id: str
    end: int
    reference: str | None


@dataclass(frozen=True, slots=True)
class LookUp:
    """Read which shifts of these people touch [since, until]. All lanes that wait for a read share one."""

    user_ids: tuple[str, ...]
    since: int
    until: int


@dataclass(frozen=True, slots=True)
class Probe:
    """One cheap read that proves the key and brings the server's date (`GET /me`)."""


@dataclass(frozen=True, slots=True)
class ReadPeople:
    """Read one page of the company's people, archived ones included.

    One request: the first page has `offset` 0, each later one the `next_offset` of the answer before it.
    """

    offset: int = 0


@dataclass(frozen=True, slots=True)
class CheckAssigned:
    """Ask whether one person may punch on this time clock. One request a person: ask where it matters."""

    user_id: str


@dataclass(frozen=True, slots=True)
class CheckLocks:
    """Ask which of these people's days in [since, until] are locked, at most LOCKS_SPAN_MAX_S apart."""

    user_ids: tuple[str, ...]
    since: int
    until: int


Write = OpenShift | EndShift | RecordShift | CloseShift
Query = LookUp | Probe | ReadPeople | CheckAssigned | CheckLocks
Step = Write | RecordShifts | Query

#: People in one `RecordShifts` (facts 1.5: at most 100 users a call).
BATCH_PEOPLE_MAX = 100
#: The widest `CheckLocks` (facts 1.8: 45 days, less the days around for zones).
LOCKS_SPAN_MAX_S = 42 * 86400


# --- what a service knows -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ShiftRecord:
    """One shift as the service shows it. `end` is None while it is open.

    `ended_by` is the service's own word for what ended it ("api", "mobile", "admin", "autoClockOut", …);
    `auto_ended` is True when the service ended it by itself. `created_at` is None where it is not told. `reference` is
    our mark in it (RecordShift.reference, CloseShift.reference), None where there is none.
    """

    id: str
    user_id: str
    start: int
    end: int | None = None
    auto_ended: bool = False
    started_by: str | None = None
    ended_by: str | None = None
    note: str | None = None
    created_at: int | None = None
    job_id: str | None = None
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class PersonRecord:
    """One person as the service shows them.

    `badge` is what stands in the field that the configuration names for badge numbers, as it was typed there; None
    where that is empty. `assigned`: to this time clock; None where this read does not tell.
    """

    user_id: str
    name: str
    archived: bool = False
    badge: str | None = None
    assigned: bool | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What may keep the service from taking a person's punches. None: this read does not tell.

    `locked_days` are those of the days asked for that are locked, as dates of the kiosk's time zone.
    """

    user_id: str
    assigned: bool | None = None
    locked_days: frozenset[date] | None = None


# --- outcomes -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Done:
    """The answer proves success: it carries the record's id and our own time. `record` is what now stands there."""

    record: ShiftRecord


@dataclass(frozen=True, slots=True)
class DoneChanged:
    """It was recorded for our person, but with another time than ours (rounding rules): never sent again.

    `off_s` is how far off, in seconds, signed: theirs minus ours (the larger of start and end).
    """

    record: ShiftRecord
    off_s: int


@dataclass(frozen=True, slots=True)
class Taken:
    """The service took several shifts; what became of each is read back."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a look-up read: all shifts of the people asked for in the time asked for.

    Of the people in `unreadable` it says nothing: a record of theirs does not have the shape that the service promises.
    """

    records: tuple[ShiftRecord, ...]
    unreadable: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Proven:
    """A probe's success: the key works. `account` is the company's name where told."""

    account: str | None = None


@dataclass(frozen=True, slots=True)
class People:
    """One page of people; `next_offset` asks for the next one, None after the last."""

    people: tuple[PersonRecord, ...]
    next_offset: int | None = None


@dataclass(frozen=True, slots=True)
class Standings:
    """How the people asked about stand, each once; those the service does not show are left out."""

    standings: tuple[Standing, ...]


@dataclass(frozen=True, slots=True)
class NotSent:
    """The request surely never reached the service: DNS, refused, no route, TLS failure."""

    why: str


@dataclass(frozen=True, slots=True)
class CertificateTime:
    """TLS failed because the certificate is "not yet valid" or "expired": maybe our clock is wrong. Not sent."""

    why: str


@dataclass(frozen=True, slots=True)
class Uncertain:
    """It may or may not have happened (timeout, reset, 5xx, unproven 2xx, a portal's page): look it up."""

    why: str
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Throttled:
    """Not done: the account's budget is spent until `until` (Unix seconds by the server's clock), None if not told."""

    until: float | None = None


@dataclass(frozen=True, slots=True)
class KeyRefused:
    """Not done: 401 or 403 as JSON. Everything halts; nothing moves to review because a key expired."""

    status: int
    detail: str


@dataclass(frozen=True, slots=True)
class Misconfigured:
    """Not done: wrong time clock, 404/405 on a fixed path. Everything halts."""

    status: int
    detail: str


@dataclass(frozen=True, slots=True)
class ClockAhead:
    """Not done: the service says our time lies in its future."""

    detail: str


@dataclass(frozen=True, slots=True)
class TooOld:
    """Not done: the service says our time is beyond its look-back; plan again as expired."""

    detail: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """Not done, but the state it names may be our own doing: look up before judging.

    `reason` is one of `already_open`, `no_open_shift`, `before_clock_in`, or for an update `shift_gone`.
    """

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Not done and repeating it as it is will not help. `reason` is a code of daemon/reasons.py.

    `recognised` is False when no known code or phrase was found (reason `refused`).
    """

    reason: str
    detail: str
    recognised: bool = True


Outcome = (
    Done
    | DoneChanged
    | Taken
    | Found
    | Proven
    | People
    | Standings
    | NotSent
    | CertificateTime
    | Uncertain
    | Throttled
    | KeyRefused
    | Misconfigured
    | ClockAhead
    | TooOld
    | Conflict
    | Refused
)


# --- replies --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Budget:
    """What the service's headers said is left. None where not told; resets are Unix seconds, server time."""

    minute_limit: int | None = None
    minute_remaining: int | None = None
    minute_reset_at: float | None = None
    day_limit: int | None = None
    day_remaining: int | None = None
    day_reset_at: float | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """An outcome and what came with it.

    `server_date` is the answer's Date header (Unix seconds) and only set when it may be believed: over
    verified TLS, or from loopback. `status` and `request_id` are kept for the journal; `body` is the answer's
    text, at most 2,000 characters, for `review show`. `unsent`: nothing at all left for this step, so that it cost the
    account nothing (a step may need more than one request).
    """

    outcome: Outcome
    status: int | None = None
    server_date: float | None = None
    budget: Budget | None = None
    request_id: str | None = None
    body: str | None = None
    unsent: bool = False
    extra: Mapping[str, str] = field(default_factory=dict)


class Timesheet(Protocol):
    """A service that punches go to."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do; never changes while it lives."""

    async def carry_out(self, step: Step) -> Reply:
        """Send what the step asks for, once: no retries inside. Never raises for what the network or service does."""

    async def reload_key(self) -> bool:
        """Read the key again; True when it changed. Raises ConfigError when it cannot be read."""

    def abandon(self) -> bool:
        """Wait no longer for a request that is out and surely changes nothing: one that has not left, or only reads.

        It ends at once, as NotSent or Uncertain. What may have changed something is waited for as before. True when
        there was one to give up.
        """

    async def aclose(self) -> None:
        """Drop kept connections."""
