"""What delivery may rely on in every timesheet.

Written against the protocol alone (daemon/timesheets/timesheet.py) and run against every service of
tests/support/timesheet_services.py; what truly happened is read past the timesheet, from the service's own store.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from daemon.errors import ConfigError
from daemon.reasons import REASONS
from daemon.timesheets.timesheet import (
    ClockAhead,
    CloseShift,
    Conflict,
    Done,
    DoneChanged,
    EndShift,
    Found,
    KeyRefused,
    LookUp,
    Misconfigured,
    NotSent,
    OpenShift,
    Probe,
    Proven,
    RecordShift,
    RecordShifts,
    Refused,
    ShiftRecord,
    Step,
    Taken,
    Throttled,
    Timesheet,
    TooOld,
    Uncertain,
)
from tests.support.timesheet_services import SERVICES, Mishap, Service

HOUR = 3600
DAY = 24 * HOUR


@pytest.fixture(params=list(SERVICES))
async def service(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Service]:
    async with SERVICES[request.param](tmp_path) as made:
        yield made


@pytest.fixture
def timesheet(service: Service) -> Timesheet:
    return service.timesheet()


def needs_live(timesheet: Timesheet) -> None:
    if not timesheet.capabilities.live:
        pytest.skip("this service has no live shifts")


async def look(timesheet: Timesheet, user_id: str, since: int, until: int) -> list[ShiftRecord]:
    outcome = (await timesheet.carry_out(LookUp((user_id,), since, until))).outcome
    assert isinstance(outcome, Found)
    return sorted(outcome.records, key=lambda record: record.start)


async def opened(timesheet: Timesheet, user_id: str, at: int) -> ShiftRecord:
    outcome = (await timesheet.carry_out(OpenShift(user_id, at))).outcome
    assert isinstance(outcome, Done)
    return outcome.record


# --- what succeeds ------------------------------------------------------------------------------


async def test_a_clock_in_and_its_clock_out_stand_there_at_their_seconds(
    service: Service, timesheet: Timesheet
) -> None:
    """Times are those of the steps, hours back; the id of the opened shift is the one that is closed and stored."""
    needs_live(timesheet)
    user_id, start = service.people()[0], service.now() - 8 * HOUR
    shift = await opened(timesheet, user_id, start)
    assert (shift.user_id, shift.start, shift.end) == (user_id, start, None)
    reply = await timesheet.carry_out(EndShift(user_id, start + HOUR, shift.id))
    assert isinstance(reply.outcome, Done)
    assert reply.outcome.record.id == shift.id
    (stored,) = service.stored(user_id)
    assert (stored.id, stored.start, stored.end) == (shift.id, start, start + HOUR)


async def test_each_step_is_one_request(service: Service, timesheet: Timesheet) -> None:
    """Budgets are counted in requests."""
    user_id, start = service.people()[0], service.now() - 30 * HOUR
    steps: tuple[Step, ...] = (
        RecordShift(user_id, start, start + HOUR, "R1"),
        LookUp((user_id,), start, start),
        Probe(),
    )
    for number, step in enumerate(steps, start=1):
        await timesheet.carry_out(step)
        assert service.arrived() == number


async def test_a_completed_shift_stands_there_with_our_mark(service: Service, timesheet: Timesheet) -> None:
    """Days back, beyond any look-back; the reference is found again in the record that a read shows."""
    user_id, start = service.people()[0], service.now() - 5 * DAY
    reply = await timesheet.carry_out(RecordShift(user_id, start, start + 8 * HOUR, "01JD3Q7M"))
    assert isinstance(reply.outcome, Done)
    (stored,) = service.stored(user_id)
    assert (stored.id, stored.start, stored.end) == (reply.outcome.record.id, start, start + 8 * HOUR)
    (record,) = await look(timesheet, user_id, start, start + 8 * HOUR)
    assert "01JD3Q7M" in (record.note or "")
    assert record.id == stored.id


async def test_the_shifts_of_many_people_are_one_request(service: Service, timesheet: Timesheet) -> None:
    """Taken, no more: each is found by a read, with its own mark. An impossible person does not spoil it for others."""
    people, start = service.people()[:3], service.now() - 5 * DAY
    shifts = [RecordShift(user_id, start, start + HOUR, f"REF{user_id}") for user_id in people]
    together = RecordShifts((*shifts, RecordShift("nobody here", start, start + HOUR, "REF")))
    assert isinstance((await timesheet.carry_out(together)).outcome, Taken)
    assert service.arrived() == 1
    outcome = (await timesheet.carry_out(LookUp(tuple(people), start, start))).outcome
    assert isinstance(outcome, Found)
    assert sorted(record.user_id for record in outcome.records) == sorted(people)
    for record in outcome.records:
        assert (record.start, record.end) == (start, start + HOUR)
        assert f"REF{record.user_id}" in (record.note or "")


@pytest.mark.parametrize("mishap", list(Mishap), ids=lambda mishap: mishap.name)
async def test_many_shifts_with_an_unproven_answer_are_uncertain(service: Service, mishap: Mishap) -> None:
    """Sent once, whatever became of the answer, and never told as not done."""
    timesheet = service.timesheet(timeout_s=0.3 if mishap is Mishap.SILENCE else 5)
    start = service.now() - 5 * DAY
    service.suffer(mishap, processed=True)
    together = RecordShifts(tuple(RecordShift(user_id, start, start + HOUR, "R") for user_id in service.people()))
    assert isinstance((await timesheet.carry_out(together)).outcome, Uncertain)
    assert service.arrived() == 1
    assert all(len(service.stored(user_id)) == 1 for user_id in service.people())


async def test_an_open_shift_of_the_past_gets_its_end(service: Service, timesheet: Timesheet) -> None:
    """Late ends go to the very record; whatever the answer proves, a read shows it."""
    if not timesheet.capabilities.close_late:
        pytest.skip("this service cannot close late")
    user_id, start = service.people()[0], service.now() - 20 * HOUR
    shift_id = service.somebody_adds(user_id, start, None)
    reply = await timesheet.carry_out(CloseShift(user_id, shift_id, start + 8 * HOUR, "01JD3Q7N"))
    assert isinstance(reply.outcome, Done | Uncertain)
    (record,) = await look(timesheet, user_id, start, start)
    assert (record.id, record.start, record.end) == (shift_id, start, start + 8 * HOUR)


async def test_a_look_up_tells_all_that_touches_the_time_asked_for(service: Service, timesheet: Timesheet) -> None:
    """Open, ended, across midnight, typed in, ended by itself: each once, of the people asked for only."""
    anna, bram, chidi = service.people()[:3]
    now = service.now()
    midnight = now - now % DAY - 2 * DAY
    night = service.somebody_adds(anna, midnight - 4 * HOUR, midnight + 4 * HOUR)
    service.somebody_adds(anna, midnight - 20 * HOUR, midnight - 19 * HOUR)
    auto = service.somebody_adds(anna, midnight + 8 * HOUR, None)
    service.ends_by_itself(anna, midnight + 12 * HOUR)
    still = service.somebody_adds(bram, midnight + 5 * HOUR, None)
    service.somebody_adds(chidi, midnight + 5 * HOUR, midnight + 6 * HOUR)
    outcome = (await timesheet.carry_out(LookUp((anna, bram), midnight, midnight + 10 * HOUR))).outcome
    assert isinstance(outcome, Found)
    records = {record.id: record for record in outcome.records}
    assert set(records) == {night, auto, still}
    assert records[auto].auto_ended
    assert not records[night].auto_ended
    assert (records[still].user_id, records[still].end) == (bram, None)
    assert (records[night].start, records[night].end) == (midnight - 4 * HOUR, midnight + 4 * HOUR)


async def test_a_look_up_for_a_crowd_is_one_request(service: Service, timesheet: Timesheet) -> None:
    """One request settles every lane that waits."""
    user_id, start = service.people()[0], service.now() - HOUR
    service.somebody_adds(user_id, start, None)
    crowd = (*(str(number) for number in range(10_000, 10_499)), user_id)
    outcome = (await timesheet.carry_out(LookUp(crowd, start, start))).outcome
    assert isinstance(outcome, Found)
    assert [record.user_id for record in outcome.records] == [user_id]
    assert service.arrived() == 1


async def test_a_probe_proves_the_key_and_brings_the_date(service: Service, timesheet: Timesheet) -> None:
    """What the clock gate needs: the service's own Date, to the second."""
    before = service.now()
    reply = await timesheet.carry_out(Probe())
    assert isinstance(reply.outcome, Proven)
    assert reply.server_date is not None
    assert before <= reply.server_date <= service.now()
    assert reply.status == 200


