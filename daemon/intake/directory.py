"""Badge to employee, offline first: the directory and everything a person may do to it.

All calls that change something are journalled with `by` ("uid:1000", or "automatic").
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from daemon.errors import InvalidInputError, NotFoundError, RefusedError
from daemon.events import Events
from daemon.intake.attendance import Origin
from daemon.intake.claims import hand_over
from daemon.intake.forgetting import forget
from daemon.intake.intake import Intake
from daemon.intake.moments import occurrence
from daemon.intake.placing import Desk
from daemon.intake.roster import Person, id_problem, name_problem, parse, refusal
from daemon.intake.staff import Listed, StaffReport, listed_twice, merge, pieces
from daemon.intake.storage import STORAGE_ERRORS, is_of_the_disk
from daemon.model import Badge, Employee, Punch, UnknownBadge
from daemon.queue.database import Database
from daemon.queue.erasure import Forgotten
from daemon.queue.people import (
    badge_owner,
    block_badge,
    find_employee,
    list_badges,
    list_employees,
    put_employee,
    release_badge,
    remove_employee,
)
from daemon.queue.queue import StoredTap, unclaimed_taps
from daemon.queue.records import journal
from drivers.badge import InvalidBadge, canonical

T = TypeVar("T")

#: About a thousand rows, some milliseconds of work.
LARGE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did: people added (or brought back), changed, left as they were; badges newly given.

    `punches` counts those made of taps that were kept for these badges.
    """

    added: int
    changed: int
    unchanged: int
    badges: int
    punches: int = 0


@dataclass(frozen=True, slots=True)
class Assigned:
    """A badge's owner and the punches made of its kept taps, in order."""

    badge: Badge
    punches: tuple[Punch, ...]


