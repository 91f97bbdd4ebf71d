"""Attempts whose outcome is not known, and reviews taken up again: what a read makes of them (delivery.md).

Times are hours of one day, UTC.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from daemon.delivery.knowledge import View
from daemon.delivery.plan import Read
from daemon.delivery.planner import plan_lane
from daemon.delivery.policy import Policy
from daemon.delivery.reviewing import rested
from daemon.model import PunchState, RecordedAs
from daemon.queue.deliveries import SALVAGED
from daemon.queue.lanes import LanePunch
from daemon.timesheets.timesheet import CloseShift, EndShift, OpenShift, RecordShift
from tests.support.lanes import (
    DELIVERED,
    HELD,
    IN_FLIGHT,
    REVIEW,
    answered,
    at,
    moment,
    punch,
    second,
    seen,
    sent,
    shift,
    since,
    tried,
    verdicts,
)

POLICY = Policy()
OUT_AT_16 = EndShift("7", second(16), "s1")


# --- unknown outcomes


@pytest.mark.parametrize("outcome", [None, "already_open"])
def test_an_unknown_outcome_is_judged_before_an_older_punch_that_waited(outcome):
    """The clock-in passed a held clock-out, whose shift shows now. Sent first, that ends what is to be seen."""
    entry = tried(punch("in", 9), OpenShift("7", second(9)), 9.1, outcome=outcome)
    lane = [punch("out", 8, HELD, reason="waiting_for_clock_in"), entry]
    view = seen(9.101, shift("p", 0, by=None, started_by="mobile"))
    plan = plan_lane(lane, view, moment(9.1011), POLICY)
    if outcome is None:
        assert (plan.verdicts, plan.request, plan.wake_at) == ((), None, at(9.1) + POLICY.settle_s)
        return
    assert verdicts(plan)[0] == ("in-9", "review", "already_open")
    assert "shift p" in (plan.verdicts[0].detail or "")
    assert sent(plan) == EndShift("7", second(8), "p")


def test_a_phone_that_ended_the_shift_in_the_same_second_leaves_ours_to_end_another():
    """Two shifts were open. The answer was lost, our second stands there, but by a phone: what did our request end?"""
    out = tried(punch("out", 16), EndShift("7", second(16), "s1"), 16.001)
    lane = [punch("in", 8, DELIVERED, shift="s1"), out]
    by_phone = shift("s1", 8, 16, by="mobile")
    near = replace(seen(16.1, by_phone), since=second(0))
    plan = plan_lane(lane, near, moment(16.11), POLICY)
    assert plan.verdicts == ()
    assert isinstance(plan.request, Read)
    assert plan.request.since <= second(16) - 15 * 86400
    forgotten = shift("f", -50, 16)
    plan = plan_lane(lane, seen(16.1, by_phone, forgotten), moment(16.11), POLICY)
    assert verdicts(plan) == [("out-16", "review", "closed_another_shift")]
    assert plan.verdicts[0].remote_id == "f"
    for other in (shift("f", -50, 16, by="mobile"), shift("f", -50, 15), shift("f", -50)):
        plan = plan_lane(lane, seen(16.1, by_phone, other), moment(16.11), POLICY)
        assert verdicts(plan) == [("out-16", "delivered", None)]
        assert plan.verdicts[0].remote_id == "s1"
    blind = replace(POLICY, can_look_up=False)
    assert verdicts(plan_lane(lane, near, moment(16.11), blind)) == [("out-16", "delivered", None)]
    # A refusal has ended nothing.
    refused = tried(punch("out", 16, IN_FLIGHT), EndShift("7", second(16), "s1"), 16.001, outcome="no_open_shift")
    plan = plan_lane([lane[0], refused], near, moment(16.11), POLICY)
    assert verdicts(plan) == [("out-16", "delivered", None)]


def test_a_lost_clock_out_whose_shift_a_phone_had_ended_is_looked_for_at_all_that_was_open():
    """One forgotten days before was open too, and got our second, rounded: absent at its own shift says nothing."""
    out = tried(punch("out", 16), EndShift("7", second(16), "s1"), 16.001)
    lane = [punch("in", 8, DELIVERED, shift="s1"), out]
    by_phone, forgotten = shift("s1", 8, 15.5, by="mobile"), shift("f", -80, 16 - 120 / 3600)
    for own in ((by_phone,), ()):
        near = replace(seen(16.1, *own), since=second(0))
        plan = plan_lane(lane, near, moment(16.11), POLICY)
        assert plan.verdicts == ()
        assert isinstance(plan.request, Read)
        assert plan.request.since <= second(16) - 15 * 86400
    # Judged by the second look, and read that far after it: where that cannot be, what the looks showed has to do.
    early = at(16.001) + POLICY.settle_s + 1
    first = seen((early - at(0)) / 3600, by_phone, forgotten)
    plan = plan_lane(lane, first, moment(16.004), POLICY)
    assert (plan.verdicts, plan.request) == ((), None)
    plan = plan_lane(lane, replace(first, since=second(0)), moment(16.1), POLICY)
    assert isinstance(plan.request, Read)
    assert plan.request.since > second(16) - 3 * 86400
    (verdict,) = plan_lane(lane, seen(16.1, by_phone, forgotten), moment(16.11), POLICY).verdicts
    assert (verdict.state, verdict.reason) == (REVIEW, "outcome_unclear")
    assert "shift f" in (verdict.detail or "")
    assert verdict.attempt_outcome is None
    # Nothing of ours: a phone's end, one with an update's mark, one too far off, one that is another punch's.
    phones, marked = replace(forgotten, ended_by="mobile"), replace(forgotten, reference="other")
    for other in (phones, marked, shift("f", -80, 15.5), shift("f", -80)):
        plan = plan_lane(lane, seen(16.1, by_phone, other), moment(16.11), POLICY)
        assert verdicts(plan) == [("out-16", "pending", None)]
    # Its own shift is open still: the request never arrived, and no more is read than before.
    plan = plan_lane(lane, replace(seen(16.1, shift("s1", 8)), since=second(0)), moment(16.11), POLICY)
    assert verdicts(plan)[0] == ("out-16", "pending", None)
    # Where nothing can be read further back, what is seen has to do.
    near, blind = replace(seen(16.1, by_phone), since=second(0)), replace(POLICY, can_look_up=False)
    assert verdicts(plan_lane(lane, near, moment(16.11), blind))[0] == ("out-16", "pending", None)


def test_what_our_other_clock_outs_ended_is_not_what_a_lost_one_did():
    """An end that the service rounded may lie near this punch and be another's, which lies further off itself."""
    lane = [
        replace(punch("out", 15.7, DELIVERED, shift="s0"), context=True),
        punch("in", 15.8, DELIVERED, shift="s1"),
        tried(punch("out", 16), EndShift("7", second(16), "s1"), 16.001),
    ]
    by_phone = shift("s1", 15.8, 15.9, by="mobile")
    plan = plan_lane(lane, seen(16.1, shift("s0", 8, 15.75), by_phone), moment(16.11), POLICY)
    assert verdicts(plan) == [("out-16", "pending", None)]
    plan = plan_lane(lane, seen(16.1, shift("s9", 8, 15.75), by_phone), moment(16.11), POLICY)
    assert verdicts(plan) == [("out-16", "review", "outcome_unclear")]


