"""A reader that is there and hears nothing: what is strange, and that it is told once and ends once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from daemon.alarms import Alarms
from daemon.clock import Timekeeper
from daemon.model import TapResult
from daemon.queue.database import Database
from daemon.queue.habits import heard
from daemon.queue.queue import insert_tap
from daemon.silence import ABOUT_MIN, LOOK_S, USUAL_FROM, SilenceWatch, strange_since
from drivers.reader import Evidence, Tap
from tests.simulation.virtual import EPOCH, VirtualClock, run_virtual

HOUR = 3600.0
DAY = 24 * HOUR
NOW = 100 * DAY


def every(gap_s: float, last_ago_s: float, count: int = 60) -> list[float]:
    """Taps at equal distances, the last so long ago."""
    return [NOW - last_ago_s - n * gap_s for n in reversed(range(count))]


BUSY = every(HOUR, 0.0)


@pytest.mark.parametrize(
    ("own", "others", "several", "strange"),
    [
        (every(HOUR, 23 * HOUR), BUSY, True, False),
        (every(HOUR, 25 * HOUR), BUSY, True, True),
        # One reader alone goes by its own longest pause: a long weekend is usual, twice that is not.
        (every(HOUR, 25 * HOUR), [], False, True),
        ([*every(HOUR, 5 * DAY), NOW - 2 * DAY], [], False, False),
        ([*every(HOUR, 10 * DAY), NOW - 7 * DAY], [], False, True),
        # A side door that is used every other day.
        (every(2 * DAY, 3 * DAY), BUSY, True, False),
        (every(2 * DAY, 5 * DAY), BUSY, True, True),
        # The house is closed: nobody taps anywhere.
        (every(HOUR, 9 * DAY), every(HOUR, 9 * DAY), True, False),
        (every(HOUR, 9 * DAY), every(HOUR, 0.0, ABOUT_MIN - 1), True, False),
        # Too little is known of it: only the others can tell.
        (every(HOUR, 30 * HOUR, USUAL_FROM - 1), [], False, False),
        (every(HOUR, 30 * HOUR, USUAL_FROM - 1), BUSY, True, True),
        (every(HOUR, 30 * HOUR, USUAL_FROM), [], False, True),
        ([], BUSY, True, False),
        # A clock that was in the future says nothing.
        ([*every(HOUR, 30 * HOUR), NOW + DAY], BUSY, True, True),
        (every(HOUR, 30 * HOUR), every(HOUR, -DAY, ABOUT_MIN), True, False),
    ],
)
def test_what_is_strange(own, others, several, strange):
    """At least the hours that were set, twice the longest pause before, and people about where that can be seen."""
    times = {"front": own, "side": others}
    found = strange_since("front", times, since=0.0 if own else NOW - HOUR, several=several, now=NOW, least_s=DAY)
    assert (found is not None) is strange


@dataclass
class FakeStatus:
    name: str
    state: str = "open"
    since: float = EPOCH
    errors: int = 0


def test_it_is_told_once_and_ends_once(tmp_path):
    """Two doors, one falls silent: one alarm a day and some hours later, which its next tap ends. 0 never looks."""
    told: list[tuple[str, bool, float]] = []

    async def main(loop):
        clock = VirtualClock(loop)
        database = await Database.open(tmp_path / "punchd.db", inline=True)
        keeper = Timekeeper(clock)
        alarms = Alarms(keeper.now, lambda alarm, raised: told.append((alarm.code, raised, loop.time() / HOUR)))
        readers = [FakeStatus("front"), FakeStatus("side")]
        watch = SilenceWatch(24, readers=lambda: readers, database=database, timekeeper=keeper, alarms=alarms)
        never = SilenceWatch(0, readers=lambda: readers, database=database, timekeeper=keeper, alarms=alarms)
        await never.run()
        watching = asyncio.ensure_future(watch.run())

        async def hours(count, *doors):
            for _ in range(count):
                for door in doors:
                    tap = Tap(door, "04A1", clock.now())
                    await database.write(lambda conn: insert_tap(conn, tap, TapResult.UNKNOWN_BADGE, None, None))  # noqa: B023
                await asyncio.sleep(HOUR)

        await hours(48, "front", "side")
        await hours(40, "front")
        readers[1].errors += 1  # a badge that could not be read: it hears after all
        await hours(2, "front")
        assert [code for code, _, _ in told] == ["reader_silent:side"] * 2
        await hours(40, "front")
        await hours(1, "front", "side")
        readers[0].state = "lost"
        await hours(200, "side")
        watching.cancel()
        await asyncio.wait([watching])
        await database.close()

    run_virtual(main)
    assert [(code, raised) for code, raised, _ in told] == [("reader_silent:side", n % 2 == 0) for n in range(4)]
    raised, ended, again, over = (at for *_, at in told)
    assert raised == pytest.approx(48 + 23, abs=1.5)
    assert ended == pytest.approx(88, abs=0.2)
    assert again == pytest.approx(88 + 24, abs=1.5)
    assert over == pytest.approx(130, abs=LOOK_S / HOUR + 0.1)


def looked(tmp_path, readers, tapped, *, then_s=0.0):
    """The readers that are told of at the end: `tapped` are (reader, hours after the beginning, stated) in order."""

    async def main(loop):
        clock = VirtualClock(loop)
        database = await Database.open(tmp_path / "punchd.db", inline=True)
        keeper = Timekeeper(clock)
        alarms = Alarms(keeper.now)
        watch = SilenceWatch(24, readers=lambda: readers, database=database, timekeeper=keeper, alarms=alarms)
        for door, hours, stated in tapped:
            await asyncio.sleep(max(0.0, EPOCH + hours * HOUR - clock.now().wall_s))
            tap = Tap(door, "04A1", clock.now(), stated_at=EPOCH + hours * HOUR if stated else None)
            await database.write(lambda conn: insert_tap(conn, tap, TapResult.UNKNOWN_BADGE, None, None))  # noqa: B023
        await asyncio.sleep(then_s)
        await watch.look()
        await database.close()
        return [alarm.code.removeprefix("reader_silent:") for alarm in alarms.standing()]

    return run_virtual(main)


def test_the_only_door_goes_by_its_own_habits(tmp_path):
    """One reader, tapped every hour for two days and then not for a day and a half; nobody else could show life."""
    tapped = [("front", hour, False) for hour in range(48)]
    assert looked(tmp_path, [FakeStatus("front")], tapped, then_s=36 * HOUR) == ["front"]


@pytest.mark.parametrize(("opened_h", "told"), [(1, ["side"]), (47, [])])
def test_a_reader_that_was_never_heard_is_silent_since_it_was_opened(tmp_path, opened_h, told):
    """Two days of taps at the other door: strange for one that was open all the time, not for one opened just now."""
    readers = [FakeStatus("front"), FakeStatus("side", since=EPOCH + opened_h * HOUR)]
    assert looked(tmp_path, readers, [("front", hour, False) for hour in range(49)]) == told


def test_a_tap_by_command_is_no_sign_of_the_reader(tmp_path):
    """What somebody states with punchctl tap --at was not heard by the hardware."""
    tapped = [("side", hour, False) for hour in range(24)]
    tapped += [(door, hour, door == "side") for hour in range(24, 60) for door in ("front", "side")]
    assert looked(tmp_path, [FakeStatus("front"), FakeStatus("side")], tapped) == ["side"]


def test_habits_are_the_latest_taps(tmp_path, monkeypatch):
    """Of more taps than are looked at the oldest are left out, and each reader's come in their order."""
    monkeypatch.setattr("daemon.queue.habits.TAPS_MAX", 3)

    async def main(loop):
        clock = VirtualClock(loop)
        database = await Database.open(tmp_path / "punchd.db", inline=True)
        for door in ("front", "side", "front", "side", "front"):
            tap = Tap(door, "04A1", clock.now())
            await database.write(lambda conn: insert_tap(conn, tap, TapResult.UNKNOWN_BADGE, None, None))  # noqa: B023
            await asyncio.sleep(HOUR)
        times = await database.read(heard)
        await database.close()
        return {door: [round((at - EPOCH) / HOUR) for at in of_it] for door, of_it in times.items()}

    assert run_virtual(main) == {"front": [2, 4], "side": [3]}


def test_an_untrusted_clock_knows_no_silence(tmp_path):
    """What the wall clock said says nothing of how long ago it was."""

    async def main(loop):
        clock = VirtualClock(loop, synchronised=False)
        database = await Database.open(tmp_path / "punchd.db", inline=True)
        keeper = Timekeeper(clock)
        alarms = Alarms(keeper.now)
        for n in range(40):
            for door in ("front", "front", "side") if n < 30 else ("front",):
                tap = Tap(door, "04A1", Evidence(EPOCH - 80 * DAY + n * HOUR, 0.0, "b", False))
                await database.write(lambda conn: insert_tap(conn, tap, TapResult.UNKNOWN_BADGE, None, None))  # noqa: B023
        readers = [FakeStatus("front"), FakeStatus("side")]
        watch = SilenceWatch(24, readers=lambda: readers, database=database, timekeeper=keeper, alarms=alarms)
        await watch.look()
        assert alarms.standing() == []
        clock.synchronise()
        await watch.look()
        assert [alarm.code for alarm in alarms.standing()] == ["reader_silent:side"]
        await database.close()

    run_virtual(main)
