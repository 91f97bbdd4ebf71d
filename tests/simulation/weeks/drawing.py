"""From a seed to a script: which company, which service, which kinds of trouble, and what happens when."""

from __future__ import annotations

import datetime
import random
from typing import Any
from zoneinfo import ZoneInfo

from sandbox.connecteam.behaviour import LateClose, SecondClockIn, Shape
from sandbox.connecteam.limits import ENTERPRISE, EXPERT, SMALL_BUSINESS
from tests.simulation.weeks.life import Company, draw_habits, taps
from tests.simulation.weeks.script import Event, KioskSetting, Person, Script, in_order
from tests.simulation.weeks.troubles import TROUBLES, Draw, Trouble

#: How many people the companies have: a shop, a practice, a workshop, a factory gate.
PEOPLE = (5, 8, 12, 16, 25, 25)
#: Ordinary weeks, and those that end with the hour that is not there and with the hour that comes twice.
WEEKS = {
    "Europe/Amsterdam": ("2026-11-30", "2027-03-22", "2027-10-25"),
    "America/New_York": ("2027-03-08", "2027-11-01"),
}
LAYOUTS = (
    {"front": "toggle"},
    {"in": "clock_in", "out": "clock_out"},
    {"front": "toggle", "in": "clock_in", "out": "clock_out"},
    {"left": "toggle", "right": "toggle"},
)
#: How likely a week has a kind of trouble at all.
HAS_A_KIND = 0.3


def draw_script(seed: int, people: int | None = None) -> Script:
    """The week of a seed; of a company of so many people where that is said."""
    rng = random.Random(f"week {seed}")
    drawn = rng.choice(PEOPLE)
    timezone = rng.choices(list(WEEKS), (4, 1))[0]
    monday = rng.choice(WEEKS[timezone])
    care = rng.random() < 0.2
    kiosks = _kiosks(rng, care)
    company = Company(
        _people(rng, people or drawn),
        kiosks,
        draw_habits(rng),
        ZoneInfo(timezone),
        datetime.date.fromisoformat(monday),
        care,
    )
    tapped = tuple(taps(company, rng))
    kinds = [kind for kind in TROUBLES if rng.random() < HAS_A_KIND]
    events: list[Event] = [*tapped, *_newcomers(company, rng)]
    for kind in kinds:
        events += kind(Draw(company, tapped, rng.choice([0.3, 1.0, 1.0, 3.0]), rng))
    return Script(
        seed=seed,
        monday=monday,
        timezone=timezone,
        # The large plans read the timesheet a thousand times a day, which is most of what a week costs here.
        plan=rng.choices((EXPERT, ENTERPRISE, SMALL_BUSINESS), (3, 1, 16))[0].name,
        people=company.people,
        kiosks=kiosks,
        events=in_order([event for event in events if event.at < 7 * 86400 + 9 * 3600]),
        kinds=tuple(sorted(_name(kind) for kind in kinds)),
        behaviour=_behaviour(rng),
        limits={"with_headers": rng.random() > 0.1, "as_200": rng.random() < 0.2},
    )


def _name(kind: Trouble) -> str:
    return str(getattr(kind, "__name__"))  # noqa: B009 - a function has one, its type does not say so


def _people(rng: random.Random, count: int) -> tuple[Person, ...]:
    return tuple(
        Person(str(101 + n), f"Person {n:02d}", f"04A1B2C3D4{n:04d}", known=rng.random() > 0.04) for n in range(count)
    )


def _newcomers(company: Company, rng: random.Random) -> list[Event]:
    """Badges that no kiosk knew are given to their people in the end, days later or at the end of the week."""
    events = []
    for person in company.people:
        if not person.known:
            at = rng.uniform(0.3, 7) * 86400
            events += [
                Event(at, "give", {"kiosk": kiosk.name, "badge": person.badge, "user_id": person.user_id})
                for kiosk in company.kiosks
            ]
    return events


def _kiosks(rng: random.Random, care: bool) -> tuple[KioskSetting, ...]:
    attendance: dict[str, Any] = {
        "max_shift_hours": 36 if care else rng.choice([14, 14, 12]),
        "repeat_tap_seconds": rng.choice([60, 60, 10, 300]),
        "after_auto_clock_out": rng.choice(["review", "correct"]),
    }
    connecteam: dict[str, Any] = {
        "batch_pairs": rng.choice(["when_scarce", "when_scarce", "never"]),
        "close_late_by_update": rng.random() > 0.2,
        "lookback_margin_minutes": rng.choice([10, 10, 30]),
    }
    names = ("front", "back") if rng.random() < 0.35 else ("front",)
    return tuple(
        KioskSetting(f"{name}-door", rng.choice(LAYOUTS), attendance, connecteam, rng.random() < 0.2) for name in names
    )


def _behaviour(rng: random.Random) -> dict[str, Any]:
    """What is not as documented: few things a week, often nothing."""
    choices: dict[str, tuple[Any, ...]] = {
        "late_close": (str(LateClose.IGNORED), str(LateClose.REFUSED)),
        "refuse_overlaps": (True,),
        "list_in_utc": (True,),
        "list_by_touch": (True,),
        "error_shape": tuple(str(shape) for shape in Shape if shape is not Shape.VALIDATION),
        "numeric_codes": (True,),
        "future_leeway_s": (5.0,),
        "locks_stop_clock_in": (False,),
        "batch_atomic": (True,),
        "second_clock_in": (str(SecondClockIn.SECOND_SHIFT),),
        "visible_after_s": (2.0, 8.0, 25.0),
        "round_to_s": (60, 300, 900),
        "open_end_as_null": (True,),
        "unknown_clock_status": (400,),
        "paging_under_data": (True,),
        "auto_clock_out_after_s": (10 * 3600, 13 * 3600),
    }
    chance = rng.choice([0.0, 0.1, 0.25])
    return {name: rng.choice(values) for name, values in choices.items() if rng.random() < chance}
