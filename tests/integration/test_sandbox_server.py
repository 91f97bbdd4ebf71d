"""The sandbox as clients meet it: every fault over real HTTP and in process, held to the same expectations."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.connecteam.access import SANDBOX_KEY
from sandbox.faults import Kind, When
from sandbox.handle import TIME_CLOCK_ID, Sandbox
from sandbox.sample import PEOPLE, config_snippet, employees_csv, write_files
from sandbox.server import SandboxServer
from sandbox.transport import SandboxTransport
from tests.simulation.virtual import EPOCH, VirtualTimeLoop, run_virtual
from tests.support.sandbox_process import ROOT, SandboxAdmin, sandbox_process, sandbox_thread

BASE = f"/time-clock/v1/time-clocks/{TIME_CLOCK_ID}"
KEY = {"X-API-KEY": SANDBOX_KEY}
ANNA, BRAM = 9170357, 9170358
NOON = 1795521600
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


def company() -> Sandbox:
    sandbox = Sandbox(now=lambda: float(NOON), seed=1)
    sandbox.company.add_user(ANNA, "Anna Visser")
    sandbox.company.add_user(BRAM, "Bram Kuipers")
    return sandbox


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


# --- in process: virtual time


def test_delays_cost_no_time_and_honour_the_clients_timeout() -> None:
    """Under virtual time a slow answer is read after exactly its delay, a slower one is a timeout after exactly the
    client's patience, and the request goes on in the background."""

    async def main(loop: VirtualTimeLoop) -> None:
        sandbox = Sandbox(now=lambda: EPOCH + loop.time(), latency_s=0.5)
        sandbox.company.add_user(ANNA, "Anna Visser")
        transport = SandboxTransport(sandbox)
        async with httpx.AsyncClient(base_url="http://x.invalid", transport=transport, headers=KEY) as client:
            sandbox.faults.set(delay_s=10, count=1)
            assert (await client.get("/me", timeout=15)).status_code == 200
            assert loop.time() == 11
            sandbox.faults.set(delay_s=100, count=1)
            with pytest.raises(httpx.ReadTimeout):
                await client.post(f"{BASE}/clock-in", json={"userId": ANNA}, timeout=15)
            assert loop.time() == 26
            assert sandbox.timesheet() == []
            await sandbox.log.until(lambda entry: entry.processed_at is not None, 2)
            assert loop.time() == 26 - 15 + 100.5
            [row] = sandbox.timesheet()
            assert row.start == int(EPOCH + 111.5)

    run_virtual(main)


def test_equal_histories_are_equal_under_virtual_time() -> None:
    """Chance, ids, times and order: two runs of one seed give the same log and the same timesheet."""

    def run() -> tuple[list[object], list[object]]:
        async def main(loop: VirtualTimeLoop) -> tuple[list[object], list[object]]:
            sandbox = Sandbox(now=lambda: EPOCH + loop.time(), seed=9, latency_s=0.01)
            for number in range(1, 21):
                sandbox.company.add_user(number, f"P{number}")
            sandbox.faults.set(kind="drop", probability=0.2, processed=True)
            sandbox.faults.set(kind="status", probability=0.2, delay_s=3, when="after")
            async with httpx.AsyncClient(
                base_url="http://x.invalid", transport=SandboxTransport(sandbox), headers=KEY
            ) as client:
                calls = [client.post(f"{BASE}/clock-in", json={"userId": n}) for n in range(1, 21)]
                await asyncio.gather(*calls, return_exceptions=True)
            return [entry.told() for entry in sandbox.log.entries], list(sandbox.timesheet())

        return run_virtual(main)

    assert run() == run()


async def test_closing_the_transport_ends_what_is_under_way() -> None:
    """No task is left behind by a client that gave up on a request that hangs."""
    sandbox = company()
    sandbox.faults.set(kind="hang")
    transport = SandboxTransport(sandbox)
    async with httpx.AsyncClient(base_url="http://x.invalid", transport=transport, headers=KEY) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/me", timeout=httpx.Timeout(30, read=0.01))
    assert sandbox.log.entries[0].finished
    assert len(asyncio.all_tasks()) == 1


# --- real HTTP only


