"""Whatever cards, readers and pcscd answer: no crash, no guessed badge, nothing left open."""

from __future__ import annotations

from itertools import cycle
from typing import Any

import pytest
from hypothesis import strategies as st

from drivers import apdu, pcsc_words
from drivers.badge import UID_BYTES_MAX, canonical
from drivers.pcsc_watch import ATTEMPTS_MAX, CardWatch, Presentation
from drivers.reader import ReaderLost, ReaderUnavailable
from tests.fuzz.cards import ANSWERS, CODES, STATES
from tests.support.fake_clock import FakeClock
from tests.support.fuzzing import fuzzed


@fuzzed("cards: one answer", short=400, long=30_000, answer=ANSWERS)
def test_an_answer_is_a_uid_or_says_why_not(answer: bytes) -> None:
    """A UID only under a status that says so, and it is exactly what came; a reason otherwise; the same bytes again."""
    told = apdu.read_answer(answer)
    match told:
        case apdu.Uid(uid):
            assert uid
            assert answer in (uid + b"\x90\x00", uid + b"\x62\x82")
        case apdu.Resend(command):
            assert len(command) == len(apdu.GET_UID)
        case apdu.NoUid(why):
            assert why
    assert apdu.read_answer(answer) == told


#: What may be connected.
LISTINGS = [["A 00"], ["ACR122U 01", "A 00"], ["ACR122U 01"], ["é\0", "A 00"], ["A 00"] * 20, []]
#: What it says, kind by kind; one after another, and over again.
Told = dict[str, list[Any]]
TOLD = st.fixed_dictionaries(
    {
        "codes": st.lists(CODES, min_size=1, max_size=60),
        "listings": st.lists(st.sampled_from(LISTINGS), min_size=1, max_size=4),
        "states": st.lists(STATES, min_size=1, max_size=25),
        "answers": st.lists(ANSWERS, min_size=1, max_size=12),
        "errors": st.lists(st.text(max_size=20), min_size=1, max_size=3),
    }
)
#: Which reader the configuration names.
WANTED = st.sampled_from(["", "acr", "é"])


class HostilePcsc:
    """A PC/SC that answers whatever the data says; counts what is opened and closed."""

    SCARD_SCOPE_SYSTEM, SCARD_SHARE_SHARED, SCARD_PROTOCOL_T0, SCARD_PROTOCOL_T1, SCARD_LEAVE_CARD = 2, 2, 1, 2, 0
    SCARD_STATE_UNAWARE, SCARD_STATE_CHANGED, SCARD_STATE_UNKNOWN = 0, 2, 4
    SCARD_STATE_EMPTY, SCARD_STATE_PRESENT, INFINITE = 0x10, 0x20, 0xFFFFFFFF

    def __init__(self, told: Told, waits: int) -> None:
        self._told, self._waits = {name: cycle(one) for name, one in told.items()}, waits
        self.contexts = self.cards = self.asked = self.presented = 0

    def _code(self) -> int:
        code = next(self._told["codes"])
        return code - (1 << 32) if code >= 1 << 31 else code

    def SCardEstablishContext(self, scope: int) -> tuple[int, int]:
        code = self._code()
        self.contexts += code == 0
        return code, 1

    def SCardReleaseContext(self, context: int) -> int:
        self.contexts -= 1
        return self._code()

    def SCardListReaders(self, context: int, groups: list[str]) -> tuple[int, list[str]]:
        return self._code(), next(self._told["listings"])

    def SCardGetStatusChange(self, context: int, limit: int, states: list[tuple[str, int]]) -> tuple[int, list[Any]]:
        self._waits -= 1
        if self._waits < 0:
            return pcsc_words.NO_SERVICE, []
        return self._code(), [(name, next(self._told["states"]), []) for name, _ in states]

    def SCardConnect(self, context: int, name: str, mode: int, protocols: int) -> tuple[int, int, int]:
        code = self._code()
        self.cards += code == 0
        return code, 7, 2

    def SCardTransmit(self, card: int, protocol: int, command: list[int]) -> tuple[int, list[int]]:
        self.asked += 1
        return self._code(), list(next(self._told["answers"]))

    def SCardDisconnect(self, card: int, how: int) -> int:
        self.cards -= 1
        return self._code()

    def SCardGetErrorMessage(self, result: int) -> str:
        return next(self._told["errors"])


def opened_and_run(watch: CardWatch) -> None:
    """Until it is lost."""
    watch.open()
    watch.run()


@fuzzed("cards: a whole session", short=120, long=3_000, told=TOLD, wanted=WANTED, waits=st.integers(0, 12))
def test_a_session_ends_lost_with_a_remedy_and_nothing_open(told: Told, wanted: str, waits: int) -> None:
    """Badges are canonical or say why there is none; each card is asked a bounded number of times; all is let go."""
    pcsc, seen = HostilePcsc(told, waits), list[Presentation]()
    watch = CardWatch(pcsc, wanted, FakeClock().now, seen.append)
    with pytest.raises((ReaderUnavailable, ReaderLost), match=r"^cannot use .*; ") as lost:
        opened_and_run(watch)
    assert str(lost.value).isprintable()
    assert len(str(lost.value)) < 5000
    for card in seen:
        assert (card.badge is None) == bool(card.why)
        if card.badge is not None:
            assert canonical(card.badge) == card.badge
            assert len(card.badge) <= 2 * UID_BYTES_MAX
    assert (pcsc.contexts, pcsc.cards) == (0, 0)
    assert pcsc.asked <= (waits + 1) * 16 * (3 * ATTEMPTS_MAX)
