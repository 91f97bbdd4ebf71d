"""A new database from what is intact in a damaged one and in its second copy; and what was lost, by name.

The damaged files are never changed: the new database is built whole beside them and checked, then they are set aside
into a folder, and only then it takes the old name. Cut off anywhere, the next start goes on from there.
"""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from daemon.errors import DamagedError
from daemon.queue.copying import sync_directory
from daemon.queue.opening import connect, create
from daemon.queue.rebuilding import Builder
from daemon.queue.records import get_setting, journal, plain, put_setting
from daemon.queue.salvaged import REPORT, Salvage, Seen
from daemon.queue.verify import iso, verify
from daemon.queue.wreck import Wreck

#: A whole new database that waits for the old files to be set aside.
READY: Final = ".salvaged"


def salvage(path: Path, copy: Path | None, why: str, seen: Seen, *, keep: bool = True) -> Salvage:
    """Build a new database at `path` and set the damaged files aside; with `keep` False only tell what would come of
    it. Raises OSError, sqlite3.Error, and DamagedError where what was built is not sound.
    """
    report, now = Salvage(plain(why), iso(seen.wall_s)), seen.wall_s
    draft = _beside(path, ".new")
    wreck = Wreck(path)
    try:
        create(draft)
        with closing(connect(draft)) as conn:
            conn.execute("PRAGMA synchronous = OFF")  # synced as a whole before it gets its name
            conn.execute("PRAGMA temp_store = MEMORY")
            conn.execute("BEGIN IMMEDIATE")
            Builder(conn, wreck, copy, report, seen).build()
            if keep:
                _name_folders(path, copy, report, now)
            told = report.document()
            put_setting(conn, REPORT, json.dumps(told) if keep else None)
            journal(conn, now, "automatic", "database.salvaged", data={key: told[key] for key in _JOURNALLED})
            conn.execute("COMMIT")
            _examine(conn)
        if not keep:
            return report
        fd = os.open(draft, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(draft, _beside(path, READY))
        sync_directory(path.parent)
    finally:
        wreck.close()
        with suppress(OSError):
            draft.unlink()
    finish(path)
    return report


_JOURNALLED: Final = ("why", "punches", "from_copy", "in_doubt", "to_review", "altered_total", "lost_total", "folder")


def finish(path: Path) -> bool:
    """Set the old files aside and give the new database its name, where one waits; whether there was one."""
    ready = _beside(path, READY)
    if not ready.exists():
        return False
    with closing(connect(ready, read_only=True, immutable=True)) as conn:
        report: dict[str, Any] = json.loads(get_setting(conn, REPORT) or "{}")
    folder = Path(report["folder"])
    _set_aside([path, _beside(path, "-wal"), _beside(path, "-shm"), marker(path)], folder)
    if report["copy_folder"]:
        with suppress(OSError):  # its medium is gone again, or takes nothing: found to be another one's, it stays there
            _set_aside([Path(report["copy_folder"]).parent / report["copy_name"]], Path(report["copy_folder"]))
    os.rename(ready, path)
    sync_directory(path.parent)
    return True


def marker(path: Path) -> Path:
    """A file that asks the next start to salvage; it says why."""
    return path.with_name("punchd.damaged")


def _set_aside(files: list[Path], folder: Path) -> None:
    """Move files into a folder, as they are; what was moved before a power cut is left where it is."""
    folder.mkdir(mode=0o700, exist_ok=True)
    for file in files:
        if file.exists() and not (folder / file.name).exists():
            os.rename(file, folder / file.name)
    sync_directory(folder)
    sync_directory(folder.parent)


def _name_folders(path: Path, copy: Path | None, report: Salvage, now: float) -> None:
    stamp = f"{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}"
    report.folder = str(_unused(path.parent, stamp))
    with suppress(OSError):  # a medium that does not even answer keeps what is on it
        if copy is not None and copy.exists():
            same = copy.parent.resolve() == path.parent.resolve()
            report.copy_folder = report.folder if same else str(_unused(copy.parent, stamp))
            report.copy_name = copy.name


def _unused(parent: Path, stamp: str) -> Path:
    names = (parent / f"damaged-{stamp}{f'-{number}' if number else ''}" for number in range(10_000))
    return next(folder for folder in names if not folder.exists())


def _examine(conn: sqlite3.Connection) -> None:
    """What was built must be sound before anything else is moved. Raises DamagedError."""
    wrong = [str(line) for (line,) in conn.execute("PRAGMA integrity_check(5)") if line != "ok"]
    wrong += [f"row {row[1]} of {row[0]} names something missing in {row[2]}"
              for row in conn.execute("PRAGMA foreign_key_check").fetchmany(5)]  # fmt: skip
    wrong += verify(conn).findings(5)
    if wrong:
        raise DamagedError(
            f"cannot salvage the database: what was built of it is not sound ({wrong[0]}); the damaged files are left "
            "as they are. Copy the state directory to a safe place and ask for help with the output of this"
        )


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
