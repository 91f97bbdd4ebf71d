"""What asks the timesheet's service for a person: the audit, and the sync of the directory. Both only read from it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from daemon.control import views
from daemon.control.api_reading import read_pages
from daemon.control.call import Answer, Call, Document, Rows
from daemon.control.kiosk import Kiosk
from daemon.control.problems import invalid
from daemon.delivery.audit import BESIDE_S, Line, Portion, compare, portions, unread, vanished
from daemon.delivery.reading import read_assigned, read_people, read_shifts
from daemon.errors import RefusedError
from daemon.intake.staff import Listed
from daemon.model import Employee, Punch
from daemon.queue import people
from daemon.timesheets.timesheet import ShiftRecord

#: What is kept of delivered punches by default, and a month.
AUDIT_DAYS_MAX = 430
#: How many people are asked about one by one when nobody says: this part of the day's requests, or so many.
ASSIGNMENTS_SHARE, ASSIGNMENTS_UNTOLD = 10, 50
HIDDEN = "not assigned to the time clock any more, so the service does not list their shifts; assign them, then repeat"


async def api_audit(call: Call) -> Answer:
    """What was punched from `since` to `until` (default: now) held against the timesheet, line by line, by time.

    A first read that fails is a problem document; after a later one, lines are `unread` with the reason.
    """
    filters = call.filters("since", "until", "employee")
    now, since, until = int(call.kiosk.timekeeper.now()), filters.maybe_instant("since"), filters.maybe_instant("until")
    if since is None:
        raise invalid("Cannot audit without since.", "Give the time to begin with: since=2026-03-01T00:00:00+01:00")
    end = now + 1 if until is None else min(int(until), now + 1)
    if not since < end <= since + AUDIT_DAYS_MAX * 86400:
        raise invalid(f"Cannot audit that time: it is empty, or longer than {AUDIT_DAYS_MAX} days.", "Give another.")
    lines = _audit(call.kiosk, int(since), end, filters.maybe_text("employee"))
    return Rows([views.audit_view(line) for line in piece] async for piece in lines)


async def _audit(kiosk: Kiosk, since: int, until: int, only: str | None) -> AsyncIterator[list[Line]]:
    """The lines, one read after the other."""
    directory = await kiosk.database.read(lambda conn: people.list_employees(conn, removed=True))
    names = {employee.user_id: employee.name for employee in directory}
    wanted = {employee.user_id for employee in directory if employee.badges}
    wanted |= {punch.user_id for punch in await _punches(kiosk, since, until)}
    failed: str | None = None
    loaded, punches = (0, 0), list[Punch]()
    for number, portion in enumerate(portions(wanted if only is None else {only}, since, until)):
        if loaded != (portion.since, portion.until):
            # Before the read: what was delivered by then is on the timesheet, the other way round it might not be.
            punches = await _punches(kiosk, portion.since - BESIDE_S, portion.until + BESIDE_S)
            loaded = (portion.since, portion.until)
        records: Sequence[ShiftRecord] = ()
        try:
            if failed is None:
                asked = portion.since - BESIDE_S, portion.until + BESIDE_S
                records = await read_shifts(kiosk.delivery.ask, portion.user_ids, *asked)
        except RefusedError as error:
            if number == 0:
                raise
            failed = error.message
        mine = [punch for punch in punches if punch.user_id in portion.user_ids]
        lines = compare(mine, records, portion.since, portion.until, names)
        yield unread(lines, failed) if failed is not None else await _fair(kiosk, lines, records, portion)


async def _fair(kiosk: Kiosk, lines: list[Line], records: Sequence[ShiftRecord], portion: Portion) -> list[Line]:
    """The lines, where nobody is accused whose shifts the service merely hides."""
    for user_id in vanished(lines, records):
        try:
            hidden = None if await read_assigned(kiosk.delivery.ask, user_id) else HIDDEN
        except RefusedError as error:
            hidden = error.message
        if hidden is not None:
            lines = unread(lines, hidden, (user_id,))
    return lines


async def _punches(kiosk: Kiosk, since: int, until: int) -> list[Punch]:
    return [punch async for page in read_pages(kiosk, since=since, until=until) for punch in page]


# --- the directory --------------------------------------------------------------------------------


async def api_employees_sync(call: Call) -> Answer:
    """Take the service's people into the directory; then ask who of those with a badge here may punch.

    `assignments`: `some` (default; as far as a tenth of the day's requests goes), `all` or `none`.
    """
    assignments = call.fields("assignments").maybe_text("assignments") or "some"
    if assignments not in ("some", "all", "none"):
        raise invalid(f"Cannot use assignments {assignments!r}.", "Give some, all or none.")
    kiosk = call.kiosk
    found = await read_people(kiosk.delivery.ask)
    listed = [Listed(person.user_id, person.name, person.archived, person.badge) for person in found]
    # Once begun it goes on when the caller hangs up: kept taps that become punches must reach delivery.
    report = await asyncio.shield(kiosk.directory.sync(listed, by=call.by))
    there = {person.user_id for person in listed}
    holders = [one for one in await kiosk.directory.employees() if one.badges and one.user_id in there]
    return Document({**views.staff_view(report), **await _check(kiosk, holders, assignments)})


async def _check(kiosk: Kiosk, holders: Sequence[Employee], assignments: str) -> dict[str, Any]:
    """Who is not assigned to the time clock, how many were not asked about, and why not where something stopped it."""
    some = ((kiosk.delivery.status().budget or {}).get("day_limit") or 0) // ASSIGNMENTS_SHARE or ASSIGNMENTS_UNTOLD
    limit = {"none": 0, "all": len(holders)}.get(assignments, some)
    missing, checked, stopped = [], 0, None
    for employee in holders[:limit]:
        try:
            assigned = await read_assigned(kiosk.delivery.ask, employee.user_id)
        except RefusedError as error:  # the directory is in order; this part can be repeated
            stopped = error.message
            break
        checked += 1
        if not assigned:
            missing.append({"user_id": employee.user_id, "name": employee.name})
    return {"not_assigned": missing, "unchecked": len(holders) - checked, "unchecked_because": stopped}
