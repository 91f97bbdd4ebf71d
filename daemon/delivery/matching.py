"""PURE: does a read show what an attempt wanted to write?"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from daemon.delivery.knowledge import View
from daemon.delivery.policy import ROUNDING_MAX_S
from daemon.model import Direction, Punch, RecordedAs
from daemon.timesheets.timesheet import CloseShift, EndShift, OpenShift, RecordShift, ShiftRecord, Write

#: The service's clock and ours may differ by this much when its record's creation is held against our request
#: (the clock gate lets 10 s pass).
CLOCKS_DIFFER_S = 15
#: A request whose answer was lost has arrived by then, or never: longer than any connection is waited for.
ARRIVED_S = 120
#: Who may have written for us, where the service tells: another program's hand is none of ours, and looks the same.
BY_PROGRAMS = (None, "api")
#: Who may have written a time that was ours: a program, or a manager who changed it; not the person's own phone.
_NOT_THEMSELVES = (*BY_PROGRAMS, "admin")

RECORDED_AS = {
    OpenShift: RecordedAs.CLOCK_IN,
    EndShift: RecordedAs.CLOCK_OUT,
    RecordShift: RecordedAs.TIME_ACTIVITY,
    CloseShift: RecordedAs.SHIFT_UPDATE,
}


@dataclass(frozen=True, slots=True)
class Exactly:
    """The read shows it, to the second."""

    record: ShiftRecord


@dataclass(frozen=True, slots=True)
class Rounded:
    """The read shows it, surely ours, with another time (`off_s`: theirs minus ours)."""

    record: ShiftRecord
    off_s: int


@dataclass(frozen=True, slots=True)
class Resembling:
    """The read shows something near it that may be ours or another's."""

    record: ShiftRecord


@dataclass(frozen=True, slots=True)
class Absent:
    """The read does not show it."""


Match = Exactly | Rounded | Resembling | Absent


def match(step: Write, view: View, sent_at: float, ours: Collection[str], taken: Collection[str]) -> Match:
    """Hold a read against what an attempt made at `sent_at` wanted.

    `ours` are record ids of our other punches, `taken` those of the same direction: such a record is not this one's.
    """
    if isinstance(step, OpenShift):
        return _match_open(step, view, sent_at, ours, taken)
    if isinstance(step, RecordShift):
        return _match_recorded(step, view, taken)
    record = view.by_id(step.shift_id)
    wanted = step.at if isinstance(step, EndShift) else step.end
    if record is None or record.end is None or record.id in taken:
        return Absent()
    if record.end == wanted:
        return Exactly(record)
    # An update leaves its mark, a clock-out none: an end that somebody else's program wrote near ours is not ours.
    if isinstance(step, EndShift):
        marked = record.reference is None
    else:
        marked = step.reference is not None and step.reference in (record.note or "")
    if marked and record.ended_by == "api" and abs(record.end - wanted) <= ROUNDING_MAX_S:
        if isinstance(step, EndShift) and not is_rounded(record.end):
            return Absent()  # another kiosk's, to its own second
        return Rounded(record, record.end - wanted)
    return Absent()


def is_rounded(second: int) -> bool:
    """Whether a time that is not ours may be ours all the same, as a service rounded it: to whole minutes."""
    return second % 60 == 0


def _match_open(step: OpenShift, view: View, sent_at: float, ours: Collection[str], taken: Collection[str]) -> Match:
    exact = view.starting(step.at, but=taken)
    if exact is not None:
        return Exactly(exact)
    for record in view.records:
        off = record.start - step.at
        if record.id in ours or abs(off) > ROUNDING_MAX_S or record.started_by not in _NOT_THEMSELVES:
            continue
        by_program = record.started_by != "admin"  # a manager's may be ours, changed, or typed in beside it
        if by_program and record.created_at is not None and record.created_at >= sent_at - CLOCKS_DIFFER_S:
            return Rounded(record, off)
        # Made before this attempt, but not before the punch: an earlier request of ours may be forgotten (salvage).
        if record.created_at is None or record.created_at >= step.at - CLOCKS_DIFFER_S:
            return Resembling(record)
    return next((Resembling(r) for r in view.records if r.id not in ours and _moved(r, sent_at)), Absent())


def _moved(record: ShiftRecord, sent_at: float) -> bool:
    """Whether a shift was made just when our request arrived, and begins at another time than anybody's own then."""
    if record.created_at is None or not -CLOCKS_DIFFER_S <= record.created_at - sent_at <= ARRIVED_S:
        return False
    return abs(record.start - record.created_at) > ARRIVED_S


def unexplained(
    step: Write, view: View, others: Sequence[tuple[Punch, str | None]], own: str | None, within_s: int
) -> ShiftRecord | None:
    """A shift that a forgotten delivery may have become by a change on the timesheet: near it, and nobody else's.

    `others`: the person's other punches around it, each with its record's id. `own`: the id of the record that a
    clock-in's own clock-out ended.
    """
    if isinstance(step, EndShift | CloseShift):
        ended = [r for r in view.records if r.end is not None and r.ended_by in _NOT_THEMSELVES]
        at, found, way = _at(step), [(r, r.end or 0) for r in ended], Direction.CLOCK_OUT
    else:
        # What was there before the tap cannot have come of it.
        young = [r for r in view.records if r.created_at is None or r.created_at >= _at(step) - CLOCKS_DIFFER_S]
        at, found, way = _at(step), [(r, r.start) for r in young], Direction.CLOCK_IN
    claimed = {shift_id for punch, shift_id in others if punch.direction is way or shift_id != own} - {None}
    seconds = {p.second for p, shift_id in others if p.direction is way and p.time_known and shift_id is None}
    near = [
        (r, when) for r, when in found if r.id not in claimed and when not in seconds and abs(when - at) <= within_s
    ]
    return min(near, key=lambda one: abs(one[1] - at), default=(None, 0))[0]


def _at(step: Write) -> int:
    """The second of the punch that an attempt was for, the clock-in's of a pair."""
    match step:
        case OpenShift() | EndShift():
            return step.at
        case RecordShift():
            return step.start
        case CloseShift():
            return step.end


def _match_recorded(step: RecordShift, view: View, taken: Collection[str]) -> Match:
    free = [record for record in view.records if record.id not in taken]
    for record in free:
        if record.start == step.start and record.end == step.end:
            return Exactly(record)
    for record in free:
        if record.note is not None and step.reference in record.note:
            off_start, off_end = record.start - step.start, (record.end or step.end) - step.end
            return Rounded(record, max(off_start, off_end, key=abs))
    return Absent()


def closest(punch: Punch, records: Collection[ShiftRecord]) -> ShiftRecord | None:
    """The shift a person means who accepts the timesheet's record for a punch: its own, or the one that lies nearest.

    A clock-in means a shift's start, a clock-out its end; a shift that reaches over the punch will do. What was over
    before a clock-in, or began after a clock-out (further than a service rounds), is not the shift of that tap.
    """
    for record in records:
        if record.id == punch.remote_id:
            return record
    if punch.direction is Direction.CLOCK_OUT:
        ended = [r for r in records if r.end is not None and r.start <= punch.second + ROUNDING_MAX_S]
        return min(ended, key=lambda r: abs((r.end or 0) - punch.second), default=None)
    lasting = [r for r in records if r.end is None or r.end >= punch.second - ROUNDING_MAX_S]
    return min(lasting, key=lambda r: abs(r.start - punch.second), default=None)
