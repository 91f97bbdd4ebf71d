"""PURE: what people tapped by their own account against what stands in the end: missing, doubled, misdated.

Two judges: the timesheet (the sandbox's store), and the kiosk's own list of punches.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sandbox.handle import Row
from sandbox.tally import Meaning, Tapped, compare, difference


@dataclass(frozen=True, slots=True)
class Noted:
    """One tap that somebody stands for. `punch_id` where the answer that named it arrived."""

    tapped: Tapped
    punch_id: str | None


@dataclass
class Verdict:
    """How many taps are missing, doubled, misdated; each difference in words."""

    missing: int = 0
    doubled: int = 0
    misdated: int = 0
    words: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether everything agrees."""
        return not (self.missing or self.doubled or self.misdated or self.words)

    def __str__(self) -> str:
        return f"{self.missing} missing, {self.doubled} doubled, {self.misdated} misdated"


def of_timesheet(taps: Iterable[Tapped], rows: Iterable[Row]) -> Verdict:
    """Every shift that was tapped against every row of the timesheet."""
    found = Verdict()
    theirs: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        theirs[row.user_id].append(row)
    for user_id, mine in _by_person(taps).items():
        for line in compare(mine, theirs.pop(user_id, []), {}):
            words = difference(line, shown)
            if words is None:
                continue
            found.words.append(words)
            if line.row is None:
                found.missing += 1
            elif line.stay is None:
                found.doubled += 1
            else:
                found.misdated += 1
    for user_id, others in theirs.items():
        found.doubled += len(others)
        found.words.append(f"person {user_id}: {len(others)} shifts that nobody tapped")
    return found


def of_punches(notes: Sequence[Noted], punches: Sequence[dict[str, Any]]) -> Verdict:
    """Every tap that somebody was told is stored, against the kiosk's punches (as its socket shows them)."""
    found = Verdict()
    ids = Counter(str(punch["id"]) for punch in punches)
    for note in notes:
        if note.punch_id is not None and not ids[note.punch_id]:
            found.words.append(f"{note.tapped.name}: {note.punch_id} of {note.tapped.shown(shown)} is not there")
    theirs: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for punch in punches:
        theirs[str(punch["user_id"])].append((second_of(punch), str(punch["direction"])))
    for user_id, mine in _by_person(note.tapped for note in notes).items():
        spare = theirs.pop(user_id, [])
        for tap in mine:
            direction = "clock_in" if tap.meaning is Meaning.COMES else "clock_out"
            fits = next((one for one in spare if tap.allows(one[0])), None)
            if fits is None:
                found.missing += 1
                found.words.append(f"{tap.name}: nothing at {tap.shown(shown)}")
                continue
            spare.remove(fits)
            if fits[1] != direction:
                found.misdated += 1
                found.words.append(f"{tap.name}: {tap.meaning.value} at {tap.shown(shown)}, stored as {fits[1]}")
        found.doubled += len(spare)
        found.words += [f"{mine[0].name}: {direction} at {shown(at)} that nobody tapped" for at, direction in spare]
    for user_id, others in theirs.items():
        found.doubled += len(others)
        found.words.append(f"person {user_id}: {len(others)} punches that nobody tapped")
    return found


def second_of(punch: dict[str, Any]) -> int:
    """The second a punch stands for, from the socket's RFC 3339."""
    from datetime import datetime

    return int(datetime.fromisoformat(punch["occurred_at"]).timestamp())


def shown(at: int) -> str:
    """A second of the day, UTC."""
    return time.strftime("%H:%M:%S", time.gmtime(at))


def _by_person(taps: Iterable[Tapped]) -> dict[str, list[Tapped]]:
    mine: dict[str, list[Tapped]] = defaultdict(list)
    for tap in taps:
        mine[tap.user_id].append(tap)
    for one in mine.values():
        one.sort(key=lambda tap: tap.earliest)
    return mine
