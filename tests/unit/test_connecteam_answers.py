"""What Connecteam's answers mean."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.reasons import REASONS
from daemon.timesheets.connecteam import answers
from daemon.timesheets.timesheet import (
    Budget,
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
    OpenShift,
    Outcome,
    Probe,
    Proven,
    RecordShift,
    Refused,
    Step,
    Throttled,
    TooOld,
    Uncertain,
)
from tests.support.answers import judge

ANNA, BRAM = "9170357", "9170358"
IN, OUT = 1795158060, 1795186860
OPEN = OpenShift(ANNA, IN)
END = EndShift(ANNA, OUT, "s1")
RECORD = RecordShift(ANNA, IN, OUT, "01JD3Q7M")
CLOSE = CloseShift(ANNA, "s1", OUT, "01JD3Q7N")
LOOK = LookUp((ANNA,), IN, OUT)
PROBE = Probe()
WRITES: tuple[Step, ...] = (OPEN, END, RECORD, CLOSE)
STEPS: tuple[Step, ...] = (*WRITES, LOOK, PROBE)


def point(at: int, source: str = "api") -> dict[str, Any]:
    return {"timestamp": at, "timezone": "Europe/Amsterdam", "source": {"type": source}}


def shift(start: int = IN, end: int | None = None, **more: Any) -> dict[str, Any]:
    told: dict[str, Any] = {"id": "s1", "start": point(start), "isAutoClockOut": False, "somethingNew": [1]}
    if end is not None:
        told["end"] = point(end)
    return told | more


def punched(start: int = IN, end: int | None = None, **more: Any) -> dict[str, Any]:
    return {"requestId": "r1", "data": {"shift": {"userId": int(ANNA), **shift(start, end), **more}}}


def listed(*shifts: dict[str, Any], user_id: str = ANNA) -> dict[str, Any]:
    entry = {"userId": int(user_id), "shifts": list(shifts), "manualBreaks": []}
    return {"requestId": "r1", "data": {"timeActivitiesByUsers": [entry]}}


PROOFS: dict[str, tuple[Step, dict[str, Any]]] = {
    "clock-in": (OPEN, punched()),
    "clock-out": (END, punched(IN, OUT)),
    "create": (RECORD, listed(shift(IN, OUT, managerNote="kiosk front, ref 01JD3Q7M"))),
    "update": (CLOSE, listed(shift(IN, OUT))),
}


def told(step: Step, status: int, document: Any, headers: dict[str, str] | None = None) -> Outcome:
    return judge(step, status, headers or {}, json.dumps(document).encode())


# --- success proves itself ------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROOFS)
def test_a_2xx_with_id_person_and_our_time_is_done(name: str) -> None:
    """Each write is done when the answer carries what it must, and says what now stands there."""
    step, document = PROOFS[name]
    outcome = told(step, 200, document)
    assert isinstance(outcome, Done)
    assert (outcome.record.id, outcome.record.user_id, outcome.record.start) == ("s1", ANNA, IN)
    assert outcome.record.end == (None if step is OPEN else OUT)
    assert told(step, 201, document) == outcome


def _without(document: Any, path: tuple[Any, ...]) -> Any:
    copy = json.loads(json.dumps(document))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return copy


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [p for key, inner in children for p in [(*path, key), *_paths(inner, (*path, key))]]


#: What an answer may lack and still prove the record.
_UNNEEDED = {"requestId", "source", "type", "timezone", "isAutoClockOut", "somethingNew", "managerNote", "manualBreaks"}


@pytest.mark.parametrize("name", PROOFS)
def test_an_answer_that_lacks_any_part_of_the_proof_is_uncertain(name: str) -> None:
    """Take any one thing away: done becomes uncertain, unless the thing proves nothing."""
    step, document = PROOFS[name]
    needed = 0
    for path in _paths(document):
        outcome = told(step, 200, _without(document, path))
        if path[-1] in _UNNEEDED or "somethingNew" in path:
            assert isinstance(outcome, Done), path
        else:
            assert isinstance(outcome, Uncertain), path
            needed += 1
    assert needed >= 6


@pytest.mark.parametrize("name", PROOFS)
@pytest.mark.parametrize("off", [-900, -1, 1, 60, 100_000])
def test_our_record_at_another_time_is_told_with_how_far_off(name: str, off: int) -> None:
    """Rounding is seen, with its sign; never taken for exact, never for absent."""
    step, _ = PROOFS[name]
    document = {
        "clock-in": punched(IN + off),
        "clock-out": punched(IN, OUT + off),
        "create": listed(shift(IN + off, OUT, managerNote="kiosk front, ref 01JD3Q7M")),
        "update": listed(shift(IN, OUT + off)),
    }[name]
    outcome = told(step, 200, document)
    assert isinstance(outcome, DoneChanged)
    assert outcome.off_s == off


def test_the_larger_of_two_shifted_times_is_told() -> None:
    """A completed shift rounded at both ends says the worse."""
    outcome = told(RECORD, 200, listed(shift(IN + 60, OUT - 300)))
    assert isinstance(outcome, DoneChanged)
    assert outcome.off_s == -300


@pytest.mark.parametrize("name", PROOFS)
def test_another_persons_record_proves_nothing(name: str) -> None:
    """The answer must speak of our person."""
    step, document = PROOFS[name]
    other = json.loads(json.dumps(document).replace(ANNA, BRAM))
    assert isinstance(told(step, 200, other), Uncertain)


def test_a_clock_out_is_judged_by_its_end_and_keeps_the_shifts_id() -> None:
    """Which shift was closed is for the planner to compare; a still open one proves nothing."""
    outcome = told(END, 200, punched(IN, OUT, id="another"))
    assert isinstance(outcome, Done)
    assert outcome.record.id == "another"
    assert isinstance(told(END, 200, punched(IN)), Uncertain)
    assert isinstance(told(END, 200, punched(IN, end=None) | {"end": None}), Uncertain)


def test_an_update_is_judged_by_its_own_shift() -> None:
    """An end on another shift is not ours."""
    assert isinstance(told(CLOSE, 200, listed(shift(IN, OUT, id="s2"))), Uncertain)


def test_a_created_shift_is_known_by_its_mark() -> None:
    """Among several the one with our mark counts; a mark that only begins like ours does not."""
    ours = shift(IN, OUT + 60, id="s2", managerNote="kiosk front, ref 01JD3Q7M")
    theirs = shift(IN, OUT, managerNote="kiosk front, ref 01JD3Q7MX")
    outcome = told(RECORD, 200, listed(theirs, ours))
    assert isinstance(outcome, DoneChanged)
    assert outcome.record.id == "s2"
    assert isinstance(told(RECORD, 200, listed(shift(IN + 5, OUT, managerNote="from HR"))), Uncertain)
    assert isinstance(told(RECORD, 200, listed(shift(IN, OUT), shift(IN, OUT, id="s2"))), Uncertain)


@pytest.mark.parametrize("step", STEPS, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'"ok"',
        b"<!doctype html><h1>Welcome</h1>",
        b'{"requestId": "r", "data": {}}',
        b'{"data": null}',
        b'{"data": {"shift": {"id": "s1", "userId": 9170357, "start": {"timest',
        b'{"data": {"shift": {"id": "", "userId": 9170357, "start": {"timestamp": 1795158060}}}}',
        b'{"data": {"shift": {"id": "s1", "userId": true, "start": {"timestamp": 1795158060}}}}',
        b'{"data": {"shift": {"id": "s1", "userId": 9170357, "start": {"timestamp": "1795158060"}}}}',
        b'{"data": {"shift": {"id": "s1", "userId": 9170357, "start": {"timestamp": 1795158060000}}}}',
        b'{"data": {"shift": {"id": "s1", "userId": 9170357, "start": {"timestamp": NaN}}}}',
        b"\xff\xfe\x00{",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"detail": "something else"}',
    ],
)
def test_a_2xx_without_proof_is_uncertain_for_every_step(step: Step, body: bytes) -> None:
    """A portal's page, an empty 200, cut-off JSON: success of nothing, absence of nothing."""
    assert isinstance(judge(step, 200, {}, body), Uncertain)


