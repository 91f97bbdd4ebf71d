"""What all kiosks of a week share: the history being written, the service, the log, and what happened at which line."""

from __future__ import annotations

import asyncio
import copy
import io
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import structlog

from daemon.log import Secrets, configure
from sandbox.cable import Cable
from sandbox.connecteam.access import SANDBOX_KEY
from sandbox.connecteam.behaviour import Behaviour
from sandbox.connecteam.limits import PLANS
from sandbox.faults import Kind
from sandbox.handle import Sandbox
from sandbox.http import Request, Response
from sandbox.log import Entry, RequestLog
from sandbox.transport import SandboxTransport
from tests.simulation.virtual import EPOCH, Livelock, VirtualClock, VirtualTimeLoop
from tests.simulation.weeks.disk import Disks
from tests.simulation.weeks.history import Asked, HumanDid, Line
from tests.simulation.weeks.script import Script

#: Carried by each request from a kiosk to the sandbox, so that the log can tell whose it was.
MARK = "x-simulated"
#: Twice what the busiest of weeks takes; more is asking without end, which nobody's plan pays for.
REQUESTS_MAX = 8_000
_LIFE = re.compile(r" simulated=(\S+):(\d+)")


@dataclass
class Carried:
    """One request on its way: whose, the service's entry and answer, and what its sender got."""

    kiosk: str
    entry: Entry | None = None
    response: Response | None = None
    got: str | None = None
    got_at: float | None = None


class _Log(RequestLog):
    """The sandbox's log, which also gives each request its place in the history."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._stage = stage

    def add(self, request: Request, at: float, fault: Kind) -> Entry:
        entry = super().add(request, at, fault)
        carried = self._stage.carried[int(request.headers[MARK])]
        carried.entry = entry
        self._stage.lines.append(carried)
        return entry


class _Service(Sandbox):
    """The sandbox, whose answers are kept."""

    stage: Stage

    def handle(self, request: Request) -> Response:
        response = super().handle(request)
        self.stage.carried[int(request.headers[MARK])].response = response
        return response


class LogStream(io.TextIOBase):
    """Where the daemon's log goes: each line with its time, to the kiosk it is of; a dead one's last words are lost."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def write(self, text: str) -> int:
        found = _LIFE.search(text)
        kiosk, life = (found[1], int(found[2])) if found else ("", 0)
        if life == 0 or self._stage.alive.get(kiosk) == life:
            at = self._stage.now
            for line in _LIFE.sub("", text).splitlines():
                self._stage.log.setdefault(kiosk, []).append(f"{at:.3f} {line}")
        return len(text)


@dataclass
class Stage:
    """One week being lived. `lines` hold requests still on their way as `Carried`, until `told` makes them lines."""

    loop: VirtualTimeLoop
    folder: Path
    script: Script
    disks: Disks
    lines: list[Line | Carried] = field(default_factory=list)
    carried: dict[int, Carried] = field(default_factory=dict)
    log: dict[str, list[str]] = field(default_factory=dict)
    #: The life of each kiosk that is running.
    alive: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    taps: int = 0
    #: Trouble is over.
    calm: bool = False
    keys: int = 0
    #: What is under way and must be over before the week is.
    under_way: set[asyncio.Task[Any]] = field(default_factory=set)

    def __post_init__(self) -> None:
        script = self.script
        self.chance = random.Random(f"stage {script.seed}")
        self.clock = VirtualClock(self.loop)
        self.service = _Service(
            now=lambda: self.now, seed=script.seed, plan=PLANS[script.plan], timezone=script.timezone, latency_s=0.15
        )
        self.service.stage = self
        self.service.log = _Log(self)
        behaviour = dict(script.behaviour)
        clock = next(iter(self.service.company.clocks.values()))
        clock.auto_clock_out_after_s = behaviour.pop("auto_clock_out_after_s", None)
        self.service.company.behaviour = behaviour_of(behaviour)
        for name, on in script.limits.items():
            setattr(self.service.company.limits, name, on)
        for person in script.people:
            self.service.company.add_user(person.user_id, person.name)
        self.key_file = self.folder / "key"
        self.key_file.touch(mode=0o600)
        self.key_file.write_text(SANDBOX_KEY)

    @property
    def now(self) -> float:
        """True time, Unix seconds."""
        return EPOCH + self.loop.time()

    def note(self, line: Line) -> None:
        """Something happened."""
        self.lines.append(line)

    def human(self, what: str, **told: Any) -> None:
        """Somebody did something on the service."""
        self.note(HumanDid(at=self.now, what=what, **told))

    def begin(self, work: Any) -> asyncio.Task[Any]:
        """Do something beside everything else; the week waits for it."""
        task = asyncio.ensure_future(work)
        self.under_way.add(task)
        task.add_done_callback(self.under_way.discard)
        return task

    def told(self) -> Iterator[Line]:
        """All lines, as they are known now."""
        for line in self.lines:
            yield self._asked(line) if isinstance(line, Carried) else line

    def _asked(self, carried: Carried) -> Asked:
        entry, response = carried.entry, carried.response
        assert entry is not None, "it arrived"
        return Asked(
            at=entry.at,
            number=entry.number,
            kiosk=carried.kiosk,
            method=entry.request.method,
            path=entry.request.path,
            query=entry.request.query,
            body=entry.request.body.decode("utf-8", "replace"),
            processed_at=entry.processed_at,
            status=entry.status,
            headers=dict(response.headers) if response else {},
            answer=response.body.decode("utf-8", "replace") if response else "",
            fault=str(entry.fault),
            got=carried.got,
            got_at=carried.got_at,
        )

    @contextmanager
    def logging(self) -> Iterator[None]:
        """Take the daemon's log, rendered as it is for the journal."""
        before = structlog.get_config()
        configure(Secrets(), style="logfmt", stream=LogStream(self))
        try:
            yield
        finally:
            structlog.configure(**before)


def behaviour_of(switches: dict[str, Any]) -> Behaviour:
    """The service's switches from a script, where enumerations are their words."""
    usual = Behaviour()
    return Behaviour(
        **{
            name: type(getattr(usual, name))(value) if isinstance(value, str) and name != "error_shape" else value
            for name, value in switches.items()
        }
    )


class Wire(httpx.AsyncBaseTransport):
    """One life's way to the service: its own cable, up or down; `dead` when nobody is left to hear an answer."""

    def __init__(self, stage: Stage, kiosk: str, *, up: bool) -> None:
        self._stage, self._kiosk, self.dead = stage, kiosk, False
        self._view = copy.copy(stage.service)
        self.cable = self._view.cable = Cable()
        self._transport = SandboxTransport(self._view)
        if not up:
            self.cable.cut()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry one request; what became of it is noted."""
        if self.dead:
            await asyncio.Event().wait()
        number = len(self._stage.carried) + 1
        if number > REQUESTS_MAX:
            raise Livelock(f"{self._kiosk} asks for ever: more than {REQUESTS_MAX} requests in a week")
        carried = self._stage.carried[number] = Carried(self._kiosk)
        request.headers[MARK] = str(number)
        try:
            response = await self._transport.handle_async_request(request)
        except httpx.HTTPError as error:
            carried.got, carried.got_at = type(error).__name__, self._stage.now
            raise
        carried.got, carried.got_at = str(response.status_code), self._stage.now
        return response

    async def aclose(self) -> None:
        """The daemon lets go; a dead one's requests travel on."""
        if not self.dead:
            await self._transport.aclose()

    async def end(self) -> None:
        """End whatever still travels."""
        await self._transport.aclose()
