"""Connecteam's bodies, both ways: PURE. The only place that knows its field names.

Requests are plain dicts ready for JSON; answers become ShiftRecords. Source of the shapes: facts 1.4, 1.5, 1.7 (the
vendor's reference). Unknown fields are ignored; a field that is promised and missing, or of another kind, makes a
WireError: a record that cannot be read must never pass for a record that is not there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from daemon.timesheets.timesheet import CloseShift, EndShift, LookUp, OpenShift, RecordShift, ShiftRecord

#: The list refuses more: 92 days by the guide, 90 by the changelog (facts 1.5).
LIST_DAYS_MAX = 90
#: Above this the list is asked without a filter of people: the address would grow without gain.
FILTERED_PEOPLE_MAX = 50
#: The jobs list's largest page (facts 1.7).
JOBS_PAGE = 500
#: Seconds beyond this are milliseconds or nonsense, not a time on a timesheet (it is the year 5138).
_SECONDS_MAX = 10**11

#: Ids as the service writes them; leading zeros would not come back the same.
_USER_ID = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)
#: Our mark as `note` writes it; ids of punches are letters and digits.
_MARK = re.compile(r"\bref ([0-9A-Za-z]+)\b", re.ASCII)

Json = dict[str, Any]


class WireError(ValueError):
    """The answer does not have the shape the service promises."""


@dataclass(frozen=True, slots=True)
class JobPath:
    """A job as time activities name it: the job, and the sub-job where one is meant (facts 1.5, "Job id trap")."""

    job_id: str
    sub_job_id: str | None = None


# --- requests -------------------------------------------------------------------------------------


def user_number(user_id: str) -> int | None:
    """The number the service knows a person by; None when this cannot be one."""
    return int(user_id) if _USER_ID.fullmatch(user_id) else None


def clock_in(step: OpenShift) -> Json:
    """Body of clock-in. Always with the timestamp: it is the only handle for finding the shift again."""
    body: Json = {"userId": user_number(step.user_id), "timestamp": step.at}
    if step.job_id:
        body["jobId"] = step.job_id  # here, and only here, a sub-job's id stands in jobId
    return body


def clock_out(step: EndShift) -> Json:
    """Body of clock-out. The service knows no shift id here: it ends the person's open shift."""
    return {"userId": user_number(step.user_id), "timestamp": step.at}


def create(steps: Iterable[tuple[RecordShift, JobPath | None]], zone: ZoneInfo, kiosk: str) -> Json:
    """Body that creates completed shifts, one a person; never without an end (facts 5, U2)."""
    return _activities((step.user_id, _created(step, zone, kiosk, job)) for step, job in steps)


def _created(step: RecordShift, zone: ZoneInfo, kiosk: str, job: JobPath | None) -> Json:
    shift: Json = {
        "start": _point(step.start, zone),
        "end": _point(step.end, zone),
        "managerNote": note(kiosk, step.reference),
    }
    if job is not None:
        shift["jobId"] = job.job_id
        if job.sub_job_id:
            shift["subJobId"] = job.sub_job_id
    return shift


def update(step: CloseShift, zone: ZoneInfo, kiosk: str) -> Json:
    """Body that gives a shift its end and leaves its start and its job alone."""
    shift: Json = {"id": step.shift_id, "end": _point(step.end, zone)}
    if step.reference is not None:
        shift["managerNote"] = note(kiosk, step.reference)
    return _activities([(step.user_id, shift)])


def note(kiosk: str, reference: str) -> str:
    """What stands in the manager's note, so that a later read finds the record again."""
    return f"kiosk {kiosk}, ref {reference}"


def list_query(step: LookUp, zone: ZoneInfo) -> list[tuple[str, str]]:
    """Query of the list, keys repeated: values joined by commas match nothing, silently (facts 1.1).

    Days are the kiosk's, one more on either side: the service does not say whose day it means (facts 5, U4).
    """
    first = datetime.fromtimestamp(step.since, zone).date() - timedelta(days=1)
    last = datetime.fromtimestamp(step.until, zone).date() + timedelta(days=1)
    assert first <= last, "a look-up ends before it begins"
    assert (last - first).days < LIST_DAYS_MAX, f"a look-up covers at most {LIST_DAYS_MAX} days"
    query = [("startDate", first.isoformat()), ("endDate", last.isoformat()), ("activityTypes", "shift")]
    people = sorted({number for user_id in step.user_ids if (number := user_number(user_id)) is not None})
    if len(people) <= FILTERED_PEOPLE_MAX:
        query += [("userIds", str(number)) for number in people]
    return query


def jobs_query(time_clock_id: int, offset: int) -> list[tuple[str, str]]:
    """Query of one page of the time clock's jobs."""
    return [
        ("instanceIds", str(time_clock_id)),
        ("includeDeleted", "false"),
        ("limit", str(JOBS_PAGE)),
        ("offset", str(offset)),
    ]


def _point(at: int, zone: ZoneInfo) -> Json:
    return {"timestamp": at, "timezone": zone.key}


def _activities(shifts: Iterable[tuple[str, Json]]) -> Json:
    # "manualbreaks" is lower-case in requests and "manualBreaks" in answers (facts 1.5).
    return {
        "timeActivities": [
            {"userId": user_number(user_id), "shifts": [shift], "manualbreaks": []} for user_id, shift in shifts
        ]
    }


# --- answers --------------------------------------------------------------------------------------


def parse(body: bytes) -> Json | None:
    """The body as a JSON object; None for anything else. Never raises, whatever the bytes."""
    try:
        told = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):  # cut off, no JSON, no text, numbers or nesting without end
        return None
    return told if isinstance(told, dict) else None


