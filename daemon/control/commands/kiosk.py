"""The kiosk as a whole: status, present, readers, events, tap, sync."""

from __future__ import annotations

import sys

import click

from daemon.control import screens
from daemon.control.client import UnreachableError
from daemon.control.commands.base import Instant, Run, common, example, print_json, watchable, working


@click.command(
    "status", epilog=example("punchctl status", "punchctl status --watch", "punchctl status --json | jq .queue")
)
@watchable
@common
@click.pass_obj
def cmd_status(run: Run, every_s: float | None) -> None:
    """One screen: is it working, and if not, what to do."""
    client = run.client()
    run.watch(client, client.status, screens.status_screen, every_s)


@click.command("present", short_help="Who is in right now, and since when.", epilog=example("punchctl present"))
@watchable
@common
@click.pass_obj
def cmd_present(run: Run, every_s: float | None) -> None:
    """Who is in right now, as far as this kiosk knows, and since when."""
    client = run.client()
    run.watch(client, client.present, screens.present_screen, every_s)


@click.command("readers", epilog=example("punchctl readers"))
@watchable
@common
@click.pass_obj
def cmd_readers(run: Run, every_s: float | None) -> None:
    """Each reader: state, since when, taps, errors."""
    client = run.client()
    run.watch(client, client.readers, screens.readers_screen, every_s)


@click.command(
    "events",
    short_help="Follow live, one line an event.",
    epilog=example("punchctl events", "punchctl events --json | jq .event"),
)
@common
@click.pass_obj
def cmd_events(run: Run) -> None:
    """Follow live, one line an event (--json: one document a line), until Ctrl-C."""
    client = run.client()
    for event in client.events():
        if run.json:
            print_json(event)
        else:
            print(screens.event_line(event, run.look(client)))
        sys.stdout.flush()
    raise UnreachableError("cannot follow any longer: punchd stopped; see systemctl status punchd")


@click.command(
    "tap",
    epilog=example(
        "punchctl tap 04A2B3C4 --reader front", "punchctl tap 04A2B3C4 --reader front --at 2026-03-01T08:00:00+01:00"
    ),
)
@click.argument("badge")
@click.option("--reader", required=True, metavar="NAME", help="A reader whose driver is simulated.")
@click.option("--at", type=Instant(), help="When it happened: RFC 3339 with an offset, or Unix seconds.")
@common
@click.pass_obj
def cmd_tap(run: Run, badge: str, reader: str, at: float | None) -> None:
    """Tap BADGE on a simulated reader, to try things out. Exit code 1 when it was refused.

    A stated time (--at) decides whether it is a repeat, and whether it goes in or out. It must not lie in the future,
    and must lie after that person's last punch.
    """
    client = run.client()
    answer = client.tap(badge, reader, at)
    run.show(client, answer, screens.tap_screen)
    run.code = 1 if answer["result"] == "refused" else 0


@click.group("sync")
@common
def sync() -> None:
    """The delivery loop: try now, pause, resume. Paused punches stay pending."""


@sync.command("now", epilog=example("punchctl sync now"))
@common
@click.pass_obj
def cmd_sync_now(run: Run) -> None:
    """Try to deliver at once, without waiting for the next try."""
    _sync(run, "now")


@sync.command("pause", epilog=example("punchctl sync pause"))
@common
@click.pass_obj
def cmd_sync_pause(run: Run) -> None:
    """Send nothing until resumed; taps are taken as ever."""
    _sync(run, "pause")


@sync.command("resume", epilog=example("punchctl sync resume"))
@common
@click.pass_obj
def cmd_sync_resume(run: Run) -> None:
    """Send again."""
    _sync(run, "resume")


def _sync(run: Run, what: str) -> None:
    client = run.client()
    run.show(client, client.sync(what), screens.delivery_screen)


@click.group("key")
@common
def key() -> None:
    """The key to the service."""


@key.command("check", short_help="Prove the key by one request to the service.", epilog=example("punchctl key check"))
@common
@click.pass_obj
def cmd_key_check(run: Run) -> None:
    """Read the key again and prove it by one request, also while halted; exit code 1 unless it is good."""
    client = run.client()
    with working("Asking the service"):
        answer = client.key_check()
    run.show(client, answer, screens.key_screen)
    run.code = 0 if answer["valid"] else 1


@click.command(
    "completion", short_help="Let bash, zsh or fish complete commands.", epilog=example("punchctl completion bash")
)
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@common
@click.pass_context
def cmd_completion(ctx: click.Context, shell: str) -> None:
    """Print the script that lets SHELL complete punchctl's commands and options.

    \b
    bash: eval "$(punchctl completion bash)"          in ~/.bashrc
    zsh:  eval "$(punchctl completion zsh)"           in ~/.zshrc
    fish: punchctl completion fish | source           in config.fish
    """
    # Here and not on top: no other command needs it.
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    assert made is not None, f"click knows {shell}"
    script = made(ctx.find_root().command, {}, "punchctl", "_PUNCHCTL_COMPLETE").source()
    run = ctx.ensure_object(Run)
    print_json({"shell": shell, "script": script}) if run.json else print(script)
