"""Pure: is a tap new or a repeat, and does it go in or out?

Every function here is a function of its arguments: the moment, the person's last punch here, the reader, the policy
and, when somebody knows, the server's view. The rules are those of delivery.md, "In or out" and "Repeats".
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from daemon.model import Direction, Punch, PunchState, ReaderDirection, Source


class Origin(enum.Enum):
    """How a moment came to be known, which decides how strictly its order is judged."""

    LIVE = "live"  # a real tap, now: never refused for its time
    STATED = "stated"  # somebody says when it happened
    KEPT = "kept"  # a tap of a badge that nobody owned, turned into a punch later


@dataclass(frozen=True, slots=True)
class Moment:
    """The moment a punch would stand for.

    `at` is its best known time (Unix seconds), `known` whether that may be believed, `boottime_s` its CLOCK_BOOTTIME,
    comparable inside one `boot_id` only and immune to steps.
    """

    at: float
    known: bool
    boot_id: str
    boottime_s: float
    origin: Origin = Origin.LIVE


@dataclass(frozen=True, slots=True)
class Policy:
    """What the configuration says for one person: seconds inside which a tap repeats, seconds a shift may last."""

    repeat_s: float
    max_shift_s: float


@dataclass(frozen=True, slots=True)
class ServerView:
    """What the server last said of one person; instants are Unix seconds.

    `requested_at` is when the read was requested, `settled_at` when the last of the person's punches here was settled
    (None while any is not; minus infinity when there never was one). `open_since` is the start of the shift the server
    shows open, None when it shows none. `auto_ended_start` is the start of the person's latest shift that was opened
    here and ended by the server itself, None when there is none.
    """

    requested_at: float
    settled_at: float | None
    open_since: float | None = None
    auto_ended_start: float | None = None

    @property
    def speaks(self) -> bool:
        """Whether the view is newer than all we did for this person: only then may it correct what we know."""
        return self.settled_at is not None and self.requested_at > self.settled_at


@dataclass(frozen=True, slots=True)
class New:
    """A punch of its own. `direction` is None while the time that decides it is unknown; `state` is where it begins."""

    direction: Direction | None
    state: PunchState
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Repeat:
    """The same tap once more."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Not taken; `reason` is a code of daemon/reasons.py. Only stated times are ever refused."""

    reason: str


Decision = New | Repeat | Refused


def decide(
    moment: Moment,
    last: Punch | None,
    reader: ReaderDirection,
    policy: Policy,
    *,
    now: float,
    server: ServerView | None = None,
) -> Decision:
    """What becomes of a tap of a known badge.

    `last` is the person's last punch in lane order that is not discarded, `now` the best known time of the kiosk. An
    `out_of_order` answer has the direction that `last` suggests; see `toggle` for a better one.
    """
    if in_future(moment, now):
        return Refused("time_in_future")
    if last is not None:
        since_last_s = elapsed_s(moment, last)
        if moment.origin is Origin.STATED and since_last_s is not None and since_last_s <= 0:
            return Refused("time_not_after_last")
        if repeats(moment, last, reader, policy):
            return Repeat()
    direction = reader.fixed or toggle(moment, last, policy, server)
    if not moment.known:
        return New(direction, PunchState.HELD, "clock_untrusted")
    if last is not None and last.time_known and moment.at <= last.occurred_at:
        return New(direction, PunchState.REVIEW, "out_of_order")
    if direction is None:
        return New(None, PunchState.HELD, "earlier_punch_undecided")
    return New(direction, PunchState.PENDING)


def in_future(moment: Moment, now: float) -> bool:
    """Whether somebody states a time that has not come yet."""
    return moment.origin is Origin.STATED and moment.at > now


def repeats(moment: Moment, last: Punch, reader: ReaderDirection, policy: Policy) -> bool:
    """Whether a tap is `last` once more. A fixed reader of another direction than `last` makes it a correction."""
    if reader.fixed is not None and reader.fixed is not last.direction:
        return False
    since_last_s = elapsed_s(moment, last)
    if since_last_s is None:
        return False
    if moment.origin is Origin.KEPT and since_last_s < 0:
        return False
    # Two readers may hand in taps of the same moment the wrong way round: a little earlier is the same tap too.
    return abs(since_last_s) < policy.repeat_s


def toggle(moment: Moment, last: Punch | None, policy: Policy, server: ServerView | None = None) -> Direction | None:
    """In or out on a reader without a direction of its own; None while that hangs on an unknown time."""
    if server is not None and server.speaks and moment.known:
        told = _by_server(moment, last, policy, server)
        if told is not None:
            return told
    if last is None:
        return Direction.CLOCK_IN
    since_last_s = elapsed_s(moment, last)
    if last.direction is None or since_last_s is None:
        return None
    still_open = last.direction is Direction.CLOCK_IN and since_last_s <= policy.max_shift_s
    return Direction.CLOCK_OUT if still_open else Direction.CLOCK_IN


def elapsed_s(moment: Moment, last: Punch) -> float | None:
    """Seconds from `last` to a moment, negative when it lies before; None when nothing tells.

    Real taps are measured on the boot clock, which cannot step; stated ones by what was stated, where that is known.
    """
    by_time = moment.at - last.occurred_at if moment.known and last.time_known else None
    # A decision has no tap of its own: its place on the boot clock says nothing.
    same_boot = last.boot_id == moment.boot_id and last.source is Source.TAP
    by_boot = moment.boottime_s - last.boottime_s if same_boot else None
    first, second = (by_boot, by_time) if moment.origin is Origin.LIVE else (by_time, by_boot)
    chosen = first if first is not None else second
    # Milliseconds: below them, only the floats of two clocks differ.
    return None if chosen is None else round(chosen, 3)


def _by_server(moment: Moment, last: Punch | None, policy: Policy, server: ServerView) -> Direction | None:
    """What the server's view makes of a tap; None when it says nothing of that moment."""
    start = server.open_since
    if start is None and last is not None and last.direction is Direction.CLOCK_IN:
        # The person leaving late is leaving, also when the server had ended their shift by itself.
        start = server.auto_ended_start
    if start is None:
        return Direction.CLOCK_IN
    if start > moment.at:
        return None
    return Direction.CLOCK_OUT if moment.at - start <= policy.max_shift_s else Direction.CLOCK_IN
