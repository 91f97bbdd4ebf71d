"""Is it true what a held punch waits for? One small question a reason, answered from the history alone."""

from __future__ import annotations

from tests.simulation.weeks.clocks import DOUBT_S
from tests.simulation.weeks.history import Disk
from tests.simulation.weeks.seen import PunchSeen
from tests.simulation.weeks.sights import Sights

#: A clock-out that waits for its clock-in is looked for ever later: at most as long again as it has waited.
LOOK_AGAIN = 2.1


def _clock_untrusted(sights: Sights, punch: PunchSeen) -> str | None:
    if punch.tap is None:
        return "it came of a decision, whose time is known"
    states = [state for state in sights.facts.clocks(punch.kiosk) if state.boot_id == punch.tap.said.boot_id]
    if any(state.doubted or abs(state.error_s) > DOUBT_S for state in states):
        return None  # a boot once disputed is believed again only while it lasts
    later = [state.since for state in sights.facts.clocks(punch.kiosk) if states and state.since > states[-1].since]
    ends = min(later, default=sights.facts.ending.at)
    vouched = any(state.vouched and not _full(sights, punch.kiosk, state.since, ends) for state in states)
    return "NTP vouched for the clock of its boot" if vouched else None


def _full(sights: Sights, kiosk: str, since: float, until: float) -> bool:
    """Whether a kiosk's disk had no room for all of that time: nothing that was learnt could be written down."""
    changes = [line for _, line in sights.facts.of(Disk) if line.kiosk == kiosk and since < line.at < until]
    return sights.facts.was_full(kiosk, since) and all(line.full for line in changes)


def _earlier_undecided(sights: Sights, punch: PunchSeen) -> str | None:
    lane = sights.facts.lanes.get((punch.kiosk, punch.user_id), [])
    waits = any(
        other is not punch and (other.direction is None or other.reason in ("clock_untrusted", punch.reason))
        for other in lane
    )
    return None if waits else "no other punch of that person waits for its time"


def _waiting_for_clock_out(sights: Sights, punch: PunchSeen) -> str | None:
    facts = sights.facts
    if punch.direction != "clock_in":
        return "it is no clock-in"
    after = facts.neighbour(punch, 1)
    _, longest = facts.max_shift(punch.kiosk)
    if after is None and facts.ending.at - punch.second > longest + 60:
        return "longer than any shift lasts"
    if after is None or after.direction is None or after.reason == "clock_untrusted":
        return None
    shortest, _ = facts.max_shift(punch.kiosk)
    if after.direction == "clock_out" and after.second - punch.second <= shortest:
        return f"its clock-out is there: {after}"
    return None if after.direction == "clock_out" else f"the next punch is a clock-in: {after}"


def _waiting_for_clock_in(sights: Sights, punch: PunchSeen) -> str | None:
    facts = sights.facts
    if punch.direction != "clock_out":
        return "it is no clock-out"
    settings = facts.kiosks[punch.kiosk].settings
    reach_s = settings.get("lookback_s", 12 * 3600) - settings.get("lookback_margin_s", 600)
    if facts.ending.at - punch.second > reach_s * LOOK_AGAIN:
        return "it expired long ago"
    return None


def _earlier_in_review(sights: Sights, punch: PunchSeen) -> str | None:
    lane = sights.facts.lanes.get((punch.kiosk, punch.user_id), [])
    place = lane.index(punch)
    # Earlier is what was tapped before, whatever a wrong clock made of its time.
    before = [one for one in lane if one.tap and punch.tap and one.tap.said.at < punch.tap.said.at]
    earlier = any(other.state in ("review", "held") for other in (*lane[:place], *before))
    after = lane[place + 1] if place + 1 < len(lane) else None
    if earlier or (punch.direction == "clock_in" and after is not None and after.state == "review"):
        return None
    return "no earlier punch of that person is in review"


def _look_up_refused(sights: Sights, punch: PunchSeen) -> str | None:
    reads = [r for r in sights.facts.by_kiosk.get(punch.kiosk, ()) if r.reads is not None]
    if any(r.refused_key or r.said.fault == "error" or (r.said.status or 0) >= 400 for r in reads[-3:]):
        return None
    return "its last reads were not refused"


def _timesheet_unreadable(sights: Sights, punch: PunchSeen) -> str | None:
    return "every record that this service lists can be read"


TRUTHS = {
    "clock_untrusted": _clock_untrusted,
    "earlier_punch_undecided": _earlier_undecided,
    "waiting_for_clock_out": _waiting_for_clock_out,
    "waiting_for_clock_in": _waiting_for_clock_in,
    "earlier_punch_in_review": _earlier_in_review,
    "look_up_refused": _look_up_refused,
    "timesheet_unreadable": _timesheet_unreadable,
}
