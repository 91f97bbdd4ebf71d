"""Days that break a rule of the judge, and near misses that break none: what is sent, and when."""

from __future__ import annotations

from tests.simulation.weeks.history import ClockStepped, ClockSynchronised, Decided, PowerCut
from tests.support.story import ANNA, DOOR, HOUR, T0, Story, deed


def two_at_once(story: Story) -> None:
    """The next request left before the last was answered."""
    story.ask(20 * HOUR, "GET", "/me", processed_at=T0 + 20 * HOUR + 5)
    story.ask(20 * HOUR + 2, "GET", "/me")


def sent_again_unseen(story: Story) -> None:
    """An answer was lost, and the same clock-in left again without a look."""
    story.live(8 * HOUR + 1, ANNA, "clock_in", 8 * HOUR, fault="drop", got="RemoteProtocolError")


def sent_again_after_a_look(story: Story) -> None:
    """Not broken: it was looked up in between."""
    sent_again_unseen(story)
    story.read(8 * HOUR + 1.5, ANNA)


def refused_for_ever(story: Story) -> None:
    """An open shift in its way, and every minute the same request."""
    for minute in range(12):
        at = 18 * HOUR + 60 * minute
        story.live(at + 5, ANNA, "clock_in", 18 * HOUR, status=400, answer='{"detail": "already open"}')


def out_before_in(story: Story) -> None:
    """The clock-out left, the clock-in had not."""
    story.asked[0]["at"] = T0 + 16 * HOUR + 10
    story.asked[0]["processed_at"] = T0 + 16 * HOUR + 10.2


def beyond_the_reach(story: Story) -> None:
    """A live clock-in of twelve hours ago: the service might just take it, or not."""
    story.live(20 * HOUR + 2, ANNA, "clock_in", 8 * HOUR)


def of_the_future(story: Story) -> None:
    """A second that has not come yet."""
    story.live(20 * HOUR, ANNA, "clock_in", 20 * HOUR + 3)


def by_an_untrusted_clock(story: Story) -> None:
    """After a power cut nothing vouched for the clock."""
    story.lines.append(PowerCut(at=T0 + 19.0 * HOUR, kiosk=DOOR, life=1, off_s=600.0, torn=""))
    story.start(19.2 * HOUR, life=2, boot="boot-2", ahead=-600.0, ntp=False)
    story.live(19.3 * HOUR, ANNA, "clock_in", 18 * HOUR)


def by_a_clock_that_is_disputed(story: Story) -> None:
    """The service's Date had shown it to be an hour wrong."""
    story.lines.append(ClockStepped(at=T0 + 19.0 * HOUR, kiosk=DOOR, by_s=3600.0, ahead_s=3600.0, vouched=True))
    story.ask(19.1 * HOUR, "GET", "/me")
    story.live(19.2 * HOUR, ANNA, "clock_in", 18 * HOUR)


def by_a_clock_that_the_wall_left(story: Story) -> None:
    """Not broken: disputed at first, set right by the time server, and then somebody set the wall clock 35 s ahead: the
    boot clock carries the time, and the Date agrees with it."""
    story.lines.append(ClockStepped(at=T0 + 19.0 * HOUR, kiosk=DOOR, by_s=3600.0, ahead_s=3600.0, vouched=True))
    story.ask(19.1 * HOUR, "GET", "/me")
    story.lines.append(ClockSynchronised(at=T0 + 19.2 * HOUR, kiosk=DOOR, by_s=-3600.0))
    story.lines.append(ClockStepped(at=T0 + 19.3 * HOUR, kiosk=DOOR, by_s=35.0, ahead_s=35.0, vouched=False))
    story.ask(19.4 * HOUR, "GET", "/me")
    story.ask(19.5 * HOUR, "GET", "/me")
    story.live(19.6 * HOUR, ANNA, "clock_in", 18 * HOUR)


def by_a_clock_set_before_the_answer_came(story: Story) -> None:
    """Not broken: asked by a clock that the boot left an hour behind, and answered after NTP had set it."""
    story.lines.append(PowerCut(at=T0 + 19.0 * HOUR, kiosk=DOOR, life=1, off_s=3600.0, torn=""))
    story.start(20 * HOUR, life=2, boot="boot-2", ahead=-3600.0, ntp=False)
    story.ask(20 * HOUR + 1, "GET", "/me", got_at=T0 + 20 * HOUR + 15)
    story.lines.append(ClockSynchronised(at=T0 + 20 * HOUR + 6, kiosk=DOOR, by_s=3600.0))
    story.live(20 * HOUR + 16, ANNA, "clock_in", 20 * HOUR + 10)


