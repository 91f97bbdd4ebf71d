"""The tapper's own notebook against the service's store: the promises of the product, checked without the daemon.

Every acknowledged tap has exactly one effect on the timesheet, at its second, or stands in held or review with its
reason; nothing stands on the timesheet that nobody tapped; and no two taps too far apart were made one shift.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from daemon.model import Direction, Punch, PunchState
from daemon.reasons import REASONS
from drivers.reader import Feedback
from sandbox.handle import Row
from tests.simulation.world import Note

#: The attendance section's default; the worlds here change nothing of it.
MAX_SHIFT_S = 14 * 3600

_DIRECTIONS = {Feedback.CLOCKED_IN: Direction.CLOCK_IN, Feedback.CLOCKED_OUT: Direction.CLOCK_OUT}
_ACKNOWLEDGED = (*_DIRECTIONS, Feedback.ACCEPTED)


@dataclass(frozen=True, slots=True)
class Balance:
    """How it came out. `faults` is empty when every promise held."""

    delivered: int
    waiting: Counter[str]
    faults: tuple[str, ...]


def balance(notebook: Iterable[Note], timesheet: Sequence[Row], punches: Iterable[Punch]) -> Balance:
    """Hold the three against each other."""
    effects: Counter[tuple[str, int, Direction]] = Counter()
    for row in timesheet:
        effects[row.user_id, row.start, Direction.CLOCK_IN] += 1
        if row.end is not None and row.end_source == "api":  # not what a manager typed in
            effects[row.user_id, row.end, Direction.CLOCK_OUT] += 1
    waiting = {
        (punch.user_id, punch.second): punch for punch in punches if punch.state in (PunchState.HELD, PunchState.REVIEW)
    }
    faults, delivered, reasons = [], 0, Counter[str]()
    tapped = set()
    for note in notebook:
        at = (note.user_id, note.second)
        if note.shown is None:  # it may have been stored before the light went out
            tapped.update((*at, either) for either in Direction)
        if note.shown not in _ACKNOWLEDGED:
            continue
        direction = _told(effects, at) if note.shown is Feedback.ACCEPTED else _DIRECTIONS[note.shown]
        parked = waiting.get(at)
        if direction is not None:
            tapped.add((*at, direction))
        count = effects[(*at, direction)] if direction is not None else 0
        if count == 1 and parked is None:
            delivered += 1
        elif count == 0 and parked is not None and parked.reason in REASONS:
            reasons[str(parked.reason)] += 1
        else:
            stands = f"{parked.state}, {parked.reason}" if parked else "not waiting"
            faults.append(f"{note}: {count} effects, {stands}")
    faults += [f"nobody tapped {effect}" for effect in effects if effect not in tapped]
    faults += [
        f"too long for one shift: {row}"
        for row in timesheet
        if row.end is not None and row.end_source == "api" and not 0 < row.end - row.start <= MAX_SHIFT_S
        if (row.user_id, row.end) not in waiting
    ]
    return Balance(delivered, reasons, tuple(faults))


def _told(effects: Counter[tuple[str, int, Direction]], at: tuple[str, int]) -> Direction | None:
    """The direction a tap got later, where it was not known when it was shown."""
    found = [direction for direction in Direction if effects[(*at, direction)]]
    return found[0] if len(found) == 1 else None
