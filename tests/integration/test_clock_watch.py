"""The watch on the clock: how soon it notices what nobody told it, what it keeps, and which alarms stand meanwhile."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from daemon.alarms import Alarms
from daemon.clock import Timekeeper
from daemon.events import Events
from daemon.queue.database import Database
from daemon.queue.records import doubt_of, list_trusts
from daemon.watches import TRUSTED_LOOK_S, UNTRUSTED_ALARM_S, UNTRUSTED_LOOK_S, ClockWatch
from tests.simulation.virtual import VirtualClock, run_virtual


class Watched:
    """A clock watch on a real database in virtual time, with all that it says and does written down."""

    def __init__(self, loop, database, *, synchronised):
        self.clock = VirtualClock(loop, synchronised=synchronised)
        self.keeper = Timekeeper(self.clock)
        self.alarms = Alarms(self.keeper.now)
        self.database = database
        self.told: list[tuple[str, float]] = []
        self.settled: list[float] = []
        self.woken: list[float] = []
        self.full = False
        events = Events(self.keeper.now)
        events.on_event = lambda event: self.told.append((event.name, loop.time()))
        self.watch = ClockWatch(
            database=database,
            timekeeper=self.keeper,
            alarms=self.alarms,
            events=events,
            settle_times=self._settle,
            wake=lambda: self.woken.append(loop.time()),
        )
        self.keeper.on_change = self.watch.changed

    async def _settle(self):
        if self.full:
            raise sqlite3.OperationalError("database or disk is full")
        self.settled.append(self.clock.loop.time())

    @property
    def standing(self):
        return [alarm.code for alarm in self.alarms.standing()]

    def answered(self, off_s):
        """A verified answer whose Date is so far from the kiosk's clock."""
        seen = self.clock.now()
        self.keeper.note_server_date(float(int(seen.wall_s + off_s)), seen, seen)


def watched(tmp_path, main, *, synchronised):
    """Run `main(kiosk)` beside the watch."""

    async def run(loop):
        database = await Database.open(tmp_path / "punchd.db", inline=True)
        kiosk = Watched(loop, database, synchronised=synchronised)
        task = asyncio.ensure_future(kiosk.watch.run())
        try:
            await asyncio.sleep(1)
            await main(kiosk)
        finally:
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            await database.close()

    run_virtual(run)


def test_a_time_server_is_noticed_within_ten_seconds(tmp_path):
    """Nobody tells the service that the kernel's clock was set: held taps wait for the next look, and no longer."""

    async def main(kiosk):
        await asyncio.sleep(500)
        assert [name for name, _ in kiosk.told] == []
        kiosk.clock.synchronise()
        at = kiosk.clock.loop.time()
        await asyncio.sleep(UNTRUSTED_LOOK_S + 0.1)
        (told,) = kiosk.told
        assert told[0] == "clock.trusted"
        assert told[1] - at <= UNTRUSTED_LOOK_S
        # At the start, which knows nothing, and with the trust: its times are settled before delivery is woken.
        assert len(kiosk.settled) == len(kiosk.woken) == 2
        assert [trust.boot_id for trust in await kiosk.database.read(list_trusts)] == ["boot-0001"]

    watched(tmp_path, main, synchronised=False)


@pytest.mark.parametrize("step_s", [-3600.0, 3600.0])
def test_a_step_while_trusted_is_noticed_within_five_minutes(tmp_path, step_s):
    """A time server moved the clock: the boot's trust is another one, and it is kept."""

    async def main(kiosk):
        (before,) = await kiosk.database.read(list_trusts)
        await asyncio.sleep(2000)
        kiosk.clock.step(step_s)
        at = kiosk.clock.loop.time()
        await asyncio.sleep(TRUSTED_LOOK_S + 0.1)
        (after,) = await kiosk.database.read(list_trusts)
        assert after.offset_s - before.offset_s == pytest.approx(step_s)
        assert len(kiosk.woken) == 2
        assert kiosk.woken[-1] - at <= TRUSTED_LOOK_S

    watched(tmp_path, main, synchronised=True)


