"""What managers and phones do on the service itself, past every kiosk."""

from __future__ import annotations

import datetime
from zoneinfo import ZoneInfo

from sandbox.connecteam.model import Shift
from tests.simulation.weeks.stage import Stage

#: A shift's start and end, in Unix seconds.
Times = tuple[int | None, int | None]
NONE: Times = (None, None)


class Humans:
    """Events of a script that happen on the service; see `Acts`."""

    def __init__(self, stage: Stage) -> None:
        self._stage, self._manager, self._company = stage, stage.service.manager, stage.service.company
        self._locked: dict[str, list[str]] = {}

    def _shifts(self, user_id: str) -> list[Shift]:
        self._company.catch_up()
        shifts = [shift for shift in self._company.shifts.values() if str(shift.user_id) == user_id]
        return sorted(shifts, key=lambda shift: (shift.start.at, shift.written_at, shift.id))

    def _open(self, user_id: str) -> Shift | None:
        return next((shift for shift in reversed(self._shifts(user_id)) if shift.end is None), None)

    def _note(self, what: str, shift: Shift, before: Times = NONE) -> None:
        start, end = _times(shift)
        self._stage.human(
            what, user_id=str(shift.user_id), shift_id=shift.id, start=start, end=end,
            start_before=before[0], end_before=before[1],
        )  # fmt: skip

    async def close_forgotten(self, hours: float) -> None:
        """Each shift that is open since yesterday ends so many hours after it began."""
        for row in self._stage.service.timesheet():
            if row.end is None and row.start < self._stage.now - 16 * 3600:
                edited = self._manager.edit_shift(row.id, end=row.start + int(hours * 3600))
                self._note("edit_shift", edited, (row.start, row.end))

    async def add_shift(self, user_id: str, hours_ago: float, hours: float) -> None:
        """A shift of the past is typed in, where there is none."""
        now = int(self._stage.now)
        start = now - int(hours_ago * 3600)
        end = min(start + int(hours * 3600), now - 1)
        if end > start and not any(shift.touches(start, end) for shift in self._shifts(user_id)):
            self._note("add_shift", self._manager.add_shift(user_id, start, end))

    async def edit_shift(self, user_id: str, by_s: int, end: bool) -> None:
        """The person's last finished shift gets another end, or another start."""
        finished = [shift for shift in self._shifts(user_id) if shift.end is not None]
        if not finished or (last := finished[-1]).end is None:
            return
        start, until = last.start.at + (0 if end else by_s), last.end.at + (by_s if end else 0)
        others = [shift for shift in self._shifts(user_id) if shift is not last]
        if start < until <= self._stage.now and not any(shift.touches(start, until) for shift in others):
            before = _times(last)
            edited = self._manager.edit_shift(last.id, **({"end": until} if end else {"start": start}))
            self._note("edit_shift", edited, before)

    async def close_shift(self, user_id: str, ago_s: int) -> None:
        """The person's open shift is ended by a manager."""
        opened, at = self._open(user_id), int(self._stage.now) - ago_s
        if opened is not None and at > opened.start.at:
            before = _times(opened)
            self._note("close_shift", self._manager.close_shift(user_id, at), before)

    async def delete_shift(self, user_id: str) -> None:
        """The person's last shift is deleted."""
        shifts = self._shifts(user_id)
        if shifts:
            self._manager.delete_shift(shifts[-1].id)
            self._note("delete_shift", shifts[-1], _times(shifts[-1]))

    async def lock_day(self, user_id: str, day: int) -> None:
        """Today or yesterday is locked for somebody."""
        zone = ZoneInfo(self._stage.script.timezone)
        locked = datetime.datetime.fromtimestamp(self._stage.now, zone).date() + datetime.timedelta(days=day)
        self._manager.lock_day(user_id, locked)
        self._locked.setdefault(user_id, []).append(locked.isoformat())
        self._stage.human("lock_day", user_id=user_id, day=locked.isoformat())

    async def unlock_days(self, user_id: str) -> None:
        """Whatever is locked for somebody is unlocked."""
        for day in self._locked.pop(user_id, []):
            self._manager.unlock_day(user_id, day)
            self._stage.human("unlock_day", user_id=user_id, day=day)

    async def phone_punch(self, user_id: str) -> None:
        """In or out by phone, whichever it is."""
        opened = self._open(user_id)
        if not self._may_punch(user_id) or (opened is not None and int(self._stage.now) <= opened.start.at):
            return
        if opened is not None:
            before = _times(opened)
            self._note("phone_out", self._manager.phone_clock_out(user_id), before)
        elif self._company.open_break(int(user_id), next(iter(self._company.clocks))) is None:
            self._note("phone_in", self._manager.phone_clock_in(user_id))

    async def phone_break(self, user_id: str) -> None:
        """A break by phone begins, or ends."""
        clock = next(iter(self._company.clocks))
        taken, opened = self._company.open_break(int(user_id), clock), self._open(user_id)
        if not self._may_punch(user_id):
            return
        if taken is not None and int(self._stage.now) > taken.start.at:
            resumed = self._manager.phone_break_end(user_id)
            if resumed is not None:
                self._note("break_end", resumed)
        elif taken is None and opened is not None and int(self._stage.now) > opened.start.at:
            before = _times(opened)
            self._manager.phone_break_start(user_id)
            self._note("break_start", opened, before)

    def _may_punch(self, user_id: str) -> bool:
        user = self._company.users[int(user_id)]
        return user.archived_at is None and bool(user.clocks)

    async def unassign(self, user_id: str) -> None:
        """Off the time clock."""
        self._manager.unassign(user_id)
        self._stage.human("unassign", user_id=user_id)

    async def assign(self, user_id: str) -> None:
        """On it again."""
        self._manager.assign(user_id)
        self._stage.human("assign", user_id=user_id)

    async def archive(self, user_id: str) -> None:
        """Archived."""
        self._manager.archive(user_id)
        self._stage.human("archive", user_id=user_id)

    async def unarchive(self, user_id: str) -> None:
        """And taken back."""
        self._manager.unarchive(user_id)
        self._stage.human("unarchive", user_id=user_id)

    async def end_breaks(self, user_id: str) -> None:
        """Whoever is on a break ends it."""
        if self._company.open_break(int(user_id), next(iter(self._company.clocks))) is not None:
            await self.phone_break(user_id)


def _times(shift: Shift) -> Times:
    """As they stand now: an edit changes the shift itself."""
    return shift.start.at, shift.end.at if shift.end else None
