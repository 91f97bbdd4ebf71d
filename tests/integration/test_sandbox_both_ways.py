"""The sandbox as clients meet it: every fault over real HTTP and in process, held to the same expectations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from sandbox.connecteam.access import SANDBOX_KEY
from sandbox.faults import Kind, When
from sandbox.handle import Sandbox
from sandbox.server import SandboxServer
from sandbox.transport import SandboxTransport
from tests.unit.sandbox.kit import ANNA, BASE, BRAM, KEY, NOON, company

#: How long a client in these tests waits where the point is that it gives up.
SHORT_S = 0.2


@dataclass
class Reach:
    """A sandbox and a client that reaches it, in one of the two ways."""

    sandbox: Sandbox
    client: httpx.AsyncClient
    server: SandboxServer | None

    async def punch(self, call: str = "clock-in", user: int = ANNA, **more: Any) -> httpx.Response:
        return await self.client.post(f"{BASE}/{call}", json={"userId": user, "timestamp": NOON - 60}, **more)

    async def settle(self) -> None:
        """Let sockets of this very loop notice what was done to the cable."""
        if self.server is not None:
            await self.server.settle()

    @property
    def punched(self) -> bool:
        return bool(self.sandbox.timesheet())


@pytest.fixture(params=["in process", "real HTTP"])
async def reach(request: pytest.FixtureRequest) -> AsyncIterator[Reach]:
    sandbox = company()
    if request.param == "in process":
        transport = SandboxTransport(sandbox)
        async with httpx.AsyncClient(base_url="http://sandbox.invalid", transport=transport, headers=KEY) as client:
            yield Reach(sandbox, client, None)
    else:
        async with (
            SandboxServer(sandbox) as server,
            httpx.AsyncClient(base_url=server.url, headers=KEY, trust_env=False) as client,
        ):
            yield Reach(sandbox, client, server)


# --- faults that break the connection


@pytest.mark.parametrize("processed", [False, True])
@pytest.mark.parametrize(
    ("kind", "raised"),
    [(Kind.DROP, httpx.RemoteProtocolError), (Kind.RESET, httpx.ReadError), (Kind.HANG, httpx.ReadTimeout)],
)
async def test_an_answer_that_never_comes(reach: Reach, kind: Kind, raised: type[Exception], processed: bool) -> None:
    """The client cannot tell whether the request was carried out; the sandbox knows, and the next one goes through."""
    reach.sandbox.faults.set(kind=kind, processed=processed, count=1)
    with pytest.raises(raised):
        await reach.punch(timeout=httpx.Timeout(30, read=SHORT_S if kind is Kind.HANG else 30))
    assert reach.punched is processed
    assert reach.sandbox.log.entries[0].status == (200 if processed else None)
    assert (await reach.punch()).status_code == (400 if processed else 200)


async def test_a_body_that_ends_too_early(reach: Reach) -> None:
    """Carried out, and the answer's connection ends in the middle of the body."""
    reach.sandbox.faults.set(kind="torn", count=1)
    with pytest.raises(httpx.RemoteProtocolError):
        await reach.punch()
    assert reach.punched


async def test_a_refused_connection_is_not_a_request(reach: Reach) -> None:
    """While the cable refuses, nothing reaches the service or its log; restored, it is at the same address."""
    assert (await reach.client.get("/me")).status_code == 200
    reach.sandbox.cable.refuse()
    await reach.settle()
    for _ in range(2):
        with pytest.raises(httpx.ConnectError):
            await reach.punch()
    assert reach.sandbox.log.arrived == 1
    reach.sandbox.cable.restore()
    assert (await reach.punch()).status_code == 200


async def test_refusing_lets_what_is_under_way_finish(reach: Reach) -> None:
    """The request that was there is answered, the next one refused."""
    reach.sandbox.faults.set(hold=True, count=1)
    under_way = asyncio.ensure_future(reach.punch())
    await reach.sandbox.log.until(lambda entry: entry.held)
    reach.sandbox.cable.refuse()
    assert reach.sandbox.release() == 1
    assert (await under_way).status_code == 200
    await reach.settle()
    with pytest.raises(httpx.ConnectError):
        await reach.client.get("/me")