def test_a_probe_is_proven_by_the_company() -> None:
    """The key works when the account is told."""
    assert told(PROBE, 200, {"data": {"companyName": "Bakery", "companyId": 7}}) == Proven("Bakery")
    assert told(PROBE, 200, {"data": {"companyId": 7}}) == Proven(None)


# --- look-ups -------------------------------------------------------------------------------------


def test_a_look_up_tells_each_shift_of_the_people_asked_for() -> None:
    """Open and ended shifts come as records, whoever made or ended them; others' are left out."""
    document = listed(
        shift(IN, id="open"),
        shift(IN, id="null", end=None) | {"end": None},
        shift(IN, id="auto", isAutoClockOut=True) | {"end": point(OUT, "autoClockOut")},
        shift(IN, OUT, id="noted", managerNote="from HR", jobId="j", subJobId="k", createdAt=OUT),
    )
    document["data"]["timeActivitiesByUsers"].append({"userId": int(BRAM), "shifts": [shift(id="bram")]})
    outcome = told(LOOK, 200, document)
    assert isinstance(outcome, Found)
    records = {record.id: record for record in outcome.records}
    assert set(records) == {"open", "null", "auto", "noted"}
    assert records["open"].end is None
    assert records["null"].end is None
    assert (records["auto"].auto_ended, records["auto"].ended_by) == (True, "autoClockOut")
    assert (records["noted"].note, records["noted"].job_id, records["noted"].created_at) == ("from HR", "k", OUT)
    assert records["noted"].auto_ended is False


