"""Days that break a rule of the judge, and near misses that break none: what stands on the timesheet."""

from __future__ import annotations

from tests.simulation.weeks.facts import WENT_OFF
from tests.simulation.weeks.history import ClockStepped, ClockSynchronised, Decided, PowerCut
from tests.support.story import ANNA, BOB, DOOR, HOUR, T0, Story, deed, rfc3339


def lost(story: Story) -> None:
    """An acknowledged tap that no punch is of."""
    story.tap(ANNA, 18 * HOUR, "clocked_in")


def shown_the_other_way(story: Story) -> None:
    """Green said in, the queue says out."""
    story.tap(ANNA, 18 * HOUR, "clocked_out")
    story.punch(ANNA, 18 * HOUR, "clock_in", "review", reason="internal_error")


def another_persons(story: Story) -> None:
    """Anna's badge, Bob's punch."""
    story.punches[0]["user_id"] = BOB


def not_on_the_timesheet(story: Story) -> None:
    """Delivered, says the kiosk; the service has nothing."""
    del story.rows[0]


def twice_on_the_timesheet(story: Story) -> None:
    """One clock-in sent twice made two shifts."""
    story.row("S9", ANNA, 8 * HOUR, None)


def waits_and_stands(story: Story) -> None:
    """Held, and on the timesheet all the same: the next release sends it twice."""
    story.punches[3] |= {"state": "held", "reason": "waiting_for_clock_in", "remote_id": None}


def ended_at_another_second(story: Story) -> None:
    """The timesheet's end is a minute off, and nobody touched it."""
    story.rows[0]["end"] += 60


def edited(story: Story, **told: float) -> None:
    """A manager ends Anna's shift at half past three: the timesheet shows that, and not when she tapped."""
    before = {"start_before": 8 * HOUR, "end_before": 16 * HOUR}
    story.lines.append(
        deed(17 * HOUR, "edit_shift", shift_id="S1", **{**before, "start": 8 * HOUR, "end": 15.5 * HOUR, **told})
    )
    story.rows[0]["end"] -= HOUR // 2


def moved_at_its_other_end(story: Story) -> None:
    """Somebody changed the end; the start is a minute off, and the edit says that it was not then."""
    edited(story)
    story.rows[0]["start"] += 61


def moved_after_the_edit(story: Story) -> None:
    """The end is neither the tap's nor the manager's."""
    edited(story)
    story.rows[0]["end"] += 61


def an_edit_that_another_undid(story: Story) -> None:
    """Two edits, and the timesheet shows what the first one said."""
    edited(story)
    times = {"start": 8 * HOUR, "start_before": 8 * HOUR, "end": 15 * HOUR, "end_before": 15.5 * HOUR}
    story.lines.append(deed(18 * HOUR, "edit_shift", shift_id="S1", **times))


def wrong_before_the_edit(story: Story) -> None:
    """What the manager found was not the tap's second: an edit afterwards excuses nothing."""
    edited(story, end_before=16 * HOUR + 61)


def edited_and_unended(story: Story) -> None:
    """A manager moved the start of the open shift; the clock-out that is called delivered never came to it."""
    moved_while_open(story)
    story.rows[0] |= {"end": None, "end_source": None}


def moved_while_open(story: Story) -> None:
    """Not broken: the same, and the clock-out came to it."""
    story.lines.append(deed(12 * HOUR, "edit_shift", shift_id="S1", start=8.5 * HOUR, start_before=8 * HOUR))
    story.rows[0]["start"] += HOUR // 2


def deleted_with_a_wrong_second(story: Story, start: float = 8 * HOUR + 61) -> None:
    """Gone from the timesheet, where it had stood a minute off."""
    times = {"start": start, "end": 16 * HOUR, "start_before": start, "end_before": 16 * HOUR}
    story.lines.append(deed(17 * HOUR, "delete_shift", shift_id="S1", **times))
    del story.rows[0]


def deleted(story: Story) -> None:
    """Not broken: it stood there as it should, and a manager deleted it."""
    deleted_with_a_wrong_second(story, start=8 * HOUR)


def rounded_down(story: Story) -> None:
    """The service records the nearest five minutes, and shows those before."""
    rounded_to_the_nearest(story)
    story.rows[2]["end"] -= 300


def rounded_too_far(story: Story) -> None:
    """It records five minutes; a start three minutes off is none of them."""
    rounded_to_the_nearest(story)
    story.rows[0]["start"] -= 180


def rounded_to_the_nearest(story: Story) -> None:
    """Not broken: it records the nearest five minutes."""
    story.behaviour["round_to_s"] = 300
    story.shift(ANNA, 18 * HOUR + 100, 19 * HOUR + 200, "S7")
    story.rows[2] |= {"start": T0 + 18 * HOUR, "end": T0 + 19 * HOUR + 300}


def discarded_by_nobody(story: Story) -> None:
    """A decision that nobody made."""
    story.punches[3] |= {"state": "discarded", "reason": "by_decision"}
    story.rows[1] |= {"end": None, "end_source": None}


