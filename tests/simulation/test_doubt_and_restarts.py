"""A clock that the service disputes stays disputed through restarts of the process: no wrong time is ever believed."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.support.town import Town, in_town

HOUR = 3600.0


@pytest.mark.parametrize("back", [True, False], ids=["online", "offline at the start"])
def test_a_restart_does_not_make_a_disputed_clock_believed(tmp_path: Path, back: bool) -> None:
    """NTP vouches for a clock an hour ahead, the service disputes it; taps before and after a restart keep their
    true seconds once the clock is set right."""

    async def story(town: Town) -> None:
        kiosk = await town.kiosk()
        await town.until("Mon 07:00")
        kiosk.clock.step(HOUR)
        # A snapshot's answer brings the Date that disputes it.
        await kiosk.delivery.sync_now()
        await town.until("Mon 07:30")
        await kiosk.tap("Anna", "Mon 08:00")
        if not back:
            kiosk.offline()
        await kiosk.crash()
        await kiosk.start()
        await kiosk.tap("Bob", "Mon 08:05")
        await town.until("Mon 09:00")
        assert town.sheet() == []
        kiosk.clock.step(-HOUR)
        kiosk.online()
        await asyncio.sleep(2 * HOUR)
        assert town.sheet() == ["Anna Mon 08:00:00 - open", "Bob Mon 08:05:00 - open"]
        assert await kiosk.stuck() == []

    in_town(tmp_path, story)


def test_a_doubt_ends_with_its_boot(tmp_path: Path) -> None:
    """After a reboot the clock is judged anew: nothing waits for a dispute about another boot's clock."""

    async def story(town: Town) -> None:
        kiosk = await town.kiosk()
        await town.until("Mon 07:00")
        kiosk.clock.step(HOUR)
        await kiosk.delivery.sync_now()
        await town.until("Mon 07:30")
        await kiosk.crash()
        kiosk.clock.reboot(synchronised=True)
        await kiosk.start()
        await kiosk.tap("Anna", "Mon 08:00")
        await asyncio.sleep(60)
        assert town.sheet() == ["Anna Mon 08:00:00 - open"]

    in_town(tmp_path, story)


def test_a_wrong_time_is_not_sent_either_after_attempts_that_reached_nobody(tmp_path: Path) -> None:
    """An hour behind, vouched for by NTP, without a network, and tried in vain: set right, the tap needs a person."""

    async def story(town: Town) -> None:
        kiosk = await town.kiosk()
        await kiosk.tap("Bob", "Mon 06:30")
        await town.until("Mon 07:00")
        kiosk.offline()
        kiosk.clock.step(-HOUR)
        await kiosk.tap("Anna", "Mon 08:00")
        await town.until("Mon 09:00")
        kiosk.clock.step(HOUR)
        await asyncio.sleep(HOUR)
        kiosk.online()
        await asyncio.sleep(2 * HOUR)
        assert town.sheet() == ["Bob Mon 06:30:00 - open"]
        (stuck,) = await kiosk.stuck()
        assert stuck.endswith("review time_disputed")

    in_town(tmp_path, story)


def test_what_a_wrong_time_server_disputed_goes_on_when_the_clock_is_set_right(tmp_path: Path) -> None:
    """The tap's time was right all along: nobody has to say so."""

    async def story(town: Town) -> None:
        kiosk = await town.kiosk()
        kiosk.offline()
        await kiosk.tap("Anna", "Mon 08:00")
        await town.until("Mon 09:00")
        kiosk.clock.step(HOUR)
        await asyncio.sleep(600)
        (stuck,) = await kiosk.stuck()
        assert stuck.endswith("review time_disputed")
        kiosk.clock.step(-HOUR)
        await asyncio.sleep(600)
        kiosk.online()
        await asyncio.sleep(600)
        assert town.sheet() == ["Anna Mon 08:00:00 - open"]
        assert await kiosk.stuck() == []

    in_town(tmp_path, story)


def test_a_tap_by_a_clock_that_was_believed_and_wrong_is_never_sent_with_that_time(tmp_path: Path) -> None:
    """An hour behind, vouched for by NTP, offline: when the clock is set right its taps need a person, who is told the
    true second."""

    async def story(town: Town) -> None:
        kiosk = await town.kiosk()
        await town.until("Mon 07:00")
        kiosk.offline()
        kiosk.clock.step(-HOUR)
        await town.until("Mon 07:30")
        await kiosk.tap("Anna", "Mon 08:00")
        kiosk.online()
        await kiosk.delivery.sync_now()
        await town.until("Mon 09:00")
        assert town.sheet() == []
        kiosk.clock.step(HOUR)
        await asyncio.sleep(2 * HOUR)
        assert town.sheet() == []
        (stuck,) = await kiosk.stuck()
        assert stuck.endswith("review time_disputed")

    in_town(tmp_path, story)


def test_a_disk_that_is_full_when_the_clock_is_right_again_delays_it_only(tmp_path: Path) -> None:
    """A time server's lie made a tap look misdated; in the minute in which the clock is set right nothing can be
    written. Afterwards the tap goes by itself, with its second."""

    async def story(town: Town) -> None:
        kiosk = await town.kiosk()
        await town.until("Mon 07:59")
        kiosk.offline()
        await kiosk.tap("Anna", "Mon 08:00")
        kiosk.clock.step(48)
        await town.until("Mon 08:10")
        assert await kiosk.stuck() == ["Anna Mon 08:00:00 clock_in: review time_disputed"]
        kiosk.online()
        await town.until("Mon 08:40")
        assert town.sheet() == []
        database = kiosk.built.kiosk.database
        write = database.write

        async def full(fn: Any) -> Any:
            if "put_doubt" in fn.__code__.co_names:  # the last pages went to what was written before it
                raise sqlite3.OperationalError("database or disk is full")
            return await write(fn)

        database.write = full
        kiosk.clock.step(-48)
        await asyncio.sleep(HOUR)
        assert kiosk.built.kiosk.timekeeper.doubt is None
        database.write = write
        await asyncio.sleep(HOUR)
        assert town.sheet() == ["Anna Mon 08:00:00 - open"]
        assert await kiosk.stuck() == []

    in_town(tmp_path, story)
