"""Each reason for which a punch waits is held against the history: true ones pass, untrue ones are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulation.weeks.checker import check
from tests.simulation.weeks.checker_reasons import TRUTHS
from tests.simulation.weeks.facts import published_reasons
from tests.simulation.weeks.history import ClockStepped, ClockSynchronised, Crashed, Disk, HumanDid, PowerCut
from tests.support.days import broken
from tests.support.story import ANNA, DOOR, HOUR, T0, Story, a_day, at_night, deed, reconfigured, rfc3339, wait

REASONS = Path(__file__).resolve().parents[3] / "docs" / "reasons.md"


#: Reasons that are not true of a clock-in (or clock-out) two hours after an ordinary day.
UNTRUE = (
    ("held", "clock_untrusted", "clock_in"),
    ("held", "earlier_punch_undecided", "clock_in"),
    ("held", "waiting_for_clock_out", "clock_in"),
    ("held", "waiting_for_clock_in", "clock_out"),
    ("held", "earlier_punch_in_review", "clock_in"),
    ("held", "look_up_refused", "clock_in"),
    ("held", "timesheet_unreadable", "clock_in"),
    ("review", "shift_too_long", "clock_in"),
    ("review", "missing_clock_out", "clock_out"),
    ("review", "no_matching_clock_in", "clock_in"),
    ("review", "same_second", "clock_out"),
    ("review", "overlaps_existing_shift", "clock_in"),
    ("review", "closed_another_shift", "clock_out"),
    ("review", "could_not_close", "clock_out"),
    ("review", "auto_clocked_out", "clock_out"),
    ("review", "already_clocked_out", "clock_out"),
    ("review", "already_open", "clock_in"),
    ("review", "no_open_shift", "clock_out"),
    ("review", "before_clock_in", "clock_out"),
    ("review", "shift_gone", "clock_out"),
    ("review", "server_changed_time", "clock_in"),
    ("review", "not_assigned", "clock_in"),
    ("review", "job_required", "clock_in"),
    ("review", "locked_days", "clock_in"),
    ("review", "open_break", "clock_in"),
    ("review", "outside_geofence", "clock_in"),
    ("review", "invalid_request", "clock_in"),
    ("review", "refused", "clock_in"),
    ("review", "outcome_unclear", "clock_in"),
    ("review", "clock_ahead", "clock_in"),
    ("review", "time_disputed", "clock_in"),
    ("review", "out_of_order", "clock_in"),
    ("review", "internal_error", "clock_in"),
    ("review", "salvaged", "clock_in"),
)


@pytest.mark.parametrize(("state", "reason", "direction"), UNTRUE, ids=[reason for _, reason, _ in UNTRUE])
def test_a_reason_that_is_not_true_is_caught(state, reason, direction):
    """Two hours after an ordinary day nothing of the kind has happened."""
    story = a_day()
    wait(story, state, reason, direction)
    assert "reasons true" in broken(story)


def test_every_published_reason_of_a_waiting_punch_is_judged():
    """No reason can be added that nobody holds against the history."""
    published = published_reasons(REASONS.read_text(encoding="utf-8"))
    waiting = {code for code, where in published.items() if where in ("held", "review")}
    assert waiting == {reason for _, reason, _ in UNTRUE}
    assert waiting | {"repeat_of_earlier"} == set(TRUTHS)


@pytest.mark.parametrize(("went_off_after_s", "caught"), [(200.0, False), (400.0, True)])
def test_a_lie_of_a_minute_that_nobody_saw_end_is_disputed_for_good(went_off_after_s, caught):
    """A time server lies about the tap for a minute; the machine goes off before or after the kiosk looked again."""
    story = a_day()
    at = 18 * HOUR
    wait(story, "review", "time_disputed", at=at)
    story.lines.append(ClockStepped(at=T0 + at + 1, kiosk=DOOR, by_s=52.0, ahead_s=52.0, vouched=True))
    story.lines.append(ClockSynchronised(at=T0 + at + 61, kiosk=DOOR, by_s=-52.0))
    off_at = at + 61 + went_off_after_s
    story.lines.append(PowerCut(at=T0 + off_at, kiosk=DOOR, life=1, off_s=1800.0, torn="all was synced"))
    story.start(off_at + 1800, life=2, boot="boot-2")
    assert ("reasons true" in broken(story)) is caught


def test_true_reasons_pass():
    """The same reasons where they are so."""
    too_long = a_day()
    at_night(too_long, "review", "shift_too_long", start=18 * HOUR, end=33 * HOUR)
    too_long.lines.append(reconfigured(18 * HOUR - 1, readers={"front": "clock_in"}))
    forgotten = a_day()
    at_night(forgotten, "review", "missing_clock_out")
    waiting = a_day()
    waiting.ends, waiting.calm = 22 * HOUR, 20 * HOUR
    at_night(waiting, "held", "waiting_for_clock_out")
    overlapping = a_day()
    overlapping.row("S7", ANNA, 17.5 * HOUR, 19 * HOUR, source="admin", end_source="admin")
    at_night(overlapping, "review", "overlaps_existing_shift")
    refused = a_day()
    at_night(refused, "review", "not_assigned")
    refused.live(18 * HOUR + 2, ANNA, "clock_in", 18 * HOUR, status=400, answer='{"detail": "User is not assigned"}')
    refused.lines.append(HumanDid(at=T0 + 17.0 * HOUR, what="unassign", user_id=ANNA))
    for story in (too_long, forgotten, waiting, overlapping, refused):
        assert "reasons true" not in broken(story), check(story.history())


@pytest.mark.parametrize(("error_s", "caught"), [(None, False), (0.5, True)])
def test_a_shift_after_a_clock_in_is_in_its_way_while_nobody_knows_when_its_clock_out_was(error_s, caught):
    """Typed in for the late evening; the tap that followed has no time yet, or one before that."""
    story = a_day()
    story.row("S7", ANNA, 21 * HOUR, 22 * HOUR, source="admin", end_source="admin")
    story.ends = 30 * HOUR
    wait(story, "review", "overlaps_existing_shift", at=18 * HOUR)
    story.tap(ANNA, 20 * HOUR, "accepted")
    story.punch(ANNA, 20 * HOUR, None, "held", reason="clock_untrusted", time_error_s=error_s)
    said = [str(violation) for violation in check(story.history()) if "overlaps_existing_shift" in str(violation)]
    assert any("never showed a shift" in words for words in said) is caught


@pytest.mark.parametrize(
    ("died", "off_s", "rules"), [(True, 0, set()), (False, 0, {"reasons true"}), (True, 600, {"from somewhere"})]
)
def test_an_answer_that_went_with_its_life_told_nobody_what_it_ended(died, off_s, rules):
    """A phone had ended her shift; her clock-out ended one of days before, rounded, and the kiosk died as it heard."""
    story, at = a_day(), 19 * HOUR + 100
    story.behaviour["round_to_s"] = 300
    story.tap(ANNA, 18 * HOUR, "clocked_in")
    story.live(18 * HOUR + 2, ANNA, "clock_in", 18 * HOUR)
    story.punch(ANNA, 18 * HOUR, "clock_in", "delivered", remote_id="S7")
    story.row("S7", ANNA, 18 * HOUR, 18.5 * HOUR, end_source="mobile")
    story.lines.append(deed(18.5 * HOUR, "phone_out", shift_id="S7", start=18 * HOUR, end=18.5 * HOUR))
    wait(story, "review", "outcome_unclear", "clock_out", at=at)
    story.live(at + 2, ANNA, "clock_out", at)
    if died:
        story.lines.append(Crashed(at=T0 + at + 2.3, kiosk=DOOR, life=1))
        story.start(at + 10, life=2)
    story.row("S0", ANNA, -40 * HOUR, 19 * HOUR + off_s, source="mobile")
    assert broken(story) == rules, check(story.history())


@pytest.mark.parametrize(("state", "caught"), [("review", False), ("delivered", True)])
def test_earlier_is_what_was_tapped_before_by_whatever_clock(state, caught):
    """Her clock-in's clock was an hour ahead: by its second it lies after her clock-out, which waits for it."""
    story, at = a_day(), 18 * HOUR
    story.tap(ANNA, at, "clocked_in", ahead=float(HOUR))
    clock_in = story.punch(ANNA, at + HOUR, "clock_in", state, reason="clock_ahead" if state == "review" else None)
    clock_in["remote_id"] = "S7" if state == "delivered" else None
    story.tap(ANNA, at + 600, "clocked_out")
    story.punch(ANNA, at + 600, "clock_out", "held", reason="earlier_punch_in_review")
    said = [str(violation) for violation in check(story.history()) if violation.rule == "reasons true"]
    assert any("no earlier punch" in words for words in said) is caught


