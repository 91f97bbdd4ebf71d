"""The demo's judgement: what the tapper wrote down against the rows of the timesheet."""

from __future__ import annotations

import io
from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from sandbox.handle import Row
from sandbox.screen import WIDTH, Screen
from sandbox.tally import Line, Meaning, Tapped, compare, difference, stays

ANNA, BRAM = "1", "2"
NAMES = {ANNA: "Anna", BRAM: "Bram"}


def tap(user_id: str, meaning: Meaning, at: int, latest: int | None = None) -> Tapped:
    return Tapped(user_id, NAMES[user_id], meaning, at, at if latest is None else latest)


def row(user_id: str, start: int, end: int | None, number: str = "a") -> Row:
    return Row(user_id, start, end, number, "api", None, "api" if end else None, False, None)


TAPS = (
    tap(ANNA, Meaning.COMES, 100),
    tap(ANNA, Meaning.AGAIN, 101),
    tap(BRAM, Meaning.COMES, 110, 111),
    tap(ANNA, Meaning.LEAVES, 200),
    tap(ANNA, Meaning.COMES, 300),
)
ROWS = (row(ANNA, 100, 200, "a"), row(BRAM, 111, None, "b"), row(ANNA, 300, None, "c"))


def said(lines: list[Line]) -> list[str]:
    return [text for line in lines if (text := difference(line, str)) is not None]


def test_what_agrees_agrees_in_any_order():
    """Stays and shifts are paired by person and second, wherever they stand; a repeated tap counts for nothing."""
    lines = compare(TAPS, ROWS[::-1], NAMES)
    assert all(line.agrees for line in lines)
    assert [line.name for line in lines] == ["Anna", "Bram", "Anna"]
    assert said(lines) == []


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ((replace(ROWS[0], start=101), *ROWS[1:]), "Anna: came at 100, the timesheet says 101"),
        ((replace(ROWS[0], end=199), *ROWS[1:]), "Anna: left at 200, the timesheet says 199"),
        ((replace(ROWS[0], end=None), *ROWS[1:]), "Anna: left at 200, the timesheet says that the shift is still open"),
        ((ROWS[0], replace(ROWS[1], end=150), ROWS[2]), "Bram: has not left, the timesheet says 150"),
        (ROWS[:2], "Anna: the timesheet has nothing of what was tapped at 300"),
        ((*ROWS, row(BRAM, 111, 111, "d")), "Bram: the timesheet has a shift from 111 (until 111) that nobody tapped"),
        ((*ROWS, row("3", 5, None, "e")), "3: the timesheet has a shift from 5 (still open) that nobody tapped"),
    ],
)
def test_each_difference_is_seen_and_named(rows, words):
    """One second more or less, a missing shift, a doubled one, a stranger's: exactly that is said, and nothing else."""
    assert said(compare(TAPS, rows, NAMES)) == [words]


def test_a_second_outside_of_the_window_does_not_agree():
    """A tap that fell between two seconds allows both, and no third."""
    window = tap(BRAM, Meaning.COMES, 110, 111)
    assert [window.allows(second) for second in (109, 110, 111, 112, None)] == [False, True, True, False, False]
    assert window.shown(str) == "110/51"


def test_an_impossible_list_of_taps_is_refused():
    """Leaving without having come, or coming twice, is the tapper's own mistake and never the timesheet's."""
    for taps in ((tap(ANNA, Meaning.LEAVES, 1),), (tap(ANNA, Meaning.COMES, 1), tap(ANNA, Meaning.COMES, 2))):
        with pytest.raises(ValueError, match="list of taps is wrong"):
            stays(taps)


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


def shown(encoding: str, environment: dict[str, str]) -> str:
    out = Terminal(io.BytesIO(), encoding=encoding, errors="replace")
    screen = Screen(out, environment, ZoneInfo("Europe/Amsterdam"))
    screen.tap(0, "Anna", "taps", f"{screen.good} welcome", "good")
    screen.waiting(50)
    lines = compare(TAPS, ROWS[1:], NAMES)
    screen.table(lines)
    screen.differences(lines)
    out.seek(0)
    return out.read()


def test_colour_on_a_terminal_alone_and_only_where_wanted():
    """A terminal gets colour; NO_COLOR and dumb terminals do not; the text is the same."""
    coloured = shown("utf-8", {"TERM": "xterm"})
    plain = shown("utf-8", {"TERM": "xterm", "NO_COLOR": "1"})
    assert "\x1b[32m✓ welcome\x1b[0m" in coloured
    assert "\x1b" not in plain + shown("utf-8", {"TERM": "dumb"})
    assert max(map(len, plain.splitlines())) <= WIDTH
    assert "Anna: the timesheet has nothing of what was tapped at 01:01:40" in plain


def test_a_terminal_without_unicode_gets_marks_it_can_show():
    """In the C locale nothing fails and nothing turns into a question mark."""
    plain = shown("ascii", {"NO_COLOR": "1"})
    assert "ok welcome" in plain
    assert "?" not in plain
