"""Connecteam's bodies about people: who there is, who may punch on a time clock, whose days are locked. PURE.

Source of the shapes: facts 1.7 and 1.8. As in wire.py, what is promised and missing makes a WireError: a person that
cannot be read must never pass for one who is not there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from daemon.timesheets.connecteam import wire
from daemon.timesheets.connecteam.wire import Json, WireError
from daemon.timesheets.timesheet import CheckLocks, PersonRecord

#: The users list's largest page (facts 1.7); without a limit it gives ten.
PEOPLE_PAGE: Final = 500
#: The timesheet refuses more (facts 1.8).
TIMESHEET_DAYS_MAX: Final = 45
ASSIGNMENTS_QUERY: Final = (("assetTypes", "timeClock"),)


@dataclass(frozen=True, slots=True)
class Settings:
    """What of the configuration the answers are read by."""

    time_clock_id: int
    badge_field: str = ""


NO_SETTINGS: Final = Settings(0)


# --- requests -------------------------------------------------------------------------------------


def people_query(offset: int) -> list[tuple[str, str]]:
    """Query of one page of people; unless asked otherwise, archived ones are left out."""
    return [("userStatus", "all"), ("limit", str(PEOPLE_PAGE)), ("offset", str(offset))]


def locks_query(step: CheckLocks, zone: ZoneInfo) -> list[tuple[str, str]]:
    """Query of the timesheet, keys repeated (facts 1.1); the days are the kiosk's."""
    first = datetime.fromtimestamp(step.since, zone).date()
    last = datetime.fromtimestamp(step.until, zone).date()
    assert first <= last, "a check of locked days ends before it begins"
    assert (last - first).days < TIMESHEET_DAYS_MAX, f"a check of locked days covers at most {TIMESHEET_DAYS_MAX} days"
    numbers = sorted({number for user_id in step.user_ids if (number := wire.user_number(user_id)) is not None})
    query = [("startDate", first.isoformat()), ("endDate", last.isoformat())]
    if len(numbers) <= wire.FILTERED_PEOPLE_MAX:
        query += [("userIds", str(number)) for number in numbers]
    return query


# --- answers --------------------------------------------------------------------------------------


def people(told: Json, badge_field: str) -> tuple[tuple[PersonRecord, ...], int]:
    """One page of people, and how many rows it had. Raises WireError."""
    rows = wire.as_list(wire.as_object(told.get("data")).get("users"))
    return tuple(_person(wire.as_object(row), badge_field) for row in rows), len(rows)


def is_assigned(told: Json, time_clock_id: int) -> bool:
    """Whether the answer of a person's assignments names this time clock. Raises WireError."""
    assets = [wire.as_object(row) for row in wire.as_list(wire.as_object(told.get("data")).get("assets"))]
    # Only time clocks are asked for; should the filter be ignored, another kind's number must not pass for ours.
    clocks = [row for row in assets if row.get("type") in (None, "timeClock")]
    return str(time_clock_id) in [wire.as_id(row.get("id")) for row in clocks]


def locked_days(told: Json, user_ids: Iterable[str]) -> dict[str, frozenset[date]]:
    """The locked days of each of these people that the timesheet shows. Raises WireError.

    A day that is approved counts as locked: the service refuses both with the same words (facts 1.4).
    """
    wanted, locked = frozenset(user_ids), dict[str, frozenset[date]]()
    for row in _rows_of_people(wire.as_object(told.get("data"))):
        user_id = wire.as_user_id(row.get("userId"))
        if user_id in wanted:
            days = [wire.as_object(day) for day in wire.as_list(row.get("dailyRecords"))]
            locked[user_id] = frozenset(_date(day.get("date")) for day in days if _is_locked(day))
    return locked


def _person(row: Json, badge_field: str) -> PersonRecord:
    names = (row.get(key) for key in ("firstName", "lastName"))
    name = " ".join(" ".join(wire.clean(part).split()) for part in names if isinstance(part, str))
    badge = _badge(row.get("customFields"), badge_field) if badge_field else None
    return PersonRecord(wire.as_user_id(row.get("userId")), name.strip(), row.get("isArchived") is True, badge)


def _badge(fields: object, badge_field: str) -> str | None:
    """The text of the custom field with this name, however it is capitalised."""
    wanted = badge_field.strip().casefold()
    for given in fields if isinstance(fields, list) else []:
        name, value = (given.get("name"), given.get("value")) if isinstance(given, dict) else (None, None)
        if not isinstance(name, str) or name.strip().casefold() != wanted:
            continue
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return wire.clean(value).strip() or None if isinstance(value, str) else None
    return None


def _rows_of_people(data: Json) -> list[Json]:
    """The rows of the timesheet: the facts do not name their list, so it goes by what is in it."""
    lists = [value for value in data.values() if isinstance(value, list)]
    rows: list[Any] = next((rows for rows in lists if rows and "dailyRecords" in wire.as_object(rows[0])), [])
    if not lists:
        raise WireError("no list of people")
    return [wire.as_object(row) for row in rows]


def _is_locked(day: Json) -> bool:
    return day.get("isLocked") is True or day.get("isApproved") is True


def _date(value: object) -> date:
    if not isinstance(value, str):
        raise WireError("a date is missing")
    try:
        return date.fromisoformat(value[:10])  # a time of day may follow it
    except ValueError as error:
        raise WireError("a date cannot be read") from error
