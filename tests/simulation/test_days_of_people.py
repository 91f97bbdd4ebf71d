"""Days as people have them, each ending on the timesheet as a payroll manager would write it.

The whole service, from the reader to the store of the service, in virtual time. A star marks what a human entered in
the service itself.
"""

from __future__ import annotations

import asyncio
import datetime
from pathlib import Path

import pytest

from sandbox.connecteam.limits import SMALL_BUSINESS
from sandbox.faults import Kind
from tests.support.town import Kiosk, Town, badge_of, in_town

HOUR = 3600
DOORS = {"in": "clock_in", "out": "clock_out"}


async def settled(kiosk: Kiosk, back: str | None) -> None:
    """Let the network come back at that time, if it was away, and then an hour pass."""
    if back:
        await kiosk.town.until(back)
        kiosk.online()
    await asyncio.sleep(HOUR)


# --- ordinary days


@pytest.mark.parametrize("back", [None, "Tue 07:00", "Thu 09:00"], ids=["online", "back in time", "back too late"])
def test_a_night_shift(tmp_path: Path, back: str | None) -> None:
    """22:00 to 06:00 is one shift, whether the network was there, came back inside the look-back or days later."""

    async def story(town: Town) -> None:
        kiosk = await town.kiosk()
        await town.until("Mon 21:00")
        if back:
            kiosk.offline()
        assert await kiosk.tap("Anna", "Mon 22:00") == "clocked_in"
        assert await kiosk.tap("Anna", "Tue 06:00") == "clocked_out"
        await settled(kiosk, back)
        assert town.sheet() == ["Anna Mon 22:00:00 - Tue 06:00:00"]
        assert await kiosk.stuck() == []

    in_town(tmp_path, story)


@pytest.mark.parametrize("back", [None, "Mon 18:00", "Tue 12:00"], ids=["online", "back in time", "back too late"])
def test_lunch(tmp_path: Path, back: str | None) -> None:
    """In, out, in, out: two shifts with the lunch between them."""

    async def story(town: Town) -> None:
        kiosk = await town.kiosk()
        if back:
            kiosk.offline()
        for clock in ("08:00", "12:00:30", "12:31", "17:00:59"):
            await kiosk.tap("Anna", f"Mon {clock}")
        await settled(kiosk, back)
        assert town.sheet() == ["Anna Mon 08:00:00 - Mon 12:00:30", "Anna Mon 12:31:00 - Mon 17:00:59"]
        assert await kiosk.stuck() == []

    in_town(tmp_path, story)


@pytest.mark.parametrize("back", [None, "Tue 12:00", "Wed 12:00"], ids=["online", "back on Tuesday", "back later"])
def test_a_care_shift_of_24_hours(tmp_path: Path, back: str | None) -> None:
    """max_shift_hours = 36: a day and a night are one shift, on a toggle, however they reach the service."""

    async def story(town: Town) -> None:
        kiosk = await town.kiosk(attendance={"max_shift_s": 36 * HOUR})
        await kiosk.tap("Anna", "Mon 08:00")
        await town.until("Mon 09:00")
        if back:
            kiosk.offline()
        assert await kiosk.tap("Anna", "Tue 08:00") == "clocked_out"
        await settled(kiosk, back)
        assert town.sheet() == ["Anna Mon 08:00:00 - Tue 08:00:00"]
        assert await kiosk.stuck() == []

    in_town(tmp_path, story)


def test_a_care_shift_of_24_hours_all_offline(tmp_path: Path) -> None:
    """Neither half was sent: one completed shift over midnight."""

    async def story(town: Town) -> None:
        kiosk = await town.kiosk(attendance={"max_shift_s": 36 * HOUR})
        kiosk.offline()
        await kiosk.tap("Anna", "Mon 08:00")
        await kiosk.tap("Anna", "Tue 08:00")
        await town.until("Tue 09:00")
        kiosk.online()
        await asyncio.sleep(HOUR)
        assert town.sheet() == ["Anna Mon 08:00:00 - Tue 08:00:00"]

    in_town(tmp_path, story)


