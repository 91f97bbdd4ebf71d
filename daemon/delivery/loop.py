"""The delivery loop: what changed is planned, the best request is carried out, and then it sleeps.

What may wake it: a punch, a decision, the clock, a plan's own time, the end of a pause, a link or route. Nothing is
polled but the key file, while the service refuses the key (one stat every 15 s).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
from collections import Counter
from collections.abc import Awaitable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from daemon.alarms import Alarms
from daemon.clock import Timekeeper
from daemon.delivery import storage
from daemon.delivery.asking import Asking
from daemon.delivery.board import Board, Lane
from daemon.delivery.courier import READ_BESIDE_S, Courier
from daemon.delivery.gate import DeliveryState, Gate
from daemon.delivery.key_check import KeyCheck, key_check, unreadable
from daemon.delivery.knowledge import Knowledge, View
from daemon.delivery.mending import Mending
from daemon.delivery.outlook import CHECK_MIN_S, Outlook
from daemon.delivery.pacer import Pacer
from daemon.delivery.plan import Plan, Read, Send
from daemon.delivery.planner import plan_lane
from daemon.delivery.policy import READ_SPAN_MAX_S, Moment, Policy
from daemon.delivery.teller import Teller
from daemon.errors import ConfigError, RefusedError, StorageError
from daemon.events import Events
from daemon.model import Punch
from daemon.queue.database import Database
from daemon.supervisor import contained
from daemon.timesheets.timesheet import BATCH_PEOPLE_MAX, Query, Reply, Timesheet

#: A punch settles in a few moves; one that does not has a fault of ours and goes to review, not round for ever.
MOVES_MAX = 16
#: A new punch while nothing answers is a reason to try again, but not more often than this.
HURRY_S = 5.0
#: Kiosks behind one line see it come back in the same moment; each waits a part of this, under a second.
LINK_SPREAD_S = 0.8
#: While halted the key file is looked at this often; it is one stat.
KEY_LOOK_S = 15.0
#: Probes for a clock that is not trusted: the first pause, doubling, and the longest.
PROBE_FIRST_S, PROBE_MAX_S = 10.0, 900.0
#: A key that may not read the timesheet is tried again this often.
READS_AGAIN_S = 3600.0
#: With so many requests left in the day nobody needs to count what waits.
PLENTY = 2000
#: Below that it is counted the less often, the more there is to count: this long later for each punch.
LOOK_AHEAD_S = 0.02
#: Errors that are not one person's trouble: the disk's. They restart delivery.
_EVERYBODYS = (sqlite3.Error, StorageError)


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """What status shows of delivery. Times are Unix seconds."""

    state: DeliveryState
    detail: str | None
    budget: dict[str, Any] | None
    snapshot_at: float | None
    last_delivery_at: float | None
    next_try_at: float | None


class Delivery:
    """The delivery loop of one timesheet."""

    def __init__(
        self,
        *,
        db: Database,
        timesheet: Timesheet,
        timekeeper: Timekeeper,
        policy: Policy,
        alarms: Alarms,
        events: Events,
        rng: random.Random,
        requests_per_minute: int = 60,
        zone: ZoneInfo | None = None,
    ) -> None:
        self._db, self._timesheet, self._timekeeper, self._alarms = db, timesheet, timekeeper, alarms
        can = timesheet.capabilities
        self._policy = replace(
            policy,
            live=can.live,
            lookback_s=can.lookback_s,
            close_late_by_update=policy.close_late_by_update and can.close_late,
        )
        self.pacer, self.gate = Pacer(requests_per_minute), Gate(policy.backoff_max_s, rng)
        self._board, self._knowledge = Board(), Knowledge()
        self._teller = Teller(db, alarms, events)
        self._courier = Courier(
            db,
            timesheet,
            timekeeper,
            pacer=self.pacer,
            gate=self.gate,
            knowledge=self._knowledge,
            alarms=alarms,
            teller=self._teller,
        )
        self._asking = Asking(self._courier.ask, self.gate, timekeeper)
        self._outlook = Outlook(rng, may_pair=policy.batch_pairs == "when_scarce")
        self._mending = Mending(zone or ZoneInfo("UTC"))
        self._news = asyncio.Event()
        self._stopping = False
        self._all_dirty = True
        self._greeted = False
        self._probe_pause_s, self._probe_at = PROBE_FIRST_S, 0.0
        self._anyone_waits = False
        self._reads_again_at = float("inf")
        self._look_ahead_at = 0.0

    # --- life

    async def run(self) -> None:
        """Deliver until `stop` or cancellation. Raises what only a fault of ours or of the disk can raise."""
        self._board, self._all_dirty = Board(), True
        self._outlook.start(self._timekeeper.now())
        self.gate.paused, budget = await self._db.read(storage.remembered)
        if self.pacer.budget is None:
            self.pacer.note_budget(budget, 0.0)
        await self._teller.count_reviews()
        while not self._stopping:
            self._news.clear()
            rest_s = await self._turn()
            if rest_s is None or rest_s > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), rest_s)

    async def stop(self, grace_s: float) -> None:
        """End `run` after the request that is out, if its answer comes within `grace_s`; the caller cancels it then."""
        self._stopping = self._asking.closed = True
        self._news.set()

    # --- what others ask of it

    def wake(self, user_id: str | None = None) -> None:
        """This person's lane changed, or (None) the clock or anything that concerns all."""
        if user_id is None:
            self._all_dirty = True
            self._probe_at, self._probe_pause_s = 0.0, PROBE_FIRST_S
        else:
            self._board.mark(user_id)
            self.gate.hurry(HURRY_S)
        self._news.set()

    def network_changed(self) -> None:
        """A link or route changed: what failed may work now."""
        self.gate.retry(self._timekeeper.now(), spread_s=LINK_SPREAD_S)
        self._news.set()

    async def sync_now(self) -> None:
        """Try at once whatever waits for time alone, and let every waiting lane read again."""
        for user_id in self._board.lanes:
            self._knowledge.forget(user_id)
        self._outlook.hurry(self._timekeeper.now())
        self._allow_reads()
        self.gate.retry(self._timekeeper.now())
        self.wake()

    def change_rules(self, policy: Policy) -> None:
        """Plan by the owner's new rules from now on; what was learnt of the service meanwhile stays."""
        self._policy = replace(
            self._policy, max_shift_s=policy.max_shift_s, after_auto_clock_out=policy.after_auto_clock_out
        )
        self.wake()

    async def reload(self) -> None:
        """The configuration or key may have changed: read the key again and try. Raises ConfigError."""
        await self._timesheet.reload_key()
        await self.sync_now()

    async def pause(self, by: str) -> None:
        """Send nothing until resumed, also after a restart."""
        await self._set_paused(True, by)

    async def resume(self, by: str) -> None:
        """Go on after `pause`."""
        await self._set_paused(False, by)

    async def retry(self, punch_ids: Sequence[str], *, by: str) -> list[Punch]:
        """Take punches out of review. All or none: raises NotFoundError or RefusedError with the first that cannot."""
        now = self._timekeeper.now()
        return await self._decided(await self._db.write(lambda conn: storage.retry(conn, punch_ids, now, by)))

    async def discard(self, punch_id: str, *, reason: str, by: str) -> Punch:
        """Decide that an undelivered punch is not sent; it stays on record. Raises NotFoundError or RefusedError."""
        if not reason.strip():
            raise RefusedError("Cannot discard without a reason; give one with --reason TEXT.")
        now = self._timekeeper.now()
        punch = await self._db.write(lambda conn: storage.discard(conn, punch_id, reason, now, by))
        return (await self._decided([punch]))[0]

    async def accept_server(self, punch_id: str, *, by: str) -> Punch:
        """Take the timesheet's record for the punch: reads it now. Raises NotFoundError, RefusedError."""
        punch = await self._db.read(lambda conn: storage.reviewed(conn, punch_id))
        record = await self._courier.record_for(punch, self._policy.max_shift_s)
        now = self._timekeeper.now()
        accepted = await self._db.write(lambda conn: storage.accept(conn, punch_id, record, now, by))
        return (await self._decided([accepted]))[0]

    async def ask(self, step: Query) -> Reply:
        """One read for a person, when gate and budget let it; live punches keep their reserve. Raises RefusedError."""
        return await self._asking.ask(step)

    async def check_key(self) -> KeyCheck:
        """Read the key again and prove it by one request, also while halted or paused; a good key lifts a halt."""
        try:
            changed = await self._timesheet.reload_key()
        except ConfigError as error:
            return unreadable(error.message)
        reply = await self._courier.greet()
        self._news.set()
        return key_check(reply, changed=changed)

    def seen(self, user_id: str) -> tuple[View, float | None] | None:
        """What a read last showed of a person, and when their last punch here was settled (None: something is not).

        A quick look into memory, safe from any thread. None while nothing was read.
        """
        view = self._knowledge.of(user_id)
        if view is None:
            return None
        unsettled = user_id in self._board.lanes or user_id in self._board.dirty
        return view, None if unsettled else self._board.settled_at.get(user_id, float("-inf"))

    def status(self) -> DeliveryStatus:
        """Where delivery stands."""
        now = self._timekeeper.now()
        next_try, halt, budget = self.gate.ready_at(now), self.gate.halt, self.pacer.budget
        return DeliveryStatus(
            state=self.gate.state,
            detail=halt.detail if halt else self.gate.detail,
            budget=asdict(budget) if budget is not None else None,
            snapshot_at=self._knowledge.snapshot_at,
            last_delivery_at=self._teller.last_delivery_at,
            next_try_at=next_try if now < next_try < float("inf") else None,
        )

    async def _decided(self, punches: list[Punch]) -> list[Punch]:
        for punch in punches:
            self._knowledge.forget(punch.user_id)
            self.wake(punch.user_id)
        await self._teller.decided(punches)
        return punches

    async def _set_paused(self, paused: bool, by: str) -> None:
        now = self._timekeeper.now()
        await self._db.write(lambda conn: storage.set_paused(conn, paused, now, by))
        with self._teller.watching(self.gate):
            self.gate.paused = paused
        self._news.set()

    # --- one turn

    async def _turn(self) -> float | None:
        """Plan what changed, carry out at most one request. How long to rest: 0 not at all, None until news."""
        await self._plan_changed()
        self._look_ahead()
        now = self._timekeeper.now()
        if self.gate.halt is not None and not self.gate.paused and await self._timesheet.reload_key():
            self._allow_reads()
            self.gate.retry(now)
        if now >= self._reads_again_at:
            self._allow_reads()
            return 0.0
        at = self.gate.ready_at(now)
        if at <= now:
            at = self.pacer.ready_at(now, live=True)
        if at > now:
            return self._rest(at, now)
        if not self._greeted or self.gate.halt is not None or (self._wants_trust() and now >= self._probe_at):
            await self._probe()
            return 0.0
        expired_at = self.pacer.ready_at(now, live=False)
        lane = self._board.best(expired_too=expired_at <= now)
        if lane is None and expired_at <= now and await self._idle_read(now):
            return 0.0
        if lane is None:
            return self._rest(expired_at if expired_at > now else float("inf"), now)
        await self._for_one(lane, self._serve(lane))
        return 0.0

    def _rest(self, at: float, now: float) -> float | None:
        """The rest until the earliest of: `at`, a plan's own time, a look at the key, a probe, reads allowed again."""
        times = [at, self._board.next_wake() or float("inf"), self._reads_again_at]
        if self._wants_idle_reads() and self._outlook.read_at is not None:
            # Where the budget does not allow it yet it is not due: else the loop would spin until the budget does.
            allowed_at = max(self.gate.ready_at(now), self.pacer.ready_at(now, live=False))
            times.append(max(self._outlook.read_at, allowed_at))
        if self.gate.halt is not None and not self.gate.paused:
            times.append(now + KEY_LOOK_S)
        if not self.gate.paused and self._wants_trust():
            times.append(max(self._probe_at, self.gate.ready_at(now)))
        earliest = min(times)
        return None if earliest == float("inf") else max(0.001, earliest - now)

    async def _serve(self, lane: Lane) -> None:
        """Carry out the one request a lane wants, judged at the moment of sending."""
        await self._plan(lane)
        if self._board.lanes.get(lane.user_id) is not lane:
            return
        request = lane.plan.request
        if isinstance(request, Send):
            self._board.note_request(lane)
            mates = [lane] if request.alone else self._board.together(lane, BATCH_PEOPLE_MAX)
            people = await (
                self._courier.send(lane, request) if len(mates) == 1 else self._courier.send_together(mates)
            )
        elif isinstance(request, Read):
            self._board.note_request(lane)
            people, may_read = await self._courier.read(request, self._board.readers())
            if not may_read:
                self._forbid_reads()
        else:
            return
        for user_id in people:
            self._board.mark(user_id)

    async def _idle_read(self, now: float) -> bool:
        """A read that nothing waits for, when its time has come: it corrects the toggle and heals reviews."""
        if not self._wants_idle_reads() or self._outlook.read_at is None or now < self._outlook.read_at:
            return False
        if (check := self._mending.check) is not None:
            await self._check(check, now)
            return True
        people, oldest = await self._db.read(partial(storage.people_to_read, now=now))
        self._outlook.note_idle_read(now, self.pacer.budget)
        if not people:
            return False
        since = int(max(now - READ_SPAN_MAX_S, min(oldest, now) - self._policy.max_shift_s - READ_BESIDE_S))
        if not await self._courier.look(people, since, int(now) + READ_BESIDE_S):
            self._forbid_reads()
        self._all_dirty = True
        self._mending.begin(await self._db.read(storage.reviewed_punches), self._timekeeper.now())
        if self._mending.check is not None:
            self._outlook.hurry(now)
        await self._mend_if_done()
        return True

    async def _check(self, check: Query, now: float) -> None:
        """One check of what keeps punches in review; it says nothing of the key that the loop would halt for."""
        reply = await self._courier.ask(check)
        self._outlook.note_idle_read(now, self.pacer.budget, at_least_s=CHECK_MIN_S)
        if isinstance(reply, Reply):
            self._mending.note(reply)
        await self._mend_if_done()

    async def _mend_if_done(self) -> None:
        """Take out of review what a finished round showed mended."""
        if not self._mending.done:
            return
        begun_at, now = self._mending.begun_at, self._timekeeper.now()
        mended = self._mending.end(await self._db.read(storage.jobs_of))
        if mended:
            await self._decided(await self._db.write(lambda conn: storage.mend(conn, mended, begun_at, now)))

    def _wants_idle_reads(self) -> bool:
        wanted = self._policy.snapshots or self._teller.reviews > 0
        return wanted and self._policy.can_look_up and self._timekeeper.trusted

    async def _probe(self) -> None:
        self._greeted = True
        if await self._courier.probe():
            self._probe_at = self._timekeeper.now() + self._probe_pause_s
            self._probe_pause_s = min(self._probe_pause_s * 2, PROBE_MAX_S)

    def _wants_trust(self) -> bool:
        return self._anyone_waits and not self._timekeeper.trusted

    def _forbid_reads(self) -> None:
        self._policy = replace(self._policy, can_look_up=False)
        self._reads_again_at = self._timekeeper.now() + READS_AGAIN_S
        self._all_dirty = True

    def _allow_reads(self) -> None:
        if not self._policy.can_look_up:
            self._policy = replace(self._policy, can_look_up=True)
            self._alarms.clear("look_up_refused")
            self._all_dirty = True
        self._reads_again_at = float("inf")

    # --- planning

    async def _plan_changed(self) -> None:
        if self._all_dirty:
            self._all_dirty = False
            for user_id in [*await self._db.read(storage.unfinished_lanes), *self._board.lanes]:
                self._board.mark(user_id)
        for lane in self._board.due_wakes(self._timekeeper.now()):
            self._board.mark(lane.user_id)
        while (dirty := self._board.take_dirty()) is not None:
            old = self._board.lanes.get(dirty)
            lane = Lane(dirty, [], None, deferred_until=old.deferred_until if old else 0.0)
            await self._for_one(lane, self._load_and_plan(lane))
        if not self._timekeeper.trusted:
            # Asked of the queue: a punch held for its time is in no lane's head, and nobody needs the clock more.
            self._anyone_waits = bool(await self._db.read(storage.unfinished_lanes))

    def _look_ahead(self) -> None:
        """Whether the account's day carries what waits; else whole shifts go together, and a person is told."""
        budget, now = self.pacer.budget, self._timekeeper.now()
        if budget is None or budget.day_remaining is None or now < self._look_ahead_at:
            return
        if budget.day_remaining >= PLENTY and not self._policy.pairs_together:
            return
        waiting = self._board.waiting()
        self._look_ahead_at = now + LOOK_AHEAD_S * len(waiting)
        words = self._outlook.judge(waiting, self._policy.reach_s, budget, now)
        if words is None:
            self._alarms.clear("plan_too_small")
        else:
            remedy = "Whole shifts go together meanwhile. Take a larger plan, or fewer integrations on this account."
            self._alarms.set("plan_too_small", f"The account's plan is too small: {words}. {remedy}")
        if self._outlook.pairs_together != self._policy.pairs_together:
            self._policy = replace(self._policy, pairs_together=self._outlook.pairs_together)
            self._all_dirty = True

    async def _load_and_plan(self, lane: Lane) -> None:
        await self._load(lane)
        await self._plan(lane)

    async def _load(self, lane: Lane) -> None:
        lane.punches, person = await self._db.read(partial(storage.load, user_id=lane.user_id))
        lane.max_shift_s, lane.job_id = (person.max_shift_s, person.job_id) if person is not None else (None, None)

    async def _plan(self, lane: Lane) -> None:
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
            await self._load(lane)
        if plan.request is not None and lane.deferred_until > self._timekeeper.now():
            plan = replace(plan, request=None, wake_at=lane.deferred_until)
        self._board.put(lane, plan)
        if not lane.punches:
            self._board.settled_at[lane.user_id] = self._timekeeper.now()

    def _planned(self, lane: Lane) -> Plan:
        max_shift_s = lane.max_shift_s or self._policy.max_shift_s
        policy = replace(self._policy, max_shift_s=max_shift_s, job_id=lane.job_id)
        now = self._timekeeper.now()
        moment = Moment(now, now + self._timekeeper.server_ahead_s, self._timekeeper.trusted)
        return plan_lane(lane.punches, self._knowledge.of(lane.user_id), moment, policy)

    async def _for_one(self, lane: Lane, work: Awaitable[None]) -> None:
        """Do one person's work. A fault of ours puts their oldest punch in review and everybody else goes on."""
        failure = await contained(work, passing=_EVERYBODYS)
        if failure is None:
            return
        self._teller.lane_failed(lane.user_id, str(failure))
        self._board.put(Lane(lane.user_id, [], None), Plan())
        now = self._timekeeper.now()
        give_up = self._db.write(lambda conn: storage.give_up(conn, lane.user_id, str(failure)[:500], now))
        moved = await contained(give_up, passing=_EVERYBODYS)
        await self._teller.count_reviews()
        if moved is True:
            self._board.mark(lane.user_id)
