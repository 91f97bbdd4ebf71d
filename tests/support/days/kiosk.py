"""Days that break a rule of the judge, and near misses that break none: a kiosk as a whole."""

from __future__ import annotations

from tests.simulation.weeks.history import Disk, Failed, Ordered
from tests.support.story import ANNA, BOB, DOOR, HOUR, T0, Story, rfc3339, wait


def still_on_its_way(story: Story) -> None:
    """Two days later a punch is still pending."""
    wait(story, "pending", None)


def to_and_fro(story: Story) -> None:
    """Taken out of review and put back with each read, for a day."""
    wait(story, "review", "no_matching_clock_in")
    told(story, 48)


def now_and_then(story: Story) -> None:
    """Near miss: as many moves, over a week."""
    told(story, 48, every_s=3600 * 3)


def told(story: Story, moves: int, every_s: int = 900) -> None:
    """So many moves in the journal of the first punch."""
    for number in range(moves):
        action = ("punch.review", "punch.pending")[number % 2]
        at = rfc3339(T0 + 9 * HOUR + number * every_s)
        story.punches[0]["history"]["journal"].append({"at": at, "by": "automatic", "action": action, "data": {}})


def offline_for_ever(story: Story) -> None:
    """The network is back for days, and the kiosk has not noticed."""
    story.status["state"] = "offline"


def overtaken(story: Story) -> None:
    """Anna had waited for two hours when Bob's clock-in went first."""
    for who, at in ((ANNA, 18 * HOUR), (BOB, 19 * HOUR)):
        story.tap(who, at, "clocked_in")
        story.punch(who, at, "clock_in", "delivered", remote_id=f"S{who}")
        story.row(f"S{who}", who, at, None)
    story.live(20 * HOUR, BOB, "clock_in", 19 * HOUR)
    story.live(20 * HOUR + 1, ANNA, "clock_in", 18 * HOUR)


def overtaken_while_it_is_looked_up(story: Story) -> None:
    """Not broken: the power had gone between the journal's entry of Anna's request and its leaving."""
    overtaken(story)
    punch = next(one for one in story.punches if one["user_id"] == ANNA and one["occurred_at_unix"] == T0 + 18 * HOUR)
    lost = {"sent_at": rfc3339(T0 + 18 * HOUR + 2), "outcome": "absent"}
    punch["history"]["attempts"].append(lost)


def overtaken_behind_what_was_refused(story: Story) -> None:
    """Not broken: something on the way had refused Anna's earlier shift like a key, so that it was still to be sent."""
    overtaken(story)
    for at, what in ((16.9 * HOUR, "pause"), (19.9 * HOUR, "resume")):
        story.lines.append(Ordered(at=T0 + at, kiosk=DOOR, what=what))
    for at, shown in ((17 * HOUR, "clocked_in"), (17.5 * HOUR, "clocked_out")):
        story.tap(ANNA, at, shown)
        way = shown.replace("clocked", "clock")
        story.punch(ANNA, at, way, "delivered", remote_id="S9", recorded_as="time_activity")
    story.row("S9", ANNA, 17 * HOUR, 17.5 * HOUR)
    times = {name: {"timestamp": int(T0 + at)} for name, at in (("start", 17 * HOUR), ("end", 17.5 * HOUR))}
    body = {"timeActivities": [{"userId": int(ANNA), "shifts": [times]}]}
    story.ask(19.9 * HOUR, "POST", "time-activities", body, status=None, got="403", fault="error")
    story.ask(20 * HOUR + 0.5, "POST", "time-activities", body)


def the_key_in_the_log(story: Story) -> None:
    """A traceback with the request's headers."""
    story.log.append("error headers={'x-api-key': 'sandbox-key'}")


def a_badge_in_the_log(story: Story) -> None:
    """A credential, for whoever may read the journal."""
    story.log.append("tap.accepted badge=04AAAAAAAA0101")


def a_name_in_the_log(story: Story) -> None:
    """The log holds user_ids alone (docs/privacy.md)."""
    story.log.append("punch.committed name='Anna Visser'")