def test_a_phones_end_in_our_second_and_a_rounded_one_near_it_are_not_taken_for_one():
    """What our request ended is the other, perhaps: a person is told of that one, not of its own shift."""
    lane = [punch("in", 8, DELIVERED, shift="s1"), tried(punch("out", 16), EndShift("7", second(16), "s1"), 16.001)]
    records = (shift("s1", 8, 16, by="mobile"), shift("f", -80, 16 - 120 / 3600))
    (verdict,) = plan_lane(lane, seen(16.1, *records), moment(16.11), POLICY).verdicts
    assert (verdict.state, verdict.reason, verdict.remote_id) == (REVIEW, "outcome_unclear", None)
    assert "shift f" in (verdict.detail or "")


def test_an_unknown_outcome_is_looked_up_after_the_settling_time_before_anything_else():
    """Nothing else of the lane moves; the look-up waits for the settling time."""
    lane = [tried(punch("in", 8), OpenShift("7", second(8)), 8.01), punch("out", 8.02)]
    plan = plan_lane(lane, None, moment(8.011), POLICY)
    assert (plan.request, plan.verdicts) == (None, ())
    assert plan.wake_at == at(8.01) + 5
    assert isinstance(plan_lane(lane, None, moment(8.03), POLICY).request, Read)


def test_a_read_from_before_the_attempt_says_nothing_about_it():
    """Only a read requested after the settling time counts as a look."""
    lane = [tried(punch("in", 8), OpenShift("7", second(8)), 8.01)]
    assert isinstance(plan_lane(lane, seen(8.005), moment(8.03), POLICY).request, Read)


def test_found_is_delivered_with_the_attempts_end():
    """Found: delivered, with that record's id, and the attempt is settled."""
    lane = [tried(punch("in", 8), OpenShift("7", second(8)), 8.01)]
    (verdict,) = plan_lane(lane, seen(8.02, shift("s1", 8)), moment(8.03), POLICY).verdicts
    assert (verdict.state, verdict.remote_id, verdict.attempt_outcome) == (DELIVERED, "s1", "found")


def test_absent_is_looked_for_once_more_and_then_goes_again():
    """Absent after the settling time: a second look 30 s after it could arrive (facts, U10), then it may go again."""
    lane = [tried(punch("in", 8), OpenShift("7", second(8)), 8.0)]
    once = at(8) + 6
    first = seen((once - at(0)) / 3600)
    plan = plan_lane(lane, first, moment(8.002), POLICY)
    assert (plan.request, plan.verdicts) == (None, ())
    assert plan.wake_at == at(8) + 15 + 5 + 30
    assert isinstance(plan_lane(lane, first, moment(8.014), POLICY).request, Read)
    plan = plan_lane(lane, seen(8.014), moment(8.015), POLICY)
    assert [(v.state, v.attempt_outcome) for v in plan.verdicts] == [(PunchState.PENDING, "absent")]


@pytest.mark.parametrize("outcome", [None, "no_open_shift"])
def test_a_lost_clock_out_that_ended_another_shift_is_told(outcome):
    """Our second stands at the end of a shift that is not ours: a person is told which; it is not sent again."""
    out = tried(punch("out", 16), EndShift("7", second(16), "s1"), 16.01, outcome=outcome)
    lane = [
        punch("in", 8, DELIVERED, shift="s1"),
        LanePunch(replace(out.punch, state=PunchState.IN_FLIGHT), out.attempt),
    ]
    view = seen(16.1, shift("s1", 8, 15.9, by="mobile"), shift("p", 2, 16))
    plan = plan_lane(lane, view, moment(16.11), POLICY)
    assert verdicts(plan) == [("out-16", "review", "closed_another_shift")]
    assert plan.verdicts[0].remote_id == "p"


