"""The next tap's badge goes to somebody: one wish at a time, fulfilled by the intake."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from daemon.errors import RefusedError
from daemon.model import Badge

Outcome = Badge | RefusedError


@dataclass(eq=False, slots=True)
class Enrolment:
    """A wish that the next tap's badge go to an employee. `outcome` is the badge, or why it came to nothing."""

    user_id: str
    by: str
    outcome: asyncio.Future[Outcome] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def conclude(self, outcome: Outcome) -> None:
        """Tell whoever waits, if they still do; the first word counts."""
        if not self.outcome.done():
            self.outcome.set_result(outcome)


class Enrolments:
    """Holds the wish that waits, if any. A wish is taken by exactly one tap."""

    def __init__(self) -> None:
        self._waiting: Enrolment | None = None

    def begin(self, user_id: str, by: str) -> Enrolment:
        """Let the next tap's badge go to `user_id`. Raises RefusedError while another wish waits."""
        if self._waiting is not None:
            raise RefusedError(
                f"cannot enrol a badge for {user_id}: the next tap is already awaited for {self._waiting.user_id}; "
                "tap that badge or wait until it times out",
                code="enrolment_waiting",
            )
        self._waiting = Enrolment(user_id, by)
        return self._waiting

    @contextmanager
    def taken(self) -> Iterator[Enrolment | None]:
        """The waiting wish, from now on the caller's alone, who concludes it; at the end it is concluded anyhow."""
        taken, self._waiting = self._waiting, None
        try:
            yield taken
        finally:
            if taken is not None:
                taken.conclude(
                    RefusedError(
                        "cannot enrol the badge: its tap was interrupted; look at punchctl badges list, then try again"
                    )
                )

    def withdraw(self, enrolment: Enrolment) -> bool:
        """Give a wish up; False when a tap has already taken it, so that its outcome is on the way."""
        if self._waiting is not enrolment:
            return False
        self._waiting = None
        return True
