"""The account's master data: the company, people, their assignments, time clocks, jobs, kinds of break (facts 1.7)."""

from __future__ import annotations

from typing import Any, TypeVar

from sandbox.connecteam import wire
from sandbox.connecteam.company import Company
from sandbox.connecteam.errors import Refusal
from sandbox.connecteam.fields import query_integer, query_integers
from sandbox.connecteam.model import TimeClock
from sandbox.http import Request

#: Facts 1.7: pages of at most 500, and of 10 when nothing is said.
PAGE_MAX = 500
PAGE = 10

T = TypeVar("T")


def me(company: Company) -> dict[str, Any]:
    """`GET /me` (facts 1.2)."""
    return {"companyName": company.name, "companyId": company.id}


def users(company: Company, request: Request) -> tuple[dict[str, Any], dict[str, Any]]:
    """`GET /users/v1/users`: one page of people, and the paging."""
    status = request.one("userStatus") or "active"
    ids = query_integers(request, "userIds")
    names = request.every("fullNames")
    since = query_integer(request, "modifiedAt", 0, 0, 1 << 40)
    found = [
        u
        for u in company.users.values()
        if status in ("all", "archived" if u.archived_at is not None else "active")
        and (ids is None or u.id in ids)
        and (not names or u.name in names)
        and u.modified_at >= since
    ]
    page, paging = _page(found, request)
    return {"users": [wire.user(person) for person in page]}, paging


def assignments(company: Company, user_id: str) -> dict[str, Any]:
    """`GET /users/v1/users/{userId}/assignments`: the time clocks a person may use."""
    user = company.users.get(int(user_id)) if user_id.isdecimal() else None
    if user is None:
        raise Refusal(404, "User not found")
    return {"assets": [{"id": clock_id, "type": "timeClock"} for clock_id in sorted(user.clocks)]}


def time_clocks(company: Company) -> dict[str, Any]:
    """`GET /time-clock/v1/time-clocks`: all, without paging."""
    told = [{"id": clock.id, "name": clock.name, "isArchived": clock.archived} for clock in company.clocks.values()]
    return {"timeClocks": told}


def jobs(company: Company, request: Request) -> tuple[dict[str, Any], dict[str, Any]]:
    """`GET /jobs/v1/jobs`: deleted ones are included unless asked otherwise; `instanceIds` are time clock ids."""
    at = query_integers(request, "instanceIds")
    ids, titles = request.every("jobIds"), request.every("jobNames")
    deleted = (request.one("includeDeleted") or "true").lower() != "false"
    found = [
        j
        for j in company.jobs.values()
        if j.parent_id is None
        and (deleted or not j.deleted)
        and (at is None or j.clocks & at)
        and (not ids or j.id in ids)
        and (not titles or j.title in titles)
    ]
    page, paging = _page(found, request)
    told = [wire.job(one, [c for c in company.jobs.values() if c.parent_id == one.id]) for one in page]
    return {"jobs": told}, paging


def manual_breaks(company: Company, clock: TimeClock) -> dict[str, Any]:
    """`GET …/manual-breaks` (facts 1.6)."""
    told = [
        {"id": kind.id, "name": kind.name, "isPaid": kind.paid, "duration": kind.minutes}
        for kind in company.break_kinds.values()
    ]
    return {"areManualBreaksEnabled": clock.breaks, "manualBreaks": told}


def _page(found: list[T], request: Request) -> tuple[list[T], dict[str, Any]]:
    limit = query_integer(request, "limit", PAGE, 1, PAGE_MAX)
    offset = query_integer(request, "offset", 0, 0, 1 << 40)
    return found[offset : offset + limit], {"offset": offset + limit, "total": len(found)}
