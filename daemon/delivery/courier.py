"""Carries single requests out and writes down what came of them: journal, send, settle, in that order.

Between the journal and the settlement nothing may get lost: a request that left and was not settled (a lost answer, a
crash, a stop) stays open in the journal, and its lane looks it up before anything else.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from daemon.alarms import Alarms
from daemon.clock import Timekeeper
from daemon.delivery import storage
from daemon.delivery.board import Lane
from daemon.delivery.doubles import Doubles
from daemon.delivery.gate import Gate
from daemon.delivery.knowledge import Knowledge
from daemon.delivery.pacer import Pacer
from daemon.delivery.plan import Read, Send
from daemon.delivery.settle import Reach, Settlement, reach_of, settle, settle_together
from daemon.delivery.teller import Teller
from daemon.model import Employee
from daemon.queue.database import Database
from daemon.queue.deliveries import LanePunch
from daemon.supervisor import contained
from daemon.timesheets.timesheet import (
    Found,
    KeyRefused,
    LookUp,
    Probe,
    Proven,
    Query,
    RecordShift,
    RecordShifts,
    Refused,
    Reply,
    Step,
    Throttled,
    Timesheet,
)

#: People one list request asks about; more wait for the next one.
READ_PEOPLE_MAX = 500
#: How far beyond the longest shift a record is looked for that a person wants to accept.
READ_BESIDE_S = 3600
#: The widest range of one list request (facts 1.5: 90 days, less the days around for zones).
READ_RANGE_MAX_S = 86 * 86400
#: A person may decide on a punch between plan and send, once or twice; beyond this it is a fault of ours.
NOT_BEGUN_MAX = 5
#: The same unrecognised refusal for this many people in a row is a misconfiguration (delivery.md).
SUSPICIOUS_PEOPLE = 3
#: Refusals remembered while they may still turn out to be one; older ones stay in review.
SUSPECTS_MAX = 50
#: A refusal for the budget that holds longer than this is remembered over a restart: it is the day that is spent.
REMEMBER_S = 120
#: People an alarm names; the rest is counted.
NAMED_MAX = 5


@dataclass(frozen=True, slots=True)
class Answered:
    """A request and what came of it, at `at`."""

    lane: Lane
    send: Send
    attempt_id: int
    settlement: Settlement
    reply: Reply
    at: float
    pace: str | None = None

    @property
    def next_at(self) -> float:
        """When the person's next punch was that is not finished either; infinity where there is none."""
        waiting = (
            one.punch for one in self.lane.punches if not one.context and one.punch.id not in self.send.punch_ids
        )
        return min((punch.occurred_at for punch in waiting), default=float("inf"))

    def write_down(self, conn: sqlite3.Connection) -> None:
        """Store it."""
        storage.settle(conn, self.send, self.attempt_id, self.settlement, self.reply, self.at, self.pace)


#: Hears of an answer that was written down, with the lane as it stood then, before the next request leaves.
HandedOver = Callable[[Answered, list[LanePunch], Employee | None], None]


