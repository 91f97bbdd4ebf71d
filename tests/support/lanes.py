"""Lanes and views for tests of delivery, written as people would tell them."""

from __future__ import annotations

from dataclasses import asdict, replace

from daemon.delivery.knowledge import View
from daemon.delivery.plan import Plan, Send
from daemon.delivery.policy import CROWDED_MAX_S, Moment
from daemon.delivery.steps import encode
from daemon.model import Direction, Punch, PunchState, RecordedAs, Source
from daemon.queue.deliveries import Attempt
from daemon.queue.lanes import LanePunch
from daemon.timesheets.timesheet import ShiftRecord, Write

REVIEW, HELD, DELIVERED, IN_FLIGHT = PunchState.REVIEW, PunchState.HELD, PunchState.DELIVERED, PunchState.IN_FLIGHT
#: 2026-11-20 00:00:00 UTC; lanes tell their times as hours after it.
MIDNIGHT = 1_795_132_800
HOUR = 3600


def at(hours: float) -> float:
    """A time of that day, in hours; may lie outside of it."""
    return MIDNIGHT + hours * HOUR


def second(hours: float) -> int:
    """The same as a whole second."""
    return int(at(hours))


def moment(hours: float, *, trusted: bool = True, server_ahead_s: float = 0.0) -> Moment:
    """When the planner plans."""
    return Moment(at(hours), at(hours) + server_ahead_s, trusted)


def punch(
    direction: str | None,
    hours: float,
    state: PunchState = PunchState.PENDING,
    *,
    reason: str | None = None,
    shift: str | None = None,
    as_: RecordedAs | None = None,
    known: bool = True,
    id_: str | None = None,
) -> LanePunch:
    """One punch of a lane: "in", "out" or None for not known yet."""
    way = {"in": Direction.CLOCK_IN, "out": Direction.CLOCK_OUT, None: None}[direction]
    if state is PunchState.DELIVERED and as_ is None:
        as_ = RecordedAs.CLOCK_IN if direction == "in" else RecordedAs.CLOCK_OUT
    made = Punch(
        id=id_ or f"{direction}-{hours:g}",
        seq=int(hours * HOUR) + 1_000_000,
        user_id="7",
        name="Anna",
        direction=way,
        occurred_at=at(hours),
        raw_at=at(hours),
        time_error_s=0.5,
        time_known=known,
        boot_id="boot",
        boottime_s=hours * HOUR,
        synchronised=True,
        reader="front",
        badge="04A2",
        source=Source.TAP,
        job_id=None,
        state=state,
        reason=reason,
        detail=None,
        attempts=0,
        remote_id=shift,
        recorded_as=as_,
    )
    return LanePunch(made, None)


def tried(
    entry: LanePunch, step: Write, sent_hours: float, *, outcome: str | None = None, ended_hours: float | None = None,
    attempt_id: int = 1,
) -> LanePunch:  # fmt: skip
    """The same punch with an attempt; in flight unless the attempt has an outcome."""
    kind, _ = encode(step)
    ended = None if outcome is None else at(sent_hours if ended_hours is None else ended_hours)
    attempt = Attempt(attempt_id, kind, asdict(step), at(sent_hours), ended, outcome, None, None, None)
    flying = (
        entry.punch if entry.punch.state is not PunchState.PENDING else replace(entry.punch, state=PunchState.IN_FLIGHT)
    )
    return LanePunch(flying, attempt)


def shift(
    id_: str, start: float, end: float | None = None, *, by: str | None = None, note: str | None = None,
    created: float | None = None, started_by: str = "api",
) -> ShiftRecord:  # fmt: skip
    """A shift on the timesheet; `by` is what ended it."""
    return ShiftRecord(
        id_,
        "7",
        second(start),
        None if end is None else second(end),
        auto_ended=by == "autoClockOut",
        started_by=started_by,
        ended_by=by or (None if end is None else "api"),
        note=note,
        created_at=None if created is None else second(created),
    )


def seen(hours: float, *records: ShiftRecord) -> View:
    """What a read requested at that time showed; what is open was so for long."""
    since = {record.id: at(hours) - CROWDED_MAX_S for record in records if record.end is None}
    return View(at(hours), second(-24 * 60), second(24 * 60), records, since)


def since(entry: LanePunch, hours: float) -> LanePunch:
    """The same punch, as it stands since then."""
    return replace(entry, since=at(hours))


def sent(plan: Plan) -> object:
    """The step a plan wants to send."""
    assert isinstance(plan.request, Send), plan
    return plan.request.step


def verdicts(plan: Plan) -> list[tuple[str, str, str | None]]:
    """What a plan decides without a request."""
    return [(v.punch_id, v.state.value, v.reason) for v in plan.verdicts]


def answered(entry: LanePunch) -> LanePunch:
    """The same punch, its update answered and not read back yet."""
    assert entry.attempt is not None
    return replace(entry, attempt=replace(entry.attempt, status=200))
