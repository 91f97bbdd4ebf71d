"""The second copy of every acknowledged punch: a file of lines beside the database, or on another medium.

It follows the database on the database's own thread: after each commit what is new is appended, and synced before
anybody is told, where punches or kept taps are among it. Nothing of it is ever changed in place. When the medium
fails, the database goes on alone, `trouble` says so, and what is missing is appended once it works again.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from daemon.errors import StorageError
from daemon.model import PunchState
from daemon.queue import chain
from daemon.queue.abstract import Due, Place, directory, due, forgotten_since, heads, states
from daemon.queue.compacting import Compaction
from daemon.queue.lines import Record, decode, encode, split
from daemon.queue.records import DamagedRowError, plain
from daemon.queue.rewriting import drop_cached

FORMAT: Final = 1
#: Records that are appended in one visit to the database's thread while taps may be waiting.
STEP: Final = 200
#: What is appended at once while nobody waits yet.
_START_STEP: Final = 5000
#: Where the copy ends is looked for in so much of its end; what one write-ahead log holds is a quarter of it.
TAIL_BYTES: Final = 1024 * 1024
_PIECE: Final = 256 * 1024
#: A system that will not sync a file of this kind (a pipe, some network) says so; any other error is a failing medium.
_CANNOT_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP})

_FINISHED: Final = ("delivered", "discarded")
_STATES: Final = frozenset(PunchState)


class BeyondError(StorageError):
    """The copy holds what the database lacks: the database has lost something."""

    code = "beyond"


class ForeignCopyError(StorageError):
    """The copy is of another database; it is left as it is."""

    code = "foreign_copy"


class Copy:
    """One open copy. All methods run on the database's thread; `trouble` may be read from anywhere."""

    def __init__(self, path: Path) -> None:
        self.path = path
        #: Why the copy does not follow at present, with the remedy; None while it does.
        self.trouble: str | None = None
        #: Ids of rows that are no longer what was stored: seen while they were to be copied.
        self.altered: set[str] = set()
        #: Marks that say of a punch that it is finished where the database does not: found when it was opened.
        self.ahead: list[Record] = []
        #: The size of the file when it was examined, until it is opened.
        self._compared: int | None = None
        self._compaction: Compaction | None = None
        #: It is to be written anew: a sync failed (blocks of the file may read as zeros one day, whatever they read as
        #: now), or somebody was forgotten while it was away.
        self._suspect = False
        self._fd: int | None = None
        self._of = ""
        self._reach = Place()

    def start(self, conn: sqlite3.Connection) -> None:
        """Find out how far the copy reaches, and append what it lacks. A medium that fails is a trouble, no error.

        Raises BeyondError where the database lacks what the copy has. One of another database is left as it is.
        """
        try:
            self._open(conn)
            while not self._append_step(conn, _START_STEP, sync=False):
                pass
            self._sync()
            while self._suspect and self.compact(conn):
                pass
            self._suspect = self._suspect and self._fd is None
        except ForeignCopyError as error:
            self._close()
            self.trouble = error.message
        except (OSError, sqlite3.Error) as error:
            self._fail(error)

    def examine(self, conn: sqlite3.Connection) -> bool:
        """Hold the copy's end against the database before anything is changed; whether any mark is ahead of it.

        One that is missing, or another's, says nothing. Raises BeyondError, and DamagedRowError.
        """
        with suppress(OSError, ForeignCopyError):
            size = self.path.stat().st_size
            end = read_end(self.path)
            if end:
                self.ahead, self._compared = compare(conn, end, self.path), size
        return bool(self.ahead)

    def follow(self, conn: sqlite3.Connection) -> None:
        """Append what the last commit made new. Never raises for the medium."""
        if self._fd is None:
            return
        try:
            reach = heads(conn)
            if reach.line < self._reach.line:  # the newest lines of the journal were pruned with their punches
                self._reach = Place(self._reach.link, reach.line)
            if reach != self._reach:
                while not self._append_step(conn, STEP, sync=True):
                    pass
        except (OSError, sqlite3.Error) as error:
            self._fail(error)

    def catch_up(self, conn: sqlite3.Connection) -> bool:
        """Try again after a trouble, a step at a time; whether to come back at once.

        Raises BeyondError as `start` does; a foreign copy stays a trouble.
        """
        try:
            if self._fd is None:
                drop_cached(self.path)  # what a failed sync left there was never written
                self._open(conn)
            if not self._append_step(conn, STEP, sync=True):
                return True
            if self._suspect and (self.compact(conn) or self._fd is None):
                return self._fd is not None
        except ForeignCopyError as error:
            self._close()
            self.trouble = error.message
            return False
        except (OSError, sqlite3.Error) as error:
            self._fail(error)
            return False
        self.trouble, self._suspect = None, False
        return False

    def compact(self, conn: sqlite3.Connection) -> bool:
        """Rewrite the copy without what is pruned or erased, a step at a time; whether to come back at once.

        Where it fails the old one stays as it is.
        """
        if self._fd is None:
            self._suspect = True
            return False
        try:
            if self._compaction is None:
                self._compaction = Compaction(conn, self.path, self._begins(conn))
            if self._compaction.step(conn):
                return True
            fd = self._compaction.finish(conn, self._reach)
        except (OSError, sqlite3.Error) as error:
            if self._compaction is not None:
                self._compaction.abandon()
            self._compaction = None
            self._fail(error)
            return False
        self._compaction = None
        os.close(self._fd)
        self._fd = fd
        return False

    def stop(self, conn: sqlite3.Connection) -> None:
        """Close; what is not there yet, or not synced, is, as far as the medium works."""
        self.follow(conn)
        try:
            if self._fd is not None:
                self._sync()
        except OSError as error:
            self._fail(error)
        self._close()

    def close(self) -> None:
        """Let go of the file, whatever is missing in it."""
        self._close()

    # --- appending

    def _append_step(self, conn: sqlite3.Connection, limit: int, *, sync: bool) -> bool:
        """Append the next records; whether the copy is where the database is."""
        new = due(conn, self._reach, limit)
        self.altered.update(new.altered)
        if new.records:
            self._write(new)
            if sync and new.facts:
                self._sync()
        done = new.reach == self._reach or new.reach == heads(conn)
        self._reach = new.reach
        return done

    def _write(self, new: Due) -> None:
        assert self._fd is not None
        _write_all(self._fd, b"".join(encode({"of": self._of, **record}) for record in new.records))

    def _sync(self) -> None:
        assert self._fd is not None
        try:
            os.fdatasync(self._fd)
        except OSError as error:
            if error.errno not in _CANNOT_SYNC:
                self._suspect = True
                raise

    # --- opening

    def _open(self, conn: sqlite3.Connection) -> None:
        self._close()
        compared, self._compared = self._compared, None
        self._of = origin_mark(conn)
        self.path.with_name(self.path.name + ".new").unlink(missing_ok=True)  # of a rewriting that was cut off
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
        size = os.fstat(self._fd).st_size
        end = list(tail(self._fd, size))
        if not end:
            if size:
                self._set_aside()
            self._begin(conn)
        else:
            if size != compared:  # or it was just now, and nobody else writes to either
                self.ahead = compare(conn, end, self.path)
            self._reach = Place(end[-1]["n"], min(end[-1]["j"], heads(conn).line))
            self._suspect |= forgotten_since(conn, self._reach)
            if os.pread(self._fd, 1, size - 1) != b"\n":  # a line was torn: the next one begins on its own
                _write_all(self._fd, b"\n")

    def _set_aside(self) -> None:
        """A file without one whole line of ours is kept under another name."""
        self._close()
        aside = next(one for number in range(1, 10_000)
                     if not (one := self.path.with_name(f"{self.path.name}.unreadable-{number}")).exists())  # fmt: skip
        os.rename(self.path, aside)
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def _begin(self, conn: sqlite3.Connection) -> None:
        """The first lines of a new copy. Where each punch stands comes with it, so the journal so far is not needed."""
        assert self._fd is not None
        self._reach = Place(line=heads(conn).line)
        first = self._begins(conn)
        place = {key: first[key] for key in ("of", "n", "j")}
        people = ({**place, **record} for record in directory(conn))
        _write_all(self._fd, b"".join(encode(record) for record in (first, *people)))
        sync_directory(self.path.parent)

    def _begins(self, conn: sqlite3.Connection) -> Record:
        place = {"of": self._of, "n": 1, "j": self._reach.line}
        return {**place, "is": "begin", "format": FORMAT, "chain": chain.origin(conn).hex()}

    # --- failing

    def _fail(self, error: Exception) -> None:
        self._close()
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        self.trouble = (
            f"The second copy of the punches ({self.path}) cannot be written: {why}. Taps are taken, the database has "
            "them; give the copy its medium again, or room on it, or name another ([copy] path)"
        )

    def _close(self) -> None:
        if self._compaction is not None:
            self._compaction.abandon()
            self._compaction = None
        if self._fd is not None:
            os.close(self._fd)
        self._fd = None


