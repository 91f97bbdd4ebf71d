"""Every request that reached the service, in the order it arrived."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sandbox.faults import Kind, users_in
from sandbox.http import Request

#: Enough for any test; a sandbox left running for weeks forgets the oldest.
ENTRIES_MAX = 200_000
#: Header that must not be printed in full.
SECRETS = ("x-api-key", "authorization")


@dataclass(slots=True)
class Entry:
    """One request. `number` counts arrivals from 1.

    `status` is what the service answered, None while it was not processed; `fault` is what the client met.
    """

    number: int
    at: float
    request: Request
    fault: Kind = Kind.NONE
    held: bool = False
    processed_at: float | None = None
    status: int | None = None
    finished: bool = False

    @property
    def user_ids(self) -> list[str]:
        """Whom the request speaks of."""
        return sorted(users_in(self.request))

    def told(self) -> dict[str, Any]:
        """As JSON, without secrets."""
        return {
            "number": self.number,
            "at": self.at,
            "method": self.request.method,
            "path": self.request.path,
            "query": [list(pair) for pair in self.request.query],
            "headers": {k: "…" if k in SECRETS else v for k, v in self.request.headers.items()},
            "body": self.request.body.decode("utf-8", "replace"),
            "user_ids": self.user_ids,
            "fault": str(self.fault),
            "held": self.held,
            "processed_at": self.processed_at,
            "status": self.status,
            "finished": self.finished,
        }


class RequestLog:
    """The entries, and a way to wait for one."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.arrived = 0
        self._watchers: list[asyncio.Event] = []

    def add(self, request: Request, at: float, fault: Kind) -> Entry:
        """Note an arrival."""
        self.arrived += 1
        entry = Entry(self.arrived, at, request, fault)
        self.entries.append(entry)
        del self.entries[:-ENTRIES_MAX]
        self.changed()
        return entry

    def changed(self) -> None:
        """Wake those who wait."""
        for watcher in self._watchers:
            watcher.set()

    async def until(self, wanted: Callable[[Entry], bool], count: int = 1) -> list[Entry]:
        """The entries that satisfy `wanted`, as soon as there are `count` of them."""
        changed = asyncio.Event()
        self._watchers.append(changed)
        try:
            while True:
                found = [entry for entry in self.entries if wanted(entry)]
                if len(found) >= count:
                    return found
                changed.clear()
                await changed.wait()
        finally:
            self._watchers.remove(changed)