def test_a_lost_clock_out_that_ended_an_equally_young_shift_is_not_sent_again():
    """Tapped twice at the door, rounded to one start, both open: the service ended the first, at a rounded second."""
    first, own = shift("s1", 6.75, 11.75), shift("s2", 6.75)
    lane = [
        punch("in", 6.85, DELIVERED, shift="s1"),
        punch("in", 6.87, DELIVERED, shift="s2"),
        tried(punch("out", 11.65), EndShift("7", second(11.65), "s2"), 11.651),
    ]
    plan = plan_lane(lane, seen(11.653, first, own), moment(11.654), POLICY)
    assert (plan.request, plan.verdicts) == (None, ())  # the second look is still to come
    plan = plan_lane(lane, seen(11.67, first, own), moment(11.671), POLICY)
    assert verdicts(plan) == [("out-11.65", "review", "outcome_unclear")]
    assert "shift s1" in (plan.verdicts[0].detail or "")
    for other in (shift("s1", 6.5, 11.75), shift("s1", 6.75, 11.75, by="mobile"), shift("s1", 6.75, 11.2)):
        plan = plan_lane(lane, seen(11.67, other, own), moment(11.671), POLICY)
        assert [(v.state, v.attempt_outcome) for v in plan.verdicts] == [(PunchState.PENDING, "absent")], other


@pytest.mark.parametrize("shift_id", ["s1", "f"])
def test_another_kiosks_end_a_few_minutes_before_is_not_ours_rounded(shift_id):
    """Out at both doors within a quarter of an hour, the second one lost: services round to minutes, kiosks do not."""
    lane = [punch("in", 8, DELIVERED, shift="s1"), tried(punch("out", 16), EndShift("7", second(16), "s1"), 16.001)]
    for end, state in ((15.8, "review" if shift_id == "f" else "delivered"), (15.8 + 7 / 3600, "pending")):
        own = [] if shift_id == "s1" else [shift("s1", 8, 15, by="mobile")]
        plan = plan_lane(lane, seen(16.1, *own, shift(shift_id, 8, end)), moment(16.11), POLICY)
        assert [one.state for one in plan.verdicts] == [PunchState(state)]


def test_a_salvaged_clock_out_is_found_by_its_second():
    """Which shift it was to end is lost with the database; the one that ends at its second is its own."""
    out = tried(punch("out", 16), EndShift("7", second(16), ""), 16.01)
    lane = [
        punch("in", 8, DELIVERED, shift="s1"),
        LanePunch(replace(out.punch, state=PunchState.IN_FLIGHT), out.attempt),
    ]
    plan = plan_lane(lane, seen(16.1, shift("s1", 8, 16)), moment(16.11), POLICY)
    assert [(v.punch_id, v.state, v.remote_id) for v in plan.verdicts] == [("out-16", PunchState.DELIVERED, "s1")]
    plan = plan_lane(lane, seen(16.1, shift("s1", 8)), moment(16.11), POLICY)
    assert [(v.state, v.attempt_outcome) for v in plan.verdicts] == [(PunchState.PENDING, "absent")]


def test_both_punches_of_a_pair_are_settled_by_one_look():
    """One request, one attempt, two punches."""
    step = RecordShift("7", second(0), second(8), "in-0")
    lane = [tried(punch("in", 0), step, 13), tried(punch("out", 8), step, 13)]
    plan = plan_lane(lane, seen(13.1, shift("s1", 0, 8)), moment(13.2), POLICY)
    assert [(v.punch_id, v.state, v.recorded_as) for v in plan.verdicts] == [
        ("in-0", DELIVERED, RecordedAs.TIME_ACTIVITY),
        ("out-8", DELIVERED, RecordedAs.TIME_ACTIVITY),
    ]


def test_our_reference_in_the_note_finds_a_rounded_record():
    """A rounding service: found by our mark, delivered with what it changed told."""
    step = RecordShift("7", second(0), second(8), "in-0")
    lane = [tried(punch("in", 0), step, 13), tried(punch("out", 8), step, 13)]
    view = seen(13.1, shift("s1", 0.1, 8, note="kiosk front, ref in-0"))
    plan = plan_lane(lane, view, moment(13.2), POLICY)
    assert {v.state for v in plan.verdicts} == {DELIVERED}


def test_something_that_resembles_it_is_never_doubled():
    """A shift near ours of which it is not told when it was made: a person compares."""
    lane = [tried(punch("in", 8), OpenShift("7", second(8)), 8.0)]
    plan = plan_lane(lane, seen(8.2, shift("x", 8.05)), moment(8.21), POLICY)
    assert verdicts(plan) == [("in-8", "review", "outcome_unclear")]


def forgotten(entry: LanePunch, step: OpenShift | EndShift) -> LanePunch:
    """In flight since a salvage at 20:00, which does not know whether anything was ever sent."""
    made = tried(entry, step, 20, attempt_id=entry.punch.seq)
    assert made.attempt is not None
    return replace(made, attempt=replace(made.attempt, detail=SALVAGED))