def tapped_after_a_power_cut(story: Story) -> float:
    """Anna taps on a clock that nothing vouches for; NTP does an hour later. Gives the second of her tap."""
    at = 19.5 * HOUR
    story.lines.append(PowerCut(at=T0 + 19.0 * HOUR, kiosk=DOOR, life=1, off_s=6.0, torn=""))
    story.start(19.2 * HOUR, life=2, boot="boot-2", ahead=-6.0, ntp=False)
    story.tap(ANNA, at, "clocked_in", ahead=-6.0, boot_id="boot-2", boottime_s=1080.0)
    punch = story.punch(ANNA, at, "clock_in", "held", reason="clock_untrusted")
    punch |= {"time_error_s": None, "raw_at": rfc3339(T0 + at - 6)}
    story.lines.append(ClockSynchronised(at=T0 + at + HOUR, kiosk=DOOR, by_s=6.0))
    return at


@pytest.mark.parametrize("full", [False, True])
def test_what_was_vouched_for_on_a_full_disk_may_be_forgotten(full):
    """Nothing could be written down of it until the power went."""
    story = a_day()
    at = tapped_after_a_power_cut(story)
    if full:
        story.lines.append(Disk(at=T0 + at + 60, kiosk=DOOR, full=True))
    story.lines.append(PowerCut(at=T0 + at + 2 * HOUR, kiosk=DOOR, life=2, off_s=60.0, torn=""))
    story.start(at + 2 * HOUR + 60, life=3, boot="boot-3")
    assert ("reasons true" in broken(story)) is not full


