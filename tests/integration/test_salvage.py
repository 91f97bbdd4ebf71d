"""Salvage: what comes back, from where, in which state; what is told of the rest; and the commands around it."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest
from click.testing import CliRunner

from daemon import cli as punchd
from daemon.control import cli as punchctl
from daemon.delivery import storage
from daemon.errors import DamagedError, ForeignDatabaseError, StorageBusyError, StorageError
from daemon.intake.settling import Verdict, _carry_out
from daemon.lock import InstanceLock
from daemon.model import Direction, PunchState, ReaderDirection, TapResult
from daemon.queue import deliveries, lanes, people, queue
from daemon.queue.copying import Copy
from daemon.queue.database import Database
from daemon.queue.deliveries import SALVAGED
from daemon.queue.lines import decode, encode
from daemon.queue.migrations import migrations
from daemon.queue.opening import explained, mark_clean, open_file
from daemon.queue.records import journal
from daemon.queue.salvage import READY, marker, salvage
from daemon.queue.salvaged import Seen
from daemon.queue.starting import open_or_salvage
from daemon.queue.verify import unreadable, verify
from daemon.queue.wreck import Wreck
from tests.support.rows import T0, Rows
from tests.support.tampering import behind_its_back

NOW = Seen(T0 + 90_000, known=True)


@pytest.fixture
def state(tmp_path) -> Path:
    """A directory with one punch of each kind, stopped in order."""
    folder = tmp_path / "state"
    folder.mkdir()
    conn, _ = open_file(folder / "punchd.db")
    copy = Copy(folder / "punchd.copy")
    copy.start(conn)
    rows = Rows(conn)
    rows.employee("7", "Ann")
    rows.employee("8", "Bob")
    people.assign_badge(conn, "04A1", "7", T0 - 99)
    journal(conn, T0 - 99, "uid:0", "employees.imported")
    rows.delivered(T0)
    rows.punch(T0 + 100, direction=Direction.CLOCK_OUT)
    rows.move(rows.punch(T0 + 200), PunchState.REVIEW, reason="out_of_order", detail="so")
    rows.move(rows.punch(T0 + 300), PunchState.DISCARDED, reason="by_decision")
    rows.move(rows.punch(T0 + 400, "8", known=False, direction=None), PunchState.HELD, reason="clock_untrusted")
    flying = rows.punch(T0 + 500, "8")
    deliveries.begin_attempt(conn, "open_shift", {"user_id": "8", "at": int(T0) + 500, "job_id": None}, [flying.id], T0)
    rows.tap(T0 + 600, badge="0499", result=TapResult.UNKNOWN_BADGE, way=ReaderDirection.CLOCK_OUT)
    copy.stop(conn)
    mark_clean(conn)
    conn.close()
    return folder


def standing(path: Path) -> dict[str, tuple[str, str | None, str | None]]:
    """Of each punch its state, reason, and what it stands on the timesheet as."""
    with closing(sqlite3.connect(path)) as conn:
        rows = conn.execute("SELECT p.id, d.state, d.reason, d.remote_id FROM punches p JOIN deliveries d ON "
                            "d.punch_seq = p.seq")  # fmt: skip
        return {punch_id: (state, reason, remote) for punch_id, state, reason, remote in rows}


def looked_up_once_it_has_its_time(conn: sqlite3.Connection) -> None:
    """By the intake's own way: what becomes of a punch when its time is known."""
    waits = queue.find_punch(conn, "p5")
    _carry_out(conn, Verdict("p5", None, PunchState.HELD, "earlier_punch_undecided"), waits, T0 + 700)
    queue.settle_time(conn, "p5", T0 + 400, 0.1)
    waits = queue.find_punch(conn, "p5")
    _carry_out(conn, Verdict("p5", Direction.CLOCK_IN, PunchState.PENDING), waits, T0 + 800)
    (entry,) = [one for one in lanes.load_lane(conn, "8") if one.punch.id == "p5"]
    assert entry.punch.state is PunchState.IN_FLIGHT
    assert (entry.attempt.kind, entry.attempt.sent_at, entry.attempt.ended_at) == ("open_shift", T0 + 800, None)


