"""Carries out the request of one lane, at the moment of sending, and lets its answer's write-down wait for the next.

What plainly succeeded is owed: it is stored in the transaction that journals the next request, one sync for both, and
what follows from it is done while that request is out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from daemon.clock import Timekeeper
from daemon.delivery.board import Lane
from daemon.delivery.courier import Answered, Courier
from daemon.delivery.gate import Gate
from daemon.delivery.looks import Looked, Looks
from daemon.delivery.pacer import Pacer
from daemon.delivery.plan import Plan, Read, Send
from daemon.delivery.planning import Planning
from daemon.delivery.policy import LAST_TRY_S
from daemon.delivery.probing import Probing
from daemon.delivery.storage import Stored
from daemon.timesheets.timesheet import BATCH_PEOPLE_MAX


class Serving:
    """The lanes' requests, one after the other."""

    def __init__(
        self,
        timekeeper: Timekeeper,
        *,
        planning: Planning,
        courier: Courier,
        looks: Looks,
        probing: Probing,
        gate: Gate,
        pacer: Pacer,
    ) -> None:
        self._timekeeper, self._planning, self._courier = timekeeper, planning, courier
        self._looks, self._probing, self._gate, self._pacer = looks, probing, gate, pacer
        #: The lane of the last answer, planned again while the next request is out.
        self._aside: asyncio.Task[None] | None = None

    def next_lane(self, now: float, *, expired_too: bool) -> tuple[Lane | None, float]:
        """The lane whose request goes next, and when one that waits for the pause of writes may (infinity: none does).

        While what writes is lost, who was least often sent in vain is tried next: whose requests alone are lost keep
        nobody from showing that others arrive.
        """
        best = self._planning.board.best(expired_too=expired_too)
        if best is None or not self._gate.losing:
            return best, float("inf")
        wanting = [lane for lane in self._planning.board.wanting() if expired_too or not lane.plan.expired]
        writes_at = self._gate.writes_at(now)
        if writes_at <= now:
            if not isinstance(best.plan.request, Send):
                return best, float("inf")
            sends = [lane for lane in wanting if isinstance(lane.plan.request, Send)]
            return min(sends, key=lambda lane: (lane.in_vain, *_by_age(lane))), float("inf")
        times = [(self._allowed_at(lane, now), lane) for lane in wanting]
        allowed = [lane for at, lane in times if at <= now]
        return min(allowed, key=_by_age, default=None), min(at for at, _ in times)

    def _allowed_at(self, lane: Lane, now: float) -> float:
        """When a lane's request may go while what writes is lost.

        Not only after the pause: a read may, one new punch, and what has its last minute in the service's reach.
        """
        if isinstance(lane.plan.request, Read):
            return now
        expires_at = self._planning.expires_at(lane.plan.due)
        last_at = float("inf") if lane.plan.expired or expires_at <= now else expires_at - LAST_TRY_S
        return min(last_at, self._gate.writes_at(now, new=not lane.in_vain))

    async def serve(self, lane: Lane) -> None:
        """Carry out the one request a lane wants, judged at the moment of sending."""
        board = self._planning.board
        await self._planning.plan(lane)
        if board.lanes.get(lane.user_id) is not lane:
            return
        request = lane.plan.request
        if isinstance(request, Send):
            mates = [lane] if request.alone else await self._mates(lane)
            people = await self._send(lane, request) if len(mates) == 1 else await self._send_together(lane, mates)
        elif isinstance(request, Read):
            await self.finish_last()
            await self._mates(lane)  # what was read for them may be as old
            board.note_request(lane)
            people, looked = await self._looks.read(request, board.readers())
            if looked is Looked.FORBIDDEN:
                self._planning.forbid_reads()
            # Through an outage everybody's plan stays as it is, however often it is tried in vain.
            for user_id in sorted(people) if looked is Looked.SHOWN else ():
                board.remind(user_id)
            return
        else:
            return
        for user_id in sorted(people):  # equal histories go on alike
            board.mark(user_id)

    async def _mates(self, lane: Lane) -> list[Lane]:
        """The lanes whose requests may go together, that of `lane` first, each judged at the moment of sending as well:
        what was read for them may be hours old by now, through an outage or a spent day."""
        board = self._planning.board
        for mate in board.together(lane, BATCH_PEOPLE_MAX):
            if mate is not lane:
                await self._planning.for_one(mate, self._planning.plan(mate))
        return board.together(lane, BATCH_PEOPLE_MAX)

    async def _send(self, lane: Lane, request: Send) -> set[str]:
        self._planning.board.note_request(lane)
        lane.sending = request.punch_ids
        people = await self._courier.send(lane, request, self._handed_over)
        if self._courier.owed is not None:
            self._planning.board.put(lane, Plan())  # it has its turn when its answer is written down
        return people

    async def _send_together(self, lane: Lane, mates: Sequence[Lane]) -> set[str]:
        await self.finish_last()
        self._planning.board.note_request(lane)
        return await self._courier.send_together(mates)

    def at_once(self) -> Lane | None:
        """The lane whose request may be journalled together with the last answer, if nothing else is due before it."""
        planning, board = self._planning, self._planning.board
        owed = self._courier.owed
        if owed is None:
            return None
        planning.look_ahead(self._pacer.budget)
        now = self._timekeeper.now()
        due = (board.next_wake() or float("inf"), planning.reads_again_at)
        if planning.all_dirty or board.dirty or min(due) <= now or self._probing.wanted(now):
            return None
        if max(self._gate.writes_at(now), self._pacer.ready_at(now, live=True)) > now:
            return None
        lane = board.best(expired_too=self._pacer.ready_at(now, live=False) <= now)
        if lane is None or not isinstance(lane.plan.request, Send) or not lane.plan.request.alone:
            return None
        # Oldest first: what the same person punched next may come before, and is planned only after this.
        theirs_first = lane.plan.expired or owed.next_at < lane.plan.due
        return None if theirs_first and owed.next_at < float("inf") else lane

    async def finish_last(self) -> None:
        """Write the last answer down, whatever comes next; its lane is to be planned again."""
        await self.follow_up()
        owed = self._courier.owed
        if owed is not None:
            await self._planning.for_one(owed.lane, self._courier.settle_owed())
            self._planning.board.mark(owed.lane.user_id)

    async def follow_up(self) -> None:
        """Wait until the lane of the answer before the last is planned."""
        aside, self._aside = self._aside, None
        if aside is not None:
            await aside

    def _handed_over(self, last: Answered, stored: Stored) -> None:
        """The last answer is written down: what follows from it is done while the next request is out."""

        async def follow() -> None:
            await self._courier.conclude(last)
            await self._planning.replan(last.lane, stored)

        self._aside = asyncio.create_task(self._planning.for_one(last.lane, follow()))


def _by_age(lane: Lane) -> tuple[bool, float, str]:
    """What can still expire first, oldest first."""
    return lane.plan.expired, lane.plan.due, lane.user_id
