"""A whole kiosk in virtual time: the production service, a sandbox for Connecteam, and people with a notebook.

Only the edges are simulated: clocks, chance, the transport, the reader's metal. The people's notebook knows nothing of
the daemon: it holds when somebody tapped, by true time, and what the reader showed them.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from daemon.app import Built, Surroundings, build
from daemon.config import AttendanceConfig, Config, ConnecteamConfig, KioskConfig, ReaderConfig
from daemon.events import Event
from daemon.lock import InstanceLock
from daemon.model import Punch
from daemon.queue.queue import list_punches
from daemon.service import Orders
from drivers.reader import EvidenceSource, Feedback, Reader, Tap
from drivers.simulated import SimulatedReader
from sandbox.connecteam.access import SANDBOX_KEY
from sandbox.handle import TIME_CLOCK_ID, Sandbox
from sandbox.transport import SandboxTransport
from tests.simulation.virtual import VirtualClock

ZONE = ZoneInfo("Europe/Amsterdam")


class WatchedReader(SimulatedReader):
    """A simulated reader whose lights somebody looks at. `dark` after a power cut: nobody sees anything."""

    def __init__(self, name: str, evidence: EvidenceSource) -> None:
        super().__init__(name, evidence)
        self.dark = False
        self._looking: dict[Tap, asyncio.Future[Feedback | None]] = {}

    async def tap(self, badge: str) -> Feedback | None:
        """Present a badge and wait for the last word; None when the light went out first."""
        tap = await self.present(badge)
        seen = self._looking[tap] = asyncio.get_running_loop().create_future()
        return await seen

    @property
    def listens(self) -> bool:
        """Whether a badge held before it is read: it is open, and there is power."""
        return not self.dark and not self._inbox.ended

    async def feedback(self, tap: Tap, feedback: Feedback) -> None:
        """Show it."""
        await super().feedback(tap, feedback)
        if not self.dark and feedback is not Feedback.WAIT and not self._looking[tap].done():
            self._looking[tap].set_result(feedback)

    def go_dark(self) -> None:
        """The power is gone: whoever waits learns nothing."""
        self.dark = True
        for seen in self._looking.values():
            if not seen.done():
                seen.set_result(None)


@dataclass(frozen=True, slots=True)
class Note:
    """One line of the notebook: who tapped at which second (true time), and what was shown; None: the power went."""

    user_id: str
    second: int
    shown: Feedback | None


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a badge."""

    user_id: str
    name: str
    badge: str


def company(size: int) -> list[Person]:
    """So many people with a badge each."""
    return [Person(str(9170000 + n), f"Person {n:02d}", f"04A1B2{n:02X}D4E5F6") for n in range(size)]


@dataclass
class Kiosk:
    """One running kiosk."""

    built: Built
    orders: Orders
    reader: WatchedReader
    transport: SandboxTransport
    lock: InstanceLock
    running: asyncio.Task[None]
    watching: asyncio.Task[None]


