"""What the rules speak of: taps, punches and requests as a history shows them, and what is wrong with one.

Nothing here is asked of the daemon's code. Instants are true Unix seconds unless a name says otherwise.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.simulation.weeks.history import Asked, Presented

#: What a person who was shown one of these may rely on.
ACKNOWLEDGED = ("clocked_in", "clocked_out", "accepted")
#: Unix seconds put together from a boot clock and an offset are told no finer.
DIGITS_S = 1e-5


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that a history breaks. `line` counts the history's lines from 1; 0 where no one line is to blame."""

    rule: str
    line: int
    what: str

    def __str__(self) -> str:
        """As it stands in reports."""
        return f"{self.rule}: {f'line {self.line}: ' if self.line else ''}{self.what}"


@dataclass(frozen=True, slots=True)
class Tap:
    """A badge before a reader, and what its holder saw. `owner` is whose badge this kiosk held it for."""

    line: int
    said: Presented
    owner: str | None
    shown: str | None
    shown_at: float
    shown_line: int

    @property
    def second(self) -> int:
        """The true second, which the timesheet must show."""
        return math.floor(self.said.at)

    def is_second(self, second: int) -> bool:
        """Whether that is the true second; of a moment between two, as near as digits tell, either is."""
        return second in (math.floor(self.said.at - DIGITS_S), math.floor(self.said.at + DIGITS_S))

    @property
    def off_s(self) -> float:
        """How far the kiosk's wall clock was ahead of true time; 0 while the kiosk was off."""
        return 0.0 if self.said.wall_at is None else self.said.wall_at - self.said.at

    def __str__(self) -> str:
        """For people."""
        return f"tap {self.said.tap} of {self.owner or self.said.badge} at {self.said.reader} ({clock(self.said.at)})"


@dataclass(eq=False)
class PunchSeen:
    """A punch as the kiosk's public view showed it in the end, and the tap that it is of."""

    kiosk: str
    told: Mapping[str, Any]
    tap: Tap | None = None

    def __post_init__(self) -> None:
        told = self.told
        self.id, self.user_id = str(told["id"]), str(told["user_id"])
        self.direction, self.state, self.reason = told["direction"], str(told["state"]), told["reason"]
        self.second = int(told["occurred_at_unix"])
        self.raw_second = instant(told["raw_at"])
        self.error_s: float | None = told["time_error_s"]
        self.remote_id: str | None = told["remote_id"]
        self.source = str(told["source"])
        self.attempts: list[Mapping[str, Any]] = list(told.get("history", {}).get("attempts", ()))
        self.journal: list[Mapping[str, Any]] = list(told.get("history", {}).get("journal", ()))

    @property
    def unfinished(self) -> bool:
        """Neither on the timesheet nor decided against."""
        return self.state not in ("delivered", "discarded")

    def __str__(self) -> str:
        """For people."""
        stands = self.state + (f" {self.reason}" if self.reason else "")
        return f"punch {self.id} ({self.direction} of {self.user_id} at {clock(self.second)}: {stands})"


@dataclass(frozen=True, slots=True)
class Want:
    """One thing a request wanted on the timesheet: an open shift, an end, a whole shift, or a shift's new end."""

    kind: str  # clock_in | clock_out | record | close
    user_id: str
    start: int | None
    end: int | None
    shift_id: str | None = None

    @property
    def ends(self) -> Iterator[tuple[str, int]]:
        """The ends it writes, as direction and second."""
        if self.start is not None:
            yield "clock_in", self.start
        if self.end is not None:
            yield "clock_out", self.end


@dataclass(frozen=True, slots=True)
class Request:
    """A request that reached the service. `life` is the kiosk's when it left."""

    line: int
    said: Asked
    life: int
    wants: tuple[Want, ...]
    reads: frozenset[str] | None  # people a list was asked for; None: no list; empty: everybody

    @property
    def answered(self) -> bool:
        """Whether the service's own, whole answer reached the kiosk."""
        said = self.said
        # A list may be so long that what is called oversized elsewhere is read as if the blanks were not there.
        unharmed = ("none", "", "oversized") if self.reads is not None else ("none", "")
        return said.status is not None and said.fault in unharmed and said.got == str(said.status)

    @property
    def refused_key(self) -> bool:
        """Whether the kiosk was told that its key is not good (by the service, not by a fault)."""
        return self.answered and self.said.status in (401, 403)

    @property
    def clear(self) -> bool:
        """Whether a write's answer tells what it did: done, or surely not done."""
        said = self.said
        if not said.got or not said.got.isdecimal():
            return said.fault == "refuse" or said.got == "ConnectError"
        if self.throttled or said.fault == "refuse" or said.got == "429":
            return True
        if said.fault == "error":
            return len(self.wants) == 1  # what refuses several at once says nothing of each
        if not self.answered or said.status is None:
            return False
        if 200 <= said.status < 300:
            return len(self.wants) == 1 and self.wants[0].kind != "close"
        return 400 <= said.status < 500 and len(self.wants) == 1

    @property
    def throttled(self) -> bool:
        """Whether the kiosk was told to wait for the account's budget, and heard it."""
        said = self.said
        by_fault = said.fault in ("throttle", "throttle_200") and said.got is not None
        return by_fault or (self.answered and "Too many requests" in said.answer)

    def reads_person(self, user_id: str) -> bool:
        """Whether it is a list that shows this person."""
        return self.reads is not None and (not self.reads or user_id in self.reads)

    def __str__(self) -> str:
        """For people."""
        return f"request {self.said.number} ({self.said.method} {self.said.path.rsplit('/', 1)[-1]})"


@dataclass(slots=True)
class Finding:
    """Violations as they are found, so that a rule reads as sentences."""

    rule: str
    found: list[Violation] = field(default_factory=list)

    def say(self, line: int, what: str) -> None:
        """Note one."""
        self.found.append(Violation(self.rule, line, what))


def wants_of(said: Asked) -> tuple[Want, ...]:
    """What a request wants written; nothing for a read or a body that cannot be read."""
    last = said.path.rsplit("/", 1)[-1]
    if said.method not in ("POST", "PUT") or last not in ("clock-in", "clock-out", "time-activities"):
        return ()
    try:
        body = json.loads(said.body)
    except ValueError:
        return ()
    if last == "clock-in":
        return (Want("clock_in", str(body["userId"]), body["timestamp"], None),)
    if last == "clock-out":
        return (Want("clock_out", str(body["userId"]), None, body["timestamp"]),)
    found = []
    for person in body["timeActivities"]:
        for shift in person["shifts"]:
            start = shift["start"]["timestamp"] if "start" in shift else None
            end = shift["end"]["timestamp"] if "end" in shift else None
            kind = "record" if said.method == "POST" else "close"
            found.append(Want(kind, str(person["userId"]), start, end, shift.get("id")))
    return tuple(found)


def reads_of(said: Asked) -> frozenset[str] | None:
    """Whom a list request asks for; empty: everybody; None where it is none."""
    if said.method != "GET" or not said.path.endswith("/time-activities"):
        return None
    return frozenset(value for name, value in said.query if name == "userIds")


def instant(text: str) -> int:
    """Whole Unix seconds of an instant in a public view."""
    return int(datetime.fromisoformat(text).timestamp())


def clock(at: float) -> str:
    """An instant for people."""
    return datetime.fromtimestamp(at, UTC).strftime("%a %H:%M:%S")
