"""An intake on a real database, with a fake clock: what the tests of intake and directory stand on."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daemon.alarms import Alarms
from daemon.clock import Timekeeper
from daemon.config import AttendanceConfig, ReaderConfig
from daemon.events import Events
from daemon.intake.attendance import ServerView
from daemon.intake.directory import Directory
from daemon.intake.intake import Intake
from daemon.model import Punch, ReaderDirection, TapAnswer
from daemon.queue.database import Database
from daemon.queue.deliveries import history
from daemon.queue.people import put_employee
from daemon.queue.queue import find_punch, list_punches
from drivers.reader import Tap
from tests.support.fake_clock import FakeClock

READERS = (
    ReaderConfig("front", "simulated", job_id="reader-job"),
    ReaderConfig("in", "simulated", direction=ReaderDirection.CLOCK_IN),
    ReaderConfig("out", "simulated", direction=ReaderDirection.CLOCK_OUT),
    ReaderConfig("nfc", "pcsc"),
)
ANN, BOB = "04AA0001", "04BB0002"


@dataclass
class Kit:
    """One kiosk's intake. Ann (7) and Bob (8) are known, with a badge each."""

    database: Database
    clock: FakeClock = field(default_factory=FakeClock)
    attendance: AttendanceConfig = field(default_factory=AttendanceConfig)
    server_view: Callable[[str], ServerView | None] = lambda user_id: None
    told: list[Punch] = field(default_factory=list)
    chance: random.Random = field(default_factory=lambda: random.Random(7))

    def __post_init__(self) -> None:
        self.start()

    def start(self, trusts: Any = ()) -> None:
        """Build everything anew on the same database, as after a restart."""
        self.timekeeper = Timekeeper(self.clock, trusts)
        self.alarms = Alarms(lambda: self.clock.wall)
        self.events = Events(lambda: self.clock.wall)
        self.intake = Intake(
            self.database,
            self.timekeeper,
            attendance=self.attendance,
            readers=READERS,
            alarms=self.alarms,
            events=self.events,
            chance=self.chance,
            on_punch=self.told.append,
            server_view=lambda user_id: self.server_view(user_id),
        )
        self.directory = Directory(self.database, self.intake, self.events)

    def reboot(self, **how: Any) -> None:
        """The box restarts; trust that was known before is remembered, as the database would."""
        known = list(self.timekeeper._trusts.values())
        self.clock.reboot(**how)
        self.start(known)

    async def tap(self, badge: str = ANN, reader: str = "front", at: float | None = None) -> TapAnswer:
        """A tap, now."""
        return await self.intake.accept(Tap(reader, badge, self.clock.now(), at))

    async def punch(self, badge: str = ANN, reader: str = "front", at: float | None = None) -> Punch:
        """A tap that must become a punch."""
        answer = await self.tap(badge, reader, at)
        assert answer.punch is not None, answer
        return answer.punch

    async def find(self, punch: Punch) -> Punch:
        """A punch as it now stands."""
        found = await self.database.read(lambda conn: find_punch(conn, punch.id))
        assert found is not None
        return found

    async def punches(self, user_id: str | None = None) -> list[Punch]:
        """All punches by time."""
        return await self.database.read(lambda conn: list_punches(conn, user_id=user_id))

    async def journal(self, punch: Punch) -> list[tuple[str, str]]:
        """(by, action) of each journal line of a punch."""
        kept = await self.database.read(lambda conn: history(conn, punch.id))
        return [(line["by"], line["action"]) for line in kept.journal]

    async def rows(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """What a plain query sees."""
        return await self.database.read(lambda conn: conn.execute(sql, values).fetchall())

    def alarm_codes(self) -> list[str]:
        """The alarms that stand."""
        return [alarm.code for alarm in self.alarms.standing()]


@asynccontextmanager
async def open_kit(path: Path, **options: Any):
    """A kit on a new database at `path`."""
    database = await Database.open(path, inline=options.pop("inline", False))
    try:
        kit = Kit(database, **options)
        await kit.directory.add("7", "Ann", badge=ANN, by="uid:0")
        await kit.directory.add("8", "Bob", badge=BOB, job_id="bob-job", by="uid:0")
        yield kit
    finally:
        await database.close()


def give_shift(conn: Any, user_id: str, max_shift_s: int) -> None:
    """Let one employee have a longest shift of their own."""
    put_employee(conn, user_id, "Ann", None, max_shift_s)
