"""A week in one company, told as people tell it: "Mon 08:00" by the clock on the wall, names, and lines of a timesheet.

The whole service in virtual time, from the reader to the sandbox's store; one company, any number of kiosks.
"""

from __future__ import annotations

import asyncio
import datetime
import random
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx

from daemon.app import Built, Surroundings, build
from daemon.config import AttendanceConfig, Config, ConnecteamConfig, KioskConfig, ReaderConfig
from daemon.lock import InstanceLock
from daemon.model import Punch, ReaderDirection
from daemon.queue.queue import list_punches
from daemon.service import Orders
from drivers.reader import EvidenceSource, Reader
from sandbox.connecteam.access import SANDBOX_KEY
from sandbox.connecteam.limits import EXPERT, Plan
from sandbox.handle import TIME_CLOCK_ID, Row, Sandbox
from sandbox.transport import SandboxTransport
from tests.simulation.carried import Body, Witness
from tests.simulation.virtual import VirtualClock, VirtualTimeLoop, run_virtual
from tests.simulation.world import WatchedReader

ZONE = ZoneInfo("Europe/Amsterdam")
#: The week begins on this Monday unless a story says otherwise. Virtual time begins an hour into it, in local time.
MONDAY = datetime.date(2026, 11, 23)
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
NAMES = ("Anna", "Bob", "Carl")


@dataclass
class Town:
    """One company and its kiosks. `monday` is the first day that "Mon" means; "Mon2" is a week later."""

    loop: VirtualTimeLoop
    folder: Path
    monday: datetime.date = MONDAY
    names: tuple[str, ...] = NAMES
    plan: Plan = EXPERT
    kiosks: list[Kiosk] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._true = VirtualClock(self.loop)
        self.sandbox = Sandbox(now=lambda: self.now, seed=1, plan=self.plan, latency_s=0.15)
        self.manager = self.sandbox.manager
        self.ids = {name: str(101 + number) for number, name in enumerate(self.names)}
        for name, user_id in self.ids.items():
            self.sandbox.company.add_user(user_id, name)
        self.key_file = self.folder / "key"
        self.key_file.write_text(SANDBOX_KEY)

    # --- time

    @property
    def now(self) -> float:
        """True time, Unix seconds."""
        return self._true.true_now

    def unix(self, when: str) -> int:
        """The Unix second of "Tue 06:00", "Mon2 08:15:30", or where a clock shows it twice, "Sun 02:30 CET"."""
        day, clock, *zone = when.split()
        number = DAYS.index(day[:3]) + 7 * (int(day[3:] or 1) - 1)
        local = datetime.datetime.combine(
            self.monday + datetime.timedelta(days=number),
            datetime.time.fromisoformat(clock),
            ZONE,
        ).replace(fold=int(zone == ["CET"]))
        return int(local.timestamp())

    async def until(self, when: str) -> None:
        """Wait until the middle of that second."""
        await asyncio.sleep(self.unix(when) + 0.5 - self.now)

    # --- what happens

    async def kiosk(self, name: str = "front-door", **settings: Any) -> Kiosk:
        """A new kiosk that is switched on; see `Kiosk` for its settings."""
        kiosk = Kiosk(self, name, **settings)
        self.kiosks.append(kiosk)
        await kiosk.start()
        for person, user_id in self.ids.items():
            await kiosk.built.kiosk.directory.add(user_id, person, badge=badge_of(user_id), by="test")
        return kiosk

    # --- what came of it

    def sheet(self, name: str | None = None) -> list[str]:
        """The timesheet, a line a shift: `Anna Mon 08:00:00 - Mon 16:00:00`; a star says that a human wrote it."""
        people = {user_id: person for person, user_id in self.ids.items()}
        rows = self.sandbox.timesheet(self.ids[name] if name else None)
        return [self._line(people[row.user_id], row) for row in sorted(rows, key=lambda r: (r.user_id, r.start))]

    def _line(self, person: str, row: Row) -> str:
        ended = "open" if row.end is None else self._told(row.end, row.end_source)
        return f"{person} {self._told(row.start, row.source)} - {ended}"

    def _told(self, at: int, source: str | None) -> str:
        local = datetime.datetime.fromtimestamp(at, ZONE)
        week, day = divmod((local.date() - self.monday).days, 7)
        clock = local.strftime("%H:%M:%S") + (" CET" if local.fold else "")
        mark = {"api": "", "autoClockOut": " (auto)"}.get(str(source), "*")
        return f"{DAYS[day]}{week + 1 if week else ''} {clock}{mark}"

    def asked(self, last: str) -> int:
        """How many requests to paths that end so reached the service."""
        return sum(entry.request.path.endswith(last) for entry in self.sandbox.log.entries)


