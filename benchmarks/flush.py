"""How fast a queue empties: the service's delivery against a bare httpx loop that sends the very same requests."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx

from benchmarks.measuring import Figure, Scale
from benchmarks.rigs import Statement, replay
from daemon.alarms import Alarms
from daemon.clock import SystemClock, Timekeeper, Trust, TrustSource
from daemon.config import ConnecteamConfig
from daemon.delivery.loop import Delivery
from daemon.delivery.policy import Policy
from daemon.events import Event, Events
from daemon.model import Direction, Source, TapResult
from daemon.queue import people
from daemon.queue.database import Database
from daemon.queue.opening import open_file
from daemon.queue.queue import NewPunch, insert_punch, insert_tap
from daemon.timesheets.connecteam.timesheet import ConnecteamTimesheet
from drivers.reader import Evidence, Tap
from sandbox.connecteam.access import SANDBOX_KEY
from sandbox.connecteam.limits import Plan
from sandbox.handle import TIME_CLOCK_ID, Sandbox
from sandbox.server import SandboxServer, serve_forever

PEOPLE = 20
PATIENCE_S = 120.0
ROOT = Path(__file__).resolve().parents[1]
SHIFT_S, APART_S = 100, 300


async def flush_rate(scale: Scale) -> list[Figure]:
    """Ours and the bare loop in turn, each against a new sandbox of its own in another process."""
    bare, journalled = [], []
    for _ in range(scale.rounds):
        with tempfile.TemporaryDirectory() as name:
            with _sandbox() as url:
                ours, sent = await _flushed(url, Path(name), scale.flushed)
            with _sandbox() as url:
                least = await _sent_bare(url, sent, None)
            conn, _ = open_file(Path(name) / "bare.db")
            conn.execute("PRAGMA wal_autocheckpoint = 1000").fetchall()
            with _sandbox() as url:
                durable = await _sent_bare(url, sent, conn)
            conn.close()
        bare.append(least / ours)
        journalled.append(durable / ours)
    note = f"{scale.flushed} punches a round, one request at a time"
    return [
        Figure("flush rate / bare httpx loop", bare, aim=0.85, at_least=True, note=note),
        Figure("flush rate / httpx loop with one sync before and after each", journalled),
    ]


async def _flushed(url: str, folder: Path, count: int) -> tuple[float, list[httpx.Request]]:
    """Seconds from the start of delivery until everything was delivered, and what was sent."""
    key_file = folder / "key"
    key_file.write_text(SANDBOX_KEY)
    database = await Database.open(folder / "punchd.db")
    clock = SystemClock()
    await database.write(lambda conn: _store(conn, clock.now(), count))
    now = clock.now()
    trust = Trust(now.boot_id, now.wall_s - now.boottime_s, 0.1, TrustSource.SERVER, now.wall_s)
    timekeeper = Timekeeper(clock, [trust])
    events = Events(timekeeper.now)
    done = asyncio.Event()
    left = count

    def hear(event: Event) -> None:
        nonlocal left
        left -= event.name == "punch.delivered"
        if left == 0:
            done.set()

    events.on_event = hear
    config = ConnecteamConfig(time_clock_id=TIME_CLOCK_ID, api_key_file=key_file, base_url=url)
    wire = _Noting()
    timesheet = ConnecteamTimesheet(config, kiosk="bench", zone=ZoneInfo("UTC"), transport=wire)
    delivery = Delivery(
        db=database,
        timesheet=timesheet,
        timekeeper=timekeeper,
        policy=Policy(),
        alarms=Alarms(timekeeper.now),
        events=events,
        rng=random.Random(7),
        requests_per_minute=1_000_000,
    )
    began = time.perf_counter()
    running = asyncio.create_task(delivery.run())
    async with asyncio.timeout(PATIENCE_S):
        await done.wait()
    spent = time.perf_counter() - began
    running.cancel()
    await asyncio.wait([running])
    await timesheet.aclose()
    await database.close()
    return spent, wire.sent


class _Noting(httpx.AsyncHTTPTransport):
    """The network, and a list of what went over it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        return await super().handle_async_request(request)


def _store(conn: sqlite3.Connection, now: Evidence, count: int) -> None:
    """`count` punches, younger than what is read first: whole shifts, person by person."""
    for person in range(PEOPLE):
        people.put_employee(conn, f"{person + 1}", f"Person {person}", None)
    each = count // PEOPLE or 1
    for number in range(count):
        person, turn = divmod(number, each)
        ago_s = 850 - 800 * turn / each
        seen = Evidence(now.wall_s - ago_s, now.boottime_s - ago_s, now.boot_id, now.synchronised)
        name, direction = f"N{number:06d}", Direction.CLOCK_OUT if turn % 2 else Direction.CLOCK_IN
        tap = insert_tap(conn, Tap("front", "04A2", seen), TapResult.ACCEPTED, None, name)
        insert_punch(conn, NewPunch(
            name, tap, f"{person + 1}", direction, seen.wall_s, 0.5, True, seen.wall_s, seen, "front", "04A2",
            Source.TAP, None), now.wall_s)  # fmt: skip


async def _sent_bare(url: str, requests: list[httpx.Request], conn: sqlite3.Connection | None) -> float:
    """Seconds for the same requests one after another; with a database, one row and its sync before and after each."""
    async with httpx.AsyncClient(trust_env=False) as client:
        began = time.perf_counter()
        for number, one in enumerate(requests):
            headers = {name: value for name, value in one.headers.items() if name not in ("host", "content-length")}
            if conn is not None:
                replay(conn, _row(number, "sent"))
            to = httpx.URL(url).copy_with(raw_path=one.url.raw_path)
            response = await client.request(one.method, to, headers=headers, content=one.content)
            assert response.is_success, response.text
            if conn is not None:
                replay(conn, _row(number, response.text[:200]))
        return time.perf_counter() - began


def _row(number: int, text: str) -> list[Statement]:
    sql = "INSERT INTO settings (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
    return [(sql, (f"bare.{number}", text))]


@contextmanager
def _sandbox() -> Iterator[str]:
    """A sandbox whose plan never runs out; its address."""
    command = [sys.executable, "-m", "benchmarks.flush"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            yield child.stdout.readline().strip()
        finally:
            child.terminate()


async def _serve() -> None:
    sandbox = Sandbox(plan=Plan("benchmark", 10_000_000, 10_000_000))
    for person in range(PEOPLE):
        sandbox.company.add_user(person + 1, f"Person {person}")
    server = SandboxServer(sandbox)
    print(server.url, flush=True)
    await serve_forever(server, asyncio.Event())


if __name__ == "__main__":
    asyncio.run(_serve())
