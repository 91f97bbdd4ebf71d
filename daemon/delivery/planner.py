"""PURE: one lane, what is known of the timesheet, and now, make the next step. The table of delivery.md.

The rules, in the order they are asked:

1.  An attempt whose outcome is unknown is looked up before anything else in its lane (unknown.py), wherever its punch
    stands by now; so is the clock-out's before the two of a shift go together.
2.  Nothing is sent on an untrusted clock, and nothing whose time or direction is not known, or whose time the
    uninterrupted clock shows to be wrong.
3.  What a read shows already recorded is delivered.
4.  A clock-in and its own clock-out more than max_shift apart, or less than a second, are never one shift.
5.  Inside the service's reach punches go live; beyond it only whole shifts are recorded, or an open one is closed by an
    update that is read back.
6.  What a read contradicts is not sent; it goes to review with what the read showed.
7.  A punch in review holds back its own counterpart, and live punches while the timesheet still shows its shift open.
"""

from __future__ import annotations

from collections.abc import Sequence

from daemon.dating import differs, is_stated, told
from daemon.delivery.knowledge import View
from daemon.delivery.plan import Plan
from daemon.delivery.policy import (
    CROWDED_MAX_S,
    CROWDED_S,
    FORGOTTEN_S,
    FUTURE_MAX_S,
    LOOK_AGAIN_MIN_S,
    SHOWN_OPEN_S,
    Moment,
    Policy,
)
from daemon.delivery.reviewing import take_up
from daemon.delivery.unknown import in_flight
from daemon.delivery.walk import Walk, described, reference
from daemon.model import Direction, Punch, PunchState, RecordedAs
from daemon.queue.lanes import LanePunch
from daemon.timesheets.timesheet import CloseShift, EndShift, OpenShift, RecordShift, ShiftRecord

_UNSENT = (PunchState.PENDING, PunchState.HELD)


def plan_lane(lane: Sequence[LanePunch], view: View | None, moment: Moment, policy: Policy) -> Plan:
    """What this lane wants next.

    `lane`: the person's unfinished punches and their neighbours in lane order, discarded ones left out. Never raises
    for any lane the queue can hold.
    """
    walk = Walk(lane, view, moment, policy)
    _dispute(walk)
    if moment.trusted and not _all_known(walk):
        return _planned(walk)
    for index, entry in enumerate(lane):
        if entry.context or entry.punch.state.finished:
            continue
        if entry.punch.state is PunchState.REVIEW:
            take_up(walk, index)
            continue
        if walk.states[index] is not entry.punch.state:  # settled together with its clock-in
            continue
        if not _take(walk, index):
            break
    return _planned(walk)


def _planned(walk: Walk) -> Plan:
    return Plan(tuple(walk.verdicts), walk.request, walk.expired, walk.due, walk.wake_at)


def _all_known(walk: Walk) -> bool:
    """Settle what is in flight, also behind what was held then: an older punch of now would change what is found."""
    for index, entry in enumerate(walk.lane):
        flies = entry.punch.state is PunchState.IN_FLIGHT and not entry.context
        if flies and walk.states[index] is PunchState.IN_FLIGHT and not in_flight(walk, index):
            return False
    return True


def _dispute(walk: Walk) -> None:
    """Whatever let a tap with a wrong time go again, a retry or a read or an absence, it goes no further.

    The intake disputes what waits when the clock is set right; what is out, or in review, then, comes by here.
    """
    for index, entry in enumerate(walk.lane):
        punch = entry.punch
        if punch.state not in _UNSENT or not walk.moment.trusted or not punch.time_known:
            continue
        true_at = None if entry.stated or is_stated(punch) else walk.moment.true_at(punch)
        if true_at is not None and differs(true_at, punch):
            walk.review(index, "time_disputed", told(true_at))


def _take(walk: Walk, index: int) -> bool:
    punch = walk.punches[index]
    if walk.states[index] is PunchState.IN_FLIGHT:
        return in_flight(walk, index)
    if not walk.moment.trusted or not punch.time_known or punch.direction is None:
        return True if walk.states[index] is PunchState.HELD else walk.hold(index, "clock_untrusted")
    if walk.lane[index].outcome_unknown:
        return _look_up(walk, index)
    if punch.second - walk.moment.server_now > FUTURE_MAX_S:
        return walk.review(index, "clock_ahead")
    if not walk.seconds_passed(punch):
        return False
    if punch.direction is Direction.CLOCK_IN:
        return _clock_in(walk, index)
    return _clock_out(walk, index)


def _look_up(walk: Walk, index: int) -> bool:
    """Nobody knows what its last request did: that is asked before it goes, alone or with the other half."""
    if walk.states[index] is PunchState.IN_FLIGHT:
        return in_flight(walk, index)
    walk.release(index)
    return False


