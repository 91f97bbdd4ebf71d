"""PURE: an attempt whose outcome is not known, held against what reads show of the timesheet.

Looked up after the settling time and once more later (facts, U10); found is delivered, absent twice goes again. What
damage made us forget may have been delivered long ago and given another time since: its absence proves nothing while a
shift of that day is nobody's, and a person compares. An attempt refused because of a state (`CONFLICTS`) is looked up
at once: the state may be our own doing. An end set by an update is looked up when nobody who saw the shift open can set
another over it any more; an update that was answered and changed nothing is not sent again.
"""

from __future__ import annotations

from daemon.dating import WRONG
from daemon.delivery.knowledge import View
from daemon.delivery.matching import (
    BY_PROGRAMS,
    RECORDED_AS,
    Absent,
    Exactly,
    Match,
    Resembling,
    Rounded,
    is_rounded,
    match,
    unexplained,
)
from daemon.delivery.policy import FORGOTTEN_S, ROUNDING_MAX_S
from daemon.delivery.steps import decode
from daemon.delivery.walk import Walk, described
from daemon.model import Direction, PunchState
from daemon.timesheets.timesheet import CloseShift, EndShift, OpenShift, ShiftRecord, Write

#: Outcomes of an attempt that ask for a read before they are judged (timesheet.Conflict).
CONFLICTS = ("already_open", "no_open_shift", "before_clock_in", "shift_gone")


#: Ends the words of a conflict that no read explains: what was not seen cannot be seen to be gone (reviewing.py).
NOT_SHOWN = "no such shift"


def in_flight(walk: Walk, index: int) -> bool:
    """Judge or look up an attempt whose outcome is not known; nothing else in the lane goes on before."""
    attempt = walk.lane[index].attempt
    if not walk.moment.trusted:
        return False
    if attempt is None:  # cannot be written by the queue; a person must look, nothing is sent again
        return walk.review(index, "outcome_unclear")
    step = decode(attempt.kind, attempt.step)
    conflict = attempt.outcome if attempt.outcome in CONFLICTS else None
    # A clock that was set since says nothing of how long ago it left: then the settling begins where that was.
    sent_at = attempt.sent_at if walk.moment.set_at is None else max(attempt.sent_at, walk.moment.set_at)
    if sent_at > walk.moment.now and walk.moment.set_at is not None:
        sent_at = walk.moment.set_at
    first_look = sent_at + (0 if conflict else walk.policy.settle_s)
    second_look = sent_at + walk.policy.second_look_s
    speaks_from = max(sent_at, attempt.ended_at or 0)
    if isinstance(step, CloseShift) and not conflict:
        speaks_from = first_look = sent_at + walk.policy.overwritten_within_s
    known_since = walk.view.requested_at if walk.view else float("-inf")
    if walk.view is not None and known_since >= speaks_from and walk.covered_by(walk.view, index):
        ours, taken = walk.known_as_others(index), walk.taken(index)
        found = match(step, walk.view, attempt.sent_at, ours, taken)
        if isinstance(step, EndShift) and step.shift_id and not conflict:
            others_ended_it = _others_ended_it(walk.view, step, found)
            # Last of all: where that much cannot be read, what the looks showed has to do.
            last = others_ended_it and (isinstance(found, Exactly) or known_since >= second_look)
            if last and walk.policy.can_look_up and not walk.covered_by(walk.view, index, FORGOTTEN_S):
                return walk.read(index, back_s=FORGOTTEN_S)
            # While its own is open the service may have ended one that it holds for as young: it rounds their starts.
            if others_ended_it or isinstance(found, Absent):
                found = _ended_instead(walk, index, step) or found
        if isinstance(found, Exactly):
            if isinstance(step, EndShift) and found.record.id != step.shift_id:
                return _closed_another(walk, index, found.record, step)
            return _found(walk, index, found.record, step)
        if isinstance(found, Absent) and walk.lane[index].forgotten:
            found = _of_that_day(walk, index, step)
        if isinstance(found, Rounded) and not conflict:
            return _found_rounded(walk, index, found, step)
        if isinstance(step, EndShift):
            other = walk.view.ending(step.at, but=taken | {step.shift_id})
            if other is not None and not step.shift_id:  # of a salvaged punch it is not known what it was to end
                return _found(walk, index, other, step)
            if other is not None:
                return _closed_another(walk, index, other, step)
        if conflict == "already_open" and not walk.view.covers(walk.punches[index].second - FORGOTTEN_S):
            return walk.read(index, back_s=FORGOTTEN_S)  # what is in the way may be days old
        if conflict:
            return _judge_conflict(walk, index, conflict, step)
        if known_since >= second_look:
            return _never_happened(walk, index, step, found)
        if known_since >= first_look:
            first_look = second_look
    if walk.moment.now < first_look:
        walk.wake(first_look)
        return False
    return walk.read(index, back_s=FORGOTTEN_S if conflict == "already_open" else None)


def _others_ended_it(view: View, step: EndShift, found: Match) -> bool:
    """Whether its shift was ended by somebody else, or is not shown: then our request ended what else was open."""
    if isinstance(found, Exactly):
        return found.record.ended_by not in BY_PROGRAMS  # in that very second
    own = view.by_id(step.shift_id)
    return isinstance(found, Absent) and (own is None or own.end is not None)


