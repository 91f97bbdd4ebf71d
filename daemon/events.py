"""What just happened, for those who watch: a bus in memory. The truth is in the database; this is only news."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

#: A watcher that is slower than this many events loses the oldest and is told so (`events.lost`).
BACKLOG_MAX = 1000


@dataclass(frozen=True, slots=True)
class Event:
    """A dotted past-tense fact (`punch.committed`, `delivery.deferred`, `reader.lost`) with data as fields."""

    name: str
    at: float
    data: dict[str, Any] = field(default_factory=dict)


class Events:
    """Fan-out of events to any number of watchers; publishing never waits and never fails."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._watchers: set[asyncio.Queue[Event]] = set()
        #: Called with each event at once; must be quick and never fail.
        self.on_event: Callable[[Event], None] = lambda event: None

    def publish(self, name: str, /, **data: Any) -> None:
        """Tell all watchers."""
        event = Event(name, self._now(), data)
        self.on_event(event)
        for queue in self._watchers:
            if queue.full():
                queue.get_nowait()
                if queue.maxsize > 1:
                    queue.get_nowait()
                    queue.put_nowait(Event("events.lost", event.at))
            queue.put_nowait(event)

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[asyncio.Queue[Event]]:
        """A queue that receives every event from now on."""
        queue: asyncio.Queue[Event] = asyncio.Queue(BACKLOG_MAX)
        self._watchers.add(queue)
        try:
            yield queue
        finally:
            self._watchers.discard(queue)
