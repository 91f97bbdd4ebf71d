"""Feedback beside the taps: shown one after another, and whatever becomes of it, the next tap is taken."""

from __future__ import annotations

import asyncio
from collections import deque

import structlog

from drivers.reader import Feedback, Reader, Tap

#: A lamp that takes longer is broken.
FEEDBACK_TIMEOUT_S = 3.0
#: Feedback that comes later than this many others means nothing to anybody any more.
BACKLOG_MAX = 8


class Showing:
    """Shows people what became of their taps at one reader."""

    def __init__(self, reader: Reader, *, timeout_s: float = FEEDBACK_TIMEOUT_S) -> None:
        self._reader = reader
        self._timeout_s = timeout_s
        self._log = structlog.get_logger("readers").bind(reader=reader.name)
        self._waiting: deque[tuple[Tap, Feedback]] = deque(maxlen=BACKLOG_MAX)
        self._task: asyncio.Task[None] | None = None

    def show(self, tap: Tap, feedback: Feedback) -> None:
        """Show it after what is being shown; never waits and never fails."""
        if len(self._waiting) == BACKLOG_MAX:
            self._log.warning("feedback.dropped", feedback=self._waiting[0][1])
        self._waiting.append((tap, feedback))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def finish(self) -> None:
        """Let what waits be shown, for as long as one feedback may take; then give it up."""
        if self._task is None:
            return
        _, late = await asyncio.wait({self._task}, timeout=self._timeout_s)
        for task in late:
            task.cancel()

    async def _run(self) -> None:
        while self._waiting:
            tap, feedback = self._waiting.popleft()
            # In a task of its own: what a broken driver raises is looked at and logged, not caught.
            task = asyncio.create_task(self._reader.feedback(tap, feedback))
            try:
                await asyncio.wait({task}, timeout=self._timeout_s)
                if not task.done():
                    self._log.warning("feedback.hung", feedback=feedback)
                elif not task.cancelled() and task.exception() is not None:
                    self._log.warning("feedback.failed", feedback=feedback, exc_info=task.exception())
            finally:
                task.cancel()
