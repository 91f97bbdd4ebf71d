"""Time activities of the model: list, create, update, delete, and the timesheet's days."""

from __future__ import annotations

import pytest

from sandbox.connecteam.behaviour import LateClose, StartOnly
from sandbox.http import Response
from tests.unit.sandbox.kit import ANNA, BASE, BRAM, HOUR, NOON, Kit, person, point, refused, shift, shift_of

#: Midnight of 2026-11-24 in Amsterdam.
MIDNIGHT = NOON - 13 * HOUR
#: And of the days on which Amsterdam's clocks were changed that year.
OCTOBER, MARCH = 1792879200, 1774738800


@pytest.fixture
def kit() -> Kit:
    return Kit()


def made_id(answer: Response) -> str:
    assert answer.status == 200, answer.body
    return str(answer.document()["data"]["timeActivitiesByUsers"][0]["shifts"][0]["id"])


# --- list


def test_the_list_shows_a_punched_shift_under_its_id(kit: Kit) -> None:
    """Facts 1.5: the id of the clock-in's answer is the id of the list; an open shift has no end."""
    opened = shift_of(kit.clock_in(NOON - HOUR))
    listed = kit.only_listed_shift()
    assert listed["id"] == opened["id"]
    assert "end" not in listed
    assert listed["isAutoClockOut"] is False
    kit.behaviour.open_end_as_null = True
    assert kit.only_listed_shift()["end"] is None


def test_user_ids_are_given_by_repeating_the_key(kit: Kit) -> None:
    """Facts 1.1: comma-joined values match nothing, silently."""
    kit.clock_in(NOON)
    kit.clock_in(NOON, user=BRAM)
    days = "startDate=2026-11-24&endDate=2026-11-24"
    assert [row["userId"] for row in kit.listed(f"{days}&userIds={ANNA}&userIds={BRAM}")] == [ANNA, BRAM]
    assert [row["userId"] for row in kit.listed(f"{days}&userIds={BRAM}")] == [BRAM]
    assert kit.listed(f"{days}&userIds={ANNA},{BRAM}") == []


def test_people_no_longer_assigned_cannot_be_found_through_user_ids(kit: Kit) -> None:
    """Facts 1.5, "Filter trap": without the filter they still show."""
    kit.clock_in(NOON)
    kit.manager.unassign(ANNA)
    days = "startDate=2026-11-24&endDate=2026-11-24"
    assert kit.listed(f"{days}&userIds={ANNA}") == []
    assert [row["userId"] for row in kit.listed(days)] == [ANNA]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("startDate=2026-08-24&endDate=2026-11-24", 200),
        ("startDate=2026-08-23&endDate=2026-11-24", 400),
        ("startDate=2026-11-25&endDate=2026-11-24", 400),
        ("startDate=2026-11-24", 422),
        ("startDate=24.11.2026&endDate=2026-11-24", 422),
        ("startDate=20261124&endDate=2026-11-24", 422),
    ],
)
def test_the_range_is_days_and_at_most_92_of_them(kit: Kit, query: str, status: int) -> None:
    """Facts 1.5: `YYYY-MM-DD`, both required, 92 days."""
    assert kit.ask("GET", f"{BASE}/time-activities?{query}").status == status


