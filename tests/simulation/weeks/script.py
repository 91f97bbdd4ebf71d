"""What shall happen in a week: a list of small events, drawn from a seed, kept as JSON, made shorter by leaving out.

Every event can be carried out in any circumstances (a network that is up comes up again, a person who is in clocks in
by phone: nothing happens), so that any part of a script is a script.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

#: Whatever happens is over after this; then all trouble ceases and the rest is for coming to rest.
CALM_S = 7 * 86400 + 9 * 3600
#: A clock-in may wait 36 hours for its clock-out, and a small plan needs a day and more for its queue.
SETTLING_S = 40 * 3600


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody of the company, with the badge they carry; `known` is False where no kiosk was told of it yet."""

    user_id: str
    name: str
    badge: str
    known: bool = True


@dataclass(frozen=True, slots=True)
class KioskSetting:
    """A kiosk as it is installed. `readers` by name with their direction; the rest are keys of the configuration."""

    name: str
    readers: Mapping[str, str]
    attendance: Mapping[str, Any] = field(default_factory=dict)
    connecteam: Mapping[str, Any] = field(default_factory=dict)
    keeps_time: bool = False  # a battery keeps its clock while the power is off


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happens, `at` seconds after the first Monday 00:00 by the clock on the wall of that Monday.

    `what` is the name of a method of `tests.simulation.weeks.acts`, `data` its arguments.
    """

    at: float
    what: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Script:
    """A whole week. `behaviour` and `limits` are the service's (sandbox/connecteam/behaviour.py, limits.py)."""

    seed: int
    monday: str
    timezone: str
    plan: str
    people: tuple[Person, ...]
    kiosks: tuple[KioskSetting, ...]
    events: tuple[Event, ...]
    kinds: tuple[str, ...] = ()
    behaviour: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, bool] = field(default_factory=dict)
    calm_s: float = CALM_S
    settling_s: float = SETTLING_S

    @property
    def begins_at(self) -> float:
        """Monday 00:00, Unix seconds."""
        day = datetime.date.fromisoformat(self.monday)
        return datetime.datetime.combine(day, datetime.time(), ZoneInfo(self.timezone)).timestamp()

    def dump(self) -> str:
        """As JSON: the week on the first line, an event on each other."""
        told = asdict(self)
        events = told.pop("events")
        return "\n".join(json.dumps(one) for one in [told, *events]) + "\n"

    @classmethod
    def load(cls, text: str) -> Script:
        """What `dump` wrote."""
        first, *events = (json.loads(line) for line in text.splitlines() if line.strip())
        first["people"] = tuple(Person(**one) for one in first["people"])
        first["kiosks"] = tuple(KioskSetting(**one) for one in first["kiosks"])
        first["kinds"] = tuple(first["kinds"])
        return cls(events=tuple(Event(**one) for one in events), **first)


def in_order(events: list[Event]) -> tuple[Event, ...]:
    """By time; what happens at one instant happens in the order it was drawn."""
    return tuple(sorted(events, key=lambda event: event.at))
