"""The chain of digests by which silent change shows: one link a punch, and one a kept tap of an unknown badge.

A link holds the digest of a random salt and the row's facts, and a hash of itself with the link before it. What is
filled in later (a time, a direction) makes a new link, and so does erasing a badge on request; the link it replaces
is *gone*: its digest and salt are thrown away, its hash stays. Rows that are gone are merged, so that the chain does
not outgrow what it vouches for.

Not a signature: who can write the whole file can make a chain for it. Plain functions on an open connection; they
never commit.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from daemon.queue.records import DamagedRowError, get_setting, put_setting

#: Rows that were there before the chain are linked so many in a transaction.
ADOPT_STEP: Final = 5000
_ADOPTED = "chain.adopted"

#: What never changes of a punch. `order_at` is a fact only once the time is known: until then others push it about.
PUNCH_FACTS: Final = (
    "id", "seq", "tap_id", "user_id", "direction", "occurred_at", "raw_at", "time_error_s", "time_known", "order_at",
    "boot_id", "boottime_s", "synchronised", "reader", "badge", "source", "job_id",
)  # fmt: skip
TAP_FACTS: Final = (
    "id", "reader", "badge", "raw_at", "boottime_s", "boot_id", "synchronised", "stated_at", "result", "reason", "way",
)  # fmt: skip
#: Stored as REAL: 5 comes back as 5.0.
_REAL: Final = frozenset({"occurred_at", "raw_at", "time_error_s", "order_at", "boottime_s", "stated_at"})
_REAL_AT: Final = {
    len(names): frozenset(names.index(name) for name in names if name in _REAL) for names in (PUNCH_FACTS, TAP_FACTS)
}
_TIME_KNOWN, _ORDER = PUNCH_FACTS.index("time_known"), PUNCH_FACTS.index("order_at")

_PUNCH = f"SELECT {', '.join(PUNCH_FACTS)} FROM punches WHERE seq = ?"
_TAP = f"SELECT {', '.join(TAP_FACTS)} FROM taps WHERE id = ?"
_LINKED_TAP = f"""
    SELECT {", ".join(f"t.{name}" for name in TAP_FACTS)}, t.link, c.salt, c.digest
    FROM taps t LEFT JOIN chain c ON c.id = t.link AND c.gone IS NULL WHERE t.id = ?"""
_HEAD = "SELECT id, hash FROM chain ORDER BY id DESC LIMIT 1"
_ORIGIN = "SELECT hash FROM chain WHERE id = 1"
_HASHES = "SELECT id, hash FROM chain WHERE id BETWEEN ? AND ?"
_APPEND = "INSERT INTO chain (id, kind, why, row_id, salt, digest, hash) VALUES (?, ?, ?, ?, ?, ?, ?)"
_SET_LINK = {
    "punch": "UPDATE punches SET link = ? WHERE seq = ?",
    "tap": "UPDATE taps SET link = ? WHERE id = ?",
}
_LINK_OF = {"punch": "SELECT link FROM punches WHERE seq = ?", "tap": "SELECT link FROM taps WHERE id = ?"}
_LET_GO = "UPDATE chain SET gone = ?, salt = NULL, digest = NULL WHERE id = ? AND gone IS NULL"
_MERGE_BEFORE = "DELETE FROM chain WHERE id = ? AND gone IS NOT NULL"
_MERGE_INTO_NEXT = """
    DELETE FROM chain WHERE id = :id AND gone IS NOT NULL
      AND EXISTS (SELECT 1 FROM chain WHERE id = :id + 1 AND gone IS NOT NULL)"""
_UNLINKED_PUNCHES = f"SELECT {', '.join(PUNCH_FACTS)} FROM punches WHERE seq > ? ORDER BY seq LIMIT ?"
_UNLINKED_TAPS = f"""
    SELECT {", ".join(TAP_FACTS)} FROM taps WHERE result = 'unknown_badge' AND punch_id IS NULL AND link IS NULL
    ORDER BY id"""
_LINKS_OF_PERSON = "SELECT seq FROM punches WHERE user_id = ? AND badge IS NOT NULL ORDER BY seq"


def link_punch(conn: sqlite3.Connection, seq: int, why: str = "stored") -> None:
    """Link a punch as it stands now; its link before is gone."""
    _relink(conn, "punch", conn.execute(_PUNCH, (seq,)).fetchone(), seq, why)


def link_tap(conn: sqlite3.Connection, tap_id: int, why: str = "stored") -> None:
    """Link a tap as it stands now; its link before is gone."""
    _relink(conn, "tap", conn.execute(_TAP, (tap_id,)).fetchone(), tap_id, why)


def vouches_for_tap(conn: sqlite3.Connection, tap_id: int) -> bool:
    """Whether a kept tap is as it was stored; one that has no link yet, where older ones are still being linked, is."""
    with as_it_stands(conn):
        *facts, link, salt, digested = conn.execute(_LINKED_TAP, (tap_id,)).fetchone()
    if link is None:
        return is_adopting(conn)
    return salt is not None and digest(salt, facts) == digested


def append(
    conn: sqlite3.Connection, last: tuple[int, bytes], kind: str, row_id: int, facts: Sequence[Any], why: str = "stored"
) -> None:
    """Link a row that was just stored with the id after `last` (what `head` said) as its link."""
    conn.execute(_APPEND, _link(last[1], last[0] + 1, kind, why, row_id, facts))


def let_go(conn: sqlite3.Connection, kind: str, row_id: int, gone: str) -> None:
    """The row is about to be deleted for a recorded reason: its link stays as a hash alone."""
    (link,) = conn.execute(_LINK_OF[kind], (row_id,)).fetchone() or (None,)
    if link is not None:
        _drop(conn, link, gone)


def badge_links(conn: sqlite3.Connection, user_id: str) -> list[int]:
    """The punches of a person (seq) that hold a badge: erasing it makes a new link of each."""
    return [seq for (seq,) in conn.execute(_LINKS_OF_PERSON, (user_id,))]


def head(conn: sqlite3.Connection) -> tuple[int, bytes]:
    """The last link's id and hash. Raises DamagedRowError where it has none."""
    link_id, hashed = conn.execute(_HEAD).fetchone() or (0, None)
    return int(link_id), _whole(hashed)