def test_a_look_up_keeps_what_touches_its_time() -> None:
    """Days are asked with a margin; what lies beside [since, until] is left out, an open shift reaches everywhere."""
    document = listed(
        shift(IN - 7200, IN - 1, id="before"),
        shift(IN - 7200, IN, id="edge"),
        shift(IN - 90000, id="open"),
        shift(OUT, OUT + 60, id="last"),
        shift(OUT + 1, OUT + 60, id="after"),
    )
    outcome = told(LOOK, 200, document)
    assert isinstance(outcome, Found)
    assert [record.id for record in outcome.records] == ["edge", "open", "last"]


def test_an_empty_list_is_absence_and_a_missing_one_is_not() -> None:
    """Nobody's shifts: found nothing. No list: nothing was learnt."""
    assert told(LOOK, 200, {"data": {"timeActivitiesByUsers": []}}) == Found(())
    assert isinstance(told(LOOK, 200, {"data": {"timeActivities": []}}), Uncertain)


@pytest.mark.parametrize(
    "broken",
    [
        {"start": point(IN)},
        {"id": "s1"},
        {"id": "s1", "start": None},
        {"id": "s1", "start": {"timestamp": 0}},
        {"id": "s1", "start": point(IN), "end": {}},
        {"id": "s1", "start": point(IN), "end": {"timestamp": "soon"}},
        "s1",
        None,
    ],
)
def test_an_unreadable_record_fails_the_look_up_for_those_it_is_about(broken: Any) -> None:
    """Never absence: one record that cannot be read may be the one looked for. Another person's is no obstacle."""
    assert told(LOOK, 200, listed(shift(), broken)) == Found((), unreadable=(ANNA,))
    assert told(LOOK, 200, listed(broken, user_id=BRAM)) == Found(())
    both = LookUp((ANNA, BRAM), LOOK.since, LOOK.until)
    rows = [
        *listed(shift())["data"]["timeActivitiesByUsers"],
        *listed(broken, user_id=BRAM)["data"]["timeActivitiesByUsers"],
    ]
    found = told(both, 200, {"data": {"timeActivitiesByUsers": rows}})
    assert isinstance(found, Found)
    assert ([record.user_id for record in found.records], found.unreadable) == ([ANNA], (BRAM,))


def test_an_entry_without_a_person_fails_the_look_up() -> None:
    """It may be about the person asked for."""
    assert isinstance(told(LOOK, 200, {"data": {"timeActivitiesByUsers": [{"shifts": []}]}}), Uncertain)


