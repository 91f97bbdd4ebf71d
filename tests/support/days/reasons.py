"""Days that break a rule of the judge, and near misses that break none: why a punch waits."""

from __future__ import annotations

from tests.support.story import ANNA, HOUR, Story, at_night, deed, wait


def an_unpublished_reason(story: Story) -> None:
    """A word that is in no list."""
    wait(story, "review", "because")


def a_reason_of_another_state(story: Story) -> None:
    """What only a review may say."""
    wait(story, "held", "same_second")


def an_obstacle_long_gone(story: Story) -> None:
    """The overlapping shift was deleted, the kiosk read it twice, and the review still waits."""
    at_night(story, "review", "overlaps_existing_shift")
    story.lines.append(deed(19 * HOUR, "delete_shift", shift_id="S7", start=17 * HOUR, end=19 * HOUR))
    for at in (22 * HOUR, 30 * HOUR):
        story.read(at, ANNA)


def a_forgotten_shift_long_ended(story: Story) -> None:
    """Still open from elsewhere when Anna clocked in, ended by a manager before that second; the review still waits."""
    at_night(story, "review", "already_open")
    story.live(
        18 * HOUR + 2, ANNA, "clock_in", 18 * HOUR, status=400, answer='{"detail": "User already has an open shift"}'
    )
    story.row("S7", ANNA, 17 * HOUR, 17.9 * HOUR, source="admin", end_source="admin")
    story.lines.append(deed(19 * HOUR, "close_shift", shift_id="S7", start=17 * HOUR, end=17.9 * HOUR))
    for at in (22 * HOUR, 30 * HOUR):
        story.read(at, ANNA)


def a_shift_in_the_way_that_was_worked(story: Story) -> None:
    """Not broken: her next clock-out ended it, and the service rounded that end to where she had clocked in."""
    story.behaviour["round_to_s"] = 900
    at_night(story, "review", "already_open")
    story.live(
        18 * HOUR + 2, ANNA, "clock_in", 18 * HOUR, status=400, answer='{"detail": "User already has an open shift"}'
    )
    story.read(18 * HOUR + 3, ANNA)
    story.tap(ANNA, 18.1 * HOUR, "clocked_out")
    story.punch(ANNA, 18.1 * HOUR, "clock_out", "delivered", remote_id="S7")
    story.live(18.1 * HOUR + 2, ANNA, "clock_out", 18.1 * HOUR)
    story.row("S7", ANNA, 17 * HOUR, 18 * HOUR, source="admin")
    for at in (22 * HOUR, 30 * HOUR):
        story.read(at, ANNA)


BROKEN = {
    an_unpublished_reason: "reasons true",
    a_reason_of_another_state: "reasons true",
    an_obstacle_long_gone: "obstacles gone",
    a_forgotten_shift_long_ended: "obstacles gone",
}
FINE = (a_shift_in_the_way_that_was_worked,)