async def test_a_fault_that_refuses_resets_over_a_socket() -> None:
    """Over a socket the request is there before it is known; in process it is a refused connection. Never processed."""
    sandbox = company()
    sandbox.faults.set(kind="refuse")
    async with httpx.AsyncClient(base_url="http://x.invalid", transport=SandboxTransport(sandbox)) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get("/me")
    async with SandboxServer(sandbox) as server, httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
        with pytest.raises(httpx.ReadError):
            await client.get("/me")
    assert sandbox.log.arrived == 0


async def test_the_port_stays_reserved_while_the_cable_is_cut() -> None:
    """Nobody else can take the address meanwhile, so the service surely comes back at it."""
    async with SandboxServer(company()) as server:
        server.sandbox.cable.cut()
        with socket.socket() as thief, pytest.raises(OSError, match="in use"):
            thief.bind(("127.0.0.1", server.port))
        with socket.socket() as late:
            late.setblocking(False)
            with pytest.raises(ConnectionRefusedError):
                await asyncio.get_running_loop().sock_connect(late, ("127.0.0.1", server.port))
        server.sandbox.cable.restore()
        server.sandbox.cable.cut()
        server.sandbox.cable.restore()
        async with httpx.AsyncClient(base_url=server.url, headers=KEY, trust_env=False) as client:
            assert (await client.get("/me")).status_code == 200


async def test_a_server_can_start_with_the_cable_cut() -> None:
    """Its address is known before anything listens there."""
    sandbox = company()
    sandbox.cable.cut()
    async with (
        SandboxServer(sandbox) as server,
        httpx.AsyncClient(base_url=server.url, headers=KEY, trust_env=False) as client,
    ):
        with pytest.raises(httpx.ConnectError):
            await client.get("/me")
        sandbox.cable.restore()
        assert (await client.get("/me")).status_code == 200


# --- admin routes


def test_a_sandbox_is_driven_from_outside_its_loop() -> None:
    """Company, behaviour, clock, budget, keys, edits, faults, log and timesheet over the admin port."""
    sandbox = Sandbox(now=lambda: float(NOON), seed=1)
    with sandbox_thread(sandbox) as server, httpx.Client(base_url=server.url, headers=KEY, trust_env=False) as client:
        admin = SandboxAdmin(server.admin_url)
        try:
            _drive(admin, client)
        finally:
            admin.close()
    assert [row.end_source for row in sandbox.timesheet()] == ["admin"]


def _drive(admin: SandboxAdmin, client: httpx.Client) -> None:
    admin.post("/users", user_id=str(ANNA), name="Anna Visser")
    admin.post("/clock", set=NOON + 3600)
    admin.post("/clock", move_s=-60)
    admin.post("/behaviour", round_to_s=60, error_shape="details", late_close="ignored")
    job = {"userId": ANNA}
    admin.post("/time_clock", job_required=True, geofence={"latitude": 1, "longitude": 2, "radius_m": 3})
    assert client.post(f"{BASE}/clock-in", json=job).json()["details"]["error_code"] == "JOB_REQUIRED"
    admin.post("/time_clock", job_required=False, geofence=None)
    assert client.post(f"{BASE}/clock-in", json=job).json()["data"]["shift"]["start"]["timestamp"] == NOON + 3540
    shift = admin.edit("close_shift", user_id=ANNA, at=NOON + 3600)
    assert [row["id"] for row in admin.timesheet()] == [shift["id"]]
    assert admin.timesheet(str(BRAM)) == []
    admin.edit("lock_day", user_id=ANNA, day="2026-11-24")
    assert client.post(f"{BASE}/clock-in", json=job).status_code == 409
    assert [entry["status"] for entry in admin.requests()] == [400, 200, 409]
    assert [entry["number"] for entry in admin.requests(since=2)] == [3]
    fault = admin.fault(kind="status", path="/me")
    assert client.get("/me").status_code == 503
    assert [standing["id"] for standing in admin.get("/faults")] == [fault]
    admin.clear_faults()
    admin.post("/keys", add="another", revoke=SANDBOX_KEY)
    assert client.get("/me").status_code == 401
    assert client.get("/me", headers={"X-API-KEY": "another"}).status_code == 200
    told = admin.post("/spend", plan="small_business", requests=1)
    assert (told["spent"], told["x-ratelimit-minute-limit"]) == (True, "5")
    assert admin.get("/")["plan"]["name"] == "small_business"


