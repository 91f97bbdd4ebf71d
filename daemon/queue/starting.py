"""What a start does with the database it finds: open it, or salvage it first, because nobody technical is near.

Never starts empty where something was, never overwrites: what cannot even be salvaged is an error that says why.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import structlog

from daemon.errors import DamagedError, ForeignDatabaseError, NewerSchemaError
from daemon.queue.chain import has_chain
from daemon.queue.copying import BeyondError, Copy, read_all, read_end
from daemon.queue.migrations import migrations, schema_version
from daemon.queue.opening import connect, explained, open_file, stopped_in_order
from daemon.queue.recalling import recall
from daemon.queue.salvage import finish, marker, salvage
from daemon.queue.salvaged import Seen
from daemon.queue.verify import altered_unfinished, end_follows
from daemon.queue.wreck import Wreck, is_ours

#: A schema further ahead than this is no newer version's but a damaged number.
_NEWER_MAX: Final = 1000
#: After a stop that was not in order a database up to this size is checked whole before anybody taps: about a second on
#: a small machine. A larger one is checked in the background.
CHECKED_BYTES_MAX: Final = 32 * 1024 * 1024
_log = structlog.get_logger("queue")


def open_or_salvage(path: Path, copy: Copy, seen: Seen) -> tuple[sqlite3.Connection, bool]:
    """As `open_file`, with the copy following; salvages first where that is needed.

    Raises what `open_file` raises where nothing can be done: another program's file, a newer schema, a bad disk.
    """
    with explained(path):
        finish(path)
    why = _asked(path) or _missing(path, copy)
    if why is None:
        try:
            return _opened(path, copy, seen)
        except (DamagedError, BeyondError) as error:
            if isinstance(error, ForeignDatabaseError) and not is_ours(path):
                raise
            why = error.why if isinstance(error, DamagedError) else error.message
        except NewerSchemaError:
            if _schema_number(path) < _NEWER_MAX:
                raise
            why = "its header is damaged"
    _log.error("database.salvaging", why=why)
    with explained(path):
        report = salvage(path, None if _is_anothers(path, copy.path) else copy.path, why, seen)
    for sentence in report.sentences():
        _log.error("database.salvaged", told=sentence)
    conn, _ = open_file(path)
    copy.start(conn)
    return conn, True


def _opened(path: Path, copy: Copy, seen: Seen) -> tuple[sqlite3.Connection, bool]:
    with explained(path):
        _examine(path, copy)
    conn, unclean = open_file(path)
    try:
        with explained(path):
            copy.start(conn)
            if copy.ahead:
                recall(conn, copy.ahead, seen)
                copy.follow(conn)
    except BaseException:
        copy.close()
        conn.close()
        raise
    return conn, unclean


def _examine(path: Path, copy: Copy) -> None:
    """Look whether anything is missing or altered, before a byte is changed. Raises DamagedError, BeyondError."""
    header = path.read_bytes()[:100] if path.exists() and path.stat().st_size < 100 else b"SQLite"
    if not path.exists() or not header.startswith(b"SQLite"):
        return  # what that means, open_file says
    wal = path.with_name(path.name + "-wal")
    logged = wal.exists() and wal.stat().st_size > 0
    with closing(connect(path, read_only=True, immutable=not logged)) as conn:
        version, newest = schema_version(conn), len(migrations())
        if path.stat().st_size == 0 or version > newest or (version < newest and not has_chain(conn)):
            return  # nothing there yet can say how it was stored; what else it means, open_file says
        behind = copy.examine(conn)
        if not end_follows(conn):  # or the copy would be told of links that never were
            raise DamagedError("the end of the chain is damaged")
        altered = altered_unfinished(conn)
        if altered:
            raise DamagedError(f"{len(altered)} punch(es) are not as they were stored ({', '.join(altered[:5])})")
        if (behind or not stopped_in_order(conn)) and path.stat().st_size <= CHECKED_BYTES_MAX:
            wrong = [str(line) for (line,) in conn.execute("PRAGMA integrity_check(3)") if line != "ok"]
            if wrong:
                raise DamagedError(f"the check before the start finds: {'; '.join(wrong)}")


def _asked(path: Path) -> str | None:
    """Whether the last run found damage, and what it was."""
    with suppress(OSError):
        return marker(path).read_text(errors="replace").strip() or "damage was met while running"
    return None


def _missing(path: Path, copy: Copy) -> str | None:
    """Whether there is no database where there was one."""
    with suppress(OSError):
        if path.exists() and path.stat().st_size > 0:
            return None
        wal = path.with_name(path.name + "-wal")
        if wal.exists() and wal.stat().st_size > 0:
            return f"{path.name} is missing or empty, with a log beside it"
        if any(record is not None and record["is"] != "begin" for record in read_all(copy.path)):
            return f"{path.name} is missing or empty, while the copy holds what was in it"
    return None


def _is_anothers(path: Path, copy: Path) -> bool:
    """Whether a copy surely belongs to another database: whoever follows it may still send what it holds."""
    with suppress(OSError), closing(Wreck(path)) as wreck:
        end, origin = read_end(copy), wreck.one("SELECT hash FROM chain WHERE id = 1")
        if not end or origin is None or not isinstance(origin[0], bytes) or end[-1]["of"] == origin[0].hex()[:16]:
            return False
        linked = [(record["n"], bytes.fromhex(record["hash"])) for record in end if "hash" in record]
        # Where the origin itself is what was damaged, the links after it still agree.
        return not any(wreck.one("SELECT hash FROM chain WHERE id = ?", link) == (hash_,) for link, hash_ in linked)
    return False


def _schema_number(path: Path) -> int:
    with path.open("rb") as file:
        return int.from_bytes(file.read(64)[60:64], "big")
