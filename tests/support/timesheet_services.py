"""The services behind timesheets, each with a second way in that goes past the timesheet: what is truly stored, and
what somebody else does meanwhile. tests/contract/test_timesheets.py runs against every one of them."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

from daemon.config import ConnecteamConfig
from daemon.timesheets.connecteam.timesheet import ConnecteamTimesheet
from daemon.timesheets.timesheet import Timesheet
from sandbox.connecteam.behaviour import Shape
from sandbox.connecteam.model import Geofence
from sandbox.faults import Kind
from sandbox.handle import TIME_CLOCK_ID, Sandbox
from sandbox.sample import populate
from sandbox.server import SandboxServer
from sandbox.transport import SandboxTransport

ZONE = ZoneInfo("Europe/Amsterdam")


@dataclass(frozen=True)
class Stored:
    """One shift as the service holds it."""

    id: str
    start: int
    end: int | None
    note: str | None


class Mishap(enum.Enum):
    """What becomes of the next answers. The request arrives in every case."""

    NO_ANSWER = "the connection ends without an answer"
    RESET = "the connection is reset"
    SILENCE = "no answer at all"
    SERVER_ERROR = "a proxy's 503 page"
    GATEWAY = "a proxy's 504 page"
    PORTAL = "a captive portal's page with status 200"
    LOGIN = "a portal's page with status 401"
    FORBIDDEN = "a proxy's page with status 403"
    REDIRECT = "a redirect"
    EMPTY = "a 200 without a body"
    CUT_JSON = "JSON that is cut off"
    TORN = "a body that ends too early"
    OVERSIZED = "a body without end"


class Service(Protocol):
    """What the contract needs to see and to do past the timesheet. Instants are the service's Unix seconds."""

    #: Reasons this service can be brought to refuse a write for, with what brings it to (person, instant).
    hindrances: Mapping[str, Callable[[str, int], None]]
    #: The same for live punches.
    live_hindrances: Mapping[str, Callable[[str, int], None]]
    #: Ways in which it words its refusals, each to be switched on.
    wordings: tuple[Callable[[], None], ...]
    secret: str

    def timesheet(self, *, timeout_s: float = 5) -> Timesheet: ...
    def now(self) -> int: ...
    def people(self) -> list[str]: ...
    def stored(self, user_id: str) -> list[Stored]: ...
    def arrived(self) -> int: ...
    def somebody_adds(self, user_id: str, start: int, end: int | None) -> str: ...
    def somebody_deletes(self, shift_id: str) -> None: ...
    def ends_by_itself(self, user_id: str, at: int) -> None: ...
    def suffer(self, mishap: Mishap, *, processed: bool) -> None: ...
    def throttle(self, *, quietly: bool) -> None: ...
    def round_to(self, seconds: int) -> None: ...
    def recover(self) -> None: ...
    def unplug(self) -> None: ...
    def plug_in(self) -> None: ...
    def refuse_key(self) -> None: ...
    def new_key(self) -> None: ...
    def lose_key_file(self) -> None: ...
    def move_away(self) -> None: ...
    def archive(self, user_id: str) -> None: ...
    def badge(self, user_id: str, badge: str) -> None: ...
    def hire(self, count: int) -> None: ...


_KINDS = {
    Mishap.NO_ANSWER: (Kind.DROP, None),
    Mishap.RESET: (Kind.RESET, None),
    Mishap.SILENCE: (Kind.HANG, None),
    Mishap.SERVER_ERROR: (Kind.STATUS, 503),
    Mishap.GATEWAY: (Kind.STATUS, 504),
    Mishap.PORTAL: (Kind.PORTAL, 200),
    Mishap.LOGIN: (Kind.PORTAL, 401),
    Mishap.FORBIDDEN: (Kind.STATUS, 403),
    Mishap.REDIRECT: (Kind.REDIRECT, 302),
    Mishap.EMPTY: (Kind.EMPTY, 200),
    Mishap.CUT_JSON: (Kind.TRUNCATED, None),
    Mishap.TORN: (Kind.TORN, None),
    Mishap.OVERSIZED: (Kind.OVERSIZED, None),
}


