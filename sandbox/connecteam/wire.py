"""How shifts, breaks and people look in answers (facts 1.4, 1.5, 1.7)."""

from __future__ import annotations

from typing import Any

from sandbox.connecteam.model import Break, Job, Shift, TimePoint, User


def time_point(point: TimePoint) -> dict[str, Any]:
    """`{timestamp, timezone, source{type, mode?}, locationData?}`."""
    source = {"type": point.source} | ({"mode": point.mode} if point.mode else {})
    told: dict[str, Any] = {"timestamp": point.at, "timezone": point.timezone, "source": source}
    if point.location is not None:
        told["locationData"] = point.location
    return told


def punched_shift(shift: Shift) -> dict[str, Any]:
    """`data.shift` of a clock-in or clock-out: `jobId` is what was given, a sub-job's id included (S3)."""
    told: dict[str, Any] = {
        "id": shift.id,
        "userId": shift.user_id,
        "start": time_point(shift.start),
        "jobId": shift.sub_job_id or shift.job_id,
        "schedulerShiftId": shift.scheduler_shift_id,
        "createdAt": shift.created_at,
        "modifiedAt": shift.modified_at,
    }
    if shift.end is not None:
        told["end"] = time_point(shift.end)
    return told


def listed_shift(shift: Shift, *, show_end: bool = True, null_end: bool = False) -> dict[str, Any]:
    """A shift in a list: parent in `jobId`, child in `subJobId`; an open one's `end` is absent or null (facts 1.5)."""
    told: dict[str, Any] = {
        "id": shift.id,
        "start": time_point(shift.start),
        "isAutoClockOut": shift.auto_ended and show_end,
        "createdAt": shift.created_at,
        "modifiedAt": shift.modified_at,
    }
    if shift.end is not None and show_end:
        told["end"] = time_point(shift.end)
    elif null_end:
        told["end"] = None
    optional = {
        "jobId": shift.job_id,
        "subJobId": shift.sub_job_id,
        "employeeNote": shift.employee_note,
        "managerNote": shift.manager_note,
        "schedulerShiftId": shift.scheduler_shift_id,
    }
    return told | {name: value for name, value in optional.items() if value is not None}


def listed_break(taken: Break) -> dict[str, Any]:
    """A manual break in a list."""
    told: dict[str, Any] = {"id": taken.id, "manualBreakId": taken.kind_id, "start": time_point(taken.start)}
    return told | ({"end": time_point(taken.end)} if taken.end else {})


def user(person: User) -> dict[str, Any]:
    """One of `data.users` (facts 1.7)."""
    told: dict[str, Any] = {
        "userId": person.id,
        "firstName": person.first_name,
        "lastName": person.last_name,
        "phoneNumber": person.phone,
        "email": person.email,
        "userType": person.kind,
        "isArchived": person.archived_at is not None,
        "kioskCode": person.kiosk_code,
        "customFields": [
            {"customFieldId": place, "name": name, "type": "str", "value": value}
            for place, (name, value) in enumerate(person.custom_fields.items(), start=1)
        ],
        "smartGroupsIds": [],
        "createdAt": person.created_at,
        "modifiedAt": person.modified_at,
    }
    return told | ({"archivedAt": person.archived_at} if person.archived_at is not None else {})


def job(one: Job, children: list[Job]) -> dict[str, Any]:
    """One of `data.jobs`, with its sub-jobs (facts 1.7)."""
    return {
        "jobId": one.id,
        "title": one.title,
        "code": one.code,
        "isDeleted": one.deleted,
        "assign": {"type": "both", "userIds": [], "groupIds": []},
        "parentId": one.parent_id,
        "subJobs": [job(child, []) for child in children],
        "instanceIds": sorted(one.clocks),
    }
