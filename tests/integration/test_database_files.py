"""What lies at the path when the daemon starts: ours is opened and migrated, anything else is left byte for byte."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest

from daemon.errors import DamagedError, NewerSchemaError, StorageError
from daemon.model import ReaderDirection
from daemon.queue import opening
from daemon.queue.database import Database
from daemon.queue.migrations import Migration, migrate, migrations, schema_version, statements
from daemon.queue.opening import open_file
from daemon.queue.people import put_employee
from daemon.queue.queue import unclaimed_taps
from daemon.queue.verify import verify
from tests.support.rows import T0, Rows

OLD = Path(__file__).parent / "old_databases"


@pytest.fixture
def path(tmp_path) -> Path:
    """Where the database belongs."""
    return tmp_path / "punchd.db"


def used(path: Path) -> None:
    """Leave a database with rows at `path`, closed in order."""
    conn, _ = open_file(path)
    rows = Rows(conn)
    for number in range(200):
        rows.employee(str(number), "somebody")
    rows.employee()
    rows.delivered(T0)
    rows.punch(T0 + 3600)
    opening.mark_clean(conn)
    conn.close()


def bytes_of(path: Path) -> dict[str, str]:
    """A digest of every file beside `path`, without the lock index SQLite makes for readers."""
    files = (file for file in path.parent.iterdir() if not file.name.endswith("-shm"))
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def set_header(path: Path, offset: int, value: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(value.to_bytes(4, "big"))


def garbage(path: Path) -> None:
    path.write_bytes(os.urandom(5000))


def short(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0")


def truncated(path: Path) -> None:
    used(path)
    os.truncate(path, path.stat().st_size // 2)


def zeroed_after_the_header(path: Path) -> None:
    used(path)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(100)
        file.write(bytes(size - 100))


def foreign(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as conn:
        conn.executescript("CREATE TABLE firefox (cookies); INSERT INTO firefox VALUES (1)")


def lost_but_for_its_wal(path: Path) -> None:
    path.with_name(path.name + "-wal").write_bytes(os.urandom(4096))


@pytest.mark.parametrize(
    "make",
    [garbage, short, truncated, zeroed_after_the_header, foreign, lost_but_for_its_wal],
    ids=lambda m: m.__name__,
)
async def test_what_cannot_be_ours_is_left_as_it_is(path, make):
    """Garbage, a torn file, another program's database, a WAL without its database: an error with a remedy, no byte
    changed."""
    make(path)
    before = bytes_of(path)
    with pytest.raises(DamagedError, match=r"^cannot open the database: .*left as (it is|they are)"):
        await Database.open(path)
    assert bytes_of(path) == before


async def test_a_newer_schema_is_left_as_it_is(path):
    """After a downgrade the database is refused, with both versions named, and unchanged."""
    used(path)
    set_header(path, 60, len(migrations()) + 1)
    before = bytes_of(path)
    with pytest.raises(NewerSchemaError, match=f"schema {len(migrations()) + 1}, this one knows {len(migrations())}"):
        await Database.open(path)
    assert bytes_of(path) == before


async def test_a_newer_schema_that_is_only_in_the_wal_is_left_as_it_is(path):
    """The newer version's upgrade was the last thing before the power went: database and WAL stay as they are."""
    conn, _ = open_file(path)
    conn.execute("PRAGMA user_version = 99")
    saved = path.parent / "saved"
    saved.mkdir()
    for file in list(path.parent.glob("punchd.db*")):
        shutil.copy(file, saved)
    conn.close()
    copy = saved / path.name
    assert int.from_bytes(copy.read_bytes()[60:64], "big") != 99
    before = bytes_of(copy)
    with pytest.raises(NewerSchemaError):
        await Database.open(copy)
    assert bytes_of(copy) == before


async def test_a_new_database_appears_whole(path, monkeypatch):
    """Cut off anywhere while it is being made, there is no database, and the next start makes one."""
    leftover = path.with_name("punchd.db.new")
    leftover.write_bytes(b"half of one")

    def cut(*args: object) -> None:
        raise OSError(5, "the power went")

    with monkeypatch.context() as patch:
        patch.setattr(opening.os, "rename", cut)
        with pytest.raises(StorageError, match="the power went"):
            await Database.open(path)
    assert not path.exists()
    db = await Database.open(path)
    assert not db.was_unclean
    await db.close()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


async def test_an_empty_file_becomes_a_database(path):
    """A file that was only touched holds nothing to lose."""
    path.touch()
    db = await Database.open(path)
    assert await db.check() == []
    await db.close()


async def test_nobody_else_can_read_it(path):
    """Badges are credentials: the database and its side files are the service's own, whatever the umask."""
    mask = os.umask(0)
    try:
        db = await Database.open(path)
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
        await db.close()
    finally:
        os.umask(mask)
    assert modes == {"punchd.db": 0o600, "punchd.db-wal": 0o600, "punchd.db-shm": 0o600}


async def test_a_directory_that_is_missing(path):
    """The error names the directory's remedy."""
    with pytest.raises(StorageError, match="No such file or directory; create its directory"):
        await Database.open(path.parent / "missing" / "punchd.db")


