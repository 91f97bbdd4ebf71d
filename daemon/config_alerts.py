"""[alerts]: where alarms go besides the status, and when they do not."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.config_read import Problem, Raw
from daemon.config_secrets import secret_problems


@dataclass(frozen=True, slots=True)
class AlertsConfig:
    """[alerts]. `quiet` is from and to in minutes after midnight, in the kiosk's zone; None: always awake."""

    url: str | None = None
    secret_file: Path | None = None
    command: tuple[str, ...] = ()
    quiet: tuple[int, int] | None = None
    gap_s: float = 900
    queue_hours: float = 6
    silent_reader_hours: float = 24


def alerts_config(values: Mapping[str, Any]) -> AlertsConfig:
    """The section, from its checked values."""
    return AlertsConfig(
        url=values["url"],
        secret_file=values["secret_file"],
        command=values["command"] or (),
        quiet=values["quiet"] or None,
        gap_s=values["gap_minutes"] * 60,
        queue_hours=values["queue_hours"],
        silent_reader_hours=values["silent_reader_hours"],
    )


def alerts_problems(raw: Raw) -> list[Problem]:
    """What does not fit together, or cannot be used."""
    values, given = raw.section("alerts"), raw.given("alerts")
    problems = []
    if "url" in given and "secret_file" not in given:
        remedy = "write a long random text into a file, name it here, and give it to the receiver"
        problems.append(raw.problem("alerts.secret_file", "is missing beside url", remedy))
    if "secret_file" in given and "url" not in given:
        problems.append(raw.problem("alerts.url", "is missing beside secret_file", "give both, or neither"))
    if values.get("secret_file") is not None:
        problems += secret_problems(raw, "alerts.secret_file", values["secret_file"])
    if values.get("command"):
        problems += _command_problems(raw, Path(values["command"][0]))
    return problems


def _command_problems(raw: Raw, program: Path) -> list[Problem]:
    key = "alerts.command"
    if not program.is_absolute():
        return [raw.problem(key, f'"{program}" is not a whole path', "begin it with /; no shell looks for it")]
    if not os.path.isfile(program):  # unlike Path.is_file it does not raise where this user may not look
        return [raw.problem(key, f"{program} does not exist", "install it, or name the right file")]
    if not os.access(program, os.X_OK):
        return [raw.problem(key, f"{program} cannot be executed by this user", f"chmod 755 {program}")]
    return []
