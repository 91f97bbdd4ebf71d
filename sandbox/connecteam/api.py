"""Connecteam's HTTP face: which path means what, and what every answer has in common.

`handle` is the whole service: one request in, one response out, at the company's time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

from sandbox.connecteam import activities, batches, people, punching
from sandbox.connecteam.company import Company
from sandbox.connecteam.errors import Refusal, render
from sandbox.connecteam.fields import Fields
from sandbox.connecteam.model import TimeClock
from sandbox.http import Request, Response

Answer = dict[str, Any] | tuple[dict[str, Any], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Call:
    """What a route's handler is given: the request and the parts of its path by name."""

    company: Company
    request: Request
    parts: dict[str, str]

    @property
    def clock(self) -> TimeClock:
        """The time clock of the path. What an unknown one answers is a switch of the behaviour."""
        number = self.parts["clock"]
        clock = self.company.clocks.get(int(number)) if number.isdecimal() else None
        if clock is None or clock.archived:
            raise Refusal(self.company.behaviour.unknown_clock_status, "time clock id doesn't exist")
        return clock

    @property
    def body(self) -> Fields:
        """The JSON body."""
        return Fields.of(self.request)


@dataclass(frozen=True, slots=True)
class Route:
    """One path: its methods with handler and OAuth scope, and whether the Operations hub is needed (facts 1.1)."""

    pattern: re.Pattern[str]
    methods: dict[str, tuple[Callable[[Call], Answer], str]]
    needs_hub: bool = True


def _route(path: str, *, needs_hub: bool = True, **methods: tuple[Callable[[Call], Answer], str]) -> Route:
    pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path))
    return Route(pattern, {name.upper(): handler for name, handler in methods.items()}, needs_hub)


_READ, _WRITE, _DELETE = "time_clock.read", "time_clock.write", "time_clock.delete"
# Paths have hyphens (facts 1.1).
_CLOCK = "/time-clock/v1/time-clocks/{clock}"
ROUTES = (
    _route("/me", needs_hub=False, get=(lambda c: people.me(c.company), "account_information.read")),
    _route("/users/v1/users", needs_hub=False, get=(lambda c: people.users(c.company, c.request), "users.read")),
    _route(
        "/users/v1/users/{user}/assignments",
        needs_hub=False,
        get=(lambda c: people.assignments(c.company, c.parts["user"]), "users.read"),
    ),
    _route("/jobs/v1/jobs", get=(lambda c: people.jobs(c.company, c.request), "jobs.read")),
    _route("/time-clock/v1/time-clocks", get=(lambda c: people.time_clocks(c.company), _READ)),
    _route(_CLOCK + "/clock-in", post=(lambda c: punching.clock_in(c.company, c.clock, c.body), _WRITE)),
    _route(_CLOCK + "/clock-out", post=(lambda c: punching.clock_out(c.company, c.clock, c.body), _WRITE)),
    _route(
        _CLOCK + "/time-activities",
        get=(lambda c: activities.list_activities(c.company, c.clock, c.request), _READ),
        post=(lambda c: batches.create(c.company, c.clock, c.body), _WRITE),
        put=(lambda c: batches.update(c.company, c.clock, c.body), _WRITE),
    ),
    _route(
        _CLOCK + "/time-activities/{activity}",
        delete=(lambda c: activities.delete_activity(c.company, c.clock, c.parts["activity"]), _DELETE),
    ),
    _route(_CLOCK + "/timesheet", get=(lambda c: activities.timesheet(c.company, c.clock, c.request), _READ)),
    _route(_CLOCK + "/manual-breaks", get=(lambda c: people.manual_breaks(c.company, c.clock), _READ)),
    _route(
        _CLOCK + "/manual-breaks/clock-out",
        post=(lambda c: punching.end_break(c.company, c.clock, c.body), _WRITE),
    ),
    _route(
        _CLOCK + "/manual-breaks/{kind}/clock-in",
        post=(lambda c: punching.start_break(c.company, c.clock, c.parts["kind"], c.body), _WRITE),
    ),
)


def handle(company: Company, request: Request) -> Response:
    """Answer one request. Every answer carries the service's own Date; counted ones the rate limit headers."""
    request_id = company.new_uuid()
    company.catch_up()
    counted = False
    try:
        if request.path == "/oauth/v1/token":
            response = _token(company, request)
        else:
            route, handler, scope = _find(request)
            company.access.admit(request, scope, company.now())
            counted = True
            response = _counted(company, request, route, handler, request_id)
    except Refusal as refusal:
        response = render(refusal, company.behaviour, request.path, request_id)
    extra = company.limits.headers(company.now()) if counted else {}
    date = formatdate(company.now(), usegmt=True)
    return Response(response.status, {"date": date, **response.headers, **extra}, response.body)


def throttled(company: Company, *, as_200: bool) -> Response:
    """Facts 1.3: the 429, or the trap where the same body comes with status 200."""
    return Response.of(200 if as_200 else 429, {"detail": "Too many requests"})


def _token(company: Company, request: Request) -> Response:
    if request.method != "POST":
        raise Refusal(405, "Method Not Allowed")
    return company.access.grant(request, company.now())


def _find(request: Request) -> tuple[Route, Callable[[Call], Answer], str]:
    for route in ROUTES:
        if route.pattern.fullmatch(request.path):
            if request.method not in route.methods:
                raise Refusal(405, "Method Not Allowed")
            return route, *route.methods[request.method]
    raise Refusal(404, "Not Found")


def _counted(
    company: Company, request: Request, route: Route, handler: Callable[[Call], Answer], request_id: str
) -> Response:
    """What an admitted request does: the plan's gate, the budget, the handler, the envelope (facts 1.1, 1.3)."""
    if not company.limits.plan.api or (route.needs_hub and not company.access.hub):
        raise Refusal(403, "Your plan does not include access to this API")
    if not company.limits.spend(company.now()):
        return throttled(company, as_200=company.limits.as_200)
    match = route.pattern.fullmatch(request.path)
    assert match is not None
    answer = handler(Call(company, request, match.groupdict()))
    if isinstance(answer, dict):
        return Response.of(200, {"requestId": request_id, "data": answer})
    data, paging = answer
    if company.behaviour.paging_under_data:
        return Response.of(200, {"requestId": request_id, "data": {**data, "paging": paging}})
    return Response.of(200, {"requestId": request_id, "data": data, "paging": paging})
