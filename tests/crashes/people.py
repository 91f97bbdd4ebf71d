"""People at a door who tap while things break, each with a notebook: threads, over the control socket.

Whoever gets no answer, or an honest refusal, taps again once the service is there; a tap counts in the notebook when an
answer said that it is stored. The notebook lives in this process, which nothing breaks.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from sandbox.tally import Meaning, Tapped
from tests.crashes.notebook import Noted
from tests.support.door import Control, second
from tests.support.punchd_process import PATIENCE_S, Kiosk

#: Whoever taps again within this repeats a tap. Far longer than any pause between a kill and the next start.
REPEAT_S = 60
#: What the configuration needs for that.
ATTENDANCE = f"repeat_tap_seconds = {REPEAT_S}"
#: Stated times begin so long ago: some too old to go live (12 h), none so old that its shift is overdue (14 h).
SINCE_S = (6 * 3600, 13 * 3600)
#: An answer that says the tap is there already: what it means when an earlier try may have been stored.
STORED = ("repeat_tap", "time_not_after_last")
#: Refusals that pass: the disk, a stop.
PASSING = ("cannot_store", "stopping")


@dataclass
class Person:
    """Somebody with a badge. `next_at` is the time they will state next; None for those who tap as of now."""

    user_id: str
    badge: str
    next_at: int | None
    inside: bool = False
    ready_at: float = 0.0

    @property
    def name(self) -> str:
        """As the timesheet has it."""
        return f"Person {self.user_id}"


def people(live: int, stated: int, chance: random.Random, first: int = 1000) -> list[Person]:
    """So many who tap as of now, and so many who state an earlier time."""
    now = second()
    found = [Person(str(first + n), f"04A2{first + n:06d}", None) for n in range(live)]
    for n in range(live, live + stated):
        found.append(Person(str(first + n), f"04A2{first + n:06d}", now - chance.randrange(*SINCE_S)))
    return found


class Gate:
    """Whether the service is there."""

    def __init__(self) -> None:
        self._open = threading.Event()

    def open(self) -> None:
        """It is."""
        self._open.set()

    def close(self) -> None:
        """It is not, as far as its killer knows."""
        self._open.clear()

    def wait(self) -> None:
        """Until it is there; not for ever."""
        self._open.wait(PATIENCE_S)


@dataclass
class Crowd:
    """The tappers. `notes` grows while they work; `problems` are answers that should never come."""

    kiosk: Kiosk
    people: Sequence[Person]
    seed: int
    pause_s: float = 0.1
    tappers: int = 6
    gate: Gate = field(default_factory=Gate)
    #: Whether a tap that was refused may turn out to be stored: the kernel turned the disk read-only in the middle of
    #: its commit, so that nothing could be taken back.
    refused_may_count: bool = False
    notes: list[Noted] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _waiting: int = 0
    _abandoned: bool = False
    #: Told of every answer, and of every tap that is over.
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def start(self) -> None:
        """Everybody begins to tap."""
        self._over.clear()
        for n in range(self.tappers):
            mine, chance = self.people[n :: self.tappers], random.Random(self.seed * 100 + n)
            thread = threading.Thread(target=self._work, args=(mine, chance), name=f"tapper {n}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def finish(self) -> None:
        """Everybody gets the answer they wait for, and who stated earlier times leaves. The service must be there."""
        self._over.set()
        for thread in self._threads:
            thread.join(2 * PATIENCE_S)
            assert not thread.is_alive(), f"{thread.name} still waits for an answer"
        self._threads.clear()
        control: Control | None = None
        for person in self.people:
            if person.inside and person.next_at is not None and person.ready_at == 0:
                person.next_at = min(person.next_at, second() - 1)  # their day has caught up with the clock
                control = self._tap(person, control, random.Random(self.seed))
        if control is not None:
            control.close()

    def abandon(self) -> None:
        """Nobody begins another tap, nor taps again where no answer comes."""
        self._abandoned = True
        self._over.set()

    def quiet(self) -> None:
        """Wait until every answer that came is in the notebook. The gate is closed, and nobody answers any more."""
        answered = self.until(lambda: not self._waiting, PATIENCE_S)
        assert answered, "somebody waits for an answer of a service that is gone"

    def until(self, condition: Callable[[], bool], patience_s: float) -> bool:
        """Wait until `condition` holds of what was answered; whether it did within this time."""
        with self._changed:
            return self._changed.wait_for(condition, patience_s)

    @property
    def waiting(self) -> int:
        """How many taps are under way."""
        return self._waiting

    def _work(self, mine: Sequence[Person], chance: random.Random) -> None:
        control: Control | None = None
        while not self._over.is_set():
            # Whoever states a time must be able to leave when everybody does, and not as a repeat.
            past = second() - REPEAT_S - 5
            ready = [one for one in mine if one.ready_at <= time.monotonic() and (one.next_at or 0) < past]
            if ready:
                control = self._tap(chance.choice(ready), control, chance)
            self._over.wait(chance.uniform(0, 2 * self.pause_s))
        if control is not None:
            control.close()

    def _tap(self, person: Person, control: Control | None, chance: random.Random) -> Control:
        """Tap until it is stored."""
        earliest, tries, refused = person.next_at or second(), 0, False
        meaning = Meaning.LEAVES if person.inside else Meaning.COMES
        while True:
            self.gate.wait()
            control = control or Control(self.kiosk)
            try:
                with self._under_way():
                    answer = control.tap(person.badge, person.next_at)
                    said = answer["reason"] or answer["result"]
                    if said not in PASSING:
                        tries += refused and self.refused_may_count
                        self._note(person, meaning, earliest, answer, tries, chance)
                        return control
            except httpx.HTTPError:
                self._answered("no answer")
                control.close()
                control, tries = None, tries + 1
                if self._abandoned:
                    return Control(self.kiosk)
                self._over.wait(0.01)  # its killer needs a moment to know
                continue
            self._answered(said)
            refused = True
            self._over.wait(chance.uniform(0.01, 0.05))

    def _note(
        self,
        person: Person,
        meaning: Meaning,
        earliest: int,
        answer: dict[str, Any],
        tries: int,
        chance: random.Random,
    ) -> None:
        said, punch = answer["reason"] or answer["result"], answer["punch"]
        latest = earliest if person.next_at is not None else second()
        if said == "accepted":
            direction = "clock_in" if meaning is Meaning.COMES else "clock_out"
            if punch["direction"] != direction:
                self.problems.append(f"{person.name} meant {direction}, the answer was {punch['direction']}")
        elif not (said in STORED and tries):
            self.problems.append(f"{person.name}: {said} at try {tries + 1}")
            person.ready_at = float("inf")  # what they are told makes no sense: they tap no more
            return
        self._answered(said)
        tapped = Tapped(person.user_id, person.name, meaning, earliest, latest)
        with self._changed:
            self.notes.append(Noted(tapped, punch["id"] if said == "accepted" else None))
        person.inside = not person.inside
        if person.next_at is not None:
            person.next_at += chance.randrange(60, 300)
        else:
            person.ready_at = time.monotonic() + REPEAT_S + 2

    def _under_way(self) -> _UnderWay:
        return _UnderWay(self)

    def _answered(self, what: str) -> None:
        with self._changed:
            self.counts[what] += 1
            self._changed.notify_all()

    def _count(self, by: int) -> None:
        with self._changed:
            self._waiting += by
            self._changed.notify_all()


class _UnderWay:
    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd

    def __enter__(self) -> None:
        self._crowd._count(1)

    def __exit__(self, *error: object) -> None:
        self._crowd._count(-1)
