"""Carrying punches off: through the daemon, or from its database where it is down."""

from __future__ import annotations

import codecs
import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import tzinfo
from pathlib import Path
from typing import BinaryIO

import click

from daemon.control.commands.base import FailedError, Instant, Run, common, example, print_json


@click.command(
    "export",
    short_help="Punches as CSV, for payroll or to carry off.",
    epilog=example(
        "punchctl export --since 2026-03-01T00:00:00+01:00 \\",
        "    --until 2026-04-01T00:00:00+02:00 --output march.csv",
        "punchctl export --undelivered --database /var/lib/punchd/punchd.db \\",
        "    --output /media/stick/rescue.csv",
        times=True,
    ),
)
@click.option("--since", type=Instant(), help="Tapped then or later.")
@click.option("--until", type=Instant(), help="Tapped before then.")
@click.option("--undelivered", is_flag=True, help="Only what is neither delivered nor discarded.")
@click.option("--output", metavar="FILE", type=click.Path(path_type=Path), help="Write there, whole or not at all.")
@click.option("--database", metavar="FILE", type=click.Path(path_type=Path),
              help="Read this database file instead of asking the daemon, which may be down.")  # fmt: skip
@click.option("--timezone", metavar="ZONE", help="With --database: the kiosk's zone (default: this machine's).")
@common
@click.pass_obj
def cmd_export(
    run: Run,
    since: float | None,
    until: float | None,
    undelivered: bool,
    output: Path | None,
    database: Path | None,
    timezone: str | None,
) -> None:
    """Punches with their delivery state as CSV, for payroll, or to carry off when the box is dying."""
    if since is not None and until is not None and since >= until:
        raise click.UsageError("--until must be later than --since")
    if timezone is not None and database is None:
        raise click.UsageError("--timezone goes with --database; the daemon knows its own")
    source: AbstractContextManager[Iterator[bytes]]
    if database is None:
        source = closing(run.client().export(since=since, until=until, undelivered=undelivered))
    else:
        source = _from_database(database, since, until, undelivered, _zone(timezone))
    progress = _Progress(shown=sys.stderr.isatty() and (output is not None or not sys.stdout.isatty()))
    with source as pieces, progress:
        counted = progress.count(pieces)
        if output is not None:
            _to_file(counted, output)
        elif run.json:
            _as_json(counted)
        else:
            for piece in counted:
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
    if output is not None:
        print_json({"file": str(output), "punches": progress.rows}) if run.json else print(
            f"{progress.rows} punches written to {output}"
        )


@contextmanager
def _from_database(
    path: Path, since: float | None, until: float | None, undelivered: bool, zone: tzinfo | None
) -> Iterator[Iterator[bytes]]:
    # Here and not on top: no other command needs a database.
    from daemon.control import payroll
    from daemon.errors import StorageError
    from daemon.queue.export import Reading, open_read_only

    def pieces() -> Iterator[bytes]:
        reading = Reading(since, until, undelivered=undelivered)
        yield payroll.header()
        while page := reading.page(conn):
            yield payroll.lines(page, zone)

    try:
        with open_read_only(path) as conn:
            yield pieces()
    except StorageError as error:
        raise FailedError({"code": error.code, "detail": error.message}) from error


def _zone(name: str | None) -> tzinfo | None:
    if name is None:
        return None
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise click.UsageError(f"no time zone is called {name!r}; give one such as Europe/Amsterdam") from error


class _Progress:
    """Counts the punches that pass; on a terminal, says so now and then."""

    def __init__(self, *, shown: bool) -> None:
        self.rows = 0
        self._shown = shown

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def count(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The same pieces. Cells hold no line ends, so that lines are punches; the first line is the header."""
        lines = 0
        for piece in pieces:
            lines += piece.count(b"\n")
            self.rows = max(0, lines - 1)
            if self._shown:
                print(f"\r{self.rows} punches …", end="", file=sys.stderr, flush=True)
            yield piece


def _to_file(pieces: Iterable[bytes], output: Path) -> None:
    """Write to a file beside, sync, and rename: FILE is there whole or not at all. It names people: for its owner."""
    part = output.with_name(output.name + ".part")
    try:
        with os.fdopen(os.open(part, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600), "wb") as file:
            _write(pieces, file)
        os.replace(part, output)
    except OSError as error:
        raise FailedError(
            {"code": "cannot_write", "detail": f"cannot write {output}: {error.strerror}; free some space, or name "
             f"another place (what was written so far is in {part})"}
        ) from error  # fmt: skip


def _write(pieces: Iterable[bytes], file: BinaryIO) -> None:
    for piece in pieces:
        file.write(piece)
    file.flush()
    os.fsync(file.fileno())


def _as_json(pieces: Iterable[bytes]) -> None:
    """One JSON array, a punch a line, as it comes."""
    rows = csv.DictReader(_split(codecs.iterdecode(pieces, "utf-8")))
    opened = False
    for row in rows:
        print(",\n" if opened else "[\n", json.dumps(_typed(row)), sep="", end="")
        opened = True
    print("\n]" if opened else "[]")


def _typed(row: dict[str, str]) -> dict[str, object]:
    """A line of the CSV with the types that its columns have in a punch: null for what is not there."""
    error = row["time_error_s"]
    return {**{name: text or None for name, text in row.items()}, "time_error_s": float(error) if error else None}


def _split(texts: Iterable[str]) -> Iterator[str]:
    rest = ""
    for text in texts:
        *whole, rest = (rest + text).split("\n")
        for line in whole:
            yield line + "\n"
    if rest:
        yield rest
