"""What Connecteam's refusals mean: PURE, from the words of a 4xx body to an outcome.

The codes stand in at least five places (facts 1.9), two refusals have none at all (facts 1.4), and people's names
stand in the same sentences. So the words are searched from the surest place to the least sure, and the first place that
says anything decides: a field made for a code; a text that begins with one; a code anywhere; a known phrase. Where one
place says two different things, nothing is taken for known: the person who reviews it sees the service's own words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from daemon.timesheets.connecteam.wire import Json, clean
from daemon.timesheets.timesheet import (
    ClockAhead,
    CloseShift,
    Conflict,
    EndShift,
    KeyRefused,
    Misconfigured,
    OpenShift,
    Outcome,
    Probe,
    ReadPeople,
    RecordShift,
    RecordShifts,
    Refused,
    Step,
    TooOld,
)

#: The service's own words are kept up to this length, for the review.
WORDS_MAX = 500
#: A refusal is a few sentences. What comes behind this many texts, or this many characters of one, is not searched.
_TEXTS_MAX, _TEXT_MAX = 100, 1000

#: Fields that say again what was asked; a code in them is ours, not the service's.
_ECHOES = frozenset({"path", "url", "input", "body", "request", "requestid", "request_id", "ctx"})
#: Fields made for a code (facts 1.9).
_CODE_FIELDS = frozenset({"code", "error_code", "errorcode"})

#: What a code or phrase means.
_CODES = {
    "invalid_timestamp_future": "clock_ahead",
    "invalid_timestamp_too_old": "too_old",
    "invalid_timestamp_before_clock_in": "before_clock_in",
    "no_open_shift": "no_open_shift",
    "job_required": "job_required",
    "has_locked_days": "locked_days",
    "open_break": "open_break",
    "outside_geofence": "outside_geofence",
    "time_activity_not_found": "shift_gone",
    "invalid_id": "shift_gone",
}
_ANY_CODE = re.compile(r"(?<![a-z0-9_])(" + "|".join(_CODES) + r")(?![a-z0-9_])")

#: Seen or documented wordings first (facts 1.4, 1.5, 1.9), then what else such a sentence may say. A name between
#: "User" and the verb is skipped by asking for the verb, not for the name.
_NOT_THERE = r"(does ?n[o'’]t exist|not found)\b"
_PHRASES = (
    ("time_clock", r"\btime ?clock( id)?\b[^,;]{0,40}\b(" + _NOT_THERE + r"|archived\b)"),
    ("locked_days", r"\blocked (or approved )?days?\b|\bdays? (is|are) (locked|approved)\b"),
    ("already_open", r"\balready\b.{0,30}\b(open|active) shift\b|\balready (clocked|punched) in\b"),
    ("no_open_shift", r"(\bno|\bnot have an|n['’]t have an) (open|active) shift\b|\bnot clocked in\b"),
    ("not_assigned", r"(\bnot|n['’]t) assigned\b"),
    ("job_required", r"\bjob( ?id)? is required\b"),
    ("open_break", r"\bopen break\b|\b(on|into) a (manual )?break\b"),
    ("outside_geofence", r"\bgeo-?fence\b"),
    ("clock_ahead", r"\btimestamp\b.{0,40}\bin the future\b"),
    ("too_old", r"\btimestamp\b.{0,40}\b(too old|12 hours)\b"),
    ("before_clock_in", r"\b(before|after) the open shift['’]s clock.?in\b"),
    ("overlap", r"\boverlap"),
    ("no_such", r"\b(user|job)( ?id)?\b[^,;]{0,40}\b" + _NOT_THERE),
    ("shift_gone", r"\b(shift|time activity)\b[^,;]{0,60}\b" + _NOT_THERE),
)


def judge_refusal(step: Step, status: int, told: Json) -> Outcome:
    """What a 4xx with the service's own JSON means for this step. Never raises."""
    detail = words(told)
    meaning = _meaning(told)
    outcome = None if meaning is None else _outcome(step, status, meaning, detail)
    if status == 401 or (status == 403 and outcome is None):
        return KeyRefused(status, detail)
    if outcome is not None:
        return outcome
    if status in (404, 405):
        return Misconfigured(status, detail)
    if status == 422:
        return Refused("invalid_request", detail)
    return Refused("refused", detail, recognised=False)


def words(told: Json) -> str:
    """The service's own words, at most WORDS_MAX characters, echoes left out."""
    return "; ".join(dict.fromkeys(text for _, text in _texts(told) if text))[:WORDS_MAX]


def _outcome(step: Step, status: int, meaning: str, detail: str) -> Outcome | None:
    """The outcome a meaning has for this step; None where it cannot be meant."""
    live = isinstance(step, OpenShift | EndShift)
    writes = isinstance(step, OpenShift | EndShift | RecordShift | RecordShifts | CloseShift)
    match meaning:
        case "time_clock" if not isinstance(step, Probe):
            return Misconfigured(status, detail)
        case "clock_ahead" if writes:
            return ClockAhead(detail)
        case "too_old" if live:  # a completed shift or an update has no look-back to be too old for
            return TooOld(detail)
        case "already_open" if isinstance(step, OpenShift):
            return Conflict("already_open", detail)
        case "no_open_shift" if isinstance(step, EndShift):
            return Conflict("no_open_shift", detail)
        case "before_clock_in" if isinstance(step, EndShift | CloseShift):
            return Conflict("before_clock_in", detail)
        case "shift_gone" if isinstance(step, CloseShift):
            return Conflict("shift_gone", detail)
        case "overlap" if writes:
            return Refused("overlaps_existing_shift", detail)
        case "no_such" if not isinstance(step, Probe | ReadPeople):
            return Refused("invalid_request", detail)
        case "not_assigned" | "job_required" | "locked_days" | "open_break" | "outside_geofence" if writes:
            return Refused(meaning, detail)
    return None


def _meaning(told: Json) -> str | None:
    texts = [(key, text.lower()) for key, text in _texts(told)]
    every = [text for _, text in texts] + [key for key, _ in texts]
    places = (
        {_CODES[text] for key, text in texts if key in _CODE_FIELDS and text in _CODES},
        {_CODES[code[1]] for text in every if (code := _ANY_CODE.match(text))},
        {_CODES[code] for text in every for code in _ANY_CODE.findall(text)},
        _phrases(every),
    )
    said = next((place for place in places if place), set())
    return said.pop() if len(said) == 1 else None


def _phrases(texts: list[str]) -> set[str]:
    said = {meaning for meaning, phrase in _PHRASES for text in texts if re.search(phrase, text)}
    # Locked days are told with a person's name before them and a list of days behind: that sentence alone is known
    # to carry words of others, so it wins.
    return {"locked_days"} if "locked_days" in said else said


def _texts(told: Json) -> Iterator[tuple[str, str]]:
    """The texts of the body in their order, each with the name of the field it stands in; echoes left out."""
    pending: list[tuple[str, object]] = [("", told)]
    count = 0
    while pending and count < _TEXTS_MAX:  # no recursion: how deep a body goes is the sender's choice
        key, value = pending.pop()
        if isinstance(value, str):
            count += 1
            yield key, clean(value[:_TEXT_MAX].strip())
        elif isinstance(value, list):
            pending += [(key, item) for item in reversed(value)]
        elif isinstance(value, dict):
            inner = [(str(name).lower(), item) for name, item in value.items()]
            pending += [(name, item) for name, item in reversed(inner) if name not in _ECHOES]
