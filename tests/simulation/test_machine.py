"""The whole kiosk against whatever Hypothesis thinks of: taps, lost answers, crashes, wrong clocks and human edits.

In the end everything is mended and time passes; then the timesheet must say what was tapped, and of the requests none
may have overlapped another, left the window, overtaken an earlier one or gone before that was settled. A short run is
part of every test run; `PUNCHD_MACHINE=long` searches for as long as one is willing to wait.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from daemon.model import Direction, Punch, PunchState
from daemon.queue.deliveries import history
from daemon.reasons import REASONS
from sandbox.connecteam.behaviour import Behaviour, SecondClockIn
from sandbox.faults import Kind
from tests.simulation import carried
from tests.simulation.virtual import VirtualTimeLoop
from tests.support.town import NAMES, Kiosk, Town, badge_of

HOUR = 3600
READERS = {"front": "toggle", "in": "clock_in", "out": "clock_out"}
#: What may come back instead of an answer.
TROUBLE = (Kind.DROP, Kind.HANG, Kind.STATUS, Kind.THROTTLE, Kind.THROTTLE_200, Kind.PORTAL, Kind.EMPTY, Kind.TORN)
#: The toggle more often than the others.
DOORS = ("front", "front", "front", "in", "out")
#: Between two taps: a repeat, a correction, while the last request is still out, a break, half a shift, a night.
GAPS_S = (1, 3, 15, 40, 70, 600, 1800, HOUR, 2 * HOUR, 4 * HOUR, 9 * HOUR)
PEOPLE = st.sampled_from(NAMES)
Tapping = tuple[str, str, int]  # person, reader, seconds until the next
TAPS = st.lists(st.tuples(PEOPLE, st.sampled_from(DOORS), st.sampled_from(GAPS_S)), min_size=4, max_size=16)


@dataclass(frozen=True)
class Note:
    """One line of the tapper's notebook. `shown` None: the light went out; `boot` and `uptime` name the tap."""

    person: str
    second: int
    shown: str | None
    boot: str
    uptime: int