class Wire(httpx.AsyncBaseTransport):
    """One kiosk's own way to the service, which may be down while other kiosks' are not."""

    def __init__(self, sandbox: Sandbox, witness: Witness, now: Callable[[], float], *, up: bool = True) -> None:
        self.up, self.witness, self._now = up, witness, now
        self.inner: httpx.AsyncBaseTransport = SandboxTransport(sandbox)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry it, if the wire is up."""
        seen = self.witness.begin(request, self._now())
        try:
            if not self.up:
                raise httpx.ConnectError("all connection attempts failed", request=request)
            response = await self.inner.handle_async_request(request)
            assert isinstance(response.stream, httpx.AsyncByteStream)
            body = Body(response.stream, seen, response.status_code, self._now)
            return httpx.Response(response.status_code, headers=response.headers, stream=body)
        except httpx.ConnectError:
            seen.sent = False
            raise
        finally:
            seen.ended = self._now()

    async def aclose(self) -> None:
        """End what is under way."""
        await self.inner.aclose()


@dataclass
class Kiosk:
    """One kiosk. `readers` by name with their direction; `attendance` and `connecteam` as in the configuration.

    `reader_of` makes the readers of another `driver`, by name; nobody can `tap` on those.
    """

    town: Town
    name: str
    readers: Mapping[str, str] = field(default_factory=lambda: {"front": "toggle"})
    attendance: Mapping[str, Any] = field(default_factory=dict)
    connecteam: Mapping[str, Any] = field(default_factory=dict)
    driver: str = "simulated"
    reader_of: Callable[[str, EvidenceSource], Reader] | None = None

    def __post_init__(self) -> None:
        self.clock = VirtualClock(self.town.loop)
        self.lives = 0
        self.state_dir.mkdir()
        self.witness = Witness(self.name)
        self.wire = Wire(self.town.sandbox, self.witness, lambda: self.town.now)

    @property
    def state_dir(self) -> Path:
        """The disk of its current life."""
        return self.town.folder / f"{self.name}-{self.lives}"

    # --- its life

    async def start(self) -> None:
        """Switch on."""
        self._readers: dict[str, WatchedReader] = {}
        self._lock, self._orders = InstanceLock(self.state_dir), Orders()
        self._lock.__enter__()

        def make_reader(config: ReaderConfig, evidence: EvidenceSource) -> Reader:
            if self.reader_of is not None:
                return self.reader_of(config.name, evidence)
            self._readers[config.name] = WatchedReader(config.name, evidence)
            return self._readers[config.name]

        around = Surroundings(
            clock=self.clock,
            rng=random.Random(f"{self.name}, life {self.lives}"),
            transport=self.wire,
            make_reader=make_reader,
            inline_database=True,
            outside=False,
        )
        self.built: Built = await build(self._config(), around, self._orders)
        self._running = asyncio.create_task(self.built.service.run())
        await self.built.service.started.wait()
        await asyncio.sleep(0)

    async def stop(self) -> None:
        """Switch off in order. Raises what ended it before, if anything did."""
        self._orders.stop.set()
        await asyncio.wait([self._running])
        self._lock.__exit__(None, None, None)
        self._assert_sound()

    async def crash(self) -> None:
        """The process dies at once: what is on disk at this moment is all that the next start finds."""
        self._assert_sound()
        old, wire = self.state_dir, self.wire
        self.lives += 1
        shutil.copytree(old, self.state_dir)
        wire.up, self.wire = False, Wire(self.town.sandbox, self.witness, lambda: self.town.now, up=wire.up)
        self._running.cancel()
        await asyncio.wait([self._running])
        self._lock.__exit__(None, None, None)

    def _assert_sound(self) -> None:
        """Raise what the service ended with, if it ended so by itself.

        That may be no fault of its own: what ends a test after its time strikes in whatever runs at that moment, and
        where that is a task of the service, the service ends in order and nobody else hears of it.
        """
        if self._running.done() and not self._running.cancelled():
            self._running.result()

    @property
    def reader(self) -> WatchedReader:
        """Its first reader."""
        return next(iter(self._readers.values()))

    def offline(self) -> None:
        """Its network goes away."""
        self.wire.up = False

    def online(self) -> None:
        """Its network is back, and the kiosk hears of the link."""
        self.wire.up = True
        self.built.kiosk.delivery.network_changed()

    def _config(self) -> Config:
        town = self.town
        return Config(
            kiosk=KioskConfig(self.name, ZONE, self.state_dir, self.state_dir / "run"),
            connecteam=ConnecteamConfig(TIME_CLOCK_ID, api_key_file=town.key_file, **self.connecteam),
            attendance=AttendanceConfig(**self.attendance),
            readers=tuple(
                ReaderConfig(name, self.driver, direction=ReaderDirection(way)) for name, way in self.readers.items()
            ),
        )

    # --- what happens at it

    async def tap(self, person: str, when: str | None = None, *, reader: str | None = None) -> str:
        """Somebody taps, at a time where one is given; what they are shown: "clocked_in", "repeat", …"""
        return await self.tap_badge(badge_of(self.town.ids[person]), when, reader=reader)

    async def tap_badge(self, badge: str, when: str | None = None, *, reader: str | None = None) -> str:
        """The same with any badge."""
        self._assert_sound()
        if when is not None:
            await self.town.until(when)
        shown = await self._readers[reader or next(iter(self.readers))].tap(badge)
        assert shown is not None, "the light went out"
        return shown.value

    # --- what it says

    async def punches(self) -> list[Punch]:
        """All its punches."""
        self._assert_sound()
        return await self.built.kiosk.database.read(list_punches)

    async def stuck(self) -> list[str]:
        """What is neither delivered nor discarded: `Anna Mon 08:00:00 clock_in: review missing_clock_out`."""
        people = {user_id: person for person, user_id in self.town.ids.items()}
        return [
            f"{people[p.user_id]} {self.town._told(p.second, 'api')} {p.direction}: {p.state} {p.reason or ''}".strip()
            for p in await self.punches()
            if not p.state.finished
        ]

    @property
    def delivery(self) -> Any:
        """Its delivery."""
        return self.built.kiosk.delivery


def badge_of(user_id: str) -> str:
    """The badge somebody carries."""
    return f"04A1B2C3D4{int(user_id):04d}"


def in_town(folder: Path, story: Callable[[Town], Awaitable[None]], **settings: Any) -> None:
    """Tell a story to its end in virtual time; kiosks still on are switched off."""

    async def main(loop: VirtualTimeLoop) -> None:
        town = Town(loop, folder, **settings)
        try:
            await story(town)
        finally:
            for kiosk in town.kiosks:
                await kiosk.stop()

    run_virtual(main)
