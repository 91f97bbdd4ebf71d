"""Keeps the state directory from filling up, and notices when what is in it stays too long: disk, queue, retention.

Also keeps the second copy going.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

import structlog

from daemon.alarms import Alarm, Alarms
from daemon.clock import Timekeeper
from daemon.queue.database import Database
from daemon.queue.deliveries import counts
from daemon.queue.records import get_setting
from daemon.queue.retention import Place, Pruned, note_stale, prune, prune_taps
from daemon.queue.salvaged import REPORT, Salvage

_log = structlog.get_logger()

#: Disks fill over days; a look costs one system call.
DISK_LOOK_S = 600.0
#: Low is less room than this, or less than the part below, whichever is smaller: a small partition of its own is fine
#: with less. A year of taps of a hundred people is some 100 MB.
DISK_LOW_BYTES = 200 * 1024 * 1024
DISK_LOW_PART = 0.1
#: Few files are made here, but a disk without room for a single one more stops everything as well.
DISK_LOW_FILES = 100
#: The alarm ends only when there is this much more room: a disk on the brink would raise and clear it for ever.
DISK_CLEAR_FACTOR = 1.25

#: Hours are judged to some minutes.
QUEUE_LOOK_S = 300.0

PRUNE_EVERY_S = 86_400.0
#: While the clock is not trusted nothing has an age; it is asked again this often.
PRUNE_TRUST_LOOK_S = 600.0
#: Between two steps the disk and the lock belong to the taps.
PRUNE_PAUSE_S = 0.1

_DAY_S = 86_400.0
#: Nothing goes sooner, whatever is configured: the end of a shift that is still open may come after 36 hours, and what
#: the shift began with decides about it.
PRUNE_LEAST_DAYS = 3

#: A medium that is plugged in again is noticed this soon; asking costs one system call.
COPY_RETRY_S = 30.0


class DiskUse(Protocol):
    """The part of os.statvfs_result that is used: blocks and files, those that are free for this user too."""

    @property
    def f_frsize(self) -> int:
        """Bytes a block."""

    @property
    def f_blocks(self) -> int:
        """All blocks."""

    @property
    def f_bavail(self) -> int:
        """Free ones."""

    @property
    def f_files(self) -> int:
        """All files there can be; 0 where there is no such limit."""

    @property
    def f_favail(self) -> int:
        """How many more there can be."""


def is_low(use: DiskUse, *, was_low: bool) -> bool:
    """Whether a disk has too little room."""
    factor = DISK_CLEAR_FACTOR if was_low else 1.0
    least = min(DISK_LOW_BYTES, use.f_blocks * use.f_frsize * DISK_LOW_PART)
    few_files = use.f_files > 0 and use.f_favail < min(DISK_LOW_FILES, use.f_files * DISK_LOW_PART) * factor
    return use.f_bavail * use.f_frsize < least * factor or few_files


class DiskWatch:
    """Raises `disk_low` before taps can no longer be stored."""

    def __init__(self, directory: Path, *, alarms: Alarms, statvfs: Callable[[Path], DiskUse] = os.statvfs) -> None:
        self._directory, self._alarms, self._statvfs = directory, alarms, statvfs
        self._low = False
        self._asked = asyncio.Event()

    def heard(self, alarm: Alarm, raised: bool) -> None:
        """An alarm changed: when taps cannot be stored, a full disk is the first suspect."""
        if raised and alarm.code == "cannot_store":
            self._asked.set()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self._asked.clear()
            self.look()
            try:
                async with asyncio.timeout(DISK_LOOK_S):
                    await self._asked.wait()
            except TimeoutError:
                continue

    def look(self) -> None:
        """Look once. A directory that cannot be looked at says nothing about its room."""
        try:
            use = self._statvfs(self._directory)
        except OSError as error:
            _log.warning("disk.unseen", directory=str(self._directory), error=str(error))
            return
        self._low = is_low(use, was_low=self._low)
        if not self._low:
            self._alarms.clear("disk_low")
            return
        free_mb = use.f_bavail * use.f_frsize // (1024 * 1024)
        self._alarms.set(
            "disk_low",
            f"The disk of {self._directory} is nearly full ({free_mb} MB and {use.f_favail} files left); soon taps "
            "cannot be stored. Free some space (journalctl --vacuum-size=50M), or give it a larger disk",
        )


class QueueWatch:
    """Raises `queue_old` when something has waited to be sent for `hours`; 0 never does."""

    def __init__(self, hours: float, *, database: Database, timekeeper: Timekeeper, alarms: Alarms) -> None:
        self._hours, self._database, self._timekeeper, self._alarms = hours, database, timekeeper, alarms

    async def run(self) -> None:
        """Look until cancelled; returns at once where nobody wants to know. Raises sqlite3.Error."""
        while self._hours:
            await self.look()
            await asyncio.sleep(QUEUE_LOOK_S)

    async def look(self) -> None:
        """Look once. Nothing has an age while the clock is not trusted."""
        if not self._timekeeper.trusted:
            return
        oldest = (await self._database.read(counts)).oldest_pending_at
        if oldest is None or self._timekeeper.now() - oldest < self._hours * 3600:
            self._alarms.clear("queue_old")
            return
        self._alarms.set(
            "queue_old",
            f"Punches have waited to be delivered for more than {self._hours:g} h. Taps are kept; look why with: "
            "punchctl status",
        )


class CopyWatch:
    """Raises `copy_failing` while the second copy does not follow, and tries again until it does."""

    def __init__(self, *, database: Database, alarms: Alarms) -> None:
        self._database, self._alarms = database, alarms
        self._news = asyncio.Event()
        database.on_copy = self._heard
        self._heard(database.copy_trouble)

    def _heard(self, trouble: str | None) -> None:
        if trouble is None:
            self._alarms.clear("copy_failing")
            return
        self._alarms.set("copy_failing", trouble)
        self._news.set()

    async def run(self) -> None:
        """Watch until cancelled; asleep while the copy follows. Raises BeyondError."""
        while True:
            await self._news.wait()
            self._news.clear()
            await asyncio.sleep(COPY_RETRY_S)
            await self._database.catch_up()


class SalvageWatch:
    """Raises `database_salvaged` as long as the damaged files lie where a salvage set them aside."""

    def __init__(self, *, database: Database, alarms: Alarms) -> None:
        self._database, self._alarms = database, alarms

    async def run(self) -> None:
        """Watch until somebody has moved them away; returns at once where there are none."""
        told = await self._database.read(lambda conn: get_setting(conn, REPORT))
        if told is None:
            return
        report = Salvage(**json.loads(told))
        while Path(report.folder).exists():
            words = " ".join(report.sentences())
            remedy = f"See who is concerned, replace the card if this comes again, then move {report.folder} away"
            self._alarms.set("database_salvaged", f"{words} {remedy}")
            await asyncio.sleep(DISK_LOOK_S)
        self._alarms.clear("database_salvaged")


Step = Callable[[sqlite3.Connection, float, Place], Pruned]


class RetentionWatch:
    """Prunes what is older than `days`, at the start and every day, in small steps; 0 keeps all."""

    def __init__(self, days: int, *, database: Database, timekeeper: Timekeeper) -> None:
        self._days, self._database, self._timekeeper = days, database, timekeeper

    async def run(self) -> None:
        """Prune until cancelled; returns at once where all is kept. Raises sqlite3.Error."""
        while self._days:
            if not self._timekeeper.trusted:
                await asyncio.sleep(PRUNE_TRUST_LOOK_S)
                continue
            punches = await self._all(prune)
            taps = await self._all(prune_taps)
            if punches or taps:
                _log.info("retention.pruned", punches=punches, taps=taps, older_than_days=self._days)
                gone = punches + taps
                if await self._database.write(partial(note_stale, gone=gone)):
                    await self._database.compact_copy()
            await asyncio.sleep(PRUNE_EVERY_S)

    async def _all(self, step: Step) -> int:
        """Take one step after the other while the clock is trusted, with pauses; how many rows went."""
        deleted = 0
        place: Place | None = Place()
        while place is not None and self._timekeeper.trusted:
            before = self._timekeeper.now() - max(self._days, PRUNE_LEAST_DAYS) * _DAY_S
            pruned = await self._database.write(partial(_one_step, step, before, place))
            deleted, place = deleted + pruned.deleted, pruned.then
            await asyncio.sleep(PRUNE_PAUSE_S)
        return deleted


def _one_step(step: Step, before: float, place: Place, conn: sqlite3.Connection) -> Pruned:
    return step(conn, before, place)
