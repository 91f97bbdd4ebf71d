"""A kiosk behind its sockets: the real database, intake and directory, with delivery's part played by a small actor."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

from daemon.alarms import Alarms
from daemon.clock import Timekeeper
from daemon.config import AttendanceConfig, Config, ConnecteamConfig, KioskConfig, ReaderConfig
from daemon.control.kiosk import Kiosk
from daemon.control.server import Sockets
from daemon.delivery.key_check import KeyCheck, key_check
from daemon.errors import NotFoundError, RefusedError
from daemon.events import Events
from daemon.intake.decisions import Decisions
from daemon.intake.directory import Directory
from daemon.intake.intake import Intake
from daemon.intake.readers import Readers
from daemon.model import PunchState
from daemon.queue import deliveries, queue
from daemon.queue.database import Database
from daemon.tallies import Tallies
from daemon.timesheets.timesheet import Proven, Reply
from drivers.reader import Feedback, Reader, ReaderLost, ReaderUnavailable, Tap
from drivers.simulated import SimulatedReader
from tests.support.fake_clock import FakeClock


@dataclass
class DeliveryStatus:
    """What the actor says of itself."""

    state: str = "online"
    budget: dict[str, Any] | None = None
    snapshot_at: float | None = None
    last_delivery_at: float | None = None
    next_try_at: float | None = None
    detail: str | None = None


@dataclass
class Actor:
    """Plays delivery: decides on punches in the real database, sends nothing, and notes who asked for what."""

    database: Database
    timekeeper: Timekeeper
    standing: DeliveryStatus = field(default_factory=DeliveryStatus)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    key: KeyCheck = field(default_factory=lambda: key_check(Reply(Proven("Acme"), status=200), changed=False))

    async def sync_now(self) -> None:
        self.asked.append(("sync_now", None))

    async def pause(self, by: str) -> None:
        self.asked.append(("pause", by))
        self.standing.state = "paused"

    async def resume(self, by: str) -> None:
        self.asked.append(("resume", by))
        self.standing.state = "online"

    async def retry(self, punch_ids: Sequence[str], *, by: str) -> None:
        for punch_id in punch_ids:
            await self._decide(punch_id, PunchState.PENDING, None, by)

    async def discard(self, punch_id: str, *, reason: str, by: str) -> None:
        await self._decide(punch_id, PunchState.DISCARDED, reason, by)

    def seen(self, user_id: str) -> None:
        return None

    async def ask_at_once(self, step: object) -> NoReturn:
        raise RefusedError(
            "cannot read the timesheet: no service is played here; see what was last read", code="played"
        )

    async def check_key(self) -> KeyCheck:
        self.asked.append(("check_key", None))
        return self.key

    def status(self) -> DeliveryStatus:
        return self.standing

    async def review(self, punch_id: str, reason: str) -> None:
        """Put a punch in review, as a service's refusal would."""
        at = self.timekeeper.now()
        await self.database.write(
            lambda conn: deliveries.set_state(conn, punch_id, PunchState.REVIEW, at=at, reason=reason, detail="No!")
        )

    async def _decide(self, punch_id: str, state: PunchState, detail: str | None, by: str) -> None:
        punch = await self.database.read(lambda conn: queue.find_punch(conn, punch_id))
        if punch is None:
            raise NotFoundError(f"cannot find punch {punch_id}; see punches list")
        if punch.state is not PunchState.REVIEW:
            raise RefusedError(f"cannot decide {punch_id}: it is {punch.state}; see review list", code="not_in_review")
        at = self.timekeeper.now()
        await self.database.write(
            lambda conn: deliveries.set_state(conn, punch_id, state, at=at, by=by, reason="by_decision", detail=detail)
        )


