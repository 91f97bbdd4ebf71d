"""Days that break the rule about delay, and near misses that break none: Anna's clock-in leaves an hour late."""

from __future__ import annotations

from tests.simulation.weeks.history import ClockStepped, Disk, Network, Ordered, Reconfigured
from tests.support.story import ANNA, DOOR, HOUR, SETTINGS, T0, Story, deed

TAPPED, LEFT = 18 * HOUR, 19 * HOUR


def an_hour_late(story: Story) -> None:
    """Nothing was wrong that evening."""
    story.tap(ANNA, TAPPED, "clocked_in")
    story.live(LEFT, ANNA, "clock_in", TAPPED)
    story.punch(ANNA, TAPPED, "clock_in", "delivered", remote_id="S9")
    story.row("S9", ANNA, TAPPED, None)


def silent_after_an_outage(story: Story) -> None:
    """The network had been back for half an hour as she tapped; hours of tries had spent the day, for the kiosk."""
    an_hour_late(story)
    story.lines += _network(TAPPED - 5 * HOUR, TAPPED - 1800)


def a_clock_out_an_hour_late(story: Story) -> None:
    """The shift's end as well."""
    story.tap(ANNA, TAPPED, "clocked_in")
    story.live(TAPPED + 2, ANNA, "clock_in", TAPPED)
    story.punch(ANNA, TAPPED, "clock_in", "delivered", remote_id="S9")
    story.tap(ANNA, LEFT, "clocked_out")
    story.live(LEFT + HOUR, ANNA, "clock_out", LEFT)
    story.punch(ANNA, LEFT, "clock_out", "delivered", remote_id="S9")
    story.row("S9", ANNA, TAPPED, LEFT)


def in_an_outage(story: Story) -> None:
    """Near miss: no network."""
    an_hour_late(story)
    story.lines += _network(TAPPED - 60, LEFT - 5)


def in_an_outage_without_end(story: Story) -> None:
    """Near miss: the network went that day and was not told to be back."""
    an_hour_late(story)
    story.lines += _network(TAPPED - 60, LEFT - 5)[:1]


def behind_a_fault(story: Story) -> None:
    """Near miss: whatever was sent got lost."""
    an_hour_late(story)
    for at, what in ((TAPPED - HOUR, "set"), (TAPPED + 60, "cleared")):
        story.lines.append(Network(at=T0 + at, what=what, fault={"id": "f1", "kind": "drop"}))


def while_paused(story: Story) -> None:
    """Near miss: somebody had paused delivery."""
    an_hour_late(story)
    for at, what in ((TAPPED - HOUR, "pause"), (LEFT - 5, "resume")):
        story.lines.append(Ordered(at=T0 + at, kiosk=DOOR, what=what))


def on_a_full_disk(story: Story) -> None:
    """Near miss: it could not write down that it would ask."""
    an_hour_late(story)
    for at, full in ((TAPPED + 60, True), (LEFT - 5, False)):
        story.lines.append(Disk(at=T0 + at, kiosk=DOOR, full=full))


def by_a_disputed_clock(story: Story) -> None:
    """Near miss: a minute off, and the service had said so."""
    an_hour_late(story)
    for at, by_s in ((TAPPED + 60, 60.0), (LEFT - 5, -60.0)):
        ahead_s = 60.0 if by_s > 0 else 0.0
        story.lines.append(ClockStepped(at=T0 + at, kiosk=DOOR, by_s=by_s, ahead_s=ahead_s, vouched=True))


def without_a_key(story: Story) -> None:
    """Near miss: the key had expired."""
    an_hour_late(story)
    story.lines += [deed(TAPPED - HOUR, "key_expired", None), deed(LEFT - 5, "key_renewed", None)]


def refused_meanwhile(story: Story) -> None:
    """Near miss: the kiosk had just been told to wait."""
    an_hour_late(story)
    story.ask(TAPPED - 60, "GET", "/me", status=429, answer='{"detail": "Too many requests"}')


def by_other_settings(story: Story) -> None:
    """Near miss: it was told to run by other settings."""
    an_hour_late(story)
    story.lines.append(Reconfigured(at=T0 + TAPPED + 60, kiosk=DOOR, how="reload", settings=dict(SETTINGS)))


def with_half_the_day_gone(story: Story) -> None:
    """Near miss: of the account's requests so many were gone that the rest is dealt out with care."""
    an_hour_late(story)
    story.per_day = 10
    for number in range(3):
        story.ask(17.2 * HOUR + number, "GET", "/me")


def behind_an_earlier_punch(story: Story) -> None:
    """Near miss: her clock-in itself left late, and the clock-out follows it; that one is not to blame."""
    in_an_outage(story)
    story.tap(ANNA, TAPPED + 1800, "clocked_out")
    story.live(LEFT + 60, ANNA, "clock_out", TAPPED + 1800)
    story.punch(ANNA, TAPPED + 1800, "clock_out", "delivered", remote_id="S9")
    story.rows[-1] |= {"end": int(T0 + TAPPED + 1800), "end_source": "api"}


def _network(down: float, up: float) -> list[Network]:
    return [Network(at=T0 + at, what=what, kiosk=DOOR) for at, what in ((down, "down"), (up, "up"))]


BROKEN = {
    an_hour_late: "no delay",
    silent_after_an_outage: "no delay",
    a_clock_out_an_hour_late: "no delay",
}
FINE = (
    in_an_outage,
    in_an_outage_without_end,
    behind_a_fault,
    while_paused,
    on_a_full_disk,
    by_a_disputed_clock,
    without_a_key,
    refused_meanwhile,
    by_other_settings,
    with_half_the_day_gone,
    behind_an_earlier_punch,
)
