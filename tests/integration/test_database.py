"""The one SQLite file in use: transactions are indivisible, a stop in order is told from one that was not."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from daemon.queue import database as database_module
from daemon.queue import opening
from daemon.queue.database import Database
from daemon.queue.records import get_setting, put_setting


@pytest.fixture(params=[False, True], ids=["thread", "inline"])
async def both(request, tmp_path) -> AsyncIterator[Database]:
    """A database with each of the two runners."""
    db = await Database.open(tmp_path / "punchd.db", inline=request.param)
    yield db
    await db.close()


@pytest.fixture
async def db(tmp_path) -> AsyncIterator[Database]:
    """A database on aiosqlite's thread, as in service."""
    opened = await Database.open(tmp_path / "punchd.db")
    yield opened
    await opened.close()


def put(key: str, value: str | None = "1"):
    return lambda conn: put_setting(conn, key, value)


async def has(db: Database, key: str) -> bool:
    return await db.read(lambda conn: get_setting(conn, key)) is not None


class Held:
    """A transaction that has written and waits for the test, on the database thread."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.go_on = threading.Event()
        self.fail = False

    def __call__(self, conn: sqlite3.Connection) -> str:
        put_setting(conn, "held.first", "1")
        self.entered.set()
        assert self.go_on.wait(60)
        if self.fail:
            raise ValueError("after the first half")
        put_setting(conn, "held.second", "1")
        return "done"

    async def begun(self) -> None:
        assert await asyncio.to_thread(self.entered.wait, 60)


async def test_what_is_written_is_read(both):
    """`write` answers what its function answers, after the commit; `read` sees it."""
    assert await both.write(lambda conn: put_setting(conn, "a", "b") or "answer") == "answer"
    assert await both.read(lambda conn: get_setting(conn, "a")) == "b"


async def test_an_error_leaves_nothing(both):
    """Whatever a function raises, its caller gets just that, nothing of it is stored, and the next one works."""

    def fails(conn):
        put_setting(conn, "a", "b")
        raise KeyError("x")

    with pytest.raises(KeyError, match="x"):
        await both.write(fails)
    assert not await has(both, "a")
    await both.write(put("a"))
    assert await has(both, "a")


async def test_a_commit_that_fails_leaves_nothing(both):
    """An error of COMMIT itself (a deferred constraint here) is told, rolled back, and the next transaction works."""

    def breaks_at_commit(conn):
        conn.execute("PRAGMA defer_foreign_keys = ON")
        conn.execute("INSERT INTO badges (badge, state, user_id, since) VALUES ('04A1', 'assigned', 'nobody', 1)")

    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        await both.write(breaks_at_commit)
    assert await both.read(lambda conn: conn.execute("SELECT count(*) FROM badges").fetchone()) == (0,)
    await both.write(put("a"))


async def test_an_exhausted_iterator_is_an_error_and_not_a_wait_for_ever(both):
    """StopIteration, which no future can carry, reaches the caller as an error."""
    with pytest.raises(RuntimeError, match="end of an iterator"):
        await both.write(lambda conn: next(iter(())))


async def test_a_function_cannot_end_the_transaction_itself(both):
    """Committing from inside would make two transactions of one: a programmer's error."""
    with pytest.raises(AssertionError, match="ended from inside"):
        await both.write(lambda conn: conn.execute("COMMIT"))
    with pytest.raises(AssertionError, match="a read must not write"):
        await both.read(put("a"))


async def test_nothing_of_another_task_lands_inside_a_transaction(db):
    """Writes that come while one is running are stored after it, and survive its rollback."""
    held = Held()
    held.fail = True
    first = asyncio.ensure_future(db.write(held))
    await held.begun()
    others = [asyncio.ensure_future(db.write(put(f"other.{n}"))) for n in range(5)]
    reader = asyncio.ensure_future(has(db, "held.first"))
    held.go_on.set()
    with pytest.raises(ValueError, match="first half"):
        await first
    await asyncio.gather(*others)
    assert not await reader
    assert not await has(db, "held.first")
    assert all([await has(db, f"other.{n}") for n in range(5)])