async def test_rounded_times_are_told_with_how_far_off(service: Service, timesheet: Timesheet) -> None:
    """The service changed our time: recorded, not to be sent again, and not taken for exact."""
    user_id, start = service.people()[0], (service.now() - 30 * HOUR) // 900 * 900 + 60
    service.round_to(900)
    reply = await timesheet.carry_out(RecordShift(user_id, start, start + 8 * HOUR, "R1"))
    assert isinstance(reply.outcome, DoneChanged)
    assert reply.outcome.off_s == -60
    (stored,) = service.stored(user_id)
    assert (reply.outcome.record.start, reply.outcome.record.end) == (stored.start, stored.end)


# --- what is not known ----------------------------------------------------------------------------


@pytest.mark.parametrize("processed", [True, False], ids=["processed", "not processed"])
@pytest.mark.parametrize("mishap", list(Mishap), ids=lambda mishap: mishap.name)
async def test_an_unproven_answer_is_uncertain_and_nothing_is_sent_again(
    service: Service, mishap: Mishap, processed: bool
) -> None:
    """Whether or not the service acted: open, exactly one request, and the look-up afterwards tells the truth."""
    timesheet = service.timesheet(timeout_s=0.3 if mishap is Mishap.SILENCE else 5)
    user_id, start = service.people()[0], service.now() - 30 * HOUR
    service.suffer(mishap, processed=processed)
    reply = await timesheet.carry_out(RecordShift(user_id, start, start + HOUR, "R1"))
    assert isinstance(reply.outcome, Uncertain), reply
    assert service.arrived() == 1
    assert len(service.stored(user_id)) == (1 if processed else 0)
    service.recover()
    records = await look(timesheet, user_id, start, start + HOUR)
    assert [(record.start, record.end) for record in records] == [(start, start + HOUR)] * processed


