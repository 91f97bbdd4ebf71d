"""PURE: obstacles that a list of shifts does not show: which reads show them, and whether they are gone.

A person who was not assigned, a day that was locked, a job that was missing. What a list of shifts shows (a shift that
ended, our time that now stands there) is the planner's.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from daemon.model import Punch, PunchState
from daemon.timesheets.timesheet import LOCKS_SPAN_MAX_S, CheckAssigned, CheckLocks, Standing

#: Reasons of a review whose end `checks` and `healed` know of.
HEALABLE: Final = ("not_assigned", "locked_days", "job_required")
#: People one check of locked days asks about; more would ask for the whole company (facts 1.1, repeated keys).
LOCKS_PEOPLE_MAX: Final = 50
#: The service's words name the days they mean.
_DATE = re.compile(r"(?<!\d)\d{4}-\d\d-\d\d(?!\d)")


def checks(punches: Iterable[Punch], zone: ZoneInfo) -> list[CheckAssigned | CheckLocks]:
    """The reads that show whether these punches' obstacles are gone, each one request; others are passed over.

    One a person for `not_assigned`; for `locked_days` one for as many people and days as a request covers;
    `job_required` needs none: whether there is a job now, the kiosk knows itself.
    """
    stuck = [punch for punch in punches if punch.state is PunchState.REVIEW]
    unassigned = dict.fromkeys(punch.user_id for punch in stuck if punch.reason == "not_assigned")
    wanted: list[CheckAssigned | CheckLocks] = [CheckAssigned(user_id) for user_id in unassigned]
    locked = [punch for punch in stuck if punch.reason == "locked_days"]
    days = sorted((day, punch.user_id) for punch in locked for day in days_of(punch, zone))
    group: list[tuple[date, str]] = []
    for day, user_id in days:
        if group and (
            _too_wide(group[0][0], day) or len({*(person for _, person in group), user_id}) > LOCKS_PEOPLE_MAX
        ):
            wanted.append(_locks(group, zone))
            group = []
        group.append((day, user_id))
    return [*wanted, _locks(group, zone)] if group else wanted


def healed(reason: str | None, standing: Standing | None, days: Collection[date], job_id: str | None = None) -> bool:
    """Whether what kept a punch in review is surely gone.

    `standing`: what a check requested after the refusal showed of the person (None: nothing). `days`: those of
    `days_of`. `job_id`: the job that the punch would go with now. What is not known is not gone.
    """
    if reason == "job_required":
        return job_id is not None
    if standing is None:
        return False
    if reason == "not_assigned":
        return standing.assigned is True
    if reason == "locked_days":
        return standing.locked_days is not None and not standing.locked_days & frozenset(days)
    return False


def days_of(punch: Punch, zone: ZoneInfo) -> frozenset[date]:
    """The days that must be unlocked for a punch: its own, and those that the service's refusal names."""
    named = {day for text in _DATE.findall(punch.detail or "") if (day := _day(text)) is not None}
    # A day far from the punch's own stands in the words for another reason.
    own = datetime.fromtimestamp(punch.second, zone).date()
    return frozenset({own, *(day for day in named if abs(day - own) <= timedelta(days=3))})


def merged(standings: Sequence[Standing]) -> dict[str, Standing]:
    """What several checks showed, person by person; of days, those of all checks together."""
    found: dict[str, Standing] = {}
    for new in standings:
        old = found.get(new.user_id, Standing(new.user_id))
        assigned = old.assigned if new.assigned is None else new.assigned
        locked = [days for days in (old.locked_days, new.locked_days) if days is not None]
        found[new.user_id] = Standing(new.user_id, assigned, frozenset[date]().union(*locked) if locked else None)
    return found


def _too_wide(first: date, last: date) -> bool:
    # A day more for the last day's own length.
    return (last - first).days + 1 > LOCKS_SPAN_MAX_S // 86400


def _locks(group: Sequence[tuple[date, str]], zone: ZoneInfo) -> CheckLocks:
    since, until = (datetime(day.year, day.month, day.day, 12, tzinfo=zone) for day in (group[0][0], group[-1][0]))
    people = dict.fromkeys(user_id for _, user_id in group)
    return CheckLocks(tuple(people), int(since.timestamp()), int(until.timestamp()))


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
