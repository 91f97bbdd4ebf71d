"""The supervisor: restarts what fails, with growing pauses, and lets pass what must."""

from __future__ import annotations

import asyncio
import random

import pytest
import structlog

from daemon.alarms import Alarms
from daemon.events import Events
from daemon.supervisor import Backoff, FatalError, supervise


class Bench:
    """A part under supervision, with a sleep that ends when the test says so."""

    def __init__(self) -> None:
        self.alarms = Alarms(lambda: 0.0)
        self.events = Events(lambda: 0.0)
        self.sleeps: list[tuple[float, asyncio.Future[None]]] = []
        self.starts = 0
        self.plan: list[BaseException | None] = []
        self.gate = asyncio.Event()
        self.backoff = Backoff(first_s=1, max_s=8, stable_s=1000)

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sleeps.append((seconds, future))
        await future

    async def part(self) -> None:
        self.starts += 1
        failure = self.plan.pop(0) if self.plan else None
        if failure is not None:
            raise failure
        await self.gate.wait()

    def start(self) -> asyncio.Task[None]:
        return asyncio.create_task(
            supervise(
                "reader_front",
                self.part,
                alarms=self.alarms,
                events=self.events,
                backoff=self.backoff,
                rng=random.Random(1),
                sleep=self.sleep,
            )
        )

    async def settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)

    async def wake(self, stable: bool = False) -> float:
        """End the newest pause (or the wait for stability); how long it would have been."""
        await self.settle()
        seconds, future = next(
            (seconds, future)
            for seconds, future in reversed(self.sleeps)
            if (seconds == 1000) == stable and not future.done()
        )
        future.set_result(None)
        await self.settle()
        return seconds


@pytest.fixture
def bench():
    return Bench()


async def end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_failing_part_is_started_again_with_growing_pauses(bench):
    """Each failure is an event, the alarm stands, pauses grow to the limit and never leave their upper half."""
    bench.plan = [ValueError("no")] * 6
    async with bench.events.watch() as watch:
        task = bench.start()
        pauses = [await bench.wake() for _ in range(6)]
        names = [watch.get_nowait().name for _ in range(watch.qsize())]
    assert names == ["part.failed"] * 6
    assert bench.starts == 7
    for pause, ceiling in zip(pauses, [1, 2, 4, 8, 8, 8], strict=True):
        assert ceiling / 2 <= pause <= ceiling
    assert [alarm.code for alarm in bench.alarms.standing()] == ["reader_front_failing"]
    await end(task)


async def test_the_same_failure_over_again_is_one_line_without_its_traceback(bench):
    """A disk that is full for days fills no log as well; another failure, or the same after a calm time, tells all."""
    bench.plan = [ValueError("full"), ValueError("full"), ValueError("other"), ValueError("full")]
    with structlog.testing.capture_logs() as lines:
        task = bench.start()
        for _ in range(4):
            await bench.wake()
        await bench.wake(stable=True)
        await end(task)
    assert [(line["error"], line["exc_info"]) for line in lines] == [
        ("ValueError: full", True),
        ("ValueError: full", False),
        ("ValueError: other", True),
        ("ValueError: full", True),
    ]


async def test_a_stable_time_clears_the_alarm_and_the_count(bench):
    """Once it has run long enough the trouble is over, and the next failure is a first one."""
    bench.plan = [ValueError("no")] * 3
    task = bench.start()
    for _ in range(3):
        await bench.wake()
    await bench.wake(stable=True)
    assert bench.alarms.standing() == []
    bench.plan = [ValueError("again"), None]
    bench.gate.set()  # it ends by itself ...
    await asyncio.wait({task})
    assert task.exception() is None


async def test_the_count_begins_anew_after_a_stable_time(bench):
    """The pause after a failure that follows a stable time is a first pause."""
    failing = asyncio.Event()

    async def part() -> None:
        bench.starts += 1
        if bench.starts <= 3:
            raise ValueError("no")
        if bench.starts == 4:
            await failing.wait()
            raise ValueError("again")
        await bench.gate.wait()

    bench.part = part
    task = bench.start()
    for _ in range(3):
        await bench.wake()
    await bench.wake(stable=True)
    failing.set()
    assert await bench.wake() <= 1
    await end(task)


@pytest.mark.parametrize(
    "fatal",
    [FatalError("a bug"), ExceptionGroup("parts", [ValueError("x"), ExceptionGroup("inner", [FatalError("a bug")])])],
)
async def test_fatal_errors_pass(bench, fatal):
    """A bug in intake or queue is not survived, however deep it is wrapped."""
    bench.plan = [fatal]
    with pytest.raises(type(fatal)):
        await bench.start()
    assert bench.starts == 1
    assert bench.alarms.standing() == []


async def test_cancellation_passes(bench):
    """Running or pausing, a cancelled part is gone and leaves no task behind."""
    for plan in ([], [ValueError("no")]):
        bench.plan = plan
        task = bench.start()
        await bench.settle()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        await bench.settle()
        assert asyncio.all_tasks() == {asyncio.current_task()}


def test_pauses_stay_bounded_for_ever():
    """After a year of failing the arithmetic still holds."""
    assert Backoff().delay_s(10**7, random.Random(1)) <= 60
