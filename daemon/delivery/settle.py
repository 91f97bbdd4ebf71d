"""PURE: what an answer means for its punches, and for the whole loop (delivery.md, "What an answer means")."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from daemon.delivery.matching import RECORDED_AS
from daemon.delivery.plan import Send, Verdict
from daemon.delivery.policy import ROUNDING_MAX_S
from daemon.delivery.walk import described
from daemon.model import Punch, PunchState
from daemon.timesheets.timesheet import (
    CertificateTime,
    ClockAhead,
    CloseShift,
    Conflict,
    Done,
    DoneChanged,
    EndShift,
    Found,
    KeyRefused,
    Misconfigured,
    NotSent,
    Outcome,
    People,
    Proven,
    Refused,
    Reply,
    ShiftRecord,
    Standings,
    Taken,
    Throttled,
    TooOld,
    Uncertain,
)

#: The service may call a time its future by this much before our clock is in doubt (delivery.md).
FUTURE_LEEWAY_S = 5


class Reach(enum.Enum):
    """What an answer says about the way to the service."""

    ANSWERED = "answered"  # the service itself spoke
    UNREACHED = "unreached"  # nothing left the box
    UNCLEAR = "unclear"  # something left; what came back proves nothing
    THROTTLED = "throttled"
    KEY_REFUSED = "key_refused"
    MISCONFIGURED = "misconfigured"
    CERTIFICATE_TIME = "certificate_time"


@dataclass(frozen=True, slots=True)
class Settlement:
    """What to write down after an answer, in one transaction.

    `attempt_outcome` None leaves the attempt open: its outcome is not known and will be looked up. `written` is the
    record that now surely stands. `defer_s` keeps this lane back for a moment. `suspicious` names an unrecognised
    refusal: the same for three people in a row is a misconfiguration and not their trouble.
    """

    reach: Reach
    verdicts: tuple[Verdict, ...] = ()
    attempt_outcome: str | None = None
    detail: str | None = None
    written: ShiftRecord | None = None
    defer_s: float = 0.0
    changed_by_s: int | None = None
    suspicious: str | None = None

    @property
    def plain(self) -> bool:
        """Whether all is delivered as it was asked for: nothing else hangs on its being written down."""
        return self.attempt_outcome == "done" and all(one.state is PunchState.DELIVERED for one in self.verdicts)


def reach_of(outcome: Outcome) -> Reach:
    """What an outcome says about the way to the service, whatever was asked."""
    match outcome:
        case NotSent():
            return Reach.UNREACHED
        case Uncertain():
            return Reach.UNCLEAR
        case Throttled():
            return Reach.THROTTLED
        case KeyRefused():
            return Reach.KEY_REFUSED
        case Misconfigured():
            return Reach.MISCONFIGURED
        case CertificateTime():
            return Reach.CERTIFICATE_TIME
        case _:
            return Reach.ANSWERED


def settle(send: Send, punches: Sequence[Punch], reply: Reply, server_now: float) -> Settlement:
    """What the answer to `send` means for its punches (one, or the two of a pair)."""
    outcome, reach = reply.outcome, reach_of(reply.outcome)
    match outcome:
        case Done() | DoneChanged():
            return _recorded(send, outcome)
        case Uncertain(why):
            return Settlement(reach, detail=why)
        case Conflict(reason, detail):
            return Settlement(reach, attempt_outcome=reason, detail=detail)
        case NotSent(why) | CertificateTime(why):
            return _again(send, reach, "not_sent", why)
        case Throttled():
            return _again(send, reach, "throttled", None)
        case KeyRefused(_, detail):
            return _again(send, reach, "key_refused", detail)
        case Misconfigured(_, detail):
            return _again(send, reach, "misconfigured", detail)
        case TooOld(detail):
            return _again(send, reach, "too_old", detail)
        case ClockAhead(detail):
            return _clock_ahead(send, punches, reply, detail, server_now)
        case Refused(_, detail, recognised) if isinstance(send.step, CloseShift) and not recognised:
            # That a service lets no open shift be changed is nobody's misconfiguration (facts, U1).
            verdicts = _all(send, PunchState.REVIEW, reason="could_not_close", detail=detail)
            return Settlement(reach, verdicts, "did_not_take", detail)
        case Refused(reason, detail, recognised):
            verdicts = _all(send, PunchState.REVIEW, reason=reason, detail=detail)
            return Settlement(
                reach, verdicts, "refused", detail, suspicious=None if recognised else f"{reply.status} {detail}"
            )
        case Found() | Proven() | Taken() | People() | Standings():
            raise AssertionError(f"a write cannot answer {type(outcome).__name__}")
    assert_never(outcome)


def settle_together(outcome: Outcome) -> str | None:
    """What an answer to several completed shifts means for each of their attempts: its end, or None to read back.

    A refusal proves nothing: the service may have recorded the others before it refused one (facts, U8). What is then
    absent goes again by itself, and only that answer counts against anyone.
    """
    match outcome:
        case NotSent() | CertificateTime():
            return "not_sent"
        case Throttled():
            return "throttled"
        case KeyRefused():
            return "key_refused"
        case Misconfigured():
            return "misconfigured"
        case _:
            return None


def _recorded(send: Send, outcome: Done | DoneChanged) -> Settlement:
    record, step = outcome.record, send.step
    if isinstance(step, CloseShift):  # believed only when read back (facts, U1)
        return Settlement(Reach.ANSWERED, detail="answered; to be read back")
    if isinstance(step, EndShift) and record.id != step.shift_id:
        detail = f"expected shift {step.shift_id}; {described(record)}"
        verdicts = _all(send, PunchState.REVIEW, reason="closed_another_shift", detail=detail, record=record)
        return Settlement(Reach.ANSWERED, verdicts, "closed_another_shift", detail, written=record)
    if isinstance(outcome, Done):
        return Settlement(Reach.ANSWERED, _all(send, PunchState.DELIVERED, record=record), "done", written=record)
    detail = f"recorded {abs(outcome.off_s)} s {'later' if outcome.off_s > 0 else 'earlier'}; {described(record)}"
    if abs(outcome.off_s) <= ROUNDING_MAX_S:
        verdicts = _all(send, PunchState.DELIVERED, detail=detail, record=record)
    else:
        verdicts = _all(send, PunchState.REVIEW, reason="server_changed_time", detail=detail, record=record)
    return Settlement(Reach.ANSWERED, verdicts, "done_changed", detail, record, changed_by_s=outcome.off_s)


def _clock_ahead(send: Send, punches: Sequence[Punch], reply: Reply, detail: str, server_now: float) -> Settlement:
    """A few seconds early waits for them; more means that our clock gave this punch a wrong time."""
    theirs = reply.server_date if reply.server_date is not None else server_now
    ahead = max(punch.second for punch in punches) - theirs
    if ahead <= FUTURE_LEEWAY_S:
        again = _all(send, PunchState.PENDING)
        return Settlement(Reach.ANSWERED, again, "clock_ahead", detail, defer_s=max(ahead, 0.0) + 1.0)
    return Settlement(
        Reach.ANSWERED, _all(send, PunchState.REVIEW, reason="clock_ahead", detail=detail), "clock_ahead", detail
    )


def _again(send: Send, reach: Reach, outcome: str, detail: str | None) -> Settlement:
    return Settlement(reach, _all(send, PunchState.PENDING), outcome, detail)


def _all(
    send: Send,
    state: PunchState,
    *,
    reason: str | None = None,
    detail: str | None = None,
    record: ShiftRecord | None = None,
) -> tuple[Verdict, ...]:
    as_ = RECORDED_AS[type(send.step)] if record is not None else None
    return tuple(
        Verdict(punch_id, state, reason, detail, record.id if record else None, as_, record=record)
        for punch_id in send.punch_ids
    )