@pytest.mark.parametrize("mishap", list(Mishap), ids=lambda mishap: mishap.name)
async def test_a_live_punch_with_an_unproven_answer_is_uncertain(service: Service, mishap: Mishap) -> None:
    """The same for clock-in and clock-out."""
    timesheet = service.timesheet(timeout_s=0.3 if mishap is Mishap.SILENCE else 5)
    needs_live(timesheet)
    user_id, start = service.people()[0], service.now() - 2 * HOUR
    service.suffer(mishap, processed=True)
    assert isinstance((await timesheet.carry_out(OpenShift(user_id, start))).outcome, Uncertain)
    (stored,) = service.stored(user_id)
    assert isinstance((await timesheet.carry_out(EndShift(user_id, start + HOUR, stored.id))).outcome, Uncertain)
    assert service.arrived() == 2
    (stored,) = service.stored(user_id)
    assert (stored.start, stored.end) == (start, start + HOUR)


@pytest.mark.parametrize("mishap", list(Mishap), ids=lambda mishap: mishap.name)
async def test_a_look_up_or_probe_that_was_not_answered_found_nothing_out(service: Service, mishap: Mishap) -> None:
    """Never taken for absence, nor for a working key."""
    timesheet = service.timesheet(timeout_s=0.3 if mishap is Mishap.SILENCE else 5)
    user_id, start = service.people()[0], service.now() - HOUR
    service.somebody_adds(user_id, start, None)
    service.suffer(mishap, processed=True)
    for step in (LookUp((user_id,), start, start), Probe()):
        assert isinstance((await timesheet.carry_out(step)).outcome, Uncertain)


async def test_with_the_cable_out_nothing_was_sent(service: Service, timesheet: Timesheet) -> None:
    """Surely not sent; with the cable back everything works, without a restart.

    A connection kept from before may swallow one request: nobody can tell, so that one is uncertain.
    """
    user_id, start = service.people()[0], service.now() - 30 * HOUR
    step = RecordShift(user_id, start, start + HOUR, "R1")
    assert isinstance((await timesheet.carry_out(Probe())).outcome, Proven)  # a connection is kept
    service.unplug()
    assert isinstance((await timesheet.carry_out(step)).outcome, NotSent | Uncertain)
    for other in (step, LookUp((user_id,), start, start), Probe()):
        assert isinstance((await timesheet.carry_out(other)).outcome, NotSent)
    assert service.arrived() == 1
    assert service.stored(user_id) == []
    service.plug_in()
    assert isinstance((await timesheet.carry_out(step)).outcome, Done)