@pytest.mark.parametrize(
    ("start", "first", "last", "shown"),
    [
        (MIDNIGHT, "2026-11-24", "2026-11-24", True),  # the day's first second
        (MIDNIGHT - 1, "2026-11-24", "2026-11-24", False),
        (MIDNIGHT + 24 * HOUR - 1, "2026-11-24", "2026-11-24", True),
        (MIDNIGHT + 24 * HOUR, "2026-11-24", "2026-11-24", False),
        (OCTOBER + 25 * HOUR - 1, "2026-10-25", "2026-10-25", True),  # a day of 25 hours
        (OCTOBER + 25 * HOUR, "2026-10-25", "2026-10-25", False),
        (MARCH + 23 * HOUR - 1, "2026-03-29", "2026-03-29", True),  # and one of 23
        (MARCH + 23 * HOUR, "2026-03-29", "2026-03-29", False),
        (MIDNIGHT, "9999-12-31", "9999-12-31", False),  # no day comes after it
    ],
)
@pytest.mark.parametrize("by_touch", [False, True])
def test_days_begin_and_end_at_the_time_clocks_midnight(
    kit: Kit, start: int, first: str, last: str, *, shown: bool, by_touch: bool
) -> None:
    """To the second, also on the days when clocks are changed."""
    kit.behaviour.list_by_touch = by_touch
    kit.manager.add_shift(ANNA, start, start)
    assert bool(kit.listed(f"startDate={first}&endDate={last}")) is shown


def test_an_open_shift_touches_every_day_until_now(kit: Kit) -> None:
    """It is shown by touch, under today as well; by its start it is not."""
    kit.manager.add_shift(ANNA, MIDNIGHT - 2 * HOUR, None)
    today = "startDate=2026-11-24&endDate=2026-11-24"
    assert kit.listed(today) == []
    kit.behaviour.list_by_touch = True
    assert kit.listed(today) != []
    assert kit.listed("startDate=2026-11-25&endDate=2026-11-25") == []


def test_a_shift_shows_under_its_start_day_in_the_time_clocks_zone(kit: Kit) -> None:
    """U4: by default the local start day; as switches the UTC day, and every day it touches."""
    kit.manager.add_shift(ANNA, MIDNIGHT - HOUR, MIDNIGHT + 1800)

    def shows(day: str) -> bool:
        return bool(kit.listed(f"startDate={day}&endDate={day}"))

    assert (shows("2026-11-23"), shows("2026-11-24")) == (True, False)
    kit.behaviour.list_by_touch = True
    assert (shows("2026-11-23"), shows("2026-11-24")) == (True, True)
    kit.behaviour.list_in_utc = True
    assert (shows("2026-11-23"), shows("2026-11-24")) == (True, False)
    kit.behaviour.list_by_touch = False
    kit.manager.add_shift(BRAM, MIDNIGHT + 60, MIDNIGHT + HOUR)
    assert [row["userId"] for row in kit.listed("startDate=2026-11-23&endDate=2026-11-23")] == [ANNA, BRAM]


def test_a_write_may_show_only_later(kit: Kit) -> None:
    """U10, switched: first nothing, then the shift without its end, then all of it."""
    kit.behaviour.visible_after_s = 10
    kit.clock_in(NOON - HOUR)
    assert kit.listed() == []
    kit.sandbox.clock.move(10)
    kit.clock_out(NOON)
    assert "end" not in kit.only_listed_shift()
    kit.sandbox.clock.move(10)
    assert kit.only_listed_shift()["end"]["timestamp"] == NOON


def test_activity_types_and_jobs_filter(kit: Kit) -> None:
    """Facts 1.5: `activityTypes` and `jobIds`; breaks stand in `manualBreaks`."""
    job = kit.company.add_job("Counter")
    kit.clock_in(NOON - HOUR, jobId=job.id)
    kit.manager.phone_break_start(ANNA, NOON - 60)
    days = "startDate=2026-11-24&endDate=2026-11-24"
    [row] = kit.listed(days)
    assert (len(row["shifts"]), len(row["manualBreaks"])) == (1, 1)
    [row] = kit.listed(f"{days}&activityTypes=shift")
    assert (len(row["shifts"]), len(row["manualBreaks"])) == (1, 0)
    [row] = kit.listed(f"{days}&activityTypes=shift&jobIds={job.id}")
    assert len(row["shifts"]) == 1
    assert kit.listed(f"{days}&activityTypes=shift&jobIds=other") == []


# --- create


