"""What the planner is told beside the lane: the rules in force and the moment it plans for. Frozen data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from daemon.model import Punch

#: Punches older than this at sending are preceded by a read: managers type in what an outage hid (delivery.md, "Read
#: before writing after an outage"). A read younger than this still speaks.
READ_AFTER_S = 15 * 60
#: A time on the timesheet this near to ours is the service's rounding, further off it needs a person (delivery.md).
ROUNDING_MAX_S = 15 * 60
#: Never send a time later than this before now: the service refuses its future, and clocks differ (facts, U6).
SEND_AFTER_S = 2
#: A punch further in the future than this is not early but wrong: the clock it was taken by was ahead.
FUTURE_MAX_S = 60
#: One list request reaches at most 90 days (facts 1.5); zones and days around take some of it.
READ_SPAN_MAX_S = 80 * 86400
#: The second look at an unknown outcome comes this many settling times after the request (facts, U10: 5 s, then 30 s
#: more), and so many after the request could still have arrived.
SECOND_LOOK, SHOWN_LATE = 10, 4
#: An open shift in a clock-in's way may have been forgotten long ago: it is looked for this far back.
FORGOTTEN_S = 15 * 86400
#: An update of a shift's end overwrites whatever stands there: the shift was read at most so long before it.
CLOSE_WITHIN_S = 30
#: Where the owner allows one request a minute no update could follow its read as fast.
CLOSE_WITHIN_SLOW_S = 120
#: And reads have shown it open for so long: others whose way came back in the same moment have sent theirs by then.
SHOWN_OPEN_S = 70
#: So long after a whole minute everybody sends who waited for it; not looked at anew for ever on a crowded account.
CROWDED_S, CROWDED_MAX_S = 5, 600
#: A request may arrive as late as this, in times of how long an answer is waited for (the client's whole limit).
ARRIVES_IN = 2
#: No pause after lost requests keeps a punch back in the last minute of the service's reach: time for one more try.
LAST_TRY_S = 60
#: A clock-out that waits for a clock-in made elsewhere is looked for again after at least this long, then ever later.
LOOK_AGAIN_MIN_S = 60


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules in force: what the service can do, and what the owner configured. Durations in seconds.

    `lookback_s` None means that live requests reach back without limit; `live` False that only completed shifts exist.
    `can_look_up` turns False when the service refuses reads to this key, or this person's records cannot be read;
    `no_look_up` is the reason; `pairs_together` True while the day's budget
    does not carry the queue: whole shifts then go together, also those inside the window. With `snapshots` the
    timesheet is read now and then although nothing waits for it, so that it can correct a toggling reader. `job_id` is
    the person's job now, for punches that were taken without one. An end is set by an update at most `close_within_s`
    after the read that showed none. `answer_s` is how long the client waits for an answer.
    """

    max_shift_s: int = 14 * 3600
    lookback_s: int | None = 12 * 3600
    margin_s: int = 600
    settle_s: float = 5.0
    backoff_max_s: float = 300.0
    after_auto_clock_out: str = "review"  # review | correct
    close_late_by_update: bool = True
    close_within_s: float = CLOSE_WITHIN_S
    answer_s: float = 15.0
    live: bool = True
    can_look_up: bool = True
    no_look_up: str = "look_up_refused"
    pairs_together: bool = False
    snapshots: bool = False
    job_id: str | None = None
    batch_pairs: str = "when_scarce"  # when_scarce | never

    @property
    def overwritten_within_s(self) -> float:
        """Until when, after an end was set by an update, another kiosk that saw none may still set its own over it."""
        return self.close_within_s + ARRIVES_IN * self.answer_s + self.settle_s

    @property
    def second_look_s(self) -> float:
        """When, after a request of unknown outcome left, what a read does not show has not happened."""
        return max(SECOND_LOOK * self.settle_s, ARRIVES_IN * self.answer_s + SHOWN_LATE * self.settle_s)

    @property
    def reach_s(self) -> float:
        """How old a punch may be to still go live."""
        if not self.live:
            return -1.0
        return float("inf") if self.lookback_s is None else self.lookback_s - self.margin_s


@dataclass(frozen=True, slots=True)
class Moment:
    """When the planner plans: our best time, the service's time as far as known (Unix seconds), and the clock gate.

    `true_at`: when a tap of this boot was by the uninterrupted clock, None where that says nothing. `set_at`: when the
    clock was last set in this run, by the clock as it is since; None where it was not.
    """

    now: float
    server_now: float
    trusted: bool
    true_at: Callable[[Punch], float | None] = lambda punch: None
    set_at: float | None = None