def origin_mark(conn: sqlite3.Connection) -> str:
    """What every line names its chain by."""
    return chain.origin(conn).hex()[:16]


def compare(conn: sqlite3.Connection, end: list[Record], path: Path) -> list[Record]:
    """Hold the end of a copy against the database; the marks that are ahead of it.

    Raises ForeignCopyError, BeyondError, or DamagedRowError.
    """
    ours = origin_mark(conn)
    if end[-1]["of"] != ours:
        raise ForeignCopyError(
            f"The second copy at {path} belongs to another database and is left as it is: punches are stored without a "
            "copy. Move it away, or name another place ([copy] path); punchd salvage --from brings its punches back"
        )
    reach = heads(conn)
    vouching = [record for record in end if record["is"] in ("punch", "tap") and record["of"] == ours]
    linked = chain.hashes(conn, vouching[0]["n"], vouching[-1]["n"]) if vouching else {}
    for record in vouching:
        # One that was merged into a later one says nothing against it.
        if record["n"] > reach.link or linked.get(record["n"], record["hash"]) != record["hash"]:
            raise BeyondError(
                f"the copy {path} holds a {record['is']} that the database lacks (link {record['n']}; the database "
                f"ends at {reach.link}): the database has lost something"
            )
    marks = {mark["id"]: mark for record in end if (mark := _mark_of(record)) and mark["state"] in _FINISHED}
    ahead = []
    for punch_id, state in states(conn, list(marks)):
        if state not in _STATES:
            raise DamagedRowError(f"punch {punch_id} is damaged: its state is {plain(state)!r}")
        if state not in _FINISHED:
            ahead.append(marks[punch_id])
    return ahead