# --- what is not done -----------------------------------------------------------------------------


@pytest.mark.parametrize("quietly", [False, True], ids=["loudly", "quietly"])
async def test_a_spent_budget_is_told_with_its_end(service: Service, timesheet: Timesheet, quietly: bool) -> None:
    """Not done, for every kind of step; when it ends is the service's time."""
    user_id, start = service.people()[0], service.now() - 30 * HOUR
    service.throttle(quietly=quietly)
    for step in (RecordShift(user_id, start, start + HOUR, "R1"), LookUp((user_id,), start, start), Probe()):
        reply = await timesheet.carry_out(step)
        assert isinstance(reply.outcome, Throttled)
        assert reply.outcome.until is not None
        assert service.now() - 1 <= reply.outcome.until <= service.now() + DAY
    assert service.stored(user_id) == []


async def test_every_answer_tells_what_is_left(service: Service, timesheet: Timesheet) -> None:
    """The pacer lives on it."""
    first, second = [(await timesheet.carry_out(Probe())).budget for _ in range(2)]
    assert first is not None
    assert second is not None
    assert first.minute_remaining is not None
    assert second.minute_remaining is not None
    assert first.minute_limit is not None
    assert second.minute_remaining <= first.minute_limit - 1


async def test_a_refused_key_is_told_until_a_new_one_is_read(service: Service, timesheet: Timesheet) -> None:
    """Not done, for every kind of step; a new key file works without a restart; a lost one keeps the old key."""
    user_id, start = service.people()[0], service.now() - 30 * HOUR
    step = RecordShift(user_id, start, start + HOUR, "R1")
    assert isinstance((await timesheet.carry_out(Probe())).outcome, Proven)
    assert await timesheet.reload_key() is False
    service.refuse_key()
    for other in (step, LookUp((user_id,), start, start), Probe()):
        assert isinstance((await timesheet.carry_out(other)).outcome, KeyRefused)
    assert service.stored(user_id) == []
    service.new_key()
    assert await timesheet.reload_key() is True
    assert isinstance((await timesheet.carry_out(step)).outcome, Done)
    service.lose_key_file()
    with pytest.raises(ConfigError):
        await timesheet.reload_key()
    assert isinstance((await timesheet.carry_out(Probe())).outcome, Proven)


async def test_a_missing_key_file_stops_nothing_but_sending(service: Service) -> None:
    """The timesheet can be built without it, says so as a value, and takes the key when it is there."""
    service.lose_key_file()
    timesheet = service.timesheet()
    assert isinstance((await timesheet.carry_out(Probe())).outcome, KeyRefused)
    assert service.arrived() == 0
    service.new_key()
    assert isinstance((await timesheet.carry_out(Probe())).outcome, Proven)


async def test_a_wrong_configuration_is_nobodys_fault(service: Service, timesheet: Timesheet) -> None:
    """What the configuration names is not there: told as such, not as a refusal of one person's punch."""
    user_id, start = service.people()[0], service.now() - 30 * HOUR
    service.move_away()
    for step in (RecordShift(user_id, start, start + HOUR, "R1"), LookUp((user_id,), start, start)):
        assert isinstance((await timesheet.carry_out(step)).outcome, Misconfigured)


async def test_a_refusal_is_recognised_however_it_is_worded(service: Service, timesheet: Timesheet) -> None:
    """A published reason and the service's own words, in every shape its refusals come in; others are not held up."""
    people = service.people()
    for reason, hinder in service.hindrances.items():
        user_id, start = people.pop(), service.now() - 30 * HOUR
        hinder(user_id, start)
        for switch in service.wordings:
            switch()
            outcome = (await timesheet.carry_out(RecordShift(user_id, start, start + HOUR, "R1"))).outcome
            assert isinstance(outcome, Refused)
            assert (outcome.reason, outcome.recognised) == (reason, True)
            assert outcome.reason in REASONS
            assert outcome.detail
        assert service.stored(user_id) == []


