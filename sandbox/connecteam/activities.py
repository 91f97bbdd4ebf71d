"""Time activities as a list, and deleting one (facts 1.5); what is written in batches stands in batches.py."""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

from sandbox.connecteam import wire
from sandbox.connecteam.behaviour import Shape
from sandbox.connecteam.company import Company
from sandbox.connecteam.errors import Code, Refusal, coded
from sandbox.connecteam.fields import query_day, query_integers
from sandbox.connecteam.model import Break, Shift, TimeClock
from sandbox.http import Request

#: Facts 1.5, "Range cap": 92 days by the guide.
LIST_DAYS_MAX = 92
#: Facts 1.8: the timesheet's own cap.
TIMESHEET_DAYS_MAX = 45
ACTIVITY_TYPES = ("shift", "manual_break", "time_off")


def list_activities(company: Company, clock: TimeClock, request: Request) -> dict[str, Any]:
    """`GET …/time-activities`: no paging; people no longer assigned cannot be found through `userIds` (facts 1.5)."""
    first, last = _days(request, LIST_DAYS_MAX)
    wanted_types = request.every("activityTypes") or list(ACTIVITY_TYPES)
    asked = query_integers(request, "userIds")
    jobs = request.every("jobIds")
    rows: dict[int, dict[str, Any]] = {}

    def row(user_id: int) -> dict[str, Any]:
        return rows.setdefault(user_id, {"userId": user_id, "shifts": [], "manualBreaks": [], "timeOffs": []})

    def wanted(user_id: int) -> bool:
        return asked is None or (user_id in asked and clock.id in company.users[user_id].clocks)

    days = _Days.of(first, last, "UTC" if company.behaviour.list_in_utc else clock.timezone)
    now = company.now()
    for shift in company.shifts.values():
        if shift.clock_id != clock.id or not wanted(shift.user_id) or not _visible(company, shift, now):
            continue
        if jobs and shift.job_id not in jobs:
            continue
        if "shift" in wanted_types and _on_days(company, shift, days, now):
            row(shift.user_id)["shifts"].append(_listed(company, shift, now))
    for taken in company.breaks.values():
        if taken.clock_id != clock.id or not wanted(taken.user_id) or "manual_break" not in wanted_types:
            continue
        if _on_days(company, taken, days, now):
            row(taken.user_id)["manualBreaks"].append(wire.listed_break(taken))
    return {"timeActivitiesByUsers": list(rows.values())}


def delete_activity(company: Company, clock: TimeClock, activity_id: str) -> dict[str, Any]:
    """`DELETE …/time-activities/{id}`: the id is the one the list shows (facts 1.5)."""
    if len(activity_id) != 24:
        raise coded(400, Code.INVALID_ID, f"{activity_id} is not an id")
    shift = company.shifts.get(activity_id)
    if shift is None or shift.clock_id != clock.id:
        raise coded(404, Code.ACTIVITY_GONE, "time activity not found")
    if company.locked_days(shift.user_id, clock.id, shift.start.at, shift.end.at if shift.end else None):
        raise coded(400, Code.LOCKED, "the day is locked", Shape.ERROR)
    del company.shifts[activity_id]
    return {}


def timesheet(company: Company, clock: TimeClock, request: Request) -> dict[str, Any]:
    """`GET …/timesheet`: each person's days with their lock state (facts 1.8)."""
    first, last = _days(request, TIMESHEET_DAYS_MAX)
    asked = query_integers(request, "userIds")
    people = [u for u in company.users.values() if clock.id in u.clocks and (asked is None or u.id in asked)]
    return {"users": [{"userId": u.id, "dailyRecords": _records(company, clock, u.id, first, last)} for u in people]}


def _records(
    company: Company, clock: TimeClock, user_id: int, first: datetime.date, last: datetime.date
) -> list[dict[str, Any]]:
    days: dict[datetime.date, list[dict[str, Any]]] = {}
    for shift in company.shifts_of(user_id, clock.id):
        day = company.day_of(clock.id, shift.start.at)
        told = wire.listed_shift(shift)
        record = {"timeActivityId": shift.id, "start": told["start"], "end": told.get("end")}
        days.setdefault(day, []).append(record)
    told_days = []
    for number in range((last - first).days + 1):
        day = first + datetime.timedelta(days=number)
        locked = company.is_locked(user_id, clock.id, day)
        if day in days or locked:
            told_days.append(
                {
                    "date": day.isoformat(),
                    "isApproved": locked,
                    "isSubmitted": False,
                    "isLocked": locked,
                    "records": days.get(day, []),
                }
            )
    return told_days


def _days(request: Request, most: int) -> tuple[datetime.date, datetime.date]:
    first, last = query_day(request, "startDate"), query_day(request, "endDate")
    if last < first or (last - first).days > most:
        raise Refusal(400, f"Date range must be at most {most} days")
    return first, last


@dataclass(frozen=True, slots=True)
class _Days:
    """A range of days as a span of instants, Unix seconds: from the first's midnight until the one after the last."""

    begin: float
    end: float

    @classmethod
    def of(cls, first: datetime.date, last: datetime.date, timezone: str) -> _Days:
        def midnight(day: datetime.date) -> float:
            return datetime.datetime.combine(day, datetime.time(), ZoneInfo(timezone)).timestamp()

        after = math.inf if last == datetime.date.max else midnight(last + datetime.timedelta(days=1))
        return cls(midnight(first), after)


def _visible(company: Company, shift: Shift, now: float) -> bool:
    """U10: a write may show in lists only after a while."""
    return shift.written_at + company.behaviour.visible_after_s <= now


def _listed(company: Company, shift: Shift, now: float) -> dict[str, Any]:
    show_end = shift.end_written_at + company.behaviour.visible_after_s <= now
    return wire.listed_shift(shift, show_end=show_end, null_end=company.behaviour.open_end_as_null)


def _on_days(company: Company, activity: Shift | Break, days: _Days, now: float) -> bool:
    """Whether it shows under these days: by its start, or by any day it touches (U4)."""
    if activity.start.at >= days.end:
        return False
    if not company.behaviour.list_by_touch:
        return activity.start.at >= days.begin
    return (activity.end.at if activity.end else now) >= days.begin
