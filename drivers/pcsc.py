"""NFC readers through PC/SC (pcscd): every connected reader, or those with `match` in their name, as one Reader."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from typing import Any

from drivers import apdu, pcsc_words
from drivers.inbox import WAITING_MAX, Inbox, from_thread, in_thread
from drivers.pcsc_watch import WAIT_S, CardWatch, Presentation, show
from drivers.reader import EvidenceSource, Feedback, ReaderLost, ReaderUnavailable, Tap

#: A cancelled wait returns at once; it is cancelled again after this, in case it was just about to begin.
CANCEL_AGAIN_S = 0.1
#: Reading a card and handing it over takes well under a second, on a slow reader too.
HANG_S = 60.0
#: A thread that hangs in a broken device is left behind after so many waits; it ends with the process.
WAITS_MAX = 50


class PcscReader:
    """A Reader over pcscd. One tap a presentation; a card on the reader before `open` is not a tap."""

    driver = "pcsc"

    def __init__(self, name: str, evidence: EvidenceSource, match: str = "") -> None:
        self.name = name
        self._evidence = evidence
        self._match = match
        self._errors = 0
        self._scard: Any = None
        self._inbox = Inbox.unopened(name)
        self._watch: CardWatch | None = None
        self._ended: asyncio.Future[None] | None = None
        self._hang: asyncio.TimerHandle | None = None
        #: How long one wait for cards lasts, and how much later it is given up for hanging.
        self.wait_s, self.hang_s = WAIT_S, HANG_S
        #: Where each recent tap was made, for its feedback; as many as can wait for one.
        self._places: OrderedDict[Tap, str] = OrderedDict()

    async def open(self) -> None:
        """Connect to pcscd and begin to watch. Raises ReaderUnavailable with the remedy."""
        loop = asyncio.get_running_loop()
        self._scard = await in_thread(_load, f"{self.name}-load")
        inbox = Inbox()

        def on_card(presentation: Presentation) -> None:
            from_thread(loop, self._take, inbox, presentation)

        watch = CardWatch(self._scard, self._match, self._evidence, on_card, self.wait_s)
        opening = in_thread(watch.open, f"{self.name}-open")
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:  # the thread cannot be interrupted: it lets go of what it gets, later
            opening.add_done_callback(lambda opened: opened.exception() or in_thread(watch.release, self.name))
            raise
        self._inbox, self._watch = inbox, watch
        self._ended = in_thread(watch.run, f"{self.name}-watch")
        self._ended.add_done_callback(lambda ended: inbox.end(None if ended.cancelled() else ended.exception()))
        self._look_alive(watch, inbox)

    def taps(self) -> AsyncIterator[Tap]:
        """Yield one Tap a presentation. Raises ReaderLost when pcscd ends or the last reader is unplugged."""
        return self._inbox.taps()

    async def feedback(self, tap: Tap, feedback: Feedback) -> None:
        """Light and beep on the reader the tap was made on, where it can (ACR122)."""
        place = self._places.pop(tap, None)
        if place is not None and apdu.has_lights(place):
            await in_thread(lambda: show(self._scard, place, apdu.show(feedback)), f"{self.name}-feedback")

    def _look_alive(self, watch: CardWatch, inbox: Inbox) -> None:
        """End the taps when a wait for cards does not end: pcscd hangs. Looks again when the next should be over."""
        overdue_s = time.monotonic() - watch.waiting_since - self.wait_s - self.hang_s
        if overdue_s >= 0:
            inbox.end(ReaderLost(pcsc_words.HANGS))
        else:
            self._hang = asyncio.get_running_loop().call_later(-overdue_s + 0.01, self._look_alive, watch, inbox)

    async def close(self) -> None:
        """Let go of pcscd. Returns when nothing of this opening runs any more."""
        if self._hang is not None:
            self._hang.cancel()
        watch, ended = self._watch, self._ended
        self._watch = self._ended = None
        self._places.clear()
        self._inbox.end()
        if watch is None or ended is None:
            return
        stopped = in_thread(watch.stop, f"{self.name}-stop")
        for _wait in range(WAITS_MAX):
            await asyncio.wait({ended, stopped}, timeout=CANCEL_AGAIN_S, return_when=asyncio.ALL_COMPLETED)
            if ended.done():
                break
            if stopped.done():
                stopped = in_thread(watch.stop, f"{self.name}-stop")

    @property
    def errors(self) -> int:
        """Presentations that could not be read since the start of the process."""
        return self._errors

    def _take(self, inbox: Inbox, presentation: Presentation) -> None:
        if presentation.badge is None:
            self._errors += 1
            return
        tap = Tap(self.name, presentation.badge, presentation.evidence)
        if not inbox.put(tap):
            self._errors += 1
            return
        self._places[tap] = presentation.reader_name
        while len(self._places) > WAITING_MAX:
            self._places.popitem(last=False)


def _load() -> Any:
    """pyscard's plain binding, loaded when it is first needed: it brings a C library that may be missing."""
    try:
        from smartcard import scard
    except ImportError as error:
        raise ReaderUnavailable(pcsc_words.NO_LIBRARY) from error
    return scard
