"""What is wrong right now, each thing once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Alarm:
    """One thing that is wrong: a stable code, since when (Unix seconds), and a text that ends with the remedy."""

    code: str
    since: float
    text: str


class Alarms:
    """The alarms that stand. `on_change(alarm, raised)` is called once when one is raised, once when it is cleared."""

    def __init__(
        self, now: Callable[[], float], on_change: Callable[[Alarm, bool], None] = lambda alarm, raised: None
    ) -> None:
        self._now = now
        self._standing: dict[str, Alarm] = {}
        self.on_change = on_change

    def set(self, code: str, text: str) -> None:
        """Raise an alarm, or change the text of a standing one (which keeps its `since` and is not raised again)."""
        old = self._standing.get(code)
        self._standing[code] = Alarm(code, old.since if old else self._now(), text)
        if old is None:
            self.on_change(self._standing[code], True)

    def clear(self, code: str) -> None:
        """Clear an alarm; nothing happens when it does not stand."""
        alarm = self._standing.pop(code, None)
        if alarm is not None:
            self.on_change(alarm, False)

    def standing(self) -> list[Alarm]:
        """All standing alarms, oldest first."""
        return sorted(self._standing.values(), key=lambda alarm: (alarm.since, alarm.code))
