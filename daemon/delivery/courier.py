"""Carries out what writes, and stores what came of it: journal, send, settle, in that order.

Between the journal and the settlement nothing may get lost: a request that left and was not settled (a lost answer, a
crash, a stop) stays open in the journal, and its lane looks it up before anything else.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from daemon.alarms import Alarms
from daemon.clock import Timekeeper
from daemon.delivery import storage
from daemon.delivery.board import Lane
from daemon.delivery.gate import Gate
from daemon.delivery.knowledge import Knowledge
from daemon.delivery.pacer import Pacer
from daemon.delivery.plan import Send
from daemon.delivery.settle import Reach, Settlement, reach_of, settle, settle_together
from daemon.delivery.teller import Teller
from daemon.delivery.way import Way
from daemon.queue.database import Database
from daemon.supervisor import contained
from daemon.timesheets.timesheet import (
    RecordShift,
    RecordShifts,
    Reply,
)

#: A person may decide on a punch between plan and send, once or twice; beyond this it is a fault of ours.
NOT_BEGUN_MAX = 5
#: The same unrecognised refusal for this many people in a row is a misconfiguration (delivery.md).
SUSPICIOUS_PEOPLE = 3
#: Refusals remembered while they may still turn out to be one; older ones stay in review.
SUSPECTS_MAX = 50


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
HandedOver = Callable[[Answered, storage.Stored], None]


class Courier:
    """What is written to one timesheet, one request at a time."""

    def __init__(
        self,
        db: Database,
        way: Way,
        timekeeper: Timekeeper,
        *,
        pacer: Pacer,
        gate: Gate,
        knowledge: Knowledge,
        alarms: Alarms,
        teller: Teller,
    ) -> None:
        self._db, self._way, self._timekeeper = db, way, timekeeper
        self._pacer, self._gate, self._knowledge = pacer, gate, knowledge
        self._alarms, self._teller = alarms, teller
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
        if not lane.in_vain:
            self._gate.try_new()
        reply, _ = await self._way.request(send.step)
        punches = [entry.punch for entry in lane.punches if entry.punch.id in send.punch_ids]
        settlement = settle(send, punches, reply, self._timekeeper.server_now())
        pace = self._pacer.memory()
        answered = Answered(lane, send, attempt_id, settlement, reply, self._timekeeper.now(), pace)
        if settlement.plain:
            self.owed = answered
        else:
            await self._db.write(answered.write_down)
            await self.conclude(answered)
        self._way.note(settlement.reach, reply, settlement.detail, wrote=True)
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
            attempt_id, stored = done
            handed_over(owed, stored)
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
            self._gate.try_new()
            reply, _ = await self._way.request(RecordShifts(shifts))
            outcome, at = settle_together(reply.outcome), self._timekeeper.now()
            if outcome is not None:
                ended = {attempt_id: sends[user_id] for user_id, attempt_id in begun.items()}
                pace = self._pacer.memory()
                await self._db.write(lambda conn: storage.end_together(conn, ended, outcome, reply, at, pace))
            self._way.note(reach_of(reply.outcome), reply, None, wrote=True)
        return set(sends)

    async def conclude(self, answered: Answered) -> None:
        """Learn and tell what an answer meant, after it was written down."""
        lane, settlement, at = answered.lane, answered.settlement, answered.at
        if settlement.reach is Reach.ANSWERED:
            lane.in_vain = 0
        if settlement.written is not None:
            self._knowledge.note_written(settlement.written, at)
        if settlement.defer_s:
            lane.deferred_until = at + settlement.defer_s
        if settlement.changed_by_s is not None:
            off = f"{settlement.changed_by_s:+d} s"
            text = f"The service records other times than were tapped (last: {off}). Look at its rounding settings."
            self._alarms.set("server_changes_times", text)
        await self._teller.verdicts(lane.user_id, settlement.verdicts, at)

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