def _ended_instead(walk: Walk, index: int, step: EndShift) -> Exactly | Resembling | None:
    """The shift that a clock-out ended in the place of its own, None where the view shows none.

    The service ends whichever is open then, also one that was forgotten days before, and may round what it is given.
    Of several it ends the most recent (facts 1.4): what began before its own, which is still open, was not ended so.
    """
    assert walk.view is not None
    taken = walk.taken(index) | walk.ended_by_others(index)
    others = [r for r in walk.view.records if r.id != step.shift_id and r.id not in taken and r.ended_by == "api"]
    own = walk.view.by_id(step.shift_id)
    if own is not None and own.end is None:
        others = [r for r in others if r.start >= own.start]
    exact = next((r for r in others if r.end == step.at), None)
    if exact is not None:
        return Exactly(exact)
    # As of its own shift: an update would have left a mark, a clock-out leaves none.
    ended = [(r, r.end) for r in others if r.end is not None and r.reference is None and is_rounded(r.end)]
    near = [(r, end) for r, end in ended if abs(end - step.at) <= ROUNDING_MAX_S]
    other = min(near, key=lambda one: abs(one[1] - step.at), default=(None, 0))[0]
    return Resembling(other) if other else None


def _of_that_day(walk: Walk, index: int, step: Write) -> Resembling | Absent:
    """What a forgotten delivery may have become: a shift around it that none of the person's other punches explains."""
    assert walk.view is not None
    before = walk.punches[index - 1] if index else None
    if before is not None and before.direction is Direction.CLOCK_IN and walk.is_pair(index - 1):
        return Absent()  # a clock-out ends its clock-in's shift or none, and the planner asks what stands there
    others = [(punch, walk.remote_ids[i]) for i, punch in enumerate(walk.punches) if i not in walk.covered(index)]
    own = walk.remote_ids[index + 1] if walk.is_pair(index) else None
    record = unexplained(step, walk.view, others, own, walk.policy.max_shift_s)
    return Absent() if record is None else Resembling(record)


def _found(walk: Walk, index: int, record: ShiftRecord, step: Write) -> bool:
    for i in walk.covered(index):
        walk.settle(i, PunchState.DELIVERED, record=record, as_=RECORDED_AS[type(step)], outcome="found")
    return True


def _found_rounded(walk: Walk, index: int, found: Rounded, step: Write) -> bool:
    small = abs(found.off_s) <= ROUNDING_MAX_S
    for i in walk.covered(index):
        walk.settle(
            i,
            PunchState.DELIVERED if small else PunchState.REVIEW,
            reason=None if small else "server_changed_time",
            detail=described(found.record),
            record=found.record,
            as_=RECORDED_AS[type(step)],
            outcome="found_changed",
        )
    return True


def _closed_another(walk: Walk, index: int, record: ShiftRecord, step: EndShift) -> bool:
    """As when the answer itself had said so: a person is told which shift got this end."""
    walk.settle(
        index,
        PunchState.REVIEW,
        reason="closed_another_shift",
        detail=f"expected shift {step.shift_id}; {described(record)}",
        record=record,
        as_=RECORDED_AS[EndShift],
        outcome="closed_another_shift",
    )
    return True


def _judge_conflict(walk: Walk, index: int, conflict: str, step: Write) -> bool:
    """The service refused because of a state that the read has now shown."""
    attempt, view = walk.lane[index].attempt, walk.view
    assert attempt is not None
    assert view is not None
    reason, record = conflict, None
    if isinstance(step, EndShift):
        record = view.by_id(step.shift_id)
        if record is None:
            reason = "shift_gone"
        elif record.end is not None:
            reason = "auto_clocked_out" if record.auto_ended else "already_clocked_out"
    elif isinstance(step, OpenShift):
        # One begun later is in the way just as well: the service takes no clock-in while any shift is open.
        record = view.open_before(step.at, FORGOTTEN_S) or view.open_at_all()
    shown = described(record) if record else NOT_SHOWN
    walk.settle(index, PunchState.REVIEW, reason=reason, detail=f"{attempt.detail or conflict}; {shown}")
    return True


def _never_happened(walk: Walk, index: int, step: Write, found: Resembling | Absent | Rounded) -> bool:
    """Looked up twice and not there: it may go again, but never beside something that resembles it."""
    attempt = walk.lane[index].attempt
    for i in walk.covered(index):
        if (wrong := walk.reasons[i]) in WRONG:  # a person's retry only asked whether it was sent: it stays theirs
            near = described(found.record) if isinstance(found, Resembling) else None
            shown = "; ".join(words for words in (walk.punches[i].detail, near) if words) or None
            walk.settle(i, PunchState.REVIEW, reason=wrong, detail=shown, outcome=None if near else "absent")
        elif isinstance(found, Resembling):
            walk.settle(i, PunchState.REVIEW, reason="outcome_unclear", detail=described(found.record))
        elif isinstance(step, CloseShift):
            stands = walk.view.by_id(step.shift_id) if walk.view else None
            shown = described(stands) if stands else None
            answered = attempt is not None and attempt.answered
            outcome = "did_not_take" if answered else "absent"  # lost on its way, it goes again (reviewing.py)
            walk.settle(i, PunchState.REVIEW, reason="could_not_close", detail=shown, outcome=outcome)
        else:
            walk.settle(i, PunchState.PENDING, outcome="absent")
    return False
