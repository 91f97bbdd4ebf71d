"""What NFC readers promise beyond every reader, on a real pcscd with virtual cards."""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from daemon.clock import SystemClock
from drivers.pcsc import PcscReader
from drivers.pcsc_watch import CardWatch, Presentation
from drivers.reader import Feedback, ReaderLost, ReaderUnavailable, Tap
from tests.support.fake_clock import START, FakeClock
from tests.support.pcscd import PrivatePcscd
from tests.support.reader_rigs import FIRST_BADGE, SECOND_BADGE, PcscRig
from tests.support.virtual_card import GET_UID, OK, VirtualCard, telling

#: A wait for what will come; reached only when something is broken.
PATIENCE_S = 60.0
ACR122 = "ACS ACR122U PICC Interface"


@pytest.fixture
async def rig(pcscd_home: Path) -> AsyncIterator[PcscRig]:
    """A pcscd with one virtual reader of two slots, and an unopened reader over both."""
    made = PcscRig(SystemClock().now, pcscd_home)
    yield made
    await made.clean()


async def next_tap(taps: AsyncIterator[Tap]) -> Tap:
    """The next tap, which must come."""
    async with asyncio.timeout(PATIENCE_S):
        return await anext(taps)


@contextmanager
def another_program(reader_name: str) -> Iterator[None]:
    """Another program uses the card that lies there: every watcher is told of it, twice."""
    from smartcard import scard

    _, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_SYSTEM)
    protocols = scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1
    result, card, _ = scard.SCardConnect(context, reader_name, scard.SCARD_SHARE_SHARED, protocols)
    assert result == 0, scard.SCardGetErrorMessage(result)
    yield
    scard.SCardDisconnect(card, scard.SCARD_LEAVE_CARD)
    scard.SCardReleaseContext(context)


