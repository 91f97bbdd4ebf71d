"""The cable: who waits on it, what a cut does, and that nothing is left behind."""

from __future__ import annotations

import asyncio

from sandbox.cable import Cable
from tests.simulation.virtual import run_virtual


def test_a_wait_is_over_in_time_or_with_the_cut():
    """Uncut it takes its time; cut, it ends at once; on a cut cable nothing sets out."""

    async def main(loop):
        cable, event = Cable(), asyncio.Event()
        assert await cable.stays(3.0)
        assert loop.time() == 3.0
        loop.call_later(1.0, cable.cut)
        assert not await cable.stays(3.0)
        assert loop.time() == 4.0
        assert not await cable.stays(3.0)
        assert not await cable.stays_until(event)
        assert loop.time() == 4.0
        cable.restore()
        loop.call_later(1.0, event.set)
        assert await cable.stays_until(event)
        loop.call_later(1.0, cable.cut)
        assert not await cable.stays_until(asyncio.Event())
        assert loop.time() == 6.0

    run_virtual(main)


def test_in_the_moment_of_a_cut_nothing_arrives():
    """Whichever of the two comes first."""

    async def main(loop):
        for early in (True, False):
            cable, event = Cable(), asyncio.Event()
            if early:
                loop.call_later(2.0, cable.cut)
            waits = [asyncio.ensure_future(cable.stays(2.0)), asyncio.ensure_future(cable.stays_until(event))]
            await asyncio.sleep(0)
            loop.call_later(2.0, event.set)
            if not early:
                loop.call_later(2.0, cable.cut)
            assert await asyncio.gather(*waits) == [False, False]

    run_virtual(main)


def test_nothing_is_left_of_a_wait():
    """Neither a timer nor a task nor a way, when it was over, cut or given up."""

    async def main(loop):
        cable = Cable()
        await cable.stays(1.0)
        given_up = [
            asyncio.ensure_future(cable.stays(500.0)),
            asyncio.ensure_future(cable.stays_until(asyncio.Event())),
        ]
        await asyncio.sleep(1)
        for one in given_up:
            one.cancel()
        await asyncio.gather(*given_up, return_exceptions=True)
        loop.call_later(1.0, cable.cut)
        await asyncio.gather(cable.stays(500.0), cable.stays_until(asyncio.Event()))
        await asyncio.sleep(1)
        assert not cable._under_way
        assert len(asyncio.all_tasks()) == 1
        assert [timer for timer in loop._scheduled if not timer.cancelled()] == []

    run_virtual(main)
