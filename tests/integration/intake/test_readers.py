"""Readers at their posts: commit before feedback, nothing dropped, no fault of one stops the others."""

from __future__ import annotations

import asyncio
import inspect
import random
import sqlite3
from collections.abc import Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from daemon.errors import InvalidInputError, NotFoundError, RefusedError
from daemon.intake.post import Limits, ReaderState
from daemon.intake.readers import Readers
from daemon.model import TapResult
from daemon.supervisor import FatalError
from drivers.reader import Feedback, ReaderLost, ReaderUnavailable
from drivers.simulated import SimulatedReader
from tests.simulation.virtual import run_virtual
from tests.support.intake_kit import ANN, BOB, READERS, open_kit


def in_virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test of (kit, fixtures …) on a loop whose timers take no time: all waits are as long as in production.

    The kit's database is inline, because virtual time knows no threads.
    """
    _, *others = inspect.signature(test).parameters.values()

    def run(tmp_path, **fixtures) -> None:
        async def main(loop) -> None:
            async with open_kit(tmp_path / "punchd.db", inline=True) as kit:
                await test(kit, **fixtures)

        run_virtual(main)

    own = inspect.Parameter("tmp_path", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    run.__signature__ = inspect.Signature([own, *others])  # type: ignore[attr-defined]
    run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
    return run


class Watched(SimulatedReader):
    """A simulated reader that tells when something is shown, and may be broken."""

    def __init__(self, name: str, evidence) -> None:
        super().__init__(name, evidence)
        self.changed = asyncio.Condition()
        self.breaks: Exception | None = None
        self.hangs = False
        self.on_show = lambda tap, feedback: None
        self.opened = 0

    async def open(self) -> None:
        self.opened += 1
        await super().open()

    async def feedback(self, tap, feedback) -> None:
        if self.hangs:
            await asyncio.get_running_loop().create_future()
        if self.breaks is not None:
            raise self.breaks
        self.on_show(tap, feedback)
        await super().feedback(tap, feedback)
        async with self.changed:
            self.changed.notify_all()

    async def until_shown(self, count: int) -> list[Feedback]:
        async with self.changed:
            await self.changed.wait_for(lambda: len(self.shown) >= count)
        return [feedback for _, feedback in self.shown]


@dataclass
class Hall:
    """The readers of the kit, running."""

    kit: object
    limits: Limits = field(default_factory=Limits)
    intake: object = None

    def __post_init__(self) -> None:
        self.made = {config.name: Watched(config.name, self.kit.clock.now) for config in READERS}
        self.readers = Readers(
            READERS,
            self.intake or self.kit.intake,
            make_reader=lambda config: self.made[config.name],
            alarms=self.kit.alarms,
            events=self.kit.events,
            now=lambda: self.kit.clock.wall,
            rng=random.Random(1),
            limits=self.limits,
        )
        self.front = self.made["front"]

    def state(self, name: str = "front") -> ReaderState:
        return next(status.state for status in self.readers.status() if status.name == name)

    async def until(self, condition) -> None:
        """Let (virtual) time pass until something is so."""
        async with asyncio.timeout(3600):
            while not condition():  # noqa: ASYNC110 - what is awaited has no event of its own
                await asyncio.sleep(0.01)

    async def tap(self, badge: str = ANN, reader: str = "front", at: float | None = None):
        return await self.readers.tap(reader, badge, at)

    @asynccontextmanager
    async def running(self):
        task = asyncio.create_task(self.readers.run())
        try:
            await self.until(lambda: task.done() or all(self.state(name) is ReaderState.OPEN for name in self.made))
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


class Gate:
    """An intake whose commits wait to be let through."""

    def __init__(self, intake) -> None:
        self.intake = intake
        self.open = asyncio.Event()
        self.waiting = 0
        self.error: Exception | None = None

    async def accept(self, tap):
        self.waiting += 1
        await self.open.wait()
        if self.error is not None:
            raise self.error
        return await self.intake.accept(tap)


@in_virtual_time
async def test_a_tap_goes_all_the_way(kit):
    """Present, commit, answer, feedback; status counts it."""
    hall = Hall(kit)
    async with hall.running():
        answer = await hall.tap()
        assert (answer.result, answer.punch.user_id) == (TapResult.ACCEPTED, "7")
        assert (await hall.tap(at=kit.clock.wall + 5)).reason == "time_in_future"
        assert (await hall.tap("04CC")).result is TapResult.UNKNOWN_BADGE
        await hall.tap(BOB, "out")
        assert await hall.front.until_shown(3) == [Feedback.CLOCKED_IN, Feedback.REFUSED, Feedback.UNKNOWN_BADGE]
        assert await hall.made["out"].until_shown(1) == [Feedback.CLOCKED_OUT]
        status = hall.readers.status()[0]
        assert (status.name, status.driver, status.state, status.taps) == ("front", "simulated", ReaderState.OPEN, 3)


@in_virtual_time
async def test_success_is_shown_only_after_the_commit(kit):
    """At the moment of feedback another connection sees the punch on disk."""
    hall, seen = Hall(kit), []

    def look(tap, feedback) -> None:
        with sqlite3.connect(kit.database.path) as conn:
            seen.append((feedback, conn.execute("SELECT count(*) FROM punches").fetchone()[0]))
        conn.close()

    hall.front.on_show = look
    async with hall.running():
        await hall.tap()
        await hall.front.until_shown(1)
        await hall.tap(BOB)
        await hall.front.until_shown(2)
    assert seen == [(Feedback.CLOCKED_IN, 1), (Feedback.CLOCKED_IN, 2)]


@in_virtual_time
async def test_a_slow_commit_says_wait_then_the_truth(kit):
    """Longer than the patience of a person: WAIT, and what really came of it when the commit ends."""
    gate = Gate(kit.intake)
    hall = Hall(kit, intake=gate)
    async with hall.running():
        await hall.front.present(ANN)
        assert await hall.front.until_shown(1) == [Feedback.WAIT]
        assert await kit.punches() == []
        gate.open.set()
        assert await hall.front.until_shown(2) == [Feedback.WAIT, Feedback.CLOCKED_IN]


@in_virtual_time
async def test_a_disk_that_fails_is_shown_as_a_refusal(kit, monkeypatch):
    """Never silence, never a success."""

    async def full(fn):
        raise OSError(28, "No space left on device")

    hall = Hall(kit)
    async with hall.running():
        with monkeypatch.context() as patched:
            patched.setattr(kit.database, "write", full)
            assert (await hall.tap()).reason == "cannot_store"
        assert await hall.front.until_shown(1) == [Feedback.REFUSED]
        assert (await hall.tap()).result is TapResult.ACCEPTED


@pytest.mark.parametrize("fault", ["raises", "hangs"])
@in_virtual_time
async def test_feedback_that_breaks_stops_no_tap(kit, fault):
    """A lamp that raises or hangs: taps go on being taken, and the next feedback is shown once it works."""
    hall = Hall(kit)
    hall.front.breaks = ReaderLost("the lamp is gone") if fault == "raises" else None
    hall.front.hangs = fault == "hangs"
    async with hall.running():
        for turn in range(20):
            assert (await hall.tap(f"04CC{turn:04d}")).result is TapResult.UNKNOWN_BADGE
        hall.front.breaks, hall.front.hangs = None, False
        await hall.tap()
        await hall.until(lambda: hall.front.shown and hall.front.shown[-1][1] is Feedback.CLOCKED_IN)


@in_virtual_time
async def test_a_lost_reader_comes_back(kit):
    """Unplugged: lost, an event and an alarm; plugged in again: open, and the alarm is gone; others never noticed."""
    hall = Hall(kit)
    async with hall.running(), kit.events.watch() as watch:
        hall.front.unplug("somebody took it")
        await hall.until(lambda: kit.alarm_codes() == ["reader_lost:front"])
        status = hall.readers.status()[0]
        assert (status.state, status.detail) == (ReaderState.LOST, "somebody took it")
        with pytest.raises(RefusedError) as caught:
            await hall.tap()
        assert caught.value.code == "reader_lost"
        assert (await hall.tap(reader="in")).result is TapResult.ACCEPTED
        hall.front.replug()
        await hall.until(lambda: hall.state() is ReaderState.OPEN)
        assert kit.alarm_codes() == []
        assert (await hall.tap(BOB)).result is TapResult.ACCEPTED
        names = [watch.get_nowait().name for _ in range(watch.qsize())]
        assert [name for name in names if name.startswith("reader.")] == ["reader.lost", "reader.opened"]


@in_virtual_time
async def test_a_reader_back_within_the_grace_alarms_nobody(kit):
    """Replugging takes a moment; that is no alarm."""
    hall, raised = Hall(kit), []
    kit.alarms.on_change = lambda alarm, on: raised.append(alarm.code)
    async with hall.running():
        hall.front.unplug()
        await hall.until(lambda: hall.state() is ReaderState.LOST)
        hall.front.replug()
        await hall.until(lambda: hall.state() is ReaderState.OPEN)
    assert raised == []


@in_virtual_time
async def test_a_reader_that_is_not_there_at_the_start_holds_nobody_up(kit):
    """The others work; the missing one is tried until it is there."""
    hall = Hall(kit)
    hall.made["nfc"].unplug("no such reader")
    task = asyncio.create_task(hall.readers.run())
    await hall.until(lambda: hall.state() is ReaderState.OPEN and hall.state("nfc") is ReaderState.LOST)
    assert (await hall.tap()).result is TapResult.ACCEPTED
    await hall.until(lambda: hall.made["nfc"].opened > 2)
    hall.made["nfc"].replug()
    await hall.until(lambda: hall.state("nfc") is ReaderState.OPEN)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@in_virtual_time
async def test_a_driver_with_a_bug_is_started_again(kit, monkeypatch):
    """An exception nobody expects from a driver: logged, alarmed, tried again; other readers go on."""
    hall, opened = Hall(kit), Watched.open

    async def broken(self) -> None:
        self.opened += 1
        if self.name == "front" and self.opened < 4:
            raise ZeroDivisionError("a bug")
        await opened(self)

    monkeypatch.setattr(Watched, "open", broken)
    async with hall.running():
        assert "reader_front_failing" in kit.alarm_codes()
        assert (await hall.tap()).result is TapResult.ACCEPTED
        assert (await hall.tap(BOB, "in")).result is TapResult.ACCEPTED


@in_virtual_time
async def test_a_hung_open_is_given_up(kit, monkeypatch):
    """A device that does not answer its opening is tried again, not waited for."""
    hall = Hall(kit)
    opened = Watched.open

    async def hung(self) -> None:
        self.opened += 1
        if self.name == "front" and self.opened < 3:
            await asyncio.get_running_loop().create_future()
        await opened(self)

    monkeypatch.setattr(Watched, "open", hung)
    async with hall.running():
        assert hall.front.opened == 4  # two hung, the third and its own count
        assert (await hall.tap()).result is TapResult.ACCEPTED


@in_virtual_time
async def test_a_full_queue_holds_the_reader_back_and_drops_nothing(kit):
    """While the disk stands still the queue fills to its limit and the rest waits at the reader; then all are taken."""
    gate = Gate(kit.intake)
    hall = Hall(kit, limits=Limits(queue_max=2), intake=gate)
    async with hall.running():
        for turn in range(10):
            await hall.front.present(f"04CC{turn:04d}")
        await hall.until(lambda: hall.readers.status()[0].taps == 4)  # one in hand, two queued, one held
        for _ in range(50):
            await asyncio.sleep(0)
        assert (hall.readers.status()[0].taps, gate.waiting) == (4, 1)
        gate.open.set()
        await hall.front.until_shown(10)
    assert await kit.rows("SELECT badge FROM taps ORDER BY id") == [(f"04CC{turn:04d}",) for turn in range(10)]


@in_virtual_time
async def test_a_mistake_of_ours_stops_the_service_in_order(kit):
    """A bug in the intake comes out of run() as FatalError with its cause, and the person sees a refusal."""
    gate = Gate(kit.intake)
    gate.error = AssertionError("impossible")
    gate.open.set()
    hall = Hall(kit, intake=gate)
    async with hall.running() as task:
        await hall.front.present(ANN)
        await asyncio.wait({task})
        error = task.exception()
        assert isinstance(error, FatalError)
        assert error.__cause__ is gate.error
        assert hall.front.shown[-1][1] is Feedback.REFUSED


@in_virtual_time
async def test_a_stop_lets_taps_in_progress_end(kit):
    """Whoever tapped before the stop gets their commit and their feedback, also those still queued."""
    gate = Gate(kit.intake)
    hall = Hall(kit, intake=gate)
    async with hall.running() as task:
        answer = asyncio.create_task(hall.tap())
        await hall.front.present(BOB)
        await hall.until(lambda: gate.waiting == 1 and hall.readers.status()[0].taps == 2)
        task.cancel()
        for _ in range(20):
            await asyncio.sleep(0)
        assert not task.done()
        gate.open.set()
        await asyncio.wait({task})
        assert task.cancelled()
    assert (await answer).result is TapResult.ACCEPTED
    assert [feedback for _, feedback in hall.front.shown] == [Feedback.CLOCKED_IN] * 2
    assert len(await kit.punches()) == 2


@in_virtual_time
async def test_only_simulated_readers_are_tapped_by_command(kit):
    """Anything else is refused with its reason."""
    hall = Hall(kit)
    hall.made["nfc"].present = None
    async with hall.running():
        for error, code, badge, reader in (
            (NotFoundError, "not_found", ANN, "back"),
            (InvalidInputError, "invalid_input", "", "front"),
        ):
            with pytest.raises(error) as caught:
                await hall.tap(badge, reader)
            assert caught.value.code == code


@in_virtual_time
async def test_a_real_reader_cannot_be_tapped_by_command(kit):
    """A driver that is not simulated has no way to be tapped but a badge."""

    class Real:
        name, driver, errors = "nfc", "pcsc", 0

        async def open(self) -> None:
            raise ReaderUnavailable("no reader here")

        async def close(self) -> None: ...

    readers = Readers(
        [READERS[3]],
        kit.intake,
        make_reader=lambda config: Real(),
        alarms=kit.alarms,
        events=kit.events,
        now=lambda: 0.0,
        rng=random.Random(1),
    )
    with pytest.raises(RefusedError) as caught:
        await readers.tap("nfc", ANN, None)
    assert caught.value.code == "not_simulated"


@pytest.mark.parametrize("away_s", [2.0, 60.0, 3600.0])
def test_a_replugged_reader_is_noticed_within_5_s(tmp_path, away_s):
    """However long it was away, with the limits and the jitter of production: whoever plugs it in stands before it."""

    async def main(loop) -> None:
        async with open_kit(tmp_path / "punchd.db", inline=True) as kit:
            plug = SimulatedReader("front", kit.clock.now)
            readers = Readers(
                READERS[:1], kit.intake, make_reader=lambda _: plug, alarms=kit.alarms, events=kit.events,
                now=kit.timekeeper.now, rng=random.Random(7),
            )  # fmt: skip
            working = asyncio.ensure_future(readers.run())
            for _ in range(5):
                while readers.status()[0].state is not ReaderState.OPEN:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                plug.unplug()
                await asyncio.sleep(away_s)
                assert readers.status()[0].state is ReaderState.LOST
                plug.replug()
                plugged_at = loop.time()
                while readers.status()[0].state is not ReaderState.OPEN:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                assert loop.time() - plugged_at <= 5.02
            working.cancel()
            await asyncio.wait([working])

    run_virtual(main)
