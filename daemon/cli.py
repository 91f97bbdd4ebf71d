"""The command `punchd`: run, check, verify, salvage, demo.

Exit codes: 0 done, or stopped in order; 1 another instance runs, or something does not verify or is lost; 2 usage; 70 a
fault of its own (systemd starts it again); 75 the disk is full, fails or is read-only (again too); 78 the configuration
or the stored data cannot be used.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sqlite3
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import structlog

from daemon import __version__, log
from daemon.config import examine, load
from daemon.errors import AlreadyRunningError, PunchdError, StorageBusyError
from daemon.notify import Notifier
from daemon.supervisor import FatalError

EXIT_RUNNING, EXIT_SOFTWARE, EXIT_LATER, EXIT_CONFIGURATION = 1, 70, 75, 78

_config = click.option(
    "--config",
    "path",
    required=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The configuration (see config.example.toml).",
)


def _example(*lines: str) -> str:
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)


@click.group("punchd", context_settings={"help_option_names": ["-h", "--help"]}, epilog=_example(
    "punchd check --config /etc/punchd/punchd.toml", "punchd run --config /etc/punchd/punchd.toml"))  # fmt: skip
@click.version_option(__version__, prog_name="punchd")
def root() -> None:
    """Take badge taps, keep them, and bring them to the timesheet. People look at it with punchctl."""


@root.command(
    "run",
    short_help="Run the service in the foreground.",
    epilog=_example("punchd run --config /etc/punchd/punchd.toml"),
)
@_config
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default=None,
              help="How much is logged (default: $PUNCHD_LOG_LEVEL, else info).")  # fmt: skip
@click.option("--log-format", type=click.Choice(["auto", "text", "json"]), default="auto", show_default=True,
              help="auto is made for people on a terminal, key=value elsewhere.")  # fmt: skip
def cmd_run(path: Path, log_level: str | None, log_format: str) -> None:
    """Run the service in the foreground until SIGTERM; SIGHUP reloads what can be reloaded."""
    secrets = log.Secrets()
    log.configure(secrets, level=log_level, style=log_format)
    sys.exit(_run(path, secrets))


@root.command(
    "check",
    short_help="Name every problem of a configuration.",
    epilog=_example("punchd check --config /etc/punchd/punchd.toml", "punchd check --config f --json"),
)
@_config
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")
def cmd_check(path: Path, as_json: bool) -> None:
    """Validate everything and print all problems, each with file, key and remedy; exit 0 or 78.

    Where there is none, it advises against what works but is often regretted; that is no problem.
    """
    from daemon.config_advice import advise
    from daemon.config_secrets import as_the_unit_sees

    examined = examine(path, as_the_unit_sees(os.environ))
    problems, advice = examined.problems, advise(examined.config) if examined.config else ()
    if as_json:
        told = [{"file": str(p.file), "key": p.key, "problem": p.text, "remedy": p.remedy} for p in problems]
        advised = [{"file": str(a.file), "key": a.key, "advice": a.text, "remedy": a.remedy} for a in advice]
        document = {"file": str(path), "valid": not problems, "problems": told, "advice": advised}
        click.echo(json.dumps(document))
    else:
        for problem in problems:
            click.echo(str(problem))
        for one in advice:
            click.echo(f"advice: {one}")
        click.echo(f"{path}: {f'{len(problems)} problem(s)' if problems else 'no problems found'}")
    sys.exit(EXIT_CONFIGURATION if problems else 0)


_database = click.option("--database", metavar="FILE", type=click.Path(path_type=Path),
                         help="The database itself, instead of the configured one.")  # fmt: skip
_maybe_config = click.option("--config", "path", metavar="FILE", type=click.Path(path_type=Path),
                             help="The configuration, which says where the database is.")  # fmt: skip
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")


@root.command(
    "verify",
    short_help="Hold every punch against the chain of digests.",
    epilog=_example("punchd verify --config /etc/punchd/punchd.toml", "punchd verify --database punchd.db --json"),
)
@_maybe_config
@_database
@_json
def cmd_verify(path: Path | None, database: Path | None, as_json: bool) -> None:
    """Hold every punch against the chain of digests; name what is not as it was stored. Exit code 0 or 1."""
    from daemon import rescue

    sys.exit(_answered(lambda: rescue.verified(path, database, as_json=as_json)))


@root.command(
    "salvage",
    short_help="Build a new database from what is intact.",
    epilog=_example("punchd salvage --config /etc/punchd/punchd.toml --dry-run",
                    "punchd salvage --database punchd.db --from /media/stick/punchd.copy"),
)  # fmt: skip
@_maybe_config
@_database
@click.option("--from", "copy", metavar="JOURNAL", type=click.Path(path_type=Path),
              help="The second copy, instead of the configured one.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Only tell what would come of it.")
@_json
def cmd_salvage(path: Path | None, database: Path | None, copy: Path | None, dry_run: bool, as_json: bool) -> None:
    """Build a new database from what is intact in the damaged one and in the second copy; set the old files aside.

    The service must not run; it does the same by itself when it starts on a damaged database. Exit code 1 where a
    punch is lost or altered, and named.
    """
    from daemon import rescue

    sys.exit(_answered(lambda: rescue.salvaged(path, database, copy, as_json=as_json, dry_run=dry_run)))


@root.command("demo", short_help="Show it at work, without hardware or network.", epilog=_example("punchd demo"))
def cmd_demo() -> None:
    """Show it at work: a model of the service, people who tap, a network that breaks; exit 0 if all fits."""
    from sandbox import demo  # the one way into the sandbox; the service itself never loads it

    sys.exit(demo.main())


def main(argv: Sequence[str] | None = None) -> None:
    """Run punchd."""
    root.main(args=None if argv is None else list(argv), prog_name="punchd")


def _answered(work: Callable[[], int]) -> int:
    """The exit code of a command for a service that is down."""
    try:
        return work()
    except PunchdError as error:
        click.echo(f"punchd: {error.message}", err=True)
        return _exit_code(error)


def _exit_code(error: PunchdError) -> int:
    """What an error that explains itself means to whatever started the command."""
    match error:
        case AlreadyRunningError():
            return EXIT_RUNNING
        case StorageBusyError():
            return EXIT_LATER
        case _:
            return EXIT_CONFIGURATION


def _run(path: Path, secrets: log.Secrets) -> int:
    """Run the service to its end; the exit code. What ended it goes to stderr, in lines for people."""
    from daemon import app  # `check` and `--help` do without all that a service loads
    from daemon.resolving import ResolvingLoop

    # Nothing of the memory, with badges and the key in it, is left behind, however the service was started.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    notifier = Notifier.from_environment(os.environ)
    try:
        with asyncio.Runner(loop_factory=ResolvingLoop) as runner:
            runner.run(app.run(load(path), app.Surroundings(notifier=notifier, secrets=secrets)))
    except PunchdError as error:
        click.echo(f"punchd: {error.message}", err=True)
        notifier.status(error.message)
        return _exit_code(error)
    except (FatalError, sqlite3.Error) as error:
        structlog.get_logger().critical("service.failed", exc_info=error)
        return EXIT_SOFTWARE
    return 0


if __name__ == "__main__":
    main()
