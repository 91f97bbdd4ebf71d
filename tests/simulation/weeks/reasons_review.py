"""Is it true why a punch is in review, and does what keeps it there still stand? Answered from the history alone."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.weeks.clocks import DOUBT_S
from tests.simulation.weeks.history import HumanDid, PowerCut, Reconfigured
from tests.simulation.weeks.seen import PunchSeen, clock
from tests.simulation.weeks.sights import Sight, Sights

#: Rounding beyond this needs a person; and nobody calls a nearer time changed (delivery.md).
ROUNDING_S = 15 * 60
#: A kiosk that trusts its clock looks at it this often where nobody reads it.
LOOK_S = 300.0
#: An open shift that a clock-in met may be a forgotten one of weeks ago.
LONG_S = 400 * 3600


def _shift_too_long(sights: Sights, punch: PunchSeen) -> str | None:
    other = sights.facts.neighbour(punch, 1 if punch.direction == "clock_in" else -1)
    shortest, _ = sights.facts.max_shift(punch.kiosk)
    if other is None or other.direction == punch.direction:
        return "it has no counterpart"
    apart_s = abs(other.second - punch.second)
    return None if apart_s > shortest else f"its counterpart is only {apart_s / 3600:.1f} h away: {other}"


def _missing_clock_out(sights: Sights, punch: PunchSeen) -> str | None:
    if punch.direction != "clock_in":
        return "it is no clock-in"
    after = sights.facts.neighbour(punch, 1)
    shortest, _ = sights.facts.max_shift(punch.kiosk)
    if after is None:
        waited = sights.facts.ending.at - punch.second
        return None if waited > shortest else "it can still get one"
    is_its_own = after.direction == "clock_out" and 1 <= after.second - punch.second <= shortest
    return f"its clock-out is there: {after}" if is_its_own and after.state != "delivered" else None


def _no_matching_clock_in(sights: Sights, punch: PunchSeen) -> str | None:
    before = sights.facts.neighbour(punch, -1)
    if punch.direction != "clock_out":
        return "it is no clock-out"
    if before is not None and before.direction == "clock_in" and before.state == "delivered":
        if any(decided.decision == "accept_server" for decided in sights.facts.decisions(before.id)):
            return None  # what a person took for it may be any shift
        shortest, _ = sights.facts.max_shift(punch.kiosk)
        if 1 <= punch.second - before.second <= shortest:
            return f"its clock-in was delivered: {before}"
    return None


def _same_second(sights: Sights, punch: PunchSeen) -> str | None:
    lane = sights.facts.lanes.get((punch.kiosk, punch.user_id), [])
    near = any(other is not punch and abs(other.second - punch.second) < 1 for other in lane)
    before = sights.facts.neighbour(punch, -1)
    backwards = before is not None and before.second >= punch.second
    return None if near or backwards else "no other punch of that person lies in its second"


def _span(sights: Sights, punch: PunchSeen) -> tuple[int, int]:
    """The time of the shift that this punch is one end of, as far as this kiosk knows."""
    other = sights.facts.neighbour(punch, 1 if punch.direction == "clock_in" else -1)
    if punch.direction == "clock_in" and (other is None or other.error_s is None):
        return punch.second, max(int(sights.facts.ending.at), punch.second + 1)  # nobody knows when the next punch was
    if other is None or other.direction == punch.direction:
        end = other.second if other is not None and punch.direction == "clock_in" else punch.second
        return punch.second, max(end, punch.second + 1)
    low, high = sorted((punch.second, other.second))
    return low, max(high, low + 1)


def _overlaps(sights: Sights, punch: PunchSeen) -> str | None:
    start, end = _span(sights, punch)
    if any(sight.overlaps(start, end) for sight in sights.ever(punch)):
        return None
    return "the service never showed a shift at that time"


def _closed_another(sights: Sights, punch: PunchSeen) -> str | None:
    before = sights.facts.neighbour(punch, -1)
    rounded_s = int(sights.facts.begun.behaviour.get("round_to_s", 1))
    ended = [s for s in sights.ever(punch) if s.end is not None and abs(s.end - punch.second) < rounded_s]
    if not ended:
        return "the service never showed a shift that ends at its second"
    if before is not None and before.remote_id and all(sight.shift_id == before.remote_id for sight in ended):
        return f"what ended there is the shift of its own clock-in, {before.remote_id}"
    return None


def _could_not_close(sights: Sights, punch: PunchSeen) -> str | None:
    settings = sights.facts.settings(punch.kiosk, sights.facts.ending.at)
    if not settings.get("close_late_by_update", True):
        return None
    tried = [want for request in sights.asked(punch) for want in request.wants if want.kind == "close"]
    return None if tried else "nobody tried to"


def _own(sights: Sights, punch: PunchSeen) -> list[Sight]:
    """What was seen of the shift that this clock-out ends; of all the person's, where the kiosk has not begun it."""
    before = sights.facts.neighbour(punch, -1)
    if before is None or before.direction != "clock_in" or before.remote_id is None:
        return sights.ever(punch)
    return [sight for sight in sights.ever(punch) if sight.shift_id == before.remote_id]


