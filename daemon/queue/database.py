"""Using the one SQLite file: indivisible transactions, reads between them, checks beside them.

`Database.write(fn)` runs `fn(connection)` as one indivisible transaction: in one hop on the database thread, which
takes one hop after another and ends each that it began (a cancelled caller learns nothing, but the transaction is
whole). `Database.read(fn)` runs `fn(connection)` in one hop without a transaction of its own. `fn` is a plain function;
it must not keep the connection. Two runners carry out hops: aiosqlite's thread, and inline for virtual time.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import aiosqlite

from daemon.queue.copying import BeyondError, Copy
from daemon.queue.migrations import schema_findings
from daemon.queue.opening import connect, is_damage, mark_clean, open_file
from daemon.queue.records import plain
from daemon.queue.rewriting import Writer, drop_cached
from daemon.queue.salvage import marker
from daemon.queue.salvaged import Seen
from daemon.queue.starting import open_or_salvage
from daemon.queue.verify import Verification, unknown_words, unreadable

T = TypeVar("T")

#: Findings of one check beyond this add nothing for whoever reads them.
FINDINGS_MAX = 20
#: SQLite asks whether a check shall stop after so many of its instructions: some milliseconds on a Pi.
_STEPS_BETWEEN_ASKING = 20_000


class Database:
    """The open database."""

    @classmethod
    async def open(
        cls, path: Path, *, inline: bool = False, copy: Path | None = None, seen: Seen | None = None
    ) -> Database:
        """Open or create, check header and schema, migrate. Raises StorageError, NewerSchemaError, DamagedError.

        With `copy` every punch is in that file, too, before `write` returns, and a damaged or lost database is
        salvaged first (`seen` is this machine's clock then). The directory must belong to this process alone
        (daemon/lock.py).
        """
        second = None if copy is None else Copy(copy)
        opening = partial(_open_both, path, second, seen or Seen(time.time(), known=False))
        runner: _Runner = _Inline(path, opening) if inline else _Thread(path, opening)
        return cls(path, runner, await runner.start(), second)

    def __init__(self, path: Path, runner: _Runner, was_unclean: bool, copy: Copy | None = None) -> None:
        self.path = path
        #: Called on the loop when the copy begins to fail (why), or works again (None).
        self.on_copy: Callable[[str | None], None] = lambda trouble: None
        self._copy = copy
        self._told_copy: str | None = None
        self._runner = runner
        self._was_unclean = was_unclean
        self._writer = Writer(path)
        #: Set when damage was met, with what it was in `damage`: the next start salvages, if there is a second copy.
        self.damaged = asyncio.Event()
        self.damage = ""
        # The loop itself keeps only weak references to tasks; a check whose caller is gone must not vanish.
        self._checks: set[asyncio.Task[list[str]]] = set()
        self._stop_checks = threading.Event()
        self._closed: asyncio.Task[None] | None = None

    async def write(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """One indivisible transaction. Raises what `fn` raises, after a rollback; sqlite3.Error when not stored."""
        self._assert_open()
        transact = partial(self._writer.transact, partial(_call, fn))
        result = await self._hop(partial(_stored, transact, self._copy))
        if self._copy is not None and self._copy.trouble != self._told_copy:
            self._tell_copy()
        if self._copy is not None and self._copy.altered:
            self.note_damage(f"not as they were stored: {', '.join(sorted(self._copy.altered)[:5])}")
        return result

    async def read(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Read, between write transactions."""
        self._assert_open()
        return await self._hop(partial(_look, fn))

    def note_damage(self, what: str) -> None:
        """Something stored is not what it was: remember it, so that the next start salvages.

        Without a second copy nothing is salvaged, and nothing is asked for.
        """
        if self._copy is None:
            return
        if not self.damage:
            self.damage = what
            with suppress(OSError):  # where not even that can be written, the next start has to find it by itself
                marker(self.path).write_text(plain(what))
        self.damaged.set()

    async def _hop(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return await self._runner.hop(fn)
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            if is_damage(error):
                self.note_damage(str(error))
            if isinstance(error, UnicodeDecodeError):
                raise sqlite3.DatabaseError("what it says of its schema is no text any more") from error
            raise

    @property
    def copy_trouble(self) -> str | None:
        """Why the second copy does not follow at present; None while it does, or where there is none."""
        return None if self._copy is None else self._copy.trouble

    async def catch_up(self) -> None:
        """Try to bring a copy that failed up to date, in steps between which taps have their turn."""
        copy, more = self._copy, self.copy_trouble is not None
        while copy is not None and more:
            self._assert_open()
            try:
                more = await self._hop(copy.catch_up)
            except BeyondError as error:
                more = False
                self.note_damage(error.message)
        self._tell_copy()

    async def compact_copy(self) -> None:
        """Rewrite the second copy without what is pruned or erased, in steps between which taps have their turn."""
        copy, more = self._copy, True
        while copy is not None and more:
            self._assert_open()
            more = await self._runner.hop(copy.compact)
        self._tell_copy()

    def _tell_copy(self) -> None:
        self._told_copy = self.copy_trouble
        self.on_copy(self._told_copy)

    async def check(self) -> list[str]:
        """Check the whole database on a read-only connection and thread of its own; the findings, none when sound.

        Cancelling it, or closing the database, ends it early.
        """
        self._assert_open()
        stop = threading.Event()
        if self._runner.inline:
            return _findings(self.path, stop.is_set)
        stopped = lambda: stop.is_set() or self._stop_checks.is_set()  # noqa: E731
        checking = asyncio.ensure_future(asyncio.to_thread(_findings, self.path, stopped))
        self._checks.add(checking)
        checking.add_done_callback(self._checks.discard)
        try:
            return await asyncio.shield(checking)
        finally:
            stop.set()

    @property
    def was_unclean(self) -> bool:
        """Whether the last stop was not in order (power cut, kill)."""
        return self._was_unclean

    async def close(self) -> None:
        """Finish running transactions, checkpoint, close; mark the stop as clean."""
        if self._closed is None:
            self._closed = asyncio.ensure_future(self._finish())
        await asyncio.shield(self._closed)

    async def _finish(self) -> None:
        self._stop_checks.set()
        while self._checks:
            await asyncio.wait(self._checks)
        if self._copy is not None:
            await self._runner.hop(self._copy.stop)
        await self._runner.hop(self._writer.finish)
        await self._runner.stop()
        self._writer.closed()

    def _assert_open(self) -> None:
        if self._closed is not None:
            raise sqlite3.ProgrammingError("the database is closed")


def _stored(transact: Callable[[sqlite3.Connection], T], copy: Copy | None, conn: sqlite3.Connection) -> T:
    """A transaction, and what is new by it in the second copy: one hop, so that nobody is told in between."""
    result = transact(conn)
    if copy is not None:
        copy.follow(conn)
    return result


def _look(fn: Callable[[sqlite3.Connection], T], conn: sqlite3.Connection) -> T:
    changes = conn.total_changes
    result = _call(fn, conn)
    assert conn.total_changes == changes, "a read must not write"
    assert not conn.in_transaction, "a read must not open a transaction"
    return result


def _mark_clean(path: Path, conn: sqlite3.Connection) -> None:
    try:
        mark_clean(conn)
    except sqlite3.Error:  # on a full disk the next start finds it unclean, and checks: right so
        # Closing makes one more checkpoint, and removes the WAL after it: it must not believe what failed just now.
        drop_cached(path)


def _call(fn: Callable[[sqlite3.Connection], T], conn: sqlite3.Connection) -> T:
    try:
        return fn(conn)
    except StopIteration as error:
        # A future cannot carry StopIteration: the caller would wait for ever.
        raise RuntimeError("a database function ran into the end of an iterator") from error


def _findings(path: Path, stopped: Callable[[], bool]) -> list[str]:
    """What the checks of SQLite and of the chain find; raises OperationalError (interrupted) once `stopped`."""
    found: list[str] = []
    try:
        with closing(connect(path, read_only=True)) as conn:
            conn.set_progress_handler(stopped, _STEPS_BETWEEN_ASKING)
            found += [str(one) for (one,) in conn.execute(f"PRAGMA integrity_check({FINDINGS_MAX:d})") if one != "ok"]
            found += schema_findings(conn)
            for table, row_id, parent, _ in conn.execute("PRAGMA foreign_key_check"):
                if len(found) >= FINDINGS_MAX:
                    break
                found.append(f"row {row_id} of {table} names something missing in {parent}")
            found += unreadable(conn) + unknown_words(conn, FINDINGS_MAX)
            found += _unverified(conn, stopped)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        if not is_damage(error):
            raise
        found.append(str(error))
    return found[:FINDINGS_MAX]


def _unverified(conn: sqlite3.Connection, stopped: Callable[[], bool]) -> list[str]:
    """What does not agree with the chain of digests, which is all that shows a changed row to be one."""
    verification = Verification()
    while verification.page(conn) and not stopped():
        pass
    return verification.findings(FINDINGS_MAX)


# --- runners: who executes the SQL ----------------------------------------------------------------


class _Runner(Protocol):
    """Executes plain functions on the one connection, one after another."""

    inline: bool

    async def start(self) -> bool:
        """Open; whether the last stop was unclean."""

    async def hop(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Run one function to its end, also when the caller is cancelled meanwhile."""

    async def stop(self) -> None:
        """Mark the stop as clean and close, after all that was asked for before."""


def _open_both(path: Path, copy: Copy | None, seen: Seen) -> tuple[sqlite3.Connection, bool]:
    return open_file(path) if copy is None else open_or_salvage(path, copy, seen)


class _Hopper(aiosqlite.Connection):
    """aiosqlite's connection, able to run a whole function in one visit to its thread."""

    def __init__(self, connector: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(connector, iter_chunk_size=64)
        # As a daemon the thread cannot keep a failed process from ending; a transaction cut off by that never was.
        # (Before aiosqlite 0.22 the connection is the thread.)
        thread: Any = getattr(self, "_thread", self)
        thread.daemon = True

    async def hop(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Run `fn(connection)` on the thread. Once queued it runs to its end, whoever still waits."""
        result: T = await self._execute(fn, self._conn)  # type: ignore[no-untyped-call]
        return result


class _Thread:
    """Hops on aiosqlite's thread: the loop never waits for the disk."""

    inline = False

    def __init__(self, path: Path, opening: Callable[[], tuple[sqlite3.Connection, bool]]) -> None:
        self._path, self._opening = path, opening

    async def start(self) -> bool:
        # Not opened by aiosqlite: when that fails its thread outlives the loop and complains on stderr.
        conn, was_unclean = await asyncio.to_thread(self._opening)
        self._connection = _Hopper(lambda: conn)
        await self._connection
        return was_unclean

    async def hop(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        return await self._connection.hop(fn)

    async def stop(self) -> None:
        await self._connection.hop(partial(_mark_clean, self._path))
        await self._connection.close()


class _Inline:
    """Hops on the loop's own thread: the same SQL where time is virtual and a second thread would be chance."""

    inline = True

    def __init__(self, path: Path, opening: Callable[[], tuple[sqlite3.Connection, bool]]) -> None:
        self._path, self._opening = path, opening
        self._conn: sqlite3.Connection | None = None

    async def start(self) -> bool:
        self._conn, was_unclean = self._opening()
        return was_unclean

    async def hop(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        assert self._conn is not None
        try:
            return fn(self._conn)
        finally:
            await asyncio.sleep(0)  # as on the thread, others have their turn before the answer comes

    async def stop(self) -> None:
        assert self._conn is not None
        _mark_clean(self._path, self._conn)
        self._conn.close()
        self._conn = None
