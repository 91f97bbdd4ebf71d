"""A week of a company of 25, with what goes wrong in a week, in seconds; and the same week again."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from sandbox.connecteam.behaviour import Behaviour, SecondClockIn
from sandbox.faults import Kind
from sandbox.handle import Row
from tests.simulation.ledger import Balance, balance
from tests.simulation.virtual import VirtualTimeLoop, run_virtual
from tests.simulation.world import Person, World, company

HOUR, DAY = 3600, 86400
PEOPLE = 25


@dataclass(frozen=True)
class Week:
    """What is left of a week: the balance, the timesheet, and every event in order."""

    balance: Balance
    timesheet: list[Row]
    events: str


def plan(person: Person, number: int, rng: random.Random) -> Iterator[float]:
    """When somebody taps, in seconds from Monday 00:00: shifts, lunches, nights, double taps, forgotten clock-outs."""
    night = number % 8 == 7
    for day in range(7):
        if rng.random() < 0.25:
            continue
        start = day * DAY + (22 * HOUR if night else 6.5 * HOUR) + rng.uniform(0, 2.5 * HOUR)
        times = [start]
        if rng.random() < 0.6:
            lunch = start + rng.uniform(3, 4.5) * HOUR
            times += [lunch, lunch + rng.uniform(20, 45) * 60]
        if rng.random() > 0.05:
            times.append(start + rng.uniform(7, 9) * HOUR)
        for at in times:
            yield at
            if rng.random() < 0.05:
                yield at + rng.uniform(1, 50)  # an impatient second tap


async def live(world: World, person: Person, times: list[float]) -> None:
    """Tap whenever it is time."""
    for at in times:
        await until(world, at)
        await tap_until_seen(world, person)


async def tap_until_seen(world: World, person: Person) -> None:
    """Tap; where the reader stays dark, try again a quarter of an hour later."""
    if await world.tap(person) is None:
        await asyncio.sleep(15 * 60)
        await tap_until_seen(world, person)


async def trouble(world: World) -> None:
    """Lost answers all week; Tuesday six hours without network; Thursday evening fourteen, beyond the look-back."""
    faults, cable = world.sandbox.faults, world.sandbox.cable
    faults.set(kind=Kind.DROP, processed=True, probability=0.03, method="POST")
    faults.set(kind=Kind.STATUS, status=503, probability=0.02)
    faults.set(kind=Kind.HANG, processed=True, probability=0.01, method="POST")
    await until(world, 1 * DAY + 10 * HOUR)
    cable.cut()
    await until(world, 1 * DAY + 16 * HOUR)
    cable.restore()
    await until(world, 3 * DAY + 20 * HOUR)
    cable.refuse()
    await until(world, 4 * DAY + 10 * HOUR)
    cable.restore()
    await until(world, 7 * DAY)
    faults.clear()


async def manage(world: World, days: int) -> None:
    """Each morning at ten a manager ends the shifts that somebody forgot, eight hours after they began."""
    for day in range(1, days + 1):
        await until(world, day * DAY + 10 * HOUR)
        for row in world.sandbox.timesheet():
            if row.end is None and row.start < world.clock.true_now - 16 * HOUR:
                world.sandbox.manager.edit_shift(row.id, end=row.start + 8 * HOUR)


async def until(world: World, at: float) -> None:
    """Sleep until so many seconds after Monday 00:00."""
    await asyncio.sleep(max(0.0, at - world.loop.time()))


def a_week(folder: Path, seed: int, **behaviour: object) -> Week:
    """Live through the week, and wait until Tuesday for what is still on its way."""

    async def main(loop: VirtualTimeLoop) -> Week:
        world = World(loop, folder, seed, company(PEOPLE))
        world.sandbox.company.behaviour = Behaviour(**behaviour)
        await world.start()
        rng = random.Random(seed)
        plans = [(person, list(plan(person, number, rng))) for number, person in enumerate(world.people)]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(trouble(world))
            tasks.create_task(manage(world, 7))
            for person, times in plans:
                tasks.create_task(live(world, person, times))
        await until(world, 8 * DAY)
        result = balance(world.notebook, world.sandbox.timesheet(), await world.punches())
        await world.stop()
        return Week(result, world.sandbox.timesheet(), "\n".join(world.events))

    return run_virtual(main)


@cache
def lived(seed: int, **behaviour: object) -> Week:
    """A week that several tests look at."""
    with tempfile.TemporaryDirectory(prefix="week") as name:
        return a_week(Path(name), seed, **behaviour)


@pytest.mark.parametrize(
    ("seed", "behaviour"),
    [
        (1, {}),
        (2, {"second_clock_in": SecondClockIn.SECOND_SHIFT, "visible_after_s": 4.0}),
        (3, {"list_in_utc": True, "list_by_touch": True, "open_end_as_null": True}),
    ],
    ids=["as documented", "doubles what is sent twice", "lists by other days"],
)
def test_every_tap_of_a_week_has_one_effect_or_a_reason(seed, behaviour):
    """The tapper's notebook and the service's store agree after outages, lost answers and forgotten clock-outs."""
    week = lived(seed, **behaviour)
    assert week.balance.faults == ()
    assert week.balance.delivered > 350


def test_a_seed_is_a_history(tmp_path):
    """One seed twice gives the same events to the byte, and the same timesheet; another seed gives others."""
    one, again, other = lived(1), a_week(tmp_path / "again", 1), a_week(tmp_path / "other", 4)
    assert one.events == again.events
    assert one.timesheet == again.timesheet
    assert one.events != other.events
