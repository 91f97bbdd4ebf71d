"""Text for people: tables that fit, colour where it helps, times both relative and exact. Pure but for `Look.of`."""

from __future__ import annotations

import math
import shutil
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import TextIO

#: Output that goes to no terminal is laid out for this many columns, as is one that does not tell its width.
WIDTH = 80
#: Narrower columns cannot be read.
COLUMN_MIN = 6
_STYLES = {"good": "32", "warn": "33", "bad": "31", "strong": "1", "dim": "2"}
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


@dataclass(frozen=True, slots=True)
class Look:
    """How text is laid out. `now` is the kiosk's best known time, `zone` its time zone."""

    now: float
    zone: tzinfo
    width: int = WIDTH
    colour: bool = False

    @classmethod
    def of(cls, out: TextIO, environment: Mapping[str, str], zone: str, now: float) -> Look:
        """As `out` and the environment have it: NO_COLOR, TERM and the terminal's width."""
        terminal = out.isatty()
        colour = terminal and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
        width = shutil.get_terminal_size((WIDTH, 24)).columns if terminal else WIDTH
        return cls(now, zone_of(zone), max(40, width), colour)

    def paint(self, text: str, style: str) -> str:
        """The text in a style (good, warn, bad, strong, dim), if there is colour."""
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if self.colour and style and text else text

    def ago(self, at: str | None) -> str:
        """How long ago an instant is: `5 min ago`, `in 3 h`, `just now`; `never` for None."""
        if at is None:
            return "never"
        gone = self.now - unix(at)
        if abs(gone) < 1:
            return "just now"
        return f"{span(gone)} ago" if gone > 0 else f"in {span(-gone)}"

    def exact(self, at: str | None) -> str:
        """The instant in the kiosk's zone: `14:03:10` today, `20 Nov 14:03` this year, else with the year."""
        if at is None:
            return "-"
        local = datetime.fromtimestamp(unix(at), self.zone)
        today = datetime.fromtimestamp(self.now, self.zone)
        if local.date() == today.date():
            return f"{local:%H:%M:%S}"
        return f"{local:%d %b %H:%M}" if local.year == today.year else f"{local:%Y-%m-%d %H:%M}"

    def to_the_second(self, at: str) -> str:
        """The instant in the kiosk's zone with its day and second: `20 Nov 14:03:10`."""
        return f"{datetime.fromtimestamp(unix(at), self.zone):%d %b %H:%M:%S}"

    def when(self, at: str | None) -> str:
        """Both: `5 min ago (14:03:10)`."""
        return "never" if at is None else f"{self.ago(at)} ({self.exact(at)})"

    def short(self, at: str | None) -> str:
        """Both, for tables: `14:03:10 (5min)`."""
        if at is None:
            return "-"
        gone = self.now - unix(at)
        return f"{self.exact(at)} ({'in ' if gone < 0 else ''}{span(abs(gone)).replace(' ', '')})"

    def wrapped(self, text: str, indent: str = "") -> str:
        """The text in lines that fit, each indented. A word that is longer than a line stays whole: an id, a path."""
        lines, line = [], ""
        for word in printable(text).split(" "):
            longer = f"{line} {word}" if line else word
            # Counted in columns, as a terminal has them: names may be of wide letters.
            if line and columns(longer) > self.width - len(indent):
                lines.append(line.rstrip())
                longer = word
            line = longer
        return "\n".join(indent + line for line in [*lines, line.rstrip()] if line)

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[str | None]], flexible: Sequence[int] = ()) -> str:
        """Columns side by side within the width. The `flexible` ones give way, the last of them first; ids never do."""
        cells = [[printable(cell or "-") for cell in row] for row in rows]
        widths = [max(columns(row[i]) for row in [list(heads), *cells]) for i in range(len(heads))]
        over = sum(widths) + 2 * (len(widths) - 1) - self.width
        for i in reversed(flexible):
            given = max(0, min(over, widths[i] - COLUMN_MIN))
            widths[i] -= given
            over -= given
        lines = [self._line(heads, widths)] + [self._line(row, widths) for row in cells]
        lines[0] = self.paint(lines[0], "dim")
        return "\n".join(lines)

    @staticmethod
    def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
        return "  ".join(padded(cell, width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def unix(at: str) -> float:
    """Unix seconds of an RFC 3339 instant."""
    return datetime.fromisoformat(at).timestamp()


def zone_of(name: str) -> tzinfo:
    """The time zone of that name, UTC where this machine does not know it."""
    # Here and not on top: commands that print no time start without it.
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def span(seconds: float) -> str:
    """A duration in its largest whole unit: `5 min`, `3 h`, `2 d`."""
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{math.floor(seconds / size)} {unit}"
    return "0 s"


def counted(number: int, word: str, many: str | None = None) -> str:
    """So many of something: `1 tap`, `2 taps`; `many` where that does not end in s."""
    return f"{number} {word if number == 1 else many or word + 's'}"


def printable(text: str) -> str:
    """The text on one line, without anything that steers a terminal: names and the server's words come from others."""
    return "".join(
        " " if char in "\t\n\r" else "?" if unicodedata.category(char) in ("Cc", "Cf", "Cs") else char for char in text
    )


def columns(text: str) -> int:
    """How many columns a text takes on a terminal."""
    return sum(_width(char) for char in text)


def padded(text: str, width: int) -> str:
    """The text in exactly `width` columns; what does not fit ends in an ellipsis."""
    if columns(text) <= width:
        return text + " " * (width - columns(text))
    kept, taken = "", 0
    for char in text:
        if taken + _width(char) > width - 1:
            break
        kept, taken = kept + char, taken + _width(char)
    return kept + "…" + " " * (width - taken - 1)


def _width(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
