"""Taps become punches: stored first, judged by the rules, refused where they cannot be kept."""

from __future__ import annotations

import asyncio
import sqlite3

import pytest

from daemon.errors import StorageError
from daemon.intake.attendance import ServerView
from daemon.model import Direction, PunchState, TapResult
from daemon.queue.people import put_employee
from drivers.reader import Tap
from tests.support.fake_clock import START
from tests.support.intake_kit import ANN, BOB, give_shift

IN, OUT = Direction.CLOCK_IN, Direction.CLOCK_OUT


async def test_a_tap_becomes_a_punch_with_all_that_was_known(kit):
    """A known badge's tap is a pending clock-in at the moment of the tap, with reader, badge, job and evidence."""
    punch = await kit.punch()
    assert (punch.user_id, punch.name, punch.direction, punch.state) == ("7", "Ann", IN, PunchState.PENDING)
    assert (punch.occurred_at, punch.raw_at, punch.time_known) == (START, START, True)
    assert (punch.reader, punch.badge, punch.job_id) == ("front", ANN, "reader-job")
    assert (punch.boot_id, punch.boottime_s, punch.synchronised) == ("boot-1", 1000.0, True)
    assert len(punch.id) == 26
    assert await kit.punches() == [punch]
    assert kit.told == [punch]


async def test_the_persons_job_comes_before_the_readers(kit):
    """A reader's job is only a default."""
    assert (await kit.punch(BOB)).job_id == "bob-job"


async def test_in_then_out_then_in(kit):
    """On a toggle reader taps alternate."""
    directions = []
    for _ in range(4):
        directions.append((await kit.punch()).direction)
        kit.clock.advance(3600)
    assert directions == [IN, OUT, IN, OUT]


async def test_a_repeat_is_counted_from_the_accepted_tap(kit):
    """Taps at 0, 40 and 59.9 s are one; at 60 s the next begins: repeats prolong nothing."""
    await kit.punch()
    for seconds in (40, 19.9):
        kit.clock.advance(seconds)
        answer = await kit.tap()
        assert (answer.result, answer.reason, answer.punch) == (TapResult.REPEAT, "repeat_tap", None)
    kit.clock.advance(0.1)
    assert (await kit.punch()).direction is OUT
    assert await kit.rows("SELECT result FROM taps ORDER BY id") == [
        ("accepted",),
        ("repeat",),
        ("repeat",),
        ("accepted",),
    ]


@pytest.mark.parametrize("step", [-86400.0, -30.0, 30.0, 86400.0])
async def test_a_clock_step_neither_makes_nor_hides_a_repeat(kit, step):
    """Repeats go by a clock that cannot step: 20 s later is a repeat and 100 s later is not, wherever the wall goes."""
    await kit.punch()
    kit.clock.synchronised = False
    kit.clock.step(step)
    kit.clock.advance(20)
    assert (await kit.tap()).result is TapResult.REPEAT
    kit.clock.advance(80)
    assert (await kit.tap()).result is TapResult.ACCEPTED


async def test_fixed_readers_decide_and_correct(kit):
    """At a fixed reader its direction counts; within a minute the other one is a correction, the same one a repeat."""
    assert (await kit.punch(reader="out")).direction is OUT
    kit.clock.advance(5)
    assert (await kit.punch(reader="in")).direction is IN
    kit.clock.advance(5)
    assert (await kit.tap(reader="in")).result is TapResult.REPEAT
    assert (await kit.tap(reader="front")).result is TapResult.REPEAT


async def test_another_person_is_never_a_repeat(kit):
    """One person's tap says nothing of another's."""
    await kit.punch(ANN)
    assert (await kit.punch(BOB)).direction is IN


async def test_a_forgotten_clock_out_does_not_turn_the_next_day_around(kit):
    """More than max_shift_hours after a clock-in, a tap is a clock-in again."""
    await kit.punch()
    kit.clock.advance(14 * 3600 + 1)
    assert (await kit.punch()).direction is IN


async def test_an_employees_own_longest_shift_counts(kit):
    """max_shift_s of one employee overrides the configuration's."""
    await kit.database.write(lambda conn: give_shift(conn, "7", 20 * 3600))
    await kit.punch()
    kit.clock.advance(16 * 3600)
    assert (await kit.punch()).direction is OUT


async def test_the_servers_view_corrects_ours(kit):
    """A fresh view that shows a shift opened on a phone makes the first tap here a clock-out."""
    kit.server_view = lambda user_id: ServerView(START - 5, float("-inf"), open_since=START - 3600)
    assert (await kit.punch()).direction is OUT


