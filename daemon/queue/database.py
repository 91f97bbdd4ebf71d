"""Opening, checking and using the one SQLite file.

`Database.write(fn)` runs `fn(connection)` as one indivisible transaction: under one lock, in one hop on the
database thread, shielded from cancellation (a cancelled caller learns nothing, but the transaction is whole).
`Database.read(fn)` runs `fn(connection)` in one hop without a transaction of its own. `fn` is a plain function;
it must not keep the connection. Two runners carry out hops: aiosqlite's thread, and inline for virtual time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


class Database:
    """The open database."""

    @classmethod
    async def open(cls, path: Path, *, inline: bool = False) -> Database:
        """Open or create, check header and schema, migrate. Raises StorageError, NewerSchemaError, DamagedError."""
        raise NotImplementedError

    async def write(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """One indivisible transaction. Raises what `fn` raises, after a rollback; sqlite3.Error when it cannot be stored."""
        raise NotImplementedError

    async def read(self, fn: Callable[[sqlite3.Connection], T]) -> T:
        """Read, between write transactions."""
        raise NotImplementedError

    async def check(self) -> list[str]:
        """Check the whole database (own read-only connection and thread, in the background); findings, empty when sound."""
        raise NotImplementedError

    @property
    def was_unclean(self) -> bool:
        """Whether the last stop was not in order (power cut, kill)."""
        raise NotImplementedError

    async def close(self) -> None:
        """Finish running transactions, checkpoint, close; mark the stop as clean."""
        raise NotImplementedError
