"""A request nobody knows the outcome of is looked up before its punch goes again, by every way into a request.

Two punches with every state, attempt, age and timesheet there is: few enough to try them all.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace

import pytest

from daemon.delivery.knowledge import View
from daemon.delivery.plan import Plan, Read, Send, Verdict
from daemon.delivery.planner import plan_lane
from daemon.delivery.policy import Policy
from daemon.delivery.steps import encode
from daemon.delivery.walk import Walk
from daemon.model import PunchState
from daemon.queue.deliveries import SALVAGED, Attempt
from daemon.queue.lanes import LanePunch
from daemon.timesheets.timesheet import CloseShift, EndShift, OpenShift, RecordShift, Write
from tests.support.lanes import at, moment, punch, second, seen, shift

BEGUN, ENDED, TRIED = 8.0, 12.0, 12.5
IN, OUT = OpenShift("7", second(BEGUN)), EndShift("7", second(ENDED), "s1")
#: Which request is, or was, the punch's last; "both" is one attempt for the two of them.
OPEN = ("open", "salvaged", "both", "closing")
ATTEMPTS = (None, "absent", *OPEN)
WAITING = (PunchState.PENDING, PunchState.HELD)
STANDS: tuple[tuple[PunchState, str | None], ...] = (
    (PunchState.PENDING, None),
    (PunchState.HELD, "earlier_punch_in_review"),
    (PunchState.IN_FLIGHT, None),
    (PunchState.REVIEW, "internal_error"),
    (PunchState.REVIEW, "missing_clock_out"),
    (PunchState.REVIEW, "shift_too_long"),
    (PunchState.REVIEW, "already_open"),
    (PunchState.REVIEW, "overlaps_existing_shift"),
    (PunchState.REVIEW, "auto_clocked_out"),
    (PunchState.DELIVERED, None),
)
#: The last punch's age in hours when it is planned: right after the attempts, within the service's reach, beyond it.
AGES = (0.502, 0.6, 20.0, 60.0)
SHEETS = {
    "not read": None,
    "empty": (),
    "their shift, open": (shift("s1", BEGUN),),
    "their shift, ended by the service": (shift("s1", BEGUN, BEGUN + 6, by="autoClockOut"),),
    "their shift, ended by somebody": (shift("s1", BEGUN, BEGUN + 2, by="admin"),),
    "another, open before": (shift("s0", BEGUN - 1),),
}
POLICIES = (Policy(), Policy(pairs_together=True), Policy(after_auto_clock_out="correct"), Policy(can_look_up=False))


def attempt(kind: str | None, own: Write, number: int) -> Attempt | None:
    """A punch's last attempt."""
    if kind is None:
        return None
    step: Write = own
    if kind == "both":
        step, number = RecordShift("7", second(BEGUN), second(ENDED), "mark"), 9
    elif kind == "closing" and isinstance(own, EndShift):
        step = CloseShift("7", "s1", own.at, "mark")
    ended = at(TRIED) if kind == "absent" else None
    name, detail = encode(step)[0], SALVAGED if kind == "salvaged" else None
    return Attempt(number, name, asdict(step), at(TRIED), ended, "absent" if ended else None, None, None, detail)


def entries(direction: str, hours: float, own: Write, number: int) -> list[LanePunch]:
    """One punch wherever it can stand, also where only an earlier version left it: waiting, with an open attempt."""
    made = []
    for (state, reason), kind in itertools.product(STANDS, ATTEMPTS):
        if (state is PunchState.IN_FLIGHT and kind not in OPEN) or (state is PunchState.DELIVERED and kind):
            continue
        remote = "s1" if state is PunchState.DELIVERED else None
        entry = punch(direction, hours, state, reason=reason, shift=remote)
        made.append(replace(entry, attempt=attempt(kind, own, number), since=at(TRIED)))
    return made


def lanes() -> Iterator[list[LanePunch]]:
    """Every clock-in with every clock-out, and a clock-out alone; what is for both is each one's last, or neither's."""
    outs = entries("out", ENDED, OUT, 2)
    yield from ([out] for out in outs)
    for pair in itertools.product(entries("in", BEGUN, IN, 1), outs):
        shared = [one.attempt is not None and one.attempt.id == 9 for one in pair]
        if shared[0] == shared[1]:
            yield list(pair)


LANES = list(lanes())


def view(name: str, now: float) -> View | None:
    """A timesheet, read just now."""
    records = SHEETS[name]
    return None if records is None else seen(now - 0.001, *records)


def let_go_blindly(lane: Sequence[LanePunch], plan: Plan) -> list[Verdict | Send]:
    """What the plan would send, or let go to be sent, although its last request may have been done."""
    ended = {verdict.attempt_id for verdict in plan.verdicts if verdict.attempt_outcome is not None}
    unknown = {e.punch.id for e in lane if e.outcome_unknown and e.attempt and e.attempt.id not in ended}
    wrong: list[Verdict | Send] = [
        verdict for verdict in plan.verdicts if verdict.state is PunchState.PENDING and verdict.punch_id in unknown
    ]
    if isinstance(plan.request, Send) and unknown & set(plan.request.punch_ids):
        wrong.append(plan.request)
    return wrong


@pytest.mark.parametrize("policy", POLICIES, ids=["plain", "pairs together", "corrected", "without reads"])
@pytest.mark.parametrize("sheet", SHEETS)
@pytest.mark.parametrize("age", AGES)
def test_what_may_have_been_done_is_never_sent_nor_let_go(age, sheet, policy):
    """No request names such a punch, and none becomes pending, but by the look-up that ends its attempt."""
    now = ENDED + age
    for lane in LANES:
        plan = plan_lane(lane, view(sheet, now), moment(now), policy)
        assert not let_go_blindly(lane, plan), lane


