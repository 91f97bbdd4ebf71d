"""What reads have shown of the timesheet, person by person. In memory: after a restart it is read again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from daemon.timesheets.timesheet import ShiftRecord


@dataclass(frozen=True, slots=True)
class View:
    """One person's shifts that touch [since, until], as a read requested at `requested_at` showed them.

    Our own settled writes are added as they happen (`with_record`), so that the view never falls behind ourselves.
    """

    requested_at: float
    since: int
    until: int
    records: tuple[ShiftRecord, ...]
    #: Since when reads that follow one another have shown a shift open, by its id.
    open_since: Mapping[str, float] = field(default_factory=dict)

    def covers(self, second: int) -> bool:
        """Whether the read asked for this second."""
        return self.since <= second <= self.until

    def by_id(self, shift_id: str) -> ShiftRecord | None:
        """The shift with this id."""
        return next((r for r in self.records if r.id == shift_id), None)

    def starting(self, second: int, *, but: Collection[str] = ()) -> ShiftRecord | None:
        """A shift that starts at exactly this second, `but` not with these ids."""
        return next((r for r in self.records if r.start == second and r.id not in but), None)

    def ending(self, second: int, *, but: Collection[str] = ()) -> ShiftRecord | None:
        """A shift that ends at exactly this second, `but` not with these ids."""
        return next((r for r in self.records if r.end == second and r.id not in but), None)

    def finished(self, start: int, end: int) -> ShiftRecord | None:
        """A finished shift that overlaps [start, end)."""
        return next((r for r in self.records if r.end is not None and r.start < end and r.end > start), None)

    def overlapping(self, start: int, end: int) -> ShiftRecord | None:
        """Anything that overlaps [start, end); an open shift reaches to the end of time."""
        return next((r for r in self.records if r.start < end and (r.end is None or r.end > start)), None)

    def open_before(self, second: int, within_s: int, *, but: Collection[str] = ()) -> ShiftRecord | None:
        """The most recent open shift begun before this second, at most `within_s` earlier, `but` not with these ids."""
        found = [r for r in self.records if r.end is None and second - within_s <= r.start < second and r.id not in but]
        return max(found, key=lambda r: r.start, default=None)

    def open_at_all(self) -> ShiftRecord | None:
        """The most recent open shift, whenever it began."""
        return max((r for r in self.records if r.end is None), key=lambda r: r.start, default=None)

    def shown_open_s(self, shift_id: str) -> float:
        """For how long reads have shown this shift open, seconds; 0 where only this one does."""
        return self.requested_at - self.open_since.get(shift_id, self.requested_at)

    def with_record(self, record: ShiftRecord) -> View:
        """The same view after one of our own writes.

        Beyond RECORDS_MAX it forgets what ended longest ago, and no longer speaks of that time.
        """
        kept, since = [r for r in self.records if r.id != record.id], self.since
        while len(kept) >= RECORDS_MAX and (ended := min(kept, key=_ended_at)).end is not None:
            kept.remove(ended)
            since = max(since, ended.end + 1)
        return replace(self, since=since, records=(*kept, record))


def _open_since(before: View | None, at: float, records: Iterable[ShiftRecord]) -> dict[str, float]:
    follows = before is not None and 0 <= at - before.requested_at <= FOLLOWS_S
    known = before.open_since if before is not None and follows else {}
    return {record.id: known.get(record.id, at) for record in records if record.end is None}


def _ended_at(record: ShiftRecord) -> float:
    return float("inf") if record.end is None else record.end


#: Our own writes make a view no longer than this, so that a long queue costs as much a punch as a short one. It is
#: more than the planner looks at (a lane's head and its neighbours, max_shift_hours around them).
RECORDS_MAX = 48
#: A read this long after another follows it: nothing kept this kiosk from asking for longer, nor others like it.
FOLLOWS_S = 300
#: A write of ours may be missing from a read this soon after it (facts, U10); until then our own knowledge wins.
WRITES_SHOW_AFTER_S = 60
#: Of one person so many young writes are kept: more than a lane's head sends before the next read of it.
YOUNG_MAX = 16
#: A person whose record could not be read is read again after this: the service or punchd must be mended first.
UNREADABLE_S = 15 * 60


class Knowledge:
    """The newest view of each person, with our own writes of the last minute in it."""

    def __init__(self) -> None:
        self._views: dict[str, View] = {}
        self._written: dict[str, list[tuple[float, ShiftRecord]]] = {}
        self._unreadable: dict[str, float] = {}
        #: When the newest read was requested, None before the first.
        self.snapshot_at: float | None = None

    def of(self, user_id: str) -> View | None:
        """What is known of a person."""
        return self._views.get(user_id)

    def unreadable_until(self, user_id: str) -> float | None:
        """Until when a person is not read again, because a record of theirs could not be read; None: they can be."""
        return self._unreadable.get(user_id)

    def note_unreadable(self, user_ids: Iterable[str], at: float) -> None:
        """Records of these people could not be read: their older views stand, and nobody reads them for a while."""
        self._unreadable |= dict.fromkeys(user_ids, at + UNREADABLE_S)

    @property
    def unreadable(self) -> list[str]:
        """All whose records could not be read when they were read last."""
        return sorted(self._unreadable)

    def learn(
        self, user_ids: Iterable[str], requested_at: float, since: int, until: int, records: Iterable[ShiftRecord]
    ) -> None:
        """Take in a read that covered these people; each one's older view is replaced."""
        by_user: dict[str, list[ShiftRecord]] = {user_id: [] for user_id in user_ids}
        for record in records:
            if record.user_id in by_user:
                by_user[record.user_id].append(record)
        for user_id, found in by_user.items():
            self._unreadable.pop(user_id, None)
            view = View(
                requested_at, since, until, tuple(sorted(found, key=lambda r: (r.start, r.id))),
                _open_since(self._views.get(user_id), requested_at, found),
            )  # fmt: skip
            young = [w for w in self._written.pop(user_id, ()) if w[0] > requested_at - WRITES_SHOW_AFTER_S]
            for _, record in young:
                shown = view.by_id(record.id)
                if shown is None or (shown.end is None and record.end is not None):  # the read is behind our write
                    view = view.with_record(record)
            if young:
                self._written[user_id] = young
            self._views[user_id] = view
        self.snapshot_at = requested_at

    def note_written(self, record: ShiftRecord, at: float) -> None:
        """Add one of our own writes that the service's answer proved at `at`."""
        written = self._written.setdefault(record.user_id, [])
        written[:] = [w for w in written if w[0] > at - WRITES_SHOW_AFTER_S and w[1].id != record.id]
        written.append((at, record))
        del written[:-YOUNG_MAX]
        view = self._views.get(record.user_id)
        if view is not None:
            self._views[record.user_id] = view.with_record(record)

    def forget_all(self) -> None:
        """Drop every view: whether it is older or newer than a tap can no longer be told."""
        self._views.clear()
        self._written.clear()
        self._unreadable.clear()
        self.snapshot_at = None

    def forget(self, user_id: str) -> None:
        """Drop a person's view: the next plan that needs one reads again."""
        self._views.pop(user_id, None)
        self._unreadable.pop(user_id, None)