@pytest.mark.parametrize("back", [None, "Sun 10:00", "Mon2 10:00"], ids=["online", "back in time", "back too late"])
def test_the_hour_that_comes_twice(tmp_path: Path, back: str | None) -> None:
    """Amsterdam, last Sunday of October: 02:15 in summer time to 02:45 in winter time is an hour and a half."""

    async def story(town: Town) -> None:
        await town.until("Sat 12:00")
        kiosk = await town.kiosk()
        if back:
            kiosk.offline()
        await kiosk.tap("Anna", "Sun 02:15")
        await kiosk.tap("Bob", "Sun 02:30")
        await kiosk.tap("Bob", "Sun 02:20 CET")
        await kiosk.tap("Anna", "Sun 02:45 CET")
        await settled(kiosk, back)
        assert town.sheet() == ["Anna Sun 02:15:00 - Sun 02:45:00 CET", "Bob Sun 02:30:00 - Sun 02:20:00 CET"]
        rows = town.sandbox.timesheet()
        assert [(row.end or 0) - row.start for row in rows] == [90 * 60, 50 * 60]
        assert await kiosk.stuck() == []

    in_town(tmp_path, story, monday=datetime.date(2027, 10, 25))


@pytest.mark.parametrize("back", [None, "Sun 10:00", "Mon2 10:00"], ids=["online", "back in time", "back too late"])
def test_the_hour_that_is_left_out(tmp_path: Path, back: str | None) -> None:
    """Amsterdam, last Sunday of March: after 01:59:59 comes 03:00, and a night from 22:00 to 06:00 has seven hours."""

    async def story(town: Town) -> None:
        await town.until("Sat 21:00")
        kiosk = await town.kiosk()
        if back:
            kiosk.offline()
        await kiosk.tap("Bob", "Sat 22:00")
        await kiosk.tap("Anna", "Sun 01:45")
        await kiosk.tap("Carl", "Sun 01:59")
        assert town.unix("Sun 03:01") - town.unix("Sun 01:59") == 120
        assert await kiosk.tap("Carl", "Sun 03:01") == "clocked_out"
        await kiosk.tap("Anna", "Sun 03:15")
        await kiosk.tap("Bob", "Sun 06:00")
        await settled(kiosk, back)
        assert town.sheet() == [
            "Anna Sun 01:45:00 - Sun 03:15:00",
            "Bob Sat 22:00:00 - Sun 06:00:00",
            "Carl Sun 01:59:00 - Sun 03:01:00",
        ]
        rows = sorted(town.sandbox.timesheet(), key=lambda row: row.user_id)
        assert [(row.end or 0) - row.start for row in rows] == [30 * 60, 7 * HOUR, 2 * 60]
        assert await kiosk.stuck() == []

    in_town(tmp_path, story, monday=datetime.date(2027, 3, 22))


# --- phones, and other kiosks


def test_a_break_by_phone_and_home_by_kiosk(tmp_path: Path) -> None:
    """The phone's break ends the kiosk's shift and begins another: the tap at the end closes that one, at its second.

    Which shift it closed is told, since it is not the one that the morning's tap opened.
    """

    async def story(town: Town) -> None:
        kiosk = await town.kiosk()
        await kiosk.tap("Anna", "Mon 08:00")
        await town.until("Mon 12:00")
        town.manager.phone_break_start(town.ids["Anna"])
        await town.until("Mon 12:30")
        town.manager.phone_break_end(town.ids["Anna"])
        assert await kiosk.tap("Anna", "Mon 17:00") == "clocked_out"
        await asyncio.sleep(600)
        assert town.sheet() == ["Anna Mon 08:00:00 - Mon 12:00:00*", "Anna Mon 12:30:00* - Mon 17:00:00"]
        assert await kiosk.stuck() == []

    in_town(tmp_path, story)


