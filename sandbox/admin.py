"""The admin routes under /_sandbox/, for those who drive a sandbox from outside its process. JSON in, JSON out.

GET /_sandbox/ — what is going on.
GET /_sandbox/timesheet — every shift, or one person's with ?user_id=.
GET /_sandbox/requests — every request, oldest first; ?since=NUMBER leaves out the earlier ones.
GET /_sandbox/wait — waits for ?count= (1) requests with ?path= ?method= ?user_id= that are ?state= `arrived`, `held`,
    `processed` or `finished`, after number ?since=; after ?timeout_s= (30) a 504.
GET /_sandbox/faults — those that stand; POST sets one (the fields of sandbox.faults.Fault); DELETE clears all of them,
    or one at /_sandbox/faults/ID.
POST /_sandbox/release — lets held requests go on, or the one with {"number"}.
POST /_sandbox/cable — {"state": "up", "refusing" or "cut"}.
POST /_sandbox/clock — {"move_s"} or {"set"}.
POST /_sandbox/behaviour — switches of sandbox.connecteam.behaviour.Behaviour.
POST /_sandbox/time_clock — settings of the time clock (sandbox.connecteam.model.TimeClock).
POST /_sandbox/users — {"user_id", "name"}.
POST /_sandbox/edits/NAME — a method of sandbox.connecteam.manager.Manager with its arguments.
POST /_sandbox/keys — {"add": KEY, "expires_at"?}, {"revoke": KEY} or {"revoke_all": true}.
POST /_sandbox/spend — {"requests"}: somebody else uses the budget; {"plan"}: another plan.
"""

from __future__ import annotations

import asyncio
import dataclasses
import enum
from collections.abc import Awaitable, Callable
from typing import Any

from sandbox.cable import CableState
from sandbox.connecteam.behaviour import Behaviour, LateClose, SecondClockIn, Shape, StartOnly
from sandbox.connecteam.limits import PLANS
from sandbox.connecteam.model import Geofence
from sandbox.faults import Fault
from sandbox.handle import TIME_CLOCK_ID, Sandbox
from sandbox.http import Request, Response
from sandbox.log import Entry

PREFIX = "/_sandbox/"
WAIT_S = 30.0
EDITS = (
    "add_shift", "edit_shift", "delete_shift", "close_shift", "lock_day", "unlock_day", "unassign", "assign", "archive",
    "unarchive", "set_field", "rename",
    "phone_clock_in", "phone_clock_out", "phone_break_start", "phone_break_end", "auto_clock_out",
)  # fmt: skip
_SWITCHES: dict[str, type[enum.StrEnum]] = {
    "late_close": LateClose,
    "start_only": StartOnly,
    "second_clock_in": SecondClockIn,
    "error_shape": Shape,
}
_STATES: dict[str, Callable[[Entry], bool]] = {
    "arrived": lambda entry: True,
    "held": lambda entry: entry.held,
    "processed": lambda entry: entry.processed_at is not None,
    "finished": lambda entry: entry.finished,
}


async def handle(sandbox: Sandbox, request: Request) -> Response:
    """Answer one admin request; what cannot be done is a 400 or 404 with `error`."""
    head, _, rest = request.path.removeprefix(PREFIX).partition("/")
    route = _ROUTES.get((request.method, head))
    if route is None:
        return Response.of(404, {"error": f"no such admin route: {request.method} {request.path}"})
    try:
        return Response.of(200, _plain(await route(sandbox, request, rest)))
    except TimeoutError:
        return Response.of(504, {"error": "what was waited for did not happen"})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return Response.of(400, {"error": f"{type(error).__name__}: {error}"})


