"""Server-sent events: the event bus as a stream that ends when the service stops."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from daemon.control.views import encoded, event_view, masked
from daemon.events import Event, Events

#: Each watcher holds a backlog of events in memory (daemon/events.py).
WATCHERS_MAX = 32


async def send_events(
    request: web.BaseRequest,
    events: Events,
    stopping: asyncio.Event,
    *,
    headers: dict[str, str],
    heartbeat_s: float,
    masks: bool,
) -> web.StreamResponse:
    """Send every event from now on; a comment first, so that the caller knows, and another whenever nothing happens.

    A caller slower than the bus's backlog loses the oldest events and gets `events.lost`.
    """
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", **headers})
    async with events.watch() as queue:
        await response.prepare(request)
        await response.write(b": watching\n\n")
        stopped = asyncio.create_task(stopping.wait())
        try:
            while not stopped.done():
                event = await _next(queue, stopped, heartbeat_s)
                if event is not None:
                    await response.write(_framed(event, masks=masks))
                elif not stopped.done():
                    await response.write(b": still here\n\n")
        finally:
            stopped.cancel()
    await response.write_eof()
    return response


def _framed(event: Event, *, masks: bool) -> bytes:
    shown = event_view(event)
    data = encoded(masked(shown) if masks else shown)
    return b"event: " + event.name.encode() + b"\ndata: " + data + b"\n\n"


async def _next(queue: asyncio.Queue[Event], stopped: asyncio.Task[Any], heartbeat_s: float) -> Event | None:
    """The next event; None after `heartbeat_s` without one, and when the service stops."""
    coming = asyncio.create_task(queue.get())
    waits: set[asyncio.Task[Any]] = {coming, stopped}
    try:
        await asyncio.wait(waits, timeout=heartbeat_s, return_when=asyncio.FIRST_COMPLETED)
        return coming.result() if coming.done() else None
    finally:
        coming.cancel()
