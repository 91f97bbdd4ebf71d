"""The network cable between the kiosk and the service."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class CableState(enum.StrEnum):
    """How it is."""

    UP = "up"
    REFUSING = "refusing"  # no new connections; requests under way are answered
    CUT = "cut"  # no new connections; requests under way are reset


class Cable:
    """One cable. `on_change` callbacks run at once, in the loop that serves the requests.

    Not for use from another thread: go through the loop, or through the admin routes.
    """

    def __init__(self) -> None:
        self.state = CableState.UP
        self.on_change: list[Callable[[CableState], None]] = []
        # A dict for its order: what is under way is always lost in the order it began.
        self._under_way: dict[asyncio.Future[bool], None] = {}

    def cut(self) -> None:
        """Pull it: whatever is under way is reset, nothing new gets through."""
        self._become(CableState.CUT)
        for way in tuple(self._under_way):
            _end(way, False)

    def refuse(self) -> None:
        """Refuse new connections and let requests under way finish."""
        self._become(CableState.REFUSING)

    def restore(self) -> None:
        """Put it back; the service is at the same address."""
        self._become(CableState.UP)

    async def stays(self, seconds: float) -> bool:
        """Wait so long while the cable may be cut; False, and at once, when it was."""
        if self._is_cut:
            return False
        with self._on_the_way() as way:
            over = asyncio.get_running_loop().call_later(seconds, _end, way, True)
            try:
                return await way and not self._is_cut
            finally:
                over.cancel()

    async def stays_until(self, event: asyncio.Event) -> bool:
        """Wait for something to happen while the cable may be cut; False, and at once, when it was."""
        if self._is_cut:
            return False
        with self._on_the_way() as way:
            task = asyncio.ensure_future(event.wait())
            task.add_done_callback(lambda _: _end(way, True))
            try:
                return await way and not self._is_cut
            finally:
                task.cancel()

    @property
    def _is_cut(self) -> bool:
        return self.state is CableState.CUT

    @contextmanager
    def _on_the_way(self) -> Iterator[asyncio.Future[bool]]:
        way: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._under_way[way] = None
        try:
            yield way
        finally:
            del self._under_way[way]

    def _become(self, state: CableState) -> None:
        if state is self.state:
            return
        self.state = state
        for tell in self.on_change:
            tell(state)


def _end(way: asyncio.Future[bool], arrived: bool) -> None:
    if not way.done():
        way.set_result(arrived)