async def test_a_read_never_sees_half_a_transaction(db):
    """A read that was asked for in the middle of a write sees all of it."""
    held = Held()
    writing = asyncio.ensure_future(db.write(held))
    await held.begun()
    reading = asyncio.ensure_future(
        db.read(lambda conn: (get_setting(conn, "held.first"), get_setting(conn, "held.second")))
    )
    held.go_on.set()
    assert await writing == "done"
    assert await reading == ("1", "1")


async def test_what_is_asked_for_at_once_is_done_in_turn(both):
    """A function begins when the last one has ended, in the order of asking, also where its caller is gone."""
    inside: list[str] = []

    def stay(name, conn):
        inside.append(f"{name} in")
        for _ in range(10):  # each lets another thread in, if there were one
            put_setting(conn, name, "x")
        inside.append(f"{name} out")

    asked = [asyncio.ensure_future(both.write(partial(stay, f"{n}"))) for n in range(50)]
    await asyncio.sleep(0)  # all are asked for
    asked[3].cancel()
    await asyncio.wait(asked)
    await both.close()
    assert inside == [f"{n} {word}" for n in range(50) for word in ("in", "out")]


async def test_another_program_cannot_write_between_a_look_and_what_follows_from_it(both):
    """A transaction owns the database from its beginning, not from its first write: what it decided on stays true."""

    def look_then_write(conn):
        seen = get_setting(conn, "a")
        locked = pytest.raises(sqlite3.OperationalError, match="locked")
        with contextlib.closing(sqlite3.connect(both.path, timeout=0)) as other, locked:
            other.execute("INSERT INTO settings VALUES ('a', 'theirs')")
        put_setting(conn, "a", "ours")
        return seen

    assert await both.write(look_then_write) is None
    assert await both.read(lambda conn: get_setting(conn, "a")) == "ours"


async def test_a_cancelled_writer_leaves_all_or_nothing(db):
    """A caller cancelled in the middle of its transaction learns nothing, and the transaction is whole."""
    held = Held()
    writing = asyncio.ensure_future(db.write(held))
    await held.begun()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    behind = asyncio.ensure_future(has(db, "held.second"))
    held.go_on.set()
    assert await behind
    assert await has(db, "held.first")


async def test_a_cancelled_writer_that_fails_leaves_nothing(db):
    """The same with a transaction that fails after its caller is gone; nobody else hears of it."""
    held = Held()
    held.fail = True
    writing = asyncio.ensure_future(db.write(held))
    await held.begun()
    writing.cancel()
    await asyncio.gather(writing, return_exceptions=True)
    held.go_on.set()
    await db.write(put("next"))
    assert not await has(db, "held.first")


async def test_a_writer_cancelled_while_it_waits_is_carried_out_whole(db):
    """A transaction that was still behind another one when its caller was cancelled is whole as well."""
    held = Held()
    first = asyncio.ensure_future(db.write(held))
    await held.begun()

    def two(conn):
        put_setting(conn, "two.first", "1")
        put_setting(conn, "two.second", "1")

    waiting = asyncio.ensure_future(db.write(two))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    held.go_on.set()
    await first
    assert await has(db, "two.first")
    assert await has(db, "two.second")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_even_the_end_of_the_loop_leaves_all_or_nothing(tmp_path):
    """When every task is cancelled and the loop is gone in the middle of a transaction, the transaction is whole."""
    held = Held()
    left: list[Any] = []

    def run() -> None:
        async def main() -> None:
            opened = await Database.open(tmp_path / "other.db")
            writing = asyncio.ensure_future(opened.write(held))
            await held.begun()
            assert not writing.done()
            connection = opened._runner._connection
            left.extend([getattr(connection, "_thread", connection), connection._conn])

        asyncio.run(main())

    await asyncio.to_thread(run)
    held.go_on.set()
    thread, connection = left
    await asyncio.to_thread(thread.join, 60)
    connection.close()
    gc.collect()  # what was left open complains here, in the test that meant to leave it open
    again = await Database.open(tmp_path / "other.db")
    assert again.was_unclean
    assert await has(again, "held.first")
    assert await has(again, "held.second")
    await again.close()


