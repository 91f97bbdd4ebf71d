"""Where a driver puts its taps for the one who reads them: bounded, with an end. And the way from a thread to the loop.

An Inbox is touched on the event loop only; `from_thread` and `in_thread` are how a foreign thread gets there.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import ParamSpec, TypeVar

from drivers.reader import ReaderLost, Tap

P = ParamSpec("P")
T = TypeVar("T")

#: Taps nobody has taken yet. People tap once a second at most and are served at once: more means that all stands still.
WAITING_MAX = 64


class Inbox:
    """The taps of one opening of a reader. Made on the loop that reads it."""

    def __init__(self) -> None:
        self._waiting: deque[Tap] = deque()
        self._changed = asyncio.Event()
        self._ended = False
        self._error: BaseException | None = None

    @classmethod
    def unopened(cls, reader: str) -> Inbox:
        """The inbox of a reader that was not opened: reading it raises ReaderLost."""
        inbox = cls()
        inbox.end(ReaderLost(f"cannot read {reader}: it is not open; open it first"))
        return inbox

    @property
    def ended(self) -> bool:
        """Whether nothing can be put any more."""
        return self._ended

    def put(self, tap: Tap) -> bool:
        """Hand a tap over; False when it was not taken (full, or ended): then nobody hears of it."""
        if self._ended or len(self._waiting) >= WAITING_MAX:
            return False
        self._waiting.append(tap)
        self._changed.set()
        return True

    def end(self, error: BaseException | None = None) -> None:
        """No more will come: after what waits, `taps` raises `error`, or just ends. The first end counts."""
        if not self._ended:
            self._ended, self._error = True, error
            self._changed.set()

    async def taps(self) -> AsyncIterator[Tap]:
        """What was put, in order, until the end."""
        while True:
            while self._waiting:
                yield self._waiting.popleft()
            if self._ended:
                break
            self._changed.clear()
            await self._changed.wait()
        if self._error is not None:
            raise self._error


def from_thread(loop: asyncio.AbstractEventLoop, fn: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
    """Let the loop call `fn` soon, from a thread that is not the loop's; nothing, once the loop is closed."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(lambda: fn(*args, **kwargs))


def in_thread(fn: Callable[[], T], name: str) -> asyncio.Future[T]:
    """Run `fn` in a thread of its own; the future has what it returns or raises.

    A daemon thread, unlike an executor's: a call that hangs in a broken device must not keep the process from ending.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.done():  # given up by whoever waited
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # None only where T is None

    def work() -> None:
        try:
            result = fn()
        except BaseException as error:  # noqa: BLE001  # carried over to the one who waits, nothing is swallowed
            from_thread(loop, settle, None, error)
        else:
            from_thread(loop, settle, result, None)

    threading.Thread(target=work, name=name, daemon=True).start()
    return future
