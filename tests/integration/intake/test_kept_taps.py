"""Taps of badges that nobody owned become punches when somebody does."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from functools import partial

import pytest

from daemon.errors import RefusedError
from daemon.intake.rules import Rules
from daemon.model import Direction, PunchState, ReaderDirection, TapResult
from daemon.queue.chain import link_tap
from daemon.queue.database import Database
from tests.support.fake_clock import START
from tests.support.intake_kit import ANN, READERS, Kit
from tests.support.tampering import unguarded

IN, OUT = Direction.CLOCK_IN, Direction.CLOCK_OUT
NEW = "04CC0003"
DAY = 86400


async def taps_at(kit, *moments: float, badge: str = NEW, reader: str = "front") -> None:
    """Taps at so many seconds after START; the clock stands at the last."""
    for moment in moments:
        kit.clock.advance(START + moment - kit.clock.wall)
        await kit.tap(badge, reader)


async def test_days_later_they_have_their_original_times(kit):
    """A badge assigned after two days: in and out of both days, in order, journalled with who assigned it."""
    await taps_at(kit, 0, 8 * 3600, DAY, DAY + 8 * 3600)
    kit.clock.advance(3 * 3600)
    assigned = await kit.directory.assign("04:cc:00:03", "7", by="uid:1000")
    assert (assigned.badge.badge, assigned.badge.user_id) == (NEW, "7")
    made = [(punch.direction, punch.occurred_at - START, punch.state) for punch in assigned.punches]
    times = [0, 8 * 3600, DAY, DAY + 8 * 3600]
    assert made == [(way, at, PunchState.PENDING) for way, at in zip([IN, OUT, IN, OUT], times, strict=True)]
    assert kit.told == list(assigned.punches)
    assert await kit.journal(assigned.punches[0]) == [("uid:1000", "punch.claimed")]
    assert await kit.directory.unknown() == []
    assert await kit.rows("SELECT count(*) FROM taps t JOIN punches p ON p.id = t.punch_id AND p.tap_id = t.id") == [
        (4,)
    ]


async def test_repeats_of_five_minutes_are_folded(kit):
    """Somebody whose badge is refused taps again and again: one punch, counted from the first."""
    await taps_at(kit, 0, 70, 290, 301, 3600)
    assigned = await kit.directory.assign(NEW, "7", by="uid:0")
    assert [punch.occurred_at - START for punch in assigned.punches] == [0, 301, 3600]
    assert await kit.rows("SELECT count(*) FROM taps WHERE punch_id IS NULL") == [(0,)]


async def test_the_other_fixed_reader_is_never_folded(kit):
    """In and out at two fixed readers within five minutes are both meant."""
    await taps_at(kit, 0, reader="in")
    await taps_at(kit, 100, reader="out")
    assigned = await kit.directory.assign(NEW, "7", by="uid:0")
    assert [punch.direction for punch in assigned.punches] == [IN, OUT]


async def test_they_go_the_way_their_reader_was_meant_for_when_they_were_tapped(kit):
    """Tapped at a toggle and at an exit that became entrances since: in and out, as it was; new taps go the new way."""
    await taps_at(kit, 0, 8 * 3600)
    await taps_at(kit, DAY, badge="04CC0004")
    await taps_at(kit, DAY + 100, badge="04CC0004", reader="out")
    entrances = [replace(reader, direction=ReaderDirection.CLOCK_IN) for reader in READERS]
    kit.intake.rules = Rules.of(kit.intake.rules.attendance, entrances)
    await taps_at(kit, 2 * DAY, badge="04CC0005", reader="out")
    made = [
        [punch.direction for punch in (await kit.directory.assign(badge, user_id, by="uid:0")).punches]
        for badge, user_id in ((NEW, "7"), ("04CC0004", "8"))
    ]
    assert made == [[IN, OUT], [IN, OUT]]
    assert (await kit.directory.assign("04CC0005", "7", by="uid:0")).punches[0].direction is IN


async def test_what_an_older_version_kept_goes_the_way_its_reader_goes_now(kit):
    """Of such a tap nothing else is known."""
    await taps_at(kit, 0, reader="out")
    await kit.database.write(without_ways)
    assigned = await kit.directory.assign(NEW, "7", by="uid:0")
    assert [punch.direction for punch in assigned.punches] == [OUT]


def without_ways(conn: sqlite3.Connection) -> None:
    """As the step that added the column left them."""
    conn.execute("DROP TRIGGER taps_keep_their_way")
    for (tap_id,) in conn.execute("UPDATE taps SET way = NULL RETURNING id").fetchall():
        link_tap(conn, tap_id)


async def test_only_the_last_seven_days_unless_told(kit):
    """Older taps stay kept, and `since` reaches them."""
    await taps_at(kit, 0, 3600, 8 * DAY)
    assigned = await kit.directory.assign(NEW, "7", by="uid:0")
    assert [punch.occurred_at - START for punch in assigned.punches] == [8 * DAY]
    again = await kit.directory.assign(NEW, "7", since=START + 1800, by="uid:0")
    assert [(punch.occurred_at - START, punch.state, punch.reason) for punch in again.punches] == [
        (3600, PunchState.REVIEW, "out_of_order")
    ]


async def test_not_those_before_the_last_release(kit):
    """Taps before a badge was last freed belong to whoever carried it then."""
    await taps_at(kit, 0)
    kit.clock.advance(60)
    await kit.directory.block(NEW, by="uid:0")
    await kit.directory.release(NEW, by="uid:0")
    await taps_at(kit, 3600)
    assigned = await kit.directory.assign(NEW, "7", by="uid:0")
    assert [punch.occurred_at - START for punch in assigned.punches] == [3600]


async def test_what_does_not_lie_after_the_last_punch_goes_to_review(kit):
    """The person had punched with another badge since: nothing is pushed in between by itself."""
    await kit.punch(ANN)
    await taps_at(kit, 4 * 3600)
    kit.clock.advance(4 * 3600)
    last = await kit.punch(ANN)
    kit.clock.advance(60)
    (punch,) = (await kit.directory.assign(NEW, "7", by="uid:0")).punches
    assert (punch.state, punch.reason, punch.direction) == (PunchState.REVIEW, "out_of_order", OUT)
    assert (await kit.find(last)).state is PunchState.PENDING


async def test_repeats_are_folded_also_where_they_go_to_review(kit):
    """Two kept taps of one arrival before the person's last punch are one decision for a person, not two."""
    await taps_at(kit, 0, 100)
    kit.clock.advance(3600)
    await kit.punch(ANN)
    (punch,) = (await kit.directory.assign(NEW, "7", by="uid:0")).punches
    assert (punch.state, punch.occurred_at) == (PunchState.REVIEW, START)
    assert await kit.rows("SELECT DISTINCT punch_id FROM taps WHERE badge = ?", NEW) == [(punch.id,)]


