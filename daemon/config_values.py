"""One check for each kind of value: the value as the daemon uses it, or what is wrong with it."""

from __future__ import annotations

import difflib
import ipaddress
import math
import re
import urllib.parse
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from daemon.config_spec import Key, Kind, toml


@dataclass(frozen=True, slots=True)
class Wrong:
    """Why a value cannot be used, and what mends it."""

    text: str
    remedy: str


def check(key: Key, value: object) -> object:
    """The value converted (Path, ZoneInfo, trimmed text), or Wrong."""
    return _CHECKS[key.kind](key, value)


def nearest(name: str, known: list[str]) -> str:
    """The known word most like a name."""
    return max(known, key=lambda other: likeness(name, other))


def likeness(name: str, other: str) -> float:
    """0 (nothing alike) to 1 (the same, but for capitals)."""
    return difflib.SequenceMatcher(None, name.lower(), other).ratio()


def _text(key: Key, value: object) -> str | Wrong:
    if not isinstance(value, str):
        return Wrong(f"is {_named(value)}, not text", 'put it in "quotes"')
    if any(not character.isprintable() for character in value):
        return Wrong("has characters that cannot be printed", "remove them")
    if key.minimum is not None and len(value.strip()) < key.minimum:
        return Wrong("is empty", "give it a value, or remove the line" if key.default is None else "give it a value")
    if key.maximum is not None and len(value) > key.maximum:
        return Wrong(f"is {len(value)} characters long", f"use at most {key.maximum:g}")
    return value.strip()


def _number(key: Key, value: object) -> float | Wrong:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return Wrong(f"is {_named(value)}, not a number", f"give a number ({key.limits()})")
    if key.kind is Kind.WHOLE and not isinstance(value, int):
        return Wrong(f"is {value}, not a whole number", f"give a whole number ({key.limits()})")
    low = -math.inf if key.minimum is None else key.minimum
    high = math.inf if key.maximum is None else key.maximum
    if not low <= value <= high:
        return Wrong(f"is {value}, out of range", f"give {key.limits()}")
    return value


def _switch(key: Key, value: object) -> bool | Wrong:
    return value if isinstance(value, bool) else Wrong(f"is {_named(value)}", "give true or false, without quotes")


def _choice(key: Key, value: object) -> str | Wrong:
    if isinstance(value, str) and value in key.choices:
        return value
    shown = f'"{value}"' if isinstance(value, str) else _named(value)
    near = f'; the nearest is "{nearest(value, list(key.choices))}"' if isinstance(value, str) and value else ""
    return Wrong(f"is {shown}", "give one of " + ", ".join(f'"{choice}"' for choice in key.choices) + near)


def _path(key: Key, value: object) -> Path | Wrong:
    if not isinstance(value, str) or not value or "\0" in value:
        remedy = 'give a path in "quotes"; a relative one counts from this file'
        return Wrong(f"is {_named(value)}, not a path", remedy)
    return Path(value)


def _zone(key: Key, value: object) -> zoneinfo.ZoneInfo | Wrong:
    if not isinstance(value, str) or not value:
        return Wrong(f"is {_named(value)}, not a time zone", 'give an IANA name such as "Europe/Amsterdam"')
    try:
        return zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        near = difflib.get_close_matches(value, sorted(zoneinfo.available_timezones()), 1)
        hint = f'the nearest known one is "{near[0]}"' if near else 'give an IANA name such as "Europe/Amsterdam"'
        return Wrong(f'"{value}" is no known time zone', hint)


def _url(key: Key, value: object) -> str | Wrong:
    remedy = f"give an address such as {toml(key.default)}"
    parts = _web_address(value, remedy, instead="a key is given by api_key_file", seen_by="shows the key to everybody")
    if isinstance(parts, Wrong):
        return parts
    if not isinstance(value, str) or re.search(r"\s", value):
        return Wrong(f'"{value}" is not a web address', remedy)
    if parts.query or parts.fragment:
        return Wrong("has a query or fragment", remedy)
    return value.rstrip("/")


