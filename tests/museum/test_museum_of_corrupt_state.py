"""What others found broken at the next start, and how people had to mend it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from daemon.errors import DamagedError
from daemon.queue.export import Reading, open_read_only
from daemon.queue.migrations import migrations
from daemon.queue.opening import open_file
from sandbox.faults import Kind
from tests.museum.test_museum_of_durability import Evening, evening, punches_in
from tests.support.museum import DAY, HOUR, told_in_town
from tests.support.power_cut import Disk
from tests.support.town import Kiosk, Town

__all__ = ["evening"]  # a fixture

OLD = Path(__file__).resolve().parents[1] / "integration" / "old_databases"


def images(evening: Evening, folder: Path, every: int) -> Iterator[Path]:
    """What the disk holds after every so manieth call, after a kill and after a power cut in turn."""
    disk = Disk(evening.state)
    for number, _ in enumerate(disk.go_through(evening.trace)):
        if number % every == 0 and disk.kept_names:
            disk.image(folder / str(number), killed=number % (2 * every) == 0)
            yield folder / str(number)


def test_it_starts_after_a_cut_at_any_moment(evening: Evening, tmp_path: Path) -> None:
    """persist-queue #180, #58: after a power cut the queue's file cannot be read, and the program does not start.

    Cut or killed between any two system calls of its first evening, the database opens, is sound, and has lost none
    of the punches that it had a moment before.
    """
    kept: dict[bool, list[str]] = {}
    for number, state in enumerate(images(evening, tmp_path, 3)):
        found = punches_in(state)
        assert found[: len(kept.get(number % 2 == 0, []))] == kept.get(number % 2 == 0, [])
        kept[number % 2 == 0] = found
    assert list(kept.values()) == [evening.ids] * 2


def test_no_half_of_a_punch_is_ever_there(evening: Evening, tmp_path: Path) -> None:
    """nfc-attendance-kit: lines are appended without a flush, and a torn line is skipped without a word.

    At whatever call the power goes, each tap that is there has its punch, its place in the queue and its journal.
    """
    seen = set()
    for state in images(evening, tmp_path, 5):
        conn, _ = open_file(state / "punchd.db")
        with closing(conn):
            counted = [
                conn.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
                for table in ("taps", "punches", "deliveries")
            ]
        assert len(set(counted)) == 1, counted
        seen.add(counted[0])
    assert seen == {0, 1, 2, 3}


@told_in_town()
async def test_leftovers_of_a_crash_need_nobody(town: Town) -> None:
    """biometric-attendance-sync-tool #43, #63: after a power cut its state file is corrupt, and nothing is synced until
    somebody deletes it.

    Empty, torn and stale files of every kind that a crash leaves in the state directory: the next start needs nobody,
    and the shift of that day arrives.
    """
    kiosk = await town.kiosk()
    await kiosk.tap("Anna", "Mon 08:00")
    await kiosk.crash()
    (kiosk.state_dir / "punchd.db.new").write_bytes(b"SQLite format 3\0" + bytes(700))
    (kiosk.state_dir / "punchd.db.new-journal").write_bytes(os.urandom(512))
    (kiosk.state_dir / "punchd.db-shm").write_bytes(os.urandom(32768))
    for lock in kiosk.state_dir.glob("*.lock"):
        lock.write_text("99999999\n")
    with (kiosk.state_dir / "punchd.db-wal").open("ab") as log:
        log.write(os.urandom(1500))  # the beginning of what the cut tore off
    await kiosk.start()
    await kiosk.tap("Anna", "Mon 16:00")
    await asyncio.sleep(HOUR)
    assert town.sheet() == ["Anna Mon 08:00:00 - Mon 16:00:00"]


@told_in_town()
async def test_a_remembered_value_that_is_cut_in_half(town: Town) -> None:
    """biometric-attendance-sync-tool: a status file that a power cut has truncated stops the service at every start.

    What delivery remembers of the account is cut in the middle: it is forgotten, punches go on arriving.
    """
    kiosk = await town.kiosk()
    await kiosk.tap("Anna", "Mon 08:00")
    await town.until("Mon 09:00")
    torn = "UPDATE settings SET value = substr(value, 1, length(value) / 2) WHERE key = 'delivery.budget'"
    changed = await kiosk.built.kiosk.database.write(lambda conn: conn.execute(torn).rowcount)
    assert changed == 1
    await kiosk.crash()
    await kiosk.start()
    await kiosk.tap("Anna", "Mon 16:00")
    await asyncio.sleep(HOUR)
    assert town.sheet() == ["Anna Mon 08:00:00 - Mon 16:00:00"]
    assert kiosk.built.kiosk.alarms.standing() == []


def damage(state: Path, table: str) -> None:
    """Overwrite the page where a table begins, as a worn card does."""
    path = state / "punchd.db"
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        (page,) = conn.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * 1024)
        file.write(b"\xa5" * 1024)


@told_in_town()
async def test_damage_is_mended_and_told_and_loops_nowhere(town: Town) -> None:
    """vector #17644, #16525; opentelemetry-collector-contrib #35899; telegraf #18528: a corrupt buffer makes an endless
    loop or a crash loop, and deleting it by hand is the official cure.

    A page is destroyed while a shift is open: the kiosk starts, and starts again, an alarm tells what happened, the
    damaged file is set aside byte for byte, and the shift gets its end.
    """
    kiosk = await town.kiosk()
    await kiosk.tap("Anna", "Mon 08:00")
    await town.until("Mon 09:00")
    await kiosk.crash()
    damage(kiosk.state_dir, "punches_by_time")
    before = (kiosk.state_dir / "punchd.db").read_bytes()
    for _ in range(3):
        await kiosk.start()
        await asyncio.sleep(20 * 60)
        assert [alarm.code for alarm in kiosk.built.kiosk.alarms.standing()] == ["database_salvaged"]
        await kiosk.crash()
    await kiosk.start()
    aside = [file.read_bytes() for file in kiosk.state_dir.glob("damaged-*/punchd.db")]
    assert aside == [before]
    await kiosk.tap("Anna", "Mon 16:00")
    await asyncio.sleep(HOUR)
    assert town.sheet() == ["Anna Mon 08:00:00 - Mon 16:00:00"]
    assert await kiosk.stuck() == []


@told_in_town()
async def test_one_unreadable_record_costs_one_person_a_look(town: Town) -> None:
    """Telegraf: its disk buffer panics on bytes that it cannot read.

    The journal of one person's request has become unreadable: that punch goes to a person, everybody else's arrive.
    """
    kiosk = await town.kiosk()
    await town.until("Mon 07:59")
    hangs = town.sandbox.faults.set(kind=Kind.HANG, processed=False, user_id=town.ids["Anna"])
    await kiosk.tap("Anna", "Mon 08:00")
    await asyncio.sleep(2)
    await kiosk.crash()
    with closing(sqlite3.connect(kiosk.state_dir / "punchd.db", isolation_level=None)) as conn:
        assert conn.execute("UPDATE attempts SET step = '{\"at\": 17', kind = 'open_shift'").rowcount == 1
    town.sandbox.faults.clear(hangs.id)
    await kiosk.start()
    await kiosk.tap("Bob", "Mon 08:05")
    await asyncio.sleep(HOUR)
    assert town.sheet() == ["Bob Mon 08:05:00 - open"]
    assert await kiosk.stuck() == ["Anna Mon 08:00:00 clock_in: review internal_error"]


@told_in_town()
async def test_damage_in_one_place_discards_nothing_elsewhere(town: Town) -> None:
    """Fluent Bit: a failed checksum discards the whole chunk, with all that was sound in it.

    A destroyed page: not a single undelivered punch is discarded, all of them can be carried off, and all arrive.
    """
    kiosk = await town.kiosk()
    kiosk.offline()
    for name in ("Anna", "Bob", "Carl"):
        await kiosk.tap(name, "Mon 08:00")
    await kiosk.crash()
    damage(kiosk.state_dir, "taps")
    await kiosk.start()
    assert carried_off(kiosk) == ["Anna", "Bob", "Carl"]
    kiosk.online()
    await asyncio.sleep(HOUR)
    assert [line.split()[0] for line in town.sheet()] == ["Anna", "Bob", "Carl"]


def carried_off(kiosk: Kiosk) -> list[str]:
    """Whose undelivered punches `punchctl export --undelivered` finds in the database's file."""
    with open_read_only(kiosk.state_dir / "punchd.db") as conn:
        return [punch.name for punch in Reading(None, None, undelivered=True).page(conn)]


