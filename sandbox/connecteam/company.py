"""One company on Connecteam: everything its account holds, and the questions the rules ask of it."""

from __future__ import annotations

import datetime
import random
import time
import uuid
from collections.abc import Callable, Iterator
from zoneinfo import ZoneInfo

from sandbox.connecteam.access import Access
from sandbox.connecteam.behaviour import Behaviour
from sandbox.connecteam.limits import EXPERT, Limits, Plan
from sandbox.connecteam.model import Break, BreakKind, Job, Shift, TimeClock, TimePoint, User


class Company:
    """The account's whole state. Ids come from `seed` alone, so that equal histories give equal ids."""

    def __init__(
        self,
        *,
        now: Callable[[], float] = time.time,
        seed: int = 0,
        name: str = "Sandbox Bakery",
        plan: Plan = EXPERT,
    ) -> None:
        self.id = 7001
        self.name = name
        self.now = now
        self.behaviour = Behaviour()
        self.limits = Limits(plan)
        self._chance = random.Random(seed)
        self.access = Access(self._chance)
        self.clocks: dict[int, TimeClock] = {}
        self.users: dict[int, User] = {}
        self.jobs: dict[str, Job] = {}
        self.shifts: dict[str, Shift] = {}
        self.breaks: dict[str, Break] = {}
        self.break_kinds: dict[str, BreakKind] = {}
        self._locked: set[tuple[int, int, datetime.date]] = set()

    # --- setting up

    def add_clock(self, clock_id: int, name: str = "Front door", timezone: str = "Europe/Amsterdam") -> TimeClock:
        """A new time clock; its settings are the attributes of what is returned."""
        self.clocks[clock_id] = TimeClock(clock_id, name, timezone)
        return self.clocks[clock_id]

    def add_user(self, user_id: int | str, name: str, *, clocks: set[int] | None = None) -> User:
        """A new person, assigned to every time clock there is unless `clocks` says which."""
        first, _, last = name.partition(" ")
        at = int(self.now())
        assigned = set(self.clocks) if clocks is None else set(clocks)
        user = User(int(user_id), first, last, assigned, at, at)
        self.users[user.id] = user
        return user

    def add_job(self, title: str, *, parent: Job | None = None, clocks: set[int] | None = None) -> Job:
        """A new job, or a sub-job of `parent`."""
        at = set(self.clocks) if clocks is None else set(clocks)
        job = Job(self.new_uuid(), title, at, parent.id if parent else None)
        self.jobs[job.id] = job
        return job

    def add_break_kind(self, name: str, *, paid: bool = False, minutes: int = 30) -> BreakKind:
        """A new kind of manual break."""
        kind = BreakKind(self.new_uuid(), name, paid, minutes)
        self.break_kinds[kind.id] = kind
        return kind

    # --- ids

    def new_id(self) -> str:
        """24 hex digits, like an activity's id."""
        return f"{self._chance.getrandbits(96):024x}"

    def new_uuid(self) -> str:
        """A UUID, like a job's or a request's id."""
        return str(uuid.UUID(int=self._chance.getrandbits(128), version=4))

    # --- questions

    def shifts_of(self, user_id: int, clock_id: int) -> Iterator[Shift]:
        """One person's shifts on one time clock, in the order they were written."""
        return (s for s in self.shifts.values() if s.user_id == user_id and s.clock_id == clock_id)

    def open_shift(self, user_id: int, clock_id: int) -> Shift | None:
        """The most recently begun open shift in this time clock: state is per time clock (facts 1.4)."""
        opened = [s for s in self.shifts_of(user_id, clock_id) if s.end is None]
        return max(opened, key=lambda shift: shift.start.at, default=None)

    def open_break(self, user_id: int, clock_id: int) -> Break | None:
        """The break the person is on."""
        mine = (b for b in self.breaks.values() if b.user_id == user_id and b.clock_id == clock_id)
        return next((b for b in mine if b.end is None), None)

    def overlapping(self, user_id: int, clock_id: int, start: int, end: int | None, but: str = "") -> Shift | None:
        """A shift of this person that shares time with [start, end), other than the one with id `but`."""
        mine = self.shifts_of(user_id, clock_id)
        return next((s for s in mine if s.id != but and s.touches(start, end)), None)

    def day_of(self, clock_id: int, at: float) -> datetime.date:
        """The calendar day of an instant in the time clock's own zone."""
        return datetime.datetime.fromtimestamp(at, ZoneInfo(self.clocks[clock_id].timezone)).date()

    # --- locked days

    def lock(self, user_id: int | str, clock_id: int, day: datetime.date) -> None:
        """Lock one person's day on one time clock (facts 1.8)."""
        self._locked.add((int(user_id), clock_id, day))

    def unlock(self, user_id: int | str, clock_id: int, day: datetime.date) -> None:
        """Unlock it again."""
        self._locked.discard((int(user_id), clock_id, day))

    def is_locked(self, user_id: int, clock_id: int, day: datetime.date) -> bool:
        """Whether one person's day is locked."""
        return (user_id, clock_id, day) in self._locked

    def locked_days(self, user_id: int, clock_id: int, *instants: int | None) -> list[str]:
        """Those of the instants' days that are locked, as YYYY-MM-DD."""
        days = {self.day_of(clock_id, at) for at in instants if at is not None}
        return [day.isoformat() for day in sorted(days) if (user_id, clock_id, day) in self._locked]

    # --- what happens by itself

    def catch_up(self) -> None:
        """Close what the time clocks' auto clock-out rules have closed by now (facts 1.8)."""
        now = self.now()
        for shift in self.shifts.values():
            limit = self.clocks[shift.clock_id].auto_clock_out_after_s
            if shift.end is None and limit is not None and shift.start.at + limit <= now:
                self.auto_end(shift, shift.start.at + limit)

    def auto_end(self, shift: Shift, at: int, mode: str = "hourLimit") -> None:
        """End an open shift the way the service does it by itself: marked, with its own source (facts 1.5, 1.8)."""
        self.end_shift(shift, TimePoint(at, shift.start.timezone, "autoClockOut", mode))
        shift.auto_ended = True

    def end_shift(self, shift: Shift, end: TimePoint) -> None:
        """Give a shift its end and note when that was written."""
        shift.end = end
        shift.modified_at = int(self.now())
        shift.end_written_at = self.now()

    def new_shift(self, user_id: int, clock_id: int, start: TimePoint) -> Shift:
        """Write a new open shift."""
        now = self.now()
        shift = Shift(self.new_id(), user_id, clock_id, start, int(now), int(now), now)
        self.shifts[shift.id] = shift
        return shift