# --- refusals -------------------------------------------------------------------------------------


def shapes(code: str | None, text: str) -> list[dict[str, Any]]:
    """One refusal in each of the five shapes (facts 1.9)."""
    line = f"{code}: {text}" if code else text
    tail = {"path": "/time-clock/v1/time-clocks/12345/clock-in", "request_id": "550e8400"}
    return [
        {"detail": [{"loc": ["body"], "msg": line, "type": "value_error"}]},
        {"detail": line},
        {"detail": [line]},
        {"error": line, **tail},
        {"details": {"error_message": text, "error_code": code or 1004}, "error": {}, **tail},
        {"details": {"error_message": line, "error_code": 1002}, "error": {"message": text}, **tail},
    ]


KNOWN: list[tuple[Step, int, str | None, str, Outcome]] = [
    (OPEN, 400, "INVALID_TIMESTAMP_FUTURE", "Supplied timestamp is in the future", ClockAhead("")),
    (OPEN, 400, "INVALID_TIMESTAMP_TOO_OLD", "timestamp is more than 12 hours in the past", TooOld("")),
    (OPEN, 400, None, "User already has an open shift", Conflict("already_open", "")),
    (OPEN, 400, None, "User is already clocked in", Conflict("already_open", "")),
    (OPEN, 400, None, "User is not assigned to the time clock", Refused("not_assigned", "")),
    (OPEN, 400, "JOB_REQUIRED", "Job ID required by time clock settings", Refused("job_required", "")),
    (OPEN, 400, "OPEN_BREAK", "User is clocked into a manual break", Refused("open_break", "")),
    (OPEN, 400, "OUTSIDE_GEOFENCE", "Punch location is outside the geofence", Refused("outside_geofence", "")),
    (OPEN, 409, "HAS_LOCKED_DAYS", "timestamp falls on a locked or approved day", Refused("locked_days", "")),
    (OPEN, 403, "HAS_LOCKED_DAYS", "the day is locked", Refused("locked_days", "")),
    (OPEN, 404, None, "User not found", Refused("invalid_request", "")),
    (OPEN, 400, None, "Job not found for this time clock", Refused("invalid_request", "")),
    (OPEN, 400, None, "time clock id doesn't exist", Misconfigured(400, "")),
    (OPEN, 404, None, "Time clock not found", Misconfigured(404, "")),
    (END, 400, "INVALID_TIMESTAMP_FUTURE", "Supplied timestamp is in the future", ClockAhead("")),
    (END, 400, "INVALID_TIMESTAMP_TOO_OLD", "timestamp is more than 12 hours in the past", TooOld("")),
    (END, 400, "NO_OPEN_SHIFT", "No open shift to close", Conflict("no_open_shift", "")),
    (END, 400, None, "User doesn't have an open shift", Conflict("no_open_shift", "")),
    (
        END,
        400,
        "INVALID_TIMESTAMP_BEFORE_CLOCK_IN",
        "timestamp is at or before the open shift's clock-in time",
        Conflict("before_clock_in", ""),
    ),
    (END, 409, "HAS_LOCKED_DAYS", "timestamp falls on a locked day", Refused("locked_days", "")),
    (RECORD, 400, None, "User: Open Break has locked days: ['2026-11-20']", Refused("locked_days", "")),
    (RECORD, 400, None, "User: 7 is not assigned to the time clock", Refused("not_assigned", "")),
    (RECORD, 400, None, "Job ID is required for this time clock", Refused("job_required", "")),
    (RECORD, 400, None, "Sub job ID is required for this job", Refused("job_required", "")),
    (RECORD, 400, None, "Time activity overlaps an existing one", Refused("overlaps_existing_shift", "")),
    (RECORD, 400, "INVALID_TIMESTAMP_FUTURE", "in the future", ClockAhead("")),
    (CLOSE, 404, "TIME_ACTIVITY_NOT_FOUND", "no active shift matches 's1'", Conflict("shift_gone", "")),
    (CLOSE, 400, "INVALID_ID", "'s1' is not a valid time activity identifier", Conflict("shift_gone", "")),
    (CLOSE, 404, None, "The shift was not found", Conflict("shift_gone", "")),
    (CLOSE, 400, "HAS_LOCKED_DAYS", "falls on locked or approved days", Refused("locked_days", "")),
    # what a code means for one step it does not mean for another
    (RECORD, 400, "INVALID_TIMESTAMP_TOO_OLD", "too far back", Refused("refused", "", recognised=False)),
    (OPEN, 400, "NO_OPEN_SHIFT", "nothing", Refused("refused", "", recognised=False)),
    (OPEN, 400, None, "we do not feel like it", Refused("refused", "", recognised=False)),
    (OPEN, 409, None, "we do not feel like it", Refused("refused", "", recognised=False)),
    (CLOSE, 400, None, "An open shift cannot be edited", Refused("refused", "", recognised=False)),
    (OPEN, 422, None, "field required", Refused("invalid_request", "")),
    (RECORD, 422, None, "value is not a valid integer", Refused("invalid_request", "")),
]


