"""The directory follows the service's list of people, inside one transaction a piece: names, who left, new badges.

What a person decided at this kiosk stands: a badge that was given, freed or blocked here, somebody who was removed
here. Where the list says otherwise, nothing is changed and the conflict is told.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from daemon.errors import RefusedError
from daemon.intake.claims import hand_over
from daemon.intake.placing import Desk
from daemon.intake.roster import NAME_MAX, id_problem, name_problem
from daemon.model import Employee, Punch
from daemon.queue.people import find_employee, freed_from, put_employee, remove_employee
from daemon.queue.records import get_setting, journal, put_setting
from drivers.badge import InvalidBadge, canonical

#: People in one transaction: a tap that comes meanwhile waits for no more than these.
PIECE = 200
#: Remembers when the list removed somebody: who was removed then, and not by a person here, comes back with the list.
_LEFT = "staff.archived."


@dataclass(frozen=True, slots=True)
class Listed:
    """One person as the service lists them; `badge` as it was typed there."""

    user_id: str
    name: str
    archived: bool = False
    badge: str | None = None


@dataclass(frozen=True, slots=True)
class StaffConflict:
    """Where the list and this kiosk disagree, and nothing was changed. `text` ends with what mends it."""

    user_id: str
    name: str
    badge: str | None
    code: str
    text: str


@dataclass(slots=True)
class StaffReport:
    """What a sync did. `unknown` are people of the directory whom the list does not have; they are left alone."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    badges: int = 0
    punches: int = 0
    conflicts: list[StaffConflict] = field(default_factory=list)
    unknown: list[Employee] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        """The numbers alone."""
        names = ("added", "changed", "unchanged", "removed", "badges", "punches")
        return {name: getattr(self, name) for name in names} | {"conflicts": len(self.conflicts)}


def pieces(listed: Sequence[Listed]) -> list[list[Listed]]:
    """The list in pieces for one transaction each; who left comes first, so that their badges are free for others."""
    ordered = sorted(listed, key=lambda person: not person.archived)
    return [ordered[i : i + PIECE] for i in range(0, len(ordered), PIECE)]


def listed_twice(listed: Sequence[Listed]) -> frozenset[str]:
    """Badges that several people of the list have: whose they are is not known."""
    owners = Counter(_form(person.badge) for person in listed if person.badge and not person.archived)
    return frozenset(badge for badge, count in owners.items() if count > 1)


def merge(
    conn: sqlite3.Connection, people: Sequence[Listed], twice: frozenset[str], desk: Desk, by: str, report: StaffReport
) -> list[Punch]:
    """Take a piece of the list into the directory and count it in the report; the punches made of kept taps."""
    made: list[Punch] = []
    for person in people:
        old = find_employee(conn, person.user_id)
        if person.archived:
            _leave(conn, person, old, desk, by, report)
        elif (employee := _join(conn, person, old, desk, by, report)) is not None and person.badge:
            made += _give(conn, person, employee, twice, desk, by, report)
    return made


def _leave(
    conn: sqlite3.Connection, person: Listed, old: Employee | None, desk: Desk, by: str, report: StaffReport
) -> None:
    if old is None or old.removed_at is not None:
        return
    remove_employee(conn, person.user_id, desk.now)
    put_setting(conn, _LEFT + person.user_id, repr(desk.now))
    journal(conn, desk.now, by, "employee.removed", data={"user_id": person.user_id, "why": "archived in the service"})
    report.removed += 1


def _join(
    conn: sqlite3.Connection, person: Listed, old: Employee | None, desk: Desk, by: str, report: StaffReport
) -> Employee | None:
    """Add, bring back or rename; the person as they were before (without badges when new), None where they stay out."""
    name = person.name[:NAME_MAX].strip()
    if (problem := id_problem("user_id", person.user_id) or name_problem(name)) is not None:
        _tell(report, person, "unusable", f"{problem}; give them a name in the service")
        return None
    gone = old is not None and old.removed_at is not None
    if old is not None and gone and get_setting(conn, _LEFT + person.user_id) != repr(old.removed_at):
        _tell(report, person, "removed_here", "was removed at this kiosk; bring them back with: punchctl employees add")
        return None
    if old is None or gone:
        put_employee(conn, person.user_id, name, old.job_id if old else None)
        put_setting(conn, _LEFT + person.user_id, None)
        journal(conn, desk.now, by, "employee.added", data={"user_id": person.user_id, "name": name})
        report.added += 1
        return Employee(person.user_id, name, removed_at=old.removed_at if old else None)
    if old.name == name:
        report.unchanged += 1
        return old
    put_employee(conn, person.user_id, name, old.job_id)
    data = {"user_id": person.user_id, "name": name, "before": old.name}
    journal(conn, desk.now, by, "employee.renamed", data=data)
    report.changed += 1
    return old


def _give(
    conn: sqlite3.Connection,
    person: Listed,
    employee: Employee,
    twice: frozenset[str],
    desk: Desk,
    by: str,
    report: StaffReport,
) -> list[Punch]:
    """Give the listed badge, where nothing that was decided here stands against it."""
    assert person.badge is not None
    try:
        badge = canonical(person.badge)
    except InvalidBadge as error:
        _tell(report, person, "badge_invalid", f"badge {person.badge[:80]!r}: {error}")
        return []
    if badge in employee.badges:
        return []
    if badge in twice:
        _tell(report, person, "badge_shared", f"badge {badge} stands at several people in the service; leave it to one")
        return []
    if employee.removed_at is None and freed_from(conn, badge) == person.user_id:
        remedy = f"give it back with: punchctl badges assign {badge} {person.user_id}, or change it in the service"
        _tell(report, person, "badge_freed", f"badge {badge} was taken from them at this kiosk; {remedy}")
        return []
    owner = find_employee(conn, person.user_id)
    assert owner is not None, "who was just taken in is known"
    try:
        made = hand_over(conn, badge, owner, desk, by=by)
    except RefusedError as error:
        _tell(report, person, error.code, error.message)
        return []
    report.badges += 1
    report.punches += len(made)
    return made


def _tell(report: StaffReport, person: Listed, code: str, text: str) -> None:
    report.conflicts.append(StaffConflict(person.user_id, person.name, person.badge, code, text))


def _form(badge: str | None) -> str:
    try:
        return canonical(badge or "")
    except InvalidBadge:
        return badge or ""