def _clock_in(walk: Walk, index: int) -> bool:
    punch = walk.punches[index]
    if (record := walk.shown(index)) is not None:
        return walk.deliver(index, record, RecordedAs.CLOCK_IN)
    if walk.too_long_after(index):
        walk.review(index + 1, "shift_too_long", walk.pair_text(index))
        return walk.review(index, "shift_too_long", walk.pair_text(index))
    if walk.too_old_for_live(index) or walk.too_old_to_be_ended(index):
        return _expired_clock_in(walk, index)
    walk.wake_when_expired(punch)
    walk.wake_when_too_old_to_be_ended(index)
    if walk.policy.pairs_together and walk.is_pair(index) and walk.states[index + 1] in _UNSENT:
        return _completed_shift(walk, index, expired=False)
    # Not only around its second: typed in a little late, or made on a phone, the same shift would be paid twice.
    if (record := walk.view.finished(punch.second, walk.reaches_to(index)) if walk.view else None) is not None:
        return walk.review(index, "overlaps_existing_shift", described(record))
    if walk.has_left(index):
        return walk.review(index, "missing_clock_out")
    if walk.blocked_by_open_shift(index):
        return walk.hold(index, "earlier_punch_in_review")
    if walk.stale(punch):
        return walk.read(index)
    return walk.send(index, OpenShift(punch.user_id, punch.second, punch.job_id or walk.policy.job_id))


def _expired_clock_in(walk: Walk, index: int) -> bool:
    punch = walk.punches[index]
    after = walk.punches[index + 1] if index + 1 < len(walk.punches) else None
    if after is None:
        if walk.moment.server_now > punch.second + walk.policy.max_shift_s:
            return walk.review(index, "missing_clock_out")
        walk.wake(punch.second + walk.policy.max_shift_s + 1)
        return walk.hold(index, "waiting_for_clock_out")
    if after.direction is None or not after.time_known:
        return walk.hold(index, "waiting_for_clock_out")
    if after.direction is Direction.CLOCK_OUT and walk.out_of_place(index + 1):
        return walk.hold(index, "earlier_punch_in_review")
    if after.direction is Direction.CLOCK_IN or not walk.is_pair(index) or walk.states[index + 1].finished:
        return walk.review(index, "missing_clock_out")
    if walk.states[index + 1] is PunchState.REVIEW:
        return walk.hold(index, "earlier_punch_in_review")
    return _completed_shift(walk, index)


def _completed_shift(walk: Walk, index: int, *, expired: bool = True) -> bool:
    start, end = walk.punches[index], walk.punches[index + 1]
    if walk.lane[index + 1].outcome_unknown:
        return _look_up(walk, index + 1)
    if not walk.seconds_passed(end):
        return False
    if walk.stale(start, asked_after=end.occurred_at):
        return walk.read(index, expired=expired)
    assert walk.view is not None
    record = walk.view.overlapping(start.second, end.second)
    if (
        record is not None
        and record.end is None
        and end.second - walk.policy.max_shift_s <= record.start < start.second
    ):
        # As the service would have answered in time; the clock-out then ends the shift that is open.
        return walk.review(index, "already_open", described(record))
    if record is not None:
        walk.review(index + 1, "overlaps_existing_shift", described(record))
        return walk.review(index, "overlaps_existing_shift", described(record))
    step = RecordShift(start.user_id, start.second, end.second, reference(start), start.job_id or walk.policy.job_id)
    return walk.send(index, step, pair=True, expired=expired)


def _clock_out(walk: Walk, index: int) -> bool:
    punch = walk.punches[index]
    before = walk.punches[index - 1] if index else None
    if before is None or before.direction is Direction.CLOCK_OUT:
        return _foreign_clock_out(walk, index)
    if before.direction is None or not before.time_known:
        return walk.hold(index, "earlier_punch_undecided")
    if walk.out_of_place(index - 1):
        return walk.hold(index, "earlier_punch_in_review")
    if punch.second - before.second > walk.policy.max_shift_s:
        return walk.review(index, "shift_too_long", walk.pair_text(index - 1))
    if not walk.is_pair(index - 1):
        return walk.review(index, "same_second")
    state, reason, shift_id = walk.states[index - 1], walk.reasons[index - 1], walk.remote_ids[index - 1]
    recorded = state is PunchState.DELIVERED or (state is PunchState.REVIEW and reason == "server_changed_time")
    if recorded and shift_id is not None:
        return _own_clock_out(walk, index, shift_id)
    if state is PunchState.REVIEW and reason == "already_open":
        return _foreign_clock_out(walk, index)
    if state is PunchState.HELD and reason == "clock_untrusted":
        return walk.hold(index, "earlier_punch_undecided")
    return walk.hold(index, "earlier_punch_in_review")


