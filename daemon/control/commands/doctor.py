"""The kiosk's check-up."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from daemon.control.commands.base import Run, common, example, print_json
from daemon.control.render import Look

if TYPE_CHECKING:
    from daemon.control.doctor.findings import Finding


@click.command(
    "doctor",
    short_help="Find what is wrong, and how to mend it.",
    epilog=example("punchctl doctor", "punchctl doctor --config /etc/punchd/punchd.toml --json"),
)
@click.option("--config", "config", metavar="FILE", type=click.Path(path_type=Path),
              help="The configuration (default: the running daemon's, else /etc/punchd/punchd.toml).")  # fmt: skip
@common
@click.pass_obj
def cmd_doctor(run: Run, config: Path | None) -> None:
    """Check the kiosk, also while the daemon is down, and say how to mend each finding. Exit code 1 with a problem."""
    # Here and not on top: no other command reads the configuration and the database.
    from daemon.control.doctor.examination import examined
    from daemon.control.doctor.machine import Machine

    client = run.client()
    card_service = os.environ.get("PCSCLITE_CSOCK_NAME")
    machine = Machine(pcscd_socket=Path(card_service)) if card_service else Machine()
    findings = examined(client, config, machine)
    if run.json:
        print_json([finding.document() for finding in findings])
    else:
        print(doctor_screen(findings, run.look(client)))
    run.code = 1 if any(finding.severity == "problem" for finding in findings) else 0


def doctor_screen(findings: list[Finding], look: Look) -> str:
    """Problems first, each with what mends it; what is well in a line each."""
    blocks = []
    for severity, style in (("problem", "bad"), ("warning", "warn")):
        for finding in findings:
            if finding.severity == severity:
                lines = [look.paint(f"{severity}: {finding.code}", style), look.wrapped(finding.text, "  ")]
                blocks.append("\n".join([*lines, look.wrapped(f"-> {finding.remedy}", "  ")]))
    well = [look.wrapped(f"ok: {finding.text}") for finding in findings if finding.severity == "ok"]
    counted = {word: sum(finding.severity == word for finding in findings) for word in ("problem", "warning")}
    total = ", ".join(f"{count} {word}{'' if count == 1 else 's'}" for word, count in counted.items())
    return "\n\n".join([*blocks, "\n".join(well), look.paint(total, "strong")])