def test_create_writes_a_completed_shift_with_its_note(kit: Kit) -> None:
    """Facts 1.5: completed, however old, note included; a later clock-out finds no open shift (S3)."""
    made = made_id(kit.create(NOON - 60 * HOUR, NOON - 52 * HOUR, managerNote="late, ref 7M"))
    listed = kit.only_listed_shift()
    assert (listed["id"], listed["managerNote"]) == (made, "late, ref 7M")
    assert listed["end"]["timestamp"] == NOON - 52 * HOUR
    refused(kit.clock_out(NOON), 400, "NO_OPEN_SHIFT")


def test_create_is_not_idempotent(kit: Kit) -> None:
    """Facts 1.5: each call makes new records."""
    assert made_id(kit.create(NOON - HOUR, NOON)) != made_id(kit.create(NOON - HOUR, NOON))
    assert len(kit.sandbox.timesheet()) == 2


@pytest.mark.parametrize("inside", ["timezone", "timestamp"])
@pytest.mark.parametrize("edge", ["start", "end"])
def test_zone_and_timestamp_are_required_inside_time_points(kit: Kit, edge: str, inside: str) -> None:
    """Facts 1.5: `timezone` required inside it."""
    bad = shift(NOON - HOUR, NOON)
    del bad[edge][inside]
    answer = kit.batch("POST", [person(ANNA, bad)])
    assert answer.status == 422
    assert answer.document()["detail"][0]["loc"] == ["body", "timeActivities", 0, "shifts", 0, edge, inside]


def test_breaks_are_written_in_lower_case_and_answered_in_camel_case(kit: Kit) -> None:
    """Facts 1.5: `manualbreaks` in requests; a `manualBreaks` is not seen."""
    rest = {"manualBreakId": "x", **shift(NOON - 1800, NOON - 900)}
    assert kit.batch("POST", [person(ANNA, manualBreaks=[rest])]).status == 200
    assert kit.listed() == []
    assert kit.batch("POST", [person(ANNA, manualbreaks=[rest])]).status == 200
    assert len(kit.listed()[0]["manualBreaks"]) == 1
    kit.clock.breaks = False
    refused(kit.batch("POST", [person(ANNA, manualbreaks=[rest])]), 400, "manual breaks are disabled")


@pytest.mark.parametrize(
    ("people", "shifts", "status"), [(100, 1, 200), (101, 1, 422), (1, 50, 200), (1, 51, 422), (0, 0, 200)]
)
def test_a_batch_has_limits(kit: Kit, people: int, shifts: int, status: int) -> None:
    """Facts 1.5: at most 100 users, 50 shifts each."""
    for number in range(people):
        kit.company.add_user(number + 1, f"P{number}")
    rows = [person(n + 1, *(shift(NOON - 2 * HOUR - s, NOON - HOUR - s) for s in range(shifts))) for n in range(people)]
    assert kit.batch("POST", rows).status == status


def test_one_locked_day_in_a_batch_does_not_stop_the_others(kit: Kit) -> None:
    """U8: processed in parallel, so the answer is 400 and the others are written all the same; a switch makes it
    all or nothing. The refusal's shape is the one of facts 1.5, another than the clock-out's."""
    kit.manager.lock_day(ANNA, NOON)
    rows = [person(ANNA, shift(NOON - HOUR, NOON)), person(BRAM, shift(NOON - HOUR, NOON))]
    answer = kit.batch("POST", rows)
    assert answer.status == 400
    assert answer.document() == {"detail": [f"User: {ANNA} has locked days: ['2026-11-24']"]}
    assert [row.user_id for row in kit.sandbox.timesheet()] == [str(BRAM)]
    kit.behaviour.batch_atomic = True
    refused(kit.batch("POST", rows), 400, "locked days")
    assert len(kit.sandbox.timesheet()) == 1