@pytest.mark.parametrize(
    ("shown", "state"),
    [
        ([], "pending"),
        ([shift("x", 10, 12, created=8.0)], "review"),
        ([shift("x", 10, 12)], "review"),
        ([shift("x", 10, created=8.0, started_by="admin")], "review"),
        ([shift("x", 10, 12, created=7.0)], "pending"),  # it was there before the tap
        ([shift("x", 13, 17, created=13.0)], "pending"),  # another clock-in's, to the second
        ([shift("late", 18, 19, created=18.0)], "pending"),  # another's, by its id
        ([shift("night", -20, -12, created=8.0)], "pending"),  # of another day
    ],
)
def test_a_forgotten_clock_in_goes_again_only_where_the_day_is_explained(shown, state):
    """Any shift of that day which is nobody else's may be what became of it."""
    lane = [
        forgotten(punch("in", 8), OpenShift("7", second(8))),
        forgotten(punch("out", 12), EndShift("7", second(12), "")),
        forgotten(punch("in", 13), OpenShift("7", second(13))),
        forgotten(punch("out", 17), EndShift("7", second(17), "")),
        replace(punch("in", 18.2, DELIVERED, shift="late"), context=True),
    ]
    plan = plan_lane(lane, seen(20.5, *shown), moment(20.6), POLICY)
    assert (plan.verdicts[0].punch_id, plan.verdicts[0].state) == ("in-8", state)


@pytest.mark.parametrize(
    ("shown", "state"),
    [
        ([shift("open", 11)], "pending"),
        ([shift("open", 11), shift("x", 5, 9, by="admin")], "review"),
        ([shift("open", 11), shift("x", 5, 9, by="mobile")], "pending"),  # the person's own doing
        ([shift("open", 11), shift("y", 6, 7, by="admin")], "pending"),  # its end is another clock-out's
    ],
)
def test_a_forgotten_clock_out_of_a_foreign_shift_does_not_end_another(shown, state):
    """It may have ended a shift whose end was moved since."""
    lane = [
        replace(punch("out", 7, DELIVERED, shift="y"), context=True),
        forgotten(punch("out", 12), EndShift("7", second(12), "")),
    ]
    plan = plan_lane(lane, seen(20.5, *shown), moment(20.6), POLICY)
    assert (plan.verdicts[0].punch_id, plan.verdicts[0].state) == ("out-12", state)


@pytest.mark.parametrize(
    ("record", "state"),
    [
        (shift("x", 10, 12, created=8.005), "review"),
        (shift("x", 8.1, 12, created=8.005, started_by="admin"), "review"),
        (shift("x", 10, 12, created=8.2), "pending"),  # made long after our request
        (shift("x", 10, 12, created=7.9), "pending"),  # and long before
        (shift("x", 8.3, None, created=8.301, started_by="mobile"), "pending"),
    ],
)
def test_a_lost_request_that_was_moved_before_it_was_looked_up(record, state):
    """A shift made in the moment of our request, with another start since, is not doubled."""
    lane = [tried(punch("in", 8), OpenShift("7", second(8)), 8.0)]
    plan = plan_lane(lane, seen(12.5, record), moment(12.6), POLICY)
    assert verdicts(plan)[0][1] == state


def test_a_rounded_clock_in_made_after_our_request_is_ours():
    """Created by the API after we sent, within a quarter of an hour: delivered, changed."""
    lane = [tried(punch("in", 8), OpenShift("7", second(8)), 8.0)]
    plan = plan_lane(lane, seen(8.2, shift("x", 8.1, created=8.001)), moment(8.21), POLICY)
    assert [(v.state, v.remote_id) for v in plan.verdicts] == [(DELIVERED, "x")]


def test_an_older_shift_near_ours_is_not_ours():
    """Created before we sent: ours is absent and goes again."""
    lane = [tried(punch("in", 8), OpenShift("7", second(8)), 8.0)]
    plan = plan_lane(lane, seen(8.2, shift("x", 7.9, 7.95, created=7.9)), moment(8.21), POLICY)
    assert [(v.state, v.attempt_outcome) for v in plan.verdicts] == [(PunchState.PENDING, "absent")]


def test_an_update_that_did_not_take_needs_a_person():
    """Answered, and a read shows the shift still open: could_not_close, sent again only where a person says so."""
    step = CloseShift("7", "s1", second(8), "out-8")
    lane = [punch("in", 0, DELIVERED, shift="s1"), answered(tried(punch("out", 8), step, 20))]
    plan = plan_lane(lane, seen(20.1, shift("s1", 0)), moment(20.2), POLICY)
    assert verdicts(plan) == [("out-8", "review", "could_not_close")]
    again = tried(punch("out", 8), step, 20, outcome="did_not_take")
    again = LanePunch(replace(again.punch, state=PunchState.PENDING), again.attempt)
    assert sent(plan_lane([lane[0], again], seen(22, shift("s1", 0)), moment(22.001), POLICY)) == step
    plan = plan_lane(lane, seen(20.1, shift("s1", 0, 8, by="api")), moment(20.2), POLICY)
    assert [(v.state, v.recorded_as) for v in plan.verdicts] == [(DELIVERED, RecordedAs.SHIFT_UPDATE)]


