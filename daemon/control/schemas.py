"""The shapes of the sockets' JSON, as JSON Schema (OpenAPI 3.1). One for each shape of daemon/control/views.py."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from daemon.model import BadgeState, Direction, PunchState, ReaderDirection, RecordedAs, Source, TapResult

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    """One of SCHEMAS."""
    return {"$ref": f"#/components/schemas/{name}"}


def maybe(schema: Schema) -> Schema:
    """The same, or null."""
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    allowed = {"enum": [*schema["enum"], None]} if "enum" in schema else {}
    return {**schema, **allowed, "type": [schema["type"], "null"]}


def listed(schema: Schema) -> Schema:
    """An array of it."""
    return {"type": "array", "items": schema}


def shape(members: Mapping[str, Schema], optional: tuple[str, ...] = (), **more: Any) -> Schema:
    """An object with these members, all of them always there but the `optional` ones."""
    required = [name for name in members if name not in optional]
    return {"type": "object", "properties": dict(members), **({"required": required} if required else {}), **more}


TEXT: Final[Schema] = {"type": "string"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
WHOLE: Final[Schema] = {"type": "integer"}
SECONDS: Final[Schema] = {"type": "number"}
YES_NO: Final[Schema] = {"type": "boolean"}
INSTANT: Final[Schema] = {"type": "string", "format": "date-time", "description": "RFC 3339, UTC, whole seconds."}
ANYTHING: Final[Schema] = {"type": "object"}
#: How a time is given: what `parse_instant` takes.
TIME_GIVEN: Final[Schema] = {
    "type": ["string", "number"],
    "description": "RFC 3339 with an offset (2026-03-01T08:00:00+01:00), or Unix seconds.",
}
BADGE: Final[Schema] = {"type": "string", "description": "Masked on status.sock: a badge is a credential."}


def word(*words: str) -> Schema:
    """One of these."""
    return {"type": "string", "enum": [str(one) for one in words]}


_PUNCH: Final[dict[str, Schema]] = {
    "id": TEXT,
    "user_id": TEXT,
    "name": TEXT,
    "direction": maybe(word(*Direction)),
    "occurred_at": INSTANT,
    "occurred_at_unix": WHOLE,
    "raw_at": INSTANT,
    "time_error_s": maybe(SECONDS),
    "reader": maybe(TEXT),
    "badge": maybe(BADGE),
    "source": word(*Source),
    "state": word(*PunchState),
    "reason": maybe({"type": "string", "description": "A code of docs/reasons.md."}),
    "detail": maybe(TEXT),
    "attempts": COUNT,
    "remote_id": maybe(TEXT),
    "recorded_as": maybe(word(*RecordedAs)),
}
_REVIEW: Final[dict[str, Schema]] = {**_PUNCH, "text": maybe(TEXT), "remedy": maybe(TEXT)}
_HISTORY: Final[dict[str, Schema]] = {
    "history": shape(
        {
            "attempts": listed(
                shape(
                    {
                        "id": TEXT,
                        "kind": TEXT,
                        "step": ANYTHING,
                        "sent_at": INSTANT,
                        "ended_at": maybe(INSTANT),
                        "outcome": maybe(TEXT),
                        "status": maybe(WHOLE),
                        "request_id": maybe(TEXT),
                        "detail": maybe(TEXT),
                    }
                )
            ),
            "journal": listed(shape({"at": INSTANT, "by": TEXT, "action": TEXT, "data": ANYTHING})),
        }
    )
}
_BADGE: Final[dict[str, Schema]] = {
    "badge": BADGE,
    "state": word(*BadgeState),
    "user_id": maybe(TEXT),
    "name": maybe(TEXT),
    "since": INSTANT,
}
_DELIVERY: Final[dict[str, Schema]] = {
    "state": word("online", "offline", "halted", "paused"),
    "detail": maybe(TEXT),
    "next_try_at": maybe(INSTANT),
    "last_delivery_at": maybe(INSTANT),
    "snapshot_at": maybe(INSTANT),
    "budget": maybe(ref("Budget")),
}
_PERSON: Final[Schema] = shape({"user_id": TEXT, "name": TEXT})

SCHEMAS: Final[dict[str, Schema]] = {
    "Problem": shape(
        {"type": TEXT, "title": TEXT, "status": WHOLE, "code": TEXT, "detail": TEXT, "remedy": TEXT},
        description="RFC 9457. `code` is a stable word for scripts, `remedy` says what mends it.",
    ),
    "Punch": shape(_PUNCH),
    "PunchWithHistory": shape({**_PUNCH, **_HISTORY}),
    "Review": shape(_REVIEW),
    "ReviewWithHistory": shape(
        {
            **_REVIEW,
            **_HISTORY,
            "tapped": listed(ref("Tapped")),
            "timesheet": shape(
                {
                    "fresh": {**YES_NO, "description": "Read for this answer."},
                    "read_at": maybe(INSTANT),
                    "age_s": maybe(COUNT),
                    "why": maybe({"type": "string", "description": "Why it could not be read now, if asked to."}),
                    "shifts": listed(ref("Shift")),
                },
                description="What the timesheet shows around the punch; read_at null: it was not read yet.",
            ),
        }
    ),
    "Tapped": shape(
        {
            "id": TEXT,
            "direction": maybe(word(*Direction)),
            "occurred_at": INSTANT,
            "time_known": YES_NO,
            "state": word(*PunchState),
            "reason": maybe(TEXT),
            "remote_id": maybe(TEXT),
        },
        description="A punch of the same person around this one, itself included.",
    ),
    "Shift": shape(
        {
            "id": TEXT,
            "start_at": INSTANT,
            "end_at": maybe(INSTANT),
            "started_by": maybe(TEXT),
            "ended_by": maybe(TEXT),
            "auto_ended": YES_NO,
            "note": maybe(TEXT),
            "ours": {**YES_NO, "description": "Made by a punch of `tapped`."},
        }
    ),
    "Resolved": shape({**_PUNCH, "added": maybe(ref("Punch"))}, optional=("added",)),
    "TapAnswer": shape({"result": word(*TapResult), "reason": maybe(TEXT), "punch": maybe(ref("Punch"))}),
    "Present": shape({"user_id": TEXT, "name": TEXT, "since": INSTANT, "since_unix": WHOLE, "punch_id": TEXT}),
    "Employee": shape(
        {
            "user_id": TEXT, "name": TEXT, "job_id": maybe(TEXT), "max_shift_hours": maybe(SECONDS),
            "badges": listed(BADGE), "removed_at": maybe(INSTANT),
        }
    ),
    "Forgotten": shape(
        {
            "user_id": TEXT,
            "forgotten": shape(
                {
                    "badges": COUNT, "journal_lines": COUNT, "taps_deleted": COUNT, "punches_kept": COUNT,
                    "undelivered": COUNT, "blocked_badges_kept": COUNT,
                }
            ),
        }
    ),
    "Imported": shape({"added": COUNT, "changed": COUNT, "unchanged": COUNT, "badges": COUNT, "punches": COUNT}),
    "Synced": shape(
        {
            "added": COUNT, "changed": COUNT, "unchanged": COUNT, "removed": COUNT, "badges": COUNT, "punches": COUNT,
            "conflicts": listed(
                shape({"user_id": TEXT, "name": TEXT, "badge": maybe(BADGE), "code": TEXT, "text": TEXT})
            ),
            "unknown": listed(_PERSON), "not_assigned": listed(_PERSON), "unchecked": COUNT,
            "unchecked_because": maybe(TEXT),
        }
    ),
    "AuditLine": shape(
        {
            "verdict": word("ok", "changed", "missing", "deleted", "extra", "not_delivered", "unread"),
            "user_id": TEXT, "name": maybe(TEXT), "direction": maybe(word(*Direction)), "punched_at": maybe(INSTANT),
            "shown_at": maybe(INSTANT), "off_s": maybe(WHOLE), "punch_id": maybe(TEXT), "shift_id": maybe(TEXT),
            "state": maybe(word(*PunchState)), "reason": maybe(TEXT), "detail": maybe(TEXT),
        }
    ),
    "Badge": shape(_BADGE),
    "Assigned": shape({**_BADGE, "punches": listed(ref("Punch"))}),
    "Released": shape({"badge": BADGE, "state": word("released")}),
    "UnknownBadge": shape({"badge": BADGE, "taps": COUNT, "first_at": INSTANT, "last_at": INSTANT, "reader": TEXT}),
    "Reader": shape(
        {
            "name": TEXT, "driver": word("simulated", "pcsc", "evdev"), "direction": word(*ReaderDirection),
            "state": word("open", "opening", "lost"), "since": maybe(INSTANT), "taps": COUNT, "errors": COUNT,
            "detail": maybe(TEXT),
        }
    ),
    "Budget": shape(
        {
            f"{window}_{name}": maybe(INSTANT if name == "reset_at" else WHOLE)
            for window in ("minute", "day")
            for name in ("limit", "remaining", "reset_at")
        }
    ),
    "Delivery": shape(_DELIVERY),
    "Alarm": shape({"code": TEXT, "since": INSTANT, "text": TEXT}),
    "KeyCheck": shape(
        {
            "valid": {"type": ["boolean", "null"], "description": "null: the service did not say."},
            "changed": YES_NO, "account": maybe(TEXT), "status": maybe(WHOLE), "text": TEXT, "remedy": TEXT,
        }
    ),
    "Verification": shape(
        {
            "sound": YES_NO, "links": COUNT, "punches": COUNT, "kept_taps": COUNT, "adopted": COUNT, "salvaged": COUNT,
            "broken_since": maybe(INSTANT), "broken_link": maybe(COUNT), "wrong_total": COUNT, "head": TEXT,
            "copy_trouble": maybe(TEXT),
            "wrong": listed(
                shape(
                    {
                        "what": word("changed", "missing", "unlinked", "link"), "kind": word("punch", "tap"),
                        "id": maybe(TEXT), "user_id": maybe(TEXT), "at": maybe(INSTANT), "link": maybe(COUNT),
                    }
                )
            ),
        }
    ),
    "Status": shape(
        {
            "name": TEXT, "version": TEXT, "timezone": TEXT, "config_file": maybe(TEXT), "database": TEXT,
            "now": INSTANT, "started_at": INSTANT, "uptime_s": COUNT, **_DELIVERY,
            "queue": shape(
                {
                    "pending": COUNT, "held": COUNT, "in_flight": COUNT, "review": COUNT,
                    "oldest_pending_at": maybe(INSTANT),
                }
            ),
            "readers": listed(ref("Reader")),
            "clock": shape(
                {
                    "trusted": YES_NO, "source": maybe(word("kernel", "server")), "error_s": maybe(SECONDS),
                    "doubt_s": maybe(SECONDS),
                }
            ),
            "alarms": listed(ref("Alarm")),
            "needs_restart": {
                **listed(TEXT),
                "description": "Keys that changed in the file and are taken up by a restart only, such as alerts.url.",
            },
        }
    ),
    "Event": shape({"event": TEXT, "at": INSTANT, "data": ANYTHING}),
}  # fmt: skip
