"""Which input device is the scanner, when a badge was typed, and what is given up."""

from __future__ import annotations

import asyncio
import errno
import os
import struct
import time
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from daemon.clock import SystemClock
from drivers.reader import ReaderUnavailable
from drivers.scanner import AGE_MAX_S, EV_KEY, EV_SYN, EVENT, SYN_DROPPED, ScannerReader, at_boottime
from drivers.scanner_device import Candidate, choose, open_device
from tests.support.fake_clock import START, FakeClock
from tests.support.reader_rigs import ScannerRig, key_events, typed

WEDGE = Candidate("/dev/input/event3", "Sycreader RFID Technology Co., Ltd SYC ID&IC USB Reader", "ffff:0035")
KEYBOARD = Candidate("/dev/input/event0", "AT Translated Set 2 keyboard", "0001:0001")
BOOT = 1000.0


@pytest.fixture
async def rig() -> AsyncIterator[ScannerRig]:
    """A scanner on a pipe, opened, on a clock that stands at START and 1000 s after boot."""
    clock = FakeClock(boottime=BOOT)
    made = ScannerRig(clock.now, lambda: clock.boottime)
    await made.reader.open()
    yield made
    await made.clean()


@pytest.mark.parametrize("match", ["ffff:0035", "FFFF:0035", "sycreader", "USB Reader"])
def test_a_match_names_one_device_by_ids_or_part_of_its_name(match: str) -> None:
    """vendor:product in either case, or any part of the name."""
    assert choose(match, [KEYBOARD, WEDGE]) is WEDGE


def test_without_a_match_the_only_one_is_taken() -> None:
    """One device that types: that is it."""
    assert choose("", [WEDGE]) is WEDGE


def test_two_that_fit_are_a_refusal_that_names_both() -> None:
    """The wrong one would be somebody's keyboard, gone dead: nothing is grabbed, and a path is asked for."""
    with pytest.raises(ReaderUnavailable, match=r"2 input devices.*by-id.*event0.*event3"):
        choose("", [KEYBOARD, WEDGE])


def test_none_that_fits_says_what_there_is() -> None:
    """What could have been meant stands in the message."""
    with pytest.raises(ReaderUnavailable, match=r"match '1234:5678'.*plug it in.*event3 ffff:0035"):
        choose("1234:5678", [WEDGE])


def test_a_path_that_is_not_there_says_so() -> None:
    """Opening by path, the message has the path and the remedy."""
    pytest.importorskip("evdev", reason="evdev is not installed (make test installs it)")
    with pytest.raises(ReaderUnavailable, match=r"/dev/input/by-id/none: it is not there; plug it in"):
        open_device("/dev/input/by-id/none")


def test_the_moment_is_that_of_the_keys_even_across_a_step_of_the_wall_clock() -> None:
    """Read two seconds late: both clocks go back by two seconds, whatever the wall clock did meanwhile."""
    clock = FakeClock(boottime=BOOT)
    clock.step(3600)
    seen = at_boottime(clock.now(), BOOT - 2)
    assert (seen.wall_s, seen.boottime_s) == (START + 3600 - 2, BOOT - 2)


@pytest.mark.parametrize("moment", [BOOT + 0.001, BOOT - AGE_MAX_S - 1])
def test_a_moment_that_cannot_be_is_not_believed(moment: float) -> None:
    """Later than now, or hours ago: that is another clock's time; now is the best that is known."""
    now = FakeClock(boottime=BOOT).now()
    assert at_boottime(now, moment) == now


async def test_a_tap_is_dated_by_its_first_key(rig: ScannerRig) -> None:
    """The scanner began to type 0.75 s before the loop came to read it: the tap is of then."""
    rig.write(typed("00451", BOOT - 0.75))
    async with aclosing(rig.reader.taps()) as taps:
        tap = await anext(taps)
    assert (tap.badge, tap.evidence.boottime_s, tap.evidence.wall_s) == ("00451", BOOT - 0.75, START - 0.75)


async def test_a_badge_may_come_in_pieces(rig: ScannerRig) -> None:
    """Events are read as they come: a badge that arrives in three reads is one tap."""
    async with aclosing(rig.reader.taps()) as taps:
        waiting = asyncio.ensure_future(anext(taps))
        for piece in ("12", "34"):
            rig.write(typed(piece, BOOT, enter=False))
            await asyncio.sleep(0)
        rig.write(typed("56", BOOT))
        assert (await waiting).badge == "123456"


async def test_events_the_kernel_dropped_cost_one_badge_and_no_more(rig: ScannerRig) -> None:
    """SYN_DROPPED in the middle: that line is an error, the next is a tap."""
    dropped = EVENT.pack(int(BOOT), 0, EV_SYN, SYN_DROPPED, 0)
    rig.write(typed("12", BOOT, enter=False) + dropped + typed("34", BOOT) + typed("56", BOOT))
    async with aclosing(rig.reader.taps()) as taps:
        assert (await anext(taps)).badge == "56"
    assert rig.reader.errors == 1


async def test_white_space_alone_is_an_error_and_no_tap(rig: ScannerRig) -> None:
    """A line that is no badge counts as unreadable."""
    rig.write(key_events(57, BOOT) + typed("", BOOT) + typed("7", BOOT))
    async with aclosing(rig.reader.taps()) as taps:
        assert (await anext(taps)).badge == "7"
    assert rig.reader.errors == 1


async def test_a_lost_scanner_is_let_go_at_once(rig: ScannerRig) -> None:
    """A dead descriptor stays readable: it is closed before anybody asks, or the loop would spin on it."""
    await rig.unplug()
    async with aclosing(rig.reader.taps()) as taps:
        with pytest.raises(Exception, match="plug it in again"):
            await anext(taps)
    assert rig.device is not None
    assert rig.device.closed


async def test_a_real_input_device_is_grabbed_read_and_lost() -> None:
    """A uinput keyboard: opened by its name, grabbed, typed on (times on CLOCK_BOOTTIME), and taken away."""
    evdev = pytest.importorskip("evdev", reason="evdev is not installed (make test installs it)")
    try:
        keyboard = evdev.UInput(name="punchd-test-scanner")
    except (evdev.uinput.UInputError, OSError) as error:
        pytest.skip(f"no input device can be made here: {error}")
    clock = SystemClock()
    reader = ScannerReader("front", clock.now, "punchd-test-scanner")
    await reader.open()
    async with aclosing(reader.taps()) as taps:
        other = evdev.InputDevice(keyboard.device.path)
        with pytest.raises(OSError, match=os.strerror(errno.EBUSY)):
            other.grab()
        other.close()
        before = clock.now()
        for code in (2, 3, 28):
            keyboard.write(EV_KEY, code, 1)
            keyboard.write(EV_KEY, code, 0)
            keyboard.syn()
        tap = await anext(taps)
        assert tap.badge == "12"
        assert before.boottime_s - 0.001 <= tap.evidence.boottime_s <= clock.now().boottime_s
        keyboard.close()
        with pytest.raises(Exception, match="plug it in again"):
            await anext(taps)
    await reader.close()


def test_the_clock_request_is_the_kernels() -> None:
    """EVIOCSCLOCKID is _IOW('E', 0xa0, int): a wrong number would leave events on a clock that steps."""
    from drivers.scanner_device import EVIOCSCLOCKID

    write, size = 1, struct.calcsize("@i")
    assert (write << 30 | size << 16 | ord("E") << 8 | 0xA0) == EVIOCSCLOCKID
    assert time.CLOCK_BOOTTIME == 7
