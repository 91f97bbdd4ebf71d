"""The second copy: every acknowledged punch is in it before the answer, whatever happens to its medium."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from daemon.intake.forgetting import forget
from daemon.model import Direction, PunchState, ReaderDirection, RecordedAs, TapResult
from daemon.queue import deliveries, erasure, lanes, people, queue
from daemon.queue.copying import read_all
from daemon.queue.database import Database
from daemon.queue.lines import decode, encode
from daemon.queue.opening import open_file
from daemon.queue.records import journal
from daemon.queue.retention import prune
from tests.support.rows import T0, Rows


@pytest.fixture
def copy(tmp_path) -> Path:
    """Where the copy is."""
    return tmp_path / "medium" / "punchd.copy"


@pytest.fixture(params=[False, True], ids=["thread", "inline"])
async def db(request, tmp_path, copy) -> AsyncIterator[Database]:
    """A database with its copy, with each of the two runners."""
    copy.parent.mkdir()
    opened = await Database.open(tmp_path / "punchd.db", inline=request.param, copy=copy)
    await opened.write(lambda conn: hired(conn))
    yield opened
    await opened.close()


def hired(conn: sqlite3.Connection) -> None:
    people.put_employee(conn, "7", "Ann", None)
    people.assign_badge(conn, "04A1", "7", T0 - 99)
    journal(conn, T0 - 99, "uid:0", "badge.assigned", data={"badge": "04A1", "user_id": "7"})


def records(copy: Path, kind: str | None = None) -> list[dict[str, Any]]:
    """The records of a copy; every line of it must be whole."""
    found = list(read_all(copy))
    assert None not in found
    return [record for record in found if record is not None and kind in (None, record["is"])]


def ids(copy: Path) -> list[str]:
    return [record["punch"]["id"] for record in records(copy, "punch")]


async def punch(db: Database, number: int, **how: Any) -> str:
    """A punch with the id pNUMBER."""
    return await db.write(lambda conn: made(conn, number, **how))


def made(conn: sqlite3.Connection, number: int, **how: Any) -> str:
    rows = Rows(conn)
    for _ in range(number - 1):
        next(rows._numbers)
    return rows.punch(T0 + number, **how).id


def deliver(conn: sqlite3.Connection, punch_id: str) -> None:
    attempt = deliveries.begin_attempt(conn, "open_shift", {"at": 1}, [punch_id], T0)
    deliveries.end_attempt(conn, attempt, "done", at=T0 + 1, status=200)
    deliveries.set_state(
        conn, punch_id, PunchState.DELIVERED, at=T0 + 2, remote_id=f"r-{punch_id}", recorded_as=RecordedAs.CLOCK_IN
    )


async def test_every_punch_and_kept_tap_is_in_it_with_its_facts(db, copy):
    """As stored, with the hash of its link; taps that came to nothing else are not."""
    await punch(db, 1)
    way = ReaderDirection.CLOCK_OUT
    await db.write(lambda conn: Rows(conn).tap(T0 + 5, badge="0499", result=TapResult.UNKNOWN_BADGE, way=way))
    await db.write(lambda conn: Rows(conn).tap(T0 + 6, result=TapResult.REPEAT))
    (found,) = records(copy, "punch")
    statement = "SELECT p.id, p.user_id, p.occurred_at, p.badge, c.hash FROM punches p JOIN chain c ON c.id = p.link"
    stored = await db.read(lambda conn: conn.execute(statement).fetchone())
    facts = found["punch"]
    assert (facts["id"], facts["user_id"], facts["occurred_at"], facts["badge"], bytes.fromhex(found["hash"])) == stored
    assert found["state"] == "pending"
    (tap,) = records(copy, "tap")
    assert (tap["tap"]["badge"], tap["tap"]["way"]) == ("0499", "clock_out")
    assert [record["employee"]["name"] for record in records(copy, "employee")] == ["Ann"]
    assert [record["badge"]["badge"] for record in records(copy, "badge")] == ["04A1"]
    assert copy.stat().st_mode & 0o777 == 0o600


async def test_what_is_rolled_back_is_not_in_it(db, copy):
    """Only what was committed."""

    def fails(conn: sqlite3.Connection) -> None:
        made(conn, 1)
        raise KeyError("x")

    with pytest.raises(KeyError):
        await db.write(fails)
    assert ids(copy) == []
    await punch(db, 1)
    assert ids(copy) == ["p1"]


async def test_what_is_filled_in_and_how_it_ends_is_told(db, copy):
    """A time that comes later is a line of its own; delivered, discarded and reviewed are marks."""
    await punch(db, 1, known=False, direction=None)
    await punch(db, 2)
    await punch(db, 3)

    def goes_on(conn: sqlite3.Connection) -> None:
        queue.settle_time(conn, "p1", T0 + 9, 0.1)
        queue.settle_direction(conn, "p1", Direction.CLOCK_OUT)
        deliver(conn, "p2")
        deliveries.set_state(conn, "p3", PunchState.REVIEW, at=T0, reason="out_of_order")

    await db.write(goes_on)
    assert ids(copy) == ["p1", "p2", "p3", "p1"]
    last = records(copy, "punch")[-1]
    assert (last["why"], last["punch"]["time_known"], last["punch"]["direction"]) == ("settled", 1, "clock_out")
    marks = {mark["id"]: (mark["state"], mark.get("remote_id")) for mark in records(copy, "mark")}
    assert marks == {"p2": ("delivered", "r-p2"), "p3": ("review", None)}


async def again(db: Database, copy: Path) -> Database:
    """The same database after a stop in order."""
    await db.close()
    return await Database.open(db.path, inline=True, copy=copy)


async def test_a_medium_that_goes_costs_no_tap_and_is_caught_up(db, copy):
    """Without the medium taps are taken and the trouble is told once; when it is back, what is missing is appended."""
    told: list[str | None] = []
    db.on_copy = told.append
    await punch(db, 1)
    os.rename(copy.parent, copy.parent.with_name("gone"))
    db._copy._fail(OSError(5, "Input/output error"))  # what the kernel says of a stick that was pulled out
    for number in (2, 3):
        await punch(db, number)
    await db.catch_up()
    assert len(told) == 2, "once when it was noticed, once when it was tried again"
    assert "cannot be written: No such file or directory" in (told[-1] or "")
    assert "[copy] path" in (told[-1] or "")
    os.rename(copy.parent.with_name("gone"), copy.parent)
    await punch(db, 4)
    assert ids(copy) == ["p1"]
    await db.catch_up()
    assert told[-1] is None
    assert ids(copy) == ["p1", "p2", "p3", "p4"]
    await punch(db, 5)
    assert ids(copy)[-1] == "p5"


async def test_a_full_medium(db, copy, monkeypatch):
    """ENOSPC in the middle of a line: the tap is accepted; later the torn line stays torn and all the rest is whole."""
    await punch(db, 1)
    real = os.write

    def full(fd: int, content: Any) -> int:
        if os.readlink(f"/proc/self/fd/{fd}") == str(copy):
            if len(content) < 50:
                raise OSError(28, "No space left on device")
            return real(fd, bytes(content)[:50])
        return real(fd, content)

    with monkeypatch.context() as patch:
        patch.setattr("daemon.queue.copying.os.write", full)
        patch.setattr("daemon.queue.copying._write_all", lambda fd, content: (full(fd, content), full(fd, b"")))
        await punch(db, 2)
    assert "No space left on device" in (db.copy_trouble or "")
    await db.catch_up()
    assert db.copy_trouble is None
    found = list(read_all(copy))
    assert found.count(None) == 1
    assert [one["punch"]["id"] for one in found if one and one["is"] == "punch"] == ["p1", "p2"]


async def test_a_sync_that_fails_is_a_trouble(db, copy, monkeypatch):
    """EIO at the sync: the punch is accepted, the copy is in doubt; afterwards the line is there (perhaps twice)."""
    with monkeypatch.context() as patch:

        def broken(fd: int) -> None:
            raise OSError(5, "Input/output error")

        patch.setattr("daemon.queue.copying.os.fdatasync", broken)
        await punch(db, 1)
        assert "Input/output error" in (db.copy_trouble or "")
    inode = copy.stat().st_ino
    await db.catch_up()
    assert db.copy_trouble is None
    assert ids(copy) == ["p1"]
    assert copy.stat().st_ino != inode, "blocks whose sync failed are not relied on: the file is another one"


@pytest.mark.parametrize("cut", ["whole", "half", "none"])
async def test_what_the_copy_lacks_at_the_start_is_appended(db, copy, cut):
    """A copy that stopped earlier, a torn one, and one that is gone, are brought up to date from the database."""
    await punch(db, 1)
    early = copy.read_bytes()
    await punch(db, 2)
    await db.write(lambda conn: deliver(conn, "p1"))
    await db.close()
    if cut == "none":
        copy.unlink()
    else:
        copy.write_bytes(early + (b'{"sum":"12' if cut == "half" else b""))
    db = await Database.open(db.path, inline=True, copy=copy)
    await punch(db, 3)
    await db.close()
    found = [one for one in read_all(copy) if one is not None]
    assert [one["punch"]["id"] for one in found if one["is"] == "punch"] == ["p1", "p2", "p3"]
    delivered = {one["id"] for one in found if one["is"] == "mark"} | {
        one["punch"]["id"] for one in found if one["is"] == "punch" and one["state"] == "delivered"}  # fmt: skip
    assert delivered == {"p1"}
    assert {one["employee"]["name"] for one in found if one["is"] == "employee"} == {"Ann"}


async def test_a_copy_of_another_database_is_left_alone(db, copy, tmp_path):
    """A stick from another kiosk: not a byte is written to it, and the trouble says what to do."""
    await punch(db, 1)
    await db.close()
    before = copy.read_bytes()
    await (await Database.open(tmp_path / "other.db", inline=True)).close()
    other = await Database.open(tmp_path / "other.db", inline=True, copy=copy)
    assert "belongs to another database" in (other.copy_trouble or "")
    await other.write(lambda conn: people.put_employee(conn, "7", "Ann", None))
    await punch(other, 2)
    await other.catch_up()
    assert "belongs to another database" in (other.copy_trouble or "")
    await other.close()
    assert copy.read_bytes() == before


async def test_a_file_without_one_line_of_ours_is_kept_under_another_name(db, copy):
    """Whatever it was, it is not overwritten."""
    await punch(db, 1)
    await db.close()
    copy.write_bytes(b"holiday photographs")
    db = await Database.open(db.path, inline=True, copy=copy)
    await db.close()
    assert copy.with_name("punchd.copy.unreadable-1").read_bytes() == b"holiday photographs"
    assert ids(copy) == ["p1"]


@pytest.mark.parametrize("anew", [False, True])
async def test_marks_ahead_of_the_database_are_noticed(db, copy, anew):
    """The database of before a delivery beside the copy of after it: the copy is believed, nothing is sent or looked up
    again. Also where the copy was written anew since, and the punch's own line says where it stands."""
    await punch(db, 1)
    await db.close()
    before = db.path.read_bytes()
    db = await Database.open(db.path, inline=True, copy=copy)
    await db.write(lambda conn: deliver(conn, "p1"))
    if anew:
        await db.compact_copy()
        assert not records(copy, "mark")
    await db.close()
    db.path.write_bytes(before)
    db = await Database.open(db.path, inline=True, copy=copy)
    found = await db.read(lambda conn: queue.find_punch(conn, "p1"))
    assert (found.state, found.remote_id, found.recorded_as) == (PunchState.DELIVERED, "r-p1", "clock_in")
    assert await db.read(lambda conn: lanes.load_lane(conn, "7")) == []
    await db.close()