class Connecteam:
    """Connecteam's sandbox, over real HTTP on loopback, or in process (as the simulation uses it)."""

    secret = "sandbox-key"

    def __init__(self, folder: Path, url: str, transport: SandboxTransport | None, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._url = url
        self._transport = transport
        self._key_file = folder / "key"
        self._key_file.write_text(self.secret)
        self.made: list[Timesheet] = []
        company, clock = sandbox.company, sandbox.company.clocks[TIME_CLOCK_ID]

        def only(**settings: object) -> None:
            """These settings of the time clock, and none of an earlier hindrance."""
            clock.job_required, clock.geofence = False, None
            for name, value in settings.items():
                setattr(clock, name, value)

        def lock(user_id: str, at: int) -> None:
            only()
            sandbox.manager.lock_day(user_id, at)

        def take_break(user_id: str, at: int) -> None:
            only()
            sandbox.manager.phone_break_start(user_id, at)

        self.hindrances: Mapping[str, Callable[[str, int], None]] = {
            "not_assigned": lambda user_id, at: sandbox.manager.unassign(user_id),
            "job_required": lambda user_id, at: only(job_required=True),
            "locked_days": lock,
        }
        self.live_hindrances: Mapping[str, Callable[[str, int], None]] = {
            **self.hindrances,
            "open_break": take_break,
            "outside_geofence": lambda user_id, at: only(geofence=Geofence(52.0, 4.0, 50.0)),
        }

        def worded(shape: Shape | None, numeric: bool = False) -> Callable[[], None]:
            def switch() -> None:
                company.behaviour.error_shape, company.behaviour.numeric_codes = shape, numeric

            return switch

        self.wordings = (worded(None), *(worded(shape) for shape in Shape), worded(Shape.DETAILS, numeric=True))

    def timesheet(self, *, timeout_s: float = 5) -> Timesheet:
        """A timesheet on this service, as the application builds it."""
        config = ConnecteamConfig(
            time_clock_id=TIME_CLOCK_ID,
            base_url=self._url,
            api_key_file=self._key_file,
            timeout_s=timeout_s,
            badge_field="Badge number",
        )
        made: Timesheet = ConnecteamTimesheet(config, kiosk="front-door", zone=ZONE, transport=self._transport)
        self.made.append(made)
        return made

    def now(self) -> int:
        """The service's time."""
        return int(self._sandbox.clock.now())

    def people(self) -> list[str]:
        """Those who may be clocked in."""
        return [str(user_id) for user_id in self._sandbox.company.users]

    def stored(self, user_id: str) -> list[Stored]:
        """What stands there, oldest first."""
        return [Stored(row.id, row.start, row.end, row.note) for row in self._sandbox.timesheet(user_id)]

    def arrived(self) -> int:
        """How many requests arrived, also those that were not answered."""
        return self._sandbox.log.arrived

    def somebody_adds(self, user_id: str, start: int, end: int | None) -> str:
        """A manager types a shift in; its id."""
        return self._sandbox.manager.add_shift(user_id, start, end).id

    def somebody_deletes(self, shift_id: str) -> None:
        """A manager removes it."""
        self._sandbox.manager.delete_shift(shift_id)

    def ends_by_itself(self, user_id: str, at: int) -> None:
        """The service's own rule ends the open shift."""
        self._sandbox.manager.auto_clock_out(user_id, at)

    def suffer(self, mishap: Mishap, *, processed: bool) -> None:
        """From now on this happens to every answer; `processed`: the service acts on the request all the same."""
        kind, status = _KINDS[mishap]
        self._sandbox.faults.set(kind=kind, status=status, processed=processed, size_bytes=5 * 1024 * 1024)

    def throttle(self, *, quietly: bool) -> None:
        """The budget is spent; `quietly`: said with status 200."""
        self._sandbox.faults.set(kind=Kind.THROTTLE_200 if quietly else Kind.THROTTLE)

    def round_to(self, seconds: int) -> None:
        """The service rounds what it records."""
        self._sandbox.company.behaviour.round_to_s = seconds

    def recover(self) -> None:
        """All is well again."""
        self._sandbox.faults.clear()

    def unplug(self) -> None:
        """Pull the cable."""
        self._sandbox.cable.cut()

    def plug_in(self) -> None:
        """Put it back."""
        self._sandbox.cable.restore()

    def refuse_key(self) -> None:
        """The key is revoked."""
        self._sandbox.company.access.revoke_all()

    def new_key(self) -> None:
        """A new key works, and stands in the key file."""
        self._sandbox.company.access.keys["a-new-key"] = None
        self._key_file.write_text("a-new-key\n")

    def lose_key_file(self) -> None:
        """The key file is gone."""
        self._key_file.unlink()

    def move_away(self) -> None:
        """What the configuration names is no longer there."""
        self._sandbox.company.clocks[TIME_CLOCK_ID].archived = True

    def archive(self, user_id: str) -> None:
        """The person leaves the company."""
        self._sandbox.manager.archive(user_id)

    def badge(self, user_id: str, badge: str) -> None:
        """A manager types a badge number in, where the configuration looks for it."""
        self._sandbox.manager.set_field(user_id, "Badge number", badge)

    def hire(self, count: int) -> None:
        """So many more people."""
        for number in range(count):
            self._sandbox.company.add_user(20_000_000 + number, f"Number {number}")


@asynccontextmanager
async def connecteam_over_http(folder: Path) -> AsyncIterator[Connecteam]:
    """Real HTTP on loopback."""
    sandbox = Sandbox(seed=7)
    populate(sandbox)
    async with SandboxServer(sandbox) as server:
        service = Connecteam(folder, server.url, None, sandbox)
        yield service
        for made in service.made:
            await made.aclose()


@asynccontextmanager
async def connecteam_in_process(folder: Path) -> AsyncIterator[Connecteam]:
    """No sockets: what the simulation runs on must keep the same promises."""
    sandbox = Sandbox(seed=7)
    populate(sandbox)
    service = Connecteam(folder, "https://connecteam.invalid", SandboxTransport(sandbox), sandbox)
    yield service
    for made in service.made:
        await made.aclose()


SERVICES = {"connecteam": connecteam_over_http, "connecteam in process": connecteam_in_process}
