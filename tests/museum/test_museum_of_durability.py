"""What others acknowledged and then lost."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from daemon.keeping import RetentionWatch
from daemon.queue.opening import open_file
from daemon.timesheets.connecteam.timesheet import ConnecteamTimesheet
from sandbox.connecteam.limits import SMALL_BUSINESS
from sandbox.faults import Kind
from sandbox.handle import Sandbox
from tests.simulation.world import WatchedReader
from tests.support.door import QUICK, Control, door
from tests.support.museum import HOUR, told_in_town
from tests.support.nursery import Nursery
from tests.support.power_cut import Disk, prefix
from tests.support.punchd_process import Kiosk
from tests.support.sandbox_process import sandbox_thread
from tests.support.town import Town

PEOPLE = {"7": "04A2B3C407", "8": "04A2B3C408", "9": "04A2B3C409"}


# --- a power cut while a real punchd runs


@dataclass(frozen=True)
class Evening:
    """Three taps on a punchd that was traced from its first start on. `ids`: their punches, as they were answered."""

    folder: Path
    state: Path
    trace: Path
    ids: list[str]

    def cuts(self, folder: Path) -> Iterator[tuple[list[str], Path]]:
        """The power goes as each answer leaves: whose taps were acknowledged until then, and what the disk holds."""
        disk = Disk(self.state)
        told: list[str] = []
        for sent in disk.go_through(self.trace):
            new = [one for one in self.ids if one not in told and one.encode() in sent]
            if new:
                told += new
                disk.image(folder / f"cut-{len(told)}")
                yield list(told), folder / f"cut-{len(told)}"


@pytest.fixture(scope="module")
def evening(may_trace: None) -> Iterator[Evening]:
    """A kiosk's first evening, with delivery paused: its requests would sync what a tap must sync by itself."""
    with tempfile.TemporaryDirectory(prefix="cut") as name:
        folder = Path(name)
        kiosk, trace, ids = Kiosk(folder), folder / "trace", list[str]()
        with kiosk.running(prefix=prefix(trace)) as punchd:
            punchd.heard("READY=1")
            with Control(kiosk) as control:
                control.post("sync/pause")
                for user_id, badge in PEOPLE.items():
                    control.post("employees", user_id=user_id, name=f"Person {user_id}", badge=badge)
                ids += [control.tap(badge)["punch"]["id"] for badge in PEOPLE.values()]
            assert punchd.stopped() == 0
        yield Evening(folder, kiosk.state, trace, ids)


def punches_in(state: Path) -> list[str]:
    """The ids of the punches a disk holds, oldest first; the database opens as at any start."""
    conn, _ = open_file(state / "punchd.db")
    with closing(conn):
        assert conn.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [punch_id for (punch_id,) in conn.execute("SELECT id FROM punches ORDER BY seq")]


def test_a_power_cut_after_the_answer_loses_nothing(evening: Evening, tmp_path: Path) -> None:
    """fluent-bit #6995, #10952; nats-server #7564; opentelemetry-collector-contrib #20266: what had been acknowledged
    was gone after a kill or a power cut.

    The power goes as the last answer leaves; a punchd that starts on what the disk holds delivers all three punches.
    """
    *_, (told, image) = evening.cuts(tmp_path)
    assert told == evening.ids
    sandbox = Sandbox()
    for user_id in PEOPLE:
        sandbox.company.add_user(user_id, f"Person {user_id}")
    nursery = Nursery()
    with tempfile.TemporaryDirectory(prefix="cut") as name, sandbox_thread(sandbox) as server:
        kiosk = door(Path(name) / "kiosk", server.url, more=QUICK)
        shutil.copytree(image, kiosk.state)
        punchd = nursery.start(kiosk.config, Path(name) / "log")
        with Control(kiosk) as control:
            control.post("sync/resume")
            control.settled()
        assert punchd.stopped() == 0
    nursery.close()
    assert [row.user_id for row in sandbox.timesheet()] == list(PEOPLE)


def test_every_single_answer_is_already_on_the_disk(evening: Evening, tmp_path: Path) -> None:
    """Vector, NATS JetStream, OTel file_storage, beanstalkd: synced by a timer, from 50 ms to 2 minutes,
    or not at all.

    Whichever answer is the last before the power goes, its punch is on the disk and so are those before it.
    """
    cuts = list(evening.cuts(tmp_path))
    assert [len(told) for told, _ in cuts] == [1, 2, 3]
    for told, image in cuts:
        assert punches_in(image) == told


