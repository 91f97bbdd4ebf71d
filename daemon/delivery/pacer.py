"""PURE: how fast requests may go. Told what was sent and what the headers said, answers when the next one may leave.

The account's budget is shared with everything else the company runs (facts 1.3): the headers are obeyed, a reserve is
kept for live punches, and our own ceiling stays under both. All times are passed in, Unix seconds by our best time;
resets in headers are server time and are shifted by `apart_s` (Timekeeper), right or wrong as our clock is.
"""

from __future__ import annotations

import json
import math
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, replace

from daemon.supervisor import Backoff
from daemon.timesheets.timesheet import Budget

#: Without a reset header a throttled account waits this long (facts 1.3); refused more than a few times in a row it is
#: the day that is spent, and each further wait doubles up to the longest: every try is written down before it leaves.
THROTTLE_S, THROTTLE_MAX_S, THROTTLES_ALIKE = 60.0, 300.0, 3
#: No reset of a minute or a day lies further ahead, whosever clock and zone it is told by. A number beyond is nonsense,
#: and to obey it would silence the kiosk for years: the service says 429 where it means it.
MINUTE_RESET_MAX_S, DAY_RESET_MAX_S = 600.0, 2 * 86400.0
#: The first pause after a failure; it doubles from here to the configured cap.
BACKOFF_FIRST_S = 1.0
DAY_S = 86400