@pytest.mark.parametrize("back", [None, "Mon 19:00", "Tue 12:00"], ids=["online", "back in time", "back too late"])
def test_in_by_phone_and_out_by_kiosk(tmp_path: Path, back: str | None) -> None:
    """The shift that the phone opened is closed at the second of the tap, live or by a later update."""

    async def story(town: Town) -> None:
        kiosk = await town.kiosk(readers=DOORS)
        await town.until("Mon 08:00")
        town.manager.phone_clock_in(town.ids["Anna"])
        if back:
            kiosk.offline()
        await kiosk.tap("Anna", "Mon 16:30", reader="out")
        await settled(kiosk, back)
        assert town.sheet() == ["Anna Mon 08:00:00* - Mon 16:30:00"]
        assert await kiosk.stuck() == []

    in_town(tmp_path, story)


def test_in_at_one_kiosk_and_out_at_another_that_is_offline(tmp_path: Path) -> None:
    """The back door tells of it when its network is back: one shift, to the second."""

    async def story(town: Town) -> None:
        front, back = await town.kiosk("front", readers=DOORS), await town.kiosk("back", readers=DOORS)
        back.offline()
        await front.tap("Anna", "Mon 08:00", reader="in")
        await back.tap("Anna", "Mon 16:00", reader="out")
        await town.until("Mon 18:00")
        back.online()
        await asyncio.sleep(HOUR)
        assert town.sheet() == ["Anna Mon 08:00:00 - Mon 16:00:00"]
        assert [*await front.stuck(), *await back.stuck()] == []

    in_town(tmp_path, story)


def test_two_kiosks_back_from_one_outage_do_not_both_set_one_end(tmp_path: Path) -> None:
    """Anna left by the back and, hours later, by the front, offline both: one of them stands, the other one is told."""

    async def story(town: Town) -> None:
        front, back = await town.kiosk("front", readers=DOORS), await town.kiosk("back", readers=DOORS)
        await front.tap("Anna", "Mon 06:00", reader="in")
        await town.until("Mon 07:00")
        front.offline()
        back.offline()
        await back.tap("Anna", "Mon 11:00", reader="out")
        await front.tap("Anna", "Mon 14:00", reader="out")
        await town.until("Tue 08:00")
        back.online()
        await asyncio.sleep(0.5)
        front.online()
        await asyncio.sleep(HOUR)
        (stuck,) = [*await front.stuck(), *await back.stuck()]
        stands = "14" if " 11:00:00 " in stuck else "11"
        assert "clock_out: review" in stuck
        assert town.sheet() == [f"Anna Mon 06:00:00 - Mon {stands}:00:00"]

    in_town(tmp_path, story)


def test_an_update_that_was_lost_goes_again(tmp_path: Path) -> None:
    """The line drops the very request that sets the end: the shift is closed all the same, by itself."""

    async def story(town: Town) -> None:
        kiosk = await town.kiosk(readers=DOORS)
        await kiosk.tap("Anna", "Mon 08:00", reader="in")
        await town.until("Mon 10:00")
        kiosk.offline()
        await kiosk.tap("Anna", "Mon 17:00", reader="out")
        await town.until("Tue 07:00")
        town.sandbox.faults.set(kind=Kind.DROP, method="PUT", processed=False, count=1)
        kiosk.online()
        await town.until("Tue 14:00")
        assert town.sheet() == ["Anna Mon 08:00:00 - Mon 17:00:00"]
        assert await kiosk.stuck() == []

    in_town(tmp_path, story)