async def test_a_kept_tap_that_repeats_the_persons_own_punch_is_folded(kit):
    """New badge after the old one, two minutes later: the same arrival."""
    punch = await kit.punch(ANN)
    await taps_at(kit, 120)
    assert (await kit.directory.assign(NEW, "7", by="uid:0")).punches == ()
    assert await kit.rows("SELECT punch_id FROM taps WHERE badge = ?", NEW) == [(punch.id,)]


async def test_stated_taps_count_by_what_was_stated(kit):
    """Told in the wrong order, converted in the right one."""
    await kit.tap(NEW, at=START - 3600.0)
    await kit.tap(NEW, at=START - 7200.0)
    punches = (await kit.directory.assign(NEW, "7", by="uid:0")).punches
    assert [(punch.direction, punch.occurred_at) for punch in punches] == [
        (IN, START - 7200.0),
        (OUT, START - 3600.0),
    ]


async def test_those_without_trust_wait_for_their_time(kit):
    """Claimed while the clock is untrusted they are held; claimed after, they have the boot clock's time."""
    kit.reboot(wall=START)
    await kit.tap(NEW)
    (held,) = (await kit.directory.assign(NEW, "7", by="uid:0")).punches
    assert (held.state, held.reason, held.direction) == (PunchState.HELD, "clock_untrusted", IN)
    await kit.tap("04DD")
    kit.clock.advance(100)
    kit.clock.step(50)
    kit.clock.synchronised = True
    (settled,) = (await kit.directory.assign("04DD", "8", by="uid:0")).punches
    assert (settled.state, settled.occurred_at) == (PunchState.PENDING, START + 50)
    assert await kit.intake.settle_times() == 1
    assert (await kit.find(held)).occurred_at == START + 50


