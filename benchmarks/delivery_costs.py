"""What delivery costs, in requests and in work: counts in virtual time, so that every machine gives the same.

Run from the checkout: `.venv/bin/python -m benchmarks.delivery_costs`. Only the last table holds times of this machine;
`.venv/bin/python -m benchmarks.delivery_costs work` makes that alone.
"""

from __future__ import annotations

import asyncio
import bisect
import logging
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType

import structlog

from daemon.delivery.policy import Policy
from daemon.model import Direction, PunchState, Source, TapResult
from daemon.queue import people
from daemon.queue.deliveries import anything_unfinished, counts, history
from daemon.queue.lanes import HEAD_MAX
from daemon.queue.queue import NewPunch, insert_punch, insert_tap
from daemon.timesheets.timesheet import (
    Capabilities,
    CloseShift,
    Done,
    EndShift,
    Found,
    LookUp,
    OpenShift,
    Proven,
    RecordShift,
    RecordShifts,
    Reply,
    ShiftRecord,
    Step,
    Taken,
)
from drivers.reader import Evidence, Tap
from sandbox.connecteam.limits import EXPERT, Plan
from sandbox.faults import Kind
from tests.simulation.virtual import VirtualTimeLoop, run_virtual
from tests.support.delivery_bench import Bench

HOUR = 3600
REACH_S = Policy().reach_s
Planned = tuple[str, str, float]  # person, direction, seconds ago


class Crowd(Bench):
    """The bench of delivery's tests, with as many people as wanted and a queue filled at once."""

    def __init__(self, loop: VirtualTimeLoop, folder: Path, size: int, plan: Plan = EXPERT) -> None:
        super().__init__(loop, folder)
        self.people = [str(1000 + number) for number in range(size)]
        self.sandbox.company.limits.plan = plan
        for user_id in self.people:
            self.sandbox.company.add_user(user_id, f"Person {user_id}")
        self._stored = 0

    async def fill(self, punches: list[Planned]) -> None:
        """Store punches as the intake would have, in one transaction, and wake delivery."""
        now = self.clock.now()

        def store(conn: object) -> None:
            for user_id in self.people:
                people.put_employee(conn, user_id, user_id, None)  # type: ignore[arg-type]
            for user_id, direction, ago_s in sorted(punches, key=lambda punch: -punch[2]):
                self._stored += 1
                seen = Evidence(now.wall_s - ago_s, now.boottime_s - ago_s, now.boot_id, now.synchronised)
                name = f"N{self._stored:06d}"
                tap = insert_tap(conn, Tap("front", "04A2", seen), TapResult.ACCEPTED, None, name)  # type: ignore[arg-type]
                new = NewPunch(
                    name, tap, user_id, Direction(direction), seen.wall_s, 0.5, True,
                    seen.wall_s, seen, "front", "04A2", Source.TAP, None,
                )  # fmt: skip
                insert_punch(conn, new, now.wall_s)  # type: ignore[arg-type]

        await self.db.write(store)
        self.delivery.wake()

    def asked(self) -> int:
        """Requests that reached the service."""
        return self.sandbox.log.arrived

    async def at_rest(self) -> bool:
        """Whether nothing waits any more but for a person."""
        counted = await self.db.read(counts)
        return not counted.pending + counted.in_flight + counted.held

    async def rest(self, step_s: float = 60) -> None:
        """Wait until nothing waits any more."""
        while not await self.at_rest():  # noqa: ASYNC110  (time is virtual, and the queue tells nobody)
            await asyncio.sleep(step_s)


def told(story: Callable[[Crowd], Awaitable[str]], size: int, plan: Plan = EXPERT) -> str:
    """Run one story on a fresh bench; what it has to say."""

    async def main(loop: VirtualTimeLoop) -> str:
        with tempfile.TemporaryDirectory() as folder:
            crowd = Crowd(loop, Path(folder), size, plan)
            await crowd.start()
            try:
                return await story(crowd)
            finally:
                await crowd.crash()

    return run_virtual(main)


# --- requests per punch


