"""The commands `punchd verify` and `punchd salvage`: for a kiosk whose service is down."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import click

from daemon.clock import SystemClock
from daemon.config import COPY, load
from daemon.errors import ConfigError
from daemon.lock import InstanceLock
from daemon.queue.export import open_read_only
from daemon.queue.opening import explained
from daemon.queue.salvage import finish, salvage
from daemon.queue.salvaged import Salvage, Seen
from daemon.queue.verify import verify


def verified(config: Path | None, database: Path | None, *, as_json: bool) -> int:
    """Print whether a database agrees with its chain; the exit code. Raises PunchdError."""
    path, _ = _places(config, database, None)
    with open_read_only(path) as conn:
        found = verify(conn)
    if as_json:
        click.echo(json.dumps(found.document()))
    elif found.sound:
        click.echo(f"all verified: {found.punches} punches and {found.taps} kept taps; head of the chain: {found.head}")
    else:
        for line in found.findings(found.wrong_total + 1):
            click.echo(line)
        click.echo(f"{found.wrong_total} wrong of {found.punches} punches and {found.taps} kept taps in {path}")
    return 0 if found.sound else 1


def salvaged(config: Path | None, database: Path | None, copy: Path | None, *, as_json: bool, dry_run: bool) -> int:
    """Salvage and print what came of it; exit code 1 where a punch is lost or altered. Raises PunchdError."""
    path, second = _places(config, database, copy)
    now = SystemClock().now()
    with nullcontext() if dry_run else InstanceLock(path.parent), explained(path):
        if not dry_run:
            finish(path)
        _something(path, second)
        report = salvage(path, second, "salvaged by hand", Seen(now.wall_s, known=now.synchronised), keep=not dry_run)
    if as_json:
        click.echo(json.dumps({**report.document(), "dry_run": dry_run}))
    else:
        for sentence in report.sentences()[1:]:
            click.echo(sentence)
        click.echo(_last_word(report, path, dry_run=dry_run))
    return 1 if report.lost_total or report.altered_total else 0


def _last_word(report: Salvage, path: Path, *, dry_run: bool) -> str:
    if dry_run:
        return "Nothing was changed. Without --dry-run the damaged files are set aside, and this is what there is then."
    return f"{path} is new; start the service. Keep {report.folder} until nobody misses anything."


def _places(config: Path | None, database: Path | None, copy: Path | None) -> tuple[Path, Path]:
    """The database and its copy, as named or as configured."""
    if database is not None:
        return database, copy or database.with_name(COPY)
    if config is None:
        raise ConfigError("cannot tell which database is meant; name one with --config FILE or --database FILE")
    loaded = load(config)
    return loaded.database, copy or loaded.second_copy


def _something(path: Path, copy: Path) -> None:
    if not path.exists() and not copy.exists():
        raise ConfigError(f"cannot salvage: neither {path} nor {copy} is there; name them with --database and --from")
