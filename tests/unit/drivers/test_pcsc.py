"""The NFC driver's way with threads that block or hang, and with what nobody waits for, on a PC/SC that is scripted."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from drivers import pcsc_words
from drivers.inbox import WAITING_MAX, Inbox, in_thread
from drivers.pcsc import HANG_S, PcscReader
from drivers.pcsc_watch import WAIT_S, Presentation
from drivers.reader import ReaderLost
from tests.support.fake_clock import FakeClock

#: Reached only when something is broken.
PATIENCE_S = 30.0


class BlockingPcsc:
    """PC/SC with one reader and no cards; waits until it is cancelled. `deaf` cancels are lost."""

    SCARD_SCOPE_SYSTEM, SCARD_STATE_UNAWARE, SCARD_STATE_CHANGED, SCARD_STATE_UNKNOWN = 2, 0, 2, 4
    SCARD_STATE_EMPTY, SCARD_STATE_PRESENT = 0x10, 0x20

    def __init__(self, *, deaf: int = 0) -> None:
        self.deaf, self.released = deaf, threading.Event()
        self.connects = threading.Event()
        self.may_connect, self.waits, self.cancelled = threading.Event(), threading.Event(), threading.Event()
        self.may_connect.set()

    def SCardEstablishContext(self, _scope: int) -> tuple[int, int]:
        self.connects.set()
        self.may_connect.wait(PATIENCE_S)
        return 0, 1

    def SCardReleaseContext(self, _context: int) -> int:
        self.released.set()
        return 0

    def SCardListReaders(self, _context: int, _groups: list[str]) -> tuple[int, list[str]]:
        return 0, ["A 00"]

    def SCardGetStatusChange(self, _context: int, limit: int, states: Any) -> tuple[int, list[Any]]:
        if limit:
            self.waits.set()
            self.cancelled.wait(PATIENCE_S)
            return pcsc_words.CANCELLED, []
        return 0, [(name, state, []) for name, state in states]

    def SCardCancel(self, _context: int) -> int:
        self.deaf -= 1
        if self.deaf < 0:
            self.cancelled.set()
        return 0


def reader_of(pcsc: BlockingPcsc, monkeypatch: pytest.MonkeyPatch) -> PcscReader:
    monkeypatch.setattr("drivers.pcsc._load", lambda: pcsc)
    monkeypatch.setattr("drivers.pcsc.CANCEL_AGAIN_S", 0.01)
    return PcscReader("front", FakeClock().now)


@pytest.mark.parametrize(("waits_for_s", "hangs"), [(0, False), (WAIT_S + HANG_S - 5, False), (WAIT_S + HANG_S, True)])
async def test_a_wait_may_last_its_time_before_it_hangs(waits_for_s: float, hangs: bool) -> None:
    """Ten minutes without a card are what a quiet door looks like; only beyond, and some slack, is pcscd given up."""
    reader, inbox = PcscReader("front", FakeClock().now), Inbox()

    class Watch:
        waiting_since = time.monotonic() - waits_for_s

    reader._look_alive(Watch(), inbox)  # type: ignore[arg-type]
    assert inbox.ended is hangs
    if hangs:
        with pytest.raises(ReaderLost, match="no sign of life"):
            await anext(inbox.taps())
    await reader.close()


async def test_closing_ends_the_look_for_a_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that is opened again and again leaves no timer behind each time."""
    reader = reader_of(BlockingPcsc(), monkeypatch)
    await reader.open()
    looks = reader._hang
    assert looks is not None
    assert not looks.cancelled()
    await reader.close()
    assert looks.cancelled()


async def test_a_cancel_that_came_too_early_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """PC/SC forgets a cancel that comes just before the wait: closing still ends the thread and lets pcscd go."""
    pcsc = BlockingPcsc(deaf=2)
    reader = reader_of(pcsc, monkeypatch)
    await reader.open()
    assert await asyncio.to_thread(pcsc.waits.wait, PATIENCE_S)
    await reader.close()
    assert pcsc.released.is_set()


async def test_a_thread_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing returns although nothing ends the wait: the other readers, and the stop, must not wait for it."""
    pcsc = BlockingPcsc(deaf=10**6)
    reader = reader_of(pcsc, monkeypatch)
    monkeypatch.setattr("drivers.pcsc.WAITS_MAX", 3)
    await reader.open()
    async with asyncio.timeout(PATIENCE_S):
        await reader.close()
    assert not pcsc.released.is_set()
    pcsc.cancelled.set()
    assert await asyncio.to_thread(pcsc.released.wait, PATIENCE_S)


async def test_an_opening_that_nobody_waits_for_lets_go_of_what_it_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    """pcscd hands out a limited number of connections: one that comes after it was given up goes back."""
    pcsc = BlockingPcsc()
    pcsc.may_connect.clear()
    opening = asyncio.create_task(reader_of(pcsc, monkeypatch).open())
    await asyncio.to_thread(pcsc.connects.wait, PATIENCE_S)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    pcsc.may_connect.set()
    assert await asyncio.to_thread(pcsc.released.wait, PATIENCE_S)


async def test_places_of_taps_that_get_no_feedback_are_forgotten() -> None:
    """Only as many are kept as taps can wait."""
    reader, inbox, clock = PcscReader("front", FakeClock().now), Inbox(), FakeClock()
    taps = inbox.taps()
    for _ in range(3 * WAITING_MAX):
        reader._take(inbox, Presentation("A 00", clock.now(), "04A1"))
        await anext(taps)
    assert len(reader._places) == WAITING_MAX


async def test_what_was_given_up_may_end_and_is_a_daemons_thread() -> None:
    """A result nobody waits for any more is no error of the loop, and a thread that hangs lets the process end."""
    errors: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: errors.append(context))
    go_on = threading.Event()
    given_up = in_thread(lambda: go_on.wait(PATIENCE_S), "given-up")
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "given-up"]
    given_up.cancel()
    go_on.set()
    await asyncio.to_thread(thread.join, PATIENCE_S)
    assert await in_thread(lambda: threading.current_thread().daemon, "asked")
    assert errors == []