def _own_clock_out(walk: Walk, index: int, shift_id: str) -> bool:
    """Its clock-in stands on the timesheet as `shift_id`."""
    punch, before = walk.punches[index], walk.punches[index - 1]
    record = walk.view.by_id(shift_id) if walk.view else None
    if record is not None and record.end is not None:
        return _already_ended(walk, index, record)
    # A read of the last hours does not show a shift that a manager ended before them: it is not gone for that. What a
    # person accepted for its clock-in may have begun days before that.
    began_by = before.second - (FORGOTTEN_S if before.detail else 0)
    unseen = walk.view is not None and record is None and not walk.view.covers(began_by)
    back_s = FORGOTTEN_S + walk.policy.max_shift_s if before.detail else None
    if not walk.too_old_for_live(index):
        walk.wake_when_expired(punch)
        if walk.stale(punch):
            return walk.read(index)
        if walk.view is not None and record is None and walk.view.requested_at > punch.occurred_at:
            if not unseen:
                return walk.review(index, "shift_gone")
            if walk.policy.can_look_up:
                return walk.read(index, back_s=back_s)
        return walk.send(index, EndShift(punch.user_id, punch.second, shift_id))
    if unseen or walk.stale(punch, asked_after=punch.occurred_at):
        return walk.read(index, expired=True, back_s=back_s)
    if record is None:
        return walk.review(index, "shift_gone")
    return _close_late(walk, index, record)


def _already_ended(walk: Walk, index: int, record: ShiftRecord) -> bool:
    if walk.ends_here(index, record):
        return walk.deliver(index, record, RecordedAs.CLOCK_OUT)
    if not record.auto_ended:
        opened_since = walk.open_for(index)
        if opened_since is not None and record.end is not None and opened_since.start >= record.end:
            return _foreign_clock_out(walk, index)  # a phone's break: the person leaves the shift that they are in
        return walk.review(index, "already_clocked_out", described(record))
    if walk.policy.after_auto_clock_out == "correct":
        return _close(walk, index, record, expired=False)
    return walk.review(index, "auto_clocked_out", described(record))


def _close_late(walk: Walk, index: int, record: ShiftRecord) -> bool:
    if not walk.policy.close_late_by_update:
        return walk.review(index, "could_not_close", described(record))
    return _close(walk, index, record, expired=True)


def _close(walk: Walk, index: int, record: ShiftRecord, *, expired: bool) -> bool:
    """Set the end of a shift that was just seen without one of somebody's own: an update overwrites what stands.

    What ends an outage ends it for other kiosks as well: they have a moment to send what they have, and are not
    overwritten. From the second look on it goes as what is live: once more behind others, it would look for ever.
    """
    punch, view = walk.punches[index], walk.view
    assert view is not None
    expired = expired and view.shown_open_s(record.id) <= 0
    if walk.moment.now - view.requested_at > walk.policy.close_within_s:
        return walk.read(index, expired=expired)
    if record.end is None and (waits_s := _wait_for_others(walk, view, record)) > 0:
        look_at = view.requested_at + waits_s
        if walk.moment.now >= look_at:
            return walk.read(index)
        walk.wake(look_at)
        return False
    step = CloseShift(punch.user_id, record.id, punch.second, _mark(punch, record))
    return walk.send(index, step, expired=expired)


def _wait_for_others(walk: Walk, view: View, record: ShiftRecord) -> float:
    """How long after this read the open shift is looked at again before it is ended by an update, seconds; 0: now.

    What waits for the account's next minute leaves in its first seconds, here and on other kiosks: what a read of those
    shows may be changing.
    """
    shown_s = view.shown_open_s(record.id)
    into_minute_s = (view.requested_at + walk.moment.server_now - walk.moment.now) % 60
    crowded = into_minute_s < CROWDED_S and shown_s < CROWDED_MAX_S
    return max(SHOWN_OPEN_S - shown_s, 2 * CROWDED_S if crowded else 0.0)


def _mark(punch: Punch, record: ShiftRecord) -> str | None:
    """Our mark for a record that is changed; none where somebody's note stands: it is theirs."""
    return None if record.note else reference(punch)


def _foreign_clock_out(walk: Walk, index: int) -> bool:
    """Its clock-in is unknown here: a phone's, or another kiosk's. Only a read made after the tap may speak."""
    punch = walk.punches[index]
    expired = walk.too_old_for_live(index)
    view = walk.view
    if view is None or view.requested_at < punch.occurred_at or not view.covers(punch.second):
        return walk.read(index, expired=expired)
    if (record := walk.shown(index)) is not None:
        return walk.deliver(index, record, RecordedAs.CLOCK_OUT)
    record = walk.open_for(index)
    if record is not None:
        if walk.stale(punch):
            return walk.read(index, expired=expired)
        if expired:
            return _close_late(walk, index, record)
        return walk.send(index, EndShift(punch.user_id, punch.second, record.id))
    if expired:
        if view.requested_at < punch.occurred_at + walk.policy.reach_s:
            return walk.read(index, expired=True)
        return walk.review(index, "no_matching_clock_in")
    waited = max(LOOK_AGAIN_MIN_S, view.requested_at - punch.occurred_at)
    if walk.moment.now >= view.requested_at + waited:
        return walk.read(index)
    walk.wake(view.requested_at + waited)
    walk.wake_when_expired(punch)
    return walk.hold(index, "waiting_for_clock_in")
