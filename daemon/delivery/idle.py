"""Reads that nothing waits for, within a tenth of the account's day: they correct the toggle and mend reviews."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from zoneinfo import ZoneInfo

from daemon.clock import Timekeeper
from daemon.delivery import storage
from daemon.delivery.courier import READ_BESIDE_S, Courier
from daemon.delivery.gate import Gate
from daemon.delivery.mending import Mending
from daemon.delivery.outlook import CHECK_MIN_S, Outlook
from daemon.delivery.pacer import Pacer
from daemon.delivery.planning import Planning
from daemon.delivery.policy import READ_SPAN_MAX_S
from daemon.delivery.teller import Teller
from daemon.model import Punch
from daemon.queue.database import Database
from daemon.timesheets.timesheet import Query, Reply


class IdleReads:
    """One read a turn, when its time has come and nothing else wants the turn.

    `decided` is told of the punches that a read took out of review.
    """

    def __init__(
        self,
        db: Database,
        timekeeper: Timekeeper,
        *,
        planning: Planning,
        courier: Courier,
        gate: Gate,
        pacer: Pacer,
        outlook: Outlook,
        teller: Teller,
        zone: ZoneInfo,
        decided: Callable[[list[Punch]], Awaitable[object]],
    ) -> None:
        self._db, self._timekeeper, self._planning, self._courier = db, timekeeper, planning, courier
        self._gate, self._pacer, self._outlook, self._teller = gate, pacer, outlook, teller
        self._decided = decided
        self._mending = Mending(zone)

    def due_at(self, now: float) -> float:
        """When the next read may go; infinity while none is wanted."""
        if not self._wanted() or self._outlook.read_at is None:
            return float("inf")
        # Where the budget does not allow it yet it is not due: else the loop would spin until the budget does.
        return max(self._outlook.read_at, self._gate.ready_at(now), self._pacer.ready_at(now, live=False))

    async def read(self, now: float) -> bool:
        """Carry one out, if its time has come; whether it had."""
        if not self._wanted() or self._outlook.read_at is None or now < self._outlook.read_at:
            return False
        if (check := self._mending.check) is not None:
            await self._check(check, now)
            return True
        people, oldest = await self._db.read(partial(storage.people_to_read, now=now))
        self._outlook.note_idle_read(now, self._pacer.budget)
        if not people:
            return False
        max_shift_s = self._planning.policy.max_shift_s
        since = int(max(now - READ_SPAN_MAX_S, min(oldest, now) - max_shift_s - READ_BESIDE_S))
        if not await self._courier.look(people, since, int(now) + READ_BESIDE_S):
            self._planning.forbid_reads()
        self._planning.all_dirty = True
        self._mending.begin(await self._db.read(storage.reviewed_punches), self._timekeeper.now())
        if self._mending.check is not None:
            self._outlook.hurry(now)
        await self._mend_if_done()
        return True

    async def _check(self, check: Query, now: float) -> None:
        """One check of what keeps punches in review; it says nothing of the key that the loop would halt for."""
        reply = await self._courier.ask(check)
        self._outlook.note_idle_read(now, self._pacer.budget, at_least_s=CHECK_MIN_S)
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

    def _wanted(self) -> bool:
        policy = self._planning.policy
        wanted = policy.snapshots or self._teller.reviews > 0
        return wanted and policy.can_look_up and self._timekeeper.trusted
