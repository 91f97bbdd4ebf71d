"""One cheap read that greets the service: it proves the key, and brings the date that a clock is held to.

Punches that wait for the clock make such a probe urgent, and cannot go while it says nothing new: on a small plan the
next ones have to leave them their budget. So a tenth of the day is for them, and a few at once; but a clock that was
set, or a person who asks, is reason enough for one whatever was spent.
"""

from __future__ import annotations

from daemon.clock import Timekeeper
from daemon.delivery.gate import Gate
from daemon.delivery.looks import Looks
from daemon.delivery.outlook import DAY_S, IDLE_SHARE
from daemon.delivery.pacer import Pacer
from daemon.delivery.planning import Planning
from daemon.delivery.settle import Reach, reach_of

#: Probes for a clock that is not trusted: the first pause, doubling, and the longest.
PROBE_FIRST_S, PROBE_MAX_S = 10.0, 900.0
#: So many may follow each other by those pauses, whatever their share of the day.
PROBES_AT_ONCE = 5


class Probing:
    """When a probe is wanted, and the pauses between those that a clock needs."""

    def __init__(self, timekeeper: Timekeeper, *, planning: Planning, looks: Looks, gate: Gate, pacer: Pacer) -> None:
        self._timekeeper, self._planning, self._looks = timekeeper, planning, looks
        self._gate, self._pacer = gate, pacer
        self._greeted = False
        #: The last one reached nobody. Where nothing waits, no other request would ever tell that somebody is there.
        self._unheard = False
        self._pause_s, self._at = PROBE_FIRST_S, 0.0
        #: The clock was set, or a person asked: the next one is free.
        self._free = False
        #: How far the clock had been set in all at the last one (Timekeeper.stepped_s).
        self._stepped_s = timekeeper.stepped_s
        #: When the answered ones are paid for by their share of the day, on the boot clock, which cannot step.
        self._paid_at_s = 0.0

    def hurry(self, *, asked: bool = False) -> None:
        """The clock changed, or a person `asked`: the next probe for it may go at once."""
        self._at, self._pause_s = 0.0, PROBE_FIRST_S
        self._free = self._free or asked or self._timekeeper.stepped_s != self._stepped_s

    def wanted(self, now: float) -> bool:
        """Whether one is owed before anything else: after a start, while halted, again where it reached nobody, or for
        the clock."""
        owed = not self._greeted or self._gate.halt is not None or self._to_be_heard
        return owed or (self._for_clock() and now >= self._clock_at(now))

    def due_at(self, now: float) -> float:
        """When the next one may go for the clock, or to be heard; infinity while none is wanted."""
        if self._gate.paused or not (self._for_clock() or self._to_be_heard):
            return float("inf")
        # Where the budget does not allow it yet it is not due: else the loop would spin until the budget does.
        at = max(self._gate.ready_at(now), self._pacer.ready_at(now, live=True))
        return at if self._to_be_heard else max(at, self._clock_at(now))

    async def probe(self) -> None:
        """Carry one out."""
        self._greeted, for_clock = True, self._for_clock()
        reach = reach_of((await self._looks.greet()).outcome)
        self._unheard = reach in (Reach.UNREACHED, Reach.UNCLEAR, Reach.CERTIFICATE_TIME)
        if reach is not Reach.ANSWERED:
            return  # the gate or the budget makes the pause
        self._at = self._timekeeper.now() + self._pause_s
        self._pause_s = min(self._pause_s * 2, PROBE_MAX_S)
        self._free, self._stepped_s = False, self._timekeeper.stepped_s
        if for_clock:
            self._paid_at_s = max(self._paid_at_s, self._timekeeper.evidence().boottime_s) + self._every_s()

    def _clock_at(self, now: float) -> float:
        """When the pauses, and their share of the day, let the next one for the clock go."""
        if self._free:
            return self._at
        unpaid_s = self._paid_at_s - self._timekeeper.evidence().boottime_s
        return max(self._at, now + unpaid_s - (PROBES_AT_ONCE - 1) * self._every_s())

    def _every_s(self) -> float:
        """How far apart they lie in the long run, by what is known of the day."""
        budget = self._pacer.budget
        limit = (budget.day_limit if budget is not None else None) or self._pacer.requests_per_day
        return DAY_S / max(1.0, limit * IDLE_SHARE) if limit else 0.0

    @property
    def _to_be_heard(self) -> bool:
        return self._unheard and not self._planning.board.lanes

    def _for_clock(self) -> bool:
        return self._planning.anyone_waits and not self._timekeeper.trusted