def _plain(value: Any) -> Any:
    """Dataclasses, enums and sets as JSON."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, enum.Enum) else value


async def _overview(sandbox: Sandbox, request: Request, rest: str) -> Any:
    company = sandbox.company
    return {
        "company": company.name,
        "now": sandbox.clock.now(),
        "cable": sandbox.cable.state,
        "faults": sandbox.faults.standing(),
        "requests": sandbox.log.arrived,
        "held": sorted(sandbox.holds),
        "users": [{"user_id": str(u.id), "name": u.name, "clocks": sorted(u.clocks)} for u in company.users.values()],
        "time_clocks": list(company.clocks.values()),
        "jobs": list(company.jobs.values()),
        "behaviour": company.behaviour,
        "plan": company.limits.plan,
    }


async def _timesheet(sandbox: Sandbox, request: Request, rest: str) -> Any:
    return sandbox.timesheet(request.one("user_id"))


async def _requests(sandbox: Sandbox, request: Request, rest: str) -> Any:
    since = int(request.one("since") or 0)
    return [entry.told() for entry in sandbox.log.entries if entry.number > since]


async def _wait(sandbox: Sandbox, request: Request, rest: str) -> Any:
    reached = _STATES[request.one("state") or "arrived"]
    since = int(request.one("since") or 0)
    like = Fault(path=request.one("path") or "*", method=request.one("method"), user_id=request.one("user_id"))

    def wanted(entry: Entry) -> bool:
        return entry.number > since and like.concerns(entry.request) and reached(entry)

    async with asyncio.timeout(float(request.one("timeout_s") or WAIT_S)):
        found = await sandbox.log.until(wanted, int(request.one("count") or 1))
    return [entry.told() for entry in found]


async def _faults(sandbox: Sandbox, request: Request, rest: str) -> Any:
    if request.method == "POST":
        return sandbox.faults.set(**request.document())
    if request.method == "DELETE":
        sandbox.faults.clear(int(rest) if rest else None)
    return sandbox.faults.standing()


async def _release(sandbox: Sandbox, request: Request, rest: str) -> Any:
    return {"released": sandbox.release(_document(request).get("number"))}


async def _cable(sandbox: Sandbox, request: Request, rest: str) -> Any:
    match CableState(_document(request)["state"]):
        case CableState.UP:
            sandbox.cable.restore()
        case CableState.REFUSING:
            sandbox.cable.refuse()
        case CableState.CUT:
            sandbox.cable.cut()
    await asyncio.sleep(0)  # the sockets end in the loop's next turn, and the answer must not be there first
    await asyncio.sleep(0)
    return {"state": sandbox.cable.state}


async def _clock(sandbox: Sandbox, request: Request, rest: str) -> Any:
    wanted = _document(request)
    if "set" in wanted:
        sandbox.clock.set(float(wanted["set"]))
    else:
        sandbox.clock.move(float(wanted["move_s"]))
    return {"now": sandbox.clock.now(), "offset_s": sandbox.clock.offset_s}


async def _behaviour(sandbox: Sandbox, request: Request, rest: str) -> Any:
    known = {f.name for f in dataclasses.fields(Behaviour)}
    for name, value in _document(request).items():
        if name not in known:
            raise ValueError(f"no such switch: {name}; there are {', '.join(sorted(known))}")
        kind = _SWITCHES.get(name)
        setattr(sandbox.company.behaviour, name, kind(value) if kind and value is not None else value)
    return sandbox.company.behaviour


async def _time_clock(sandbox: Sandbox, request: Request, rest: str) -> Any:
    clock = sandbox.company.clocks[int(rest or TIME_CLOCK_ID)]
    for name, value in _document(request).items():
        if name == "id" or not hasattr(clock, name):
            raise ValueError(f"no such setting: {name}")
        setattr(clock, name, Geofence(**value) if name == "geofence" and value is not None else value)
    return clock


async def _users(sandbox: Sandbox, request: Request, rest: str) -> Any:
    wanted = _document(request)
    return sandbox.company.add_user(wanted["user_id"], wanted["name"])


async def _edit(sandbox: Sandbox, request: Request, rest: str) -> Any:
    if rest not in EDITS:
        raise ValueError(f"no such edit: {rest}; there are {', '.join(EDITS)}")
    return getattr(sandbox.manager, rest)(**_document(request))


async def _keys(sandbox: Sandbox, request: Request, rest: str) -> Any:
    wanted, access = _document(request), sandbox.company.access
    if "add" in wanted:
        access.keys[wanted["add"]] = wanted.get("expires_at")
    if "revoke" in wanted:
        del access.keys[wanted["revoke"]]
    if wanted.get("revoke_all"):
        access.revoke_all()
    return {"keys": len(access.keys)}


async def _spend(sandbox: Sandbox, request: Request, rest: str) -> Any:
    wanted, limits = _document(request), sandbox.company.limits
    if "plan" in wanted:
        limits.plan = PLANS[wanted["plan"]]
    spent = limits.spend(sandbox.clock.now(), int(wanted.get("requests", 0)))
    return {"spent": spent, **limits.headers(sandbox.clock.now())}


def _document(request: Request) -> dict[str, Any]:
    document = request.document() if request.body else {}
    if not isinstance(document, dict):
        raise ValueError("the body must be a JSON object")
    return document


_ROUTES: dict[tuple[str, str], Callable[[Sandbox, Request, str], Awaitable[Any]]] = {
    ("GET", ""): _overview,
    ("GET", "timesheet"): _timesheet,
    ("GET", "requests"): _requests,
    ("GET", "wait"): _wait,
    ("GET", "faults"): _faults,
    ("POST", "faults"): _faults,
    ("DELETE", "faults"): _faults,
    ("POST", "release"): _release,
    ("POST", "cable"): _cable,
    ("POST", "clock"): _clock,
    ("POST", "behaviour"): _behaviour,
    ("POST", "time_clock"): _time_clock,
    ("POST", "users"): _users,
    ("POST", "edits"): _edit,
    ("POST", "keys"): _keys,
    ("POST", "spend"): _spend,
}
