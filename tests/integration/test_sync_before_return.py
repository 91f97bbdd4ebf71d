"""`Database.write` returns only after the disk was told to keep it: seen from outside, in the system calls.

A child writes under strace. It puts a marker into the trace before and after each write; between the two the WAL must
be written and then synced. The same trace of a child that turns the sync off shows that this looks at the right thing.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.queue.database import Database
from daemon.queue.records import get_setting

WRITES = 5
CHILD = """
import asyncio, os, sys
from pathlib import Path
from daemon.queue.database import Database
from daemon.queue.records import put_setting

async def main(path, weaken):
    db = await Database.open(Path(path))
    if weaken:
        await db.read(lambda conn: conn.execute("PRAGMA synchronous = NORMAL").fetchall())
    for number in range(5):
        os.write(1, b"begin %d\\n" % number)
        await db.write(lambda conn: put_setting(conn, f"write.{number}", "x"))
        os.write(1, b"acknowledged %d\\n" % number)
    await db.close()

asyncio.run(main(sys.argv[1], sys.argv[2]))
"""

pytestmark = pytest.mark.usefixtures("may_trace")


def traced(tmp_path: Path, weaken: str = "") -> list[str]:
    """The system calls that matter, in order: `begin N`, `acknowledged N`, `write|sync|rename FILE`."""
    trace = tmp_path / "trace"
    calls = "trace=fdatasync,fsync,write,pwrite64,/^rename"
    child = [sys.executable, "-c", CHILD, tmp_path / "punchd.db", weaken]
    subprocess.run(["strace", "-f", "-y", "-e", calls, "-o", trace, *child], check=True, stdout=subprocess.DEVNULL)
    seen = []
    syncing: dict[str, str] = {}
    for line in trace.read_text(errors="replace").splitlines():
        pid = line.split()[0]
        if marker := re.search(r'write\(1<[^>]*>, "(begin|acknowledged) (\d+)', line):
            seen.append(f"{marker[1]} {marker[2]}")
        elif call := re.search(r"(sync|write|write64)\(\d+<([^>]*)>", line):
            name = Path(call[2]).name
            if call[1] == "sync" and "unfinished" in line:
                syncing[pid] = name  # it counts when it has returned
            else:
                seen.append(f"{call[1].removesuffix('64')} {name}")
        elif call := re.search(r'rename\w*\(.*"([^"]+)"', line):
            seen.append(f"rename {Path(call[1]).name}")
        elif re.search(r"sync resumed", line):
            seen.append(f"sync {syncing.pop(pid)}")
    return seen


def between(seen: list[str], number: int) -> list[str]:
    """What happened between asking for a write and its acknowledgement."""
    return seen[seen.index(f"begin {number}") + 1 : seen.index(f"acknowledged {number}")]


def test_every_write_is_synced_before_it_returns(tmp_path):
    """Each transaction writes the WAL, then syncs it, once, then is acknowledged."""
    seen = traced(tmp_path)
    for number in range(WRITES):
        calls = between(seen, number)
        wal = [call for call in calls if call.endswith("punchd.db-wal")]
        assert wal[-1] == "sync punchd.db-wal", calls
        assert "write punchd.db-wal" in wal, calls
        if number:  # the first one also begins the WAL's file, with a sync of its own
            assert calls.count("sync punchd.db-wal") == 1, calls


def test_without_the_setting_the_same_trace_shows_no_sync(tmp_path):
    """The control: with synchronous = NORMAL the writes are acknowledged unsynced, and this test's eye sees it."""
    seen = traced(tmp_path, weaken="yes")
    unsynced = [n for n in range(1, WRITES) if "sync punchd.db-wal" not in between(seen, n)]
    assert unsynced == list(range(1, WRITES))


def test_a_new_database_is_synced_before_it_gets_its_name(tmp_path):
    """Its content is on the disk before the rename, and the directory after it."""
    seen = traced(tmp_path)
    made = seen[: seen.index("begin 0")]
    last_write = max(n for n, call in enumerate(made) if call == "write punchd.db.new")
    named = made.index("rename punchd.db")
    assert "sync punchd.db.new" in made[last_write:named]
    assert made[named + 1] == f"sync {tmp_path.name}"


def test_killed_at_any_sync_it_keeps_what_it_acknowledged(tmp_path):
    """A kill at the n-th sync, for every n from the making of the file to its close, loses nothing acknowledged."""
    for n in itertools.count(1):
        state = tmp_path / str(n)
        state.mkdir()
        inject = f"inject=fdatasync,fsync:signal=KILL:when={n}"
        child = [sys.executable, "-c", CHILD, state / "punchd.db", ""]
        run = subprocess.run(
            ["strace", "-f", "-e", "trace=fdatasync,fsync", "-e", inject, "-o", "/dev/null", *child],
            capture_output=True,
            text=True,
            check=False,
        )
        acknowledged = [int(number) for number in re.findall(r"acknowledged (\d+)", run.stdout)]
        found = asyncio.run(kept(state / "punchd.db"))
        assert set(acknowledged) <= set(found), n
        assert found == list(range(len(found))), n
        assert len(found) <= len(acknowledged) + 1, n
        if run.returncode == 0:
            assert found == list(range(WRITES))
            break
    assert n > WRITES


async def kept(path: Path) -> list[int]:
    """Which writes the database has after the kill; it is sound."""
    db = await Database.open(path)
    assert await db.check() == []
    found = [n for n in range(WRITES) if await db.read(lambda conn, n=n: get_setting(conn, f"write.{n}")) is not None]
    await db.close()
    return found


COPYING_CHILD = """
import asyncio, os, sys
from pathlib import Path
from daemon.queue.database import Database
from tests.support.rows import T0, Rows

async def main(path):
    db = await Database.open(Path(path), copy=Path(path).with_name("punchd.copy"))
    await db.write(lambda conn: Rows(conn).employee())
    rows = Rows(None)
    def punch(conn, number):
        rows.conn = conn
        rows.punch(T0 + number)
    for number in range(5):
        os.write(1, b"begin %d\\n" % number)
        await db.write(lambda conn: punch(conn, number))
        os.write(1, b"acknowledged %d\\n" % number)
    await db.close()

asyncio.run(main(sys.argv[1]))
"""


def test_every_punch_is_in_the_synced_copy_before_it_is_acknowledged(tmp_path, monkeypatch):
    """After the log's sync, so that the copy never holds what the database refused; one sync a punch, no more."""
    monkeypatch.setattr(sys.modules[__name__], "CHILD", COPYING_CHILD)
    seen = traced(tmp_path)
    for number in range(1, WRITES):
        calls = between(seen, number)
        assert calls[-2:] == ["write punchd.copy", "sync punchd.copy"], calls
        assert calls.count("sync punchd.copy") == calls.count("sync punchd.db-wal") == 1, calls
        assert calls.index("sync punchd.db-wal") < calls.index("write punchd.copy")
