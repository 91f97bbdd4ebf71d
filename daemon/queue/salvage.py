"""A new database from what is intact in a damaged one and in its second copy; and what was lost, by name.

The damaged files are never changed: the new database is built whole beside them and checked, then they are set aside
into a folder, and only then it takes the old name. Cut off anywhere, the next start goes on from there.

A punch whose delivery is not known to be settled enters as `in_flight`, with an attempt of unknown outcome that says so
(SALVAGED): what the timesheet shows decides, nothing is sent blindly, nor where a shift of that day is unexplained. One
whose time or direction is missing waits for it and is looked up then; one that is not as it was stored goes to review.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from daemon.errors import DamagedError
from daemon.model import PunchState, RecordedAs
from daemon.queue import chain
from daemon.queue.chain import PUNCH_FACTS, TAP_FACTS
from daemon.queue.copying import read_all, sync_directory
from daemon.queue.deliveries import SALVAGED, begin_attempt, doubtful_step, end_attempt, set_state
from daemon.queue.lines import Record
from daemon.queue.opening import connect, create
from daemon.queue.records import get_setting, journal, put_setting
from daemon.queue.verify import iso, verify
from daemon.queue.wreck import Wreck

#: The report of the last salvage, in the settings: the alarm about it stands while its folder is there.
REPORT: Final = "salvage.report"
#: A whole new database that waits for the old files to be set aside.
READY: Final = ".salvaged"
#: So many of each kind are named; the report says how many there are.
NAMED_MAX: Final = 200
#: So many punches may be lost behind the last that is left.
_NUMBERS_AHEAD: Final = 10_000
#: A database whose punches begin with a number up to this has probably pruned none yet.
_FIRST_NUMBERS: Final = 100
_FINISHED: Final = ("delivered", "discarded")
#: What is of one opening of one file, not of its content.
_NOT_SETTINGS: Final = frozenset({"database.running", "chain.adopted", "copy.stale", REPORT})

_DELIVERY: Final = ("state", "reason", "detail", "attempts", "attempt_id", "remote_id", "recorded_as", "changed_at")
_STANDS: Final = ("is", "state", "reason", "detail", "remote_id", "recorded_as")
_ATTEMPT: Final = ("id", "punch_seq", "pair_seq", "kind", "step", "sent_at", "ended_at", "outcome", "status",
                   "request_id", "detail")  # fmt: skip
_SMALL: Final = {
    "employees": ("user_id", ("user_id", "name", "job_id", "max_shift_s", "removed_at")),
    "badges": ("badge", ("badge", "state", "user_id", "since", "released_at")),
    "boots": ("boot_id", ("boot_id", "first_seen_at", "first_boottime_s", "trusted_offset_s", "trusted_error_s",
                          "trusted_source", "trusted_at")),
    "settings": ("key", ("key", "value")),
}  # fmt: skip
_LINK: Final = ("id", "kind", "why", "row_id", "digest", "hash", "gone")
_NUMBERED: Final = {
    "taps": (*TAP_FACTS, "punch_id"),
    "journal": ("id", "at", "by", "action", "punch_id", "data"),
    "attempts": _ATTEMPT,
}
_COPY_TABLES: Final = {"employee": "employees", "badge": "badges"}


@dataclass(frozen=True, slots=True)
class Seen:
    """What this machine's clock says. Only where something vouches for it (`known`) is it taken as when requests that
    nobody knows the outcome of may have been out; otherwise the newest punch is."""

    wall_s: float
    known: bool


@dataclass
class Salvage:
    """What came of it. Lists hold at most NAMED_MAX; the numbers beside them count all."""

    why: str
    at: str | None = None
    folder: str = ""
    copy_folder: str = ""
    copy_name: str = ""
    punches: int = 0
    from_copy: int = 0
    kept_taps: int = 0
    in_doubt: int = 0
    to_review: int = 0
    database_unreadable: str = ""
    places_unreadable: dict[str, int] = field(default_factory=dict)
    copy_lines: int = 0
    copy_lines_unreadable: int = 0
    copy_end_unreadable: bool = False
    altered: list[str] = field(default_factory=list)
    altered_total: int = 0
    lost: list[str] = field(default_factory=list)
    lost_total: int = 0
    rows_refused: int = 0
    nameless: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """As it is shown with --json, and kept."""
        return asdict(self)

    def sentences(self) -> list[str]:
        """For people."""
        said = [
            f"The database was damaged: {self.why}",
            f"{self.punches} punches are there ({self.from_copy} of them from the second copy), and {self.kept_taps} "
            "kept taps of unknown badges.",
            f"{self.in_doubt} are looked up on the timesheet before anything is sent; {self.to_review} went to review.",
        ]
        if self.database_unreadable:
            said.append(f"Nothing of the damaged database could be read: {self.database_unreadable}.")
        if self.places_unreadable:
            where = ", ".join(f"{table} in {count} place(s)" for table, count in self.places_unreadable.items())
            said.append(f"Could not be read: {where}.")
        if self.copy_lines_unreadable:
            said.append(f"{self.copy_lines_unreadable} of {self.copy_lines} lines of the copy could not be read (a "
                        "power cut may leave one).")  # fmt: skip
        if self.copy_end_unreadable and self.database_unreadable:
            said.append("The copy's end is among them: of what came last nothing may be left that tells of it.")
        if self.altered_total:
            said.append(f"{self.altered_total} punches are not as they were stored, and the copy has them no better: "
                        f"{_listed(self.altered, self.altered_total)}.")  # fmt: skip
        if self.nameless:
            said.append(f"The names of these people are lost; import them again: {', '.join(self.nameless)}.")
        if self.rows_refused:
            said.append(f"{self.rows_refused} rows of other kinds made no sense any more and were left out.")
        if self.lost_total:
            said.append(f"LOST: {self.lost_total} punch(es): {_listed(self.lost, self.lost_total)}.")
        else:
            said.append("No punch is known to be lost.")
        if self.folder:
            said.append(f"The damaged files lie in {self.folder}"
                        + (f", the old copy in {self.copy_folder}" if self.copy_folder else "") + ".")  # fmt: skip
        return said


def salvage(path: Path, copy: Path | None, why: str, seen: Seen, *, keep: bool = True) -> Salvage:
    """Build a new database at `path` and set the damaged files aside; with `keep` False only tell what would come of
    it. Raises OSError, sqlite3.Error, and DamagedError where what was built is not sound.
    """
    report, now = Salvage(why, iso(seen.wall_s)), seen.wall_s
    draft = _beside(path, ".new")
    wreck = Wreck(path)
    try:
        create(draft)
        with closing(connect(draft)) as conn:
            conn.execute("PRAGMA synchronous = OFF")  # synced as a whole before it gets its name
            conn.execute("PRAGMA temp_store = MEMORY")
            conn.execute("BEGIN IMMEDIATE")
            _Builder(conn, wreck, copy, report, seen).build()
            if keep:
                _name_folders(path, copy, report, now)
            told = report.document()
            put_setting(conn, REPORT, json.dumps(told) if keep else None)
            journal(conn, now, "automatic", "database.salvaged", data={key: told[key] for key in _JOURNALLED})
            conn.execute("COMMIT")
            _examine(conn)
        if not keep:
            return report
        fd = os.open(draft, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(draft, _beside(path, READY))
        sync_directory(path.parent)
    finally:
        wreck.close()
        with suppress(OSError):
            draft.unlink()
    finish(path)
    return report


_JOURNALLED: Final = ("why", "punches", "from_copy", "in_doubt", "to_review", "altered_total", "lost_total", "folder")


def finish(path: Path) -> bool:
    """Set the old files aside and give the new database its name, where one waits; whether there was one."""
    ready = _beside(path, READY)
    if not ready.exists():
        return False
    with closing(connect(ready, read_only=True, immutable=True)) as conn:
        report: dict[str, Any] = json.loads(get_setting(conn, REPORT) or "{}")
    folder = Path(report["folder"])
    _set_aside([path, _beside(path, "-wal"), _beside(path, "-shm"), marker(path)], folder)
    if report["copy_folder"]:
        with suppress(OSError):  # its medium is gone again, or takes nothing: found to be another one's, it stays there
            _set_aside([Path(report["copy_folder"]).parent / report["copy_name"]], Path(report["copy_folder"]))
    os.rename(ready, path)
    sync_directory(path.parent)
    return True


def marker(path: Path) -> Path:
    """A file that asks the next start to salvage; it says why."""
    return path.with_name("punchd.damaged")


def _set_aside(files: list[Path], folder: Path) -> None:
    """Move files into a folder, as they are; what was moved before a power cut is left where it is."""
    folder.mkdir(mode=0o700, exist_ok=True)
    for file in files:
        if file.exists() and not (folder / file.name).exists():
            os.rename(file, folder / file.name)
    sync_directory(folder)
    sync_directory(folder.parent)


def _name_folders(path: Path, copy: Path | None, report: Salvage, now: float) -> None:
    stamp = f"{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}"
    report.folder = str(_unused(path.parent, stamp))
    with suppress(OSError):  # a medium that does not even answer keeps what is on it
        if copy is not None and copy.exists():
            same = copy.parent.resolve() == path.parent.resolve()
            report.copy_folder = report.folder if same else str(_unused(copy.parent, stamp))
            report.copy_name = copy.name


def _unused(parent: Path, stamp: str) -> Path:
    names = (parent / f"damaged-{stamp}{f'-{number}' if number else ''}" for number in range(10_000))
    return next(folder for folder in names if not folder.exists())


def _examine(conn: sqlite3.Connection) -> None:
    """What was built must be sound before anything else is moved. Raises DamagedError."""
    wrong = [str(line) for (line,) in conn.execute("PRAGMA integrity_check(5)") if line != "ok"]
    wrong += [f"row {row[1]} of {row[0]} names something missing in {row[2]}"
              for row in conn.execute("PRAGMA foreign_key_check").fetchmany(5)]  # fmt: skip
    wrong += verify(conn).findings(5)
    if wrong:
        raise DamagedError(
            f"cannot salvage the database: what was built of it is not sound ({wrong[0]}); the damaged files are left "
            "as they are. Copy the state directory to a safe place and ask for help with the output of this"
        )


class _Builder:
    """Fills a new database inside one transaction; its triggers are away meanwhile, its references unchecked."""

    def __init__(self, conn: sqlite3.Connection, wreck: Wreck, copy: Path | None, report: Salvage, seen: Seen) -> None:
        self._conn, self._wreck, self._copy = conn, wreck, copy
        self._report, self._seen, self._now = report, seen, seen.wall_s
        #: Of each punch in the new database: the link it was taken from (what is newer, counts).
        self._links: dict[str, int] = {}
        self._altered: dict[str, tuple[Any, ...]] = {}
        self._expected: set[int] = set()
        self._gone: set[int] = set()
        self._chain_whole = True
        self._standing: dict[str, Record] = {}
        self._copy_head: tuple[int, str] | None = None
        self._copy_reach = 0
        #: The newest link of which either record has more than its number.
        self._last_link = 0

    def build(self) -> None:
        """Everything, in order."""
        triggers = self._conn.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            self._conn.execute(f"DROP TRIGGER {name}")
        self._read_wreck()
        self._read_copy()
        self._keep_altered()
        self._name_people()
        self._place_deliveries()
        self._count_lost()
        for _, sql in triggers:
            self._conn.execute(sql)
        chain.link_all(self._conn, "salvaged")
        report, count = self._report, self._count
        report.punches = count("SELECT count(*) FROM punches")
        report.kept_taps = count("SELECT count(*) FROM taps WHERE result = 'unknown_badge' AND punch_id IS NULL")
        report.database_unreadable = self._wreck.why
        report.places_unreadable = dict(self._wreck.unreadable)

    # --- from the damaged database

    def _read_wreck(self) -> None:
        for table, (key, columns) in _SMALL.items():
            for row in self._wreck.named(table, key, columns):
                if table != "settings" or row[0] not in _NOT_SETTINGS:
                    self._insert(table, columns, row)
        for table, columns in _NUMBERED.items():
            for row in self._wreck.numbered(table, "id", columns):
                self._insert(table, columns, row)
        for row in self._wreck.numbered("punches", "seq", (*PUNCH_FACTS, "link")):
            facts, link = row[:-1], row[-1]
            if not isinstance(facts[0], str):
                continue
            if self._vouched(facts, link):
                self._put_punch(facts, link)
            else:
                self._altered[facts[0]] = facts
        self._read_chain()
        # A delivery goes only with its punch: each that is left tells of one there must be.
        for (seq,) in self._wreck.numbered("deliveries", "punch_seq", ("punch_seq",)):
            self._expected.add(seq)

    def _read_chain(self) -> None:
        """Which punches there must be; and whether the chain that says so is whole itself."""
        last: tuple[int, bytes] | None = None
        for row in self._wreck.numbered("chain", "id", _LINK):
            link_id, kind, why, row_id, digest, hashed, gone = row
            if not (isinstance(hashed, bytes) and isinstance(row_id, int | None)):
                self._chain_whole = False
                continue
            if kind == "punch" and row_id is not None:
                (self._expected if gone is None else self._gone).add(row_id)
            if kind != "origin" and gone is None:
                right = last is not None and last[0] == link_id - 1 and isinstance(digest, bytes)
                self._chain_whole &= right and hashed == chain.hashed(
                    last[1] if last else b"", link_id, kind, why, row_id or 0, digest)  # fmt: skip
            last = (link_id, hashed)
        self._chain_whole &= last is not None and not self._wreck.unreadable["chain"]
        self._last_link = 0 if last is None else last[0]

    def _vouched(self, facts: tuple[Any, ...], link: Any) -> bool:
        """Whether a punch is as it was stored. Of a database without a chain every one that makes sense is."""
        row = self._wreck.one("SELECT salt, digest FROM chain WHERE id = ? AND gone IS NULL", link)
        if row is None or row[0] is None:
            return link is None
        return bool(chain.digest(row[0], facts) == row[1])

    # --- from the copy

    def _read_copy(self) -> None:
        for record in self._copy_records():
            kind = record["is"]
            self._copy_reach = max(self._copy_reach, record["n"])
            if kind in ("punch", "tap"):
                self._copy_head = (record["n"], record["hash"])
            if kind == "punch":
                self._take_punch(record)
            elif kind == "tap":
                self._insert("taps", TAP_FACTS, [record["tap"][name] for name in TAP_FACTS])
            elif kind == "mark":
                self._standing[record["id"]] = _stands(record)
        # Who is newer, where both have somebody: the copy, unless it had stopped following.
        last = self._wreck.one("SELECT max(id) FROM chain")
        self._last_link = max(self._last_link, 0 if self._copy_head is None else self._copy_head[0])
        if last is None or last[0] is None or self._copy_reach >= last[0]:
            for record in self._copy_records(count=False):
                if record["is"] in _COPY_TABLES:
                    row = record[record["is"]]
                    self._insert(_COPY_TABLES[record["is"]], tuple(row), list(row.values()), replace=True)
        else:
            for record in self._copy_records(count=False):
                if record["is"] in _COPY_TABLES:
                    row = record[record["is"]]
                    self._insert(_COPY_TABLES[record["is"]], tuple(row), list(row.values()), count=False)

    def _copy_records(self, *, count: bool = True) -> Iterator[Record]:
        if self._copy is None:
            return
        try:
            for record in read_all(self._copy):
                if count:
                    self._report.copy_lines += 1
                    self._report.copy_lines_unreadable += record is None
                    self._report.copy_end_unreadable = record is None
                if record is not None:
                    yield record
        except OSError:
            if count:
                self._report.copy_lines_unreadable += 1

    def _take_punch(self, record: Record) -> None:
        facts = tuple(record["punch"][name] for name in PUNCH_FACTS)
        punch_id = record["punch"]["id"]
        if "state" in record:
            self._standing[punch_id] = _stands(record)
        if self._links.get(punch_id, -1) >= record["n"]:
            return
        if punch_id not in self._links:
            self._report.from_copy += 1
        self._altered.pop(punch_id, None)
        self._put_punch(facts, record["n"])

    # --- into the new one

    def _put_punch(self, facts: tuple[Any, ...], link: int | None) -> None:
        named = dict(zip(PUNCH_FACTS, facts, strict=True))
        holder = self._conn.execute("SELECT id FROM punches WHERE seq = ?", (named["seq"],)).fetchone()
        if holder is not None and holder[0] != named["id"]:  # two histories: both happened
            named["seq"] = self._count("SELECT max(seq) + 1 FROM punches")
        self._conn.execute("DELETE FROM punches WHERE id = ?", (named["id"],))
        if not self._insert("punches", tuple(named), list(named.values())):
            return
        self._links[named["id"]] = link or 0
        if named["tap_id"] is not None:
            tap = {"id": named["tap_id"], "reader": named["reader"] or "", "badge": named["badge"] or "",
                   "raw_at": named["raw_at"], "boottime_s": named["boottime_s"], "boot_id": named["boot_id"],
                   "synchronised": named["synchronised"], "result": "accepted"}  # fmt: skip
            self._insert("taps", tuple(tap), list(tap.values()), count=False)
            self._conn.execute("UPDATE taps SET punch_id = coalesce(punch_id, ?) WHERE id = ?",
                               (named["id"], named["tap_id"]))  # fmt: skip

    def _keep_altered(self) -> None:
        """What nothing vouches for any more, as it was found: a person sees it before it goes anywhere."""
        for punch_id, facts in self._altered.items():
            if _is_text(facts):
                self._put_punch(facts, None)
            words = f"{_plain(punch_id)} of {_plain(facts[3])}"
            if punch_id not in self._links:
                _add(self._report.lost, words)
                self._report.lost_total += 1
                continue
            _add(self._report.altered, words)
            self._report.altered_total += 1

    def _name_people(self) -> None:
        missing = self._conn.execute(
            "SELECT DISTINCT user_id FROM punches UNION SELECT user_id FROM badges WHERE user_id IS NOT NULL "
            "EXCEPT SELECT user_id FROM employees ORDER BY user_id").fetchall()  # fmt: skip
        for (user_id,) in missing:
            self._conn.execute("INSERT INTO employees (user_id, name) VALUES (?, ?)", (user_id, "(name lost)"))
            _add(self._report.nameless, str(user_id))

    def _place_deliveries(self) -> None:
        if not self._seen.known:
            # What an unknown time was taken for may lie years ahead: nothing would ever be looked up.
            newest_at = "SELECT coalesce(max(occurred_at), 0) FROM punches WHERE time_known"
            self._now = self._conn.execute(newest_at).fetchone()[0]
        head = self._wreck.one("SELECT id, hash FROM chain ORDER BY id DESC LIMIT 1")
        newest = None if head is None else (head[0], _hex(head[1]))
        agree = newest is not None and not self._wreck.unreadable and self._copy_head in (None, newest)
        self._conn.execute("DELETE FROM attempts WHERE punch_seq NOT IN (SELECT seq FROM punches)")
        self._conn.execute("UPDATE attempts SET pair_seq = NULL WHERE pair_seq NOT IN (SELECT seq FROM punches)")
        for seq, punch_id in self._conn.execute("SELECT seq, id FROM punches ORDER BY seq").fetchall():
            found = self._wreck.one(f"SELECT {', '.join(_DELIVERY)} FROM deliveries WHERE punch_seq = ?", seq)
            old = dict(zip(_DELIVERY, found, strict=True)) if found is not None else {}
            told = self._standing.get(punch_id, {})
            self._place(seq, punch_id, old, told, agree=agree)

    def _place(self, seq: int, punch_id: str, old: Record, told: Record, *, agree: bool) -> None:
        user_id, order_at, at, direction, known, job_id = self._conn.execute(
            "SELECT user_id, order_at, occurred_at, direction, time_known, job_id FROM punches WHERE seq = ?", (seq,)
        ).fetchone()
        last = self._conn.execute(
            "SELECT id, ended_at FROM attempts WHERE punch_seq = ? OR pair_seq = ? ORDER BY id DESC LIMIT 1", (seq, seq)
        ).fetchone()
        row: Record = {"punch_seq": seq, "user_id": user_id, "order_at": order_at, "changed_at": self._now,
                       "attempts": old.get("attempts") if isinstance(old.get("attempts"), int) else 0,
                       "attempt_id": last[0] if last else None}  # fmt: skip
        for one in (old, told):
            if one.get("state") in _FINISHED and (one["state"] != "delivered" or one.get("recorded_as")):
                row |= {name: one.get(name) for name in ("state", "reason", "detail", "remote_id", "recorded_as")}
                if self._insert("deliveries", tuple(row), list(row.values()), count=False):
                    return
        certain = punch_id not in self._altered
        if known and direction is not None and certain and "review" not in (old.get("state"), told.get("state")):
            row |= {"state": "in_flight"}
            self._report.in_doubt += 1
        elif old.get("state") == "held" and agree and certain:
            row |= {name: old.get(name) for name in ("state", "reason", "detail")}
        elif "review" not in (old.get("state"), told.get("state")) and certain:
            # Looked up as soon as it has what it lacks (deliveries.release).
            row |= {"state": "held", "reason": "earlier_punch_undecided" if known else "clock_untrusted"}
            row |= {"detail": SALVAGED}
        else:
            source = told if told.get("state") == "review" else old if old.get("state") == "review" else {}
            detail = source.get("detail") if source else SALVAGED
            row |= {"state": "review", "reason": source.get("reason") or "salvaged", "detail": detail}
            self._report.to_review += 1
        if row["state"] != "held" and known and direction is not None and (last is None or last[1] is not None):
            row["attempt_id"] = self._doubtful_attempt(seq, user_id, at, direction, job_id)
            row["attempts"] = (row["attempts"] or 0) + 1
        elif last is not None and last[1] is None:  # it was out when last seen, which may be long ago
            self._conn.execute("UPDATE attempts SET detail = ? WHERE id = ?", (SALVAGED, last[0]))
        if not self._insert("deliveries", tuple(row), list(row.values())):
            row |= {"state": "review", "reason": "salvaged", "detail": None}
            self._insert("deliveries", tuple(row), list(row.values()))

    def _doubtful_attempt(self, seq: int, user_id: str, at: float, direction: str, job_id: str | None) -> int:
        """A request that may have been out: what it would have wanted is looked for on the timesheet first."""
        kind, step = doubtful_step(user_id, at, direction, job_id)
        cursor = self._conn.execute(
            "INSERT INTO attempts (punch_seq, kind, step, sent_at, detail) VALUES (?, ?, ?, ?, ?)",
            (seq, kind, json.dumps(step, sort_keys=True), max(at, self._now), SALVAGED),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def _count_lost(self) -> None:
        there = {seq for (seq,) in self._conn.execute("SELECT seq FROM punches")}
        # Damage makes numbers as well: one far beyond all others was never given.
        sure = max(self._vouched_numbers(), default=0)
        believed = sure + _NUMBERS_AHEAD
        there = {seq for seq in there if seq <= believed}
        self._expected = {seq for seq in self._expected if 0 < seq <= believed}
        self._gone = {seq for seq in self._gone if 0 < seq <= believed}
        lost = [(seq, f"number {seq}") for seq in self._expected - there]
        if not self._chain_whole and self._report.copy_lines_unreadable and there:
            # Nothing is left that says what they were; but numbers are given one after the other.
            known = there | self._expected | self._gone
            first = 1 if min(known) <= _FIRST_NUMBERS else min(known)  # those before were pruned long ago
            unknown = set(range(first, max(known))) - known
            lost += [(seq, f"number {seq} (unless it was pruned)") for seq in unknown]
        # Each later line of the copy says how far the chain reached when it was written.
        beyond = max(there, default=0) + 1
        tail = range(self._last_link + 1, self._copy_reach + 1)
        lost += [(beyond, f"what link {link} stood for, a punch or a kept tap") for link in tail]
        total = len(lost)
        if self._wreck.why:  # marks are all that tells of punches whose own line is damaged
            ids = {punch_id for (punch_id,) in self._conn.execute("SELECT id FROM punches")}
            # Their numbers are among the above, as far as anything tells of them.
            marks = [(0, f"{one} (its end is known)")
                     for one, told in self._standing.items() if told["is"] == "mark" and one not in ids]  # fmt: skip
            lost, total = marks + lost, max(total, len(marks))
        for _, words in sorted(lost):
            _add(self._report.lost, words)
        self._report.lost_total += total

    def _vouched_numbers(self) -> Iterator[int]:
        """The numbers of punches that something vouches for."""
        for seq, punch_id in self._conn.execute("SELECT seq, id FROM punches"):
            if punch_id not in self._altered:
                yield seq

    def _insert(self, table: str, columns: Any, values: Any, *, replace: bool = False, count: bool = True) -> bool:
        """Insert a row where it makes sense to the schema; what is there already stays, unless it is to be replaced."""
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        before = self._conn.total_changes
        try:
            self._conn.execute(f"INSERT OR {'REPLACE' if replace else 'IGNORE'} INTO {table} ({names}) "
                               f"VALUES ({marks})", list(values))  # fmt: skip
        except (sqlite3.Error, UnicodeError, OverflowError):
            done = False
        else:
            done = self._conn.total_changes > before
        self._report.rows_refused += not done and count and table != "taps"
        return done

    def _count(self, statement: str) -> int:
        return int(self._conn.execute(statement).fetchone()[0])


def recall(conn: sqlite3.Connection, marks: list[Record], seen: Seen) -> None:
    """The copy says of these punches that they are finished, the database has forgotten it.

    A mark of a delivery is believed: it is written when the delivery has been proven and stored, its line has a
    checksum, and nothing comes after a delivery that a database could know better. To look it up instead would send it
    again where a manager has changed or deleted its shift since. So is a mark of a decision not to send. One that does
    not say what the delivery was recorded as is looked up.
    """
    conn.execute("BEGIN IMMEDIATE")
    try:
        out = {attempt for mark in marks if (attempt := _recall(conn, mark, seen)) is not None}
        for attempt in sorted(out):
            if not conn.execute(_STILL_OUT, (attempt,)).fetchone()[0]:
                end_attempt(conn, attempt, "recalled", at=seen.wall_s if seen.known else marks[-1]["at"])
        conn.execute("COMMIT")
    except BaseException:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        raise


#: Of a pair, one may be recalled and the other still be in doubt.
_STILL_OUT: Final = """
    SELECT EXISTS (SELECT 1 FROM attempts a JOIN deliveries d ON d.punch_seq IN (a.punch_seq, a.pair_seq)
                   WHERE a.id = ? AND d.attempt_id = a.id AND d.state NOT IN ('delivered', 'discarded'))"""


def _recall(conn: sqlite3.Connection, mark: Record, seen: Seen) -> int | None:
    """Carry one mark out; the request of that punch whose outcome the database did not know, if there was one."""
    row = conn.execute(
        "SELECT p.user_id, p.occurred_at, p.direction, p.job_id, d.state, a.id FROM punches p JOIN deliveries d ON "
        "d.punch_seq = p.seq LEFT JOIN attempts a ON a.id = d.attempt_id AND a.ended_at IS NULL WHERE p.id = ?",
        (mark["id"],),
    ).fetchone()
    if row is None or row[4] in _FINISHED:
        return None
    *punch, state, out = row
    at, detail, remote_id = seen.wall_s if seen.known else mark["at"], mark.get("detail"), mark.get("remote_id")
    if mark["state"] == "discarded":
        if state == "in_flight":  # its outcome was known when that was decided
            set_state(conn, mark["id"], PunchState.REVIEW, at=at, reason="outcome_unclear")
        set_state(conn, mark["id"], PunchState.DISCARDED, at=at, reason=mark.get("reason"), detail=detail)
    elif mark.get("recorded_as") in tuple(RecordedAs):
        as_ = RecordedAs(mark["recorded_as"])
        set_state(conn, mark["id"], PunchState.DELIVERED, at=at, detail=detail, remote_id=remote_id, recorded_as=as_)
    elif out is None and punch[2] is not None:
        kind, step = doubtful_step(*punch)
        begin_attempt(conn, kind, step, [mark["id"]], max(punch[1], at), detail=SALVAGED)
    journal(conn, at, "automatic", "delivery.recalled", mark["id"], {"copy": mark["state"]})
    return None if out is None else int(out)


def _stands(record: Record) -> Record:
    """Where a line of the copy says that a punch stands; not the rest of it, which would fill a small machine."""
    return {name: record[name] for name in _STANDS if name in record}


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _add(names: list[str], name: str) -> None:
    if len(names) < NAMED_MAX:
        names.append(name)


def _listed(names: list[str], total: int) -> str:
    return ", ".join(names[:20]) + (f" and {total - 20} more" if total > 20 else "")


def _hex(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else ""


def _is_text(values: tuple[Any, ...]) -> bool:
    """Whether what should be text still is."""
    try:
        return bool("".join(value for value in values if isinstance(value, str)).encode())
    except UnicodeEncodeError:
        return False


def _plain(value: Any) -> str:
    return str(value).encode("utf-8", "replace").decode()