def a_day(crowd: Crowd, lost: float) -> Awaitable[str]:
    """Everybody comes, has lunch and leaves, online; of the answers a share is lost."""

    async def story() -> str:
        await asyncio.sleep(600)
        if lost:
            crowd.sandbox.faults.set(kind=Kind.DROP, processed=True, probability=lost)
        before = crowd.asked()
        for number in range(4):
            for user_id in crowd.people:
                await crowd.fill([(user_id, "clock_out" if number % 2 else "clock_in", 0.0)])
                await asyncio.sleep(20)
            await asyncio.sleep(HOUR)
        await crowd.rest()
        count = 4 * len(crowd.people)
        return f"{(crowd.asked() - before) / count:.3f} requests a punch ({count} punches)"

    return story()


# --- requests per expired shift


async def a_backlog(crowd: Crowd) -> str:
    """A thousand shifts of a hundred people, all beyond the service's reach."""
    await asyncio.sleep(60)
    before = crowd.asked()
    shifts: list[Planned] = []
    for number, user_id in enumerate(crowd.people):
        for day in range(1, 11):
            came = day * 86400 + number * 60
            shifts += [(user_id, "clock_in", came), (user_id, "clock_out", came - 8 * HOUR)]
    await crowd.fill(shifts)
    await crowd.rest()
    asked, stand = crowd.asked() - before, len(crowd.sandbox.timesheet())
    return f"{asked / 1000:.3f} requests a shift ({asked} requests, {stand} of 1000 shifts stand there)"


# --- what expires while it waits


async def an_outage(crowd: Crowd) -> str:
    """Half a day offline, 104 punches of 26 people; what left reach before it was sent, against the best order.

    The morning's clock-ins leave it within four minutes of the network's return, more of them than can be sent.
    """
    crowd.sandbox.cable.cut()
    await asyncio.sleep(11.81 * HOUR)
    ago: list[Planned] = []
    for number, user_id in enumerate(crowd.people):
        for hours, way in ((11.81, "clock_in"), (7, "clock_out"), (6.5, "clock_in"), (2.5, "clock_out")):
            ago.append((user_id, way, hours * HOUR - number * 5))
    await crowd.fill(ago)
    now = crowd.clock.true_now
    crowd.sandbox.cable.restore()
    crowd.delivery.network_changed()
    await crowd.rest(10)
    late = 0
    for punch in await crowd.punches():
        lines = (await crowd.db.read(partial(history, punch_id=punch.id))).journal
        done = [line["at"] for line in lines if line["action"] == "punch.delivered"]
        late += not done or done[-1] > punch.occurred_at + REACH_S
    a_minute, a_day = crowd.sandbox.company.limits.plan.per_minute, crowd.sandbox.company.limits.plan.per_day
    deadlines = sorted(now - ago_s + REACH_S for _, _, ago_s in ago)
    # The best order of single requests after one greeting and one read: oldest first, past what is beyond help.
    sent = 2
    for deadline in deadlines:
        sent += now + sent // a_minute * 60 <= deadline and sent < a_day
    best = len(ago) + 2 - sent
    statuses = [entry.status for entry in crowd.sandbox.log.entries]
    return (
        f"{late} of {len(ago)} expired while they waited, {best} by the best order of single requests; "
        f"{crowd.asked()} requests, {statuses.count(429)} refused for the budget"
    )


# --- the engine's own work


#: So long an answer takes: 100,000 are there before what was read at first is too old to write by.
ANSWER_S = 0.005