@pytest.mark.parametrize("left", ["both", "database", "copy"])
def test_nothing_that_may_have_been_sent_is_sent_blindly(state, left):
    """What is finished stays so; the rest is looked up first, or a person decides; from whichever of the two."""
    path, copy = state / "punchd.db", state / "punchd.copy"
    if left == "database":
        copy.unlink()
    if left == "copy":
        path.unlink()
    report = salvage(path, copy, "for this test", NOW)
    assert (report.punches, report.kept_taps, report.lost_total, report.altered_total) == (6, 1, 0, 0)
    stands = standing(path)
    assert stands["p1"] == ("delivered", None, "r-p1")
    assert stands["p2"] == ("in_flight", None, None)
    assert stands["p3"] == ("review", "out_of_order", None)
    assert stands["p4"] == ("discarded", "by_decision", None)
    assert stands["p5"][0:2] == ("held", "clock_untrusted")
    assert stands["p6"] == ("in_flight", None, None)
    conn, _ = open_file(path)
    entries = {entry.punch.id: entry for user in ("7", "8") for entry in lanes.load_lane(conn, user)}
    assert entries["p2"].attempt.step == {"user_id": "7", "at": int(T0) + 100, "shift_id": ""}
    assert entries["p2"].attempt.ended_at is None
    assert entries["p2"].attempt.sent_at == NOW.wall_s
    assert entries["p3"].attempt.ended_at is None, "a retry looks it up first"
    assert entries["p6"].attempt.sent_at == (T0 if left != "copy" else NOW.wall_s), "its own request is still open"
    # Its time is not known: only a database and copy that agree to the end can say that it never went.
    assert entries["p5"].punch.detail == (SALVAGED if left == "copy" else None)
    if left == "copy":
        looked_up_once_it_has_its_time(conn)
    assert {one.name for one in people.list_employees(conn)} == {"Ann", "Bob"}
    assert [one.badge for one in people.list_badges(conn)] == ["04A1"]
    assert [one.way for one in queue.unclaimed_taps(conn)] == [ReaderDirection.CLOCK_OUT]
    found = verify(conn)
    assert (found.sound, found.salvaged) == (True, 6 if left == "copy" else 7)  # one was settled since
    conn.close()


def test_a_clock_nobody_vouches_for_says_nothing_of_requests(state):
    """With the clock years ahead, doubtful requests are not dated into the future: nothing would ever be looked up."""
    salvage(state / "punchd.db", None, "x", Seen(T0 + 9e8, known=False))
    with closing(sqlite3.connect(state / "punchd.db")) as conn:
        assert conn.execute("SELECT max(sent_at) FROM attempts").fetchone() == (T0 + 500,)


def test_a_time_nobody_knows_dates_no_request(state):
    """One punch of a clock that was years ahead, its time still unknown, keeps nobody's look-up waiting for years."""
    conn, _ = open_file(state / "punchd.db")
    rows = Rows(conn, count(50))
    rows.move(rows.punch(T0 + 9e8, "8", known=False, direction=None), PunchState.HELD, reason="clock_untrusted")
    conn.close()
    salvage(state / "punchd.db", None, "x", Seen(T0 + 9e8, known=False))
    with closing(sqlite3.connect(state / "punchd.db")) as conn:
        assert conn.execute("SELECT max(sent_at) FROM attempts").fetchone() == (T0 + 500,)


def test_what_was_discarded_stays_so_though_only_the_copy_remembers(state):
    """The database is one of before the decision, with every punch there: the discarded one is not sent after all."""
    conn, _ = open_file(state / "punchd.db")
    mark_clean(conn)
    conn.close()
    before = (state / "punchd.db").read_bytes()
    conn, _ = open_file(state / "punchd.db")
    copy = Copy(state / "punchd.copy")
    copy.start(conn)
    storage.discard(conn, "p2", "never worked", T0 + 900, "uid:0")
    copy.stop(conn)
    mark_clean(conn)
    conn.close()
    (state / "punchd.db").write_bytes(before)
    conn, _ = open_or_salvage(state / "punchd.db", Copy(state / "punchd.copy"), NOW)
    conn.close()
    assert standing(state / "punchd.db")["p2"] == ("discarded", "by_decision", None)


def test_the_old_files_are_set_aside_as_they_were_and_never_twice_into_one_folder(state):
    """Each salvage has a folder of its own, also in the same second; nothing is overwritten."""
    for _ in range(2):
        before = {name: (state / name).read_bytes() for name in ("punchd.db", "punchd.copy") if (state / name).exists()}
        report = salvage(state / "punchd.db", state / "punchd.copy", "x", NOW)
        assert {name: (Path(report.folder) / name).read_bytes() for name in before} == before
    assert len(list(state.glob("damaged-*"))) == 2
    assert (state / "punchd.db").stat().st_mode & 0o777 == 0o600


def test_a_copy_on_another_medium_is_set_aside_there(state, tmp_path):
    """It stays on its medium, which may be the only one that works."""
    medium = tmp_path / "stick"
    medium.mkdir()
    shutil.move(state / "punchd.copy", medium / "punchd.copy")
    report = salvage(state / "punchd.db", medium / "punchd.copy", "x", NOW)
    assert Path(report.copy_folder).parent == medium
    assert (Path(report.copy_folder) / "punchd.copy").exists()


