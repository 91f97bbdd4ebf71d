"""All lanes with something unfinished, and which of them goes next. In memory, rebuilt at start.

Fair as delivery.md says ("Lanes"): what is inside the window first, oldest first; what has expired cannot expire again
and yields, but gets at least one request in ten.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, field, replace

from daemon.delivery.plan import Plan, Read, Send
from daemon.queue.lanes import LanePunch

#: Of this many requests in a row at least one is for what has expired, when anything has.
EXPIRED_SHARE = 10


@dataclass(slots=True)
class Lane:
    """One person's lane as it was last loaded and planned. `version` tells old heap entries from the current plan.

    `known` is False where that failed: its punches are not here, and it is loaded before it is planned. `elsewhere`: it
    is empty, and yet something of this person's is unfinished: it waits for its time, and is not delivery's to move.
    `in_vain` is how many requests in a row two looks found to have done nothing. `waiting`: the seconds of what may go,
    also of what is not in `punches` (`wide`: all of a head is). `sending`: the ids of its last request's punches, until
    it is planned after that.
    """

    user_id: str
    punches: list[LanePunch]
    max_shift_s: int | None
    job_id: str | None = None
    plan: Plan = field(default_factory=Plan)
    version: int = 0
    deferred_until: float = 0.0
    in_vain: int = 0
    known: bool = True
    elsewhere: bool = False
    waiting: list[int] = field(default_factory=list)
    wide: bool = False
    sending: tuple[str, ...] = ()

    def afresh(self) -> Lane:
        """The same person's lane before it is loaded and planned anew."""
        return Lane(self.user_id, [], None, deferred_until=self.deferred_until, in_vain=self.in_vain)


