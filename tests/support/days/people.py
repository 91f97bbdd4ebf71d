"""Days that break a rule of the judge, and near misses that break none: what people are shown."""

from __future__ import annotations

from tests.simulation.weeks.history import Assigned, Disk, Plugged
from tests.support.story import ANNA, BADGES, DOOR, HOUR, T0, Story, reconfigured, wait


def refused_for_nothing(story: Story) -> None:
    """A known badge, a disk with room, a running kiosk."""
    story.tap(ANNA, 18 * HOUR, "refused")


def refused_by_a_full_disk(story: Story) -> None:
    """Not broken: there was no room, and the person was told."""
    story.lines.append(Disk(at=T0 + 17.9 * HOUR, kiosk=DOOR, full=True))
    story.tap(ANNA, 18 * HOUR, "refused")


def refused_as_its_badge_was_blocked(story: Story) -> None:
    """Not broken: blocked in that very moment, and released before a second had passed."""
    story.tap(ANNA, 18 * HOUR, "refused")
    for what, after_s in (("blocked", 0.0), ("released", 0.2)):
        at = T0 + 18 * HOUR + after_s
        story.lines.append(Assigned(at=at, what=what, badge=BADGES[ANNA], user_id=None, kiosk=DOOR))


def called_unknown(story: Story) -> None:
    """Anna's badge is hers since the morning."""
    story.tap(ANNA, 18 * HOUR, "unknown_badge")


def shown_nothing(story: Story) -> None:
    """The reader stayed dark, and the kiosk was on."""
    story.tap(ANNA, 18 * HOUR, None)


def unplugged(story: Story) -> None:
    """Not broken: somebody had pulled the reader's plug."""
    story.lines.append(Plugged(at=T0 + 17.9 * HOUR, kiosk=DOOR, reader="front", plugged=False))
    story.tap(ANNA, 18 * HOUR, None)


def called_a_repeat(story: Story) -> None:
    """61 seconds later it is a tap of its own."""
    story.tap(ANNA, 16 * HOUR + 61.8, "repeat")


def a_repeat(story: Story) -> None:
    """Not broken: 59 seconds later."""
    story.tap(ANNA, 16 * HOUR + 59, "repeat")


def a_repeat_that_counted(story: Story) -> None:
    """An impatient second tap sent Anna home and back in."""
    story.tap(ANNA, 16 * HOUR + 20, "clocked_in")
    story.punch(ANNA, 16 * HOUR + 20, "clock_in", "delivered", remote_id="S7")
    story.row("S7", ANNA, 16 * HOUR + 20, None)


def in_when_leaving(story: Story) -> None:
    """In at eight, and in again at sixteen o'clock, on a toggle."""
    story.punches[1]["direction"] = "clock_in"
    story.rows[0] |= {"end": None, "end_source": None}
    story.row("S7", ANNA, 16 * HOUR, None)


def out_while_its_reader_was_meant_anew(story: Story) -> None:
    """A toggle would have made it an in, but in that moment the owner made an exit of the reader."""
    wait(story, "review", "no_matching_clock_in", "clock_out", 20 * HOUR)
    story.lines.append(reconfigured(20 * HOUR, readers={"front": "clock_out"}))


def a_correction_while_its_reader_was_meant_anew(story: Story) -> None:
    """Out, and twenty seconds later in: in that moment the owner made an entrance of the reader."""
    story.tap(ANNA, 16 * HOUR + 20, "clocked_in")
    story.punch(ANNA, 16 * HOUR + 20, "clock_in", "delivered", remote_id="S7")
    story.live(16 * HOUR + 22, ANNA, "clock_in", 16 * HOUR + 20)
    story.row("S7", ANNA, 16 * HOUR + 20, None)
    story.lines.append(reconfigured(16 * HOUR + 20, readers={"front": "clock_in"}))


def out_at_the_entrance(story: Story) -> None:
    """A reader for clocking in took a clock-out."""
    story.tap(ANNA, 20 * HOUR, "clocked_out", direction="clock_in")
    story.punch(ANNA, 20 * HOUR, "clock_out", "review", reason="no_matching_clock_in")


def out_after_too_long(story: Story) -> None:
    """In at half past six in the evening, and out 14 h 5 min later, where nobody works for more than 14 h."""
    story.tap(ANNA, 18.5 * HOUR, "clocked_in")
    story.punch(ANNA, 18.5 * HOUR, "clock_in", "delivered", remote_id="S7")
    story.live(18.5 * HOUR + 2, ANNA, "clock_in", 18.5 * HOUR)
    story.row("S7", ANNA, 18.5 * HOUR, None)
    wait(story, "review", "shift_too_long", "clock_out", 32.5 * HOUR + 300)
    story.calm = 40 * HOUR
    story.ends = 90 * HOUR


def out_after_too_long_by_the_tap_alone(story: Story) -> None:
    """Not broken: the service rounds, so its timesheet may have shown a start less than 14 h before."""
    out_after_too_long(story)
    story.behaviour["round_to_s"] = 900


BROKEN = {
    refused_for_nothing: "turned away",
    called_unknown: "turned away",
    shown_nothing: "turned away",
    called_a_repeat: "turned away",
    a_repeat_that_counted: "folded",
    in_when_leaving: "direction",
    out_at_the_entrance: "direction",
    out_after_too_long: "direction",
}
FINE = (
    unplugged,
    refused_as_its_badge_was_blocked,
    refused_by_a_full_disk,
    a_repeat,
    out_while_its_reader_was_meant_anew,
    a_correction_while_its_reader_was_meant_anew,
    out_after_too_long_by_the_tap_alone,
)