def test_an_update_that_never_arrived_goes_again():
    """It is looked for and absent: nobody is kept back by it, and while the shift is open the next read sends it."""
    step = CloseShift("7", "s1", second(8), "out-8")
    lane = [punch("in", 0, DELIVERED, shift="s1"), tried(punch("out", 8), step, 20)]
    (verdict,) = plan_lane(lane, seen(20.1, shift("s1", 0)), moment(20.2), POLICY).verdicts
    assert (verdict.state, verdict.reason, verdict.attempt_outcome) == (REVIEW, "could_not_close", "absent")
    lost = tried(punch("out", 8, REVIEW, reason="could_not_close"), step, 20, outcome="absent")
    lane[1] = since(lost, 20.2)
    for read_at, record, takes_up in (
        (20.15, shift("s1", 0), False),
        (21, shift("s1", 0), True),
        (21, shift("s1", 0, 9, by="admin"), False),
    ):
        plan = plan_lane(lane, seen(read_at, record), moment(21.001), POLICY)
        assert (("out-8", "pending", None) in verdicts(plan)) is takes_up
    open_still = seen(21, shift("s1", 0))
    assert verdicts(plan_lane(lane, open_still, moment(21.001), Policy(close_late_by_update=False))) == []
    by_itself = seen(21, shift("s1", 0, 10, by="autoClockOut"))
    for wanted in ("correct", "review"):
        plan = plan_lane(lane, by_itself, moment(21.001), Policy(after_auto_clock_out=wanted))
        assert (("out-8", "pending", None) in verdicts(plan)) is (wanted == "correct")
    lane[1] = replace(lane[1], attempt=replace(lost.attempt, outcome="did_not_take"))
    assert verdicts(plan_lane(lane, seen(21, shift("s1", 0)), moment(21.001), POLICY)) == []


def test_what_an_update_of_a_reopened_shift_did_is_found():
    """An earlier clock-out had ended it, hours before: a manager took that end away, and the later one stands there."""
    first = [punch("in", 8, DELIVERED, shift="s1"), punch("out", 12, DELIVERED, shift="s1")]
    ended = shift("s1", 8, 17, by="api", note="kiosk front, ref out-17")
    for step in (CloseShift("7", "s1", second(17), "out-17"), EndShift("7", second(17), "s1")):
        plan = plan_lane([*first, tried(punch("out", 17), step, 30)], seen(30.1, ended), moment(30.1), POLICY)
        assert verdicts(plan) == [("out-17", "delivered", None)]
    typed = punch("out", 17, REVIEW, reason="no_matching_clock_in")
    assert verdicts(plan_lane([*first, typed], seen(18.1, ended), moment(18.2), POLICY)) == [
        ("out-17", "delivered", None)
    ]
    closed = punch("out", 12, REVIEW, reason="closed_another_shift", shift="s2")
    lane = [first[0], closed, punch("in", 13, DELIVERED, shift="s2")]
    last = tried(punch("out", 17), CloseShift("7", "s2", second(17), "out-17"), 30)
    plan = plan_lane([*lane, last], seen(30.1, shift("s2", 13, 17)), moment(30.1), POLICY)
    assert ("out-17", "delivered", None) in verdicts(plan)


def test_an_end_with_anothers_mark_is_not_ours_rounded():
    """Our clock-out's answer was lost, and another kiosk's update set its own end, ten minutes off."""
    lane = [punch("in", 0, DELIVERED, shift="s1"), tried(punch("out", 8), EndShift("7", second(8), "s1"), 12)]
    ten_off = shift("s1", 0, 8 - 1 / 6, by="api")
    (verdict,) = plan_lane(lane, seen(12.1, ten_off), moment(12.1), POLICY).verdicts
    assert (verdict.state, verdict.attempt_outcome) == (DELIVERED, "found_changed")
    theirs = replace(ten_off, note="kiosk back, ref out-x", reference="out-x")
    (verdict,) = plan_lane(lane, seen(12.1, theirs), moment(12.1), POLICY).verdicts
    assert (verdict.state, verdict.attempt_outcome) == (PunchState.PENDING, "absent")


def test_a_refused_update_is_judged_at_once():
    """Nothing was written that anybody could write over."""
    step = CloseShift("7", "s1", second(8), "out-8")
    lane = [punch("in", 0, DELIVERED, shift="s1"), tried(punch("out", 8), step, 20, outcome="before_clock_in")]
    plan = plan_lane(lane, seen(20.001, shift("s1", 0)), moment(20.001), POLICY)
    assert verdicts(plan) == [("out-8", "review", "before_clock_in")]


def test_a_clock_in_is_found_in_the_shift_that_its_own_clock_out_ended():
    """A person accepted the record for the clock-out while the clock-in's answer was out."""
    lane = [tried(punch("in", 8), OpenShift("7", second(8)), 8.01), punch("out", 16, DELIVERED, shift="s1")]
    plan = plan_lane(lane, seen(16.2, shift("s1", 8, 16)), moment(16.2), POLICY)
    assert verdicts(plan) == [("in-8", "delivered", None)]


def test_two_forgotten_taps_of_one_second_have_one_end():
    """Both are looked up in one plan: what the first one found is not the second one's."""

    def forgotten(id_: str, attempt_id: int) -> LanePunch:
        entry = tried(punch("out", 16, id_=id_), EndShift("7", second(16), ""), 16.01, attempt_id=attempt_id)
        return LanePunch(entry.punch, replace(entry.attempt, detail=SALVAGED))

    lane = [punch("in", 8, DELIVERED, shift="s1"), forgotten("a", 1), forgotten("b", 2)]
    plan = plan_lane(lane, seen(17, shift("s1", 8, 16)), moment(17), POLICY)
    assert [one for one in verdicts(plan) if one[1] == "delivered"] == [("a", "delivered", None)]


def test_a_changed_end_that_a_manager_put_right_is_its_own():
    """The service had moved it far; the punch itself stands there as this shift, which keeps nothing from it."""
    out = punch("out", 16, REVIEW, reason="server_changed_time", shift="s1")
    lane = [punch("in", 8, DELIVERED, shift="s1"), out]
    plan = plan_lane(lane, seen(18, shift("s1", 8, 16, by="admin")), moment(18), POLICY)
    assert verdicts(plan) == [("out-16", "delivered", None)]


