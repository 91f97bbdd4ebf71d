"""A person's right to be forgotten: name and badges are gone, also from the bytes on disk; the hours stay."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict, replace

import pytest

from daemon.errors import NotFoundError
from daemon.model import PunchState, RecordedAs, TapResult
from daemon.queue import deliveries, erasure
from daemon.queue.erasure import FORGOTTEN_NAME, Traces, _without
from tests.support.fake_clock import START
from tests.support.intake_kit import ANN, BOB

DAY = 86_400
NAME = "Zuleika Unvergesslich"
SECOND = "04DD0004"
LOST = "04EE0005"


async def lived(kit) -> None:
    """A person with a history: three badges, one of them blocked; punches, repeats, claimed taps, a new name."""
    await kit.directory.import_csv(f"user_id,name,badge,job_id\n9,{NAME},{SECOND},\n".encode(), by="uid:0")
    await kit.tap(LOST)  # unknown yet
    kit.clock.advance(3600)
    await kit.directory.assign(LOST, "9", by="uid:0")
    for _ in range(3):
        kit.clock.advance(3600)
        await kit.tap(SECOND)
        kit.clock.advance(5)
        await kit.tap(SECOND)  # a repeat
    await kit.directory.block(LOST, by="uid:0")
    await kit.tap(LOST)  # refused
    kit.clock.advance(3600)
    await kit.punch(ANN)
    await kit.punch(BOB)


async def whole(kit) -> str:
    """Everything that stands in the database, as text."""
    return await kit.database.read(lambda conn: "\n".join(conn.iterdump()))


async def test_name_and_badges_are_gone_and_the_hours_stay(kit):
    """Nowhere in the tables, nor in the bytes of the files; each punch has its time, direction, state and history."""
    await lived(kit)
    before = await kit.punches("9")
    others = [*await kit.punches("7"), *await kit.punches("8")]
    done = await kit.directory.forget("9", by="uid:1000")
    assert (done.badges, done.punches_kept, done.undelivered, done.blocked_badges_kept) == (2, 4, 4, 1)
    assert done.taps_deleted == 4  # three repeats, one refused
    text = await whole(kit)
    assert NAME not in text
    assert SECOND not in text
    assert [line for line in text.splitlines() if LOST in line and "badges" not in line] == []
    for suffix in ("", "-wal"):
        path = kit.database.path.with_name(kit.database.path.name + suffix)
        content = path.read_bytes() if path.exists() else b""
        assert NAME.encode() not in content
        assert SECOND.encode() not in content
    after = await kit.punches("9")
    assert after == [replace(punch, name=FORGOTTEN_NAME, badge=None) for punch in before]
    assert [*await kit.punches("7"), *await kit.punches("8")] == others
    assert await kit.rows("SELECT count(*) FROM permits") == [(0,)]
    ((by, data),) = await kit.rows("SELECT by, data FROM journal WHERE action = 'employee.forgotten'")
    assert (by, json.loads(data)) == ("uid:1000", {"user_id": "9", **asdict(done)})


async def test_what_was_not_delivered_still_goes(kit):
    """An attempt may begin, and end as delivered, after its person was forgotten."""
    await lived(kit)
    await kit.directory.forget("9", by="uid:0")
    (first, *_) = await kit.punches("9")

    def deliver(conn: sqlite3.Connection) -> None:
        attempt = deliveries.begin_attempt(conn, "open_shift", {}, [first.id], START)
        deliveries.end_attempt(conn, attempt, "done", at=START)
        deliveries.set_state(
            conn, first.id, PunchState.DELIVERED, at=START, remote_id="r", recorded_as=RecordedAs.CLOCK_IN
        )

    await kit.database.write(deliver)
    assert (await kit.find(first)).state is PunchState.DELIVERED


async def test_a_blocked_badge_stays_blocked_for_everybody(kit):
    """A lost badge must not open again because its owner was forgotten; but it is nobody's now."""
    await lived(kit)
    await kit.directory.forget("9", by="uid:0")
    assert (await kit.tap(LOST)).reason == "badge_blocked"
    (badge,) = [one for one in await kit.directory.badges() if one.badge == LOST]
    assert (badge.user_id, badge.name) == (None, None)


async def test_the_next_owner_of_a_badge_loses_nothing_and_gains_nothing(kit):
    """Badge handed on, then its first owner forgotten: the next one's punches and unclaimed taps are theirs alone."""
    await lived(kit)
    await kit.directory.remove("9", by="uid:0")
    kit.clock.advance(3600)
    assert (await kit.tap(SECOND)).result is TapResult.UNKNOWN_BADGE
    await kit.directory.forget("9", by="uid:0")
    made = (await kit.directory.assign(SECOND, "8", by="uid:0")).punches
    assert [punch.badge for punch in made] == [SECOND]
    theirs = await kit.punches("8")
    await kit.directory.forget("9", by="uid:0")
    assert await kit.punches("8") == theirs
    assert await kit.rows("SELECT badge FROM taps WHERE punch_id = ?", made[0].id) == [(SECOND,)]


