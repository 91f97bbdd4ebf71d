"""A person's right to be forgotten: name and badges are erased, the hours worked stay. The only SQL that does so.

Taps, punches and journal lines are facts and cannot be changed; the permit `erase` (schema/0002_permits.sql) lets one
transaction blank the badges of one person's rows, and nothing else. What to blank is looked for before, a window of
rows at a time, because the tables grow for ever and no tap shall wait for a walk through them.

Plain functions on an open connection; they never commit.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from daemon.queue.chain import badge_links, let_go, link_punch, link_tap
from daemon.queue.records import from_json, to_json

#: Stands where a name was: the column is NOT NULL, and whoever reads it should not take it for one.
FORGOTTEN_NAME: Final = "(forgotten)"
#: Rows looked at in one visit to the database.
WINDOW: Final = 1000
#: What stays of a journal line about the person.
_KEPT_OF_LINES: Final = frozenset({"user_id", "job_id", "why"})

_BADGES = """
    SELECT badge FROM badges WHERE user_id = :user
    UNION SELECT badge FROM punches WHERE user_id = :user AND badge IS NOT NULL"""
_BADGE = "SELECT state, user_id, released_at FROM badges WHERE badge = ?"
_TAPS = """
    SELECT t.id, t.badge, t.result = 'unknown_badge' AND t.punch_id IS NULL,
           CASE WHEN b.trusted_offset_s IS NULL THEN t.raw_at ELSE t.boottime_s + b.trusted_offset_s END, p.user_id
    FROM taps t LEFT JOIN boots b ON b.boot_id = t.boot_id LEFT JOIN punches p ON p.id = t.punch_id
    WHERE t.id > ? ORDER BY t.id LIMIT ?"""
_JOURNAL = "SELECT id, data FROM journal WHERE id > ? ORDER BY id LIMIT ?"
_PERMITS = (
    "INSERT INTO permits (what, user_id) VALUES ('erase', :user)",
    "INSERT INTO permits (what, tap_max) SELECT 'drop_unclaimed', coalesce(max(id), 0) FROM taps",
)
_BLANK_TAPS_OF_PUNCHES = """
    UPDATE taps SET badge = '' WHERE badge <> '' AND id IN (SELECT tap_id FROM punches WHERE user_id = ?)
    RETURNING id, link"""
_BLANK_TAP = "UPDATE taps SET badge = '' WHERE id = ? AND badge <> '' RETURNING id, link"
_DELETE_TAP = "DELETE FROM taps WHERE id = ?"
_BLANK_PUNCHES = "UPDATE punches SET badge = NULL WHERE user_id = ? AND badge IS NOT NULL"
_BLANK_LINE = "UPDATE journal SET data = ? WHERE id = ?"
_FREE_BLOCKED = "UPDATE badges SET user_id = NULL WHERE user_id = ? AND state = 'blocked'"
_DELETE_BADGES = "DELETE FROM badges WHERE user_id = ?"  # the blocked ones are nobody's by then
_FORGET_NAME = "UPDATE employees SET name = ?, removed_at = ? WHERE user_id = ?"
_NO_PERMITS = "DELETE FROM permits WHERE what IN ('erase', 'drop_unclaimed')"
_KEPT = """
    SELECT count(*), sum(d.state NOT IN ('delivered', 'discarded'))
    FROM punches p INDEXED BY punches_by_lane CROSS JOIN deliveries d ON d.punch_seq = p.seq WHERE p.user_id = ?"""
_CHECKPOINT = "PRAGMA wal_checkpoint(TRUNCATE)"


@dataclass(frozen=True, slots=True)
class Traces:
    """Where a person is found, as far as the tables were walked.

    `badges` are all they ever punched with or had last, each with the time up to which an unclaimed tap of it is theirs
    (later ones are the next owner's). `blank` and `drop` are ids of taps, `lines` journal ids with what stays of them.
    """

    user_id: str
    badges: Mapping[str, float]
    blank: tuple[int, ...] = ()
    drop: tuple[int, ...] = ()
    lines: tuple[tuple[int, str], ...] = ()
    tap_seen: int = 0
    line_seen: int = 0
    complete: bool = False


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What an erasure did: badges, journal lines and taps that came to nothing; and what it kept."""

    badges: int
    journal_lines: int
    taps_deleted: int
    punches_kept: int
    undelivered: int
    blocked_badges_kept: int = field(default=0)


def begin(conn: sqlite3.Connection, user_id: str, now: float) -> Traces:
    """The person's badges."""
    badges = {}
    for (badge,) in conn.execute(_BADGES, {"user": user_id}).fetchall():
        state, owner, released_at = conn.execute(_BADGE, (badge,)).fetchone() or ("released", None, None)
        theirs_still = owner == user_id and state != "released"
        badges[badge] = now if theirs_still or released_at is None else released_at
    return Traces(user_id, badges)


def look_on(conn: sqlite3.Connection, traces: Traces, window: int = WINDOW) -> Traces:
    """Look at the next taps and journal lines."""
    taps = conn.execute(_TAPS, (traces.tap_seen, window)).fetchall()
    lines = conn.execute(_JOURNAL, (traces.line_seen, window)).fetchall()
    blank, drop = [], []
    for tap_id, badge, unclaimed, stored_at, owner in taps:
        if badge not in traces.badges:
            continue
        if owner == traces.user_id:
            blank.append(tap_id)
        elif owner is None and (not unclaimed or stored_at <= traces.badges[badge]):
            drop.append(tap_id)
    left = ((line_id, _without(data, traces)) for line_id, data in lines)
    return replace(
        traces,
        blank=(*traces.blank, *blank),
        drop=(*traces.drop, *drop),
        lines=(*traces.lines, *((line_id, data) for line_id, data in left if data is not None)),
        tap_seen=taps[-1][0] if taps else traces.tap_seen,
        line_seen=lines[-1][0] if lines else traces.line_seen,
        complete=len(taps) < window and len(lines) < window,
    )


def _without(text: str, traces: Traces) -> str | None:
    """The data of a journal line without the person's name and badges; None where there is nothing of theirs."""
    data = from_json(text)
    if "unreadable" in data:
        return to_json({})  # what is left of it may be theirs
    if data.get("user_id") == traces.user_id:
        left = {key: value for key, value in data.items() if key in _KEPT_OF_LINES}
    elif "user_id" not in data and data.get("badge") in traces.badges:
        left = {key: value for key, value in data.items() if key != "badge"}
    else:
        return None
    return to_json(left) if left != data else None


def erase(conn: sqlite3.Connection, traces: Traces, now: float) -> Forgotten:
    """Erase what was found, and what came since; the person is removed as well."""
    while not (traces := look_on(conn, traces)).complete:
        pass
    user_id = traces.user_id
    for permit in _PERMITS:
        conn.execute(permit, {"user": user_id} if ":user" in permit else {})
    _blank_taps(conn, traces)
    for tap_id in traces.drop:
        let_go(conn, "tap", tap_id, "erased")
    conn.executemany(_DELETE_TAP, [(tap_id,) for tap_id in traces.drop])
    relinked = badge_links(conn, user_id)
    conn.execute(_BLANK_PUNCHES, (user_id,))
    for seq in relinked:
        link_punch(conn, seq, "erased")
    conn.executemany(_BLANK_LINE, [(data, line_id) for line_id, data in traces.lines])
    blocked = conn.execute(_FREE_BLOCKED, (user_id,)).rowcount
    conn.execute(_DELETE_BADGES, (user_id,))
    conn.execute(_FORGET_NAME, (FORGOTTEN_NAME, now, user_id))
    conn.execute(_NO_PERMITS)
    kept, undelivered = conn.execute(_KEPT, (user_id,)).fetchone()
    return Forgotten(len(traces.badges), len(traces.lines), len(traces.drop), kept, undelivered or 0, blocked)


def _blank_taps(conn: sqlite3.Connection, traces: Traces) -> None:
    """Erase the badge of taps that became the person's punches; those with a link get a new one, without it."""
    blanked = conn.execute(_BLANK_TAPS_OF_PUNCHES, (traces.user_id,)).fetchall()
    for tap_id in traces.blank:
        blanked += conn.execute(_BLANK_TAP, (tap_id,)).fetchall()
    for tap_id, link in blanked:
        if link is not None:
            link_tap(conn, tap_id, "erased")


def leave_no_copy(conn: sqlite3.Connection) -> None:
    """Empty the write-ahead log, where older versions of pages stand. Freed room is overwritten at once (opening.py).

    Where somebody reads meanwhile it is emptied later by itself.
    """
    conn.execute(_CHECKPOINT).fetchall()
