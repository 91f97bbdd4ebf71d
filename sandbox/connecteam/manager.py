"""A second person at work: what managers type, what phones do and what the service does by itself, meanwhile.

These go past the API: no key, no budget, no look-back. Instants are Unix seconds, None for the service's now.
"""

from __future__ import annotations

import datetime

from sandbox.connecteam import punching
from sandbox.connecteam.company import Company
from sandbox.connecteam.model import Break, Shift, TimeClock, TimePoint, User


class Manager:
    """Edits on one time clock: the company's first, or the one of `clock_id`. Unknown people or ids raise KeyError."""

    def __init__(self, company: Company, clock_id: int | None = None) -> None:
        self._company = company
        self._clock_id = clock_id

    # --- as a manager in the dashboard

    def add_shift(
        self, user_id: int | str, start: int, end: int | None = None, *, note: str | None = None, source: str = "admin"
    ) -> Shift:
        """Type in a shift."""
        user = self._user(user_id)
        shift = self._company.new_shift(user.id, self._clock.id, self._point(start, source))
        shift.manager_note = note
        if end is not None:
            self._company.end_shift(shift, self._point(end, source))
        return shift

    def edit_shift(
        self, shift_id: str, *, start: int | None = None, end: int | None = None, note: str | None = None
    ) -> Shift:
        """Change a shift's times or note."""
        shift = self._company.shifts[shift_id]
        if start is not None:
            shift.start = self._point(start, "admin")
        if end is not None:
            self._company.end_shift(shift, self._point(end, "admin"))
            shift.auto_ended = False
        shift.manager_note = note if note is not None else shift.manager_note
        shift.modified_at = int(self._company.now())
        return shift

    def delete_shift(self, shift_id: str) -> None:
        """Remove a shift for good."""
        del self._company.shifts[shift_id]

    def close_shift(self, user_id: int | str, at: int | None = None) -> Shift:
        """End the person's open shift. Raises KeyError when there is none."""
        return self._close(user_id, at, "admin")

    def lock_day(self, user_id: int | str, day: datetime.date | str | int) -> None:
        """Lock a day: a date, its ISO form, or an instant in it."""
        self._company.lock(user_id, self._clock.id, self._day(day))

    def unlock_day(self, user_id: int | str, day: datetime.date | str | int) -> None:
        """Unlock it again."""
        self._company.unlock(user_id, self._clock.id, self._day(day))

    def unassign(self, user_id: int | str) -> None:
        """Take the person off the time clock; their shifts stay."""
        user = self._user(user_id)
        user.clocks.discard(self._clock.id)
        self._changed(user)

    def assign(self, user_id: int | str) -> None:
        """Put the person on the time clock."""
        user = self._user(user_id)
        user.clocks.add(self._clock.id)
        self._changed(user)

    def archive(self, user_id: int | str) -> None:
        """Archive the person."""
        user = self._user(user_id)
        user.archived_at = int(self._company.now())
        self._changed(user)

    def unarchive(self, user_id: int | str) -> None:
        """Take the person back."""
        user = self._user(user_id)
        user.archived_at = None
        self._changed(user)

    def set_field(self, user_id: int | str, name: str, value: str) -> None:
        """Fill in a custom field of the person; an empty value clears it."""
        user = self._user(user_id)
        if value:
            user.custom_fields[name] = value
        else:
            user.custom_fields.pop(name, None)
        self._changed(user)

    def rename(self, user_id: int | str, name: str) -> None:
        """Give the person another name."""
        user = self._user(user_id)
        user.first_name, _, user.last_name = name.partition(" ")
        self._changed(user)

    # --- as the person, on a phone

    def phone_clock_in(self, user_id: int | str, at: int | None = None) -> Shift:
        """Open a shift by phone."""
        return self.add_shift(user_id, self._now(at), source="mobile")

    def phone_clock_out(self, user_id: int | str, at: int | None = None) -> Shift:
        """End the open shift by phone. Raises KeyError when there is none."""
        return self._close(user_id, at, "mobile")

    def phone_break_start(self, user_id: int | str, at: int | None = None) -> Break:
        """Begin a break by phone: it closes the open shift (facts 1.6)."""
        point = self._point(self._now(at), "mobile")
        kinds = self._company.break_kinds
        kind = next(iter(kinds.values())) if kinds else self._company.add_break_kind("Break")
        return punching.begin_break(self._company, self._user(user_id), self._clock, kind.id, point)[0]

    def phone_break_end(self, user_id: int | str, at: int | None = None, *, resume: bool = True) -> Shift | None:
        """End the break; `resume` opens a new shift. Raises KeyError when there is none."""
        user, point = self._user(user_id), self._point(self._now(at), "mobile")
        taken = self._company.open_break(user.id, self._clock.id)
        if taken is None:
            raise KeyError(f"{user_id} is not on a break")
        taken.end = point
        return self._company.new_shift(user.id, self._clock.id, point) if resume else None

    # --- as the service itself

    def auto_clock_out(self, user_id: int | str, at: int | None = None, mode: str = "hourLimit") -> Shift:
        """End the open shift by the service's own rule. Raises KeyError when there is none."""
        shift = self._opened(user_id)
        self._company.auto_end(shift, self._now(at), mode)
        return shift

    # --- shared

    @property
    def _clock(self) -> TimeClock:
        clocks = self._company.clocks
        return clocks[self._clock_id] if self._clock_id is not None else next(iter(clocks.values()))

    def _user(self, user_id: int | str) -> User:
        return self._company.users[int(user_id)]

    def _opened(self, user_id: int | str) -> Shift:
        shift = self._company.open_shift(int(user_id), self._clock.id)
        if shift is None:
            raise KeyError(f"{user_id} has no open shift")
        return shift

    def _close(self, user_id: int | str, at: int | None, source: str) -> Shift:
        shift = self._opened(user_id)
        self._company.end_shift(shift, self._point(self._now(at), source))
        return shift

    def _changed(self, user: User) -> None:
        user.modified_at = int(self._company.now())

    def _now(self, at: int | None) -> int:
        return int(self._company.now()) if at is None else at

    def _point(self, at: int, source: str) -> TimePoint:
        return TimePoint(at, self._clock.timezone, source)

    def _day(self, day: datetime.date | str | int) -> datetime.date:
        if isinstance(day, int):
            return self._company.day_of(self._clock.id, day)
        return datetime.date.fromisoformat(day) if isinstance(day, str) else day
