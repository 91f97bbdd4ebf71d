"""Rules about the timesheet: one effect for each acknowledged tap, at its true second, and nothing else."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from tests.simulation.weeks.clocks import DOUBT_S
from tests.simulation.weeks.facts import Facts
from tests.simulation.weeks.history import Assigned, Decided, HumanDid, Shift
from tests.simulation.weeks.seen import ACKNOWLEDGED, Finding, PunchSeen, Tap, Violation, clock

#: In review, and yet perhaps on the timesheet: the reason says so itself.
MAY_STAND = ("closed_another_shift", "server_changed_time", "outcome_unclear", "internal_error")
#: Its time is not settled, or is what the review is about.
TIME_OPEN = ("clock_untrusted", "earlier_punch_undecided", "clock_ahead", "time_disputed", "out_of_order")
_SHOWN_AS = {"clocked_in": "clock_in", "clocked_out": "clock_out"}


def nothing_lost(facts: Facts) -> list[Violation]:
    """An acknowledged tap is stored as one punch, in the direction that was shown."""
    finding = Finding("nothing lost")
    for tap in facts.taps:
        if tap.shown not in ACKNOWLEDGED:
            continue
        punch = facts.punch_of.get(tap.said.tap)
        if punch is None:
            finding.say(tap.line, f"{tap} was shown {tap.shown}, and its kiosk has no punch of it")
        elif tap.shown in _SHOWN_AS and punch.direction != _SHOWN_AS[tap.shown]:
            finding.say(tap.line, f"{tap} was shown {tap.shown}, and {punch} goes another way")
        elif tap.owner is not None and punch.user_id != tap.owner:
            finding.say(tap.line, f"{tap} counts for {punch.user_id}")
    return finding.found


def one_effect(facts: Facts) -> list[Violation]:
    """What is delivered stands on the timesheet once, what waits or was decided against does not."""
    finding, rows = Finding("one effect"), {row.id: row for row in facts.ending.timesheet}
    claimed = _claims(facts)
    for punch in facts.punches:
        line = punch.tap.line if punch.tap else 0
        if punch.state == "delivered":
            wrong = _delivered(facts, punch, rows)
            if wrong:
                finding.say(line, wrong)
        elif punch.unfinished and punch.reason not in MAY_STAND:
            for row in facts.ending.timesheet:
                mine = (row.user_id, _written(row, punch.direction)) == (punch.user_id, punch.second)
                mine = mine and not _was_told(facts, row, punch.direction)
                if mine and not any(c.state == "delivered" for c in claimed[row.id, punch.direction]):
                    finding.say(line, f"{punch} waits, and stands on the timesheet as shift {row.id} all the same")
        elif punch.state == "discarded" and not _was_decided(facts, punch):
            finding.say(line, f"{punch} was discarded, and nobody decided so")
    return finding.found


def _delivered(facts: Facts, punch: PunchSeen, rows: dict[str, Shift]) -> str | None:
    """What is wrong with a punch that its kiosk calls delivered."""
    row, touched = rows.get(punch.remote_id or ""), _by_humans(facts, punch)
    if row is None and not any(did.what == "delete_shift" for did in touched):
        return f"{punch} is delivered as shift {punch.remote_id}, which is not on the timesheet"
    if row is not None and row.user_id != punch.user_id:
        return f"{punch} is delivered as shift {row.id}, which is {row.user_id}'s"
    if _accepted(facts, punch):
        return None
    true, seen = {punch.second, _rounded(facts, punch.second)}, _seen(punch.direction, touched)
    if row is not None:
        # The last hand's own word stands as well; whatever came after it came from a kiosk.
        shown = row.start if punch.direction == "clock_in" else row.end
        if shown not in true and shown not in seen[-1:]:
            told = "nothing" if shown is None else clock(shown)
            return f"{punch} is delivered, and the timesheet shows {told} there (shift {row.id})"
        seen = [*seen, shown]
    if not true.intersection(seen):
        told = ", ".join(dict.fromkeys("nothing" if at is None else clock(at) for at in seen))
        return (
            f"{punch} is delivered, and never stood on the timesheet: it showed {told} there (shift {punch.remote_id})"
        )
    return None


def _seen(direction: str | None, touched: list[HumanDid]) -> list[int | None]:
    """What a shift's end showed, before and after each time that somebody touched the shift."""
    if direction == "clock_in":
        return [at for did in touched for at in (did.start_before, did.start)]
    return [at for did in touched for at in (did.end_before, did.end)]


def _rounded(facts: Facts, second: int) -> int:
    """The second as this week's service records it: some round to the nearest so many seconds, a half up."""
    step = int(facts.begun.behaviour.get("round_to_s", 1))
    return (2 * second + step) // (2 * step) * step


def _accepted(facts: Facts, punch: PunchSeen) -> bool:
    """Whether a person took what stands on the timesheet for it."""
    return any(decided.decision == "accept_server" for decided in facts.decisions(punch.id))


def _by_humans(facts: Facts, punch: PunchSeen) -> list[HumanDid]:
    return [did for _, did in facts.humans.get(punch.user_id, ()) if did.shift_id == punch.remote_id]


def _was_decided(facts: Facts, punch: PunchSeen) -> bool:
    if punch.reason == "repeat_of_earlier":
        return any(entry["action"] == "punch.discarded" for entry in punch.journal)
    decided = [one.decision for one in facts.decisions(punch.id)]
    return punch.reason == "by_decision" and ("discard" in decided or "time" in decided)


