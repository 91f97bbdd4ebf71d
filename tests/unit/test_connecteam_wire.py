"""Connecteam's bodies: what is sent, and how jobs are read."""

from __future__ import annotations

import json
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from daemon.timesheets.connecteam import wire
from daemon.timesheets.connecteam.wire import JobPath, WireError
from daemon.timesheets.timesheet import CloseShift, EndShift, LookUp, OpenShift, RecordShift

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
ANNA = "9170357"


def at(text: str, zone: ZoneInfo = AMSTERDAM) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp())


def test_clock_in_and_out_say_who_and_when_and_nothing_else() -> None:
    """Always with the timestamp; no time zone, no note, no shift id: those calls do not take them."""
    assert wire.clock_in(OpenShift(ANNA, 1795158060)) == {"userId": 9170357, "timestamp": 1795158060}
    assert wire.clock_in(OpenShift(ANNA, 1795158060, "job-1"))["jobId"] == "job-1"
    assert wire.clock_out(EndShift(ANNA, 1795186860, "s1")) == {"userId": 9170357, "timestamp": 1795186860}


def test_a_completed_shift_carries_zone_note_and_job_path() -> None:
    """Zone inside start and end, our reference in the manager's note, parent and sub-job apart."""
    body = wire.create([(RecordShift(ANNA, 100, 200, "REF", "k"), JobPath("j", "k"))], AMSTERDAM, "front-door")
    assert body == {
        "timeActivities": [
            {
                "userId": 9170357,
                "shifts": [
                    {
                        "start": {"timestamp": 100, "timezone": "Europe/Amsterdam"},
                        "end": {"timestamp": 200, "timezone": "Europe/Amsterdam"},
                        "managerNote": "kiosk front-door, ref REF",
                        "jobId": "j",
                        "subJobId": "k",
                    }
                ],
                "manualbreaks": [],
            }
        ]
    }
    plain = wire.create([(RecordShift(ANNA, 100, 200, "REF"), None)], AMSTERDAM, "front-door")
    assert not {"jobId", "subJobId"} & set(plain["timeActivities"][0]["shifts"][0])


def test_an_update_touches_the_end_and_the_note_alone() -> None:
    """Start and job stay as they are on the timesheet."""
    body = wire.update(CloseShift(ANNA, "s1", 200, "REF"), AMSTERDAM, "front-door")
    (shift,) = body["timeActivities"][0]["shifts"]
    assert set(shift) == {"id", "end", "managerNote"}
    assert shift["end"] == {"timestamp": 200, "timezone": "Europe/Amsterdam"}


@pytest.mark.parametrize(
    ("since", "until", "first", "last"),
    [
        ("2026-11-20T08:00", "2026-11-20T17:00", "2026-11-19", "2026-11-21"),
        ("2026-11-20T23:59", "2026-11-21T00:01", "2026-11-19", "2026-11-22"),
        ("2026-12-31T23:30", "2027-01-01T06:00", "2026-12-30", "2027-01-02"),
        ("2026-10-25T02:30", "2026-10-25T03:30", "2026-10-24", "2026-10-26"),  # the hour that comes twice
        ("2026-03-29T01:59", "2026-03-29T03:00", "2026-03-28", "2026-03-30"),  # the hour that is missing
    ],
)
def test_a_list_asks_for_the_kiosks_days_and_one_more_on_either_side(
    since: str, until: str, first: str, last: str
) -> None:
    """Nobody says whose day the service means (U4): the margin covers every zone."""
    query = dict(wire.list_query(LookUp((ANNA,), at(since), at(until)), AMSTERDAM))
    assert (query["startDate"], query["endDate"], query["activityTypes"]) == (first, last, "shift")


@pytest.mark.parametrize("zone", ["Europe/Amsterdam", "America/New_York", "Asia/Tokyo"])
def test_the_days_asked_for_cover_the_time_in_every_zone(zone: str) -> None:
    """Whatever zone the service counts days in, the instants asked for lie inside."""
    since, until = at("2026-11-20T00:10", ZoneInfo(zone)), at("2026-11-20T23:50", ZoneInfo(zone))
    query = dict(wire.list_query(LookUp((ANNA,), since, until), ZoneInfo(zone)))
    for other in ("UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"):
        days = [datetime.fromtimestamp(instant, ZoneInfo(other)).date().isoformat() for instant in (since, until)]
        assert query["startDate"] <= days[0]
        assert days[1] <= query["endDate"]


def test_people_are_repeated_keys_and_a_crowd_is_no_filter() -> None:
    """Joined values match nothing, silently; above fifty people all are read at once."""
    few = wire.list_query(LookUp((ANNA, "12", "12", "no-number"), 0, 1), AMSTERDAM)
    assert [pair for pair in few if pair[0] == "userIds"] == [("userIds", "12"), ("userIds", ANNA)]
    exactly = wire.list_query(LookUp(tuple(str(n) for n in range(1, 51)), 0, 1), AMSTERDAM)
    assert sum(key == "userIds" for key, _ in exactly) == 50
    crowd = wire.list_query(LookUp(tuple(str(n) for n in range(1, 52)), 0, 1), AMSTERDAM)
    assert not [pair for pair in crowd if pair[0] == "userIds"]


def test_ninety_days_can_be_asked_for_and_no_more() -> None:
    """More is a programmer's error: the service would refuse it."""
    wire.list_query(LookUp((ANNA,), at("2026-01-02T12:00"), at("2026-03-30T12:00")), AMSTERDAM)
    with pytest.raises(AssertionError, match="90 days"):
        wire.list_query(LookUp((ANNA,), at("2026-01-02T12:00"), at("2026-03-31T12:00")), AMSTERDAM)


@pytest.mark.parametrize("user_id", ["", "0", "007", "-1", "1.0", "anna", "9170357 ", "٣", "1" * 19, "1e3"])
def test_what_cannot_be_a_persons_number_is_none(user_id: str) -> None:
    """Only an id that comes back as it went can be matched again."""
    assert wire.user_number(user_id) is None


def test_the_jobs_tree_gives_each_job_its_path() -> None:
    """A sub-job stands under its parent, nested or by parentId; a job stands for itself."""
    told = {"data": {"jobs": [
        {"jobId": "bakery", "title": "Bakery", "subJobs": [{"jobId": "ovens", "subJobs": None}]},
        {"jobId": "decor", "parentId": "bakery"},
        {"jobId": "counter", "parentId": None, "subJobs": []},
    ]}}  # fmt: skip
    paths, rows = wire.jobs(told)
    assert rows == 3
    assert paths == {
        "bakery": JobPath("bakery"),
        "ovens": JobPath("bakery", "ovens"),
        "decor": JobPath("bakery", "decor"),
        "counter": JobPath("counter"),
    }
    with pytest.raises(WireError):
        wire.jobs({"data": {"jobs": [{"title": "no id"}]}})


def test_what_cannot_be_stored_or_shown_is_taken_out() -> None:
    """Lone surrogates break the database, control characters the terminal."""
    assert wire.clean("a\ud800b\x1b[31mc\x00d\ne") == "a?b [31mc d\ne"
    told = json.loads('{"request_id": "r\\ud800"}')
    assert wire.request_id(told) == "r?"
    assert wire.request_id({"requestId": 5}) is None
