"""Keys to text: what scanners type becomes whole lines or nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.badge import LENGTH_MAX
from drivers.keymap import PAUSE_MAX_S, GivenUp, Line, Typing

#: (code, value, seconds) as a USB wedge gave them (evtest): "00451" and Enter, then the key releases.
RECORDED = [
    *[(11, 1, 100.000), (11, 0, 100.004), (11, 1, 100.008), (11, 0, 100.012)],
    *[(5, 1, 100.016), (5, 0, 100.020), (6, 1, 100.024), (6, 0, 100.028)],
    *[(2, 1, 100.032), (2, 0, 100.036), (28, 1, 100.040), (28, 0, 100.044)],
]
ENTER = 28
KEYPAD = {"0": 82, "1": 79, "2": 80, "3": 81, "4": 75, "5": 76, "6": 77, "7": 71, "8": 72, "9": 73}
SHIFT = 42
A, B = 30, 48


def press(typing: Typing, *codes: int, at: float = 0.0) -> list[Line | GivenUp]:
    """Press and let go each key, all at one moment."""
    return [done for code in codes for value in (1, 0) for done in typing.key(code, value, at)]


def test_a_recorded_scan_is_its_line_with_the_time_of_its_first_key() -> None:
    """The events of a real scan give the number once, dated when the scanner began."""
    typing = Typing()
    done = [made for code, value, at in RECORDED for made in typing.key(code, value, at)]
    assert done == [Line("00451", 100.0)]


@pytest.mark.parametrize("enter", [28, 96])
def test_both_enter_keys_end_a_line(enter: int) -> None:
    """Enter and the number pad's Enter."""
    assert press(Typing(), 2, enter) == [Line("1", 0.0)]


def test_the_number_pad_types_digits() -> None:
    """Some scanners type on the pad, whatever NumLock says."""
    assert press(Typing(), 69, *KEYPAD.values(), ENTER) == [Line("0123456789", 0.0)]


def test_shift_types_capitals_and_signs_while_held() -> None:
    """Shift held for one key changes that key and no other."""
    typing = Typing()
    typing.key(SHIFT, 1, 0.0)
    press(typing, A, 3)
    typing.key(SHIFT, 0, 0.0)
    assert press(typing, A, 12, ENTER) == [Line("A@a-", 0.0)]


def test_a_key_that_repeats_itself_counts_once() -> None:
    """A held key's own repetition is no second digit."""
    typing = Typing()
    typing.key(2, 1, 0.0)
    typing.key(2, 2, 0.3)
    assert press(typing, ENTER, at=0.4) == [Line("1", 0.0)]


def test_enter_alone_is_nothing() -> None:
    """A stray Enter is neither a badge nor an error."""
    assert press(Typing(), ENTER, ENTER) == []


def test_half_a_badge_is_given_up_after_a_pause() -> None:
    """What was typed before the pause never gets into the next badge."""
    typing = Typing()
    press(typing, 2, 3, at=0.0)
    done = press(typing, 4, ENTER, at=PAUSE_MAX_S + 0.1)
    assert [type(made) for made in done] == [GivenUp, Line]
    assert done[1] == Line("3", PAUSE_MAX_S + 0.1)


def test_an_enter_after_the_pause_does_not_complete_it() -> None:
    """Half a badge and a late Enter are no badge."""
    typing = Typing()
    press(typing, 2, at=0.0)
    assert [type(made) for made in press(typing, ENTER, at=PAUSE_MAX_S + 0.1)] == [GivenUp]


def test_a_clock_that_goes_back_gives_up_the_half() -> None:
    """Events before their predecessors are no continuation."""
    typing = Typing()
    press(typing, 2, at=10.0)
    assert [type(made) for made in press(typing, 3, ENTER, at=5.0)] == [GivenUp, Line]


@pytest.mark.parametrize("code", [1, 15, 29, 56, 58, 59, 125, 240, 700])
def test_a_key_without_text_spoils_the_whole_line(code: int) -> None:
    """Esc, Tab, Ctrl, Alt, CapsLock and the like: a piece of a badge would be another badge."""
    typing = Typing()
    assert [type(made) for made in press(typing, 2, code, 3, ENTER)] == [GivenUp]
    assert press(typing, 4, ENTER) == [Line("3", 0.0)]


def test_more_than_a_badge_can_have_spoils_the_line() -> None:
    """At the limit it is a badge, one more and it is none."""
    typing = Typing()
    assert press(typing, *[2] * LENGTH_MAX, ENTER) == [Line("1" * LENGTH_MAX, 0.0)]
    assert [type(made) for made in press(typing, *[2] * (LENGTH_MAX + 1), ENTER)] == [GivenUp]


def test_dropped_events_spoil_the_line_and_free_shift() -> None:
    """After the kernel dropped events nothing of the line at hand is known, nor whether Shift is still held."""
    typing = Typing()
    typing.key(SHIFT, 1, 0.0)
    press(typing, 2)
    typing.dropped()
    assert [type(made) for made in press(typing, 3, ENTER)] == [GivenUp]
    assert press(typing, A, B, ENTER) == [Line("ab", 0.0)]


@given(st.lists(st.tuples(st.integers(0, 767), st.sampled_from([0, 1, 2]), st.floats(0, 10)), max_size=200))
def test_whatever_is_typed_lines_stay_within_limits(events: list[tuple[int, int, float]]) -> None:
    """For every sequence of events: each line has 1 to 64 characters, and what is kept meanwhile does not grow."""
    typing = Typing()
    for code, value, at in events:
        for made in typing.key(code, value, at):
            if isinstance(made, Line):
                assert 1 <= len(made.text) <= LENGTH_MAX
    assert len(typing._text) <= LENGTH_MAX
