"""Each rule of the simulator's checker lets an ordinary day pass and names what is wrong with one that is not."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.simulation.weeks.checker import RULES, check
from tests.simulation.weeks.history import ClockStepped, Crashed, Decided, PowerCut
from tests.support.days import BROKEN, FINE, broken, kiosk
from tests.support.days.kiosk import overtaken_while_it_is_looked_up
from tests.support.days.requests import refused_for_ever
from tests.support.story import ANNA, DOOR, HOUR, T0, a_day, rfc3339

WEEKS = Path(__file__).resolve().parents[2] / "simulation" / "weeks"


def test_an_ordinary_day_breaks_nothing():
    """Two people, two shifts, four requests."""
    assert check(a_day().history()) == []


@pytest.mark.parametrize("day", BROKEN, ids=lambda day: day.__name__)
def test_what_is_broken_is_named(day):
    """The story breaks its rule, whatever else it may break by the way."""
    story = a_day()
    day(story)
    assert BROKEN[day] in broken(story)


@pytest.mark.parametrize("day", FINE, ids=lambda day: day.__name__)
def test_what_has_a_cause_passes(day):
    """Near misses of the stories above, with their cause."""
    story = a_day()
    day(story)
    assert check(story.history()) == []


@pytest.mark.parametrize("heard", [True, False])
def test_what_was_answered_last_in_a_life_may_be_forgotten_by_the_next(heard):
    """Anna's clock-out was answered as the kiosk crashed: her next punch waits for a look, Bob's may pass it."""
    story = a_day()
    story.live(19.3 * HOUR, ANNA, "clock_out", 16 * HOUR)
    if heard:
        story.ask(19.4 * HOUR, "GET", "/me")  # it was written down with this
    story.lines.append(Crashed(at=T0 + 19.5 * HOUR, kiosk=DOOR, life=1))
    story.start(19.6 * HOUR, life=2)
    kiosk.overtaken(story)
    assert ("oldest first" in broken(story)) is heard


@pytest.mark.parametrize(("after_s", "early_s", "caught"), [(0.0, 1, False), (0.01, 1, True), (0.0, 2, True)])
def test_a_tap_between_two_seconds_may_be_of_either(after_s, early_s, caught):
    """What is put together from a boot clock and an offset has its last digits wrong; no more than those."""
    story, at = a_day(), 18 * HOUR
    story.tap(ANNA, at + after_s, "clocked_in")
    punch = story.punch(ANNA, at - early_s, "clock_in", "delivered", remote_id="S7")
    punch["raw_at"] = rfc3339(T0 + at)
    story.live(at + 2, ANNA, "clock_in", at - early_s)
    story.row("S7", ANNA, at - early_s, None)
    assert ("true time" in broken(story)) is caught


@pytest.mark.parametrize(("after_s", "caught"), [(-10.0, True), (0.1, False)])
def test_a_date_that_was_under_way_as_the_clock_was_set_may_say_nothing(after_s, caught):
    """A time server's lie, ten seconds before a request or while its answer is out; then a clock-in leaves."""
    story = a_day()
    at = T0 + 19.1 * HOUR + after_s
    story.lines.append(ClockStepped(at=at, kiosk=DOOR, by_s=3600.0, ahead_s=3600.0, vouched=True))
    story.ask(19.1 * HOUR, "GET", "/me")
    story.live(19.2 * HOUR, ANNA, "clock_in", 18 * HOUR)
    assert ("clock gate" in broken(story)) is caught


@pytest.mark.parametrize("lied", [True, False])
def test_a_lie_is_believed_though_somebody_sets_the_wall_clock(lied):
    """What a time server vouched for goes on in the boot clock; what is set by hand alone is believed by nobody."""
    story, at = a_day(), 19.5 * HOUR
    story.lines.append(ClockStepped(at=T0 + 19.0 * HOUR, kiosk=DOOR, by_s=74.0, ahead_s=74.0, vouched=lied))
    story.lines.append(ClockStepped(at=T0 + 19.1 * HOUR, kiosk=DOOR, by_s=-50.0, ahead_s=24.0, vouched=False))
    story.live(at + 2, ANNA, "clock_in", at + 74)
    assert ("in window" in broken(story)) is not lied


@pytest.mark.parametrize("lied", [True, False])
def test_a_tap_that_waits_for_a_clock_is_dated_by_whoever_vouches_first(lied):
    """After a power cut somebody taps, and a time server lies until the next one: nothing told the kiosk so."""
    story, at = a_day(), 19.5 * HOUR
    story.lines.append(PowerCut(at=T0 + 19.0 * HOUR, kiosk=DOOR, life=1, off_s=600.0, torn=""))
    story.start(19.2 * HOUR, life=2, boot="boot-2", ahead=-600.0, ntp=False)
    story.tap(ANNA, at, "clocked_in", ahead=-600.0, boot_id="boot-2", boottime_s=1080.0)
    if lied:
        story.lines.append(ClockStepped(at=T0 + at + 1, kiosk=DOOR, by_s=4200.0, ahead_s=3600.0, vouched=True))
    story.lines.append(PowerCut(at=T0 + at + 60, kiosk=DOOR, life=2, off_s=600.0, torn=""))
    story.start(at + 700, life=3, boot="boot-3", ahead=0.0)
    punch = story.punch(ANNA, at + 3600, "clock_in", "delivered", remote_id="S7")
    punch["raw_at"] = rfc3339(T0 + at - 600)
    story.live(at + 4000, ANNA, "clock_in", at + 3600)
    story.row("S7", ANNA, at + 3600, None)
    assert ("true time" in broken(story)) is not lied


def test_every_rule_has_a_story_that_breaks_it():
    """No rule is there that nobody has seen to catch anything."""
    assert {rule.name for rule in RULES} == set(BROKEN.values())


def test_every_rule_says_what_it_promises():
    """One sentence, for the report and for docs/reliability.md."""
    assert all(rule.text.endswith(".") and "\n" not in rule.text for rule in RULES)


def test_the_checker_knows_nothing_of_the_daemon():
    """None of its modules imports daemon, drivers or sandbox: what code and check share cannot be checked."""
    names = ("checker*.py", "facts.py", "seen.py", "sights.py", "clocks.py", "reasons_*.py", "history.py")
    files = [path for name in names for path in WEEKS.glob(name)]
    assert len(files) >= 11
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                found = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
                assert (found or "").split(".")[0] not in ("daemon", "drivers", "sandbox"), path.name


@pytest.mark.parametrize(("wishes", "caught"), [(0, True), (1, True), (2, False)])
def test_each_wish_of_a_person_is_a_request_more(wishes, caught):
    """Twelve refusals in a day are two too many, but for those that somebody asked for."""
    story = a_day()
    refused_for_ever(story)
    waiting = story.punch(ANNA, 18 * HOUR, "clock_in", "review", reason="already_open")
    for wish in range(wishes):
        told = {"punch_id": waiting["id"], "decision": "retry", "stated": None, "refused": None, "added": None}
        story.lines.append(Decided(at=T0 + 18 * HOUR + 30 + wish, kiosk=DOOR, **told))
    assert ("no hammering" in broken(story)) is caught


def test_a_clock_in_that_is_looked_up_first_may_be_overtaken():
    """Bob's goes while nobody knows whether Anna's left."""
    story = a_day()
    overtaken_while_it_is_looked_up(story)
    assert "oldest first" not in broken(story)
