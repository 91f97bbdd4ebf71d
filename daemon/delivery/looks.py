"""Reads of the timesheet, for lanes that wait for one and for nothing that waits; and the greeting."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto

from daemon.alarms import Alarms
from daemon.clock import Timekeeper
from daemon.delivery.board import Lane
from daemon.delivery.doubles import Doubles
from daemon.delivery.knowledge import Knowledge
from daemon.delivery.plan import Read
from daemon.delivery.settle import Reach, reach_of
from daemon.delivery.way import Way
from daemon.timesheets.timesheet import Found, KeyRefused, LookUp, Probe, Proven, Refused, Reply

#: People one list request asks about; more wait for the next one.
READ_PEOPLE_MAX = 500
#: How far beyond the longest shift a record is looked for that a person wants to accept.
READ_BESIDE_S = 3600
#: The widest range of one list request (facts 1.5: 90 days, less the days around for zones).
READ_RANGE_MAX_S = 86 * 86400
#: People an alarm names; the rest is counted.
NAMED_MAX = 5


class Looked(Enum):
    """What came of a read: its people were shown, or nothing was, or this key may not read at all."""

    SHOWN = auto()
    NOTHING = auto()
    FORBIDDEN = auto()


class Looks:
    """What reads show, learnt and told."""

    def __init__(
        self, way: Way, timekeeper: Timekeeper, *, knowledge: Knowledge, alarms: Alarms, doubles: Doubles
    ) -> None:
        self._way, self._timekeeper = way, timekeeper
        self._knowledge, self._alarms, self._doubles = knowledge, alarms, doubles

    async def read(self, wanted: Read, waiting: Sequence[Lane]) -> tuple[set[str], Looked]:
        """One list request for every lane that waits for one, as far as one request reaches: for whom, and its end."""
        since, until, people = wanted.since, wanted.until, list[str]()
        for lane in waiting:
            request = lane.plan.request
            assert isinstance(request, Read)
            low, high = min(since, request.since), max(until, request.until)
            if high - low <= READ_RANGE_MAX_S and len(people) < READ_PEOPLE_MAX:
                since, until = low, high
                people.append(lane.user_id)
        return set(people), await self.look(people, since, until)

    async def look(self, people: Sequence[str], since: int, until: int) -> Looked:
        """Read these people's shifts and learn them."""
        reply, requested_at = await self._way.request(LookUp(tuple(people), since, until))
        match reply.outcome:
            case Found(records, unreadable):
                self._way.note(Reach.ANSWERED, reply, None)
                read = [user_id for user_id in people if user_id not in unreadable]
                self._knowledge.learn(read, requested_at, since, until, records)
                self._knowledge.note_unreadable(unreadable, self._timekeeper.now())
                self._tell_unreadable()
                await self._doubles.note(read, since, until, records)
                return Looked.SHOWN
            case KeyRefused(_, detail):
                return await self._only_reads_refused(detail)
            case Refused(_, detail):
                return await self._only_reads_refused(detail)
            case _:
                self._way.note(reach_of(reply.outcome), reply, None)
        return Looked.NOTHING

    async def probe(self) -> bool:
        """One cheap read that proves the key and brings the service's date; whether it was answered."""
        return isinstance((await self.greet()).outcome, Proven)

    async def greet(self, *, at_any_rate: bool = False) -> Reply:
        """The same, with all that was answered; `at_any_rate`: whatever the budget says."""
        reply, _ = await self._way.request(Probe(), at_any_rate=at_any_rate)
        self._way.note(reach_of(reply.outcome), reply, None)
        return reply

    def _tell_unreadable(self) -> None:
        whose = self._knowledge.unreadable
        if not whose:
            self._alarms.clear("timesheet_unreadable")
            return
        named = ", ".join(whose[:NAMED_MAX]) + (f" and {len(whose) - NAMED_MAX} more" if len(whose) > NAMED_MAX else "")
        remedy = "What needs a look there waits; look at their shifts in the timesheet, and report this."
        self._alarms.set("timesheet_unreadable", f"Records of these people cannot be read: {named}. {remedy}")

    async def _only_reads_refused(self, detail: str) -> Looked:
        """A read was refused. A key that is not refused otherwise may just not read; else everything is halted."""
        # Whatever the budget says: where it carries the read alone, nobody would ever know. And refused in words that
        # nobody knows, the greeting says nothing: what is read for would be read again and again.
        if reach_of((await self.greet(at_any_rate=True)).outcome) is not Reach.ANSWERED:
            return Looked.NOTHING
        remedy = "Give the key the scope time_clock.read and check time_clock_id, then: punchctl sync now"
        self._alarms.set("look_up_refused", f"Cannot read the timesheet: {detail}. {remedy}")
        return Looked.FORBIDDEN
