"""punchd without its syncs, for the controls of tests: they must see what that loses, or they look in the wrong place.

punchd has no such switch, so names inside it are replaced. A name that is no longer the one in use would leave a
control at full strength, and nobody would notice: `weaken` opens a database as a service does and raises DisarmedError
unless each replacement was really used there.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from daemon.queue import copying, opening, starting
from daemon.queue.database import Database


class DisarmedError(Exception):
    """A control would run at full strength: what it weakens is no longer there, or no longer what is used."""


class Replaced:
    """A name of a module, or of a class, that stands for something else from now on; `used` counts its calls."""

    def __init__(self, owner: object, name: str, original: Callable[..., Any], by: Callable[..., Any]) -> None:
        self.name = f"{getattr(owner, '__name__', owner)}.{name}"
        self.used = 0
        if getattr(owner, name, None) is not original:
            raise DisarmedError(f"{self.name} is not what it was: replace what is used instead of it")

        def counted(*args: Any, **values: Any) -> Any:
            self.used += 1
            return by(*args, **values)

        setattr(owner, name, counted)


def weaken() -> None:
    """From now on no punch is synced in this process: neither the database's WAL nor the second copy."""
    replaced = [
        Replaced(starting, "open_file", opening.open_file, _unsynced),
        Replaced(copying.Copy, "_sync", copying.Copy._sync, lambda copy: None),
    ]
    with tempfile.TemporaryDirectory(prefix="weakened") as name:
        level = asyncio.run(_tried(Path(name)))
    if unused := [one.name for one in replaced if not one.used]:
        raise DisarmedError(f"a start does not use {', '.join(unused)}: replace what it uses now")
    if level != 1:
        raise DisarmedError(f"the connection of a service has synchronous = {level} in spite of it all")


#: Taken before anything is replaced.
_open_file = opening.open_file


def _unsynced(path: Path) -> tuple[sqlite3.Connection, bool]:
    conn, unclean = _open_file(path)
    conn.execute("PRAGMA synchronous = NORMAL")
    return conn, unclean


async def _tried(folder: Path) -> int:
    """What `PRAGMA synchronous` says of a database that was opened as a service opens it (daemon/app.py)."""
    db = await Database.open(folder / "tried.db", copy=folder / "tried.jsonl")
    try:
        (level,) = await db.read(lambda conn: conn.execute("PRAGMA synchronous").fetchone())
        await db.write(lambda conn: None)
    finally:
        await db.close()
    return int(level)
