"""The watches over the state directory: a disk that fills, a queue that waits, what is pruned, and when."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from daemon import keeping
from daemon.alarms import Alarms
from daemon.clock import Timekeeper
from daemon.config import AttendanceConfig, ReaderConfig
from daemon.events import Events
from daemon.intake.intake import Intake
from daemon.keeping import DiskWatch, QueueWatch, RetentionWatch, is_low
from daemon.model import TapResult
from daemon.queue.chain import adopt_step, is_adopting
from daemon.queue.database import Database
from daemon.queue.people import assign_badge, put_employee
from daemon.queue.records import put_setting, put_trust
from daemon.queue.retention import STEP_MAX, Pruned, prune
from drivers.reader import Tap
from tests.support.fake_clock import START, FakeClock
from tests.support.rows import Rows

DAY = 86_400
MB = 1024 * 1024


@dataclass
class Use:
    """A disk: `size` and `free` in bytes."""

    size: int
    free: int
    f_files: int = 100_000
    f_favail: int = 50_000
    f_frsize: int = 4096

    @property
    def f_blocks(self) -> int:
        return self.size // self.f_frsize

    @property
    def f_bavail(self) -> int:
        return self.free // self.f_frsize


@pytest.mark.parametrize(
    ("use", "low"),
    [
        (Use(32_000 * MB, 201 * MB), False),
        (Use(32_000 * MB, 199 * MB), True),
        (Use(64 * MB, 7 * MB), False),
        (Use(64 * MB, 6 * MB), True),
        (Use(32_000 * MB, 9000 * MB, f_favail=99), True),
        (Use(32_000 * MB, 9000 * MB, f_files=0, f_favail=0), False),
    ],
)
def test_how_little_is_low(use, low):
    """200 MB, or a tenth of a small disk, or hardly a file more; a disk that counts no files is not short of them."""
    assert is_low(use, was_low=False) is low


def test_a_disk_on_the_brink_does_not_flap():
    """What is low ends only with a quarter more room."""
    assert not is_low(Use(32_000 * MB, 210 * MB), was_low=False)
    assert is_low(Use(32_000 * MB, 210 * MB), was_low=True)
    assert not is_low(Use(32_000 * MB, 260 * MB), was_low=True)


async def test_a_tap_that_cannot_be_stored_has_the_disk_looked_at(tmp_path):
    """Not ten minutes later but at once; and the alarm ends when there is room again."""
    use, alarms = Use(32_000 * MB, 9000 * MB), Alarms(lambda: START)
    looks = asyncio.Queue[None]()

    def statvfs(path):
        assert path == tmp_path
        looks.put_nowait(None)
        return use

    watch = DiskWatch(tmp_path, alarms=alarms, statvfs=statvfs)
    alarms.on_change = watch.heard
    task = asyncio.create_task(watch.run())
    await looks.get()
    use.free = 12 * MB
    alarms.set("cannot_store", "no")
    await looks.get()
    assert [alarm.code for alarm in alarms.standing()] == ["cannot_store", "disk_low"]
    use.free = 9000 * MB
    watch.look()
    assert [alarm.code for alarm in alarms.standing()] == ["cannot_store"]
    task.cancel()


def test_a_directory_that_is_gone_is_no_full_disk(tmp_path):
    """The real call on a missing directory raises; that is logged, not an alarm, and not the end of the watch."""
    alarms = Alarms(lambda: START)
    DiskWatch(tmp_path / "gone", alarms=alarms).look()
    DiskWatch(tmp_path, alarms=alarms).look()
    assert [alarm.code for alarm in alarms.standing() if alarm.code != "disk_low"] == []


@pytest.fixture
async def database(tmp_path) -> AsyncIterator[Database]:
    db = await Database.open(tmp_path / "punchd.db")
    await db.write(lambda conn: Rows(conn).employee())
    yield db
    await db.close()


async def test_a_queue_that_waits_too_long_is_an_alarm(database):
    """From the hour on, only for what could be sent, only on a trusted clock; it ends when the queue does."""
    clock = FakeClock()
    timekeeper, alarms = Timekeeper(clock), Alarms(lambda: clock.wall)
    watch = QueueWatch(6, database=database, timekeeper=timekeeper, alarms=alarms)
    await watch.look()
    assert alarms.standing() == []
    await database.write(lambda conn: Rows(conn).punch(START))
    clock.advance(6 * 3600 - 1)
    await watch.look()
    assert alarms.standing() == []
    clock.advance(1)
    await watch.look()
    assert [alarm.code for alarm in alarms.standing()] == ["queue_old"]
    await database.write(
        lambda conn: conn.execute("UPDATE deliveries SET state = 'held', reason = 'waiting_for_clock_out'")
    )
    await watch.look()
    assert alarms.standing() == []
    years_ahead = FakeClock(wall=START + 1000 * DAY, synchronised=False)
    lost = QueueWatch(6, database=database, timekeeper=Timekeeper(years_ahead), alarms=alarms)
    await database.write(lambda conn: conn.execute("UPDATE deliveries SET state = 'pending'"))
    await lost.look()
    assert alarms.standing() == []


async def test_zero_hours_and_zero_days_mean_never(database):
    """Both watches end at once, and the supervisor lets them."""
    timekeeper = Timekeeper(FakeClock())
    await QueueWatch(0, database=database, timekeeper=timekeeper, alarms=Alarms(timekeeper.now)).run()
    await RetentionWatch(0, database=database, timekeeper=timekeeper).run()


STORE = """
    WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < {count})
    INSERT INTO {table} SELECT {values} FROM n"""


def store_many(conn, count: int) -> None:
    """So many punches, delivered long ago, 10 s apart."""
    first = START - 900 * DAY
    tables = {
        "taps": "i, 'front', '04A1', :at + i * 10, 1, 'b0', 1, NULL, 'accepted', NULL, 'old' || i, NULL, NULL",
        "punches": "i, 'old' || i, i, '7', 'clock_in', :at + i * 10, :at + i * 10, 0.5, 1, :at + i * 10, 'b0', 1, 1, "
        "'front', '04A1', 'tap', NULL, NULL",
        "deliveries": "i, '7', :at + i * 10, 'delivered', NULL, NULL, 1, NULL, 'r' || i, 'clock_in', :at + i * 10 + 60",
    }
    for table, values in tables.items():
        conn.execute(STORE.format(count=count, table=table, values=values), {"at": first})
    put_setting(conn, "chain.adopted", "0")  # as if an older version had stored them
    while is_adopting(conn):
        adopt_step(conn)


async def left(database: Database) -> int:
    """How many punches are stored."""
    return (await database.read(lambda conn: conn.execute("SELECT count(*) FROM punches").fetchone()))[0]


async def test_a_hundred_thousand_go_and_no_tap_waits_for_them(database, monkeypatch):
    """While 100,000 punches are pruned taps come: each waits for one small step at most, and all old ones go."""
    monkeypatch.setattr(keeping, "PRUNE_PAUSE_S", 0)  # nothing between the steps: the hardest case
    count, taps = 100_000, 20
    await database.write(lambda conn: (store_many(conn, count), assign_badge(conn, "04A1", "7", 0)))
    await database.write(lambda conn: conn.execute("PRAGMA user_version"))
    clock = FakeClock()
    intake = Intake(
        database,
        Timekeeper(clock),
        attendance=AttendanceConfig(repeat_tap_s=0),
        readers=(ReaderConfig("front", "simulated"),),
        alarms=Alarms(lambda: clock.wall),
        events=Events(lambda: clock.wall),
        chance=random.Random(1),
    )
    steps: list[Pruned] = []
    some = asyncio.Event()

    def watched(conn, before, place):
        steps.append(prune(conn, before, place))
        loop.call_soon_threadsafe(some.set)
        return steps[-1]

    loop = asyncio.get_running_loop()
    watch = RetentionWatch(400, database=database, timekeeper=Timekeeper(clock))
    pruning = asyncio.create_task(watch._all(watched))
    waited = []
    for _ in range(taps):
        some.clear()
        await some.wait()
        clock.advance(30)
        begun = len(steps)
        answer = await intake.accept(Tap("front", "04A1", clock.now()))
        assert answer.result is TapResult.ACCEPTED
        waited.append(len(steps) - begun)
    assert not pruning.done(), "the taps were taken in the middle of it"
    assert await pruning == count
    assert max(waited) <= 2  # the one under way, and the one that was already in line
    assert max(step.deleted for step in steps) <= STEP_MAX <= 50
    assert len(steps) >= count / STEP_MAX
    assert await left(database) == taps


async def test_nothing_is_pruned_on_a_clock_that_is_not_trusted(database):
    """A clock years ahead must not make everything old; once it is trusted the old goes."""
    clock = FakeClock(wall=START + 4000 * DAY, synchronised=False)
    await database.write(lambda conn: store_many(conn, 5))
    watch = RetentionWatch(400, database=database, timekeeper=Timekeeper(clock))
    assert await watch._all(prune) == 0
    assert await left(database) == 5
    clock.wall, clock.synchronised = START, True
    assert await watch._all(prune) == 5


async def test_nothing_goes_while_the_other_end_of_its_shift_may_come(database):
    """Told to keep a single day, it keeps what is not yet three days old: a shift may last 36 hours."""

    def store(conn) -> None:
        rows = Rows(conn)
        rows.employee("7", "Ann")
        rows.delivered(START - 4 * DAY)
        rows.delivered(START - 1.5 * DAY)

    await database.write(store)
    assert await RetentionWatch(1, database=database, timekeeper=Timekeeper(FakeClock()))._all(prune) == 1
    assert await left(database) == 1


async def test_the_watch_prunes_at_the_start(database):
    """punches and taps alike, without being asked; the first thing it does."""
    clock = FakeClock()
    timekeeper = Timekeeper(clock)
    timekeeper.evidence()
    await database.write(lambda conn: put_trust(conn, timekeeper.trust))
    await database.write(lambda conn: store_many(conn, 5))
    old = FakeClock(wall=START - 500 * DAY, boottime=1000 - 500 * DAY)

    def store_taps(conn):
        put_employee(conn, "8", "Bob", None)
        rows = Rows(conn)
        for result in (TapResult.REPEAT, TapResult.UNKNOWN_BADGE):
            rows.tap(START - 500 * DAY, result=result, boot=old.boot_id)

    await database.write(store_taps)
    task = asyncio.create_task(RetentionWatch(400, database=database, timekeeper=timekeeper).run())
    while await database.read(lambda conn: conn.execute("SELECT count(*) FROM taps").fetchone()) != (0,):
        assert not task.done()
    task.cancel()
    assert await left(database) == 0
