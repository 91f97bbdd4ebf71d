"""What only one way of reaching the sandbox has: virtual time, sockets, admin routes, the command."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.connecteam.access import SANDBOX_KEY
from sandbox.handle import TIME_CLOCK_ID, Sandbox
from sandbox.sample import PEOPLE, config_snippet, employees_csv, write_files
from sandbox.server import SandboxServer
from sandbox.transport import SandboxTransport
from tests.simulation.virtual import EPOCH, VirtualTimeLoop, run_virtual
from tests.support.sandbox_process import ROOT, SandboxAdmin, sandbox_process, sandbox_thread
from tests.unit.sandbox.kit import ANNA, BASE, BRAM, KEY, NOON, company

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
