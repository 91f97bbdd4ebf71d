"""Every driver keeps the promises of drivers/reader.py: one suite, run against each of them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from daemon.clock import SystemClock
from drivers.reader import Feedback, ReaderLost, ReaderUnavailable, Tap
from tests.support.reader_rigs import FIRST_BADGE, SECOND_BADGE, PcscRig, Rig, ScannerRig, SimulatedRig

#: A wait for what will come; reached only when something is broken.
PATIENCE_S = 60.0


@pytest.fixture(params=["simulated", "pcsc", "evdev"])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    """The rig of each driver, its reader not opened yet."""
    now = SystemClock().now
    made: Rig
    match request.param:
        case "simulated":
            made = SimulatedRig(now)
        case "pcsc":
            made = PcscRig(now, request.getfixturevalue("pcscd_home"))
        case _:
            made = ScannerRig(now, lambda: time.clock_gettime(time.CLOCK_BOOTTIME))
    yield made
    await made.clean()


async def next_tap(taps: AsyncIterator[Tap]) -> Tap:
    """The next tap, which must come."""
    async with asyncio.timeout(PATIENCE_S):
        return await anext(taps)


async def test_a_presentation_is_one_tap_with_its_canonical_badge(rig: Rig) -> None:
    """A badge presented yields a tap of this reader, in canonical form and without a stated time."""
    await rig.reader.open()
    async with aclosing(rig.reader.taps()) as taps:
        await rig.present(FIRST_BADGE)
        tap = await next_tap(taps)
    assert (tap.reader, tap.badge, tap.stated_at) == ("front", FIRST_BADGE, None)


async def test_the_evidence_is_of_the_presentation(rig: Rig) -> None:
    """The tap's times lie between the moment before the badge was presented and the moment its tap was taken."""
    clock = SystemClock()
    await rig.reader.open()
    async with aclosing(rig.reader.taps()) as taps:
        before = clock.now()
        await rig.present(FIRST_BADGE)
        tap = await next_tap(taps)
    after = clock.now()
    # Input events carry microseconds, cut off: a millisecond is far more than that and far less than a second.
    assert before.boottime_s - 0.001 <= tap.evidence.boottime_s <= after.boottime_s
    assert before.wall_s - 0.001 <= tap.evidence.wall_s <= after.wall_s
    assert tap.evidence.boot_id == before.boot_id


async def test_taken_away_and_presented_again_is_a_second_tap(rig: Rig) -> None:
    """The same badge presented twice gives two taps, which are not equal."""
    await rig.reader.open()
    async with aclosing(rig.reader.taps()) as taps:
        await rig.present(FIRST_BADGE)
        first = await next_tap(taps)
        await rig.take_away()
        await rig.present(FIRST_BADGE)
        second = await next_tap(taps)
    assert first.badge == second.badge
    assert first != second


async def test_taps_come_in_the_order_of_presentations(rig: Rig) -> None:
    """Badge after badge, each is yielded once and in order."""
    presented = [FIRST_BADGE, SECOND_BADGE, FIRST_BADGE]
    await rig.reader.open()
    async with aclosing(rig.reader.taps()) as taps:
        seen = []
        for badge in presented:
            await rig.present(badge)
            seen.append((await next_tap(taps)).badge)
            await rig.take_away()
    assert seen == presented


async def test_an_unreadable_badge_is_counted_and_yields_nothing(rig: Rig) -> None:
    """What cannot be read counts as an error, and the next badge is read as ever."""
    await rig.reader.open()
    async with aclosing(rig.reader.taps()) as taps:
        await rig.present_unreadable()
        await rig.present(SECOND_BADGE)
        tap = await next_tap(taps)
    assert tap.badge == SECOND_BADGE
    assert rig.reader.errors == 1


async def test_a_reader_that_goes_is_lost_then_unavailable_then_back(rig: Rig) -> None:
    """Gone while open: ReaderLost. Opened while gone: ReaderUnavailable with a remedy. Back: it opens and reads."""
    await rig.reader.open()
    async with aclosing(rig.reader.taps()) as taps:
        await rig.unplug()
        with pytest.raises(ReaderLost, match=r"cannot .*; "):
            await next_tap(taps)
    await rig.reader.close()

    with pytest.raises(ReaderUnavailable, match=r"cannot .*; "):
        await rig.reader.open()
    await rig.reader.close()

    await rig.replug()
    await rig.reader.open()
    async with aclosing(rig.reader.taps()) as taps:
        await rig.present(SECOND_BADGE)
        assert (await next_tap(taps)).badge == SECOND_BADGE


async def test_what_was_presented_before_the_reader_went_still_comes(rig: Rig) -> None:
    """A tap that was made is yielded before the loss is told."""
    await rig.reader.open()
    async with aclosing(rig.reader.taps()) as taps:
        await rig.present(FIRST_BADGE)
        tap = await next_tap(taps)
        await rig.unplug()
        with pytest.raises(ReaderLost):
            await next_tap(taps)
    assert tap.badge == FIRST_BADGE


async def test_close_ends_the_pass_and_may_be_repeated(rig: Rig) -> None:
    """Closing before opening and twice is harmless; a pass over the taps that waits just ends."""
    await rig.reader.close()
    await rig.reader.open()
    waiting = asyncio.create_task(_collect(rig))
    await asyncio.sleep(0)  # let it begin to wait
    await rig.reader.close()
    await rig.reader.close()
    async with asyncio.timeout(PATIENCE_S):
        assert await waiting == []


async def test_it_opens_again_after_close(rig: Rig) -> None:
    """An instance may be opened again, and reads again."""
    for badge in (FIRST_BADGE, SECOND_BADGE):
        await rig.reader.open()
        async with aclosing(rig.reader.taps()) as taps:
            await rig.present(badge)
            assert (await next_tap(taps)).badge == badge
        await rig.take_away()
        await rig.reader.close()


async def test_feedback_never_raises(rig: Rig) -> None:
    """Whatever is shown, while the badge rests, after it has gone and after the reader was closed."""
    await rig.reader.open()
    async with aclosing(rig.reader.taps()) as taps:
        await rig.present(FIRST_BADGE)
        tap = await next_tap(taps)
    for feedback in Feedback:
        await rig.reader.feedback(tap, feedback)
    await rig.take_away()
    await rig.reader.feedback(tap, Feedback.WAIT)
    await rig.reader.close()
    await rig.reader.feedback(tap, Feedback.CLOCKED_IN)


async def _collect(rig: Rig) -> list[Tap]:
    return [tap async for tap in rig.reader.taps()]