def _auto_clocked_out(sights: Sights, punch: PunchSeen) -> str | None:
    return None if any(s.auto for s in _own(sights, punch)) else "the service never ended that shift by itself"


def _already_clocked_out(sights: Sights, punch: PunchSeen) -> str | None:
    before = sights.facts.neighbour(punch, -1)
    lane = sights.facts.lanes.get((punch.kiosk, punch.user_id), [])
    ours = {punch.second}
    if before is None or before.direction != "clock_in":
        # A shift that this kiosk ended by another punch is not this punch's, unless its clock-in says so.
        ours |= {other.second for other in lane if other.direction == "clock_out"}
    ended = [sight for sight in _own(sights, punch) if sight.end is not None and sight.end not in ours]
    return None if ended else "nobody ended that shift at another time"


def _already_open(sights: Sights, punch: PunchSeen) -> str | None:
    opened = [s for s in sights.ever(punch) if s.end is None and punch.second - LONG_S < s.start != punch.second]
    return None if opened or sights.refused(punch, "open shift") else "no other shift of that person was ever open"


def _shift_gone(sights: Sights, punch: PunchSeen) -> str | None:
    gone = ("delete_shift", "unassign", "archive")
    deeds = [deed.what for _, deed in sights.facts.humans.get(punch.user_id, ())]
    return None if any(what in gone for what in deeds) else "nobody deleted that shift"


def _server_changed(sights: Sights, punch: PunchSeen) -> str | None:
    for sight in sights.ever(punch):
        shown = sight.start if punch.direction == "clock_in" else sight.end
        if sight.shift_id == punch.remote_id and shown is not None and abs(shown - punch.second) > ROUNDING_S:
            return None
    return "the service never showed it with a time so far off"


def _outcome_unclear(sights: Sights, punch: PunchSeen) -> str | None:
    facts = sights.facts
    for request in sights.asked(punch):
        died = facts.died_between(punch.kiosk, request.said.at, facts.ending.at) and not facts.outlived(request)
        if not request.clear or died:
            return None
    return "every request for it was clearly answered"


def _clock_ahead(sights: Sights, punch: PunchSeen) -> str | None:
    states = sights.facts.clocks(punch.kiosk)
    ahead = any(abs(state.wall_s) > 1 for state in states)
    return None if ahead or sights.refused(punch, "future") else "its clock was never wrong"


