"""What the watch makes of PC/SC's answers that no virtual reader here can give: plugging, refusals, odd versions."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import pytest

from drivers import apdu, pcsc_words
from drivers.pcsc_watch import ATTEMPTS_MAX, PNP, READERS_MAX, CardWatch, Presentation
from drivers.reader import ReaderLost, ReaderUnavailable
from tests.support.fake_clock import FakeClock

EMPTY, PRESENT, CHANGED, UNKNOWN, UNAVAILABLE = 0x10, 0x20, 0x02, 0x04, 0x08
UID = [0x04, 0xA2, 0x2B, 0x19]
State = tuple[str, int]


class ScriptedPcsc:
    """Plays PC/SC from a script: each wait takes the next (result, readers then connected, states then told)."""

    SCARD_SCOPE_SYSTEM, SCARD_SHARE_SHARED, SCARD_PROTOCOL_T0, SCARD_PROTOCOL_T1, SCARD_LEAVE_CARD = 2, 2, 1, 2, 0
    SCARD_STATE_UNAWARE, SCARD_STATE_CHANGED, SCARD_STATE_UNKNOWN = 0, CHANGED, UNKNOWN
    SCARD_STATE_EMPTY, SCARD_STATE_PRESENT, INFINITE = EMPTY, PRESENT, 0xFFFFFFFF

    def __init__(self, readers: list[str], script: Iterable[tuple[int, list[str] | None, list[State]]]) -> None:
        self.readers = readers
        self.script = iter(script)
        self.asked: list[dict[str, int]] = []
        self.establish = self.connect = 0
        self.released = 0

    def SCardEstablishContext(self, scope: int) -> tuple[int, int]:
        return self.establish, 1

    def SCardReleaseContext(self, context: int) -> int:
        self.released += 1
        return 0

    def SCardListReaders(self, context: int, groups: list[str]) -> tuple[int, list[str]]:
        return (0, list(self.readers)) if self.readers else (pcsc_words.NO_READERS, [])

    def SCardGetStatusChange(self, context: int, limit: int, states: list[State]) -> tuple[int, list[Any]]:
        self.asked.append(dict(states))
        result, readers, told = next(self.script)
        if readers is not None:
            self.readers = readers
        changed = dict(told)
        # The library's results are signed on some platforms.
        return result - (1 << 32) if result else 0, [(name, changed.get(name, state), []) for name, state in states]

    def SCardConnect(self, context: int, name: str, mode: int, protocols: int) -> tuple[int, int, int]:
        return self.connect, 7, 2

    def SCardTransmit(self, card: int, protocol: int, command: list[int]) -> tuple[int, list[int]]:
        return 0, [*UID, 0x90, 0x00]

    def SCardDisconnect(self, card: int, how: int) -> int:
        return 0

    def SCardGetErrorMessage(self, result: int) -> str:
        return "Something of the library's. "


def opened(pcsc: ScriptedPcsc, match: str = "") -> tuple[CardWatch, list[Presentation]]:
    """A watch over the script that has looked around."""
    cards: list[Presentation] = []
    watch = CardWatch(pcsc, match, FakeClock().now, cards.append)
    watch.open()
    return watch, cards


def lost(watch: CardWatch) -> str:
    """Let it run until it is lost; why."""
    with pytest.raises(ReaderLost) as caught:
        watch.run()
    return str(caught.value)


FIRST_LOOK = (0, None, [("A 00", EMPTY | CHANGED)])
ENDED = (pcsc_words.NO_SERVICE, None, [])


def test_a_reader_plugged_in_is_watched_and_one_unplugged_no_more() -> None:
    """PC/SC says readers came or went: from then on exactly those are watched, and a card on the new one is a tap."""
    pcsc = ScriptedPcsc(
        ["A 00"],
        [
            FIRST_LOOK,
            (0, ["A 00", "B 00"], [(PNP, CHANGED)]),
            (0, None, [("B 00", EMPTY | CHANGED)]),
            (0, None, [("B 00", 0x10000 | PRESENT | CHANGED)]),
            (0, ["B 00"], [("A 00", UNKNOWN | UNAVAILABLE | CHANGED)]),
            ENDED,
        ],
    )
    watch, cards = opened(pcsc)
    lost(watch)
    assert [(card.reader_name, card.badge) for card in cards] == [("B 00", "04A22B19")]
    assert [set(asked) - {PNP} for asked in pcsc.asked] == [{"A 00"}] * 2 + [{"A 00", "B 00"}] * 3 + [{"B 00"}]


def test_the_last_reader_unplugged_is_a_loss_that_names_the_remedy() -> None:
    """No reader left: lost, and to be plugged in."""
    watch, _ = opened(ScriptedPcsc(["A 00"], [FIRST_LOOK, (0, [], [(PNP, CHANGED)])]))
    assert "plug it in" in lost(watch)


def test_a_reader_that_goes_between_two_calls_is_no_end() -> None:
    """pcscd no longer knows a name that was asked for: the list is read again."""
    script = [FIRST_LOOK, (pcsc_words.UNKNOWN_READER, ["B 00"], []), ENDED]
    pcsc = ScriptedPcsc(["A 00"], script)
    watch, _ = opened(pcsc)
    lost(watch)
    assert set(pcsc.asked[-1]) == {PNP, "B 00"}


def test_a_card_that_lay_on_a_new_reader_is_no_tap() -> None:
    """A reader that appears with a card on it: nobody knows when that was presented."""
    pcsc = ScriptedPcsc(
        ["A 00"],
        [
            FIRST_LOOK,
            (0, ["A 00", "B 00"], [(PNP, CHANGED)]),
            (0, None, [("B 00", PRESENT | CHANGED)]),
            ENDED,
        ],
    )
    watch, cards = opened(pcsc)
    lost(watch)
    assert cards == []


def test_what_the_library_told_is_handed_back_to_it() -> None:
    """The count of events of each reader, and that of readers' comings, go into the next wait."""
    script = [
        (0, None, [(PNP, 0x30000), ("A 00", 0x50000 | EMPTY | CHANGED)]),
        (0, None, [("A 00", 0x60000 | PRESENT | CHANGED)]),
        ENDED,
    ]
    pcsc = ScriptedPcsc(["A 00"], script)
    watch, _ = opened(pcsc)
    lost(watch)
    assert pcsc.asked[1] == {PNP: 0x30000, "A 00": 0x50000 | EMPTY}
    assert pcsc.asked[2] == {PNP: 0x30000, "A 00": 0x60000 | PRESENT}