@told_in_town()
async def test_an_idle_kiosk_spares_its_card(town: Town) -> None:
    """indi-allsky #1534; raspberrypi/firmware #397; TerrariumPI #173: heavy writing and synchronous=off leave a broken
    SQLite file on a worn card.

    Three idle days change not a byte of the database; a tap with its delivery writes less than 32 KB of log.
    """
    kiosk = await town.kiosk(readers={"in": "clock_in"})
    await kiosk.tap("Anna", "Mon 08:00")
    await town.until("Mon 09:00")
    database = kiosk.built.kiosk.database
    await database.read(lambda conn: conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())

    def written() -> list[bytes]:
        return [(kiosk.state_dir / name).read_bytes() for name in ("punchd.db", "punchd.db-wal")]

    before = written()
    await asyncio.sleep(3 * DAY)
    assert written() == before
    await kiosk.tap("Bob", "Thu 10:00")
    await asyncio.sleep(60)
    assert 0 < len(written()[1]) < 32_000


@told_in_town()
async def test_an_update_keeps_what_the_old_version_had_not_sent(town: Town) -> None:
    """ras: an update is `git reset --hard` and a reboot, and what the new code makes of the old one's files is luck.

    A database of the first release, with a punch that was never sent, is started by today's version: the punch goes
    to the timesheet with its second.
    """
    kiosk = await town.kiosk()
    await kiosk.crash()
    for file in kiosk.state_dir.glob("punchd.db*"):
        file.unlink()
    shutil.copy(OLD / "0001.db", kiosk.state_dir / "punchd.db")
    for user_id, name in (("7", "Ann"), ("8", "Ben")):
        town.sandbox.company.add_user(user_id, name)
        town.ids[name] = user_id
    # Ann came at 08:00 (delivered by the old version) and left at 09:00 UTC; that was two days ago.
    row = town.manager.add_shift("7", 1_795_248_000)
    await kiosk.start()
    database = kiosk.built.kiosk.database
    await database.write(lambda conn: conn.execute("UPDATE deliveries SET remote_id = ? WHERE state = 'delivered'", (row.id,)))  # fmt: skip  # noqa: E501
    await kiosk.delivery.resume("test")
    await asyncio.sleep(HOUR)
    assert [(shift.start, shift.end) for shift in town.sandbox.timesheet("7")] == [(1_795_248_000, 1_795_251_600)]
    assert await database.read(lambda conn: conn.execute("PRAGMA user_version").fetchone()) == (len(migrations()),)


def test_what_is_not_ours_is_never_overwritten(tmp_path: Path) -> None:
    """Telegraf, Vector: "delete the buffer by hand", and whatever is in it is gone.

    A file that cannot be read is refused with what to do, and after any number of starts it is still there, byte for
    byte.
    """
    path = tmp_path / "punchd.db"
    path.write_bytes(os.urandom(9000))
    before = path.read_bytes()
    for _ in range(3):
        with contextlib.suppress(DamagedError):
            open_file(path)[0].close()
            raise AssertionError("it opened")
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["punchd.db"]