def test_a_read_made_while_a_request_was_out_does_not_explain_its_refusal():
    """It was asked for before the refusal came: what it shows may be from before the request."""
    refused = tried(punch("in", 8), OpenShift("7", second(8)), 8.001, outcome="already_open", ended_hours=8.01)
    assert verdicts(plan_lane([refused], seen(8.005), moment(8.011), POLICY)) == []


def test_a_longer_wait_for_answers_moves_what_a_look_proves():
    """What may still arrive is not absent, and whoever may still write is waited for."""
    step = RecordShift("7", second(8), second(9), "in-8", None)
    lane = [tried(punch(way, hour), step, 20) for way, hour in (("in", 8), ("out", 9))]
    for answer_s, absent in ((15.0, True), (60.0, False)):
        policy = Policy(answer_s=answer_s)
        plan = plan_lane(lane, seen(20 + 61 / 3600), moment(20 + 62 / 3600), policy)
        assert (("in-8", "pending", None) in verdicts(plan)) is absent
    assert Policy(answer_s=60).overwritten_within_s == POLICY.overwritten_within_s + 2 * 45
    assert Policy(settle_s=30).overwritten_within_s == POLICY.overwritten_within_s + 25


def test_a_read_of_another_time_tells_nothing_of_a_request():
    """A read of the last hours does not show a shift that ended before them: it is neither gone nor still open."""
    step = CloseShift("7", "s1", second(8), None)
    lane = [punch("in", 0, DELIVERED, shift="s1"), answered(tried(punch("out", 8), step, 30))]
    plan = plan_lane(lane, View(at(30.1), second(15), second(31), ()), moment(30.1), POLICY)
    assert (plan.verdicts, isinstance(plan.request, Read)) == ((), True)


def test_a_request_of_a_second_that_lies_ahead_is_judged():
    """A clock that ran ahead was set back: no read reaches that second, and what there is has been read."""
    for ahead in (3, 26, 30 * 24):
        lane = [tried(punch("in", 8 + ahead), OpenShift("7", second(8 + ahead)), 8)]
        request = plan_lane(lane, None, moment(8.1), POLICY).request
        assert isinstance(request, Read)
        assert request.since < request.until
        view = View(at(8.1), request.since, request.until, ())
        assert plan_lane(lane, view, moment(8.101), POLICY).verdicts


def test_a_later_clock_in_does_not_take_an_earlier_ones_shift():
    """The earlier one is in review, and its shift stands there to the second: it is not the later one's, rounded."""
    first = tried(punch("in", 8, REVIEW, reason="internal_error"), OpenShift("7", second(8)), 11)
    later = tried(punch("in", 8 + 1 / 6), OpenShift("7", second(8 + 1 / 6)), 11.001, attempt_id=2)
    view = seen(11.1, shift("s0", 8, created=11))
    plan = plan_lane([since(first, 11), later], view, moment(11.1), POLICY)
    assert verdicts(plan) == [(later.punch.id, "pending", None)]


def test_a_long_settling_time_does_not_put_off_the_read_of_an_update():
    """What was set is seen as soon as nobody can overwrite it; only its absence waits for the second look."""
    policy = Policy(settle_s=300)
    step = CloseShift("7", "s1", second(8), "out-8")
    lane = [punch("in", 0, DELIVERED, shift="s1"), tried(punch("out", 8), step, 20)]
    assert plan_lane(lane, seen(19.99, shift("s1", 0)), moment(20.01), policy).wake_at == (
        at(20) + policy.overwritten_within_s
    )
    assert policy.overwritten_within_s < policy.second_look_s


def test_an_update_is_believed_when_nobody_can_overwrite_it_any_more():
    """Two kiosks come back from one outage and see the same open shift: each sets its end, the later one stands.

    Whoever saw the shift without an end may still set one for a while; the read after that shows whose end it is.
    """
    step = CloseShift("7", "s1", second(8), "out-8")
    lane = [punch("in", 0, DELIVERED, shift="s1"), tried(punch("out", 8), step, 20)]
    final = 20 + POLICY.overwritten_within_s / 3600
    early = plan_lane(lane, seen(final - 0.001, shift("s1", 0, 8, by="api")), moment(final - 0.001), POLICY)
    assert (early.verdicts, early.request, early.wake_at) == ((), None, at(final))
    assert isinstance(plan_lane(lane, seen(final - 0.001), moment(final), POLICY).request, Read)
    theirs = shift("s1", 0, 11, by="api", note="kiosk back, ref out-11")
    (verdict,) = plan_lane([lane[0], answered(lane[1])], seen(final, theirs), moment(final + 0.001), POLICY).verdicts
    assert (verdict.state, verdict.reason, verdict.attempt_outcome) == (REVIEW, "could_not_close", "did_not_take")
    assert "until 2026-11-20T11:00:00Z" in (verdict.detail or "")


def test_what_keeps_a_clock_in_out_is_looked_for_far_back():
    """A shift forgotten days ago is in no ordinary read: it is asked for, and until it is seen to end nothing goes."""
    step = OpenShift("7", second(8))
    lane = [tried(punch("in", 8), step, 8.1, outcome="already_open")]
    near = replace(seen(8.2), since=second(-10))
    plan = plan_lane(lane, near, moment(8.3), POLICY)
    assert isinstance(plan.request, Read)
    assert plan.request.since < second(8 - 14 * 24)
    far = replace(seen(8.2, shift("s0", -100)), since=plan.request.since)
    assert verdicts(plan_lane(lane, far, moment(8.3), POLICY)) == [("in-8", "review", "already_open")]


