"""Whatever a keyboard, a scanner or something like one types: bounded, alive, and the next badge is read."""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing

import pytest

from drivers.badge import LENGTH_MAX, canonical
from drivers.inbox import WAITING_MAX
from drivers.keymap import KEY_ENTER, Line, Typing
from drivers.reader import ReaderLost
from drivers.scanner import EVENT, READ_MAX
from tests.fuzz.keys import DROPPED, KEYS, streams
from tests.support.fake_clock import FakeClock
from tests.support.fuzzing import fuzzed
from tests.support.reader_rigs import FIRST_BADGE, ScannerRig, typed


@fuzzed("keys: typing", short=200, long=12_000, keys=KEYS)
def test_lines_are_bounded_and_the_next_one_is_whole(keys: list[tuple[int, int, float]]) -> None:
    """No line is longer than a badge, and none has a hole; after an Enter and a pause the next is read whole."""
    typing, at, holed = Typing(), 1000.0, False
    for code, value, step in keys:
        at += step
        if code == DROPPED:
            typing.dropped()
            holed = True
            continue
        for done in typing.key(code, value, at):
            if isinstance(done, Line):
                assert len(done.text) <= LENGTH_MAX
                assert not holed
            holed = False
        assert len(typing._text) <= LENGTH_MAX
    for shift in (42, 54):
        typing.key(shift, 0, at)
    typing.key(KEY_ENTER, 1, at)
    at += 10
    for code in (2, 3, 4):
        assert typing.key(code, 1, at) == []
    assert typing.key(KEY_ENTER, 1, at) == [Line("123", at)]


@fuzzed("keys: a device's bytes", short=60, long=4_000, stream=streams())
def test_a_device_that_reports_anything_yields_badges_and_nothing_else(stream: bytes) -> None:
    """Through a real descriptor: what comes is canonical and bounded, a real badge afterwards is read, and when it is
    unplugged the descriptor is closed."""

    async def story() -> None:
        clock = FakeClock(boottime=5000.0)
        rig = ScannerRig(clock.now, lambda: clock.boottime)
        await rig.reader.open()
        assert rig.device is not None
        fd, seen = rig.device.fd, list[str]()

        async def read() -> None:
            async with aclosing(rig.reader.taps()) as taps:
                async for tap in taps:
                    assert canonical(tap.badge) == tap.badge
                    assert abs(tap.evidence.wall_s - clock.wall) <= 3600
                    seen.append(tap.badge)

        reading = asyncio.create_task(read())
        whole = len(stream) - len(stream) % EVENT.size
        for start in range(0, whole, READ_MAX):
            rig.write(stream[start : min(start + READ_MAX, whole)])
            await asyncio.sleep(0)
        if whole < len(stream):
            rig.write(stream[whole:])
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        for shift in (42, 54):
            rig.write(EVENT.pack(4990, 0, 1, shift, 0))
        rig.write(EVENT.pack(4990, 0, 1, KEY_ENTER, 1))
        await asyncio.sleep(0)
        rig.write(typed(FIRST_BADGE, 4999.0))
        rig._there = False
        os.close(rig.device.end)
        with pytest.raises(ReaderLost, match="; plug it in again"):
            await reading
        assert seen[-1:] == [FIRST_BADGE]
        assert len(seen) <= len(stream) // EVENT.size + WAITING_MAX
        assert rig.device.closed
        assert fd == rig.device.fd
        await rig.reader.close()

    asyncio.run(story())