def _mark_of(record: Record) -> Record | None:
    """Where a line says that a punch stands; of a copy that was begun or written anew the punches' own lines say it."""
    if record["is"] == "punch" and "state" in record:
        punch = record["punch"]
        return {"id": punch["id"], "at": punch["occurred_at"], **record}
    return record if record["is"] == "mark" else None


def read_end(path: Path) -> list[Record]:
    """The whole records at the end of a copy that is not open. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return list(tail(fd, os.fstat(fd).st_size))
    finally:
        os.close(fd)


def tail(fd: int, size: int) -> Iterator[Record]:
    """The whole records of the last TAIL_BYTES of a file, oldest first."""
    start = max(0, size - TAIL_BYTES)
    for line in split(_pieces(fd, start, size)):
        record = decode(line)
        if record is not None:
            yield record


def read_all(path: Path) -> Iterator[Record | None]:
    """Every record of a copy, oldest first; None for each line that is torn or damaged. Raises OSError."""
    with path.open("rb") as file:
        for line in split(iter(lambda: file.read(_PIECE), b"")):
            if line.strip():
                yield decode(line)


def sync_directory(path: Path) -> None:
    """A name must survive a power cut as well as the content."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise
    finally:
        os.close(fd)


def _pieces(fd: int, start: int, end: int) -> Iterator[bytes]:
    while start < end:
        piece = os.pread(fd, min(_PIECE, end - start), start)
        if not piece:
            return
        start += len(piece)
        yield piece


def _write_all(fd: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]
