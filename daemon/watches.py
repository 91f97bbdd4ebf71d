"""What the service keeps an eye on beside its work: the clock, the database, the links, and what systemd shows."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
from collections.abc import Awaitable, Callable

import structlog

from daemon.alarms import Alarms
from daemon.clock import Doubt, Timekeeper, Trust
from daemon.events import Events
from daemon.notify import Notifier
from daemon.queue.database import Database
from daemon.queue.deliveries import Counts, counts
from daemon.queue.records import note_boot, put_doubt, put_trust, touch
from daemon.supervisor import FatalError

_log = structlog.get_logger()

#: How often the clock is looked at while it is not trusted: a tap made meanwhile waits no longer than this.
UNTRUSTED_LOOK_S = 10.0
#: And while it is: a step by NTP, or by hand, is noticed this soon.
TRUSTED_LOOK_S = 300.0
#: A clock that is still not trusted after this is an alarm; before, it is an ordinary start.
UNTRUSTED_ALARM_S = 60.0
#: A whole check reads every page: once a day is what an SD card bears for years.
CHECK_EVERY_S = 86400.0
#: News comes in bursts; systemd hears of them at most this often.
STATUS_EVERY_S = 1.0
#: Links and routes settle in bursts too.
LINKS_SETTLE_S = 0.5


class ClockWatch:
    """Notices that the clock became trusted, moved or doubtful; keeps the trust, and tells those who wait for it."""

    def __init__(
        self,
        *,
        database: Database,
        timekeeper: Timekeeper,
        alarms: Alarms,
        events: Events,
        settle_times: Callable[[], Awaitable[object]],
        wake: Callable[[], None],
    ) -> None:
        self._database, self._timekeeper = database, timekeeper
        self._alarms, self._events = alarms, events
        self._settle_times, self._wake = settle_times, wake
        self._news = asyncio.Event()
        self._kept: Trust | None = None
        self._told: tuple[Trust | None, Doubt | None] | None = None
        self._untrusted_since: float | None = None

    def changed(self) -> None:
        """The timekeeper has learnt something; may be called from anywhere on the loop."""
        self._news.set()

    async def run(self) -> None:
        """Watch until cancelled. Raises sqlite3.Error where the trust cannot be kept."""
        seen = self._timekeeper.evidence()
        await self._database.write(lambda conn: note_boot(conn, seen))
        while True:
            self._news.clear()
            trusted = await self._look()
            # A plain timer: of all that the service does while nothing happens, this happens most.
            later_s = TRUSTED_LOOK_S if trusted else UNTRUSTED_LOOK_S
            again = asyncio.get_running_loop().call_later(later_s, self._news.set)
            try:
                await self._news.wait()
            finally:
                again.cancel()

    async def _look(self) -> bool:
        seen = self._timekeeper.evidence()
        trust, doubt = self._timekeeper.trust, self._timekeeper.doubt
        if trust is not None and trust != self._kept:
            # Kept before any time is settled by it: after a power cut both are there, or neither.
            await self._database.write(lambda conn: put_trust(conn, trust))
            self._kept = trust
        if (trust, doubt) != self._told:
            # A restart must not forget it: the kernel would vouch again for the clock that the service disputes.
            await self._database.write(lambda conn: put_doubt(conn, seen.boot_id, doubt))
            await self._settle_times()
            self._told = (trust, doubt)  # not before: where the disk failed, all of it is tried again
            self._tell(trust, doubt)
            self._wake()
        self._note_untrusted(trust is not None, doubt, seen.boottime_s)
        return trust is not None and doubt is None

    def _tell(self, trust: Trust | None, doubt: Doubt | None) -> None:
        if doubt is not None:
            _log.warning("clock.doubted", off_s=round(doubt.off_s, 1))
            self._events.publish("clock.doubted", off_s=doubt.off_s)
        elif trust is not None:
            _log.info("clock.trusted", source=trust.source, error_s=trust.error_s, boot_id=trust.boot_id)
            self._events.publish("clock.trusted", source=trust.source, error_s=trust.error_s)

    def _note_untrusted(self, trusted: bool, doubt: Doubt | None, now: float) -> None:
        if doubt is not None:
            text = (f"The service's clock is {doubt.off_s:+.0f} s from this kiosk's; nothing is delivered meanwhile. "
                    "Set the clock right, or find out which of the two is wrong (timedatectl)")  # fmt: skip
            self._alarms.set("clock_doubted", text)
        else:
            self._alarms.clear("clock_doubted")
        if trusted or doubt is not None:
            self._untrusted_since = None
            self._alarms.clear("clock_untrusted")
            return
        self._untrusted_since = now if self._untrusted_since is None else self._untrusted_since
        if now - self._untrusted_since >= UNTRUSTED_ALARM_S:
            text = ("Nothing is delivered: nothing has vouched for this kiosk's clock since it was started. Taps are "
                    "kept. Let it reach its time server or the service (timedatectl)")  # fmt: skip
            self._alarms.set("clock_untrusted", text)


class DatabaseWatch:
    """Checks the whole database in the background: after a stop that was not in order, and every day."""

    def __init__(self, *, database: Database, alarms: Alarms, events: Events) -> None:
        self._database, self._alarms, self._events = database, alarms, events
        self._due = database.was_unclean

    async def run(self) -> None:
        """Check until cancelled. Raises sqlite3.Error where the check itself cannot be made, FatalError once damage
        was met that the next start can salvage."""
        while True:
            if self._due:
                await self._check()
            self._due = False
            try:
                async with asyncio.timeout(CHECK_EVERY_S):
                    await self._database.damaged.wait()
            except TimeoutError:
                self._due = True
            else:
                self._restart()

    def _restart(self) -> None:
        """Going on would refuse taps for ever, or send what is not true. Raises FatalError: a stop in order."""
        _log.error("database.damaged", findings=self._database.damage)
        raise FatalError(f"the database is damaged ({self._database.damage}); the next start salvages it")

    async def _check(self) -> None:
        findings = await self._database.check()
        if not findings:
            self._alarms.clear("database_damaged")
            _log.info("database.checked")
            return
        _log.error("database.damaged", findings="; ".join(findings))
        self._events.publish("database.damaged", findings=findings)
        self._alarms.set(
            "database_damaged",
            f"The database is damaged ({findings[0]}). Save what is not delivered (punchctl export --undelivered), "
            "replace the card, and see punchctl doctor",
        )
        self._database.note_damage(findings[0])


class StatusLine:
    """Keeps the line that `systemctl status` shows up to date."""

    def __init__(self, *, notifier: Notifier, database: Database, events: Events, state: Callable[[], str]) -> None:
        self._notifier, self._database, self._events, self._state = notifier, database, events, state
        self._shown = ""

    async def text(self) -> str:
        """Such as "online, 3 pending"."""
        return line(self._state(), await self._database.read(counts))

    async def run(self) -> None:
        """Show what changes until cancelled; asleep while nothing happens."""
        async with self._events.watch() as news:
            while True:
                text = await self.text()
                if text != self._shown:
                    self._notifier.status(text)
                    self._shown = text
                await news.get()
                await asyncio.sleep(STATUS_EVERY_S)
                while not news.empty():
                    news.get_nowait()


def line(state: str, counted: Counts) -> str:
    """The state of delivery and how many punches wait, in one line."""
    parts = [state, f"{counted.pending + counted.in_flight} pending"]
    parts += [f"{counted.held} held"] if counted.held else []
    parts += [f"{counted.review} in review"] if counted.review else []
    return ", ".join(parts)


class Watchdog:
    """Tells systemd that the service lives, and keeps silent while a part hangs: then systemd starts it afresh.

    A sign of life needs the event loop, a small read that came back from the database, and every reader's tasks;
    `stuck` names those readers that give none.
    """

    def __init__(self, *, notifier: Notifier, database: Database, stuck: Callable[[], list[str]]) -> None:
        self._notifier, self._database, self._stuck = notifier, database, stuck

    async def run(self) -> None:
        """Look four times as often as systemd wants to hear; returns where it does not want to.

        One silence is not the end yet: what only took long speaks up at the next look.
        """
        while (watchdog_s := self._notifier.watchdog_s) is not None:
            await asyncio.sleep(watchdog_s / 4)
            stuck = await self.stuck_parts(watchdog_s / 4)
            if stuck:
                _log.error("watchdog.withheld", stuck=" ".join(stuck))
            else:
                self._notifier.watchdog()

    async def stuck_parts(self, patience_s: float) -> list[str]:
        """What gives no sign of life within `patience_s`: "database", "reader:NAME"; none when all is well."""
        parts = [f"reader:{name}" for name in self._stuck()]
        try:
            async with asyncio.timeout(patience_s):
                await self._database.read(touch)
        except TimeoutError:
            parts.append("database")
        except sqlite3.Error as error:
            # Not even what stands there can be read: opening it anew may help, going on does not.
            _log.error("database.unreadable", error=str(error))
            parts.append("database")
        return parts


#: rtnetlink's groups (linux/rtnetlink.h): a link came or went, an IPv4 or IPv6 route changed.
_RTMGRP_LINK, _RTMGRP_IPV4_ROUTE, _RTMGRP_IPV6_ROUTE = 0x1, 0x40, 0x400


async def watch_links(changed: Callable[[], None]) -> None:
    """Call `changed` when a link or route of this machine changes: what was out of reach may be back.

    The kernel tells by itself, nothing is polled. Where it may not be asked this returns, and retries come by time.
    """
    try:
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    except OSError as error:
        _log.warning("links.unwatched", error=str(error))
        return
    with sock:
        sock.setblocking(False)
        sock.bind((0, _RTMGRP_LINK | _RTMGRP_IPV4_ROUTE | _RTMGRP_IPV6_ROUTE))
        loop = asyncio.get_running_loop()
        while True:
            await _one_message(loop, sock)
            await asyncio.sleep(LINKS_SETTLE_S)
            _drain(sock)
            changed()


async def _one_message(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    try:
        await loop.sock_recv(sock, 65536)
    except OSError as error:
        # ENOBUFS: so much changed at once that messages were lost, which is news as well.
        _log.debug("links.overrun", error=str(error))


def _drain(sock: socket.socket) -> None:
    try:
        while sock.recv(65536):
            pass
    except OSError:
        return