def test_no_more_readers_are_watched_than_pcscd_allows() -> None:
    """With PNP they are 16: one more and pcscd would refuse the whole call."""
    pcsc = ScriptedPcsc([f"A {n:02}" for n in range(40)], [(0, None, []), ENDED])
    opened(pcsc)
    assert len(pcsc.asked[0]) == READERS_MAX + 1 == 16


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (pcsc_words.NO_SERVICE, "systemctl enable --now pcscd.socket"),
        (pcsc_words.SECURITY_VIOLATION, "/etc/polkit-1/rules.d"),
        (pcsc_words.SERVICE_STOPPED, "from the same distribution"),
        (0x80100001, "Something of the library's (0x80100001); systemctl restart pcscd"),
    ],
)
def test_a_pcscd_that_will_not_is_unavailable_with_its_remedy(code: int, remedy: str) -> None:
    """Absent, forbidden by polkit, of another version, or anything else: each says how to mend it."""
    pcsc = ScriptedPcsc(["A 00"], [])
    pcsc.establish = code - (1 << 32)
    with pytest.raises(ReaderUnavailable) as caught:
        opened(pcsc)
    assert str(caught.value).startswith("cannot use NFC readers: ")
    assert remedy in str(caught.value)


def test_polkit_that_forbids_cards_is_told_and_not_counted() -> None:
    """Every card would be refused: the reader is lost with the remedy, not one error a tap."""
    pcsc = ScriptedPcsc(["A 00"], [FIRST_LOOK, (0, None, [("A 00", 0x10000 | PRESENT | CHANGED)])])
    pcsc.connect = pcsc_words.SECURITY_VIOLATION - (1 << 32)
    watch, cards = opened(pcsc)
    assert "polkit" in lost(watch)
    assert cards == []


def test_a_connection_that_breaks_is_not_blamed_on_polkit() -> None:
    """libpcsclite says "security violation" when pcscd dies while it asks for states: that is pcscd's end."""
    watch, _ = opened(ScriptedPcsc(["A 00"], [FIRST_LOOK, (pcsc_words.SECURITY_VIOLATION, None, [])]))
    assert "pcscd ended" in lost(watch)


def test_a_card_that_pcscds_end_took_away_is_not_blamed_on_polkit() -> None:
    """The same words at a card: whether pcscd still lists its readers tells which it was."""

    class Ended(ScriptedPcsc):
        def SCardListReaders(self, context: int, groups: list[str]) -> tuple[int, list[str]]:
            if self.asked[1:]:
                return pcsc_words.SECURITY_VIOLATION - (1 << 32), []
            return super().SCardListReaders(context, groups)

    pcsc = Ended(["A 00"], [FIRST_LOOK, (0, None, [("A 00", 0x10000 | PRESENT | CHANGED)])])
    pcsc.connect = pcsc_words.SECURITY_VIOLATION - (1 << 32)
    watch, _ = opened(pcsc)
    assert "pcscd ended" in lost(watch)


