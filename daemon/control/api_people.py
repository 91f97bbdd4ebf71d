"""Employees and badges: reading and changing the directory."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from typing import Any

from daemon.control import views
from daemon.control.call import Answer, Call, Document
from daemon.control.inputs import Fields, parse_json
from daemon.control.problems import invalid

#: Nobody stands before a reader longer than this to be given a badge.
ENROLL_MAX_S = 600
ENROLL_DEFAULT_S = 60
COLUMNS = ("user_id", "name", "badge", "job_id")


async def api_employees(call: Call) -> Answer:
    """Everybody in the directory."""
    return Document([views.employee_view(employee) for employee in await call.kiosk.directory.employees()])


async def api_employees_add(call: Call) -> Answer:
    """Add one employee, with or without a badge."""
    fields = call.fields(*COLUMNS)
    employee = await call.kiosk.directory.add(
        fields.text("user_id"),
        fields.text("name"),
        badge=fields.maybe_text("badge"),
        job_id=fields.maybe_text("job_id"),
        by=call.by,
    )
    return Document(views.employee_view(employee), status=201)


async def api_employees_import(call: Call) -> Answer:
    """Merge a list of employees: CSV, or JSON as an array of rows or as {"csv": text}. All rows or none."""
    text = _csv_of(parse_json(call.body)) if "json" in call.content_type else call.body
    return Document(views.import_view(await call.kiosk.directory.import_csv(text, by=call.by)))


def _csv_of(document: Any) -> bytes:
    if isinstance(document, dict):
        fields = Fields(document, ("csv",))
        text = document.get("csv")
        if not isinstance(text, str):
            fields.text("csv")  # says what is wrong with it
            raise AssertionError("a value that is no text was taken for one")
        return text.encode("utf-8", "replace")
    if not isinstance(document, list):
        raise invalid("Cannot import this: it is neither an array nor an object.", "Send an array of employees.")
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for row in document:
        fields = Fields(row, COLUMNS)
        writer.writerow([fields.maybe_text(column) or "" for column in COLUMNS])
    return out.getvalue().encode("utf-8")


async def api_employees_remove(call: Call) -> Answer:
    """Remove one employee; the badges are free again, punches already taken still go.

    With `forget=true` in the query their name and badges are erased as well (docs/privacy.md).
    """
    wanted = call.filters("forget").maybe_text("forget")
    if wanted not in (None, "true"):
        raise invalid("Cannot use forget as it is.", "Give forget=true, or leave it out.")
    if wanted:
        forgotten = await call.kiosk.directory.forget(call.param("id"), by=call.by)
        return Document({"user_id": call.param("id"), "forgotten": asdict(forgotten)})
    return Document(views.employee_view(await call.kiosk.directory.remove(call.param("id"), by=call.by)))


async def api_badges(call: Call) -> Answer:
    """All badges that are assigned or blocked."""
    return Document([views.badge_view(badge) for badge in await call.kiosk.directory.badges()])


async def api_badges_unknown(call: Call) -> Answer:
    """Badges nobody owns, with how many taps are kept for each."""
    return Document([views.unknown_view(unknown) for unknown in await call.kiosk.directory.unknown()])


async def api_badges_assign(call: Call) -> Answer:
    """Give a badge to an employee; its kept taps become punches (those since `since`, or by the usual rules)."""
    fields = call.fields("badge", "user_id", "since")
    assigned = await call.kiosk.directory.assign(
        fields.text("badge"), fields.text("user_id"), since=fields.maybe_instant("since"), by=call.by
    )
    punches = [views.punch_view(punch) for punch in assigned.punches]
    return Document({**views.badge_view(assigned.badge), "punches": punches}, status=201)


async def api_badges_enroll(call: Call) -> Answer:
    """Wait for the next tap of any reader and give its badge to an employee."""
    fields = call.fields("user_id", "timeout_s")
    timeout_s = fields.maybe_number("timeout_s", 1, ENROLL_MAX_S) or ENROLL_DEFAULT_S
    badge = await call.kiosk.directory.enroll(fields.text("user_id"), timeout_s=timeout_s, by=call.by)
    return Document(views.badge_view(badge), status=201)


async def api_badges_block(call: Call) -> Answer:
    """Block a badge: its taps are refused from now on."""
    return Document(views.badge_view(await call.kiosk.directory.block(call.param("badge"), by=call.by)))


async def api_badges_remove(call: Call) -> Answer:
    """Free a badge, assigned or blocked."""
    badge = call.param("badge")
    await call.kiosk.directory.release(badge, by=call.by)
    return Document({"badge": badge, "state": "released"})
