"""A timesheet whose requests are counted by what they asked for and what came of them."""

from __future__ import annotations

import re
from collections.abc import Callable

from daemon.timesheets.timesheet import Capabilities, Reply, Step, Timesheet


class Counted:
    """Implements Timesheet around another one; `count(step, outcome)` hears of each answer: open_shift, done."""

    def __init__(self, timesheet: Timesheet, count: Callable[[str, str], None]) -> None:
        self._timesheet = timesheet
        self._count = count

    @property
    def capabilities(self) -> Capabilities:
        """The other one's."""
        return self._timesheet.capabilities

    async def carry_out(self, step: Step) -> Reply:
        """The other one's answer. A call that is cancelled or fails is counted as such: its request may have left."""
        outcome = "unanswered"
        try:
            reply = await self._timesheet.carry_out(step)
            outcome = _words(reply.outcome)
            return reply
        finally:
            self._count(_words(step), outcome)

    async def reload_key(self) -> bool:
        """The other one's."""
        return await self._timesheet.reload_key()

    def abandon(self) -> bool:
        """The other one's."""
        return self._timesheet.abandon()

    async def aclose(self) -> None:
        """The other one's."""
        await self._timesheet.aclose()


def _words(value: object) -> str:
    """`OpenShift` as open_shift."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", type(value).__name__).lower()
