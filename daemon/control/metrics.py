"""`/metrics`: the kiosk in numbers. No secrets, no badges, nobody's name; and nothing that costs a search.

What is counted begins anew with each start of the service (`punchd_start_time_seconds` tells when).
"""

from __future__ import annotations

import os
import platform
from collections.abc import AsyncIterator, Mapping
from typing import Any

from daemon.control.call import Answer, Call, Text
from daemon.control.kiosk import Kiosk
from daemon.control.openmetrics import CONTENT_TYPE, Family, Labels, exposition
from daemon.queue import deliveries

_DELIVERY_STATES = ("online", "offline", "halted", "paused")
_READER_STATES = ("open", "opening", "lost")


async def api_metrics(call: Call) -> Answer:
    """All numbers, as OpenMetrics text."""
    call.filters()
    return Text(_once(await metrics(call.kiosk)), CONTENT_TYPE)


async def _once(piece: bytes) -> AsyncIterator[bytes]:
    yield piece


async def metrics(kiosk: Kiosk) -> bytes:
    """The exposition of this moment. Raises sqlite3.Error where the database cannot be read."""
    counts = await kiosk.database.read(deliveries.counts)
    return exposition(
        [*_build(kiosk), *_queue(kiosk, counts), *_counted(kiosk), *_delivery(kiosk), *_clock(kiosk), *_machine(kiosk)]
    )


def _build(kiosk: Kiosk) -> list[Family]:
    build: Labels = (("version", kiosk.version), ("python", platform.python_version()))
    started = kiosk.timekeeper.best(kiosk.started).at
    return [
        Family("punchd_build", "info", "What runs here.", [(build, 1)]),
        _one("punchd_start_time_seconds", "When the service started, Unix time.", started, "seconds"),
    ]


def _queue(kiosk: Kiosk, counts: deliveries.Counts) -> list[Family]:
    oldest = counts.oldest_pending_at
    by_state = [((("state", name),), getattr(counts, name)) for name in ("pending", "held", "in_flight", "review")]
    return [
        Family("punchd_queue_punches", "gauge", "Punches that are neither delivered nor discarded.", by_state),
        _one(
            "punchd_queue_oldest_pending_age_seconds",
            "How long ago the oldest pending punch was tapped; 0 when none is pending.",
            0 if oldest is None else max(0.0, kiosk.timekeeper.now() - oldest),
            "seconds",
        ),
    ]


def _counted(kiosk: Kiosk) -> list[Family]:
    tallies = kiosk.tallies
    return [
        Family("punchd_taps", "counter", "Taps by what became of them; accepted ones are punches.",
               _pairs(tallies.taps, "result", "reason")),
        Family("punchd_punch_moves", "counter", "Punches that came into a state: delivered, review (why), held (why).",
               _pairs(tallies.moves, "state", "reason")),
        Family("punchd_requests", "counter", "Requests to the service by what they asked and what came of them.",
               _pairs(tallies.requests, "step", "outcome")),
        _one("punchd_event_loop_lag_seconds", "The longest a task was kept waiting in the last minute.",
             tallies.lag_s, "seconds"),
    ]  # fmt: skip


def _delivery(kiosk: Kiosk) -> list[Family]:
    status = kiosk.delivery.status()
    now = kiosk.timekeeper.now()
    return [
        _states("punchd_delivery_state", "1 for the state delivery is in.", _DELIVERY_STATES, str(status.state)),
        *_budget(status.budget or {}),
        _maybe("punchd_snapshot_age_seconds", "How old what was last read of the timesheet is.",
               None if status.snapshot_at is None else now - status.snapshot_at, "seconds"),
        _maybe("punchd_last_delivery_time_seconds", "When a punch was last delivered, Unix time.",
               status.last_delivery_at, "seconds"),
    ]  # fmt: skip


def _budget(budget: Mapping[str, Any]) -> list[Family]:
    """What the service's headers said; nothing of what they did not say."""
    found = []
    for word, text in (("remaining", "Requests left"), ("limit", "Requests allowed")):
        told = [
            ((("window", window),), budget[f"{window}_{word}"])
            for window in ("minute", "day")
            if budget.get(f"{window}_{word}") is not None
        ]
        found.append(Family(f"punchd_budget_{word}", "gauge", f"{text} in this minute and this day.", told))
    return found


def _clock(kiosk: Kiosk) -> list[Family]:
    keeper = kiosk.timekeeper
    trusted, trust, doubt = keeper.trusted, keeper.trust, keeper.doubt
    return [
        _one("punchd_clock_trusted", "1 while punches may be sent by this clock.", trusted),
        _maybe("punchd_clock_error_seconds", "Within what the clock is known to be right.",
               None if trust is None else trust.error_s, "seconds"),
        _maybe("punchd_clock_doubt_seconds", "How far off the service says the clock is, while that is in doubt.",
               None if doubt is None else doubt.off_s, "seconds"),
    ]  # fmt: skip


def _machine(kiosk: Kiosk) -> list[Family]:
    readers = list(kiosk.readers.status())
    names: list[Labels] = [(("reader", reader.name), ("driver", reader.driver)) for reader in readers]
    states = [
        ((*labels, ("state", state)), float(str(reader.state) == state))
        for labels, reader in zip(names, readers, strict=True)
        for state in _READER_STATES
    ]
    alarms = [((("code", alarm.code),), alarm.since) for alarm in kiosk.alarms.standing()]
    return [
        Family("punchd_reader_state", "gauge", "1 for the state each reader is in.", states),
        Family("punchd_reader_taps", "counter", "Taps each reader gave.",
               list(zip(names, (reader.taps for reader in readers), strict=True))),
        Family("punchd_reader_errors", "counter", "Faults of each reader.",
               list(zip(names, (reader.errors for reader in readers), strict=True))),
        _one("punchd_alarms", "Alarms that stand.", len(alarms)),
        Family("punchd_alarm_since_seconds", "gauge", "Since when each alarm stands, Unix time.", alarms, "seconds"),
        *_disk(kiosk),
    ]  # fmt: skip


def _disk(kiosk: Kiosk) -> list[Family]:
    path = kiosk.database.path
    sizes: list[tuple[Labels, float]] = []
    for word, name in (("main", path.name), ("wal", f"{path.name}-wal")):
        try:
            sizes.append(((("file", word),), path.with_name(name).stat().st_size))
        except OSError:
            continue  # the log is gone while nobody writes, and a dying disk must not hide the other numbers
    try:
        disk = os.statvfs(path.parent)
        free: float | None = disk.f_bavail * disk.f_frsize
    except OSError:
        free = None
    return [
        Family("punchd_database_size_bytes", "gauge", "The database and its log.", sizes, "bytes"),
        _maybe("punchd_disk_free_bytes", "What is left on the disk of the database.", free, "bytes"),
    ]


def _pairs(counter: Mapping[tuple[str, str], int], first: str, second: str) -> list[tuple[Labels, float]]:
    return [(((first, key[0]), (second, key[1])), value) for key, value in sorted(counter.items())]


def _states(name: str, text: str, known: tuple[str, ...], state: str) -> Family:
    return Family(name, "gauge", text, [((("state", word),), float(word == state)) for word in known])


def _one(name: str, text: str, value: float, unit: str = "") -> Family:
    return Family(name, "gauge", text, [((), value)], unit)


def _maybe(name: str, text: str, value: float | None, unit: str = "") -> Family:
    return Family(name, "gauge", text, [] if value is None else [((), value)], unit)
