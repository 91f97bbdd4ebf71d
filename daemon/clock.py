"""Time on a box whose clock may be wrong: evidence, trust and the best known time of a moment.

A Raspberry Pi without a clock chip boots *behind* by the length of the outage. Every tap therefore stores
(wall, CLOCK_BOOTTIME, boot id, synchronised), and nothing is sent until the clock is trusted (delivery.md, "The
clock gate"): synchronised at least once in this boot, or a verified answer's Date within 10 s of ours. `Timekeeper`
is pure: it is told what was seen and says what it means.
"""

from __future__ import annotations

import ctypes
import enum
import math
import os
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from drivers.reader import Evidence

#: A verified Date this near to ours makes the clock trusted (delivery.md, "The clock gate").
TRUST_WITHIN_S = 10.0
#: A verified Date further off than this is doubt, whatever NTP says (delivery.md, "The clock gate").
DOUBT_BEYOND_S = 30.0
#: Wall and boot clock are read microseconds apart and slewed alike: only a step makes them differ by more.
STEP_S = 0.05
#: A smaller step changes nothing that anybody waits for.
MOVED_S = 1.0
#: The kernel's maxerror reaches this when nothing disciplines the clock (facts 4.5; timedated uses the same line).
UNSYNCHRONISED_US = 16_000_000


class Clock(Protocol):
    """The machine's clocks."""

    def now(self) -> Evidence:
        """What the machine knows of the time now."""


class _Timex(ctypes.Structure):
    """struct timex of <sys/timex.h>; a Structure, because offsets differ on 32-bit Pi OS (facts 4.5)."""

    _fields_ = [
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("_rest", ctypes.c_char * 256),
    ]


