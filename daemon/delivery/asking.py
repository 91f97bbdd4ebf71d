"""Reads that a person asked for, between the loop's own requests: they obey the gate and the budget, and write nothing.

What comes of them never halts delivery: a key that may not read people may still punch, and a key that may do neither
is found out by the loop's own next request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from daemon.clock import Timekeeper
from daemon.delivery.gate import Gate
from daemon.errors import RefusedError
from daemon.timesheets.timesheet import Query, Reply, Throttled

#: A person waits for the next minute of the account's budget, and for nothing longer.
PATIENCE_S = 120.0
#: While nothing answers, a person's question is a reason to try again, but not more often than this.
HURRY_S = 5.0
#: Somebody else's requests may spend each minute before we have our turn.
TRIES_MAX = 3

#: Carries one read out if it may leave now; else when it may (our best time, infinity while paused).
Attempt = Callable[[Query], Awaitable[Reply | float]]


class Asking:
    """One question at a time, each when it may be asked."""

    def __init__(self, attempt: Attempt, gate: Gate, timekeeper: Timekeeper) -> None:
        self._attempt, self._gate, self._timekeeper = attempt, gate, timekeeper
        self._one = asyncio.Lock()
        #: Set when the service stops; nothing is asked any more.
        self.closed = False

    async def ask(self, step: Query, *, patience_s: float = PATIENCE_S) -> Reply:
        """The reply to one read, whatever it is; asked again only where the account's budget refused it.

        Raises RefusedError, before anything is sent, while delivery is paused or halted, or where it must wait longer
        than `patience_s` for the service or the budget.
        """
        async with self._one:
            throttled = 0
            while True:
                self._refuse_where_closed()
                self._gate.hurry(HURRY_S)
                tried = await self._attempt(step)
                if isinstance(tried, Reply):
                    throttled += isinstance(tried.outcome, Throttled)
                    if not isinstance(tried.outcome, Throttled) or throttled >= TRIES_MAX:
                        return tried
                    continue
                rest_s = tried - self._timekeeper.now()
                if rest_s > patience_s:
                    raise self._too_long(rest_s)
                await asyncio.sleep(max(0.001, rest_s))

    def _refuse_where_closed(self) -> None:
        if self.closed:
            raise RefusedError("Cannot read from the service: punchd is stopping. Try again when it runs.")
        if self._gate.paused:
            raise RefusedError(
                "Cannot read from the service: delivery is paused. Go on with: punchctl sync resume", code="paused"
            )
        if self._gate.halt is not None:
            raise RefusedError(
                f"Cannot read from the service: it refuses us ({self._gate.halt.detail}). "
                "Mend the key or the settings, then: punchctl sync now",
                code="halted",
            )

    def _too_long(self, rest_s: float) -> RefusedError:
        if self._gate.offline_since is not None:
            why = self._gate.detail or "no answer"
            return RefusedError(
                f"Cannot read from the service: it is not reached ({why}). It is tried again by itself.", code="offline"
            )
        long = f"{rest_s / 3600:.1f} h" if rest_s > 3600 else f"{rest_s / 60:.0f} min"
        wait = long if rest_s > 99 else f"{rest_s:.0f} s"
        return RefusedError(
            f"Cannot read from the service: the account's budget allows it only in {wait}. Try again then.",
            code="budget_spent",
        )
