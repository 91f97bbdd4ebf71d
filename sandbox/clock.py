"""The sandbox's own clock: any source of time, moved by hand."""

from __future__ import annotations

import time
from collections.abc import Callable


class MovableClock:
    """Unix seconds from `source`, plus an offset that can be changed while the sandbox runs."""

    def __init__(self, source: Callable[[], float] = time.time) -> None:
        self._source = source
        self.offset_s = 0.0

    def now(self) -> float:
        """The service's time."""
        return self._source() + self.offset_s

    def move(self, seconds: float) -> None:
        """Step forward, or back when negative."""
        self.offset_s += seconds

    def set(self, at: float) -> None:
        """Make it this time now."""
        self.offset_s = at - self._source()
