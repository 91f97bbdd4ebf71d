"""Guards of the planner that no other test would miss; each was found by taking it away (`make mutants`)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from daemon.delivery.plan import Plan, Read, Send
from daemon.delivery.planner import plan_lane
from daemon.delivery.policy import Policy
from daemon.queue.lanes import LanePunch
from daemon.timesheets.timesheet import EndShift, OpenShift
from tests.support.lanes import DELIVERED, REVIEW, at, moment, punch, second, seen, shift, tried

POLICY = Policy()


def states(plan: Plan) -> list[tuple[str, str, str | None]]:
    """What a plan decides without a request."""
    return [(v.punch_id, v.state.value, v.reason) for v in plan.verdicts]


def since(entry: LanePunch, hours: float) -> LanePunch:
    """The same punch, where it stands since that time."""
    return replace(entry, since=at(hours))


def test_a_lane_stops_at_what_waits():
    """Two clock-ins that could both go: the earlier one is sent, and the later is not even looked at."""
    lane = [punch("in", 8), punch("in", 8.1)]
    plan = plan_lane(lane, seen(8.15), moment(8.2), POLICY)
    assert isinstance(plan.request, Send)
    assert plan.request.step == OpenShift("7", second(8))
    assert plan.due == at(8)


def test_nothing_moves_behind_an_unknown_outcome():
    """Neither sent nor held: what comes after it hangs on what the look-up shows."""
    lane = [tried(punch("in", 8), OpenShift("7", second(8)), 8.01), punch("out", 8.005), punch("in", 8.006)]
    plan = plan_lane(lane, None, moment(8.011), POLICY)
    assert (plan.request, plan.verdicts) == (None, ())


def test_a_clock_out_that_stands_there_already_is_delivered_though_its_clock_in_is_unknown_here():
    """Row "any, already recorded", for a shift of a phone or another kiosk: nothing is sent."""
    lane = [punch("out", 16)]
    plan = plan_lane(lane, seen(16.05, shift("p", 8, 16, started_by="mobile", by="admin")), moment(16.1), POLICY)
    assert states(plan) == [("out-16", "delivered", None)]
    assert plan.request is None


def test_a_live_clock_out_of_a_shift_that_is_gone_is_not_sent():
    """The service would end whatever is open: a read after the tap shows the shift deleted, so a person must look."""
    lane = [punch("in", 8, DELIVERED, shift="s1"), punch("out", 16)]
    elsewhere = seen(16.01, shift("p", 12, started_by="mobile"))
    assert states(plan_lane(lane, elsewhere, moment(16.02), POLICY)) == [("out-16", "review", "shift_gone")]
    before = seen(15.9, shift("p", 12, started_by="mobile"))
    plan = plan_lane(lane, before, moment(16.02), POLICY)
    assert isinstance(plan.request, Send)
    assert plan.request.step == EndShift("7", second(16), "s1")


@pytest.mark.parametrize(("read_at", "taken_up"), [(16.9, False), (17.1, True)])
def test_a_review_is_judged_by_a_newer_read_alone(read_at, taken_up):
    """What was read before the refusal is what led to it: only a read made after it shows an obstacle gone."""
    lane = [since(punch("in", 8, REVIEW, reason="overlaps_existing_shift"), 17)]
    plan = plan_lane(lane, seen(read_at), moment(17.2), POLICY)
    assert states(plan)[:1] == ([("in-8", "pending", None)] if taken_up else [])


def test_an_overlap_that_is_still_there_keeps_its_review():
    """A newer read that shows the obstacle as before changes nothing."""
    lane = [
        since(punch("in", -20, REVIEW, reason="overlaps_existing_shift"), 16),
        since(punch("out", -12, REVIEW, reason="overlaps_existing_shift"), 16),
    ]
    plan = plan_lane(lane, seen(17, shift("s", -18, -14, by="admin")), moment(17.1), POLICY)
    assert (plan.verdicts, plan.request) == ((), None)


@pytest.mark.parametrize("conflict", ["already_open", "no_open_shift", "before_clock_in"])
def test_a_refusal_for_a_state_is_not_judged_by_a_read_from_before_it(conflict):
    """What was read before the request says nothing of the state that it was refused for: read again first."""
    step = OpenShift("7", second(8)) if conflict == "already_open" else EndShift("7", second(8), "s1")
    entry = tried(punch("in" if conflict == "already_open" else "out", 8), step, 8.01, outcome=conflict)
    lane = [entry] if conflict == "already_open" else [punch("in", 4, DELIVERED, shift="s1"), entry]
    plan = plan_lane(lane, seen(8.005, shift("s0", 2, 3)), moment(8.02), POLICY)
    assert isinstance(plan.request, Read)
    assert plan.verdicts == ()


@pytest.mark.parametrize(
    ("attempts", "after_s", "taken_up"),
    [(1, 60, True), (2, 60, False), (2, 1000, True), (4, 3000, False), (4, 4000, True)],
)
def test_what_is_refused_again_and_again_rests_ever_longer(attempts, after_s, taken_up):
    """The first time it is taken up at once; each further refusal doubles the rest, from a quarter of an hour on."""
    entry = since(punch("in", 8, REVIEW, reason="already_open"), 10)
    lane = [replace(entry, punch=replace(entry.punch, attempts=attempts))]
    later = 10 + after_s / 3600
    plan = plan_lane(lane, seen(later), moment(later + 0.001), POLICY)
    assert bool(plan.verdicts) is taken_up
