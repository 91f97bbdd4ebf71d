"""Every row of the answers table (delivery.md, "What an answer means"): what each outcome does to its punches."""

from __future__ import annotations

import pytest

from daemon.delivery.plan import Send
from daemon.delivery.settle import Reach, settle
from daemon.model import PunchState, RecordedAs
from daemon.timesheets.timesheet import (
    CertificateTime,
    ClockAhead,
    CloseShift,
    Conflict,
    Done,
    DoneChanged,
    EndShift,
    KeyRefused,
    Misconfigured,
    NotSent,
    OpenShift,
    RecordShift,
    Refused,
    Reply,
    Throttled,
    TooOld,
    Uncertain,
)
from tests.support.lanes import at, punch, second, shift

IN = punch("in", 8).punch
OUT = punch("out", 16).punch
OPEN = Send(OpenShift("7", second(8)), (IN.id,))
END = Send(EndShift("7", second(16), "s1"), (OUT.id,))
PAIR = Send(RecordShift("7", second(8), second(16), IN.id), (IN.id, OUT.id))
CLOSE = Send(CloseShift("7", "s1", second(16), OUT.id), (OUT.id,))


def states(settlement):
    """Which punch goes where, and why."""
    return [(v.punch_id, v.state.value, v.reason) for v in settlement.verdicts]


def test_done_delivers_with_the_records_id():
    """2xx with id and our time: settled, remote id kept."""
    result = settle(OPEN, [IN], Reply(Done(shift("s1", 8))), at(8.1))
    (verdict,) = result.verdicts
    assert (verdict.state, verdict.remote_id, verdict.recorded_as) == (
        PunchState.DELIVERED,
        "s1",
        RecordedAs.CLOCK_IN,
    )
    assert (result.attempt_outcome, result.reach) == ("done", Reach.ANSWERED)
    assert result.written is not None


def test_done_delivers_both_punches_of_a_pair():
    """One completed shift settles its clock-in and its clock-out."""
    result = settle(PAIR, [IN, OUT], Reply(Done(shift("s1", 8, 16))), at(30))
    assert {(v.state, v.recorded_as) for v in result.verdicts} == {(PunchState.DELIVERED, RecordedAs.TIME_ACTIVITY)}
    assert len(result.verdicts) == 2


def test_a_clock_out_that_closed_another_shift_needs_a_person():
    """The answer must carry the shift id that the clock-in got."""
    result = settle(END, [OUT], Reply(Done(shift("other", 7, 16))), at(16.1))
    assert states(result) == [(OUT.id, "review", "closed_another_shift")]


def test_an_update_is_believed_only_when_read_back():
    """Even a proven answer leaves the attempt open (facts, U1)."""
    result = settle(CLOSE, [OUT], Reply(Done(shift("s1", 8, 16))), at(30))
    assert (result.verdicts, result.attempt_outcome) == ((), None)


@pytest.mark.parametrize(("off", "state"), [(900, "delivered"), (-900, "delivered"), (901, "review")])
def test_another_time_than_ours_is_never_sent_again(off, state):
    """Up to 15 minutes off delivered with an alarm, more needs a person."""
    result = settle(OPEN, [IN], Reply(DoneChanged(shift("s1", 8), off)), at(8.1))
    reason = None if state == "delivered" else "server_changed_time"
    assert states(result) == [(IN.id, state, reason)]
    assert result.changed_by_s == off
    assert result.verdicts[0].remote_id == "s1"


@pytest.mark.parametrize("outcome", [Uncertain("timeout"), Uncertain("502", 502)])
def test_unknown_leaves_the_attempt_open(outcome):
    """Nothing is decided: it is looked up before anything else."""
    result = settle(OPEN, [IN], Reply(outcome), at(8.1))
    assert (result.verdicts, result.attempt_outcome, result.reach) == ((), None, Reach.UNCLEAR)


@pytest.mark.parametrize(
    ("outcome", "reach", "word"),
    [
        (NotSent("refused"), Reach.UNREACHED, "not_sent"),
        (CertificateTime("not yet valid"), Reach.CERTIFICATE_TIME, "not_sent"),
        (Throttled(None), Reach.THROTTLED, "throttled"),
        (KeyRefused(401, "expired"), Reach.KEY_REFUSED, "key_refused"),
        (Misconfigured(404, "no such clock"), Reach.MISCONFIGURED, "misconfigured"),
        (TooOld("INVALID_TIMESTAMP_TOO_OLD"), Reach.ANSWERED, "too_old"),
    ],
)
def test_what_surely_did_not_happen_goes_again(outcome, reach, word):
    """Not sent, throttled, halted, misconfigured, too old: pending, nothing moves to review."""
    result = settle(PAIR, [IN, OUT], Reply(outcome), at(16.1))
    assert [state for _, state, _ in states(result)] == ["pending", "pending"]
    assert (result.reach, result.attempt_outcome) == (reach, word)


def test_a_conflict_is_looked_up():
    """Already open and its like stay in flight, with the service's words in the ended attempt."""
    result = settle(OPEN, [IN], Reply(Conflict("already_open", "User already has an open shift")), at(8.1))
    assert (result.verdicts, result.attempt_outcome) == ((), "already_open")


def test_a_refusal_needs_a_person_with_its_code_and_words():
    """Refused: review with a stable code and the server's words."""
    result = settle(OPEN, [IN], Reply(Refused("locked_days", "HAS_LOCKED_DAYS: 2026-11-20")), at(8.1))
    assert states(result) == [(IN.id, "review", "locked_days")]
    assert result.detail == "HAS_LOCKED_DAYS: 2026-11-20"
    assert result.suspicious is None
    assert settle(OPEN, [IN], Reply(Refused("refused", "??", recognised=False), 400), at(8)).suspicious == "400 ??"


def test_a_few_seconds_ahead_wait_more_needs_a_person():
    """INVALID_TIMESTAMP_FUTURE: off by at most 5 s waits that long; more means that our clock misdated it."""
    near = settle(OPEN, [IN], Reply(ClockAhead("future"), server_date=at(8) - 4), at(8))
    assert (states(near), near.defer_s) == ([(IN.id, "pending", None)], 5.0)
    far = settle(OPEN, [IN], Reply(ClockAhead("future"), server_date=at(8) - 6), at(8))
    assert states(far) == [(IN.id, "review", "clock_ahead")]


def test_a_service_that_lets_no_open_shift_be_changed_is_nobodys_misconfiguration():
    """An update refused in words nobody knows: could_not_close, for that one alone; others are not held back for it."""
    result = settle(
        CLOSE, [OUT], Reply(Refused("refused", "An open shift cannot be edited", False), status=400), at(30)
    )
    assert states(result) == [(OUT.id, "review", "could_not_close")]
    assert (result.attempt_outcome, result.suspicious) == ("did_not_take", None)
    known = settle(CLOSE, [OUT], Reply(Refused("locked_days", "the day is locked", True), status=400), at(30))
    assert states(known) == [(OUT.id, "review", "locked_days")]