def test_what_the_timekeeper_learns_is_told_at_once(tmp_path):
    """A service's Date vouches for the clock between two looks."""

    async def main(kiosk):
        await asyncio.sleep(93.7)
        at = kiosk.clock.loop.time()
        kiosk.answered(0.0)
        await asyncio.sleep(0.01)
        assert kiosk.told == [("clock.trusted", at)]

    watched(tmp_path, main, synchronised=False)


def test_an_untrusted_clock_is_an_alarm_after_a_minute(tmp_path):
    """Not at an ordinary start; it ends with the trust."""

    async def main(kiosk):
        await asyncio.sleep(UNTRUSTED_ALARM_S - 5)
        assert kiosk.standing == []
        await asyncio.sleep(UNTRUSTED_LOOK_S + 5)
        assert kiosk.standing == ["clock_untrusted"]
        kiosk.clock.synchronise()
        await asyncio.sleep(UNTRUSTED_LOOK_S + 0.1)
        assert kiosk.standing == []

    watched(tmp_path, main, synchronised=False)


def test_a_disputed_clock_is_an_alarm_and_is_kept(tmp_path):
    """The service's Date is far from a synchronised clock: alarm, event, and a restart would know of it; then peace."""

    async def main(kiosk):
        kiosk.answered(120.0)
        await asyncio.sleep(0.01)
        assert kiosk.standing == ["clock_doubted"]
        assert [name for name, _ in kiosk.told] == ["clock.trusted", "clock.doubted"]
        kept = await kiosk.database.read(lambda conn: doubt_of(conn, "boot-0001"))
        assert kept is not None
        assert kept.off_s == pytest.approx(120, abs=1)
        kiosk.answered(0.0)
        await asyncio.sleep(0.01)
        assert kiosk.standing == []
        assert await kiosk.database.read(lambda conn: doubt_of(conn, "boot-0001")) is None

    watched(tmp_path, main, synchronised=True)


@pytest.mark.parametrize(("synchronised", "every_s"), [(False, UNTRUSTED_LOOK_S), (True, TRUSTED_LOOK_S)])
def test_looks_write_nothing_and_keep_their_distance(tmp_path, synchronised, every_s):
    """A day without news: as many looks as the distances hold, not one write, nobody woken."""

    async def main(kiosk):
        for _ in range(5):  # each of which is looked into, and begins the distance anew
            kiosk.watch.changed()
            await asyncio.sleep(0.5)
        changes = await kiosk.database.read(lambda conn: conn.total_changes)
        read = kiosk.clock.now
        looks = []
        kiosk.clock.now = lambda: looks.append(0) or read()  # a look reads the clocks twice
        before = len(kiosk.woken), len(kiosk.settled)
        await asyncio.sleep(86_400)
        assert (len(kiosk.woken), len(kiosk.settled)) == before
        assert len(looks) == pytest.approx(2 * 86_400 / every_s, rel=0.01)
        assert await kiosk.database.read(lambda conn: conn.total_changes) == changes

    watched(tmp_path, main, synchronised=synchronised)


def test_news_that_could_not_be_written_is_news_again(tmp_path):
    """The disk is full while the clock becomes trusted: the watch says so, and its next run tells and settles all."""

    async def main(loop):
        database = await Database.open(tmp_path / "punchd.db", inline=True)
        kiosk = Watched(loop, database, synchronised=True)
        kiosk.full = True
        for _ in range(2):
            with pytest.raises(sqlite3.OperationalError):
                await asyncio.wait_for(kiosk.watch.run(), 1)
        assert (kiosk.told, kiosk.woken) == ([], [])
        kiosk.full = False
        watching = asyncio.ensure_future(kiosk.watch.run())
        await asyncio.sleep(1)
        assert [name for name, _ in kiosk.told] == ["clock.trusted"]
        assert len(kiosk.settled) == len(kiosk.woken) == 1
        watching.cancel()
        await asyncio.wait([watching])
        await database.close()

    run_virtual(main)