def test_a_lock_at_either_end_refuses(kit: Kit) -> None:
    """A shift over midnight touches two days."""
    kit.manager.lock_day(ANNA, "2026-11-23")
    refused(kit.create(MIDNIGHT - HOUR, MIDNIGHT + HOUR), 400, "locked days")
    kit.manager.lock_day(BRAM, "2026-11-24")
    refused(kit.create(MIDNIGHT - HOUR, MIDNIGHT + HOUR, user=BRAM), 400, "locked days")


def test_create_refuses_people_not_assigned_and_times_that_end_too_early(kit: Kit) -> None:
    """Facts 1.4 and 1.5."""
    kit.manager.unassign(BRAM)
    refused(kit.create(NOON - HOUR, NOON, user=BRAM), 400, "not assigned")
    refused(kit.create(NOON, NOON), 400, "end must be after start")
    assert kit.sandbox.timesheet() == []


def test_jobs_of_activities_name_parent_and_child(kit: Kit) -> None:
    """Facts 1.5, "Job id trap": a sub-job's id in `jobId` is refused here, and a parent needs its child."""
    parent = kit.company.add_job("Bakery")
    child = kit.company.add_job("Ovens", parent=parent)
    plain = kit.company.add_job("Counter")
    refused(kit.create(NOON - HOUR, NOON, jobId=child.id), 400, "Job not found")
    refused(kit.create(NOON - HOUR, NOON, jobId=parent.id), 400, "Sub job ID is required")
    refused(kit.create(NOON - HOUR, NOON, jobId=parent.id, subJobId=plain.id), 400, "Sub job not found")
    assert kit.create(NOON - HOUR, NOON, jobId=parent.id, subJobId=child.id).status == 200
    assert kit.create(NOON - HOUR, NOON, jobId=plain.id).status == 200
    kit.clock.job_required = True
    refused(kit.create(NOON - HOUR, NOON), 400, "Job ID is required for this time clock")


@pytest.mark.parametrize("start_only", list(StartOnly))
def test_create_without_an_end(kit: Kit, start_only: StartOnly) -> None:
    """U2: opens a live shift, or is refused."""
    kit.behaviour.start_only = start_only
    answer = kit.create(NOON - HOUR, None)
    if start_only is StartOnly.REFUSED:
        refused(answer, 400, "end is required")
        assert kit.sandbox.timesheet() == []
    else:
        assert shift_of(kit.clock_out(NOON))["id"] == made_id(answer)


def test_overlaps_are_accepted_unless_switched_off(kit: Kit) -> None:
    """U3, for create and update; touching ends do not overlap."""
    kit.create(NOON - 3 * HOUR, NOON - 2 * HOUR)
    assert kit.create(NOON - 3 * HOUR + 60, NOON - HOUR).status == 200
    kit.behaviour.refuse_overlaps = True
    refused(kit.create(NOON - 3 * HOUR, NOON), 400, "overlap")
    touching = made_id(kit.create(NOON - HOUR, NOON))
    refused(kit.update(touching, start=point(NOON - HOUR - 60)), 400, "overlap")
    assert kit.update(touching, end=point(NOON - 60)).status == 200


# --- update


@pytest.mark.parametrize("late_close", list(LateClose))
def test_an_update_with_an_end_closes_an_open_shift_or_not(kit: Kit, late_close: LateClose) -> None:
    """U1: closes it and frees the person, is ignored with a 200, or is refused."""
    kit.behaviour.late_close = late_close
    opened = kit.manager.add_shift(ANNA, NOON - 30 * HOUR)
    answer = kit.update(opened.id, end=point(NOON - 22 * HOUR), managerNote="ref 7N")
    [row] = kit.sandbox.timesheet()
    match late_close:
        case LateClose.CLOSES:
            assert (answer.status, row.end, row.end_source) == (200, NOON - 22 * HOUR, "api")
            assert kit.clock_in(NOON).status == 200
        case LateClose.IGNORED:
            assert (answer.status, row.end) == (200, None)
            refused(kit.clock_in(NOON), 400, "already")
        case LateClose.REFUSED:
            assert (answer.status, row.end, row.note) == (400, None, None)


