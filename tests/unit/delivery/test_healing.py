"""Obstacles that a list of shifts does not show: which reads are made, and what counts as gone."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.delivery.healing import HEALABLE, checks, days_of, healed, merged
from daemon.model import Punch, PunchState
from daemon.reasons import REASONS
from daemon.timesheets.connecteam.staff import TIMESHEET_DAYS_MAX, locks_query
from daemon.timesheets.timesheet import CheckAssigned, CheckLocks, Standing
from tests.support.lanes import punch as a_punch

ZONE = ZoneInfo("Europe/Amsterdam")
DAY = date(2026, 11, 20)
NOON = int(datetime(2026, 11, 20, 12, tzinfo=ZONE).timestamp())


def stuck(reason: str, *, user_id: str = "1", at: int = NOON, detail: str | None = None) -> Punch:
    return replace(
        a_punch("in", 0).punch,
        user_id=user_id,
        occurred_at=float(at),
        state=PunchState.REVIEW,
        reason=reason,
        detail=detail,
    )


@pytest.mark.parametrize(
    ("reason", "standing", "job_id", "gone"),
    [
        ("not_assigned", Standing("1", assigned=True), None, True),
        ("not_assigned", Standing("1", assigned=False), None, False),
        ("not_assigned", Standing("1"), None, False),
        ("not_assigned", None, None, False),
        ("locked_days", Standing("1", locked_days=frozenset()), None, True),
        ("locked_days", Standing("1", locked_days=frozenset({DAY - timedelta(days=1)})), None, True),
        ("locked_days", Standing("1", locked_days=frozenset({DAY})), None, False),
        ("locked_days", Standing("1", assigned=True), None, False),
        ("locked_days", None, None, False),
        ("job_required", None, None, False),
        ("job_required", None, "job-1", True),
        ("overlaps_existing_shift", Standing("1", True, frozenset()), "job-1", False),
        (None, Standing("1", True, frozenset()), "job-1", False),
    ],
)
def test_gone_is_what_a_read_shows(
    reason: str | None, standing: Standing | None, job_id: str | None, gone: bool
) -> None:
    """Not known is not gone, and no other reason is healed by these reads."""
    assert healed(reason, standing, {DAY}, job_id) is gone


def test_every_day_must_be_unlocked() -> None:
    """A shift over midnight was refused for either of its days."""
    locked = Standing("1", locked_days=frozenset({DAY + timedelta(days=1)}))
    assert healed("locked_days", locked, {DAY}) is True
    assert healed("locked_days", locked, {DAY, DAY + timedelta(days=1)}) is False


def test_the_days_of_a_punch_are_its_own_and_those_the_service_names() -> None:
    """In the kiosk's zone; dates far off, and what only looks like one, are not taken for days of this punch."""
    late = int(datetime(2026, 11, 20, 0, 30, tzinfo=ZONE).timestamp())  # still the 19th in UTC
    words = "User: 1 has locked days: ['2026-11-19', '2026-13-40'], ref 2020-01-01 x12026-11-18"
    assert days_of(stuck("locked_days", at=late, detail=words), ZONE) == {DAY, DAY - timedelta(days=1)}


def test_what_is_asked_for() -> None:
    """Each person once; locked days of several people share a request; nothing for jobs, other reasons or states."""
    punches = [
        stuck("not_assigned"), stuck("not_assigned", at=NOON + 60), stuck("not_assigned", user_id="2"),
        stuck("locked_days", user_id="3"), stuck("locked_days", user_id="4", at=NOON - 86400),
        stuck("job_required", user_id="5"), stuck("overlaps_existing_shift", user_id="6"),
        replace(stuck("not_assigned", user_id="7"), state=PunchState.PENDING),
    ]  # fmt: skip
    assigned, also, locks = checks(punches, ZONE)
    assert (assigned, also) == (CheckAssigned("1"), CheckAssigned("2"))
    assert locks == CheckLocks(("4", "3"), NOON - 86400, NOON)
    assert checks([], ZONE) == []


@given(
    st.lists(
        st.tuples(st.integers(1, 120), st.integers(NOON - 400 * 86400, NOON)),
        min_size=1, max_size=150,
    ),
    st.sampled_from(["Europe/Amsterdam", "America/St_Johns", "Pacific/Apia", "Asia/Kathmandu"]),
)  # fmt: skip
def test_every_locked_day_is_asked_for_within_the_services_limits(stuck_at: list[tuple[int, int]], zone: str) -> None:
    """However far apart: each punch's days lie in a request that names its person and that the service takes."""
    there = ZoneInfo(zone)
    punches = [stuck("locked_days", user_id=str(user), at=at) for user, at in stuck_at]
    asked: dict[str, set[str]] = {}
    for step in checks(punches, there):
        assert isinstance(step, CheckLocks)
        query = locks_query(step, there)
        first, last = (date.fromisoformat(dict(query)[key]) for key in ("startDate", "endDate"))
        assert (last - first).days < TIMESHEET_DAYS_MAX
        assert len(step.user_ids) <= 50
        for user_id in step.user_ids:
            days = {(first + timedelta(days=n)).isoformat() for n in range((last - first).days + 1)}
            asked.setdefault(user_id, set()).update(days)
    for punch in punches:
        assert {day.isoformat() for day in days_of(punch, there)} <= asked[punch.user_id]


def test_several_checks_are_one_standing() -> None:
    """What one does not tell, another may; locked days add up."""
    day, other = DAY, DAY - timedelta(days=40)
    told = merged(
        [
            Standing("1", locked_days=frozenset({day})),
            Standing("1", assigned=False),
            Standing("1", locked_days=frozenset({other})),
            Standing("2", assigned=True),
        ]
    )
    assert told == {"1": Standing("1", False, frozenset({day, other})), "2": Standing("2", True, None)}


def test_the_reasons_are_published_ones() -> None:
    """A misspelt reason would heal nothing, silently."""
    assert all(REASONS[reason].where == "review" for reason in HEALABLE)
