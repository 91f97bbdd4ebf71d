"""The audit: what was punched here, held against what the timesheet shows now."""

from __future__ import annotations

import sys
from typing import Any

import click

from daemon.control import screens_timesheet as screens
from daemon.control.commands.base import Instant, Run, common, example


@click.command(
    "audit",
    short_help="Hold every punch of a time against the timesheet.",
    epilog=example("punchctl audit --since 2026-03-01T00:00:00+01:00 --differences", times=True),
)
@click.option("--since", type=Instant(), required=True, help="Tapped then or later.")
@click.option("--until", type=Instant(), help="Tapped before then (default: now).")
@click.option("--employee", metavar="USER_ID", help="Only this person.")
@click.option("--differences", is_flag=True, help="Leave out what is ok.")
@common
@click.pass_obj
def cmd_audit(run: Run, since: float, until: float | None, employee: str | None, differences: bool) -> None:
    """Hold every punch of a time against the timesheet, and the timesheet against the punches. Only reads.

    \b
    ok             it stands there at its second
    changed        it stands there with another time
    missing        its shift is there without it
    deleted        its shift is gone
    extra          on the timesheet, but not from here
    not_delivered  not there yet, or needs a person
    unread         the timesheet could not be read for it

    Exit code 0 when all is ok, 1 when anything differs (or the daemon refuses).
    """
    client = run.client()
    progress = sys.stderr.isatty()
    lines: list[Any] = []
    told = "Reading the timesheet …"
    try:
        if progress:
            print(told, end="", file=sys.stderr, flush=True)
        for line in client.audit(since=since, until=until, employee=employee):
            lines.append(line)
            if progress and len(lines) % 50 == 0:
                told = f"Reading the timesheet … {len(lines)} lines"
                print(f"\r{told}", end="", file=sys.stderr, flush=True)
    finally:
        if progress:
            print("\r" + " " * len(told) + "\r", end="", file=sys.stderr, flush=True)
    run.code = 0 if all(line["verdict"] == "ok" for line in lines) else 1
    shown = [line for line in lines if not differences or line["verdict"] != "ok"]
    run.show(client, shown, lambda shown, look: screens.audit_screen(shown, lines, look))
