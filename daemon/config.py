"""The configuration: one TOML file, every key with unit, default and limits.

`load(path)` returns a `Config` or raises ConfigError with *all* problems, each with file, key and remedy;
`examine(path)` returns both, for `punchd check`. The keys themselves stand in daemon/config_spec.py.
"""

from __future__ import annotations

import grp
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from daemon.config_alerts import AlertsConfig, alerts_config, alerts_problems
from daemon.config_read import Problem, Raw, read
from daemon.config_secrets import Credentials, find_credentials
from daemon.errors import ConfigError
from daemon.model import ReaderDirection

#: The database in the state directory, and the second copy where no other place is configured.
DATABASE = "punchd.db"
COPY = "punchd.copy"


@dataclass(frozen=True, slots=True)
class KioskConfig:
    """[kiosk]"""

    name: str
    timezone: ZoneInfo
    state_dir: Path
    runtime_dir: Path
    admin_group: str | None = None


@dataclass(frozen=True, slots=True)
class AttendanceConfig:
    """[attendance]"""

    repeat_tap_s: float = 60
    max_shift_s: int = 14 * 3600
    after_auto_clock_out: str = "review"  # review | correct


@dataclass(frozen=True, slots=True)
class ConnecteamConfig:
    """[connecteam]. Exactly one of api_key_file, the systemd credential, or the OAuth pair gives the key.

    A systemd credential stands in `api_key_file` as the path systemd gave it.
    """

    time_clock_id: int
    base_url: str = "https://api.connecteam.com"
    api_key_file: Path | None = None
    oauth_client_id: str | None = None
    oauth_client_secret_file: Path | None = None
    lookback_s: int = 12 * 3600
    lookback_margin_s: int = 600
    requests_per_minute: int = 60
    requests_per_day: int | None = None
    timeout_s: float = 15
    settle_s: float = 5
    backoff_max_s: float = 300
    close_late_by_update: bool = True
    batch_pairs: str = "when_scarce"  # when_scarce | never
    badge_field: str = ""


@dataclass(frozen=True, slots=True)
class ReaderConfig:
    """[[readers]]"""

    name: str
    driver: str  # simulated | pcsc | evdev
    match: str = ""
    direction: ReaderDirection = ReaderDirection.TOGGLE
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """Everything, validated."""

    kiosk: KioskConfig
    connecteam: ConnecteamConfig
    attendance: AttendanceConfig = field(default_factory=AttendanceConfig)
    readers: tuple[ReaderConfig, ...] = ()
    metrics_listen: str = ""
    delivered_days: int = 400
    copy_path: Path | None = None  # None: beside the database
    alerts: AlertsConfig = field(default_factory=AlertsConfig)
    path: Path | None = None

    @property
    def database(self) -> Path:
        """The database."""
        return self.kiosk.state_dir / DATABASE

    @property
    def second_copy(self) -> Path:
        """The second copy of the punches."""
        return self.copy_path or self.kiosk.state_dir / COPY


class ConfigProblems(ConfigError):
    """The configuration cannot be used; `problems` holds every reason at once."""

    def __init__(self, path: Path, problems: tuple[Problem, ...]) -> None:
        listed = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"cannot use the configuration {path}: {len(problems)} problem(s)\n{listed}")
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Examined:
    """What came of reading a configuration: `config` is None exactly when there are problems."""

    config: Config | None
    problems: tuple[Problem, ...]


def load(path: Path, environment: Mapping[str, str] | None = None) -> Config:
    """Read the file and everything it names. Raises ConfigProblems with all problems at once."""
    examined = examine(path, environment)
    if examined.config is None:
        raise ConfigProblems(path, examined.problems)
    return examined.config


def examine(path: Path, environment: Mapping[str, str] | None = None) -> Examined:
    """Read the file and everything it names; never raises for what stands there.

    `environment` (default: the process's own) gives STATE_DIRECTORY, RUNTIME_DIRECTORY and CREDENTIALS_DIRECTORY.
    """
    environment = os.environ if environment is None else environment
    raw = read(path)
    problems = list(raw.problems)
    credentials = Credentials()
    if raw.parsed:
        credentials, found = find_credentials(raw, environment)
        problems += found
        problems += _directory_problems(raw, environment)
        problems += _cross_problems(raw)
        problems += alerts_problems(raw)
        problems += _copy_problems(raw)
    if problems:
        return Examined(None, tuple(problems))
    return Examined(_config(raw, credentials, environment), ())


def _config(raw: Raw, credentials: Credentials, environment: Mapping[str, str]) -> Config:
    connecteam, attendance = raw.section("connecteam"), raw.section("attendance")
    return Config(
        kiosk=KioskConfig(
            name=raw.section("kiosk")["name"],
            timezone=raw.section("kiosk")["timezone"],
            state_dir=_directory(raw, "state_dir", environment),
            runtime_dir=_directory(raw, "runtime_dir", environment),
            admin_group=raw.section("kiosk")["admin_group"] or None,
        ),
        connecteam=ConnecteamConfig(
            time_clock_id=connecteam["time_clock_id"],
            base_url=connecteam["base_url"],
            api_key_file=credentials.api_key_file,
            oauth_client_id=credentials.oauth_client_id,
            oauth_client_secret_file=credentials.oauth_client_secret_file,
            lookback_s=round(connecteam["lookback_hours"] * 3600),
            lookback_margin_s=round(connecteam["lookback_margin_minutes"] * 60),
            requests_per_minute=connecteam["requests_per_minute"],
            requests_per_day=connecteam["requests_per_day"],
            timeout_s=connecteam["timeout_seconds"],
            settle_s=connecteam["settle_seconds"],
            backoff_max_s=connecteam["backoff_max_seconds"],
            close_late_by_update=connecteam["close_late_by_update"],
            batch_pairs=connecteam["batch_pairs"],
            badge_field=connecteam["badge_field"],
        ),
        attendance=AttendanceConfig(
            repeat_tap_s=attendance["repeat_tap_seconds"],
            max_shift_s=round(attendance["max_shift_hours"] * 3600),
            after_auto_clock_out=attendance["after_auto_clock_out"],
        ),
        readers=tuple(_reader(values) for values in raw.readers),
        metrics_listen=raw.section("metrics")["listen"],
        delivered_days=raw.section("retention")["delivered_days"],
        copy_path=raw.section("copy")["path"],
        alerts=alerts_config(raw.section("alerts")),
        path=raw.path,
    )