@pytest.mark.parametrize("asked", [False, True])
def test_a_doubt_that_no_answer_ended_outlives_the_clock_that_was_set_right(asked):
    """A Date disputed the time server's lie; then the line was down until the power went."""
    story, at = a_day(), 18 * HOUR
    wait(story, "review", "time_disputed", at=at)
    story.lines.append(ClockStepped(at=T0 + at + 1, kiosk=DOOR, by_s=-4000.0, ahead_s=-4000.0, vouched=True))
    story.ask(at + 60, "GET", "/me")
    story.lines.append(ClockSynchronised(at=T0 + at + 3600, kiosk=DOOR, by_s=4000.0))
    if asked:
        story.ask(at + 3700, "GET", "/me")
    story.start(at + 3 * HOUR, life=2, boot="boot-2")
    assert ("reasons true" in broken(story)) is asked


@pytest.mark.parametrize("changed", [False, True])
def test_a_tap_may_be_a_repeat_by_the_rule_of_when_it_was_decided(changed):
    """Two undecided taps of Anna's two minutes apart; the owner makes the repeat time three minutes before they are."""
    story, at = a_day(), 18 * HOUR
    wait(story, "held", "waiting_for_clock_out", at=at)
    wait(story, "discarded", "repeat_of_earlier", at=at + 120)
    if changed:
        story.lines.append(reconfigured(at + HOUR, repeat_tap_s=180))
    told = {words for words in map(str, check(story.history())) if "no other tap of that person" in words}
    assert bool(told) is not changed
