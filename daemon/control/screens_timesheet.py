"""What the audit and the sync of the directory show to people, from the API's JSON. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from daemon.control.render import Look, span

Json = Mapping[str, Any]
_WAYS = {"clock_in": "in", "clock_out": "out"}
_STYLES = {"ok": "good", "not_delivered": "warn", "unread": "warn", "extra": "warn"}


def audit_screen(shown: Sequence[Json], lines: Sequence[Json], look: Look) -> str:
    """The lines that are shown, and how many there are of each verdict."""
    if not lines:
        return "Nothing was punched in that time, and the timesheet shows nothing either."
    counts = Counter(line["verdict"] for line in lines)
    told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items(), key=lambda pair: -pair[1]))
    summary = look.paint(told, "good" if set(counts) == {"ok"} else "warn")
    if not shown:
        return summary
    rows = [
        [
            look.exact(line["punched_at"]),
            look.exact(line["shown_at"]),
            line["name"],
            _WAYS.get(line["direction"], "?"),
            _says(line),
        ]
        for line in shown
    ]
    return look.table(("PUNCHED", "SHOWN", "NAME", "", "VERDICT"), rows, (2, 4)) + "\n\n" + summary


def _says(line: Json) -> str:
    if line["verdict"] == "changed":
        return f"changed: {span(abs(line['off_s']))} {'later' if line['off_s'] > 0 else 'earlier'} there"
    if line["verdict"] == "not_delivered":
        return f"not delivered: {line['state']}" + (f", {line['reason']}" if line["reason"] else "")
    if line["verdict"] in ("extra", "unread") and line["detail"]:
        return f"{line['verdict']}: {line['detail']}"
    return str(line["verdict"])


def staff_screen(report: Json, look: Look) -> str:
    """What a sync did, and what a person should look at."""
    lines = [
        "{added} added, {changed} changed, {unchanged} unchanged, {removed} removed, {badges} badges, "
        "{punches} punches".format(**report)
    ]
    for conflict in report["conflicts"]:
        lines.append(look.wrapped(f"- {conflict['name'] or conflict['user_id']}: {conflict['text']}", "  "))
    if report["unknown"]:
        who = ", ".join(f"{one['name']} ({one['user_id']})" for one in report["unknown"])
        lines.append(look.wrapped(f"The service does not know: {who}. Check their user_id.", "  "))
    if report["not_assigned"]:
        who = ", ".join(f"{one['name']} ({one['user_id']})" for one in report["not_assigned"])
        lines.append(look.wrapped(f"Not assigned to the time clock: {who}. Assign them in the service.", "  "))
    if report["unchecked"]:
        why = report["unchecked_because"] or "to ask about all: punchctl employees sync --assignments all"
        lines.append(look.wrapped(f"Not asked whether assigned: {report['unchecked']} people; {why}", "  "))
    return "\n".join(lines)
