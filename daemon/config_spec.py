"""Every key of the configuration, once: type, unit, limits, default, help.

The loader, `config.example.toml` (`python -m daemon.config_spec` prints it) and docs all come from this table.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final


class Kind(enum.Enum):
    """What a value must be; daemon/config_read.py has one check for each."""

    TEXT = "text"
    WHOLE = "whole number"
    NUMBER = "number"
    SWITCH = "true or false"
    CHOICE = "one of a few words"
    PATH = "path"
    ZONE = "IANA time zone"
    URL = "address of a service"
    LISTEN = "address to listen on"
    WEBHOOK = "address that takes messages"
    COMMAND = "list of a program and its arguments"
    HOURS = "hours of the day"


class Needed(enum.Enum):
    """Stands as the default of a key that has none."""

    REQUIRED = "required"


REQUIRED: Final = Needed.REQUIRED


@dataclass(frozen=True, slots=True)
class Key:
    """One key. `example` is what the example file shows where there is no default, or another value says more."""

    section: str
    name: str
    kind: Kind
    help: str
    default: str | float | bool | Needed | None = REQUIRED
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    example: str | float | bool | tuple[str, ...] | None = None
    commented: bool = False  # the example file shows it, but does not set it

    def limits(self) -> str:
        """Unit, choices, limits and default in words."""
        words = []
        if self.choices:
            words.append(" | ".join(self.choices))
        if self.minimum is not None and self.maximum is None:
            words.append(f"from {self.minimum:g}")
        elif self.minimum is not None and self.maximum is not None:
            words.append(f"{self.minimum:g} to {self.maximum:g}{f' {self.unit}' if self.unit else ''}")
        if self.default is REQUIRED:
            words.append("required")
        elif self.default is None:
            words.append("default: none")
        else:
            words.append(f"default {toml(self.default)}")
        return "; ".join(words)


@dataclass(frozen=True, slots=True)
class Section:
    """One table of the file. `repeated` ones are written [[name]] and may stand any number of times."""

    name: str
    help: str
    repeated: bool = False


SECTIONS: Final = (
    Section("kiosk", "This box."),
    Section("attendance", "How taps become clock-ins and clock-outs."),
    Section("connecteam", "Where the punches go. The key never stands in this file; it is given in one of three ways:"
            " api_key_file; a systemd credential named connecteam-api-key; or oauth_client_id with"
            " oauth_client_secret_file."),
    Section("readers", "One table a reader, as many as there are.", repeated=True),
    Section("metrics", "Numbers for a monitoring system, in OpenMetrics text."),
    Section("retention", "What is kept, and for how long."),
    Section("copy", "The second copy of every punch, a file of lines that is synced before the person sees success."),
    Section("alerts", "Where alarms go besides punchctl status, each once when it is raised and once when it is over"
            " (docs/alarms.md)."),
)  # fmt: skip

KEYS: Final = (
    Key("kiosk", "name", Kind.TEXT, "The name of this kiosk; it stands in notes on the timesheet.",
        example="front-door",
        minimum=1, maximum=64, unit="characters"),
    Key("kiosk", "timezone", Kind.ZONE, "The IANA time zone of this place.", example="Europe/Amsterdam"),
    Key("kiosk", "state_dir", Kind.PATH, "The directory of the database. $STATE_DIRECTORY (systemd gives it) where"
        " not set,"
        " /var/lib/punchd where that is not set either.", None, example="/var/lib/punchd", commented=True),
    Key("kiosk", "runtime_dir", Kind.PATH, "The directory of the sockets. $RUNTIME_DIRECTORY (systemd gives it)"
        " where not set,"
        " /run/punchd where that is not set either.", None, example="/run/punchd", commented=True),
    Key("kiosk", "admin_group", Kind.TEXT, "The group whose members may act through control.sock as root may; empty for"
        " none.", "",
        "characters", 0, 32),

    Key("attendance", "repeat_tap_seconds", Kind.NUMBER, "A second tap of one person inside this is the same tap.",
        60, "seconds", 0, 3600),
    Key("attendance", "max_shift_hours", Kind.NUMBER, "A longer gap is never taken for one shift.", 14, "hours",
        0.01, 36),
    Key("attendance", "after_auto_clock_out", Kind.CHOICE, "When the service ended a shift by itself before the"
        " person left:"
        " leave it to a person, or correct its end.", "review", choices=("review", "correct")),

    Key("connecteam", "base_url", Kind.URL, "Where the service is. Plain http is accepted for loopback only.",
        "https://api.connecteam.com"),
    Key("connecteam", "time_clock_id", Kind.WHOLE, "The number of the time clock, as its address in Connecteam"
        " shows it.",
        example=12345, minimum=1),
    Key("connecteam", "api_key_file", Kind.PATH, "A file with the API key alone, not readable by everybody. A"
        " changed file"
        " is taken up without a restart.", None, example="/etc/punchd/connecteam.key"),
    Key("connecteam", "oauth_client_id", Kind.TEXT, "The client id of an OAuth app with the scopes"
        " account_information.read,"
        " users.read, jobs.read, time_clock.read and time_clock.write.", None, example="punchd-front-door", minimum=1,
        maximum=200, unit="characters", commented=True),
    Key("connecteam", "oauth_client_secret_file", Kind.PATH, "A file with that app's secret alone, not readable by"
        " everybody.",
        None, example="/etc/punchd/connecteam.secret", commented=True),
    Key("connecteam", "lookback_hours", Kind.NUMBER, "How far back the service accepts a live punch.", 12, "hours",
        0.01, 12),
    Key("connecteam", "lookback_margin_minutes", Kind.NUMBER, "How much earlier than that a punch counts as expired.",
        10, "minutes", 0, 120),
    Key("connecteam", "requests_per_minute", Kind.WHOLE, "Our own ceiling, under whatever the service allows.",
        60, "requests a minute", 1, 10000),
    Key("connecteam", "requests_per_day", Kind.WHOLE, "The account's requests a day, where the service does not tell"
        " them; its days begin at 00:00 UTC.", None, "requests a day", 1, 1000000, example=100, commented=True),
    Key("connecteam", "timeout_seconds", Kind.NUMBER, "How long one request may take.", 15, "seconds", 0.1, 120),
    Key("connecteam", "settle_seconds", Kind.NUMBER, "The wait before looking up what an unanswered request did.",
        5, "seconds", 0, 300),
    Key("connecteam", "backoff_max_seconds", Kind.NUMBER, "The longest pause between tries while the service is out"
        " of reach.",
        300, "seconds", 0.1, 3600),
    Key("connecteam", "close_late_by_update", Kind.SWITCH, "Whether an open shift too old for a live clock-out is"
        " given its end"
        " by an update.", True),
    Key("connecteam", "batch_pairs", Kind.CHOICE, "Whether fresh pairs go together in one request when the"
        " account's budget"
        " does not carry them one by one.", "when_scarce", choices=("when_scarce", "never")),
    Key("connecteam", "badge_field", Kind.TEXT, "The name of the custom text field of users that holds their badge"
        " number, for punchctl employees sync; empty for none.", "", "characters", 0, 100),

    Key("readers", "name", Kind.TEXT, "The name of this reader.", example="front", minimum=1, maximum=64,
        unit="characters"),
    Key("readers", "driver", Kind.CHOICE, "How it is read: an NFC reader (pcsc), a scanner that types (evdev), or"
        " none at all.",
        example="pcsc", choices=("simulated", "pcsc", "evdev")),
    Key("readers", "match", Kind.TEXT, "Which one: for pcsc a part of the reader's name; for evdev a by-id path,"
        " vendor:product"
        " or name; empty for the only one there is.", "", "characters", 0, 200),
    Key("readers", "direction", Kind.CHOICE, "Whether its taps go in and out by turns, or always one way.", "toggle",
        choices=("toggle", "clock_in", "clock_out")),
    Key("readers", "job_id", Kind.TEXT, "The job of punches of this reader where the employee has none; empty for"
        " none.", "",
        "characters", 0, 100),

    Key("metrics", "listen", Kind.LISTEN, "Where to serve them over HTTP, such as 127.0.0.1:9464; empty for"
        " nowhere.", ""),

    Key("retention", "delivered_days", Kind.WHOLE, "Delivered punches, and taps that became nothing, are"
        " removed after this (not before the third day), never anything else; 0 keeps all.",
        400, "days", 0, 36500),

    Key("copy", "path", Kind.PATH, "The file of the second copy: best on another medium than the database, in a"
        " directory that is there only with the medium (docs/kiosk.md). punchd.copy in the state directory by default.",
        None, example="/media/punches/copy/punchd.copy", commented=True),

    Key("alerts", "url", Kind.WEBHOOK, "Where to POST them as JSON, signed with the secret. Plain http is accepted for"
        " loopback only.", None, example="https://alerts.example.org/punchd", commented=True),
    Key("alerts", "secret_file", Kind.PATH, "A file with the secret shared with that receiver alone, not readable by"
        " everybody.", None, example="/etc/punchd/alerts.secret", commented=True),
    Key("alerts", "command", Kind.COMMAND, "A program that is run with the JSON on its standard input, without a shell;"
        " its whole path, and its arguments.", None, example=("/usr/local/bin/tell", "--kiosk"), commented=True),
    Key("alerts", "quiet", Kind.HOURS, 'Between these hours of the kiosk\'s day alarms are kept back, such as'
        ' "22:00-06:00"; those that cannot wait come all the same. Empty for never.', ""),
    Key("alerts", "gap_minutes", Kind.NUMBER, "Whatever comes and goes, one alarm is told at most this often.", 15,
        "minutes", 0, 1440),
    Key("alerts", "queue_hours", Kind.NUMBER, "Punches that have waited longer than this to be delivered are an alarm;"
        " 0 for never.", 6, "hours", 0, 1000),
    Key("alerts", "silent_reader_hours", Kind.NUMBER, "A reader that is open and was not heard for at least this long,"
        " and for twice its longest pause so far, is an alarm; of several readers only while people tap at another. 0"
        " for never.", 24, "hours", 0, 8760),
)  # fmt: skip


def keys_of(section: str) -> dict[str, Key]:
    """The keys of one section by name."""
    return {key.name: key for key in KEYS if key.section == section}


def toml(value: str | float | bool | tuple[str, ...] | Needed | None) -> str:
    """A value as TOML writes it (none of ours needs escapes)."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return f"[{', '.join(toml(one) for one in value)}]"
    return str(value)


def example() -> str:
    """config.example.toml, whole."""
    lines = [
        "# The configuration of punchd: every key there is, with its unit, limits and default.",
        "# `punchd check --config FILE` says what is wrong with a file, all at once.",
    ]
    for section in SECTIONS:
        lines += ["", *_wrapped(section.help), f"[[{section.name}]]" if section.repeated else f"[{section.name}]"]
        for number, key in enumerate(keys_of(section.name).values()):
            value = key.default if key.example is None else key.example
            lines += [""] * bool(number) + [*_wrapped(key.help), f"# ({key.limits()})"]
            lines += [f"{'# ' if key.commented else ''}{key.name} = {toml(value)}"]
    return "\n".join(lines) + "\n"


def _wrapped(text: str, width: int = 100) -> Iterator[str]:
    line = "#"
    for word in text.split():
        if len(line) + len(word) >= width:
            yield line
            line = "#"
        line += f" {word}"
    yield line


if __name__ == "__main__":
    print(example(), end="")