async def test_compacting_drops_what_is_pruned_and_nothing_else(db, copy):
    """Pruned punches go, undelivered ones never; a damaged line in the middle is written anew from the database."""
    for number in range(1, 21):
        await punch(db, number)
    for number in range(1, 11):
        await db.write(lambda conn, number=number: deliver(conn, f"p{number}"))
    await db.write(lambda conn: conn.execute("UPDATE deliveries SET user_id = user_id") and prune(conn, T0 + 6))
    left = await db.read(lambda conn: [row[0] for row in conn.execute("SELECT id FROM punches ORDER BY seq")])
    content = bytearray(copy.read_bytes())
    at = content.index(b'"id":"p15"')
    content[at + 2] ^= 1
    copy.write_bytes(content)
    size = copy.stat().st_size
    await db.compact_copy()
    assert db.copy_trouble is None
    assert sorted(ids(copy)) == sorted(left)
    assert records(copy, "mark") == []
    assert {one["punch"]["id"] for one in records(copy, "punch") if one["state"] == "delivered"} == {
        punch_id for punch_id in left if int(punch_id[1:]) <= 10}  # fmt: skip
    assert copy.stat().st_size < size
    assert copy.stat().st_mode & 0o777 == 0o600
    await punch(db, 21)
    await db.close()
    db = await Database.open(db.path, inline=True, copy=copy)
    await db.close()
    assert sorted(ids(copy)) == sorted([*left, "p21"])
    assert [path.name for path in copy.parent.iterdir()] == ["punchd.copy"]


