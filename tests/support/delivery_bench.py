"""Delivery alone, on everything real but time and wire: queue, planner, client, and the sandbox in process."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import httpx

from daemon.alarms import Alarms
from daemon.clock import Timekeeper
from daemon.config import ConnecteamConfig
from daemon.delivery.loop import Delivery
from daemon.delivery.policy import Policy
from daemon.events import Events
from daemon.model import Direction, Punch, PunchState, Source, TapResult
from daemon.queue import people
from daemon.queue.database import Database
from daemon.queue.deliveries import History, history
from daemon.queue.queue import NewPunch, find_punch, insert_punch, insert_tap, list_punches
from daemon.queue.salvaged import Seen
from daemon.timesheets.connecteam.timesheet import ConnecteamTimesheet
from drivers.reader import Evidence, Tap
from sandbox.handle import TIME_CLOCK_ID, Sandbox
from sandbox.transport import SandboxTransport
from tests.simulation.virtual import VirtualClock, VirtualTimeLoop, run_virtual

KEY = "test-key-0123456789"
ANNA, BOB, CARL = "101", "102", "103"


class Passing(httpx.AsyncBaseTransport):
    """The wire; what stands at its other end may be another one at any time."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self.inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass it on."""
        return await self.inner.handle_async_request(request)

    async def aclose(self) -> None:
        """End what is under way."""
        await self.inner.aclose()


class Bench:
    """One kiosk's delivery against one sandbox company of three people, in virtual time."""

    def __init__(
        self, loop: VirtualTimeLoop, directory: Path, *, policy: Policy | None = None, per_minute: int = 600
    ) -> None:
        self.clock = VirtualClock(loop)
        self.sandbox = Sandbox(now=lambda: self.clock.true_now, seed=1)
        self.wire = Passing(SandboxTransport(self.sandbox))
        self.key_file = directory / "key"
        self.directory = directory
        self.policy = policy or Policy()
        self.per_minute = per_minute
        #: Where the second copy is; None: there is none.
        self.copy: Path | None = None
        self._numbers = itertools.count(1)
        self._task: asyncio.Task[None] | None = None
        for user_id, name in ((ANNA, "Anna"), (BOB, "Bob"), (CARL, "Carl")):
            self.sandbox.company.add_user(user_id, name)
        self.key_file.write_text(KEY)
        self.sandbox.company.access.keys[KEY] = None

    async def start(self) -> None:
        """Open and run, as a service would after a start."""
        seen = Seen(self.clock.true_now, known=True)
        self.db = await Database.open(self.directory / "punchd.db", inline=True, copy=self.copy, seen=seen)
        await self.db.write(self._hire)
        self.timekeeper = Timekeeper(self.clock)
        self.alarms = Alarms(self.timekeeper.now)
        self.events = Events(self.timekeeper.now)
        config = ConnecteamConfig(time_clock_id=TIME_CLOCK_ID, api_key_file=self.key_file)
        self.timesheet = ConnecteamTimesheet(
            config, kiosk="bench", zone=ZoneInfo("Europe/Amsterdam"), transport=self.wire
        )
        self.delivery = Delivery(
            db=self.db,
            timesheet=self.timesheet,
            timekeeper=self.timekeeper,
            policy=self.policy,
            alarms=self.alarms,
            events=self.events,
            rng=random.Random(7),
            requests_per_minute=self.per_minute,
        )
        self.timekeeper.on_change = self.delivery.wake
        self._task = asyncio.create_task(self.delivery.run())

    @staticmethod
    def _hire(conn: object) -> None:
        for user_id, name in ((ANNA, "Anna"), (BOB, "Bob"), (CARL, "Carl")):
            people.put_employee(conn, user_id, name, None)  # type: ignore[arg-type]

    async def crash(self) -> None:
        """The process dies at once: what is out stays open in the journal."""
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])
        await self.timesheet.aclose()
        await self.db.close()

    @property
    def running(self) -> bool:
        """Whether the loop still runs."""
        return self._task is not None and not self._task.done()

    async def punch(
        self, user_id: str, direction: str | None, *, ago_s: float = 0.0, known: bool = True, stated: bool = False
    ) -> str:
        """Store a punch as the intake would, for a tap `ago_s` ago, by the clock or `stated`; its id."""
        now = self.clock.now()
        seen = Evidence(now.wall_s - ago_s, now.boottime_s - ago_s, now.boot_id, now.synchronised)
        punch_id = f"P{next(self._numbers):03d}"

        def store(conn: object) -> None:
            told = Tap("front", "04A2", seen, seen.wall_s if stated else None)
            tap = insert_tap(conn, told, TapResult.ACCEPTED, None, punch_id)  # type: ignore[arg-type]
            new = NewPunch(
                punch_id, tap, user_id, Direction(direction) if direction else None, seen.wall_s, 0.5, known,
                seen.wall_s, seen, "front", "04A2", Source.TAP, None,
            )  # fmt: skip
            insert_punch(conn, new, now.wall_s)  # type: ignore[arg-type]

        await self.db.write(store)
        self.delivery.wake(user_id)
        return punch_id

    async def state(self, punch_id: str) -> tuple[str, str | None]:
        """Where a punch stands, and why."""
        punch = await self.db.read(lambda conn: find_punch(conn, punch_id))
        assert punch is not None
        return punch.state.value, punch.reason

    async def punches(self) -> list[Punch]:
        """All punches."""
        return await self.db.read(lambda conn: list_punches(conn))

    async def history(self, punch_id: str) -> History:
        """What happened to one punch."""
        return await self.db.read(lambda conn: history(conn, punch_id))

    async def all_delivered(self) -> bool:
        """Whether nothing is left to do."""
        return all(punch.state is PunchState.DELIVERED for punch in await self.punches())

    def sheet(self) -> list[tuple[str, int, int | None]]:
        """The timesheet: person, start, end."""
        return [(row.user_id, row.start, row.end) for row in self.sandbox.timesheet()]

    def requests(self, path: str = "") -> list[str]:
        """Method and last part of the path of every request that reached the service, in order of arrival."""
        return [
            f"{e.request.method} {e.request.path.rsplit('/', 1)[-1]}"
            for e in self.sandbox.log.entries
            if path in e.request.path
        ]

    def second(self, ago_s: float = 0.0) -> int:
        """A whole second of true time."""
        return int(self.clock.true_now - ago_s)


def on_bench(directory: Path, story: Callable[[Bench], Awaitable[None]], **options: object) -> Bench:
    """Run a story on a started bench, to its end, in virtual time."""

    async def main(loop: VirtualTimeLoop) -> Bench:
        bench = Bench(loop, directory, **options)  # type: ignore[arg-type]
        await bench.start()
        try:
            await story(bench)
        finally:
            await bench.crash()
        return bench

    return run_virtual(main)
