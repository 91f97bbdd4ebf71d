"""What the planner promises for every lane there can be, not only for the ones somebody thought of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from daemon.delivery.knowledge import View
from daemon.delivery.plan import Plan, Read, Send
from daemon.delivery.planner import plan_lane
from daemon.delivery.policy import SEND_AFTER_S, Policy
from daemon.model import Direction, PunchState
from daemon.queue.lanes import LanePunch
from daemon.timesheets.timesheet import CloseShift, EndShift, OpenShift, RecordShift, ShiftRecord
from tests.support.lanes import at, moment, punch, second, seen, shift, tried

HOURS = st.integers(-40 * 60, 24 * 60).map(lambda minutes: minutes / 60)
STATES = st.sampled_from([PunchState.PENDING, PunchState.HELD, PunchState.REVIEW, PunchState.DELIVERED, "flying"])
REASONS = st.sampled_from(
    [None, "already_open", "locked_days", "auto_clocked_out", "clock_untrusted", "out_of_order", "no_matching_clock_in",
     "overlaps_existing_shift", "missing_clock_out", "shift_too_long", "already_clocked_out", "shift_gone",
     "no_open_shift", "could_not_close"]
)  # fmt: skip


@st.composite
def lanes(draw: st.DrawFn) -> list[LanePunch]:
    """Any lane: directions in any order, any states, times rising or equal, some not known."""
    times = sorted(draw(st.lists(HOURS, min_size=1, max_size=7)))
    lane = []
    for number, hours in enumerate(times):
        way = draw(st.sampled_from(["in", "out", "in", "out", None]))
        state = draw(STATES)
        known = draw(st.integers(0, 9)) > 0
        flying = state == "flying"
        if not known or way is None:
            state, flying = PunchState.HELD, False
        real = PunchState.PENDING if flying else state
        assert isinstance(real, PunchState)
        reason = draw(REASONS) if real in (PunchState.REVIEW, PunchState.HELD) else None
        remote = f"s{number}" if real is PunchState.DELIVERED else None
        entry = punch(way, hours, real, reason=reason, shift=remote, known=known, id_=f"p{number}")
        if flying:
            step = OpenShift("7", second(hours)) if way == "in" else EndShift("7", second(hours), f"s{number - 1}")
            conflict = draw(st.sampled_from([None, None, "already_open", "no_open_shift"]))
            entry = tried(entry, step, max(hours, draw(HOURS)), outcome=conflict, attempt_id=number + 1)
            if conflict is None and draw(st.integers(0, 3)) == 0:  # salvaged in review, or let go by an earlier version
                stands = draw(st.sampled_from([PunchState.PENDING, PunchState.HELD, PunchState.REVIEW]))
                reason = None if stands is PunchState.PENDING else draw(REASONS)
                entry = replace(entry, punch=replace(entry.punch, state=stands, reason=reason))
        lane.append(entry)
    return lane


@st.composite
def views(draw: st.DrawFn) -> object:
    """Nothing known, or any timesheet."""
    if draw(st.booleans()):
        return None
    records = []
    for number in range(draw(st.integers(0, 4))):
        start = draw(HOURS)
        end = None if draw(st.booleans()) else start + draw(st.integers(1, 20 * 60)) / 60
        by = draw(st.sampled_from([None, "api", "admin", "mobile", "autoClockOut"])) if end is not None else None
        records.append(shift(f"s{number}", start, end, by=by, created=start if draw(st.booleans()) else None))
    return seen(draw(HOURS), *records)


def plans(lane: list[LanePunch], view: object, now: float, *, trusted: bool = True) -> Plan:
    """The plan at some time that is not before the lane's last punch."""
    return plan_lane(lane, view, moment(now, trusted=trusted), Policy())  # type: ignore[arg-type]


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[LanePunch], object, float]:
    """A lane, a view and a time: soon after the last punch or long, with a read that is fresh, old or from before."""
    lane, view = draw(lanes()), draw(views())
    last = (lane[-1].punch.occurred_at - at(0)) / 3600
    now = last + draw(st.one_of(st.sampled_from([1 / 3600, 3 / 3600, 0.01, 0.1]), st.integers(0, 60 * 60).map(_hours)))
    if view is not None and draw(st.booleans()):
        view = replace(view, requested_at=at(now) - draw(st.integers(0, 1000)))  # type: ignore[type-var]
    return lane, view, now


def _hours(minutes: int) -> float:
    return minutes / 60


def at_rest(lane: list[LanePunch], view: object, now: float) -> tuple[list[LanePunch], Plan]:
    """The lane after all that is decided without a request, and its plan then: only that one's request ever leaves."""
    for _ in range(20):
        plan = plans(lane, view, now)
        if not plan.verdicts:
            return lane, plan
        decided = {v.punch_id: v for v in plan.verdicts}
        lane = [_after(entry, decided, now) for entry in lane]
        lane = [entry for entry in lane if entry.punch.state is not PunchState.DISCARDED]
    raise AssertionError("the lane does not come to rest")


@given(situations(), st.booleans())
def test_never_a_request_outside_its_window_nor_on_an_untrusted_clock(situation, trusted):
    """Live requests lie inside the window and behind the service's now; none leaves without trust."""
    lane, view, now = situation
    plan = plans(lane, view, now, trusted=trusted)
    if not trusted:
        assert plan.request is None
    if not isinstance(plan.request, Send):
        return
    step = plan.request.step
    if isinstance(step, OpenShift | EndShift):
        assert at(now) - step.at <= Policy().reach_s
        assert step.at <= at(now) - SEND_AFTER_S
    else:
        assert step.end <= at(now) - SEND_AFTER_S


