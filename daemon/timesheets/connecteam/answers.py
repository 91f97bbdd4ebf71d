"""What Connecteam's answers mean: PURE, from (step, status, headers, body) to an Outcome.

Success is only what proves itself (delivery.md, "What an answer means"): a 2xx whose body carries the record's id, our
person and our time. Whatever is not the service's own JSON (portals, proxies, cut-off bodies) is uncertain.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from daemon.timesheets.connecteam import staff, wire
from daemon.timesheets.connecteam.refusals import judge_refusal, words
from daemon.timesheets.connecteam.wire import Json, WireError
from daemon.timesheets.timesheet import (
    Budget,
    CheckAssigned,
    CheckLocks,
    CloseShift,
    Done,
    DoneChanged,
    EndShift,
    Found,
    LookUp,
    OpenShift,
    Outcome,
    People,
    Probe,
    Proven,
    ReadPeople,
    RecordShift,
    RecordShifts,
    ShiftRecord,
    Standing,
    Standings,
    Step,
    Taken,
    Throttled,
    Uncertain,
)

#: 4xx that say nothing of whether the service acted: a proxy's own, a time-out, another's connection, too early.
_UNCLEAR = frozenset({407, 408, 421, 425})
#: Unix seconds a reset or a Date may name: 2001 to 2286. Anything else is relative, in milliseconds or nonsense.
_PLAUSIBLE = (10**9, 10**10)
#: No reset lies further ahead than this; two days, because nobody says in whose zone the day ends.
WAIT_MAX_S = 2 * 86400


def judge(
    step: Step, status: int, headers: Mapping[str, str], told: Json | None, settings: staff.Settings = staff.NO_SETTINGS
) -> Outcome:
    """What this answer proves. Never raises. `told`: its body, as `wire.parse` read it; header names are lower-case."""
    if status == 429:
        return Throttled(throttled_until(headers))
    if 200 <= status < 300:
        return _judge_success(step, status, headers, told, settings)
    if told is None or not 400 <= status < 500 or status in _UNCLEAR:
        return Uncertain(f"status {status}" + ("" if told is not None else ", not the service's own JSON"), status)
    return judge_refusal(step, status, told)


def budget(headers: Mapping[str, str]) -> Budget | None:
    """What the headers said is left (facts 1.3); None when they said nothing."""
    read = Budget(
        minute_limit=_count(headers.get("x-ratelimit-minute-limit")) or None,  # an account of nothing is no account
        minute_remaining=_count(headers.get("x-ratelimit-minute-remaining")),
        minute_reset_at=_instant(headers.get("x-ratelimit-minute-reset")),
        day_limit=_count(headers.get("x-ratelimit-day-limit")) or None,
        day_remaining=_count(headers.get("x-ratelimit-day-remaining")),
        day_reset_at=_instant(headers.get("x-ratelimit-day-reset")),
    )
    return None if read == Budget() else read


def date(headers: Mapping[str, str]) -> float | None:
    """The Date header as Unix seconds; None when absent, unreadable, or of an answer that a cache kept."""
    if _count(headers.get("age", "0")) != 0:
        return None
    try:
        told = parsedate_to_datetime(headers.get("date", ""))
        # HTTP's dates are UTC, also in the old forms that name no zone; never this machine's zone.
        at = (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):  # what that parser does with nonsense
        return None
    return at if _PLAUSIBLE[0] <= at < _PLAUSIBLE[1] else None


def throttled_until(headers: Mapping[str, str]) -> float | None:
    """Until when the account must wait: to the day's reset when the day is spent, else to the minute's."""
    left, now = budget(headers) or Budget(), date(headers)
    until = left.day_reset_at if left.day_remaining == 0 else left.minute_reset_at
    wait_s = _count(headers.get("retry-after"))
    if until is None and wait_s is not None and now is not None:
        until = now + wait_s  # the service sends none (facts 1.3); what stands before it may
    # A day's reset is at most a day ahead: a wild number must not silence the kiosk for years.
    return None if until is None or (now is not None and until > now + WAIT_MAX_S) else until


# --- success --------------------------------------------------------------------------------------


def _judge_success(
    step: Step, status: int, headers: Mapping[str, str], told: Json | None, settings: staff.Settings
) -> Outcome:
    if told is None:
        return Uncertain(f"status {status} without the service's own JSON", status)
    try:
        match step:
            case OpenShift() | EndShift():
                proven: Outcome | None = _judge_punch(step, wire.punched(told))
            case RecordShift():
                proven = _judge_created(step, wire.listed(told, (step.user_id,)))
            case RecordShifts():
                proven = Taken() if "data" in told else None
            case CloseShift():
                proven = _judge_updated(step, wire.listed(told, (step.user_id,)))
            case LookUp():
                records, unreadable = wire.looked_up(told, step.user_ids)
                proven = Found(tuple(record for record in records if _touches(record, step)), unreadable)
            case Probe():
                proven = Proven(wire.company(told))
            case ReadPeople():
                people, rows = staff.people(told, settings.badge_field)
                # A short page is the last one: the total is only sometimes told (facts 1.7, "Paging end").
                proven = People(people, step.offset + rows if rows >= staff.PEOPLE_PAGE else None)
            case CheckAssigned():
                assigned = staff.is_assigned(told, settings.time_clock_id)
                proven = Standings((Standing(step.user_id, assigned=assigned),))
            case CheckLocks():
                locked = staff.locked_days(told, step.user_ids)
                proven = Standings(tuple(Standing(user_id, locked_days=days) for user_id, days in locked.items()))
    except WireError as unreadable:
        if not told.get("data") and _is_throttle(told):
            return Throttled(throttled_until(headers))
        return Uncertain(f"status {status} that proves nothing: {unreadable}", status)
    if proven is None and not told.get("data") and _is_throttle(told):
        return Throttled(throttled_until(headers))
    return proven or Uncertain(f"status {status} for another record", status)


def _is_throttle(told: Json) -> bool:
    """The 200 that is a throttle (facts 1.3, "Trap")."""
    return "too many requests" in words(told).lower()


def _judge_punch(step: OpenShift | EndShift, record: ShiftRecord) -> Outcome | None:
    if record.user_id != step.user_id:
        return None
    theirs = record.start if isinstance(step, OpenShift) else record.end
    return None if theirs is None else _settled(record, theirs - step.at)


def _judge_created(step: RecordShift, records: tuple[ShiftRecord, ...]) -> Outcome | None:
    """The record with our mark; where the answer shows no mark, the one with our times or the only one."""
    marked = [r for r in records if r.note and _mentions(r.note, step.reference)]
    exact = [r for r in records if (r.start, r.end) == (step.start, step.end)]
    candidates = marked or exact or [r for r in records if r.note is None]
    if len(candidates) != 1 or candidates[0].end is None:
        return None
    record = candidates[0]
    return _settled(record, max(record.start - step.start, candidates[0].end - step.end, key=abs))


def _judge_updated(step: CloseShift, records: tuple[ShiftRecord, ...]) -> Outcome | None:
    for record in records:
        if record.id == step.shift_id and record.end is not None:
            return _settled(record, record.end - step.end)
    return None


def _settled(record: ShiftRecord, off_s: int) -> Done | DoneChanged:
    return Done(record) if off_s == 0 else DoneChanged(record, off_s)


def _touches(record: ShiftRecord, step: LookUp) -> bool:
    return record.start <= step.until and (record.end is None or record.end >= step.since)


def _mentions(note: str, reference: str) -> bool:
    """Whether the note carries the reference as a word of its own: ours may be the beginning of another."""
    return reference in note.replace(",", " ").replace(";", " ").split()


# --- headers --------------------------------------------------------------------------------------


def _count(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else None


def _instant(text: str | None) -> float | None:
    try:
        at = float(text or "")
    except ValueError:
        return None
    return at if _PLAUSIBLE[0] <= at < _PLAUSIBLE[1] else None