def test_every_way_into_a_request_is_among_them():
    """Else the above would promise nothing: alone, as a pair, the day being scarce, closed late, and corrected."""
    sent = set()
    for age, sheet, (number, policy) in itertools.product((0.6, 20.0), SHEETS, enumerate(POLICIES)):
        for lane in LANES:
            plan = plan_lane(lane, view(sheet, ENDED + age), moment(ENDED + age), policy)
            if isinstance(plan.request, Send):
                sent.add((type(plan.request.step), len(plan.request.punch_ids), plan.expired, number))
    assert {
        (OpenShift, 1, False, 0),
        (EndShift, 1, False, 0),
        (RecordShift, 2, True, 0),
        (CloseShift, 1, False, 0),
        (RecordShift, 2, False, 1),
        (CloseShift, 1, False, 2),
        (OpenShift, 1, False, 3),
    } <= sent


@pytest.mark.parametrize("sheet", SHEETS)
@pytest.mark.parametrize("age", AGES)
def test_what_waits_with_an_open_attempt_moves_on(age, sheet):
    """Whatever left it so: the plan takes it up, or asks for what it needs, or a person has the other half."""
    now = ENDED + age
    for lane in LANES:
        stuck = [e for e in lane if e.outcome_unknown and e.punch.state in WAITING]
        plan = plan_lane(lane, view(sheet, now), moment(now), Policy())
        if stuck:
            assert plan.verdicts or plan.request is not None or plan.wake_at is not None, lane


def test_the_walk_itself_sends_nothing_that_may_have_been_done():
    """Whichever rule asks it to: what waits is taken to its look-up, and the lane goes on to that."""
    for lane in LANES:
        if len(lane) < 2 or any(e.punch.state not in (*WAITING, PunchState.IN_FLIGHT) for e in lane):
            continue
        walk = Walk(lane, None, moment(ENDED + 20), Policy())
        goes_on = walk.send(0, RecordShift("7", second(BEGUN), second(ENDED), "mark"), pair=True)
        doubtful = [i for i, entry in enumerate(lane) if entry.outcome_unknown]
        assert goes_on == bool(doubtful)
        assert (walk.request is None) == bool(doubtful)
        assert all(walk.states[i] is PunchState.IN_FLIGHT for i in doubtful)
        assert not let_go_blindly(lane, Plan(tuple(walk.verdicts), walk.request))


def test_a_salvaged_shift_that_is_not_there_is_recorded_whole():
    """Each half looked up, then one completed shift: the plans of a lane up to the request."""
    lane = [
        replace(punch("in", BEGUN, PunchState.IN_FLIGHT), attempt=attempt("salvaged", IN, 1)),
        replace(punch("out", ENDED, PunchState.IN_FLIGHT), attempt=attempt("salvaged", OUT, 2)),
    ]
    now = ENDED + 20
    for _ in range(6):
        plan = plan_lane(lane, seen(now - 0.001), moment(now), Policy())
        assert not isinstance(plan.request, Read)
        if isinstance(plan.request, Send) and not plan.verdicts:
            break
        lane = [_after(entry, plan.verdicts) for entry in lane]
    assert isinstance(plan.request, Send)
    assert isinstance(plan.request.step, RecordShift)
    assert plan.request.punch_ids == tuple(entry.punch.id for entry in lane)
    assert [entry.attempt and entry.attempt.outcome for entry in lane] == ["absent", "absent"]


def test_a_salvaged_clock_out_is_looked_up_before_its_shift_is_held_against_the_timesheet():
    """It ended a phone's shift before the damage: it is found there, and not sent to review for what lies there."""
    lane = [
        replace(punch("in", BEGUN), attempt=attempt("absent", IN, 1)),
        replace(
            punch("out", ENDED, PunchState.IN_FLIGHT), attempt=attempt("salvaged", EndShift("7", second(ENDED), ""), 2)
        ),
    ]
    now = ENDED + 20
    plan = plan_lane(lane, seen(now - 0.001, shift("s0", BEGUN - 0.1, ENDED)), moment(now), Policy())
    assert [(v.punch_id, v.state, v.remote_id) for v in plan.verdicts] == [
        (lane[1].punch.id, PunchState.DELIVERED, "s0"),
        (lane[0].punch.id, PunchState.REVIEW, None),
    ]
    # As an earlier version left it: held, with the request open. It is looked up before anything is made of the shift.
    lane[1] = replace(lane[1], punch=replace(lane[1].punch, state=PunchState.HELD, reason="earlier_punch_in_review"))
    plan = plan_lane(lane, seen(now - 0.001, shift("s0", BEGUN - 0.1, ENDED)), moment(now), Policy())
    assert [(v.punch_id, v.state, v.remote_id) for v in plan.verdicts] == [
        (lane[1].punch.id, PunchState.IN_FLIGHT, None)
    ]


def _after(entry: LanePunch, verdicts: Sequence[Verdict]) -> LanePunch:
    for verdict in verdicts:
        if verdict.punch_id == entry.punch.id:
            last = entry.attempt
            if last is not None and verdict.attempt_outcome is not None:
                last = replace(last, ended_at=at(TRIED + 1), outcome=verdict.attempt_outcome)
            entry = replace(entry, punch=replace(entry.punch, state=verdict.state), attempt=last)
    return entry
