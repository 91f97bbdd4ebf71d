"""What can be read: status, who is in, punches, readers, events."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from typing import Any

from daemon.clock import Timekeeper
from daemon.control import views
from daemon.control.call import Answer, Call, Document, Rows, Watch
from daemon.control.kiosk import Kiosk
from daemon.control.problems import invalid
from daemon.control.times import rfc3339
from daemon.errors import NotFoundError
from daemon.model import Direction, Punch, PunchState
from daemon.queue import deliveries, people, queue

#: Punches read in one hop: few enough that a tap's commit never waits long for it.
PAGE = 500
#: More than any kiosk will ever hold; keeps the number within SQLite's integers.
LIMIT_MAX = 1_000_000_000


async def api_status(call: Call) -> Answer:
    """One look at everything (contract, "Sockets")."""
    kiosk = call.kiosk
    counts = await kiosk.database.read(deliveries.counts)
    keeper = kiosk.timekeeper
    now = keeper.evidence()
    return Document(
        {
            "name": kiosk.config.kiosk.name,
            "version": kiosk.version,
            "timezone": str(kiosk.config.kiosk.timezone),
            "config_file": str(kiosk.config.path.absolute()) if kiosk.config.path else None,
            "database": str(kiosk.database.path.absolute()),
            "now": rfc3339(keeper.best(now).at),
            "started_at": rfc3339(keeper.best(kiosk.started).at),
            "uptime_s": max(0, int(now.boottime_s - kiosk.started.boottime_s)),
            **views.delivery_view(kiosk.delivery.status()),
            "queue": views.queue_view(counts),
            "readers": [views.reader_view(reader) for reader in kiosk.readers.status()],
            "clock": clock_view(keeper),
            "alarms": [views.alarm_view(alarm) for alarm in kiosk.alarms.standing()],
            "needs_restart": list(kiosk.needs_restart),
        }
    )


def clock_view(keeper: Timekeeper) -> dict[str, Any]:
    """Whether the clock may be believed, by whose word, and how far off the service says it is (`doubt_s`)."""
    trusted, trust, doubt = keeper.trusted, keeper.trust, keeper.doubt
    return {
        "trusted": trusted,
        "source": str(trust.source) if trust else None,
        "error_s": round(trust.error_s, 3) if trust else None,
        "doubt_s": round(doubt.off_s, 3) if doubt else None,
    }


async def api_present(call: Call) -> Answer:
    """Who is in by what was tapped here, longest first; nobody whose clock-in is older than their longest shift."""
    kiosk = call.kiosk
    now = kiosk.timekeeper.now()
    usual_s = kiosk.config.attendance.max_shift_s

    def present(conn: sqlite3.Connection) -> list[Punch]:
        found = []
        for employee in people.list_employees(conn, removed=True):
            last = queue.last_punch(conn, employee.user_id)
            if last is None or last.direction is not Direction.CLOCK_IN:
                continue
            if now - last.occurred_at <= (employee.max_shift_s or usual_s):
                found.append(last)
        return sorted(found, key=lambda punch: (punch.occurred_at, punch.seq))

    return Document([views.present_view(punch) for punch in await kiosk.database.read(present)])


async def api_punches(call: Call) -> Answer:
    """Punches, oldest first. Filters: state (several with commas), employee, since, until, limit."""
    filters = call.filters("state", "employee", "since", "until", "limit")
    states = tuple(_state(word) for word in (filters.maybe_text("state") or "").split(",") if word)
    pages = read_pages(
        call.kiosk,
        states=states,
        user_id=filters.maybe_text("employee"),
        since=filters.maybe_instant("since"),
        until=filters.maybe_instant("until"),
        limit=filters.maybe_number("limit", 1, LIMIT_MAX),
    )
    return Rows([views.punch_view(punch) for punch in page] async for page in pages)


def _state(word: str) -> PunchState:
    try:
        return PunchState(word)
    except ValueError as error:
        known = ", ".join(PunchState)
        raise invalid(f"Cannot filter by {word!r}: no such state.", f"Give one of {known}.") from error


async def read_pages(
    kiosk: Kiosk,
    *,
    states: tuple[PunchState, ...] = (),
    user_id: str | None = None,
    since: float | None = None,
    until: float | None = None,
    limit: int | None = None,
) -> AsyncIterator[list[Punch]]:
    """The same as `list_punches`, in pages, each read in its own hop: a long list holds up no tap.

    A page begins at the second its forerunner ended with; what was already given from there is left out.
    """
    given: set[str] = set()
    size = PAGE
    while limit is None or limit > 0:
        wanted = size if limit is None else min(size, limit + len(given))

        def read(conn: sqlite3.Connection, since: float | None = since, wanted: int = wanted) -> list[Punch]:
            return queue.list_punches(conn, states=states, user_id=user_id, since=since, until=until, limit=wanted)

        page = await kiosk.database.read(read)
        new = [punch for punch in page if punch.id not in given]
        if new:
            yield new
        if len(page) < wanted:
            return
        if limit is not None:
            limit -= len(new)
        last = page[-1].occurred_at
        # A whole page of one instant: read on with a larger one.
        size = size * 2 if last == since else PAGE
        given = {punch.id for punch in page if punch.occurred_at == last}
        since = last


async def api_punch(call: Call) -> Answer:
    """One punch with its whole history."""
    punch, history = await find_one(call)
    return Document({**views.punch_view(punch), "history": views.history_view(history)})


async def find_one(call: Call) -> tuple[Punch, deliveries.History]:
    """The punch that the path names, with its history. Raises NotFoundError."""
    punch_id = call.param("id")

    def read(conn: sqlite3.Connection) -> tuple[Punch, deliveries.History] | None:
        punch = queue.find_punch(conn, punch_id)
        return None if punch is None else (punch, deliveries.history(conn, punch_id))

    found = await call.kiosk.database.read(read)
    if found is None:
        raise NotFoundError(f"cannot find punch {punch_id}; see punchctl punches list")
    return found


async def api_readers(call: Call) -> Answer:
    """Each reader: state, since when, taps, errors."""
    return Document([views.reader_view(reader) for reader in call.kiosk.readers.status()])


async def api_events(call: Call) -> Answer:
    """Follow live (server-sent events)."""
    call.filters()
    return Watch()


async def api_openapi(call: Call) -> Answer:
    """These routes, described in OpenAPI 3.1."""
    # Here and not on top: it describes the table this handler stands in.
    from daemon.control.openapi import document

    call.filters()
    return Document(document(call.kiosk.version))