def _reader(values: Mapping[str, Any]) -> ReaderConfig:
    return ReaderConfig(
        name=values["name"],
        driver=values["driver"],
        match=values["match"],
        direction=ReaderDirection(values["direction"]),
        job_id=values["job_id"] or None,
    )


# --- directories ----------------------------------------------------------------------------------

#: systemd names the directory in a variable; without it (a shell, an init script) the package's own place is meant.
_DIRECTORIES = {
    "state_dir": ("STATE_DIRECTORY", "/var/lib/punchd"),
    "runtime_dir": ("RUNTIME_DIRECTORY", "/run/punchd"),
}


def _directory(raw: Raw, key: str, environment: Mapping[str, str]) -> Path:
    """A directory as configured, as systemd gave it (the first, where it gave several), or as packaged."""
    given: Path | None = raw.section("kiosk").get(key)
    variable, packaged = _DIRECTORIES[key]
    return given or Path(environment.get(variable, "").split(":")[0] or packaged)


def _directory_problems(raw: Raw, environment: Mapping[str, str]) -> list[Problem]:
    """What is there must be usable; what is missing is made at the start, or by systemd."""
    problems = []
    for key in _DIRECTORIES:
        if raw.section("kiosk").get(key, "") is None and key in raw.given("kiosk"):
            continue  # its value was wrong and has been named already
        path = _directory(raw, key, environment)
        # Not Path.exists: it raises where this user may not even look.
        there = os.path.lexists(path)
        if there and not os.path.isdir(path):
            problems.append(raw.problem(f"kiosk.{key}", f"{path} is not a directory", "give a directory"))
        elif there and key == "state_dir" and not os.access(path, os.W_OK | os.X_OK) and not _is_read_only(path):
            remedy = "give it to the user of the service (chown punchd:), mount it writable, or name another"
            problems.append(raw.problem(f"kiosk.{key}", f"cannot write in {path} as this user", remedy))
    return problems


def _is_read_only(path: Path) -> bool:
    """Whether its file system is: no mistake of this file, but what a disk comes to. The start says so, and is tried
    again; what is wrong here is final."""
    with suppress(OSError):
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    return False


def _copy_problems(raw: Raw) -> list[Problem]:
    """A medium that is not there now is no mistake: taps are taken without it."""
    path: Path | None = raw.section("copy").get("path")
    if path is None:
        return []
    if not path.is_absolute():
        return [raw.problem("copy.path", f'"{path}" is not a whole path', "begin it with /")]
    if os.path.lexists(path) and not os.path.isfile(path):
        return [raw.problem("copy.path", f"{path} is not a file", "name a file in a directory of that medium")]
    if path.name in ("punchd.db", "punchd.db-wal", "punchd.lock"):
        return [raw.problem("copy.path", f"{path} has the name of another file of punchd", "call it punchd.copy")]
    return []


# --- keys that must agree -------------------------------------------------------------------------


def _cross_problems(raw: Raw) -> list[Problem]:
    problems = []
    connecteam = raw.section("connecteam")
    lookback, margin = connecteam.get("lookback_hours"), connecteam.get("lookback_margin_minutes")
    if lookback is not None and margin is not None and margin * 60 >= lookback * 3600:
        text = f"{margin:g} minutes are not less than lookback_hours ({lookback:g} h): nothing could be sent live"
        problems.append(raw.problem("connecteam.lookback_margin_minutes", text, "make it shorter, such as 10"))
    return problems + _group_problems(raw) + _reader_problems(raw)


def _group_problems(raw: Raw) -> list[Problem]:
    group = raw.section("kiosk").get("admin_group")
    if not group:
        return []
    try:
        grp.getgrnam(group)
    except KeyError:
        return [raw.problem("kiosk.admin_group", f'there is no group "{group}"', f"groupadd --system {group}")]
    return []


def _reader_problems(raw: Raw) -> list[Problem]:
    problems: list[Problem] = []
    names: dict[str, int] = {}
    hardware: dict[tuple[str, str], int] = {}
    for number, values in enumerate(raw.readers, 1):
        name, driver, match = values.get("name"), values.get("driver"), values.get("match")
        if name is not None and name in names:
            text = f'"{name}" is already the name of readers[{names[name]}]'
            problems.append(raw.problem(f"readers[{number}].name", text, "give each reader a name of its own"))
        elif name is not None:
            names[name] = number
        if driver in ("pcsc", "evdev") and match is not None:
            if (driver, match) in hardware:
                text = f'readers[{hardware[driver, match]}] already takes the {driver} reader that matches "{match}"'
                problems.append(raw.problem(f"readers[{number}].match", text, "say which reader each of them is"))
            hardware.setdefault((driver, match), number)
    return problems
