"""Histories written by hand, to judge the judge: an ordinary day at one door, and whatever a test changes of it.

Times are seconds after `T0`. What is said of a punch, a row or a request stays a plain dict until `history()`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.simulation.weeks.history import (
    Asked,
    Assigned,
    Begun,
    Ending,
    History,
    HumanDid,
    KioskEnd,
    Line,
    Presented,
    Reconfigured,
    Shift,
    Shown,
    Started,
)

T0 = 1_800_000_000
HOUR = 3600
DOOR = "front-door"
ANNA, BOB = "101", "102"
BADGES = {ANNA: "04AAAAAAAA0101", BOB: "04BBBBBBBB0102"}
SETTINGS = {
    "readers": {"front": "toggle"}, "max_shift_s": 14 * HOUR, "repeat_tap_s": 60, "after_auto_clock_out": "review",
    "lookback_s": 12 * HOUR, "lookback_margin_s": 600, "requests_per_minute": 60, "settle_s": 5.0,
    "batch_pairs": "when_scarce", "close_late_by_update": True,
}  # fmt: skip
CLOCK = "/time-clock/v1/time-clocks/12345"


@dataclass
class Story:
    """One history in the making; its lists are there to be changed."""

    settings: dict[str, Any] = field(default_factory=lambda: dict(SETTINGS))
    behaviour: dict[str, Any] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    punches: list[dict[str, Any]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)
    status: dict[str, Any] = field(default_factory=lambda: {"state": "online"})
    log: list[str] = field(default_factory=list)
    alarms: list[dict[str, Any]] = field(default_factory=list)
    told: list[tuple[str, float]] = field(default_factory=list)
    unknown: list[dict[str, Any]] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    descriptors: tuple[int, int] = (10, 10)
    memory_kb: tuple[int, int] = (90_000, 91_000)
    held_kb: tuple[int, int] = (900, 1_000)
    ends: float = 60 * HOUR
    calm: float = 20 * HOUR
    per_day: int = 10_000
    taps: int = 0

    def __post_init__(self) -> None:
        self.start(-100)
        for user_id, badge in BADGES.items():
            self.lines.append(Assigned(at=T0 - 90.0, what="given", badge=badge, user_id=user_id, kiosk=DOOR))

    # --- what happens

    def start(self, at: float, *, life: int = 1, boot: str = "boot-1", ahead: float = 0.0, ntp: bool = True) -> None:
        """The kiosk starts."""
        self.lines.append(
            Started(at=T0 + at, kiosk=DOOR, life=life, boot_id=boot, ahead_s=ahead, synchronised=ntp)
        )  # fmt: skip

    def tap(self, who: str, at: float, shown: str | None, **said: Any) -> int:
        """Somebody taps; the number of the tap. `said`: other values of the line, and `took` seconds to the answer."""
        self.taps += 1
        took, ahead = said.pop("took", 0.05), said.pop("ahead", 0.0)
        told = {
            "reader": "front", "direction": "toggle", "badge": BADGES[who], "person": who, "wall_at": T0 + at + ahead,
            "boot_id": "boot-1", "boottime_s": at + 100,
        } | said  # fmt: skip
        self.lines.append(Presented(at=T0 + at, tap=self.taps, kiosk=DOOR, **told))
        self.lines.append(Shown(at=T0 + at + took, tap=self.taps, feedback=shown))
        return self.taps

    def punch(self, who: str, at: float, direction: str | None, state: str, **told: Any) -> dict[str, Any]:
        """The kiosk shows a punch."""
        self.punches.append({
            "id": f"P{len(self.punches) + 1}", "user_id": who, "direction": direction, "occurred_at_unix": int(T0 + at),
            "raw_at": rfc3339(T0 + at), "time_error_s": 0.5, "reader": "front", "badge": BADGES[who], "source": "tap",
            "state": state, "reason": None, "detail": None, "attempts": 1, "remote_id": None, "recorded_as": None,
            "history": {"attempts": [], "journal": []}, **told,
        })  # fmt: skip
        return self.punches[-1]

    def row(self, shift_id: str, who: str, start: float, end: float | None, **told: Any) -> dict[str, Any]:
        """The timesheet shows a shift."""
        self.rows.append({
            "id": shift_id, "user_id": who, "start": int(T0 + start), "end": None if end is None else int(T0 + end),
            "source": "api", "end_source": None if end is None else "api", "note": None, "auto_ended": False,
            "job_id": None, **told,
        })  # fmt: skip
        return self.rows[-1]

    def ask(self, at: float, method: str, path: str, body: Any = None, **told: Any) -> dict[str, Any]:
        """A request reaches the service."""
        status = told.get("status", 200)
        whole = path if path == "/me" else f"{CLOCK}/{path}"
        self.asked.append({
            "at": T0 + at, "kiosk": DOOR, "method": method, "path": whole, "query": (), "fault": "none",
            "body": "" if body is None else json.dumps(body), "processed_at": T0 + at + 0.15, "status": status,
            "headers": {}, "answer": "{}", "got": None if status is None else str(status), **told,
        })  # fmt: skip
        return self.asked[-1]

    def live(self, at: float, who: str, direction: str, second: float, **told: Any) -> dict[str, Any]:
        """A live clock-in or clock-out."""
        path = direction.replace("_", "-")
        return self.ask(at, "POST", path, {"userId": int(who), "timestamp": int(T0 + second)}, **told)

    def read(self, at: float, *people: str, **told: Any) -> dict[str, Any]:
        """A list of these people's shifts, or of everybody's."""
        return self.ask(at, "GET", "time-activities", query=tuple(("userIds", who) for who in people), **told)

    def shift(self, who: str, start: float, end: float, shift_id: str) -> None:
        """In and out, tapped, sent and on the timesheet as it should be."""
        self.tap(who, start, "clocked_in")
        self.live(start + 2, who, "clock_in", start)
        self.tap(who, end, "clocked_out")
        self.live(end + 2, who, "clock_out", end)
        self.punch(who, start, "clock_in", "delivered", remote_id=shift_id, recorded_as="clock_in")
        self.punch(who, end, "clock_out", "delivered", remote_id=shift_id, recorded_as="clock_out")
        self.row(shift_id, who, start, end)

    # --- what is left

    def history(self) -> History:
        """The whole of it, in order."""
        begun = Begun(
            at=T0 - 200.0, seed=1, people={ANNA: "Anna Visser", BOB: "Bob Bakker"}, settings={DOOR: self.settings},
            plan={"name": "expert", "per_minute": 100, "per_day": 10000}, behaviour=self.behaviour, kinds=(),
            timezone="Europe/Amsterdam",
        )  # fmt: skip
        numbered = enumerate(sorted(self.asked, key=lambda told: told["at"]), start=1)
        asked = [Asked(number=number, **told) for number, told in numbered]
        kiosk = KioskEnd(
            kiosk=DOOR, lives=1, settings=self.settings, status=self.status, punches=tuple(self.punches),
            unknown=tuple(self.unknown), alarms=tuple(self.alarms), told=tuple(self.told), log=tuple(self.log),
            findings=tuple(self.findings),
        )  # fmt: skip
        ending = Ending(
            at=T0 + self.ends, calm_at=T0 + self.calm, timesheet=tuple(Shift(**row) for row in self.rows),
            kiosks=(kiosk,), per_minute=100, per_day=self.per_day, descriptors=self.descriptors,
            memory_kb=self.memory_kb, held_kb=self.held_kb,
        )  # fmt: skip
        return History((begun, *sorted([*self.lines, *asked], key=lambda line: line.at), ending))


def rfc3339(at: float) -> str:
    """As the public views write it."""
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def a_day() -> Story:
    """Anna works from 8 to 16 o'clock, Bob from 9 to 17, and nothing goes wrong."""
    story = Story()
    story.shift(ANNA, 8 * HOUR + 0.4, 16 * HOUR + 0.7, "S1")
    story.shift(BOB, 9 * HOUR + 0.2, 17 * HOUR + 0.9, "S2")
    return story


def wait(story: Story, state: str, reason: str, direction: str = "clock_in", at: float = 18 * HOUR) -> None:
    """One more tap of Anna's, which waits for that reason."""
    story.tap(ANNA, at, "clocked_in" if direction == "clock_in" else "clocked_out")
    story.punch(ANNA, at, direction, state, reason=reason)


def at_night(story: Story, state: str, reason: str, *, start: float = 18 * HOUR, end: float | None = None) -> None:
    """Anna's next clock-in (and clock-out) wait for that reason; whoever asks gives the cause."""
    wait(story, state, reason, at=start)
    if end is not None:
        wait(story, state, reason, "clock_out", at=end)


def deed(at: float, what: str, user_id: str | None = ANNA, **told: object) -> HumanDid:
    """Somebody does something on the service; times in seconds after T0."""
    for name in ("start", "end", "start_before", "end_before"):
        if name in told:
            told[name] = T0 + told[name]
    return HumanDid(at=T0 + at, what=what, user_id=user_id, **told)


def reconfigured(at: float, **settings: object) -> Reconfigured:
    """The owner changes the configuration."""
    return Reconfigured(at=T0 + at, kiosk=DOOR, how="reload", settings={**SETTINGS, **settings})
