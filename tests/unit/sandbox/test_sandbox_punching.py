"""Clock-in, clock-out and breaks of the model, asked directly."""

from __future__ import annotations

import pytest

from sandbox.connecteam.behaviour import SecondClockIn
from sandbox.connecteam.model import Geofence
from tests.unit.sandbox.kit import ANNA, BASE, BRAM, HOUR, NOON, Kit, refused, shift_of


@pytest.fixture
def kit() -> Kit:
    return Kit()


def test_clock_in_answers_with_the_shift_and_our_time(kit: Kit) -> None:
    """S3: the returned `data.shift.start.timestamp` is the one given, the source is the API (facts 1.4)."""
    told = shift_of(kit.clock_in(NOON - 60))
    assert told["start"] == {"timestamp": NOON - 60, "timezone": "Europe/Amsterdam", "source": {"type": "api"}}
    assert told["userId"] == ANNA
    assert told["createdAt"] == NOON
    assert "end" not in told
    assert len(told["id"]) == 24
    assert int(told["id"], 16) >= 0


def test_without_a_timestamp_the_servers_time_counts(kit: Kit) -> None:
    """Facts 1.4: an omitted timestamp is server-now."""
    assert shift_of(kit.clock_in())["start"]["timestamp"] == NOON
    kit.sandbox.clock.move(61)
    assert shift_of(kit.clock_out())["end"]["timestamp"] == NOON + 61


def test_clock_out_ends_the_very_shift_the_clock_in_opened(kit: Kit) -> None:
    """Facts 1.4: the answer of a clock-out carries the same shift id, with its end."""
    opened = shift_of(kit.clock_in(NOON - HOUR))
    closed = shift_of(kit.clock_out(NOON - 60))
    assert (closed["id"], closed["end"]["timestamp"]) == (opened["id"], NOON - 60)
    refused(kit.clock_out(NOON), 400, "NO_OPEN_SHIFT")


@pytest.mark.parametrize("call", ["clock_in", "clock_out"])
def test_the_future_is_refused_and_now_is_not(kit: Kit, call: str) -> None:
    """S3: not in the future; the present second is."""
    if call == "clock_out":
        kit.clock_in(NOON - HOUR)
    refused(getattr(kit, call)(NOON + 1), 400, "INVALID_TIMESTAMP_FUTURE")
    assert getattr(kit, call)(NOON).status == 200


def test_the_future_may_have_a_leeway(kit: Kit) -> None:
    """U6: a switch."""
    kit.behaviour.future_leeway_s = 5
    refused(kit.clock_in(NOON + 6), 400, "INVALID_TIMESTAMP_FUTURE")
    assert kit.clock_in(NOON + 5).status == 200


@pytest.mark.parametrize("call", ["clock_in", "clock_out"])
def test_twelve_hours_back_and_no_further(kit: Kit, call: str) -> None:
    """S3: no more than 12 hours in the past."""
    if call == "clock_out":
        kit.manager.add_shift(ANNA, NOON - 20 * HOUR)
    refused(getattr(kit, call)(NOON - 12 * HOUR - 1), 400, "INVALID_TIMESTAMP_TOO_OLD")
    assert getattr(kit, call)(NOON - 12 * HOUR).status == 200


@pytest.mark.parametrize(("offset", "status"), [(-1, 400), (0, 400), (1, 200)])
def test_clock_out_lies_strictly_after_the_clock_in(kit: Kit, offset: int, status: int) -> None:
    """S3: at or before the open shift's clock-in is refused; the same second is too (facts 1.4)."""
    kit.clock_in(NOON - HOUR)
    answer = kit.clock_out(NOON - HOUR + offset)
    assert answer.status == status
    if status == 400:
        refused(answer, 400, "INVALID_TIMESTAMP_BEFORE_CLOCK_IN")


def test_a_second_clock_in_is_refused_without_a_code(kit: Kit) -> None:
    """S3: the row "User already has an open shift" has no code, and nothing is written."""
    kit.clock_in(NOON - HOUR)
    answer = kit.clock_in(NOON)
    refused(answer, 400, "already has an open shift")
    assert "_" not in answer.document()["detail"]
    assert len(kit.sandbox.timesheet()) == 1


def test_a_second_clock_in_may_make_a_duplicate(kit: Kit) -> None:
    """U9, switched: a duplicate, and the clock-out ends the most recently begun (facts 1.4)."""
    kit.behaviour.second_clock_in = SecondClockIn.SECOND_SHIFT
    kit.clock_in(NOON - HOUR)
    later = shift_of(kit.clock_in(NOON - 60))
    assert shift_of(kit.clock_out(NOON))["id"] == later["id"]