class Machine(RuleBasedStateMachine):
    """One kiosk, three people, one service; every rule leaves time a little later."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(prefix="punchd-machine-")
        self._runner = asyncio.Runner(loop_factory=VirtualTimeLoop)
        loop = self._runner.get_loop()
        assert isinstance(loop, VirtualTimeLoop)
        self.town = Town(loop, Path(self._folder.name))
        self.notebook: list[Note] = []
        self.by_humans: set[tuple[str, int]] = set()
        self.kiosk: Kiosk = self._run(self.town.kiosk(readers=READERS))

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(work)

    async def _settle(self, seconds: float) -> None:
        """Let time pass, to the middle of a second."""
        now = self.town.now
        await asyncio.sleep(int(now + seconds) + 0.5 - now)

    @initialize(
        second_shift=st.booleans(),
        visible_after_s=st.sampled_from([0.0, 4.0]),
        list_in_utc=st.booleans(),
        chance=st.integers(0, 10_000),
        first=TAPS,
    )
    def choose(
        self, second_shift: bool, visible_after_s: float, list_in_utc: bool, chance: int, first: list[Tapping]
    ) -> None:
        """What nobody has documented; and a third of the answers to whatever is written are lost."""
        for kind, share in ((Kind.DROP, 0.15), (Kind.STATUS, 0.1), (Kind.PORTAL, 0.07), (Kind.HANG, 0.07)):
            self.town.sandbox.faults.set(kind=kind, method="POST", processed=True, probability=share)
        self.town.sandbox.company.behaviour = Behaviour(
            second_clock_in=SecondClockIn.SECOND_SHIFT if second_shift else SecondClockIn.REFUSED,
            visible_after_s=visible_after_s,
            list_in_utc=list_in_utc,
        )
        self.town.sandbox.faults.chance.seed(chance)
        self._run(self._taps(first))

    # --- people

    @rule(taps=TAPS)
    def taps(self, taps: list[Tapping]) -> None:
        """People tap, with time between them."""
        self._run(self._taps(taps))

    async def _taps(self, taps: list[Tapping]) -> None:
        for person, reader, gap_s in taps:
            await self._tap(person, reader, None)
            await self._settle(gap_s)

    @rule(person=PEOPLE, rounds=st.integers(0, 60))
    def tap_and_crash(self, person: str, rounds: int) -> None:
        """Somebody taps, and so many steps of the program later the power goes."""
        self._run(self._tap(person, "front", rounds))

    async def _tap(self, person: str, reader: str, rounds: int | None) -> None:
        await self._settle(1)
        second, seen = int(self.town.now), self.kiosk.clock.now()
        tapping = asyncio.create_task(self.kiosk.tap(person, reader=reader))
        if rounds is not None:
            for _ in range(rounds):
                await asyncio.sleep(0)
            shown = tapping.result() if tapping.done() else None
            await self._restart()
            tapping.cancel()
            await asyncio.wait([tapping])
        else:
            shown = await tapping
        self.notebook.append(Note(person, second, shown, seen.boot_id, int(seen.boottime_s)))

    @rule(seconds=st.sampled_from([2, 20, 70, 600, HOUR, 4 * HOUR, 8 * HOUR, 13 * HOUR]))
    def wait(self, seconds: int) -> None:
        """Time passes."""
        self._run(self._settle(seconds))

    # --- trouble

    @rule(
        kind=st.sampled_from(TROUBLE),
        processed=st.booleans(),
        count=st.integers(1, 3),
        method=st.sampled_from(["POST", None]),
    )
    def trouble(self, kind: Kind, processed: bool, count: int, method: str | None) -> None:
        """The next few requests do not come back as they should, processed or not."""
        done = processed and kind not in (Kind.THROTTLE, Kind.THROTTLE_200)
        self.town.sandbox.faults.set(kind=kind, processed=done, count=count, method=method)

    @rule(up=st.booleans())
    def network(self, up: bool) -> None:
        """The network goes or comes."""
        if up:
            self.kiosk.online()
        else:
            self.kiosk.offline()

    @rule(rounds=st.integers(0, 60), after_s=st.sampled_from([0.0, 0.2, 2.1, 2.3, 6.0]))
    def crash(self, rounds: int, after_s: float) -> None:
        """The power goes, at any step of the program."""
        self._run(self._crash(rounds, after_s))

    async def _crash(self, rounds: int, after_s: float) -> None:
        await asyncio.sleep(after_s)
        for _ in range(rounds):
            await asyncio.sleep(0)
        await self._restart()

    async def _restart(self) -> None:
        await self.kiosk.crash()
        await self.kiosk.start()

    @rule(behind_s=st.sampled_from([0, 300, 5 * HOUR]))
    def reboot(self, behind_s: int) -> None:
        """The box starts anew without a clock chip."""
        self._run(self._reboot(behind_s))

    async def _reboot(self, behind_s: int) -> None:
        await self.kiosk.crash()
        self.kiosk.clock.reboot(behind_s=behind_s)
        await asyncio.sleep(5)
        await self.kiosk.start()

    @rule()
    def synchronise(self) -> None:
        """NTP answers."""
        self.kiosk.clock.synchronise()

    # --- humans in the service

    @rule(person=PEOPLE)
    def phone(self, person: str) -> None:
        """Somebody clocks in or out by phone."""
        self._run(self._phone(person))

    async def _phone(self, person: str) -> None:
        await self._settle(1)
        user_id, second = self.town.ids[person], int(self.town.now)
        try:
            self.town.manager.phone_clock_out(user_id)
        except KeyError:
            self.town.manager.phone_clock_in(user_id)
        self.by_humans.add((person, second))
        await self._settle(1)

    @rule(person=PEOPLE, hours_ago=st.integers(1, 30), hours=st.integers(1, 9))
    def type_in(self, person: str, hours_ago: int, hours: int) -> None:
        """A manager enters a shift of the past where there is none."""
        start = int(self.town.now) - hours_ago * HOUR - 7
        end = min(start + hours * HOUR, int(self.town.now) - 1)
        user_id = self.town.ids[person]
        rows = self.town.sandbox.timesheet(user_id)
        if not any(row.start < end and (row.end is None or row.end > start) for row in rows):
            self.town.manager.add_shift(user_id, start, end)

    @rule(person=PEOPLE, on=st.booleans())
    def assignment(self, person: str, on: bool) -> None:
        """Somebody is taken off the time clock, or put back on it."""
        change = self.town.manager.assign if on else self.town.manager.unassign
        change(self.town.ids[person])

    # --- in the end

    def teardown(self) -> None:
        """Mend everything, let two days pass, and hold the notebook against the store."""
        try:
            self._run(self._end())
        finally:
            self._runner.close()
            self._folder.cleanup()

    async def _end(self) -> None:
        town, kiosk = self.town, self.kiosk
        town.sandbox.faults.clear()
        for user_id in town.ids.values():
            town.manager.assign(user_id)
        kiosk.clock.synchronise()
        kiosk.online()
        await asyncio.sleep(40 * HOUR)
        await kiosk.delivery.sync_now()
        await asyncio.sleep(8 * HOUR)
        punches = {(p.boot_id, int(p.boottime_s), p.badge): p for p in await kiosk.punches()}
        waited = await kiosk.built.kiosk.database.read(lambda conn: _waited(conn, list(punches.values())))
        faults = [*self._faults(punches), *carried.faults(kiosk.witness.carried, waited)]
        story = "\n".join([*map(str, self.notebook), *town.sheet(), *await kiosk.stuck()])
        await kiosk.stop()
        assert not faults, "\n".join([*faults, "", story])

    def _faults(self, punches: dict[tuple[str, int, str | None], Punch]) -> list[str]:
        """Every promise that was broken."""
        starts: Counter[tuple[str, int, str]] = Counter()
        entered: set[tuple[str, int, str]] = set()
        people = {user_id: person for person, user_id in self.town.ids.items()}
        for row in self.town.sandbox.timesheet():
            for second, source, way in ((row.start, row.source, "clock_in"), (row.end, row.end_source, "clock_out")):
                if second is None:
                    continue
                starts[people[row.user_id], second, way] += 1
                if source != "api":
                    entered.add((people[row.user_id], second, way))
        faults, tapped = [], set(entered)
        for note in self.notebook:
            punch = punches.get((note.boot, note.uptime, badge_of(self.town.ids[note.person])))
            if note.shown in ("repeat", None) and punch is None:
                continue
            if punch is None:
                faults.append(f"lost: {note}")
                continue
            if punch.direction is None:
                continue
            tapped.add((note.person, note.second, punch.direction.value))
            faults += _fault(note, punch, starts[note.person, note.second, punch.direction.value])
        return [*faults, *(f"nobody tapped {point}" for point in starts if point not in tapped)]


def _waited(conn: sqlite3.Connection, punches: Sequence[Punch]) -> set[tuple[str, int]]:
    """Punches that waited for a person, or for another punch, once: those lost their place in the order."""
    return {
        (punch.user_id, punch.second)
        for punch in punches
        if any(line["action"] in ("punch.review", "punch.held") for line in history(conn, punch.id).journal)
    }


def _fault(note: Note, punch: Punch, effects: int) -> list[str]:
    """What is wrong with one punch, given how often the timesheet shows it."""
    where = f"{note}: {punch.direction} {punch.state} {punch.reason}, {effects} effects"
    if note.shown in ("clocked_in", "clocked_out"):
        told = Direction.CLOCK_IN if note.shown == "clocked_in" else Direction.CLOCK_OUT
        if punch.direction is not told:
            return [f"told otherwise: {where}"]
    match punch.state:
        case PunchState.DELIVERED:
            return [] if effects == 1 else [f"delivered, but: {where}"]
        case PunchState.REVIEW if punch.reason == "closed_another_shift":  # at its second, as a person is told
            return [] if effects == 1 else [f"closed nothing: {where}"]
        case PunchState.REVIEW | PunchState.HELD:
            return [] if effects == 0 and punch.reason in REASONS else [f"waits, but: {where}"]
        case PunchState.DISCARDED:
            return [] if punch.reason == "repeat_of_earlier" else [f"discarded by nobody: {where}"]
        case _:
            return [f"never came to rest: {where}"]


LONG = os.environ.get("PUNCHD_MACHINE") == "long"
TestMachine = Machine.TestCase
#: Two minutes of work, which a busy machine takes several times as long for; a long run may take what it takes.
TestMachine.pytestmark = [pytest.mark.timeout(0 if LONG else 1200)]
TestMachine.settings = settings(
    max_examples=500 if LONG else 30,
    stateful_step_count=40 if LONG else 12,
    deadline=None,
    # A history is told whole at once; to search for a shorter one takes minutes, and is for the long run.
    phases=list(Phase) if LONG else [Phase.explicit, Phase.generate],
    derandomize=not LONG,
    suppress_health_check=list(HealthCheck),
)
