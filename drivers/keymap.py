"""Keys to text: what a badge scanner that types meant. PURE: it is told of keys and their times.

Key codes are those of Linux <linux/input-event-codes.h>; the layout is US, which is what scanners type in. A line ends
with Enter. A line that cannot be known whole (an unknown key, too long, too slow, events dropped) is given up as a
whole: a piece of a badge is somebody else's badge.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from drivers.badge import LENGTH_MAX

#: Scanners type a badge in well under a second; a longer pause is a half-typed badge, or somebody at a keyboard.
PAUSE_MAX_S = 2.0

KEY_ENTER = 28
KEY_KPENTER = 96
_ENDS = frozenset({KEY_ENTER, KEY_KPENTER})
_SHIFTS = frozenset({42, 54})
_NUMLOCK = 69

#: (first code, keys without Shift, keys with Shift): rows of a US keyboard, and its number pad.
_ROWS = (
    (2, "1234567890-=", "!@#$%^&*()_+"),
    (16, "qwertyuiop[]", "QWERTYUIOP{}"),
    (30, "asdfghjkl;'`", 'ASDFGHJKL:"~'),
    (43, "\\zxcvbnm,./", "|ZXCVBNM<>?"),
    (55, "*", "*"),
    (57, " ", " "),
    (71, "789-456+1230.", "789-456+1230."),
    (98, "/", "/"),
)
_PLAIN = {first + i: char for first, plain, _ in _ROWS for i, char in enumerate(plain)}
_SHIFTED = {first + i: char for first, _, shifted in _ROWS for i, char in enumerate(shifted)}

_RELEASED, _PRESSED = 0, 1


@dataclass(frozen=True, slots=True)
class Line:
    """One line typed, `started_at` the time of its first key (seconds, on the events' clock)."""

    text: str
    started_at: float


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Keys that came to nothing, and why."""

    why: str


@dataclass(slots=True)
class Typing:
    """Collects keys to lines. One instance an opened scanner."""

    _text: list[str] = field(default_factory=list)
    _shifts: set[int] = field(default_factory=set)
    _started_at: float | None = None
    _last_at: float = 0.0
    _broken: str | None = None

    def key(self, code: int, value: int, at: float) -> list[Line | GivenUp]:
        """Take one key event (value 0 released, 1 pressed, 2 repeated by itself) at `at` seconds; what it completed."""
        if code in _SHIFTS:
            (self._shifts.add if value != _RELEASED else self._shifts.discard)(code)
            return []
        if value != _PRESSED or code == _NUMLOCK:
            return []
        done: list[Line | GivenUp] = []
        if self._started_at is not None and not 0 <= at - self._last_at <= PAUSE_MAX_S:
            done.append(self._give_up("half a badge, then a pause"))
        self._last_at = at
        if code in _ENDS:
            ended = self._end()
            return done if ended is None else [*done, ended]
        if self._started_at is None:
            self._started_at = at
        self._add(code)
        return done

    def dropped(self) -> None:
        """The kernel dropped events: whatever the line at hand was, it is not known whole, nor is Shift."""
        self._shifts.clear()
        self._broken = "the kernel dropped keys"
        if self._started_at is None:
            self._started_at = self._last_at

    def _add(self, code: int) -> None:
        char = (_SHIFTED if self._shifts else _PLAIN).get(code)
        if char is None:
            self._broken = f"key {code} stands for no text"
        elif len(self._text) >= LENGTH_MAX:
            self._broken = f"more than {LENGTH_MAX} characters"
        else:
            self._text.append(char)

    def _end(self) -> Line | GivenUp | None:
        if self._started_at is None:
            return None
        if self._broken is not None:
            return self._give_up(self._broken)
        line = Line("".join(self._text), self._started_at)
        self._give_up("")
        return line

    def _give_up(self, why: str) -> GivenUp:
        self._text.clear()
        self._started_at = None
        self._broken = None
        return GivenUp(why)