async def test_a_stated_time_is_what_counts(kit):
    """With a stated time, repeat, direction and time go by it, whenever it was told."""
    first = await kit.punch(at=START - 7200.0)
    assert (first.occurred_at, first.boottime_s) == (START - 7200.0, 1000.0 - 7200.0)
    assert (await kit.tap(at=START - 7200.0 + 59)).result is TapResult.REPEAT
    second = await kit.punch(at=START - 3600.0)
    assert (second.direction, second.occurred_at) == (OUT, START - 3600.0)


async def test_stated_times_that_cannot_be_are_refused(kit):
    """A stated time in the future, or not after the person's last punch, is refused, kept as a tap, and no punch."""
    await kit.punch(at=START - 600)
    future = await kit.tap(at=START + 1)
    assert (future.result, future.reason, future.punch) == (TapResult.REFUSED, "time_in_future", None)
    for at in (START - 600, START - 900):
        early = await kit.tap(at=at)
        assert (early.result, early.reason) == (TapResult.REFUSED, "time_not_after_last")
    assert (await kit.tap("04CC", at=START + 1)).reason == "time_in_future"
    assert len(await kit.punches()) == 1
    assert await kit.rows("SELECT count(*) FROM taps") == [(5,)]


async def test_unknown_badges_are_kept(kit):
    """Nobody's badge is stored and answered as such."""
    answer = await kit.tap("04 cc 00 03")
    assert (answer.result, answer.reason, answer.punch) == (TapResult.UNKNOWN_BADGE, "unknown_badge", None)
    assert await kit.rows("SELECT badge, result FROM taps") == [("04CC0003", "unknown_badge")]


async def test_blocked_badges_are_refused_and_others_of_the_person_are_not(kit):
    """Blocking refuses one badge, frees nothing, and is undone by releasing it."""
    await kit.directory.assign("04AA0009", "7", by="uid:0")
    await kit.directory.block(ANN, by="uid:0")
    answer = await kit.tap()
    assert (answer.result, answer.reason) == (TapResult.REFUSED, "badge_blocked")
    assert (await kit.punch("04AA0009")).user_id == "7"
    await kit.directory.release(ANN, by="uid:0")
    assert (await kit.tap()).result is TapResult.UNKNOWN_BADGE


async def test_badges_that_change_at_each_tap_are_refused_at_nfc_readers_only(kit):
    """A four-byte UID beginning 08 is a phone at an NFC reader; typed by a scanner it is a number like others."""
    answer = await kit.tap("08123456", reader="nfc")
    assert (answer.result, answer.reason) == (TapResult.REFUSED, "unstable_badge")
    assert await kit.rows("SELECT badge, reason FROM taps") == [("08123456", "unstable_badge")]
    assert (await kit.tap("08123456", reader="front")).result is TapResult.UNKNOWN_BADGE


@pytest.mark.parametrize("badge", ["", "  ", "x" * 65, "a\nb", "\ud800", "a\0b"])
async def test_a_malformed_badge_is_refused_and_nothing_breaks(kit, badge):
    """What cannot be a badge is refused; the next tap is taken."""
    answer = await kit.tap(badge)
    assert (answer.result, answer.reason) == (TapResult.REFUSED, "malformed_badge")
    assert (await kit.tap()).result is TapResult.ACCEPTED


async def test_a_removed_employees_badge_is_free_and_their_punches_stay(kit):
    """Removing somebody frees the badge; what they punched is still to be sent."""
    punch = await kit.punch()
    await kit.directory.remove("7", by="uid:0")
    assert (await kit.tap()).result is TapResult.UNKNOWN_BADGE
    assert (await kit.find(punch)).state is PunchState.PENDING


async def test_after_close_taps_are_refused_as_stopping(kit):
    """While the service stops nobody is told a lie."""
    kit.intake.close()
    answer = await kit.tap()
    assert (answer.result, answer.reason) == (TapResult.REFUSED, "stopping")


# --- disks, cancellation, mistakes


async def fill_disk(kit) -> None:
    """From now on the database may not grow: SQLite answers as on a full disk."""

    def fill(conn: sqlite3.Connection) -> None:
        (pages,) = conn.execute("PRAGMA page_count").fetchone()
        conn.execute(f"PRAGMA max_page_count = {pages}")

    await kit.database.read(fill)


async def test_a_full_disk_is_a_refusal_with_an_alarm_that_goes_away(kit):
    """On a disk that is full people are refused; with room again the alarm ends, and no half punch is left."""
    await fill_disk(kit)
    answers = []
    while not answers or answers[-1].result is not TapResult.REFUSED:
        kit.clock.advance(61)
        answers.append(await kit.tap())
        assert len(answers) < 1000
    assert answers[-1].reason == "cannot_store"
    assert kit.alarm_codes() == ["cannot_store"]
    assert len(await kit.punches()) == len(answers) - 1 == len(kit.told)
    await kit.database.read(lambda conn: conn.execute("PRAGMA max_page_count = 1000000").fetchone())
    assert (await kit.tap()).result is TapResult.ACCEPTED
    assert kit.alarm_codes() == []