def from_somewhere(facts: Facts) -> list[Violation]:
    """Every end that the API wrote belongs to exactly one punch, and every punch to one tap or one decision."""
    finding, claimed = Finding("from somewhere"), _claims(facts)
    for row in facts.ending.timesheet:
        for direction in ("clock_in", "clock_out"):
            second = _written(row, direction)
            if second is None:
                continue
            accepted = [one for one in claimed[row.id, direction] if _accepted(facts, one)]
            owners = [one for one in claimed[row.id, direction] if one not in accepted]
            # The other half that a person stated at one kiosk may be the tap that another one had delivered.
            tapped = {one.kiosk for one in owners if one.source != "decision"}
            owners = [one for one in owners if one.source != "decision" or not tapped - {one.kiosk}]
            if not owners and not accepted and not _was_told(facts, row, direction):
                finding.say(
                    0, f"the timesheet shows a {direction} of {row.user_id} at {clock(second)} that nobody tapped"
                )
            elif len(owners) > 1:
                finding.say(0, f"one {direction} of shift {row.id} stands for two: {' and '.join(map(str, owners))}")
    converted = {punch_id for _, line in facts.of(Assigned) for punch_id in line.punches}
    added = {line.added for _, line in facts.of(Decided)}
    for punch in facts.punches:
        if punch.source == "decision":
            if punch.id not in added:
                finding.say(0, f"{punch} came of a decision that nobody made")
        elif punch.tap is None:
            finding.say(0, f"{punch} came of no tap")
        elif punch.tap.shown == "unknown_badge" and punch.id not in converted:
            finding.say(
                punch.tap.line, f"{punch} came of a tap of nobody's badge, and nobody gave that badge to anyone"
            )
    return finding.found


def _was_told(facts: Facts, row: Shift, direction: str | None) -> bool:
    """Whether a person was told that a punch stands there otherwise than it should, and then decided on that punch."""
    return any(
        entry["action"] == "punch.review" and _names(entry["data"], row)
        for punch in facts.punches
        if (punch.user_id, punch.direction) == (row.user_id, direction)
        for entry in punch.journal
    )


def _names(told: Mapping[str, Any], row: Shift) -> bool:
    """Whether a review says of this very shift that it got the punch, or shows it as what was in its way."""
    stands = told.get("remote_id") == row.id and told.get("reason") in MAY_STAND
    return stands or (told.get("reason") == "already_clocked_out" and row.id in str(told.get("detail")))


def true_time(facts: Facts) -> list[Violation]:
    """The timesheet shows the second of the tap; an error is allowed as far as it was told, or nobody could know."""
    finding = Finding("true time")
    for punch in facts.punches:
        tap = punch.tap
        if tap is None or punch.state != "delivered" or tap.is_second(punch.second):
            continue
        if abs(punch.second - tap.second) <= facts.tolerance_s(punch):
            continue
        if any(decided.decision in ("time", "accept_server") for decided in facts.decisions(punch.id)):
            continue
        if not _could_know(facts, punch, tap):
            continue
        finding.say(tap.line, f"{tap}: {punch} went with a time {punch.second - tap.second:+d} s from the true one")
    return finding.found


def _could_know(facts: Facts, punch: PunchSeen, tap: Tap) -> bool:
    """Whether an answer had told the kiosk of its wrong clock before the punch left: until then it could not know."""
    state = facts.clock(punch.kiosk, tap.said.at)
    if state is not None and not state.trusted:  # it was dated by what was vouched for first in that boot
        later = (one for one in facts.clocks(punch.kiosk) if one.since > tap.said.at and one.boot_id == state.boot_id)
        state = next((one for one in later if one.trusted), state)
    if state is None or not state.trusted or abs(state.error_s) <= DOUBT_S:
        return True
    for request in facts.by_kiosk.get(punch.kiosk, ()):
        if any((punch.direction, punch.second) in want.ends for want in request.wants):
            then = facts.clock(punch.kiosk, request.said.at)
            # What is told after a reboot says nothing of the clock before it.
            return then is not None and then.boot_id == state.boot_id and (then.doubted or abs(then.error_s) < 1)
    return False  # found on the timesheet, where somebody else had put that very second


def _claims(facts: Facts) -> dict[tuple[str, str], list[PunchSeen]]:
    """The punches that each end of the timesheet stands for, by shift and direction."""
    by_id: dict[tuple[str, str], list[PunchSeen]] = defaultdict(list)
    by_second: dict[tuple[str, str, int], list[PunchSeen]] = defaultdict(list)
    for punch in facts.punches:
        if punch.remote_id is not None and (punch.state == "delivered" or punch.reason in MAY_STAND):
            by_id[punch.remote_id, punch.direction].append(punch)
        elif punch.reason in MAY_STAND or punch.state == "discarded":
            for second in {punch.second, _rounded(facts, punch.second)}:
                by_second[punch.user_id, punch.direction, second].append(punch)
    claims: dict[tuple[str, str], list[PunchSeen]] = defaultdict(list)
    for row in facts.ending.timesheet:
        for direction in ("clock_in", "clock_out"):
            second = _written(row, direction)
            claims[row.id, direction] = by_id.get((row.id, direction)) or by_second.get(
                (row.user_id, direction, second if second is not None else -1), []
            )
    return claims


def _written(row: Shift, direction: str | None) -> int | None:
    """The second of that end of a shift if the API wrote it, None otherwise."""
    if direction == "clock_in":
        return row.start if row.source == "api" else None
    return row.end if row.end_source == "api" else None
