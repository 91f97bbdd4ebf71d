"""Makes NNNN.db, a real database of the newest schema, to be kept once that schema is released.

    python -m tests.integration.old_databases.make

test_database_files.py opens each of them with today's code. A database of a released schema is never made again.
"""

from __future__ import annotations

from pathlib import Path

from daemon.model import Direction, PunchState, ReaderDirection, TapResult
from daemon.queue import people, records
from daemon.queue.migrations import migrations
from daemon.queue.opening import mark_clean, open_file
from drivers.reader import Evidence
from tests.support.rows import T0, Rows


def make(path: Path) -> None:
    """Two people, one delivered punch, one pending, one held without a time, a tap of an unknown badge."""
    conn, _ = open_file(path)
    rows = Rows(conn)
    rows.employee("7", "Ann")
    rows.employee("8", "Bob")
    people.assign_badge(conn, "04A1", "7", T0 - 9)
    people.block_badge(conn, "04B2", T0 - 8)
    records.note_boot(conn, Evidence(T0, 1000.0, "b1", True))
    records.put_setting(conn, "delivery.paused", "1")
    rows.delivered(T0)
    rows.punch(T0 + 3600, direction=Direction.CLOCK_OUT)
    untimed = rows.punch(T0 - 7200, "8", known=False, direction=None, boot="b2")
    rows.move(untimed, PunchState.HELD, reason="clock_untrusted")
    rows.tap(T0 + 5, badge="0499", result=TapResult.UNKNOWN_BADGE, way=ReaderDirection.CLOCK_IN)
    mark_clean(conn)
    conn.close()


if __name__ == "__main__":
    newest = Path(__file__).with_name(f"{migrations()[-1].number:04d}.db")
    newest.unlink(missing_ok=True)
    make(newest)
    print(newest)
