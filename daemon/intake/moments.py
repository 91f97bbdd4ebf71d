"""When did it happen? From a tap's evidence to the moment a punch stands for.

A clock that the service's own clock disputes (a *doubt*) makes a boot's synchronised wall clock worthless for the
taps of that time. Doubt lives in memory, taps do not: so the boot is marked in the settings, in the transaction that
stores the tap, and the mark is turned to "lifted" when the clock is trusted again in the same boot.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace

from daemon.clock import BestTime, moved
from daemon.intake.attendance import Moment, Origin
from daemon.model import ReaderDirection
from daemon.queue.queue import StoredTap
from daemon.queue.records import get_setting, put_setting
from drivers.reader import Evidence, Tap

_DOUBTED, _LIFTED = "doubted", "lifted"


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A presented badge and its moment: `evidence` is of the moment itself, moved back when that was stated."""

    reader: str
    badge: str
    moment: Moment
    evidence: Evidence
    error_s: float | None
    #: How its reader decided when it was tapped, of a kept tap; None: as it decides now.
    way: ReaderDirection | None = None


def occurrence(tap: Tap | StoredTap, best: BestTime, origin: Origin) -> Occurrence:
    """What a tap stands for, given what its evidence is worth (`best`); a stated time moves both clocks along."""
    evidence, at, stated_at = tap.evidence, best.at, tap.stated_at
    if stated_at is not None:
        evidence = moved(evidence, stated_at - best.at)
        at = stated_at
    moment = Moment(at, best.known, evidence.boot_id, evidence.boottime_s, origin)
    way = tap.way if isinstance(tap, StoredTap) else None
    return Occurrence(tap.reader, tap.badge, moment, evidence, best.error_s if best.known else None, way)


@dataclass(frozen=True, slots=True)
class Reckoner:
    """Reckons best times of stored evidence inside a transaction.

    `best` is Timekeeper.best (it only reads, so the database's thread may call it); `boot_id` is this boot, `trusted`
    whether its clock is trusted now.
    """

    best: Callable[[Evidence], BestTime]
    boot_id: str
    trusted: bool

    def reckon(self, conn: sqlite3.Connection, seen: Evidence) -> BestTime:
        """The best known time of stored evidence; not known while the clock of its boot is untrusted or doubted."""
        mark = get_setting(conn, _key(seen.boot_id))
        this_boot = seen.boot_id == self.boot_id
        believed = self.trusted if this_boot else mark != _DOUBTED
        if mark is not None:
            # The wall clock was wrong while the kernel called it right: only the boot clock counts.
            seen = replace(seen, synchronised=False)
        best = self.best(seen)
        return best if believed and best.known else BestTime(best.at, None, known=False)

    def note_trust(self, conn: sqlite3.Connection) -> None:
        """Turn this boot's mark to lifted once its clock is trusted (again)."""
        if self.is_lifting(conn):
            put_setting(conn, _key(self.boot_id), _LIFTED)

    def is_lifting(self, conn: sqlite3.Connection) -> bool:
        """Whether this boot's mark is to be lifted."""
        return self.trusted and get_setting(conn, _key(self.boot_id)) == _DOUBTED


def note_doubt(conn: sqlite3.Connection, boot_id: str) -> None:
    """Mark a boot's clock as doubted while a tap is stored."""
    put_setting(conn, _key(boot_id), _DOUBTED)


def _key(boot_id: str) -> str:
    return f"clock_doubted:{boot_id}"
