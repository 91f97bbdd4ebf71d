"""One cheap read that greets the service: it proves the key, and brings the date that a clock is held to."""

from __future__ import annotations

from daemon.clock import Timekeeper
from daemon.delivery.gate import Gate
from daemon.delivery.looks import Looks
from daemon.delivery.pacer import Pacer
from daemon.delivery.planning import Planning

#: Probes for a clock that is not trusted: the first pause, doubling, and the longest.
PROBE_FIRST_S, PROBE_MAX_S = 10.0, 900.0


class Probing:
    """When a probe is wanted, and the pauses between those that a clock needs."""

    def __init__(self, timekeeper: Timekeeper, *, planning: Planning, looks: Looks, gate: Gate, pacer: Pacer) -> None:
        self._timekeeper, self._planning, self._looks = timekeeper, planning, looks
        self._gate, self._pacer = gate, pacer
        self._greeted = False
        self._pause_s, self._at = PROBE_FIRST_S, 0.0

    def hurry(self) -> None:
        """The clock changed, or a person asked: the next probe for it may go at once."""
        self._at, self._pause_s = 0.0, PROBE_FIRST_S

    def wanted(self, now: float) -> bool:
        """Whether one is owed before anything else: after a start, while halted, or for the clock."""
        return not self._greeted or self._gate.halt is not None or (self._for_clock() and now >= self._at)

    def due_at(self, now: float) -> float:
        """When the next one for the clock may go; infinity while none is wanted."""
        if self._gate.paused or not self._for_clock():
            return float("inf")
        # Where the budget does not allow it yet it is not due: else the loop would spin until the budget does.
        return max(self._at, self._gate.ready_at(now), self._pacer.ready_at(now, live=True))

    async def probe(self) -> None:
        """Carry one out."""
        self._greeted = True
        if await self._looks.probe():
            self._at = self._timekeeper.now() + self._pause_s
            self._pause_s = min(self._pause_s * 2, PROBE_MAX_S)

    def _for_clock(self) -> bool:
        return self._planning.anyone_waits and not self._timekeeper.trusted
