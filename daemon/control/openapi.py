"""The sockets' description in OpenAPI 3.1: made of the table of routes, the handlers' words and the schemas.

`python -m daemon.control.openapi` prints docs/openapi.json; the daemon serves the same at `GET /v1/openapi.json`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from daemon import __version__
from daemon.control import payroll, problems, schemas
from daemon.control.openmetrics import CONTENT_TYPE
from daemon.control.routes import ROUTES, Access, Route
from daemon.control.schemas import SCHEMAS, TEXT, TIME_GIVEN, WHOLE, Schema, listed, ref, shape, word
from daemon.model import PunchState

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Operation:
    """What a route takes and answers. `query` is of optional parameters but for those named `required`."""

    answer: Schema
    media: str = JSON
    status: int = 200
    query: Mapping[str, Schema] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    body: Schema | None = None
    bodies: Mapping[str, Schema] = field(default_factory=dict)


_NOTHING: Final = shape({})
_TEXTS: Final[Schema] = {"type": "string"}
_SPAN: Final = {"since": TIME_GIVEN, "until": TIME_GIVEN}
_EMPLOYEE: Final = shape(
    {"user_id": TEXT, "name": TEXT, "badge": schemas.maybe(TEXT), "job_id": schemas.maybe(TEXT)}, ("badge", "job_id")
)
_READ: Final[Schema] = {
    "type": "string",
    "enum": ["now"],
    "description": "Read the timesheet for it, within a few seconds and the account's budget. Only on control.sock.",
}
_STATES: Final[Schema] = {"type": "string", "description": f"Several with commas: {', '.join(PunchState)}."}

OPERATIONS: Final[dict[str, Operation]] = {
    "GET /v1/status": Operation(ref("Status")),
    "GET /v1/present": Operation(listed(ref("Present"))),
    "GET /v1/punches": Operation(
        listed(ref("Punch")), query={"state": _STATES, "employee": TEXT, **_SPAN, "limit": {**WHOLE, "minimum": 1}}
    ),
    "GET /v1/punches/{id}": Operation(ref("PunchWithHistory")),
    "GET /v1/readers": Operation(listed(ref("Reader"))),
    "GET /v1/employees": Operation(listed(ref("Employee"))),
    "GET /v1/badges": Operation(listed(ref("Badge"))),
    "GET /v1/badges/unknown": Operation(listed(ref("UnknownBadge"))),
    "GET /v1/review": Operation(listed(ref("Review"))),
    "GET /v1/review/{id}": Operation(ref("ReviewWithHistory"), query={"read": _READ}),
    "GET /v1/events": Operation(
        {**_TEXTS, "description": "Each event's `data` is one Event; comments between keep the stream alive."},
        media="text/event-stream",
    ),
    "GET /v1/export": Operation(
        _TEXTS,
        media=payroll.MEDIA_TYPE.split(";", maxsplit=1)[0],
        query={**_SPAN, "undelivered": word("true", "false")},
    ),
    "GET /v1/verify": Operation(ref("Verification")),
    "GET /metrics": Operation(_TEXTS, media=CONTENT_TYPE.split(";", maxsplit=1)[0]),
    "GET /v1/openapi.json": Operation({"type": "object", "required": ["openapi", "info", "paths"]}),
    "POST /v1/taps": Operation(
        ref("TapAnswer"), body=shape({"badge": TEXT, "reader": TEXT, "at": TIME_GIVEN}, ("at",))
    ),
    "POST /v1/employees": Operation(ref("Employee"), status=201, body=_EMPLOYEE),
    "POST /v1/employees/import": Operation(
        ref("Imported"),
        bodies={
            "text/csv": {**_TEXTS, "description": "With the header user_id,name,badge,job_id."},
            JSON: {"anyOf": [listed(_EMPLOYEE), shape({"csv": TEXT})]},
        },
    ),
    "POST /v1/employees/sync": Operation(
        ref("Synced"), body=shape({"assignments": word("some", "all", "none")}, ("assignments",))
    ),
    "GET /v1/audit": Operation(listed(ref("AuditLine")), query={**_SPAN, "employee": TEXT}, required=("since",)),
    "DELETE /v1/employees/{id}": Operation(
        {"anyOf": [ref("Employee"), ref("Forgotten")]}, query={"forget": word("true")}
    ),
    "POST /v1/badges": Operation(
        ref("Assigned"), status=201, body=shape({"badge": TEXT, "user_id": TEXT, "since": TIME_GIVEN}, ("since",))
    ),
    "POST /v1/badges/enroll": Operation(
        ref("Badge"),
        status=201,
        body=shape({"user_id": TEXT, "timeout_s": {**WHOLE, "minimum": 1, "maximum": 600}}, ("timeout_s",)),
    ),
    "POST /v1/badges/{badge}/block": Operation(ref("Badge")),
    "DELETE /v1/badges/{badge}": Operation(ref("Released")),
    "POST /v1/review/{id}/retry": Operation(ref("Punch"), body=_NOTHING),
    "POST /v1/review/{id}/resolve": Operation(
        ref("Resolved"),
        body=shape(
            {"clock_out": TIME_GIVEN, "clock_in": TIME_GIVEN, "time": TIME_GIVEN, "accept_server": {"const": True}},
            ("clock_out", "clock_in", "time", "accept_server"),
            minProperties=1,
            maxProperties=1,
        ),
    ),
    "POST /v1/review/{id}/discard": Operation(ref("Punch"), body=shape({"reason": TEXT})),
    "POST /v1/key/check": Operation(ref("KeyCheck"), body=_NOTHING),
    "POST /v1/sync/now": Operation(ref("Delivery"), body=_NOTHING),
    "POST /v1/sync/pause": Operation(ref("Delivery"), body=_NOTHING),
    "POST /v1/sync/resume": Operation(ref("Delivery"), body=_NOTHING),
}


def document(version: str = __version__) -> dict[str, Any]:
    """The description, whole."""
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "punchd",
            "version": version,
            "summary": "What a kiosk shows and does, over HTTP on two Unix sockets.",
            "description": "`status.sock` serves what reads, with badges masked; `control.sock` serves everything. "
            "Every refusal is a problem document (RFC 9457).",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "http://punchd", "description": "curl --unix-socket /run/punchd/status.sock"}],
        "paths": paths,
        "components": {"schemas": SCHEMAS},
    }


def text() -> str:
    """docs/openapi.json, whole; without a version of its own, which each daemon fills in."""
    return json.dumps(document("0"), indent=1) + "\n"


def _operation(route: Route) -> dict[str, Any]:
    what = OPERATIONS[f"{route.method} {route.path}"]
    words = re.sub(r"\s+", " ", route.handler.__doc__ or "").strip()
    described: dict[str, Any] = {
        "operationId": route.handler.__name__.removeprefix("api_"),
        "summary": words.split(". ")[0].rstrip("."),
        "description": words,
        "x-sockets": ["control.sock"] if route.access is Access.ACT else ["status.sock", "control.sock"],
        "responses": {
            str(what.status): {"description": "Done.", "content": {what.media: {"schema": what.answer}}},
            "default": {"description": "Refused.", "content": {problems.MEDIA_TYPE: {"schema": ref("Problem")}}},
        },
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": TEXT} for name in re.findall(r"{(\w+)}", route.path)
    ]
    parameters += [
        {"name": name, "in": "query", "required": name in what.required, "schema": schema}
        for name, schema in what.query.items()
    ]
    bodies = {JSON: what.body} if what.body is not None else what.bodies
    if bodies:
        needed = what.body is None or bool(what.body.get("required") or what.body.get("minProperties"))
        content = {media: {"schema": schema} for media, schema in bodies.items()}
        described["requestBody"] = {"required": needed, "content": content}
    return {**described, **({"parameters": parameters} if parameters else {})}


if __name__ == "__main__":
    print(text(), end="")