async def test_a_refused_live_punch_is_recognised_however_it_is_worded(service: Service) -> None:
    """The same for clock-in."""
    people = service.people()
    timesheet = service.timesheet()
    needs_live(timesheet)
    for reason, hinder in service.live_hindrances.items():
        user_id, at = people.pop(), service.now() - HOUR
        hinder(user_id, at)
        before = service.stored(user_id)
        for switch in service.wordings:
            switch()
            outcome = (await timesheet.carry_out(OpenShift(user_id, at + 60))).outcome
            assert isinstance(outcome, Refused)
            assert (outcome.reason, outcome.recognised) == (reason, True)
        assert service.stored(user_id) == before


@pytest.mark.parametrize("which", ["ahead", "too old", "already open", "none open", "before its clock-in"])
async def test_a_live_punch_the_service_will_not_have_is_told_apart(
    service: Service, timesheet: Timesheet, which: str
) -> None:
    """Each has its own outcome, in every wording, because each is mended differently."""
    needs_live(timesheet)
    look_back = timesheet.capabilities.lookback_s
    assert look_back is not None
    user_id, now = service.people()[0], service.now()
    if which in ("already open", "before its clock-in"):
        service.somebody_adds(user_id, now - HOUR, None)
    steps: dict[str, tuple[Step, Callable[[object], bool]]] = {
        "ahead": (OpenShift(user_id, now + 600), lambda outcome: isinstance(outcome, ClockAhead)),
        "too old": (OpenShift(user_id, now - look_back - 60), lambda outcome: isinstance(outcome, TooOld)),
        "already open": (OpenShift(user_id, now - 60), _is_conflict("already_open")),
        "none open": (EndShift(user_id, now - 60, "s1"), _is_conflict("no_open_shift")),
        "before its clock-in": (EndShift(user_id, now - 2 * HOUR, "s1"), _is_conflict("before_clock_in")),
    }
    step, expected = steps[which]
    before = service.stored(user_id)
    for switch in service.wordings:
        switch()
        outcome = (await timesheet.carry_out(step)).outcome
        assert expected(outcome), outcome
    assert service.stored(user_id) == before


def _is_conflict(reason: str) -> Callable[[object], bool]:
    return lambda outcome: isinstance(outcome, Conflict) and outcome.reason == reason


async def test_closing_a_shift_that_is_gone_is_told(service: Service, timesheet: Timesheet) -> None:
    """Somebody deleted it meanwhile."""
    if not timesheet.capabilities.close_late:
        pytest.skip("this service cannot close late")
    user_id, start = service.people()[0], service.now() - 20 * HOUR
    shift_id = service.somebody_adds(user_id, start, None)
    service.somebody_deletes(shift_id)
    for switch in service.wordings:
        switch()
        outcome = (await timesheet.carry_out(CloseShift(user_id, shift_id, start + HOUR, "R1"))).outcome
        assert _is_conflict("shift_gone")(outcome), outcome


async def test_a_person_the_service_cannot_know_is_refused(service: Service, timesheet: Timesheet) -> None:
    """An impossible id is refused with a reason; nothing is raised."""
    for user_id in ("", "nobody here", "ann\ud800a", "0"):
        outcome = (await timesheet.carry_out(RecordShift(user_id, 1795000000, 1795003600, "R1"))).outcome
        assert isinstance(outcome, Refused)
        assert outcome.reason == "invalid_request"


# --- secrets --------------------------------------------------------------------------------------


async def test_no_reply_and_no_log_shows_the_key(
    service: Service, timesheet: Timesheet, caplog: pytest.LogCaptureFixture
) -> None:
    """Under every mishap and refusal, at the lowest log level."""
    caplog.set_level(logging.DEBUG)
    user_id, start = service.people()[0], service.now() - 30 * HOUR
    step = RecordShift(user_id, start, start + HOUR, "R1")
    shown = [repr(timesheet), repr(vars(timesheet)), repr(await timesheet.carry_out(step))]
    for mishap in Mishap:
        if mishap is Mishap.SILENCE:
            continue  # shown by its own test; here it would only take time
        service.suffer(mishap, processed=False)
        shown.append(repr(await timesheet.carry_out(step)))
        service.recover()
    service.refuse_key()
    shown.append(repr(await timesheet.carry_out(step)))
    service.unplug()
    shown.append(repr(await timesheet.carry_out(step)))
    assert service.secret not in "".join(shown) + caplog.text
