"""Carries out what the planner wants, one request at a time, and writes down what came of it.

The order that nothing may break: journal the attempt, send, settle. A request that left and was not settled (a lost
answer, a crash, a stop) stays open in the journal, and its lane looks it up before anything else. The loop sleeps until
something happens: a punch, a decision, the clock, a plan's own time, or the end of a pause.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import structlog

from daemon.alarms import Alarms
from daemon.clock import Timekeeper
from daemon.delivery import storage
from daemon.delivery.board import Board, Lane
from daemon.delivery.gate import DeliveryState, Gate
from daemon.delivery.knowledge import Knowledge
from daemon.delivery.pacer import Pacer
from daemon.delivery.plan import Plan, Read, Send
from daemon.delivery.planner import plan_lane
from daemon.delivery.policy import Moment, Policy
from daemon.delivery.settle import Reach, Settlement, reach_of, settle
from daemon.errors import RefusedError
from daemon.events import Events
from daemon.model import Punch, PunchState
from daemon.queue.database import Database
from daemon.timesheets.timesheet import Found, KeyRefused, LookUp, Probe, Proven, Reply, Step, Timesheet

log = structlog.get_logger()

#: A lane settles in a few passes; one that does not has a fault of ours and goes to review, not round for ever.
PASSES_MAX = 64
#: People one list request asks about; more wait for the next one.
READ_PEOPLE_MAX = 500
#: The widest range of one list request (facts 1.5: 90 days, less the days around for zones).
READ_RANGE_MAX_S = 86 * 86400
#: A new punch while nothing answers is a reason to try again, but not more often than this.
HURRY_S = 5.0
#: While halted the key file is looked at this often; it is one stat.
KEY_LOOK_S = 15.0
#: Probes for a clock that is not trusted: the first pause, doubling, and the longest.
PROBE_FIRST_S, PROBE_MAX_S = 10.0, 900.0
#: The same unrecognised refusal for this many people in a row is a misconfiguration (delivery.md).
SUSPICIOUS_PEOPLE = 3


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
    ) -> None:
        self._db, self._timesheet, self._timekeeper = db, timesheet, timekeeper
        self._alarms, self._events = alarms, events
        capabilities = timesheet.capabilities
        self._policy = replace(
            policy,
            live=capabilities.live,
            lookback_s=capabilities.lookback_s,
            close_late_by_update=policy.close_late_by_update and capabilities.close_late,
        )
        self.pacer = Pacer(requests_per_minute)
        self.gate = Gate(policy.backoff_max_s, rng)
        self._rng = rng
        self._board, self._knowledge = Board(), Knowledge()
        self._news = asyncio.Event()
        self._stopping = False
        self._all_dirty = True
        self._last_delivery_at: float | None = None
        self._probe_pause_s, self._probe_at = PROBE_FIRST_S, 0.0
        self._greeted = False
        self._suspects: list[tuple[str, str, tuple[str, ...]]] = []  # words, person, punches

    # --- what others ask of it

    async def run(self) -> None:
        """Deliver until `stop` or cancellation. Raises what only a fault of ours or of the disk can raise."""
        self._board, self._all_dirty = Board(), True
        self.gate.paused = await self._db.read(storage.is_paused)
        while not self._stopping:
            self._news.clear()
            pause_s = await self._turn()
            if pause_s is None or pause_s > 0:
                await self._rest(pause_s)

    async def stop(self, grace_s: float) -> None:
        """End `run` after the request that is out, if its answer comes within `grace_s`; the caller cancels it then."""
        self._stopping = True
        self._news.set()

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
        self.gate.retry(self._timekeeper.now())
        self._news.set()

    async def sync_now(self) -> None:
        """Try at once whatever waits for time alone, and let every waiting lane read again."""
        self.network_changed()
        for user_id in list(self._board.lanes):
            self._knowledge.forget(user_id)
        self._all_dirty = True
        self._probe_at = 0.0
        self._news.set()

    async def pause(self, by: str) -> None:
        """Send nothing until resumed, also after a restart."""
        await self._set_paused(True, by)

    async def resume(self, by: str) -> None:
        """Go on after `pause`."""
        await self._set_paused(False, by)

    async def retry(self, punch_ids: Sequence[str], *, by: str) -> list[Punch]:
        """Take punches out of review. All or none: raises NotFoundError or RefusedError with the first that cannot."""
        now = self._timekeeper.now()
        punches = await self._db.write(lambda conn: storage.retry(conn, punch_ids, now, by))
        return self._decided(punches)

    async def discard(self, punch_id: str, *, reason: str, by: str) -> Punch:
        """Decide that an undelivered punch is not sent; it stays on record. Raises NotFoundError or RefusedError."""
        if not reason.strip():
            raise RefusedError("Cannot discard without a reason; give one with --reason TEXT.")
        now = self._timekeeper.now()
        return self._decided([await self._db.write(lambda conn: storage.discard(conn, punch_id, reason, now, by))])[0]

    async def reload(self) -> None:
        """The configuration or key may have changed: read the key again and try."""
        await self._timesheet.reload_key()
        self._policy = replace(self._policy, can_look_up=True)
        self._alarms.clear("look_up_refused")
        self.network_changed()
        self.wake()

    def status(self) -> DeliveryStatus:
        """Where delivery stands."""
        now = self._timekeeper.now()
        next_try = self.gate.ready_at(now)
        halt = self.gate.halt
        budget = self.pacer.budget
        return DeliveryStatus(
            state=self.gate.state,
            detail=halt.detail if halt else self.gate.detail,
            budget=asdict(budget) if budget is not None else None,
            snapshot_at=self._knowledge.snapshot_at,
            last_delivery_at=self._last_delivery_at,
            next_try_at=next_try if now < next_try < float("inf") else None,
        )

    # --- one turn

    async def _turn(self) -> float | None:
        """Plan what changed, carry out at most one request. How long to rest: 0 not at all, None until news."""
        await self._plan_changed()
        now = self._timekeeper.now()
        if self.gate.halt is not None and not self.gate.paused and await self._key_changed():
            self.gate.retry(now)
        at = self.gate.ready_at(now)
        if at > now:
            return self._until(at, now)
        if self.gate.halt is not None or self._probe_due(now):
            return await self._probe(now)
        lane = self._board.best()
        if lane is None:
            return self._until(float("inf"), now)
        at = self.pacer.ready_at(now, live=not lane.plan.expired)
        if at > now:
            return self._until(at, now)
        await self._plan(lane)  # judged at the moment of sending
        request = lane.plan.request
        if self._board.best() is not lane or request is None:
            return 0.0
        self._board.note_request(lane)
        if isinstance(request, Read):
            await self._read(request)
        else:
            await self._send(lane, request)
        return 0.0

    def _until(self, at: float, now: float) -> float | None:
        """The rest until the earliest of: `at`, a plan's own time, a look at the key, a probe."""
        times = [at, self._board.next_wake() or float("inf")]
        if self.gate.halt is not None and not self.gate.paused:
            times.append(now + KEY_LOOK_S)
        if not self.gate.paused and self._wants_trust():
            times.append(max(self._probe_at, at))
        earliest = min(times)
        return None if earliest == float("inf") else max(0.001, earliest - now)

    async def _rest(self, pause_s: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), pause_s)

    # --- planning

    async def _plan_changed(self) -> None:
        if self._all_dirty:
            self._all_dirty = False
            for user_id in await self._db.read(storage.unfinished_lanes):
                self._board.mark(user_id)
            for user_id in self._board.lanes:
                self._board.mark(user_id)
        for lane in self._board.due_wakes(self._timekeeper.now()):
            if lane.user_id not in self._board.dirty:
                await self._plan(lane)
        while (dirty := self._board.take_dirty()) is not None:
            user_id = dirty
            old = self._board.lanes.get(user_id)
            punches, max_shift_s = await self._db.read(partial(storage.load, user_id=user_id))
            lane = Lane(user_id, punches, max_shift_s, deferred_until=old.deferred_until if old else 0.0)
            await self._plan(lane)

    async def _plan(self, lane: Lane) -> None:
        """Plan one lane and apply its verdicts, until it wants a request or rests."""
        for _ in range(PASSES_MAX):
            plan = self._planned(lane)
            if not plan.verdicts:
                break
            now = self._timekeeper.now()
            planned = {entry.punch.id: entry.punch.state for entry in lane.punches}
            await self._db.write(partial(storage.apply, verdicts=plan.verdicts, planned=planned, at=now))
            for verdict in plan.verdicts:
                self._tell(lane.user_id, verdict.punch_id, verdict.state, verdict.reason)
            lane.punches, lane.max_shift_s = await self._db.read(partial(storage.load, user_id=lane.user_id))
        else:
            await self._give_up(lane, "it did not come to rest")
            plan = Plan()
        if plan.request is not None and lane.deferred_until > self._timekeeper.now():
            plan = replace(plan, request=None, wake_at=lane.deferred_until)
        self._board.put(lane, plan)

    def _planned(self, lane: Lane) -> Plan:
        policy = self._policy if lane.max_shift_s is None else replace(self._policy, max_shift_s=lane.max_shift_s)
        now = self._timekeeper.now()
        moment = Moment(now, now + self._timekeeper.server_ahead_s, self._timekeeper.trusted)
        return plan_lane(lane.punches, self._knowledge.of(lane.user_id), moment, policy)

    async def _give_up(self, lane: Lane, why: str) -> None:
        """A fault of ours on one person: their head punch goes to review, everybody else goes on."""
        log.error("delivery.lane_failed", user_id=lane.user_id, why=why)
        now = self._timekeeper.now()
        await self._db.write(lambda conn: storage.give_up(conn, lane.user_id, why, now))
        await self._count_reviews()

    # --- requests

    async def _request(self, step: Step) -> tuple[Reply, float]:
        """One request; the reply, and our best time when it left."""
        sent = self._timekeeper.evidence()
        now = self._timekeeper.best(sent).at
        self.pacer.note_sent(now)
        reply = await self._timesheet.carry_out(step)
        received = self._timekeeper.evidence()
        if reply.server_date is not None:
            self._timekeeper.note_server_date(reply.server_date, sent, received)
        self.pacer.note_budget(reply.budget, self._timekeeper.server_ahead_s)
        return reply, now

    def _note(self, reach: Reach, reply: Reply, detail: str | None) -> None:
        now = self._timekeeper.now()
        before = self.gate.state
        if reach is Reach.THROTTLED:
            until = getattr(reply.outcome, "until", None)
            at = self.pacer.note_throttled(now, until, self._timekeeper.server_ahead_s)
            self._events.publish("delivery.throttled", until=at)
        self.gate.note(
            reach, detail or getattr(reply.outcome, "why", None) or getattr(reply.outcome, "detail", None), now
        )
        if reach is Reach.CERTIFICATE_TIME and not self._timekeeper.trusted:
            why = f"Cannot verify the service's certificate: {self.gate.detail}."
            self._alarms.set(
                "clock_untrusted", f"{why} The kiosk's clock is probably wrong: let it reach a time server."
            )
        self._tell_state(before)

    async def _send(self, lane: Lane, send: Send) -> None:
        """Journal, send, settle."""
        now = self._timekeeper.now()
        attempt_id = await self._db.write(lambda conn: storage.begin(conn, send, now))
        if attempt_id is None:  # a person decided on it in the meantime
            self._board.mark(lane.user_id)
            return
        reply, _ = await self._request(send.step)
        punches = [entry.punch for entry in lane.punches if entry.punch.id in send.punch_ids]
        settlement = settle(send, punches, reply, self._timekeeper.server_now())
        await self._write_down(lane, send, attempt_id, settlement, reply)
        self._note(settlement.reach, reply, settlement.detail)
        await self._notice_misconfiguration(lane, send, settlement)

    async def _write_down(self, lane: Lane, send: Send, attempt_id: int, settlement: Settlement, reply: Reply) -> None:
        now = self._timekeeper.now()
        await self._db.write(lambda conn: storage.settle(conn, send, attempt_id, settlement, reply, now))
        if settlement.written is not None:
            self._knowledge.note_written(settlement.written, now)
        if settlement.defer_s:
            lane.deferred_until = now + settlement.defer_s
        if settlement.changed_by_s is not None:
            off = f"{settlement.changed_by_s:+d} s"
            text = f"The service records other times than were tapped (last: {off}). Look at its rounding settings."
            self._alarms.set("server_changes_times", text)
        for verdict in settlement.verdicts:
            if verdict.state is PunchState.DELIVERED:
                self._last_delivery_at = now
            self._tell(lane.user_id, verdict.punch_id, verdict.state, verdict.reason)
        if any(verdict.state is PunchState.REVIEW for verdict in settlement.verdicts):
            await self._count_reviews()
        self._board.mark(lane.user_id)

    async def _read(self, wanted: Read) -> None:
        """One list request for every lane that waits for one, as far as one request reaches."""
        since, until = wanted.since, wanted.until
        users: list[str] = []
        for lane in self._board.readers():
            request = lane.plan.request
            assert isinstance(request, Read)
            low, high = min(since, request.since), max(until, request.until)
            if high - low <= READ_RANGE_MAX_S and len(users) < READ_PEOPLE_MAX:
                since, until = low, high
                users.append(lane.user_id)
        reply, requested_at = await self._request(LookUp(tuple(users), since, until))
        if isinstance(reply.outcome, Found):
            self._knowledge.learn(users, requested_at, since, until, reply.outcome.records)
            for user_id in users:
                self._board.mark(user_id)
        if isinstance(reply.outcome, KeyRefused):
            self._policy = replace(self._policy, can_look_up=False)
            remedy = "Give the key the scope time_clock.read, then: punchctl sync now"
            self._alarms.set("look_up_refused", f"Cannot read the timesheet: {reply.outcome.detail}. {remedy}")
            self.wake()
            return
        self._note(reach_of(reply.outcome), reply, None)

    # --- probing: the key, and the clock

    def _wants_trust(self) -> bool:
        return not self._timekeeper.trusted and bool(self._board.lanes)

    def _probe_due(self, now: float) -> bool:
        if not self._greeted:
            return True
        return self._wants_trust() and now >= self._probe_at

    async def _probe(self, now: float) -> float:
        at = self.pacer.ready_at(now, live=True)
        if at > now:
            return at - now
        self._greeted = True
        reply, _ = await self._request(Probe())
        self._note(reach_of(reply.outcome), reply, None)
        if isinstance(reply.outcome, Proven):
            self._probe_at = self._timekeeper.now() + self._probe_pause_s
            self._probe_pause_s = min(self._probe_pause_s * 2, PROBE_MAX_S)
        return 0.0

    async def _key_changed(self) -> bool:
        return await self._timesheet.reload_key()

    async def _notice_misconfiguration(self, lane: Lane, send: Send, settlement: Settlement) -> None:
        """The same unrecognised refusal for three people in a row is nobody's own trouble."""
        words = settlement.suspicious
        if words is None:
            if settlement.reach is Reach.ANSWERED:
                self._suspects.clear()
            return
        if self._suspects and self._suspects[-1][0] != words:
            self._suspects.clear()
        self._suspects.append((words, lane.user_id, send.punch_ids))
        if len({person for _, person, _ in self._suspects}) < SUSPICIOUS_PEOPLE:
            return
        now = self._timekeeper.now()
        suspects = self._suspects[-50:]
        ids = [punch_id for _, _, punch_ids in suspects for punch_id in punch_ids]
        await self._db.write(lambda conn: storage.take_back(conn, ids, now))
        self._suspects = suspects
        before = self.gate.state
        self.gate.halt_for("misconfigured", words, now)
        for _, person, _ in suspects:
            self._board.mark(person)
        await self._count_reviews()
        self._tell_state(before)

    # --- telling

    def _tell(self, user_id: str, punch_id: str, state: PunchState, reason: str | None) -> None:
        self._events.publish(f"punch.{state.value}", punch_id=punch_id, user_id=user_id, reason=reason)
        log.info("punch.moved", punch_id=punch_id, user_id=user_id, state=state.value, reason=reason)

    def _tell_state(self, before: DeliveryState) -> None:
        halt = self.gate.halt
        for code, remedy in (
            ("halted", "Give punchd a valid key (a new key file is noticed; else: punchctl sync now)."),
            ("misconfigured", "Check time_clock_id and the key's account, then: punchctl sync now"),
        ):
            if halt is not None and halt.code == code:
                self._alarms.set(code, f"Nothing can be delivered: {halt.detail}. {remedy}")
            else:
                self._alarms.clear(code)
        if self.gate.state != before:
            self._events.publish(f"delivery.{self.gate.state}", detail=halt.detail if halt else self.gate.detail)
            log.info("delivery.state_changed", state=self.gate.state, was=before, detail=self.gate.detail)

    async def _count_reviews(self) -> None:
        waiting = (await self._db.read(storage.counts)).review
        if waiting:
            self._alarms.set("review_waiting", f"{waiting} punches need a person. Look with: punchctl review list")
        else:
            self._alarms.clear("review_waiting")

    def _decided(self, punches: list[Punch]) -> list[Punch]:
        for punch in punches:
            self._knowledge.forget(punch.user_id)
            self._tell(punch.user_id, punch.id, punch.state, punch.reason)
            self.wake(punch.user_id)
        return punches

    async def _set_paused(self, paused: bool, by: str) -> None:
        now = self._timekeeper.now()
        await self._db.write(lambda conn: storage.set_paused(conn, paused, now, by))
        before = self.gate.state
        self.gate.paused = paused
        self._tell_state(before)
        self._news.set()
