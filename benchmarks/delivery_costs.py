"""What delivery costs, in requests and in work: counts in virtual time, so that every machine gives the same.

Run from the checkout: `.venv/bin/python -m benchmarks.delivery_costs`. Only the last table holds times of this machine.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from daemon.delivery.policy import Policy
from daemon.model import Direction, PunchState, Source, TapResult
from daemon.queue import people
from daemon.queue.deliveries import counts, history
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


class Instant:
    """A timesheet that answers at once and costs next to nothing, so that what is measured is delivery."""

    capabilities = Capabilities(live=True, lookback_s=12 * HOUR, close_late=True)

    def __init__(self) -> None:
        self._count = 0
        self._rows: dict[str, dict[str, ShiftRecord]] = {}

    async def carry_out(self, step: Step) -> Reply:
        """Do it."""
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
        self._rows.setdefault(user_id, {})[kept.id] = kept
        return kept

    def _shown(self, user_ids: tuple[str, ...], since: int, until: int) -> Iterator[ShiftRecord]:
        for user_id in user_ids:
            yield from (r for r in self._rows.get(user_id, {}).values() if since <= r.start <= until)

    async def reload_key(self) -> bool:
        """There is none."""
        return False

    def abandon(self) -> bool:
        """Every answer is there at once."""
        return False

    async def aclose(self) -> None:
        """Nothing is kept."""


#: So many people share a queue of any size, and their punches lie so far apart: every size has the same shape.
WORK_PEOPLE, APART_S = 50, {True: 18, False: 1200}
#: The oldest of 100,000 live punches is then 10 hours old; the oldest expired one 29 days.
WORK_SIZES = (100, 1_000, 10_000, 100_000)


@dataclass(frozen=True, slots=True)
class Work:
    """What delivering one queue took: CPU seconds a punch, and the longest the loop was not free (seconds)."""

    a_punch_s: float
    longest_s: float


class _LongestStep:
    """How long one callback of the loop took at most, in real time: nothing else had its turn meanwhile."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._run: Callable[[asyncio.Handle], None] = asyncio.Handle._run

    def __enter__(self) -> _LongestStep:
        def timed(handle: asyncio.Handle) -> None:
            began = time.perf_counter()
            self._run(handle)
            self.longest_s = max(self.longest_s, time.perf_counter() - began)

        setattr(asyncio.Handle, "_run", timed)  # noqa: B010  # the only way in: every step of the loop
        return self

    def __exit__(self, *_: object) -> None:
        setattr(asyncio.Handle, "_run", self._run)  # noqa: B010


def work(count: int, *, live: bool) -> Work:
    """Delivery's and the queue's own work with `count` queued, all of the same shape whatever `count` is."""

    async def main(loop: VirtualTimeLoop) -> Work:
        with tempfile.TemporaryDirectory() as folder:
            crowd = Crowd(loop, Path(folder), WORK_PEOPLE)
            await crowd.start()
            await asyncio.sleep(1)
            await crowd.delivery.pause("benchmark")
            instant = Instant()
            crowd.delivery._timesheet = crowd.delivery._way._timesheet = instant
            crowd.delivery.pacer.requests_per_minute = 1_000_000
            each, newest = count // WORK_PEOPLE, 60 if live else 15 * HOUR
            await crowd.fill(
                [
                    (user_id, "clock_out" if number % 2 else "clock_in", ago_s)
                    for user_id in crowd.people
                    for number, ago_s in enumerate(newest + APART_S[live] * (each - 1 - n) for n in range(each))
                ]
            )
            await crowd.delivery.sync_now()
            aside, began = 0.0, time.process_time()
            with _LongestStep() as steps:
                await crowd.delivery.resume("benchmark")
                while True:
                    await asyncio.sleep(60)
                    looked = time.process_time()
                    rested = await crowd.at_rest()  # our own looking is not what is measured
                    aside += time.process_time() - looked
                    if rested:
                        break
            spent = time.process_time() - began - aside
            done = sum(punch.state is PunchState.DELIVERED for punch in await crowd.punches())
            assert done == count, f"only {done} of {count} were delivered"
            await crowd.crash()
            return Work(spent / count, steps.longest_s)

    return run_virtual(main)


def main() -> None:
    """Print every figure."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    print("nothing wrong         ", told(lambda crowd: a_day(crowd, 0.0), 25))
    print("30 % of answers lost  ", told(lambda crowd: a_day(crowd, 0.3), 25))
    print("expired backlog       ", told(a_backlog, 100))
    print("5 a minute            ", told(an_outage, 26, Plan("five a minute", 5, 10_000)))
    print("5 a minute, 100 a day ", told(an_outage, 26, Plan("small business", 5, 100)))
    for live in (True, False):
        work(WORK_SIZES[0], live=live)  # once for the interpreter's own warming up
        costs = [(count, work(count, live=live)) for count in WORK_SIZES]
        words = ", ".join(f"{count:,} queued {cost.a_punch_s * 1e3:.2f} ms" for count, cost in costs)
        kind = "live punches" if live else "expired shifts"
        print(f"work a punch, {kind}: {words}; ratio {costs[-1][1].a_punch_s / costs[0][1].a_punch_s:.2f}")
        print(f"longest step of the loop, {kind}: {max(cost.longest_s for _, cost in costs) * 1e3:.0f} ms")


if __name__ == "__main__":
    main()
