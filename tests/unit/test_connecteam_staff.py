"""What Connecteam's answers about people mean."""

from __future__ import annotations

import json
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.timesheets.connecteam import staff
from daemon.timesheets.timesheet import (
    CheckAssigned,
    CheckLocks,
    KeyRefused,
    Outcome,
    People,
    PersonRecord,
    Query,
    ReadPeople,
    Refused,
    Standing,
    Standings,
    Throttled,
    Uncertain,
)
from tests.support.answers import judge

ANNA, BRAM = "9170357", "9170358"
AMSTERDAM = ZoneInfo("Europe/Amsterdam")
SETTINGS = staff.Settings(12345, "Badge number")
LOCKS = CheckLocks((ANNA,), 1795158060, 1795158060)
QUERIES: tuple[Query, ...] = (ReadPeople(), CheckAssigned(ANNA), LOCKS)


def told(step: Query, data: object, status: int = 200) -> Outcome:
    return judge(step, status, {}, json.dumps({"requestId": "r", "data": data}).encode(), SETTINGS)


def user(**more: Any) -> dict[str, Any]:
    return {"userId": int(ANNA), "firstName": "Anna", "lastName": "Visser", "isArchived": False} | more


def field(value: object, name: str = "Badge number", kind: str = "str") -> dict[str, Any]:
    return {"customFieldId": 1, "name": name, "type": kind, "value": value}


def person(**more: Any) -> PersonRecord:
    outcome = told(ReadPeople(), {"users": [user(**more)]})
    assert isinstance(outcome, People)
    return outcome.people[0]


def test_pages_are_of_500_with_archived_people() -> None:
    """Without a limit the service gives ten, without userStatus no archived ones; keys never joined by commas."""
    assert dict(staff.people_query(500)) == {"userStatus": "all", "limit": "500", "offset": "500"}


@pytest.mark.parametrize(("rows", "following"), [(0, None), (1, None), (499, None), (500, 1500)])
def test_a_page_that_is_not_full_is_the_last(rows: int, following: int | None) -> None:
    """The total is only sometimes told, and wrong where it is told of a page; only the rows count."""
    body = {"requestId": "r", "data": {"users": [user()] * rows}, "paging": {"offset": 0, "total": rows}}
    outcome = judge(ReadPeople(1000), 200, {}, json.dumps(body).encode(), SETTINGS)
    assert isinstance(outcome, People)
    assert (len(outcome.people), outcome.next_offset) == (rows, following)


@pytest.mark.parametrize(
    ("given", "badge"),
    [
        ([field("04:A2 ")], "04:A2"),
        ([field("04A2", " badge NUMBER ")], "04A2"),
        ([field("x", "Shirt"), field("04A2")], "04A2"),
        ([field(4711, kind="number")], "4711"),
        ([field("")], None),
        ([field("   ")], None),
        ([field(None)], None),
        ([field(True)], None),
        ([field([{"id": 1, "value": "04A2"}], kind="dropdown")], None),
        ([field("04A2", "Badge")], None),
        (["nonsense", None, 7], None),
        (None, None),
    ],
)
def test_the_badge_is_the_text_of_the_field_that_is_named(given: Any, badge: str | None) -> None:
    """However the field's name is capitalised; anything but a text or a number is no badge."""
    assert person(customFields=given).badge == badge


def test_without_a_named_field_nobody_has_a_badge() -> None:
    """Off by default; a field without a name is not taken for it."""
    body = json.dumps({"data": {"users": [user(customFields=[field("04A2", "")])]}}).encode()
    outcome = judge(ReadPeople(), 200, {}, body)
    assert isinstance(outcome, People)
    assert outcome.people[0].badge is None


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({}, "Anna Visser"),
        ({"lastName": ""}, "Anna"),
        ({"firstName": None}, "Visser"),
        ({"firstName": " Anna\n Maria "}, "Anna Maria Visser"),
        ({"firstName": "", "lastName": ""}, ""),
    ],
)
def test_a_name_is_first_and_last_on_one_line(more: dict[str, Any], name: str) -> None:
    """Whatever is missing; the service never tells who is assigned here."""
    assert person(**more).name == name
    assert person(**more).assigned is None
    assert person(isArchived=True).archived


