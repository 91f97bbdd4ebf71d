"""What the directory's sync and the reviews may rely on in every timesheet: who there is, and who may punch.

As tests/contract/test_timesheets.py: against the protocol alone, over every service.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from daemon.timesheets.timesheet import (
    LOCKS_SPAN_MAX_S,
    CheckAssigned,
    CheckLocks,
    KeyRefused,
    NotSent,
    People,
    PersonRecord,
    Query,
    ReadPeople,
    Standing,
    Standings,
    Throttled,
    Timesheet,
    Uncertain,
)
from tests.support.timesheet_services import SERVICES, ZONE, Mishap, Service

DAY = 86400
NOBODY = "99999999"


@pytest.fixture(params=list(SERVICES))
async def service(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Service]:
    async with SERVICES[request.param](tmp_path) as made:
        yield made


@pytest.fixture
def timesheet(service: Service) -> Timesheet:
    return service.timesheet()


def queries(service: Service) -> tuple[Query, ...]:
    now, anna = service.now(), service.people()[0]
    return ReadPeople(), CheckAssigned(anna), CheckLocks((anna,), now - 3 * DAY, now)


async def read_all(timesheet: Timesheet) -> list[PersonRecord]:
    found: list[PersonRecord] = []
    offset: int | None = 0
    while offset is not None:
        outcome = (await timesheet.carry_out(ReadPeople(offset))).outcome
        assert isinstance(outcome, People), outcome
        found += outcome.people
        offset = outcome.next_offset
    return found


async def standing(timesheet: Timesheet, step: Query) -> dict[str, Standing]:
    outcome = (await timesheet.carry_out(step)).outcome
    assert isinstance(outcome, Standings), outcome
    return {one.user_id: one for one in outcome.standings}


async def test_everybody_is_read_with_name_and_badge_and_whether_they_left(
    service: Service, timesheet: Timesheet
) -> None:
    """Archived people too, and the badge as it was typed; one request while they fit on a page."""
    anna, bram, chidi = service.people()[:3]
    service.badge(anna, "04:a1:b2:c3")
    service.archive(bram)
    people = {person.user_id: person for person in await read_all(timesheet)}
    assert service.arrived() == 1
    assert set(people) == set(service.people())
    assert all(person.name for person in people.values())
    assert (people[anna].badge, people[chidi].badge) == ("04:a1:b2:c3", None)
    assert [user_id for user_id, person in people.items() if person.archived] == [bram]


@pytest.mark.parametrize("more", [494, 495, 496, 1200])
async def test_each_page_is_one_request_and_none_is_left_out(service: Service, timesheet: Timesheet, more: int) -> None:
    """Also where the last page is full to the brim."""
    service.hire(more)
    people = await read_all(timesheet)
    assert sorted(person.user_id for person in people) == sorted(service.people())
    assert service.arrived() <= len(service.people()) // 100 + 1


async def test_who_may_punch_is_told_person_by_person(service: Service, timesheet: Timesheet) -> None:
    """True, and False once somebody took them off the time clock; each is one request."""
    anna, bram = service.people()[:2]
    service.hindrances["not_assigned"](bram, service.now())
    assert (await standing(timesheet, CheckAssigned(anna)))[anna].assigned is True
    assert (await standing(timesheet, CheckAssigned(bram)))[bram].assigned is False
    assert service.arrived() == 2


async def test_locked_days_are_told_by_their_local_dates(service: Service, timesheet: Timesheet) -> None:
    """Of those people and days alone; a day that is not locked is not named; one request for all."""
    anna, bram, chidi = service.people()[:3]
    now = service.now()
    for user_id, at in ((anna, now - 2 * DAY), (anna, now - 9 * DAY), (chidi, now - 2 * DAY)):
        service.hindrances["locked_days"](user_id, at)
    told = await standing(timesheet, CheckLocks((anna, bram), now - 5 * DAY, now))
    day = datetime.fromtimestamp(now - 2 * DAY, ZONE).date()
    assert set(told) == {anna, bram}
    assert (told[anna].locked_days, told[bram].locked_days) == ({day}, frozenset())
    assert day - timedelta(days=1) not in (told[anna].locked_days or ())
    assert service.arrived() == 1


async def test_the_widest_check_of_locked_days_is_taken(service: Service, timesheet: Timesheet) -> None:
    """LOCKS_SPAN_MAX_S is within what the service allows, its first and last day included."""
    anna, now = service.people()[0], service.now()
    for at in (now, now - LOCKS_SPAN_MAX_S):
        service.hindrances["locked_days"](anna, at)
    told = await standing(timesheet, CheckLocks((anna,), now - LOCKS_SPAN_MAX_S, now))
    assert len(told[anna].locked_days or ()) == 2


async def test_whom_the_service_does_not_show_nothing_is_said_about(service: Service, timesheet: Timesheet) -> None:
    """Not known is not unlocked: they are left out."""
    anna, now = service.people()[0], service.now()
    told = await standing(timesheet, CheckLocks((anna, NOBODY, "nobody here"), now - DAY, now))
    assert set(told) == {anna}


@pytest.mark.parametrize("mishap", list(Mishap), ids=lambda mishap: mishap.name)
async def test_what_was_not_answered_says_nothing_of_anybody(service: Service, mishap: Mishap) -> None:
    """Never an empty company, never an assignment, never an unlocked day."""
    timesheet = service.timesheet(timeout_s=0.3 if mishap is Mishap.SILENCE else 5)
    service.suffer(mishap, processed=True)
    for step in queries(service):
        assert isinstance((await timesheet.carry_out(step)).outcome, Uncertain), step


@pytest.mark.parametrize("quietly", [False, True], ids=["loudly", "quietly"])
async def test_a_spent_budget_and_a_refused_key_are_told(service: Service, timesheet: Timesheet, quietly: bool) -> None:
    """As for every other step, also the throttle that comes with status 200; and with no cable nothing was sent."""
    service.throttle(quietly=quietly)
    for step in queries(service):
        assert isinstance((await timesheet.carry_out(step)).outcome, Throttled), step
    service.recover()
    service.refuse_key()
    for step in queries(service):
        assert isinstance((await timesheet.carry_out(step)).outcome, KeyRefused), step
    service.unplug()
    await timesheet.carry_out(ReadPeople())  # a kept connection may swallow this one
    for step in queries(service):
        assert isinstance((await timesheet.carry_out(step)).outcome, NotSent), step
