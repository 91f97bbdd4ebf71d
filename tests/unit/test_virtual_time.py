"""The virtual-time loop itself: time jumps, in order, and what can never go on is named."""

from __future__ import annotations

import asyncio
import time

import pytest

from daemon.clock import Timekeeper
from tests.simulation.virtual import EPOCH, Deadlock, Livelock, VirtualClock, run_virtual


def test_a_week_of_sleeping_takes_no_time():
    """Time jumps to the next timer when nothing is ready, and no further."""

    async def main(loop):
        seen = []

        async def sleeper(name, seconds):
            await asyncio.sleep(seconds)
            seen.append((name, loop.time()))

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(sleeper("week", 7 * 86400))
            tasks.create_task(sleeper("minute", 60))
            tasks.create_task(sleeper("hour", 3600))
        return seen

    assert run_virtual(main) == [("minute", 60), ("hour", 3600), ("week", 7 * 86400)]


def test_timeouts_are_virtual_too():
    """asyncio's own timeouts count virtual seconds."""

    async def main(loop):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3600):
                await asyncio.Event().wait()
        return loop.time()

    assert run_virtual(main) == 3600


def test_a_deadlock_is_an_error_that_names_who_waits():
    """Where nothing can ever happen the run ends with the tasks that wait, instead of hanging."""

    async def waits_for_ever(loop):
        await asyncio.Event().wait()

    with pytest.raises(Deadlock, match="waits_for_ever"):
        run_virtual(waits_for_ever)


def test_time_that_stands_still_is_an_error():
    """A task that turns for ever without waiting for anything ends the run, instead of hanging it."""

    async def turns_for_ever(loop):
        def again():
            loop.call_soon(again)

        again()
        await asyncio.Event().wait()

    with pytest.raises(Livelock):
        run_virtual(turns_for_ever)


def test_threads_are_refused():
    """A thread would make a run depend on the machine."""

    async def main(loop):
        await asyncio.to_thread(time.time)

    with pytest.raises(RuntimeError, match="threads"):
        run_virtual(main)


def test_an_error_nobody_awaits_fails_the_run():
    """What a forgotten callback raises is not lost."""

    async def main(loop):
        loop.call_later(1, lambda: 1 / 0)
        await asyncio.sleep(2)

    with pytest.raises(ZeroDivisionError):
        run_virtual(main)


def test_the_clocks_of_a_kiosk():
    """Steps move the wall clock alone; a reboot without a clock chip starts behind, and unsynchronised."""

    async def main(loop):
        clock = VirtualClock(loop)
        keeper = Timekeeper(clock)
        await asyncio.sleep(1000)
        before = clock.now()
        assert (before.wall_s, before.boottime_s, before.synchronised) == (EPOCH + 1000, 1100, True)
        assert keeper.trusted
        clock.reboot(behind_s=600)
        await asyncio.sleep(5)
        after = clock.now()
        assert (after.wall_s, after.boottime_s, after.synchronised) == (EPOCH + 405, 5, False)
        assert after.boot_id != before.boot_id
        assert not keeper.trusted
        clock.synchronise()
        assert clock.now().wall_s == clock.true_now == EPOCH + 1005
        assert keeper.trusted
        clock.step(-30)
        assert clock.now().wall_s == EPOCH + 975

    run_virtual(main)


@pytest.mark.parametrize(
    "change",
    [
        lambda clock: clock.step(1),
        lambda clock: clock.reboot(),
        lambda clock: clock.synchronise(),
        lambda clock: setattr(clock, "synchronised", True),
        lambda clock: setattr(clock, "boot", 9),
        lambda clock: setattr(clock, "booted_at", -200.0),
    ],
)
def test_what_is_done_to_a_clock_shows_in_the_same_moment(change):
    """It shows the same twice only while nothing was done to it."""

    async def main(loop):
        clock = VirtualClock(loop, ahead_s=5, synchronised=False)
        before = clock.now()
        assert clock.now() == before
        change(clock)
        assert clock.now() != before

    run_virtual(main)
