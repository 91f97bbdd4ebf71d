"""One punch that needs a person, as `punchctl review show` shows it: both sides, then the history. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from daemon.control.render import Look, span
from daemon.control.screens import punch_screen, stand

Json = Mapping[str, Any]
_WAYS = {"clock_in": "in", "clock_out": "out"}


def review_one_screen(punch: Json, look: Look) -> str:
    """What was tapped, what the timesheet shows and how old that is, between the punch and its history."""
    whole = punch_screen(punch, look)
    head, history, rest = whole.partition("\n\n")
    return "\n\n".join([head, _tapped(punch, look), _timesheet(punch["timesheet"], look)]) + history + rest


def _tapped(punch: Json, look: Look) -> str:
    rows = [
        [
            "->" if one["id"] == punch["id"] else "",
            _day_and_time(one["occurred_at"], look) if one["time_known"] else "time not known",
            _WAYS.get(one["direction"], "?"),
            stand(one),
        ]
        for one in punch["tapped"]
    ]
    return look.paint("Tapped here", "strong") + "\n" + look.table(("", "WHEN", "", "STATE"), rows, (3,))


def _timesheet(shown: Json, look: Look) -> str:
    title = look.paint("On the timesheet", "strong")
    if shown["fresh"]:
        title += ", read just now"
    elif shown["read_at"] is not None:
        title += f", as read {span(shown['age_s'])} ago"
    lines = [title]
    if shown["why"]:
        lines.append(look.wrapped(shown["why"], "  "))
    if shown["read_at"] is None:
        lines.append(
            "  Not read yet." if shown["why"] else "  Not read yet; punchctl review show reads it on control.sock."
        )
    elif not shown["shifts"]:
        lines.append("  No shift of this person there.")
    else:
        rows = [
            [
                "ours" if shift["ours"] else "",
                _day_and_time(shift["start_at"], look),
                "open" if shift["end_at"] is None else _day_and_time(shift["end_at"], look),
                _by(shift),
                shift["id"],
            ]
            for shift in shown["shifts"]
        ]
        lines.append(look.table(("", "FROM", "UNTIL", "BY", "SHIFT"), rows, (3,)))
    return "\n".join(lines)


def _by(shift: Json) -> str:
    begun, ended = shift["started_by"] or "?", shift["ended_by"]
    return begun if ended in (None, begun) else f"{begun}, {ended}"


def _day_and_time(at: str, look: Look) -> str:
    """To the second on both sides: an hour may be right and the minute wrong."""
    return look.to_the_second(at)
