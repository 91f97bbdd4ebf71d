"""A rule about taps that are kept for a badge nobody owns: none is forgotten, whoever gets the badge gets them all."""

from __future__ import annotations

from tests.simulation.weeks.facts import WENT_OFF, Facts
from tests.simulation.weeks.history import Assigned
from tests.simulation.weeks.seen import Finding, PunchSeen, Tap, Violation, clock

#: Kept taps of so long before the badge is given become punches (delivery.md, "Unknown badges").
KEPT_S = 7 * 86400.0
#: Less than this apart they are one, or less than the repeat time where that is longer.
ONE_S = 300.0
#: Between a person's word and its mark on the disk, and the other way round.
MOMENT_S = 2.0


def kept_taps(facts: Facts) -> list[Violation]:
    """A tap kept for nobody's badge becomes a punch of whoever is given it within 7 days, or stays kept till then."""
    finding = Finding("kept taps")
    for tap in facts.taps:
        if tap.shown != "unknown_badge" or tap.owner is not None:
            continue
        given = _given(facts, tap)
        if given is None:
            if not _changed_hands(facts, tap) and not _is_listed(facts, tap):
                finding.say(
                    tap.line, f"{tap} was kept, nobody was given its badge, and its kiosk no longer knows of it"
                )
        elif not any(_stands_for(facts, punch, tap, given) for punch in facts.punches):
            finding.say(
                tap.line, f"{tap} was kept, {given.user_id} got its badge at {clock(given.at)}, and no punch is of it"
            )
    return finding.found


def _given(facts: Facts, tap: Tap) -> Assigned | None:
    """Who got the tap with its badge; None where nobody did, or where it may have been somebody else's time."""
    doubt_s = _doubt_s(facts, tap.said.kiosk)
    for _, line in facts.of(Assigned):
        if (line.kiosk, line.badge) != (tap.said.kiosk, tap.said.badge) or line.at < tap.said.at - doubt_s:
            continue
        if line.what in ("released", "blocked") and line.refused in (None, WENT_OFF):
            return None
        if line.what == "given" and line.refused is None and line.at >= tap.said.at:
            return line if tap.said.at > line.at - KEPT_S + doubt_s else None
    return None


def _changed_hands(facts: Facts, tap: Tap) -> bool:
    """Whether the badge may have been given to anybody after the tap, or blocked, which takes it off the list."""
    return any(
        line.what in ("given", "blocked") and line.refused in (None, WENT_OFF) and line.at >= tap.said.at - MOMENT_S
        for _, line in facts.of(Assigned)
        if (line.kiosk, line.badge) == (tap.said.kiosk, tap.said.badge)
    )


def _is_listed(facts: Facts, tap: Tap) -> bool:
    """Whether the kiosk tells of as many kept taps of that badge as were shown so since anybody last had it."""
    listed = sum(int(one["taps"]) for one in facts.kiosks[tap.said.kiosk].unknown if one["badge"] == tap.said.badge)
    same = [other for other in facts.taps if (other.said.kiosk, other.said.badge) == (tap.said.kiosk, tap.said.badge)]
    kept = [other for other in same if other.shown == "unknown_badge" and not _changed_hands(facts, other)]
    return listed >= len(kept)


def _stands_for(facts: Facts, punch: PunchSeen, tap: Tap, given: Assigned) -> bool:
    """Whether a punch is of that tap, or of one that it repeats."""
    if (punch.kiosk, punch.user_id) != (tap.said.kiosk, given.user_id) or punch.tap is None:
        return False
    if punch.tap is tap:
        return True
    apart_s = abs(punch.tap.said.at - tap.said.at)
    longest_s = max(ONE_S, facts.repeat_s(punch.kiosk, given.at)) + _doubt_s(facts, punch.kiosk)
    fixed = None if tap.said.direction == "toggle" else tap.said.direction
    return apart_s < longest_s and (fixed is None or punch.direction in (fixed, None))


def _doubt_s(facts: Facts, kiosk: str) -> float:
    """How far the kiosk may have been wrong of the time between two of its moments."""
    return MOMENT_S + 2 * max((max(abs(one.wall_s), abs(one.error_s)) for one in facts.clocks(kiosk)), default=0.0)
