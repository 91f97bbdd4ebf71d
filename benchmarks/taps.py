"""From a tap to its acknowledgement, commit and sync included, against the least that could have been done."""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.measuring import Figure, Scale, quantile
from benchmarks.rigs import Recorder, Statement, hire, open_door, replay
from daemon.queue.opening import open_file

#: Prepared statements, caches and files are warm after so many.
WARM_UP = 20


async def recorded(folder: Path, count: int) -> list[list[Statement]]:
    """The statements of the first `count` taps on a new database."""
    door = await open_door(folder / "recorded.db")
    recorder = Recorder(door.database)
    door.intake._database = recorder  # type: ignore[assignment]
    for _ in range(count):
        await door.tap()
    await door.database.close()
    return recorder.transactions


async def tap_to_durable(scale: Scale) -> list[Figure]:
    """Tap by tap in turn: the intake, the same SQL in bare sqlite3, and two queues from PyPI."""
    ratios: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        count = WARM_UP + scale.rounds * scale.taps
        transactions = iter(await recorded(folder, count))
        door = await open_door(folder / "punchd.db")
        bare, _ = open_file(folder / "bare.db")
        with closing(bare):
            bare.execute("PRAGMA wal_autocheckpoint = 1000").fetchall()
            bare.execute("BEGIN")
            hire(bare)
            bare.execute("COMMIT")
            contenders: dict[str, Callable[[], Awaitable[float]]] = {
                "ours": door.tap,
                "the same SQL in bare sqlite3": lambda: _at_once(lambda: replay(bare, next(transactions))),
                **{name: _timed(put) for name, put in _others(folder).items()},
            }
            await _in_turn(contenders, WARM_UP)
            for _round in range(scale.rounds):
                spent = await _in_turn(contenders, scale.taps)
                for other in list(contenders)[1:]:
                    for label, share in (("p50", 0.5), ("p99", 0.99)):
                        ratio = quantile(spent["ours"], share) / quantile(spent[other], share)
                        ratios.setdefault(f"tap to durable / {other}, {label}", []).append(ratio)
        await door.database.close()
    aims = iter((1.7, 2.5))
    figures = [
        Figure(name, values, aim=next(aims) if "bare" in name else None, note=f"{scale.taps} pairs a round")
        for name, values in ratios.items()
    ]
    return figures


async def _in_turn(contenders: dict[str, Callable[[], Awaitable[float]]], count: int) -> dict[str, list[float]]:
    """One after another, each time in another order: what disturbs the machine disturbs all alike."""
    spent: dict[str, list[float]] = {name: [] for name in contenders}
    order, chance = list(contenders), random.Random(7)
    for _ in range(count):
        chance.shuffle(order)
        for name in order:
            spent[name].append(await contenders[name]())
    return spent


async def _at_once(work: Callable[[], float]) -> float:
    return work()


def _timed(put: Callable[[dict[str, Any]], object]) -> Callable[[], Awaitable[float]]:
    async def timed() -> float:
        tap = {"reader": "front", "badge": "04AB0001", "wall_s": time.time(), "boottime_s": time.monotonic()}
        began = time.perf_counter()
        put(tap)
        return time.perf_counter() - began

    return timed


def _others(folder: Path) -> dict[str, Callable[[dict[str, Any]], object]]:
    """Other durable queues, each with a sync at every commit; those that are not installed are named and left out."""
    found: dict[str, Callable[[dict[str, Any]], object]] = {}
    try:
        from persistqueue import SQLiteQueue
    except ImportError:
        print("  persist-queue is not installed (pip install 'punchd[bench]'): not compared")
    else:
        queue = SQLiteQueue(str(folder / "persist-queue"))
        queue._putter.execute("PRAGMA synchronous = FULL")
        found["persist-queue's SQLiteQueue"] = queue.put
    try:
        from huey.storage import SqliteStorage
    except ImportError:
        print("  huey is not installed (pip install 'punchd[bench]'): not compared")
    else:
        storage = SqliteStorage(filename=str(folder / "huey.db"), fsync=True)
        found["huey's SqliteStorage(fsync=True)"] = lambda tap: storage.enqueue(json.dumps(tap).encode())
    return found
