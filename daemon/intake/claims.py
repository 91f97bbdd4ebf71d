"""A badge gets an owner, and the taps that were kept for it become punches: inside one transaction."""

from __future__ import annotations

import sqlite3

from daemon.errors import RefusedError
from daemon.intake.attendance import New, Origin, Refused, repeats
from daemon.intake.moments import Occurrence, occurrence
from daemon.intake.placing import Desk, insert, judge
from daemon.model import BadgeState, Employee, Punch
from daemon.queue.people import assign_badge, badge_owner, released_at
from daemon.queue.queue import StoredTap, claim_tap, unclaimed_taps
from daemon.queue.records import journal

#: Taps of an unknown badge older than this are converted only when somebody says since when (delivery.md).
KEPT_S = 7 * 86400.0


def hand_over(
    conn: sqlite3.Connection, badge: str, employee: Employee, desk: Desk, *, by: str, since: float | None = None
) -> list[Punch]:
    """Give a badge to an employee and convert its kept taps; the punches made of them, in order.

    Converted are those since the badge's last release and of the last 7 days, or exactly those at or after `since`
    (Unix seconds). A badge the person already has is only converted. Raises RefusedError for a badge that is blocked
    (`badge_blocked`) or somebody else's (`badge_taken`).
    """
    known, owner = badge_owner(conn, badge)
    if known is not None and known.state is BadgeState.BLOCKED:
        raise RefusedError(
            f"cannot give badge {badge} to {employee.user_id}: it is blocked; free it first (badges remove)",
            code="badge_blocked",
        )
    if owner is not None and owner.user_id != employee.user_id:
        raise RefusedError(
            f"cannot give badge {badge} to {employee.user_id}: it belongs to {owner.user_id} ({owner.name}); "
            "free it first (badges remove)",
            code="badge_taken",
        )
    if owner is None:
        assign_badge(conn, badge, employee.user_id, desk.now)
        journal(conn, desk.now, by, "badge.assigned", data={"badge": badge, "user_id": employee.user_id})
    return _claim(conn, badge, employee, desk, by=by, since=since)


def _claim(
    conn: sqlite3.Connection, badge: str, employee: Employee, desk: Desk, *, by: str, since: float | None
) -> list[Punch]:
    made: list[Punch] = []
    policy = desk.rules.policy(employee, kept=True)
    for tap, what in _kept(conn, badge, desk, since):
        # Of this badge's own taps first: one that lies before the person's last punch repeats those just as well.
        if made and repeats(what.moment, made[-1], desk.direction(what), policy):
            claim_tap(conn, tap.id, made[-1].id)
            continue
        decision, last = judge(conn, what, employee, desk)
        if isinstance(decision, New):
            punch_id = desk.new_id(what)
            made.append(insert(conn, decision, what, employee, desk, punch_id=punch_id, tap_id=tap.id))
            claim_tap(conn, tap.id, punch_id)
            journal(conn, desk.now, by, "punch.claimed", punch_id, {"tap": tap.id, "badge": badge})
        else:
            assert not isinstance(decision, Refused), "a kept tap is never refused"
            assert last is not None, "a repeat repeats something"
            claim_tap(conn, tap.id, last.id)
    return made


def _kept(conn: sqlite3.Connection, badge: str, desk: Desk, since: float | None) -> list[tuple[StoredTap, Occurrence]]:
    """The taps to convert, with when they happened, in order."""
    released = released_at(conn, badge)
    found = []
    for tap in unclaimed_taps(conn, badge):
        what = occurrence(tap, desk.reckoner.reckon(conn, tap.evidence), Origin.KEPT)
        # Where the time is not known this goes by the wall clock, which on a box without a clock chip is behind:
        # a tap left out stays kept, and `since` reaches it.
        at = what.moment.at
        wanted = at >= since if since is not None else at >= desk.now - KEPT_S and (released is None or at > released)
        if wanted:
            found.append((tap, what))
    if all(what.moment.known for _, what in found):
        # Stated taps may have been told in another order than they happened.
        found.sort(key=lambda pair: (pair[1].moment.at, pair[0].id))
    return found
