"""From a path to a checked, migrated and configured SQLite connection, or an error that says how to mend it.

Nothing that is not ours is touched: the header is read as bytes first, then the content through a read-only
connection, and only what is known to be a punchd database of this version or an older one is opened for writing.
A new database is made whole under another name and renamed, so `path` never holds half of one.
"""

from __future__ import annotations

import errno
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from daemon.errors import (
    READ_ONLY,
    DamagedError,
    ForeignDatabaseError,
    NewerSchemaError,
    StorageBusyError,
    StorageError,
)
from daemon.queue.chain import adopt_step, is_adopting
from daemon.queue.migrations import migrate, migrations, schema_version
from daemon.queue.records import get_setting, put_setting
from daemon.queue.rewriting import WAL_BYTES_MAX, Writer, look_afresh, takes_nothing

#: "pnch", in every header: tells our database from any other program's.
APPLICATION_ID = 0x706E6368
#: A commit writes every touched page whole into the WAL, and a punch touches about nine in different tables and indexes
#: without filling any: with pages of 1 KB a tap writes 10 KB and its delivery 12 KB, with the default of 4 KB 32 and
#: 40 KB. (512 bytes would save another third, but then a punch in three overflows its page.)
PAGE_SIZE = 1024
#: Another process (a backup, a curious sqlite3 shell) may hold the database for this long before a tap is refused.
BUSY_TIMEOUT_MS = 5000

_RUNNING = "database.running"  # in settings from opening until an orderly close
_HEADER_BYTES = 100
_MAGIC = b"SQLite format 3\0"
_FORMATS = frozenset({1, 2})  # what may write and what may read it: with a rollback journal, with a write-ahead log


def open_file(path: Path) -> tuple[sqlite3.Connection, bool]:
    """An open connection in autocommit mode, and whether the last stop was not in order.

    The stop counts as unclean from now on, until `mark_clean`. Raises StorageError, NewerSchemaError, DamagedError.
    """
    with explained(path):
        if _is_new(path):
            _create(path)
        else:
            look_afresh(path)
            _examine(path)
        conn, writer = connect(path), Writer(path)
        try:
            _configure(conn)
            migrate(conn, migrations())
            conn.execute("PRAGMA foreign_keys = ON")
            _adopt(conn)
            unclean = _mark_running(conn)
            if unclean:
                writer.begin_anew(conn)  # nothing is built upon what was left behind
            return conn, unclean
        except BaseException:
            conn.close()
            writer.closed()
            raise


def _adopt(conn: sqlite3.Connection) -> None:
    """Link what an older version stored, in steps: cut off anywhere, the next start goes on from there."""
    while is_adopting(conn):
        conn.execute("BEGIN IMMEDIATE")
        try:
            adopt_step(conn)
            conn.execute("COMMIT")
        except BaseException:
            if conn.in_transaction:
                conn.execute("ROLLBACK")
            raise


def connect(path: Path, *, read_only: bool = False, immutable: bool = False) -> sqlite3.Connection:
    """A plain connection in autocommit mode; transactions begin and end by statements alone."""
    query = "mode=ro" if read_only else "mode=rw"
    uri = f"{path.absolute().as_uri()}?{query}{'&immutable=1' if immutable else ''}"
    # check_same_thread: a check is interrupted, and a connection closed, from another thread than its own.
    conn = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_MS / 1000, isolation_level=None, check_same_thread=False)
    conn.execute("PRAGMA trusted_schema = OFF")
    return conn


def mark_clean(conn: sqlite3.Connection) -> None:
    """Note that this stop is in order, and leave everything in the one file. Raises sqlite3.Error."""
    put_setting(conn, _RUNNING, None)
    conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def stopped_in_order(conn: sqlite3.Connection) -> bool:
    """Whether the last stop was in order, as far as the database says."""
    return get_setting(conn, _RUNNING) is None


def _mark_running(conn: sqlite3.Connection) -> bool:
    unclean = get_setting(conn, _RUNNING) is not None
    if not unclean:
        put_setting(conn, _RUNNING, "1")
    return unclean


def _is_new(path: Path) -> bool:
    if path.exists() and path.stat().st_size > 0:
        return False
    wal = _beside(path, "-wal")
    if wal.exists() and wal.stat().st_size > 0:
        raise DamagedError(
            f"cannot open the database: {path} is missing or empty, but {wal.name} beside it may hold punches; both "
            f"are left as they are. Bring {path.name} back from a backup, or move {wal.name} away to start anew",
            why=f"{path.name} is missing or empty, and {wal.name} lies beside it",
        )
    return True


def create(draft: Path) -> None:
    """Make a new database, whole and synced, under a name nobody looks for. Raises sqlite3.Error, OSError."""
    for leftover in (draft, _beside(draft, "-journal")):
        leftover.unlink(missing_ok=True)
    # It holds badges, which are credentials: nobody else reads it. SQLite gives its side files the same mode.
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    with closing(connect(draft)) as conn:
        conn.execute(f"PRAGMA page_size = {PAGE_SIZE:d}")
        conn.execute("PRAGMA synchronous = FULL")
        conn.execute(f"PRAGMA application_id = {APPLICATION_ID:d}")
        migrate(conn, migrations())
        _adopt(conn)  # nothing; so that the first start of a new database does not have to


