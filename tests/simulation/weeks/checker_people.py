"""Rules about what people are shown: nobody is turned away without cause, and in or out is theirs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from tests.simulation.weeks.facts import Facts
from tests.simulation.weeks.history import (
    Assigned,
    Crashed,
    Disk,
    Plugged,
    PowerCut,
    Reconfigured,
    Started,
    StartFailed,
    Stopped,
)
from tests.simulation.weeks.seen import ACKNOWLEDGED, Finding, PunchSeen, Tap, Violation

#: An answer that took longer was given up by the person, or never came.
ANSWER_S = 70.0
#: A reader that was plugged in again is looked for with growing pauses, up to this.
REOPENS_S = 45.0
#: A tap and a new configuration in the same moment: either may be first.
AT_ONCE_S = 1.0
#: Two clocks' floats.
HAIR_S = 0.01


def turned_away(facts: Facts) -> list[Violation]:
    """A refusal, a repeat, an unknown badge and silence each have their cause; a known badge is never turned away."""
    finding = Finding("turned away")
    stored = list(_stored(facts))
    for tap in facts.taps:
        if tap.shown == "refused" and not _may_refuse(facts, tap):
            finding.say(tap.shown_line, f"{tap} was refused: its disk had room, it was not stopping, the badge is good")
        elif tap.shown == "unknown_badge" and tap.owner is not None:
            finding.say(tap.shown_line, f"{tap} was called unknown, and the badge is {tap.owner}'s")
        elif tap.shown is None and tap.said.boot_id is not None and not _went_dark(facts, tap):
            finding.say(tap.shown_line, f"{tap} was shown nothing, and its kiosk was on all the time")
        elif tap.shown == "repeat" and not any(_repeats(facts, tap, first) for first in stored):
            finding.say(tap.shown_line, f"{tap} was called a repeat, and repeats no accepted tap")
    return finding.found


def _stored(facts: Facts) -> Iterator[Tap]:
    """Taps that count as accepted: shown so, or found stored although nobody saw it."""
    for tap in facts.taps:
        if tap.shown in ACKNOWLEDGED or tap.said.tap in facts.punch_of:
            yield tap


def _repeats(facts: Facts, tap: Tap, first: Tap) -> bool:
    """Whether `tap` may be called `first` once more."""
    if first.said.kiosk != tap.said.kiosk or first is tap:
        return False
    punch = facts.punch_of.get(first.said.tap)
    if (punch.user_id if punch else first.owner) != tap.owner:
        return False
    after_s = tap.said.at - first.said.at
    if abs(after_s) >= facts.repeat_s(tap.said.kiosk, tap.said.at) + _clocks_s(tap, first):
        return False
    fixed = tap.said.direction if tap.said.direction != "toggle" else None
    return fixed is None or punch is None or punch.direction in (fixed, None)


def _clocks_s(tap: Tap, first: Tap) -> float:
    """How far the kiosk's reckoning of the time between two taps may be off: nothing inside one boot."""
    return HAIR_S if tap.said.boot_id == first.said.boot_id else 12.0 + abs(tap.off_s) + abs(first.off_s)


def folded(facts: Facts) -> list[Violation]:
    """A second tap of one person inside the repeat time is the same tap: it never becomes a punch of its own."""
    finding = Finding("folded")
    by_person: dict[tuple[str, str], list[Tap]] = {}
    for tap in _stored(facts):
        if tap.owner is not None and tap.said.tap in facts.punch_of and tap.shown != "unknown_badge":
            by_person.setdefault((tap.said.kiosk, tap.owner), []).append(tap)
    for (kiosk, _), taps in by_person.items():
        for first, second in pairwise(taps):
            if first.said.boot_id != second.said.boot_id:
                continue
            one, other = facts.punch_of[first.said.tap], facts.punch_of[second.said.tap]
            if "discarded" in (one.state, other.state) or one.user_id != other.user_id:
                continue
            close = second.said.at - first.said.at < facts.repeat_s(kiosk, second.said.at, least=True) - HAIR_S
            correction = second.said.direction not in ("toggle", one.direction)
            remeant = _reconfigured(facts, kiosk, second.said.at - AT_ONCE_S, second.shown_at + AT_ONCE_S)
            if close and not correction and not (remeant and other.direction != one.direction):
                finding.say(second.line, f"{second} repeats {first}, and became {other} of its own")
    return finding.found


