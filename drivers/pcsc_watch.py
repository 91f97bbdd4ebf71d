"""The thread's side of the NFC driver: waits in PC/SC for cards, and reads them.

One blocking SCardGetStatusChange watches every reader and their coming and going; between events nothing runs, but
every ten minutes pcscd is asked anew, so that one that hangs is noticed. pyscard's own CardMonitor is not used: its
thread ends for good when pcscd restarts (facts 4.1).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from drivers import apdu, pcsc_words
from drivers.badge import InvalidBadge, from_uid
from drivers.reader import Evidence, EvidenceSource, ReaderLost, ReaderUnavailable

#: The name under which PC/SC tells that readers came or went.
PNP = r"\\?PnP?\Notification"
#: pcscd refuses to watch more than 16 names at once, and one is PNP.
READERS_MAX = 15
#: How long one wait lasts. pcscd that does not answer to its end hangs, and takes no cards either.
WAIT_S = 600.0
#: A card that is being put down loses contact for a moment: reading it again is what the person would do.
ATTEMPTS_MAX = 3


@dataclass(frozen=True, slots=True)
class Presentation:
    """A card was put on a reader at `evidence`; `badge` is None when it could not be read, then `why` says it."""

    reader_name: str
    evidence: Evidence
    badge: str | None
    why: str = ""


class CardWatch:
    """One PC/SC context. `open`, then `run` until `stop`; all three block, and none belongs on the event loop.

    `on_card` is called in the thread that runs, once a presentation, however long the card rests: PC/SC counts the
    comings and goings of cards, so that one taken away and put back unseen is a new one. A card that lies there already
    when the watch begins (or its reader appears) is none: nobody knows when it was presented.
    """

    def __init__(
        self,
        scard: Any,
        match: str,
        evidence: EvidenceSource,
        on_card: Callable[[Presentation], None],
        wait_s: float = WAIT_S,
    ) -> None:
        self._scard = scard
        self._match = match
        self._evidence = evidence
        self._on_card = on_card
        self._wait_s = wait_s
        self._lock = threading.Lock()
        self._context: Any = None
        self._stopping = False
        self._states: dict[str, int] = {}
        #: When it last waited for a card anew, by time.monotonic.
        self.waiting_since = time.monotonic()
        self._quiet: set[str] = set()

    def open(self) -> None:
        """Connect to pcscd and see what is there. Raises ReaderUnavailable."""
        code, context = self._scard.SCardEstablishContext(self._scard.SCARD_SCOPE_SYSTEM)
        if code != 0:
            raise ReaderUnavailable(self._words(code))
        self._context = context
        try:
            self._list()
            self._look(0)
        except ReaderLost as error:
            self.release()
            raise ReaderUnavailable(str(error)) from error

    def run(self) -> None:
        """Watch until `stop`. Raises ReaderLost when pcscd ends or the last reader goes."""
        try:
            while not self._stopping:
                self.waiting_since = time.monotonic()
                self._look(int(self._wait_s * 1000))
        finally:
            self.release()

    def stop(self) -> None:
        """Let `run` return. A call that comes just before it blocks again is lost: repeat it until `run` returned."""
        self._stopping = True
        with self._lock:
            if self._context is not None:
                self._scard.SCardCancel(self._context)

    # --- watching

    def _look(self, limit_ms: int) -> None:
        """Wait for one change (at most `limit_ms`) and act on it."""
        result, rows = self._scard.SCardGetStatusChange(self._context, limit_ms, list(self._states.items()))
        seen = self._evidence()  # before anything else: this is the moment of the presentation
        match pcsc_words.unsigned(result):
            case 0:
                self._note(rows, seen)
            case pcsc_words.CANCELLED | pcsc_words.TIMEOUT:
                pass
            case pcsc_words.UNKNOWN_READER | pcsc_words.READER_UNAVAILABLE:  # it went between two calls
                self._list()
            case pcsc_words.SECURITY_VIOLATION:  # how the library calls a connection that breaks while it asks
                raise ReaderLost(pcsc_words.trouble(pcsc_words.COMM_ERROR))
            case _:
                raise ReaderLost(self._words(result))

    def _note(self, rows: list[tuple[str, int, Any]], seen: Evidence) -> None:
        scard = self._scard
        presented = []
        listing_changed = False
        for name, event, _atr in rows:
            before = self._states[name]
            # What is known now is what the next call compares with, the counter in the high word included.
            self._states[name] = event & ~scard.SCARD_STATE_CHANGED
            if name == PNP:
                listing_changed |= bool(event & scard.SCARD_STATE_CHANGED)
            elif event & scard.SCARD_STATE_UNKNOWN:
                self._states[name] = scard.SCARD_STATE_UNAWARE
                listing_changed = True
            elif self._is_new(before, event):
                presented.append(name)
        for name in presented:
            self._on_card(self._read(name, seen))
        if listing_changed:
            self._list()

    def _is_new(self, before: int, event: int) -> bool:
        """Whether a card was presented between the two states of a reader."""
        scard = self._scard
        if not event & scard.SCARD_STATE_PRESENT:
            return False
        if before & scard.SCARD_STATE_PRESENT:
            return (event >> 16) > (before >> 16)
        return bool(before & scard.SCARD_STATE_EMPTY)

    def _list(self) -> None:
        """Watch the readers that are there now. Raises ReaderLost when none is left."""
        result, names = self._scard.SCardListReaders(self._context, [])
        code = pcsc_words.unsigned(result)
        if code not in (0, pcsc_words.NO_READERS):
            broken = code == pcsc_words.SECURITY_VIOLATION  # see _look
            raise ReaderLost(pcsc_words.trouble(pcsc_words.COMM_ERROR) if broken else self._words(result))
        connected = list(names) if code == 0 else []
        ours = [name for name in connected if self._match.casefold() in name.casefold()][:READERS_MAX]
        if not ours:
            raise ReaderLost(pcsc_words.nothing_there(self._match, connected))
        unaware = self._scard.SCARD_STATE_UNAWARE
        self._states = {name: self._states.get(name, unaware) for name in [PNP, *ours]}

    # --- reading

    def _read(self, name: str, seen: Evidence) -> Presentation:
        why = ""
        for _attempt in range(ATTEMPTS_MAX):
            told = self._ask(name)
            if isinstance(told, apdu.Uid):
                try:
                    return Presentation(name, seen, from_uid(told.uid))
                except InvalidBadge as error:
                    return Presentation(name, seen, None, str(error))
            why = told.why
        return Presentation(name, seen, None, why)

    def _ask(self, name: str) -> apdu.Uid | apdu.NoUid:
        """Ask the card once. A refusal by polkit concerns every card: raises ReaderLost."""
        scard = self._scard
        protocols = scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1
        result, card, protocol = scard.SCardConnect(self._context, name, scard.SCARD_SHARE_SHARED, protocols)
        if result != 0:
            if pcsc_words.unsigned(result) == pcsc_words.SECURITY_VIOLATION:
                self._list()  # raises when it was pcscd that ended
                raise ReaderLost(self._words(result))
            return apdu.NoUid(self._words(result))
        try:
            if apdu.has_lights(name) and name not in self._quiet:
                scard.SCardTransmit(card, protocol, list(apdu.ACR122_QUIET))
                self._quiet.add(name)
            answer = self._transmit(card, protocol, apdu.GET_UID)
            if isinstance(answer, apdu.Resend):
                answer = self._transmit(card, protocol, answer.command)
            return apdu.NoUid("the reader keeps naming lengths") if isinstance(answer, apdu.Resend) else answer
        finally:
            scard.SCardDisconnect(card, scard.SCARD_LEAVE_CARD)

    def _transmit(self, card: Any, protocol: int, command: bytes) -> apdu.Answer:
        result, answer = self._scard.SCardTransmit(card, protocol, list(command))
        return apdu.read_answer(bytes(answer)) if result == 0 else apdu.NoUid(self._words(result))

    # --- ending

    def release(self) -> None:
        """Let go of pcscd, where `run` will not: after an `open` that nobody waited for."""
        with self._lock:
            context, self._context = self._context, None
        if context is not None:
            self._scard.SCardReleaseContext(context)

    def _words(self, result: int) -> str:
        return pcsc_words.trouble(pcsc_words.unsigned(result), self._scard.SCardGetErrorMessage(result))


def show(scard: Any, reader_name: str, command: bytes) -> None:
    """Send a lights-and-buzzer command through the card that lies there; when it has gone, nothing is shown.

    In a context of its own: the watching one is locked while it waits.
    """
    result, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_SYSTEM)
    if result != 0:
        return
    try:
        protocols = scard.SCARD_PROTOCOL_T0 | scard.SCARD_PROTOCOL_T1
        result, card, protocol = scard.SCardConnect(context, reader_name, scard.SCARD_SHARE_SHARED, protocols)
        if result == 0:
            scard.SCardTransmit(card, protocol, list(command))
            scard.SCardDisconnect(card, scard.SCARD_LEAVE_CARD)
    finally:
        scard.SCardReleaseContext(context)