def test_the_first_tap_of_a_new_kiosk_survives_with_its_file(evening: Evening, tmp_path: Path) -> None:
    """ras: neither the file of a punch nor its directory was ever synced.

    A new database has its name for good before anything is put in it; a power cut after the first tap leaves both.
    """
    disk = Disk(evening.state)
    for _ in disk.go_through(evening.trace):
        if {"punchd.db-journal", "punchd.db-wal"} & set(disk.names):
            assert "punchd.db" in disk.kept_names
    told, image = next(evening.cuts(tmp_path))
    assert (image / "punchd.db").exists()
    assert punches_in(image) == told


def test_synced_by_our_own_word_and_not_by_the_build_s(evening: Evening, tmp_path: Path) -> None:
    """litequeue, persist-queue: the one sets synchronous = NORMAL, the other never sets it; acknowledged items vanish
    with the power.

    Each answer had a sync of the log between the writing of its punch and its leaving; the setting is FULL on every
    connection we open.
    """
    disk, synced, told = Disk(evening.state), 0, 0
    for sent in disk.go_through(evening.trace):
        log = disk.names.get("punchd.db-wal")
        if any(one.encode() in sent for one in evening.ids):
            assert log is not None
            assert log.kept == bytes(log.live)
            assert len(log.kept) > synced
            synced, told = len(log.kept), told + 1
    assert told == 3
    conn, _ = open_file(tmp_path / "punchd.db")
    with closing(conn):
        assert conn.execute("PRAGMA synchronous").fetchone() == (2,)