class Board:
    """The lanes, the ones to plan again, and two heaps of those that want a request."""

    def __init__(self) -> None:
        self.lanes: dict[str, Lane] = {}
        #: Lanes to plan again; True where their punches may have changed and must be loaded.
        self.dirty: dict[str, bool] = {}
        #: The lane that is being loaded: neither dirty any more nor among the lanes yet.
        self.loading: str | None = None
        #: When each person's last punch was settled in this run.
        self.settled_at: dict[str, float] = {}
        #: People whose lanes are empty here while something of theirs waits for its time.
        self._elsewhere: set[str] = set()
        self._live: list[tuple[float, str, int]] = []
        self._expired: list[tuple[float, str, int]] = []
        self._wakes: list[tuple[float, str, int]] = []
        self._since_expired = 0
        self._read_ahead = False  # the last request for what has expired was a read
        self._versions = itertools.count(1)

    def mark(self, user_id: str) -> None:
        """This lane must be loaded and planned again: its punches may have changed."""
        self.dirty[user_id] = True

    def remind(self, user_id: str) -> None:
        """This lane must be planned again, its punches as they are: time passed, or a read showed the person anew."""
        if user_id in self.lanes:
            self.dirty.setdefault(user_id, False)

    def move(self, seconds: float) -> None:
        """Our clock was set ahead (negative: back)."""
        self.settled_at = {user_id: at + seconds for user_id, at in self.settled_at.items()}
        for lane in self.lanes.values():
            lane.deferred_until += seconds

    def take_dirty(self) -> tuple[Lane, bool] | None:
        """The next lane to plan, in the order they were marked, and whether it must be loaded; the one before it was.

        A lane of its own: what stands on the board stays as it is until `put`.
        """
        self.loading = user_id = next(iter(self.dirty), None)
        if user_id is None:
            return None
        changed, old = self.dirty.pop(user_id), self.lanes.get(user_id)
        if old is None or not old.known:
            return Lane(user_id, [], None), True
        return replace(old, plan=Plan(), version=0, sending=()), changed

    def forgive(self) -> None:
        """Let everybody go at once who was sent in vain, as if for the first time."""
        for lane in self.lanes.values():
            if lane.in_vain:
                lane.in_vain, lane.deferred_until = 0, 0.0

    def unsettled(self, user_id: str) -> bool:
        """Whether something of this person's is unfinished, or may be."""
        mine = user_id in self.lanes or user_id in self.dirty or user_id == self.loading
        return mine or user_id in self._elsewhere

    def put(self, lane: Lane, plan: Plan) -> None:
        """Keep a lane with its newest plan; a lane without punches is forgotten."""
        if lane.elsewhere:
            self._elsewhere.add(lane.user_id)
        else:
            self._elsewhere.discard(lane.user_id)
        if not lane.punches:
            self.lanes.pop(lane.user_id, None)
            return
        lane.plan, lane.version = plan, next(self._versions)
        self.lanes[lane.user_id] = lane
        if plan.request is not None:
            heap = self._expired if plan.expired else self._live
            heapq.heappush(heap, (plan.due, lane.user_id, lane.version))
        if plan.wake_at is not None:
            heapq.heappush(self._wakes, (plan.wake_at, lane.user_id, lane.version))

    def set_aside(self, user_id: str, until: float) -> None:
        """Ask nothing for this lane until then, whatever it holds: it cannot be planned, and is not settled either."""
        version = next(self._versions)
        self.lanes[user_id] = Lane(user_id, [], None, plan=Plan(wake_at=until), version=version, known=False)
        heapq.heappush(self._wakes, (until, user_id, version))

    def due_wakes(self, now: float) -> list[Lane]:
        """Lanes whose plan may have changed by time alone."""
        due = []
        while self._wakes and (self._wakes[0][0] <= now or self._current(self._wakes[0]) is None):
            lane = self._current(heapq.heappop(self._wakes))
            if lane is not None:
                due.append(lane)
        return due

    def next_wake(self) -> float | None:
        """When `due_wakes` will next have something."""
        while self._wakes and self._current(self._wakes[0]) is None:
            heapq.heappop(self._wakes)
        return self._wakes[0][0] if self._wakes else None

    def best(self, *, expired_too: bool = True) -> Lane | None:
        """The lane whose request goes next, or None. It stays until its lane is put again."""
        live = self._top(self._live)
        expired = self._top(self._expired) if expired_too else None
        if expired is not None and (live is None or self._since_expired >= EXPIRED_SHARE - 1):
            return expired
        return live or expired

    def note_request(self, lane: Lane) -> None:
        """A request for this lane leaves: what the fairness counts."""
        if not lane.plan.expired:
            self._since_expired += 1
            return
        # What was read for goes right after, once: nine others later its read is too old to write by.
        self._read_ahead = isinstance(lane.plan.request, Read) and not self._read_ahead
        self._since_expired = EXPIRED_SHARE - 1 if self._read_ahead else 0

    def together(self, first: Lane, most: int) -> list[Lane]:
        """Lanes whose requests may share one with that of `first`, oldest first, it included."""
        ready = [
            lane for lane in self.lanes.values() if isinstance(lane.plan.request, Send) and not lane.plan.request.alone
        ]
        ready.sort(key=lambda lane: (lane is not first, lane.plan.due, lane.user_id))
        return ready[:most]

    def waiting(self) -> list[int]:
        """The seconds of all punches that want to go live, oldest first; of a long lane its head."""
        return sorted(second for lane in self.lanes.values() for second in lane.waiting)

    def wanting(self) -> list[Lane]:
        """All lanes that want a request."""
        return [lane for lane in self.lanes.values() if lane.plan.request is not None]

    def readers(self) -> list[Lane]:
        """All lanes that wait for a read now."""
        return [lane for lane in self.lanes.values() if isinstance(lane.plan.request, Read)]

    def _top(self, heap: list[tuple[float, str, int]]) -> Lane | None:
        while heap:
            lane = self._current(heap[0])
            if lane is not None and lane.plan.request is not None:
                return lane
            heapq.heappop(heap)
        return None

    def _current(self, entry: tuple[float, str, int]) -> Lane | None:
        lane = self.lanes.get(entry[1])
        return lane if lane is not None and lane.version == entry[2] else None
