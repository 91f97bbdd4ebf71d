"""PURE: what people tapped, by their own account, held against what stands on the timesheet.

Knows nothing of the daemon: the tapper writes down each tap with the seconds it can have fallen in, and the rows come
from the sandbox's store. Instants are whole Unix seconds.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sandbox.handle import Row

#: How a second is shown to people.
Shown = Callable[[int], str]


class Meaning(enum.Enum):
    """What a person means by a tap."""

    COMES = "comes"
    LEAVES = "leaves"
    AGAIN = "again"  # the same tap once more, out of impatience: it must have no effect


@dataclass(frozen=True, slots=True)
class Tapped:
    """One tap as the tapper knows it: not before the second `earliest`, not after `latest`."""

    user_id: str
    name: str
    meaning: Meaning
    earliest: int
    latest: int

    def allows(self, second: int | None) -> bool:
        """Whether a second on the timesheet can be this tap."""
        return second is not None and self.earliest <= second <= self.latest

    def shown(self, show: Shown) -> str:
        """The second, or both where the tap fell between two."""
        return show(self.earliest) if self.earliest == self.latest else f"{show(self.earliest)}/{self.latest % 60:02d}"


@dataclass(frozen=True, slots=True)
class Stay:
    """From coming to leaving; `left` is None while the person is in."""

    came: Tapped
    left: Tapped | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One person's stay beside the timesheet's shift; one of them is None where the other has no counterpart."""

    name: str
    stay: Stay | None
    row: Row | None

    @property
    def agrees(self) -> bool:
        """Whether the timesheet says what was tapped, to the second."""
        stay, row = self.stay, self.row
        if stay is None or row is None or not stay.came.allows(row.start):
            return False
        return row.end is None if stay.left is None else stay.left.allows(row.end)


def stays(taps: Iterable[Tapped]) -> list[Stay]:
    """Everybody's stays, in the order in which they began. Raises ValueError where somebody leaves who is not in."""
    found: list[Stay] = []
    inside: dict[str, int] = {}
    for tap in taps:
        if tap.meaning is Meaning.AGAIN:
            continue
        if (tap.meaning is Meaning.LEAVES) is not (tap.user_id in inside):
            raise ValueError(f"{tap.name} cannot be {tap.meaning.value} here: the list of taps is wrong")
        if tap.meaning is Meaning.COMES:
            inside[tap.user_id] = len(found)
            found.append(Stay(tap))
        else:
            number = inside.pop(tap.user_id)
            found[number] = Stay(found[number].came, tap)
    return found


def compare(taps: Iterable[Tapped], rows: Sequence[Row], names: dict[str, str]) -> list[Line]:
    """Every stay and every row of the timesheet exactly once, side by side, by time. `names` are by user id."""
    spare = list(rows)
    lines: list[Line] = []
    unmatched: list[Stay] = []
    for stay in stays(taps):
        mine = [row for row in spare if row.user_id == stay.came.user_id and stay.came.allows(row.start)]
        if not mine:
            unmatched.append(stay)
            continue
        spare.remove(mine[0])
        lines.append(Line(stay.came.name, stay, mine[0]))
    for stay in unmatched:  # what is left of the same person is shown beside it: most likely its time was changed
        other = next((row for row in spare if row.user_id == stay.came.user_id), None)
        if other is not None:
            spare.remove(other)
        lines.append(Line(stay.came.name, stay, other))
    lines += [Line(names.get(row.user_id, row.user_id), None, row) for row in spare]
    return sorted(lines, key=_begin)


def difference(line: Line, show: Shown) -> str | None:
    """What does not agree, in words; None where all does."""
    stay, row = line.stay, line.row
    if line.agrees:
        return None
    if stay is None:
        assert row is not None
        end = "still open" if row.end is None else f"until {show(row.end)}"
        return f"{line.name}: the timesheet has a shift from {show(row.start)} ({end}) that nobody tapped"
    if row is None:
        return f"{line.name}: the timesheet has nothing of what was tapped at {stay.came.shown(show)}"
    if not stay.came.allows(row.start):
        return f"{line.name}: came at {stay.came.shown(show)}, the timesheet says {show(row.start)}"
    if stay.left is None:
        assert row.end is not None
        return f"{line.name}: has not left, the timesheet says {show(row.end)}"
    said = "that the shift is still open" if row.end is None else show(row.end)
    return f"{line.name}: left at {stay.left.shown(show)}, the timesheet says {said}"


def _begin(line: Line) -> tuple[int, str]:
    if line.stay is not None:
        return line.stay.came.earliest, line.name
    return (line.row.start if line.row is not None else 0), line.name