@given(situations())
def test_one_request_a_lane_and_only_for_its_own_pending_punches(situation):
    """What is sent is for punches that may be sent, at their own second, never before an open attempt."""
    lane, plan = at_rest(*situation)
    if not isinstance(plan.request, Send):
        return
    by_id = {entry.punch.id: entry.punch for entry in lane}
    punches = [by_id[punch_id] for punch_id in plan.request.punch_ids]
    for sent in punches:
        assert sent.time_known
        assert sent.state is PunchState.PENDING
        assert not any(entry.outcome_unknown for entry in lane if entry.punch.id == sent.id)
    first = next(i for i, entry in enumerate(lane) if entry.punch.id == punches[0].id)
    open_before = [e for e in lane[:first] if e.punch.state is PunchState.IN_FLIGHT]
    assert not open_before
    step = plan.request.step
    match step:
        case OpenShift():
            assert (step.at, punches[0].direction) == (punches[0].second, Direction.CLOCK_IN)
        case EndShift():
            assert (step.at, punches[0].direction) == (punches[0].second, Direction.CLOCK_OUT)
        case CloseShift():
            assert (step.end, punches[0].direction) == (punches[0].second, Direction.CLOCK_OUT)
        case RecordShift():
            assert (step.start, step.end) == (punches[0].second, punches[1].second)
            assert 1 <= step.end - step.start <= Policy().max_shift_s


@given(situations())
def test_no_punch_overtakes_an_earlier_one_that_could_go(situation):
    """Order per person: everything before the sent punch is settled, decided, or waits for a stated reason."""
    lane, plan = at_rest(*situation)
    if not isinstance(plan.request, Send):
        return
    for entry in lane:
        if entry.punch.id in plan.request.punch_ids:
            return
        assert entry.punch.state not in (PunchState.PENDING, PunchState.IN_FLIGHT)


@given(situations())
def test_nothing_is_sent_that_a_read_contradicts(situation):
    """No clock-in inside a finished shift, no record over anything, no clock-out of a shift shown ended."""
    lane, view, now = situation
    after, plan = at_rest(lane, view, now)
    if view is None or not isinstance(plan.request, Send):
        return
    step = plan.request.step
    # A clock that is set back shows one second twice: what stands there is the one clock-in's, and says nothing more.
    others = {e.punch.remote_id for e in after if e.punch.id not in plan.request.punch_ids}
    for record in view.records:
        if isinstance(step, OpenShift):
            assert record.start != step.at or record.id in others
            assert record.end is None or not record.start <= step.at < record.end
        if isinstance(step, RecordShift):
            assert record.start >= step.end or (record.end is not None and record.end <= step.start)
        if isinstance(step, EndShift) and record.id == step.shift_id:
            assert record.end is None


@given(situations())
def test_every_lane_gets_on_or_names_why_not(situation):
    """After the verdicts: a request, a time to look again, or all unfinished in held or review with a reason."""
    lane, plan = at_rest(*situation)
    if plan.request is not None or plan.wake_at is not None:
        return
    for entry in lane:
        assert entry.punch.state not in (PunchState.PENDING, PunchState.IN_FLIGHT), "neither moving nor waiting"


@given(situations())
def test_a_read_answers_the_question_that_asked_for_it(situation):
    """No endless reading: with a read of this moment the lane does not ask again at once, but once further back."""
    lane, view, now = situation
    plan = plans(lane, view, now)
    if not isinstance(plan.request, Read):
        return
    records = () if view is None else view.records
    again = plans(lane, _read(plan.request, now, records), now)
    if isinstance(again.request, Read) and again.request.since < plan.request.since and not again.verdicts:
        plan, again = again, plans(lane, _read(again.request, now, records), now)
    assert again.request is None or isinstance(again.request, Send) or again.due != plan.due or again.verdicts


def _read(asked: Read, now: float, records: Sequence[ShiftRecord]) -> View:
    return replace(seen(now, *records), since=asked.since, until=asked.until)


@settings(max_examples=1500)
@given(situations())
def test_what_is_taken_out_of_review_is_not_put_back_by_the_same_read(situation):
    """Else each read would move it to and fro, for ever: two lines of the journal and two writes a read."""
    lane, view, now = situation
    reviewed = {entry.punch.id: entry.punch.reason for entry in lane if entry.punch.state is PunchState.REVIEW}
    for _ in range(20):
        plan = plans(lane, view, now)
        decided = {v.punch_id: v for v in plan.verdicts}
        put_back = [v for v in plan.verdicts if v.state is PunchState.REVIEW and reviewed.get(v.punch_id) == v.reason]
        assert not put_back
        lane = [_after(entry, decided, now) for entry in lane]
        if not plan.verdicts:
            return


def _after(entry: LanePunch, decided: dict[str, object], now: float) -> LanePunch:
    verdict = decided.get(entry.punch.id)
    if verdict is None:
        return entry
    attempt = entry.attempt
    if attempt is not None and verdict.attempt_outcome is not None:  # type: ignore[attr-defined]
        attempt = replace(attempt, ended_at=at(60), outcome=verdict.attempt_outcome)  # type: ignore[attr-defined]
    moved = replace(
        entry.punch,
        state=verdict.state,  # type: ignore[attr-defined]
        reason=verdict.reason,  # type: ignore[attr-defined]
        remote_id=verdict.remote_id or entry.punch.remote_id,  # type: ignore[attr-defined]
    )
    return LanePunch(moved, attempt, at(now))