class Instant:
    """A timesheet that answers all but at once. What it costs is `spent_s` (CPU seconds), and is taken out."""

    capabilities = Capabilities(live=True, lookback_s=12 * HOUR, close_late=True)

    def __init__(self) -> None:
        self._count = 0
        self.spent_s = 0.0
        self._rows: dict[str, dict[str, ShiftRecord]] = {}
        self._starts: dict[str, list[tuple[int, str]]] = {}

    async def carry_out(self, step: Step) -> Reply:
        """Do it. A moment of virtual time passes: where it stood still, the loop would call that turning for ever."""
        await asyncio.sleep(ANSWER_S)
        began = time.process_time()
        try:
            return self._answer(step)
        finally:
            self.spent_s += time.process_time() - began

    def _answer(self, step: Step) -> Reply:
        match step:
            case OpenShift(user_id, at, _):
                return Reply(Done(self._keep(user_id, at, None)))
            case EndShift(user_id, at, shift_id) | CloseShift(user_id, shift_id, at, _):
                opened = self._rows[user_id][shift_id]
                return Reply(Done(self._keep(user_id, opened.start, at, shift_id)))
            case RecordShift(user_id, start, end, _, _):
                return Reply(Done(self._keep(user_id, start, end)))
            case RecordShifts(shifts):
                for shift in shifts:
                    self._keep(shift.user_id, shift.start, shift.end)
                return Reply(Taken())
            case LookUp(user_ids, since, until):
                return Reply(Found(tuple(self._shown(user_ids, since, until))))
            case _:
                return Reply(Proven())

    def _keep(self, user_id: str, start: int, end: int | None, shift_id: str | None = None) -> ShiftRecord:
        self._count += 1
        kept = ShiftRecord(shift_id or f"s{self._count}", user_id, start, end)
        if shift_id is None:
            bisect.insort(self._starts.setdefault(user_id, []), (start, kept.id))
        self._rows.setdefault(user_id, {})[kept.id] = kept
        return kept

    def _shown(self, user_ids: tuple[str, ...], since: int, until: int) -> Iterator[ShiftRecord]:
        for user_id in user_ids:
            starts = self._starts.get(user_id, [])
            low, high = bisect.bisect_left(starts, (since, "")), bisect.bisect_left(starts, (until + 1, ""))
            yield from (self._rows[user_id][shift_id] for _, shift_id in starts[low:high])

    async def reload_key(self) -> bool:
        """There is none."""
        return False

    def abandon(self) -> bool:
        """Every answer is there at once."""
        return False

    async def aclose(self) -> None:
        """Nothing is kept."""


#: So many people share a queue of any size, so that the shortest lane is longer than what planning looks at, and their
#: punches lie so far apart: every size has the same shape. Live ones: the oldest of 100,000 is within the service's
#: reach, and all are old enough to be read before they are written. Expired ones: about one shift a working day.
WORK_PEOPLE, APART_S, NEWEST_S = 10, {True: 3, False: 12 * HOUR}, {True: 20 * 60, False: 15 * HOUR}
WORK_SIZES = (100, 1_000, 10_000, 100_000)
#: No queue is more than the day carries: the largest too goes punch by punch, as the smallest does.
AMPLE = Plan("ample", 1_000_000, 10_000_000)
#: A size is measured until so many punches were delivered, each time anew, and their mean counts: the cheapest of many
#: short runs would be held against the mean of a long one.
WORK_PUNCHES = 3_000
assert WORK_SIZES[0] // WORK_PEOPLE > HEAD_MAX


@dataclass(frozen=True, slots=True)
class Work:
    """What delivering one queue took: CPU seconds a punch, and the longest the loop was not free (seconds).

    Where that was counted: calls of Python functions, and steps of SQLite's machine, a punch. They are the same on
    every machine, whatever else runs there.
    """

    a_punch_s: float
    longest_s: float
    calls: float = 0.0
    steps: float = 0.0


class _Counting:
    """Counts calls of Python functions outside this file, and what SQLite does, in tens of its steps."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self._conn = conn
        self.calls = self.steps = 0

    def __enter__(self) -> _Counting:
        def called(frame: FrameType, event: str, _: object) -> None:
            if event == "call" and frame.f_code.co_filename != __file__:
                self.calls += 1

        def stepped() -> None:
            self.steps += 10

        self._conn.set_progress_handler(stepped, 10)
        sys.setprofile(called)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        self._conn.set_progress_handler(None, 0)


class _LongestStep:
    """How long one callback of the loop took at most, in real time: nothing else had its turn meanwhile."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._ended = False
        self._run: Callable[[asyncio.Handle], None] = asyncio.Handle._run

    def __enter__(self) -> _LongestStep:
        def timed(handle: asyncio.Handle) -> None:
            began = time.perf_counter()
            self._run(handle)
            if not self._ended:  # the step that ends it goes on with what is not measured
                self.longest_s = max(self.longest_s, time.perf_counter() - began)

        setattr(asyncio.Handle, "_run", timed)  # noqa: B010  # the only way in: every step of the loop
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        setattr(asyncio.Handle, "_run", self._run)  # noqa: B010


