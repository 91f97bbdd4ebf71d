"""The table of routes: what may be asked, where, and by which function it is answered.

One feature is found by one word: `api_punches` here, `Client.punches` in client.py, `cmd_punches_…` in the commands.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from daemon.control import api_acting as acting
from daemon.control import api_people as people
from daemon.control import api_reading as reading
from daemon.control import api_review as review
from daemon.control import api_timesheet as timesheet
from daemon.control.api_export import api_export
from daemon.control.api_verify import api_verify
from daemon.control.call import Answer, Call
from daemon.control.metrics import api_metrics
from daemon.intake.roster import BYTES_MAX

#: A JSON body of any route but the import is far below this.
BODY_MAX = 64 * 1024
#: The import says itself what is too large; only what is far too large is not read at all.
IMPORT_MAX = 2 * BYTES_MAX


class Access(enum.Enum):
    """Which socket serves a route."""

    READ = "read"  # both
    ACT = "act"  # control.sock alone


@dataclass(frozen=True, slots=True)
class Route:
    """One row. `path` has `{names}` for segments. `body_max` is in bytes.

    `to_the_end`: goes on when the caller hangs up, because half of it would be worse than all of it.
    """

    method: str
    path: str
    handler: Callable[[Call], Awaitable[Answer]]
    access: Access = Access.READ
    body_max: int = 0
    to_the_end: bool = False


def _act(method: str, path: str, handler: Callable[[Call], Awaitable[Answer]], body_max: int = BODY_MAX) -> Route:
    return Route(method, path, handler, Access.ACT, body_max, to_the_end=True)


ROUTES: tuple[Route, ...] = (
    Route("GET", "/v1/status", reading.api_status),
    Route("GET", "/v1/present", reading.api_present),
    Route("GET", "/v1/punches", reading.api_punches),
    Route("GET", "/v1/punches/{id}", reading.api_punch),
    Route("GET", "/v1/readers", reading.api_readers),
    Route("GET", "/v1/employees", people.api_employees),
    Route("GET", "/v1/badges", people.api_badges),
    Route("GET", "/v1/badges/unknown", people.api_badges_unknown),
    Route("GET", "/v1/review", review.api_review),
    Route("GET", "/v1/review/{id}", review.api_review_one),
    Route("GET", "/v1/events", reading.api_events),
    Route("GET", "/v1/export", api_export),
    Route("GET", "/v1/verify", api_verify),
    Route("GET", "/v1/openapi.json", reading.api_openapi),
    Route("GET", "/metrics", api_metrics),
    _act("POST", "/v1/taps", acting.api_tap),
    _act("POST", "/v1/employees", people.api_employees_add),
    _act("POST", "/v1/employees/import", people.api_employees_import, IMPORT_MAX),
    # Both read page by page, within the account's budget; a caller who hangs up ends that.
    Route("POST", "/v1/employees/sync", timesheet.api_employees_sync, Access.ACT, BODY_MAX),
    Route("GET", "/v1/audit", timesheet.api_audit, Access.ACT),
    _act("DELETE", "/v1/employees/{id}", people.api_employees_remove),
    _act("POST", "/v1/badges", people.api_badges_assign),
    # Stops waiting when the caller hangs up: the next tap must not go to somebody who is no longer asked for.
    Route("POST", "/v1/badges/enroll", people.api_badges_enroll, Access.ACT, BODY_MAX),
    _act("POST", "/v1/badges/{badge}/block", people.api_badges_block),
    _act("DELETE", "/v1/badges/{badge}", people.api_badges_remove),
    _act("POST", "/v1/review/{id}/retry", acting.api_review_retry),
    _act("POST", "/v1/review/{id}/resolve", acting.api_review_resolve),
    _act("POST", "/v1/review/{id}/discard", acting.api_review_discard),
    _act("POST", "/v1/key/check", acting.api_key_check),
    _act("POST", "/v1/sync/now", acting.api_sync_now),
    _act("POST", "/v1/sync/pause", acting.api_sync_pause),
    _act("POST", "/v1/sync/resume", acting.api_sync_resume),
)


@dataclass(frozen=True, slots=True)
class Found:
    """The route of a request, with the values of its segments, decoded."""

    route: Route
    params: dict[str, str]


def find(routes: Sequence[Route], method: str, raw_path: str) -> Found | list[str]:
    """The route for a method and an undecoded path; else the methods this path has (none: an unknown path)."""
    wanted = raw_path.split("?", 1)[0].split("/")
    allowed: list[str] = []
    # Exact paths come before those with names, so that `badges/unknown` is not a badge.
    for route in sorted(routes, key=lambda route: "{" in route.path):
        params = _match(route.path.split("/"), wanted)
        if params is None:
            continue
        if route.method == method:
            return Found(route, params)
        allowed.append(route.method)
    return sorted(set(allowed))


def _match(pattern: list[str], wanted: list[str]) -> dict[str, str] | None:
    if len(pattern) != len(wanted):
        return None
    params: dict[str, str] = {}
    for part, given in zip(pattern, wanted, strict=True):
        if part.startswith("{"):
            if not given:
                return None
            # Decoded only after splitting: a badge may hold a slash.
            params[part[1:-1]] = unquote(given)
        elif part != given:
            return None
    return params
