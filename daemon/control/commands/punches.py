"""Punches, and those that need a person."""

from __future__ import annotations

from typing import Any

import click

from daemon.control import screens
from daemon.control.client import RefusedByDaemonError
from daemon.control.commands.base import Instant, Run, common, example, watchable, working
from daemon.control.screens_review import review_one_screen

STATES = ("pending", "held", "in_flight", "delivered", "review", "discarded")


@click.group("punches")
@common
def punches() -> None:
    """What was punched and where it stands."""


@punches.command(
    "list", epilog=example("punchctl punches list --state review --since 2026-03-01T00:00:00+01:00", times=True)
)
@click.option("--state", type=click.Choice(STATES), multiple=True, help="Only this state; may be given several times.")
@click.option("--employee", metavar="USER_ID", help="Only this person.")
@click.option("--since", type=Instant(), help="Tapped then or later.")
@click.option("--until", type=Instant(), help="Tapped before then.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most the N oldest.")
@watchable
@common
@click.pass_obj
def cmd_punches_list(
    run: Run,
    state: tuple[str, ...],
    employee: str | None,
    since: float | None,
    until: float | None,
    limit: int | None,
    every_s: float | None,
) -> None:
    """Punches, oldest first."""
    client = run.client()
    filters = {"state": ",".join(state) or None, "employee": employee, "since": since, "until": until, "limit": limit}
    run.watch(client, lambda: client.punches(**filters), screens.punches_screen, every_s)


@punches.command("show", epilog=example("punchctl punches show 01K9ZQ4T5V0000000000000000"))
@click.argument("punch_id", metavar="ID")
@common
@click.pass_obj
def cmd_punches_show(run: Run, punch_id: str) -> None:
    """One punch with every attempt and decision."""
    client = run.client()
    run.show(client, client.punch(punch_id), screens.punch_screen)


@click.group("review")
@common
def review() -> None:
    """What needs a person. Nothing undelivered is ever deleted."""


@review.command(
    "list", short_help="What needs a person, why, and what mends it.", epilog=example("punchctl review list")
)
@common
@click.pass_obj
def cmd_review_list(run: Run) -> None:
    """All punches in review, with what each reason means and what mends it."""
    client = run.client()
    run.show(client, client.review(), screens.review_screen)


@review.command(
    "show",
    short_help="What was tapped beside what is shown now.",
    epilog=example("punchctl review show 01K9ZQ4T5V0000000000000000"),
)
@click.argument("punch_id", metavar="ID")
@click.option("--no-read", is_flag=True, help="Ask nothing of the service: show what was last read.")
@common
@click.pass_obj
def cmd_review_show(run: Run, punch_id: str, no_read: bool) -> None:
    """One punch in review: what was tapped, what the timesheet shows now, and its history."""
    client = run.client()
    with working("Reading the timesheet"):
        answer = client.review_one(punch_id, read_now=not no_read)
    run.show(client, answer, review_one_screen)


@review.command("retry", epilog=example("punchctl review retry 01K9ZQ4T5V0000000000000000"))
@click.argument("punch_ids", metavar="ID...", nargs=-1)
@click.option("--reason", metavar="CODE", help="All that are in review for this reason (docs/reasons.md).")
@common
@click.pass_obj
def cmd_review_retry(run: Run, punch_ids: tuple[str, ...], reason: str | None) -> None:
    """Take punches out of review and plan them again. All are tried; the first refusal is told."""
    if bool(punch_ids) == (reason is not None):
        raise click.UsageError("name punches by ID, or give --reason CODE for all that are in review for it")
    client = run.client()
    if reason is not None:
        punch_ids = tuple(punch["id"] for punch in client.review() if punch["reason"] == reason)
    done: list[Any] = []
    refused: RefusedByDaemonError | None = None
    for punch_id in punch_ids:
        try:
            done.append(client.review_retry(punch_id))
        except RefusedByDaemonError as error:
            refused = refused or error
    if refused is None or (done and not run.json):
        run.show(client, done, screens.punches_screen)
    if refused is not None:
        refused.problem["done"] = [punch["id"] for punch in done]
        raise refused


@review.command(
    "resolve",
    epilog=example(
        "punchctl review resolve 01K9ZQ4T5V0000000000000000 \\",
        "    --clock-out 2026-03-01T17:30:00+01:00",
        times=True,
    ),
)
@click.argument("punch_id", metavar="ID")
@click.option("--clock-out", "clock_out", type=Instant(), help="When the person of this clock-in left.")
@click.option("--clock-in", "clock_in", type=Instant(), help="When the person of this clock-out came.")
@click.option("--time", "time", type=Instant(), help="When this punch truly happened.")
@click.option("--accept-server", is_flag=True, help="Take the timesheet's record for it.")
@common
@click.pass_obj
def cmd_review_resolve(
    run: Run, punch_id: str, clock_out: float | None, clock_in: float | None, time: float | None, accept_server: bool
) -> None:
    """Give what only people know: exactly one of the options."""
    given = {"clock_out": clock_out, "clock_in": clock_in, "time": time}
    decision: dict[str, Any] = {word: at for word, at in given.items() if at is not None}
    if accept_server:
        decision["accept_server"] = True
    if len(decision) != 1:
        raise click.UsageError("give exactly one of --clock-out T, --clock-in T, --time T, --accept-server")
    client = run.client()
    answer = client.review_resolve(punch_id, decision)
    run.show(client, answer, lambda punch, look: screens.punches_screen([punch], look))


@review.command("discard", epilog=example('punchctl review discard 01K9ZQ4T5V0000000000000000 --reason "tapped twice"'))
@click.argument("punch_id", metavar="ID")
@click.option("--reason", required=True, metavar="TEXT", help="Why; it is kept with your user id.")
@common
@click.pass_obj
def cmd_review_discard(run: Run, punch_id: str, reason: str) -> None:
    """Decide that a punch is never sent. It is kept, with the reason."""
    client = run.client()
    answer = client.review_discard(punch_id, reason)
    run.show(client, answer, lambda punch, look: screens.punches_screen([punch], look))
