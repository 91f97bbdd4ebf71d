"""What `punchd check` advises: settings that are allowed and work, but that people on other kiosks came to regret."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from daemon.config import Config
from daemon.config_read import Remark
from daemon.model import ReaderDirection

#: Hours are asked about for as long as a month's pay can be corrected.
KEPT_LEAST_DAYS = 62
#: What is there only until the power goes.
_VOLATILE = (Path("/run"), Path("/tmp"), Path("/dev/shm"))


class Advice(Remark):
    """Something that is no mistake: what may come of it, and what is safer."""


def advise(config: Config) -> tuple[Advice, ...]:
    """All there is to say of a configuration that can be used. Pure."""
    file = config.path or Path()
    return tuple(Advice(file, *said) for said in _said(config))


def _said(config: Config) -> Iterator[tuple[str, str, str]]:
    toggles = [reader for reader in config.readers if reader.direction is ReaderDirection.TOGGLE]
    if toggles:
        yield (
            "readers.direction",
            f"{', '.join(reader.name for reader in toggles)}: where another kiosk serves this time clock too, this one "
            "may not know yet what somebody tapped there, and take their going for their coming",
            'with more than one, fixed directions are safer: direction = "clock_in" at one reader, "clock_out" at the '
            "other",
        )
    if not config.readers:
        yield "readers", "there is no reader: nobody can tap", "add [[readers]] with a name and a driver"
    simulated = [reader.name for reader in config.readers if reader.driver == "simulated"]
    if simulated and config.connecteam.base_url.startswith("https:"):
        yield (
            "readers.driver",
            f"{', '.join(simulated)} is simulated: whoever may use control.sock taps for anybody, on a real timesheet",
            "use pcsc or evdev where people tap",
        )
    if config.attendance.repeat_tap_s == 0:
        yield (
            "attendance.repeat_tap_seconds",
            "0 makes two punches of a badge that is held twice",
            "give at least 5",
        )
    if config.alerts.url is None and not config.alerts.command:
        yield (
            "alerts",
            "nobody is told when something is wrong: it shows in punchctl status only",
            "give [alerts] a url or a command",
        )
    if 0 < config.delivered_days < KEPT_LEAST_DAYS:
        yield (
            "retention.delivered_days",
            f"after {config.delivered_days} days nobody can look here who tapped when",
            f"keep at least {KEPT_LEAST_DAYS}, until that month's pay is settled",
        )
    if any(config.kiosk.state_dir.is_relative_to(place) for place in _VOLATILE):
        yield (
            "kiosk.state_dir",
            f"{config.kiosk.state_dir} is emptied by a power cut or a restart, and punches that wait there are gone",
            "name a directory on a disk, such as /var/lib/punchd",
        )