async def test_closing_finishes_what_runs(tmp_path):
    """`close` waits for running transactions, also for those nobody waits for, and takes no new ones."""
    opened = await Database.open(tmp_path / "punchd.db")
    held = Held()
    writing = asyncio.ensure_future(opened.write(held))
    await held.begun()
    writing.cancel()
    behind = [asyncio.ensure_future(opened.write(put(f"behind.{n}"))) for n in range(3)]
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(opened.close())
    await asyncio.sleep(0)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        await opened.write(put("late"))
    assert not closing.done()
    held.go_on.set()
    await asyncio.gather(closing, opened.close(), *behind)
    again = await Database.open(tmp_path / "punchd.db")
    assert await has(again, "held.second")
    assert await has(again, "behind.2")
    assert not again.was_unclean
    await again.close()


async def test_every_connection_is_as_durable_as_promised(both):
    """WAL, synchronous FULL, foreign keys on, whatever this SQLite was compiled with; all tables are STRICT."""
    asked = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "page_size": 1024, "temp_store": 2}
    asked |= {"application_id": opening.APPLICATION_ID, "busy_timeout": 5000, "journal_size_limit": 4 * 1024 * 1024}
    for pragma, value in asked.items():
        assert await both.read(lambda conn, pragma=pragma: conn.execute(f"PRAGMA {pragma}").fetchone()) == (value,)
    loose = "SELECT name FROM pragma_table_list WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND NOT strict"
    assert await both.read(lambda conn: conn.execute(loose).fetchall()) == []


async def test_a_sqlite_compiled_otherwise_is_as_durable(tmp_path, monkeypatch):
    """A connection that begins with synchronous NORMAL, as some distributions compile it, is made FULL."""
    plain = opening.connect

    def relaxed(*args, **kwargs):
        conn = plain(*args, **kwargs)
        conn.execute("PRAGMA synchronous = NORMAL")
        return conn

    monkeypatch.setattr(opening, "connect", relaxed)
    db = await Database.open(tmp_path / "punchd.db")
    assert await db.read(lambda conn: conn.execute("PRAGMA synchronous").fetchone()) == (2,)
    await db.close()


async def test_a_stop_in_order_is_clean(both, tmp_path):
    """After `close` everything is in the one file, and the next start knows that nothing was cut off."""
    assert not both.was_unclean
    await both.close()
    assert [file.name for file in tmp_path.iterdir()] == ["punchd.db"]
    again = await Database.open(both.path)
    assert not again.was_unclean
    await again.close()