def test_open_shifts_are_per_time_clock(kit: Kit) -> None:
    """Facts 1.4: a person can be open in another time clock."""
    kit.company.add_clock(777)
    kit.company.users[ANNA].clocks.add(777)
    kit.clock_in(NOON)
    other = "/time-clock/v1/time-clocks/777"
    refused(kit.ask("POST", f"{other}/clock-out", {"userId": ANNA}), 400, "NO_OPEN_SHIFT")
    assert kit.ask("POST", f"{other}/clock-in", {"userId": ANNA}).status == 200


@pytest.mark.parametrize("how", ["unassigned", "archived", "unknown"])
def test_a_person_not_assigned_is_refused_without_a_code(kit: Kit, how: str) -> None:
    """S3: the user must be assigned to the time clock; this row has no code."""
    user = 999 if how == "unknown" else BRAM
    if how == "unassigned":
        kit.manager.unassign(BRAM)
    if how == "archived":
        kit.manager.archive(BRAM)
    answer = kit.clock_in(NOON, user=user)
    refused(answer, 400, "not assigned")
    assert answer.document() == {"detail": "User is not assigned to the time clock"}


@pytest.mark.parametrize("call", ["clock_in", "clock_out"])
def test_a_locked_day_is_a_conflict(kit: Kit, call: str) -> None:
    """S3: 409 HAS_LOCKED_DAYS, judged by the punch's day in the time clock's zone."""
    if call == "clock_out":
        kit.manager.add_shift(ANNA, NOON - HOUR)
    kit.manager.lock_day(ANNA, NOON)
    refused(getattr(kit, call)(NOON), 409, "HAS_LOCKED_DAYS")
    kit.manager.unlock_day(ANNA, NOON)
    assert getattr(kit, call)(NOON).status == 200


def test_the_day_of_a_lock_is_the_time_clocks_own(kit: Kit) -> None:
    """23:30 UTC is the next day in Amsterdam: locking that next day stops it, locking the UTC day does not."""
    night = NOON + 11 * HOUR + 1800
    kit.sandbox.clock.set(night)
    kit.manager.lock_day(ANNA, "2026-11-24")
    assert kit.clock_in(night).status == 200
    kit.manager.lock_day(BRAM, "2026-11-25")
    refused(kit.clock_in(night, user=BRAM), 409, "HAS_LOCKED_DAYS")


def test_locks_may_spare_clock_ins(kit: Kit) -> None:
    """U7, switched."""
    kit.behaviour.locks_stop_clock_in = False
    kit.manager.lock_day(ANNA, NOON)
    assert kit.clock_in(NOON).status == 200
    refused(kit.clock_out(NOON), 400, "BEFORE_CLOCK_IN")


def test_an_enforced_job_is_required(kit: Kit) -> None:
    """S3: JOB_REQUIRED; a job of another time clock or none at all is no job."""
    kit.clock.job_required = True
    job = kit.company.add_job("Counter")
    elsewhere = kit.company.add_job("Elsewhere", clocks={777})
    refused(kit.clock_in(NOON), 400, "JOB_REQUIRED")
    refused(kit.clock_in(NOON, jobId="nothing"), 400, "Job not found")
    refused(kit.clock_in(NOON, jobId=elsewhere.id), 400, "Job not found")
    assert shift_of(kit.clock_in(NOON, jobId=job.id))["jobId"] == job.id


def test_clock_in_takes_a_sub_job_in_job_id(kit: Kit) -> None:
    """Facts 1.5, "Job id trap": given as `jobId`, listed as parent and child."""
    parent = kit.company.add_job("Bakery")
    child = kit.company.add_job("Ovens", parent=parent)
    assert shift_of(kit.clock_in(NOON, jobId=child.id))["jobId"] == child.id
    listed = kit.only_listed_shift()
    assert (listed["jobId"], listed["subJobId"]) == (parent.id, child.id)


def test_an_open_break_refuses_a_clock_in(kit: Kit) -> None:
    """S3 and facts 1.6: a break by phone closes the kiosk's shift, so clock-in and clock-out are both refused."""
    kit.clock_in(NOON - HOUR)
    kit.manager.phone_break_start(ANNA, NOON - 1800)
    refused(kit.clock_in(NOON), 400, "OPEN_BREAK")
    refused(kit.clock_out(NOON), 400, "NO_OPEN_SHIFT")
    [row] = kit.sandbox.timesheet()
    assert (row.end, row.end_source) == (NOON - 1800, "mobile")


def test_ending_a_break_resumes_a_shift_under_a_new_id(kit: Kit) -> None:
    """Facts 1.6: the shift is re-opened, with a new id."""
    first = shift_of(kit.clock_in(NOON - HOUR))
    kit.manager.phone_break_start(ANNA, NOON - 1800)
    resumed = kit.manager.phone_break_end(ANNA, NOON - 900)
    assert resumed is not None
    assert resumed.id != first["id"]
    assert shift_of(kit.clock_out(NOON))["id"] == resumed.id


