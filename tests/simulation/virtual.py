"""Virtual time: an event loop that jumps to the next timer instead of waiting, and a kiosk's clocks on top of it.

A week passes in seconds and every run of one seed is the same run. Nothing may use threads or wait for the outside:
the loop refuses executors, and says so when nothing is left that could ever happen.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

from drivers.reader import Evidence

T = TypeVar("T")

#: Monday 2026-11-23 00:00:00 UTC; any instant would do, as long as it is not today's.
EPOCH = 1795392000.0


#: No honest moment takes so many rounds of the loop: something turns for ever without letting time pass.
ROUNDS_MAX = 100_000
#: Nor does a company of any size that runs here bring so many moments in so short a time: something looks again and
#: again whether it is time, which on a real machine is a processor that never rests.
MOMENTS_MAX, MOMENTS_WITHIN_S = 10_000, 40.0


#: Where no real file is watched, one round in so many looks for signals.
LOOK_EVERY = 64


class Deadlock(RuntimeError):
    """Everything waits for something that nothing scheduled could bring."""


class Livelock(RuntimeError):
    """Something is always ready, and time stands still or creeps."""


class _JumpingSelector(selectors.DefaultSelector):
    """Looks at real files without waiting, and lets time pass instead."""

    def __init__(self) -> None:
        super().__init__()
        self.jump: Callable[[float | None], None] = lambda timeout: None
        self._rounds = 0
        self._looks = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._looks += 1
        # Nothing but the loop's own pipe, into which only signals write: those may wait for a few rounds.
        alone = len(self.get_map()) == 1 and self._looks % LOOK_EVERY != 0
        ready = [] if alone else super().select(0)
        self._rounds += 1
        if not ready and timeout != 0:
            self._rounds = 0
            self.jump(timeout)
        if self._rounds > ROUNDS_MAX:
            raise Livelock(f"time has stood still for {ROUNDS_MAX} rounds of the loop")
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time()` starts at 0 and stands still while anything is ready to run."""

    def __init__(self) -> None:
        selector = _JumpingSelector()
        selector.jump = self._jump
        self._virtual_s = self._counted_from_s = 0.0
        self._moments = 0
        super().__init__(selector)
        # The loop's own resolution is a nanosecond, which a year of virtual seconds no longer holds: what is due now
        # would for ever be due a little later.
        self._clock_resolution = 1e-6
        self.set_exception_handler(self._remember)
        #: What no task handled; `run_virtual` raises it.
        self.unhandled: list[BaseException] = []

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._virtual_s

    def _jump(self, timeout: float | None) -> None:
        if timeout is None:
            waiting = "\n".join(sorted(f"  {task!r}" for task in asyncio.all_tasks(self)))
            raise Deadlock(
                f"nothing is ready and no timer is set at {self._virtual_s:.3f} s; these tasks wait:\n{waiting}"
            )
        self._virtual_s += timeout
        self._moments += 1
        if self._moments == MOMENTS_MAX:
            if self._virtual_s - self._counted_from_s < MOMENTS_WITHIN_S:
                took_s = self._virtual_s - self._counted_from_s
                raise Livelock(f"{MOMENTS_MAX} moments in {took_s:.3f} s, at {self._virtual_s:.3f} s")
            self._moments, self._counted_from_s = 0, self._virtual_s

    def _remember(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.unhandled.append(context.get("exception") or RuntimeError(context["message"]))

    def run_in_executor(self, *_: object) -> NoReturn:
        """Refused: a thread's end is not determined by the seed."""
        raise RuntimeError("threads have no place in virtual time: run the database inline, look up no names")


def run_virtual(main: Callable[[VirtualTimeLoop], Coroutine[Any, Any, T]]) -> T:
    """Run `main(loop)` to its end in virtual time. Raises what it raises, and what was left unhandled."""
    loop = VirtualTimeLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        result = runner.run(main(loop))
    if loop.unhandled:
        raise loop.unhandled[0]
    return result


@dataclass
class VirtualClock:
    """The clocks of one simulated kiosk (daemon.clock.Clock). True time is `EPOCH` plus the loop's time.

    `ahead_s` is how far its wall clock is ahead of true time; `booted_at` the loop time of its start.
    """

    loop: asyncio.AbstractEventLoop
    ahead_s: float = 0.0
    synchronised: bool = True
    boot: int = 1
    booted_at: float = field(default=-100.0)
    _read: tuple[object, ...] = field(default=(), init=False, repr=False)
    _shown: Evidence | None = field(default=None, init=False, repr=False)

    def now(self) -> Evidence:
        """What this kiosk knows of the time."""
        passed = self.loop.time()
        read = (passed, self.ahead_s, self.synchronised, self.boot, self.booted_at)
        # It is asked a dozen times in a moment that does not pass.
        if self._shown is None or self._read != read:
            self._read = read
            self._shown = Evidence(
                EPOCH + passed + self.ahead_s, passed - self.booted_at, f"boot-{self.boot:04d}", self.synchronised
            )
        return self._shown

    @property
    def true_now(self) -> float:
        """The time everybody else has, Unix seconds."""
        return EPOCH + self.loop.time()

    def step(self, seconds: float) -> None:
        """Somebody, or nobody, sets the wall clock; the boot clock does not care."""
        self.ahead_s += seconds

    def synchronise(self) -> None:
        """NTP sets the clock right, and says so."""
        self.ahead_s, self.synchronised = 0.0, True

    def reboot(self, *, behind_s: float = 0.0, synchronised: bool = False) -> None:
        """Start anew: without a clock chip the wall clock lost `behind_s`, and nothing vouches for it."""
        self.boot += 1
        self.booted_at = self.loop.time()
        self.ahead_s, self.synchronised = (0.0, True) if synchronised else (self.ahead_s - behind_s, False)
