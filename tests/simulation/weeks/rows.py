"""Names for what the planner decided and for what the service answered: PURE, from their arguments and results."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from daemon.delivery.knowledge import View
from daemon.delivery.plan import Plan, Read, Send, Verdict
from daemon.model import Direction, Punch, PunchState
from daemon.queue.lanes import LanePunch
from daemon.timesheets.timesheet import CloseShift, Conflict, EndShift, OpenShift, Outcome, RecordShift, Refused, Step

_WORD = {Direction.CLOCK_IN: "in", Direction.CLOCK_OUT: "out", None: "undecided"}


def rows_of(lane: Sequence[LanePunch], view: View | None, plan: Plan) -> Iterator[str]:
    """The rows of the table that a plan followed, by what was planned and what a read had shown."""
    place = {entry.punch.id: index for index, entry in enumerate(lane)}
    states = {entry.punch.id: entry.punch.state for entry in lane}
    for verdict in plan.verdicts:
        yield _of_verdict(lane, place[verdict.punch_id], states[verdict.punch_id], verdict)
        states[verdict.punch_id] = verdict.state
    if isinstance(plan.request, Send):
        yield _of_send(lane, view, plan)
    elif isinstance(plan.request, Read):
        waiting = next((entry.punch for entry in lane if entry.punch.occurred_at == plan.due), None)
        yield f"read first: {_waits(waiting, states)}"


def _of_verdict(lane: Sequence[LanePunch], index: int, was: PunchState, verdict: Verdict) -> str:
    punch, way = lane[index].punch, _WORD[lane[index].punch.direction]
    if was is PunchState.IN_FLIGHT:
        return f"unknown outcome: {_found(lane[index], verdict)}"
    if was is PunchState.REVIEW:
        left = "shown recorded" if verdict.state is PunchState.DELIVERED else f"{punch.reason} mended"
        return f"review: {left}"
    if verdict.state is PunchState.DELIVERED:
        return f"{way}: shown recorded"
    if verdict.state is PunchState.IN_FLIGHT:
        return f"{way}: looked up instead of being sent"
    if verdict.state is PunchState.PENDING:
        return f"{way}: goes on from {punch.reason}"
    if verdict.reason == "missing_clock_out":
        after = lane[index + 1].punch if index + 1 < len(lane) else None
        return f"{way}: missing_clock_out, {_WORD[after.direction] if after else 'nothing'} follows"
    return f"{way}: {verdict.reason}"


def _found(entry: LanePunch, verdict: Verdict) -> str:
    """What a look showed of a request."""
    if verdict.attempt_outcome == "absent" and verdict.state is PunchState.REVIEW:
        return f"absent, {verdict.reason}"
    if verdict.attempt_outcome or verdict.reason:
        return str(verdict.attempt_outcome or verdict.reason)
    return "with the other of its pair" if entry.outcome_unknown else "refused, and its own shift is shown"


def _of_send(lane: Sequence[LanePunch], view: View | None, plan: Plan) -> str:
    assert isinstance(plan.request, Send)
    step = plan.request.step
    match step:
        case OpenShift():
            return "in: live"
        case EndShift():
            return f"out: live{_whose(step.shift_id, lane, plan)}"
        case RecordShift():
            return "pair: one completed shift" if plan.expired else "pair: one completed shift, the day being scarce"
        case CloseShift():
            record = view.by_id(step.shift_id) if view is not None else None
            late = "late, by update" if record is None or record.end is None else "corrects an automatic end"
            return f"out: {late}{_whose(step.shift_id, lane, plan)}"


def _whose(shift_id: str | None, lane: Sequence[LanePunch], plan: Plan) -> str:
    """Nothing to say of a shift that a clock-in of this kiosk is known to have begun, as just found at the latest."""
    ins = {entry.punch.id: entry.punch.remote_id for entry in lane if entry.punch.direction is Direction.CLOCK_IN}
    found = {verdict.remote_id for verdict in plan.verdicts if verdict.punch_id in ins}
    return "" if shift_id is not None and shift_id in {*ins.values(), *found} else ", of a shift begun elsewhere"


def _waits(punch: Punch | None, states: dict[str, PunchState]) -> str:
    if punch is None:
        return "nobody"
    if states[punch.id] is PunchState.IN_FLIGHT:
        return "unknown outcome"
    return _WORD[punch.direction]


def answer_name(step: Step, outcome: Outcome) -> str:
    """What was asked and what came of it, as "open_shift: refused not_assigned"."""
    words = snake(type(outcome).__name__)
    if isinstance(outcome, Conflict | Refused):
        words += f" {outcome.reason}"
    return f"{snake(type(step).__name__)}: {words}"


def snake(name: str) -> str:
    """A class's name as the lists have it."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
