"""Tells people what delivery does: events, alarms and log lines. Decides nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import structlog

from daemon.alarms import Alarms
from daemon.delivery import storage
from daemon.delivery.gate import Gate
from daemon.delivery.plan import Verdict
from daemon.events import Events
from daemon.model import Punch, PunchState
from daemon.queue.database import Database

log = structlog.get_logger()

_HALTS = {
    "halted": "Give punchd a valid key (a new key file is noticed; else: punchctl sync now).",
    "misconfigured": "Check time_clock_id and the key's account, then: punchctl sync now",
}


class Teller:
    """What stands in status, events and log of one delivery loop."""

    def __init__(self, db: Database, alarms: Alarms, events: Events) -> None:
        self._db, self._alarms, self._events = db, alarms, events
        #: Punches in review, as last counted.
        self.reviews = 0
        #: When a punch was last delivered in this run of the service, None before the first.
        self.last_delivery_at: float | None = None

    async def verdicts(self, user_id: str, verdicts: Sequence[Verdict], now: float) -> None:
        """Punches moved."""
        for verdict in verdicts:
            if verdict.state is PunchState.DELIVERED:
                self.last_delivery_at = now
            self._moved(user_id, verdict.punch_id, verdict.state, verdict.reason)
        if self.reviews or any(verdict.state is PunchState.REVIEW for verdict in verdicts):
            await self.count_reviews()

    async def decided(self, punches: Sequence[Punch]) -> None:
        """A person decided on punches."""
        for punch in punches:
            self._moved(punch.user_id, punch.id, punch.state, punch.reason)
        await self.count_reviews()

    async def count_reviews(self) -> None:
        """Raise or clear the alarm that somebody is needed."""
        self.reviews = waiting = await self._db.read(storage.count_reviews)
        if not waiting:
            self._alarms.clear("review_waiting")
            return
        noun = "punch needs" if waiting == 1 else "punches need"
        self._alarms.set("review_waiting", f"{waiting} {noun} a person. Look with: punchctl review list")

    def throttled(self, until: float) -> None:
        """The account's budget is used up."""
        self._events.publish("delivery.throttled", until=until)
        log.warning("delivery.throttled", until=until)

    def lane_failed(self, user_id: str, why: str) -> None:
        """A fault of ours on one person's punches."""
        log.error("delivery.lane_failed", user_id=user_id, why=why)
        self._events.publish("delivery.lane_failed", user_id=user_id)

    @contextmanager
    def watching(self, gate: Gate) -> Iterator[None]:
        """Tell of what changes on the gate inside the block."""
        before = gate.state
        yield
        halt = gate.halt
        for code, remedy in _HALTS.items():
            if halt is not None and halt.code == code:
                self._alarms.set(code, f"Nothing can be delivered: {halt.detail}. {remedy}")
            else:
                self._alarms.clear(code)
        if gate.state != before:
            detail = halt.detail if halt else gate.detail
            self._events.publish(f"delivery.{gate.state}", detail=detail)
            log.info("delivery.state_changed", state=gate.state, was=before, detail=detail)

    def _moved(self, user_id: str, punch_id: str, state: PunchState, reason: str | None) -> None:
        self._events.publish(f"punch.{state.value}", punch_id=punch_id, user_id=user_id, reason=reason)
        log.info("punch.moved", punch_id=punch_id, user_id=user_id, state=state.value, reason=reason)