class Failing:
    """A database whose writes fail."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def write(self, fn):
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        sqlite3.OperationalError("disk I/O error"),
        sqlite3.OperationalError("attempt to write a readonly database"),
        sqlite3.DatabaseError("database disk image is malformed"),
        OSError(5, "Input/output error"),
        StorageError("the database cannot be used"),
    ],
)
async def test_every_way_a_disk_fails_is_a_refusal(kit, error, monkeypatch):
    """accept() never raises for a bad disk."""
    monkeypatch.setattr(kit.intake, "_database", Failing(error))
    answer = await kit.tap()
    assert (answer.result, answer.reason) == (TapResult.REFUSED, "cannot_store")
    assert kit.alarm_codes() == ["cannot_store"]


@pytest.mark.parametrize("error", [sqlite3.IntegrityError("a punch is a fact"), AssertionError("no"), KeyError("x")])
async def test_a_mistake_of_ours_is_not_taken_for_a_bad_disk(kit, error, monkeypatch):
    """What only a bug causes is raised, not answered."""
    monkeypatch.setattr(kit.intake, "_database", Failing(error))
    with pytest.raises(type(error)):
        await kit.tap()


async def test_a_cancelled_tap_is_stored_whole_or_not_at_all(kit):
    """Cancelling at every point leaves tap and punch both or neither, and the next tap is taken."""
    for turns in range(6):
        kit.clock.advance(100)
        task = asyncio.create_task(kit.tap())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        halves = await kit.rows(
            "SELECT count(*) FROM taps t LEFT JOIN punches p ON p.tap_id = t.id WHERE t.punch_id IS NOT p.id"
        )
        assert halves == [(0,)]
    kit.clock.advance(100)
    assert (await kit.tap()).result is TapResult.ACCEPTED


async def test_taps_at_the_same_time_are_judged_one_after_another(kit):
    """Twenty taps of one badge at once are one punch: no two transactions see the same last punch."""
    answers = await asyncio.gather(*(kit.tap() for _ in range(20)))
    assert sorted(answer.result for answer in answers) == [TapResult.ACCEPTED] + [TapResult.REPEAT] * 19


async def test_events_tell_what_was_committed(kit):
    """Watchers hear of punches, repeats and unknown badges."""
    async with kit.events.watch() as watch:
        await kit.tap()
        await kit.tap()
        await kit.tap("04CC")
        await asyncio.sleep(0)  # told in the loop's next turn
        heard = [watch.get_nowait() for _ in range(watch.qsize())]
    assert [event.name for event in heard] == ["punch.committed", "tap.repeated", "tap.unknown"]
    assert heard[0].data["user_id"] == "7"


async def test_two_readers_handing_in_the_wrong_way_round_is_one_tap(kit):
    """A tap that reaches the intake after a slightly later one of another reader is the same tap."""
    earlier = kit.clock.now()
    kit.clock.advance(0.5)
    await kit.punch()
    assert (await kit.intake.accept(Tap("front", ANN, earlier))).result is TapResult.REPEAT


async def test_a_tap_before_the_last_punch_is_stored_for_review(kit):
    """When the clock was once wrong ahead and called right, later taps are kept, for a person to decide."""
    await kit.punch()
    kit.clock.step(-3600)
    kit.clock.advance(600)
    punch = await kit.punch()
    assert (punch.direction, punch.state, punch.reason) == (OUT, PunchState.REVIEW, "out_of_order")


async def test_names_may_change_and_badges_stay(kit):
    """A changed name shows on punches taken before."""
    punch = await kit.punch()
    await kit.database.write(lambda conn: put_employee(conn, "7", "Ann Smith", None))
    assert (await kit.find(punch)).name == "Ann Smith"


@pytest.mark.parametrize("badge", [ANN, "04CC0003"], ids=["a punch", "an unknown badge"])
async def test_a_tap_is_one_transaction(kit, badge):
    """Tap, punch, and its place in the queue are begun once and committed once: no power cut comes in between."""
    said: list[str] = []
    await kit.database.read(lambda conn: conn.set_trace_callback(said.append))
    await kit.tap(badge)
    await kit.database.read(lambda conn: conn.set_trace_callback(None))
    writes = [word.split()[0] for word in said if word.split()[0] in ("BEGIN", "INSERT", "UPDATE", "DELETE", "COMMIT")]
    assert (writes[0], writes[-1]) == ("BEGIN", "COMMIT")
    assert [word for word in writes if word in ("BEGIN", "COMMIT")] == ["BEGIN", "COMMIT"]
    assert writes.count("INSERT") >= (3 if badge == ANN else 1)