def test_a_kill_is_unclean(tmp_path):
    """After a kill -9 the next start says so, and has what was committed."""
    program = (
        "import asyncio, os, pathlib, signal, sys\n"
        "from daemon.queue.database import Database\n"
        "from daemon.queue.records import put_setting\n"
        "async def main():\n"
        "    db = await Database.open(pathlib.Path(sys.argv[1]))\n"
        "    await db.write(lambda conn: put_setting(conn, 'a', 'b'))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    path = tmp_path / "punchd.db"
    assert subprocess.run([sys.executable, "-c", program, path], check=False).returncode == -9

    async def main() -> None:
        for _ in range(2):  # and the start after a start that was killed again
            db = await Database.open(path)
            assert db.was_unclean
            assert await has(db, "a")
            assert await db.check() == []
            with contextlib.suppress(KeyError):
                await db.write(lambda conn: {}["nothing"])
            await db._runner._connection.close()  # as good as a kill: nothing is marked

    asyncio.run(main())


async def test_a_check_finds_damage(both):
    """A check of a sound database finds nothing; a broken index and a broken reference are named."""
    assert await both.check() == []
    await both.close()
    with contextlib.closing(sqlite3.connect(both.path)) as conn:
        conn.executescript(
            "INSERT INTO badges (badge, state, user_id, since) VALUES ('04A1', 'assigned', 'nobody', 1);"
            "PRAGMA writable_schema = ON;"
            "UPDATE sqlite_schema SET sql = 'CREATE INDEX badges_by_owner ON badges (since)'"
            " WHERE name = 'badges_by_owner'"
        )
    again = await Database.open(both.path)
    findings = await again.check()
    assert any("badges_by_owner" in finding for finding in findings), findings
    assert any("of badges names something missing in employees" in finding for finding in findings), findings
    await again.close()


async def test_a_check_ends_when_it_is_cancelled(db, monkeypatch):
    """A cancelled check stops its thread and does not keep the database from closing."""
    begun, ended = threading.Event(), threading.Event()
    plain = database_module.connect

    def watched(*args, **kwargs):
        conn = plain(*args, **kwargs)
        conn.create_function("endless", 0, begun.set)

        class Watched:
            def execute(self, statement):
                if "integrity_check" not in statement:
                    return conn.execute(statement)
                endless = "WITH RECURSIVE n (x) AS (SELECT endless() UNION ALL SELECT 0 FROM n) SELECT max(x) FROM n"
                return conn.execute(endless)

            def set_progress_handler(self, *args):
                conn.set_progress_handler(*args)

            def close(self):
                conn.close()
                ended.set()

        return Watched()

    monkeypatch.setattr(database_module, "connect", watched)
    checking = asyncio.ensure_future(db.check())
    assert await asyncio.to_thread(begun.wait, 60)
    await db.write(put("meanwhile"))  # taps go on
    checking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await checking
    assert await asyncio.to_thread(ended.wait, 60)

    begun.clear()
    second = asyncio.ensure_future(db.check())
    assert await asyncio.to_thread(begun.wait, 60)
    await db.close()
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        await second


async def test_a_full_disk_is_told_and_the_database_goes_on(both):
    """A write that finds no room raises sqlite3.Error and leaves nothing; with room again all is well."""
    pages = await both.read(lambda conn: conn.execute("PRAGMA page_count").fetchone()[0])
    await both.read(lambda conn: conn.execute(f"PRAGMA max_page_count = {pages}").fetchone())
    with pytest.raises(sqlite3.OperationalError, match="full"):
        await both.write(put("big", "x" * 100_000))
    assert not await has(both, "big")
    await both.read(lambda conn: conn.execute("PRAGMA max_page_count = 1000000").fetchone())
    await both.write(put("big", "x" * 100_000))
    assert await both.check() == []


async def test_the_loop_never_waits_for_the_disk(db):
    """While a transaction is held up on the database thread, the loop goes on."""
    held = Held()
    writing = asyncio.ensure_future(db.write(held))
    await held.begun()
    for _ in range(100):
        await asyncio.sleep(0)
    assert not writing.done()
    held.go_on.set()
    assert await writing == "done"


async def test_the_inside_of_aiosqlite_that_is_used(db):
    """What the one-visit transaction needs of aiosqlite: `_execute` runs a function on its one thread, in order.

    A newer aiosqlite that changes this goes red here, not on a kiosk.
    """
    connection = db._runner._connection
    names = [await connection._execute(lambda: threading.current_thread().name) for _ in range(3)]
    assert len(set(names)) == 1
    assert names[0] != threading.current_thread().name
    assert isinstance(connection._conn, sqlite3.Connection)
    thread = getattr(connection, "_thread", connection)
    assert isinstance(thread, threading.Thread)
    assert thread.daemon
    assert thread.is_alive()