def test_a_copy_whose_medium_takes_nothing_keeps_no_start_waiting(state, tmp_path, monkeypatch):
    """A stick that became read-only: the old copy stays on it, and the kiosk starts."""
    medium = tmp_path / "stick"
    medium.mkdir()
    shutil.move(state / "punchd.copy", medium / "punchd.copy")
    real = os.mkdir

    def mkdir(path, *args, **kwargs):
        if Path(path).parent == medium:
            raise OSError(errno.EROFS, "Read-only file system")
        real(path, *args, **kwargs)

    monkeypatch.setattr(os, "mkdir", mkdir)
    marker(state / "punchd.db").write_text("asked for")
    copy = Copy(medium / "punchd.copy")
    conn, _ = open_or_salvage(state / "punchd.db", copy, NOW)
    assert conn.execute("SELECT count(*) FROM punches").fetchone() == (6,)
    assert "belongs to another database" in (copy.trouble or "")
    conn.close()
    assert (medium / "punchd.copy").exists()


def test_a_start_brings_back_nothing_of_another_kiosk(state, tmp_path):
    """A stick of another kiosk holds punches which that one still sends: they would stand on the timesheet twice."""
    own = tmp_path / "own"
    own.mkdir()
    conn, _ = open_file(own / "punchd.db")
    rows = Rows(conn, count(50))
    rows.employee("9", "Eve")
    rows.punch(T0, "9")
    mark_clean(conn)
    conn.close()
    marker(own / "punchd.db").write_text("asked for")
    before = (state / "punchd.copy").read_bytes()
    copy = Copy(state / "punchd.copy")
    conn, _ = open_or_salvage(own / "punchd.db", copy, NOW)
    assert conn.execute("SELECT id FROM punches").fetchall() == [("p50",)]
    conn.close()
    assert (state / "punchd.copy").read_bytes() == before


def test_a_damaged_origin_makes_no_stranger_of_the_own_copy(state):
    """The links after it still say whose copy it is: what only the copy has left comes back."""
    with closing(sqlite3.connect(state / "punchd.db")) as conn:
        for (name,) in conn.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            conn.execute(f"DROP TRIGGER {name}")
        conn.execute("UPDATE chain SET hash = randomblob(32) WHERE id = 1")
        conn.execute("DELETE FROM punches WHERE id = 'p2'")
        conn.commit()
    marker(state / "punchd.db").write_text("asked for")
    conn, _ = open_or_salvage(state / "punchd.db", Copy(state / "punchd.copy"), NOW)
    assert conn.execute("SELECT count(*) FROM punches").fetchone() == (6,)
    conn.close()


def test_a_line_that_damage_made_unreadable_stops_no_start(state):
    """The copy is behind, and one line of the journal it has yet to hear of is no document any more."""
    conn, _ = open_file(state / "punchd.db")
    journal(conn, T0 + 700, "uid:0", "employee.added", data={"user_id": "8"})
    (trigger,) = conn.execute("SELECT sql FROM sqlite_schema WHERE name = 'journal_is_written_once'").fetchone()
    conn.execute("DROP TRIGGER journal_is_written_once")
    conn.execute("UPDATE journal SET data = '{\"user_id\": ' WHERE id = (SELECT max(id) FROM journal)")
    conn.execute(trigger)
    mark_clean(conn)
    conn.close()
    copy = Copy(state / "punchd.copy")
    conn, _ = open_or_salvage(state / "punchd.db", copy, NOW)
    assert copy.trouble is None
    conn.close()


@pytest.mark.parametrize("step", range(1, 12))
def test_cut_off_at_any_step_the_next_start_goes_on(state, step, monkeypatch):
    """A power cut at each rename and each sync: afterwards everything is there once, and the old files too."""
    real = {name: getattr(__import__("os"), name) for name in ("rename", "fsync")}
    count = 0

    def cut(name):
        def call(*args, **kwargs):
            nonlocal count
            count += 1
            if count == step:
                raise KeyboardInterrupt("the power went")
            return real[name](*args, **kwargs)

        return call

    old = (state / "punchd.db").read_bytes()
    with monkeypatch.context() as patch:
        for name in real:
            patch.setattr(f"os.{name}", cut(name))
        try:
            salvage(state / "punchd.db", state / "punchd.copy", "x", NOW)
        except KeyboardInterrupt:
            pass
        else:
            assert count < step
    copy = Copy(state / "punchd.copy")
    conn, _ = open_or_salvage(state / "punchd.db", copy, NOW)
    assert conn.execute("SELECT count(*) FROM punches").fetchone() == (6,)
    assert verify(conn).sound
    copy.stop(conn)
    conn.close()
    kept = [file.read_bytes() for file in state.glob("damaged-*/punchd.db")]
    assert old in kept or ((state / "punchd.db").read_bytes()[:16] == old[:16] and not (state / "damaged").exists())
    assert not (state / f"punchd.db{READY}").exists()


