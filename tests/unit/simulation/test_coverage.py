"""What weeks reached is named, summed and held against the kept list; the page and the list say the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from daemon.alarm_codes import CODES
from daemon.delivery.planner import plan_lane
from daemon.delivery.policy import Policy
from daemon.model import PunchState
from daemon.timesheets.timesheet import Conflict, Done, EndShift, LookUp, NotSent, OpenShift, Outcome, Refused
from tests.simulation.weeks.checker import RULES
from tests.simulation.weeks.coverage import KINDS, Coverage, Reach, of_history, table, transitions
from tests.simulation.weeks.facts import published_reasons
from tests.simulation.weeks.rows import answer_name, rows_of, snake
from tests.support.lanes import moment, punch, second, seen, shift, tried
from tests.support.story import ANNA, HOUR, a_day

DOCS = Path(__file__).resolve().parents[3] / "docs"


def test_the_page_has_the_kept_list_and_the_rules():
    """docs/reliability.md carries what `python -m tests.simulation.weeks reach` prints, and each rule's promise."""
    page = (DOCS / "reliability.md").read_text(encoding="utf-8")
    assert table(Reach.load()).strip() in page, "write it anew: python -m tests.simulation.weeks reach"
    for rule in RULES:
        assert f"| {rule.name} | {rule.text} |" in page


def test_what_is_missing_or_refuted_or_in_no_list_is_told():
    """Nothing reached: all is missing. What cannot be, was: refuted. A new name: unlisted."""
    reach, coverage = Reach.load(), Coverage()
    assert len(reach.missing(coverage)) == sum(len(names) for names in reach.wanted.values()) > 150
    for kind, names in reach.wanted.items():
        for name in names:
            coverage.note(kind, name)
    assert (reach.missing(coverage), reach.refuted(coverage), reach.unlisted(coverage)) == ([], [], [])
    coverage.note("planner", "in: something new")
    coverage.note("transitions", "delivered → pending")
    assert reach.unlisted(coverage) == ["planner: in: something new"]
    assert reach.refuted(coverage) == ["transitions: delivered → pending"]


def test_no_name_stands_in_two_parts():
    """What must be reached is neither seldom nor impossible."""
    reach = Reach.load()
    for kind in KINDS:
        parts = [set(part[kind]) for part in (reach.wanted, reach.seldom, reach.impossible)]
        assert sum(map(len, parts)) == len(set().union(*parts)), kind


def test_every_reason_and_every_alarm_has_its_part():
    """What is published and stands in no part could be missed for ever, and nobody would be told."""
    reach = Reach.load()
    listed = {kind: {*reach.wanted[kind], *reach.seldom[kind], *reach.impossible[kind]} for kind in KINDS}
    published = published_reasons((DOCS / "reasons.md").read_text(encoding="utf-8"))
    assert {code for code, where in published.items() if where != "tap"} <= listed["reasons"]
    codes = {code.code.split(":")[0] for code in CODES if not code.code.startswith("NAME")}
    assert codes <= listed["alarms"]


def test_every_kind_of_answer_has_its_part():
    """Each outcome that a request can have stands there for some request."""
    reach = Reach.load()
    listed = {name.split(": ")[1].split()[0] for part in (reach.wanted, reach.seldom, reach.impossible)
              for name in part["answers"]}  # fmt: skip
    assert {snake(kind.__name__) for kind in get_args(Outcome)} <= listed


def test_counts_are_summed_and_survive_the_way_between_processes():
    """As JSON and back, twice, is twice as much."""
    one = of_history(a_day().history())
    both = Coverage.load(one.dump())
    both.add(one)
    assert both.counts["feedback"] == {"clocked_in": 4, "clocked_out": 4}


def test_a_published_reason_is_what_is_counted():
    """Reasons of the kept list are published ones."""
    published = published_reasons((DOCS / "reasons.md").read_text(encoding="utf-8"))
    assert set(Reach.load().wanted["reasons"]) <= set(published)


def test_transitions_of_a_punch():
    """From the journal and the attempts, with the reason of where it went."""
    told = {
        "state": "delivered",
        "history": {
            "attempts": [{}, {}],
            "journal": [
                {"at": "1", "action": "punch.held", "data": {"from": "pending", "reason": "clock_untrusted"}},
                {"at": "2", "action": "attempt.unanswered", "data": {"attempt": 1}},
                {"at": "3", "action": "punch.delivered", "data": {"from": "in_flight"}},
            ],
        },
    }
    assert transitions(told) == [
        "new → pending",
        "pending → in_flight",
        "pending → in_flight",
        "pending → held clock_untrusted",
        "in_flight → delivered",
    ]
    fresh = {"state": "held", "history": {"attempts": [], "journal": []}}
    assert transitions(fresh) == ["new → held"]


@pytest.mark.parametrize(
    ("lane", "view", "now", "rows"),
    [
        ([punch("in", 8)], None, 8.1, ["in: live"]),
        ([punch("in", 8)], None, 9, ["read first: in"]),
        ([punch("in", 0)], None, 13, ["in: waiting_for_clock_out"]),
        ([punch("in", 0), punch("in", 9)], seen(13, shift("x", 8, 10)), 13,
         ["in: missing_clock_out, in follows", "in: overlaps_existing_shift"]),
        ([punch("in", 8, PunchState.DELIVERED, shift="s"), punch("out", 16)], None, 16.1, ["out: live"]),
        ([punch("in", 0, PunchState.DELIVERED, shift="s"), punch("out", 8)], seen(20.51, shift("s", 0)), 20.511,
         ["out: late, by update"]),
        ([punch("in", 0, PunchState.DELIVERED, shift="s"), punch("in", 1, PunchState.REVIEW, reason="already_open"),
          punch("out", 8)], seen(20.51, shift("s", 0)), 20.511, ["out: late, by update"]),
        ([punch("out", 8)], seen(20.51, shift("s", 0)), 20.511, ["out: late, by update, of a shift begun elsewhere"]),
        ([punch("in", 0, PunchState.DELIVERED, shift="s"), punch("out", 8)],
         seen(9, shift("s", 0, 7.5, by="autoClockOut")), 9.001, ["out: corrects an automatic end"]),
        ([tried(punch("in", 8), OpenShift("7", second(8)), 8.1)], seen(8.2, shift("s", 8)), 8.3,
         ["unknown outcome: found"]),
        ([punch("in", 8, PunchState.REVIEW, reason="overlaps_existing_shift")], seen(9), 9,
         ["review: overlaps_existing_shift mended"]),
    ],
)  # fmt: skip
def test_rows_of_the_table_are_named(lane, view, now, rows):
    """By what the planner was given and what it answered."""
    lane = [replace(entry, context=entry.punch.state.finished) for entry in lane]
    assert list(rows_of(lane, view, plan_lane(lane, view, moment(now), Policy(after_auto_clock_out="correct")))) == rows


def test_answers_are_named():
    """By what was asked and what came of it."""
    step = OpenShift(ANNA, 8 * HOUR)
    assert answer_name(step, Done(shift("s", 8))) == "open_shift: done"
    assert answer_name(step, Refused("not_assigned", "no")) == "open_shift: refused not_assigned"
    assert answer_name(EndShift(ANNA, 1, "s"), Conflict("no_open_shift", "no")) == "end_shift: conflict no_open_shift"
    assert answer_name(LookUp((ANNA,), 0, 1), NotSent("no route")) == "look_up: not_sent"