class Directory:
    """The directory. Raises RefusedError, NotFoundError and InvalidInputError; then nothing was changed.

    `on_change` is called after anything of anybody may have changed: names, jobs, badges.
    """

    def __init__(
        self, database: Database, intake: Intake, events: Events, on_change: Callable[[], None] = lambda: None
    ) -> None:
        self._database = database
        self._intake = intake
        self._events = events
        self._on_change = on_change

    # --- employees

    async def import_csv(self, text: bytes, *, by: str) -> ImportReport:
        """Merge a CSV file (roster.py): all rows or none; removes nobody, and an empty job_id changes no job."""
        # A large file takes a small machine a second: off the loop, so that taps go on meanwhile.
        people = parse(text) if len(text) < LARGE_BYTES else await asyncio.to_thread(parse, text)
        desk = self._intake.desk()
        report, punches = await self._write(lambda conn: _import(conn, people, desk, by))
        self._tell(punches)
        self._events.publish("employees.imported", added=report.added, changed=report.changed, badges=report.badges)
        return report

    async def sync(self, listed: Sequence[Listed], *, by: str) -> StaffReport:
        """Follow the service's whole list of people (staff.py); what was decided here stands, conflicts are told."""
        report, twice = StaffReport(), listed_twice(listed)
        for piece in pieces(listed):
            desk = self._intake.desk()
            self._tell(await self._write(partial(merge, people=piece, twice=twice, desk=desk, by=by, report=report)))
        there = {person.user_id for person in listed}
        report.unknown = [employee for employee in await self.employees() if employee.user_id not in there]
        now = self._intake.desk().now
        await self._write(lambda conn: journal(conn, now, by, "employees.synced", data=report.counts()))
        self._events.publish("employees.synced", **report.counts())
        return report

    async def add(
        self, user_id: str, name: str, *, badge: str | None = None, job_id: str | None = None, by: str
    ) -> Employee:
        """Add one employee, or bring a removed one back. Refused (`already_exists`) where they are there."""
        user_id, name, job_id = user_id.strip(), name.strip(), (job_id or "").strip() or None
        found = (id_problem("user_id", user_id), name_problem(name), id_problem("job_id", job_id) if job_id else None)
        problems = [problem for problem in found if problem is not None]
        if problems:
            raise InvalidInputError(f"cannot add the employee: {'; '.join(problems)}")
        badge = _canonical(badge) if badge else None
        desk = self._intake.desk()

        def add(conn: sqlite3.Connection) -> tuple[Employee, list[Punch]]:
            old = find_employee(conn, user_id)
            if old is not None and old.removed_at is None:
                raise RefusedError(
                    f"cannot add {user_id}: they are {old.name} already; use punchctl employees import to change them",
                    code="already_exists",
                )
            put_employee(conn, user_id, name, job_id)
            journal(conn, desk.now, by, "employee.added", data={"user_id": user_id, "name": name})
            punches = hand_over(conn, badge, _person(conn, user_id), desk, by=by) if badge else []
            return _person(conn, user_id), punches

        employee, punches = await self._write(add)
        self._tell(punches)
        self._events.publish("employee.added", user_id=user_id, name=name)
        return employee

    async def remove(self, user_id: str, *, by: str) -> Employee:
        """Remove an employee and free their badges; punches already taken still go."""
        desk = self._intake.desk()

        def remove(conn: sqlite3.Connection) -> Employee:
            _person(conn, user_id)
            remove_employee(conn, user_id, desk.now)
            journal(conn, desk.now, by, "employee.removed", data={"user_id": user_id})
            removed = find_employee(conn, user_id)
            assert removed is not None, "who is removed is still known"
            return removed

        employee = await self._write(remove)
        self._events.publish("employee.removed", user_id=user_id)
        return employee

    async def forget(self, user_id: str, *, by: str) -> Forgotten:
        """Remove an employee, present or former, and erase their name and badges; hours and deliveries go on."""
        forgotten = await forget(self._database, self._write, user_id, self._intake.desk().now, by)
        self._events.publish("employee.forgotten", user_id=user_id)
        return forgotten

    async def employees(self) -> list[Employee]:
        """All employees by name, without removed ones."""
        return await self._database.read(list_employees)

    # --- badges

    async def badges(self) -> list[Badge]:
        """All assigned and blocked badges."""
        return await self._database.read(list_badges)

    async def unknown(self) -> list[UnknownBadge]:
        """Badges that nobody owns and that taps are kept for, the latest first."""
        desk = self._intake.desk()
        return await self._database.read(lambda conn: _unknown(conn, desk))

    async def assign(self, badge: str, user_id: str, *, since: float | None = None, by: str) -> Assigned:
        """Give a badge to an employee and turn its kept taps into punches (claims.hand_over)."""
        return await self._badge_write(badge, lambda conn, own, desk: _assign(conn, own, user_id, since, desk, by))

    async def block(self, badge: str, *, by: str) -> Badge:
        """Let a badge, known or not, be refused from now on. Its owner and their other badges are left alone."""

        def block(conn: sqlite3.Connection, own: str, desk: Desk) -> Badge:
            block_badge(conn, own, desk.now)
            journal(conn, desk.now, by, "badge.blocked", data={"badge": own})
            return _badge(conn, own)

        blocked = await self._badge_write(badge, block)
        self._events.publish("badge.blocked", badge=blocked.badge)
        return blocked

    async def release(self, badge: str, *, by: str) -> None:
        """Free a badge: nobody owns it any more, and it is not blocked any more."""

        def release(conn: sqlite3.Connection, own: str, desk: Desk) -> str:
            if not release_badge(conn, own, desk.now):
                raise NotFoundError(
                    f"cannot free badge {own}: it is neither assigned nor blocked; see punchctl badges list"
                )
            journal(conn, desk.now, by, "badge.released", data={"badge": own})
            return own

        self._events.publish("badge.released", badge=await self._badge_write(badge, release))

    async def enroll(self, user_id: str, *, timeout_s: float, by: str) -> Badge:
        """Give the badge of the next tap, at any reader, to an employee.

        Refused when no tap comes within `timeout_s`, when another enrolment waits, or when that badge is somebody
        else's, blocked, or changes at each tap.
        """
        await self._database.read(lambda conn: _person(conn, user_id))
        enrolments = self._intake.enrolments
        enrolment = enrolments.begin(user_id, by)
        self._events.publish("badge.awaited", user_id=user_id, timeout_s=timeout_s)
        try:
            done, _ = await asyncio.wait({enrolment.outcome}, timeout=timeout_s)
            if not done and enrolments.withdraw(enrolment):
                raise RefusedError(
                    f"cannot enrol a badge for {user_id}: no tap came within {timeout_s:g} s; try again",
                    code="enrolment_timed_out",
                )
            # A tap has it: what comes of that is only a commit away.
            outcome = await enrolment.outcome
        finally:
            enrolments.withdraw(enrolment)
        if isinstance(outcome, RefusedError):
            raise outcome
        return outcome

    async def _badge_write(self, badge: str, fn: Callable[[sqlite3.Connection, str, Desk], T]) -> T:
        own, desk = _canonical(badge), self._intake.desk()
        result = await self._write(lambda conn: fn(conn, own, desk))
        if isinstance(result, Assigned):
            self._tell(result.punches)
            self._events.publish("badge.assigned", badge=own, user_id=result.badge.user_id)
        return result

    async def _write(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        try:
            result = await self._database.write(fn)
        except STORAGE_ERRORS as error:
            if not is_of_the_disk(error):
                raise
            raise RefusedError(f"cannot store that: {error}; see punchctl doctor", code="cannot_store") from error
        self._on_change()
        return result

    def _tell(self, punches: list[Punch] | tuple[Punch, ...]) -> None:
        for punch in punches:
            self._intake.publish("punch.committed", punch)


def _canonical(badge: str) -> str:
    try:
        return canonical(badge)
    except InvalidBadge as error:
        raise InvalidInputError(f"cannot use badge {badge!r}: {error}") from error


def _person(conn: sqlite3.Connection, user_id: str) -> Employee:
    employee = find_employee(conn, user_id)
    if employee is None or employee.removed_at is not None:
        raise NotFoundError(
            f"cannot find employee {user_id}; see punchctl employees list, or add them first (punchctl employees add)"
        )
    return employee


def _badge(conn: sqlite3.Connection, badge: str) -> Badge:
    known, _ = badge_owner(conn, badge)
    assert known is not None, "a badge that was just written is known"
    return known


def _assign(conn: sqlite3.Connection, badge: str, user_id: str, since: float | None, desk: Desk, by: str) -> Assigned:
    punches = hand_over(conn, badge, _person(conn, user_id), desk, by=by, since=since)
    return Assigned(_badge(conn, badge), tuple(punches))


def _import(conn: sqlite3.Connection, people: list[Person], desk: Desk, by: str) -> tuple[ImportReport, list[Punch]]:
    counts = {"added": 0, "changed": 0, "unchanged": 0, "badges": 0}
    punches: list[Punch] = []
    problems: list[str] = []
    for person in people:
        old = find_employee(conn, person.user_id)
        job_id = person.job_id or (old.job_id if old is not None else None)
        new_badges = [badge for badge in person.badges if old is None or badge not in old.badges]
        if old is None or old.removed_at is not None:
            counts["added"] += 1
        elif (old.name, old.job_id) != (person.name, job_id) or new_badges:
            counts["changed"] += 1
        else:
            counts["unchanged"] += 1
            continue
        put_employee(conn, person.user_id, person.name, job_id)
        employee = _person(conn, person.user_id)
        for badge in new_badges:
            counts["badges"] += 1
            try:
                punches += hand_over(conn, badge, employee, desk, by=by)
            except RefusedError as error:
                problems.append(f"line {person.badges[badge]}: {error.message}")
    if problems:
        raise refusal(problems)  # and the transaction is rolled back
    report = ImportReport(**counts, punches=len(punches))
    journal(conn, desk.now, by, "employees.imported", data={**counts, "punches": len(punches)})
    return report, punches


def _unknown(conn: sqlite3.Connection, desk: Desk) -> list[UnknownBadge]:
    known = {badge.badge for badge in list_badges(conn)}
    kept: dict[str, list[tuple[float, StoredTap]]] = {}
    for tap in unclaimed_taps(conn):
        if tap.badge not in known:
            at = occurrence(tap, desk.reckoner.reckon(conn, tap.evidence), Origin.KEPT).moment.at
            kept.setdefault(tap.badge, []).append((at, tap))
    found = []
    for badge, taps in kept.items():
        times = [at for at, _ in taps]
        found.append(UnknownBadge(badge, len(taps), min(times), max(times), taps[-1][1].reader))
    return sorted(found, key=lambda unknown: (-unknown.last_at, unknown.badge))
