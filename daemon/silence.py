"""Notices a reader that is there and hears nothing: silent for far longer than is usual for it.

A reader can hang without going away (its firmware, a loose antenna, pcscd waiting for ever); then nothing is lost that
could be told, and only the missing taps show it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Protocol

from daemon.alarms import Alarms
from daemon.clock import Timekeeper
from daemon.queue.database import Database
from daemon.queue.habits import heard

#: Hours are judged to some minutes.
LOOK_S = 600.0
#: From so many taps on, the longest pause between them tells what is usual.
USUAL_FROM = 20
#: A silence is strange when it is so many times the longest pause before: a weekend is usual, a week is not.
STRANGE_FACTOR = 2.0
#: So many taps at the other readers meanwhile show that people are about.
ABOUT_MIN = 10


class Listening(Protocol):
    """The part of a reader's status that is used."""

    @property
    def name(self) -> str:
        """As the configuration names it."""

    @property
    def state(self) -> str:
        """`open` while it takes taps."""

    @property
    def since(self) -> float:
        """When that state began, Unix seconds."""

    @property
    def errors(self) -> int:
        """Badges that could not be read."""


def strange_since(
    name: str, times: Mapping[str, Sequence[float]], *, since: float, several: bool, now: float, least_s: float
) -> float | None:
    """Since when a reader has been silent, where that is strange; None where it is not.

    `times` are the last taps of each reader, `since` the last other sign of life of this one. With `several` readers
    nothing is strange while the others hear nothing either: the house is closed.
    """
    own = [at for at in times.get(name, ()) if at <= now]
    last = max([*own[-1:], since])
    about = sum(last < at <= now for other, taps in times.items() if other != name for at in taps)
    if now - last < least_s or (several and about < ABOUT_MIN):
        return None
    if len(own) >= USUAL_FROM:
        usual_s = max(later - earlier for earlier, later in pairwise(own))
        return last if now - last >= STRANGE_FACTOR * usual_s else None
    return last if several else None


class SilenceWatch:
    """Raises `reader_silent:NAME` once for a reader that is open and strangely silent; 0 hours never does.

    Asked on a clock that is trusted only: the stored times are those of the wall clock.
    """

    def __init__(
        self,
        hours: float,
        *,
        readers: Callable[[], Sequence[Listening]],
        database: Database,
        timekeeper: Timekeeper,
        alarms: Alarms,
    ) -> None:
        self._hours, self._readers = hours, readers
        self._database, self._timekeeper, self._alarms = database, timekeeper, alarms
        #: How often each reader could not read a badge, and when that last changed: a bad badge is a sign of life, too.
        self._errors: dict[str, tuple[int, float]] = {}

    async def run(self) -> None:
        """Look until cancelled; returns at once where nobody wants to know. Raises sqlite3.Error."""
        while self._hours:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Look once."""
        if not self._timekeeper.trusted:
            return
        times, now, readers = await self._database.read(heard), self._timekeeper.now(), self._readers()
        for reader in readers:
            code = f"reader_silent:{reader.name}"
            since = self._sign_of_life(reader, now, never=reader.name not in times)
            several, least_s = len(readers) > 1, self._hours * 3600
            silent_since = strange_since(reader.name, times, since=since, several=several, now=now, least_s=least_s)
            if reader.state != "open" or silent_since is None:
                self._alarms.clear(code)
                continue
            hours = (now - silent_since) / 3600
            self._alarms.set(
                code,
                f"Reader {reader.name} is open, but has heard nothing for {hours:.0f} h, which is not usual for it. "
                "Hold a badge to it; if it stays dark, unplug it and plug it in again",
            )

    def _sign_of_life(self, reader: Listening, now: float, *, never: bool) -> float:
        """When it last did anything but a tap. That it was opened counts only for one that was never heard."""
        known = self._errors.get(reader.name)
        if known is None:
            known = (reader.errors, reader.since if never else 0.0)
        elif known[0] != reader.errors:
            known = (reader.errors, now)
        self._errors[reader.name] = known
        return known[1]