class Pacer:
    """The account's budget as far as it is known, and our own ceilings.

    What an answer told of the day is counted on by ourselves while later answers tell nothing, also from one day to the
    next. `requests_per_day` is the owner's word where the service tells nothing at all; days begin at 00:00 UTC then.
    """

    def __init__(self, requests_per_minute: int, requests_per_day: int | None = None) -> None:
        assert requests_per_minute > 0
        self.requests_per_minute, self.requests_per_day = requests_per_minute, requests_per_day
        self._day_sent, self._day_ends_at = 0, 0.0
        self._sent: deque[float] = deque()
        self._budget: Budget | None = None
        #: The budget before the last request was counted, and after.
        self._counted: tuple[Budget, Budget] | None = None
        self._ahead_s = 0.0
        self._blocked_until = 0.0
        self._throttled_in_a_row = 0

    def ready_at(self, now: float, *, live: bool) -> float:
        """When the next request may leave: `now`, or later. Requests that are not `live` leave the reserve alone."""
        self._roll(now)
        # What was kept before a restart may be by a clock that was wrong by years: nothing is waited for as long.
        at = max(now, self._blocked_until if self._blocked_until <= now + DAY_RESET_MAX_S else now)
        if self.requests_per_day and self._day_sent >= self.requests_per_day - (
            0 if live else reserve(self.requests_per_day)
        ):
            at = max(at, self._day_ends_at)
        while self._sent and self._sent[0] <= now - 60:
            self._sent.popleft()
        if len(self._sent) >= self.requests_per_minute:
            at = max(at, self._sent[-self.requests_per_minute] + 60)
        budget = self._budget
        if budget is None:
            return at
        for limit, remaining, reset_at, ahead_max_s in (
            (budget.minute_limit, budget.minute_remaining, budget.minute_reset_at, MINUTE_RESET_MAX_S),
            (budget.day_limit, budget.day_remaining, budget.day_reset_at, DAY_RESET_MAX_S),
        ):
            if remaining is None or reset_at is None or not 0 < reset_at - self._ahead_s - now <= ahead_max_s:
                continue
            if remaining <= (0 if live else reserve(limit)):
                at = max(at, reset_at - self._ahead_s)
        return at

    def move(self, seconds: float) -> None:
        """Our clock was set ahead (negative: back): what is waited for comes no sooner and no later for it."""
        self._sent = deque(at + seconds for at in self._sent)
        self._blocked_until, self._day_ends_at = self._blocked_until + seconds, self._day_ends_at + seconds
        self._ahead_s -= seconds

    def note_sent(self, now: float) -> None:
        """A request leaves."""
        self._roll(now)
        self._day_sent += 1
        self._sent.append(now)
        if len(self._sent) > 2 * self.requests_per_minute:
            self._sent.popleft()
        budget = self._budget
        if budget is not None:  # until its answer says better, it cost one
            self._budget = replace(
                budget,
                minute_remaining=None if budget.minute_remaining is None else max(0, budget.minute_remaining - 1),
                day_remaining=None if budget.day_remaining is None else max(0, budget.day_remaining - 1),
            )
            self._counted = budget, self._budget

    def note_unsent(self, now: float) -> None:
        """What was counted last never left, and cost the account nothing: an outage of hours must not spend its day.

        Our own ceiling of a minute keeps it.
        """
        self._roll(now)
        self._day_sent = max(0, self._day_sent - 1)
        if self._counted is not None and self._counted[1] is self._budget:
            self._budget = self._counted[0]

    def note_budget(self, budget: Budget | None, apart_s: float) -> None:
        """An answer's headers. Limits that are not told this time are kept."""
        if budget is None:
            return
        self._ahead_s = apart_s
        told = {name: value for name, value in asdict(budget).items() if value is not None}
        self._budget = replace(self._budget or Budget(), **told)

    def note_throttled(self, now: float, until: float | None, apart_s: float) -> float:
        """The service refused for its budget: the whole account waits. Until when, by our best time."""
        told = None if until is None or until - apart_s > now + DAY_RESET_MAX_S else until - apart_s
        self._throttled_in_a_row += 1
        # The exponent is bounded too: refused for days on end, each time a minute, 2.0**1024 would overflow.
        doublings = min(max(0, self._throttled_in_a_row - THROTTLES_ALIKE), 10)
        doubled = min(2.0**doublings, THROTTLE_MAX_S / THROTTLE_S)
        self._blocked_until = max(now + 1, told) if told is not None else now + THROTTLE_S * doubled
        return self._blocked_until

    def note_served(self) -> None:
        """The service did not refuse for its budget: the next time that it does begins a new row."""
        self._throttled_in_a_row = 0

    @property
    def blocked_until(self) -> float:
        """Until when the service refused everything for its budget; in the past when it does not."""
        return self._blocked_until

    def memory(self) -> str | None:
        """What must not be forgotten with a restart, as text; None while nothing is known that could be."""
        if self._budget is None and not self.requests_per_day and not self._blocked_until:
            return None
        return json.dumps(
            {
                "budget": None if self._budget is None else asdict(self._budget),
                "blocked_until": self._blocked_until,
                "day_sent": self._day_sent,
                "day_ends_at": self._day_ends_at,
            }
        )

    def recall(self, text: str) -> None:
        """Take in what `memory` told before a restart. Resets of headers are then taken for our own time.

        What cannot be read is forgotten: the next answer tells it anew.
        """
        try:
            told = json.loads(text)
            if "budget" not in told:  # as it was kept at first: the budget alone
                told = {"budget": told, "blocked_until": 0.0, "day_sent": 0, "day_ends_at": 0.0}
            budget = None if told["budget"] is None else Budget(**told["budget"])
            blocked_until, sent, ends_at = (
                float(told["blocked_until"]),
                int(told["day_sent"]),
                float(told["day_ends_at"]),
            )
        except (ValueError, TypeError, KeyError):
            return
        self.note_budget(budget, 0.0)
        self._blocked_until, self._day_sent, self._day_ends_at = blocked_until, sent, ends_at

    def _roll(self, now: float) -> None:
        """Begin a new day where the old one is over: the headers' as they told it, our own at 00:00 UTC."""
        midnight = (now // DAY_S + 1) * DAY_S
        if now >= self._day_ends_at:
            self._day_sent, self._day_ends_at = 0, midnight
        self._day_ends_at = min(self._day_ends_at, midnight)
        budget = self._budget
        if budget is None or budget.day_reset_at is None or budget.day_reset_at - self._ahead_s > now:
            return
        days = math.floor((now - (budget.day_reset_at - self._ahead_s)) / DAY_S) + 1
        reset_at = budget.day_reset_at + days * DAY_S
        self._budget = replace(budget, day_remaining=budget.day_limit, day_reset_at=reset_at)

    @property
    def budget(self) -> Budget | None:
        """What is known of the account's budget."""
        return self._budget


def reserve(limit: int | None) -> int:
    """How many requests of a window are kept for live punches (delivery.md, "The budget is scarce")."""
    if limit == 1:
        return 0  # the only request kept back would never be made, and no answer would ever tell better
    return min(10, max(1, (limit or 0) // 5))


def carries(budget: Budget | None, expiries: Sequence[float], now: float) -> bool:
    """Whether the day's budget, and the next day's, carry one request for each of these before it expires.

    `expiries` are sorted, by the same clock as the budget's reset; without a told day everything is carried.
    """
    if budget is None or budget.day_remaining is None or budget.day_reset_at is None:
        return True
    today = max(0, budget.day_remaining - reserve(budget.day_limit))
    tomorrow = max(0, (budget.day_limit or 0) - reserve(budget.day_limit))
    a_minute = budget.minute_limit or math.inf
    for needed, expires_at in enumerate(expiries, start=1):
        by_day = today + (tomorrow if expires_at > budget.day_reset_at else 0)
        by_minute = (1 + max(0.0, expires_at - now) / 60) * a_minute
        if needed > min(by_day, by_minute):
            return False
    return True


def backoff_s(failures: int, cap_s: float, rng: random.Random) -> float:
    """How long to wait after the n-th failure in a row (from 1): doubling to a cap, jittered so that kiosks spread."""
    return Backoff(BACKOFF_FIRST_S, cap_s).delay_s(failures, rng)
