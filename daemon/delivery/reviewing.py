"""PURE: a review is taken up again when a read, newer than it, shows that its obstacle is gone.

Managers mend things in the service, not on the kiosk (delivery.md, "Review without a shell"). What a list of shifts
shows is judged here; assignments and locked days are in healing.py.
"""

from __future__ import annotations

from daemon.dating import WRONG
from daemon.delivery.matching import BY_PROGRAMS
from daemon.delivery.policy import FORGOTTEN_S, ROUNDING_MAX_S
from daemon.delivery.unknown import NOT_SHOWN
from daemon.delivery.walk import Walk
from daemon.model import Direction, RecordedAs
from daemon.queue.lanes import LanePunch
from daemon.timesheets.timesheet import ShiftRecord

#: A clock-out in review for one of these goes again when its shift is open (again).
_WANT_AN_OPEN_SHIFT = ("no_open_shift", "auto_clocked_out", "already_clocked_out", "shift_gone")

#: A read need not show what the service refused for: a shift left open for a week is on no list of today. What looked
#: mended and was refused again therefore waits, the first time so long, then twice as long each time.
_AGAIN_S = 900.0
#: Attempts that reached nobody are counted too: after a long outage it must not be days.
_DOUBLINGS_MAX = 4


def take_up(walk: Walk, index: int) -> None:
    """Deliver or release a punch in review if the view shows it recorded, or its obstacle is gone."""
    entry, view, punch = walk.lane[index], walk.view, walk.punches[index]
    paired = walk.is_pair(index) and not walk.states[index + 1].finished
    if walk.reasons[index] == "missing_clock_out" and paired and walk.moment.trusted:
        # Typed in, or found among kept taps, after it was given up: now it is a whole shift.
        walk.release(index)
        return
    if walk.reasons[index] == "shift_too_long" and walk.moment.trusted and not _too_long(walk, index):
        # The other half was decided against, or longer shifts are allowed now.
        walk.release(index)
        return
    if view is None or view.requested_at <= entry.since or not walk.moment.trusted:
        return
    if not punch.time_known or punch.direction is None or not view.covers(punch.second):
        return
    if (record := _recorded(walk, index)) is not None:
        default = RecordedAs.CLOCK_IN if punch.direction is Direction.CLOCK_IN else RecordedAs.CLOCK_OUT
        walk.deliver(index, record, default, outcome="found")
    elif _unobstructed(walk, index) and rested(entry, view.requested_at):
        # Salvaged in review, nobody knows whether it was sent after all: it is looked up before it goes.
        walk.release(index)


def _too_long(walk: Walk, index: int) -> bool:
    """Whether this punch and the other half of its shift lie too far apart."""
    if walk.punches[index].direction is Direction.CLOCK_IN:
        return walk.too_long_after(index)
    return bool(index) and walk.punches[index - 1].direction is Direction.CLOCK_IN and walk.too_long_after(index - 1)


def rested(entry: LanePunch, read_at: float) -> bool:
    """Whether a read of that time may send it again: the first time at once, then with growing pauses."""
    again = entry.punch.attempts - 2
    return again < 0 or read_at >= entry.since + _AGAIN_S * 2 ** min(again, _DOUBLINGS_MAX)


def _recorded(walk: Walk, index: int) -> ShiftRecord | None:
    """The shift that has exactly this punch's time where it belongs."""
    if walk.reasons[index] in WRONG and walk.lane[index].attempt is None:
        return None  # its time is not the true one and never left: whoever wrote that second, it was not for this tap
    if index and walk.is_pair(index - 1) and walk.remote_ids[index - 1] is not None:
        # Its clock-in opened a shift: that this second ends another one delivers nothing.
        own = _own_shift(walk, index)
        ended_right = walk.reasons[index] != "closed_another_shift" or _put_right(walk, index)
        return own if own is not None and walk.ends_here(index, own) and ended_right else None
    return walk.shown(index)


def _put_right(walk: Walk, index: int) -> bool:
    """Whether the shift that this clock-out ended by mistake was given another end, or is gone."""
    assert walk.view is not None
    punch, other = walk.punches[index], walk.view.by_id(walk.remote_ids[index] or "")
    if other is None or other.end is None:
        return other is not None or walk.view.covers(punch.second - FORGOTTEN_S)
    return other.ended_by not in BY_PROGRAMS or abs(other.end - punch.second) > ROUNDING_MAX_S


def _unobstructed(walk: Walk, index: int) -> bool:
    view, punch, reason = walk.view, walk.punches[index], walk.reasons[index]
    assert view is not None
    if reason == "overlaps_existing_shift":
        start, end = punch.second, punch.second + 1
        if punch.direction is Direction.CLOCK_IN:
            end = walk.reaches_to(index)
        elif index and walk.is_pair(index - 1):
            start, end = walk.punches[index - 1].second, punch.second
        return view.overlapping(start, end) is None
    if reason == "already_open":
        # Sent again for what a narrower read does not show, it would be refused again, and read up on, for ever.
        # Never shown at all it may have ended before the look: worth one more try, after which it would go on for ever.
        unexplained = (punch.detail or "").endswith(NOT_SHOWN) and punch.attempts > 1
        seen_whole = view.covers(punch.second - FORGOTTEN_S) and not unexplained
        # One begun since is in its way as well, also when it has ended: that shift is the one that was worked.
        worked = view.finished(punch.second, walk.reaches_to(index)) is not None or walk.has_left(index)
        return seen_whole and view.open_at_all() is None and not worked
    if reason == "no_matching_clock_in":
        # Or its clock-in stands there after all: a person took the timesheet's record for it.
        own = _own_shift(walk, index)
        taken = own is not None and punch.second - own.start <= walk.policy.max_shift_s
        return taken or walk.open_for(index) is not None
    attempt = walk.lane[index].attempt
    if reason == "could_not_close" and attempt is not None and attempt.outcome == "absent":
        # The update never arrived: while it is still wanted it goes again.
        own = _own_shift(walk, index)
        if own is not None and own.auto_ended:
            return walk.policy.after_auto_clock_out == "correct"
        return walk.policy.close_late_by_update and walk.open_for(index) is not None
    if reason in _WANT_AN_OPEN_SHIFT:
        own = _own_shift(walk, index)
        return own is not None and own.end is None
    return False


def _own_shift(walk: Walk, index: int) -> ShiftRecord | None:
    """The shift that this clock-out's own clock-in opened, as the view shows it."""
    if not index or walk.view is None or not walk.is_pair(index - 1):
        return None
    return walk.view.by_id(walk.remote_ids[index - 1] or "")