@pytest.mark.parametrize(
    ("view", "released"),
    [
        (replace(seen(20, shift("s0", -100, -90, by="admin")), since=second(-400)), True),
        (replace(seen(20), since=second(-10)), False),  # so narrow a read says nothing of it
        (replace(seen(20, shift("s0", -100)), since=second(-400)), False),
        (replace(seen(20, shift("s0", -100, -90, by="admin"), shift("s2", 17)), since=second(-400)), False),
    ],
    ids=["ended", "not looked for", "still open", "another one open since"],
)
def test_a_clock_in_waits_until_the_shift_in_its_way_is_seen_to_have_ended(view, released):
    """Released by a read that does not reach back to that shift it would be refused again and again."""
    lane = [waiting("the timesheet shows shift s0")]
    assert bool(verdicts(plan_lane(lane, view, moment(20.1), POLICY))) is released


@pytest.mark.parametrize(("attempts", "released"), [(1, True), (2, False), (5, False)])
def test_what_no_read_explained_is_tried_once_more_and_then_waits_for_a_person(attempts, released):
    """The service said that a shift is open, and shows none: it may have ended before the look. Said again, no more."""
    entry = waiting("already open; no such shift")
    lane = [replace(entry, punch=replace(entry.punch, attempts=attempts))]
    plan = plan_lane(lane, replace(seen(20), since=second(-400)), moment(20.1), POLICY)
    assert bool(verdicts(plan)) is released


@pytest.mark.parametrize(
    ("attempts", "hours", "may"),
    [
        (1, 0.01, True),
        (2, 0.2, False),
        (2, 0.26, True),
        (3, 0.4, False),
        (3, 0.51, True),
        (60, 3.9, False),
        (60, 4.1, True),
    ],
)
def test_what_was_taken_up_and_refused_again_rests_longer_each_time(attempts, hours, may):
    """Also what a check shows mended: an archived person is still assigned, and is refused each time."""
    entry = punch("in", 8, REVIEW, reason="not_assigned")
    entry = LanePunch(replace(entry.punch, attempts=attempts), None, since=at(10))
    assert rested(entry, at(10 + hours)) is may


def waiting(detail: str) -> LanePunch:
    """A clock-in of eight o'clock that was refused because a shift is open."""
    entry = punch("in", 8, REVIEW, reason="already_open")
    return LanePunch(replace(entry.punch, detail=detail), None, since=at(10))


def test_an_update_that_the_service_rounded_took():
    """The read shows the API's end within a quarter of an hour, with our mark: delivered. Without it: not ours."""
    step = CloseShift("7", "s1", second(8), "out-8")
    lane = [punch("in", 0, DELIVERED, shift="s1"), tried(punch("out", 8), step, 20)]
    ours = shift("s1", 0, 8.1, by="api", note="kiosk front, ref out-8")
    plan = plan_lane(lane, seen(20.1, ours), moment(20.2), POLICY)
    assert [(v.state, v.attempt_outcome, v.recorded_as) for v in plan.verdicts] == [
        (DELIVERED, "found_changed", RecordedAs.SHIFT_UPDATE)
    ]
    lane[1] = answered(lane[1])
    plan = plan_lane(lane, seen(20.1, shift("s1", 0, 8.1, by="api")), moment(20.2), POLICY)
    assert verdicts(plan) == [("out-8", "review", "could_not_close")]


@pytest.mark.parametrize(
    ("step", "conflict", "record", "expected"),
    [
        (OpenShift("7", second(8)), "already_open", shift("s1", 8), ("delivered", None)),
        (OpenShift("7", second(8)), "already_open", shift("p", 7), ("review", "already_open")),
        (OUT_AT_16, "no_open_shift", shift("s1", 8, 16), ("delivered", None)),
        (OUT_AT_16, "no_open_shift", shift("s1", 8, 15, by="mobile"), ("review", "already_clocked_out")),
        (OUT_AT_16, "no_open_shift", shift("s1", 8, 15, by="autoClockOut"), ("review", "auto_clocked_out")),
        (OUT_AT_16, "no_open_shift", shift("z", 3, 4), ("review", "shift_gone")),
        (OUT_AT_16, "before_clock_in", shift("s1", 8), ("review", "before_clock_in")),
    ],
)  # fmt: skip
def test_a_refusal_for_a_state_is_looked_up_before_it_is_judged(step, conflict, record, expected):
    """Already open, NO_OPEN_SHIFT, BEFORE_CLOCK_IN: a record with our time means delivered, else review."""
    if isinstance(step, OpenShift):
        lane = [tried(punch("in", 8), step, 16.1, outcome=conflict)]
        lane = [type(lane[0])(lane[0].punch, lane[0].attempt)]
    else:
        lane = [punch("in", 8, DELIVERED, shift="s1"), tried(punch("out", 16), step, 16.1, outcome=conflict)]
    assert isinstance(plan_lane(lane, seen(16.05, record), moment(16.2), POLICY).request, Read)
    plan = plan_lane(lane, seen(16.15, record), moment(16.2), POLICY)
    assert [(v.state.value, v.reason) for v in plan.verdicts] == [expected]