def _web_address(value: object, remedy: str, *, instead: str, seen_by: str) -> urllib.parse.SplitResult | Wrong:
    """The parts of a web address that may be sent to: https, or http to this box, without user and password.

    What it holds may be a secret and is not shown. `instead`: how secrets are given; `seen_by`: what plain http does.
    """
    if not isinstance(value, str):
        return Wrong(f"is {_named(value)}, not an address", remedy)
    try:
        parts = urllib.parse.urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        return Wrong(f"is not an address: {error}", remedy)
    if "@" in parts.netloc:
        return Wrong("has a user or password in the address", f"remove it; {instead}")
    if parts.scheme not in ("https", "http") or not host:
        return Wrong("is not a web address", remedy)
    if parts.scheme == "http" and not _is_loopback(host):
        return Wrong(f"is plain http, which {seen_by} on the way", f"use https://{parts.netloc}")
    return parts


def _listen(key: Key, value: object) -> str | Wrong:
    remedy = 'give an address and port such as "127.0.0.1:9464", or ""'
    if not isinstance(value, str):
        return Wrong(f"is {_named(value)}", remedy)
    if not value:
        return value
    host, _, port = value.rpartition(":")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        return Wrong(f'"{value}" has no port', remedy)
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        address = ipaddress.ip_address("127.0.0.1" if bare == "localhost" else bare)
    except ValueError:
        return Wrong(f'"{value}" does not begin with an address of this box', remedy)
    if not address.is_loopback:
        # Anybody on the network could read how many people come and go, and when.
        return Wrong(
            f'"{value}" can be reached from outside', 'listen on "127.0.0.1:9464", and let a proxy serve others'
        )
    return value


def _webhook(key: Key, value: object) -> str | Wrong:
    """Kept to the letter, query and all: it is the receiver's business."""
    remedy = f"give an address such as {toml(key.example)}"
    parts = _web_address(
        value, remedy, instead="messages are signed with secret_file", seen_by="can be read by anybody"
    )
    if isinstance(parts, Wrong):
        return parts
    if not isinstance(value, str) or parts.fragment or not re.fullmatch(r"[!-~]+", value):
        return Wrong("is not a web address", remedy)
    return value


def _command(key: Key, value: object) -> tuple[str, ...] | Wrong:
    remedy = f"give a list of texts such as {toml(key.example)}"
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        return Wrong(f"is {_named(value)}, not a list of texts", remedy)
    if not value or not value[0]:
        return Wrong("names no program", f"{remedy}, or remove the line")
    if any("\0" in word for word in value):
        return Wrong("has characters that cannot be passed on", "remove them")
    return tuple(value)


def _hours(key: Key, value: object) -> tuple[int, int] | str | Wrong:
    """From and to in minutes after midnight; "" for none."""
    remedy = 'give two times of the day such as "22:00-06:00", or ""'
    if value == "":
        return ""
    found = re.fullmatch(
        r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)", value if isinstance(value, str) else ""
    )
    if found is None:
        return Wrong(f'is "{value}"' if isinstance(value, str) else f"is {_named(value)}", remedy)
    begin, end = int(found[1]) * 60 + int(found[2]), int(found[3]) * 60 + int(found[4])
    if begin == end:
        return Wrong(f'"{value}" begins where it ends', remedy)
    return begin, end


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _named(value: object) -> str:
    """What a value is, in words of the file; a text is not shown, it might be a secret in the wrong place."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {value}"
    names: dict[type, str] = {str: "text" if value else "an empty text", dict: "a table", list: "a list"}
    return names.get(type(value), "a date or time")


_CHECKS: dict[Kind, Callable[[Key, object], object]] = {
    Kind.TEXT: _text,
    Kind.WHOLE: _number,
    Kind.NUMBER: _number,
    Kind.SWITCH: _switch,
    Kind.CHOICE: _choice,
    Kind.PATH: _path,
    Kind.ZONE: _zone,
    Kind.URL: _url,
    Kind.LISTEN: _listen,
    Kind.WEBHOOK: _webhook,
    Kind.COMMAND: _command,
    Kind.HOURS: _hours,
}
