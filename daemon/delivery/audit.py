"""PURE: what was punched here, held against what the timesheet shows: punch by punch, and what stands there besides.

Every shift has two edges, its start and its end. A delivered punch claims the edge it made; what it finds there is the
verdict. An edge that no punch of ours claims is extra: a phone's, a manager's, the service's own.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from daemon.model import Direction, Punch, PunchState
from daemon.timesheets.timesheet import ShiftRecord

#: A shift is looked for this far beside the time in question: it may have begun before, or been moved.
BESIDE_S: Final = 3 * 86400
#: One read covers at most so many seconds (the list takes 90 days, zones and `BESIDE_S` on either side off), …
SPAN_MAX_S: Final = 74 * 86400
#: … so many people (more would be read unfiltered, the whole company), …
PEOPLE_MAX: Final = 50
#: … and so many person-days: two shifts a day with notes and places of all of them stay far below an answer's limit.
PERSON_DAYS_MAX: Final = 1500


class Verdict(enum.StrEnum):
    """What became of one punch, or of one edge."""

    OK = "ok"  # it stands there, at its second
    CHANGED = "changed"  # it stands there with another time
    MISSING = "missing"  # its shift is there, without it; or nothing is known of where it should be
    DELETED = "deleted"  # its shift is no longer there
    EXTRA = "extra"  # on the timesheet, but not from here
    NOT_DELIVERED = "not_delivered"  # not there yet, or needs a person: `state` and `reason` say
    UNREAD = "unread"  # the timesheet could not be read for it


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an audit. `punched_at` is what was tapped, `shown_at` what the timesheet shows (Unix seconds).

    `off_s` is theirs minus ours. `punch_id`, `state` and `reason` are None for what is not from here.
    """

    verdict: Verdict
    user_id: str
    name: str
    direction: Direction | None
    punched_at: int | None = None
    shown_at: int | None = None
    off_s: int | None = None
    punch_id: str | None = None
    shift_id: str | None = None
    state: PunchState | None = None
    reason: str | None = None
    detail: str | None = None

    @property
    def at(self) -> int:
        """Where it belongs in the order of lines."""
        return self.punched_at if self.punched_at is not None else self.shown_at or 0


Edge = tuple[str, Direction]  # shift id, start or end


@dataclass(frozen=True, slots=True)
class Portion:
    """One read: these people, [since, until)."""

    user_ids: tuple[str, ...]
    since: int
    until: int