@pytest.mark.parametrize(
    ("assets", "assigned"),
    [
        ([], False),
        ([{"id": 12345, "type": "timeClock"}], True),
        ([{"id": "12345", "type": "timeClock"}], True),
        ([{"id": 12345}], True),
        ([{"id": 12345, "type": "scheduler"}], False),
        ([{"id": 1234, "type": "timeClock"}, {"id": 123456, "type": "timeClock"}], False),
    ],
)
def test_assigned_means_this_very_time_clock(assets: list[Any], assigned: bool) -> None:
    """Not one whose number begins alike, nor another kind of thing with its number."""
    assert told(CheckAssigned(ANNA), {"assets": assets}) == Standings((Standing(ANNA, assigned=assigned),))


def day(text: str, **flags: Any) -> dict[str, Any]:
    return {"date": text, "isApproved": False, "isSubmitted": False, "isLocked": False, "records": []} | flags


def test_locked_and_approved_days_are_told_of_those_asked_for() -> None:
    """A submitted day is not locked; another's days are not this person's; the list may have any name."""
    days = [day("2026-11-18", isLocked=True), day("2026-11-19", isApproved=True), day("2026-11-20", isSubmitted=True)]
    rows = [{"userId": int(BRAM), "dailyRecords": [day("2026-11-17", isLocked=True)]}]
    rows.append({"userId": int(ANNA), "dailyRecords": days})
    expected = Standings((Standing(ANNA, locked_days=frozenset({date(2026, 11, 18), date(2026, 11, 19)})),))
    for name in ("users", "timesheets"):
        assert told(LOCKS, {"startDate": "2026-11-17", name: rows}) == expected


def test_locks_are_asked_for_by_the_kiosks_days_and_people() -> None:
    """Keys repeated; impossible ids left out; beyond 50 people all are asked for."""
    step = CheckLocks((BRAM, ANNA, "x"), 1795129140, 1795129260)  # 23:59 and 00:01 in Amsterdam
    assert staff.locks_query(step, AMSTERDAM) == [
        ("startDate", "2026-11-19"), ("endDate", "2026-11-20"), ("userIds", ANNA), ("userIds", BRAM),
    ]  # fmt: skip
    crowd = CheckLocks(tuple(str(n) for n in range(1, 52)), 1795129140, 1795129260)
    assert [key for key, _ in staff.locks_query(crowd, AMSTERDAM)] == ["startDate", "endDate"]


@pytest.mark.parametrize(
    ("step", "data"),
    [
        (ReadPeople(), {}),
        (ReadPeople(), {"users": None}),
        (ReadPeople(), {"users": ["Anna"]}),
        (ReadPeople(), {"users": [user(userId=None)]}),
        (CheckAssigned(ANNA), {}),
        (CheckAssigned(ANNA), {"assets": [12345]}),
        (CheckAssigned(ANNA), {"assets": [{"type": "timeClock"}]}),
        (LOCKS, {}),
        (LOCKS, {"users": [{"userId": int(ANNA), "dailyRecords": None}]}),
        (LOCKS, {"users": [{"userId": int(ANNA), "dailyRecords": [day("soon", isLocked=True)]}]}),
    ],
)
def test_what_cannot_be_read_is_uncertain(step: Query, data: object) -> None:
    """Never nobody, never not assigned, never unlocked."""
    assert isinstance(told(step, data), Uncertain)


def test_refusals_are_told_as_everywhere() -> None:
    """A key without the scope, a throttle with status 200, a person the service does not know."""
    for step in QUERIES:
        assert isinstance(judge(step, 403, {}, b'{"detail": "Missing scope"}', SETTINGS), KeyRefused)
        assert isinstance(judge(step, 200, {}, b'{"detail": "Too many requests"}', SETTINGS), Throttled)
    assert isinstance(judge(CheckAssigned(ANNA), 404, {}, b'{"detail": "User not found"}', SETTINGS), Refused)


@given(
    st.sampled_from(QUERIES),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
            st.sampled_from(["users", "assets", "dailyRecords", "userId", "date", "isLocked", "id", "customFields"]),
            inner, max_size=4,
        ),
        max_leaves=12,
    ),
)  # fmt: skip
def test_no_answer_raises(step: Query, data: object) -> None:
    """Whatever JSON comes back, there is an outcome."""
    assert isinstance(told(step, data), People | Standings | Uncertain | Throttled)
