"""When the readers were heard, for whoever wonders at a silence. Plain functions on an open connection."""

from __future__ import annotations

import sqlite3

#: Weeks of a busy door, months of a quiet one; looking at so many rows takes some milliseconds on a Pi.
TAPS_MAX = 5000
_HEARD = """
    SELECT reader, raw_at FROM (SELECT id, reader, raw_at FROM taps WHERE stated_at IS NULL ORDER BY id DESC LIMIT ?)
    ORDER BY id"""


def heard(conn: sqlite3.Connection) -> dict[str, list[float]]:
    """What the wall clock said at the last taps of each reader, in the order they were made; stated ones left out."""
    times: dict[str, list[float]] = {}
    for reader, raw_at in conn.execute(_HEARD, (TAPS_MAX,)):
        times.setdefault(reader, []).append(raw_at)
    return times