def test_back_from_lunch_before_the_other_kiosk_told_of_it(tmp_path: Path) -> None:
    """Out at the offline back door, in again at the front: both shifts stand there once the back door is heard."""

    async def story(town: Town) -> None:
        front, back = await town.kiosk("front", readers=DOORS), await town.kiosk("back", readers=DOORS)
        back.offline()
        await front.tap("Anna", "Mon 08:00", reader="in")
        await back.tap("Anna", "Mon 12:00", reader="out")
        await front.tap("Anna", "Mon 12:30", reader="in")
        await town.until("Mon 14:00")
        back.online()
        await front.tap("Anna", "Mon 17:00", reader="out")
        await town.until("Tue 12:00")
        assert town.sheet() == ["Anna Mon 08:00:00 - Mon 12:00:00", "Anna Mon 12:30:00 - Mon 17:00:00"]
        assert [*await front.stuck(), *await back.stuck()] == []

    in_town(tmp_path, story)


# --- forgotten, doubled and wrong taps


def test_a_forgotten_clock_out_on_a_toggle(tmp_path: Path) -> None:
    """Monday stays open until a manager ends it; Tuesday is a shift of its own, and stands there afterwards."""

    async def story(town: Town) -> None:
        kiosk = await town.kiosk()
        await kiosk.tap("Anna", "Mon 08:00")
        assert await kiosk.tap("Anna", "Tue 08:00") == "clocked_in"
        assert await kiosk.tap("Anna", "Tue 16:00") == "clocked_out"
        await town.until("Tue 17:00")
        assert town.sheet() == ["Anna Mon 08:00:00 - open"]
        town.manager.close_shift(town.ids["Anna"], town.unix("Mon 16:00"))
        await town.until("Wed 18:00")
        assert town.sheet() == ["Anna Mon 08:00:00 - Mon 16:00:00*", "Anna Tue 08:00:00 - Tue 16:00:00"]
        assert await kiosk.stuck() == []

    in_town(tmp_path, story)


def test_a_forgotten_clock_out_on_fixed_readers(tmp_path: Path) -> None:
    """The same with a door for each direction."""

    async def story(town: Town) -> None:
        kiosk = await town.kiosk(readers=DOORS)
        await kiosk.tap("Anna", "Mon 08:00", reader="in")
        await kiosk.tap("Anna", "Tue 08:00", reader="in")
        await kiosk.tap("Anna", "Tue 16:00", reader="out")
        await town.until("Tue 17:00")
        assert town.sheet() == ["Anna Mon 08:00:00 - open"]
        town.manager.close_shift(town.ids["Anna"], town.unix("Mon 16:00"))
        await town.until("Wed 18:00")
        assert town.sheet() == ["Anna Mon 08:00:00 - Mon 16:00:00*", "Anna Tue 08:00:00 - Tue 16:00:00"]
        assert await kiosk.stuck() == []

    in_town(tmp_path, story)


@pytest.mark.parametrize("readers", [{"front": "toggle"}, DOORS], ids=["toggle", "fixed"])
def test_a_forgotten_clock_out_while_offline(tmp_path: Path, readers: dict[str, str]) -> None:
    """Nothing was sent of Monday: it needs a person, and holds back nothing of Tuesday."""

    async def story(town: Town) -> None:
        kiosk = await town.kiosk(readers=readers)
        kiosk.offline()
        await kiosk.tap("Anna", "Mon 08:00")
        await kiosk.tap("Anna", "Tue 08:00")
        await kiosk.tap("Anna", "Tue 16:00", reader="out" if readers is DOORS else None)
        await town.until("Wed 08:00")
        kiosk.online()
        await asyncio.sleep(HOUR)
        assert town.sheet() == ["Anna Tue 08:00:00 - Tue 16:00:00"]
        assert await kiosk.stuck() == ["Anna Mon 08:00:00 clock_in: review missing_clock_out"]

    in_town(tmp_path, story)


