"""What was punched held against what is shown: every verdict, and that none is lost or told twice."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.delivery.audit import (
    BESIDE_S,
    PEOPLE_MAX,
    PERSON_DAYS_MAX,
    SPAN_MAX_S,
    Line,
    Verdict,
    compare,
    portions,
    unread,
    vanished,
)
from daemon.model import Direction, Punch, PunchState
from daemon.timesheets.timesheet import ShiftRecord
from tests.support.lanes import HOUR, punch, second

SINCE, UNTIL = second(0), second(24)
DELIVERED = PunchState.DELIVERED


def came(hours: float = 8, state: PunchState = DELIVERED, shift: str | None = "s1", **more: object) -> Punch:
    return replace(punch("in", hours, state).punch, remote_id=shift, **more)


def left(hours: float = 17, state: PunchState = DELIVERED, shift: str | None = "s1", **more: object) -> Punch:
    return replace(punch("out", hours, state).punch, remote_id=shift, **more)


def shown(start: float = 8, end: float | None = 17, id_: str = "s1", user_id: str = "7") -> ShiftRecord:
    return ShiftRecord(
        id_, user_id, second(start), None if end is None else second(end), started_by="mobile", ended_by="admin"
    )


def verdicts(punches: list[Punch], records: list[ShiftRecord]) -> list[str]:
    return [str(line.verdict) for line in compare(punches, records, SINCE, UNTIL, {})]


@pytest.mark.parametrize(
    ("punches", "records", "expected"),
    [
        ([], [], []),
        ([came(), left()], [shown()], ["ok", "ok"]),
        ([came()], [shown(end=None)], ["ok"]),
        ([came(), left()], [shown(end=None)], ["ok", "missing"]),
        ([came(), left()], [shown(end=16)], ["ok", "changed"]),
        ([came(), left()], [shown(start=7, end=16)], ["changed", "changed"]),
        ([came(), left()], [], ["deleted", "deleted"]),
        ([came(shift=None)], [], ["missing"]),
        ([came(), left()], [shown(id_="typed-in-again")], ["ok", "ok"]),
        ([came(), left()], [shown(id_="hers", user_id="8")], ["deleted", "extra", "deleted", "extra"]),
        ([came()], [shown()], ["ok", "extra"]),  # left by phone
        ([left()], [shown()], ["extra", "ok"]),  # came by phone
        ([], [shown()], ["extra", "extra"]),
        ([], [shown(end=None)], ["extra"]),
        ([came(state=PunchState.PENDING, shift=None)], [], ["not_delivered"]),
        ([came(state=PunchState.IN_FLIGHT, shift=None)], [shown(end=None)], ["not_delivered"]),
        ([came(), left(state=PunchState.REVIEW, shift=None)], [shown(end=16)], ["ok", "extra", "not_delivered"]),
        ([came(state=PunchState.DISCARDED, shift=None)], [], []),
        ([came(state=PunchState.DISCARDED, shift=None)], [shown(end=None)], ["extra"]),
        ([replace(came(state=PunchState.HELD, shift=None), direction=None)], [], ["not_delivered"]),
    ],
)  # fmt: skip
def test_each_verdict(punches: list[Punch], records: list[ShiftRecord], expected: list[str]) -> None:
    """Every way in which a timesheet may differ from what was tapped, told by time."""
    assert sorted(verdicts(punches, records)) == sorted(expected)


def test_a_line_says_what_was_tapped_and_what_is_shown() -> None:
    """Both seconds, theirs minus ours, and who made what is not from here."""
    changed, extra = compare([came()], [shown(start=8.5)], SINCE, UNTIL, {"7": "Anna"})
    assert (changed.punched_at, changed.shown_at, changed.off_s) == (second(8), second(8.5), HOUR // 2)
    assert (changed.punch_id, changed.shift_id, changed.state) == ("in-8", "s1", "delivered")
    assert extra == Line(
        Verdict.EXTRA, "7", "Anna", Direction.CLOCK_OUT, None, second(17), shift_id="s1", detail="by admin"
    )


def test_only_the_time_asked_for_is_told_but_what_lies_beside_claims_its_edges() -> None:
    """A shift over the border is neither missing nor extra; the end of the time is not part of it."""
    night = [came(-4), left(4), came(23, shift="s2"), left(31, shift="s2")]
    records = [shown(-4, 4), shown(23, 31, "s2")]
    lines = compare(night, records, SINCE, UNTIL, {})
    assert [(line.punch_id, line.verdict) for line in lines] == [("out-4", "ok"), ("in-23", "ok")]
    assert compare([came(24)], [shown(24, None)], SINCE, UNTIL, {}) == []
    moved = compare([came(23.9), left(25)], [shown(24.1, 25)], second(24), second(48), {})
    assert [line.verdict for line in moved] == ["ok"]  # the moved start is the evening's, not an extra of the day after


def test_a_look_alike_takes_no_edge_from_its_owner() -> None:
    """A pending punch at the same second as a delivered one does not claim the delivered one's shift."""
    pending = replace(came(state=PunchState.PENDING, shift=None), id="a-pending")
    lines = compare([pending, came()], [shown(end=None)], SINCE, UNTIL, {})
    assert {line.punch_id: line.verdict for line in lines} == {"a-pending": "not_delivered", "in-8": "ok"}
    assert next(line for line in lines if line.punch_id == "a-pending").shown_at is None