async def test_a_badge_that_was_handed_on_before_is_the_next_owners(kit):
    """The new owner's punches, their taps and the badge itself are left alone."""
    await lived(kit)
    await kit.directory.remove("9", by="uid:0")
    kit.clock.advance(3600)
    await kit.directory.assign(SECOND, "8", by="uid:0")
    kit.clock.advance(3600)
    punch = await kit.punch(SECOND)
    theirs = await kit.punches("8")
    await kit.directory.forget("9", by="uid:0")
    assert await kit.punches("8") == theirs
    assert await kit.rows("SELECT badge FROM taps WHERE punch_id = ?", punch.id) == [(SECOND,)]
    assert {badge.badge for badge in await kit.directory.badges() if badge.user_id == "8"} == {BOB, SECOND}


async def test_an_old_unclaimed_tap_never_goes_to_the_next_owner(kit):
    """A tap before the badge was theirs to have converted is deleted with them, `--since` or not."""
    await kit.tap(SECOND)
    kit.clock.advance(DAY)
    await kit.directory.add("9", NAME, by="uid:0")
    assert (await kit.directory.assign(SECOND, "9", since=kit.clock.wall - 60, by="uid:0")).punches == ()
    await kit.directory.forget("9", by="uid:0")
    assert (await kit.directory.assign(SECOND, "8", since=START - DAY, by="uid:0")).punches == ()


async def test_forgotten_after_leaving_and_twice(kit):
    """Also long after `remove`; again changes nothing; who never was here is refused."""
    await lived(kit)
    await kit.directory.remove("9", by="uid:0")
    assert (await kit.directory.forget("9", by="uid:0")).punches_kept == 4
    again = await kit.directory.forget("9", by="uid:0")
    assert (again.badges, again.taps_deleted, again.punches_kept) == (0, 0, 4)
    assert NAME not in await whole(kit)
    with pytest.raises(NotFoundError):
        await kit.directory.forget("99", by="uid:0")


async def test_it_is_looked_for_a_little_at_a_time(kit, monkeypatch):
    """However long the tables: each look sees a window; a tap between two looks is erased as well."""
    await lived(kit)
    monkeypatch.setattr(erasure.look_on, "__defaults__", (2,))
    looks = 0
    read = kit.database.read

    async def tapping(fn):
        nonlocal looks
        looks += 1
        if looks == 3:
            kit.clock.advance(3600)
            await kit.punch(SECOND)
            kit.clock.advance(5)
            assert (await kit.tap(SECOND)).result is TapResult.REPEAT
        return await read(fn)

    monkeypatch.setattr(kit.database, "read", tapping)
    done = await kit.directory.forget("9", by="uid:0")
    monkeypatch.undo()
    assert looks > 5
    assert done.punches_kept == 5
    assert SECOND not in await whole(kit)


async def test_a_tap_just_before_the_erasure_is_erased_as_well(kit, monkeypatch):
    """What is stored after the last look and before the transaction: looked at inside it."""
    await lived(kit)
    write, tapped = kit.database.write, False

    async def tapping(fn):
        nonlocal tapped
        if not tapped:
            tapped = True
            kit.clock.advance(3600)
            await kit.punch(SECOND)
            kit.clock.advance(5)
            assert (await kit.tap(SECOND)).result is TapResult.REPEAT
        return await write(fn)

    monkeypatch.setattr(kit.database, "write", tapping)
    done = await kit.directory.forget("9", by="uid:0")
    assert (done.punches_kept, done.taps_deleted) == (5, 5)
    assert SECOND not in await whole(kit)


FORBIDDEN = {
    "another's punch": "UPDATE punches SET badge = NULL WHERE user_id = '7'",
    "another's tap": "UPDATE taps SET badge = '' WHERE punch_id IN (SELECT id FROM punches WHERE user_id = '7')",
    "another badge instead": "UPDATE punches SET badge = '04FF' WHERE user_id = '9'",
    "another badge on a tap": "UPDATE taps SET badge = '04FF'",
    "a time": "UPDATE punches SET occurred_at = 1, badge = NULL WHERE user_id = '9'",
    "who did it": "UPDATE journal SET by = 'uid:1'",
}


@pytest.mark.parametrize("what", FORBIDDEN)
async def test_the_permit_allows_nothing_else(kit, what):
    """With the permit for one person, everything but blanking their badges is refused as ever."""
    await lived(kit)

    def try_it(conn: sqlite3.Connection) -> None:
        conn.execute("INSERT INTO permits (what, user_id) VALUES ('erase', '9')")
        conn.execute(FORBIDDEN[what])

    with pytest.raises(sqlite3.IntegrityError, match="cannot be changed"):
        await kit.database.write(try_it)


async def test_without_a_permit_or_with_one_left_behind_nothing_is_committed(kit):
    """A badge cannot be blanked by the way, and a transaction that forgets to give the permit back is undone."""
    await lived(kit)
    with pytest.raises(sqlite3.IntegrityError, match="a punch is a fact"):
        await kit.database.write(lambda conn: conn.execute("UPDATE punches SET badge = NULL"))
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        await kit.database.write(lambda conn: conn.execute("INSERT INTO permits (what, user_id) VALUES ('erase', '9')"))
    assert await kit.rows("SELECT count(*) FROM permits") == [(0,)]


def test_a_line_that_damage_made_unreadable_is_emptied():
    """What is left of it may be the person's; and it keeps nobody from being forgotten."""
    assert _without('{"user_id":"7","na', Traces("7", {})) == "{}"
