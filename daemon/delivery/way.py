"""The way to the service: one request at a time, and what its answer says of budget, clock, key and network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from daemon.alarms import Alarms
from daemon.clock import Timekeeper
from daemon.delivery import storage
from daemon.delivery.gate import Gate
from daemon.delivery.pacer import Pacer
from daemon.delivery.settle import Reach, reach_of
from daemon.delivery.teller import Teller
from daemon.queue.database import Database
from daemon.timesheets.timesheet import Query, Reply, Step, Throttled, Timesheet

#: A refusal for the budget that holds longer than this is remembered over a restart: it is the day that is spent.
REMEMBER_S = 120


class Way:
    """Carries single requests to one timesheet and back."""

    def __init__(
        self,
        db: Database,
        timesheet: Timesheet,
        timekeeper: Timekeeper,
        *,
        pacer: Pacer,
        gate: Gate,
        alarms: Alarms,
        teller: Teller,
        follow_the_clock: Callable[[], None],
    ) -> None:
        self._follow_the_clock = follow_the_clock
        self._db, self._timesheet, self._timekeeper = db, timesheet, timekeeper
        self._pacer, self._gate, self._alarms, self._teller = pacer, gate, alarms, teller
        #: A person's own read waits for the loop's request, and the other way round: one is out at a time.
        self._one = asyncio.Lock()

    async def request(self, step: Step, *, at_any_rate: bool = False) -> tuple[Reply, float]:
        """One request; the reply, and our best time when it left, by the clock as it is now.

        Throttled, without a status, where the budget does not let it leave any more (unless `at_any_rate`): between the
        plan and this moment a person's read went, and was refused for the budget or took the last of it.
        """
        async with self._one:
            self._follow_the_clock()
            now = self._timekeeper.now()
            at = now if at_any_rate else self._pacer.ready_at(now, live=True)
            if at > now:
                return Reply(Throttled(at + self._timekeeper.apart_s)), now
            return await self._request_alone(step)

    async def ask(self, step: Query) -> Reply | float:
        """A person's read, if it may leave now; else when it may. What it says of the key or the path halts nothing."""
        async with self._one:
            self._follow_the_clock()
            now = self._timekeeper.now()
            at = max(self._gate.ready_at(now), self._pacer.ready_at(now, live=False))
            if at > now:
                return at
            reply, _ = await self._request_alone(step)
        reach = reach_of(reply.outcome)
        if reach in (Reach.ANSWERED, Reach.UNREACHED, Reach.THROTTLED, Reach.CERTIFICATE_TIME):
            self.note(reach, reply, None)
        return reply

    def note(self, reach: Reach, reply: Reply, detail: str | None, *, wrote: bool = False) -> None:
        """What an answer, to a read or to what `wrote`, says about the way to the service."""
        now = self._timekeeper.now()
        if reach is Reach.THROTTLED:
            if reply.status is None:  # nothing left, nothing was answered
                return
            self._teller.throttled(self._pacer.blocked_until)
        words = detail or getattr(reply.outcome, "why", None) or getattr(reply.outcome, "detail", None)
        with self._teller.watching(self._gate):
            self._gate.note(reach, words, now, wrote=wrote)
        if reach is Reach.CERTIFICATE_TIME and not self._timekeeper.trusted:
            remedy = "The kiosk's clock is probably wrong: let it reach a time server."
            self._alarms.set("certificate_time", f"Cannot verify the service's certificate: {words}. {remedy}")
        elif reach is not Reach.UNREACHED:
            self._alarms.clear("certificate_time")

    async def keep_pace(self) -> None:
        """Write down what the pacer must not forget with a restart."""
        await self._db.write(partial(storage.keep_pace, pace=self._pacer.memory()))

    async def _request_alone(self, step: Step) -> tuple[Reply, float]:
        sent = self._timekeeper.evidence()
        sent_at, stepped_s = self._timekeeper.best(sent).at, self._timekeeper.stepped_s
        self._pacer.note_sent(sent_at)
        reply = await self._timesheet.carry_out(step)
        if reply.server_date is not None:
            self._timekeeper.note_server_date(reply.server_date, sent, self._timekeeper.evidence())
        self._follow_the_clock()  # before anything is noted by it; that Date may have set it as well
        if reply.unsent:
            self._pacer.note_unsent(self._timekeeper.now())
        self._pacer.note_budget(reply.budget, self._timekeeper.apart_s)
        if isinstance(reply.outcome, Throttled):
            await self._note_throttled(reply.outcome, step)
        elif reply.status is not None:
            self._pacer.note_served()
        return reply, sent_at + self._timekeeper.stepped_s - stepped_s

    async def _note_throttled(self, outcome: Throttled, step: Step) -> None:
        now = self._timekeeper.now()
        until = self._pacer.note_throttled(now, outcome.until, self._timekeeper.apart_s)
        if until - now > REMEMBER_S and isinstance(step, Query):  # of what writes, the answer is written down anyway
            await self.keep_pace()
