"""An event loop whose look-ups of names may hang without holding up anything: neither other work nor the end.

The loop's own runs `getaddrinfo` in the default thread pool. Where no name server answers, that blocks a thread for
half a minute and more, whatever the caller's time-out: a few such look-ups fill the pool, which the check of the
database needs as well, and the process does not end before the last of them does.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Any

#: Look-ups that may hang at the same time. What comes on top waits for the youngest of its name, or fails.
HANGING_MAX = 8

Found = list[tuple[Any, ...]]
LookUp = Callable[..., Found]


class Names:
    """Looks names up, each time in a thread of its own that ends with the process.

    Whoever waits for a name gets the first answer to any look-up of it: one that was begun on a link that is gone may
    hang on, while one begun after it is answered at once.
    """

    def __init__(self, look_up: LookUp = socket.getaddrinfo) -> None:
        self._look_up = look_up
        self._hanging = 0
        self._waiting: dict[tuple[Any, ...], set[asyncio.Future[Found]]] = {}

    async def find(self, *question: Any) -> Found:
        """What `getaddrinfo` answers to these arguments. Raises OSError as it does."""
        answer: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        others = self._waiting.setdefault(question, set())
        if self._hanging >= HANGING_MAX and not others:
            del self._waiting[question]
            raise socket.gaierror(socket.EAI_AGAIN, "Too many look-ups of names hang: no name server answers")
        others.add(answer)
        try:
            if self._hanging < HANGING_MAX:
                self._begin(question)
            return await answer
        finally:
            others.discard(answer)
            if not others and self._waiting.get(question) is others:
                del self._waiting[question]

    def _begin(self, question: tuple[Any, ...]) -> None:
        loop = asyncio.get_running_loop()
        self._hanging += 1

        def hang() -> None:
            answer: Found | OSError | ValueError = OSError("the look-up failed")
            try:
                answer = self._look_up(*question)
            except (OSError, ValueError) as error:  # no such name; a name that can be none
                answer = error
            finally:
                with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile, and nobody waits any more
                    loop.call_soon_threadsafe(self._answered, question, answer)

        threading.Thread(target=hang, name="look-up of a name", daemon=True).start()

    def _answered(self, question: tuple[Any, ...], answer: Found | OSError | ValueError) -> None:
        self._hanging -= 1
        for waiting in self._waiting.get(question, set()):
            if waiting.done():
                continue
            if isinstance(answer, Exception):
                waiting.set_exception(answer)
            else:
                waiting.set_result(answer)


class ResolvingLoop(asyncio.SelectorEventLoop):
    """asyncio's loop, with `getaddrinfo` by `Names`."""

    def __init__(self, names: Names | None = None) -> None:
        super().__init__()
        self._names = names or Names()

    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[Any]:
        """As the loop's own, but nothing waits for a look-up that hangs."""
        return await self._names.find(host, port, family, type, proto, flags)
