"""What can go wrong between a kiosk and Connecteam, switchable while the sandbox runs.

A `Fault` says which requests it meets, what the service still does with them and what the client gets to see. At
most one fault meets a request: the first that matches, in the order they were set. Chance comes from a seeded
generator, so that equal histories meet equal faults.
"""

from __future__ import annotations

import enum
import random
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from sandbox.http import Request


class Kind(enum.StrEnum):
    """What the client gets to see."""

    NONE = "none"  # the true answer; of use with a delay or a hold
    REFUSE = "refuse"  # no connection (in process; over a socket the request is already there, so: reset, unprocessed)
    DROP = "drop"  # the connection ends without an answer
    RESET = "reset"  # the connection is reset
    HANG = "hang"  # nothing, until the client gives up
    STATUS = "status"  # another status, by default 503, with a proxy's page
    THROTTLE = "throttle"  # 429 with the budget's headers
    THROTTLE_200 = "throttle_200"  # the 200 that is a throttle (facts 1.3)
    EMPTY = "empty"  # 200 without a body
    PORTAL = "portal"  # a captive portal's page under any status
    REDIRECT = "redirect"  # to `location`
    TRUNCATED = "truncated"  # a complete answer whose JSON is cut off
    TORN = "torn"  # the connection ends in the middle of the body
    OVERSIZED = "oversized"  # the true answer with `size_bytes` of padding behind it
    ERROR = "error"  # a JSON refusal: `status`, `code`, `text`, in one of the five shapes of facts 1.9


class When(enum.StrEnum):
    """Where a delay or a hold sits."""

    BEFORE = "before"  # the request is still on its way: a cut here means that it never arrived
    AFTER = "after"  # it was processed, and its answer is on its way: a cut here means a lost answer


#: Kinds whose request the service still carries out unless the fault says otherwise.
_PROCESSED = frozenset({Kind.NONE, Kind.EMPTY, Kind.TRUNCATED, Kind.TORN, Kind.OVERSIZED})


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong.

    Which requests: `path` (a glob such as `*/clock-in`), `method`, `user_id` (in body or query), after `skip`
    matching ones, at most `count` of them, each with `probability`. What the service does: `processed` (default: by
    kind). What the client sees: `kind` and its particulars, after `delay_s` or a hold that lasts until released.
    """

    kind: Kind = Kind.NONE
    path: str = "*"
    method: str | None = None
    user_id: str | None = None
    skip: int = 0
    count: int | None = None
    probability: float = 1.0
    processed: bool | None = None
    delay_s: float = 0.0
    hold: bool = False
    when: When = When.BEFORE
    status: int | None = None
    code: str | None = None
    text: str = "refused by a fault"
    shape: str = "error"
    location: str = "https://portal.invalid/login"
    size_bytes: int = 32 * 1024 * 1024
    id: int = 0

    @property
    def is_processed(self) -> bool:
        """Whether the service carries the request out."""
        return self.kind in _PROCESSED if self.processed is None else self.processed

    def concerns(self, request: Request) -> bool:
        """Whether the request is one of those it is for, leaving counts and chance aside."""
        return (
            fnmatchcase(request.path, self.path)
            and (self.method is None or self.method == request.method)
            and (self.user_id is None or self.user_id in users_in(request))
        )


@dataclass(slots=True)
class _Standing:
    fault: Fault
    seen: int = 0
    met: int = 0


@dataclass(slots=True)
class Faults:
    """The faults that stand. `chance` decides where a probability is below 1."""

    chance: random.Random
    _standing: list[_Standing] = field(default_factory=list)
    _last_id: int = 0

    def set(self, fault: Fault | None = None, **particulars: Any) -> Fault:
        """Let a fault stand from now on; what is returned carries its id."""
        self._last_id += 1
        standing = replace(fault or Fault(), **particulars, id=self._last_id)
        standing = replace(standing, kind=Kind(standing.kind), when=When(standing.when))
        if standing.user_id is not None:
            standing = replace(standing, user_id=str(standing.user_id))
        self._standing.append(_Standing(standing))
        return standing

    def clear(self, fault_id: int | None = None) -> None:
        """Let one fault, or all, stand no longer; requests already held stay held."""
        self._standing = [s for s in self._standing if fault_id is not None and s.fault.id != fault_id]

    def standing(self) -> list[Fault]:
        """The faults that stand, in the order they are tried."""
        return [s.fault for s in self._standing]

    def take(self, request: Request) -> Fault:
        """The fault this request meets; one of kind NONE when it meets none."""
        for entry in self._standing:
            fault = entry.fault
            if not fault.concerns(request):
                continue
            entry.seen += 1
            if entry.seen <= fault.skip or (fault.count is not None and entry.met >= fault.count):
                continue
            if fault.probability < 1.0 and self.chance.random() >= fault.probability:
                continue
            entry.met += 1
            return fault
        return Fault()


def users_in(request: Request) -> set[str]:
    """All user ids a request speaks of, in its query and anywhere in its JSON body."""
    found = {value for key, value in request.query if key in ("userId", "userIds")}
    try:
        document = request.document() if request.body else None
    except ValueError:
        return found
    pending = [document]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            if "userId" in value:
                found.add(str(value["userId"]))
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)
    return found
