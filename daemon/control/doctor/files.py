"""What configuration and database tell, whether the daemon runs or not. Reads only."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path

from daemon.config import Config, examine
from daemon.config_read import Problem, located
from daemon.config_secrets import as_the_unit_sees
from daemon.control.doctor import answers
from daemon.control.doctor.findings import Finding, Severity, fine, found
from daemon.errors import DamagedError, StorageError
from daemon.queue.chain import has_chain
from daemon.queue.export import open_read_only, quick_check, waiting
from daemon.queue.verify import verify


def configuration(path: Path, *, runs: bool) -> tuple[Config | None, list[Finding]]:
    """The configuration, if it can be used, and every problem of it. `runs`: the daemon has started with its key."""
    if not os.access(path, os.R_OK):
        return None, [found("config_unseen", f"{path} is not there, or this user may not read it")]
    examined = examine(path, as_the_unit_sees(os.environ))
    problems = [one for one in examined.problems if not (runs and "no key to the service is given" in one.text)]
    if not problems:
        return examined.config, [fine("configuration", f"{path} has no problems")]
    return examined.config, [_problem(one) for one in problems]


def _problem(problem: Problem) -> Finding:
    where = located(problem.file, problem.key)
    if problem.key == "kiosk.timezone":
        return found("zone_unknown", f"{where}: {problem.text}", problem.remedy)
    if "is open to others" in problem.text:
        return found("key_file_open", f"{where}: {problem.text}", problem.remedy)
    # What this user may not read or write, the service's user may.
    of_this_user = os.geteuid() != 0 and ("as this user" in problem.text or "Permission denied" in problem.text)
    severity = Severity.WARNING if of_this_user else Severity.PROBLEM
    return found("config_problem", f"{where}: {problem.text}", problem.remedy, severity=severity)


def there(path: Path) -> Path:
    """The path, or the nearest directory above it that exists: where it would be made."""
    return next(one for one in (path, *path.parents) if os.path.exists(one) or one == one.parent)


def _altered(conn: sqlite3.Connection) -> list[str]:
    """What is not as it was stored; nothing of a database whose version has no chain yet."""
    return verify(conn).findings(1) if has_chain(conn) else []


def database(path: Path, *, runs: bool) -> list[Finding]:
    """Whether the database is sound; what waits in it too, where no daemon tells that."""
    if not os.path.exists(path) and os.access(there(path.parent), os.X_OK):
        return [fine("database", f"there is no database yet at {path}")]
    try:
        with open_read_only(path) as conn:
            wrong = quick_check(conn)
            altered = [] if wrong else _altered(conn)
            counts, taps, badges, names = waiting(conn)
    except DamagedError as error:
        return [found("database_damaged", error.message)]
    except StorageError as error:
        return [found("database_unseen", error.message)]
    if wrong:
        return [found("database_damaged", f"{path} is damaged: {wrong[0]}")]
    sound = [found("punches_altered", f"{path}: {altered[0]}")] if altered else [fine("database", f"{path} is sound")]
    if runs:
        return sound
    return [
        *sound,
        *answers.reviews(counts.review),
        *answers.old(counts.oldest_pending_at, time.time()),
        *answers.unknown_taps(taps, badges),
        *answers.not_assigned(names),
    ]