def _create(path: Path) -> None:
    draft = _beside(path, ".new")
    create(draft)
    os.rename(draft, path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)  # the name must survive a power cut as well as the content
    finally:
        os.close(directory)


def _examine(path: Path) -> None:
    """Make sure that this is a punchd database we may write to, without changing a byte."""
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise _damaged(path, "it is no SQLite database")
    if not {header[18], header[19]} <= _FORMATS:  # or SQLite would say that it may not be written
        raise _damaged(path, "its header names a format that punchd never writes")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise ForeignDatabaseError(
            f"cannot open the database: {path} belongs to another program; it is left as it is. Move it away or set "
            "another kiosk.state_dir"
        )
    # Without a WAL the file is all there is, and `immutable` reads it without making lock files beside it.
    with closing(connect(path, read_only=True, immutable=not _beside(path, "-wal").exists())) as conn:
        version, known = schema_version(conn), len(migrations())
        conn.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    if version > known:
        raise NewerSchemaError(
            f"cannot open the database: {path} was written by a newer punchd (schema {version}, this one knows "
            f"{known}); it is left as it is. Install that version again, or a later one"
        )


def _configure(conn: sqlite3.Connection) -> None:
    (mode,) = conn.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise sqlite3.OperationalError(f"this file system allows no write-ahead log (journal mode stays {mode})")
    # FULL: every commit syncs the WAL before it returns. Distributions compile in other defaults, so it is always said.
    conn.execute("PRAGMA synchronous = FULL")
    assert conn.execute("PRAGMA synchronous").fetchone() == (2,), "this SQLite refuses synchronous = FULL"
    conn.execute("PRAGMA wal_autocheckpoint = 0").fetchall()  # daemon/queue/rewriting.py makes them
    conn.execute(f"PRAGMA journal_size_limit = {WAL_BYTES_MAX:d}").fetchall()
    # What is deleted or blanked is overwritten with zeros, names and badges above all; it costs writes only where whole
    # pages become free. (Debian's SQLite does so by itself, others do not.)
    conn.execute("PRAGMA secure_delete = ON").fetchall()
    conn.execute("PRAGMA temp_store = MEMORY")  # a sort must not write to the card
    conn.execute("PRAGMA cell_size_check = ON")  # notice a damaged page when it is read


#: What a statement meets whose schema says something else than it was written for.
_MISFIT = re.compile(r"no such |table \S+ has no column |foreign key mismatch")


def is_damage(error: Exception) -> bool:
    """Whether an error of a database in use says that it is not what was written."""
    if isinstance(error, UnicodeDecodeError) or str(error).startswith("Could not decode"):
        return True
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    # Our statements fit our schema: one that does not any more meets a schema whose words were changed.
    misfit = code == sqlite3.SQLITE_ERROR and _MISFIT.match(str(error)) is not None
    return misfit or code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _damaged(path: Path, why: str) -> DamagedError:
    return DamagedError(
        f"cannot open the database: {path} is damaged ({why}); it is left as it is. Copy it with its -wal file to a "
        "safe place, try `sqlite3 COPY .recover`, and move it away to start anew",
        why=why,
    )


#: What mends each kind of trouble, by SQLite's primary result code.
_REMEDIES = {
    sqlite3.SQLITE_FULL: "the disk is full: free some space",
    sqlite3.SQLITE_READONLY: "it cannot be written: give it and its directory to the user that runs punchd, or "
    "mount the file system read-write",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: give it and its directory to the user that runs punchd",
    sqlite3.SQLITE_BUSY: "another program holds it locked: stop that one",
    sqlite3.SQLITE_IOERR: "the disk does not work: look at the kernel's log (journalctl -k) and replace it",
}


#: What a database that punchd wrote never makes SQLite say: its schema, or a row, is not what it was.
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CONSTRAINT,
                     sqlite3.SQLITE_MISMATCH})  # fmt: skip
#: Troubles that may pass while nobody is near: the service is started again and again.
_MAY_PASS = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_IOERR})
_MAY_BE_READ_ONLY = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_IOERR})
_MAY_PASS_OS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system raise while opening into errors that end with their remedy."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _DAMAGE or str(error).startswith("Could not decode"):
            raise _damaged(path, str(error)) from error
        if code in _MAY_BE_READ_ONLY and takes_nothing(path.parent):
            raise StorageBusyError(f"cannot open the database {path}: {READ_ONLY}") from error
        remedy = _REMEDIES.get(code, "put the state directory on a local file system that works")
        kind = StorageBusyError if code in _MAY_PASS else StorageError
        raise kind(f"cannot open the database {path}: {error}; {remedy}") from error
    except UnicodeDecodeError as error:  # what SQLite says of a damaged schema names what it cannot read
        raise _damaged(path, "its schema is no text") from error
    except OSError as error:
        if error.errno == errno.EROFS:
            raise StorageBusyError(f"cannot open the database {path}: {READ_ONLY}") from error
        kind = StorageBusyError if error.errno in _MAY_PASS_OS else StorageError
        raise kind(
            f"cannot open the database {path}: {error.strerror}; create its directory, give it to the user that runs "
            "punchd and leave room on the disk, or set another kiosk.state_dir"
        ) from error