def has_chain(conn: sqlite3.Connection) -> bool:
    """Whether this database has a chain, and all of it is linked: an older version's has not."""
    there = conn.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'chain'").fetchone()[0]
    return bool(there) and not is_adopting(conn)


def origin(conn: sqlite3.Connection) -> bytes:
    """The chain's first hash: random, so that two databases never share it. Raises DamagedRowError."""
    (hashed,) = conn.execute(_ORIGIN).fetchone() or (None,)
    return _whole(hashed)


def hashes(conn: sqlite3.Connection, first: int, last: int) -> dict[int, str]:
    """The hashes of links, by their ids; "" where one has none any more."""
    rows = conn.execute(_HASHES, (first, last)).fetchall()
    return {link_id: hashed.hex() if isinstance(hashed, bytes) else "" for link_id, hashed in rows}


def is_adopting(conn: sqlite3.Connection) -> bool:
    """Whether something stored before there was a chain may still lack its link."""
    return get_setting(conn, _ADOPTED) is not None


def link_all(conn: sqlite3.Connection, why: str) -> None:
    """Link everything in a database whose chain holds nothing yet."""
    put_setting(conn, _ADOPTED, "0")
    while is_adopting(conn):
        adopt_step(conn, why=why)


def adopt_step(conn: sqlite3.Connection, limit: int = ADOPT_STEP, why: str = "adopted") -> None:
    """Link the next of what was stored before there was a chain."""
    rows = conn.execute(_UNLINKED_PUNCHES, (int(get_setting(conn, _ADOPTED) or 0), limit)).fetchall()
    _append_all(conn, "punch", why, [(row[1], row) for row in rows])
    if rows:
        put_setting(conn, _ADOPTED, str(rows[-1][1]))
        return
    _append_all(conn, "tap", why, [(row[0], row) for row in conn.execute(_UNLINKED_TAPS).fetchall()])
    put_setting(conn, _ADOPTED, None)


