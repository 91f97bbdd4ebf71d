"""PURE: one lane while it is planned: the facts between its punches, and the answers a row can give.

Rows (daemon/delivery/planner.py, unknown.py) ask a `Walk` what holds and end in one of its answers; each answer says
whether the lane's next punch may be looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from daemon.dating import WRONG
from daemon.delivery.knowledge import View
from daemon.delivery.matching import RECORDED_AS
from daemon.delivery.plan import Read, Send, Verdict
from daemon.delivery.policy import READ_AFTER_S, READ_SPAN_MAX_S, ROUNDING_MAX_S, SEND_AFTER_S, Moment, Policy
from daemon.delivery.steps import decode
from daemon.model import Direction, Punch, PunchState, RecordedAs
from daemon.queue.lanes import LanePunch
from daemon.timesheets.timesheet import ShiftRecord, Write

#: A lane is read a little beyond its punches, so that a shift touching their edge is seen.
_READ_AROUND_S = 3600
#: How an attempt ended that must now go by itself: only that answer counts against the person (delivery.md, "Batches").
_GOES_ALONE = "absent"
#: A clock-out in review for one of these reasons left no open shift behind on the timesheet.
_NOT_OPEN_ANY_MORE = ("auto_clocked_out", "already_clocked_out", "no_open_shift", "shift_gone", "server_changed_time")


@dataclass
class Walk:
    """One pass over a lane, from its oldest punch on. `states` follow the verdicts given so far."""

    lane: Sequence[LanePunch]
    view: View | None
    moment: Moment
    policy: Policy
    verdicts: list[Verdict] = field(default_factory=list)
    request: Send | Read | None = None
    expired: bool = False
    due: float = 0.0
    wake_at: float | None = None

    def __post_init__(self) -> None:
        self.punches: list[Punch] = [entry.punch for entry in self.lane]
        self.states = [punch.state for punch in self.punches]
        self.reasons = [punch.reason for punch in self.punches]
        self.remote_ids = [punch.remote_id for punch in self.punches]

    # --- what holds between punches

    def is_pair(self, index: int) -> bool:
        """Whether the punch after this clock-in is its own clock-out."""
        if index + 1 >= len(self.punches):
            return False
        start, end = self.punches[index], self.punches[index + 1]
        if (start.direction, end.direction) != (Direction.CLOCK_IN, Direction.CLOCK_OUT) or not end.time_known:
            return False
        return 1 <= end.second - start.second <= self.policy.max_shift_s

    def shown(self, index: int) -> ShiftRecord | None:
        """The shift that begins, for a clock-out ends, at exactly this punch's second and stands for no other one."""
        punch = self.punches[index]
        if self.view is None:
            return None
        at = self.view.starting if punch.direction is Direction.CLOCK_IN else self.view.ending
        return at(punch.second, but=self.taken(index))

    def ends_here(self, index: int, record: ShiftRecord) -> bool:
        """Whether this shift ends at exactly this clock-out's second, and for no other one."""
        return record.end == self.punches[index].second and record.id not in self.taken(index)

    def known_as_others(self, index: int) -> set[str]:
        """The shifts that are this lane's other punches', or begin at the very second of another clock-in of it."""
        ours = {shift_id for i, shift_id in enumerate(self.remote_ids) if shift_id is not None and i != index}
        others = (p for i, p in enumerate(self.punches) if i != index and p.time_known)
        begun = {p.second for p in others if p.direction is Direction.CLOCK_IN} - {self.punches[index].second}
        return ours | {record.id for record in (self.view.records if self.view else ()) if record.start in begun}

    def taken(self, index: int) -> frozenset[str]:
        """The shifts whose start (of a clock-out: whose end) is another punch's: each is one punch's.

        Two may have one second all the same: a service rounds, and a clock that is set back shows a second twice. A
        shift that was delivered with quite another time has been changed since: its end is not that punch's any more.
        """
        own = self.punches[index]
        return frozenset(
            shift_id
            for i, other in enumerate(self.punches)
            if i != index and other.direction is own.direction and (shift_id := self.remote_ids[i]) is not None
            if self.reasons[i] == "server_changed_time" or abs(other.second - own.second) <= ROUNDING_MAX_S
        )

    def ended_by_others(self, index: int) -> frozenset[str]:
        """The shifts whose end another clock-out of this lane explains, as far as a service rounds."""
        ends = {r.id: r.end for r in self.view.records} if self.view else {}
        return frozenset(
            shift_id
            for i, (other, shift_id) in enumerate(zip(self.punches, self.remote_ids, strict=True))
            if i != index and other.direction is Direction.CLOCK_OUT and shift_id is not None
            if (end := ends.get(shift_id)) is not None and abs(end - other.second) <= ROUNDING_MAX_S
        )

    def too_long_after(self, index: int) -> bool:
        """Whether the next punch is a clock-out beyond max_shift_s: never one shift, nothing is sent."""
        if index + 1 >= len(self.punches):
            return False
        start, end = self.punches[index], self.punches[index + 1]
        known = end.time_known and end.direction is Direction.CLOCK_OUT and not self.states[index + 1].finished
        placed = not self.out_of_place(index) and not self.out_of_place(index + 1)
        return known and placed and end.second - start.second > self.policy.max_shift_s

    def out_of_place(self, index: int) -> bool:
        """Whether it is in review for its time: its second says nothing of how far it lies from its neighbours."""
        return self.states[index] is PunchState.REVIEW and self.reasons[index] in (*WRONG, "out_of_order")

    def reaches_to(self, index: int) -> int:
        """Up to where a shift that this clock-in begins is known to last: its person's next punch, else now."""
        known = index + 1 < len(self.punches) and self.punches[index + 1].time_known
        end = self.punches[index + 1].second if known else int(self.moment.server_now)
        return max(end, self.punches[index].second + 1)

    def has_left(self, index: int) -> bool:
        """Whether the clock-out after this clock-in is delivered: a shift begun now would stay open."""
        if index + 1 >= len(self.punches) or self.punches[index + 1].direction is not Direction.CLOCK_OUT:
            return False
        return self.states[index + 1].finished

    def too_old_to_be_ended(self, index: int) -> bool:
        """Whether no clock-out may end a shift that this clock-in began: none is there, and any to come is too late."""
        return not self.is_pair(index) and self.moment.server_now > self.punches[index].second + self.policy.max_shift_s

    def blocked_by_open_shift(self, index: int) -> bool:
        """Whether the timesheet still shows an earlier shift of ours open, whose clock-out is in review or held."""
        for i in range(1, index):
            out_stuck = self.states[i] in (PunchState.REVIEW, PunchState.HELD)
            opened_here = (
                self.punches[i].direction is Direction.CLOCK_OUT
                and self.punches[i - 1].direction is Direction.CLOCK_IN
                and self.states[i - 1] is PunchState.DELIVERED
            )
            if not (out_stuck and opened_here):
                continue
            record = self.view.by_id(self.remote_ids[i - 1] or "") if self.view else None
            if record is not None and record.end is not None:
                continue
            if self.view is not None and record is None and self.view.requested_at > self.punches[i].occurred_at:
                continue
            if self.reasons[i] not in _NOT_OPEN_ANY_MORE:
                return True
        return False

    def open_for(self, index: int) -> ShiftRecord | None:
        """The open shift that this clock-out may end: one begun before it, and by no later clock-in of this lane.

        A service that rounds may give that one a start before the clock-out.
        """
        if self.view is None:
            return None
        later = [shift_id for shift_id in self.remote_ids[index + 1 :] if shift_id is not None]
        return self.view.open_before(self.punches[index].second, self.policy.max_shift_s, but=later)

    # --- time

    def too_old_for_live(self, index: int) -> bool:
        """Whether it is too old to go live: by the service's clock as far as known, or by its own word."""
        attempt = self.lane[index].attempt
        told = attempt is not None and attempt.outcome == "too_old"
        return told or self.moment.server_now - self.punches[index].second > self.policy.reach_s

    def covered_by(self, view: View, index: int, back_s: int = 0) -> bool:
        """Whether a read asked for this punch's second, or, of one that lies ahead of it, for all there was.

        `back_s`: and for so long before it.
        """
        return view.covers(min(self.punches[index].second, int(view.requested_at)) - back_s)

    def stale(self, punch: Punch, asked_after: float | None = None) -> bool:
        """Whether a read is owed before writing: the punch is old, or the read must be newer than `asked_after`.

        Else wakes when one will be: all who wait through an outage then share one.
        """
        if asked_after is None:
            if not self.policy.can_look_up:
                return False
            if self.moment.now < punch.occurred_at + READ_AFTER_S:
                self.wake(punch.occurred_at + READ_AFTER_S)
                return False
            asked_after = 0.0
        if self.view is None or not self.view.covers(punch.second) or self.view.requested_at < asked_after:
            return True
        if self.moment.now < self.view.requested_at + READ_AFTER_S:
            self.wake(self.view.requested_at + READ_AFTER_S)
            return False
        return True

    def seconds_passed(self, punch: Punch) -> bool:
        """Whether the service will not take this second for its future; else wakes then."""
        early = punch.second + SEND_AFTER_S - self.moment.server_now
        if early > 0:
            self.wake(self.moment.now + early)
        return early <= 0

    def wake_when_expired(self, punch: Punch) -> None:
        """Plan again when this punch leaves the service's reach."""
        if self.policy.reach_s != float("inf"):
            self.wake(self._by_server(punch.second + self.policy.reach_s + 1))

    def wake_when_too_old_to_be_ended(self, index: int) -> None:
        """Plan again when no clock-out can come any more that ends this clock-in's shift."""
        if not self.is_pair(index):
            self.wake(self._by_server(self.punches[index].second + self.policy.max_shift_s + 1))

    def _by_server(self, at: float) -> float:
        """Our time when the service's clock, as far as known, shows that one."""
        return self.moment.now + at - self.moment.server_now

    def wake(self, at: float) -> None:
        """Plan again at this time, or earlier."""
        self.wake_at = at if self.wake_at is None else min(self.wake_at, at)

    # --- answers

    def hold(self, index: int, reason: str) -> bool:
        """It waits for something; the lane goes on."""
        if self.states[index] is not PunchState.HELD or self.reasons[index] != reason:
            self.settle(index, PunchState.HELD, reason=reason)
        return True

    def review(self, index: int, reason: str, detail: str | None = None) -> bool:
        """It needs a person; the lane goes on."""
        if self.states[index] is not PunchState.REVIEW:
            self.settle(index, PunchState.REVIEW, reason=reason, detail=detail)
        return True

    def deliver(self, index: int, record: ShiftRecord, default: RecordedAs, *, outcome: str | None = None) -> bool:
        """A read shows exactly this already recorded."""
        attempt = self.lane[index].attempt
        as_ = RECORDED_AS[type(decode(attempt.kind, attempt.step))] if attempt else default
        self.settle(index, PunchState.DELIVERED, record=record, as_=as_, outcome=outcome)
        return True

    def settle(
        self,
        index: int,
        state: PunchState,
        *,
        reason: str | None = None,
        detail: str | None = None,
        record: ShiftRecord | None = None,
        as_: RecordedAs | None = None,
        outcome: str | None = None,
    ) -> None:
        """Give a verdict; `outcome` also settles the punch's open attempt."""
        attempt = self.lane[index].attempt
        unsettled = outcome is not None and self.lane[index].outcome_unknown
        if attempt is not None and any(verdict.attempt_id == attempt.id for verdict in self.verdicts):
            unsettled = False  # ended by the other punch of the pair
        remote_id = record.id if record is not None else None
        self.verdicts.append(
            Verdict(
                self.punches[index].id, state, reason, detail, remote_id, as_,
                attempt.id if unsettled and attempt else None, outcome if unsettled else None, record,
            )
        )  # fmt: skip
        self.states[index], self.reasons[index] = state, reason
        self.remote_ids[index] = remote_id or self.remote_ids[index]

    def release(self, index: int) -> None:
        """It may go, or, where nobody knows what its last request did, is looked up first."""
        state = PunchState.IN_FLIGHT if self.lane[index].outcome_unknown else PunchState.PENDING
        if self.states[index] is not state:
            self.settle(index, state)

    def send(self, index: int, step: Write, *, pair: bool = False, expired: bool = False) -> bool:
        """Send this next, when its second has passed; the lane waits for the answer.

        Never what has an attempt whose outcome is not known: then nothing is sent, and the lane goes on to the look-up.
        """
        punch = self.punches[index]
        if not self.seconds_passed(punch):
            return False
        both = (index, index + 1) if pair else (index,)
        unknown = [i for i in both if self.lane[i].outcome_unknown]
        for i in unknown or both:  # a clock-out that was held goes with its clock-in
            self.release(i)
        if unknown:
            return True
        ids = (punch.id, self.punches[index + 1].id) if pair else (punch.id,)
        attempt = self.lane[index].attempt
        alone = not pair or (attempt is not None and attempt.outcome == _GOES_ALONE)
        self.request, self.expired, self.due = Send(step, ids, alone), expired, punch.occurred_at
        return False

    def read(self, index: int, *, expired: bool = False, back_s: int | None = None) -> bool:
        """Ask for a read that covers this punch, and the lane's later ones as far as one request reaches.

        `back_s`: how far it shall look back from the punch, the longest shift unless told otherwise.
        """
        punch = self.punches[index]
        if not self.policy.can_look_up:
            return False if self.states[index] is PunchState.IN_FLIGHT else self.hold(index, self.policy.no_look_up)
        since = min(punch.second, int(self.moment.now)) - (back_s or self.policy.max_shift_s) - _READ_AROUND_S
        until = min(int(self.moment.now) + _READ_AROUND_S, since + READ_SPAN_MAX_S)
        self.request, self.expired, self.due = Read(since, until), expired, punch.occurred_at
        return False

    def pair_text(self, index: int) -> str:
        """How far a clock-in and the clock-out after it lie apart, for people."""
        hours = (self.punches[index + 1].second - self.punches[index].second) / 3600
        return f"{hours:.1f} h between the two; the limit is {self.policy.max_shift_s / 3600:g} h"

    def covered(self, index: int) -> list[int]:
        """All punches of the lane that this punch's attempt is for."""
        attempt = self.lane[index].attempt
        same = [i for i, e in enumerate(self.lane) if attempt and e.attempt and e.attempt.id == attempt.id]
        return [i for i in same if self.states[i] is PunchState.IN_FLIGHT] or [index]


def reference(punch: Punch) -> str:
    """Our mark in the service's record, unique to the punch that the record begins with (facts 1.5, "Idea")."""
    return punch.id


def described(record: ShiftRecord) -> str:
    """A record of the timesheet in words, for people. Times are Unix seconds UTC until a view formats them."""
    end = "still open" if record.end is None else f"until {_utc(record.end)}"
    by = f", ended by {record.ended_by}" if record.ended_by else ""
    return f"the timesheet shows shift {record.id} from {_utc(record.start)} {end}{by}"


def _utc(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
