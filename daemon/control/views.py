"""What the sockets show: JSON shapes of the domain's types (contract, "Commands" and "Sockets"). Pure.

Every instant is RFC 3339 in UTC with whole seconds, floored; every id and badge is a string.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import math
from collections.abc import Mapping
from typing import Any

from daemon.alarms import Alarm
from daemon.control.kiosk import DeliveryStatus, ImportReport, ReaderStatus
from daemon.control.times import rfc3339
from daemon.delivery.audit import Line
from daemon.events import Event
from daemon.intake.staff import StaffReport
from daemon.model import Badge, Employee, Punch, TapAnswer, UnknownBadge
from daemon.queue.deliveries import Counts, History
from daemon.reasons import REASONS
from daemon.timesheets.timesheet import ShiftRecord

#: Values under these names, or under any name that ends in `_at`, are instants.
INSTANTS = ("at", "since", "until")


def punch_view(punch: Punch) -> dict[str, Any]:
    """A punch as the contract has it."""
    return {
        "id": punch.id,
        "user_id": punch.user_id,
        "name": punch.name,
        "direction": punch.direction,
        "occurred_at": rfc3339(punch.occurred_at),
        "occurred_at_unix": punch.second,
        "raw_at": rfc3339(punch.raw_at),
        "time_error_s": _finite(punch.time_error_s),
        "reader": punch.reader,
        "badge": punch.badge,
        "source": punch.source,
        "state": punch.state,
        "reason": punch.reason,
        "detail": punch.detail,
        "attempts": punch.attempts,
        "remote_id": punch.remote_id,
        "recorded_as": punch.recorded_as,
    }


def review_view(punch: Punch) -> dict[str, Any]:
    """A punch in review, with what its reason means and what mends it."""
    reason = REASONS.get(punch.reason or "")
    return {**punch_view(punch), "text": reason.text if reason else None, "remedy": reason.remedy if reason else None}


def tapped_view(punch: Punch) -> dict[str, Any]:
    """A punch beside the one that is looked at: what a person needs to place it."""
    return {
        "id": punch.id,
        "direction": punch.direction,
        "occurred_at": rfc3339(punch.occurred_at),
        "time_known": punch.time_known,
        "state": punch.state,
        "reason": punch.reason,
        "remote_id": punch.remote_id,
    }


def shift_view(record: ShiftRecord, *, ours: bool) -> dict[str, Any]:
    """A shift as the timesheet shows it; `ours`: a punch shown with it made it."""
    return {
        "id": record.id,
        "start_at": rfc3339(record.start),
        "end_at": None if record.end is None else rfc3339(record.end),
        "started_by": record.started_by,
        "ended_by": record.ended_by,
        "auto_ended": record.auto_ended,
        "note": record.note,
        "ours": ours,
    }


def history_view(history: History) -> dict[str, Any]:
    """Attempts and decisions of one punch, each oldest first."""
    return {
        "attempts": [{**plain(attempt), "id": str(attempt.id)} for attempt in history.attempts],
        "journal": [plain(line) for line in history.journal],
    }


def tap_view(answer: TapAnswer) -> dict[str, Any]:
    """The answer to a tap."""
    punch = punch_view(answer.punch) if answer.punch else None
    return {"result": answer.result, "reason": answer.reason, "punch": punch}


def present_view(punch: Punch) -> dict[str, Any]:
    """Somebody who is in, by the clock-in that says so."""
    return {
        "user_id": punch.user_id,
        "name": punch.name,
        "since": rfc3339(punch.occurred_at),
        "since_unix": punch.second,
        "punch_id": punch.id,
    }


def employee_view(employee: Employee) -> dict[str, Any]:
    """One person of the directory."""
    return {
        "user_id": employee.user_id,
        "name": employee.name,
        "job_id": employee.job_id,
        "max_shift_hours": None if employee.max_shift_s is None else employee.max_shift_s / 3600,
        "badges": list(employee.badges),
        "removed_at": instant(employee.removed_at),
    }


def badge_view(badge: Badge) -> dict[str, Any]:
    """One badge that is assigned or blocked."""
    return {
        "badge": badge.badge,
        "state": badge.state,
        "user_id": badge.user_id,
        "name": badge.name,
        "since": rfc3339(badge.since),
    }


def unknown_view(unknown: UnknownBadge) -> dict[str, Any]:
    """A badge nobody owns, with the taps kept for it."""
    return {
        "badge": unknown.badge,
        "taps": unknown.taps,
        "first_at": rfc3339(unknown.first_at),
        "last_at": rfc3339(unknown.last_at),
        "reader": unknown.reader,
    }


def import_view(report: ImportReport) -> dict[str, Any]:
    """What an import did, in numbers of employees, badges and punches."""
    return {
        "added": report.added,
        "changed": report.changed,
        "unchanged": report.unchanged,
        "badges": report.badges,
        "punches": report.punches,
    }


def staff_view(report: StaffReport) -> dict[str, Any]:
    """What a sync of the directory did, what it left to a person, and whom the service does not know."""
    return {
        **report.counts(),
        "conflicts": [dataclasses.asdict(conflict) for conflict in report.conflicts],
        "unknown": [{"user_id": employee.user_id, "name": employee.name} for employee in report.unknown],
    }


def audit_view(line: Line) -> dict[str, Any]:
    """One line of an audit."""
    return {
        "verdict": line.verdict,
        "user_id": line.user_id,
        "name": line.name,
        "direction": line.direction,
        "punched_at": instant(line.punched_at),
        "shown_at": instant(line.shown_at),
        "off_s": line.off_s,
        "punch_id": line.punch_id,
        "shift_id": line.shift_id,
        "state": line.state,
        "reason": line.reason,
        "detail": line.detail,
    }


def reader_view(reader: ReaderStatus) -> dict[str, Any]:
    """How one reader does."""
    return {
        "name": reader.name,
        "driver": reader.driver,
        "direction": str(reader.direction),
        "state": str(reader.state),
        "since": instant(reader.since),
        "taps": reader.taps,
        "errors": reader.errors,
        "detail": reader.detail,
    }


def delivery_view(status: DeliveryStatus) -> dict[str, Any]:
    """How delivery does."""
    return {
        "state": str(status.state),
        "detail": status.detail,
        "next_try_at": instant(status.next_try_at),
        "last_delivery_at": instant(status.last_delivery_at),
        "snapshot_at": instant(status.snapshot_at),
        "budget": None if status.budget is None else plain(status.budget),
    }


def queue_view(counts: Counts) -> dict[str, Any]:
    """How many punches stand where."""
    return {
        "pending": counts.pending,
        "held": counts.held,
        "in_flight": counts.in_flight,
        "review": counts.review,
        "oldest_pending_at": instant(counts.oldest_pending_at),
    }


def alarm_view(alarm: Alarm) -> dict[str, Any]:
    """One thing that is wrong."""
    return {"code": alarm.code, "since": rfc3339(alarm.since), "text": alarm.text}


def event_view(event: Event) -> dict[str, Any]:
    """Something that just happened."""
    return {"event": event.name, "at": rfc3339(event.at), "data": plain(event.data)}


def plain(value: Any, name: str = "") -> Any:
    """Any value of an event or a journal line as JSON; `name` is the one it stands under, and tells instants apart."""
    if isinstance(value, Punch):
        return punch_view(value)
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if isinstance(value, bool | str | None):
        return value
    if isinstance(value, int | float):
        if name in INSTANTS or name.endswith("_at"):
            return instant(value)
        return value if isinstance(value, int) else _finite(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item, str(key)) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name), field.name) for field in dataclasses.fields(value)}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return str(value)


def masked(value: Any) -> Any:
    """The same JSON with every badge masked, wherever it stands: badges are credentials."""
    if isinstance(value, dict):
        return {key: _mask_all(item) if key in ("badge", "badges") else masked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [masked(item) for item in value]
    return value


def mask_badge(badge: str) -> str:
    """A badge of which only the last two to four characters can be read, and never more than half."""
    kept = min(4, max(2, len(badge) // 4), len(badge) // 2)
    return "*" * (len(badge) - kept) + badge[len(badge) - kept :]


def encoded(value: Any) -> bytes:
    """A view as JSON in UTF-8; half a surrogate pair goes as its escape."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _mask_all(value: Any) -> Any:
    if isinstance(value, str):
        return mask_badge(value)
    if isinstance(value, list):
        return [_mask_all(item) for item in value]
    return masked(value)


def instant(at: float | None) -> str | None:
    """RFC 3339, or None for what is no time."""
    return rfc3339(at) if at is not None and math.isfinite(at) else None


def _finite(value: float | None) -> float | None:
    return round(value, 3) if value is not None and math.isfinite(value) else None
