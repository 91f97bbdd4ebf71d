"""The running service: what runs beside what, and the one order in which it stops.

The readers stop first, so that nobody taps in vain (a tap in progress gets its commit and its feedback), then the
sockets, then delivery (a request that is out gets a short grace; without an answer it stays journalled and is looked up
at the next start), the database last.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from daemon.alarms import Alarms
from daemon.events import Events
from daemon.notify import Notifier
from daemon.supervisor import Backoff, FatalError, supervise

_log = structlog.get_logger()

#: How long a request that is out may take at a stop. Longer than the usual answer, far shorter than systemd's patience.
DELIVERY_GRACE_S = 5.0


class Runs(Protocol):
    """A part that works until it is cancelled."""

    async def run(self) -> None:
        """Work."""


class RunsAndStops(Runs, Protocol):
    """A part that can be asked to end by itself; `run` returns then."""

    async def stop(self, grace_s: float) -> None:
        """Let `run` return; it is cancelled after `grace_s` seconds."""


class Serves(Protocol):
    """The sockets."""

    async def start(self) -> None:
        """Serve. Raises ConfigError or AlreadyRunningError."""

    async def run(self) -> None:
        """Keep serving, until cancelled; run again after a failure, it serves anew."""

    async def stop(self) -> None:
        """Serve no longer."""


class Closes(Protocol):
    """The timesheet."""

    async def aclose(self) -> None:
        """Drop connections."""


class ClosesDatabase(Protocol):
    """The database."""

    async def close(self) -> None:
        """Finish what runs and close."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a service is made of, in the order it is started. `watches` run beside it under their names."""

    database: ClosesDatabase
    timesheet: Closes
    delivery: RunsAndStops
    sockets: Serves | None
    readers: Runs
    close_intake: Callable[[], None]
    watches: tuple[tuple[str, Callable[[], Awaitable[None]]], ...]
    alarms: Alarms
    events: Events


@dataclass(frozen=True, slots=True)
class Orders:
    """What is asked of a service from outside, by signals or by tests."""

    stop: asyncio.Event = field(default_factory=asyncio.Event)
    reload: asyncio.Event = field(default_factory=asyncio.Event)


class Service:
    """One kiosk, from start to stop. `run` once."""

    def __init__(self, parts: Parts, orders: Orders, *, notifier: Notifier, rng: random.Random) -> None:
        self._parts = parts
        self._orders = orders
        self._notifier = notifier
        self._rng = rng
        self._fatal: BaseException | None = None
        self.started = asyncio.Event()
        """Set as soon as taps are taken."""

    async def run(self) -> None:
        """Run until the order to stop. Raises what keeps the sockets from starting; FatalError after an orderly stop.

        A second order to stop changes nothing: the way down is always the same.
        """
        parts = self._parts
        async with AsyncExitStack() as last:
            last.push_async_callback(parts.database.close)
            last.push_async_callback(parts.timesheet.aclose)
            if parts.sockets is not None:
                await parts.sockets.start()
            async with asyncio.TaskGroup() as tasks, AsyncExitStack() as order:
                self._begin_all(tasks, order)
                self._notifier.ready("started")
                self.started.set()
                _log.info("service.started")
                await self._orders.stop.wait()
                self._notifier.stopping()
                _log.info("service.stopping")
        _log.info("service.stopped")
        if self._fatal is not None:
            raise FatalError("the intake or the queue failed; the service stopped in order") from self._fatal

    def _begin_all(self, tasks: asyncio.TaskGroup, order: AsyncExitStack) -> None:
        """Start everything; `order` holds how to stop it, the last one first."""
        parts = self._parts
        watches = [self._begin(tasks, name, work) for name, work in parts.watches]
        order.push_async_callback(_end, watches, 0.0)
        delivery = self._begin(tasks, "delivery", parts.delivery.run)
        order.push_async_callback(self._end_delivery, delivery)
        if parts.sockets is not None:
            order.push_async_callback(parts.sockets.stop)
            order.push_async_callback(_end, [self._begin(tasks, "control", parts.sockets.run)], 0.0)
        readers = self._begin(tasks, "readers", parts.readers.run)
        order.callback(parts.close_intake)
        order.push_async_callback(_end, [readers], 0.0)

    def _begin(self, tasks: asyncio.TaskGroup, name: str, work: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        return tasks.create_task(self._supervised(name, work), name=name)

    async def _supervised(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Keep one part running; a programmer's error in intake or queue stops everything, in order."""
        parts = self._parts
        try:
            await supervise(name, work, alarms=parts.alarms, events=parts.events, backoff=Backoff(), rng=self._rng)
        except* FatalError as error:
            _log.critical("service.failed", part=name, exc_info=error)
            self._fatal = error
            self._orders.stop.set()

    async def _end_delivery(self, task: asyncio.Task[None]) -> None:
        await self._parts.delivery.stop(DELIVERY_GRACE_S)
        await _end([task], DELIVERY_GRACE_S)


async def _end(tasks: list[asyncio.Task[None]], grace_s: float) -> None:
    """Wait for tasks to end by themselves, then cancel what still runs, and wait until it is gone."""
    running = [task for task in tasks if not task.done()]
    if running and grace_s:
        await asyncio.wait(running, timeout=grace_s)
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running)
