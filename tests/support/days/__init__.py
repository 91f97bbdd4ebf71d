"""Days told for the judge of simulated weeks: each changes an ordinary day by one thing.

`BROKEN` names the rule that each day breaks, whatever else it may break by the way; a day of `FINE` breaks none.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.weeks.checker import check
from tests.support.days import delay, effects, kept, kiosk, people, reasons, requests
from tests.support.story import Story

_ALL = (effects, reasons, requests, kiosk, delay, people, kept)
BROKEN: dict[Callable[[Story], None], str] = {day: rule for days in _ALL for day, rule in days.BROKEN.items()}
FINE: tuple[Callable[[Story], None], ...] = tuple(day for days in _ALL for day in days.FINE)


def broken(story: Story) -> set[str]:
    """The rules that a story breaks."""
    return {violation.rule for violation in check(story.history())}
