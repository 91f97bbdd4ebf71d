"""What the service showed and said, request by request: shifts in its answers, and the words of its refusals."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tests.simulation.weeks.facts import Facts
from tests.simulation.weeks.history import HumanDid, Shift
from tests.simulation.weeks.seen import PunchSeen, Request


@dataclass(frozen=True, slots=True)
class Sight:
    """One shift as the service had it at a moment. `by` is who said so: a request, or a deed of somebody."""

    at: float
    user_id: str
    shift_id: str
    start: int
    end: int | None
    ended_by: str | None
    auto: bool

    def overlaps(self, start: int, end: int) -> bool:
        """Whether it shares a second with [start, end); open it has no end."""
        return self.start < end and (self.end is None or self.end > start)


@dataclass(frozen=True)
class Sights:
    """Everything the service was seen to have, person by person: in answers, after deeds of people, and in the end."""

    facts: Facts

    @cached_property
    def of(self) -> dict[str, list[Sight]]:
        """All sights of each person, oldest first."""
        found: dict[str, list[Sight]] = defaultdict(list)
        for request in self.facts.requests:
            for sight in _shown(request):
                found[sight.user_id].append(sight)
        for user_id, deeds in self.facts.humans.items():
            found[user_id] += [_after(deed) for _, deed in deeds if deed.shift_id and deed.start is not None]
        for row in self.facts.ending.timesheet:
            found[row.user_id].append(_last(row, self.facts.ending.at))
        for sights in found.values():
            sights.sort(key=lambda sight: sight.at)
        return found

    def ever(self, punch: PunchSeen) -> list[Sight]:
        """What was ever seen of this punch's person."""
        return self.of.get(punch.user_id, [])

    def now(self, punch: PunchSeen) -> list[Shift]:
        """The person's rows of the timesheet in the end."""
        return [row for row in self.facts.ending.timesheet if row.user_id == punch.user_id]

    def asked(self, punch: PunchSeen) -> list[Request]:
        """The requests of its kiosk that wanted this punch on the timesheet."""
        wanted = (punch.direction, punch.second)
        return [
            request
            for request in self.facts.by_kiosk.get(punch.kiosk, ())
            if any(want.user_id == punch.user_id and wanted in want.ends for want in request.wants)
        ]

    def refused(self, punch: PunchSeen, *words: str, status: int | None = None) -> bool:
        """Whether the service refused it in one of these words. What a fault refuses it refuses in words of its own."""
        for request in self.asked(punch):
            said = request.said
            if said.fault == "error":
                return True
            if said.status is None or not 400 <= said.status < 500 or said.status in (401, 403, 429):
                continue
            if status == said.status or any(word.lower() in said.answer.lower() for word in words):
                return True
        return False


def _shown(request: Request) -> Iterator[Sight]:
    if request.said.status != 200:
        return
    try:
        data = json.loads(request.said.answer)["data"]
    except (ValueError, KeyError, TypeError):
        return
    at = request.said.processed_at or request.said.at
    if "shift" in data:
        yield _sight(at, str(data["shift"]["userId"]), data["shift"])
    for person in data.get("timeActivitiesByUsers", ()):
        for shift in person["shifts"]:
            yield _sight(at, str(person["userId"]), shift)


def _sight(at: float, user_id: str, shift: Mapping[str, Any]) -> Sight:
    end = shift.get("end")
    return Sight(
        at,
        user_id,
        str(shift["id"]),
        shift["start"]["timestamp"],
        None if end is None else end["timestamp"],
        None if end is None else end["source"]["type"],
        bool(shift.get("isAutoClockOut")) or (end is not None and end["source"]["type"] == "autoClockOut"),
    )


def _after(deed: HumanDid) -> Sight:
    assert deed.user_id is not None
    assert deed.shift_id is not None
    assert deed.start is not None
    auto = deed.what == "auto_clock_out"
    return Sight(deed.at, deed.user_id, deed.shift_id, deed.start, deed.end, deed.what, auto)


def _last(row: Shift, at: float) -> Sight:
    return Sight(at, row.user_id, row.id, row.start, row.end, row.end_source, row.auto_ended)
