"""From a script to its history: the whole week, in virtual time."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from sandbox.connecteam.limits import PLANS
from tests.simulation.virtual import EPOCH, VirtualTimeLoop, run_virtual
from tests.simulation.weeks.acts import Acts, settings_of
from tests.simulation.weeks.box import Box
from tests.simulation.weeks.disk import Disks
from tests.simulation.weeks.history import Asked, Assigned, Begun, Ending, History, Json, KioskEnd, Line, Shift
from tests.simulation.weeks.holding import held_kb
from tests.simulation.weeks.humans import Humans
from tests.simulation.weeks.script import Event, Script
from tests.simulation.weeks.stage import Stage


def run(script: Script) -> History:
    """Live through a week."""
    with _folder() as folder, Disks().installed() as disks:
        before = _resources()
        lines = run_virtual(lambda loop: _live(loop, folder, script, disks))
        ending = lines[-1]
        assert isinstance(ending, Ending)
        after, answers = _resources(), sum(len(line.answer) for line in lines if isinstance(line, Asked))
        # What the history itself holds was not left behind by the daemon: its answers are by far the most of it.
        ending = replace(ending, descriptors=(before[0], after[0]), memory_kb=(before[1], after[1] - answers // 1024))
        return History((*lines[:-1], ending))


@contextmanager
def _folder() -> Iterator[Path]:
    # In memory where the system has room there: disks are simulated above it.
    within = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="punchd-week-", dir=within) as folder:
        yield Path(folder)


def _resources() -> tuple[int, int]:
    """Open file descriptors, and resident memory in KB."""
    with open("/proc/self/status") as status:
        memory = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    return len(os.listdir("/proc/self/fd")), memory


async def _live(loop: VirtualTimeLoop, folder: Path, script: Script, disks: Disks) -> list[Line]:
    await asyncio.sleep(script.begins_at - EPOCH)
    stage = Stage(loop, folder, script, disks)
    boxes = {setting.name: Box(stage, setting) for setting in script.kiosks}
    with stage.logging():
        week = _Week(stage, boxes)
        await week.begin()
        await week.play()
        await week.calm()
        ending = await week.end()
    return [*stage.told(), ending]


class _Week:
    """One week being lived."""

    def __init__(self, stage: Stage, boxes: dict[str, Box]) -> None:
        self._stage, self._boxes, self._script = stage, boxes, stage.script
        self._acts, self._humans = Acts(stage, boxes), Humans(stage)
        self._calm_at = 0.0
        self._held_at_first_kb = 0

    async def begin(self) -> None:
        """Tell how it begins, switch the kiosks on, and tell them of their people."""
        script, stage, plan = self._script, self._stage, PLANS[self._script.plan]
        stage.note(
            Begun(
                at=stage.now, seed=script.seed, people={person.user_id: person.name for person in script.people},
                settings={name: settings_of(box.load()) for name, box in self._boxes.items()},
                plan={"name": plan.name, "per_minute": plan.per_minute, "per_day": plan.per_day},
                behaviour={**script.behaviour, **script.limits}, kinds=script.kinds, timezone=script.timezone,
            )
        )  # fmt: skip
        rows = [f"{one.user_id},{one.name},{one.badge if one.known else ''},\n" for one in script.people]
        for box in self._boxes.values():
            await box.start()
            await box.ask("POST", "/v1/employees/import", "user_id,name,badge,job_id\n" + "".join(rows), csv=True)
            for one in script.people:
                if one.known:
                    stage.note(
                        Assigned(at=stage.now, what="given", badge=one.badge, user_id=one.user_id, kiosk=box.name)
                    )
        self._held_at_first_kb = _held_kb(next(iter(self._boxes.values())))

    async def play(self) -> None:
        """Let everything happen when it shall."""
        for event in self._script.events:
            await self._until(event.at)
            self._stage.begin(self._do(event))
        await self._until(self._script.calm_s)

    def _do(self, event: Event):  # type: ignore[no-untyped-def]
        actor = self._acts if hasattr(self._acts, event.what) else self._humans
        return getattr(actor, event.what)(**event.data)

    async def _until(self, at: float) -> None:
        left = self._script.begins_at + at - self._stage.now
        if left > 0:
            await asyncio.sleep(left)

    async def calm(self) -> None:
        """All trouble ceases; what waits is left to itself."""
        stage, acts, humans = self._stage, self._acts, self._humans
        stage.calm = True
        for key in list(stage.faults):
            await acts.clear(key)
        stage.service.faults.clear()
        for person in self._script.people:
            user = stage.service.company.users[int(person.user_id)]
            if user.archived_at is not None:
                await humans.unarchive(person.user_id)
            if not user.clocks:
                await humans.assign(person.user_id)
            await humans.unlock_days(person.user_id)
        if not stage.service.company.access.keys:
            await acts.key(good=True)
        for name, box in self._boxes.items():
            if box.disk.full:
                await acts.disk(name, full=False)
            await acts.up(name)
            for reader in sorted(box.unplugged):
                await acts.replug(name, reader)
            await acts.synchronise(name)
        while stage.under_way:
            await asyncio.wait(stage.under_way)
        for name, box in self._boxes.items():
            # What happened at the last moment may have left something behind.
            await acts.synchronise(name)
            if box.life is None:
                await box.start()
            if (await box.ask("GET", "/v1/status"))["state"] == "paused":
                await acts.order(name, "resume")
        self._calm_at = stage.now
        await asyncio.sleep(self._script.settling_s)

    async def end(self) -> Ending:
        """See how everything stands, and switch it off."""
        stage = self._stage
        kiosks = []
        for box in self._boxes.values():
            kiosks.append(await _seen(box))
        held_at_last_kb = max(map(_held_kb, self._boxes.values()))
        for box in self._boxes.values():
            await box.stop()
            for wire in box.wires:
                await wire.end()
        plan, folder = PLANS[self._script.plan], str(stage.folder)
        return Ending(
            at=stage.now,
            calm_at=self._calm_at,
            timesheet=tuple(_shift(row) for row in stage.service.timesheet()),
            kiosks=tuple(
                _with_log(kiosk, tuple(line.replace(folder, "…") for line in stage.log.get(kiosk["kiosk"], ())))
                for kiosk in kiosks
            ),
            per_minute=plan.per_minute,
            per_day=plan.per_day,
            held_kb=(self._held_at_first_kb, held_at_last_kb),
        )


def _held_kb(box: Box) -> int:
    assert box.life is not None, "it is on"
    return held_kb(box.life.built)


def _shift(row) -> Shift:  # type: ignore[no-untyped-def]
    return Shift(**{name: getattr(row, name) for name in Shift.__dataclass_fields__})


def _with_log(kiosk: Json, log: tuple[str, ...]) -> KioskEnd:
    raised = [line for line in log if "event=alarm.raised " in line]
    told = tuple((line.split(" code=", 1)[1].split(" ", 1)[0], float(line.split(" ", 1)[0])) for line in raised)
    return KioskEnd(**kiosk, log=log, told=told)


async def _seen(box: Box) -> Json:
    """One kiosk, as its own views show it."""
    assert box.life is not None, "it is on"
    status = await box.ask("GET", "/v1/status")
    punches = []
    for punch in await box.ask("GET", "/v1/punches"):
        shown = await box.ask("GET", f"/v1/punches/{punch['id']}")
        punches.append({**punch, "history": shown["history"]})
    return {
        "kiosk": box.name,
        "lives": box.lives + 1,
        "settings": settings_of(box.load()),
        "status": {key: value for key, value in status.items() if key not in ("database", "config_file")},
        "punches": tuple(punches),
        "unknown": tuple(await box.ask("GET", "/v1/badges/unknown")),
        "alarms": tuple(status["alarms"]),
        "findings": tuple(await box.life.built.kiosk.database.check()),
    }