def test_the_light_comes_after_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mosquitto: no tie between the acknowledgement and the disk (as its author says in #1855).

    At the very moment a reader lights up, another program finds the punch in the database.
    """
    seen: list[int] = []
    show = WatchedReader.feedback

    async def look(self, tap, feedback) -> None:
        with closing(sqlite3.connect(f"file:{path[0]}?mode=ro", uri=True)) as conn:
            seen.append(conn.execute("SELECT count(*) FROM punches").fetchone()[0])
        await show(self, tap, feedback)

    monkeypatch.setattr(WatchedReader, "feedback", look)
    path: list[Path] = []

    @told_in_town()
    async def story(town: Town) -> None:
        kiosk = await town.kiosk()
        path.append(kiosk.state_dir / "punchd.db")
        assert await kiosk.tap("Anna", "Mon 08:00") == "clocked_in"
        assert await kiosk.tap("Bob", "Mon 08:01") == "clocked_in"

    story(tmp_path)
    assert seen == [1, 2]


# --- the disk, and what is in it


@told_in_town()
async def test_a_full_disk_is_shown_and_not_beeped_away(town: Town) -> None:
    """ras: the function that writes a punch swallows every exception, so that a full or read-only disk still shows
    REGISTERED and beeps.

    On a full disk the person sees a refusal and an alarm stands; with room again they tap anew, and that is on the
    timesheet.
    """
    kiosk = await town.kiosk()
    database, alarms = kiosk.built.kiosk.database, kiosk.built.kiosk.alarms
    await kiosk.tap("Carl", "Mon 07:00")
    await town.until("Mon 07:30")
    kiosk.offline()
    (size,) = await database.read(lambda conn: conn.execute("PRAGMA page_count").fetchone())
    await database.read(lambda conn: conn.execute(f"PRAGMA max_page_count = {size}").fetchall())
    shown = [await kiosk.tap(("Anna", "Bob")[n % 2], f"Mon 08:{n:02d}") for n in range(0, 60, 2)]
    assert "refused" in shown
    assert "cannot_store" in [alarm.code for alarm in alarms.standing()]
    kept = await kiosk.punches()
    assert len(kept) == 1 + len([one for one in shown if one.startswith("clocked")])
    await database.read(lambda conn: conn.execute("PRAGMA max_page_count = 1000000").fetchall())
    kiosk.online()
    assert (await kiosk.tap("Carl", "Mon 16:00")) == "clocked_out"
    assert "cannot_store" not in [alarm.code for alarm in alarms.standing()]
    await asyncio.sleep(HOUR)
    assert town.sheet("Carl") == ["Carl Mon 07:00:00 - Mon 16:00:00"]


@told_in_town()
async def test_nothing_unsent_ever_grows_too_old(town: Town) -> None:
    """ras: punches that could not be sent for two weeks are deleted.

    Five weeks without a network, with delivered punches pruned after a week: every shift arrives, to the second.
    """
    kiosk = await town.kiosk(connecteam={"backoff_max_s": 3600.0})
    part = kiosk.built.kiosk
    pruning = asyncio.create_task(RetentionWatch(7, database=part.database, timekeeper=part.timekeeper).run())
    await kiosk.tap("Bob", "Mon 08:00")
    await kiosk.tap("Bob", "Mon 16:00")
    await town.until("Mon 17:00")
    kiosk.offline()
    for week in ("", "2", "3", "4", "5"):
        await kiosk.tap("Anna", f"Tue{week} 08:00")
        await kiosk.tap("Anna", f"Tue{week} 16:00")
    await town.until("Mon6 08:00")
    assert [punch.name for punch in await kiosk.punches()] == ["Anna"] * 10
    kiosk.online()
    await asyncio.sleep(HOUR)
    weeks = ("Tue", "Tue2", "Tue3", "Tue4", "Tue5")
    assert town.sheet("Anna") == [f"Anna {day} 08:00:00 - {day} 16:00:00" for day in weeks]
    assert not pruning.done()
    pruning.cancel()


@told_in_town(plan=SMALL_BUSINESS)
async def test_what_needs_a_person_is_never_swept_away(town: Town) -> None:
    """pi-time: a fleet tool deletes every refused punch that is older than one second.

    A refused punch outlives its employee's removal, pruning and a restart; when the refusal's cause is mended days
    later it is delivered.
    """
    kiosk = await town.kiosk()
    town.manager.unassign(town.ids["Anna"])
    await kiosk.tap("Anna", "Mon 08:00")
    await kiosk.tap("Anna", "Mon 16:00")
    await town.until("Mon 17:00")
    assert (await kiosk.stuck())[0] == "Anna Mon 08:00:00 clock_in: review not_assigned"
    await kiosk.built.kiosk.directory.remove(town.ids["Anna"], by="test")
    part = kiosk.built.kiosk
    pruning = asyncio.create_task(RetentionWatch(1, database=part.database, timekeeper=part.timekeeper).run())
    await town.until("Fri 08:00")
    assert not pruning.done()
    pruning.cancel()
    await kiosk.crash()
    await kiosk.start()
    assert len(await kiosk.stuck()) == 2
    town.manager.assign(town.ids["Anna"])
    await asyncio.sleep(8 * HOUR)
    assert town.sheet() == ["Anna Mon 08:00:00 - Mon 16:00:00"]


# --- between the tap and the service


@told_in_town()
async def test_stored_first_sent_afterwards(town: Town) -> None:
    """pi-time: a tap goes to the network first and is stored only when that fails, so that a power cut during the
    request's minute loses it.

    The service does not answer; the person is shown their clock-in at once, the power goes during the request, and the
    punch is there.
    """
    kiosk = await town.kiosk()
    await town.until("Mon 07:59")
    hangs = town.sandbox.faults.set(kind=Kind.HANG, processed=False)
    assert await kiosk.tap("Anna", "Mon 08:00") == "clocked_in"
    assert town.now - town.unix("Mon 08:00") < 1
    await asyncio.sleep(5)
    await kiosk.crash()
    await kiosk.start()
    town.sandbox.faults.clear(hangs.id)
    await asyncio.sleep(HOUR)
    assert town.sheet() == ["Anna Mon 08:00:00 - open"]


async def _fails(self, step) -> None:
    raise sqlite3.OperationalError("disk I/O error")


@told_in_town()
async def test_taps_while_the_sending_part_is_down(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """ras: taps while the process that sends them restarts vanish, because its messages have no replay.

    Delivery fails and is started again for an hour; who taps meanwhile sees green, and all of it arrives.
    """
    kiosk = await town.kiosk()
    await town.until("Mon 07:00")
    with monkeypatch.context() as broken:
        broken.setattr(ConnecteamTimesheet, "carry_out", _fails)
        assert await kiosk.tap("Anna", "Mon 07:30") == "clocked_in"
        assert await kiosk.tap("Bob", "Mon 07:45") == "clocked_in"
        assert "delivery_failing" in [alarm.code for alarm in kiosk.built.kiosk.alarms.standing()]
    await town.until("Mon 08:30")
    assert town.sheet() == ["Anna Mon 07:30:00 - open", "Bob Mon 07:45:00 - open"]
    assert await kiosk.stuck() == []


@told_in_town()
async def test_a_task_is_not_done_because_it_was_begun(town: Town) -> None:
    """huey #253, #559: a task's row is deleted before it runs, so that a crash in between loses it.

    The kiosk dies after its request was journalled and before it arrived: after the restart it is found missing, and
    sent.
    """
    kiosk = await town.kiosk()
    await town.until("Mon 07:59")
    town.sandbox.faults.set(kind=Kind.HANG, processed=False, path="*/clock-in", count=1)
    await kiosk.tap("Anna", "Mon 08:00")
    await asyncio.sleep(2)
    assert [punch.state.value for punch in await kiosk.punches()] == ["in_flight"]
    await kiosk.crash()
    await kiosk.start()
    await asyncio.sleep(HOUR)
    assert town.sheet() == ["Anna Mon 08:00:00 - open"]
    assert await kiosk.stuck() == []


@told_in_town()
async def test_what_was_planned_for_later_outlives_a_restart(town: Town) -> None:
    """huey #915: tasks scheduled for later are lost when the consumer restarts.

    A clock-in that is held until its clock-out, and a clock-out that waits for another kiosk's clock-in, are still
    waited for after two crashes, and go when their time comes.
    """
    kiosk = await town.kiosk(readers={"in": "clock_in", "out": "clock_out"})
    kiosk.offline()
    await kiosk.tap("Anna", "Mon 02:00", reader="in")
    await town.until("Mon 15:00")
    kiosk.online()
    await kiosk.tap("Bob", "Mon 15:30", reader="out")
    for when in ("Mon 15:40", "Mon 15:45"):
        await town.until(when)
        await kiosk.crash()
        await kiosk.start()
    assert await kiosk.stuck() == [
        "Anna Mon 02:00:00 clock_in: held waiting_for_clock_out",
        "Bob Mon 15:30:00 clock_out: held waiting_for_clock_in",
    ]
    town.manager.add_shift(town.ids["Bob"], town.unix("Mon 08:00"), source="mobile")
    await kiosk.tap("Anna", "Mon 15:50", reader="out")
    await asyncio.sleep(3 * HOUR)
    assert town.sheet() == ["Anna Mon 02:00:00 - Mon 15:50:00", "Bob Mon 08:00:00* - Mon 15:30:00"]


@told_in_town()
async def test_what_was_out_when_the_power_went_needs_no_recovery_task(town: Town) -> None:
    """procrastinate: jobs of a killed worker stay "doing" until a recovery task, which one writes oneself, frees them.

    A request for three people's completed shifts is out when the kiosk dies: nobody does anything, and all three
    stand there once.
    """
    kiosk = await town.kiosk()
    kiosk.offline()
    for hour in ("08", "09"):
        for minute, name in enumerate(("Anna", "Bob", "Carl")):
            await kiosk.tap(name, f"Mon {hour}:{minute:02d}")
    await town.until("Tue 12:00")
    town.sandbox.faults.set(kind=Kind.HANG, processed=True, method="POST", path="*/time-activities", count=1)
    kiosk.online()
    await asyncio.sleep(10)
    assert {punch.state.value for punch in await kiosk.punches()} == {"in_flight"}
    await kiosk.crash()
    await kiosk.start()
    await asyncio.sleep(HOUR)
    assert town.sheet() == [
        "Anna Mon 08:00:00 - Mon 09:00:00",
        "Bob Mon 08:01:00 - Mon 09:01:00",
        "Carl Mon 08:02:00 - Mon 09:02:00",
    ]
    assert await kiosk.stuck() == []


@told_in_town()
async def test_nothing_stays_locked_by_a_process_that_is_gone(town: Town) -> None:
    """litequeue: rows that were locked when the process died stay locked until the caller lists and retries them.

    The kiosk dies five times, each time with a request out; it picks its work up by itself each time.
    """
    kiosk = await town.kiosk()
    await town.until("Mon 07:59")
    town.sandbox.faults.set(kind=Kind.HANG, processed=False, method="POST", count=5)
    await kiosk.tap("Anna", "Mon 08:00")
    for _ in range(5):
        await asyncio.sleep(60)
        await kiosk.crash()
        await kiosk.start()
    await asyncio.sleep(HOUR)
    assert town.sheet() == ["Anna Mon 08:00:00 - open"]
    assert await kiosk.stuck() == []


@told_in_town(names=tuple(f"P{number:02d}" for number in range(60)))
async def test_what_a_screen_called_a_success_is_in_the_queue(town: Town) -> None:
    """Eventra #11074: the screen said success while a full queue dropped the item without a word.

    Sixty people in one second on one reader, the service away: each of them sees what was stored for them, and each
    stands on the timesheet.
    """
    kiosk = await town.kiosk()
    kiosk.offline()
    await town.until("Mon 08:00")
    shown = await asyncio.gather(*(kiosk.tap(name) for name in town.names))
    assert shown == ["clocked_in"] * 60
    kiosk.online()
    await asyncio.sleep(HOUR)
    assert town.sheet() == [f"{name} Mon 08:00:00 - open" for name in town.names]


@told_in_town()
async def test_work_that_waits_for_a_network_waits_through_reboots(town: Town) -> None:
    """WorkManager of Android, the model here: work that waits for a network is stored, and outlives restarts.

    Three reboots without a network; nothing tells the kiosk that it is back, and all the same the shift arrives
    within minutes.
    """
    kiosk = await town.kiosk()
    kiosk.offline()
    await kiosk.tap("Anna", "Mon 08:00")
    for _ in range(3):
        await kiosk.crash()
        kiosk.clock.reboot(synchronised=True)
        await kiosk.start()
        await asyncio.sleep(20 * 60)
    kiosk.wire.up = True
    await asyncio.sleep(6 * 60)
    assert town.sheet() == ["Anna Mon 08:00:00 - open"]
