"""What needs a person: the list, and one punch with both sides, what was tapped and what the timesheet shows."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any

from daemon.control import views
from daemon.control.api_reading import find_one, read_pages
from daemon.control.call import Answer, Call, Document, Rows
from daemon.control.kiosk import Kiosk
from daemon.control.problems import Problem, ProblemError, invalid
from daemon.delivery.reading import read_shifts
from daemon.errors import RefusedError
from daemon.model import Punch, PunchState
from daemon.queue import people, queue
from daemon.timesheets.timesheet import ShiftRecord

#: A person waits so long for what the service shows now; then the last read must do.
READ_WAIT_S = 4.0
#: How far beyond the longest shift both sides are shown.
BESIDE_S = 3600
#: Shifts and taps of one person around one punch; a service that shows more is not read by a person line by line.
SHOWN_MAX = 40


async def api_review(call: Call) -> Answer:
    """What needs a person, oldest first, each with what it means and what mends it."""

    async def pieces() -> AsyncIterator[list[dict[str, Any]]]:
        async for page in read_pages(call.kiosk, states=(PunchState.REVIEW,)):
            yield [views.review_view(punch) for punch in page]

    return Rows(pieces())


async def api_review_one(call: Call) -> Answer:
    """One punch in review: its history, what the person tapped around it, and what the timesheet shows there.

    `read=now` reads the timesheet for it, on control.sock, where the service and the budget let it and within
    READ_WAIT_S; else, and where that cannot be, what was last read is shown with its age.
    """
    read_now = call.filters("read").maybe_text("read")
    if read_now not in (None, "now"):
        raise invalid(f"Cannot use read={read_now}.", "Give read=now, or leave it out.")
    if read_now and not call.may_act:
        raise ProblemError(
            Problem(
                403,
                "read_only",
                "Cannot read the timesheet for status.sock: that spends the account's requests.",
                "Leave read out, or ask control.sock (as root or as the service's user, or in its admin group).",
            )
        )
    punch, history = await find_one(call)
    if punch.state is not PunchState.REVIEW:
        raise ProblemError(
            Problem(
                409,
                "not_in_review",
                f"Cannot show the review of punch {punch.id}: it is {punch.state}, nobody needs to decide it.",
                f"See what became of it: punchctl punches show {punch.id}",
            )
        )
    around = await call.kiosk.database.read(lambda conn: _around(conn, punch, call.kiosk))
    shown = await _shown(call.kiosk, around, read_now=read_now is not None)
    return Document(
        {
            **views.review_view(punch),
            "history": views.history_view(history),
            "tapped": [views.tapped_view(one) for one in around.punches],
            "timesheet": _timesheet(call.kiosk, shown, around.punches),
        }
    )


# --- both sides


@dataclass(frozen=True, slots=True)
class _Around:
    """What the person tapped here in [since, until), Unix seconds, the punch itself included."""

    punch: Punch
    since: int
    until: int
    punches: list[Punch]


@dataclass(frozen=True, slots=True)
class _Shown:
    """What the timesheet shows there: read when, and why not now where it was asked for. Nothing was read: None."""

    read_at: float | None
    records: tuple[ShiftRecord, ...] = ()
    fresh: bool = False
    why: str | None = None


def _around(conn: sqlite3.Connection, punch: Punch, kiosk: Kiosk) -> _Around:
    employee = people.find_employee(conn, punch.user_id)
    longest_s = (employee.max_shift_s if employee else None) or kiosk.config.attendance.max_shift_s
    beside_s = longest_s + BESIDE_S
    since, until = punch.second - beside_s, punch.second + beside_s
    there = queue.list_punches(conn, user_id=punch.user_id, since=since, until=until, limit=10 * SHOWN_MAX)
    return _Around(punch, since, until, sorted(_nearest(there, punch), key=lambda p: (p.occurred_at, p.seq)))


def _nearest(punches: Iterable[Punch], punch: Punch) -> list[Punch]:
    return sorted(punches, key=lambda p: abs(p.occurred_at - punch.occurred_at))[:SHOWN_MAX]


async def _shown(kiosk: Kiosk, around: _Around, *, read_now: bool) -> _Shown:
    punch, why = around.punch, None
    if read_now and punch.time_known:
        asked_at = kiosk.timekeeper.now()
        until = min(around.until, int(asked_at) + BESIDE_S)
        try:
            async with asyncio.timeout(READ_WAIT_S):
                records = await read_shifts(kiosk.delivery.ask_at_once, (punch.user_id,), around.since, until)
            return _Shown(asked_at, _near(records, around), fresh=True)
        except RefusedError as error:
            why = error.message
        except TimeoutError:
            why = f"Cannot read from the service: no answer within {READ_WAIT_S:g} s."
    elif read_now:
        why = "Cannot read from the service: the punch's own time is not known."
    seen = kiosk.delivery.seen(punch.user_id)
    if seen is None or not seen[0].covers(punch.second):
        return _Shown(None, why=why)
    return _Shown(seen[0].requested_at, _near(seen[0].records, around), why=why)


def _near(records: Iterable[ShiftRecord], around: _Around) -> tuple[ShiftRecord, ...]:
    touching = [r for r in records if r.start < around.until and (r.end is None or r.end >= around.since)]
    nearest = sorted(touching, key=lambda r: abs(r.start - around.punch.second))[:SHOWN_MAX]
    return tuple(sorted(nearest, key=lambda r: (r.start, r.id)))


def _timesheet(kiosk: Kiosk, shown: _Shown, punches: Iterable[Punch]) -> dict[str, Any]:
    ours = {punch.remote_id for punch in punches if punch.remote_id is not None}
    age_s = None if shown.read_at is None else max(0, int(kiosk.timekeeper.now() - shown.read_at))
    return {
        "fresh": shown.fresh,
        "read_at": None if shown.read_at is None else views.instant(shown.read_at),
        "age_s": age_s,
        "why": shown.why,
        "shifts": [views.shift_view(record, ours=record.id in ours) for record in shown.records],
    }
