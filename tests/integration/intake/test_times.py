"""Reboots, steps, trust and doubt: no direction is guessed, no wrong time is believed, nothing is left behind."""

from __future__ import annotations

import asyncio

import pytest

from daemon.clock import Trust, TrustSource
from daemon.model import Direction, PunchState, TapResult
from daemon.queue.deliveries import set_state
from daemon.queue.queue import settle_time
from daemon.queue.records import list_trusts, note_boot, put_trust
from tests.support.fake_clock import START
from tests.support.intake_kit import BOB

IN, OUT = Direction.CLOCK_IN, Direction.CLOCK_OUT
HELD, PENDING = PunchState.HELD, PunchState.PENDING


def seen(punch) -> tuple:
    return (punch.direction, punch.state, punch.reason, punch.time_known)


async def come_to_trust(kit, true_now: float) -> int:
    """NTP sets the wall clock right."""
    kit.clock.step(true_now - kit.clock.wall)
    kit.clock.synchronised = True
    return await kit.intake.settle_times()


async def test_without_trust_the_first_punch_has_a_direction_and_waits_for_its_time(kit):
    """Nobody was in: the direction is known, the time is not, and once it is, it comes from the boot clock."""
    kit.reboot(wall=0.0)
    punch = await kit.punch()
    assert seen(punch) == (IN, HELD, "clock_untrusted", False)
    assert punch.time_error_s is None
    kit.clock.advance(600)
    assert await come_to_trust(kit, START + 1000) == 1
    settled = await kit.find(punch)
    assert seen(settled) == (IN, PENDING, None, True)
    assert (settled.occurred_at, settled.raw_at) == (START + 400, 0.0)
    assert kit.told[-1] == settled
    assert await kit.journal(punch) == [("automatic", "punch.pending")]


async def test_after_a_reboot_without_trust_no_direction_is_guessed(kit):
    """Last punch of another boot and a wrong clock: undecided until the time is known, then by the rules."""
    await kit.punch()
    kit.reboot(wall=START + 60)  # a power cut of hours; the clock resumes where it was
    undecided = await kit.punch()
    assert seen(undecided) == (None, HELD, "clock_untrusted", False)
    kit.clock.advance(300)
    second = await kit.punch()
    assert seen(second) == (None, HELD, "clock_untrusted", False)
    assert await come_to_trust(kit, START + 8 * 3600) == 2
    assert seen(await kit.find(undecided)) == (OUT, PENDING, None, True)
    assert seen(await kit.find(second)) == (IN, PENDING, None, True)
    assert (await kit.find(second)).occurred_at == START + 8 * 3600


async def test_a_gap_that_turns_out_longer_than_a_shift_is_a_clock_in(kit):
    """What was undecided is decided with the true time: 20 hours after a clock-in somebody comes."""
    await kit.punch()
    kit.reboot(wall=START + 60)
    undecided = await kit.punch()
    await come_to_trust(kit, START + 20 * 3600)
    assert (await kit.find(undecided)).direction is IN


@pytest.mark.parametrize(
    ("reader", "state", "reason", "direction"),
    [
        ("front", PunchState.DISCARDED, "repeat_of_earlier", IN),
        ("in", PunchState.DISCARDED, "repeat_of_earlier", IN),
        ("out", PENDING, None, OUT),
    ],
)
async def test_a_tap_that_turns_out_to_repeat_the_one_before_the_cut(kit, reader, state, reason, direction):
    """A person unsure whether their tap counted taps again after the reboot: one effect, journalled as automatic."""
    await kit.punch()
    kit.reboot(wall=START - 500)
    again = await kit.punch(reader=reader)
    assert again.state is HELD
    await come_to_trust(kit, START + 45)
    settled = await kit.find(again)
    assert (settled.state, settled.reason, settled.direction) == (state, reason, direction)
    assert ("automatic", f"punch.{state}") in await kit.journal(again)
    kit.clock.advance(3600)
    assert (await kit.punch()).direction is (IN if direction is OUT else OUT)


