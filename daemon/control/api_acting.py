"""What acts on taps, reviews and the delivery loop."""

from __future__ import annotations

import sqlite3
from dataclasses import asdict
from typing import Any

import structlog

from daemon.control import views
from daemon.control.call import Answer, Call, Document
from daemon.control.problems import invalid
from daemon.errors import NotFoundError
from daemon.queue import queue, records


async def api_tap(call: Call) -> Answer:
    """A simulated tap; the answer also says when it was refused."""
    fields = call.fields("badge", "reader", "at")
    reader = fields.text("reader")
    answer = await call.kiosk.readers.tap(reader, fields.text("badge"), fields.maybe_instant("at"), call.by)
    return Document(views.tap_view(answer))


async def api_review_retry(call: Call) -> Answer:
    """Take a punch out of review and plan it again; answers the punch as it then stands."""
    punch_id = call.param("id")
    call.fields()
    await call.kiosk.delivery.retry([punch_id], by=call.by)
    return await _punch(call, punch_id)


async def api_review_discard(call: Call) -> Answer:
    """Decide that a punch shall never be sent, for a reason that is kept; answers the punch as it then stands."""
    punch_id = call.param("id")
    reason = call.fields("reason").text("reason")
    await call.kiosk.delivery.discard(punch_id, reason=reason, by=call.by)
    return await _punch(call, punch_id)


async def api_review_resolve(call: Call) -> Answer:
    """Give a punch the time that only people know, or take the timesheet's record; the punch, and the one `added`."""
    punch_id = call.param("id")
    fields = call.fields("clock_out", "clock_in", "time", "accept_server")
    times = {word: fields.maybe_instant(word) for word in ("clock_out", "clock_in", "time")}
    accept = fields.flag("accept_server")
    if sum(at is not None for at in times.values()) + accept != 1:
        raise invalid("Cannot resolve with that.", "Give exactly one of clock_out, clock_in, time, accept_server.")
    if accept:
        await call.kiosk.delivery.accept_server(punch_id, by=call.by)
        return await _punch(call, punch_id)
    resolved = await call.kiosk.decisions.resolve(punch_id, **times, by=call.by)
    added = views.punch_view(resolved.added) if resolved.added is not None else None
    return Document({**views.punch_view(resolved.punch), "added": added})


async def api_key_check(call: Call) -> Answer:
    """Read the key again and prove it by one request to the service; a good one lifts a halt."""
    call.fields()
    checked = await call.kiosk.delivery.check_key()
    await _note(call, "key.checked", valid=checked.valid)
    return Document(asdict(checked))


async def api_sync_now(call: Call) -> Answer:
    """Try to deliver at once, whatever the back-off says."""
    call.fields()
    await call.kiosk.delivery.sync_now()
    await _note(call, "sync.now")
    return Document(views.delivery_view(call.kiosk.delivery.status()))


async def api_sync_pause(call: Call) -> Answer:
    """Send nothing until resumed; taps are taken as ever."""
    call.fields()
    await call.kiosk.delivery.pause(call.by)
    return Document(views.delivery_view(call.kiosk.delivery.status()))


async def api_sync_resume(call: Call) -> Answer:
    """Send again."""
    call.fields()
    await call.kiosk.delivery.resume(call.by)
    return Document(views.delivery_view(call.kiosk.delivery.status()))


async def _punch(call: Call, punch_id: str) -> Answer:
    punch = await call.kiosk.database.read(lambda conn: queue.find_punch(conn, punch_id))
    if punch is None:
        raise NotFoundError(f"cannot find punch {punch_id}; see punchctl punches list")
    return Document(views.punch_view(punch))


async def _note(call: Call, action: str, punch_id: str | None = None, **data: Any) -> None:
    """Journal who asked. What was asked has happened by now, so a full disk here must not call it a failure."""
    at = call.kiosk.timekeeper.now()
    try:
        await call.kiosk.database.write(lambda conn: records.journal(conn, at, call.by, action, punch_id, data))
    except sqlite3.Error as error:
        structlog.get_logger().warning("control.journal_failed", action=action, by=call.by, error=str(error))