@pytest.mark.parametrize("when", list(When))
async def test_cutting_the_cable_in_the_middle_of_a_request(reach: Reach, when: When) -> None:
    """On its way there it never arrives, not even later; on its way back it was carried out and the answer is lost."""
    reach.sandbox.faults.set(hold=True, when=when, count=1)
    under_way = asyncio.ensure_future(reach.punch())
    await reach.sandbox.log.until(lambda entry: entry.held)
    reach.sandbox.cable.cut()
    with pytest.raises(httpx.ReadError):
        await under_way
    with pytest.raises(httpx.ConnectError):
        await reach.client.get("/me")
    reach.sandbox.cable.restore()
    await reach.sandbox.log.until(lambda entry: entry.finished)
    assert reach.punched is (when is When.AFTER)
    assert reach.sandbox.release() == 0
    assert (await reach.client.get("/me")).status_code == 200


async def test_a_cut_ends_kept_connections(reach: Reach) -> None:
    """A client that kept its connection finds it gone, and everything refused until the cable is back."""
    for _ in range(3):
        assert (await reach.client.get("/me")).status_code == 200
        reach.sandbox.cable.cut()
        await reach.settle()
        with pytest.raises(httpx.ConnectError):
            await reach.client.get("/me")
        reach.sandbox.cable.restore()


async def test_a_request_may_arrive_after_its_client_gave_up(reach: Reach) -> None:
    """The answer was not waited for, and the punch is made all the same: later than the client's timeout."""
    reach.sandbox.faults.set(hold=True, when="before", count=1)
    with pytest.raises(httpx.ReadTimeout):
        await reach.punch(timeout=httpx.Timeout(30, read=SHORT_S))
    assert not reach.punched
    assert reach.sandbox.release() == 1
    await reach.sandbox.log.until(lambda entry: entry.processed_at is not None)
    assert reach.punched


# --- faults that answer


@pytest.mark.parametrize(
    ("fault", "status", "kind", "body"),
    [
        ({"kind": "status"}, 503, "text/html", "503 from the proxy"),
        ({"kind": "status", "status": 502}, 502, "text/html", "502 from the proxy"),
        ({"kind": "throttle"}, 429, "application/json", '{"detail": "Too many requests"}'),
        ({"kind": "throttle_200"}, 200, "application/json", '{"detail": "Too many requests"}'),
        ({"kind": "portal"}, 200, "text/html", "Accept the terms"),
        ({"kind": "portal", "status": 511}, 511, "text/html", "Accept the terms"),
        ({"kind": "error", "status": 409, "code": "HAS_LOCKED_DAYS"}, 409, "application/json", "HAS_LOCKED_DAYS: "),
        ({"kind": "error", "status": 403, "shape": "details"}, 403, "application/json", "error_message"),
        ({"kind": "error", "status": 401, "text": "key expired"}, 401, "application/json", "key expired"),
    ],
)
async def test_an_answer_that_is_not_the_true_one(
    reach: Reach, fault: dict[str, Any], status: int, kind: str, body: str
) -> None:
    """Nothing is carried out unless the fault says so; the answer has a Date all the same."""
    reach.sandbox.faults.set(count=1, **fault)
    answer = await reach.punch()
    assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (status, kind)
    assert body in answer.text
    assert answer.headers["date"] == "Tue, 24 Nov 2026 12:00:00 GMT"
    assert not reach.punched
    reach.sandbox.faults.set(count=1, processed=True, **fault)
    assert (await reach.punch()).status_code == status
    assert reach.punched


async def test_a_throttle_tells_that_nothing_is_left(reach: Reach) -> None:
    """Facts 1.3: the headers say when the minute is over."""
    reach.sandbox.faults.set(kind="throttle", count=1)
    answer = await reach.punch()
    assert answer.headers["x-ratelimit-minute-remaining"] == "0"
    assert answer.headers["x-ratelimit-minute-reset"] == str(NOON + 60)
    assert "retry-after" not in answer.headers


async def test_an_empty_200_after_the_deed(reach: Reach) -> None:
    """Carried out, and the answer says nothing."""
    reach.sandbox.faults.set(kind="empty")
    answer = await reach.punch()
    assert (answer.status_code, answer.content) == (200, b"")
    assert reach.punched


async def test_json_cut_off_inside_a_complete_answer(reach: Reach) -> None:
    """Carried out; the length is right and the JSON is not."""
    reach.sandbox.faults.set(kind="truncated")
    answer = await reach.punch()
    assert answer.status_code == 200
    with pytest.raises(ValueError, match=r"Unterminated|Expecting|delimiter"):
        answer.json()
    assert reach.punched


