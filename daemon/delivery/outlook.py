"""PURE: what the account's day allows beyond single punches: reads that nothing waits for, pairs that must share.

Told of budgets and times, decides nothing else. Limits from delivery.md, "The budget is scarce".
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from daemon.delivery.pacer import carries
from daemon.timesheets.timesheet import Budget

#: A read that nothing waits for comes at most this often; what managers mend is then taken up within it.
IDLE_READ_MIN_S = 15 * 60.0
#: Checks of one round follow each other this fast where the day allows it.
CHECK_MIN_S = 60.0
#: Without a told day this often: a tenth of the smallest day's 100 requests would be every 144 minutes.
IDLE_READ_UNTOLD_S = 60 * 60.0
#: The share of the day's requests that reads which nothing waits for may take.
IDLE_SHARE = 0.1
#: After a start, so that kiosks of one company do not read in step.
FIRST_READ_S = (20.0, 60.0)
DAY_S = 86400.0


@dataclass(slots=True)
class Outlook:
    """The next idle read, and whether whole shifts go together. All times are our best time, Unix seconds."""

    rng: random.Random
    may_pair: bool = True
    pairs_together: bool = False
    read_at: float | None = None

    def start(self, now: float) -> None:
        """The service starts: the first read comes soon, unless one is planned already."""
        if self.read_at is None:
            self.read_at = now + self.rng.uniform(*FIRST_READ_S)

    def note_idle_read(self, now: float, budget: Budget | None, *, at_least_s: float = IDLE_READ_MIN_S) -> None:
        """One was made: plan the next, within a tenth of the day."""
        every = max(at_least_s, IDLE_READ_UNTOLD_S if at_least_s == IDLE_READ_MIN_S else at_least_s)
        if budget is not None and budget.day_limit:
            every = max(at_least_s, DAY_S / max(1.0, budget.day_limit * IDLE_SHARE))
        self.read_at = now + every * self.rng.uniform(1.0, 1.1)

    def move(self, seconds: float) -> None:
        """Our clock was set ahead (negative: back)."""
        if self.read_at is not None:
            self.read_at += seconds

    def hurry(self, now: float) -> None:
        """A person asked: the next idle read may go at once."""
        self.read_at = now

    def judge(self, waiting: Sequence[int], reach_s: float, budget: Budget | None, now: float) -> str | None:
        """Look whether the budget carries the punches that wait to go live (their seconds, oldest first).

        Sets `pairs_together`; the words for the alarm while the plan is too small, None while it is not.
        """
        left = budget.day_remaining if budget is not None else None
        if left is None or budget is None:
            self.pairs_together = False
            return None
        expiries = [second + reach_s for second in waiting]
        if carries(budget, expiries, now):
            # Once together, together until half of it is carried: no flapping at the edge.
            if not self.pairs_together or 2 * len(waiting) <= left:
                self.pairs_together = False
                return None
        else:
            self.pairs_together = self.may_pair
        limit = budget.day_limit or 0
        return f"{len(waiting)} punches wait, {left} of the day's {limit} requests are left, shared with all else"