class CountedScard:
    """The real binding; notes the limit of each wait, and says when another wait begins."""

    def __init__(self) -> None:
        from smartcard import scard

        self._real: Any = scard
        self.limits: list[int] = []
        self.waiting = threading.Semaphore(0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def SCardGetStatusChange(self, context: Any, limit: int, states: Any) -> Any:
        self.limits.append(limit)
        self.waiting.release()
        return self._real.SCardGetStatusChange(context, limit, states)


async def test_a_resting_card_is_one_tap_whatever_else_happens(rig: PcscRig) -> None:
    """While a card rests, other programs use it and the other slot is tapped: it is not tapped a second time."""
    await rig.reader.open()
    async with aclosing(rig.reader.taps()) as taps:
        await rig.present(FIRST_BADGE)
        seen = [(await next_tap(taps)).badge]
        for _ in range(3):
            with another_program("Virtual PCD 00 00"):
                pass
            with VirtualCard(SECOND_BADGE).on(rig.pcscd.ports[1]):
                seen.append((await next_tap(taps)).badge)
            await asyncio.to_thread(rig.wait_for, lambda states: states == [True, False])
    assert seen == [FIRST_BADGE, SECOND_BADGE, SECOND_BADGE, SECOND_BADGE]


async def test_one_reader_serves_all_that_are_connected(rig: PcscRig) -> None:
    """With an empty match, cards on both slots at the same time are both tapped, under the one reader's name."""
    await rig.reader.open()
    with VirtualCard(FIRST_BADGE).on(rig.pcscd.ports[0]), VirtualCard(SECOND_BADGE).on(rig.pcscd.ports[1]):
        async with aclosing(rig.reader.taps()) as taps:
            seen = [await next_tap(taps), await next_tap(taps)]
    assert {tap.badge for tap in seen} == {FIRST_BADGE, SECOND_BADGE}
    assert {tap.reader for tap in seen} == {"front"}


async def test_match_picks_readers_by_a_part_of_their_name(rig: PcscRig) -> None:
    """Two readers matched to one slot each hear only their own."""
    clock = SystemClock()
    left, right = PcscReader("left", clock.now, "pcd 00 00"), PcscReader("right", clock.now, "PCD 00 01")
    await left.open()
    await right.open()
    with VirtualCard(FIRST_BADGE).on(rig.pcscd.ports[1]), VirtualCard(SECOND_BADGE).on(rig.pcscd.ports[0]):
        async with aclosing(left.taps()) as on_left, aclosing(right.taps()) as on_right:
            assert (await next_tap(on_left)).badge == SECOND_BADGE
            assert (await next_tap(on_right)).badge == FIRST_BADGE
    await left.close()
    await right.close()


async def test_a_match_that_fits_nothing_names_what_is_connected(rig: PcscRig) -> None:
    """The message of a wrong match has the names one could have meant."""
    with pytest.raises(ReaderUnavailable, match=r"'OMNIKEY'.*Virtual PCD 00 00, Virtual PCD 00 01"):
        await PcscReader("front", SystemClock().now, "OMNIKEY").open()


async def test_the_second_is_that_of_the_presentation_however_slow_the_card(pcscd_home: Path) -> None:
    """The clocks are read before the card is asked: a card that takes five seconds to answer is not late by them."""
    clock = FakeClock()

    def slow(command: bytes) -> bytes:
        clock.advance(5)
        return telling(FIRST_BADGE)(command)

    rig = PcscRig(clock.now, pcscd_home)
    try:
        await rig.reader.open()
        async with aclosing(rig.reader.taps()) as taps:
            await rig.put(VirtualCard(slow))
            tap = await next_tap(taps)
    finally:
        await rig.clean()
    assert clock.wall > START
    assert tap.evidence.wall_s == START


async def test_the_loop_goes_on_while_a_card_is_slow(rig: PcscRig) -> None:
    """The card answers only after the event loop has run: nothing of the reading happens on the loop."""
    asked, may_answer = threading.Event(), threading.Event()

    def slow(command: bytes) -> bytes:
        asked.set()
        may_answer.wait(PATIENCE_S)
        return telling(FIRST_BADGE)(command)

    await rig.reader.open()
    async with aclosing(rig.reader.taps()) as taps:
        await rig.put(VirtualCard(slow))
        await asyncio.to_thread(asked.wait, PATIENCE_S)
        may_answer.set()
        assert (await next_tap(taps)).badge == FIRST_BADGE


async def test_a_card_that_loses_contact_once_is_read_again(rig: PcscRig) -> None:
    """A first failed reading is not the end of a presentation, and no error."""
    answers = iter([b"\x63\x00"])
    await rig.reader.open()
    async with aclosing(rig.reader.taps()) as taps:
        await rig.put(VirtualCard(lambda command: next(answers, bytes.fromhex(FIRST_BADGE) + OK)))
        assert (await next_tap(taps)).badge == FIRST_BADGE
    assert rig.reader.errors == 0


async def test_a_reader_that_names_the_length_is_asked_again(rig: PcscRig) -> None:
    """6C xx: the command goes again with the length the reader named."""
    exact = GET_UID[:-1] + b"\x04"

    def particular(command: bytes) -> bytes:
        return bytes.fromhex(FIRST_BADGE) + OK if command == exact else b"\x6c\x04"

    await rig.reader.open()
    async with aclosing(rig.reader.taps()) as taps:
        await rig.put(VirtualCard(particular))
        assert (await next_tap(taps)).badge == FIRST_BADGE


async def test_a_card_that_lies_there_at_the_opening_is_no_tap(rig: PcscRig) -> None:
    """Nobody knows when it was presented (it may have lain there all night): only its next presentation counts."""
    await rig.present(FIRST_BADGE)
    await asyncio.to_thread(rig.wait_for, lambda states: states[0])
    await rig.reader.open()
    async with aclosing(rig.reader.taps()) as taps:
        await rig.take_away()
        await rig.present(SECOND_BADGE)
        assert (await next_tap(taps)).badge == SECOND_BADGE


async def test_absent_at_the_opening_then_killed_and_started_again(rig: PcscRig) -> None:
    """pcscd not there, there, killed, and there again: each time the reader says so, and reads again after."""
    rig.pcscd.stop()
    for badge in (FIRST_BADGE, SECOND_BADGE):
        with pytest.raises(ReaderUnavailable, match=r"pcscd is not running; .*systemctl enable --now pcscd\.socket"):
            await rig.reader.open()
        await rig.reader.close()
        await rig.replug()
        await rig.reader.open()
        async with aclosing(rig.reader.taps()) as taps:
            await rig.present(badge)
            assert (await next_tap(taps)).badge == badge
            await rig.unplug()
            with pytest.raises(ReaderLost, match=r"pcscd (ended|is not running)"):
                await next_tap(taps)
        await rig.reader.close()


async def test_it_beeps_after_the_answer_and_not_by_itself(pcscd_home: Path) -> None:
    """An ACR122's own beep is switched off before a card is read; lights and buzzer say what became of the tap."""
    rig = PcscRig(SystemClock().now, pcscd_home, ACR122)
    try:
        await rig.reader.open()
        card = VirtualCard(FIRST_BADGE)
        async with aclosing(rig.reader.taps()) as taps:
            await rig.put(card)
            tap = await next_tap(taps)
        before = list(card.commands)
        await rig.reader.feedback(tap, Feedback.CLOCKED_IN)
    finally:
        await rig.clean()
    assert before == [bytes.fromhex("FF00520000"), GET_UID]
    assert card.commands[2:] == [bytes.fromhex("FF0040280402000101")]


async def test_idle_is_one_wait_of_minutes(rig: PcscRig) -> None:
    """Between cards the thread is in one call of ten minutes: it wakes for what happens, and to see if pcscd lives."""
    counted = CountedScard()
    presented: queue.Queue[Presentation] = queue.Queue()
    watch = CardWatch(counted, "", SystemClock().now, presented.put)
    watch.open()
    assert counted.limits == [0]  # the look around
    counted.waiting.acquire()
    thread = threading.Thread(target=watch.run)
    thread.start()
    assert counted.waiting.acquire(timeout=PATIENCE_S)
    assert thread.native_id is not None
    await asyncio.to_thread(_sits_in_poll, thread.native_id)
    with VirtualCard(FIRST_BADGE).on(rig.pcscd.ports[0]):
        seen = await asyncio.to_thread(presented.get, timeout=PATIENCE_S)
    await asyncio.to_thread(rig.wait_for, lambda states: not any(states))
    while thread.is_alive():
        watch.stop()
        await asyncio.to_thread(thread.join, 0.1)
    assert seen.badge == FIRST_BADGE
    assert presented.empty()
    assert set(counted.limits[1:]) == {600_000}


async def test_a_pcscd_that_hangs_is_a_reader_lost(rig: PcscRig) -> None:
    """pcscd that answers is asked again and again, and cards are read; one that stops answering is told, in words."""
    rig.reader.wait_s, rig.reader.hang_s = 0.02, 5.0
    await rig.reader.open()
    async with aclosing(rig.reader.taps()) as taps:
        for badge in (FIRST_BADGE, SECOND_BADGE):
            await rig.present(badge)
            assert (await next_tap(taps)).badge == badge
            await rig.take_away()
        os.kill(rig.pcscd.pid, signal.SIGSTOP)
        try:
            with pytest.raises(ReaderLost, match="no sign of life"):
                await next_tap(taps)
        finally:
            os.kill(rig.pcscd.pid, signal.SIGCONT)


def _sits_in_poll(thread_id: int) -> None:
    """Wait until the thread is in the library's wait for pcscd; it has no limit that matters (a minute or more)."""
    while True:
        words = Path(f"/proc/self/task/{thread_id}/syscall").read_text().split()
        if words[0] == "running" or int(words[2 if len(words) > 2 else 0], 0) != 1:
            continue
        limit = int(words[3], 0)
        assert limit == 0 or limit >= 60_000
        return


async def test_taken_away_and_put_back_unseen_is_a_second_tap(rig: PcscRig) -> None:
    """While the watching thread is busy a card goes and comes back: PC/SC's count tells it from a resting one."""
    busy, go_on = threading.Event(), threading.Event()
    presented: list[Presentation] = []
    two = threading.Event()

    def on_card(presentation: Presentation) -> None:
        presented.append(presentation)
        if len(presented) == 1:
            busy.set()
            go_on.wait(PATIENCE_S)
        else:
            two.set()

    from smartcard import scard

    watch = CardWatch(scard, "", SystemClock().now, on_card)
    watch.open()
    thread = threading.Thread(target=watch.run)
    thread.start()
    await rig.present(FIRST_BADGE)
    await asyncio.to_thread(busy.wait, PATIENCE_S)
    await rig.take_away()
    await rig.present(FIRST_BADGE)
    await asyncio.to_thread(rig.wait_for, lambda states: states[0])
    go_on.set()
    assert await asyncio.to_thread(two.wait, PATIENCE_S)
    while thread.is_alive():
        watch.stop()
        await asyncio.to_thread(thread.join, 0.1)
    assert [p.badge for p in presented] == [FIRST_BADGE, FIRST_BADGE]


async def test_a_private_pcscd_leaves_the_systems_alone(pcscd_home: Path) -> None:
    """The suite's pcscd makes no socket where a system's pcscd would."""
    pcscd = PrivatePcscd(pcscd_home)
    before = Path("/run/pcscd/pcscd.comm").exists()
    pcscd.start()
    assert Path("/run/pcscd/pcscd.comm").exists() == before
    pcscd.stop()