def the_key_in_a_journal(story: Story) -> None:
    """What the service said is kept, and it said the key."""
    story.punches[0]["history"]["attempts"].append({"detail": "bad key sandbox-key"})


def damage(story: Story) -> None:
    """The check of the database found something."""
    story.findings.append("row 5 missing from index punches_by_lane")


def ended_by_itself(story: Story) -> None:
    """A fault that no supervisor caught."""
    story.lines.append(Failed(at=T0 + 20.0 * HOUR, kiosk=DOOR, life=1, error="AssertionError"))


def failing(story: Story, error: str, event: str = "part.failed") -> None:
    """A part fails at eight o'clock in the evening."""
    story.log.append(f'{T0 + 20 * HOUR:.3f} event={event} level=error part=delivery failures=1 error="{error}"')


def a_part_that_fails(story: Story) -> None:
    """A fault of ours that the supervisor caught: delivery is started again, and everything goes on."""
    failing(story, "RuntimeError: a fault of ours")


def a_part_that_fails_on_a_full_disk(story: Story) -> None:
    """A full disk excuses what a full disk says, and no fault of ours beside it."""
    story.lines.append(Disk(at=T0 + 19.5 * HOUR, kiosk=DOOR, full=True))
    failing(story, "AssertionError: the disk is full")


def no_room_where_there_is(story: Story) -> None:
    """The disk had room again for half an hour."""
    for at, full in ((19.0, True), (19.5, False)):
        story.lines.append(Disk(at=T0 + at * HOUR, kiosk=DOOR, full=full))
    failing(story, "OperationalError: database or disk is full")


def no_room(story: Story) -> None:
    """Not broken: the disk was full."""
    story.lines.append(Disk(at=T0 + 19.5 * HOUR, kiosk=DOOR, full=True))
    failing(story, "OperationalError: database or disk is full")
    story.told.append(("delivery_failing", T0 + 20 * HOUR + 0.1))


def an_alarm_of_a_part(story: Story) -> None:
    """Told to the owner, and in no line of the log."""
    story.told.append(("delivery_failing", T0 + 20.0 * HOUR))


def a_fault_for_one_person(story: Story) -> None:
    """Planning failed for one person, and moved nothing."""
    failing(story, "KeyError: 'x'", "work.contained")


def a_fault_that_a_retry_hid(story: Story) -> None:
    """Given up as a fault of ours, let go again by a person, and delivered."""
    data = {"from": "pending", "reason": "internal_error", "detail": "KeyError"}
    moved = {"at": rfc3339(T0 + 9 * HOUR), "by": "automatic", "action": "punch.review", "data": data}
    story.punches[0]["history"]["journal"].append(moved)


def growing_memory(story: Story) -> None:
    """Half a gigabyte from first to last."""
    story.memory_kb = (90_000, 690_000)


def a_daemon_that_hoards(story: Story) -> None:
    """A list that keeps something of each request."""
    story.held_kb = (900, 4_000)


def growing_descriptors(story: Story) -> None:
    """A database left open at each restart."""
    story.descriptors = (10, 40)


BROKEN = {
    ended_by_itself: "sound",
    still_on_its_way: "nobody starves",
    to_and_fro: "at rest",
    offline_for_ever: "nobody starves",
    overtaken: "oldest first",
    the_key_in_the_log: "secrets kept",
    a_badge_in_the_log: "secrets kept",
    a_name_in_the_log: "secrets kept",
    the_key_in_a_journal: "secrets kept",
    damage: "sound",
    growing_memory: "sound",
    a_daemon_that_hoards: "sound",
    growing_descriptors: "sound",
    a_part_that_fails: "parts run",
    a_part_that_fails_on_a_full_disk: "parts run",
    no_room_where_there_is: "parts run",
    an_alarm_of_a_part: "parts run",
    a_fault_for_one_person: "parts run",
    a_fault_that_a_retry_hid: "parts run",
}
FINE = (
    overtaken_behind_what_was_refused,
    now_and_then,
    no_room,
)
