"""One request on its way through cable, faults and service: the same for the real server and in process."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from email.utils import formatdate

from sandbox.cable import CableState
from sandbox.connecteam import api
from sandbox.connecteam.behaviour import Behaviour, Shape
from sandbox.connecteam.errors import Refusal, render
from sandbox.faults import Fault, Kind, When
from sandbox.handle import Sandbox
from sandbox.http import Request, Response
from sandbox.log import Entry

PORTAL_PAGE = "<!doctype html><title>Guest network</title><h1>Welcome. Accept the terms to go online.</h1>"
PROXY_PAGE = "<html><head><title>{0}</title></head><body><center><h1>{0}</h1></center><hr>proxy</body></html>"
PADDING = b" " * 65536


@dataclass(frozen=True, slots=True)
class Answered:
    """The client gets `response`. `torn_at`: the connection ends after that many bytes of its body.

    `padding`: that many blanks follow the body, streamed and not held in memory.
    """

    response: Response
    torn_at: int | None = None
    padding: int = 0


@dataclass(frozen=True, slots=True)
class Broken:
    """The client gets no answer. `how` is REFUSE, DROP, RESET or HANG."""

    how: Kind


async def exchange(sandbox: Sandbox, request: Request) -> Answered | Broken:
    """Carry one request through. Waits with asyncio.sleep only, so that it runs under virtual time."""
    if sandbox.cable.state is not CableState.UP:
        return Broken(Kind.REFUSE)
    fault = sandbox.faults.take(request)
    if fault.kind is Kind.REFUSE:
        return Broken(Kind.REFUSE)
    entry = sandbox.log.add(request, sandbox.clock.now(), fault.kind)
    try:
        return await _carry(sandbox, entry, fault)
    finally:
        entry.finished = True
        sandbox.log.changed()


async def _carry(sandbox: Sandbox, entry: Entry, fault: Fault) -> Answered | Broken:
    if not await _travel(sandbox, entry, fault, When.BEFORE):
        return Broken(Kind.RESET)
    response = None
    if fault.is_processed:
        response = sandbox.handle(entry.request)
        entry.processed_at = sandbox.clock.now()
        entry.status = response.status
        sandbox.log.changed()
    if not await _travel(sandbox, entry, fault, When.AFTER):
        return Broken(Kind.RESET)
    if fault.kind is Kind.HANG:
        await sandbox.cable.stays_until(asyncio.Event())
        return Broken(Kind.RESET)
    return _dated(sandbox, _seen(sandbox, entry.request, fault, response))


async def _travel(sandbox: Sandbox, entry: Entry, fault: Fault, when: When) -> bool:
    """Latency, delay and hold of one direction; False when the cable was cut meanwhile."""
    delay_s = sandbox.latency_s + (fault.delay_s if fault.when is when else 0.0)
    if delay_s > 0 and not await sandbox.cable.stays(delay_s):
        return False
    if not (fault.hold and fault.when is when):
        return True
    released = sandbox.holds[entry.number] = asyncio.Event()
    entry.held = True
    sandbox.log.changed()
    try:
        return await sandbox.cable.stays_until(released)
    finally:
        entry.held = False
        del sandbox.holds[entry.number]


def _seen(sandbox: Sandbox, request: Request, fault: Fault, true: Response | None) -> Answered | Broken:
    """What the client gets to see of the true answer (None where the request was not processed)."""
    answer = true or Response.of(200, {"requestId": sandbox.company.new_uuid(), "data": {}})
    match fault.kind:
        case Kind.DROP | Kind.RESET | Kind.HANG | Kind.REFUSE:
            return Broken(fault.kind)
        case Kind.TRUNCATED:
            return Answered(Response(answer.status, answer.headers, answer.body[: len(answer.body) // 2]))
        case Kind.TORN:
            return Answered(answer, torn_at=len(answer.body) // 2)
        case Kind.OVERSIZED:
            return Answered(answer, padding=fault.size_bytes)
        case Kind.NONE:
            return Answered(answer)
        case _:
            return Answered(_false_answer(sandbox, request, fault))


def _dated(sandbox: Sandbox, outcome: Answered | Broken) -> Answered | Broken:
    """Give every answer the sandbox's own Date: false ones have one, too."""
    if isinstance(outcome, Broken) or "date" in outcome.response.headers:
        return outcome
    response = outcome.response
    headers = {"date": formatdate(sandbox.clock.now(), usegmt=True), **response.headers}
    return replace(outcome, response=replace(response, headers=headers))


def _false_answer(sandbox: Sandbox, request: Request, fault: Fault) -> Response:
    """An answer that is not the service's true one."""
    company = sandbox.company
    match fault.kind:
        case Kind.THROTTLE | Kind.THROTTLE_200:
            said = api.throttled(company, as_200=fault.kind is Kind.THROTTLE_200)
            spent = {"x-ratelimit-minute-remaining": "0"} if company.limits.with_headers else {}
            told = {**company.limits.headers(company.now()), **spent}
            return Response(said.status, {**said.headers, **told}, said.body)
        case Kind.EMPTY:
            return Response(fault.status or 200)
        case Kind.PORTAL:
            return Response.page(fault.status or 200, PORTAL_PAGE)
        case Kind.REDIRECT:
            return Response(fault.status or 302, {"location": fault.location})
        case Kind.ERROR:
            refusal = Refusal(fault.status or 400, fault.text, code=fault.code, shape=Shape(fault.shape))
            return render(refusal, Behaviour(), request.path, company.new_uuid())
        case _:
            status = fault.status or 503
            return Response.page(status, PROXY_PAGE.format(f"{status} from the proxy"))