class Door:
    """A real reader, as far as anybody can tell: nobody taps on it, and it can be torn out."""

    driver = "pcsc"
    errors = 0

    def __init__(self, name: str) -> None:
        self.name = name
        self.missing: str | None = None
        self._torn_out = asyncio.Event()

    async def open(self) -> None:
        if self.missing is not None:
            raise ReaderUnavailable(self.missing)

    async def taps(self) -> AsyncIterator[Tap]:
        await self._torn_out.wait()
        raise ReaderLost(self.missing)
        yield

    async def feedback(self, tap: Tap, feedback: Feedback) -> None:
        raise AssertionError("nobody taps here")

    async def close(self) -> None:
        pass

    def tear_out(self, why: str) -> None:
        self.missing = why
        self._torn_out.set()


@dataclass
class Stage:
    """A kiosk with its sockets open, and what a test may reach of it."""

    kiosk: Kiosk
    sockets: Sockets
    clock: FakeClock
    delivery: Actor
    readers: Readers
    door: Door

    @property
    def control(self) -> Path:
        return self.sockets.control_path

    @property
    def status(self) -> Path:
        return self.sockets.status_path

    @property
    def servers(self) -> list[Any]:
        """aiohttp's servers behind the sockets, with their `connections`."""
        return [runner.server for runner in self.sockets._runners]

    async def journal(self) -> list[tuple[str, str]]:
        """Who did what, oldest first."""
        return await self.kiosk.database.read(
            lambda conn: list(conn.execute("SELECT by, action FROM journal ORDER BY id"))
        )


@asynccontextmanager
async def open_kiosk(*, metrics_listen: str = "", **sockets: Any) -> AsyncIterator[Stage]:
    """A kiosk in Amsterdam on a trusted clock, with a simulated reader `front` and a real one `door`."""
    # Not pytest's own directory: its paths are too long for a socket.
    with tempfile.TemporaryDirectory(prefix="punchd") as name:
        directory = Path(name)
        database = await Database.open(directory / "punchd.sqlite")
        stage = _stage(directory, database, sockets, metrics_listen)
        reading = asyncio.create_task(stage.readers.run())
        try:
            await stage.sockets.start()
            await until(lambda: all(reader.state == "open" for reader in stage.readers.status()))
            yield stage
        finally:
            await stage.sockets.stop()
            reading.cancel()
            await asyncio.wait({reading})
            await database.close()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that this process's own tasks bring about and that sets no event."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0)


def _stage(directory: Path, database: Database, sockets: dict[str, Any], metrics_listen: str) -> Stage:
    clock = FakeClock()
    timekeeper = Timekeeper(clock)
    alarms, events, tallies = Alarms(timekeeper.now), Events(timekeeper.now), Tallies()
    events.on_event = tallies.hear
    configs = (ReaderConfig("front", "simulated"), ReaderConfig("door", "pcsc"))
    config = Config(
        kiosk=KioskConfig("front-door", ZoneInfo("Europe/Amsterdam"), directory, directory / "run"),
        connecteam=ConnecteamConfig(time_clock_id=1),
        readers=configs,
        metrics_listen=metrics_listen,
    )
    intake = Intake(
        database,
        timekeeper,
        attendance=AttendanceConfig(),
        readers=configs,
        alarms=alarms,
        events=events,
        chance=random.Random(1),
    )
    door = Door("door")

    def make_reader(one: ReaderConfig) -> Reader:
        return SimulatedReader(one.name, clock.now) if one.driver == "simulated" else door

    readers = Readers(
        configs,
        intake,
        make_reader=make_reader,
        alarms=alarms,
        events=events,
        now=timekeeper.now,
        rng=random.Random(1),
    )
    delivery = Actor(database, timekeeper)
    kiosk = Kiosk(
        config=config,
        version="9.9.9",
        started=clock.now(),
        database=database,
        directory=Directory(database, intake, events),
        readers=readers,
        delivery=delivery,
        decisions=Decisions(database, intake, timekeeper),
        alarms=alarms,
        events=events,
        timekeeper=timekeeper,
        tallies=tallies,
    )
    return Stage(kiosk, Sockets(kiosk, **sockets), clock, delivery, readers, door)