def test_without_the_right_to_read_nothing_is_recorded_blindly():
    """The key may not read: live punches go, completed shifts wait, what is unknown stays in flight."""
    blind = Policy(can_look_up=False)
    assert sent(plan_lane([punch("in", 8)], None, moment(9), blind)) == OpenShift("7", second(8))
    plan = plan_lane([punch("in", 0), punch("out", 8)], None, moment(14), blind)
    assert verdicts(plan)[0] == ("in-0", "held", "look_up_refused")
    plan = plan_lane([tried(punch("in", 8), OpenShift("7", second(8)), 8)], None, moment(9), blind)
    assert (plan.request, plan.verdicts) == (None, ())


def test_a_service_without_live_shifts_gets_completed_ones():
    """Capability "open a shift now": no. The clock-in waits for its clock-out, then both go as one."""
    later = Policy(live=False)
    assert verdicts(plan_lane([punch("in", 8)], None, moment(8.1), later)) == [
        ("in-8", "held", "waiting_for_clock_out")
    ]
    plan = plan_lane([punch("in", 8), punch("out", 9)], seen(9.05), moment(9.1), later)
    assert sent(plan) == RecordShift("7", second(8), second(9), "in-8")


# --- reviews that are taken up again


def test_a_shift_that_is_too_long_goes_on_when_its_other_half_is_decided_against():
    """The clock-out is gone: its clock-in goes its own way; so does the clock-out without its clock-in. Else not."""
    start, end = punch("in", 8, REVIEW, reason="shift_too_long"), punch("out", 30, REVIEW, reason="shift_too_long")
    assert verdicts(plan_lane([start, end], seen(31), moment(31.1), POLICY)) == []
    assert verdicts(plan_lane([start], seen(31), moment(31.1), POLICY))[0] == ("in-8", "pending", None)
    assert verdicts(plan_lane([end], seen(31), moment(31.1), POLICY))[0] == ("out-30", "pending", None)


def test_a_clock_out_goes_on_when_its_clock_in_was_accepted():
    """A record that a person took for the clock-in is its shift now, if it could be: not one begun days ago."""
    taken = punch("in", 8, DELIVERED, shift="s1", as_=RecordedAs.CLOCK_IN)
    lane = [taken, punch("out", 16, REVIEW, reason="no_matching_clock_in")]
    assert verdicts(plan_lane(lane, seen(20, shift("s1", 7, 15)), moment(20.1), POLICY)) == [
        ("out-16", "pending", None),
    ]
    assert verdicts(plan_lane(lane, seen(20, shift("s1", -20)), moment(20.1), POLICY)) == []
    assert verdicts(plan_lane(lane, seen(20), moment(20.1), POLICY)) == []


def test_the_shift_of_an_earlier_clock_out_is_not_taken_for_the_own_one():
    """Two clock-outs in a row: that the first one's shift stands there says nothing of the second."""
    lane = [
        punch("out", 15, DELIVERED, shift="s1", as_=RecordedAs.CLOCK_OUT),
        since(punch("out", 16, REVIEW, reason="no_matching_clock_in"), 19),
    ]
    assert verdicts(plan_lane(lane, seen(20, shift("s1", 7, 15)), moment(20.1), POLICY)) == []


def test_a_clock_out_that_ended_another_shift_is_not_healed_by_that_shift():
    """Its own shift is still open: what stands on the timesheet is not what was tapped."""
    lane = [
        punch("in", 8, DELIVERED, shift="s1"),
        since(punch("out", 16, REVIEW, reason="closed_another_shift", shift="other"), 16.1),
    ]
    view = seen(17, shift("s1", 8), shift("other", 12, 16))
    assert plan_lane(lane, view, moment(17.1), POLICY).verdicts == ()
    mended = seen(17, shift("s1", 8, 16, by="admin"))
    assert verdicts(plan_lane(lane, mended, moment(17.1), POLICY)) == [("out-16", "delivered", None)]
    # That its own shift has its end says nothing of the other one: a phone may have given it.
    for view in (seen(17, shift("s1", 8, 16), shift("other", 2, 16)), replace(mended, since=second(0))):
        assert plan_lane(lane, view, moment(17.1), POLICY).verdicts == ()
    rounded = seen(17, shift("s1", 8, 16), shift("other", 2, 16 - 1 / 12))
    assert plan_lane(lane, rounded, moment(17.1), POLICY).verdicts == ()
    for other in (shift("other", 2, 6), shift("other", 2), shift("other", 2, 16, by="admin")):
        put_right = seen(17, shift("s1", 8, 16), other)
        assert verdicts(plan_lane(lane, put_right, moment(17.1), POLICY)) == [("out-16", "delivered", None)]


def test_a_clock_out_without_a_clock_in_of_its_own_ended_the_right_shift_if_it_ended_one():
    """The person had gone on to another shift on the phone: that this one was expected is no obstacle."""
    lane = [since(punch("out", 16, REVIEW, reason="closed_another_shift", shift="other"), 16.1)]
    view = seen(17, shift("other", 12, 16, started_by="mobile"))
    assert verdicts(plan_lane(lane, view, moment(17.1), POLICY)) == [("out-16", "delivered", None)]


def test_a_clock_out_that_turns_up_later_frees_its_clock_in():
    """Given up as missing_clock_out, then its own clock-out is typed in: now it goes as a whole shift."""
    lane = [punch("in", -20, REVIEW, reason="missing_clock_out"), punch("out", -12)]
    plan = plan_lane(lane, None, moment(9), POLICY)
    assert verdicts(plan)[0] == ("in--20", "pending", None)
    too_late = [punch("in", -20, REVIEW, reason="missing_clock_out"), punch("out", 8)]
    assert all(v.punch_id != "in--20" for v in plan_lane(too_late, None, moment(9), POLICY).verdicts)
