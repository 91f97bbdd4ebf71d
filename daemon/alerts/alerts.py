"""Tells alarms outside the box: deciding.py says what, book.py keeps it, the channels bring it."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Mapping

import structlog

from daemon.alarms import Alarm, Alarms
from daemon.alerts.book import Book, Message
from daemon.alerts.channel import Channel, Sent, body_of
from daemon.alerts.deciding import Rules, decide
from daemon.clock import Timekeeper
from daemon.queue.database import Database
from daemon.queue.records import get_setting, put_setting
from daemon.supervisor import Backoff

_log = structlog.get_logger()

#: Where the book is kept.
SETTING = "alerts.book"
#: Pauses between tries of one way out.
PAUSES = Backoff(first_s=5.0, max_s=300.0)
#: After so many failures in a row the status says that alarms do not get out.
FAILURES_TOLD = 3


class Alerts:
    """Tells alarms by each of `channels`, by name. Nothing here holds up anything else."""

    def __init__(
        self,
        channels: Mapping[str, Channel],
        rules: Rules,
        *,
        kiosk: str,
        database: Database,
        timekeeper: Timekeeper,
        alarms: Alarms,
        rng: random.Random,
        pauses: Backoff = PAUSES,
    ) -> None:
        self._channels, self._rules, self._kiosk = channels, rules, kiosk
        self._database, self._timekeeper, self._alarms = database, timekeeper, alarms
        self._rng, self._pauses = rng, pauses
        self._started_s = timekeeper.evidence().boottime_s
        self._noticed: set[str] = set()  # as many as there are alarms
        self._book: Book | None = None
        self._news = asyncio.Event()
        self._work = {name: asyncio.Event() for name in channels}

    def heard(self, alarm: Alarm, raised: bool) -> None:
        """An alarm changed."""
        self._noticed.add(alarm.code)
        self._news.set()

    async def run(self) -> None:
        """Tell until cancelled."""
        if self._book is None:
            self._book = await self._kept()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._decide())
            for name, channel in self._channels.items():
                tasks.create_task(self._bring(name, channel))

    # --- what to tell

    async def _decide(self) -> None:
        while True:
            self._news.clear()
            now = self._timekeeper.now()
            up_s = self._timekeeper.evidence().boottime_s - self._started_s
            decision = decide(
                self._alarms.standing(),
                self._now_told.told,
                self._rules,
                now=now,
                up_s=up_s,
                noticed=self._noticed,
            )
            if decision.changes:
                told = self._now_told.tell(decision.changes, list(self._channels), now, self._new_id)
                await self._keep(told.forget(now, self._rules.gap_s))
                for work in self._work.values():
                    work.set()
            try:
                async with asyncio.timeout(decision.look_in_s):
                    await self._news.wait()
            except TimeoutError:
                continue

    def _new_id(self) -> str:
        return f"{self._rng.getrandbits(128):032x}"

    # --- bringing it out

    async def _bring(self, name: str, channel: Channel) -> None:
        """One message after the other by one way, with pauses that grow while it does not work."""
        failures = 0
        while True:
            self._work[name].clear()
            message = self._now_told.next(name)
            if message is None:
                await self._work[name].wait()
                continue
            sent = await channel.send(message, body_of(message, self._kiosk))
            await self._note(message, sent)
            failures = 0 if sent is Sent.DONE else failures + 1
            self._say(name, failures)
            if failures:
                await asyncio.sleep(self._pauses.delay_s(failures, self._rng))

    async def _note(self, message: Message, sent: Sent) -> None:
        if sent is Sent.DONE:
            _log.info("alert.sent", code=message.code, raised=message.raised, channel=message.channel)
            await self._keep(self._now_told.sent(message))
        elif sent is Sent.REFUSED:
            await self._keep(self._now_told.refused(message))

    def _say(self, name: str, failures: int) -> None:
        code = f"alerts_unsent:{name}"
        if not failures:
            self._alarms.clear(code)
        elif failures >= FAILURES_TOLD:
            self._alarms.set(
                code,
                f"Alarms do not get out by {name}; they are tried again. The log says why (journalctl -u punchd), and "
                "punchd check looks at the configuration",
            )

    # --- keeping it

    @property
    def _now_told(self) -> Book:
        assert self._book is not None, "run() reads the book first"
        return self._book

    async def _kept(self) -> Book:
        """The book of the last run; an empty one where it cannot be read: telling twice is better than not at all."""
        try:
            text = await self._database.read(lambda conn: get_setting(conn, SETTING))
            return Book() if text is None else Book.from_json(text, list(self._channels))
        except (sqlite3.Error, ValueError) as error:
            _log.warning("alerts.forgotten", error=str(error))
            return Book()

    async def _keep(self, book: Book) -> None:
        """Go on with this book, and keep it as far as the disk allows: what is told may be that it does not."""
        self._book = book
        try:
            # The newest when its turn comes: several parts write it.
            await self._database.write(lambda conn: put_setting(conn, SETTING, self._now_told.to_json()))
        except sqlite3.Error as error:
            _log.warning("alerts.unkept", error=str(error))
