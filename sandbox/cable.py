"""The network cable between the kiosk and the service."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable


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
        self._under_way: dict[asyncio.Future[None], None] = {}

    def cut(self) -> None:
        """Pull it: whatever is under way is reset, nothing new gets through."""
        self._become(CableState.CUT)
        for lost in tuple(self._under_way):
            if not lost.done():
                lost.set_result(None)

    def refuse(self) -> None:
        """Refuse new connections and let requests under way finish."""
        self._become(CableState.REFUSING)

    def restore(self) -> None:
        """Put it back; the service is at the same address."""
        self._become(CableState.UP)

    async def survives(self, wait: Awaitable[object]) -> bool:
        """Wait for something while the cable may be cut; False, and the wait cancelled, when it was."""
        if self.state is CableState.CUT:
            return False
        lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        task = asyncio.ensure_future(wait)
        self._under_way[lost] = None
        try:
            await asyncio.wait((task, lost), return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._under_way[lost]
            task.cancel()
        return not lost.done()

    def _become(self, state: CableState) -> None:
        if state is self.state:
            return
        self.state = state
        for tell in self.on_change:
            tell(state)