def by_a_clock_that_a_hand_set_right(story: Story) -> None:
    """Not broken: disputed, then set right by somebody, and the next Date agrees with what the wall clock says now."""
    story.lines.append(ClockStepped(at=T0 + 19.0 * HOUR, kiosk=DOOR, by_s=3600.0, ahead_s=3600.0, vouched=True))
    story.ask(19.1 * HOUR, "GET", "/me")
    story.lines.append(ClockStepped(at=T0 + 19.2 * HOUR, kiosk=DOOR, by_s=-3600.0, ahead_s=0.0, vouched=False))
    story.ask(19.3 * HOUR, "GET", "/me")
    story.live(19.4 * HOUR, ANNA, "clock_in", 18 * HOUR)


def by_a_clock_that_a_hand_did_not_set_right(story: Story) -> None:
    """Disputed, and whoever set it left it a minute off."""
    story.lines.append(ClockStepped(at=T0 + 19.0 * HOUR, kiosk=DOOR, by_s=3600.0, ahead_s=3600.0, vouched=True))
    story.ask(19.1 * HOUR, "GET", "/me")
    story.lines.append(ClockStepped(at=T0 + 19.2 * HOUR, kiosk=DOOR, by_s=-3540.0, ahead_s=60.0, vouched=False))
    story.ask(19.3 * HOUR, "GET", "/me")
    story.live(19.4 * HOUR, ANNA, "clock_in", 18 * HOUR)


def asked_with_nothing_left(story: Story) -> None:
    """The headers had said that the minute was spent."""
    told = {"x-ratelimit-minute-remaining": "0", "x-ratelimit-minute-reset": str(T0 + 20 * HOUR + 60)}
    story.ask(20 * HOUR, "GET", "/me", headers=told)
    story.ask(20 * HOUR + 1, "GET", "/me", status=429)


def too_many_a_minute(story: Story) -> None:
    """61 where the owner allows 60."""
    for number in range(61):
        story.ask(20 * HOUR + number * 0.5, "GET", "/me")


def before_the_reset(story: Story) -> None:
    """Throttled, and back after ten seconds."""
    story.ask(20 * HOUR, "GET", "/me", status=429, answer='{"detail": "Too many requests"}')
    story.ask(20 * HOUR + 10, "GET", "/me")


def a_refused_key_again(story: Story) -> None:
    """401, and again a minute later."""
    for minute in (0, 1):
        story.ask(20 * HOUR + minute * 60, "GET", "/me", status=401)


def a_refused_key_that_a_question_met_first(story: Story) -> None:
    """Not broken: a person's question was refused, and halted nothing; the kiosk's own read finds it out, and asks."""
    story.read(20 * HOUR, ANNA, status=401)
    told = {"punch_id": "P4", "decision": "accept_server", "stated": True, "refused": "refused", "added": None}
    story.lines.append(Decided(at=T0 + 20 * HOUR + 0.3, kiosk=DOOR, **told))
    story.read(20.5 * HOUR, ANNA, status=401)
    story.ask(20.5 * HOUR + 0.3, "GET", "/me", status=401)


def a_refused_key_that_a_check_met_first(story: Story) -> None:
    """Not broken: the check of an assignment was refused, which a key may be that does its work."""
    story.ask(20 * HOUR, "GET", "/users/v1/users/101/assignments", status=401)
    story.read(20.5 * HOUR, ANNA, status=401)
    story.ask(20.5 * HOUR + 0.3, "GET", "/me", status=401)


def a_refused_key_that_a_check_met_just_before(story: Story) -> None:
    """Not broken: what the check of an assignment met halts nothing, and Anna's clock-in leaves minutes later."""
    at = 20 * HOUR
    story.ask(at, "GET", "/users/v1/users/101/assignments", status=401)
    story.live(at + 500, ANNA, "clock_in", at + 498, status=401)


def a_check_with_a_refused_key_again(story: Story) -> None:
    """One check after the other."""
    for minute in (0, 1):
        story.ask(20 * HOUR + minute * 60, "GET", "/users/v1/users/101/assignments", status=401)


def a_refused_key_renewed(story: Story) -> None:
    """Not broken: somebody had renewed it."""
    a_refused_key_again(story)
    story.lines.append(deed(20 * HOUR + 50, "key_renewed", user_id=None))


BROKEN = {
    refused_for_ever: "no hammering",
    two_at_once: "one at a time",
    sent_again_unseen: "looked up first",
    out_before_in: "in order",
    beyond_the_reach: "in window",
    of_the_future: "in window",
    by_an_untrusted_clock: "clock gate",
    by_a_clock_that_is_disputed: "clock gate",
    by_a_clock_that_a_hand_did_not_set_right: "clock gate",
    asked_with_nothing_left: "budget kept",
    too_many_a_minute: "ceiling kept",
    before_the_reset: "throttle obeyed",
    a_refused_key_again: "key left alone",
    a_check_with_a_refused_key_again: "key left alone",
}
FINE = (
    by_a_clock_that_the_wall_left,
    by_a_clock_set_before_the_answer_came,
    by_a_clock_that_a_hand_set_right,
    sent_again_after_a_look,
    a_refused_key_renewed,
    a_refused_key_that_a_check_met_first,
    a_refused_key_that_a_check_met_just_before,
    a_refused_key_that_a_question_met_first,
)