def test_two_clock_ins_five_minutes_apart(tmp_path: Path) -> None:
    """On a fixed reader the first counts, the second needs a person, and the clock-out ends the shift."""

    async def story(town: Town) -> None:
        kiosk = await town.kiosk(readers=DOORS)
        await kiosk.tap("Anna", "Mon 08:00", reader="in")
        assert await kiosk.tap("Anna", "Mon 08:05", reader="in") == "clocked_in"
        await kiosk.tap("Anna", "Mon 16:00", reader="out")
        await asyncio.sleep(600)
        assert town.sheet() == ["Anna Mon 08:00:00 - Mon 16:00:00"]
        assert [text.split(": ")[0] for text in await kiosk.stuck()] == ["Anna Mon 08:05:00 clock_in"]

    in_town(tmp_path, story)


def test_the_wrong_door_in_the_morning(tmp_path: Path) -> None:
    """Out by mistake, in twenty seconds later: the shift begins then; the first tap needs a person in the end."""

    async def story(town: Town) -> None:
        kiosk = await town.kiosk(readers=DOORS)
        await kiosk.tap("Anna", "Mon 08:00", reader="out")
        assert await kiosk.tap("Anna", "Mon 08:00:20", reader="in") == "clocked_in"
        await asyncio.sleep(600)
        assert town.sheet() == ["Anna Mon 08:00:20 - open"]
        await kiosk.tap("Anna", "Mon 16:00", reader="out")
        await town.until("Tue 08:00")
        assert town.sheet() == ["Anna Mon 08:00:20 - Mon 16:00:00"]
        assert await kiosk.stuck() == ["Anna Mon 08:00:00 clock_out: review no_matching_clock_in"]

    in_town(tmp_path, story)


@pytest.mark.parametrize("back", [None, "Mon 18:00", "Tue 18:00"], ids=["online", "back in time", "back too late"])
def test_the_wrong_door_in_the_evening(tmp_path: Path, back: str | None) -> None:
    """In by mistake, out twenty seconds later: the shift ends then, and no shift of twenty seconds is made of it."""

    async def story(town: Town) -> None:
        kiosk = await town.kiosk(readers=DOORS)
        await kiosk.tap("Anna", "Mon 08:00", reader="in")
        await town.until("Mon 12:00")
        if back:
            kiosk.offline()
        await kiosk.tap("Anna", "Mon 16:00", reader="in")
        assert await kiosk.tap("Anna", "Mon 16:00:20", reader="out") == "clocked_out"
        await settled(kiosk, back)
        assert town.sheet() == ["Anna Mon 08:00:00 - Mon 16:00:20"]
        assert [text.split(": ")[0] for text in await kiosk.stuck()] == ["Anna Mon 16:00:00 clock_in"]

    in_town(tmp_path, story)


# --- managers


def test_a_manager_typed_in_some_of_what_the_outage_hid(tmp_path: Path) -> None:
    """Three days offline: what the manager entered stands, and is not recorded twice; the rest is recorded."""

    async def story(town: Town) -> None:
        kiosk = await town.kiosk()
        kiosk.offline()
        for day in ("Mon", "Tue", "Wed"):
            await kiosk.tap("Anna", f"{day} 08:02:11")
            await kiosk.tap("Bob", f"{day} 08:30")
            await kiosk.tap("Anna", f"{day} 16:05:40")
            await kiosk.tap("Bob", f"{day} 16:30")
        town.manager.add_shift(town.ids["Anna"], town.unix("Tue 08:00"), town.unix("Tue 16:00"))
        town.manager.add_shift(town.ids["Bob"], town.unix("Mon 08:30"), town.unix("Mon 16:30"))
        await town.until("Thu 08:00")
        kiosk.online()
        await asyncio.sleep(HOUR)
        assert town.sheet() == [
            "Anna Mon 08:02:11 - Mon 16:05:40",
            "Anna Tue 08:00:00* - Tue 16:00:00*",
            "Anna Wed 08:02:11 - Wed 16:05:40",
            "Bob Mon 08:30:00* - Mon 16:30:00*",
            "Bob Tue 08:30:00 - Tue 16:30:00",
            "Bob Wed 08:30:00 - Wed 16:30:00",
        ]
        assert await kiosk.stuck() == [
            "Anna Tue 08:02:11 clock_in: review overlaps_existing_shift",
            "Anna Tue 16:05:40 clock_out: review overlaps_existing_shift",
        ]

    in_town(tmp_path, story)