def test_what_is_built_is_on_the_disk_before_it_gets_a_name_that_counts(state, monkeypatch):
    """It is built without a sync: a power cut behind the renames must not leave less than what was built."""
    sync, rename = os.fsync, os.rename
    synced: dict[str, bytes] = {}
    named: list[bool] = []

    def fsync(fd):
        sync(fd)
        file = Path(os.readlink(f"/proc/self/fd/{fd}"))
        if file.is_file():
            synced[str(file)] = file.read_bytes()

    def renamed(old, new):
        if str(new).endswith(READY):
            named.append(synced.get(str(old)) == Path(old).read_bytes())
        rename(old, new)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", renamed)
    salvage(state / "punchd.db", state / "punchd.copy", "x", NOW)
    assert named == [True]


def test_two_histories_both_happened(state):
    """The database went on from an old backup beside a copy of the other history: the punches of both are there."""
    conn, _ = open_file(state / "punchd.db")
    mark_clean(conn)
    conn.close()
    backup = (state / "punchd.db").read_bytes()
    conn, _ = open_file(state / "punchd.db")
    copy = Copy(state / "punchd.copy")
    copy.start(conn)
    rows = Rows(conn)
    for _ in range(6):
        next(rows._numbers)
    rows.punch(T0 + 1000)
    copy.stop(conn)
    mark_clean(conn)
    conn.close()
    (state / "punchd.db").write_bytes(backup)
    conn, _ = open_file(state / "punchd.db")
    rows = Rows(conn)
    for _ in range(7):
        next(rows._numbers)
    rows.punch(T0 + 2000)
    mark_clean(conn)
    conn.close()
    copy = Copy(state / "punchd.copy")
    conn, _ = open_or_salvage(state / "punchd.db", copy, NOW)
    assert {punch_id for (punch_id,) in conn.execute("SELECT id FROM punches")} == {f"p{n}" for n in range(1, 9)}
    assert verify(conn).sound
    conn.close()


def test_the_kept_taps_of_two_histories_both_happened(state):
    """Number 8 is a kept tap in the copy and a punch's in the database, number 9 the other way round: each stays, and
    each punch names its own tap."""
    path = state / "punchd.db"
    backup = path.read_bytes()

    def lived(copy: Copy | None, ids: int, at: float, badge: str, *, tap_first: bool) -> None:
        conn, _ = open_file(path)
        if copy is not None:
            copy.start(conn)
        rows = Rows(conn, count(ids))
        for tap in (tap_first, not tap_first):
            if tap:
                rows.tap(at, badge=badge, result=TapResult.UNKNOWN_BADGE)
            else:
                rows.punch(at + 100, "8")
        if copy is not None:
            copy.stop(conn)
        mark_clean(conn)
        conn.close()

    lived(Copy(state / "punchd.copy"), 7, T0 + 1000, "04AA", tap_first=True)
    path.write_bytes(backup)
    lived(None, 8, T0 + 2000, "04BB", tap_first=False)
    conn, _ = open_or_salvage(path, Copy(state / "punchd.copy"), NOW)
    assert verify(conn).sound
    taps = conn.execute("SELECT p.id, t.raw_at, t.punch_id FROM punches p JOIN taps t ON t.id = p.tap_id "
                        "WHERE p.id IN ('p7', 'p8') ORDER BY p.id").fetchall()  # fmt: skip
    conn.close()
    assert taps == [("p7", T0 + 1100, "p7"), ("p8", T0 + 2100, "p8")]
    assert {badge for badge, *_ in kept(path)} == {"0499", "04AA", "04BB"}
    report = json.loads(sqlite3.connect(path).execute(
        "SELECT value FROM settings WHERE key = 'salvage.report'").fetchone()[0])  # fmt: skip
    assert (report["punches"], report["kept_taps"], report["lost_total"], report["altered_total"]) == (8, 3, 0, 0)


