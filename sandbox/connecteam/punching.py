"""Clock in, clock out and live breaks: the rules of S3 and facts 1.4 and 1.6."""

from __future__ import annotations

import math
from typing import Any

from sandbox.connecteam import wire
from sandbox.connecteam.behaviour import SecondClockIn
from sandbox.connecteam.company import Company
from sandbox.connecteam.errors import Code, Refusal, coded
from sandbox.connecteam.fields import Fields
from sandbox.connecteam.model import Break, Shift, TimeClock, TimePoint, User

#: S3: "No more than 12 hours in the past".
LOOKBACK_S = 12 * 3600
EARTH_RADIUS_M = 6_371_000


def clock_in(company: Company, clock: TimeClock, body: Fields) -> dict[str, Any]:
    """`POST …/clock-in` (S3). The answer's shift carries the given timestamp (U12: unless rounded)."""
    user_id, point = _read(company, clock, body)
    job_id = body.text("jobId")
    scheduler_shift_id = body.text("schedulerShiftId")
    body.finish()
    user = assigned(company, clock, user_id)
    _check_time(company, point.at)
    if company.behaviour.locks_stop_clock_in:  # U7: the error row is not marked clock-out only, the rule list is
        _check_lock(company, user, clock, point.at)
    if company.open_break(user.id, clock.id):
        raise coded(400, Code.OPEN_BREAK, "User is clocked into a manual break")
    taken = company.open_shift(user.id, clock.id) is not None
    if taken and company.behaviour.second_clock_in is SecondClockIn.REFUSED:
        raise Refusal(400, "User already has an open shift")  # S3: a row without a code
    job, sub_job = _job(company, clock, job_id)
    _check_geofence(clock, point)
    shift = company.new_shift(user.id, clock.id, rounded(company, point))
    shift.job_id, shift.sub_job_id, shift.scheduler_shift_id = job, sub_job, scheduler_shift_id
    return {"shift": wire.punched_shift(shift)}


def clock_out(company: Company, clock: TimeClock, body: Fields) -> dict[str, Any]:
    """`POST …/clock-out` (S3): ends the most recent open shift in this time clock (facts 1.4)."""
    user_id, point = _read(company, clock, body)
    body.finish()
    user = assigned(company, clock, user_id)
    _check_time(company, point.at)
    shift = company.open_shift(user.id, clock.id)
    if shift is None:
        raise coded(400, Code.NO_OPEN_SHIFT, "No open shift to close")
    if point.at <= shift.start.at:  # S3: strictly after; the same second is refused (facts 1.4)
        raise coded(400, Code.BEFORE_CLOCK_IN, "timestamp is at or before the open shift's clock-in time")
    _check_lock(company, user, clock, point.at)
    _check_geofence(clock, point)
    company.end_shift(shift, rounded(company, point))
    return {"shift": wire.punched_shift(shift)}


def start_break(company: Company, clock: TimeClock, kind_id: str, body: Fields) -> dict[str, Any]:
    """`POST …/manual-breaks/{id}/clock-in` (facts 1.6): closes the open shift by itself."""
    user_id, point = _read(company, clock, body)
    body.finish()
    user = assigned(company, clock, user_id)
    _check_time(company, point.at)
    if kind_id not in company.break_kinds or not clock.breaks:
        raise Refusal(400, "manual breaks are disabled for the given time clock")
    if company.open_break(user.id, clock.id):
        raise coded(400, Code.ON_BREAK, "User is already on a break")
    taken, closed = begin_break(company, user, clock, kind_id, point)
    told = {"id": taken.id, "start": wire.time_point(taken.start), "isSwitchFromShift": closed is not None}
    return {**told, "closedShift": wire.punched_shift(closed)} if closed else told


def end_break(company: Company, clock: TimeClock, body: Fields) -> dict[str, Any]:
    """`POST …/manual-breaks/clock-out` (facts 1.6): resumes a shift, under a new id (a guess of the facts)."""
    user_id, point = _read(company, clock, body)
    resume = body.flag("isResumeShift", True)
    body.finish()
    user = assigned(company, clock, user_id)
    _check_time(company, point.at)
    taken = company.open_break(user.id, clock.id)
    if taken is None or point.at <= taken.start.at:
        raise Refusal(400, "User is not on a break")
    taken.end = point
    told: dict[str, Any] = {"id": taken.id, "end": wire.time_point(point), "isResumeShift": resume}
    if resume:
        told["resumedShift"] = wire.punched_shift(company.new_shift(user.id, clock.id, point))
    return told