@dataclass
class World:
    """Everything there is. Use: `start`, then taps, power cuts, faults on `sandbox`; at the end `stop`.

    `tapped` is set with each line of the notebook, for whoever clears it and waits.
    """

    loop: asyncio.AbstractEventLoop
    folder: Path
    seed: int
    people: list[Person]
    clock: VirtualClock = field(init=False)
    sandbox: Sandbox = field(init=False)
    rng: random.Random = field(init=False)
    notebook: list[Note] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    tapped: asyncio.Event = field(default_factory=asyncio.Event)
    kiosk: Kiosk | None = None
    starts: int = 0

    def __post_init__(self) -> None:
        self.clock = VirtualClock(self.loop)
        self.rng = random.Random(self.seed)
        self.sandbox = Sandbox(now=lambda: self.clock.true_now, seed=self.seed, latency_s=0.15)
        for person in self.people:
            self.sandbox.company.add_user(person.user_id, person.name)

    @property
    def state_dir(self) -> Path:
        """The disk of the current life."""
        return self.folder / f"life-{self.starts:02d}"

    # --- the kiosk's life

    async def start(self) -> None:
        """Switch the kiosk on; the first time its directory is filled."""
        first = self.starts == 0
        if first:
            self.starts = 1
            self.state_dir.mkdir(parents=True)
        readers: list[WatchedReader] = []

        def make_reader(config: ReaderConfig, evidence: EvidenceSource) -> Reader:
            readers.append(WatchedReader(config.name, evidence))
            return readers[-1]

        transport, orders = SandboxTransport(self.sandbox), Orders()
        lock = InstanceLock(self.state_dir)
        lock.__enter__()
        around = Surroundings(
            clock=self.clock,
            rng=random.Random(self.rng.getrandbits(64)),
            transport=transport,
            make_reader=make_reader,
            inline_database=True,
            outside=False,
        )
        built = await build(self._config(), around, orders)
        watching = asyncio.create_task(self._write_events(built))
        await asyncio.sleep(0)
        running = asyncio.create_task(built.service.run())
        await built.service.started.wait()
        self.kiosk = Kiosk(built, orders, readers[0], transport, lock, running, watching)
        if first:
            for person in self.people:
                await built.kiosk.directory.add(person.user_id, person.name, badge=person.badge, by="test")
        await asyncio.sleep(1)

    async def stop(self) -> None:
        """Stop it in order."""
        kiosk = self._on()
        kiosk.orders.stop.set()
        await kiosk.running
        await self._off(kiosk)

    async def power_cut(self, off_s: float) -> None:
        """Pull the plug for so long: what is on disk at this moment is all that is left, and the clock stood still.

        Between two callbacks of the loop no transaction is open (the database runs inline), so a copy of the files is
        what a disk that keeps its promises holds.
        """
        kiosk = self._on()
        old, self.starts = self.state_dir, self.starts + 1
        shutil.copytree(old, self.state_dir)
        kiosk.reader.go_dark()
        self.sandbox.cable.cut()
        kiosk.running.cancel()
        await asyncio.wait([kiosk.running])
        await self._off(kiosk)
        self.sandbox.cable.restore()
        await asyncio.sleep(off_s)
        self.clock.reboot(behind_s=off_s)
        await self.start()

    async def _off(self, kiosk: Kiosk) -> None:
        self.kiosk = None
        kiosk.watching.cancel()
        await asyncio.wait([kiosk.watching])
        await kiosk.transport.aclose()
        kiosk.lock.__exit__(None, None, None)

    def _on(self) -> Kiosk:
        assert self.kiosk is not None, "the kiosk is off"
        return self.kiosk

    def _config(self) -> Config:
        key = self.folder / "key"
        key.write_text(SANDBOX_KEY)
        return Config(
            kiosk=KioskConfig("front-door", ZONE, self.state_dir, self.state_dir / "run"),
            connecteam=ConnecteamConfig(time_clock_id=TIME_CLOCK_ID, api_key_file=key),
            attendance=AttendanceConfig(),
            readers=(ReaderConfig("front", "simulated"),),
        )

    async def _write_events(self, built: Built) -> None:
        async with built.kiosk.events.watch() as news:
            while True:
                self.events.append(_line(await news.get()))

    # --- people

    async def tap(self, person: Person) -> Feedback | None:
        """Somebody taps, and writes down what they saw. While the kiosk is off they see nothing, and know it."""
        second = int(self.clock.true_now)
        shown = None
        if self.kiosk is not None:
            shown = await self.kiosk.reader.tap(person.badge)
        self.notebook.append(Note(person.user_id, second, shown))
        self.tapped.set()
        return shown

    # --- what the kiosk says of itself

    async def punches(self) -> list[Punch]:
        """All punches, as the kiosk has them."""
        return await self._on().built.kiosk.database.read(list_punches)


def _line(event: Event) -> str:
    return json.dumps({"event": event.name, "at": event.at, **{f"data_{k}": _plain(v) for k, v in event.data.items()}})


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else str(value)
