"""What must not depend on how much is stored: a tap, the planner's next step, a status, a start."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks.measuring import Figure, Scale
from benchmarks.rigs import Door, open_door, over_socket
from daemon.delivery import storage
from daemon.delivery.planner import plan_lane
from daemon.delivery.policy import Moment, Policy
from tests.support.many_punches import fill
from tests.support.punchd_process import Kiosk

AIM = 1.2
#: Every person taps once and then some, so that each size has met the same caches.
WARM_UP = 60


async def cost_of_size(scale: Scale) -> list[Figure]:
    """The four costs at each size over those of an empty database, in turn."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as name:
        kiosks = {}
        for count in scale.stored:
            (folder := Path(name) / f"{count}").mkdir()
            kiosk = kiosks[count] = Kiosk(folder)
            kiosk.state.mkdir(mode=0o700)
            if count:
                await asyncio.to_thread(fill, kiosk.state / "punchd.db", count)
        figures += _starts(kiosks, scale)
        figures += _statuses(kiosks, scale)
        figures += await _taps_and_steps(kiosks, scale)
    return figures


def _figures(what: str, samples: dict[int, list[list[float]]]) -> Iterator[Figure]:
    """Round by round, the median at each size over that of the smallest."""
    base, *others = samples
    for count in others:
        ratios = [_middle(mine) / _middle(theirs) for mine, theirs in zip(samples[count], samples[base], strict=True)]
        yield Figure(f"{what}, {count:,} stored / none stored", ratios, aim=AIM)


def _middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def _starts(kiosks: dict[int, Kiosk], scale: Scale) -> Iterator[Figure]:
    samples: dict[int, list[list[float]]] = {count: [] for count in kiosks}
    for number in range(scale.starts + 1):
        for count, kiosk in kiosks.items():
            began = time.perf_counter()
            with kiosk.running() as process:
                process.heard("READY=1")
                spent = time.perf_counter() - began
                process.stopped()
            if number:  # the first start of a new database makes it
                samples[count].append([spent])
    return _figures("start to READY=1", samples)


def _statuses(kiosks: dict[int, Kiosk], scale: Scale) -> Iterator[Figure]:
    samples: dict[int, list[list[float]]] = {count: [] for count in kiosks}
    with ExitStack() as stack:
        clients = {}
        for count, kiosk in kiosks.items():
            stack.enter_context(kiosk.running()).heard("READY=1")
            clients[count] = stack.enter_context(over_socket(kiosk.runtime / "status.sock"))
        for number in range(scale.rounds + 1):
            these: dict[int, list[float]] = {count: [] for count in kiosks}
            for _ in range(scale.taps):
                for count, client in clients.items():
                    began = time.perf_counter()
                    client.get("/v1/status").raise_for_status()
                    these[count].append(time.perf_counter() - began)
            if number:  # the first round warms up
                for count, spent in these.items():
                    samples[count].append(spent)
    return _figures("GET /v1/status", samples)


async def _taps_and_steps(kiosks: dict[int, Kiosk], scale: Scale) -> list[Figure]:
    doors = {count: await open_door(kiosk.state / "punchd.db") for count, kiosk in kiosks.items()}
    taps: dict[int, list[list[float]]] = {count: [] for count in kiosks}
    steps: dict[int, list[list[float]]] = {count: [] for count in kiosks}
    for number in range(scale.rounds + 1):
        tapped: dict[int, list[float]] = {count: [] for count in kiosks}
        stepped: dict[int, list[float]] = {count: [] for count in kiosks}
        for _ in range(scale.taps if number else WARM_UP):
            for count, door in doors.items():
                tapped[count].append(await door.tap())
                stepped[count].append(await _step(door))
        if number:
            for count in kiosks:
                taps[count].append(tapped[count])
                steps[count].append(stepped[count])
    for door in doors.values():
        await door.database.close()
    return [*_figures("tap to durable", taps), *_figures("planner's next step", steps)]


async def _step(door: Door) -> float:
    """Load one person's lane and plan it; how long that took (seconds)."""
    now = door.timekeeper.now()
    began = time.perf_counter()
    lane = (await door.database.read(partial(storage.load, user_id="0"))).punches
    plan = plan_lane(lane, None, Moment(now, now, True), Policy())
    spent = time.perf_counter() - began
    assert plan.verdicts or plan.request is not None or plan.wake_at is not None, "there is something to plan"
    return spent