def test_an_altered_punch_comes_from_the_copy_or_goes_to_a_person(state):
    """With the copy it is as it was stored; without, it is named and nobody sends it."""
    with closing(sqlite3.connect(state / "punchd.db")) as conn:
        conn.execute("DROP TRIGGER punches_are_facts")
        conn.execute("UPDATE punches SET occurred_at = occurred_at + 3600 WHERE id = 'p2'")
        conn.commit()
    broken = state.with_name("broken")
    shutil.copytree(state, broken)
    report = salvage(state / "punchd.db", state / "punchd.copy", "x", NOW)
    assert report.altered_total == 0
    with closing(sqlite3.connect(state / "punchd.db")) as conn:
        assert conn.execute("SELECT occurred_at FROM punches WHERE id = 'p2'").fetchone() == (T0 + 100,)
    report = salvage(broken / "punchd.db", None, "x", NOW)
    assert report.altered == ["p2 of 7"]
    assert "p2 of 7" in " ".join(report.sentences())
    assert standing(broken / "punchd.db")["p2"][0:2] == ("review", "salvaged")


def kept(path: Path) -> list[tuple[str, float, ReaderDirection | None]]:
    """The taps that still wait for an owner: badge, seconds after T0, way."""
    with closing(sqlite3.connect(path)) as conn:
        return [(one.badge, one.raw_at - T0, one.way) for one in queue.unclaimed_taps(conn)]


_OF_KEPT = "WHERE result = 'unknown_badge'"


@pytest.mark.parametrize("change", [
    f"UPDATE taps SET raw_at = raw_at + 8192 {_OF_KEPT}",
    f"UPDATE taps SET badge = '0498' {_OF_KEPT}",
    f"UPDATE taps SET result = 'refused' {_OF_KEPT}",
    f"UPDATE taps SET id = 99 {_OF_KEPT}",
    f"UPDATE taps SET link = 2, raw_at = raw_at + 1 {_OF_KEPT}",
    f"UPDATE taps SET link = NULL, raw_at = raw_at + 1 {_OF_KEPT}",
    f"DELETE FROM taps {_OF_KEPT}",
])  # fmt: skip
def test_an_altered_kept_tap_comes_from_the_copy_or_is_left_out_and_named(state, change):
    """It would become a punch by itself, of another time or person, once its badge has an owner."""
    path = state / "punchd.db"
    behind_its_back(path, change)
    alone = state.with_name("alone")
    shutil.copytree(state, alone)
    report = salvage(path, state / "punchd.copy", "x", NOW)
    assert (report.kept_taps, report.altered_total, report.lost_total) == (1, 0, 0)
    assert kept(path) == [("0499", 600, ReaderDirection.CLOCK_OUT)]
    report = salvage(alone / "punchd.db", None, "x", NOW)
    assert (report.kept_taps, report.altered_total + report.lost_total) == (0, 1)
    assert "a kept tap, number" in " ".join(report.sentences())
    assert kept(alone / "punchd.db") == []


def claimed(path: Path) -> None:
    """One more kept tap, number 8, whose badge got an owner: it is p7."""
    conn, _ = open_file(path)
    rows = Rows(conn, count(7))
    tap = rows.tap(T0 + 700, result=TapResult.UNKNOWN_BADGE)
    queue.claim_tap(conn, tap, rows.punch(T0 + 700, tap_id=tap).id)
    mark_clean(conn)
    conn.close()


@pytest.mark.parametrize("change", [
    "UPDATE taps SET raw_at = raw_at + 8192 WHERE id = 8",
    "UPDATE taps SET punch_id = NULL WHERE id = 8",
    "UPDATE taps SET punch_id = 'p77' WHERE id = 8",
    "DELETE FROM taps WHERE id = 8",
])  # fmt: skip
@pytest.mark.parametrize("copied", [True, False])
def test_a_kept_tap_that_is_a_punch_by_now_is_none_twice(state, change, copied):
    """Whatever damage makes of it: its punch is there, and says whose tap it was."""
    path, copy = state / "punchd.db", state / "punchd.copy"
    claimed(path)
    conn, _ = open_or_salvage(path, Copy(copy), NOW)  # the copy hears of it
    conn.close()
    behind_its_back(path, change)
    report = salvage(path, copy if copied else None, "x", NOW)
    assert (report.punches, report.kept_taps, report.altered_total, report.lost_total) == (7, 1, 0, 0)
    assert kept(path) == [("0499", 600, ReaderDirection.CLOCK_OUT)]


@pytest.mark.parametrize("left", ["both", "copy"])
def test_a_number_that_damage_made_of_a_link_counts_no_losses(state, left):
    """The copy was given a link under a number far beyond the chain's end; its later lines know the true one."""
    path, copy = state / "punchd.db", state / "punchd.copy"
    records = [decode(line) for line in copy.read_bytes().splitlines(keepends=True)]
    (told,) = [record for record in records if record["is"] == "punch" and record["punch"]["id"] == "p2"]
    told["n"] += 4096
    copy.write_bytes(b"".join(encode(record) for record in records))
    if left == "copy":
        path.unlink()
    report = salvage(path, copy, "for this test", NOW)
    assert (report.punches, report.kept_taps, report.lost_total, report.altered_total) == (6, 1, 0, 0)


