"""Creating and updating time activities: batches of people, each with shifts and breaks (facts 1.5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sandbox.connecteam import wire
from sandbox.connecteam.behaviour import LateClose, Shape, StartOnly
from sandbox.connecteam.company import Company
from sandbox.connecteam.errors import Code, Refusal, coded
from sandbox.connecteam.fields import Fields
from sandbox.connecteam.model import Break, Shift, TimeClock, TimePoint
from sandbox.connecteam.punching import rounded

#: Facts 1.5, "Limits".
USERS_MAX = 100
SHIFTS_MAX = 50
BREAKS_MAX = 50
_WORDS = ("jobId", "subJobId", "employeeNote", "managerNote")


@dataclass(frozen=True, slots=True)
class _Item:
    """One shift of a batch, read but not judged."""

    user_id: int
    fields: Fields
    start: TimePoint | None
    end: TimePoint | None
    id: str | None = None

    @classmethod
    def read(cls, user_id: int, fields: Fields) -> _Item:
        """Read one, noting what is wrong with it."""
        for name in _WORDS:
            fields.text(name)
        return cls(user_id, fields, _point(fields, "start"), _point(fields, "end"), fields.text("id"))

    @property
    def instants(self) -> tuple[int | None, int | None]:
        return self.start.at if self.start else None, self.end.at if self.end else None


def create(company: Company, clock: TimeClock, body: Fields) -> dict[str, Any]:
    """`POST …/time-activities`. Not idempotent: each call makes new records (facts 1.5)."""
    body.need("timeActivities")
    items: list[_Item] = []
    breaks: list[tuple[int, Fields, TimePoint, TimePoint]] = []
    for person in body.objects("timeActivities", most=USERS_MAX):
        user_id = _user_id(person)
        for fields in person.objects("shifts", most=SHIFTS_MAX):
            fields.need("start")
            items.append(_Item.read(user_id, fields))
        # Lower case in requests, `manualBreaks` in answers (facts 1.5): the other spelling is not seen.
        for fields in person.objects("manualbreaks", most=BREAKS_MAX):
            fields.need("start")
            fields.need("end")
            start, end = _point(fields, "start"), _point(fields, "end")
            if start and end:
                breaks.append((user_id, fields, start, end))
    body.flag("isSplitShiftOnManualBreak", False)
    body.finish()
    if breaks and not clock.breaks:
        raise Refusal(400, "manual breaks are disabled for the given time clock")
    made = _each(company, items, lambda item: _judge_new(company, clock, item), lambda i: _write_new(company, clock, i))
    for user_id, fields, start, end in breaks:
        _assigned(company, clock, user_id)
        kind = fields.text("manualBreakId") or ""
        taken = Break(company.new_id(), user_id, clock.id, kind, start, end)
        company.breaks[taken.id] = taken
    return _answer(made)


def update(company: Company, clock: TimeClock, body: Fields) -> dict[str, Any]:
    """`PUT …/time-activities`. `shifts` is required even if only breaks change (facts 1.5)."""
    body.need("timeActivities")
    items: list[_Item] = []
    for person in body.objects("timeActivities", most=USERS_MAX):
        user_id = _user_id(person)
        person.need("shifts")
        for fields in person.objects("shifts", most=SHIFTS_MAX):
            fields.need("id")
            items.append(_Item.read(user_id, fields))
    body.finish()
    return _answer(
        _each(company, items, lambda item: _judge_change(company, clock, item), lambda i: _write_change(company, i))
    )


def _each(
    company: Company, items: list[_Item], judge: Callable[[_Item], None], write: Callable[[_Item], Shift]
) -> list[Shift]:
    """Judge and write every item. U8: the entries of one request are processed in parallel, so by default the good
    ones are written although the answer is the first bad one's refusal."""
    made: list[Shift] = []
    first: Refusal | None = None
    if company.behaviour.batch_atomic:
        for item in items:
            judge(item)
    for item in items:
        try:
            judge(item)
        except Refusal as refusal:
            first = first or refusal
            continue
        made.append(write(item))
    if first is not None:
        raise first
    return made


def _judge_new(company: Company, clock: TimeClock, item: _Item) -> None:
    _assigned(company, clock, item.user_id)
    start, end = item.instants
    if start is None:
        raise Refusal(400, "start is required")
    if end is None and company.behaviour.start_only is StartOnly.REFUSED:  # U2
        raise Refusal(400, "end is required")
    if end is not None and end <= start:
        raise Refusal(400, "end must be after start")
    _check_locks(company, clock, item.user_id, start, end)
    _check_job(company, clock, item.fields)
    if company.behaviour.refuse_overlaps and company.overlapping(item.user_id, clock.id, start, end):  # U3
        raise Refusal(400, "Time activity overlaps an existing one", shape=Shape.DETAIL_LIST)


