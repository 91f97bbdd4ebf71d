"""punchctl: what people and scripts type. One command a feature, in daemon/control/commands/.

Exit codes: 0 done; 1 the daemon refused, with its reason; 2 usage; 69 the daemon cannot be reached; 78 configuration.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from daemon import __version__
from daemon.control.client import RefusedByDaemonError, SocketPathError, UnreachableError
from daemon.control.commands.audit import cmd_audit
from daemon.control.commands.base import FailedError, Run, common, print_json
from daemon.control.commands.doctor import cmd_doctor
from daemon.control.commands.export import cmd_export
from daemon.control.commands.kiosk import (
    cmd_completion,
    cmd_events,
    cmd_present,
    cmd_readers,
    cmd_status,
    cmd_tap,
    key,
    sync,
)
from daemon.control.commands.people import badges, employees
from daemon.control.commands.punches import punches, review
from daemon.control.commands.verify import cmd_verify

REFUSED, USAGE, UNREACHABLE, CONFIGURATION = 1, 2, 69, 78
#: As a shell counts a command that Ctrl-C, or the end of its reader, ended.
INTERRUPTED, PIPE_CLOSED = 130, 141


class _PipeClosedError(Exception):
    """Whoever read us has gone; not an OSError, which click would answer with 1."""


class _Root(click.Group):
    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _PipeClosedError from error


@click.group("punchctl", cls=_Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="punchctl")
@common
def root() -> None:
    """Talk to punchd on this kiosk: is it working, who is in, what needs a person.

    \b
    Example:
      punchctl status
      punchctl employees import staff.csv
      punchctl punches list --state review

    Exit codes: 0 done, 1 refused, 2 usage, 69 not reached, 78 configuration.
    """


for _command in (cmd_status, cmd_present, cmd_tap, employees, badges, punches, review, sync, cmd_readers, cmd_events,
                 cmd_export, cmd_audit, cmd_verify, cmd_doctor, key, cmd_completion):  # fmt: skip
    root.add_command(_command)


def main(argv: Sequence[str] | None = None) -> int:
    """Run punchctl; its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    # A terminal in the C locale shows question marks instead of failing.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    run = Run()
    try:
        code = _run(run, arguments)
        sys.stdout.flush()
    except (BrokenPipeError, _PipeClosedError):
        # Whoever read us has gone (`| head`); Python's own flush at exit must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


def _run(run: Run, arguments: list[str]) -> int:
    try:
        ended = root.main(arguments, prog_name="punchctl", obj=run, standalone_mode=False)
        # Without standalone mode, click hands back the code of --help and of what ended early.
        return ended if isinstance(ended, int) and ended else run.code
    except click.exceptions.Abort:
        return INTERRUPTED
    except click.UsageError as error:
        run.json = run.json or "--json" in arguments
        error.show(sys.stderr)
        return _failed(run, USAGE, {"code": "usage", "detail": error.format_message()})
    except click.ClickException as error:
        return _failed(run, USAGE, {"code": "usage", "detail": error.format_message()}, tell=True)
    except (RefusedByDaemonError, FailedError) as error:
        return _failed(run, REFUSED, error.problem, tell=True)
    except UnreachableError as error:
        return _failed(run, UNREACHABLE, {"code": "unreachable", "detail": str(error)}, tell=True)
    except SocketPathError as error:
        return _failed(run, CONFIGURATION, {"code": "configuration", "detail": str(error)}, tell=True)


def _failed(run: Run, code: int, problem: dict[str, Any], *, tell: bool = False) -> int:
    """Say why on standard error, and with --json the problem document on standard output."""
    if tell:
        detail, remedy = str(problem.get("detail", "")), str(problem.get("remedy", ""))
        print(f"punchctl: {detail}", file=sys.stderr)
        # Many details end with their remedy already.
        if remedy and remedy.rstrip(".").lower() not in detail.lower():
            print(f"  -> {remedy}", file=sys.stderr)
    if run.json:
        print_json(problem)
    return code


if __name__ == "__main__":
    sys.exit(main())