def _time_disputed(sights: Sights, punch: PunchSeen) -> str | None:
    if punch.tap is None:
        return None
    if abs(punch.second - punch.tap.said.at) > DOUBT_S - 1:
        return None  # it was dated while a wrong clock was vouched for
    every = sights.facts.clocks(punch.kiosk)
    states = [state for state in every if state.boot_id == punch.tap.said.boot_id]
    then = sights.facts.clock(punch.kiosk, punch.tap.said.at)
    just_before = sights.facts.clock(punch.kiosk, punch.tap.said.at - 0.001)  # a step in the very moment of the tap
    last = states[-1] if states else None
    if then is None or just_before is None or last is None:
        return None
    if max(abs(state.error_s - last.error_s) for state in (then, just_before)) > DOUBT_S - 1:
        return None  # in the end that boot's clock says something else than it did at the tap
    if last.doubted:
        return None  # set right, but no answer came that ended the doubt
    started = [state.since for state in every if state.boot_id != last.boot_id and state.since > last.since]
    cuts = [cut.at for _, cut in sights.facts.of(PowerCut) if cut.kiosk == punch.kiosk and cut.at > last.since]
    if min([*started, *cuts], default=float("inf")) - last.since < LOOK_S:
        return None  # the machine went off before the kiosk looked at its clock again, and nothing holds beyond that
    return f"its clock was right ({then.error_s:+.1f} s) when it was tapped, and is right again"


def _out_of_order(sights: Sights, punch: PunchSeen) -> str | None:
    tap = punch.tap
    if tap is None or tap.shown == "unknown_badge":
        return None
    others = [other for other in sights.facts.punches if other.user_id == punch.user_id and other is not punch]
    later = [other for other in others if other.kiosk == punch.kiosk and other.second >= punch.second]
    if any(other.tap is None or other.tap.said.at < tap.said.at for other in later):
        return None
    return "no punch before it has a later time"


def _internal_error(sights: Sights, punch: PunchSeen) -> str | None:
    return f"that is a fault of punchd: {punch.told.get('detail')}"


def _salvaged(sights: Sights, punch: PunchSeen) -> str | None:
    return "nothing was damaged: these disks lose what was not synced, and keep what was"


def _repeat_of_earlier(sights: Sights, punch: PunchSeen) -> str | None:
    if punch.tap is None:
        return "it came of no tap"
    facts, tap = sights.facts, punch.tap
    since = [line for _, line in facts.of(Reconfigured) if line.kiosk == punch.kiosk and line.at > tap.said.at]
    rules = [facts.repeat_s(punch.kiosk, at) for at in (tap.said.at, *(line.at for line in since))]
    limit = max(rules) + 12 + abs(tap.off_s)  # by the rule of the tap, or of the moment that decided it
    for other in facts.punches:
        first = other.tap
        if first is None or first is tap or (other.user_id, other.kiosk) != (punch.user_id, punch.kiosk):
            continue
        if abs(first.said.at - tap.said.at) < limit + abs(first.off_s):
            return None
    return "no other tap of that person is near it"


def _words(*words: str, status: int | None = None) -> Callable[[Sights, PunchSeen], str | None]:
    def truth(sights: Sights, punch: PunchSeen) -> str | None:
        said = sights.refused(punch, *words, status=status)
        return None if said else f"the service never refused it so ({words[0] if words else status})"

    return truth


TRUTHS: dict[str, Callable[[Sights, PunchSeen], str | None]] = {
    "shift_too_long": _shift_too_long,
    "missing_clock_out": _missing_clock_out,
    "no_matching_clock_in": _no_matching_clock_in,
    "same_second": _same_second,
    "overlaps_existing_shift": _overlaps,
    "closed_another_shift": _closed_another,
    "could_not_close": _could_not_close,
    "auto_clocked_out": _auto_clocked_out,
    "already_clocked_out": _already_clocked_out,
    "already_open": _already_open,
    "no_open_shift": _words("no open shift", "NO_OPEN_SHIFT"),
    "before_clock_in": _words("BEFORE_CLOCK_IN", "at or before"),
    "shift_gone": _shift_gone,
    "server_changed_time": _server_changed,
    "not_assigned": _words("not assigned"),
    "job_required": _words("job id", "JOB_REQUIRED"),
    "locked_days": _words("locked"),
    "open_break": _words("OPEN_BREAK", "break"),
    "outside_geofence": _words("geofence"),
    "invalid_request": _words(status=422),
    "refused": _words(""),
    "outcome_unclear": _outcome_unclear,
    "clock_ahead": _clock_ahead,
    "time_disputed": _time_disputed,
    "out_of_order": _out_of_order,
    "internal_error": _internal_error,
    "salvaged": _salvaged,
    "repeat_of_earlier": _repeat_of_earlier,
}


