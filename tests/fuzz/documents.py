"""True answers to every step and to a request for a token, and what is left of them when something is wrong in one."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hypothesis import strategies as st

from daemon.timesheets.connecteam import oauth, staff, wire
from daemon.timesheets.timesheet import (
    CheckAssigned,
    CheckLocks,
    CloseShift,
    EndShift,
    LookUp,
    OpenShift,
    Probe,
    ReadPeople,
    RecordShift,
    RecordShifts,
    Step,
)

#: The second that every step here is about.
AT = 1_795_400_000
#: What the answers are read by.
SETTINGS = staff.Settings(time_clock_id=7777, badge_field="Badge")
#: Every step that can be sent.
STEPS: list[Step] = [
    OpenShift("101", AT), EndShift("101", AT, "s1"), RecordShift("101", AT - 3600, AT, "ref"),
    RecordShifts((RecordShift("101", AT - 3600, AT, "ref"), RecordShift("102", AT - 7200, AT, "ref2"))),
    CloseShift("101", "s1", AT, "ref"), LookUp(("101",), AT - 86400, AT), Probe(),
    ReadPeople(), ReadPeople(500), CheckAssigned("101"), CheckLocks(("101", "102"), AT - 86400, AT + 86400),
]  # fmt: skip
#: Those that change nothing and are asked for by the list of people, not by the queue.
ASKED_OF_PEOPLE = [step for step in STEPS if isinstance(step, ReadPeople | CheckAssigned | CheckLocks)]
TOKEN = "t0ken-Zz9.of_an~app"

_SHIFT = {"id": "s1", "userId": 101, "start": {"timestamp": AT - 3600}, "end": {"timestamp": AT},
          "managerNote": "kiosk front, ref ref"}  # fmt: skip
_SHIFTS = {"timeActivitiesByUsers": [{"userId": 101, "shifts": [_SHIFT]}]}
_PERSON = {"userId": 101, "firstName": "Ada", "lastName": "L\u00f6v", "isArchived": False,
           "customFields": [{"name": "badge", "value": "04A2B3C4"}]}  # fmt: skip
_DAY = {"date": "2026-11-23", "isLocked": True, "isApproved": False}
_JOB = {"jobId": "j1", "subJobs": [{"jobId": "j2", "parentId": "j1", "subJobs": []}]}
JOBS: Mapping[str, Any] = {"data": {"jobs": [_JOB]}}
TOKENS: Mapping[str, Any] = {"access_token": TOKEN, "token_type": "bearer", "expires_in": 86400,
                             "scope": " ".join(oauth.SCOPES)}  # fmt: skip


def true_answer(step: Step) -> Mapping[str, Any]:
    """The document with which the service says that it did, or tells, what is asked."""
    match step:
        case OpenShift(at=at):
            data: Any = {"shift": _SHIFT | {"start": {"timestamp": at}, "end": None}}
        case EndShift():
            data = {"shift": _SHIFT}
        case RecordShift() | CloseShift() | LookUp() | RecordShifts():
            data = _SHIFTS
        case Probe():
            data = {"companyName": "Bakery", "companyId": "c1"}
        case ReadPeople():
            data = {"users": [_PERSON, _PERSON | {"userId": 102, "isArchived": True}]}
        case CheckAssigned():
            data = {"assets": [{"id": 7777, "type": "timeClock"}]}
        case CheckLocks():
            days = [_DAY, _DAY | {"date": "2026-11-24T00:00:00", "isLocked": False}]
            data = {"users": [{"userId": 101, "dailyRecords": days}, {"userId": 102, "dailyRecords": []}]}
    return {"requestId": "r-1", "data": data}


_WRONG: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=6)
    | st.sampled_from([[], {}, [[]], [{}], [None], [1], AT, AT * 1000, 10**12, "a" * 3000])
)  # fmt: skip
#: What is wrong in a finer way: of the same kind as what stands there.
_WRONG_TEXTS = st.sampled_from(
    ["", " ", "101", "103", "7777", "\ud800", "\n", "sp ace", "a\r\nb: c", "\u00e9", "2026-13-01", "2026-11-25", "x",
     "kiosk", "users.read", "Too many requests", str(AT), "a" * 3000]
)  # fmt: skip
_WRONG_NUMBERS = st.sampled_from([0, -1, 1, True, 1.5, 101, 102, 103, 7777, 8, AT - 1, 10**12, 2**70, 1e300])
_WRONG_FLAGS = st.sampled_from([True, False, None, 0, 1, "true", "false", ""])


def _wrong(value: Any) -> st.SearchStrategy[Any]:
    """What may stand in a value's place."""
    match value:
        case bool():
            return _WRONG_FLAGS
        case str():
            return _WRONG_TEXTS | _WRONG_TEXTS | _WRONG
        case int():
            return _WRONG_NUMBERS | _WRONG_NUMBERS | _WRONG
    return _WRONG


@st.composite
def spoiled(draw: st.DrawFn, document: Mapping[str, Any]) -> bytes:
    """The document as it is, or with things left out, doubled, or replaced by something else; sometimes packed or cut.

    A list may be doubled into a whole page, which says that there are more.
    """
    told = copy.deepcopy(dict(document))
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2, 3]))):
        places = list(_places(told))
        if not places:
            break
        holder, key = places[draw(st.integers(0, len(places) - 1))]
        _change(
            holder,
            key,
            draw(st.sampled_from(["out", "other", "other", "other", "double", "page"])),
            lambda value: draw(_wrong(value)),
        )
    body = json.dumps(told).encode()
    return body[: draw(st.integers(0, len(body)))] if draw(st.integers(0, 15)) == 0 else body


def _change(holder: Any, key: Any, how: str, other: Callable[[Any], Any]) -> None:
    """Do it to one place of a document."""
    value = holder[key]
    if how == "out":
        del holder[key]
    elif how != "other" and isinstance(value, list):
        holder[key] = value * 2 if how == "double" else (value * max(staff.PEOPLE_PAGE, wire.JOBS_PAGE))[:500]
    else:
        holder[key] = copy.deepcopy(other(value))  # it may be changed next, and drawn again


def _places(told: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a document: what holds it, and under which key or number."""
    keys = list(told) if isinstance(told, dict) else range(min(len(told), 4)) if isinstance(told, list) else []
    for key in keys:
        yield told, key
        yield from _places(told[key])