def punched(told: Json) -> ShiftRecord:
    """The shift in the answer of clock-in and clock-out. Raises WireError."""
    shift = as_object(as_object(told.get("data")).get("shift"))
    return _record(shift, as_user_id(shift.get("userId")))


def listed(told: Json, people: Iterable[str]) -> tuple[ShiftRecord, ...]:
    """All shifts of these people in the answer of list, create or update. Raises WireError.

    Another person's unreadable record is no reason to fail: nothing is said about them.
    """
    wanted = frozenset(people)
    found = []
    for entry in as_list(as_object(told.get("data")).get("timeActivitiesByUsers")):
        user_id = as_user_id(as_object(entry).get("userId"))
        if user_id in wanted:
            found += [_record(shift, user_id) for shift in as_list(as_object(entry).get("shifts"))]
    return tuple(found)


def looked_up(told: Json, people: Iterable[str]) -> tuple[tuple[ShiftRecord, ...], tuple[str, ...]]:
    """As `listed`, but one person's unreadable record fails nobody else: the records, and whose could not be read.

    Raises WireError where it cannot even be told whose they are.
    """
    wanted, found, unreadable = frozenset(people), list[ShiftRecord](), list[str]()
    for entry in as_list(as_object(told.get("data")).get("timeActivitiesByUsers")):
        user_id = as_user_id(as_object(entry).get("userId"))
        if user_id not in wanted:
            continue
        try:
            found += [_record(shift, user_id) for shift in as_list(entry.get("shifts"))]
        except WireError:
            unreadable.append(user_id)
    return tuple(record for record in found if record.user_id not in unreadable), tuple(unreadable)


def company(told: Json) -> str | None:
    """The company's name in the answer of /me, None where not told. Raises WireError."""
    data = as_object(told.get("data"))
    name = data.get("companyName")
    if name is None and data.get("companyId") is None:
        raise WireError("neither company name nor id")
    return clean(name) if isinstance(name, str) else None


def jobs(told: Json) -> tuple[dict[str, JobPath], int]:
    """One page of the jobs tree as id → path, sub-jobs under their parents, and how many rows the page had."""
    rows = as_list(as_object(told.get("data")).get("jobs"))
    paths: dict[str, JobPath] = {}
    for row in rows:
        paths.update(_job_paths(as_object(row), None))
    return paths, len(rows)


def request_id(told: Json) -> str | None:
    """The service's name for this request: the reference says one spelling, its examples the other (facts 1.9)."""
    for key in ("requestId", "request_id"):
        if isinstance(told.get(key), str):
            return clean(told[key])[:100]
    return None


def clean(text: str) -> str:
    """The text without what cannot be stored or shown: lone surrogates and control characters."""
    if text.isprintable():  # nearly always; a lone surrogate is not
        return text
    text = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)


def _job_paths(row: Json, parent: str | None) -> Iterator[tuple[str, JobPath]]:
    job_id = as_id(row.get("jobId"))
    parent = parent or (as_id(row["parentId"]) if row.get("parentId") else None)
    yield job_id, JobPath(parent, job_id) if parent else JobPath(job_id)
    # The service knows two levels; what would stand deeper is named under the topmost job too.
    for child in as_list(row.get("subJobs") or []):
        yield from _job_paths(as_object(child), parent or job_id)


def _record(value: object, user_id: str) -> ShiftRecord:
    shift = as_object(value)
    start = as_object(shift.get("start"))
    # An open shift has no end, or null there (facts 1.5). An end that says nothing is neither.
    end = None if shift.get("end") is None else as_object(shift["end"])
    ended_by = _source(end) if end is not None else None
    manager_note = shift.get("managerNote")
    job_id = shift.get("subJobId") or shift.get("jobId")
    return ShiftRecord(
        id=as_id(shift.get("id")),
        user_id=user_id,
        start=_seconds(start.get("timestamp")),
        end=None if end is None else _seconds(end.get("timestamp")),
        auto_ended=end is not None and (shift.get("isAutoClockOut") is True or ended_by == "autoClockOut"),
        started_by=_source(start),
        ended_by=ended_by,
        note=clean(manager_note) if isinstance(manager_note, str) else None,
        reference=_reference(manager_note),
        created_at=_seconds_if_told(shift.get("createdAt")),
        job_id=clean(job_id) if isinstance(job_id, str) and job_id else None,
    )


def _reference(note: object) -> str | None:
    """Our mark in a manager's note (`note`), wherever a person wrote beside it."""
    found = _MARK.search(note) if isinstance(note, str) else None
    return found[1] if found else None


def _source(point: Json) -> str | None:
    source = point.get("source")
    kind = source.get("type") if isinstance(source, dict) else None
    return clean(kind) if isinstance(kind, str) else None


def as_object(value: object) -> Json:
    """The value as an object. Raises WireError."""
    if not isinstance(value, dict):
        raise WireError("an object is missing")
    return value


def as_list(value: object) -> list[Any]:
    """The value as a list. Raises WireError."""
    if not isinstance(value, list):
        raise WireError("a list is missing")
    return value


def as_id(value: object) -> str:
    """The value as an id, numbers too. Raises WireError."""
    if isinstance(value, str) and value.strip():
        return clean(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise WireError("an id is missing")


def as_user_id(value: object) -> str:
    """The value as a person's id. Raises WireError."""
    text = as_id(value)
    if user_number(text) is None:
        raise WireError("a person's id is not a number")
    return text


def _seconds(value: object) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < _SECONDS_MAX:
        raise WireError("a time is missing")
    return value


def _seconds_if_told(value: object) -> int | None:
    try:
        return _seconds(value)
    except WireError:
        return None


def _refuse_constant(name: str) -> None:
    raise WireError(f"{name} is no JSON")