def work(count: int, *, live: bool, counting: bool = False) -> Work:
    """Delivery's and the queue's own work with `count` queued, all of the same shape whatever `count` is.

    `counting`: count what is done, too; the time is then worth nothing.
    """

    async def main(loop: VirtualTimeLoop) -> Work:
        with tempfile.TemporaryDirectory() as folder:
            crowd = Crowd(loop, Path(folder), WORK_PEOPLE, AMPLE)
            await crowd.start()
            await asyncio.sleep(1)
            await crowd.delivery.pause("benchmark")
            instant = Instant()
            crowd.delivery._timesheet = crowd.delivery._way._timesheet = instant
            crowd.delivery.pacer.requests_per_minute = 1_000_000
            each = count // WORK_PEOPLE
            await crowd.fill(
                [
                    (user_id, "clock_out" if n % 2 else "clock_in", NEWEST_S[live] + APART_S[live] * (each - 1 - n))
                    for user_id in crowd.people
                    for n in range(each)
                ]
            )
            await crowd.delivery.sync_now()
            connection = await crowd.db.read(lambda conn: conn)  # kept on purpose: inline, there is no other thread
            counted = _Counting(connection)
            began = time.process_time()
            with counted if counting else nullcontext(), _LongestStep() as longest:
                await crowd.delivery.resume("benchmark")
                while await crowd.db.read(anything_unfinished):  # noqa: ASYNC110  # costs the same however many wait
                    await asyncio.sleep(60)
            spent = time.process_time() - began - instant.spent_s
            done = sum(punch.state is PunchState.DELIVERED for punch in await crowd.punches())
            assert done == count, f"only {done} of {count} were delivered"
            await crowd.crash()
            return Work(spent / count, longest.longest_s, counted.calls / count, counted.steps / count)

    return run_virtual(main)


def main() -> None:
    """Print every figure."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    if sys.argv[1:] != ["work"]:
        print_requests()
    print_work()


def print_requests() -> None:
    """What depends on no machine."""
    print("nothing wrong         ", told(lambda crowd: a_day(crowd, 0.0), 25))
    print("30 % of answers lost  ", told(lambda crowd: a_day(crowd, 0.3), 25))
    print("expired backlog       ", told(a_backlog, 100))
    print("5 a minute            ", told(an_outage, 26, Plan("five a minute", 5, 10_000)))
    print("5 a minute, 100 a day ", told(an_outage, 26, Plan("small business", 5, 100)))


def print_work() -> None:
    """What delivering costs this machine, by how much is queued."""
    for live in (True, False):
        work(WORK_SIZES[0], live=live)  # once for the interpreter's own warming up
        kind, least = "live punches" if live else "expired shifts", None
        for count in WORK_SIZES:
            cost = mean(count, live=live)
            least = least or cost.a_punch_s
            ratio, longest = cost.a_punch_s / least, cost.longest_s
            words = f"{cost.a_punch_s * 1e3:.3f} ms a punch, ratio {ratio:.2f}; longest step {longest * 1e3:.0f} ms"
            print(f"work, {kind}, {count:>7,} queued: {words}", flush=True)
        for count in WORK_SIZES[:-1]:
            counted = work(count, live=live, counting=True)
            words = f"{counted.calls:.0f} calls of functions a punch, {counted.steps:.0f} steps of SQLite's machine"
            print(f"counted, {kind}, {count:>7,} queued: {words}", flush=True)


def mean(count: int, *, live: bool) -> Work:
    """The mean of several measurements of one size."""
    works = [work(count, live=live) for _ in range(max(1, WORK_PUNCHES // count))]
    return Work(sum(one.a_punch_s for one in works) / len(works), max(one.longest_s for one in works))


if __name__ == "__main__":
    main()
