"""The rule about delay: a punch that nothing stands in the way of does not lie about.

What may stand in the way is wide here on purpose: whatever is left is a time in which nothing at all was wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tests.simulation.weeks.facts import Facts
from tests.simulation.weeks.history import (
    Crashed,
    Disk,
    HumanDid,
    Network,
    Ordered,
    PowerCut,
    Reconfigured,
    Started,
    StartFailed,
    Stopped,
)
from tests.simulation.weeks.seen import ACKNOWLEDGED, Finding, PunchSeen, Violation, clock

#: So long after it was acknowledged a punch may leave, at most, where nothing is in its way.
DELAY_S = 15 * 60.0
#: What went wrong is felt so long afterwards: the longest pause between two tries is five minutes.
FELT_S = 10 * 60.0
#: Of a day's requests this share may be gone before the rest is dealt out with care.
SHARE = 0.5
DAY_S = 86400


def no_delay(facts: Facts) -> list[Violation]:
    """What nothing stands in the way of leaves within a quarter of an hour after its tap."""
    finding = Finding("no delay")
    for kiosk in facts.kiosks:
        first = _first_asked(facts, kiosk)
        troubles = list(_troubles(facts, kiosk))
        for (where, _), lane in facts.lanes.items():
            for punch in lane if where == kiosk else ():
                at = first.get((punch.user_id, str(punch.direction), punch.second))
                if at is None or punch.tap is None or at - punch.tap.shown_at <= DELAY_S:
                    continue
                since = punch.tap.shown_at
                if not _was_free(facts, punch, first):
                    continue
                if not any(begun <= since + DELAY_S and end >= since - FELT_S for begun, end in troubles):
                    finding.say(
                        punch.tap.line, f"{punch} of {punch.tap} left at {clock(at)}, and nothing was in its way"
                    )
    return finding.found


def _first_asked(facts: Facts, kiosk: str) -> dict[tuple[str, str, int], float]:
    """When each end was first asked for: by person, direction and second."""
    first: dict[tuple[str, str, int], float] = {}
    for request in facts.by_kiosk.get(kiosk, ()):
        for want in request.wants:
            for direction, second in want.ends:
                first.setdefault((want.user_id, direction, second), request.said.at)
    return first


def _was_free(facts: Facts, punch: PunchSeen, first: dict[tuple[str, str, int], float]) -> bool:
    """Whether it was known for what it is from its tap on, and what was before it in its lane had been sent by then."""
    tap = punch.tap
    assert tap is not None
    if tap.shown not in ACKNOWLEDGED or punch.user_id in facts.humans or not facts.exact(tap):
        return False
    if any(line["action"] in ("punch.held", "punch.review", "punch.claimed") for line in punch.journal):
        return False
    before = facts.neighbour(punch, -1)
    if before is None:
        return True
    asked = first.get((before.user_id, str(before.direction), before.second))
    return before.state == "delivered" and asked is not None and asked < tap.shown_at


def _troubles(facts: Facts, kiosk: str) -> Iterator[tuple[float, float]]:
    """Times in which something was in the way of everything that this kiosk sends."""
    yield from _spells(_switched(facts, kiosk))
    for kind in (Crashed, PowerCut, Reconfigured, Started, StartFailed, Stopped):
        yield from ((line.at, line.at) for _, line in facts.of(kind) if line.kiosk == kiosk)
    states = facts.clocks(kiosk)
    for place, state in enumerate(states):
        until = states[place + 1].since if place + 1 < len(states) else float("inf")
        if not state.right or state.doubted:
            yield state.since, until
    for request in facts.by_kiosk.get(kiosk, ()):
        if request.said.got != "200" or request.said.status != 200 or request.throttled:
            yield request.said.at, request.said.at
    yield from _spent(facts)


def _switched(facts: Facts, kiosk: str) -> Iterator[tuple[str, float, bool]]:
    """What was switched off (False) and on again, by what it is."""
    for _, line in facts.of(Network):
        if line.kiosk in (None, kiosk):
            what = "cable" if line.what in ("down", "up") else f"fault {line.fault.get('id')}"
            yield what, line.at, line.what in ("up", "cleared")
    for _, line in facts.of(Ordered):
        if line.kiosk == kiosk and line.what != "sync_now":
            yield "delivery", line.at, line.what == "resume"
    for _, line in facts.of(Disk):
        if line.kiosk == kiosk:
            yield "disk", line.at, not line.full
    for _, line in facts.of(HumanDid):
        if line.what in ("key_expired", "key_renewed"):
            yield "key", line.at, line.what == "key_renewed"


def _spells(switched: Iterator[tuple[str, float, bool]]) -> Iterator[tuple[float, float]]:
    off: dict[str, float] = {}
    for what, at, on in switched:
        since = off.pop(what, at)
        if on:
            yield since, at
        else:
            off[what] = since
    yield from ((since, float("inf")) for since in off.values())


def _spent(facts: Facts) -> Iterator[tuple[float, float]]:
    """From when on each day's requests are dealt out with care: days begin at 00:00 UTC."""
    days: Counter[int] = Counter()
    for request in facts.requests:
        day = int(request.said.at // DAY_S)
        days[day] += 1
        if days[day] == int(facts.ending.per_day * SHARE):
            yield request.said.at, (day + 1.0) * DAY_S