def test_a_copy_that_an_older_version_wrote(state):
    """Its lines know no way of a kept tap: the tap is brought back, and decided by its reader as it is then."""
    path, copy = state / "punchd.db", state / "punchd.copy"
    records = [decode(line) for line in copy.read_bytes().splitlines(keepends=True)]
    for record in records:
        if record["is"] == "tap":
            assert record["tap"].pop("way") == "clock_out"
    copy.write_bytes(b"".join(encode(record) for record in records))
    path.unlink()
    report = salvage(path, copy, "for this test", NOW)
    assert (report.punches, report.kept_taps, report.lost_total) == (6, 1, 0)
    conn, _ = open_file(path)
    assert [one.way for one in queue.unclaimed_taps(conn)] == [None]
    assert verify(conn).sound
    conn.close()


def test_a_database_of_before_there_was_a_chain(tmp_path):
    """An older version's database is salvaged as well; what makes sense of it is believed."""
    old = Path(__file__).parent / "old_databases" / "0001.db"
    shutil.copy(old, tmp_path / "punchd.db")
    report = salvage(tmp_path / "punchd.db", None, "x", NOW)
    assert (report.punches, report.kept_taps, report.altered_total) == (3, 1, 0)


@pytest.mark.parametrize("schema", range(3, len(migrations()) + 1))
def test_what_waits_is_looked_at_before_an_upgrade_as_well(tmp_path, schema):
    """An altered punch of an older version's database is not sent as it stands there: a person sees it first; and what
    an older version left in order is no damage."""
    path = tmp_path / "punchd.db"
    for altered in (False, True):
        shutil.copy(Path(__file__).parent / "old_databases" / f"{schema:04d}.db", path)
        if altered:
            behind_its_back(path, "UPDATE punches SET occurred_at = occurred_at + 8192 WHERE id = 'p2'")
        conn, _ = open_or_salvage(path, Copy(tmp_path / f"{altered}.copy"), NOW)
        assert verify(conn).sound
        conn.close()
        assert standing(path)["p2"][0:2] == (("review", "salvaged") if altered else ("pending", None))


def test_a_whole_copy_is_asked_before_an_upgrade_as_well(tmp_path):
    """What an older version altered comes back as it was stored."""
    path, copy = tmp_path / "punchd.db", Copy(tmp_path / "punchd.copy")
    shutil.copy(Path(__file__).parent / "old_databases" / "0004.db", path)
    conn, _ = open_or_salvage(path, copy, NOW)
    at = queue.find_punch(conn, "p2").occurred_at
    copy.stop(conn)
    conn.close()
    shutil.copy(Path(__file__).parent / "old_databases" / "0004.db", path)
    behind_its_back(path, "UPDATE punches SET occurred_at = occurred_at + 8192 WHERE id = 'p2'")
    conn, _ = open_or_salvage(path, Copy(copy.path), NOW)
    assert (queue.find_punch(conn, "p2").occurred_at, standing(path)["p2"][0]) == (at, "in_flight")
    conn.close()


async def test_another_programs_database_is_refused_as_ever(tmp_path):
    """Also beside a copy: it is left as it is."""
    with closing(sqlite3.connect(tmp_path / "punchd.db")) as conn:
        conn.executescript("CREATE TABLE firefox (cookies); INSERT INTO firefox VALUES (1)")
    before = (tmp_path / "punchd.db").read_bytes()
    with pytest.raises(ForeignDatabaseError):
        await Database.open(tmp_path / "punchd.db", inline=True, copy=tmp_path / "punchd.copy")
    assert (tmp_path / "punchd.db").read_bytes() == before


@pytest.mark.parametrize(("number", "kind"), [(28, StorageBusyError), (5, StorageBusyError), (30, StorageError)])
async def test_what_cannot_be_salvaged_says_why_and_changes_nothing(state, monkeypatch, number, kind):
    """A full, failing or read-only disk: the exit code of what may pass, or of what needs a person."""
    (state / "punchd.db").write_bytes(b"garbage" * 1000)
    before = {file.name: file.read_bytes() for file in state.iterdir()}

    def fails(draft: Path) -> None:
        raise OSError(number, __import__("os").strerror(number))

    monkeypatch.setattr("daemon.queue.salvage.create", fails)
    with pytest.raises(kind, match=r"cannot open the database"):
        await Database.open(state / "punchd.db", inline=True, copy=state / "punchd.copy")
    assert {file.name: file.read_bytes() for file in state.iterdir()} == before


