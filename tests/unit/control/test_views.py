from __future__ import annotations

import json
from dataclasses import replace

import pytest

from daemon.control import views
from daemon.events import Event
from daemon.model import Badge, BadgeState, Direction, Punch, PunchState, RecordedAs, Source, TapAnswer, TapResult
from daemon.queue.deliveries import Attempt, History

PUNCH = Punch(
    id="01K9ZQ4T5V0000000000000000",
    seq=1,
    user_id="9170357",
    name="Ada Lovelace",
    direction=Direction.CLOCK_IN,
    occurred_at=1772352000.987,
    raw_at=1772352003.5,
    time_error_s=0.5,
    time_known=True,
    boot_id="b",
    boottime_s=10.0,
    synchronised=True,
    reader="front",
    badge="04A2B3C4D5E680",
    source=Source.TAP,
    job_id=None,
    state=PunchState.DELIVERED,
    reason=None,
    detail=None,
    attempts=1,
    remote_id="77",
    recorded_as=RecordedAs.CLOCK_IN,
)


def as_json(value: object) -> object:
    return json.loads(views.encoded(value))


def test_a_punch_has_exactly_the_members_of_the_contract() -> None:
    """Names, order and types are the contract's; seconds are floored in both forms."""
    assert as_json(views.punch_view(PUNCH)) == {
        "id": "01K9ZQ4T5V0000000000000000",
        "user_id": "9170357",
        "name": "Ada Lovelace",
        "direction": "clock_in",
        "occurred_at": "2026-03-01T08:00:00Z",
        "occurred_at_unix": 1772352000,
        "raw_at": "2026-03-01T08:00:03Z",
        "time_error_s": 0.5,
        "reader": "front",
        "badge": "04A2B3C4D5E680",
        "source": "tap",
        "state": "delivered",
        "reason": None,
        "detail": None,
        "attempts": 1,
        "remote_id": "77",
        "recorded_as": "clock_in",
    }


def test_what_is_not_known_of_a_punch_is_null() -> None:
    """A punch of an untrusted clock has no direction and no error bound; a decision has no reader and no badge."""
    unknown = replace(PUNCH, direction=None, time_error_s=float("inf"), reader=None, badge=None, recorded_as=None)
    shown = as_json(views.punch_view(unknown))
    assert isinstance(shown, dict)
    assert [shown[key] for key in ("direction", "time_error_s", "reader", "badge", "recorded_as")] == [None] * 5


def test_a_taps_answer_holds_the_punch_or_null() -> None:
    """The contract's answer to a tap, for an accepted and for a refused one."""
    assert views.tap_view(TapAnswer(TapResult.REFUSED, "badge_blocked")) == {
        "result": "refused",
        "reason": "badge_blocked",
        "punch": None,
    }
    assert views.tap_view(TapAnswer(TapResult.ACCEPTED, punch=PUNCH))["punch"] == views.punch_view(PUNCH)


def test_a_review_carries_what_its_reason_means_and_what_mends_it() -> None:
    """Whoever reads a review needs no second page; an unknown code is no failure."""
    shown = views.review_view(replace(PUNCH, state=PunchState.REVIEW, reason="not_assigned"))
    assert "not assigned" in shown["text"]
    assert "Assign the person" in shown["remedy"]
    assert views.review_view(replace(PUNCH, reason="of_a_newer_version"))["remedy"] is None


def test_a_history_keeps_order_and_writes_instants_as_text() -> None:
    """Attempts and journal stay oldest first; ids are strings, and an answer that never came is null."""
    attempt = Attempt(7, "open_shift", {"user_id": "9", "at": 1772352000}, 1772352001.5, None, None, None, None, None)
    line = {"at": 1772352002.0, "by": "uid:1000", "action": "punch.review", "data": {"reason": "refused"}}
    shown = views.history_view(History((attempt,), (line,)))
    assert shown["attempts"][0]["id"] == "7"
    assert shown["attempts"][0]["sent_at"] == "2026-03-01T08:00:01Z"
    assert shown["attempts"][0]["ended_at"] is None
    assert shown["journal"] == [
        {"at": "2026-03-01T08:00:02Z", "by": "uid:1000", "action": "punch.review", "data": {"reason": "refused"}}
    ]


@pytest.mark.parametrize(
    ("badge", "masked"),
    [
        ("04A2B3C4", "******C4"),
        ("04A2B3C4D5E680", "***********680"),
        ("1234567890123456789012345678", "************************5678"),
        ("1234", "**34"),
        ("123", "**3"),
        ("7", "*"),
        ("", ""),
    ],
)
def test_a_masked_badge_shows_its_end_and_never_more_than_half(badge: str, masked: str) -> None:
    """Enough to tell two badges apart, too little to copy one."""
    assert views.mask_badge(badge) == masked


def test_badges_are_masked_wherever_they_stand() -> None:
    """Lists, nested objects and events alike; nothing else changes."""
    document = {
        "badge": "04A2B3C4",
        "name": "04A2B3C4 stays in a name",
        "employees": [{"badges": ["04A2B3C4", "99887766"]}],
        "data": {"badge": {"badge": "04A2B3C4", "state": "assigned"}},
        "badges": [{"badge": "04A2B3C4"}],
        "none": {"badge": None},
    }
    assert views.masked(document) == {
        "badge": "******C4",
        "name": "04A2B3C4 stays in a name",
        "employees": [{"badges": ["******C4", "******66"]}],
        "data": {"badge": {"badge": "******C4", "state": "assigned"}},
        "badges": [{"badge": "******C4"}],
        "none": {"badge": None},
    }


def test_an_event_may_carry_anything() -> None:
    """Punches, enums, data classes, sets and strange objects become JSON; instants become text by their names."""
    badge = Badge("04A2B3C4", BadgeState.ASSIGNED, "9", "Ada", 1772352000.0)
    data = {
        "punch": PUNCH,
        "badge": badge,
        "state": PunchState.HELD,
        "until": 1772352000.5,
        "delay_s": 1.23456,
        "ids": {"a"},
        "odd": object,
        "half": "\ud83d",
    }
    shown = as_json(views.event_view(Event("punch.committed", 1772352000.2, data)))
    assert isinstance(shown, dict)
    assert shown["at"] == "2026-03-01T08:00:00Z"
    assert shown["data"]["punch"]["id"] == PUNCH.id
    assert shown["data"]["badge"]["since"] == "2026-03-01T08:00:00Z"
    assert shown["data"]["state"] == "held"
    assert shown["data"]["until"] == "2026-03-01T08:00:00Z"
    assert shown["data"]["delay_s"] == 1.235
    assert shown["data"]["ids"] == ["a"]
