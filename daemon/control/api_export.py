"""Punches out of the kiosk as CSV, for payroll or to carry off."""

from __future__ import annotations

from collections.abc import AsyncIterator

from daemon.control import payroll
from daemon.control.call import Answer, Call, Text
from daemon.control.kiosk import Kiosk
from daemon.control.problems import invalid
from daemon.queue.export import Reading


async def api_export(call: Call) -> Answer:
    """CSV of all punches since and until; `undelivered=true`: only those neither delivered nor discarded."""
    filters = call.filters("since", "until", "undelivered")
    since, until = filters.maybe_instant("since"), filters.maybe_instant("until")
    wanted = filters.maybe_text("undelivered") or "false"
    if wanted not in ("true", "false"):
        raise invalid("Cannot use undelivered as it is.", "Give undelivered=true, or leave it out.")
    if since is not None and until is not None and since >= until:
        raise invalid("Cannot export an empty time.", "Give an until that is later than since.")
    reading = Reading(since, until, undelivered=wanted == "true")
    name = {"Content-Disposition": 'attachment; filename="punches.csv"'}
    return Text(_pieces(call.kiosk, reading), payroll.MEDIA_TYPE, name)


async def _pieces(kiosk: Kiosk, reading: Reading) -> AsyncIterator[bytes]:
    """The CSV, a page at a time: each is read in a hop of its own, so that a long export holds up no tap."""
    page = await kiosk.database.read(reading.page)
    yield payroll.header()
    while page:
        yield payroll.lines(page, kiosk.config.kiosk.timezone)
        page = await kiosk.database.read(reading.page)
