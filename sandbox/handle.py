"""The sandbox as one object: a company, its service, the faults and the cable before it, and what was asked of it.

`Sandbox(seed=7)` makes one and `.company.add_user(9170357, "Anna Visser")` puts a person on it.
`SandboxTransport(sandbox)` (in process) or `SandboxServer(sandbox)` (over real HTTP) lets clients at it; `.cable`,
`.faults` and `.manager` make trouble; `.timesheet()` says what stands there in the end.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.cable import Cable
from sandbox.clock import MovableClock
from sandbox.connecteam import api
from sandbox.connecteam.company import Company
from sandbox.connecteam.limits import EXPERT, Plan
from sandbox.connecteam.manager import Manager
from sandbox.connecteam.model import Shift
from sandbox.faults import Faults
from sandbox.http import Request, Response
from sandbox.log import RequestLog

#: The time clock every sandbox starts with; the number in config.example.toml.
TIME_CLOCK_ID = 12345


@dataclass(frozen=True, slots=True)
class Row:
    """One shift of the timesheet, as the store has it: instants in Unix seconds, `end` None while open.

    `source` and `end_source` say what made and what ended it (`api`, `mobile`, `admin`, `autoClockOut`, …); `note`
    is the manager's note.
    """

    user_id: str
    start: int
    end: int | None
    id: str
    source: str
    note: str | None
    end_source: str | None
    auto_ended: bool
    job_id: str | None

    @classmethod
    def of(cls, shift: Shift) -> Row:
        """The row of a shift."""
        return cls(
            str(shift.user_id),
            shift.start.at,
            shift.end.at if shift.end else None,
            shift.id,
            shift.start.source,
            shift.manager_note,
            shift.end.source if shift.end else None,
            shift.auto_ended,
            shift.sub_job_id or shift.job_id,
        )


class Sandbox:
    """One company behind one cable. Equal `now`, `seed` and requests give equal answers, ids and faults.

    `latency_s` is how long a request travels, and its answer again.
    """

    def __init__(
        self,
        *,
        now: Callable[[], float] = time.time,
        seed: int = 0,
        plan: Plan = EXPERT,
        timezone: str = "Europe/Amsterdam",
        latency_s: float = 0.0,
    ) -> None:
        self.clock = MovableClock(now)
        self.company = Company(now=self.clock.now, seed=seed, plan=plan)
        self.company.add_clock(TIME_CLOCK_ID, timezone=timezone)
        self.manager = Manager(self.company)
        self.faults = Faults(random.Random(seed + 1))
        self.cable = Cable()
        self.log = RequestLog()
        self.latency_s = latency_s
        self.holds: dict[int, asyncio.Event] = {}

    def handle(self, request: Request) -> Response:
        """Process one request at once, past cable and faults."""
        return api.handle(self.company, request)

    def timesheet(self, user_id: int | str | None = None) -> list[Row]:
        """All shifts, or one person's, ordered by person and start."""
        self.company.catch_up()
        shifts = (s for s in self.company.shifts.values() if user_id is None or s.user_id == int(user_id))
        return [Row.of(s) for s in sorted(shifts, key=lambda s: (s.user_id, s.start.at, s.written_at, s.id))]

    def release(self, number: int | None = None) -> int:
        """Let a held request (by its number in the log), or all, go on; how many there were."""
        chosen = [n for n in self.holds if number in (None, n)]
        for held in chosen:
            self.holds[held].set()
        return len(chosen)