def _no_overlap(sights: Sights, punch: PunchSeen) -> str | None:
    lane = sights.facts.lanes.get((punch.kiosk, punch.user_id), [])
    if any(other.tap is not None and abs(other.second - other.tap.second) > DOUBT_S for other in lane):
        return (
            None  # dated by a wrong clock, one stands in its lane where it was tapped: whose pair it is hangs on that
        )
    start, end = _span(sights, punch)
    for row in sights.now(punch):
        if row.start < end and (row.end is None or row.end > start):
            return None
    return f"nothing stands on the timesheet between {clock(start)} and {clock(end)}"


def _not_open(sights: Sights, punch: PunchSeen) -> str | None:
    # One that was begun later and is still open is in the way of a clock-in as well.
    after = sights.facts.neighbour(punch, 1)
    if after is not None and after.direction == "clock_out" and after.state == "delivered":
        return None  # with another shift, whose end the service may have rounded away: one opened now would stay open
    start, end = _span(sights, punch)
    stands = any(row.end is None or (row.start < end and row.end > start) for row in sights.now(punch))
    return None if stands else f"no shift stands between {clock(start)} and {clock(end)} any more"


def _opened(sights: Sights, punch: PunchSeen) -> str | None:
    shortest, _ = sights.facts.max_shift(punch.kiosk)
    # A later clock-in's shift may be rounded to before this: it is that one's.
    lane = sights.facts.lanes.get((punch.kiosk, punch.user_id), [])
    later = {other.remote_id for other in lane if other.second > punch.second and other.direction == "clock_in"}
    rows = [row for row in sights.now(punch) if row.end is None and 0 < punch.second - row.start <= shortest]
    rows = [row for row in rows if row.id not in later]
    return f"shift {rows[0].id} is open and waits for its end" if rows else None


def _own_open(sights: Sights, punch: PunchSeen) -> str | None:
    before = sights.facts.neighbour(punch, -1)
    for row in sights.now(punch):
        if before is not None and row.id == before.remote_id and row.end is None:
            return f"its own shift {row.id} is open again"
    return None


def _assigned(sights: Sights, punch: PunchSeen) -> str | None:
    standing = _last(sights, punch, "assign", "unassign"), _last(sights, punch, "unarchive", "archive")
    off = any(deed is not None and deed.what in ("unassign", "archive") for deed in standing)
    return None if off else "the person is on the time clock again"


def _unlocked(sights: Sights, punch: PunchSeen) -> str | None:
    locked: set[str | None] = set()
    for _, deed in sights.facts.humans.get(punch.user_id, ()):
        if deed.what == "lock_day":
            locked.add(deed.day)
        elif deed.what == "unlock_day":
            locked.discard(deed.day)
    return None if locked else "no day of that person is locked any more"


def _last(sights: Sights, punch: PunchSeen, *whats: str) -> HumanDid | None:
    deeds = [deed for _, deed in sights.facts.humans.get(punch.user_id, ()) if deed.what in whats]
    return deeds[-1] if deeds else None


#: What keeps a review waiting that a manager may mend: why it is gone, None while it stands.
OBSTACLES: dict[str, Callable[[Sights, PunchSeen], str | None]] = {
    "overlaps_existing_shift": _no_overlap,
    "already_open": _not_open,
    "no_matching_clock_in": _opened,
    "no_open_shift": _own_open,
    "auto_clocked_out": _own_open,
    "already_clocked_out": _own_open,
    "not_assigned": _assigned,
    "locked_days": _unlocked,
}
