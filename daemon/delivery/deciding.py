"""What a person decides about punches, as far as delivery carries it out: send again, discard, accept a record."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from daemon.clock import Timekeeper
from daemon.delivery import storage
from daemon.delivery.knowledge import Knowledge
from daemon.delivery.looks import READ_BESIDE_S
from daemon.delivery.matching import closest
from daemon.delivery.teller import Teller
from daemon.errors import RefusedError
from daemon.model import Punch
from daemon.queue.database import Database
from daemon.timesheets.timesheet import Found, LookUp, Query, Reply, ShiftRecord


class Deciding:
    """Decisions on punches, journalled with who and when; each raises NotFoundError or RefusedError.

    `ask` reads for a person, when gate and budget let it; `wake` is told of everybody whose lane changed.
    """

    def __init__(
        self,
        db: Database,
        timekeeper: Timekeeper,
        *,
        ask: Callable[[Query], Awaitable[Reply]],
        knowledge: Knowledge,
        teller: Teller,
        wake: Callable[[str], None],
    ) -> None:
        self._db, self._timekeeper, self._ask = db, timekeeper, ask
        self._knowledge, self._teller, self._wake = knowledge, teller, wake

    async def retry(self, punch_ids: Sequence[str], by: str) -> list[Punch]:
        """Take punches out of review: all, or none and the first that cannot is named."""
        now = self._timekeeper.now()
        return await self.decided(await self._db.write(lambda conn: storage.retry(conn, punch_ids, now, by)))

    async def discard(self, punch_id: str, reason: str, by: str) -> Punch:
        """Decide that an undelivered punch is not sent; it stays on record."""
        if not reason.strip():
            raise RefusedError("Cannot discard without a reason; give one with --reason TEXT.")
        now = self._timekeeper.now()
        punch = await self._db.write(lambda conn: storage.discard(conn, punch_id, reason, now, by))
        return (await self.decided([punch]))[0]

    async def accept_server(self, punch_id: str, max_shift_s: int, by: str) -> Punch:
        """Take the timesheet's record for the punch, read now."""
        punch = await self._db.read(lambda conn: storage.reviewed(conn, punch_id))
        record = await self._record_for(punch, max_shift_s)
        now = self._timekeeper.now()
        accepted = await self._db.write(lambda conn: storage.accept(conn, punch_id, record, now, by))
        return (await self.decided([accepted]))[0]

    async def decided(self, punches: list[Punch]) -> list[Punch]:
        """These punches moved by a decision, or because a read showed them mended: plan them anew and tell."""
        for punch in punches:
            self._knowledge.forget(punch.user_id)
            self._wake(punch.user_id)
        await self._teller.decided(punches)
        return punches

    async def _record_for(self, punch: Punch, max_shift_s: int) -> ShiftRecord:
        """What the timesheet shows for a punch, read now. Raises RefusedError when that is nothing."""
        if punch.direction is None:
            raise RefusedError(f"Cannot accept the timesheet's record for {punch.id}: its direction is not known.")
        since, until = punch.second - max_shift_s - READ_BESIDE_S, punch.second + max_shift_s + READ_BESIDE_S
        reply = await self._ask(LookUp((punch.user_id,), since, until))
        if not isinstance(reply.outcome, Found) or reply.outcome.unreadable:
            raise RefusedError("Cannot read the timesheet now. Try again when it can be reached.")
        # Not learnt: of the person's other days this read says nothing.
        shown = reply.outcome.records
        # A read shows whole days: also shifts that began before what was asked for.
        begun_at = min((record.start for record in shown), default=since)
        taken = await self._db.read(partial(storage.shifts_of_others, punch=punch, since=min(since, begun_at)))
        record = closest(punch, [record for record in shown if record.id not in taken])
        if record is None:
            raise RefusedError(
                "Cannot accept: the timesheet shows no shift there that is not another punch's. "
                "Enter it, then try again."
            )
        return record
