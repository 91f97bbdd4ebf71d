"""One visit: everything that can be looked at from here, the daemon running or not."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from daemon.control.client import Client, RefusedByDaemonError, SocketPathError, UnreachableError
from daemon.control.doctor import files
from daemon.control.doctor.answers import Answers, judge
from daemon.control.doctor.findings import Finding, fine, found
from daemon.control.doctor.machine import Machine

if TYPE_CHECKING:
    from daemon.config import Config

#: Where the package puts it.
CONFIG = Path("/etc/punchd/punchd.toml")
DATABASE = "punchd.db"


def examined(client: Client, config_path: Path | None, machine: Machine) -> list[Finding]:
    """All findings: the daemon first, then what it says, the configuration, the database, the machine."""
    answers, findings = ask(client)
    status = answers.status if answers else {}
    config_file = config_path or Path(status.get("config_file") or CONFIG)
    config, of_config = files.configuration(config_file, runs=answers is not None)
    database = Path(status["database"]) if status else config.kiosk.state_dir / DATABASE if config else None
    if answers is not None:
        findings += [*machine.supervised(client.path), *judge(answers)]
        findings += machine.sockets(client.path.parent)
    findings += of_config
    if database is not None:
        findings += files.database(database, runs=answers is not None)
        findings += machine.disk(files.there(database.parent.absolute()))
    return _once(findings + _readers(answers, config, database, machine))


def ask(client: Client) -> tuple[Answers | None, list[Finding]]:
    """What the daemon answers, None where it does not."""
    try:
        answers = Answers(client.status(), client.review(), client.badges_unknown(), len(client.employees()))
    except (UnreachableError, SocketPathError) as error:
        return None, [found("daemon_unreachable", str(error))]
    except RefusedByDaemonError as error:
        return None, [found("daemon_unreachable", f"the daemon answers, but cannot tell: {error}")]
    return answers, [fine("daemon", f"punchd {answers.status['version']} answers at {client.path}")]


def _readers(answers: Answers | None, config: Config | None, database: Path | None, machine: Machine) -> list[Finding]:
    """What kinds of readers need of the machine; nothing for kinds that are not used."""
    drivers = {reader.driver for reader in config.readers} if config else set()
    if answers is not None:
        drivers = {reader["driver"] for reader in answers.status["readers"]}
    findings: list[Finding] = []
    if "pcsc" in drivers:
        findings += [*machine.card_service(), *machine.kernel_modules()]
    if "evdev" in drivers:
        matches = [reader.match for reader in config.readers if reader.driver == "evdev"] if config else []
        findings += machine.scanners(matches, _owner(database))
    if config is not None and not config.readers and answers is None:
        findings.append(found("no_readers", "no reader is configured: nobody can tap"))
    return findings


def _owner(database: Path | None) -> int:
    """Whose the state directory is: the user that runs the service."""
    try:
        return database.parent.stat().st_uid if database else os.geteuid()
    except OSError:
        return os.geteuid()


def _once(findings: list[Finding]) -> list[Finding]:
    """Each code and text once: the daemon and the machine may have told the same."""
    return list(dict.fromkeys(findings))
