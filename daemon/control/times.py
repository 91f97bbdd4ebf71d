"""Instants as text, both ways, for the sockets and the commands. Pure."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

#: The last second RFC 3339 can write; everything beyond is a mistake.
LATEST = 253_402_300_799
#: Unix seconds beyond this (the year 5138) are milliseconds by mistake.
MILLISECONDS_FROM = 100_000_000_000

_RFC_3339 = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)[Tt ](?P<time>\d\d:\d\d(:\d\d)?)(?P<fraction>\.\d{1,9})?(?P<offset>[Zz]|[+-]\d\d:\d\d)?",
    re.ASCII,
)
_SECONDS = re.compile(r"\d{1,15}(\.\d{1,9})?", re.ASCII)


def rfc3339(at: float) -> str:
    """An instant as RFC 3339 in UTC, whole seconds, floored: `2026-03-01T08:00:00Z`."""
    return datetime.fromtimestamp(min(max(math.floor(at), 0), LATEST), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_instant(text: str) -> float:
    """Unix seconds of an RFC 3339 time with offset, or of Unix seconds as text.

    Raises ValueError with a sentence for people, also for a time that names no offset.
    """
    if _SECONDS.fullmatch(text):
        return checked(float(text))
    match = _RFC_3339.fullmatch(text)
    if match is None:
        raise ValueError(
            f"cannot read the time {text!r}; give RFC 3339 with an offset (2026-03-01T08:00:00+01:00) or Unix seconds"
        )
    if match["offset"] is None:
        raise ValueError(
            f"cannot place the time {text!r}: it names no offset; add one (2026-03-01T08:00:00+01:00, or Z for UTC)"
        )
    try:
        whole = datetime.fromisoformat(f"{match['day']}T{match['time']}{match['offset'].upper()}")
    except ValueError as error:
        raise ValueError(f"cannot read the time {text!r}: {error}; give a date and time that exist") from error
    return checked(whole.timestamp() + float(match["fraction"] or 0))


def checked(seconds: float) -> float:
    """The same Unix seconds, if a clock can show them. Raises ValueError otherwise."""
    if MILLISECONDS_FROM <= seconds < MILLISECONDS_FROM * 1000:
        raise ValueError(f"cannot use {seconds:.0f} as a time: it looks like milliseconds; give Unix seconds")
    if not 0 <= seconds <= LATEST:
        raise ValueError(f"cannot use {seconds!r} as a time; Unix seconds lie between 0 and {LATEST}")
    return seconds