async def test_repeats_across_boots_are_seen_when_both_times_are_known(kit):
    """With trusted clocks in both boots, 45 s later is a repeat."""
    await kit.punch()
    kit.reboot(off_s=45, synchronised=True)
    assert (await kit.tap()).result is TapResult.REPEAT


async def test_a_punch_of_a_boot_that_never_had_trust_stays_and_holds_what_hangs_on_it(kit):
    """A lost boot's time is never made up; later toggles wait for it by name, fixed readers and other people do not."""
    await kit.punch()
    kit.reboot(wall=START + 60)
    lost = await kit.punch()
    kit.reboot(wall=START + 7200, synchronised=True)
    later = await kit.punch()
    assert seen(later) == (None, HELD, "earlier_punch_undecided", True)
    assert await kit.intake.settle_times() == 0
    assert seen(await kit.find(lost)) == (None, HELD, "clock_untrusted", False)
    kit.clock.advance(61)
    assert seen(await kit.punch(reader="out")) == (OUT, PENDING, None, True)
    assert seen(await kit.punch(BOB)) == (IN, PENDING, None, True)

    # A person says when it was: the rest follows.
    await kit.database.write(lambda conn: settle_time(conn, lost.id, START + 3600, None))
    assert await kit.intake.settle_times() == 2
    assert seen(await kit.find(lost)) == (OUT, PENDING, None, True)
    assert seen(await kit.find(later)) == (IN, PENDING, None, True)


async def test_times_that_come_for_the_later_boot_only_guess_nothing_about_the_earlier(kit):
    """Two boots without trust; the later gets it: its toggle waits for the earlier one's, whose time is lost."""
    await kit.punch()
    kit.reboot(wall=START + 60)
    lost = await kit.punch()
    kit.reboot(wall=START + 120)
    later = await kit.punch()
    assert await come_to_trust(kit, START + 7200) == 1
    assert seen(await kit.find(later)) == (None, HELD, "earlier_punch_undecided", True)
    assert seen(await kit.find(lost)) == (None, HELD, "clock_untrusted", False)


async def test_a_settled_time_that_contradicts_the_order_of_taps_goes_to_review(kit):
    """When the punch before has a later time than this boot's clock gives, a person decides."""
    await kit.punch()
    kit.reboot(wall=START + 60)
    punch = await kit.punch()
    await come_to_trust(kit, START - 3600)
    assert seen(await kit.find(punch))[1:3] == (PunchState.REVIEW, "out_of_order")


async def test_discarding_the_undecided_punch_frees_the_next(kit):
    """The other way out: what nobody can date is discarded, and the later punch goes by the one before."""
    await kit.punch()
    kit.reboot(wall=START + 60)
    lost = await kit.punch()
    kit.reboot(wall=START + 7200, synchronised=True)
    later = await kit.punch()
    await kit.database.write(
        lambda conn: set_state(conn, lost.id, PunchState.DISCARDED, at=START, by="uid:0", reason="by_decision")
    )
    assert await kit.intake.settle_times() == 1
    assert seen(await kit.find(later)) == (OUT, PENDING, None, True)


async def test_trust_that_comes_while_a_tap_waits_for_the_disk_leaves_nothing_behind(kit):
    """A tap judged without trust, stored after trust came: it is settled although nobody asks again."""
    kit.reboot(wall=0.0)
    release, held = asyncio.Event(), asyncio.Event()
    write = kit.database.write

    async def slow(fn):
        held.set()
        await release.wait()
        kit.database.write = write
        return await write(fn)

    kit.database.write = slow
    task = asyncio.create_task(kit.tap())
    await held.wait()
    assert await come_to_trust(kit, START) == 0
    release.set()
    answer = await task
    assert seen(await kit.find(answer.punch)) == (IN, PENDING, None, True)


