"""People: when they come, eat and go, whose badge they carry, and what they forget. Drawn, never reacted to.

The one reaction is the person's own: who saw nothing, or a refusal, tries again (`again` of a tap).
"""

from __future__ import annotations

import datetime
import random
from collections.abc import Iterator
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from tests.simulation.weeks.script import Event, KioskSetting, Person

HOUR, DAY = 3600.0, 86400.0


@dataclass(frozen=True, slots=True)
class Habits:
    """How careful a company is: chances a tap or a shift."""

    forget_out: float
    double: float
    lunch: float
    wrong_door: float
    lend: float
    other_kiosk: float
    wander: float  # a shift at another time than usual


def draw_habits(rng: random.Random) -> Habits:
    """One company's habits: some forget much and some nothing."""
    return Habits(
        forget_out=rng.choice([0.0, 0.02, 0.05, 0.15]),
        double=rng.choice([0.0, 0.03, 0.1]),
        lunch=rng.choice([0.0, 0.5, 0.8]),
        wrong_door=rng.choice([0.0, 0.0, 0.02]),
        lend=rng.choice([0.0, 0.0, 0.01]),
        other_kiosk=rng.choice([0.02, 0.2]),
        wander=rng.choice([0.0, 0.1]),
    )


@dataclass(frozen=True, slots=True)
class Company:
    """Who taps where."""

    people: tuple[Person, ...]
    kiosks: tuple[KioskSetting, ...]
    habits: Habits
    zone: ZoneInfo
    monday: datetime.date
    care: bool  # shifts of a day and a night

    def at(self, day: int, hour: float) -> float:
        """Seconds after the first Monday 00:00, of an hour (may be past 24) by the clock on the wall."""
        date = self.monday + datetime.timedelta(days=day + int(hour // 24))
        wall = datetime.datetime.combine(date, datetime.time(), self.zone) + datetime.timedelta(hours=hour % 24)
        begins = datetime.datetime.combine(self.monday, datetime.time(), self.zone)
        return wall.timestamp() - begins.timestamp()


def taps(company: Company, rng: random.Random) -> Iterator[Event]:
    """All taps of the week."""
    for number, person in enumerate(company.people):
        kind = rng.choices(("day", "early", "late", "night", "split"), (10, 3, 2, 2, 1))[0]
        if company.care and number % 3 == 0:
            kind = "care"
        home = company.kiosks[number % len(company.kiosks)] if rng.random() < 0.5 else company.kiosks[0]
        days_off = rng.sample(range(7), rng.choice([1, 2, 2, 3]))
        day = 0
        while day < 7:
            if day not in days_off:
                yield from _shift(company, rng, person, kind, home, day)
            day += 2 if kind == "care" else 1


def _shift(
    company: Company, rng: random.Random, person: Person, kind: str, home: KioskSetting, day: int
) -> Iterator[Event]:
    """One working day: its taps with their intended directions, some left out, some doubled."""
    habits = company.habits
    start = {"day": 8.0, "early": 5.5, "late": 13.0, "night": 22.0, "split": 7.0, "care": 8.0}[kind]
    if rng.random() < habits.wander:
        start = rng.uniform(0, 20)
    begin = company.at(day, start) + rng.gauss(0, 900)
    hours = {"night": 8.0, "care": 24.0, "split": 11.0}.get(kind, 8.0) + rng.gauss(0, 0.4)
    points = [(begin, "in")]
    if kind == "split":
        points += [(begin + 4 * HOUR, "out"), (begin + 7 * HOUR, "in")]
    elif kind != "care" and rng.random() < habits.lunch:
        lunch = begin + rng.uniform(3, 5) * HOUR
        points += [(lunch, "out"), (lunch + rng.uniform(1200, 3600), "in")]
    points.append((begin + hours * HOUR, "out"))
    for at, way in points:
        if way == "out" and rng.random() < habits.forget_out:
            continue
        kiosk = rng.choice(company.kiosks) if rng.random() < habits.other_kiosk else home
        yield from _tap(company, rng, person, max(0.0, at), way, kiosk)


def _tap(
    company: Company, rng: random.Random, person: Person, at: float, way: str, kiosk: KioskSetting
) -> Iterator[Event]:
    habits = company.habits
    if rng.random() < habits.wrong_door:
        yield _event(rng, person.user_id, person.badge, at - rng.uniform(5, 40), "out" if way == "in" else "in", kiosk)
    badge = person.badge
    if rng.random() < habits.lend:
        badge = rng.choice(company.people).badge
    yield _event(rng, person.user_id, badge, at, way, kiosk)
    if rng.random() < habits.double:
        after_s = rng.choice([0.05, 0.4, 2.0, 15.0, 45.0, 59.0, 61.0, 120.0])
        yield _event(rng, person.user_id, badge, at + after_s, way, kiosk)


def _event(rng: random.Random, person: str, badge: str, at: float, way: str, kiosk: KioskSetting) -> Event:
    wanted = {"in": "clock_in", "out": "clock_out"}[way]
    fitting = [name for name, direction in kiosk.readers.items() if direction in ("toggle", wanted)]
    again = [rng.choice([3.0, 20.0, 90.0, 900.0]) for _ in range(rng.choice([0, 1, 3]))]
    reader = rng.choice(fitting or list(kiosk.readers))
    at = round(max(0.0, at), 3)
    return Event(at, "tap", {"person": person, "badge": badge, "kiosk": kiosk.name, "reader": reader, "again": again})