async def test_what_follows_a_pruned_end_of_the_journal_is_told(db, copy):
    """The journal's newest lines went with their punch, and others get their numbers: those are told all the same."""
    await punch(db, 1)
    await db.write(lambda conn: deliver(conn, "p1"))
    last = await db.read(lambda conn: conn.execute("SELECT max(id) FROM journal").fetchone())
    assert (await db.write(lambda conn: prune(conn, T0 + 6))).deleted == 1
    await punch(db, 2)
    await db.write(lambda conn: deliver(conn, "p2"))
    assert await db.read(lambda conn: conn.execute("SELECT max(id) FROM journal").fetchone()) == last
    assert [mark["id"] for mark in records(copy, "mark")] == ["p1", "p2"]


async def test_taps_while_it_is_compacted(db, copy, monkeypatch):
    """What is stored between two steps is in the new file."""
    monkeypatch.setattr("daemon.queue.compacting.STEP", 1)
    for number in range(1, 6):
        await punch(db, number)
    copy_object = db._copy
    more, number = True, 6
    while more:
        more = await db._runner.hop(lambda conn: copy_object.compact(conn))
        if number < 9:
            await punch(db, number)
            number += 1
    assert sorted(ids(copy)) == [f"p{n}" for n in range(1, number)]


@pytest.mark.parametrize("back", ["while running", "at a start"])
async def test_forgetting_reaches_a_medium_that_was_away(tmp_path, back):
    """A stick that was pulled out keeps nobody who was forgotten meanwhile: it is written anew when it is back."""
    path, copy = tmp_path / "punchd.db", tmp_path / "punchd.copy"
    db = await Database.open(path, inline=True, copy=copy)
    await db.write(lambda conn: hired(conn))
    assert b"04A1" in copy.read_bytes()
    db._copy._fail(OSError(5, "Input/output error"))
    await forget(db, db.write, "7", T0, "uid:0")
    if back == "while running":
        await db.catch_up()
    else:
        await db.close()
        db = await Database.open(path, inline=True, copy=copy)
    assert db.copy_trouble is None
    assert b"04A1" not in copy.read_bytes()
    assert b"Ann" not in copy.read_bytes()
    await punch(db, 1)
    assert ids(copy) == ["p1"]
    await db.close()