class Courier:
    """One timesheet's requests, one at a time."""

    def __init__(
        self,
        db: Database,
        timesheet: Timesheet,
        timekeeper: Timekeeper,
        *,
        pacer: Pacer,
        gate: Gate,
        knowledge: Knowledge,
        alarms: Alarms,
        teller: Teller,
        doubles: Doubles,
    ) -> None:
        self._db, self._timesheet, self._timekeeper = db, timesheet, timekeeper
        self._pacer, self._gate, self._knowledge = pacer, gate, knowledge
        self._alarms, self._teller, self._doubles = alarms, teller, doubles
        #: A person's own read waits for the loop's request, and the other way round: one is out at a time.
        self._one = asyncio.Lock()
        self._not_begun: Counter[str] = Counter()
        self._suspects: list[tuple[str, str, tuple[str, ...]]] = []  # words, person, punches
        #: The last answer, while it is not written down.
        self.owed: Answered | None = None

    async def send(self, lane: Lane, send: Send, handed_over: HandedOver) -> set[str]:
        """Journal, send, settle. The people whose lanes must be planned again.

        What is owed is written down in the transaction that journals this request, and `handed_over` told of it; what
        plainly succeeded is owed in turn, until the next request or `settle_owed`.
        """
        attempt_id = await self._begin(lane, send, handed_over)
        if attempt_id is None:
            return {lane.user_id}
        reply, _ = await self._request(send.step)
        punches = [entry.punch for entry in lane.punches if entry.punch.id in send.punch_ids]
        settlement = settle(send, punches, reply, self._timekeeper.server_now())
        pace = self._pacer.memory()
        answered = Answered(lane, send, attempt_id, settlement, reply, self._timekeeper.now(), pace)
        if settlement.plain:
            self.owed = answered
        else:
            await self._db.write(answered.write_down)
            await self.conclude(answered)
        self._note(settlement.reach, reply, settlement.detail)
        suspected = await self._suspect(lane.user_id, send, settlement)
        return suspected if settlement.plain else {lane.user_id} | suspected

    async def settle_owed(self) -> None:
        """Write down the last answer, if it is not yet."""
        owed, self.owed = self.owed, None
        if owed is not None:
            await self._db.write(owed.write_down)
            await self.conclude(owed)

    async def _begin(self, lane: Lane, send: Send, handed_over: HandedOver) -> int | None:
        """Journal a request, with what is owed; None where that was not to be, and the lane must be planned again."""
        now = self._timekeeper.now()
        owed, self.owed = self.owed, None
        if owed is None:
            attempt_id = await self._db.write(lambda conn: storage.begin(conn, send, now))
        else:
            both = partial(storage.hand_over, settle_last=owed.write_down, user_id=owed.lane.user_id, send=send, at=now)
            done = await contained(self._db.write(both), passing=storage.EVERYBODYS)
            if isinstance(done, Exception):  # nothing was stored; whose fault it was shows when each is tried alone
                self.owed = owed
                return None
            attempt_id, punches, person = done
            handed_over(owed, punches, person)
        self._note_begun(lane.user_id, begun=attempt_id is not None)
        return attempt_id  # None: a person decided on it in the meantime

    def _note_begun(self, user_id: str, *, begun: bool) -> None:
        """Raises AssertionError when a planned request cannot begin again and again: plan and queue disagree."""
        self._not_begun[user_id] = 0 if begun else self._not_begun[user_id] + 1
        if self._not_begun[user_id] > NOT_BEGUN_MAX:
            self._not_begun[user_id] = 0
            raise AssertionError("a request was planned for punches that are not pending")

    async def send_together(self, lanes: Sequence[Lane]) -> set[str]:
        """One request that records a completed shift for each of these people. Whose lanes must be planned again."""
        sends = {lane.user_id: lane.plan.request for lane in lanes if isinstance(lane.plan.request, Send)}
        now = self._timekeeper.now()
        begun = await self._db.write(lambda conn: storage.begin_together(conn, sends, now))
        if not begun:
            self._note_begun(lanes[0].user_id, begun=False)
        steps = [sends[user_id].step for user_id in begun]
        if steps:
            shifts = tuple(step for step in steps if isinstance(step, RecordShift))
            assert len(shifts) == len(steps), "only completed shifts go together"
            reply, _ = await self._request(RecordShifts(shifts))
            outcome, at = settle_together(reply.outcome), self._timekeeper.now()
            if outcome is not None:
                ended = {attempt_id: sends[user_id] for user_id, attempt_id in begun.items()}
                pace = self._pacer.memory()
                await self._db.write(lambda conn: storage.end_together(conn, ended, outcome, reply, at, pace))
            self._note(reach_of(reply.outcome), reply, None)
        return set(sends)

    async def read(self, wanted: Read, waiting: Sequence[Lane]) -> tuple[set[str], bool]:
        """One list request for every lane that waits for one, as far as one request reaches.

        The people whose lanes must be planned again, and whether this key may read at all.
        """
        since, until, people = wanted.since, wanted.until, list[str]()
        for lane in waiting:
            request = lane.plan.request
            assert isinstance(request, Read)
            low, high = min(since, request.since), max(until, request.until)
            if high - low <= READ_RANGE_MAX_S and len(people) < READ_PEOPLE_MAX:
                since, until = low, high
                people.append(lane.user_id)
        return set(people), await self.look(people, since, until)

    async def look(self, people: Sequence[str], since: int, until: int) -> bool:
        """Read these people's shifts and learn them; whether this key may read at all."""
        reply, requested_at = await self._request(LookUp(tuple(people), since, until))
        match reply.outcome:
            case Found(records, unreadable):
                self._note(Reach.ANSWERED, reply, None)
                read = [user_id for user_id in people if user_id not in unreadable]
                self._knowledge.learn(read, requested_at, since, until, records)
                self._knowledge.note_unreadable(unreadable, self._timekeeper.now())
                self._tell_unreadable()
                await self._doubles.note(read, since, until, records)
            case KeyRefused(_, detail):
                return await self._only_reads_refused(detail)
            case Refused(_, detail):
                return await self._only_reads_refused(detail)
            case _:
                self._note(reach_of(reply.outcome), reply, None)
        return True

    async def probe(self) -> bool:
        """One cheap read that proves the key and brings the service's date; whether it was answered."""
        return isinstance((await self.greet()).outcome, Proven)

    async def greet(self) -> Reply:
        """The same, with all that was answered."""
        reply, _ = await self._request(Probe())
        self._note(reach_of(reply.outcome), reply, None)
        return reply

    async def ask(self, step: Query) -> Reply | float:
        """A person's read, if it may leave now; else when it may. What it says of the key or the path halts nothing."""
        async with self._one:
            now = self._timekeeper.now()
            at = max(self._gate.ready_at(now), self._pacer.ready_at(now, live=False))
            if at > now:
                return at
            reply, _ = await self._request_alone(step)
        reach = reach_of(reply.outcome)
        if reach in (Reach.ANSWERED, Reach.UNREACHED, Reach.THROTTLED, Reach.CERTIFICATE_TIME):
            self._note(reach, reply, None)
        return reply

    # --- one request

    async def _request(self, step: Step) -> tuple[Reply, float]:
        """One request; the reply, and our best time when it left."""
        async with self._one:
            return await self._request_alone(step)

    async def _request_alone(self, step: Step) -> tuple[Reply, float]:
        sent = self._timekeeper.evidence()
        sent_at = self._timekeeper.best(sent).at
        self._pacer.note_sent(sent_at)
        reply = await self._timesheet.carry_out(step)
        if reply.server_date is not None:
            self._timekeeper.note_server_date(reply.server_date, sent, self._timekeeper.evidence())
        self._pacer.note_budget(reply.budget, self._timekeeper.server_ahead_s)
        if isinstance(reply.outcome, Throttled):
            await self._note_throttled(reply.outcome, step)
        elif reply.status is not None:
            self._pacer.note_served()
        return reply, sent_at

    async def _note_throttled(self, outcome: Throttled, step: Step) -> None:
        now = self._timekeeper.now()
        until = self._pacer.note_throttled(now, outcome.until, self._timekeeper.server_ahead_s)
        if until - now > REMEMBER_S and isinstance(step, Query):  # of what writes, the answer is written down anyway
            await self.keep_pace()

    async def keep_pace(self) -> None:
        """Write down what the pacer must not forget with a restart."""
        await self._db.write(partial(storage.keep_pace, pace=self._pacer.memory()))

    async def conclude(self, answered: Answered) -> None:
        """Learn and tell what an answer meant, after it was written down."""
        lane, settlement, at = answered.lane, answered.settlement, answered.at
        if settlement.written is not None:
            self._knowledge.note_written(settlement.written, at)
        if settlement.defer_s:
            lane.deferred_until = at + settlement.defer_s
        if settlement.changed_by_s is not None:
            off = f"{settlement.changed_by_s:+d} s"
            text = f"The service records other times than were tapped (last: {off}). Look at its rounding settings."
            self._alarms.set("server_changes_times", text)
        await self._teller.verdicts(lane.user_id, settlement.verdicts, at)

    def _note(self, reach: Reach, reply: Reply, detail: str | None) -> None:
        """What an answer says about the way to the service."""
        now = self._timekeeper.now()
        if reach is Reach.THROTTLED:
            self._teller.throttled(self._pacer.blocked_until)
        words = detail or getattr(reply.outcome, "why", None) or getattr(reply.outcome, "detail", None)
        with self._teller.watching(self._gate):
            self._gate.note(reach, words, now)
        if reach is Reach.CERTIFICATE_TIME and not self._timekeeper.trusted:
            remedy = "The kiosk's clock is probably wrong: let it reach a time server."
            self._alarms.set("certificate_time", f"Cannot verify the service's certificate: {words}. {remedy}")
        elif reach is not Reach.UNREACHED:
            self._alarms.clear("certificate_time")

    def _tell_unreadable(self) -> None:
        whose = self._knowledge.unreadable
        if not whose:
            self._alarms.clear("timesheet_unreadable")
            return
        named = ", ".join(whose[:NAMED_MAX]) + (f" and {len(whose) - NAMED_MAX} more" if len(whose) > NAMED_MAX else "")
        remedy = "What needs a look there waits; look at their shifts in the timesheet, and report this."
        self._alarms.set("timesheet_unreadable", f"Records of these people cannot be read: {named}. {remedy}")

    async def _only_reads_refused(self, detail: str) -> bool:
        """A read was refused. A key that proves itself otherwise may just not read; else everything is halted."""
        if not await self.probe():
            return True
        remedy = "Give the key the scope time_clock.read and check time_clock_id, then: punchctl sync now"
        self._alarms.set("look_up_refused", f"Cannot read the timesheet: {detail}. {remedy}")
        return False

    async def _suspect(self, user_id: str, send: Send, settlement: Settlement) -> set[str]:
        """The same unrecognised refusal for three people in a row is nobody's own trouble; whose it was not."""
        words = settlement.suspicious
        if words is None:
            if settlement.reach is Reach.ANSWERED:
                self._suspects.clear()
            return set()
        if self._suspects and self._suspects[-1][0] != words:
            self._suspects.clear()
        self._suspects = [*self._suspects, (words, user_id, send.punch_ids)][-SUSPECTS_MAX:]
        people = {person for _, person, _ in self._suspects}
        if len(people) < SUSPICIOUS_PEOPLE:
            return set()
        now = self._timekeeper.now()
        ids = [punch_id for _, _, punch_ids in self._suspects for punch_id in punch_ids]
        await self._db.write(lambda conn: storage.take_back(conn, ids, now))
        with self._teller.watching(self._gate):
            self._gate.halt_for("misconfigured", words, now)
        await self._teller.count_reviews()
        return people
