"""The lanes that changed are loaded and planned: verdicts are written down, requests are put on the board.

One person's trouble stays theirs: a fault of ours while planning them, or sending for them, puts a punch of theirs in
review.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from functools import partial

from daemon.alarms import Alarms
from daemon.clock import Timekeeper
from daemon.dating import tapped
from daemon.delivery import storage
from daemon.delivery.board import Board, Lane
from daemon.delivery.gate import Gate
from daemon.delivery.knowledge import Knowledge
from daemon.delivery.outlook import Outlook
from daemon.delivery.plan import Plan, Verdict
from daemon.delivery.planner import plan_lane
from daemon.delivery.policy import LAST_TRY_S, Moment, Policy
from daemon.delivery.settle import FUTURE_LEEWAY_S
from daemon.delivery.teller import Teller
from daemon.model import Punch, PunchState
from daemon.queue.database import Database
from daemon.supervisor import contained
from daemon.timesheets.timesheet import Budget
from drivers.reader import Evidence

#: A punch settles in a few moves; one that does not has a fault of ours and goes to review, not round for ever.
MOVES_MAX = 16
#: A person whose punches could be neither planned nor put in review is tried again after this.
FAILED_AGAIN_S = 900.0
#: A key that may not read the timesheet is tried again this often.
READS_AGAIN_S = 3600.0
#: What a look-up says of a request without an answer that arrived.
_ARRIVED = ("found", "found_changed", "closed_another_shift")
#: With so many requests left in the day nobody needs to count what waits.
PLENTY = 2000
#: Below that it is counted the less often, the more there is to count: this long later for each punch.
LOOK_AHEAD_S = 0.02


class Planning:
    """The lanes of one timesheet, the rules they are planned by, and the board of what they want."""

    def __init__(
        self,
        db: Database,
        timekeeper: Timekeeper,
        *,
        policy: Policy,
        knowledge: Knowledge,
        outlook: Outlook,
        gate: Gate,
        alarms: Alarms,
        teller: Teller,
    ) -> None:
        self._db, self._timekeeper, self._alarms, self._teller = db, timekeeper, alarms, teller
        self._knowledge, self._outlook, self._gate = knowledge, outlook, gate
        #: The rules in force: the owner's, and what the service lets us do meanwhile.
        self.policy = policy
        self.board = Board()
        #: Every lane must be planned again: the clock, the rules or the way to the service changed.
        self.all_dirty = True
        #: Whether anything is unfinished; counted only while the clock is not trusted.
        self.anyone_waits = False
        #: When reads that the service refused are tried again; infinity while they are allowed.
        self.reads_again_at = float("inf")
        #: People of whom something was absent from two reads and goes again: since when, and their oldest punch then.
        self.sent_again: dict[str, tuple[float, float]] = {}
        self._look_ahead_at = 0.0

    def start(self) -> None:
        """Begin anew, as after a start: everything is loaded again."""
        self.board, self.all_dirty = Board(), True

    async def plan_changed(self) -> None:
        """Plan every lane that changed, or whose own time has come."""
        if self.all_dirty:
            unfinished = await self._db.read(storage.unfinished_lanes)
            self.all_dirty = False
            for user_id in [*unfinished, *self.board.lanes]:
                self.board.mark(user_id)
        for lane in self.board.due_wakes(self._timekeeper.now()):
            self.board.remind(lane.user_id)
        while (dirty := self.board.take_dirty()) is not None:
            lane, changed = dirty
            await self.for_one(lane, self._load_and_plan(lane) if changed else self.plan(lane))
        if not self._timekeeper.trusted:
            # Asked of the queue: a punch held for its time is in no lane's head, and nobody needs the clock more.
            self.anyone_waits = await self._db.read(storage.anything_unfinished)

    async def plan(self, lane: Lane) -> None:
        """Plan one lane and apply its verdicts, until it wants a request or rests."""
        moves: Counter[str] = Counter()
        while (plan := self._planned(lane)).verdicts:
            moves.update(verdict.punch_id for verdict in plan.verdicts)
            if max(moves.values()) > MOVES_MAX:
                raise AssertionError(f"the lane does not come to rest: {plan.verdicts[0]}")
            now = self._timekeeper.now()
            planned = {entry.punch.id: entry.punch.state for entry in lane.punches}
            await self._db.write(partial(storage.apply, verdicts=plan.verdicts, planned=planned, at=now))
            await self._teller.verdicts(lane.user_id, plan.verdicts, now)
            self._note_looked_up(lane, plan.verdicts, now)
            # What moved on without a request, as after a doubt about the clock, is seldom alone: more of it at a time.
            await self._load(lane, wide=plan.request is None)
        now = self._timekeeper.now()  # no pause is longer, by whatever clock it was begun
        lane.deferred_until = min(lane.deferred_until, now + max(self.policy.backoff_max_s, FUTURE_LEEWAY_S + 1))
        if plan.request is not None and lane.deferred_until > now:
            plan = replace(plan, request=None, wake_at=lane.deferred_until)
        self.board.put(lane, plan)
        if not lane.punches and not lane.elsewhere:
            self.board.settled_at[lane.user_id] = self._timekeeper.now()

    async def replan(self, lane: Lane, stored: storage.Stored) -> None:
        """Plan a lane again that was just loaded."""
        fresh = lane.afresh()
        self._put(fresh, stored)
        await self.plan(fresh)

    async def for_one(self, lane: Lane, work: Awaitable[None]) -> None:
        """Do one person's work. A fault of ours puts the punch that was being sent in review (where none was, their
        oldest), and everybody else goes on.

        Where not even that can be done, theirs is tried again after FAILED_AGAIN_S; until then it counts as unsettled.
        """
        failure = await contained(work, passing=storage.EVERYBODYS)
        if failure is None:
            return
        self._teller.lane_failed(lane.user_id, str(failure))
        now = self._timekeeper.now()
        self.board.set_aside(lane.user_id, now + FAILED_AGAIN_S)
        why, sending = str(failure)[:500], lane.sending
        give_up = self._db.write(lambda conn: storage.give_up(conn, lane.user_id, why, now, sending))
        moved = await contained(give_up, passing=storage.EVERYBODYS)
        await self._teller.count_reviews()
        if moved is True:
            self.board.mark(lane.user_id)

    def settled_at(self, user_id: str) -> float | None:
        """When a person's last punch here was settled, minus infinity where there never was one in this run; None
        while something is not, or while that is not known: at a start, and after the database could not be read.
        """
        if self.all_dirty or self.board.unsettled(user_id):
            return None
        return self.board.settled_at.get(user_id, float("-inf"))

    def look_ahead(self, budget: Budget | None) -> None:
        """Whether the account's day carries what waits; else whole shifts go together, and a person is told."""
        now = self._timekeeper.now()
        if budget is None or budget.day_remaining is None or now < self._look_ahead_at:
            return
        if budget.day_remaining >= PLENTY and not self.policy.pairs_together:
            return
        waiting = self.board.waiting()
        self._look_ahead_at = now + LOOK_AHEAD_S * len(waiting)
        words = self._outlook.judge(waiting, self.policy.reach_s, budget, now)
        if words is None:
            self._alarms.clear("plan_too_small")
        else:
            remedy = "Whole shifts go together meanwhile. Take a larger plan, or fewer integrations on this account."
            self._alarms.set("plan_too_small", f"The account's plan is too small: {words}. {remedy}")
        if self._outlook.pairs_together != self.policy.pairs_together:
            self.policy = replace(self.policy, pairs_together=self._outlook.pairs_together)
            self.all_dirty = True

    def move(self, seconds: float) -> None:
        """Our clock was set ahead (negative: back): plan everything anew, with what was waited for moved along."""
        self.reads_again_at += seconds
        self._look_ahead_at = 0.0
        self.sent_again = {
            user_id: (at + seconds, oldest + seconds) for user_id, (at, oldest) in self.sent_again.items()
        }
        self.board.move(seconds)
        self.all_dirty = True

    def forbid_reads(self) -> None:
        """The service refuses reads to this key: plan without them for a while."""
        self.policy = replace(self.policy, can_look_up=False)
        self.reads_again_at = self._timekeeper.now() + READS_AGAIN_S
        self.all_dirty = True

    def allow_reads(self) -> None:
        """Plan with reads again."""
        if not self.policy.can_look_up:
            self.policy = replace(self.policy, can_look_up=True)
            self._alarms.clear("look_up_refused")
            self.all_dirty = True
        self.reads_again_at = float("inf")

    def expires_at(self, tapped_at: float) -> float:
        """When what was tapped then leaves the service's reach, by our best time; infinity where nothing ever does."""
        return tapped_at + self.policy.reach_s - self._timekeeper.server_ahead_s

    # --- one lane

    def _note_looked_up(self, lane: Lane, verdicts: Sequence[Verdict], now: float) -> None:
        """What reads showed of requests without an answer: whether any arrive, and who waits before the next."""
        if any(verdict.attempt_outcome in _ARRIVED for verdict in verdicts):
            lane.in_vain = 0
            with self._teller.watching(self._gate):
                self._gate.write_arrived()
        if not any(verdict.attempt_outcome == "absent" for verdict in verdicts):
            return
        oldest_at = min(entry.punch.occurred_at for entry in lane.punches)
        self.sent_again[lane.user_id] = (now, oldest_at)
        lane.in_vain += 1
        again_at = now + self._gate.rest_after_s(lane.in_vain)
        waiting = {verdict.punch_id for verdict in verdicts if verdict.state is PunchState.PENDING}
        for entry in lane.punches:
            expires_at = self.expires_at(entry.punch.occurred_at)
            if entry.punch.id in waiting and expires_at > now:
                again_at = min(again_at, max(now, expires_at - LAST_TRY_S))
        lane.deferred_until = max(lane.deferred_until, again_at)

    async def _load_and_plan(self, lane: Lane) -> None:
        await self._load(lane)
        await self.plan(lane)

    async def _load(self, lane: Lane, *, wide: bool = False) -> None:
        self._put(lane, await self._db.read(partial(storage.load, user_id=lane.user_id, wide=wide)))

    def _true_at(self, punch: Punch, now: Evidence) -> float | None:
        return self._timekeeper.by_boot(tapped(punch), now)

    @staticmethod
    def _put(lane: Lane, stored: storage.Stored) -> None:
        lane.punches, lane.elsewhere, person = stored.punches, stored.elsewhere, stored.employee
        lane.waiting, lane.wide = stored.waiting, stored.wide
        lane.max_shift_s, lane.job_id = (person.max_shift_s, person.job_id) if person is not None else (None, None)

    def _planned(self, lane: Lane) -> Plan:
        max_shift_s = lane.max_shift_s or self.policy.max_shift_s
        policy = self.policy
        if (policy.max_shift_s, policy.job_id) != (max_shift_s, lane.job_id):  # the person's own
            policy = replace(policy, max_shift_s=max_shift_s, job_id=lane.job_id)
        seen = self._timekeeper.evidence()
        now = self._timekeeper.best(seen).at
        blind_until = self._knowledge.unreadable_until(lane.user_id)
        if blind_until is not None and now >= blind_until:
            blind_until = None
        if blind_until is not None and policy.can_look_up:
            policy = replace(policy, can_look_up=False, no_look_up="timesheet_unreadable")
        ahead_s = self._timekeeper.server_ahead_s
        true_at, set_at = partial(self._true_at, now=seen), self._timekeeper.set_at
        moment = Moment(now, now + ahead_s, self._timekeeper.trusts(seen), true_at, set_at)
        plan = plan_lane(lane.punches, self._knowledge.of(lane.user_id), moment, policy)
        if blind_until is None or plan.verdicts:
            return plan
        return replace(plan, wake_at=min(blind_until, plan.wake_at or blind_until))