@contextlib.contextmanager
def as_an_ordinary_user():
    """Without root's right to write everywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


async def test_a_directory_that_cannot_be_written():
    """A new database in a read-only directory, and an existing one, are refused with a remedy and left as they are."""
    with tempfile.TemporaryDirectory() as directory:  # pytest's own are closed to other users
        path = Path(directory) / "punchd.db"
        path.parent.chmod(0o555)
        with as_an_ordinary_user(), pytest.raises(StorageError, match="give it to the user"):
            await Database.open(path)
        path.parent.chmod(0o755)
        used(path)
        path.chmod(0o444)
        path.parent.chmod(0o555)
        before = bytes_of(path)
        with as_an_ordinary_user(), pytest.raises(StorageError, match=r"cannot open the database .*that runs punchd"):
            await Database.open(path)
        assert bytes_of(path) == before
        path.parent.chmod(0o755)


async def test_a_program_that_holds_it_is_named_as_the_reason(path, monkeypatch):
    """Another program's lock is waited for, then told."""
    monkeypatch.setattr(opening, "BUSY_TIMEOUT_MS", 10)
    used(path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="another program holds it locked"):
            await Database.open(path)
        other.execute("ROLLBACK")


# --- migrations


def schema_of(conn: sqlite3.Connection) -> list[tuple[str, str]]:
    return conn.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name").fetchall()


@pytest.mark.parametrize("old", sorted(OLD.glob("*.db")), ids=lambda file: file.stem)
async def test_a_real_older_database_is_brought_up_to_date(path, old):
    """A database written by each released schema opens, has today's schema, and still has its punches."""
    shutil.copy(old, path)
    db = await Database.open(path)
    assert await db.check() == []
    assert await db.read(schema_version) == len(migrations())
    found = await db.read(lambda conn: conn.execute("SELECT count(*) FROM punches").fetchone())
    assert found == (3,)
    (kept,) = await db.read(unclaimed_taps)
    assert kept.way is (ReaderDirection.CLOCK_IN if int(old.stem) >= 5 else None)
    if int(old.stem) >= 3:
        assert (await db.read(verify)).sound, "what an older version linked still verifies"
    fresh, _ = open_file(path.with_name("fresh.db"))
    assert await db.read(schema_of) == schema_of(fresh)
    fresh.close()
    await db.close()


def test_every_released_schema_has_its_old_database():
    """No version is forgotten by the test above."""
    assert sorted(int(file.stem) for file in OLD.glob("*.db")) == [step.number for step in migrations()]


def test_a_released_step_is_never_edited():
    """The old databases were made by exactly these steps: an edit of a released one goes red here."""
    for step in migrations():
        with contextlib.closing(sqlite3.connect(f"file:{OLD / f'{step.number:04d}.db'}?immutable=1", uri=True)) as old:
            made = sqlite3.connect(":memory:", isolation_level=None)
            migrate(made, migrations()[: step.number])
            assert schema_of(old) == schema_of(made)
            made.close()


def test_a_step_is_applied_whole_or_not_at_all(path):
    """A step that fails in the middle leaves the version before it, with everything in it."""
    conn, _ = open_file(path)
    put_employee(conn, "7", "Ann", None)
    before = schema_of(conn)
    conn.execute("PRAGMA foreign_keys = OFF")
    newest = len(migrations())
    bad = Migration(newest + 1, "0009_bad.sql", "CREATE TABLE extra (a); DROP TABLE employees; CREATE TABLE extra (b);")
    with pytest.raises(sqlite3.OperationalError, match="already exists"):
        migrate(conn, [*migrations(), bad])
    worse = "INSERT INTO badges VALUES ('04A1', 'assigned', 'nobody', 1, NULL);"
    dangling = Migration(newest + 1, "0009_worse.sql", worse)
    with pytest.raises(sqlite3.IntegrityError, match=r"0009_worse\.sql leaves broken references"):
        migrate(conn, [*migrations(), dangling])
    assert (schema_of(conn), schema_version(conn)) == (before, newest)
    good = Migration(newest + 1, "0009_good.sql", "ALTER TABLE employees ADD COLUMN shoe TEXT;")
    said: list[str] = []
    conn.set_trace_callback(said.append)
    migrate(conn, [*migrations(), good])
    conn.set_trace_callback(None)
    begun = said.index("BEGIN IMMEDIATE")
    assert said[begun + 1] == good.sql
    assert said[-2:] == [f"PRAGMA user_version = {newest + 1}", "COMMIT"]  # the number and the step, or neither
    assert schema_version(conn) == newest + 1
    assert conn.execute("SELECT name, shoe FROM employees").fetchall() == [("Ann", None)]
    conn.close()


def test_statements_end_where_they_end():
    """Semicolons inside strings, comments and triggers end nothing; what lacks its own is refused."""
    script = (
        "-- a comment; with one\nCREATE TABLE a (b TEXT DEFAULT ';', -- and; here\n c);"
        "CREATE TRIGGER t AFTER INSERT ON a BEGIN UPDATE a SET b = 1; DELETE FROM a; END;\n"
        "/* and; */ DROP TABLE a;\n-- end"
    )
    first, second, third = statements(script)
    assert first.endswith("c);")
    assert second.startswith("CREATE TRIGGER")
    assert second.endswith("END;")
    assert third.endswith("DROP TABLE a;")
    with pytest.raises(AssertionError, match="without its semicolon"):
        list(statements("DROP TABLE a; DROP TABLE b"))