def test_a_manager_corrects_the_start_while_the_kiosk_is_offline(tmp_path: Path) -> None:
    """The manager's start stands, our end is added to it."""

    async def story(town: Town) -> None:
        kiosk = await town.kiosk()
        await kiosk.tap("Anna", "Mon 08:00")
        await town.until("Mon 09:00")
        kiosk.offline()
        (row,) = town.sandbox.timesheet()
        town.manager.edit_shift(row.id, start=town.unix("Mon 07:45"))
        await kiosk.tap("Anna", "Mon 16:00")
        await town.until("Mon 18:00")
        kiosk.online()
        await asyncio.sleep(HOUR)
        assert town.sheet() == ["Anna Mon 07:45:00* - Mon 16:00:00"]
        assert await kiosk.stuck() == []

    in_town(tmp_path, story)


def test_a_manager_ends_the_shift_while_the_kiosk_is_offline(tmp_path: Path) -> None:
    """The manager's end stands; the tap is shown to a person and changes nothing."""

    async def story(town: Town) -> None:
        kiosk = await town.kiosk()
        await kiosk.tap("Anna", "Mon 08:00")
        await town.until("Mon 09:00")
        kiosk.offline()
        town.manager.close_shift(town.ids["Anna"], town.unix("Mon 15:00"))
        await kiosk.tap("Anna", "Mon 16:00")
        await town.until("Mon 18:00")
        kiosk.online()
        await asyncio.sleep(HOUR)
        assert town.sheet() == ["Anna Mon 08:00:00 - Mon 15:00:00*"]
        assert await kiosk.stuck() == ["Anna Mon 16:00:00 clock_out: review already_clocked_out"]

    in_town(tmp_path, story)


def test_somebody_is_archived_during_their_shift(tmp_path: Path) -> None:
    """Their clock-out needs a person and keeps its second; brought back, it goes by itself."""

    async def story(town: Town) -> None:
        kiosk = await town.kiosk()
        await kiosk.tap("Anna", "Mon 08:00")
        await kiosk.tap("Bob", "Mon 08:01")
        await town.until("Mon 12:00")
        town.manager.archive(town.ids["Anna"])
        await kiosk.tap("Anna", "Mon 16:00")
        await kiosk.tap("Bob", "Mon 16:01")
        await town.until("Mon 16:30")
        assert town.sheet() == ["Anna Mon 08:00:00 - open", "Bob Mon 08:01:00 - Mon 16:01:00"]
        assert await kiosk.stuck() == ["Anna Mon 16:00:00 clock_out: review not_assigned"]
        town.sandbox.company.users[int(town.ids["Anna"])].archived_at = None
        await town.until("Wed 12:00")
        assert town.sheet("Anna") == ["Anna Mon 08:00:00 - Mon 16:00:00"]
        assert await kiosk.stuck() == []

    in_town(tmp_path, story)


def test_somebody_is_removed_from_the_kiosk_during_an_outage(tmp_path: Path) -> None:
    """Punches already taken still go."""

    async def story(town: Town) -> None:
        kiosk = await town.kiosk()
        kiosk.offline()
        await kiosk.tap("Anna", "Mon 08:00")
        await kiosk.tap("Anna", "Mon 16:00")
        await kiosk.built.kiosk.directory.remove(town.ids["Anna"], by="test")
        await town.until("Tue 12:00")
        kiosk.online()
        await asyncio.sleep(HOUR)
        assert town.sheet() == ["Anna Mon 08:00:00 - Mon 16:00:00"]

    in_town(tmp_path, story)


