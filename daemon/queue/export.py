"""Reading punches out, page by page, and opening the database of a service that is down, for reading only.

What was read is never kept, so that a million punches need no more memory than one page.
"""

from __future__ import annotations

import math
import shutil
import sqlite3
import tempfile
from array import array
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from daemon.errors import DamagedError, StorageError
from daemon.model import Punch
from daemon.queue.deliveries import Counts, counts
from daemon.queue.opening import APPLICATION_ID, connect
from daemon.queue.queue import SELECT_PUNCH, read_punch

#: Punches read in one hop: few enough that a tap's commit never waits long for it.
PAGE = 500

_PAGE = f"""
    {SELECT_PUNCH.replace("FROM punches p ", "FROM punches p INDEXED BY punches_by_time ")}
    WHERE (p.occurred_at, p.seq) > (?, ?) AND p.occurred_at < ? ORDER BY p.occurred_at, p.seq LIMIT ?"""
_UNDELIVERED = """
    SELECT d.punch_seq FROM deliveries d INDEXED BY deliveries_unfinished CROSS JOIN punches p ON p.seq = d.punch_seq
    WHERE d.state NOT IN ('delivered', 'discarded') AND p.occurred_at >= ? AND p.occurred_at < ?
    ORDER BY p.occurred_at, p.seq"""
_OF_SEQS = f"""
    {SELECT_PUNCH} WHERE p.seq IN ({{marks}}) AND d.state NOT IN ('delivered', 'discarded')
    ORDER BY p.occurred_at, p.seq"""
_UNKNOWN_TAPS = "SELECT count(*), count(DISTINCT badge) FROM taps WHERE result = 'unknown_badge' AND punch_id IS NULL"
_NOT_ASSIGNED = """
    SELECT DISTINCT e.name FROM deliveries d INDEXED BY deliveries_unfinished JOIN employees e ON e.user_id = d.user_id
    WHERE d.state NOT IN ('delivered', 'discarded') AND d.state = 'review' AND d.reason = 'not_assigned'
    ORDER BY e.name"""


class Reading:
    """All punches with since <= occurred_at < until, oldest first; or only those neither delivered nor discarded.

    Call `page` with a connection until it gives nothing; the connection may be another one each time.
    """

    def __init__(self, since: float | None, until: float | None, *, undelivered: bool, size: int = PAGE) -> None:
        self._since = -math.inf if since is None else since
        self._until = math.inf if until is None else until
        self._after = (self._since, 0)  # seq begins at 1
        self._size = size
        #: Of undelivered ones only their numbers are held: eight bytes each.
        self._waiting: array[int] | None = None
        self._undelivered = undelivered
        self._given = 0

    def page(self, conn: sqlite3.Connection) -> list[Punch]:
        """The next punches; none at the end."""
        return self._unfinished(conn) if self._undelivered else self._all(conn)

    def _all(self, conn: sqlite3.Connection) -> list[Punch]:
        rows = conn.execute(_PAGE, (*self._after, self._until, self._size)).fetchall()
        punches = [read_punch(row) for row in rows]
        if punches:
            self._after = (punches[-1].occurred_at, punches[-1].seq)
        return punches

    def _unfinished(self, conn: sqlite3.Connection) -> list[Punch]:
        if self._waiting is None:
            found = conn.execute(_UNDELIVERED, (self._since, self._until))
            self._waiting = array("q", (seq for (seq,) in found))
        while self._given < len(self._waiting):
            seqs = self._waiting[self._given : self._given + self._size]
            self._given += len(seqs)
            rows = conn.execute(_OF_SEQS.format(marks=", ".join("?" * len(seqs))), seqs.tolist()).fetchall()
            if rows:  # all of a page may have been delivered meanwhile
                return [read_punch(row) for row in rows]
        return []


@contextmanager
def open_read_only(path: Path) -> Iterator[sqlite3.Connection]:
    """The database of a service that is down (or runs), for reading; not a byte of it is changed.

    Where its directory cannot be written either (a card that has gone read-only), what its log still holds is read from
    a copy. Raises StorageError or DamagedError, also for what goes wrong inside the block.
    """
    with ExitStack() as undo:
        try:
            yield _opened(path, undo)
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise DamagedError(
                    f"cannot read all of {path}: it is damaged ({error}). Copy it with its -wal file, try `sqlite3 "
                    "COPY .recover`, and export from what that makes"
                ) from error
            raise StorageError(f"cannot read {path}: {error}; is another program using it?") from error


def waiting(conn: sqlite3.Connection) -> tuple[Counts, int, int, list[str]]:
    """The counts, kept taps of unknown badges, how many badges those are, and the names of who is not assigned."""
    taps, badges = conn.execute(_UNKNOWN_TAPS).fetchone()
    return counts(conn), taps, badges, [name for (name,) in conn.execute(_NOT_ASSIGNED)]


def quick_check(conn: sqlite3.Connection) -> list[str]:
    """What SQLite's quick check finds; nothing when it is sound. Reads every page once."""
    return [str(line) for (line,) in conn.execute("PRAGMA quick_check(5)") if line != "ok"]


def _check_header(path: Path) -> None:
    with path.open("rb") as file:
        header = file.read(100)
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise StorageError(f"cannot read {path}: it is no punchd database; name the file punchd.db of a state_dir")


def _opened(path: Path, undo: ExitStack) -> sqlite3.Connection:
    """A connection that has read something, so that whatever keeps it from reading has shown itself."""
    wal = path.with_name(path.name + "-wal")
    try:
        _check_header(path)
        logged = wal.exists() and wal.stat().st_size > 0
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}; name a punchd database you may read") from error
    with suppress(sqlite3.OperationalError):
        # Without a log the file is all there is, and `immutable` reads it without making files beside it.
        return _probed(undo.enter_context(closing(connect(path, read_only=True, immutable=not logged))))
    folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="punchd-export-")))
    try:
        for one in (path, wal) if logged else (path,):
            shutil.copyfile(one, folder / one.name)
    except OSError as error:
        raise StorageError(f"cannot copy {path} to read it: {error}; leave room in {folder.parent}") from error
    return _probed(undo.enter_context(closing(connect(folder / path.name))))


def _probed(conn: sqlite3.Connection) -> sqlite3.Connection:
    conn.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    return conn