@contextmanager
def as_it_stands(conn: sqlite3.Connection) -> Iterator[None]:
    """Read text that damage has made no text, too."""
    usual = conn.text_factory
    conn.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    try:
        yield
    finally:
        conn.text_factory = usual


def digest(salt: bytes, facts: Sequence[Any]) -> bytes:
    """Of a row's facts, in the order of PUNCH_FACTS or TAP_FACTS; of a salt that damage has made none, nothing."""
    if not isinstance(salt, bytes):
        return b""
    return hashlib.sha256(salt + json.dumps(_settled(facts), separators=(",", ":")).encode()).digest()


def hashed(before: bytes, link_id: int, kind: str, why: str, row_id: int, digested: bytes) -> bytes:
    """A link's own hash; where damage has taken what it is made of, nothing."""
    if not (isinstance(before, bytes) and isinstance(digested, bytes)):
        return b""
    named = f"{link_id}|{kind}|{why}|{row_id}".encode("utf-8", "surrogateescape")  # damage makes no text of them
    return hashlib.sha256(b"|".join((before, named, digested))).digest()


def _whole(hashed: Any) -> bytes:
    if not isinstance(hashed, bytes):
        raise DamagedRowError("the chain is damaged: a link has no hash")
    return hashed


def _settled(facts: Sequence[Any]) -> list[Any]:
    """The facts as SQLite gives them back, with what is none yet left out."""
    real = _REAL_AT[len(facts)]
    kept = [_plain(fact, real=place in real) for place, fact in enumerate(facts)]
    if len(facts) == len(PUNCH_FACTS) and not facts[_TIME_KNOWN]:
        kept[_ORDER] = None
    if len(facts) == len(TAP_FACTS) and facts[-1] is None:
        kept.pop()  # linked before there was a way, or of a tap that has none
    return kept


def _plain(fact: Any, *, real: bool) -> Any:
    if isinstance(fact, bytes):  # only damage puts them there
        return {"bytes": fact.hex()}
    if isinstance(fact, bool) or (real and isinstance(fact, int)):
        return float(fact) if real else int(fact)
    return fact


def _relink(conn: sqlite3.Connection, kind: str, facts: Sequence[Any], row_id: int, why: str) -> None:
    (old,) = conn.execute(_LINK_OF[kind], (row_id,)).fetchone()
    last = head(conn)
    append(conn, last, kind, row_id, facts, why)
    conn.execute(_SET_LINK[kind], (last[0] + 1, row_id))
    if old is not None:
        _drop(conn, old, why if why in ("settled", "erased") else "settled")


def _link(
    before: bytes, link_id: int, kind: str, why: str, row_id: int, facts: Sequence[Any]
) -> tuple[int, str, str, int, bytes, bytes, bytes]:
    # Chance that decides nothing: two runs of one history differ in their hashes and in nothing else.
    salt = os.urandom(16)
    digested = digest(salt, facts)
    return link_id, kind, why, row_id, salt, digested, hashed(before, link_id, kind, why, row_id, digested)


def _append_all(conn: sqlite3.Connection, kind: str, why: str, rows: Sequence[tuple[int, Sequence[Any]]]) -> None:
    link_id, before = head(conn)
    links, places = [], []
    for row_id, facts in rows:
        link_id += 1
        links.append(_link(before, link_id, kind, why, row_id, facts))
        places.append((link_id, row_id))
        before = links[-1][-1]
    conn.executemany(_APPEND, links)
    conn.executemany(_SET_LINK[kind], places)


def _drop(conn: sqlite3.Connection, link: int, gone: str) -> None:
    conn.execute(_LET_GO, (gone, link))
    conn.execute(_MERGE_BEFORE, (link - 1,))
    conn.execute(_MERGE_INTO_NEXT, {"id": link})