def test_breaks_through_the_api(kit: Kit) -> None:
    """Facts 1.6: start closes the shift, a second start is ALREADY_ON_BREAK, the end resumes a shift."""
    kind = kit.company.add_break_kind("Lunch")
    kit.clock_in(NOON - HOUR)
    start, end = f"{BASE}/manual-breaks/{kind.id}/clock-in", f"{BASE}/manual-breaks/clock-out"
    told = kit.ask("POST", start, {"userId": ANNA, "timestamp": NOON - 1800}).document()["data"]
    assert told["isSwitchFromShift"] is True
    assert told["closedShift"]["end"]["timestamp"] == NOON - 1800
    refused(kit.ask("POST", start, {"userId": ANNA}), 400, "ALREADY_ON_BREAK")
    resumed = kit.ask("POST", end, {"userId": ANNA, "timestamp": NOON - 900}).document()["data"]["resumedShift"]
    assert resumed["start"]["timestamp"] == NOON - 900
    kinds = kit.ask("GET", f"{BASE}/manual-breaks").document()["data"]
    assert kinds["manualBreaks"] == [{"id": kind.id, "name": "Lunch", "isPaid": False, "duration": 30}]
    kit.clock.breaks = False
    refused(kit.ask("POST", start, {"userId": ANNA}), 400, "manual breaks are disabled")


@pytest.mark.parametrize(
    ("place", "status"),
    [(None, 400), ({"latitude": 52.3702, "longitude": 4.8952}, 200), ({"latitude": 52.38, "longitude": 4.8952}, 400)],
)
def test_a_geofence_refuses_what_lies_outside(kit: Kit, place: dict[str, float] | None, status: int) -> None:
    """S3: OUTSIDE_GEOFENCE, here 150 m around a point; no place at all is outside."""
    kit.clock.geofence = Geofence(52.3702, 4.8952, 150)
    answer = kit.clock_in(NOON, locationData=place)
    assert answer.status == status
    if status == 400:
        refused(answer, 400, "OUTSIDE_GEOFENCE")


def test_recorded_times_may_be_rounded(kit: Kit) -> None:
    """U12, switched: the answer and the list show another time than ours."""
    kit.behaviour.round_to_s = 900
    assert shift_of(kit.clock_in(NOON - HOUR + 449))["start"]["timestamp"] == NOON - HOUR
    assert shift_of(kit.clock_out(NOON - 450))["end"]["timestamp"] == NOON
    assert kit.only_listed_shift()["end"]["timestamp"] == NOON


def test_the_service_ends_long_shifts_by_itself(kit: Kit) -> None:
    """Facts 1.8: auto clock-out marks the shift and has a source of its own; a later clock-out finds nothing open."""
    kit.clock.auto_clock_out_after_s = 8 * HOUR
    kit.clock_in(NOON)
    kit.sandbox.clock.move(8 * HOUR - 1)
    assert "end" not in kit.only_listed_shift()
    kit.sandbox.clock.move(HOUR)
    listed = kit.only_listed_shift()
    assert listed["isAutoClockOut"] is True
    assert listed["end"]["timestamp"] == NOON + 8 * HOUR
    assert listed["end"]["source"] == {"type": "autoClockOut", "mode": "hourLimit"}
    refused(kit.clock_out(), 400, "NO_OPEN_SHIFT")


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({}, "userId"),
        ({"userId": "9170357"}, "userId"),
        ({"userId": ANNA, "timestamp": 1.5}, "timestamp"),
        ({"userId": ANNA, "timestamp": 0}, "timestamp"),
        ({"userId": ANNA, "timezone": "Middle/Earth"}, "timezone"),
        ({"userId": ANNA, "jobId": 5}, "jobId"),
        ({"userId": ANNA, "locationData": "here"}, "locationData"),
    ],
)
def test_a_malformed_punch_is_a_422_that_says_where(kit: Kit, body: dict[str, object], where: str) -> None:
    """Facts 1.9: `detail` is a list of `{loc, msg, type}`; nothing is written."""
    answer = kit.ask("POST", f"{BASE}/clock-in", body)
    assert answer.status == 422
    [fault] = answer.document()["detail"]
    assert fault["loc"] == ["body", where]
    assert set(fault) == {"loc", "msg", "type"}
    assert kit.sandbox.timesheet() == []


def test_equal_seeds_give_equal_ids() -> None:
    """Ids depend on the seed and on what was asked, on nothing else."""

    def ids(seed: int) -> list[str]:
        from sandbox.handle import Sandbox

        kit = Kit(Sandbox(now=lambda: float(NOON), seed=seed))
        return [shift_of(kit.clock_in(NOON, user=user))["id"] for user in (ANNA, BRAM)]

    assert ids(5) == ids(5) != ids(6)