def test_the_admin_port_outlives_the_cable() -> None:
    """Cut and restored from outside, with a request in the middle: its answer is lost, its punch is there."""
    sandbox = company()
    with sandbox_thread(sandbox) as server, httpx.Client(base_url=server.url, headers=KEY, trust_env=False) as client:
        admin = SandboxAdmin(server.admin_url)
        try:
            admin.cable("cut")
            with pytest.raises(httpx.ConnectError):
                client.get("/me")
            admin.cable("up")
            assert client.get("/me").status_code == 200
            admin.cable("refusing")
            with pytest.raises(httpx.ConnectError):
                client.get("/me")
            admin.cable("up")
            assert client.get("/_sandbox/").json()["cable"] == "up"
            admin.fault(hold=True, when="after", count=1)
            with ThreadPoolExecutor(1) as pool:
                under_way = pool.submit(client.post, f"{BASE}/clock-in", json={"userId": ANNA})
                [held] = admin.wait(state="held", path="*/clock-in")
                admin.cable("cut")
                with pytest.raises(httpx.ReadError):
                    under_way.result()
            assert (held["user_ids"], held["status"]) == ([str(ANNA)], 200)
            assert [row["user_id"] for row in admin.timesheet()] == [str(ANNA)]
        finally:
            admin.close()


@pytest.mark.parametrize(
    ("method", "path", "document", "status"),
    [
        ("POST", "/faults", {"kind": "dorp"}, 400),
        ("POST", "/faults", {"kin": "drop"}, 400),
        ("POST", "/behaviour", {"late_closing": True}, 400),
        ("POST", "/behaviour", {"late_close": "maybe"}, 400),
        ("POST", "/time_clock", {"colour": "red"}, 400),
        ("POST", "/edits/burn_down", {}, 400),
        ("POST", "/edits/close_shift", {"user_id": ANNA}, 400),
        ("POST", "/cable", {"state": "frayed"}, 400),
        ("POST", "/cable", [], 400),
        ("GET", "/wait?count=99&timeout_s=0", None, 504),
        ("GET", "/nothing", None, 404),
        ("PUT", "/faults", {}, 404),
    ],
)
async def test_admin_mistakes_are_told(method: str, path: str, document: Any, status: int) -> None:
    """A misspelled name never silently does nothing."""
    async with (
        SandboxServer(company()) as server,
        httpx.AsyncClient(base_url=f"{server.admin_url}/_sandbox", trust_env=False) as client,
    ):
        answer = await client.request(method, path, json=document)
        assert (answer.status_code, list(answer.json())) == (status, ["error"])


# --- the command


def test_the_command_serves_a_company_and_ends_in_order(tmp_path: Path) -> None:
    """`python -m sandbox`: prints its addresses first, then how to point punchd at it; SIGTERM ends it with 0."""
    with sandbox_process(tmp_path / "files", "--seed", "4") as process:
        key = process.key_file.read_text().strip()
        assert stat.S_IMODE(process.key_file.stat().st_mode) == 0o600
        answer = httpx.post(
            f"{process.url}{BASE}/clock-in", json={"userId": PEOPLE[0][0]}, headers={"X-API-KEY": key}, trust_env=False
        )
        assert answer.status_code == 200
        assert [row["user_id"] for row in process.admin.timesheet()] == [str(PEOPLE[0][0])]
        url = process.url
        said = process.stop()
    assert process.returncode == 0
    assert f'base_url = "{url}"' in said
    assert str(process.people_file) in said


def test_help_has_an_example_and_a_taken_port_is_told() -> None:
    """Exit 0 with `python -m sandbox --port 8099`; a port in use is exit 1 with the remedy."""
    command = [sys.executable, "-m", "sandbox"]
    helped = subprocess.run([*command, "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "python -m sandbox --port 8099" in helped.stdout
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        refused = subprocess.run(
            [*command, "--port", port, "--admin-port", "0"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            env=dict(os.environ),
        )
    assert refused.returncode == 1
    assert "choose another --port" in refused.stderr


def test_the_files_it_writes_fit_punchd(tmp_path: Path) -> None:
    """The snippet is TOML with the contract's keys, the CSV has the contract's header."""
    key_file, people_file = write_files(tmp_path)
    told = tomllib.loads(config_snippet("http://127.0.0.1:8099", key_file))["connecteam"]
    assert told == {
        "base_url": "http://127.0.0.1:8099",
        "time_clock_id": TIME_CLOCK_ID,
        "api_key_file": str(key_file),
    }
    assert people_file.read_text(encoding="utf-8") == employees_csv()
    assert employees_csv().splitlines()[0] == "user_id,name,badge,job_id"
