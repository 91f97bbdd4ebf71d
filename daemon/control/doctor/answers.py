"""What the daemon's own answers tell: status, reviews, unknown badges, employees. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from daemon.control.doctor.findings import Finding, Severity, fine, found
from daemon.control.render import printable, span, unix

Json = Mapping[str, Any]

#: A punch that is older and still pending is worth a look; past the look-back it can no longer go live.
OLD_S = 3600.0
TOO_OLD_S = 12 * 3600.0
#: In, out for lunch, in, out.
PUNCHES_A_DAY = 4
NAMES_MAX = 5

#: Alarms that have a code of their own here; the others are shown as they are.
_OF_ALARMS = {
    "halted": "key_refused",
    "misconfigured": "time_clock_unknown",
    "look_up_refused": "look_up_refused",
    "clock_doubted": "clock_doubted",
    "clock_untrusted": "clock_untrusted",
    "certificate_time": "certificate_time",
    "plan_too_small": "budget_too_small",
    "database_damaged": "database_damaged",
    "database_salvaged": "database_salvaged",
    "copy_failing": "copy_failing",
    "cannot_store": "cannot_store",
    "queue_old": "undelivered_old",
}
#: Those are looked at by themselves, and told with more than the alarm says; of readers there is one each.
_TOLD_ELSEWHERE = ("review_waiting", "disk_low", "reader_lost")
#: What a reader's driver says in its detail (drivers/pcsc_words.py, drivers/scanner_device.py).
_OF_DETAILS = {
    "polkit": "polkit_refused",
    "pcscd is not running": "pcscd_absent",
    "may not read it": "input_denied",
    "let this user read it": "input_denied",
}


@dataclass(frozen=True, slots=True)
class Answers:
    """What the daemon answered."""

    status: Json
    reviews: Sequence[Json]
    unknown: Sequence[Json]
    people: int


def judge(answers: Answers) -> list[Finding]:
    """Everything that can be read from the answers."""
    status = answers.status
    return [
        *_alarms(status),
        *_delivery(status),
        *_clock(status),
        *_readers(status),
        *not_assigned([review["name"] for review in answers.reviews if review["reason"] == "not_assigned"]),
        *_queue(status),
        *unknown_taps(sum(one["taps"] for one in answers.unknown), len(answers.unknown)),
        *_budget(status, answers.people),
    ]


def _alarms(status: Json) -> list[Finding]:
    told = [
        found(_OF_ALARMS.get(alarm["code"], "alarm"), printable(f"{alarm['code']}: {alarm['text']}"))
        for alarm in status["alarms"]
        if alarm["code"].split(":")[0] not in _TOLD_ELSEWHERE
    ]
    return told or [fine("alarms", "no alarm stands")]


def _delivery(status: Json) -> list[Finding]:
    state = status["state"]
    detail = printable(f": {status['detail']}" if status["detail"] else "")
    if state == "offline":
        return [found("service_unreachable", f"the service cannot be reached{detail}")]
    if state == "paused":
        return [found("delivery_paused", "a person has paused delivery; taps are taken and kept")]
    if state == "halted":
        if any(alarm["code"] in ("halted", "misconfigured") for alarm in status["alarms"]):
            return []
        return [found("key_refused", f"the service refuses us{detail}")]
    return [fine("delivery", "delivery is online")]


def _clock(status: Json) -> list[Finding]:
    clock = status["clock"]
    told = {alarm["code"] for alarm in status["alarms"]}
    if clock["doubt_s"] is not None:
        text = f"the service's clock differs from this kiosk's by {clock['doubt_s']:+.0f} s; nothing is delivered"
        return [] if "clock_doubted" in told else [found("clock_doubted", text)]
    if not clock["trusted"]:
        text = "the clock is not trusted yet, so nothing is delivered"
        return [] if "clock_untrusted" in told else [found("clock_untrusted", text)]
    return [fine("clock", f"the clock is trusted ({clock['source']})")]


def _readers(status: Json) -> list[Finding]:
    if not status["readers"]:
        return [found("no_readers", "no reader is configured: nobody can tap")]
    return [_reader(reader) for reader in status["readers"]]


def _reader(reader: Json) -> Finding:
    name, state, detail = printable(reader["name"]), reader["state"], reader["detail"] or ""
    if state == "open":
        return fine("reader", f"reader {name} takes taps")
    code = next((code for words, code in _OF_DETAILS.items() if words in detail), "reader_lost")
    return found(code, printable(f"reader {name} is {state}{f': {detail}' if detail else ''}"))


def _queue(status: Json) -> list[Finding]:
    queue = status["queue"]
    oldest = queue["oldest_pending_at"]
    if any(alarm["code"] == "queue_old" for alarm in status["alarms"]):
        return reviews(queue["review"])
    return [*reviews(queue["review"]), *old(unix(oldest) if oldest else None, unix(status["now"]))]


def reviews(count: int) -> list[Finding]:
    """Punches that need a person."""
    if not count:
        return [fine("review", "no punch needs a person")]
    return [found("review_waiting", f"{count} {'punch needs' if count == 1 else 'punches need'} a person")]


def old(oldest_at: float | None, now: float) -> list[Finding]:
    """How long the oldest pending punch has waited (Unix seconds)."""
    waited = 0.0 if oldest_at is None else now - oldest_at
    if waited < OLD_S:
        return [fine("queue", "nothing has waited long for its delivery")]
    severity = Severity.PROBLEM if waited >= TOO_OLD_S else Severity.WARNING
    return [found("undelivered_old", f"the oldest pending punch was tapped {span(waited)} ago", severity=severity)]


def unknown_taps(taps: int, badges: int) -> list[Finding]:
    """Taps of badges that nobody owns."""
    if not taps:
        return [fine("badges", "no tap of an unknown badge waits for its owner")]
    return [found("unknown_taps", f"{taps} taps of {badges} unknown badges wait for their owners")]


def not_assigned(names: Sequence[str]) -> list[Finding]:
    """People whom the service does not know on this time clock."""
    people = sorted(set(names))
    if not people:
        return [fine("people", "nobody is refused for not being assigned to the time clock")]
    more = f" and {len(people) - NAMES_MAX} more" if len(people) > NAMES_MAX else ""
    listed = printable(", ".join(people[:NAMES_MAX]))
    return [found("people_not_assigned", f"not assigned to the time clock: {listed}{more}")]


def _budget(status: Json, people: int) -> list[Finding]:
    limit = (status["budget"] or {}).get("day_limit")
    if limit is None or any(alarm["code"] == "plan_too_small" for alarm in status["alarms"]):
        return []
    needed = people * PUNCHES_A_DAY
    if limit < needed:
        text = f"the plan allows {limit} requests a day; {people} people need about {needed}"
        return [found("budget_too_small", text)]
    return [fine("budget", f"the plan's {limit} requests a day carry {people} people")]
