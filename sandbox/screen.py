"""What the demo shows: lines of at most 80 columns, coloured on a terminal, plain anywhere else."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TextIO
from zoneinfo import ZoneInfo

from sandbox.tally import Line, difference

WIDTH = 80
_STYLES = {"good": "32", "warn": "33", "bad": "31", "strong": "1", "dim": "2"}
#: A bar longer than this says no more.
BAR_MAX = 20


class Screen:
    """Prints to `out`. `zone` is where the shop is."""

    def __init__(self, out: TextIO, environment: Mapping[str, str], zone: ZoneInfo) -> None:
        self._out = out
        self._zone = zone
        self._colour = out.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
        encoding = (out.encoding or "ascii").lower().replace("-", "")
        # Marks that every terminal can show where this one is no Unicode terminal.
        self.good, self.bad, self._block = ("✓", "✗", "■") if encoding.startswith("utf") else ("ok", "!!", "#")

    def clock(self, second: float) -> str:
        """The time of day at the shop."""
        return f"{datetime.fromtimestamp(second, self._zone):%H:%M:%S}"

    def chapter(self, title: str) -> None:
        """Begin a part of the story."""
        self._print("")
        self._print(title, "strong")

    def say(self, text: str, style: str = "") -> None:
        """A sentence or two."""
        for line in textwrap.wrap(text, WIDTH - 2, initial_indent="  ", subsequent_indent="  "):
            self._print(line, style)

    def tap(self, second: float, name: str, doing: str, shown: str, style: str) -> None:
        """A person taps, and what the reader shows them."""
        self._print(f"  {self.clock(second)}  {name:<13} {doing:<19} {self._paint(shown, style)}")

    def waiting(self, punches: int) -> None:
        """How many punches this kiosk holds that are not on the timesheet yet."""
        bar = self._block * min(punches, BAR_MAX)
        shown = f"{self._paint(bar, 'warn')} {punches}" if punches else self._paint("none", "good")
        self._print(f"            kept on the kiosk, not sent yet: {shown}")

    def table(self, lines: Sequence[Line]) -> None:
        """What was tapped, beside the timesheet."""
        self._print(f"  {'':<13} {'tapped':<25} on the timesheet", "dim")
        for line in lines:
            tapped, sheet = "nothing", "nothing"
            if line.stay is not None:
                left = line.stay.left.shown(self.clock) if line.stay.left else "still in"
                tapped = f"{line.stay.came.shown(self.clock)} - {left}"
            if line.row is not None:
                sheet = f"{self.clock(line.row.start)} - {self.clock(line.row.end) if line.row.end else 'still open'}"
            mark = self._paint(self.good, "good") if line.agrees else self._paint(self.bad, "bad")
            self._print(f"  {line.name:<13} {tapped:<25} {sheet:<20} {mark}")

    def differences(self, lines: Sequence[Line]) -> None:
        """What does not agree, one sentence each."""
        for line in lines:
            said = difference(line, self.clock)
            if said is not None:
                self.say(said, "bad")

    def _print(self, text: str, style: str = "") -> None:
        print(self._paint(text, style), file=self._out, flush=True)

    def _paint(self, text: str, style: str) -> str:
        return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if self._colour and style and text else text
