"""What a reader is, and what it says: the seam between metal and daemon.

A reader yields taps. It knows nothing of employees, queues or timesheets. Every driver
(`simulated`, `pcsc`, `scanner`) passes the same contract suite, tests/contract/test_readers.py.
"""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the machine knew of the time at one moment, read as close to the metal as possible.

    `wall_s` is CLOCK_REALTIME (may be wrong, may step), `boottime_s` is CLOCK_BOOTTIME (cannot step,
    comparable inside one `boot_id` only), both in seconds. `synchronised` says whether the kernel held
    the wall clock for synchronised at that moment.
    """

    wall_s: float
    boottime_s: float
    boot_id: str
    synchronised: bool


#: Reads the machine's clocks; an argument of every driver, so that time can be simulated.
EvidenceSource = Callable[[], Evidence]


@dataclass(frozen=True, slots=True, eq=False)
class Tap:
    """One presentation of a badge. Compared by identity: two equal presentations are two taps.

    `badge` is in canonical form (drivers/badge.py). `stated_at` (Unix seconds) is set only by the
    simulated reader, when somebody says that the tap happened at another time than now; likewise `by`, which names who
    asked for it.
    """

    reader: str
    badge: str
    evidence: Evidence
    stated_at: float | None = None
    by: str | None = None


class Feedback(enum.Enum):
    """What the person sees and hears. Never a success before the punch is on disk."""

    CLOCKED_IN = "clocked_in"
    CLOCKED_OUT = "clocked_out"
    ACCEPTED = "accepted"  # stored, direction not known yet
    REPEAT = "repeat"
    UNKNOWN_BADGE = "unknown_badge"
    ENROLLED = "enrolled"
    REFUSED = "refused"
    WAIT = "wait"


class ReaderError(Exception):
    """Base of what a reader may raise."""


class ReaderLost(ReaderError):
    """The reader went away while it was open (unplugged, pcscd ended); reopening may help."""


class ReaderUnavailable(ReaderError):
    """The reader cannot be opened now; the message says what is missing and how to mend it."""


class Reader(Protocol):
    """One opened way of reading badges.

    Life: `open()`, then one pass over `taps()`, `close()` at the end or after any error; an instance may be
    opened again after `close()`. All calls are made from one event loop. No method blocks the loop.
    """

    name: str
    driver: str

    async def open(self) -> None:
        """Get hold of the hardware. Raises ReaderUnavailable."""

    def taps(self) -> AsyncIterator[Tap]:
        """Yield one Tap a presentation, however long the badge rests. Raises ReaderLost when it goes away.

        Idle costs nothing: no polling. An unreadable badge yields nothing and is counted in `errors`.
        """

    async def feedback(self, tap: Tap, feedback: Feedback) -> None:
        """Show the person what became of their tap. Best effort: never raises for a broken light."""

    async def close(self) -> None:
        """Let go of the hardware; safe to call twice and on a reader that never opened."""

    @property
    def errors(self) -> int:
        """Presentations that could not be read since the start of the process."""
