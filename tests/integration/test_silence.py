"""A reader that is there and hears nothing: what is strange, and that it is told once and ends once."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from daemon.alarms import Alarms
from daemon.clock import Timekeeper
from daemon.model import TapResult
from daemon.queue.database import Database
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
        ([], BUSY, True, False),
        # A clock that was in the future says nothing.
        ([*every(HOUR, 30 * HOUR), NOW + DAY], BUSY, True, True),
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
