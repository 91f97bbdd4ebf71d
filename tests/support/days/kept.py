"""Days that break a rule of the judge, and near misses that break none: taps that wait for their badge's owner."""

from __future__ import annotations

from tests.simulation.weeks.history import Assigned
from tests.support.story import ANNA, BOB, DOOR, HOUR, T0, Story, reconfigured

NOBODYS = "04CCCCCCCC0103"


def kept(story: Story, direction: str, **told: object) -> None:
    """A tap at the entrance with nobody's badge; it became an exit before the badge was Anna's, and a punch of it."""
    story.tap(ANNA, 20 * HOUR, "unknown_badge", direction="clock_in", badge=NOBODYS, reader="in")
    story.lines.append(reconfigured(20.5 * HOUR, readers={"in": "clock_out"}))
    standing = {"state": "review", **told}
    punch = story.punch(ANNA, 20 * HOUR, direction, badge=NOBODYS, reader="in", **standing)
    given = {"what": "given", "badge": NOBODYS, "user_id": ANNA, "kiosk": DOOR, "punches": (punch["id"],)}
    story.lines.append(Assigned(at=T0 + 21.0 * HOUR, **given))


def kept_and_turned(story: Story) -> None:
    """It went the way that the reader goes now."""
    kept(story, "clock_out", reason="no_matching_clock_in")


def kept_as_it_was(story: Story) -> None:
    """Not broken: it went the way that the reader went then."""
    kept(story, "clock_in", state="delivered", remote_id="S7")
    story.row("S7", ANNA, 20 * HOUR, None)


def nobodys(story: Story, *at: float, owner: str | None = ANNA, given: float = 21 * HOUR, **said: object) -> None:
    """Taps of a badge that nobody has, at the door's own reader; then it is given to somebody."""
    for when in at:
        story.tap(ANNA, when, "unknown_badge", badge=NOBODYS, **said)
    if owner is not None:
        story.lines.append(Assigned(at=T0 + given, what="given", badge=NOBODYS, user_id=owner, kiosk=DOOR,
                                    punches=("P5",)))  # fmt: skip


def became(story: Story, at: float, who: str = ANNA) -> None:
    """One of them became a clock-in."""
    story.punch(who, at, "clock_in", "delivered", badge=NOBODYS, remote_id="S7")
    story.row("S7", who, at, None)


def kept_and_forgotten(story: Story) -> None:
    """Anna got the badge within the hour, and no punch came of its tap."""
    nobodys(story, 20 * HOUR)


def kept_and_half_forgotten(story: Story) -> None:
    """The first tap became a punch; the one of six minutes later repeats nothing, and became none."""
    nobodys(story, 20 * HOUR, 20 * HOUR + 360)
    became(story, 20 * HOUR)


def kept_and_repeated(story: Story) -> None:
    """Not broken: four minutes later it is the same tap."""
    nobodys(story, 20 * HOUR, 20 * HOUR + 240)
    became(story, 20 * HOUR)


def kept_and_taken_for_a_repeat(story: Story) -> None:
    """The same at a reader for clocking out: a correction, which nothing folds."""
    nobodys(story, 20 * HOUR, owner=None)
    nobodys(story, 20 * HOUR + 240, reader="out", direction="clock_out")
    became(story, 20 * HOUR)


def kept_for_another(story: Story) -> None:
    """Anna got the badge, Bob the punch."""
    nobodys(story, 20 * HOUR)
    became(story, 20 * HOUR, BOB)


def kept_before_the_release(story: Story) -> None:
    """Not broken: whoever had it gave it back after that tap."""
    nobodys(story, 20 * HOUR)
    story.lines.append(Assigned(at=T0 + 20.5 * HOUR, what="released", badge=NOBODYS, user_id=None, kiosk=DOOR))


def kept_for_too_long(story: Story) -> None:
    """Not broken: given a week and an hour later, when only somebody who says since when gets it."""
    story.ends = 9 * 24 * HOUR
    nobodys(story, 20 * HOUR, given=(7 * 24 + 21) * HOUR)


def kept_for_nearly_too_long(story: Story) -> None:
    """An hour less than a week."""
    story.ends = 9 * 24 * HOUR
    nobodys(story, 20 * HOUR, given=(7 * 24 + 19) * HOUR)


def kept_and_no_longer(story: Story) -> None:
    """Nobody got the badge, and the kiosk tells of one tap where there were two."""
    nobodys(story, 20 * HOUR, 20.5 * HOUR, owner=None)
    story.unknown.append({"badge": NOBODYS, "taps": 1})


def kept_and_blocked(story: Story) -> None:
    """Not broken: a badge that somebody blocked is no longer one that waits for an owner."""
    nobodys(story, 20 * HOUR, owner=None)
    story.lines.append(Assigned(at=T0 + 20.5 * HOUR, what="blocked", badge=NOBODYS, user_id=None, kiosk=DOOR))


def kept_till_now(story: Story) -> None:
    """Not broken: it tells of both."""
    kept_and_no_longer(story)
    story.unknown[0]["taps"] = 2


BROKEN = {
    kept_and_turned: "direction",
    kept_and_forgotten: "kept taps",
    kept_and_half_forgotten: "kept taps",
    kept_and_taken_for_a_repeat: "kept taps",
    kept_for_another: "kept taps",
    kept_for_nearly_too_long: "kept taps",
    kept_and_no_longer: "kept taps",
}
FINE = (
    kept_as_it_was,
    kept_and_repeated,
    kept_before_the_release,
    kept_for_too_long,
    kept_till_now,
    kept_and_blocked,
)