def test_an_update_changes_only_what_it_names(kit: Kit) -> None:
    """Facts 1.5: what is left out stays, the job too."""
    job = kit.company.add_job("Counter")
    made = made_id(kit.create(NOON - 2 * HOUR, NOON - HOUR, jobId=job.id, managerNote="ref 1"))
    assert kit.update(made, end=point(NOON)).status == 200
    [row] = kit.sandbox.timesheet()
    assert (row.start, row.end, row.note, row.job_id) == (NOON - 2 * HOUR, NOON, "ref 1", job.id)


def test_an_update_needs_shifts_an_id_and_an_existing_activity(kit: Kit) -> None:
    """Facts 1.5: `shifts` is required even if only breaks change."""
    assert kit.batch("PUT", [{"userId": ANNA, "manualbreaks": []}]).status == 422
    assert kit.batch("PUT", [person(ANNA, {"end": point(NOON)})]).status == 422
    refused(kit.update("0" * 24, end=point(NOON)), 404, "TIME_ACTIVITY_NOT_FOUND")
    opened = kit.manager.add_shift(ANNA, NOON - HOUR)
    refused(kit.update(opened.id, user=BRAM, end=point(NOON)), 404, "TIME_ACTIVITY_NOT_FOUND")
    refused(kit.update(opened.id, end=point(NOON - HOUR)), 400, "end must be after start")
    kit.manager.lock_day(ANNA, NOON)
    refused(kit.update(opened.id, end=point(NOON)), 400, "locked days")


def test_correcting_an_auto_clock_out_takes_its_mark_away(kit: Kit) -> None:
    """Whoever sets the end made it."""
    opened = kit.manager.add_shift(ANNA, NOON - 9 * HOUR)
    kit.manager.auto_clock_out(ANNA, NOON - HOUR)
    assert kit.only_listed_shift()["isAutoClockOut"] is True
    assert kit.update(opened.id, end=point(NOON)).status == 200
    listed = kit.only_listed_shift()
    assert (listed["isAutoClockOut"], listed["end"]["source"]["type"]) == (False, "api")


# --- delete, timesheet


def test_delete(kit: Kit) -> None:
    """Facts 1.5: 200 with empty data, then 404; no id at all is INVALID_ID; a locked day refuses."""
    made = made_id(kit.create(NOON - HOUR, NOON))
    path = f"{BASE}/time-activities"
    refused(kit.ask("DELETE", f"{path}/17"), 400, "INVALID_ID")
    kit.manager.lock_day(ANNA, NOON)
    refused(kit.ask("DELETE", f"{path}/{made}"), 400, "HAS_LOCKED_DAYS")
    kit.manager.unlock_day(ANNA, NOON)
    assert kit.ask("DELETE", f"{path}/{made}").document()["data"] == {}
    refused(kit.ask("DELETE", f"{path}/{made}"), 404, "TIME_ACTIVITY_NOT_FOUND")


def test_the_timesheet_tells_which_days_are_locked(kit: Kit) -> None:
    """Facts 1.8: per user daily records with their state; at most 45 days."""
    made = made_id(kit.create(NOON - HOUR, NOON))
    kit.manager.lock_day(ANNA, NOON)
    path = f"{BASE}/timesheet?startDate=2026-11-23&endDate=2026-11-24"
    rows = {row["userId"]: row["dailyRecords"] for row in kit.ask("GET", path).document()["data"]["users"]}
    [day] = rows[ANNA]
    assert (day["date"], day["isLocked"], day["records"][0]["timeActivityId"]) == ("2026-11-24", True, made)
    assert rows[BRAM] == []
    assert kit.ask("GET", f"{BASE}/timesheet?startDate=2026-01-01&endDate=2026-11-24").status == 400