async def test_forgetting_reaches_it(db, copy):
    """After erasing a person and compacting, neither name nor badge is anywhere in the file; the hours are."""
    await punch(db, 1)
    await punch(db, 2)
    await db.write(lambda conn: conn.execute(
        "UPDATE taps SET punch_id = (SELECT id FROM punches WHERE tap_id = taps.id)"))  # fmt: skip
    assert b"Ann" in copy.read_bytes()

    def forget(conn: sqlite3.Connection) -> None:
        erasure.erase(conn, erasure.begin(conn, "7", T0 + 9), T0 + 9)
        journal(conn, T0 + 9, "uid:0", "employee.forgotten", data={"user_id": "7"})

    await db.write(forget)
    await db.compact_copy()
    assert b"Ann" not in copy.read_bytes()
    assert b"04A1" not in copy.read_bytes()
    assert sorted(ids(copy)) == ["p1", "p2"]
    assert [path.name for path in copy.parent.iterdir()] == ["punchd.copy"]


async def test_a_row_that_was_altered_is_not_copied_as_if_it_were_true(db, copy):
    """The copy lacks it rather than vouch for it, and the damage is noted for the next start."""
    await punch(db, 1)
    await db.write(lambda conn: deliver(conn, "p1"))  # what is to be delivered is looked at before anything is opened
    await db.close()
    with closing(sqlite3.connect(db.path)) as conn:
        conn.execute("DROP TRIGGER punches_are_facts")
        conn.execute("UPDATE punches SET raw_at = raw_at + 1")
        conn.commit()
    copy.unlink()
    db = await Database.open(db.path, inline=True, copy=copy)
    assert ids(copy) == []
    await punch(db, 2)
    assert "p1" in db.damage
    assert "p1" in db.path.with_name("punchd.damaged").read_text()
    await db.close()


def test_a_line_torn_at_any_byte_is_no_line():
    """Nor one with any byte changed; whole ones decode to what was encoded."""
    record = {"is": "mark", "of": "ab", "n": 3, "j": 4, "id": "p1", "state": "delivered", "detail": "é\n€"}
    line = encode(record)
    assert decode(line) == decode(line[:-1]) == record
    assert json.loads(line)["is"] == "mark"
    assert line.count(b"\n") == 1
    for at in range(len(line) - 1):
        assert decode(line[:at]) is None, at
        for bit in (1, 0x80):
            damaged = bytearray(line)
            damaged[at] ^= bit
            assert decode(bytes(damaged)) is None, at


async def test_a_copy_of_many_is_made_and_read_in_steps(tmp_path, copy, monkeypatch):
    """A database of before there was a copy gets a whole one at its start, however small the steps."""
    monkeypatch.setattr("daemon.queue.copying._START_STEP", 3)
    copy.parent.mkdir()
    conn, _ = open_file(tmp_path / "punchd.db")
    rows = Rows(conn)
    rows.employee()
    for number in range(20):
        rows.delivered(T0 + number)
    conn.close()
    db = await Database.open(tmp_path / "punchd.db", inline=True, copy=copy)
    assert len(ids(copy)) == 20
    await db.close()
    shutil.rmtree(copy.parent)