def test_each_card_is_let_go_also_where_it_does_not_answer() -> None:
    """pcscd hands out a limited number of connections: one that is kept a tap ends them all within days."""
    connections = []

    class Counted(ScriptedPcsc):
        def SCardConnect(self, context: int, name: str, mode: int, protocols: int) -> tuple[int, int, int]:
            connections.append("made")
            return super().SCardConnect(context, name, mode, protocols)

        def SCardTransmit(self, card: int, protocol: int, command: list[int]) -> tuple[int, list[int]]:
            return pcsc_words.COMM_ERROR - (1 << 32), []

        def SCardDisconnect(self, card: int, how: int) -> int:
            connections.append("ended")
            return super().SCardDisconnect(card, how)

    shown = (0, None, [("A 00", 0x10000 | PRESENT | CHANGED)])
    watch, cards = opened(Counted(["A 00"], [FIRST_LOOK, shown, (0, [], [(PNP, CHANGED)])]))
    lost(watch)
    assert [card.badge for card in cards] == [None]
    assert connections == ["made", "ended"] * ATTEMPTS_MAX


def test_each_wait_is_a_sign_of_life() -> None:
    """While pcscd answers, by a card or at the end of a wait, its last sign of life is the wait that goes on now."""
    seen: list[float] = []

    class Watched(ScriptedPcsc):
        def SCardGetStatusChange(self, context: int, limit: int, states: list[State]) -> tuple[int, list[Any]]:
            seen.append(watch.waiting_since)
            before = time.monotonic()
            while time.monotonic() == before:
                pass
            return super().SCardGetStatusChange(context, limit, states)

    quiet, card = (pcsc_words.TIMEOUT, None, []), (0, None, [("ACS 0", PRESENT | CHANGED)])
    pcsc = Watched(["ACS 0"], [(0, None, [("ACS 0", EMPTY)]), quiet, card, quiet, (0, [], [(PNP, CHANGED)])])
    watch = CardWatch(pcsc, "", FakeClock().now, lambda _card: None)
    watch.open()
    began = len(seen)
    lost(watch)
    assert len(seen) - began == 4
    assert sorted(set(seen[began:])) == seen[began:], "each later than the one before"


@pytest.mark.parametrize(("name", "quieted"), [("ACS ACR122U PICC Interface 00 00", 1), ("OMNIKEY 5022 00 00", 0)])
def test_a_beep_of_its_own_is_switched_off_once_where_there_is_one(name: str, quieted: int) -> None:
    """Before the first card of an ACR122, and not before each; another reader is never sent that command."""
    sent: list[bytes] = []

    class Noted(ScriptedPcsc):
        def SCardTransmit(self, card: int, protocol: int, command: list[int]) -> tuple[int, list[int]]:
            sent.append(bytes(command))
            return super().SCardTransmit(card, protocol, command)

    away, there = (0, None, [(name, EMPTY | CHANGED)]), (0, None, [(name, PRESENT | CHANGED)])
    pcsc = Noted([name], [(0, None, [(name, EMPTY)]), there, away, there, (0, [], [(PNP, CHANGED)])])
    watch, cards = opened(pcsc)
    lost(watch)
    assert len(cards) == 2
    assert sent == [apdu.ACR122_QUIET] * quieted + [apdu.GET_UID] * 2


def test_the_context_is_let_go_whatever_happens() -> None:
    """After a failed opening and after a loss, nothing is held in pcscd."""
    failed = ScriptedPcsc([], [])
    with pytest.raises(ReaderUnavailable):
        opened(failed)
    ran = ScriptedPcsc(["A 00"], [FIRST_LOOK, ENDED])
    watch, _ = opened(ran)
    lost(watch)
    watch.release()
    assert (failed.released, ran.released) == (1, 1)


def test_words_of_others_are_one_line_that_can_be_shown() -> None:
    """A device's name is whatever it says, and so are the library's words: neither breaks a line."""
    told = pcsc_words.trouble(0x80100003, "Odd\n\x1b[2Jwords. " + "x" * 500)
    assert told.isprintable()
    assert len(told) < 400
    told = pcsc_words.nothing_there("ACR", ["Evil\x1b[2J\nReader", "B" * 5000])
    assert "Evil [2J Reader" in told
    assert told.isprintable()
    assert len(told) < 700