def _write_new(company: Company, clock: TimeClock, item: _Item) -> Shift:
    assert item.start is not None
    shift = company.new_shift(item.user_id, clock.id, rounded(company, item.start))
    if item.end is not None:
        company.end_shift(shift, rounded(company, item.end))
    _write_words(shift, item.fields)
    return shift


def _judge_change(company: Company, clock: TimeClock, item: _Item) -> None:
    shift = company.shifts.get(item.id or "")
    if shift is None or shift.user_id != item.user_id or shift.clock_id != clock.id:
        raise coded(404, Code.ACTIVITY_GONE, "time activity not found")
    start = item.start.at if item.start else shift.start.at
    end = item.end.at if item.end else (shift.end.at if shift.end else None)
    if end is not None and end <= start:
        raise Refusal(400, "end must be after start")
    was = (shift.start.at, shift.end.at if shift.end else None)
    _check_locks(company, clock, shift.user_id, *was, start, end)
    if shift.end is None and item.end is not None and company.behaviour.late_close is LateClose.REFUSED:  # U1
        raise Refusal(400, "An open shift cannot be edited")
    if item.fields.has("jobId"):
        _check_job(company, clock, item.fields)
    if company.behaviour.refuse_overlaps and company.overlapping(shift.user_id, clock.id, start, end, shift.id):  # U3
        raise Refusal(400, "Time activity overlaps an existing one", shape=Shape.DETAIL_LIST)


def _write_change(company: Company, item: _Item) -> Shift:
    shift = company.shifts[item.id or ""]
    if item.start is not None:
        shift.start = rounded(company, item.start)
    ignored = shift.end is None and company.behaviour.late_close is LateClose.IGNORED  # U1
    if item.end is not None and not ignored:
        company.end_shift(shift, rounded(company, item.end))
        shift.auto_ended = False
    _write_words(shift, item.fields)
    shift.modified_at = int(company.now())
    return shift


def _user_id(person: Fields) -> int:
    person.need("userId")
    return person.integer("userId") or 0


def _point(fields: Fields, name: str) -> TimePoint | None:
    """`{timestamp, timezone}`, both required inside it (facts 1.5)."""
    inner = fields.object(name)
    if inner is None:
        return None
    inner.need("timestamp")
    inner.need("timezone")
    at, zone = inner.integer("timestamp", least=1), inner.zone()
    return TimePoint(at, zone, "api") if at is not None and zone is not None else None


def _assigned(company: Company, clock: TimeClock, user_id: int) -> None:
    user = company.users.get(user_id)
    if user is None or user.archived_at is not None or clock.id not in user.clocks:
        text = f"User: {user_id} is not assigned to the time clock"
        raise Refusal(400, text, shape=Shape.DETAIL_LIST)


def _check_locks(company: Company, clock: TimeClock, user_id: int, *instants: int | None) -> None:
    """Another status and shape than the clock-out's 409 (facts 1.5, "Locked day")."""
    days = company.locked_days(user_id, clock.id, *instants)
    if days:
        raise Refusal(400, f"User: {user_id} has locked days: {days}", shape=Shape.DETAIL_LIST)


def _check_job(company: Company, clock: TimeClock, fields: Fields) -> None:
    """Parent in `jobId`, child in `subJobId`; the child is required when the job has some (facts 1.5)."""
    job_id, sub_job_id = fields.text("jobId"), fields.text("subJobId")
    if job_id is None:
        if clock.job_required:
            raise Refusal(400, "Job ID is required for this time clock")
        return
    job = company.jobs.get(job_id)
    if job is None or job.deleted or job.parent_id is not None or clock.id not in job.clocks:
        raise Refusal(400, "Job not found for this time clock")
    children = {child.id for child in company.jobs.values() if child.parent_id == job_id and not child.deleted}
    if children and sub_job_id is None:
        raise Refusal(400, "Sub job ID is required for this job")
    if sub_job_id is not None and sub_job_id not in children:
        raise Refusal(400, "Sub job not found for this job")


def _write_words(shift: Shift, fields: Fields) -> None:
    """Notes and job, as far as given: what is left out stays (facts 1.5, "Leave job alone")."""
    if fields.has("jobId"):
        shift.job_id, shift.sub_job_id = fields.text("jobId"), fields.text("subJobId")
    shift.employee_note = fields.text("employeeNote") or shift.employee_note
    shift.manager_note = fields.text("managerNote") or shift.manager_note


def _answer(shifts: list[Shift]) -> dict[str, Any]:
    rows: dict[int, dict[str, Any]] = {}
    for shift in shifts:
        row = rows.setdefault(shift.user_id, {"userId": shift.user_id, "shifts": [], "manualBreaks": []})
        row["shifts"].append(wire.listed_shift(shift))
    return {"timeActivitiesByUsers": list(rows.values())}
