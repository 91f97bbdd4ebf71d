"""What the bytes of an answer prove, read a second time and by other means than the product's."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from daemon.timesheets.connecteam import answers
from daemon.timesheets.connecteam.oauth import SCOPES
from daemon.timesheets.timesheet import (
    CheckAssigned,
    CheckLocks,
    CloseShift,
    Done,
    DoneChanged,
    EndShift,
    Found,
    LookUp,
    OpenShift,
    Outcome,
    People,
    Probe,
    Proven,
    ReadPeople,
    RecordShift,
    RecordShifts,
    Standings,
    Step,
    Taken,
)
from tests.fuzz.documents import AT, SETTINGS

#: Which success each step may have.
_SUCCESSES: dict[type[Step], tuple[type[Outcome], ...]] = {
    OpenShift: (Done, DoneChanged), EndShift: (Done, DoneChanged), RecordShift: (Done, DoneChanged),
    CloseShift: (Done, DoneChanged), RecordShifts: (Taken,), LookUp: (Found,), Probe: (Proven,),
    ReadPeople: (People,), CheckAssigned: (Standings,), CheckLocks: (Standings,),
}  # fmt: skip
SUCCESSES = tuple({kind for kinds in _SUCCESSES.values() for kind in kinds})
#: The service's own words in an outcome, and what we say beside them.
WORDS_MAX = 700


def is_proved(step: Step, outcome: Outcome, status: int | None, body: bytes, headers: Mapping[str, str]) -> None:
    """A success is one of this step's, of a 2xx, and each thing it says stands in the body; the rest is bounded."""
    for words in ("why", "detail"):
        assert len(getattr(outcome, words, "")) <= WORDS_MAX
    until, date = getattr(outcome, "until", None), answers.date(headers)
    if until is not None and date is not None:
        assert until <= date + answers.WAIT_MAX_S
    if not isinstance(outcome, SUCCESSES):
        return
    assert isinstance(outcome, _SUCCESSES[type(step)])
    assert status is not None
    assert 200 <= status < 300
    told = json.loads(body)
    match outcome:
        case Done() | DoneChanged():
            assert b"101" in body
            assert isinstance(outcome, DoneChanged) or str(AT).encode() in body
        case Found(records, unreadable):
            # a list is what says that there is no other
            assert isinstance(told["data"]["timeActivitiesByUsers"], list)
            assert {record.user_id for record in records} | set(unreadable) <= {"101"}
        case Taken():
            assert "data" in told
        case Proven():
            assert isinstance(told["data"], dict)
            assert told["data"].get("companyName") is not None or told["data"].get("companyId") is not None
        case People():
            assert isinstance(step, ReadPeople)
            are_people(step, outcome, told)
        case Standings():
            stand_so(step, outcome, told)


def are_people(step: ReadPeople, outcome: People, told: Any) -> None:
    """One for each row, in the row's words; there is a next page only behind a whole one."""
    rows = told["data"]["users"]
    assert [person.user_id for person in outcome.people] == [str(row["userId"]) for row in rows]
    for person, row in zip(outcome.people, rows, strict=True):
        assert person.archived == (row.get("isArchived") is True)
        assert person.name.isprintable()
        text = json.dumps(row, ensure_ascii=False)
        assert all(word in text for word in (person.badge or "").split())  # what cannot be shown is a space
        assert person.assigned is None
    assert outcome.next_offset == (step.offset + len(rows) if len(rows) >= 500 else None)


def stand_so(step: Step, outcome: Standings, told: Any) -> None:
    """Nobody who was not asked about, nobody twice; assigned only where this time clock's number stands, not assigned
    only where a whole list lacks it; locked are the days that a row of the person says are."""
    asked = (step.user_id,) if isinstance(step, CheckAssigned) else getattr(step, "user_ids", ())
    people = [standing.user_id for standing in outcome.standings]
    assert len(set(people)) == len(people)
    assert set(people) <= set(asked)
    for standing in outcome.standings:
        if isinstance(step, CheckAssigned):
            assets = told["data"]["assets"]
            ours = [row for row in assets if str(row["id"]).strip() == str(SETTINGS.time_clock_id)]
            assert standing.assigned == any(row.get("type") in (None, "timeClock") for row in ours)
            assert standing.locked_days is None
            continue
        assert standing.assigned is None
        rows = [row for row in _rows(told["data"]) if str(row.get("userId")) == standing.user_id]
        assert rows, "a person whom the answer does not show"
        said = [{day["date"][:10] for day in row["dailyRecords"] if _locked(day)} for row in rows]
        assert standing.locked_days is not None
        assert {day.isoformat() for day in standing.locked_days} in said


def may_use(status: int, body: bytes) -> str | None:
    """The access token that this answer proves; None where it proves none."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return None
    token = told.get("access_token") if status == 200 and isinstance(told, dict) else None
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token or " " in token:
        return None
    scope = told.get("scope")
    enough = not isinstance(scope, str) or set(SCOPES) <= set(scope.replace(",", " ").split())
    return token if enough else None


def _rows(data: Any) -> Iterator[dict[str, Any]]:
    for value in data.values():
        if isinstance(value, list):
            yield from (row for row in value if isinstance(row, dict) and "dailyRecords" in row)


def _locked(day: dict[str, Any]) -> bool:
    return day.get("isLocked") is True or day.get("isApproved") is True
