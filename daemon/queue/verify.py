"""Does what is stored still agree with its chain? Page by page, reading only.

Each link is held against the one before it, and each row against its link; what does not agree is named. A row that was
pruned or erased on request left its link behind as a hash alone, which is why it went included.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from daemon.errors import StorageError
from daemon.model import PunchState, RecordedAs
from daemon.queue import chain
from daemon.queue.chain import PUNCH_FACTS, TAP_FACTS
from daemon.queue.records import plain

#: Rows read in one hop: few enough that a tap's commit never waits long for it.
PAGE: Final = 500
#: Whoever reads the report learns nothing from more.
NAMED_MAX: Final = 1000

_LINKS = f"""
    SELECT c.id, c.kind, c.why, c.row_id, c.salt, c.digest, c.hash, c.gone, p.link, t.link,
        {", ".join(f"p.{name}" for name in PUNCH_FACTS)}, {", ".join(f"t.{name}" for name in TAP_FACTS)}
    FROM chain c LEFT JOIN punches p ON c.kind = 'punch' AND c.gone IS NULL AND p.seq = c.row_id
    LEFT JOIN taps t ON c.kind = 'tap' AND c.gone IS NULL AND t.id = c.row_id
    WHERE c.id > ? ORDER BY c.id LIMIT ?"""
_END = "SELECT id, kind, why, row_id, digest, hash, gone FROM chain ORDER BY id DESC LIMIT 2"
_LOOSE = """
    SELECT p.seq, p.id, p.user_id, p.occurred_at, c.id FROM punches p
    LEFT JOIN chain c ON c.id = p.link AND c.kind = 'punch' AND c.row_id = p.seq AND c.gone IS NULL
    WHERE p.seq > ? ORDER BY p.seq LIMIT ?"""
_UNFINISHED = f"""
    SELECT {", ".join(f"p.{name}" for name in PUNCH_FACTS)}, d.state, c.salt, c.digest
    FROM deliveries d INDEXED BY deliveries_unfinished CROSS JOIN punches p ON p.seq = d.punch_seq
    JOIN chain c ON c.id = p.link
    WHERE d.state NOT IN ('delivered', 'discarded') AND c.gone IS NULL AND p.seq > ? ORDER BY p.seq LIMIT ?"""

_STATES: Final = frozenset(PunchState)
_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name"
_UNKNOWN_WORDS = f"""
    SELECT coalesce(p.id, d.punch_seq), iif(d.state IN {tuple(map(str, PunchState))}, d.recorded_as, d.state)
    FROM deliveries d LEFT JOIN punches p ON p.seq = d.punch_seq
    WHERE d.state NOT IN {tuple(map(str, PunchState))} OR d.recorded_as NOT IN {tuple(map(str, RecordedAs))} LIMIT ?"""
#: What can be wrong, in words.
WRONG: Final = {
    "changed": "it is not as it was stored",
    "missing": "it was stored and is gone, without having been pruned",
    "unlinked": "nothing shows that punchd stored it",
    "link": "its link in the chain is damaged, so that nothing vouches for it",
}


@dataclass(frozen=True, slots=True)
class Wrong:
    """One thing that does not verify. `what` is a word of WRONG; the rest as far as it is known."""

    what: str
    link: int | None
    kind: str
    punch: str | None = None
    user_id: str | None = None
    at: float | None = None

    def document(self) -> dict[str, Any]:
        """As it is shown with --json."""
        return {"what": self.what, "kind": self.kind, "id": self.punch, "user_id": self.user_id, "at": iso(self.at),
                "link": self.link}  # fmt: skip


@dataclass
class Verification:
    """A walk along the chain. Call `page` with a connection, which may be another one each time, until it says no."""

    links: int = 0
    punches: int = 0
    taps: int = 0
    adopted: int = 0
    erased: int = 0
    salvaged: int = 0
    wrong: list[Wrong] = field(default_factory=list)
    wrong_total: int = 0
    #: The first link that does not follow from the one before it, and when what stands there happened.
    broken_link: int | None = None
    broken_since: float | None = None
    head: str = ""
    _last: tuple[int, bytes] = (0, b"")
    _last_at: float | None = None
    _seq: int = 0
    _walked: bool = False

    @property
    def sound(self) -> bool:
        """Whether everything verified, as far as was looked."""
        return self.wrong_total == 0 and self.broken_link is None

    def page(self, conn: sqlite3.Connection, size: int = PAGE) -> bool:
        """Look at the next rows; whether there may be more. Raises sqlite3.DatabaseError where they cannot be read."""
        with chain.as_it_stands(conn):
            return self._page(conn, size)

    def _page(self, conn: sqlite3.Connection, size: int) -> bool:
        if not self._walked:
            rows = conn.execute(_LINKS, (self._last[0], size)).fetchall()
            for row in rows:
                self._link(row)
            if len(rows) == size:
                return True
            last = self._last[1]
            self._walked, self.head = True, last.hex() if isinstance(last, bytes) else ""
            if not self.links:
                self._break(None, None)  # not even an origin
            return True
        rows = conn.execute(_LOOSE, (self._seq, size)).fetchall()
        for seq, punch_id, user_id, at, link in rows:
            self._seq = seq
            if link is None:
                self._name(Wrong("unlinked", None, "punch", _said(punch_id), _said(user_id), at))
        return len(rows) == size

    def _link(self, row: tuple[Any, ...]) -> None:
        link_id, kind, why, row_id, salt, digested, hashed, gone, of_punch, of_tap = row[:10]
        before_id, before = self._last
        self.links, self._last = self.links + 1, (link_id, hashed)
        if kind == "origin" or gone is not None:
            if before_id == 0 and kind != "origin":
                self._break(link_id, None)
            self.erased += gone == "erased"
            return
        facts = row[10 : 10 + len(PUNCH_FACTS)] if kind == "punch" else row[10 + len(PUNCH_FACTS) :]
        at = self._count(kind, why, facts)
        follows = link_id == before_id + 1 and hashed == chain.hashed(before, link_id, kind, why, row_id, digested)
        if not follows:
            self._break(link_id, at)
        current = (of_punch if kind == "punch" else of_tap) == link_id
        if current and chain.digest(salt, facts) == digested:
            return
        if kind == "punch" and facts[0] is not None:
            self._name(Wrong("changed" if follows else "link", link_id, kind, _said(facts[0]), _said(facts[3]), at))
        elif kind == "tap" and facts[0] is not None:
            self._name(Wrong("changed" if follows else "link", link_id, kind, _said(facts[0]), None, at))
        else:
            self._name(Wrong("missing", link_id, kind, None if kind == "punch" else _said(row_id), None, self._last_at))

    def _count(self, kind: str, why: str, facts: tuple[Any, ...]) -> float | None:
        self.punches += kind == "punch"
        self.taps += kind == "tap"
        self.adopted += why == "adopted"
        self.salvaged += why == "salvaged"
        at = facts[PUNCH_FACTS.index("occurred_at") if kind == "punch" else TAP_FACTS.index("raw_at")]
        self._last_at = at if isinstance(at, float) else self._last_at
        return at if isinstance(at, float) else None

    def _break(self, link_id: int | None, at: float | None) -> None:
        if self.broken_link is None:
            self.broken_link = link_id or 0
            self.broken_since = at if at is not None else self._last_at

    def _name(self, wrong: Wrong) -> None:
        self.wrong_total += 1
        if len(self.wrong) < NAMED_MAX:
            self.wrong.append(wrong)

    def document(self) -> dict[str, Any]:
        """As it is shown with --json."""
        return {
            "sound": self.sound,
            "links": self.links,
            "punches": self.punches,
            "kept_taps": self.taps,
            "adopted": self.adopted,
            "salvaged": self.salvaged,
            "broken_since": iso(self.broken_since),
            "broken_link": self.broken_link,
            "wrong_total": self.wrong_total,
            "wrong": [one.document() for one in self.wrong],
            "head": self.head,
        }

    def findings(self, most: int) -> list[str]:
        """What is wrong, in sentences, at most so many."""
        said = [
            f"{plain(one.kind)} {one.punch or f'of link {one.link}'}"
            + (f" of {one.user_id}" if one.user_id else "")
            + (f", {iso(one.at)}" if one.at is not None else "")
            + f": {WRONG[one.what]}"
            for one in self.wrong[:most]
        ]
        if self.broken_link is not None:
            since = iso(self.broken_since)
            said.append(f"the chain is broken at link {self.broken_link}{f', since {since}' if since else ''}")
        return said[:most]


def verify(conn: sqlite3.Connection) -> Verification:
    """All at once, for a database nobody else uses. Raises StorageError where it has no chain yet."""
    if not chain.has_chain(conn):
        raise StorageError("cannot verify: an older version wrote this database; start the service once, it links it")
    verification = Verification()
    while verification.page(conn):
        pass
    return verification


def altered_unfinished(conn: sqlite3.Connection) -> list[str]:
    """Ids of punches that are still to be delivered and are not as they were stored. Costs what is unfinished."""
    found: list[str] = []
    seq = 0
    with chain.as_it_stands(conn):
        while rows := conn.execute(_UNFINISHED, (seq, PAGE)).fetchall():
            found += [plain(row[0]) for row in rows
                      if chain.digest(row[-2], row[:-3]) != row[-1] or row[-3] not in _STATES]  # fmt: skip
            seq = rows[-1][1]
    return found


def end_follows(conn: sqlite3.Connection) -> bool:
    """Whether the last link follows from the one before it: what comes next is numbered and linked after it."""
    with chain.as_it_stands(conn):
        rows = conn.execute(_END).fetchall()
    if not rows:
        return False
    link_id, kind, why, row_id, digested, hashed, gone = rows[0]
    if kind == "origin" or gone is not None:
        return True
    before_id, before = (rows[1][0], rows[1][5]) if len(rows) > 1 else (0, b"")
    right = chain.hashed(before, link_id, kind, why, row_id, digested) if before_id == link_id - 1 else b""
    return right != b"" and bool(hashed == right)


def unreadable(conn: sqlite3.Connection) -> list[str]:
    """Tables with text that is none any more: whoever reads that row gets an error, and SQLite's own check none."""
    found = []
    for (table,) in conn.execute(_TABLES).fetchall():
        if not isinstance(table, str):
            found.append(f"the table {plain(table)} has a name that is no text")
            continue
        quoted = table.replace('"', '""')
        try:
            for _ in conn.execute(f'SELECT * FROM "{quoted}"'):
                pass
        except (sqlite3.OperationalError, UnicodeDecodeError) as error:
            if not (isinstance(error, UnicodeDecodeError) or str(error).startswith("Could not decode")):
                raise
            found.append(f"{table} holds text that is none")
    return found


def unknown_words(conn: sqlite3.Connection, most: int) -> list[str]:
    """Deliveries whose state, or what they were recorded as, is no word of ours: no digest vouches for these."""
    with chain.as_it_stands(conn):
        rows = conn.execute(_UNKNOWN_WORDS, (most,)).fetchall()
    return [f"the delivery of punch {plain(punch)} says {plain(word)!r}" for punch, word in rows]


def _said(value: object) -> str | None:
    return None if value is None else plain(value)


def iso(at: float | None) -> str | None:
    """An instant as text; None where it is not known, or no date at all."""
    try:
        return None if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (OverflowError, TypeError, ValueError, OSError):
        return None
