"""A task's sign of life: whether it goes on, or hangs in something that should have been over long ago."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

#: What has a limit of its own may overrun it by this: a busy machine is no hung one.
SLACK_S = 15.0


class Pulse:
    """The sign of life of one task; used on its event loop, whose steady time it goes by.

    Waiting for people or hardware may last for ever and is life; a step that has a limit, and stands long after it, is
    none; nor is a task that does not run.
    """

    def __init__(self) -> None:
        self._runs = False
        self._due_at: float | None = None

    @property
    def alive(self) -> bool:
        """Whether the task runs, and its present step is not overdue."""
        return self._runs and (self._due_at is None or _now_s() <= self._due_at)

    @contextmanager
    def running(self) -> Iterator[None]:
        """The task's own life: it runs while the block does."""
        self._runs, self._due_at = True, None
        try:
            yield
        finally:
            self._runs = False

    @contextmanager
    def within(self, limit_s: float) -> Iterator[None]:
        """One step, over within `limit_s` (and some slack). Steps do not nest."""
        self._due_at = _now_s() + limit_s + SLACK_S
        try:
            yield
        finally:
            self._due_at = None


def _now_s() -> float:
    return asyncio.get_running_loop().time()