@pytest.mark.parametrize(("step", "status", "code", "text", "expected"), KNOWN)
def test_a_refusal_is_recognised_in_all_five_shapes(
    step: Step, status: int, code: str | None, text: str, expected: Outcome
) -> None:
    """Wherever the words stand, they mean the same; the service's own words are kept."""
    for document in shapes(code, text):
        outcome = told(step, status, document)
        assert type(outcome) is type(expected), document
        for name in ("reason", "recognised", "status"):
            assert getattr(outcome, name, None) == getattr(expected, name, None), document
        assert text in outcome.detail  # type: ignore[union-attr]


def test_every_reason_given_is_published() -> None:
    """A code that nobody can look up helps nobody."""
    given_reasons = {o.reason for *_, o in KNOWN if isinstance(o, Refused | Conflict)}
    assert given_reasons <= set(REASONS)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        # a field made for a code outranks codes in sentences
        (
            {"details": {"error_code": "HAS_LOCKED_DAYS", "error_message": "not OPEN_BREAK, not JOB_REQUIRED"}},
            Refused("locked_days", ""),
        ),
        # a sentence that begins with a code outranks codes and phrases inside it
        ({"error": "HAS_LOCKED_DAYS: OPEN_BREAK Smith already has an open shift"}, Refused("locked_days", "")),
        # what was asked is said again: nothing of the service's in it
        ({"error": "no", "path": "/NO_OPEN_SHIFT/JOB_REQUIRED"}, Refused("refused", "", recognised=False)),
        ({"detail": "no", "input": {"note": "OPEN_BREAK"}}, Refused("refused", "", recognised=False)),
        # part of another word
        ({"detail": "REOPEN_BREAKFAST and SUBJOB_REQUIREDNESS"}, Refused("refused", "", recognised=False)),
        # two codes of equal standing: a person decides
        ({"detail": "see JOB_REQUIRED or OPEN_BREAK"}, Refused("refused", "", recognised=False)),
        # a name that reads like a phrase
        ({"detail": ["User: Not Assigned Jones has locked days: ['2026-11-20']"]}, Refused("locked_days", "")),
        # a code as a field's name
        ({"error": {"JOB_REQUIRED": "yes"}}, Refused("job_required", "")),
        # lower case
        ({"code": "job_required"}, Refused("job_required", "")),
    ],
)
def test_the_surest_place_decides(document: dict[str, Any], expected: Refused) -> None:
    """Codes inside names, echoes and long texts do not mislead."""
    outcome = told(OPEN, 400, document)
    assert isinstance(outcome, Refused)
    assert (outcome.reason, outcome.recognised) == (expected.reason, expected.recognised)


@pytest.mark.parametrize("step", STEPS, ids=lambda s: type(s).__name__)
def test_a_refused_key_is_told_only_by_the_services_own_json(step: Step) -> None:
    """401 and 403 as JSON halt; the same status from a portal or a proxy says nothing."""
    for status in (401, 403):
        assert told(step, status, {"detail": "Invalid API key"}) == KeyRefused(status, "Invalid API key")
        assert isinstance(judge(step, status, {}, b"<html>login</html>"), Uncertain)
        assert isinstance(judge(step, status, {}, b""), Uncertain)
    assert isinstance(told(step, 401, {"error": "OPEN_BREAK: x"}), KeyRefused)


