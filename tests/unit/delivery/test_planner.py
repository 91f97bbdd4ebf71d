"""The planner's table, row by row (delivery.md, "What to send next"). Times are hours of one day, UTC."""

from __future__ import annotations

from dataclasses import replace

import pytest

from daemon.delivery.knowledge import View
from daemon.delivery.plan import Read, Send
from daemon.delivery.planner import plan_lane
from daemon.delivery.policy import CLOSE_WITHIN_S, SHOWN_OPEN_S, Policy
from daemon.model import PunchState, RecordedAs
from daemon.queue.lanes import LanePunch
from daemon.timesheets.timesheet import CloseShift, EndShift, OpenShift, RecordShift
from tests.support.lanes import (
    DELIVERED,
    HELD,
    IN_FLIGHT,
    REVIEW,
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


# --- the clock gate


def test_nothing_is_sent_on_an_untrusted_clock():
    """Row "any, clock not trusted": held, for every kind of punch, and no request at all."""
    plan = plan_lane([punch("in", 8), punch("out", 9)], None, moment(9.1, trusted=False), POLICY)
    assert plan.request is None
    assert verdicts(plan) == [("in-8", "held", "clock_untrusted"), ("out-9", "held", "clock_untrusted")]


def test_not_even_a_look_up_leaves_on_an_untrusted_clock():
    """An attempt in flight waits for trust too: its time could not be compared."""
    lane = [tried(punch("in", 8), OpenShift("7", second(8)), 8)]
    plan = plan_lane(lane, None, moment(9, trusted=False), POLICY)
    assert plan.request is None
    assert plan.verdicts == ()


def test_a_punch_without_a_time_stays_held_and_later_ones_that_do_not_hang_on_it_go():
    """A clock-in of a fixed reader goes on; a clock-out whose clock-in has no time waits for it."""
    unknown = punch("in", 8, HELD, reason="clock_untrusted", known=False)
    assert sent(plan_lane([unknown, punch("in", 9)], None, moment(9.1), POLICY)) == OpenShift("7", second(9))
    plan = plan_lane([unknown, punch("out", 9)], None, moment(9.1), POLICY)
    assert verdicts(plan) == [("out-9", "held", "earlier_punch_undecided")]


def test_a_time_that_lies_far_ahead_is_known_to_be_wrong():
    """A punch of a clock that ran ahead is not sent when its wrong second comes: a person gives the right one."""
    plan = plan_lane([punch("in", 9)], None, moment(8.5), POLICY)
    assert verdicts(plan) == [("in-9", "review", "clock_ahead")]


def test_a_fresh_tap_waits_for_the_services_second():
    """Never sent later than now minus 2 s by the service's clock (facts, U6); the plan wakes by itself."""
    plan = plan_lane([punch("in", 8)], None, moment(8), POLICY)
    assert plan.request is None
    assert plan.wake_at == at(8) + 2


# --- clock-ins


def test_a_clock_in_inside_the_window_is_sent_with_its_second():
    """Row "clock-in, inside the window"."""
    assert sent(plan_lane([punch("in", 8)], None, moment(8.1), POLICY)) == OpenShift("7", second(8))


def test_a_clock_in_already_on_the_timesheet_is_delivered():
    """Row "a look-up shows exactly this already recorded": that record's id is taken, nothing is sent."""
    plan = plan_lane([punch("in", 8)], seen(8.1, shift("s1", 8)), moment(8.2), POLICY)
    (verdict,) = plan.verdicts
    assert (verdict.state, verdict.remote_id, verdict.recorded_as) == (DELIVERED, "s1", RecordedAs.CLOCK_IN)
    assert plan.request is None


def test_a_clock_in_inside_a_finished_shift_needs_a_person():
    """Row "a read shows it lies inside a finished shift"; its clock-out does not go either."""
    lane = [punch("in", 8), punch("out", 9)]
    plan = plan_lane(lane, seen(9.1, shift("m", 7, 10, by="admin", started_by="admin")), moment(9.2), POLICY)
    assert ("in-8", "review", "overlaps_existing_shift") in verdicts(plan)
    assert ("out-9", "held", "earlier_punch_in_review") in verdicts(plan)
    assert plan.request is None


@pytest.mark.parametrize(
    ("lane", "ended"),
    [
        ([punch("in", 8), punch("out", 17)], (8.2, 16.9)),
        ([punch("in", 8), punch("out", 17)], (16.9, 18)),
        ([punch("in", 8)], (8.2, 12)),
        ([punch("in", 8, REVIEW, reason="overlaps_existing_shift"), punch("in", 13)], (8.2, 12)),
    ],
)
def test_a_clock_in_never_opens_a_second_shift_over_one_that_began_after_it(lane, ended):
    """Typed in a little late, or made on a phone in an outage: the same hours would be paid twice. Nor later on."""
    shown = shift("m", *ended, by="admin", started_by="admin")
    plan = plan_lane(lane, seen(18.1, shown), moment(18.2), POLICY)
    assert not isinstance(plan.request, Send) or plan.request.step == OpenShift("7", second(13))
    given = [v for v in verdicts(plan) if v[0] == "in-8"]
    assert given == ([] if lane[0].punch.state is REVIEW else [("in-8", "review", "overlaps_existing_shift")])


def test_a_finished_shift_after_the_next_punch_is_another_shift():
    """What the person did after leaving is not in the clock-in's way."""
    lane = [punch("in", 8), punch("out", 9)]
    after = shift("p", 9, 12, by="mobile", started_by="mobile")
    assert sent(plan_lane(lane, seen(12.1, after), moment(12.2), POLICY)) == OpenShift("7", second(8))


@pytest.mark.parametrize("begun", [8, 3])
def test_a_clock_in_whose_clock_out_is_delivered_opens_nothing_any_more(begun):
    """The person has left, by a shift that a manager named, or too long after: a shift opened now would stay open."""
    lane = [punch("in", begun), punch("out", 14, DELIVERED, shift="elsewhere")]
    plan = plan_lane(lane, seen(14.1), moment(14.2), Policy(max_shift_s=10 * 3600))
    assert verdicts(plan) == [(f"in-{begun}", "review", "missing_clock_out")]
    assert plan.request is None


@pytest.mark.parametrize("policy", [Policy(max_shift_s=10 * 3600), Policy(lookback_s=None)])
@pytest.mark.parametrize("after", [[], [punch("in", 23)]])
def test_a_clock_in_that_nothing_may_end_any_more_opens_nothing(policy, after):
    """Alone for longer than a shift may last, though still within reach: it would stay open. Its clock-out, found later
    (or a longer limit), lets it go."""
    now = 8 + policy.max_shift_s / 3600 + 1.1
    lane = [punch("in", 8), *[entry for entry in after if entry.punch.occurred_at < at(now)]]
    late = seen(now - 0.1)
    assert ("in-8", "review", "missing_clock_out") in verdicts(plan_lane(lane, late, moment(now), policy))
    assert sent(plan_lane([lane[0], punch("out", 17)], late, moment(now), policy)) == OpenShift("7", second(8))


def test_a_key_that_may_not_read_still_ends_what_no_read_reached_back_to():
    """Nothing says that the shift is gone: where nobody can look, it is ended live, and the answer names the shift."""
    lane = [punch("in", 8, DELIVERED, shift="s1"), punch("out", 16)]
    recent = View(at(16.005), second(12), second(17), ())
    assert isinstance(plan_lane(lane, recent, moment(16.01), POLICY).request, Read)
    assert sent(plan_lane(lane, recent, moment(16.01), replace(POLICY, can_look_up=False))) == OUT_AT_16


def test_discarding_one_half_of_what_is_too_long_opens_nothing():
    """Whoever discards both halves discards one first: the clock-in is not sent in between."""
    policy = Policy(max_shift_s=10 * 3600)
    lane = [since(punch("in", 8, REVIEW, reason="shift_too_long"), 19)]
    plan = plan_lane(lane, seen(19.4), moment(19.5), policy)
    assert verdicts(plan)[0] == ("in-8", "pending", None)
    assert verdicts(plan_lane([punch("in", 8)], seen(19.4), moment(19.5), policy)) == [
        ("in-8", "review", "missing_clock_out")
    ]


def test_something_older_than_a_quarter_of_an_hour_is_preceded_by_a_read():
    """Read before writing after an outage; with a fresh read the punch goes, with an old one it reads again."""
    lane = [punch("in", 8)]
    plan = plan_lane(lane, None, moment(8.5), POLICY)
    assert isinstance(plan.request, Read)
    assert plan.request.since < second(8) < plan.request.until
    assert sent(plan_lane(lane, seen(8.4), moment(8.5), POLICY)) == OpenShift("7", second(8))
    assert isinstance(plan_lane(lane, seen(8.4), moment(8.8), POLICY).request, Read)


def test_the_window_ends_with_its_margin_by_the_services_clock():
    """Expired is judged with the margin and by the service's clock where it is known."""
    lane = [punch("in", 0)]
    inside, beyond = 11 + 49 / 60, 11 + 51 / 60
    assert sent(plan_lane(lane, seen(inside), moment(inside), POLICY)) == OpenShift("7", second(0))
    assert verdicts(plan_lane(lane, seen(beyond), moment(beyond), POLICY)) == [
        ("in-0", "held", "waiting_for_clock_out")
    ]
    ahead = moment(inside, server_ahead_s=120)
    assert verdicts(plan_lane(lane, seen(inside), ahead, POLICY)) == [("in-0", "held", "waiting_for_clock_out")]


def test_the_services_too_old_means_plan_again_as_expired():
    """A TOO_OLD answer overrules our own reckoning."""
    entry = punch("in", 0)
    lane = [type(entry)(entry.punch, tried(entry, OpenShift("7", second(0)), 11, outcome="too_old").attempt)]
    assert verdicts(plan_lane(lane, seen(11.1), moment(11.2), POLICY)) == [("in-0", "held", "waiting_for_clock_out")]


def test_an_expired_clock_in_waits_for_its_clock_out_then_needs_a_person():
    """Row "clock-in, expired, no clock-out yet"; the plan wakes at max_shift_hours."""
    plan = plan_lane([punch("in", 0)], None, moment(13), POLICY)
    assert verdicts(plan) == [("in-0", "held", "waiting_for_clock_out")]
    assert plan.wake_at == at(14) + 1
    assert verdicts(plan_lane([punch("in", 0)], None, moment(14.1), POLICY)) == [
        ("in-0", "review", "missing_clock_out")
    ]


def test_an_expired_clock_in_before_another_clock_in_needs_a_person_and_the_later_goes_on():
    """Row "the next punch is another clock-in"."""
    plan = plan_lane([punch("in", 0), punch("in", 13)], None, moment(13.1), POLICY)
    assert verdicts(plan)[0] == ("in-0", "review", "missing_clock_out")
    assert sent(plan) == OpenShift("7", second(13))


@pytest.mark.parametrize("out", [8.0, 13.9])
def test_an_expired_clock_in_goes_as_one_completed_shift_with_its_own_clock_out(out):
    """Row "its own clock-out is queued, expired or not": one record for the pair, after a read that came after both."""
    lane, now = [punch("in", 0), punch("out", out)], 14.0
    assert isinstance(plan_lane(lane, seen(out - 0.1), moment(now), POLICY).request, Read)
    plan = plan_lane(lane, seen(13.95), moment(now), POLICY)
    assert sent(plan) == RecordShift("7", second(0), second(out), "in-0")
    assert isinstance(plan.request, Send)
    assert plan.request.punch_ids == ("in-0", f"out-{out:g}")
    assert plan.expired


def test_a_held_clock_out_is_released_with_the_clock_in_it_goes_with():
    """Both punches of a pair must be pending before their request leaves: else it never would."""
    lane = [punch("in", 0), punch("out", 8, HELD, reason="earlier_punch_in_review")]
    plan = plan_lane(lane, seen(13.95), moment(14), POLICY)
    assert ("out-8", "pending", None) in verdicts(plan)


@pytest.mark.parametrize("other", [shift("x", -1, 1), shift("x", 7, 20), shift("x", 2, 3), shift("x", -7)])
def test_a_completed_shift_that_something_overlaps_needs_a_person(other):
    """Row "completed shift, something on the server overlaps it", one that was left open long ago included."""
    plan = plan_lane([punch("in", 0), punch("out", 8)], seen(13.9, other), moment(14), POLICY)
    assert {reason for _, _, reason in verdicts(plan)} == {"overlaps_existing_shift"}
    assert len(plan.verdicts) == 2
    assert plan.request is None


def test_an_expired_pair_inside_an_open_shift_ends_that_shift():
    """As in time, row "already open": the clock-in needs a person, the clock-out ends the open shift."""
    plan = plan_lane([punch("in", 0), punch("out", 8)], seen(13.9, shift("x", -3)), moment(14), POLICY)
    assert verdicts(plan) == [("in-0", "review", "already_open")]
    assert sent(plan) == EndShift("7", second(8), "x")


@pytest.mark.parametrize(("now", "step"), [(16.1, EndShift("7", second(16), "p")), (30, None)])
def test_a_clock_out_after_a_phones_break_ends_the_shift_that_the_phone_opened(now, step):
    """The kiosk's shift was ended by the phone, which opened another: that one is the shift that the person leaves."""
    lane = [punch("in", 8, DELIVERED, shift="s1"), punch("out", 16)]
    on_phone = shift("s1", 8, 12, by="mobile"), shift("p", 12.5, started_by="mobile")
    view = seen(now - 0.005, *on_phone)
    assert sent(plan_lane(lane, view, moment(now), POLICY)) == (step or CloseShift("7", "p", second(16), "out-16"))
    before_the_tap = seen(15, *on_phone)
    assert isinstance(plan_lane(lane, before_the_tap, moment(16.1), POLICY).request, Read)


def test_a_completed_shift_already_on_the_timesheet_is_delivered_whole():
    """Both punches of the pair find the record, and neither is sent."""
    lane = [punch("in", 0), punch("out", 8)]
    plan = plan_lane(lane, seen(13.9, shift("s1", 0, 8)), moment(14), POLICY)
    assert [(v.state, v.remote_id) for v in plan.verdicts] == [(DELIVERED, "s1"), (DELIVERED, "s1")]


@pytest.mark.parametrize("now", [15.0, 30.0])
def test_a_shift_longer_than_the_limit_is_never_sent(now):
    """Longer than max_shift_hours on any row: review shift_too_long for both, nothing sent."""
    plan = plan_lane([punch("in", 0), punch("out", 14.5)], seen(14.9), moment(now), POLICY)
    assert verdicts(plan) == [("out-14.5", "review", "shift_too_long"), ("in-0", "review", "shift_too_long")]
    assert plan.request is None
    delivered = punch("in", 0, DELIVERED, shift="s1")
    plan = plan_lane([delivered, punch("out", 14.5)], seen(14.9), moment(14.9), POLICY)
    assert verdicts(plan) == [("out-14.5", "review", "shift_too_long")]


@pytest.mark.parametrize("reason", ["out_of_order", "time_disputed", "clock_ahead"])
@pytest.mark.parametrize("begun", [0.0, 15.9, 16.0, 20.0])
def test_a_clock_in_with_a_wrong_second_is_too_long_before_nothing(reason, begun):
    """A clock that lied put it hours before, at, or after its clock-out: that waits until its time was decided."""
    before = punch("in", begun, REVIEW, reason=reason)
    after = punch("out", 16)
    plan = plan_lane([before, after], seen(16.1), moment(16.11), POLICY)
    assert verdicts(plan) == [("out-16", "held", "earlier_punch_in_review")]
    if begun == 0.0:
        told = since(punch("out", 16, REVIEW, reason="shift_too_long"), 16.1)
        assert verdicts(plan_lane([before, told], seen(16.2), moment(16.3), POLICY)) == [("out-16", "pending", None)]


@pytest.mark.parametrize("reason", ["out_of_order", "time_disputed", "clock_ahead"])
@pytest.mark.parametrize(("ended", "now"), [(4.0, 30.0), (8.0, 30.0), (16.0, 30.0), (28.0, 30.0), (28.0, 70.0)])
def test_a_clock_out_with_a_wrong_second_is_too_long_after_nothing(reason, ended, now):
    """Its clock-in, too old to go alone, waits for the decision; the second that the clock made up decides nothing."""
    lane = [punch("in", 8), punch("out", ended, REVIEW, reason=reason, id_="out")]
    plan = plan_lane(lane, seen(now - 0.01), moment(now), POLICY)
    assert verdicts(plan) == [("in-8", "held", "earlier_punch_in_review")]
    assert plan.request is None
    told = since(punch("in", 8, REVIEW, reason="shift_too_long"), 9)
    assert ("in-8", "pending", None) in verdicts(plan_lane([told, lane[1]], None, moment(now), POLICY))


# --- clock-outs of our own shifts


def test_a_clock_out_closes_the_shift_its_clock_in_opened():
    """Row "clock-out, inside the window, its clock-in was delivered"."""
    lane = [punch("in", 8, DELIVERED, shift="s1"), punch("out", 16)]
    assert sent(plan_lane(lane, None, moment(16.1), POLICY)) == EndShift("7", second(16), "s1")


def test_a_clock_out_waits_for_its_clock_in():
    """Per-person order: while the clock-in is not delivered its clock-out is not sent."""
    plan = plan_lane([punch("in", 8), punch("out", 8.1)], None, moment(8.15), POLICY)
    assert sent(plan) == OpenShift("7", second(8))


def test_an_expired_clock_out_on_a_delivered_shift_is_closed_by_an_update_after_a_read():
    """Row "clock-out, expired, a read shows that shift without an end"."""
    lane = [punch("in", 0, DELIVERED, shift="s1"), punch("out", 8)]
    assert isinstance(plan_lane(lane, None, moment(20.5), POLICY).request, Read)
    plan = plan_lane(lane, seen(20.495, shift("s1", 0)), moment(20.5), POLICY)
    assert sent(plan) == CloseShift("7", "s1", second(8), "out-8")


def test_a_shift_is_closed_by_an_update_only_right_after_a_read():
    """An update overwrites an end that a phone or another kiosk set since: what was read minutes ago is read again."""
    lane = [punch("in", 0, DELIVERED, shift="s1"), punch("out", 8)]
    read_at = 20.5 - (CLOSE_WITHIN_S + 1) / 3600
    assert isinstance(plan_lane(lane, seen(read_at, shift("s1", 0)), moment(20.5), POLICY).request, Read)
    ended_since = seen(20.49, shift("s1", 0, 9))
    assert verdicts(plan_lane(lane, ended_since, moment(20.5), POLICY)) == [("out-8", "review", "already_clocked_out")]


def test_a_shift_is_closed_by_an_update_only_when_it_was_shown_open_for_a_while():
    """What ended this kiosk's outage may have ended another's, whose clock-out of that very shift is on its way."""
    lane = [punch("in", 0, DELIVERED, shift="s1"), punch("out", 8)]
    for shown_s, sends in ((0, False), (SHOWN_OPEN_S - 1, False), (SHOWN_OPEN_S, True)):
        view = replace(seen(20.51, shift("s1", 0)), open_since={"s1": at(20.51) - shown_s})
        plan = plan_lane(lane, view, moment(20.51), POLICY)
        assert isinstance(plan.request, Send) is sends
        assert sends or plan.wake_at == at(20.51) + SHOWN_OPEN_S - shown_s
    plan = plan_lane(lane, replace(view, open_since={"s1": at(20.51) - 1}), moment(20.52), POLICY)
    assert (type(plan.request), plan.expired) == (Read, False)
    later = moment(20.51 + SHOWN_OPEN_S / 3600)
    assert isinstance(plan_lane(lane, replace(view, open_since={}), later, POLICY).request, Read)


@pytest.mark.parametrize(("into_minute_s", "shown_s", "ahead_s", "sends"), [
    (0, 80, 0, False), (4.9, 80, 0, False), (5.1, 80, 0, True),
    (55, 80, 0, True), (55, 80, 6, False), (0, 601, 0, True),
])  # fmt: skip
def test_no_update_rests_on_a_read_of_a_minutes_first_seconds(into_minute_s, shown_s, ahead_s, sends):
    """Who waited for the account's next minute sends then, as another kiosk does. Where it is full, not for ever."""
    lane = [punch("in", 0, DELIVERED, shift="s1"), punch("out", 8)]
    read_at = 20.5 + into_minute_s / 3600
    view = replace(seen(read_at, shift("s1", 0)), open_since={"s1": at(read_at) - shown_s})
    plan = plan_lane(lane, view, moment(read_at, server_ahead_s=ahead_s), POLICY)
    assert isinstance(plan.request, Send) is sends
    assert sends or plan.wake_at == pytest.approx(at(read_at) + 10)


def test_closing_by_update_can_be_switched_off():
    """close_late_by_update = false: a person closes it."""
    lane = [punch("in", 0, DELIVERED, shift="s1"), punch("out", 8)]
    plan = plan_lane(lane, seen(20.4, shift("s1", 0)), moment(20.5), Policy(close_late_by_update=False))
    assert verdicts(plan) == [("out-8", "review", "could_not_close")]


@pytest.mark.parametrize("now", [17.0, 30.0])
def test_a_shift_is_not_gone_where_a_read_did_not_reach_it(now):
    """A manager ended it early; a read of the hours since then does not show it, and says nothing of it."""
    lane = [punch("in", 4, DELIVERED, shift="s1"), punch("out", 16)]
    narrow = View(at(now - 0.01), second(9), second(now), ())
    request = plan_lane(lane, narrow, moment(now), POLICY).request
    assert isinstance(request, Read)
    assert request.since <= second(4)
    whole = seen(now - 0.01, shift("s1", 4, 8, by="admin"))
    assert verdicts(plan_lane(lane, whole, moment(now), POLICY)) == [("out-16", "review", "already_clocked_out")]
    assert verdicts(plan_lane(lane, seen(now - 0.01), moment(now), POLICY)) == [("out-16", "review", "shift_gone")]


@pytest.mark.parametrize("now", [16.1, 40.0])
def test_an_accepted_shift_is_not_gone_where_a_read_did_not_reach_its_beginning(now):
    """A person took a phone's shift of days before for the clock-in: a list by starts shows it to who looks there."""
    accepted = punch("in", 8, DELIVERED, shift="s1")
    accepted = replace(accepted, punch=replace(accepted.punch, detail="the timesheet shows shift s1"))
    lane = [accepted, punch("out", 16)]
    near = View(at(now - 0.01), second(-20), second(now), ())
    plan = plan_lane(lane, near, moment(now), POLICY)
    assert plan.verdicts == ()
    assert isinstance(plan.request, Read)
    assert plan.request.since <= second(8) - 15 * 86400
    found = seen(now - 0.01, shift("s1", -60, 12, by="mobile"))
    assert verdicts(plan_lane(lane, found, moment(now), POLICY)) == [("out-16", "review", "already_clocked_out")]
    assert verdicts(plan_lane(lane, seen(now - 0.01), moment(now), POLICY)) == [("out-16", "review", "shift_gone")]


def test_a_shift_that_is_gone_is_not_recorded_anew():
    """A manager deleted it: nothing is sent that a read contradicts."""
    lane = [punch("in", 0, DELIVERED, shift="s1"), punch("out", 8)]
    assert verdicts(plan_lane(lane, seen(20.4), moment(20.5), POLICY)) == [("out-8", "review", "shift_gone")]


@pytest.mark.parametrize(
    ("record", "state", "reason"),
    [
        (shift("s1", 8, 16), "delivered", None),
        (shift("s1", 8, 15, by="autoClockOut"), "review", "auto_clocked_out"),
        (shift("s1", 8, 15, by="admin"), "review", "already_clocked_out"),
        (shift("s1", 8, 15, by="mobile"), "review", "already_clocked_out"),
    ],
)
def test_a_shift_that_already_ended(record, state, reason):
    """Row "a read shows its shift already ended": at our second, by autoClockOut, or by anyone else."""
    lane = [punch("in", 8, DELIVERED, shift="s1"), punch("out", 16)]
    assert verdicts(plan_lane(lane, seen(16.05, record), moment(16.1), POLICY)) == [("out-16", state, reason)]


def test_an_auto_clock_out_is_corrected_when_configured():
    """after_auto_clock_out = "correct": the true end goes as an update."""
    lane = [punch("in", 8, DELIVERED, shift="s1"), punch("out", 16)]
    view = seen(16.095, shift("s1", 8, 15, by="autoClockOut"))
    plan = plan_lane(lane, view, moment(16.1), Policy(after_auto_clock_out="correct"))
    assert sent(plan) == CloseShift("7", "s1", second(16), "out-16")


def test_a_clock_out_in_the_second_of_its_clock_in_needs_a_person():
    """The service refuses an equal second; its own clock-out is at least one second later."""
    lane = [punch("in", 8, DELIVERED, shift="s1"), punch("out", 8)]
    assert verdicts(plan_lane(lane, None, moment(8.1), POLICY)) == [("out-8", "review", "same_second")]


# --- clock-outs of shifts opened elsewhere


@pytest.mark.parametrize("near", [True, False])
def test_a_wrong_second_that_was_looked_up_stays_with_the_person_who_asked(near):
    """Absent, its request is settled and the true time may be given; beside something like it, a person compares."""
    entry = tried(punch("in", 8, IN_FLIGHT, reason="time_disputed"), OpenShift("7", second(8)), 8)
    entry = replace(entry, punch=replace(entry.punch, detail="it was 07:00"))
    records = [shift("m", 8.1, created=8.1, started_by="admin")] if near else []
    (verdict,) = plan_lane([entry], seen(9, *records), moment(9.01), POLICY).verdicts
    assert (verdict.state, verdict.reason) == (REVIEW, "time_disputed")
    assert verdict.attempt_outcome == (None if near else "absent")
    assert (verdict.detail or "").startswith("it was 07:00")
    assert ("shift m" in (verdict.detail or "")) is near


@pytest.mark.parametrize("state", [PunchState.PENDING, HELD, REVIEW])
def test_a_clock_out_never_ends_the_shift_of_a_later_clock_in(state):
    """Tapped out by mistake, then in; the service rounds that start to before the clock-out: it is another shift."""
    out = punch("out", 8.05, state, reason={HELD: "waiting_for_clock_in", REVIEW: "no_matching_clock_in"}.get(state))
    lane = [out, punch("in", 8.1, DELIVERED, shift="s1")]
    plan = plan_lane(lane, seen(8.2, shift("s1", 8)), moment(8.21), POLICY)
    assert plan.request is None
    assert verdicts(plan) == ([("out-8.05", "held", "waiting_for_clock_in")] if state is PunchState.PENDING else [])
    before = [punch("in", 7.9, DELIVERED, shift="s1"), punch("in", 7.95, REVIEW, reason="already_open"), out]
    if state is PunchState.PENDING:
        assert sent(plan_lane(before, seen(8.2, shift("s1", 8)), moment(8.21), POLICY)) == EndShift(
            "7", second(8.05), "s1"
        )


def test_a_clock_out_of_a_phones_shift_closes_that_one():
    """Row "its clock-in is unknown here": only a read requested after the tap speaks."""
    lane = [punch("out", 16)]
    assert isinstance(plan_lane(lane, seen(15.9, shift("p", 8)), moment(16.1), POLICY).request, Read)
    view = seen(16.05, shift("p", 8, started_by="mobile"))
    assert sent(plan_lane(lane, view, moment(16.1), POLICY)) == EndShift("7", second(16), "p")


def test_a_clock_out_without_any_open_shift_waits_and_looks_again_ever_later():
    """None: held waiting_for_clock_in until expired, then review no_matching_clock_in."""
    lane = [punch("out", 16)]
    plan = plan_lane(lane, seen(16.01), moment(16.02), POLICY)
    assert verdicts(plan) == [("out-16", "held", "waiting_for_clock_in")]
    assert plan.request is None
    waiting = [punch("out", 16, HELD, reason="waiting_for_clock_in")]
    assert isinstance(plan_lane(waiting, seen(16.01), moment(16.1), POLICY).request, Read)
    late = plan_lane(waiting, seen(20), moment(22), POLICY)
    assert late.request is None
    assert isinstance(plan_lane(waiting, seen(20), moment(24.1), POLICY).request, Read)
    assert isinstance(plan_lane(waiting, seen(24), moment(28), POLICY).request, Read)
    plan = plan_lane(waiting, seen(28), moment(28.1), POLICY)
    assert verdicts(plan) == [("out-16", "review", "no_matching_clock_in")]


def test_a_clock_out_does_not_close_a_shift_begun_too_long_ago():
    """Begun at most max_shift_hours earlier."""
    plan = plan_lane([punch("out", 16)], seen(16.05, shift("p", 1.5)), moment(16.06), POLICY)
    assert verdicts(plan) == [("out-16", "held", "waiting_for_clock_in")]


def test_a_later_clock_in_goes_on_beside_a_clock_out_that_waits():
    """Blocking is per shift: a clock-out that waits for a phone does not hold back the next shift."""
    lane = [punch("out", 16, HELD, reason="waiting_for_clock_in"), punch("in", 16.2)]
    assert sent(plan_lane(lane, seen(16.19), moment(16.21), POLICY)) == OpenShift("7", second(16.2))


@pytest.mark.parametrize("state", [PunchState.PENDING, PunchState.REVIEW])
def test_a_start_that_stands_for_another_clock_in_is_nobody_elses(state):
    """The service rounded the first one's start to the very second of the next tap: that is not delivered by it."""
    again = punch("in", 8.01, state, reason="already_open" if state is PunchState.REVIEW else None)
    for first, expected in (("s1", []), ("s0", [("in-8.01", "delivered", None)])):
        lane = [punch("in", 8, DELIVERED, shift=first), again]
        assert verdicts(plan_lane(lane, seen(8.02, shift("s1", 8.01)), moment(8.021), POLICY)) == expected


def test_a_refusal_is_not_explained_by_a_start_that_stands_for_another_clock_in():
    """Its second is that of the shift that is open, which the tap before it began: it stays refused."""
    refused = tried(punch("in", 8.01), OpenShift("7", second(8.01)), 8.011, outcome="already_open")
    lane = [punch("in", 8, DELIVERED, shift="s1"), refused]
    plan = plan_lane(lane, seen(8.02, shift("s1", 8.01)), moment(8.021), POLICY)
    assert verdicts(plan) == [("in-8.01", "review", "already_open")]


@pytest.mark.parametrize(
    "again",
    [
        punch("out", 16, id_="again"),
        punch("out", 16, REVIEW, reason="no_matching_clock_in", id_="again"),
        tried(punch("out", 16, id_="again"), EndShift("7", second(16), "s1"), 16.01),
        tried(punch("out", 16, id_="again"), EndShift("7", second(16), ""), 16.01),
        tried(punch("out", 16, id_="again"), CloseShift("7", "s1", second(16), "again"), 16.01),
    ],
    ids=["pending", "review", "in flight", "salvaged", "closing"],
)
def test_an_end_that_stands_for_another_clock_out_is_nobody_elses(again):
    """A clock set back shows a second twice: two taps at the exit, one end. It delivers the one that set it."""
    ended = seen(16.2, shift("s1", 8, 16))
    for first, delivered in (("s1", False), ("s0", True)):
        lane = [punch("in", 8, DELIVERED, shift=first), punch("out", 16, DELIVERED, shift=first), again]
        plan = plan_lane(lane, ended, moment(16.21), POLICY)
        assert (("again", "delivered", None) in verdicts(plan)) is delivered
        assert not isinstance(plan.request, Send)


@pytest.mark.parametrize("state", [PunchState.PENDING, REVIEW])
def test_its_own_shifts_end_that_stands_for_another_clock_out_needs_a_person(state):
    """The clock-in is its own, but the end was set for the tap after it, which has the same second."""
    own = punch("out", 16, state, reason="shift_gone" if state is REVIEW else None, id_="own")
    lane = [punch("in", 8, DELIVERED, shift="s1"), own, punch("out", 16, DELIVERED, shift="s1", id_="other")]
    plan = plan_lane(lane, seen(16.2, shift("s1", 8, 16)), moment(16.21), POLICY)
    assert verdicts(plan) == ([] if state is REVIEW else [("own", "review", "already_clocked_out")])


def test_a_refusal_is_not_explained_by_an_end_that_stands_for_another_clock_out():
    """Both were sent; the second one's is refused, and stays so: the end of that second is the first one's."""
    refused = tried(punch("out", 16, id_="again"), OUT_AT_16, 16.01, outcome="no_open_shift")
    lane = [punch("in", 8, DELIVERED, shift="s1"), punch("out", 16, DELIVERED, shift="s1"), refused]
    plan = plan_lane(lane, seen(16.02, shift("s1", 8, 16)), moment(16.021), POLICY)
    assert verdicts(plan) == [("again", "review", "already_clocked_out")]


def test_one_record_does_not_deliver_two_completed_shifts():
    """The same two seconds twice, after a clock that was set back: a lost answer is not found in the other's record."""
    step = RecordShift("7", second(8), second(9), "again-in", None)
    first = [punch("in", 8, DELIVERED, shift="s1"), punch("out", 9, DELIVERED, shift="s1")]
    again = [tried(punch(way, at_, id_=f"again-{way}"), step, 30) for way, at_ in (("in", 8), ("out", 9))]
    view = seen(30.1, shift("s1", 8, 9))
    assert ("again-in", "pending", None) in verdicts(plan_lane([*first, *again], view, moment(30.2), POLICY))
    assert ("again-in", "delivered", None) in verdicts(plan_lane(again, view, moment(30.2), POLICY))


@pytest.mark.parametrize("reason", ["time_disputed", "clock_ahead"])
def test_a_time_known_to_be_wrong_is_not_found_on_the_timesheet(reason):
    """It never left: whoever wrote that second, it was not for this tap. One that left may have been taken."""
    doubted = punch("out", 16, REVIEW, reason=reason)
    ended = seen(16.2, shift("s1", 8, 16))
    assert verdicts(plan_lane([doubted], ended, moment(16.21), POLICY)) == []
    left = LanePunch(doubted.punch, tried(doubted, OUT_AT_16, 16.01, outcome="absent").attempt, since=at(16.1))
    assert verdicts(plan_lane([left], ended, moment(16.21), POLICY)) == [("out-16", "delivered", None)]


def test_a_clock_in_refused_as_already_open_holds_back_nothing():
    """The next clock-out closes that open shift, within max_shift_hours."""
    lane = [punch("in", 8, REVIEW, reason="already_open"), punch("out", 16)]
    view = seen(16.05, shift("p", 7.5, started_by="mobile"))
    assert sent(plan_lane(lane, view, moment(16.1), POLICY)) == EndShift("7", second(16), "p")


# --- review blocks per shift


def test_a_clock_in_in_review_holds_its_own_clock_out_only():
    """Its counterpart is held; the person's next shift goes on, since the timesheet shows nothing open."""
    lane = [punch("in", 8, REVIEW, reason="not_assigned"), punch("out", 9), punch("in", 9.5)]
    plan = plan_lane(lane, None, moment(9.6), POLICY)
    assert ("out-9", "held", "earlier_punch_in_review") in verdicts(plan)
    assert sent(plan) == OpenShift("7", second(9.5))


def test_a_clock_out_in_review_holds_live_punches_while_its_shift_is_open():
    """The service would refuse or misplace them; a read that shows the shift ended frees them."""
    lane = [
        punch("in", 6, DELIVERED, shift="s1"),
        punch("out", 7, REVIEW, reason="locked_days"),
        punch("in", 9),
        punch("out", 9.1),
    ]
    plan = plan_lane(lane, None, moment(9.2), POLICY)
    assert plan.request is None
    assert verdicts(plan) == [
        ("in-9", "held", "earlier_punch_in_review"),
        ("out-9.1", "held", "earlier_punch_in_review"),
    ]
    plan = plan_lane(lane, seen(9.15, shift("s1", 6, 7.5, by="admin")), moment(9.2), POLICY)
    assert sent(plan) == OpenShift("7", second(9))


def test_a_completed_shift_in_review_holds_back_nothing():
    """It left nothing open on the timesheet."""
    lane = [
        punch("in", -20, REVIEW, reason="overlaps_existing_shift"),
        punch("out", -12, REVIEW, reason="overlaps_existing_shift"),
        punch("in", 9),
    ]
    assert sent(plan_lane(lane, None, moment(9.1), POLICY)) == OpenShift("7", second(9))


def test_what_was_held_behind_a_review_is_recorded_whole_once_it_has_expired():
    """More of their own is not held up than must be: a completed shift needs no live order."""
    lane = [
        punch("in", -20, DELIVERED, shift="s1"),
        punch("out", -19, REVIEW, reason="locked_days"),
        punch("in", 0, HELD, reason="earlier_punch_in_review"),
        punch("out", 1, HELD, reason="earlier_punch_in_review"),
    ]
    plan = plan_lane(lane, seen(12.9, shift("s1", -20, -19, by="admin")), moment(13), POLICY)
    assert isinstance(sent(plan), RecordShift)