async def test_a_redirect_leads_where_the_fault_says(reach: Reach) -> None:
    """Not carried out; whether a client follows it with its key shows in the log."""
    reach.sandbox.faults.set(kind="redirect", status=307, location="/elsewhere", path="*/clock-in")
    answer = await reach.punch()
    assert (answer.status_code, answer.headers["location"]) == (307, "/elsewhere")
    assert [entry.request.path for entry in reach.sandbox.log.entries] == [f"{BASE}/clock-in"]
    assert not reach.punched


async def test_a_body_far_too_large(reach: Reach) -> None:
    """Streamed: a client that stops reading is not drowned, and the service goes on."""
    reach.sandbox.faults.set(kind="oversized", size_bytes=1 << 40, count=1)
    seen = 0
    async with reach.client.stream("GET", "/me") as answer:
        assert int(answer.headers["content-length"]) > 1 << 40
        async for chunk in answer.aiter_bytes():
            seen += len(chunk)
            if seen > 1 << 20:
                break
    assert (await reach.client.get("/me")).status_code == 200
    reach.sandbox.faults.set(kind="oversized", size_bytes=300_000, count=1)
    answer = await reach.punch()
    assert len(answer.content) > 300_000
    assert answer.json()["data"]["shift"]["userId"] == ANNA


async def test_faults_meet_one_person_and_not_the_other(reach: Reach) -> None:
    """One person's trouble."""
    reach.sandbox.faults.set(kind="drop", user_id=ANNA)
    with pytest.raises(httpx.RemoteProtocolError):
        await reach.punch()
    assert (await reach.punch(user=BRAM)).status_code == 200


async def test_a_held_request_does_not_hold_up_another(reach: Reach) -> None:
    """The service answers others meanwhile, and the log has the order of arrival."""
    reach.sandbox.faults.set(hold=True, user_id=ANNA)
    under_way = asyncio.ensure_future(reach.punch())
    await reach.sandbox.log.until(lambda entry: entry.held)
    assert (await reach.punch(user=BRAM)).status_code == 200
    reach.sandbox.release()
    assert (await under_way).status_code == 200
    assert [(entry.number, entry.user_ids) for entry in reach.sandbox.log.entries] == [
        (1, [str(ANNA)]),
        (2, [str(BRAM)]),
    ]
    assert b'"timestamp"' in reach.sandbox.log.entries[0].request.body
    assert SANDBOX_KEY not in str(reach.sandbox.log.entries[0].told())


async def test_what_is_asked_arrives_as_it_was_sent(reach: Reach) -> None:
    """Repeated keys stay repeated, escapes are decoded once, header names are lower case."""
    await reach.client.get("/users/v1/users", params=[("userIds", "1"), ("userIds", "2"), ("fullNames", "A & B%")])
    request = reach.sandbox.log.entries[0].request
    assert request.query == (("userIds", "1"), ("userIds", "2"), ("fullNames", "A & B%"))
    assert request.headers["x-api-key"] == SANDBOX_KEY


async def test_both_ways_say_the_same() -> None:
    """One story told over real HTTP and in process: equal statuses, bodies and headers of ours, byte for byte."""

    async def story(client: httpx.AsyncClient, sandbox: Sandbox) -> list[object]:
        told: list[object] = []
        for call in ("clock-in", "clock-in", "clock-out"):
            told.append(await client.post(f"{BASE}/{call}", json={"userId": ANNA, "timestamp": NOON - 60}))
        told.append(await client.get("/users/v1/users"))
        told.append(await client.get("/nowhere"))
        told.append(await client.get(f"{BASE}/time-activities?startDate=2026-11-24&endDate=2026-11-24"))
        answers = [answer for answer in told if isinstance(answer, httpx.Response)]
        ours = ("date", "content-type", "content-length")
        return [
            (a.status_code, a.content, {k: v for k, v in a.headers.items() if k in ours or k.startswith("x-")})
            for a in answers
        ]

    one, other = company(), company()
    async with httpx.AsyncClient(base_url="http://x.invalid", transport=SandboxTransport(one), headers=KEY) as client:
        in_process = await story(client, one)
    async with (
        SandboxServer(other) as server,
        httpx.AsyncClient(base_url=server.url, headers=KEY, trust_env=False) as client,
    ):
        assert await story(client, other) == in_process
    assert one.timesheet() == other.timesheet()
