"""A reader without hardware: taps come from `punchctl tap`, the demo and tests."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator

from drivers.badge import canonical
from drivers.inbox import Inbox
from drivers.reader import EvidenceSource, Feedback, ReaderLost, ReaderUnavailable, Tap

#: What was shown is kept for whoever looks, as far back as anybody would.
SHOWN_MAX = 100


class SimulatedReader:
    """A Reader whose badges are presented by calls. `match` is of no use here; `name` is what taps carry."""

    driver = "simulated"

    def __init__(self, name: str, evidence: EvidenceSource, match: str = "") -> None:
        self.name = name
        self._evidence = evidence
        self._inbox = Inbox.unopened(name)
        self._missing: str | None = None
        self._errors = 0
        #: What people were shown, oldest first.
        self.shown: deque[tuple[Tap, Feedback]] = deque(maxlen=SHOWN_MAX)

    async def present(self, badge: str, stated_at: float | None = None, by: str | None = None) -> Tap:
        """Present a badge now, or as if at `stated_at` (Unix seconds); the tap that `taps` will yield.

        Raises ReaderUnavailable when the reader is not open or does not keep up, and ValueError for what is no badge.
        """
        tap = Tap(self.name, canonical(badge), self._evidence(), stated_at, by)
        if self._inbox.ended:
            raise ReaderUnavailable(f"cannot tap on {self.name}: the reader is not open; see punchctl readers")
        if not self._inbox.put(tap):
            raise ReaderUnavailable(
                f"cannot tap on {self.name}: too many taps wait to be stored; try again in a minute"
            )
        return tap

    async def open(self) -> None:
        """Be there, unless `unplug` took the reader away."""
        if self._missing is not None:
            raise ReaderUnavailable(self._missing)
        self._inbox = Inbox()

    def taps(self) -> AsyncIterator[Tap]:
        """Yield what is presented, until closed or lost."""
        return self._inbox.taps()

    async def feedback(self, tap: Tap, feedback: Feedback) -> None:
        """Note it in `shown`."""
        self.shown.append((tap, feedback))

    async def close(self) -> None:
        """Take no more taps."""
        self._inbox.end()

    @property
    def errors(self) -> int:
        """Presentations that could not be read."""
        return self._errors

    # --- what can go wrong, on demand

    def present_unreadable(self) -> None:
        """Present a badge that cannot be read."""
        self._errors += 1

    def unplug(self, why: str = "cannot use the simulated reader: it was unplugged; plug it in") -> None:
        """Take the reader away: it is lost if open, and unavailable until `replug`."""
        self._missing = why
        self._inbox.end(ReaderLost(why))

    def replug(self) -> None:
        """Bring it back."""
        self._missing = None
