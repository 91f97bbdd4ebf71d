from __future__ import annotations

import io
from zoneinfo import ZoneInfo

import pytest

from daemon.control.render import Look, columns, printable, span

NOW = 1772352000.0  # 2026-03-01T08:00:00Z, nine in the morning in Amsterdam
LOOK = Look(NOW, ZoneInfo("Europe/Amsterdam"))


@pytest.mark.parametrize(
    ("at", "text"),
    [
        ("2026-03-01T07:55:00Z", "5 min ago (08:55:00)"),
        ("2026-03-01T07:59:30Z", "30 s ago (08:59:30)"),
        ("2026-03-01T08:00:00Z", "just now (09:00:00)"),
        ("2026-03-01T08:10:00Z", "in 10 min (09:10:00)"),
        ("2026-02-28T22:30:00Z", "9 h ago (28 Feb 23:30)"),
        ("2025-12-31T23:30:00Z", "59 d ago (01 Jan 00:30)"),
        ("2025-06-01T10:00:00Z", "272 d ago (2025-06-01 12:00)"),
        (None, "never"),
    ],
)
def test_times_are_relative_and_exact_in_the_kiosks_zone(at: str | None, text: str) -> None:
    """The exact half is what hangs on the kiosk's wall, also across its midnight and new year."""
    assert LOOK.when(at) == text


def test_an_unknown_zone_shows_utc() -> None:
    """A zone this machine does not have is no failure."""
    look = Look.of(io.StringIO(), {}, "Mars/Olympus", NOW)
    assert look.exact("2026-03-01T08:00:00Z") == "08:00:00"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (59.9, "59 s"), (60, "1 min"), (86399, "23 h"), (9e6, "104 d")]
)
def test_a_duration_is_told_in_its_largest_whole_unit(seconds: float, text: str) -> None:
    """Never rounded up: 59.9 s is not a minute."""
    assert span(seconds) == text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("out", "environment", "colour"),
    [
        (Terminal(), {"TERM": "xterm"}, True),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "xterm", "NO_COLOR": ""}, True),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
    ],
)
def test_colour_is_for_terminals_that_want_it(out: io.StringIO, environment: dict[str, str], colour: bool) -> None:
    """NO_COLOR counts when it is not empty (no-color.org); a pipe never gets escapes."""
    look = Look.of(out, environment, "UTC", NOW)
    assert ("\x1b" in look.paint("text", "good")) is colour


def test_a_table_fits_and_never_cuts_an_id() -> None:
    """The flexible columns give way, an ellipsis marks the cut, and fixed columns stay whole."""
    row = ["01K9ZQ4T5V0000000000000000", "09:00:00 (5min)", "A name of quite some length, and longer", "in", "x" * 60]
    lines = LOOK.table(("ID", "TAPPED", "NAME", "", "STATE"), [row], (2, 4)).split("\n")
    assert all(columns(line) <= 80 for line in lines)
    assert lines[1].startswith("01K9ZQ4T5V0000000000000000  09:00:00 (5min)  A name")
    assert "…" in lines[1]


def test_wide_characters_count_as_two_columns() -> None:
    """Names in East Asian scripts keep a table straight."""
    lines = LOOK.table(("NAME", "N"), [["山田太郎", "1"], ["Ada", "2"]]).split("\n")
    assert [columns(line) for line in lines[1:]] == [11, 11]
    assert columns(LOOK.table(("NAME",), [["山" * 60]], (0,)).split("\n")[1]) <= 80


def test_nothing_from_outside_steers_the_terminal() -> None:
    """Escapes, control and direction characters in a name or in the service's words are shown, not obeyed."""
    assert printable("a\x1b[31mb\u202ec\nd") == "a?[31mb?c d"
    assert "\x1b" not in LOOK.table(("NAME",), [["\x1b]0;title\x07"]])
