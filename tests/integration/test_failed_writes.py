"""What a failed sync must not do to what is acknowledged after it: seen in the system calls of a process that writes.

After a failed sync the kernel keeps pages that no later sync writes, so both files must leave those pages behind: the
WAL begins anew, the database file's are dropped, and a start trusts nothing that only memory holds. That this is enough
on a disk that really fails is shown by tests/crashes/faults.py.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.queue import rewriting
from daemon.queue.database import Database
from daemon.queue.opening import open_file
from daemon.queue.records import get_setting, put_setting

CHILD = """
import asyncio, os, sqlite3, sys
from pathlib import Path
from daemon.queue.database import Database
from daemon.queue.records import put_setting

async def main(path, writes):
    db = await Database.open(Path(path))
    for number in range(writes):
        os.write(1, b"begin %d\\n" % number)
        try:
            await db.write(lambda conn: put_setting(conn, f"write.{number}", "x" * 500))
            os.write(1, b"acknowledged %d\\n" % number)
        except sqlite3.OperationalError:
            os.write(1, b"refused %d\\n" % number)
    os.kill(os.getpid(), 9)

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""
#: Some more than the commits between two checkpoints.
MANY = rewriting.COMMITS_BETWEEN_CHECKPOINTS + 10

pytestmark = pytest.mark.usefixtures("may_trace")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database that was closed in order."""
    path = tmp_path / "punchd.db"
    asyncio.run(_made(path))
    return path


async def _made(path: Path) -> None:
    db = await Database.open(path)
    await db.write(lambda conn: put_setting(conn, "before", "1"))
    await db.close()


def failing(
    path: Path, file: str, when: str, writes: int, *, call: str = "fdatasync", error: str = "EIO"
) -> tuple[str, list[str]]:
    """Let a child write and end by a kill while some calls on one file fail; what it said, the calls on that file.

    A star behind the database's name means its WAL as well.

    `when` counts the syncs of each thread: one opens the database, another writes.
    """
    trace = path.with_name("trace")
    traced = "trace=fdatasync,ftruncate,fadvise64,pwrite64,removexattr"
    calls = ("-e", traced, "-e", f"inject={call}:error={error}:when={when}")
    files = (path, path.with_name("punchd.db-wal")) if file.endswith("*") else (path.with_name(file),)
    of_files = [word for one in files for word in ("-P", str(one))]
    strace = ("strace", "-f", "-y", *of_files, *calls, "-o", str(trace))
    child = (sys.executable, "-c", CHILD, str(path), str(writes))
    said = subprocess.run([*strace, *child], stdout=subprocess.PIPE, text=True, check=False).stdout
    return said, [line.split(maxsplit=1)[1] for line in trace.read_text(errors="replace").splitlines()]


def after_the_failure(calls: list[str]) -> list[str]:
    """The names of the calls that followed the first that failed."""
    first = next(n for n, call in enumerate(calls) if "INJECTED" in call)
    return [call.partition("(")[0] for call in calls[first + 1 :]]


def acknowledged(said: str) -> list[int]:
    return [int(number) for number in re.findall(r"acknowledged (\d+)", said)]


def kept(path: Path, writes: int) -> list[int]:
    """Which writes the database has at the next start."""
    conn, _ = open_file(path)
    try:
        return [number for number in range(writes) if get_setting(conn, f"write.{number}") is not None]
    finally:
        conn.close()


def test_after_a_failed_sync_the_wal_begins_anew(path):
    """Nothing more is written into a WAL whose sync failed before it was cut to nothing."""
    said, calls = failing(path, "punchd.db-wal", "3", 5)
    assert "refused" in said
    then = after_the_failure(calls)
    assert "ftruncate" in then[: then.index("pwrite64")]
    assert kept(path, 5) == acknowledged(said) == [0, 1, 3, 4]


def test_nothing_is_written_before_the_wal_could_begin_anew(path):
    """Where emptying the WAL fails as well, nothing goes into it before that has worked."""
    said, calls = failing(path, "punchd.db*", "3..4", 6)
    assert acknowledged(said) == [0, 1, 3, 4, 5]
    last = max(n for n, call in enumerate(calls) if "EIO" in call)
    of_wal = [call.partition("(")[0] for call in calls[last + 1 :] if "punchd.db-wal>" in call]
    assert "ftruncate" in of_wal[: of_wal.index("pwrite64")]
    assert kept(path, 6) == acknowledged(said)


def test_what_was_refused_is_not_there_after_a_kill(path):
    """Whichever sync of the WAL fails, the next start has what was acknowledged and nothing of what was refused."""
    for n in range(1, 8):
        shutil.copy(path, path.with_name("copy"))
        said, _ = failing(path, "punchd.db-wal", str(n), 3)
        assert kept(path, 3) == acknowledged(said), n
        shutil.move(path.with_name("copy"), path)
    assert "refused" not in said, "the sweep goes on until no sync is left to fail"


def test_a_failed_checkpoint_is_made_again_from_dropped_pages(path):
    """When a sync of the database file fails, nobody is refused, and its pages are dropped before they are written."""
    said, calls = failing(path, "punchd.db", "1", 2 * MANY)
    assert acknowledged(said) == list(range(2 * MANY))
    then = after_the_failure(calls)
    assert then[0] == "fadvise64"
    assert "fdatasync" in then, "another checkpoint came"
    assert kept(path, 2 * MANY) == acknowledged(said)


def test_a_checkpoint_that_fails_at_the_stop_is_not_believed_by_the_one_after_it(path):
    """Closing makes one more checkpoint after a failed one, and removes the WAL: not without dropping the pages."""
    close = "import sys; from daemon.queue.opening import *; conn, _ = open_file(Path(sys.argv[1])); "
    trace = path.with_name("trace")
    close += "from daemon.queue.database import _mark_clean; _mark_clean(Path(sys.argv[1]), conn); conn.close()"
    calls_wanted = ("-e", "trace=fdatasync,fadvise64", "-e", "inject=fdatasync:error=EIO:when=1")
    strace = ("strace", "-f", "-P", str(path), *calls_wanted, "-o", str(trace))
    subprocess.run([*strace, sys.executable, "-c", close, str(path)], check=True)
    calls = [line.split(maxsplit=1)[1] for line in trace.read_text().splitlines()]
    assert after_the_failure(calls)[:2] == ["fadvise64", "fdatasync"]


def test_a_start_after_a_kill_looks_at_the_disk(path):
    """Before SQLite reads a WAL that was left behind, both files are synced and their pages dropped."""
    failing(path, "punchd.db-wal", "1000", 3)
    assert path.with_name("punchd.db-wal").stat().st_size > 0
    trace = path.with_name("trace")
    only = ("-P", str(path), "-P", str(path.with_name("punchd.db-wal")), "-e", "trace=fsync,fadvise64,pread64,pwrite64")
    start = "import sys; from daemon.queue.opening import *; open_file(Path(sys.argv[1]))"
    subprocess.run(["strace", "-y", *only, "-o", str(trace), sys.executable, "-c", start, str(path)], check=True)
    calls = re.findall(r"^(\w+)\(\d+<[^>]*(punchd\.db[^>]*)>", trace.read_text(errors="replace"), re.MULTILINE)
    files = ("punchd.db", "punchd.db-wal")
    assert calls[:4] == [(call, file) for file in files for call in ("fsync", "fadvise64")]


@pytest.mark.parametrize("error", ["EOPNOTSUPP", "EPERM"])
def test_a_file_system_that_has_nothing_of_what_is_asked_refuses_no_tap(path, error):
    """Without extended attributes (FAT, NFS), or where a filter forbids the call: that says nothing of the disk."""
    said, calls = failing(path, "punchd.db*", "1+", 3, call="removexattr", error=error)
    assert sum("INJECTED" in call for call in calls) >= 3
    assert acknowledged(said) == [0, 1, 2]


def test_a_sync_that_ends_well_on_a_file_system_that_was_just_stopped_is_not_believed(path):
    """The kernel may report success for the sync during which it gave up: what was to be kept by it is refused."""
    said, calls = failing(path, "punchd.db*", "2", 4, call="removexattr", error="EROFS")
    assert said.split()[:8] == ["begin", "0", "acknowledged", "0", "begin", "1", "refused", "1"]
    then = calls[next(n for n, call in enumerate(calls) if "INJECTED" in call) :]
    until = next(n for n, call in enumerate(then) if call.startswith("ftruncate") and "-wal" in call)
    written = [call for call in then[:until] if call.startswith("pwrite64") and "-wal" in call]
    assert not written, "nothing is written to the log before it could begin anew"
    assert acknowledged(said) == [0, 2, 3]
    assert set(kept(path, 4)) >= {0, 2, 3}
