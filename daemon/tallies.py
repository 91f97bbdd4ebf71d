"""What happened since this process began, counted: taps, punches, requests; and how late the event loop ran.

Counters in memory, fed by what happens anyway; nothing is searched for them, and a restart begins anew.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable

from daemon.events import Event
from daemon.model import PunchState, TapResult

#: How often the event loop is looked at, and for how many looks the worst is remembered: a minute.
LAG_EVERY_S = 5.0
LAG_LOOKS = 12
#: Reason codes are a published list; whatever else came in under that name must not grow memory.
KINDS_MAX = 500

_TAPS = {
    "punch.committed": TapResult.ACCEPTED,
    "tap.repeated": TapResult.REPEAT,
    "tap.unknown": TapResult.UNKNOWN_BADGE,
    "tap.refused": TapResult.REFUSED,
}
_STATES = {f"punch.{state}": state for state in PunchState}

Sleep = Callable[[float], Awaitable[None]]


class Tallies:
    """One service's counters. Keys: `taps` (result, reason), `moves` (state, reason), `requests` (step, outcome)."""

    def __init__(self) -> None:
        self.taps: Counter[tuple[str, str]] = Counter({(result.value, ""): 0 for result in TapResult})
        self.moves: Counter[tuple[str, str]] = Counter({(state.value, ""): 0 for state in PunchState})
        self.requests: Counter[tuple[str, str]] = Counter()
        self._lags: deque[float] = deque([0.0], maxlen=LAG_LOOKS)

    def hear(self, event: Event) -> None:
        """Count an event, where it is one of those that are counted. Never fails."""
        reason = event.data.get("reason")
        word = reason if isinstance(reason, str) else ""
        if event.name in _TAPS:
            # A punch's reason (held, say) is no reason of its tap: the tap was accepted.
            self._count(self.taps, _TAPS[event.name], "" if event.name == "punch.committed" else word)
        elif event.name in _STATES:
            self._count(self.moves, _STATES[event.name], word)

    def note_request(self, step: str, outcome: str) -> None:
        """A request ended."""
        self._count(self.requests, step, outcome)

    @property
    def lag_s(self) -> float:
        """The longest the event loop kept a task waiting at the looks of the last minute, seconds."""
        return max(self._lags)

    async def watch_lag(
        self, clock: Callable[[], float] | None = None, sleep: Sleep = asyncio.sleep, every_s: float = LAG_EVERY_S
    ) -> None:
        """Measure how late this task wakes, until cancelled. `clock` is monotonic seconds (default: the loop's)."""
        clock = clock or asyncio.get_running_loop().time
        while True:
            due = clock() + every_s
            await sleep(every_s)
            self._lags.append(max(0.0, clock() - due))

    @staticmethod
    def _count(counter: Counter[tuple[str, str]], first: str, second: str) -> None:
        key = (str(first), second)
        if key in counter or len(counter) < KINDS_MAX:
            counter[key] += 1
