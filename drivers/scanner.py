"""Badge scanners that type like a keyboard, read through evdev and grabbed, so that nothing else hears the badges."""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Protocol

from drivers.badge import InvalidBadge, canonical
from drivers.inbox import Inbox
from drivers.keymap import GivenUp, Line, Typing
from drivers.reader import Evidence, EvidenceSource, Feedback, ReaderLost, Tap
from drivers.scanner_device import open_device

#: struct input_event of <linux/input.h>: seconds, microseconds, type, code, value; native sizes (16 bytes on 32-bit).
EVENT = struct.Struct("@llHHi")
EV_SYN, EV_KEY = 0, 1
SYN_DROPPED = 3
#: One read takes what the kernel keeps for a keyboard (64 events) and no more than fits a page.
READ_MAX = 64 * EVENT.size
#: An event can lie in the kernel while the loop is busy, or the machine sleeps; older than this, its clock is not ours.
AGE_MAX_S = 3600.0


class Device(Protocol):
    """An opened and grabbed input device. `fd` is non-blocking; reading it yields whole input events.

    `on_boottime` says that the events' times are of CLOCK_BOOTTIME, which cannot step.
    """

    fd: int
    on_boottime: bool

    def close(self) -> None:
        """Let go of it."""


class ScannerReader:
    """A Reader over one evdev device: `match` is a path, vendor:product or part of its name; "" the only scanner."""

    driver = "evdev"

    def __init__(
        self, name: str, evidence: EvidenceSource, match: str = "", opener: Callable[[str], Device] = open_device
    ) -> None:
        self.name = name
        self._evidence = evidence
        self._match = match
        self._opener = opener
        self._errors = 0
        self._device: Device | None = None
        self._inbox = Inbox.unopened(name)
        self._typing = Typing()

    async def open(self) -> None:
        """Find, open and grab the scanner. Raises ReaderUnavailable with the remedy."""
        # Looking through /dev/input takes well under a millisecond a device; the grab is one ioctl: neither blocks.
        self._device = self._opener(self._match)
        self._inbox = Inbox()
        self._typing = Typing()
        asyncio.get_running_loop().add_reader(self._device.fd, self._read, self._device, self._inbox)

    def taps(self) -> AsyncIterator[Tap]:
        """Yield one Tap a typed line. Raises ReaderLost when the scanner is unplugged."""
        return self._inbox.taps()

    async def feedback(self, tap: Tap, feedback: Feedback) -> None:
        """A scanner has nothing to show: its own beep says only that it read."""

    async def close(self) -> None:
        """Let go of the scanner."""
        self._inbox.end()
        self._let_go()

    @property
    def errors(self) -> int:
        """Presentations that could not be read since the start of the process."""
        return self._errors

    def _let_go(self) -> None:
        device, self._device = self._device, None
        if device is not None:
            asyncio.get_running_loop().remove_reader(device.fd)
            device.close()

    def _read(self, device: Device, inbox: Inbox) -> None:
        try:
            data = os.read(device.fd, READ_MAX)
        except BlockingIOError:
            return
        except OSError as error:  # ENODEV: unplugged
            self._lose(inbox, error.strerror or str(error))
            return
        if not data:
            self._lose(inbox, "it ended")
            return
        seen = self._evidence()
        for seconds, micros, kind, code, value in EVENT.iter_unpack(data[: len(data) - len(data) % EVENT.size]):
            if kind == EV_SYN and code == SYN_DROPPED:
                self._typing.dropped()
            elif kind == EV_KEY:
                for typed in self._typing.key(code, value, seconds + micros / 1e6):
                    self._take(typed, inbox, seen, device.on_boottime)

    def _lose(self, inbox: Inbox, why: str) -> None:
        # A dead descriptor stays readable for ever: it is given up at once, or the loop would spin.
        self._let_go()
        inbox.end(ReaderLost(f"cannot read the scanner of {self.name}: {why}; plug it in again"))

    def _take(self, typed: Line | GivenUp, inbox: Inbox, seen: Evidence, on_boottime: bool) -> None:
        if isinstance(typed, GivenUp):
            self._errors += 1
            return
        try:
            badge = canonical(typed.text)
        except InvalidBadge:
            self._errors += 1
            return
        evidence = at_boottime(seen, typed.started_at) if on_boottime else seen
        if not inbox.put(Tap(self.name, badge, evidence)):
            self._errors += 1


def at_boottime(seen: Evidence, boottime_s: float) -> Evidence:
    """The evidence of the moment `boottime_s` of CLOCK_BOOTTIME, as seen a little later.

    The wall clock is taken back by as much as the boot clock went on, so that a step in between does no harm. A moment
    that cannot be (later than now, or hours ago) is another clock's: then now is the best that is known.
    """
    age = seen.boottime_s - boottime_s
    if not 0 <= age <= AGE_MAX_S:
        return seen
    return replace(seen, wall_s=seen.wall_s - age, boottime_s=boottime_s)
