"""Every request of a kiosk as its own wire saw it, and what must hold of their order, whatever happens on the way.

Judged by true time and by what went over the wire alone: nothing here asks the daemon what it meant to do.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

import httpx

#: How far back the service takes live punches, less the daemon's margin, plus a second for rounding.
REACH_S = 12 * 3600 - 600 + 1
#: A first look at an unknown outcome comes no sooner; the same thing is sent again no sooner (facts, U10).
SETTLE_S, AGAIN_S = 5.0, 35.0
#: Statuses that prove nothing of what the service did.
UNCLEAR = frozenset({408, 425, 500, 502, 503, 504})

Wanted = tuple[str, str, int]  # person, what, the second


@dataclass
class Carried:
    """One request: when it began and ended (true time), what it wanted of whom, and whether its answer proved a thing.

    `sent` False: it surely never left. `clear`: the service's own JSON came back, so that the outcome is known.
    """

    kiosk: str
    began: float
    method: str
    path: str
    wanted: tuple[Wanted, ...]
    ended: float | None = None
    sent: bool = True
    clear: bool = False
    status: int | None = None

    @property
    def reads(self) -> bool:
        """Whether it is a list of shifts."""
        return self.method == "GET" and self.path.endswith("/time-activities")

    def told(self) -> str:
        """In words."""
        return f"{self.began:.1f}-{self.ended} {self.method} {self.path.rsplit('/', 1)[-1]} {self.wanted} {self.status}"


@dataclass
class Body(httpx.AsyncByteStream):
    """An answer's body as the client reads it: the request ends with it, and is clear when it was whole."""

    inner: httpx.AsyncByteStream
    seen: Carried
    status: int
    now: Callable[[], float]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        body = b""
        async for chunk in self.inner:
            body += chunk
            yield chunk
        self.seen.clear = self.status not in UNCLEAR and is_json(body)

    async def aclose(self) -> None:
        """The client is done with it."""
        self.seen.status, self.seen.ended = self.status, self.now()
        await self.inner.aclose()


@dataclass
class Witness:
    """Writes down what one wire carries."""

    kiosk: str
    carried: list[Carried] = field(default_factory=list)

    def begin(self, request: httpx.Request, now: float) -> Carried:
        """A request begins."""
        path = request.url.path
        seen = Carried(self.kiosk, now, request.method, path, wanted(request.method, path, request.content))
        self.carried.append(seen)
        return seen


def wanted(method: str, path: str, body: bytes) -> tuple[Wanted, ...]:
    """What a request wants written: person, clock-in, clock-out or record, and the second (of a record its end)."""
    if method == "GET" or not body:
        return ()
    told, what = json.loads(body), path.rsplit("/", 1)[-1]
    if what in ("clock-in", "clock-out"):
        return ((str(told["userId"]), what, told["timestamp"]),)
    return tuple(
        (str(one["userId"]), f"{method} record", shift["end"]["timestamp"])
        for one in told["timeActivities"]
        for shift in one["shifts"]
    )


def is_json(body: bytes) -> bool:
    """Whether this is the service's own answer, and whole."""
    try:
        return isinstance(json.loads(body), dict)
    except ValueError:
        return False


def faults(carried: Sequence[Carried], again: Collection[tuple[str, int]]) -> list[str]:
    """Every rule that was broken. `again`: punches (person, second) that waited once, and lost their place."""
    return [*_overlaps(carried), *_outside(carried), *_too_soon(carried), *_out_of_order(carried, again)]


def _overlaps(carried: Sequence[Carried]) -> Iterator[str]:
    """One request is out at a time, in each lane and in all."""
    for earlier, later in itertools.pairwise(carried):
        if earlier.ended is None or earlier.ended > later.began:
            yield f"two at once: {earlier.told()} and {later.told()}"


def _outside(carried: Sequence[Carried]) -> Iterator[str]:
    """A live punch is neither of the future nor out of the service's reach when it leaves."""
    for one in carried:
        for _, what, second in one.wanted:
            if what.startswith("clock") and not 0 <= one.began - second <= REACH_S:
                yield f"outside the window by {one.began - second:.0f} s: {one.told()}"


def _too_soon(carried: Sequence[Carried]) -> Iterator[str]:
    """After an answer that proves nothing, a person's next write waits for a read, and the same write for two looks."""
    for index, one in enumerate(carried):
        for person, what, second in one.wanted if one.sent and not one.clear else ():
            looks = 0
            for later in carried[index + 1 :]:
                looks += later.reads and later.clear and later.began >= one.began + SETTLE_S
                mine = [wish for wish in later.wanted if wish[0] == person]
                if not mine:
                    continue
                if not looks:
                    yield f"not settled: {one.told()}, and then {later.told()}"
                elif (person, what, second) in mine and later.began < one.began + AGAIN_S:
                    yield f"sent again too soon: {one.told()}, and then {later.told()}"
                break


def _out_of_order(carried: Sequence[Carried], again: Collection[tuple[str, int]]) -> Iterator[str]:
    """A person's live punches leave in the order they were tapped."""
    newest: dict[str, int] = {}
    for one in carried:
        for person, what, second in one.wanted:
            if not what.startswith("clock") or (person, second) in again:
                continue
            if second < newest.get(person, 0):
                yield f"overtaken: {one.told()}, after one of {newest[person]}"
            newest[person] = max(second, newest.get(person, 0))