def portions(user_ids: Collection[str], since: int, until: int) -> Iterator[Portion]:
    """The reads that cover these people and this time, each within what one request carries; oldest time first."""
    people = sorted(user_ids)
    size = min(PEOPLE_MAX, len(people)) or 1
    span = min(SPAN_MAX_S, PERSON_DAYS_MAX // size * 86400)
    for start in range(since, until, span):
        for i in range(0, len(people), size):
            yield Portion(tuple(people[i : i + size]), start, min(until, start + span))


def compare(
    punches: Sequence[Punch], records: Iterable[ShiftRecord], since: int, until: int, names: dict[str, str]
) -> list[Line]:
    """The lines of [since, until), by time. `punches` and `records` reach further (`BESIDE_S`): they claim edges too.

    Discarded punches were decided away and are left out. `names` of people who may have punched nothing here.
    """
    shifts = {record.id: record for record in records}
    claimed: set[Edge] = set()
    found: dict[str, Edge | None] = {}
    ours = [p for p in punches if p.direction is not None and p.state is not PunchState.DISCARDED]
    # Those that know their shift first, so that a look-alike takes no edge from its owner.
    for punch in sorted(ours, key=lambda p: not _knows(p, shifts)):
        edge = _edge_of(punch, shifts, claimed)
        found[punch.id] = edge
        if edge is not None:
            claimed.add(edge)
    lines = [
        _line(punch, found.get(punch.id), shifts)
        for punch in punches
        if since <= punch.second < until and punch.state is not PunchState.DISCARDED
    ]
    lines += [line for record in shifts.values() for line in _extras(record, claimed, names, since, until)]
    return sorted(lines, key=lambda line: (line.at, line.user_id, line.punch_id or "", str(line.direction)))


def unread(lines: Iterable[Line], why: str, user_ids: Collection[str] | None = None) -> list[Line]:
    """The same lines where what was read says nothing (of these people; None: of all): delivered ones are `unread`.

    What was not delivered is known without the timesheet.
    """
    return [
        Line(
            Verdict.UNREAD, line.user_id, line.name, line.direction, line.punched_at, punch_id=line.punch_id,
            state=line.state, detail=why,
        )
        if (user_ids is None or line.user_id in user_ids) and line.verdict not in (Verdict.NOT_DELIVERED, Verdict.EXTRA)
        else line
        for line in lines
    ]  # fmt: skip


def vanished(lines: Iterable[Line], records: Iterable[ShiftRecord]) -> list[str]:
    """People of whom nothing at all is shown although something was delivered: maybe just not assigned any more.

    The service then leaves them out of a list by people (facts 1.5, "Filter trap").
    """
    shown = {record.user_id for record in records}
    gone = (Verdict.DELETED, Verdict.MISSING)
    return sorted({line.user_id for line in lines if line.verdict in gone and line.user_id not in shown})


def _knows(punch: Punch, shifts: dict[str, ShiftRecord]) -> bool:
    record = shifts.get(punch.remote_id or "")
    return punch.state is PunchState.DELIVERED and record is not None and record.user_id == punch.user_id


def _edge_of(punch: Punch, shifts: dict[str, ShiftRecord], claimed: set[Edge]) -> Edge | None:
    """The edge a punch made: that of its own shift, or one at its very second (typed in again, or not settled yet)."""
    assert punch.direction is not None
    if _knows(punch, shifts):
        return (str(punch.remote_id), punch.direction)
    for record in shifts.values():
        edge = (record.id, punch.direction)
        if record.user_id == punch.user_id and _time(record, punch.direction) == punch.second and edge not in claimed:
            return edge
    return None


def _line(punch: Punch, edge: Edge | None, shifts: dict[str, ShiftRecord]) -> Line:
    record = shifts[edge[0]] if edge is not None else None
    shown_at = _time(record, punch.direction) if record is not None and punch.direction is not None else None
    shift_id = record.id if record is not None else punch.remote_id
    if punch.state is not PunchState.DELIVERED:
        verdict = Verdict.NOT_DELIVERED
    elif record is None:
        verdict = Verdict.DELETED if punch.remote_id is not None else Verdict.MISSING
    elif shown_at is None:
        verdict = Verdict.MISSING
    else:
        verdict = Verdict.OK if shown_at == punch.second else Verdict.CHANGED
    return Line(
        verdict,
        punch.user_id,
        punch.name,
        punch.direction,
        punch.second,
        shown_at,
        None if shown_at is None else shown_at - punch.second,
        punch.id,
        shift_id,
        punch.state,
        punch.reason,
        punch.detail if verdict is not Verdict.OK else None,
    )


def _extras(record: ShiftRecord, claimed: set[Edge], names: dict[str, str], since: int, until: int) -> Iterator[Line]:
    by = {Direction.CLOCK_IN: record.started_by, Direction.CLOCK_OUT: record.ended_by}
    for direction in Direction:
        at = _time(record, direction)
        if at is None or not since <= at < until or (record.id, direction) in claimed:
            continue
        who = f"by {by[direction]}" if by[direction] else None
        name = names.get(record.user_id, record.user_id)
        yield Line(Verdict.EXTRA, record.user_id, name, direction, None, at, shift_id=record.id, detail=who)


def _time(record: ShiftRecord, direction: Direction) -> int | None:
    return record.start if direction is Direction.CLOCK_IN else record.end
