"""Filling a new database with what is intact in a damaged one and in its copy.

What a chain vouches for is believed, newer before older; a punch that is not as it was stored, and that the copy has no
better, is kept for a person to see. Where each punch stands then: resuming.py; what is lost: losses.py.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from daemon.queue import chain
from daemon.queue.chain import PUNCH_FACTS
from daemon.queue.copying import read_all
from daemon.queue.draft import Draft, is_text
from daemon.queue.lines import Record
from daemon.queue.losses import Losses
from daemon.queue.records import plain
from daemon.queue.resuming import Deliveries
from daemon.queue.salvaged import REPORT, Salvage, Seen, add
from daemon.queue.salvaged_taps import Taps
from daemon.queue.wreck import Wreck

#: What is of one opening of one file, not of its content.
_NOT_SETTINGS: Final = frozenset({"database.running", "chain.adopted", "copy.stale", REPORT})

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
_NUMBERED: Final = {
    "journal": ("id", "at", "by", "action", "punch_id", "data"),
    "attempts": _ATTEMPT,
}
_COPY_TABLES: Final = {"employee": "employees", "badge": "badges"}


class Builder:
    """Fills a new database inside one transaction; its triggers are away meanwhile, its references unchecked."""

    def __init__(self, conn: sqlite3.Connection, wreck: Wreck, copy: Path | None, report: Salvage, seen: Seen) -> None:
        self._conn, self._wreck, self._copy = conn, wreck, copy
        self._report, self._seen = report, seen
        self._draft = Draft(conn, report)
        self._losses = Losses(self._draft, wreck, report)
        self._losses.read_chain()
        self._taps = Taps(self._draft, wreck, report, self._losses.tap_links())
        #: Of each punch in the new database: the link it was taken from (what is newer, counts).
        self._links: dict[str, int] = {}
        self._altered: dict[str, tuple[Any, ...]] = {}
        #: The links of those.
        self._altered_links: dict[str, Any] = {}
        self._standing: dict[str, Record] = {}
        self._copy_head: tuple[int, str] | None = None
        self._copy_reach = 0

    def build(self) -> None:
        """Everything, in order."""
        triggers = self._conn.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            self._conn.execute(f"DROP TRIGGER {name}")
        self._read_wreck()
        self._read_copy()
        self._keep_altered()
        self._taps.name_altered()
        self._name_people()
        deliveries = Deliveries(self._draft, self._wreck, self._report, self._seen, self._standing, self._altered)
        deliveries.place_all(self._copy_head)
        self._losses.name(self._links, self._altered, self._taps, self._standing, self._copy_reach)
        for _, sql in triggers:
            self._conn.execute(sql)
        chain.link_all(self._conn, "salvaged")
        report, count = self._report, self._draft.count
        report.punches = count("SELECT count(*) FROM punches")
        report.kept_taps = count("SELECT count(*) FROM taps WHERE result = 'unknown_badge' AND punch_id IS NULL")
        report.database_unreadable = self._wreck.why
        report.places_unreadable = dict(self._wreck.unreadable)

    # --- from the damaged database

    def _read_wreck(self) -> None:
        for table, (key, columns) in _SMALL.items():
            for row in self._wreck.named(table, key, columns):
                if table != "settings" or row[0] not in _NOT_SETTINGS:
                    self._draft.insert(table, columns, row)
        self._taps.read_wreck()
        for table, columns in _NUMBERED.items():
            for row in self._wreck.numbered(table, "id", columns):
                self._draft.insert(table, columns, row)
        for row in self._wreck.numbered("punches", "seq", (*PUNCH_FACTS, "link")):
            facts, link = row[:-1], row[-1]
            if not isinstance(facts[0], str):
                continue
            # Of a database without a chain every punch that makes sense is believed.
            if link is None or self._wreck.vouches(link, facts):
                self._put_punch(facts, link)
            else:
                self._altered[facts[0]], self._altered_links[facts[0]] = facts, link
                self._losses.note_link(link)
        self._losses.read_deliveries()

    # --- from the copy

    def _read_copy(self) -> None:
        for record in self._copy_records():
            kind = record["is"]
            # Each line says how far the chain had come when it was written. The last one has the word: a number that
            # damage had made was written as well, and was none of those that later lines name.
            self._copy_reach = record["n"]
            if kind in ("punch", "tap"):
                self._copy_head = (record["n"], record["hash"])
                self._losses.note_link(record["n"])
            if kind == "punch":
                self._take_punch(record)
            elif kind == "tap":
                self._taps.take(record)
            elif kind == "mark":
                self._standing[record["id"]] = _stands(record)
        # Who is newer, where both have somebody: the copy, unless it had stopped following.
        last = self._wreck.one("SELECT max(id) FROM chain")
        self._losses.last_link = max(self._losses.last_link, 0 if self._copy_head is None else self._copy_head[0])
        if last is None or last[0] is None or self._copy_reach >= last[0]:
            for record in self._copy_records(count=False):
                if record["is"] in _COPY_TABLES:
                    row = record[record["is"]]
                    self._draft.insert(_COPY_TABLES[record["is"]], tuple(row), list(row.values()), replace=True)
        else:
            for record in self._copy_records(count=False):
                if record["is"] in _COPY_TABLES:
                    row = record[record["is"]]
                    self._draft.insert(_COPY_TABLES[record["is"]], tuple(row), list(row.values()), count=False)

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
            named["seq"] = self._draft.count("SELECT max(seq) + 1 FROM punches")
        self._conn.execute("DELETE FROM punches WHERE id = ?", (named["id"],))
        if named["tap_id"] is not None:
            named["tap_id"] = self._taps.number_of(named)
        if not self._draft.insert("punches", tuple(named), list(named.values())):
            return
        self._links[named["id"]] = link or 0
        if named["tap_id"] is not None:
            self._taps.claim(named)

    def _keep_altered(self) -> None:
        """What nothing vouches for any more, as it was found: a person sees it before it goes anywhere."""
        self._altered = {one: facts for one, facts in self._altered.items() if not self._has_whole(one)}
        for punch_id, facts in self._altered.items():
            if is_text(facts):
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


def _stands(record: Record) -> Record:
    """Where a line of the copy says that a punch stands; not the rest of it, which would fill a small machine."""
    return {name: record[name] for name in _STANDS if name in record}