def test_last_month_is_locked(tmp_path: Path) -> None:
    """November was locked while its last shift was still on the kiosk: that one needs a person, December goes on.

    Unlocked, it goes by itself.
    """

    async def story(town: Town) -> None:
        await town.until("Sun 12:00")
        kiosk = await town.kiosk()
        kiosk.offline()
        await kiosk.tap("Anna", "Mon2 08:00")
        await kiosk.tap("Anna", "Mon2 16:00")
        for number in range(1, 31):
            town.manager.lock_day(town.ids["Anna"], f"2026-11-{number:02d}")
        await town.until("Tue2 07:00")
        kiosk.online()
        await kiosk.tap("Anna", "Tue2 08:00")
        await town.until("Tue2 09:00")
        assert town.sheet() == ["Anna Tue2 08:00:00 - open"]
        assert await kiosk.stuck() == [
            "Anna Mon2 08:00:00 clock_in: review locked_days",
            "Anna Mon2 16:00:00 clock_out: review locked_days",
        ]
        town.manager.unlock_day(town.ids["Anna"], "2026-11-30")
        await town.until("Thu2 12:00")
        assert town.sheet() == ["Anna Mon2 08:00:00 - Mon2 16:00:00", "Anna Tue2 08:00:00 - open"]

    in_town(tmp_path, story)


# --- what the service does by itself


@pytest.mark.parametrize("delay", ["at once", "after an outage"])
@pytest.mark.parametrize(("rule", "end"), [("review", "Mon 18:00:00 (auto)"), ("correct", "Mon 19:30:00")])
def test_a_late_tap_after_an_automatic_clock_out(tmp_path: Path, rule: str, end: str, delay: str) -> None:
    """The tap is a clock-out. As configured a person decides, or the true end replaces the automatic one."""

    async def story(town: Town) -> None:
        kiosk = await town.kiosk(attendance={"after_auto_clock_out": rule})
        await kiosk.tap("Anna", "Mon 08:00")
        await town.until("Mon 12:00")
        next(iter(town.sandbox.company.clocks.values())).auto_clock_out_after_s = 10 * HOUR
        if delay == "after an outage":
            kiosk.offline()
        assert await kiosk.tap("Anna", "Mon 19:30") == "clocked_out"
        await town.until("Mon 20:30")
        kiosk.online()
        await asyncio.sleep(HOUR)
        assert town.sheet() == [f"Anna Mon 08:00:00 - {end}"]
        stuck = ["Anna Mon 19:30:00 clock_out: review auto_clocked_out"] if rule == "review" else []
        assert await kiosk.stuck() == stuck

    in_town(tmp_path, story)


# --- badges, keys, clocks, crashes, budgets


def test_a_badge_is_swapped_during_a_shift(tmp_path: Path) -> None:
    """A shift belongs to a person, not to a badge; the old badge is another person's from then on."""

    async def story(town: Town) -> None:
        kiosk = await town.kiosk()
        directory, anna = kiosk.built.kiosk.directory, badge_of(town.ids["Anna"])
        await kiosk.tap("Anna", "Mon 08:00")
        await town.until("Mon 12:00")
        await directory.release(anna, by="test")
        await directory.assign(anna, town.ids["Bob"], by="test")
        await directory.assign("04FFEEDDCCBB01", town.ids["Anna"], by="test")
        await kiosk.tap("Anna", "Mon 13:00")  # Anna's old badge: Bob comes
        await kiosk.tap_badge("04FFEEDDCCBB01", "Mon 16:00")
        await kiosk.tap("Bob", "Mon 17:00")  # Bob's own badge
        await asyncio.sleep(600)
        assert town.sheet() == ["Anna Mon 08:00:00 - Mon 16:00:00", "Bob Mon 13:00:00 - Mon 17:00:00"]
        assert await kiosk.stuck() == []

    in_town(tmp_path, story)


