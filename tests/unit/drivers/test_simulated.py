"""What the simulated reader does beyond every reader's promises."""

from __future__ import annotations

from contextlib import aclosing

import pytest

from drivers.inbox import WAITING_MAX
from drivers.reader import Feedback, ReaderUnavailable
from drivers.simulated import SimulatedReader
from tests.support.fake_clock import FakeClock


async def test_the_tap_presented_is_the_tap_yielded() -> None:
    """The very object comes out, canonical, with the time it was said to be of."""
    reader = SimulatedReader("front", FakeClock().now)
    await reader.open()
    presented = await reader.present("04:a2:2b", 1_795_000_000.0)
    async with aclosing(reader.taps()) as taps:
        assert await anext(taps) is presented
    assert (presented.badge, presented.stated_at) == ("04A22B", 1_795_000_000.0)


async def test_a_reader_that_is_not_open_refuses() -> None:
    """A tap nobody would ever take is refused at once: before opening, after closing, while unplugged."""
    reader = SimulatedReader("front", FakeClock().now)
    with pytest.raises(ReaderUnavailable):
        await reader.present("1")
    await reader.open()
    await reader.close()
    with pytest.raises(ReaderUnavailable):
        await reader.present("1")
    await reader.open()
    reader.unplug()
    with pytest.raises(ReaderUnavailable):
        await reader.present("1")


async def test_more_taps_than_are_taken_are_refused() -> None:
    """So many may wait; the next is refused with words, and those that wait still come."""
    reader = SimulatedReader("front", FakeClock().now)
    await reader.open()
    presented = [await reader.present(str(n)) for n in range(WAITING_MAX)]
    with pytest.raises(ReaderUnavailable, match="too many taps wait"):
        await reader.present("one more")
    async with aclosing(reader.taps()) as taps:
        assert [await anext(taps) for _ in presented] == presented


async def test_what_is_no_badge_is_refused() -> None:
    """An empty badge raises as everywhere."""
    reader = SimulatedReader("front", FakeClock().now)
    await reader.open()
    with pytest.raises(ValueError, match="empty"):
        await reader.present(" ")


async def test_it_remembers_what_was_shown() -> None:
    """Feedback is kept, oldest first."""
    reader = SimulatedReader("front", FakeClock().now)
    await reader.open()
    tap = await reader.present("1")
    await reader.feedback(tap, Feedback.WAIT)
    await reader.feedback(tap, Feedback.CLOCKED_IN)
    assert list(reader.shown) == [(tap, Feedback.WAIT), (tap, Feedback.CLOCKED_IN)]