async def test_unknown_shows_what_waits(kit):
    """One line a badge: how many taps, from when to when, at which reader last; badges with an owner are not there."""
    await taps_at(kit, 0, 3600)
    await taps_at(kit, 7200, badge="04DD", reader="in")
    later, earlier = await kit.directory.unknown()
    assert (later.badge, later.taps, later.reader) == ("04DD", 1, "in")
    assert (earlier.badge, earlier.taps) == (NEW, 2)
    assert (earlier.first_at, earlier.last_at) == (START, START + 3600)


async def test_the_next_tap_follows_on(kit):
    """After the claim the badge is known, and its next tap ends the shift that the kept one began."""
    await taps_at(kit, 0)
    await kit.directory.assign(NEW, "7", by="uid:0")
    kit.clock.advance(3600)
    answer = await kit.tap(NEW)
    assert (answer.result, answer.punch and answer.punch.direction) == (TapResult.ACCEPTED, OUT)


@pytest.mark.parametrize("damage", [
    "UPDATE taps SET raw_at = raw_at + 8192, boottime_s = boottime_s + 8192 WHERE id = 1",
    f"UPDATE taps SET badge = '{NEW}' WHERE badge = '04DD0004'",
    "UPDATE taps SET link = NULL WHERE id = 1",
    "UPDATE chain SET salt = NULL WHERE kind = 'tap' AND row_id = 1",
])  # fmt: skip
@pytest.mark.parametrize("enrolled", [False, True])
async def test_one_that_is_not_as_it_was_stored_becomes_no_punch(tmp_path, damage, enrolled):
    """It is damage: nothing of the badge changes, the next start salvages, and then each has its own time."""
    database = await Database.open(tmp_path / "punchd.db", inline=True, copy=tmp_path / "punchd.copy")
    kit = Kit(database)
    await kit.directory.add("7", "Ann", badge=ANN, by="uid:0")
    await taps_at(kit, 0, 3600)
    await taps_at(kit, 3700, badge="04DD0004")
    await database.write(partial(damaged, statement=damage))
    if enrolled:
        kit.intake.enrolments.begin("7", "uid:0")
        assert (await kit.tap(NEW)).reason == "cannot_store"
    else:
        with pytest.raises(RefusedError, match=r"kept tap \d is damaged"):
            await kit.directory.assign(NEW, "7", by="uid:0")
    assert await kit.punches() == []
    assert await kit.rows("SELECT count(*) FROM badges WHERE badge = ?", NEW) == [(0,)]
    assert database.damaged.is_set()
    await database.close()
    database = await Database.open(tmp_path / "punchd.db", inline=True, copy=tmp_path / "punchd.copy")
    kit = Kit(database, clock=kit.clock)
    assigned = await kit.directory.assign(NEW, "7", by="uid:0")
    assert [punch.raw_at - START for punch in assigned.punches] == [0, 3600]
    await database.close()


def damaged(conn: sqlite3.Connection, statement: str) -> None:
    """Change what no statement of punchd could."""
    with unguarded(conn):
        conn.execute(statement)