async def test_a_doubted_clock_is_not_trusted_for_new_punches(kit):
    """The server's clock says ours is wrong: taps are held, and settled from the boot clock when the clock is right."""
    now = kit.clock.now()
    kit.timekeeper.note_server_date(START + 3600, now, now)
    punch = await kit.punch()
    assert seen(punch) == (IN, HELD, "clock_untrusted", False)
    assert await kit.intake.settle_times() == 0
    # Somebody sets the clock right; the kernel had called the wrong one synchronised all the time.
    kit.clock.step(3600)
    kit.clock.advance(10)
    kit.timekeeper.evidence()
    now = kit.clock.now()
    kit.timekeeper.note_server_date(START + 3610, now, now)
    assert kit.timekeeper.trusted
    assert await kit.intake.settle_times() == 1
    assert (await kit.find(punch)).occurred_at == START + 3600
    assert await kit.intake.settle_times() == 0


async def test_a_doubt_outlives_the_boot_it_was_of(kit):
    """After a reboot nobody remembers the doubt, but the punches of that time are still not believed."""
    now = kit.clock.now()
    kit.timekeeper.note_server_date(START + 3600, now, now)
    punch = await kit.punch()
    await kit.tap("04CC")
    kit.reboot(wall=START + 7200, synchronised=True)
    assert await kit.intake.settle_times() == 0
    assert seen(await kit.find(punch)) == (IN, HELD, "clock_untrusted", False)
    (claimed,) = (await kit.directory.assign("04CC", "8", by="uid:0")).punches
    assert (claimed.state, claimed.reason, claimed.time_known) == (HELD, "clock_untrusted", False)


async def test_times_of_an_earlier_boot_are_settled_where_its_trust_was_remembered(kit):
    """Trust stored with its boot settles that boot's punches at the next start."""
    kit.reboot(wall=0.0)
    punch = await kit.punch()
    trust = Trust("boot-2", START, 1.0, TrustSource.SERVER, START)

    def remember(conn):
        note_boot(conn, kit.clock.now())
        put_trust(conn, trust)

    await kit.database.write(remember)
    kit.clock.reboot(wall=0.0)
    kit.start(await kit.database.read(list_trusts))
    assert await kit.intake.settle_times() == 1
    settled = await kit.find(punch)
    assert (settled.occurred_at, settled.time_error_s, settled.time_known) == (START + 5, 1.0, True)
    # This boot has no trust: nothing becomes pending, the punch waits for the clock of the one that would send it.
    assert (settled.state, settled.reason) == (HELD, "clock_untrusted")
    assert await come_to_trust(kit, START + 60) == 0


async def test_a_stated_time_keeps_its_second_through_trust(kit):
    """What was stated on an untrusted clock that turns out right is that very second afterwards."""
    kit.reboot(wall=START + 0.123456, synchronised=False)
    stated = [await kit.punch(at=START - 7200.0), await kit.punch(at=START - 3600.0)]
    assert [seen(punch)[:3] for punch in stated] == [(IN, HELD, "clock_untrusted"), (OUT, HELD, "clock_untrusted")]
    kit.clock.synchronised = True
    assert await kit.intake.settle_times() == 2
    assert [(await kit.find(punch)).occurred_at for punch in stated] == [START - 7200.0, START - 3600.0]


async def test_a_disk_that_fails_while_times_are_settled_is_tried_again(kit, monkeypatch):
    """Settling never raises for a bad disk: an alarm, and the next tap brings it up again."""
    kit.reboot(wall=0.0)
    punch = await kit.punch()
    write = kit.database.write

    async def full(fn):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kit.database, "write", full)
    assert await come_to_trust(kit, START + 100) == 0
    assert kit.alarm_codes() == ["cannot_store"]
    monkeypatch.setattr(kit.database, "write", write)
    await kit.tap(BOB)
    assert kit.alarm_codes() == []
    assert (await kit.find(punch)).time_known


async def test_what_waits_is_disputed_when_the_clock_is_set_right(kit):
    """Tapped by a clock an hour behind, vouched for by the kernel: a person is told the true second."""
    kit.clock.step(-3600)
    punch = await kit.punch()
    assert seen(punch) == (IN, PENDING, None, True)
    kit.clock.step(3600)
    assert await kit.intake.settle_times() == 1
    disputed = await kit.find(punch)
    assert (disputed.state, disputed.reason) == (PunchState.REVIEW, "time_disputed")
    assert disputed.detail == "by the uninterrupted clock it was 2026-11-21T08:00:00Z"
