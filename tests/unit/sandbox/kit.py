"""What the sandbox's tests share: a company, a frozen clock, and short ways to ask."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sandbox.connecteam.access import SANDBOX_KEY
from sandbox.handle import TIME_CLOCK_ID, Sandbox
from sandbox.http import Request, Response

#: Tuesday 2026-11-24 12:00:00 UTC, 13:00 in Amsterdam.
NOON = 1795521600
HOUR = 3600
ANNA, BRAM = 9170357, 9170358
ZONE = "Europe/Amsterdam"
#: The headers of a client with the right key.
KEY = {"X-API-KEY": SANDBOX_KEY}
BASE = f"/time-clock/v1/time-clocks/{TIME_CLOCK_ID}"


@dataclass
class Kit:
    """A sandbox whose time stands at NOON until it is moved, with two people."""

    sandbox: Sandbox = field(default_factory=lambda: Sandbox(now=lambda: float(NOON), seed=1))

    def __post_init__(self) -> None:
        self.company = self.sandbox.company
        self.company.add_user(ANNA, "Anna Visser")
        self.company.add_user(BRAM, "Bram Kuipers")
        self.clock = self.company.clocks[TIME_CLOCK_ID]
        self.manager = self.sandbox.manager
        self.behaviour = self.company.behaviour

    def ask(self, method: str, target: str, document: Any = None, **headers: str) -> Response:
        given = headers or {"x-api-key": SANDBOX_KEY}
        return self.sandbox.handle(Request.of(method, target, headers=given, document=document))

    def clock_in(self, at: int | None = None, user: int = ANNA, **more: Any) -> Response:
        return self.ask("POST", f"{BASE}/clock-in", {"userId": user, **_at(at), **more})

    def clock_out(self, at: int | None = None, user: int = ANNA, **more: Any) -> Response:
        return self.ask("POST", f"{BASE}/clock-out", {"userId": user, **_at(at), **more})

    def create(self, start: int, end: int | None, user: int = ANNA, **more: Any) -> Response:
        return self.batch("POST", [person(user, shift(start, end, **more))])

    def update(self, shift_id: str, user: int = ANNA, **changes: Any) -> Response:
        return self.batch("PUT", [person(user, {"id": shift_id, **changes})])

    def batch(self, method: str, people: list[dict[str, Any]], **more: Any) -> Response:
        return self.ask(method, f"{BASE}/time-activities", {"timeActivities": people, **more})

    def listed(self, query: str = "startDate=2026-11-20&endDate=2026-11-26") -> list[dict[str, Any]]:
        answer = self.ask("GET", f"{BASE}/time-activities?{query}")
        assert answer.status == 200, answer.body
        rows: list[dict[str, Any]] = answer.document()["data"]["timeActivitiesByUsers"]
        return rows

    def only_listed_shift(self) -> dict[str, Any]:
        [row] = self.listed()
        [found] = row["shifts"]
        return dict(found)


def _at(at: int | None) -> dict[str, int]:
    return {} if at is None else {"timestamp": at}


def point(at: int) -> dict[str, Any]:
    return {"timestamp": at, "timezone": ZONE}


def shift(start: int, end: int | None, **more: Any) -> dict[str, Any]:
    return {"start": point(start), **({"end": point(end)} if end is not None else {}), **more}


def person(user: int, *shifts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"userId": user, "shifts": list(shifts), **more}


def shift_of(answer: Response) -> dict[str, Any]:
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.document()["data"]["shift"]
    return found


def refused(answer: Response, status: int, *words: str) -> None:
    """The answer refuses with this status, and its body has all the words, whatever its shape."""
    text = answer.body.decode().lower()
    assert answer.status == status, text
    for word in words:
        assert word.lower() in text, text


def company() -> Sandbox:
    """A sandbox whose time stands at NOON, with two people."""
    sandbox = Sandbox(now=lambda: float(NOON), seed=1)
    sandbox.company.add_user(ANNA, "Anna Visser")
    sandbox.company.add_user(BRAM, "Bram Kuipers")
    return sandbox