def discarded_as_it_went_off(story: Story) -> None:
    """Whoever decided saw no answer; the kiosk had stored it."""
    discarded_by_nobody(story)
    told = {"punch_id": "P4", "decision": "discard", "stated": None, "refused": WENT_OFF, "added": None}
    story.lines.append(Decided(at=T0 + 19 * HOUR, kiosk=DOOR, **told))


def sent_with_a_wrong_second(story: Story) -> None:
    """The clock was right, and the minute is another one: in the punch and on the timesheet."""
    story.punches[0]["occurred_at_unix"] += 60
    story.rows[0]["start"] += 60


def a_time_server_that_was_seen(story: Story, between_s: float = 600.0) -> None:
    """The service vouched for a clock 5 s behind, then a time server set it right, and after ten minutes a hand set it
    wrong: what was tapped then is 5 s behind, and the kiosk had known better."""
    up = 19.2 * HOUR
    story.lines.append(PowerCut(at=T0 + 19.0 * HOUR, kiosk=DOOR, life=1, off_s=700.0, torn=""))
    story.start(up, life=2, boot="boot-2", ahead=-5.0, ntp=False)
    story.ask(up + 1, "GET", "/me")
    story.lines.append(ClockSynchronised(at=T0 + up + 60, kiosk=DOOR, by_s=5.0))
    set_at = T0 + up + 60 + between_s
    story.lines.append(ClockStepped(at=set_at, kiosk=DOOR, by_s=-37.0, ahead_s=-37.0, vouched=False))
    story.tap(ANNA, 20 * HOUR, "clocked_in", boot_id="boot-2", ahead=-37.0, boottime_s=20 * HOUR - up)
    raw_at = rfc3339(T0 + 20 * HOUR - 37)
    story.punch(ANNA, 20 * HOUR - 5, "clock_in", "delivered", remote_id="S7", time_error_s=6.0, raw_at=raw_at)
    story.live(20 * HOUR + 2, ANNA, "clock_in", 20 * HOUR - 5)
    story.row("S7", ANNA, 20 * HOUR - 5, None)


def a_time_server_between_two_looks(story: Story) -> None:
    """Not broken: it was there for two minutes, in which the kiosk did not look, and the error was told."""
    a_time_server_that_was_seen(story, 120.0)


def a_punch_of_no_tap(story: Story) -> None:
    """A whole shift, delivered, and nobody was there."""
    for at, direction in ((19 * HOUR, "clock_in"), (20 * HOUR, "clock_out")):
        story.punch(ANNA, at, direction, "delivered", remote_id="S7")
    story.row("S7", ANNA, 19 * HOUR, 20 * HOUR)


def a_decision_of_nobody(story: Story) -> None:
    """A punch that claims to come of a decision."""
    story.punch(ANNA, 19 * HOUR, "clock_in", "delivered", remote_id="S7", source="decision", badge=None, reader=None)
    story.row("S7", ANNA, 19 * HOUR, None)


def a_stored_tap_nobody_saw(story: Story) -> None:
    """Not broken: the power went between the commit and the light."""
    story.tap(ANNA, 17 * HOUR, None, took=1.0)
    story.lines.append(PowerCut(at=T0 + 17 * HOUR + 0.5, kiosk=DOOR, life=1, off_s=60.0, torn=""))
    story.start(17 * HOUR + 70, life=2, boot="boot-2")
    story.punch(ANNA, 17 * HOUR, "clock_in", "delivered", remote_id="S7")
    story.row("S7", ANNA, 17 * HOUR, None)


def stored_twice_unseen(story: Story) -> None:
    """The same, and two punches came of it."""
    a_stored_tap_nobody_saw(story)
    story.punch(ANNA, 17 * HOUR, "clock_in", "delivered", remote_id="S8")
    story.row("S8", ANNA, 17 * HOUR, None)


BROKEN = {
    lost: "nothing lost",
    shown_the_other_way: "nothing lost",
    another_persons: "nothing lost",
    not_on_the_timesheet: "one effect",
    twice_on_the_timesheet: "from somewhere",
    waits_and_stands: "one effect",
    ended_at_another_second: "one effect",
    discarded_by_nobody: "one effect",
    sent_with_a_wrong_second: "true time",
    a_time_server_that_was_seen: "true time",
    a_punch_of_no_tap: "from somewhere",
    a_decision_of_nobody: "from somewhere",
    stored_twice_unseen: "from somewhere",
    moved_at_its_other_end: "one effect",
    moved_after_the_edit: "one effect",
    wrong_before_the_edit: "one effect",
    edited_and_unended: "one effect",
    an_edit_that_another_undid: "one effect",
    deleted_with_a_wrong_second: "one effect",
    rounded_down: "one effect",
    rounded_too_far: "one effect",
}
FINE = (
    a_stored_tap_nobody_saw,
    a_time_server_between_two_looks,
    discarded_as_it_went_off,
    edited,
    moved_while_open,
    deleted,
    rounded_to_the_nearest,
)
