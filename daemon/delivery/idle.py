"""Reads that nothing waits for, within a tenth of the account's day: they correct the toggle and mend reviews.

While the clock is not trusted such a read is a probe: the next `Date` may end the doubt before anybody taps.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from zoneinfo import ZoneInfo

from daemon.clock import Timekeeper
from daemon.delivery import storage
from daemon.delivery.doubles import Doubles
from daemon.delivery.gate import Gate
from daemon.delivery.looks import READ_BESIDE_S, Looked, Looks
from daemon.delivery.mending import Mending
from daemon.delivery.outlook import CHECK_MIN_S, IDLE_READ_MIN_S, Outlook
from daemon.delivery.pacer import Pacer
from daemon.delivery.planning import Planning
from daemon.delivery.policy import READ_SPAN_MAX_S
from daemon.delivery.teller import Teller
from daemon.delivery.way import Way
from daemon.model import Punch
from daemon.queue.database import Database
from daemon.timesheets.timesheet import Query, Reply

#: What was sent again is read once more so long afterwards: a write that was slow to show then stands there twice.
LATE_LOOK_S = 15 * 60.0


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
        doubles: Doubles,
        way: Way,
        looks: Looks,
        gate: Gate,
        pacer: Pacer,
        outlook: Outlook,
        teller: Teller,
        zone: ZoneInfo,
        decided: Callable[[list[Punch]], Awaitable[object]],
    ) -> None:
        self._db, self._timekeeper, self._planning, self._way, self._looks = db, timekeeper, planning, way, looks
        self._gate, self._pacer, self._outlook, self._teller = gate, pacer, outlook, teller
        self._doubles, self._decided = doubles, decided
        self._mending = Mending(zone)

    def due_at(self, now: float) -> float:
        """When the next read may go; infinity while none is wanted."""
        if (wanted_at := self._wanted_at()) == float("inf"):
            return wanted_at
        # Where the budget does not allow it yet it is not due: else the loop would spin until the budget does.
        return max(wanted_at, self._gate.ready_at(now), self._pacer.ready_at(now, live=False))

    async def read(self, now: float) -> bool:
        """Carry one out, if its time has come; whether it had."""
        if now < self._wanted_at():
            return False
        if not self._timekeeper.trusted:
            await self._looks.probe()
            self._outlook.note_idle_read(self._timekeeper.now(), self._pacer.budget)
            return True
        if (check := self._mending.check) is not None:
            await self._check(check, now)
            return True
        people, oldest, reviewed = await self._db.read(partial(storage.people_to_read, now=now))
        sent_again = dict(self._planning.sent_again)
        twice = self._doubles.standing
        people = list(dict.fromkeys([*people, *sent_again, *twice]))
        oldest = min([oldest, *(second for _, second in sent_again.values()), *twice.values()])
        self._outlook.note_idle_read(self._timekeeper.now(), self._pacer.budget)
        if not people:
            return False
        max_shift_s = self._planning.policy.max_shift_s
        since = int(max(now - READ_SPAN_MAX_S, min(oldest, now) - max_shift_s - READ_BESIDE_S))
        looked = await self._looks.look(people, since, int(now) + READ_BESIDE_S)
        if looked is Looked.FORBIDDEN:
            self._planning.forbid_reads()
        for user_id in self._planning.board.lanes if looked is Looked.SHOWN else ():
            self._planning.board.remind(user_id)
        for user_id in [user_id for user_id, (at, _) in sent_again.items() if now >= at + LATE_LOOK_S]:
            self._planning.sent_again.pop(user_id, None)
            # A read that failed is not repeated as often as requests that something waits for.
            if looked is not Looked.SHOWN:
                self._planning.sent_again[user_id] = (now, sent_again[user_id][1])
        self._mending.begin(reviewed, now)
        if self._mending.check is not None:
            self._outlook.hurry(now)
        await self._mend_if_done()
        return True

    async def _check(self, check: Query, now: float) -> None:
        """One check of what keeps punches in review; it says nothing of the key that the loop would halt for."""
        reply = await self._way.ask(check)
        if isinstance(reply, Reply):
            self._mending.note(reply)
        # After the last check comes the next read, and that at its own pace.
        at_least_s = CHECK_MIN_S if self._mending.check is not None else IDLE_READ_MIN_S
        self._outlook.note_idle_read(self._timekeeper.now(), self._pacer.budget, at_least_s=at_least_s)
        await self._mend_if_done()

    async def _mend_if_done(self) -> None:
        """Take out of review what a finished round showed mended."""
        if not self._mending.done:
            return
        begun_at, now = self._mending.begun_at, self._timekeeper.now()
        mended = self._mending.end(await self._db.read(storage.jobs_of))
        if mended:
            await self._decided(await self._db.write(lambda conn: storage.mend(conn, mended, begun_at, now)))

    def _wanted_at(self) -> float:
        """When the next one is wanted, budget and gate aside; infinity while none is."""
        policy, wanted = self._planning.policy, []
        if not self._timekeeper.trusted:  # what waits for the clock has probes of its own (probing.py)
            at = self._outlook.read_at
            return float("inf") if at is None or self._planning.anyone_waits else at
        if not policy.can_look_up:
            return float("inf")
        something = policy.snapshots or self._teller.reviews or self._doubles.standing
        if something and self._outlook.read_at is not None:
            wanted.append(self._outlook.read_at)
        wanted += [at + LATE_LOOK_S for at, _ in self._planning.sent_again.values()]
        return min(wanted, default=float("inf"))
