"""The directory: employees and badges."""

from __future__ import annotations

import sys
from typing import BinaryIO

import click

from daemon.control import screens
from daemon.control.commands.base import Instant, Run, common, example, working
from daemon.control.render import counted
from daemon.control.screens_timesheet import staff_screen


@click.group("employees")
@common
def employees() -> None:
    """The directory of employees."""


@employees.command(
    "import",
    short_help="Merge a CSV of people and badges.",
    epilog=example("punchctl employees import staff.csv", "punchctl employees import - < staff.csv"),
)
@click.argument("file", type=click.File("rb"))
@common
@click.pass_obj
def cmd_employees_import(run: Run, file: BinaryIO) -> None:
    """Merge FILE (CSV with the header user_id,name,badge,job_id): all rows or none; removes nobody.

    \b
    user_id,name,badge,job_id
    9170357,Ada Lovelace,04A2B3C4,
    9170357,Ada Lovelace,04D5E6F7,
    9170358,Grace Hopper,,

    user_id is the person's id in Connecteam. Badge and job may stay empty; a row more gives a badge more.
    """
    client = run.client()
    with working("Importing"):
        report = client.employees_import(file.read())
    run.show(
        client,
        report,
        lambda report, _look: (
            "{added} added, {changed} changed, {unchanged} unchanged, ".format(**report)
            + f"{counted(report['badges'], 'badge')}, {counted(report['punches'], 'punch', 'punches')}"
        ),
    )


@employees.command("list", epilog=example("punchctl employees list"))
@common
@click.pass_obj
def cmd_employees_list(run: Run) -> None:
    """Everybody, with their badges."""
    client = run.client()
    run.show(client, client.employees(), screens.employees_screen)


@employees.command("add", epilog=example('punchctl employees add 9170357 "Ada Lovelace" --badge 04A2B3C4'))
@click.argument("user_id")
@click.argument("name")
@click.option("--badge", help="The person's badge.")
@click.option("--job-id", metavar="ID", help="The job of this person's punches.")
@common
@click.pass_obj
def cmd_employees_add(run: Run, user_id: str, name: str, badge: str | None, job_id: str | None) -> None:
    """Add NAME, whose id in the timesheet's service is USER_ID."""
    client = run.client()
    answer = client.employees_add(user_id, name, badge, job_id)
    run.show(client, [answer], screens.employees_screen) if not run.json else run.show(
        client, answer, screens.employees_screen
    )


@employees.command(
    "sync",
    short_help="Take over the service's people.",
    epilog=example("punchctl employees sync", "punchctl employees sync --assignments all"),
)
@click.option(
    "--assignments",
    type=click.Choice(["some", "all", "none"]),
    default="some",
    show_default=True,
    help="Of how many people with a badge to ask whether they may punch: one request each. "
    "`some` is a tenth of the day's requests.",
)
@common
@click.pass_obj
def cmd_employees_sync(run: Run, assignments: str) -> None:
    """Take over the service's people: names, who left, and badges from the field that badge_field names.

    What was decided at this kiosk stands (badges given, freed or blocked, people removed); where the service says
    otherwise, that is told. People the service does not list are left alone.
    """
    client = run.client()
    with working("Reading the service's people"):
        report = client.employees_sync(assignments)
    run.show(client, report, staff_screen)


@employees.command(
    "remove",
    short_help="Remove a person and free their badges.",
    epilog=example("punchctl employees remove 9170357", "punchctl employees remove 9170357 --forget"),
)
@click.argument("user_id")
@click.option("--forget", is_flag=True, help="Erase the name and badges too, also of one removed before; for ever.")
@common
@click.pass_obj
def cmd_employees_remove(run: Run, user_id: str, forget: bool) -> None:
    """Remove USER_ID and free the badges; punches already taken still go."""
    client = run.client()
    if forget:
        run.show(client, client.employees_remove(user_id, forget=True), screens.forgotten)
        return
    run.show(
        client,
        client.employees_remove(user_id),
        lambda one, look: look.wrapped(f"removed {one['name']} ({one['user_id']})"),
    )


@click.group("badges")
@common
def badges() -> None:
    """Badges: who has which."""


@badges.command(
    "assign",
    short_help="Give BADGE to USER_ID, with its kept taps.",
    epilog=example("punchctl badges assign 04A2B3C4 9170357"),
)
@click.argument("badge")
@click.argument("user_id")
@click.option("--since", type=Instant(), help="Make punches of the taps kept since then (default: the last 7 days).")
@common
@click.pass_obj
def cmd_badges_assign(run: Run, badge: str, user_id: str, since: float | None) -> None:
    """Give BADGE to USER_ID; taps kept for it become punches with their own time."""
    client = run.client()
    run.show(
        client,
        client.badges_assign(badge, user_id, since),
        lambda one, look: look.wrapped(
            f"{one['badge']} belongs to {one['name']} ({one['user_id']}); "
            f"{counted(len(one['punches']), 'kept tap became a punch', 'kept taps became punches')}"
        ),
    )


@badges.command("enroll", epilog=example("punchctl badges enroll 9170357 --timeout 30"))
@click.argument("user_id")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.IntRange(1, 600),
    default=60,
    show_default=True,
    help="Seconds to wait for the tap.",
)
@common
@click.pass_obj
def cmd_badges_enroll(run: Run, user_id: str, timeout_s: int) -> None:
    """Give the next badge that is tapped to USER_ID. Ctrl-C stops waiting."""
    client = run.client()
    # On standard error, so that --json stays one document.
    print(
        f"Tap the badge for {user_id} on any reader now ({timeout_s} s, Ctrl-C to stop) …", file=sys.stderr, flush=True
    )
    run.show(
        client,
        client.badges_enroll(user_id, timeout_s),
        lambda one, look: look.wrapped(f"{one['badge']} belongs to {one['name']} ({one['user_id']})"),
    )


@badges.command("block", epilog=example("punchctl badges block 04A2B3C4"))
@click.argument("badge")
@common
@click.pass_obj
def cmd_badges_block(run: Run, badge: str) -> None:
    """Refuse BADGE from now on (it was lost)."""
    client = run.client()
    run.show(client, client.badges_block(badge), lambda one, _look: f"{one['badge']} is blocked")


@badges.command("remove", epilog=example("punchctl badges remove 04A2B3C4"))
@click.argument("badge")
@common
@click.pass_obj
def cmd_badges_remove(run: Run, badge: str) -> None:
    """Free BADGE, assigned or blocked."""
    client = run.client()
    run.show(client, client.badges_remove(badge), lambda one, _look: f"{one['badge']} is free")


@badges.command("list", epilog=example("punchctl badges list"))
@common
@click.pass_obj
def cmd_badges_list(run: Run) -> None:
    """All badges that are assigned or blocked."""
    client = run.client()
    run.show(client, client.badges(), screens.badges_screen)


@badges.command("unknown", epilog=example("punchctl badges unknown"))
@common
@click.pass_obj
def cmd_badges_unknown(run: Run) -> None:
    """Badges that were tapped and that nobody owns yet."""
    client = run.client()
    run.show(client, client.badges_unknown(), screens.unknown_screen)
