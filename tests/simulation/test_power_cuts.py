"""The plug is pulled at any moment, the clock comes back hours behind, and nothing that was acknowledged is lost."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from daemon.model import PunchState
from drivers.reader import Feedback
from sandbox.faults import Kind
from tests.simulation.ledger import Balance, balance
from tests.simulation.test_week import DAY, HOUR, live, manage, plan, until
from tests.simulation.virtual import VirtualTimeLoop, run_virtual
from tests.simulation.world import World, company


async def cuts(world: World, rng: random.Random, days: int, each_day: int) -> None:
    """Pull the plug at moments people tap, for seconds or hours; NTP answers minutes after the start, if at all."""
    moments = sorted(rng.uniform(6 * HOUR, 18 * HOUR) + day * DAY for day in range(days) for _ in range(each_day))
    for at in moments:
        await until(world, at)
        # Just after somebody's tap, so that commits, requests and lights are under way.
        world.tapped.clear()
        await world.tapped.wait()
        await asyncio.sleep(rng.choice([0, 0.01, 0.1, 0.2, 0.4, 2]))
        await world.power_cut(rng.choice([20, 300, 2 * HOUR]))
        await asyncio.sleep(rng.uniform(30, 900))
        world.clock.synchronise()


def days_with_cuts(folder: Path, seed: int, days: int, each_day: int) -> tuple[Balance, World]:
    """So many days of 25 people, with lost answers and so many power cuts a day; then a day to come to rest."""

    async def main(loop: VirtualTimeLoop) -> tuple[Balance, World]:
        world = World(loop, folder, seed, company(25))
        world.sandbox.faults.set(kind=Kind.DROP, processed=True, probability=0.05, method="POST")
        await world.start()
        rng = random.Random(seed)
        plans = [
            (person, [at for at in plan(person, number, rng) if at < days * DAY])
            for number, person in enumerate(world.people)
        ]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(cuts(world, rng, days, each_day))
            tasks.create_task(manage(world, days))
            for person, times in plans:
                tasks.create_task(live(world, person, times))
        world.sandbox.faults.clear()
        await until(world, (days + 1) * DAY)
        result = balance(world.notebook, world.sandbox.timesheet(), await world.punches())
        await world.stop()
        return result, world

    return run_virtual(main)


@pytest.mark.parametrize("seed", range(5))
def test_no_power_cut_loses_or_doubles_what_was_acknowledged(tmp_path, seed):
    """Four cuts a day among taps, requests and lost answers: the notebook and the store still agree."""
    result, world = days_with_cuts(tmp_path, seed, days=3, each_day=4)
    assert world.starts == 13
    assert result.faults == ()
    assert result.delivered > 100


def test_taps_before_the_clock_is_right_get_their_true_second(tmp_path):
    """After two hours off the clock is two hours behind: taps before NTP answers are delivered at their true second."""

    async def main(loop: VirtualTimeLoop) -> None:
        world = World(loop, tmp_path, 7, company(2))
        await world.start()
        anna, bram = world.people
        await until(world, 8 * HOUR)
        assert await world.tap(anna) is Feedback.CLOCKED_IN
        await until(world, 9 * HOUR)
        await world.power_cut(2 * HOUR)
        # Nothing vouches for the clock, and the service's own Date says that it is wrong.
        await until(world, 11.5 * HOUR)
        assert await world.tap(bram) in (Feedback.ACCEPTED, Feedback.CLOCKED_IN)
        await until(world, 12 * HOUR)
        assert await world.tap(anna) in (Feedback.ACCEPTED, Feedback.CLOCKED_OUT)
        await until(world, 12.5 * HOUR)
        waiting = [punch.state for punch in await world.punches() if punch.state is not PunchState.DELIVERED]
        assert waiting == [PunchState.HELD, PunchState.HELD]
        world.clock.synchronise()
        await until(world, 14 * HOUR)
        result = balance(world.notebook, world.sandbox.timesheet(), await world.punches())
        assert (result.delivered, result.faults) == (3, ())
        await world.stop()

    run_virtual(main)


def test_the_trust_of_a_boot_outlives_it(tmp_path):
    """A badge nobody owns yet is tapped before NTP answers; it is assigned two boots later, with its true second."""

    async def main(loop: VirtualTimeLoop) -> None:
        world = World(loop, tmp_path, 9, company(1))
        await world.start()
        await until(world, 8 * HOUR)
        await world.power_cut(2 * HOUR)
        assert world.kiosk is not None
        tapped = int(world.clock.true_now)
        assert await world.kiosk.reader.tap("04C0FFEE") is Feedback.UNKNOWN_BADGE
        await until(world, 11 * HOUR)
        world.clock.synchronise()
        await world.tap(world.people[0])  # who waits lets the service be asked for its time
        await until(world, 11.5 * HOUR)
        await world.power_cut(300)
        world.clock.synchronise()
        await world.tap(world.people[0])
        await until(world, 12 * HOUR)
        directory = world.kiosk.built.kiosk.directory
        assigned = await directory.assign("04C0FFEE", world.people[0].user_id, by="test")
        assert [(punch.second, punch.time_known) for punch in assigned.punches] == [(tapped, True)]
        assert assigned.punches[0].reason == "out_of_order"  # it lies before what was punched since
        await world.stop()

    run_virtual(main)
