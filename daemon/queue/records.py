"""The journal of who did what, settings that survive restarts, and boots: the only SQL about them.

Plain functions on an open connection; they never commit.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from daemon.clock import Doubt, Trust, TrustSource
from drivers.reader import Evidence

_JOURNAL = "INSERT INTO journal (at, by, action, punch_id, data) VALUES (?, ?, ?, ?, ?)"
_GET_SETTING = "SELECT value FROM settings WHERE key = ?"
_PUT_SETTING = """
    INSERT INTO settings (key, value) VALUES (?, ?)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value WHERE value <> excluded.value"""
_DROP_SETTING = "DELETE FROM settings WHERE key = ?"
_DOUBT = "clock.doubt"
#: Enough to see what is left of a document, and little enough for a screen.
_UNREADABLE_MAX = 200
_NOTE_BOOT = """
    INSERT INTO boots (boot_id, first_seen_at, first_boottime_s) VALUES (?, ?, ?) ON CONFLICT (boot_id) DO NOTHING"""
_PUT_TRUST = """
    UPDATE boots SET trusted_offset_s = :offset, trusted_error_s = :error, trusted_source = :source, trusted_at = :since
    WHERE boot_id = :boot AND (trusted_offset_s, trusted_error_s, trusted_source, trusted_at)
        IS NOT (:offset, :error, :source, :since)"""
_LIST_TRUSTS = """
    SELECT boot_id, trusted_offset_s, trusted_error_s, trusted_source, trusted_at FROM boots
    WHERE trusted_offset_s IS NOT NULL ORDER BY trusted_at"""


class DamagedRowError(sqlite3.DatabaseError):
    """A row says what punchd never wrote: treated as SQLite's own word of damage."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT


def plain(value: object) -> str:
    """What damage has made no text any more, as text that can be written and shown."""
    return str(value).encode("utf-8", "replace").decode()


def to_json(data: dict[str, Any]) -> str:
    """One compact JSON document with sorted keys, so that equal data is equal text."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def from_json(text: str) -> dict[str, Any]:
    """What `to_json` wrote. Text that damage has made unreadable is {"unreadable": TEXT}: it must stop nothing else."""
    try:
        data = json.loads(text)
    except (TypeError, ValueError):
        data = None
    return data if isinstance(data, dict) else {"unreadable": str(text)[:_UNREADABLE_MAX]}


def journal(
    conn: sqlite3.Connection,
    at: float,
    by: str,
    action: str,
    punch_id: str | None = None,
    data: dict[str, Any] | None = None,
) -> None:
    """Write one line of the journal."""
    conn.execute(_JOURNAL, (at, by, action, punch_id, to_json(data or {})))


def get_setting(conn: sqlite3.Connection, key: str) -> str | None:
    """A stored setting."""
    row = conn.execute(_GET_SETTING, (key,)).fetchone()
    return None if row is None else str(row[0])


def put_setting(conn: sqlite3.Connection, key: str, value: str | None) -> None:
    """Store a setting; None removes it. Nothing is written when it is so already."""
    if value is None:
        conn.execute(_DROP_SETTING, (key,))
    else:
        conn.execute(_PUT_SETTING, (key, value))


def note_boot(conn: sqlite3.Connection, seen: Evidence) -> None:
    """Remember a boot when it is first seen."""
    conn.execute(_NOTE_BOOT, (seen.boot_id, seen.wall_s, seen.boottime_s))


def put_trust(conn: sqlite3.Connection, trust: Trust) -> None:
    """Remember that a boot's clock is trusted."""
    # A trust says the same about its boot as evidence of the moment it began, so a boot never noted is noted by it.
    conn.execute(_NOTE_BOOT, (trust.boot_id, trust.since, trust.since - trust.offset_s))
    values = {"boot": trust.boot_id, "offset": trust.offset_s, "error": trust.error_s, "since": trust.since}
    conn.execute(_PUT_TRUST, values | {"source": trust.source.value})


def list_trusts(conn: sqlite3.Connection) -> list[Trust]:
    """The trust of every boot that has one, oldest first."""
    try:
        return [
            Trust(boot_id, offset_s, error_s, TrustSource(source), since)
            for boot_id, offset_s, error_s, source, since in conn.execute(_LIST_TRUSTS)
        ]
    except ValueError as error:
        raise DamagedRowError(f"what is known of a boot's clock is damaged: {error}") from error


def put_doubt(conn: sqlite3.Connection, boot_id: str, doubt: Doubt | None) -> None:
    """Remember what disputes this boot's clock, or (None) that nothing does."""
    told = None if doubt is None else to_json({"boot_id": boot_id, "off_s": doubt.off_s, "since": doubt.since})
    put_setting(conn, _DOUBT, told)


def doubt_of(conn: sqlite3.Connection, boot_id: str) -> Doubt | None:
    """What disputed this boot's clock when the service last ran; of another boot it says nothing.

    One that can no longer be read counts as one of this boot: the next verified Date says what is true.
    """
    told = from_json(get_setting(conn, _DOUBT) or "{}")
    if "unreadable" in told:
        return Doubt(0.0, 0.0)
    return Doubt(told["off_s"], told["since"]) if told.get("boot_id") == boot_id else None


def touch(conn: sqlite3.Connection) -> None:
    """The least read that goes through SQLite's file; the header's page is always at hand, so it costs no disk."""
    conn.execute("PRAGMA user_version").fetchone()