class SystemClock:
    """The real clocks of this machine."""

    def __init__(
        self,
        boot_id_file: Path = Path("/proc/sys/kernel/random/boot_id"),
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._boot_id = _boot_id(boot_id_file, environment)
        self._adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex

    def now(self) -> Evidence:
        """Read wall, boot clock and the kernel's own view of synchronisation, in that order, within microseconds."""
        wall = time.time()
        boot = time.clock_gettime(time.CLOCK_BOOTTIME)
        timex = _Timex()
        answer = self._adjtimex(ctypes.byref(timex))
        # systemd's NTPSynchronized looks at maxerror alone and ignores STA_UNSYNC (facts 4.5); so do we.
        return Evidence(wall, boot, self._boot_id, answer >= 0 and timex.maxerror < UNSYNCHRONISED_US)


def _boot_id(file: Path, environment: Mapping[str, str]) -> str:
    """The boot's id as the kernel writes it; where the unit closes /proc/sys, as systemd gives it (its `%b`).

    One boot has one form of it: a tap's time is judged by comparing. Raises OSError where neither is there, and
    ValueError for what is no id.
    """
    try:
        return file.read_text().strip()
    except OSError:
        given = environment.get("PUNCHD_BOOT_ID")
        if not given:
            raise
        return str(uuid.UUID(given))


class TrustSource(enum.StrEnum):
    """What made a boot's clock trusted."""

    KERNEL = "kernel"  # NTP, by the kernel's own word
    SERVER = "server"  # a verified answer's Date


@dataclass(frozen=True, slots=True)
class Trust:
    """One boot's clock is known: true time is `boottime_s + offset_s`, within `error_s`. Stored with the boot."""

    boot_id: str
    offset_s: float
    error_s: float
    source: TrustSource
    since: float


@dataclass(frozen=True, slots=True)
class Doubt:
    """A verified Date disagrees with our clock by `off_s` (theirs minus ours, seconds)."""

    off_s: float
    since: float


@dataclass(frozen=True, slots=True)
class BestTime:
    """The best known Unix time of a moment. `known` is False while no trust covers its boot."""

    at: float
    error_s: float | None
    known: bool


class Timekeeper:
    """Decides what the clocks' evidence is worth. Not thread-safe; one instance a process.

    `on_change` is called (no arguments) after trust is gained, regained, moved or doubted.
    """

    def __init__(
        self,
        clock: Clock,
        trusts: Iterable[Trust] = (),
        on_change: Callable[[], None] = lambda: None,
        *,
        doubt: Doubt | None = None,
    ) -> None:
        self._clock = clock
        self._trusts = {t.boot_id: t for t in trusts}
        self.on_change = on_change
        #: What disputes this boot's clock; one that was told before a restart is only ended by a better Date.
        self.doubt = doubt
        #: How far the server's clock is ahead of our best time, seconds, as far as it is believed; 0 until a Date was.
        self.server_ahead_s = 0.0
        #: The same by the last verified Date, believed or not: what it says to wait for, it says by that clock.
        self.apart_s = 0.0
        #: How far our best time has been set ahead since the process began (negative: back), seconds: whatever is
        #: waited for until some time has that much less left of it.
        self.stepped_s = 0.0
        #: When that last happened, by the clock as it is since; None where it did not.
        self.set_at: float | None = None
        self._offset: tuple[str, float] | None = None

    # --- what is known now

    def evidence(self) -> Evidence:
        """Read the clocks, and notice synchronisation on the way."""
        return self._look()[0]

    def now(self) -> float:
        """The best known time now, Unix seconds."""
        return self._look()[1]

    def _look(self) -> tuple[Evidence, float]:
        """What the clocks show and the best time of that, with a step since the last look written down."""
        seen = self._clock.now()
        self.observe(seen)
        ours = self.best(seen).at
        offset, before = ours - seen.boottime_s, self._offset
        self._offset = (seen.boot_id, offset)
        if before is not None and before[0] == seen.boot_id and abs(offset - before[1]) >= MOVED_S:
            self.stepped_s += offset - before[1]
            self.apart_s -= offset - before[1]
            self.set_at = ours
        return seen, ours

    def server_now(self) -> float:
        """The service's time now, as far as it is known."""
        return self.now() + self.server_ahead_s

    @property
    def trust(self) -> Trust | None:
        """The trust that covers this boot, None while there is none."""
        return self._trusts.get(self._clock.now().boot_id)

    @property
    def trusted(self) -> bool:
        """Whether anything may be sent: this boot is trusted and nothing disputes it."""
        return self.trusts(self.evidence())

    def trusts(self, seen: Evidence) -> bool:
        """Whether anything may be sent, as far as is known at the moment of `seen`, which was observed."""
        return self.doubt is None and seen.boot_id in self._trusts

    def best(self, seen: Evidence) -> BestTime:
        """The best known time of the moment of `seen`, of this boot or an earlier one.

        A synchronised wall clock is right; otherwise the boot clock plus the trusted offset is, because it cannot
        step. Where the two agree the wall clock's own digits are kept, so that no second changes by rounding.
        """
        trust = self._trusts.get(seen.boot_id)
        if trust is None:
            return BestTime(seen.wall_s, None, known=False)
        return BestTime(seen.wall_s if seen.synchronised else _unstepped(seen, trust), trust.error_s, known=True)

    def by_boot(self, seen: Evidence, now: Evidence) -> float | None:
        """When a moment of this boot was by the clock that cannot step, as of `now`, which was observed.

        None for a moment of another boot, or while nothing may be sent.
        """
        if now.boot_id != seen.boot_id or not self.trusts(now):
            return None
        return _unstepped(seen, self._trusts[seen.boot_id])

    # --- what is learnt

    def observe(self, seen: Evidence) -> None:
        """Notice that the kernel holds the clock for synchronised (or that it stepped while it does)."""
        if not seen.synchronised:
            return
        offset = seen.wall_s - seen.boottime_s
        trust = self._trusts.get(seen.boot_id)
        if trust is not None and trust.source is TrustSource.KERNEL and abs(offset - trust.offset_s) <= STEP_S:
            return
        self._settle(Trust(seen.boot_id, offset, 0.5, TrustSource.KERNEL, seen.wall_s))

    def note_server_date(self, date: float, sent: Evidence, received: Evidence) -> None:
        """Hold a verified answer's Date against our clock.

        `date` has whole seconds, so the answer was made in [date, date+1), between `sent` and `received`. Trust needs
        the whole interval of possible differences inside 10 s, doubt needs all of it beyond 30 s: a slow answer
        proves nothing.
        """
        if sent.boot_id != received.boot_id:
            return
        ours = self.best(received).at
        nearest, error_s = _apart(date, self.best(sent).at, ours)
        # A Date is told without its fraction: waited by the earliest moment that it can mean, nothing comes too early.
        # Only NTP tells that a clock which agrees with it to the second is not ahead by a part of one.
        self.apart_s = 0.0 if nearest == 0 and received.synchronised else min(nearest, date - ours)
        if error_s <= TRUST_WITHIN_S + 1:
            self.server_ahead_s = nearest
            if self._trusts.get(received.boot_id) is None or self.doubt is not None:
                self._vouched_for(ours, error_s, received)
            return
        by_wall = _apart(date, sent.wall_s, received.wall_s)
        if self.doubt is not None and by_wall[1] <= TRUST_WITHIN_S + 1:
            # What is disputed was reckoned from before: the clock has been set right since, and no NTP says so.
            self.server_ahead_s = by_wall[0]
            self._vouched_for(received.wall_s, by_wall[1], received)
        elif abs(nearest) > DOUBT_BEYOND_S and (self.doubt is None or abs(self.doubt.off_s - nearest) > 1):
            self.doubt = Doubt(nearest, received.wall_s)
            self.on_change()

    def _vouched_for(self, at: float, error_s: float, seen: Evidence) -> None:
        """A Date agrees that it was `at` when this was seen; the wall clock may have said otherwise."""
        self._settle(Trust(seen.boot_id, at - seen.boottime_s, error_s, TrustSource.SERVER, at))

    def _settle(self, trust: Trust) -> None:
        self._trusts[trust.boot_id] = trust
        if trust.source is TrustSource.SERVER:
            self.doubt = None
        self.on_change()

    def forget_doubt(self) -> None:
        """Drop a doubt after the clock was set; the next verified Date decides again."""
        self.doubt = None
        self.on_change()


def _unstepped(seen: Evidence, trust: Trust) -> float:
    """The time of a moment by the clock that cannot step, in the wall clock's own digits where the two agree."""
    by_boot = seen.boottime_s + trust.offset_s
    return seen.wall_s if abs(by_boot - seen.wall_s) <= STEP_S else by_boot


def _apart(date: float, sent_at: float, received_at: float) -> tuple[float, float]:
    """How far a Date is ahead of a clock by which it was asked for and came, at the least and at the most, seconds."""
    low, high = date - received_at, date + 1 - sent_at
    return 0.0 if low <= 0 <= high else min(low, high, key=abs), max(abs(low), abs(high))


def floored(at: float) -> int:
    """The whole second an instant lies in."""
    return math.floor(at)


def moved(seen: Evidence, seconds: float) -> Evidence:
    """The same moment's evidence `seconds` later (negative: earlier) on both clocks."""
    return replace(seen, wall_s=seen.wall_s + seconds, boottime_s=seen.boottime_s + seconds)
