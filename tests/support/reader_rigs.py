"""One rig a driver: how a test presents badges to it, takes them away and pulls the plug."""

from __future__ import annotations

import asyncio
import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from drivers.keymap import KEY_ENTER
from drivers.pcsc import PcscReader
from drivers.pcsc_watch import ATTEMPTS_MAX
from drivers.reader import EvidenceSource, Reader, ReaderUnavailable
from drivers.scanner import EV_KEY, EV_SYN, EVENT, ScannerReader
from drivers.simulated import SimulatedReader
from tests.support.pcscd import PrivatePcscd
from tests.support.virtual_card import VirtualCard

FIRST_BADGE = "04A22B19"
SECOND_BADGE = "04C0FFEE"


class Rig(ABC):
    """A reader of one driver and the hands that use it. `badges` are canonical."""

    reader: Reader

    @abstractmethod
    async def present(self, badge: str) -> None:
        """Present a badge and let it rest, until the machine has noticed it."""

    @abstractmethod
    async def take_away(self) -> None:
        """Take the badge that rests away, until the machine has noticed that."""

    @abstractmethod
    async def present_unreadable(self) -> None:
        """Present something that cannot be read, and take it away."""

    @abstractmethod
    async def unplug(self) -> None:
        """Make the reader go."""

    @abstractmethod
    async def replug(self) -> None:
        """Bring it back."""

    async def clean(self) -> None:
        """Leave nothing behind."""
        await self.reader.close()


class SimulatedRig(Rig):
    """The simulated reader."""

    def __init__(self, evidence: EvidenceSource) -> None:
        self.simulated = SimulatedReader("front", evidence)
        self.reader = self.simulated

    async def present(self, badge: str) -> None:
        await self.simulated.present(badge)

    async def take_away(self) -> None:
        pass

    async def present_unreadable(self) -> None:
        self.simulated.present_unreadable()

    async def unplug(self) -> None:
        self.simulated.unplug()

    async def replug(self) -> None:
        self.simulated.replug()


class PcscRig(Rig):
    """A real pcscd with virtual readers and cards. `slots` lets a test use a second reader."""

    def __init__(self, evidence: EvidenceSource, directory: Path, name: str = "Virtual PCD", match: str = "") -> None:
        self.pcscd = PrivatePcscd(directory, [name])
        self.pcscd.start()
        self.reader = PcscReader("front", evidence, match)
        self.card: VirtualCard | None = None

    async def present(self, badge: str) -> None:
        await self.put(VirtualCard(badge))

    async def put(self, card: VirtualCard, slot: int = 0) -> None:
        """Put any card on any slot, and wait until pcscd has noticed it."""
        await asyncio.to_thread(card.put_on, self.pcscd.ports[slot])
        self.card = card
        await asyncio.to_thread(card.noticed.wait, 60)

    async def take_away(self) -> None:
        if self.card is not None:
            await asyncio.to_thread(self.card.take_away)
            self.card = None
            await asyncio.to_thread(self.wait_for, lambda states: not any(states))

    async def present_unreadable(self) -> None:
        await self.put(VirtualCard(lambda command: b"\x63\x00"))
        assert self.card is not None
        await asyncio.to_thread(self.card.wait_until_asked, ATTEMPTS_MAX)
        await self.take_away()

    async def unplug(self) -> None:
        await asyncio.to_thread(self.pcscd.kill)
        if self.card is not None:
            await asyncio.to_thread(self.card.take_away)
            self.card = None

    async def replug(self) -> None:
        await asyncio.to_thread(self.pcscd.start)

    async def clean(self) -> None:
        await super().clean()
        if self.card is not None:
            await asyncio.to_thread(self.card.take_away)
        await asyncio.to_thread(self.pcscd.stop)

    def wait_for(self, wanted: Callable[[list[bool]], bool]) -> None:
        """Wait until pcscd itself sees cards on its slots (in their order) as `wanted` says. Blocks."""
        from smartcard import scard

        _, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_SYSTEM)
        try:
            _, names = scard.SCardListReaders(context, [])
            states = [(name, scard.SCARD_STATE_UNAWARE) for name in names]
            while True:
                result, rows = scard.SCardGetStatusChange(context, scard.INFINITE, states)
                assert result == 0, scard.SCardGetErrorMessage(result)
                if wanted([bool(event & scard.SCARD_STATE_PRESENT) for _, event, _ in rows]):
                    return
                states = [(name, event) for name, event, _ in rows]
        finally:
            scard.SCardReleaseContext(context)


class PipeDevice:
    """What an input device's descriptor is to a reader: whole events to read. Its other end is in the test's hands."""

    on_boottime = True

    def __init__(self) -> None:
        self.fd, self.end = os.pipe2(os.O_NONBLOCK)
        self.closed = False

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            os.close(self.fd)


#: Key codes of what badges are made of (US layout, digits and letters).
CODES = dict(
    zip("1234567890", range(2, 12), strict=True),
    **dict(zip("qwertyuiop", range(16, 26), strict=True)),
    **dict(zip("asdfghjkl", range(30, 39), strict=True)),
    **dict(zip("zxcvbnm", range(44, 51), strict=True)),
)


def key_events(code: int, at: float) -> bytes:
    """One key pressed and let go at `at` (seconds of the events' clock), as the kernel reports it."""
    seconds, micros = int(at), int(at % 1 * 1_000_000)
    return b"".join(
        EVENT.pack(seconds, micros, EV_KEY, code, value) + EVENT.pack(seconds, micros, EV_SYN, 0, 0) for value in (1, 0)
    )


def typed(text: str, at: float, *, enter: bool = True) -> bytes:
    """The events of a text typed by a scanner that keeps Shift out of it, ended with Enter."""
    keys = [CODES[char] for char in text.lower()]
    return b"".join(key_events(code, at) for code in [*keys, *([KEY_ENTER] if enter else [])])


class ScannerRig(Rig):
    """The scanner driver on a pipe that carries input events; `now` is the events' clock (CLOCK_BOOTTIME)."""

    def __init__(self, evidence: EvidenceSource, now: Callable[[], float]) -> None:
        self._now = now
        self._there = True
        self.device: PipeDevice | None = None
        self.reader = ScannerReader("front", evidence, opener=self._open)

    def _open(self, match: str) -> PipeDevice:
        if not self._there:
            raise ReaderUnavailable("cannot use a badge scanner: it is not there; plug it in")
        self.device = PipeDevice()
        return self.device

    def write(self, events: bytes) -> None:
        """Let the device report these events."""
        assert self.device is not None
        os.write(self.device.end, events)

    async def present(self, badge: str) -> None:
        self.write(typed(badge, self._now()))

    async def take_away(self) -> None:
        pass

    async def present_unreadable(self) -> None:
        self.write(key_events(1, self._now()) + typed("12", self._now()))  # an Esc in it

    async def unplug(self) -> None:
        self._there = False
        assert self.device is not None
        os.close(self.device.end)

    async def replug(self) -> None:
        self._there = True

    async def clean(self) -> None:
        await super().clean()
        if self.device is not None and self._there:
            os.close(self.device.end)