def begin_break(
    company: Company, user: User, clock: TimeClock, kind_id: str, at: TimePoint
) -> tuple[Break, Shift | None]:
    """Write an open break, and the end of the shift it interrupts."""
    shift = company.open_shift(user.id, clock.id)
    if shift is not None and at.at > shift.start.at:
        company.end_shift(shift, at)
    taken = Break(company.new_id(), user.id, clock.id, kind_id, at)
    company.breaks[taken.id] = taken
    return taken, shift


def assigned(company: Company, clock: TimeClock, user_id: int) -> User:
    """The user, who must exist, not be archived, and be assigned to the time clock (S3: a 400 without a code)."""
    user = company.users.get(user_id)
    if user is None or user.archived_at is not None or clock.id not in user.clocks:
        raise Refusal(400, "User is not assigned to the time clock")
    return user


def rounded(company: Company, point: TimePoint) -> TimePoint:
    """The time as it is recorded (U12: time clocks may round)."""
    step = company.behaviour.round_to_s
    if step <= 0:
        return point
    at = math.floor(point.at / step + 0.5) * step
    return TimePoint(at, point.timezone, point.source, point.mode, point.location)


def _read(company: Company, clock: TimeClock, body: Fields) -> tuple[int, TimePoint]:
    """The fields all punches share (facts 1.4). Without a timestamp the server's time counts."""
    body.need("userId")
    user_id = body.integer("userId") or 0
    at = body.integer("timestamp", least=1)
    zone = body.zone() or clock.timezone
    location = body.object("locationData")
    given = at if at is not None else int(company.now())
    return user_id, TimePoint(given, zone, "api", None, location.raw if location else None)


def _check_time(company: Company, at: int) -> None:
    """S3: not in the future, and at most 12 hours in the past; U6 asks how exactly."""
    now = company.now()
    if at > now + company.behaviour.future_leeway_s:
        raise coded(400, Code.FUTURE, "Supplied timestamp is in the future")
    if now - at > LOOKBACK_S:
        raise coded(400, Code.TOO_OLD, "timestamp is more than 12 hours in the past")


def _check_lock(company: Company, user: User, clock: TimeClock, at: int) -> None:
    """S3: 409 on a locked or approved timesheet day."""
    if company.locked_days(user.id, clock.id, at):
        raise coded(409, Code.LOCKED, "timestamp falls on a locked or approved timesheet day")


def _job(company: Company, clock: TimeClock, job_id: str | None) -> tuple[str | None, str | None]:
    """Parent and sub-job of what was given: clock-in takes either id in `jobId` (facts 1.5, "Job id trap")."""
    if job_id is None:
        if clock.job_required:
            raise coded(400, Code.JOB_REQUIRED, "Job ID required by time clock settings")
        return None, None
    job = company.jobs.get(job_id)
    if job is None or job.deleted or clock.id not in job.clocks:
        raise Refusal(400, "Job not found for this time clock")
    return (job.parent_id, job.id) if job.parent_id else (job.id, None)


def _check_geofence(clock: TimeClock, point: TimePoint) -> None:
    """S3: refused outside the configured geofence; a punch that says no place is outside, too."""
    fence = clock.geofence
    if fence is None:
        return
    place = point.location or {}
    latitude, longitude = place.get("latitude"), place.get("longitude")
    if not isinstance(latitude, int | float) or not isinstance(longitude, int | float):
        raise coded(400, Code.GEOFENCE, "Punch location is outside the configured geofence")
    north = math.radians(latitude - fence.latitude)
    east = math.radians(longitude - fence.longitude) * math.cos(math.radians(fence.latitude))
    if EARTH_RADIUS_M * math.hypot(north, east) > fence.radius_m:
        raise coded(400, Code.GEOFENCE, "Punch location is outside the configured geofence")
