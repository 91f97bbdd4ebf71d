"""Punches as CSV for payroll (RFC 4180, UTF-8): one line a punch, times in the kiosk's zone and in UTC. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from datetime import UTC, datetime, tzinfo

from daemon.model import Punch

MEDIA_TYPE = "text/csv; charset=utf-8; header=present"
COLUMNS = (
    "user_id", "name", "direction", "occurred_at_local", "occurred_at", "state", "reason", "recorded_as", "remote_id",
    "reader", "time_error_s", "punch_id",
)  # fmt: skip
#: What spreadsheets take for a formula when a cell begins with it, and what they strip before they look.
_FORMULA = ("=", "+", "-", "@", "\t")
_ONE_LINE = {ord("\r"): " ", ord("\n"): " "}


def header() -> bytes:
    """The first line."""
    return _lines([COLUMNS])


def lines(punches: Iterable[Punch], zone: tzinfo | None) -> bytes:
    """A line for each punch; no badges. Without a zone, in this machine's own."""
    return _lines([_cells(punch, zone) for punch in punches])


def _cells(punch: Punch, zone: tzinfo | None) -> tuple[str, ...]:
    at = datetime.fromtimestamp(punch.second, UTC)
    error = "" if punch.time_error_s is None else f"{punch.time_error_s:.3f}"
    # A person or a service words these; the others are ours.
    user_id, name, remote_id, reader = map(defused, (punch.user_id, punch.name, punch.remote_id, punch.reader))
    return (
        user_id, name, punch.direction or "", at.astimezone(zone).isoformat(), f"{at:%Y-%m-%dT%H:%M:%SZ}", punch.state,
        punch.reason or "", punch.recorded_as or "", remote_id, reader, error, punch.id,
    )  # fmt: skip


def defused(text: str | None) -> str:
    """The text on one line, and so that no spreadsheet runs it: an apostrophe before what would begin a formula."""
    if not text:
        return ""
    text = text.translate(_ONE_LINE)
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


def _lines(rows: Iterable[tuple[str, ...]]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerows(rows)
    return out.getvalue().encode("utf-8", "replace")
