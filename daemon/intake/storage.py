"""Pure: is it the disk, or is it us?"""

from __future__ import annotations

import sqlite3

from daemon.errors import StorageError
from daemon.queue.records import DamagedRowError

#: What a transaction raises when it cannot be stored; `is_of_the_disk` tells those from a programmer's errors.
STORAGE_ERRORS = (sqlite3.Error, StorageError, OSError)


def is_of_the_disk(error: Exception) -> bool:
    """Whether the disk, or what stands on it, is at fault."""
    if not isinstance(error, sqlite3.Error):
        return isinstance(error, STORAGE_ERRORS)
    # OperationalError: full, read-only, input/output, locked. A plain DatabaseError: damaged, not a database. The
    # other children of SQLite's own (IntegrityError, ProgrammingError, …) are mistakes of ours.
    return isinstance(error, sqlite3.OperationalError | DamagedRowError) or type(error) is sqlite3.DatabaseError
