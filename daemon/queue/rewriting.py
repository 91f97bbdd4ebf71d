"""What a write that failed must not do to the writes after it.

When a sync fails, the kernel has dropped what it could not write: it calls those pages clean, still shows them to
whoever reads, and reports success at the next sync. On ext4 it goes further: a block whose first write failed stays
marked as never written, and reads as zeros after a power cut, however often it is written and synced later. So neither
file may go on as it was:

- a WAL whose sync failed: what is committed in it goes into the database, and the WAL begins anew in fresh blocks.
  Otherwise what is acknowledged after the failure would stand behind a hole, and be gone with the next power cut.
- a database file whose sync failed during a checkpoint: what the checkpoint had added to it is cut off and its cached
  pages are dropped, so that the next checkpoint, which writes all of them once more out of the WAL, does so in truth.
  Otherwise it would report success, the WAL would be used anew, and the whole database would be damaged after a power
  cut.

And when the kernel stops a whole file system after an error, the sync that is under way may report success for what it
never wrote (ext4 does so in a quarter of the cases). Whether the file system still takes changes is asked after it.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import structlog

T = TypeVar("T")

#: Commits between two checkpoints. The commit that makes one waits for it, with a person in front of the reader: about
#: 1 MB of WAL keeps that short, and spares the card by copying a page once for many punches.
COMMITS_BETWEEN_CHECKPOINTS = 100
#: A WAL that few large commits, or a long check, made larger than this is checkpointed at once, and cut back to it.
WAL_BYTES_MAX = 4 * 1024 * 1024

_log = structlog.get_logger("queue")


class Writer:
    """Makes the write transactions of one connection, and its checkpoints.

    SQLite would make the checkpoints by itself, but tells nobody when one fails; so it is told not to (opening.py).
    """

    def __init__(self, path: Path) -> None:
        self._path, self._wal = path, _wal(path)
        self._commits = 0
        self._failed = False  # a write failed, and the WAL could not begin anew since
        #: As long as this the database file is surely on the disk, and what was added since is in the WAL as well;
        #: None where another connection kept a checkpoint from being whole: then nothing is known of it.
        self._sure: int | None = _size(path)

    def transact(self, fn: Callable[[sqlite3.Connection], T], conn: sqlite3.Connection) -> T:
        """Make `fn` one indivisible transaction. Raises what it raises, and sqlite3.Error when it is not stored."""
        if self._failed:
            self._failed = not self.begin_anew(conn)
            if self._failed:
                raise sqlite3.OperationalError("the disk failed, and the write-ahead log cannot begin anew yet")
        try:
            result = _transact(fn, conn)
        except sqlite3.Error as error:
            if is_io(error):
                self._failed = not self.begin_anew(conn)
            raise
        if takes_nothing(self._path):
            self._failed = True
            raise sqlite3.OperationalError("the file system was made read-only while this was being stored")
        self._commits += 1
        if self._commits >= COMMITS_BETWEEN_CHECKPOINTS or _size(self._wal) > WAL_BYTES_MAX:
            self._checkpoint(conn)
        return result

    def finish(self, conn: sqlite3.Connection) -> None:
        """Before the connection is closed: what closing checkpoints must not believe in a checkpoint that failed."""
        self._checkpoint(conn)

    def closed(self) -> None:
        """After the connection was closed, which makes a checkpoint as well: where the WAL is left, it failed."""
        if _size(self._wal) > 0:
            self._cut_back()

    def _checkpoint(self, conn: sqlite3.Connection) -> bool:
        """Copy what is committed into the database; whether all of it is there. What is committed stays so anyway."""
        self._commits = 0
        try:
            _, there, copied = conn.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        except sqlite3.Error as error:
            _log.warning("database.checkpoint_failed", error=str(error))
            self._cut_back()
            return False
        self._sure = _size(self._path) if there == copied else None
        return bool(there == copied)

    def begin_anew(self, conn: sqlite3.Connection) -> bool:
        """After a write failed: empty the WAL into the database, and say whether that worked.

        Also what was just refused goes with it: it might be in the WAL whole, and count at the next start.
        """
        return self._checkpoint(conn) and empty_wal(conn)

    def _cut_back(self) -> None:
        """Leave blocks behind that could not be written: all that was in them is in the WAL, and comes once more."""
        if self._sure is not None and _size(self._path) > self._sure:
            with suppress(OSError):
                os.truncate(self._path, self._sure)
        drop_cached(self._path)


def empty_wal(conn: sqlite3.Connection) -> bool:
    """Let the WAL begin anew in fresh blocks; whether that worked. What is committed is copied before, if need be."""
    try:
        busy, *_ = conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error as error:
        _log.warning("database.checkpoint_failed", error=str(error))
        return False
    return not busy


def is_io(error: sqlite3.Error) -> bool:
    """Whether the disk failed, and did not just have no room."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_IOERR


def look_afresh(path: Path) -> None:
    """Before a database with a WAL is opened: let nothing count that only the kernel's memory holds.

    A process that was killed may have left both kinds: what no sync has reached yet, and what a sync failed to write.
    Raises OSError.
    """
    if _size(_wal(path)) > 0:
        for file in (path, _wal(path)):
            with suppress(FileNotFoundError):
                _sync(file)
                drop_cached(file)


def takes_nothing(path: Path) -> bool:
    """Whether the file system of a file was stopped. Asks what changes nothing, but begins as a change does."""
    try:
        # Of what also begins a transaction of the file system's journal this alone writes nothing; touching the file
        # does not tell that the journal was given up.
        os.removexattr(path, "user.punchd.none")
    except OSError as error:
        return error.errno in (errno.EROFS, errno.EIO)
    return False


def drop_cached(path: Path) -> None:
    """Let the kernel forget the pages of a file that it takes for clean."""
    with suppress(OSError):  # advice: a file system without a cache of its own has nothing to forget
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _transact(fn: Callable[[sqlite3.Connection], T], conn: sqlite3.Connection) -> T:
    if conn.in_transaction:  # only after a rollback that failed, on a disk that did not work
        conn.execute("ROLLBACK")
    conn.execute("BEGIN IMMEDIATE")
    try:
        result = fn(conn)
        assert conn.in_transaction, "the transaction was ended from inside"
        conn.execute("COMMIT")
    except BaseException:
        # SQLite itself rolls back after some errors (disk full, I/O); then there is nothing left to roll back.
        if conn.in_transaction:
            with suppress(sqlite3.Error):  # what went wrong first is what the caller must hear
                conn.execute("ROLLBACK")
        raise
    return result


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _wal(path: Path) -> Path:
    return path.with_name(path.name + "-wal")
