"""Whether what is stored is still what was stored: through the daemon, or from its database where it is down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from daemon.control.commands.base import FailedError, Run, common, example, print_json, working

#: As daemon/queue/verify.py says it; here for the answer of a daemon.
_WRONG = {
    "changed": "is not as it was stored",
    "missing": "was stored and is gone, without having been pruned",
    "unlinked": "is there, and nothing shows that punchd stored it",
    "link": "has a damaged link, so that nothing vouches for it",
}


@click.command(
    "verify",
    short_help="See whether anything stored has changed.",
    epilog=example("punchctl verify", "punchctl verify --database /var/lib/punchd/punchd.db --json"),
)
@click.option("--database", metavar="FILE", type=click.Path(path_type=Path),
              help="Read this database file instead of asking the daemon, which may be down.")  # fmt: skip
@common
@click.pass_obj
def cmd_verify(run: Run, database: Path | None) -> None:
    """Hold every punch against the chain of digests; name what is not as it was stored. Exit code 1 where anything is.

    This finds damage and silent changes. It is no signature: who can write the whole file can also make a new chain.
    """
    with working("Checking every punch"):
        answer = run.client().verify() if database is None else _from_database(database)
    if run.json:
        print_json(answer)
    else:
        print("\n".join(verify_screen(answer)))
    run.code = 0 if answer["sound"] else 1


def _from_database(path: Path) -> dict[str, Any]:
    # Here and not on top: no other command needs a database.
    from daemon.errors import StorageError
    from daemon.queue.export import open_read_only
    from daemon.queue.verify import verify

    try:
        with open_read_only(path) as conn:
            return verify(conn).document()
    except StorageError as error:
        raise FailedError({"code": error.code, "detail": error.message}) from error


def verify_screen(answer: dict[str, Any]) -> list[str]:
    """In words."""
    lines = []
    for one in answer["wrong"]:
        who = f" of {one['user_id']}" if one["user_id"] else ""
        when = f" ({one['at']})" if one["at"] else ""
        what = "punch" if one["kind"] == "punch" else "kept tap"
        name = one["id"] or f"of link {one['link']}"
        lines.append(f"{what} {name}{who}{when} {_WRONG[one['what']]}")
    if answer["wrong_total"] > len(answer["wrong"]):
        lines.append(f"… and {answer['wrong_total'] - len(answer['wrong'])} more")
    if answer["broken_link"] is not None:
        since = f", since {answer['broken_since']}" if answer["broken_since"] else ""
        lines.append(f"the chain is broken at link {answer['broken_link']}{since}")
    held = f"{answer['punches']} punches and {answer['kept_taps']} kept taps, {answer['links']} links"
    if answer["sound"]:
        words = {"adopted": "when the chain began", "salvaged": "by a salvage"}
        notes = ", ".join(f"{answer[word]} linked {text}" for word, text in words.items() if answer[word])
        return [f"all verified: {held}{f' ({notes})' if notes else ''}", "head of the chain:", f"  {answer['head']}"]
    return [*lines, f"{answer['wrong_total']} wrong of {held}",
            "-> Stop the service, keep a copy of the state directory, then: punchd salvage --config FILE"]  # fmt: skip
