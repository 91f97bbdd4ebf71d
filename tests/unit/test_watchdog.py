"""The watchdog's ping: what it vouches for, and that a part that hangs withholds it. Hours pass in virtual time."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from daemon.alarms import Alarms
from daemon.config import ReaderConfig
from daemon.events import Events
from daemon.intake.pulse import SLACK_S, Pulse
from daemon.intake.readers import Limits, Readers
from daemon.model import TapAnswer, TapResult
from daemon.notify import Notifier
from daemon.queue.database import Database
from daemon.watches import Watchdog
from drivers.reader import Evidence, ReaderUnavailable, Tap
from drivers.simulated import SimulatedReader
from tests.simulation.virtual import run_virtual

PERIOD_S = 180.0
READERS = (ReaderConfig("front", "simulated"), ReaderConfig("back", "simulated"))


class Listening(Notifier):
    """systemd's ear: when it heard a ping, in the loop's seconds; and how it would have judged the silences."""

    def __init__(self, watchdog_s: float | None = PERIOD_S) -> None:
        super().__init__(None, watchdog_s=watchdog_s)
        self.pings: list[float] = []

    def watchdog(self) -> None:
        self.pings.append(asyncio.get_running_loop().time())

    def patience_lasts(self) -> bool:
        """Whether systemd would still let it run now."""
        edges = [0.0, *self.pings, asyncio.get_running_loop().time()]
        return all(later - earlier <= PERIOD_S for earlier, later in pairwise(edges))


class Answering:
    """An intake that answers, until it hangs."""

    def __init__(self) -> None:
        self.hangs = False

    async def accept(self, tap: Tap) -> TapAnswer:
        if self.hangs:
            await asyncio.get_running_loop().create_future()
        return TapAnswer(TapResult.UNKNOWN_BADGE, "unknown_badge")


class Awkward(SimulatedReader):
    """A reader whose opening does as it is told."""

    opening: Callable[[], Awaitable[None]] | None = None

    async def open(self) -> None:
        if self.opening is not None:
            await self.opening()
        await super().open()


@dataclass
class Stage:
    database: Database
    readers: Readers
    by_name: dict[str, Awkward]
    intake: Answering
    ear: Listening
    reading: asyncio.Task[None]


@asynccontextmanager
async def stage(folder: Path):
    """Two readers, a real database, and the watchdog over them."""
    database = await Database.open(folder / "punchd.db", inline=True)
    intake, ear, by_name = Answering(), Listening(), {}

    def make(config: ReaderConfig) -> Awkward:
        by_name[config.name] = Awkward(config.name, lambda: Evidence(0, 0, "boot", True))
        return by_name[config.name]

    readers = Readers(
        READERS,
        intake,
        make_reader=make,
        alarms=Alarms(lambda: 0.0),
        events=Events(lambda: 0.0),
        now=lambda: 0.0,
        rng=random.Random(1),
    )
    reading = asyncio.create_task(readers.run())
    await asyncio.sleep(1)
    watching = asyncio.create_task(Watchdog(notifier=ear, database=database, stuck=readers.stuck).run())
    try:
        yield Stage(database, readers, by_name, intake, ear, reading)
    finally:
        for task in (watching, reading):
            task.cancel()
        await asyncio.wait([watching, reading])
        await database.close()


@asynccontextmanager
async def hung(database: Database):
    """Whatever is asked of the database meanwhile is answered afterwards."""
    over, hop = asyncio.Event(), database._runner.hop

    async def late(fn: Any) -> Any:
        await over.wait()
        return await hop(fn)

    database._runner.hop = late  # type: ignore[method-assign]
    try:
        yield
    finally:
        database._runner.hop = hop  # type: ignore[method-assign]
        over.set()


def in_virtual_time(test):
    def run(tmp_path) -> None:
        async def main(loop) -> None:
            async with stage(tmp_path) as on:
                await test(on)

        run_virtual(main)

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@in_virtual_time
async def test_a_quiet_day_is_life(on: Stage):
    """Nobody taps for a day: systemd hears a ping at least twice as often as it must."""
    await asyncio.sleep(86400)
    gaps = [later - earlier for earlier, later in pairwise(on.ear.pings)]
    assert max(gaps) <= PERIOD_S / 2


@in_virtual_time
async def test_a_lost_reader_is_life(on: Stage):
    """A reader that is unplugged for an hour is tried again and again; punchd is not restarted for it."""
    on.by_name["front"].unplug()
    await asyncio.sleep(3600)
    assert on.ear.patience_lasts()
    assert on.readers.stuck() == []


@in_virtual_time
async def test_a_driver_that_always_fails_is_life(on: Stage):
    """A driver's bug costs its own reader; a restart would take the others' taps away as well."""

    async def fail() -> None:
        raise ValueError("a bug")

    on.by_name["front"].opening = fail
    on.by_name["front"].unplug()
    await asyncio.sleep(7200)
    assert on.ear.patience_lasts()


@in_virtual_time
async def test_a_device_that_hangs_while_it_is_opened_is_life(on: Stage):
    """Opening has a limit of its own and is tried again after it."""

    async def hang() -> None:
        await asyncio.get_running_loop().create_future()

    on.by_name["front"].opening = hang
    on.by_name["front"].unplug()
    await asyncio.sleep(7200)
    assert on.ear.patience_lasts()


@in_virtual_time
async def test_an_opening_that_cannot_even_be_given_up_withholds_the_ping(on: Stage):
    """A task that hangs beyond its own limit is stuck, and named."""
    never = asyncio.get_running_loop().create_future()

    async def cling() -> None:
        while not never.done():
            try:
                await asyncio.shield(never)
            except asyncio.CancelledError:
                continue

    on.by_name["front"].opening = cling
    on.by_name["front"].unplug()
    try:
        await asyncio.sleep(3600)
        assert on.readers.stuck() == ["front"]
        assert not on.ear.patience_lasts()
    finally:
        never.set_result(None)
        await asyncio.sleep(0)


@in_virtual_time
async def test_an_intake_that_hangs_withholds_the_ping(on: Stage):
    """A tap that gets no answer within a minute means that nobody will get one: systemd hears no more."""
    on.intake.hangs = True
    await on.by_name["back"].present("04AABBCC")
    await asyncio.sleep(Limits().answer_max_s + SLACK_S + 1)
    assert on.readers.stuck() == ["back"]
    heard = len(on.ear.pings)
    await asyncio.sleep(3600)
    assert len(on.ear.pings) == heard
    on.reading.cancel()  # waits for the answer, as it must: nobody's tap is dropped
    for task in asyncio.all_tasks():
        if "accept" in repr(task.get_coro()):
            task.cancel()


@in_virtual_time
async def test_readers_that_do_not_run_withhold_the_ping(on: Stage):
    """Without the tasks that take taps there is nothing to vouch for."""
    on.reading.cancel()
    await asyncio.wait([on.reading])
    await asyncio.sleep(3600)
    assert on.readers.stuck() == ["front", "back"]
    assert not on.ear.patience_lasts()


@in_virtual_time
async def test_a_database_that_does_not_answer_withholds_the_ping(on: Stage):
    """A disk that hangs: the loop runs, the readers live, and yet no tap could be kept."""
    async with hung(on.database):  # as a transaction that never ends
        await asyncio.sleep(3600)
        assert not on.ear.patience_lasts()


@in_virtual_time
async def test_a_database_that_was_slow_once_is_forgiven(on: Stage):
    """One late answer is silence for one look, not a restart."""
    for _ in range(20):
        async with hung(on.database):
            await asyncio.sleep(PERIOD_S / 4 + 5)
        await asyncio.sleep(PERIOD_S)
    assert on.ear.patience_lasts()


@in_virtual_time
async def test_a_database_that_cannot_be_read_withholds_the_ping(on: Stage):
    """An error is no sign of life: opening the file anew may mend it."""

    async def fail(_: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    on.database.read = fail  # type: ignore[method-assign]
    await asyncio.sleep(3600)
    assert not on.ear.patience_lasts()


def test_a_loop_that_stands_still_cannot_ping(tmp_path):
    """The ping comes from the event loop itself: what blocks the loop blocks the ping."""

    async def main(loop) -> list[float]:
        async with stage(tmp_path) as on:
            await asyncio.sleep(600)
            heard = list(on.ear.pings)
            loop._jump(3600.0)  # an hour in which nothing on the loop could run
            assert on.ear.pings == heard
            assert not on.ear.patience_lasts()
            return heard

    assert run_virtual(main)


def test_without_a_watchdog_nothing_is_looked_at(tmp_path):
    """Where systemd does not ask, the watch ends by itself."""

    async def main(loop) -> None:
        database = await Database.open(tmp_path / "punchd.db", inline=True)
        await Watchdog(notifier=Listening(None), database=database, stuck=list).run()
        await database.close()

    run_virtual(main)


async def test_a_pulse():
    """A task lives while it runs and no step of it is overdue."""
    pulse = Pulse()
    assert not pulse.alive
    with pulse.running():
        assert pulse.alive
        with pulse.within(-SLACK_S - 1):
            assert not pulse.alive
        assert pulse.alive
        with pytest.raises(ReaderUnavailable), pulse.within(-SLACK_S - 1):
            raise ReaderUnavailable
        assert pulse.alive
    assert not pulse.alive
