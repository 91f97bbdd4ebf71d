"""What all commands share: the options that fit everywhere, times as arguments, and the way an answer is shown."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from daemon.control.client import Client, default_socket
from daemon.control.render import Look
from daemon.control.times import parse_instant

#: How often a screen is shown anew: one request on a local socket.
WATCH_S = 2.0

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(slots=True)
class Run:
    """One run of punchctl: its options, wherever on the line they stood, and its exit code so far."""

    json: bool = False
    socket: str | None = None
    code: int = 0

    def client(self) -> Client:
        """The socket this run talks to."""
        return Client(Path(self.socket) if self.socket else default_socket(os.environ))

    def look(self, client: Client) -> Look:
        """How text is laid out on standard output."""
        return Look.of(sys.stdout, os.environ, client.zone, client.now)

    def watch(
        self, client: Client, ask: Callable[[], Any], screen: Callable[[Any, Look], str], every_s: float | None
    ) -> None:
        """Show what `ask` answers: once, or every so many seconds; on a terminal each time in the same place."""
        if every_s is None:
            self.show(client, ask(), screen)
            return
        while True:
            answer = ask()
            if sys.stdout.isatty() and not self.json:
                print("\x1b[H\x1b[2J", end="")
            self.show(client, answer, screen)
            sys.stdout.flush()
            time.sleep(every_s)

    def show(self, client: Client, answer: Any, screen: Callable[[Any, Look], str]) -> None:
        """Print an answer: as its JSON document, or as `screen` shows it to people."""
        print_json(answer) if self.json else print(screen(answer, self.look(client)))


@contextmanager
def working(what: str) -> Iterator[None]:
    """Say on a terminal what takes its time, while it does; nothing where nobody looks."""
    shown = sys.stderr.isatty()
    if shown:
        print(f"{what} …", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        if shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


class FailedError(Exception):
    """What was asked cannot be done, for a reason of this side: no daemon refused it. Exit code 1, like a refusal."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(str(problem["detail"]))
        self.problem = problem


def watchable(command: F) -> F:
    """`--watch [SECONDS]`: again and again, until Ctrl-C."""
    return click.option(
        "--watch",
        "every_s",
        is_flag=False,
        flag_value=WATCH_S,
        default=None,
        type=click.FloatRange(0.1, 3600),
        metavar="[SECONDS]",
        help=f"Show it again every so often (default {WATCH_S:g} s), until Ctrl-C.",
    )(command)


def print_json(document: Any) -> None:
    """One JSON document on one line of plain ASCII, whatever the terminal's encoding."""
    print(json.dumps(document))


def common(command: F) -> F:
    """`--json` and `--socket`, which every group and command takes."""
    command = click.option(
        "--socket",
        metavar="PATH",
        expose_value=False,
        callback=_keep("socket"),
        help="The daemon's socket, control.sock or status.sock (default: $PUNCHD_SOCKET, else /run/punchd).",
    )(command)
    return click.option(
        "--json",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_keep("json"),
        help="Print one JSON document and nothing else.",
    )(command)


def _keep(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def keep(ctx: click.Context, _param: click.Parameter, value: Any) -> None:
        if value:
            setattr(ctx.ensure_object(Run), name, value)

    return keep


def example(*lines: str, times: bool = False) -> str:
    """An example for a command's help, kept as it is written; with `times` also how one writes a TIME."""
    shown = "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)
    if not times:
        return shown
    return "TIME is written 2026-03-01T08:00:00+01:00, with its offset from UTC, or as Unix seconds.\n\n" + shown


class Instant(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic since click 8.4 only
    """RFC 3339 with an offset, or Unix seconds; a time without an offset is refused in words."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Unix seconds."""
        try:
            return value if isinstance(value, float) else parse_instant(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


def say(lines: Iterable[str]) -> Callable[[Any, Look], str]:
    """A screen of fixed lines."""
    text = "\n".join(lines)
    return lambda _answer, _look: text
