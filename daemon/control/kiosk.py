# ruff: noqa: D102 — a Protocol's own docstring says what its members promise
"""What the sockets show and act on: one facade over the other parts, as control needs them.

The Protocols are the seam that control owns; the intake's Directory and Readers and the delivery loop fit them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from daemon.alarms import Alarms
from daemon.clock import Timekeeper
from daemon.config import Config
from daemon.delivery.key_check import KeyCheck
from daemon.delivery.knowledge import View
from daemon.events import Events
from daemon.intake.staff import Listed, StaffReport
from daemon.model import Badge, Employee, Punch, TapAnswer, UnknownBadge
from daemon.queue.database import Database
from daemon.queue.erasure import Forgotten
from daemon.tallies import Tallies
from daemon.timesheets.timesheet import Query, Reply
from drivers.reader import Evidence


@dataclass(frozen=True, slots=True)
class Kiosk:
    """Everything the sockets need, built by daemon/app.py. `started` is the clocks' evidence when the process began."""

    config: Config
    version: str
    started: Evidence
    database: Database
    directory: DirectoryPart
    readers: ReadersPart
    delivery: DeliveryPart
    decisions: DecisionsPart
    alarms: Alarms
    events: Events
    timekeeper: Timekeeper
    tallies: Tallies = field(default_factory=Tallies)
    #: Keys of the file that say something else than what is in force, and wait for a restart; Reload keeps it.
    needs_restart: list[str] = field(default_factory=list)


class ImportReport(Protocol):
    """How many employees an import added, changed and left, badges it gave, and punches made of their kept taps."""

    @property
    def added(self) -> int: ...
    @property
    def changed(self) -> int: ...
    @property
    def unchanged(self) -> int: ...
    @property
    def badges(self) -> int: ...
    @property
    def punches(self) -> int: ...


class Assigned(Protocol):
    """A badge that was given to an employee, and the punches its kept taps became."""

    @property
    def badge(self) -> Badge: ...
    @property
    def punches(self) -> Sequence[Punch]: ...


class DirectoryPart(Protocol):
    """Employees and badges. Raises RefusedError and its kinds; journals every change with `by`."""

    async def import_csv(self, text: bytes, *, by: str) -> ImportReport: ...
    async def sync(self, listed: Sequence[Listed], *, by: str) -> StaffReport: ...
    async def add(
        self, user_id: str, name: str, *, badge: str | None = None, job_id: str | None = None, by: str
    ) -> Employee: ...
    async def remove(self, user_id: str, *, by: str) -> Employee: ...
    async def forget(self, user_id: str, *, by: str) -> Forgotten: ...
    async def employees(self) -> list[Employee]: ...
    async def badges(self) -> list[Badge]: ...
    async def unknown(self) -> list[UnknownBadge]: ...
    async def assign(self, badge: str, user_id: str, *, since: float | None = None, by: str) -> Assigned: ...
    async def block(self, badge: str, *, by: str) -> Badge: ...
    async def release(self, badge: str, *, by: str) -> None: ...
    async def enroll(self, user_id: str, *, timeout_s: float, by: str) -> Badge: ...


class Resolved(Protocol):
    """The punch decided on, and the one that was added, if any."""

    @property
    def punch(self) -> Punch: ...
    @property
    def added(self) -> Punch | None: ...


class DecisionsPart(Protocol):
    """Gives punches the times that only people know. Raises RefusedError and its kinds; journals with `by`."""

    async def resolve(
        self,
        punch_id: str,
        *,
        clock_out: float | None = None,
        clock_in: float | None = None,
        time: float | None = None,
        by: str,
    ) -> Resolved: ...


class ReaderStatus(Protocol):
    """How one reader does. `since` (Unix seconds) is when it came into its state."""

    @property
    def name(self) -> str: ...
    @property
    def driver(self) -> str: ...
    @property
    def direction(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def since(self) -> float | None: ...
    @property
    def taps(self) -> int: ...
    @property
    def errors(self) -> int: ...
    @property
    def detail(self) -> str | None: ...


class ReadersPart(Protocol):
    """All readers. `tap` works on simulated ones only, and raises RefusedError or NotFoundError otherwise."""

    async def tap(self, reader: str, badge: str, at: float | None, by: str | None = None) -> TapAnswer: ...
    def status(self) -> Sequence[ReaderStatus]: ...


class DeliveryStatus(Protocol):
    """How delivery does: `state` is online, offline, halted or paused; instants are Unix seconds."""

    @property
    def state(self) -> str: ...
    @property
    def budget(self) -> Mapping[str, Any] | None: ...
    @property
    def snapshot_at(self) -> float | None: ...
    @property
    def last_delivery_at(self) -> float | None: ...
    @property
    def next_try_at(self) -> float | None: ...
    @property
    def detail(self) -> str | None: ...


class DeliveryPart(Protocol):
    """The delivery loop. Raises RefusedError and its kinds; journals decisions with `by`."""

    async def sync_now(self) -> None: ...
    async def pause(self, by: str) -> None: ...
    async def resume(self, by: str) -> None: ...
    async def retry(self, punch_ids: Sequence[str], *, by: str) -> object: ...
    async def discard(self, punch_id: str, *, reason: str, by: str) -> object: ...
    async def accept_server(self, punch_id: str, *, by: str) -> object: ...
    async def ask(self, step: Query) -> Reply: ...
    async def ask_at_once(self, step: Query) -> Reply: ...
    def seen(self, user_id: str) -> tuple[View, float | None] | None: ...
    async def check_key(self) -> KeyCheck: ...
    def status(self) -> DeliveryStatus: ...