def _may_refuse(facts: Facts, tap: Tap) -> bool:
    low, high = tap.said.at - 1, tap.shown_at + 1
    changes = (line.at for _, line in facts.of(Assigned) if low <= line.at <= high)
    if any(facts.blocked(tap.said.kiosk, tap.said.badge, at) for at in (low, *changes, high)):
        return True
    full = False
    for _, line in facts.of(Disk):
        if line.kiosk == tap.said.kiosk and line.at <= high:
            full = line.full or (full and line.at >= low)
    ends = (Stopped, Crashed, PowerCut)
    stopping = any(
        line.kiosk == tap.said.kiosk and low - 30 <= line.at <= high + 30 for kind in ends for _, line in facts.of(kind)
    )
    return full or stopping


def _went_dark(facts: Facts, tap: Tap) -> bool:
    """Whether the kiosk ended, or was not on, or its reader was not plugged in, while the person waited."""
    unplugged = False
    for _, line in facts.of(Plugged):
        if (line.kiosk, line.reader) == (tap.said.kiosk, tap.said.reader) and line.at <= tap.shown_at + 1:
            # It opens again some seconds after it was plugged in.
            unplugged = not line.plugged or line.at >= tap.said.at - REOPENS_S
    if unplugged:
        return True
    kinds = (Stopped, Crashed, PowerCut, StartFailed, Started)
    return any(
        line.kiosk == tap.said.kiosk and tap.said.at - 1 <= line.at <= max(tap.shown_at, tap.said.at + ANSWER_S)
        for kind in kinds
        for _, line in facts.of(kind)
    )


def direction_right(facts: Facts) -> list[Violation]:
    """A fixed reader decides; on a toggle the person's last punch here, where nobody else had a hand in it."""
    finding = Finding("direction")
    elsewhere = _people_elsewhere(facts)
    for (kiosk, user_id), lane in facts.lanes.items():
        touched = user_id in facts.humans or user_id in elsewhere
        last: PunchSeen | None = None
        for punch in _as_tapped(facts, lane):
            tap = punch.tap
            if tap is None or punch.direction is None:
                touched = True  # a decision, or a time not known yet: from here on others know better
            elif _reconfigured(facts, kiosk, tap.said.at, tap.said.at + AT_ONCE_S):
                pass  # its reader was meant anew in that moment: by either it may be decided
            elif tap.said.direction != "toggle":
                if punch.direction != tap.said.direction:
                    finding.say(tap.line, f"{tap}: {punch}, at a reader for {tap.said.direction}")
            elif not touched and tap.shown != "unknown_badge":
                expected = _toggled(facts, kiosk, last, tap)
                if expected is not None and punch.direction != expected:
                    finding.say(tap.line, f"{tap}: {punch}, and the last punch here, {last}, makes it a {expected}")
            # In twice: a service that takes it shows two open shifts, and one of them for long.
            touched = touched or (last is not None and punch.direction == last.direction == "clock_in")
            last = punch
    return finding.found


def _reconfigured(facts: Facts, kiosk: str, since: float, until: float) -> bool:
    return any(line.kiosk == kiosk and since <= line.at <= until for _, line in facts.of(Reconfigured))


def _as_tapped(facts: Facts, lane: list[PunchSeen]) -> list[PunchSeen]:
    return sorted(lane, key=lambda punch: punch.tap.said.at if punch.tap else float(punch.second))


def _toggled(facts: Facts, kiosk: str, last: PunchSeen | None, tap: Tap) -> str | None:
    """In or out by the last punch here; None where it hangs on a clock's error or a changed rule."""
    if last is None or last.tap is None:
        return "clock_in" if last is None else None
    if last.direction == "clock_out":
        return "clock_in"
    shortest, longest = facts.max_shift(kiosk)
    since_s = tap.said.at - last.tap.said.at
    # What the service shows corrects the last punch here, and it may show the start that it rounded.
    unsure_s = _clocks_s(tap, last.tap) + int(facts.begun.behaviour.get("round_to_s", 0))
    if since_s <= shortest - unsure_s:
        return "clock_out"
    return "clock_in" if since_s > longest + unsure_s else None


def _people_elsewhere(facts: Facts) -> set[str]:
    """People with punches on more than one kiosk, or decided about: what happens there concerns the direction here."""
    seen: dict[str, set[str]] = {}
    for punch in facts.punches:
        seen.setdefault(punch.user_id, set()).add(punch.kiosk)
    decided = {punch.user_id for punch in facts.punches if punch.source == "decision" or facts.decisions(punch.id)}
    late = {punch.user_id for punch in facts.punches if punch.tap and punch.tap.shown == "unknown_badge"}
    return {user_id for user_id, kiosks in seen.items() if len(kiosks) > 1} | decided | late