def test_the_key_expires_over_a_weekend(tmp_path: Path) -> None:
    """Nothing is lost and nothing needs a person: with the new key everything goes, to the second."""

    async def story(town: Town) -> None:
        kiosk = await town.kiosk()
        await kiosk.tap("Anna", "Fri 12:00")
        await town.until("Fri 18:00")
        town.sandbox.company.access.revoke_all()
        await kiosk.tap("Anna", "Fri 20:00")
        for day in ("Sat", "Sun"):
            await kiosk.tap("Bob", f"{day} 08:00")
            await kiosk.tap("Bob", f"{day} 16:00")
        await kiosk.tap("Carl", "Mon2 06:00")
        await town.until("Mon2 09:00")
        town.sandbox.company.access.keys["a-new-key"] = None
        town.key_file.write_text("a-new-key")
        await asyncio.sleep(HOUR)
        assert town.sheet() == [
            "Anna Fri 12:00:00 - Fri 20:00:00",
            "Bob Sat 08:00:00 - Sat 16:00:00",
            "Bob Sun 08:00:00 - Sun 16:00:00",
            "Carl Mon2 06:00:00 - open",
        ]
        assert await kiosk.stuck() == []

    in_town(tmp_path, story)


def test_the_clock_is_wrong_at_boot(tmp_path: Path) -> None:
    """Three hours behind after a power cut: taps before NTP answers stand at their true second, and none before."""

    async def story(town: Town) -> None:
        kiosk = await town.kiosk()
        kiosk.offline()
        await kiosk.crash()
        kiosk.clock.reboot(behind_s=3 * HOUR)
        await kiosk.start()
        await kiosk.tap("Anna", "Mon 08:00")
        await kiosk.tap("Anna", "Mon 12:00")
        kiosk.online()
        await town.until("Mon 13:00")
        assert town.sheet() == []
        kiosk.clock.synchronise()
        await asyncio.sleep(HOUR)
        assert town.sheet() == ["Anna Mon 08:00:00 - Mon 12:00:00"]
        assert await kiosk.stuck() == []

    in_town(tmp_path, story)


@pytest.mark.parametrize("processed", [True, False])
@pytest.mark.parametrize("restart_s", [1, 8, 400])
def test_the_answer_to_a_clock_out_is_lost_and_the_kiosk_restarts(
    tmp_path: Path, processed: bool, restart_s: int
) -> None:
    """Whenever it dies, and whether or not the service took it: one shift, ended at that second."""

    async def story(town: Town) -> None:
        kiosk = await town.kiosk()
        await kiosk.tap("Anna", "Mon 08:00")
        await town.until("Mon 15:00")
        town.sandbox.faults.set(kind=Kind.HANG, path="*/clock-out", count=1, processed=processed)
        await kiosk.tap("Anna", "Mon 16:00")
        await asyncio.sleep(2 + restart_s)
        await kiosk.crash()
        await kiosk.start()
        await asyncio.sleep(HOUR)
        assert town.sheet() == ["Anna Mon 08:00:00 - Mon 16:00:00"]
        assert await kiosk.stuck() == []
        assert town.asked("clock-out") == (1 if processed else 2)

    in_town(tmp_path, story)


def test_sixty_people_in_five_minutes_on_the_smallest_plan(tmp_path: Path) -> None:
    """5 requests a minute, 100 a day, 120 punches: all stand there to the second, and none was refused for haste."""
    names = tuple(f"P{number:02d}" for number in range(60))

    async def story(town: Town) -> None:
        kiosk = await town.kiosk()
        for hour in ("08", "16"):
            for number, name in enumerate(names):
                await kiosk.tap(name, f"Mon {hour}:{number // 12:02d}:{number % 12 * 5:02d}")
        await town.until("Tue 12:00")
        clocks = [f"{number // 12:02d}:{number % 12 * 5:02d}" for number in range(60)]
        assert town.sheet() == [f"{n} Mon 08:{c} - Mon 16:{c}" for n, c in zip(names, clocks, strict=True)]
        assert await kiosk.stuck() == []
        assert 429 not in [entry.status for entry in town.sandbox.log.entries]

    in_town(tmp_path, story, names=names, plan=SMALL_BUSINESS)
