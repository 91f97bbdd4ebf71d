"""What people are shown: the verdict, what to do, what became of a tap, and a history in its order."""

from __future__ import annotations

import io
import re
from contextlib import suppress
from dataclasses import replace
from datetime import UTC
from typing import Any

import pytest

from daemon.control.commands.base import working
from daemon.control.render import Look, columns, counted
from daemon.control.screens import advise, punch_screen, tap_screen, verdict
from daemon.reasons import REASONS

LOOK = Look(now=1_800_000_000.0, zone=UTC)


def status(alarms: tuple[str, ...] = (), **queue: int) -> dict[str, Any]:
    """A kiosk that is online."""
    return {
        "name": "door", "state": "online", "detail": None, "clock": {"trusted": True}, "readers": [{"state": "open"}],
        "queue": {"pending": 0, "held": 0, "in_flight": 0, "review": 0, **queue},
        "alarms": [{"code": code, "text": f"{code} it is"} for code in alarms],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("queue", "said"),
    [
        ({}, "door is online: all that was tapped is on the timesheet"),
        ({"held": 1}, "door is online: 1 punch to deliver"),
        ({"review": 1}, "door is online: 1 punch needs a person"),
        ({"pending": 1, "in_flight": 1, "review": 2}, "door is online: 2 punches to deliver, 2 punches need a person"),
    ],
)
def test_the_first_line_does_not_say_that_all_is_there_when_it_is_not(queue, said):
    """A punch in review is not on the timesheet."""
    assert verdict(status(**queue), LOOK) == said


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("state", ["online", "offline", "paused", "halted"])
@pytest.mark.parametrize("name", ["door", "The Front Door of the Bakery " + "x" * 35, "山" * 38])
def test_the_verdict_fits_whatever_the_state_and_the_name(name, state, colour):
    """80 columns, in two lines where one is too short; in colour the same words."""
    told = {**status(pending=123456, review=1234), "name": name, "state": state}
    shown = re.sub(r"\x1b\[\d+m", "", verdict(told, replace(LOOK, colour=colour)))
    assert [line for line in shown.splitlines() if columns(line) > 80] == []
    assert " ".join(shown.split()) == " ".join(verdict(told, replace(LOOK, width=500)).split())


def test_what_an_alarm_tells_is_not_told_twice():
    """The alarm of what waits for a person stands for the count."""
    assert advise(status(review=1)) == ["1 punch needs a person: punchctl review list"]
    assert advise(status(("review_waiting",), review=1)) == ["review_waiting: review_waiting it is"]


@pytest.mark.parametrize("code", [reason.code for reason in REASONS.values() if reason.where == "tap"])
def test_a_tap_that_became_nothing_says_why_and_what_mends_it(code):
    """In words; a repeat needs no mending."""
    result = "repeat" if code == "repeat_tap" else "refused"
    first, *rest = tap_screen({"result": result, "reason": code, "punch": None}, Look(0, UTC, 500)).splitlines()
    assert first == f"{result} ({code}): {REASONS[code].text}"
    assert rest == ([] if result == "repeat" else [f"  -> {REASONS[code].remedy}"])


def test_history_shows_a_request_before_what_came_of_it():
    """Within one second: the tap, what a person did, the request, and that it was settled."""
    at = "2027-01-15T08:00:00Z"
    shown = punch_screen(
        {
            "id": "P", "name": "Ada", "user_id": "7", "direction": "clock_in", "occurred_at": at, "raw_at": at,
            "state": "delivered", "reason": None, "recorded_as": "clock_in", "remote_id": "R", "reader": "front",
            "badge": "04A1", "detail": None, "source": "tap",
            "history": {
                "journal": [
                    {"at": at, "by": "uid:0", "action": "punch.retried", "data": {"from": "review"}},
                    {"at": at, "by": "automatic", "action": "punch.delivered", "data": {"from": "in_flight"}},
                ],
                "attempts": [{"sent_at": at, "kind": "open_shift", "outcome": "done", "status": 200, "detail": None}],
            },
        },
        LOOK,
    )  # fmt: skip
    told = shown.split("History\n")[1].splitlines()
    assert [line.split()[1] for line in told] == ["punch.retried", "sent", "punch.delivered"]


def test_one_is_one():
    """A number with its word."""
    assert [counted(n, "tap") for n in (0, 1, 2)] == ["0 taps", "1 tap", "2 taps"]
    assert counted(2, "punch", "punches") == "2 punches"


@pytest.mark.parametrize("terminal", [True, False])
def test_what_takes_its_time_is_told_on_a_terminal_and_taken_back(monkeypatch, terminal):
    """Also where it fails; a log gets nothing of it."""
    told = io.StringIO()
    monkeypatch.setattr(told, "isatty", lambda: terminal)
    monkeypatch.setattr("sys.stderr", told)
    with suppress(OSError), working("Reading"):
        assert told.getvalue() == ("Reading …" if terminal else "")
        raise OSError
    assert told.getvalue() == ("Reading …\r\x1b[K" if terminal else "")