def test_what_was_built_and_is_not_sound_takes_nobodys_place(state, monkeypatch):
    """A mistake of the rebuilding itself is found before anything is moved: the damaged files stay as they are."""
    before = {file.name: file.read_bytes() for file in state.iterdir()}
    monkeypatch.setattr("daemon.queue.rebuilding.chain.link_all", lambda conn, why: None)
    with pytest.raises(DamagedError, match="not sound"):
        salvage(state / "punchd.db", state / "punchd.copy", "x", NOW)
    assert {file.name: file.read_bytes() for file in state.iterdir()} == before


async def test_damage_met_while_running_is_salvaged_at_the_next_start(state):
    """A page that turns bad under the service: the write fails, the damage is noted, the next start has everything."""
    db = await Database.open(state / "punchd.db", inline=True, copy=state / "punchd.copy")

    def corrupt(conn: sqlite3.Connection) -> None:
        error = sqlite3.DatabaseError("database disk image is malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error

    with pytest.raises(sqlite3.DatabaseError):
        await db.write(corrupt)
    assert db.damaged.is_set()
    assert marker(db.path).read_text() == "database disk image is malformed"
    await db.close()
    db = await Database.open(state / "punchd.db", inline=True, copy=state / "punchd.copy")
    assert (await db.read(lambda conn: queue.find_punch(conn, "p2"))).state is PunchState.IN_FLIGHT
    assert not marker(db.path).exists()
    assert not db.damaged.is_set()
    await db.close()


# --- commands


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(punchd.root, list(arguments))
    return result.exit_code, result.output


def test_the_command_verifies(state, capsys):
    """0 and a head where all is well; 1 and the punch's name where not; the same from punchctl; 78 for no database."""
    database = ["--database", str(state / "punchd.db")]
    assert run("verify", *database)[0] == 0
    assert json.loads(run("verify", *database, "--json")[1])["punches"] == 6
    assert punchctl.main(["verify", *database]) == 0
    with closing(sqlite3.connect(state / "punchd.db")) as conn:
        conn.execute("DROP TRIGGER punches_are_facts")
        conn.execute("UPDATE punches SET occurred_at = occurred_at + 3600 WHERE id = 'p2'")
        conn.commit()
    code, said = run("verify", *database)
    assert code == 1
    assert "punch p2 of 7, 2026-11-21T09:01:40Z: it is not as it was stored" in said
    capsys.readouterr()
    assert punchctl.main(["verify", *database]) == 1
    assert "punch p2 of 7" in capsys.readouterr().out
    assert punchctl.main(["verify", *database, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["wrong"][0]["id"] == "p2"
    assert run("verify", "--database", str(state / "none.db"))[0] == 78
    assert run("verify")[0] == 78


def test_the_command_salvages(state):
    """A dry run changes nothing; the real one sets aside and says where; --from names another copy."""
    before = {file.name: file.read_bytes() for file in state.iterdir()}
    code, said = run("salvage", "--database", str(state / "punchd.db"), "--dry-run")
    assert (code, "Nothing was changed" in said) == (0, True)
    assert {file.name: file.read_bytes() for file in state.iterdir()} == before
    elsewhere = state.parent / "elsewhere.copy"
    shutil.move(state / "punchd.copy", elsewhere)
    (state / "punchd.db").unlink()
    code, said = run("salvage", "--database", str(state / "punchd.db"), "--from", str(elsewhere), "--json")
    assert code == 0
    assert json.loads(said)["from_copy"] == 6
    assert len(standing(state / "punchd.db")) == 6
    assert run("salvage", "--database", str(state / "nothing.db"))[0] == 78


def test_the_command_goes_on_where_a_power_cut_left_a_salvage(state, monkeypatch):
    """The old files were set aside and the new database had no name yet: it waits there, and is what there is now."""
    path, rename = state / "punchd.db", os.rename

    def cut(old, new):
        if new == path:
            raise KeyboardInterrupt("the power went")
        rename(old, new)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", cut)
        with pytest.raises(KeyboardInterrupt):
            salvage(path, state / "punchd.copy", "x", NOW)
    assert not path.exists()
    assert run("salvage", "--database", str(path))[0] == 0
    assert len(standing(path)) == 6


@pytest.mark.parametrize(
    ("damage", "word"),
    [("UPDATE punches SET raw_at = raw_at + 1 WHERE id = 'p2'", "altered_total"),
     ("DELETE FROM punches WHERE id = 'p2'", "lost_total")],
)  # fmt: skip
def test_a_loss_is_told_by_the_exit_code_as_well(state, damage, word):
    """1 where a punch is lost, or is not as it was stored, in a dry run too: a script looks at nothing else."""
    behind_its_back(state / "punchd.db", "PRAGMA foreign_keys = OFF", damage)
    (state / "punchd.copy").unlink()
    for more in (["--dry-run", "--json"], ["--json"]):
        code, said = run("salvage", "--database", str(state / "punchd.db"), *more)
        assert (code, json.loads(said)[word]) == (1, 1)


def test_a_service_that_runs_keeps_its_database(state):
    """Nothing is moved away from under it: 1, with its process. Looking does no harm, and is allowed."""
    with InstanceLock(state):
        before = {file.name: file.read_bytes() for file in state.iterdir()}
        code, said = run("salvage", "--database", str(state / "punchd.db"))
        assert (code, f"process {os.getpid()}" in said) == (1, True)
        assert run("salvage", "--database", str(state / "punchd.db"), "--dry-run")[0] == 0
        assert {file.name: file.read_bytes() for file in state.iterdir()} == before


def test_a_database_that_another_program_holds_is_no_wreck(state, monkeypatch):
    """Its log cannot be read meanwhile: that is said, and tried again; nothing counts as lost, nothing is moved."""
    monkeypatch.setattr("daemon.queue.opening.BUSY_TIMEOUT_MS", 0)
    path = state / "punchd.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        other.execute("INSERT INTO settings (key, value) VALUES ('so', 'that there is a log')")
        other.execute("COMMIT")
        before = sorted(file.name for file in state.iterdir())
        with pytest.raises(StorageBusyError, match="another program holds it"), explained(path):
            salvage(path, state / "punchd.copy", "a test", Seen(0.0, known=False))
        assert sorted(file.name for file in state.iterdir()) == before


def test_a_database_that_becomes_busy_while_it_is_read_loses_no_row(state, monkeypatch):
    """An error that says nothing of the row read is not taken for a row that is lost."""

    class Busy(sqlite3.OperationalError):
        sqlite_errorcode = sqlite3.SQLITE_BUSY

    wreck = Wreck(state / "punchd.db")
    real = wreck._conn

    class Held:
        def execute(self, statement, *values):
            if statement.startswith("PRAGMA"):
                return real.execute(statement, *values)
            raise Busy("database is locked")

    monkeypatch.setattr(wreck, "_conn", Held())
    for read in (
        lambda: wreck.one("SELECT 1"),
        lambda: list(wreck.numbered("punches", "seq", ("id",))),
        lambda: wreck.named("employees", "user_id", ("name",)),
    ):
        with pytest.raises(Busy):
            read()
    real.close()


def test_a_schema_that_is_no_text_any_more_is_salvaged_around(state):
    """What SQLite says of it names the damage, and is no text either: it ends neither start nor salvage."""
    path = state / "punchd.db"
    content = path.read_bytes()
    at = content.index(b"CREATE TABLE punches")
    path.write_bytes(content[:at] + b"\xd0\xff\xc1 " + content[at + 4 :])
    with pytest.raises(DamagedError), explained(path):
        open_file(path)
    report = salvage(path, state / "punchd.copy", "a test", Seen(0.0, known=False))
    assert report.punches
    assert report.lost_total == 0


def test_a_table_whose_name_is_no_text_any_more_is_found_and_salvaged_around(state):
    """SQLite goes by the schema's words and opens it all the same; the check says what is wrong."""
    path = state / "punchd.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        conn.execute("PRAGMA writable_schema = ON")
        conn.execute("UPDATE sqlite_schema SET name = CAST(name AS BLOB) WHERE name = 'taps'")
    with closing(sqlite3.connect(path)) as conn:
        assert unreadable(conn) == ["the table b'taps' has a name that is no text"]
    report = salvage(path, state / "punchd.copy", "a test", Seen(0.0, known=False))
    assert (report.punches, report.kept_taps, report.lost_total) == (6, 1, 0)


def test_a_link_whose_words_are_no_text_any_more_is_a_broken_link(state):
    """Verifying names it, and salvaging goes around it."""
    path = state / "punchd.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        conn.execute("PRAGMA ignore_check_constraints = ON")
        for (name,) in conn.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            conn.execute(f"DROP TRIGGER {name}")
        conn.execute("UPDATE chain SET why = CAST(x'c1c1' AS TEXT) WHERE id = 3")
        assert verify(conn).broken_link == 3
    assert salvage(path, state / "punchd.copy", "a test", Seen(0.0, known=False)).lost_total == 0
