"""The configuration: one TOML file, every key with unit, default and limits.

`load(path)` returns a `Config` or raises ConfigError with *all* problems, each with file, key and remedy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

from daemon.model import ReaderDirection


@dataclass(frozen=True, slots=True)
class KioskConfig:
    """[kiosk]"""

    name: str
    timezone: ZoneInfo
    state_dir: Path
    runtime_dir: Path


@dataclass(frozen=True, slots=True)
class AttendanceConfig:
    """[attendance]"""

    repeat_tap_s: float = 60
    max_shift_s: int = 14 * 3600
    after_auto_clock_out: str = "review"  # review | correct


@dataclass(frozen=True, slots=True)
class ConnecteamConfig:
    """[connecteam]. Exactly one of api_key_file, the systemd credential, or the OAuth pair gives the key."""

    time_clock_id: int
    base_url: str = "https://api.connecteam.com"
    api_key_file: Path | None = None
    oauth_client_id: str | None = None
    oauth_client_secret_file: Path | None = None
    lookback_s: int = 12 * 3600
    lookback_margin_s: int = 600
    requests_per_minute: int = 60
    timeout_s: float = 15
    settle_s: float = 5
    backoff_max_s: float = 300
    close_late_by_update: bool = True
    batch_pairs: str = "when_scarce"  # when_scarce | never


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
    path: Path | None = None
