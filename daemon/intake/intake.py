"""From tap to punch: the only writer of punches. What it answers is on disk already."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace

import structlog

from daemon.alarms import Alarms
from daemon.clock import Timekeeper
from daemon.config import AttendanceConfig, ReaderConfig
from daemon.errors import RefusedError
from daemon.events import Events
from daemon.intake.admission import Admitted, Arrival, Wish, admit
from daemon.intake.attendance import Origin, ServerView
from daemon.intake.enrolment import Enrolments
from daemon.intake.ids import Chance
from daemon.intake.moments import Reckoner, occurrence
from daemon.intake.placing import Desk
from daemon.intake.rules import Rules
from daemon.intake.settling import is_due, settle
from daemon.intake.storage import STORAGE_ERRORS, is_of_the_disk
from daemon.model import Punch, TapAnswer, TapResult
from daemon.queue.database import Database
from drivers.badge import InvalidBadge, canonical, is_unstable
from drivers.reader import Tap

_log = structlog.get_logger("intake")


class Intake:
    """Takes taps.

    `on_punch` is called with each punch after its commit, and again when its time or direction was settled.
    """

    def __init__(
        self,
        database: Database,
        timekeeper: Timekeeper,
        *,
        attendance: AttendanceConfig,
        readers: Iterable[ReaderConfig],
        alarms: Alarms,
        events: Events,
        chance: Chance,
        on_punch: Callable[[Punch], None] = lambda punch: None,
        server_view: Callable[[str], ServerView | None] = lambda user_id: None,
    ) -> None:
        self.rules = Rules.of(attendance, readers)
        self.on_punch = on_punch
        self.enrolments = Enrolments()
        self._database = database
        self._timekeeper = timekeeper
        self._alarms = alarms
        self._events = events
        self._chance = chance
        self._server_view = server_view
        self._closed = False
        self._settle_due = False
        #: What was stored and is not told yet.
        self._untold: deque[tuple[Tap, Admitted]] = deque()

    async def accept(self, tap: Tap) -> TapAnswer:
        """Store a tap and what it comes to; the answer is given after the commit, with its sync.

        Never raises for a bad disk (refused, `cannot_store`) nor a malformed badge (refused, `malformed_badge`); what
        it does raise is a programmer's error. Cancelled, it leaves a whole transaction or none. Everybody else is told
        in the loop's next turn.
        """
        if self._closed:
            return TapAnswer(TapResult.REFUSED, "stopping")
        try:
            badge = canonical(tap.badge)
        except InvalidBadge:
            _log.warning("tap.refused", reader=tap.reader, reason="malformed_badge")
            return TapAnswer(TapResult.REFUSED, "malformed_badge")
        if badge != tap.badge:
            tap = replace(tap, badge=badge)
        desk = self.desk()
        arrival = self._arrival(tap, desk)
        with self.enrolments.taken() as enrolment:
            wish = Wish(enrolment.user_id, enrolment.by) if enrolment is not None else None
            try:
                admitted = await self._database.write(lambda conn: admit(conn, arrival, wish, desk))
            except STORAGE_ERRORS as error:
                if not is_of_the_disk(error):
                    raise
                self._note_bad_disk(error)
                admitted = Admitted(TapAnswer(TapResult.REFUSED, "cannot_store"), wish=_UNSTORED)
            else:
                self._alarms.clear("cannot_store")
            if enrolment is not None and admitted.wish is not None:
                enrolment.conclude(admitted.wish)
        self._untold.append((tap, admitted))
        # Trust may have come while the transaction waited for its turn: then nobody else would settle this one.
        untimed = any(not punch.time_known for punch in admitted.punches)
        if (untimed or self._settle_due) and self._timekeeper.trusted:
            self._tell()
            await self.settle_times()
        else:
            # The person at the reader first: news and log follow in the next turn of the loop.
            asyncio.get_running_loop().call_soon(self._tell)
        return admitted.answer

    async def settle_times(self) -> int:
        """Fill in times that have become known, then the directions that hung on them; how many punches changed.

        To be called when trust came, at the start, and after a person gave a punch its time or discarded one. A bad
        disk is an alarm, and it is tried again after the next tap.
        """
        desk = self.desk()
        try:
            if not await self._database.read(lambda conn: is_due(conn, desk)):
                self._settle_due = False
                return 0
            changed = await self._database.write(lambda conn: settle(conn, desk))
        except STORAGE_ERRORS as error:
            if not is_of_the_disk(error):
                raise
            self._note_bad_disk(error)
            self._settle_due = True
            return 0
        self._settle_due = False
        for punch in changed:
            self.publish("punch.settled", punch)
        return len(changed)

    def desk(self) -> Desk:
        """What a transaction of the intake needs, as of now."""
        seen = self._timekeeper.evidence()
        reckoner = Reckoner(self._timekeeper.best, seen.boot_id, self._timekeeper.trusts(seen))
        return Desk(self.rules, reckoner, self._timekeeper.best(seen).at, self._chance, self._server_view)

    def publish(self, event: str, punch: Punch) -> None:
        """Tell everybody of a punch, after its commit."""
        self._events.publish(
            event,
            id=punch.id,
            user_id=punch.user_id,
            name=punch.name,
            direction=punch.direction,
            occurred_at=punch.occurred_at,
            reader=punch.reader,
            state=punch.state,
            reason=punch.reason,
        )
        _log.info(event, punch=punch.id, user_id=punch.user_id, direction=punch.direction, state=punch.state)
        self.on_punch(punch)

    def close(self) -> None:
        """Take no more taps: from now on they are refused as `stopping`."""
        self._closed = True

    def _arrival(self, tap: Tap, desk: Desk) -> Arrival:
        best = self._timekeeper.best(tap.evidence)
        if best.known and not desk.reckoner.trusted:
            # A doubted clock is not trusted for new punches, whatever it was worth before.
            best = replace(best, known=False)
        origin = Origin.LIVE if tap.stated_at is None else Origin.STATED
        return Arrival(
            tap,
            occurrence(tap, best, origin),
            unstable=self.rules.is_nfc(tap.reader) and is_unstable(tap.badge),
            doubted=self._timekeeper.doubt is not None,
        )

    def _tell(self) -> None:
        """Tell everybody what was stored since the last telling, in that order."""
        while self._untold:
            tap, admitted = self._untold.popleft()
            for punch in admitted.punches:
                self.publish("punch.committed", punch)
            answer = admitted.answer
            if answer.enrolled:
                self._events.publish("badge.enrolled", reader=tap.reader, badge=tap.badge)
            elif answer.punch is None:
                self._events.publish(_EVENTS[answer.result], reader=tap.reader, badge=tap.badge, reason=answer.reason)
                _log.info(_EVENTS[answer.result], reader=tap.reader, reason=answer.reason)

    def _note_bad_disk(self, error: Exception) -> None:
        _log.error("tap.refused", reason="cannot_store", error=str(error))
        self._alarms.set(
            "cannot_store",
            f"Taps cannot be stored and are refused: {error}. See punchctl doctor; free or replace the disk",
        )


_EVENTS = {
    TapResult.ACCEPTED: "tap.accepted",
    TapResult.REPEAT: "tap.repeated",
    TapResult.UNKNOWN_BADGE: "tap.unknown",
    TapResult.REFUSED: "tap.refused",
}
_UNSTORED = RefusedError("cannot enrol the badge: it cannot be stored; see punchctl doctor", code="cannot_store")