@pytest.mark.parametrize("step", STEPS, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("status", [404, 405])
def test_a_fixed_path_that_is_not_there_is_a_misconfiguration(step: Step, status: int) -> None:
    """Ours are the service's fixed paths: when they are missing the kiosk talks to the wrong place."""
    assert told(step, status, {"detail": "Not Found"}) == Misconfigured(status, "Not Found")
    assert isinstance(judge(step, status, {}, b"<h1>404</h1>"), Uncertain)


@pytest.mark.parametrize("step", STEPS, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize(
    "status", [100, 101, 301, 302, 303, 307, 308, 407, 408, 421, 425, 500, 502, 503, 504, 511, 599]
)
@pytest.mark.parametrize("body", [b"", b"<html>", b'{"detail": "NO_OPEN_SHIFT"}', b'{"error": "OPEN_BREAK: x"}'])
def test_what_proves_nothing_is_uncertain(step: Step, status: int, body: bytes) -> None:
    """Redirects, proxies, time-outs and server errors: it may have happened, whatever they say."""
    outcome = judge(step, status, {}, body)
    assert isinstance(outcome, Uncertain)
    assert outcome.status == status


# --- the budget -----------------------------------------------------------------------------------

DATE = "Sat, 21 Nov 2026 02:00:00 GMT"
NOW = 1795226400.0


@pytest.mark.parametrize("step", STEPS, ids=lambda s: type(s).__name__)
@pytest.mark.parametrize(("status", "body"), [(429, b'{"detail":"Too many requests"}'), (429, b"<html>slow down"),
                                              (200, b'{"detail":"Too many requests"}'),
                                              (200, b'{"detail":["Too Many Requests."]}')])  # fmt: skip
def test_a_throttle_is_told_with_its_end(step: Step, status: int, body: bytes) -> None:
    """429, or the 200 that is one, until the reset that counts."""
    minute = {"x-ratelimit-minute-remaining": "0", "x-ratelimit-minute-reset": "1795226460"}
    day = {"x-ratelimit-day-remaining": "0", "x-ratelimit-day-reset": "1795305600"}
    assert judge(step, status, {}, body) == Throttled(None)
    assert judge(step, status, minute, body) == Throttled(1795226460.0)
    assert judge(step, status, minute | day, body) == Throttled(1795305600.0)
    assert judge(step, status, minute | day | {"x-ratelimit-day-remaining": "5"}, body) == Throttled(1795226460.0)
    assert judge(step, status, {"retry-after": "30", "date": DATE}, body) == Throttled(NOW + 30)


@pytest.mark.parametrize("reset", ["", "soon", "60", "-5", "1e400", "nan", "1795226460000", "99999999999999999999"])
def test_a_wild_reset_is_not_believed(reset: str) -> None:
    """A reset that is no time, or years away, must not silence the kiosk."""
    assert judge(OPEN, 429, {"x-ratelimit-minute-reset": reset}, b"") == Throttled(None)
    far = {"x-ratelimit-minute-reset": str(int(NOW) + 3 * 86400), "date": DATE}
    assert judge(OPEN, 429, far, b"") == Throttled(None)


def test_the_budget_is_read_from_the_headers() -> None:
    """All six numbers, each only when it is one; nothing told is None."""
    headers = {
        "x-ratelimit-minute-limit": "100", "x-ratelimit-minute-remaining": "99",
        "x-ratelimit-minute-reset": "1795226460",
        "x-ratelimit-day-limit": "10000", "x-ratelimit-day-remaining": "many", "x-ratelimit-day-reset": "1795305600",
    }  # fmt: skip
    assert answers.budget(headers) == Budget(100, 99, 1795226460.0, 10000, None, 1795305600.0)
    assert answers.budget({"content-type": "text/html"}) is None


@pytest.mark.parametrize(
    ("headers", "at"),
    [
        ({"date": DATE}, NOW),
        ({"date": "Sat Nov 21 02:00:00 2026"}, NOW),
        ({"date": "Sat, 21 Nov 2026 02:00:00 -0000"}, NOW),
        ({"date": DATE, "age": "0"}, NOW),
        ({"date": DATE, "age": "17"}, None),
        ({"date": "yesterday"}, None),
        ({"date": "Sat, 21 Nov 99999 02:00:00 GMT"}, None),
        ({"date": "Thu, 01 Jan 1970 00:00:00 GMT"}, None),
        ({"date": ""}, None),
        ({}, None),
    ],
)
def test_a_date_is_utc_or_nothing(headers: dict[str, str], at: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never this machine's zone, never a cached answer's."""
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    time.tzset()
    try:
        assert answers.date(headers) == at
    finally:
        monkeypatch.undo()
        time.tzset()


# --- whatever comes -------------------------------------------------------------------------------

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from([int(ANNA), ANNA, IN, OUT, "s1", "NO_OPEN_SHIFT", "Too many requests", "01JD3Q7M", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["data", "shift", "id", "userId", "start", "end", "timestamp", "timeActivitiesByUsers",
                         "shifts", "detail", "error", "details", "error_code", "managerNote", "path", "source", "type"])
        | st.text(max_size=5), inner, max_size=5),
    max_leaves=20,
)  # fmt: skip
_bodies = st.binary(max_size=200) | _json.map(lambda value: json.dumps(value).encode())
_headers = st.dictionaries(
    st.sampled_from(["date", "age", "retry-after", "x-ratelimit-minute-reset", "x-ratelimit-day-remaining"]),
    st.text(max_size=30),
)


def test_a_limit_of_nothing_is_not_told():
    """A day of 0 requests would be followed by days of 0 requests for ever: such a header says nothing."""
    told = answers.budget({"x-ratelimit-day-limit": "0", "x-ratelimit-day-remaining": "0"})
    assert told is not None
    assert (told.day_limit, told.day_remaining) == (None, 0)


@given(st.sampled_from(STEPS), st.integers(100, 599), _headers, _bodies)
def test_nothing_makes_it_raise_or_believe(step: Step, status: int, headers: dict[str, str], body: bytes) -> None:
    """Any bytes under any status give an outcome of the right kind; Done only where the whole proof is there."""
    outcome = judge(step, status, headers, body)
    answers.budget(headers)
    answers.date(headers)
    if isinstance(outcome, Done | DoneChanged):
        assert step in WRITES
        assert 200 <= status < 300
        assert outcome.record.user_id == ANNA
        text = body.decode("utf-8", "replace")
        assert "timestamp" in text
        assert ANNA in text
        if isinstance(outcome, Done):
            assert str(IN if step is OPEN else OUT) in text
    if not 200 <= status < 300:
        assert not isinstance(outcome, Done | DoneChanged | Found | Proven)
    if isinstance(outcome, Refused | Conflict | KeyRefused | Misconfigured):
        outcome.detail.encode()  # can be stored and shown
        assert len(outcome.detail) <= 500


@given(st.sampled_from(list(PROOFS)), st.data())
def test_a_proof_with_any_one_value_changed_is_not_done(name: str, data: st.DataObject) -> None:
    """Change one of id, person or time to anything else: it is never Done."""
    step, document = PROOFS[name]
    vital = [p for p in _paths(document) if p[-1] in ("id", "userId") or (p[-1] == "timestamp" and not
             (p[-2] == "start" and name in ("clock-out", "update")))]  # fmt: skip
    path = data.draw(st.sampled_from(vital))
    value = data.draw(_json)
    copy = json.loads(json.dumps(document))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    if value == inner[path[-1]] or str(value) == str(inner[path[-1]]):
        return
    inner[path[-1]] = value
    outcome = told(step, 200, copy)
    if path[-1] == "id" and step is not CLOSE and isinstance(value, str | int):
        assert isinstance(outcome, Done | Uncertain)  # another id is another record: kept, not judged here
    else:
        assert not isinstance(outcome, Done)
