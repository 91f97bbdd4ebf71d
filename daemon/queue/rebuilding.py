"""Filling a new database with what is intact in a damaged one and in its copy; and counting what neither has.

A punch whose delivery is not known to be settled enters as `in_flight`, with an attempt of unknown outcome: what the
timesheet shows decides, nothing is sent blindly. One whose time or direction is missing waits for it and is looked up
then; one that is not as it was stored goes to review.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from daemon.model import PunchState
from daemon.queue import chain
from daemon.queue.chain import PUNCH_FACTS, TAP_FACTS
from daemon.queue.copying import read_all
from daemon.queue.deliveries import SALVAGED, doubtful_step
from daemon.queue.lines import Record
from daemon.queue.records import plain
from daemon.queue.salvaged import REPORT, Salvage, Seen, add
from daemon.queue.wreck import Wreck

#: So many punches may be lost behind the last that is left.
_NUMBERS_AHEAD: Final = 10_000
#: A database whose punches begin with a number up to this has probably pruned none yet.
_FIRST_NUMBERS: Final = 100
_FINISHED: Final = ("delivered", "discarded")
_STATES: Final = frozenset(PunchState)
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


class Builder:
    """Fills a new database inside one transaction; its triggers are away meanwhile, its references unchecked."""

    def __init__(self, conn: sqlite3.Connection, wreck: Wreck, copy: Path | None, report: Salvage, seen: Seen) -> None:
        self._conn, self._wreck, self._copy = conn, wreck, copy
        self._report, self._seen, self._now = report, seen, seen.wall_s
        #: Of each punch in the new database: the link it was taken from (what is newer, counts).
        self._links: dict[str, int] = {}
        self._altered: dict[str, tuple[Any, ...]] = {}
        #: The links of those.
        self._altered_links: dict[str, Any] = {}
        self._expected: set[int] = set()
        #: Links that nothing vouches for, and the numbers they name.
        self._doubtful: list[tuple[int, int]] = []
        #: The numbers that deliveries name, and the places in their lanes.
        self._deliveries: list[tuple[int, tuple[Any, Any]]] = []
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
                self._altered[facts[0]], self._altered_links[facts[0]] = facts, link
        self._read_chain()
        # A delivery goes only with its punch: each that is left tells of one there must be.
        for seq, user_id, order_at, state in self._wreck.numbered(
                "deliveries", "punch_seq", ("punch_seq", "user_id", "order_at", "state")):  # fmt: skip
            # A damaged page makes rows that never were: a number, and behind it whatever lies there.
            if (isinstance(user_id, str), isinstance(order_at, float), state in _STATES).count(True) >= 2:
                self._deliveries.append((seq, (user_id, order_at)))

    def _read_chain(self) -> None:
        """Which punches there must be; and whether the chain that says so is whole itself."""
        last: tuple[int, bytes] | None = None
        for row in self._wreck.numbered("chain", "id", _LINK):
            link_id, kind, why, row_id, digest, hashed, gone = row
            if not (isinstance(hashed, bytes) and isinstance(row_id, int | None)):
                self._chain_whole = False
                continue
            right = last is not None and last[0] == link_id - 1 and hashed == chain.hashed(
                last[1], link_id, kind, why, row_id or 0, digest)  # fmt: skip
            if kind == "punch" and row_id is not None:
                if gone is not None:
                    self._gone.add(row_id)
                elif right:
                    self._expected.add(row_id)
                else:
                    self._doubtful.append((link_id, row_id))
            if kind != "origin" and gone is None:
                self._chain_whole &= right
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
            # Each line says how far the chain had come when it was written. The last one has the word: a number that
            # damage had made was written as well, and was none of those that later lines name.
            self._copy_reach = record["n"]
            if kind in ("punch", "tap"):
                self._copy_head = (record["n"], record["hash"])
            if kind == "punch":
                self._take_punch(record)
            elif kind == "tap":
                self._insert("taps", TAP_FACTS, [record["tap"].get(name) for name in TAP_FACTS])
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
        self._altered = {one: facts for one, facts in self._altered.items() if not self._has_whole(one)}
        for punch_id, facts in self._altered.items():
            if _is_text(facts):
                self._put_punch(facts, None)
            words = f"{plain(punch_id)} of {plain(facts[3])}"
            if punch_id not in self._links:
                add(self._report.lost, words)
                self._report.lost_total += 1
                continue
            add(self._report.altered, words)
            self._report.altered_total += 1

    def _has_whole(self, punch_id: str) -> bool:
        """Whether an altered row is of a punch that is there as it was stored: damage may have changed its id, into
        nobody's or into that of another punch."""
        if punch_id in self._links:
            return True
        link, seq = self._altered_links[punch_id], self._altered[punch_id][1]
        holder = self._conn.execute("SELECT id FROM punches WHERE seq = ?", (seq,)).fetchone()
        return holder is not None and link is not None and self._links.get(holder[0]) == link

    def _name_people(self) -> None:
        missing = self._conn.execute(
            "SELECT DISTINCT user_id FROM punches UNION SELECT user_id FROM badges WHERE user_id IS NOT NULL "
            "EXCEPT SELECT user_id FROM employees ORDER BY user_id").fetchall()  # fmt: skip
        for (user_id,) in missing:
            self._conn.execute("INSERT INTO employees (user_id, name) VALUES (?, ?)", (user_id, "(name lost)"))
            add(self._report.nameless, str(user_id))

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
        taken = set(self._links.values())  # such a link's punch is there, whatever number damage has made of it
        self._expected |= {seq for link, seq in self._doubtful if link not in taken}
        places = set(self._conn.execute("SELECT user_id, order_at FROM punches"))  # no two punches share one
        self._expected |= {seq for seq, place in self._deliveries if place not in places}
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
            add(self._report.lost, words)
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


def _stands(record: Record) -> Record:
    """Where a line of the copy says that a punch stands; not the rest of it, which would fill a small machine."""
    return {name: record[name] for name in _STANDS if name in record}


def _hex(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else ""


def _is_text(values: tuple[Any, ...]) -> bool:
    """Whether what should be text still is."""
    try:
        return bool("".join(value for value in values if isinstance(value, str)).encode())
    except UnicodeEncodeError:
        return False