def test_who_is_hidden_is_not_accused() -> None:
    """Nothing at all shown of somebody: to be asked about; then unread, except for what never was delivered."""
    hers = replace(came(9), user_id="8", id="hers")
    review = replace(left(10, PunchState.REVIEW, None), user_id="8", id="review")
    records = [shown()]
    lines = compare([came(), left(), hers, review], records, SINCE, UNTIL, {})
    assert vanished(lines, records) == ["8"]
    assert vanished(lines, [*records, shown(30, 31, "x", "8")]) == []
    assert {line.punch_id: str(line.verdict) for line in unread(lines, "hidden", ["8"])} == {
        "in-8": "ok", "out-17": "ok", "hers": "unread", "review": "not_delivered",
    }  # fmt: skip
    assert [str(line.verdict) for line in unread(lines, "offline")].count("unread") == 3


@given(st.sets(st.integers(1, 400).map(str), max_size=130), st.integers(0, 400 * 86400))
def test_portions_cover_everything_once_within_the_limits(people: set[str], length: int) -> None:
    """Each person's each second lies in exactly one read, and none is wider than a request allows."""
    covered: dict[str, list[tuple[int, int]]] = {}
    for portion in portions(people, SINCE, SINCE + length):
        span = portion.until - portion.since
        assert 0 < span <= SPAN_MAX_S
        assert span + 2 * BESIDE_S <= 80 * 86400
        assert 1 <= len(portion.user_ids) <= PEOPLE_MAX
        assert span * len(portion.user_ids) <= PERSON_DAYS_MAX * 86400
        for user_id in portion.user_ids:
            covered.setdefault(user_id, []).append((portion.since, portion.until))
    assert set(covered) == (people if length else set())
    for spans in covered.values():
        assert [since for since, _ in spans] == [SINCE, *[until for _, until in spans[:-1]]]
        assert spans[-1][1] == SINCE + length


hours = st.integers(-40, 64)
states = st.sampled_from(list(PunchState))


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Punch], list[ShiftRecord]]:
    """Punches of two people, and a timesheet that has some of them, some changed, and others of its own."""
    punches: list[Punch] = []
    records = []
    for number in range(draw(st.integers(0, 8))):
        user_id, start, length = draw(st.sampled_from("78")), draw(hours), draw(st.integers(1, 12))
        record = ShiftRecord(
            f"s{number}", user_id, second(start), second(start + length) if draw(st.booleans()) else None
        )
        for way, at in (("in", start), ("out", start + length)):
            if draw(st.booleans()):
                state = draw(states)
                known = record.id if state is DELIVERED and draw(st.booleans()) else None
                one = punch(way, at, state, id_=f"{way}{number}").punch
                punches.append(replace(one, user_id=user_id, remote_id=known))
        if draw(st.booleans()):
            moved = draw(st.sampled_from([0, 0, 60]))
            records.append(replace(record, start=record.start + moved))
    return punches, records


@given(histories())
def test_every_punch_and_every_edge_is_told_once(history: tuple[list[Punch], list[ShiftRecord]]) -> None:
    """One line a punch that was not discarded; an edge belongs to one line, or is one of its own."""
    punches, records = history
    lines = compare(punches, records, SINCE, UNTIL, {})
    wanted = [p.id for p in punches if p.state is not PunchState.DISCARDED and SINCE <= p.second < UNTIL]
    assert sorted(line.punch_id for line in lines if line.punch_id) == sorted(wanted)
    edges = [(line.shift_id, line.direction) for line in lines if line.shown_at is not None]
    assert len(edges) == len(set(edges))
    everything = compare(punches, records, second(-99), second(99), {})
    shown_edges = sum(1 + (record.end is not None) for record in records)
    assert sum(line.shown_at is not None for line in everything) == shown_edges
    for line in everything:
        assert (line.verdict is Verdict.OK) <= (line.off_s == 0 and line.state is DELIVERED)


@given(histories(), st.integers(-30, 60))
def test_the_same_lines_in_portions_as_at_once(history: tuple[list[Punch], list[ShiftRecord]], cut: int) -> None:
    """Reading in portions neither doubles nor drops a line."""
    punches, records = history
    first, last, middle = second(-99), second(99), second(cut)
    apart = [*compare(punches, records, first, middle, {}), *compare(punches, records, middle, last, {})]
    assert sorted(map(repr, apart)) == sorted(map(repr, compare(punches, records, first, last, {})))
