"""One kiosk: its lives, its clocks, its disk, its readers, its network, and its sockets' handlers. The daemon is real.

A life ends in order, by a crash, or with the power. What is left to the next one is what the disk has: everything that
was written, or only what was synced (disk.py).
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from daemon.app import Built, Surroundings, build
from daemon.config import Config, ReaderConfig, load
from daemon.control.call import Call, Document, Rows
from daemon.control.routes import ROUTES, find
from daemon.errors import StorageBusyError
from daemon.lock import InstanceLock
from daemon.service import Orders
from drivers.reader import EvidenceSource, Reader
from sandbox.handle import TIME_CLOCK_ID
from tests.simulation.virtual import VirtualClock
from tests.simulation.weeks.disk import Disk
from tests.simulation.weeks.history import Crashed, Failed, Json, Line, PowerCut, Started, StartFailed, Stopped
from tests.simulation.weeks.script import KioskSetting
from tests.simulation.weeks.stage import Stage, Wire
from tests.simulation.world import WatchedReader

#: systemd starts a service that failed after a while (packaging/punchd.service says when); a full disk lasts longer.
START_AGAIN_S = 60.0
#: A cut at a write waits so long for one.
OPERATION_MAX_S = 600.0


@dataclass
class Life:
    """One life of a kiosk, from switching on to its end."""

    number: int
    built: Built
    orders: Orders
    lock: InstanceLock
    running: asyncio.Task[None]
    wanted_end: bool = False


@dataclass
class Box:
    """One kiosk of the stage. `life` is None while it is off."""

    stage: Stage
    setting: KioskSetting
    lives: int = 0
    life: Life | None = None
    up: bool = True
    unplugged: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.name = self.setting.name
        self.clock = VirtualClock(self.stage.loop)
        self.readers: dict[str, WatchedReader] = {}
        self.wires: list[Wire] = []
        #: Lives follow one another: whoever starts or ends one holds this.
        self.changing = asyncio.Lock()
        self.chance = random.Random(f"{self.name} {self.stage.script.seed}")
        self.config: dict[str, Any] = {
            "attendance": dict(self.setting.attendance),
            "connecteam": dict(self.setting.connecteam),
            "readers": dict(self.setting.readers),
        }
        folder = self.stage.folder / self.name
        folder.mkdir()
        self.disk = self.stage.disks.add(Disk(folder))

    # --- starting

    async def start(self) -> None:
        """Switch on; where the disk does not let it start, again and again, as systemd does."""
        while True:
            try:
                # In a task of its own: everything that runs in this life carries its name into the log.
                await self.stage.begin(self._boot())
                return
            except StorageBusyError as error:
                self._note(StartFailed, error=str(error))
                await asyncio.sleep(START_AGAIN_S)

    async def _boot(self) -> None:
        number = self.lives + 1
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(simulated=f"{self.name}:{number}")
        self.stage.alive[self.name] = number
        config = self.load()
        wire, orders, lock = Wire(self.stage, self.name, up=self.up), Orders(), InstanceLock(self.disk.folder)
        self.wires.append(wire)
        lock.__enter__()
        try:
            built = await build(config, self._around(wire), orders)
        except BaseException:
            lock.__exit__(None, None, None)
            raise
        running = asyncio.ensure_future(built.service.run())
        started = asyncio.ensure_future(built.service.started.wait())
        await asyncio.wait([running, started], return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        life = self.life = Life(number, built, orders, lock, running)
        running.add_done_callback(lambda task: self._ended(life))
        now = self.clock
        self._note(
            Started, boot_id=f"boot-{now.boot:04d}", ahead_s=round(now.ahead_s, 3), synchronised=now.synchronised
        )

    def _around(self, wire: Wire) -> Surroundings:
        self.readers = {}

        def make_reader(config: ReaderConfig, evidence: EvidenceSource) -> Reader:
            reader = self.readers[config.name] = WatchedReader(config.name, evidence)
            if config.name in self.unplugged:
                reader.unplug()
            return reader

        return Surroundings(
            clock=self.clock,
            rng=random.Random(self.chance.getrandbits(64)),
            transport=wire,
            make_reader=make_reader,
            inline_database=True,
            outside=False,
        )

    def load(self) -> Config:
        """Write the configuration's file, and read it as the command does."""
        script, path = self.stage.script, self.stage.folder / f"{self.name}.toml"
        readers = [
            {"name": name, "driver": "simulated", "direction": way} for name, way in self.config["readers"].items()
        ]
        sections = {
            "kiosk": {"name": self.name, "timezone": script.timezone, "state_dir": str(self.disk.folder),
                      "runtime_dir": str(self.disk.folder / "run")},
            "attendance": self.config["attendance"],
            "connecteam": {"time_clock_id": TIME_CLOCK_ID, "api_key_file": str(self.stage.key_file),
                           **self.config["connecteam"]},
        }  # fmt: skip
        text = "".join(f"[{name}]\n{_toml(keys)}" for name, keys in sections.items())
        path.write_text(text + "".join(f"[[readers]]\n{_toml(keys)}" for keys in readers))
        return load(path, {})

    # --- ending

    async def stop(self) -> None:
        """Stop in order."""
        life = self.life
        if life is None:
            return
        life.wanted_end = True
        life.orders.stop.set()
        await asyncio.wait([life.running])
        self.life = None
        self._note(Stopped)
        life.lock.__exit__(None, None, None)
        self.lives += 1

    async def crash(self, rounds: int, operations: int | None) -> None:
        """The process dies after so many rounds of the loop, or before a write of the database."""
        await self._die(rounds, operations, self.disk.after_crash, Crashed)

    async def lose_power(self, rounds: int, operations: int | None, tear: int, off_s: float) -> None:
        """The machine dies, at such a moment."""
        rng, told = random.Random(tear), {"off_s": off_s, "torn": ""}

        def leave(target: Path) -> Disk:
            left, told["torn"] = self.disk.after_power_cut(target, rng)
            return left

        await self._die(rounds, operations, leave, PowerCut, told)

    async def _die(
        self,
        rounds: int,
        operations: int | None,
        leave: Callable[[Path], Disk],
        kind: type[Line],
        told: Json | None = None,
    ) -> None:
        dead, left = asyncio.Event(), list[Disk]()

        def die() -> None:
            self.disk.disarm()
            left.append(leave(self.stage.folder / f"{self.name}-{self.lives + 2}"))
            self._note(kind, **(told or {}))
            self.stage.alive.pop(self.name, None)
            for reader in self.readers.values():
                reader.go_dark()
            self.wires[-1].dead = True
            dead.set()

        if operations is not None and self.stage.disks.works:
            self.disk.after(operations, die)
            with suppress(TimeoutError):
                await asyncio.wait_for(dead.wait(), OPERATION_MAX_S)
        else:
            for _ in range(rounds):
                await asyncio.sleep(0)
        life = self.life
        if not dead.is_set():
            if life is None:
                return
            die()
        self.life = None
        if life is not None:
            life.wanted_end = True
            self.stage.begin(_bury(life, self.disk.folder))
        self.lives += 1
        self.disk = self.stage.disks.add(left[0])

    def _ended(self, life: Life) -> None:
        """The service ended by itself: what it failed of is told, and systemd starts it again."""
        if life.wanted_end or self.life is not life:
            if not life.running.cancelled():
                life.running.exception()
            return
        error = life.running.exception()
        self._note(Failed, error=f"{type(error).__name__}: {error}")
        self.life = None
        life.lock.__exit__(None, None, None)
        self.lives += 1
        self.stage.begin(self._start_again())

    async def _start_again(self) -> None:
        async with self.changing:
            await asyncio.sleep(2)
            if self.life is None:
                await self.start()

    def _note(self, kind: type[Line], **told: Any) -> None:
        life = self.lives + 1
        self.stage.note(kind(at=self.stage.now, kiosk=self.name, life=life, **told))  # type: ignore[call-arg]

    # --- its network, and its sockets

    def network(self, *, up: bool) -> None:
        """The link goes or comes, and the kiosk hears of it."""
        self.up = up
        wire = self.wires[-1]
        if up:
            wire.cable.restore()
            if self.life is not None:
                self.life.built.kiosk.delivery.network_changed()
        else:
            wire.cable.cut()

    async def ask(self, method: str, path: str, body: Any = None, *, csv: bool = False) -> Any:
        """What a socket would answer: the route's own handler, without HTTP around it. Raises what it raises."""
        assert self.life is not None, "it is on"
        found = find(ROUTES, method, path)
        assert not isinstance(found, list), f"no route {method} {path}"
        raw = body.encode() if csv else json.dumps(body or {}).encode()
        kiosk = self.life.built.kiosk
        kind = "text/csv" if csv else "application/json"
        answer = await found.route.handler(Call(kiosk, "uid:1000", found.params, (), raw, kind))
        if isinstance(answer, Document):
            return answer.value
        assert isinstance(answer, Rows), "nothing else is asked here"
        return [row async for page in answer.pieces for row in page]


async def _bury(life: Life, folder: Path) -> None:
    """Let the dead life's tasks end, where nothing they do matters any more."""
    life.running.cancel()
    await asyncio.wait([life.running])
    life.lock.__exit__(None, None, None)
    shutil.rmtree(folder)


def _toml(keys: dict[str, Any]) -> str:
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in keys.items())
