"""What others made of a tap: in or out, a repeat, whose it is, or nothing."""

from __future__ import annotations

import asyncio

from drivers.badge import is_unstable
from tests.support.museum import HOUR, told_in_town
from tests.support.town import Town


@told_in_town()
async def test_a_forgotten_clock_out_leaves_tomorrow_alone(town: Town) -> None:
    """odoo #29645; hrms #3859: a forgotten clock-out turns the next morning's clock-in into a clock-out.

    Out is forgotten on Monday: Tuesday's first tap comes in, Tuesday stands there whole once a manager has ended
    Monday, and nobody is given an end that nobody knows.
    """
    kiosk = await town.kiosk()
    await kiosk.tap("Anna", "Mon 08:00")
    assert await kiosk.tap("Anna", "Tue 08:00") == "clocked_in"
    await town.until("Tue 09:00")
    assert town.sheet()[0] == "Anna Mon 08:00:00 - open"
    (monday, *_) = town.sandbox.timesheet()
    town.manager.edit_shift(monday.id, end=town.unix("Mon 16:30"))
    await kiosk.tap("Anna", "Tue 16:00")
    await asyncio.sleep(3 * HOUR)
    assert town.sheet() == ["Anna Mon 08:00:00 - Mon 16:30:00*", "Anna Tue 08:00:00 - Tue 16:00:00"]
    assert await kiosk.stuck() == []


@told_in_town()
async def test_in_and_out_are_neither_swapped_nor_repeated(town: Town) -> None:
    """atd-data-tech #21514, #21518; horilla #340; andrew867/timeclock #33: in and out come out swapped or repeated, and
    supervisors mend dozens by hand.

    A week of impatient people who tap two or three times each time: two punches a day and person, in, then out, and
    nothing for anybody to mend.
    """
    kiosk = await town.kiosk()
    days = ("Mon", "Tue", "Wed", "Thu", "Fri")
    for day in days:
        for hour, shown in (("08", "clocked_in"), ("16", "clocked_out")):
            for minute, name in enumerate(town.names):
                assert await kiosk.tap(name, f"{day} {hour}:{minute * 2:02d}:00") == shown
                assert await kiosk.tap(name, f"{day} {hour}:{minute * 2:02d}:03") == "repeat"
                assert await kiosk.tap(name, f"{day} {hour}:{minute * 2:02d}:55") == "repeat"
    await asyncio.sleep(HOUR)
    assert town.sheet() == [
        f"{name} {day} 08:0{minute * 2}:00 - {day} 16:0{minute * 2}:00"
        for minute, name in enumerate(town.names)
        for day in days
    ]
    assert await kiosk.stuck() == []


@told_in_town()
async def test_lunch_is_two_shifts(town: Town) -> None:
    """nfc-attendance-kit: after one clock-out a card is ignored for the rest of the day; a lunch break cannot be
    recorded.

    In, out to lunch, in, out, and a last hour in the evening: three shifts.
    """
    kiosk = await town.kiosk()
    for clock in ("08:00", "12:00", "12:30", "17:00", "20:00", "21:00"):
        await kiosk.tap("Anna", f"Mon {clock}")
    await asyncio.sleep(HOUR)
    assert town.sheet() == [
        "Anna Mon 08:00:00 - Mon 12:00:00",
        "Anna Mon 12:30:00 - Mon 17:00:00",
        "Anna Mon 20:00:00 - Mon 21:00:00",
    ]


@told_in_town()
async def test_a_badge_that_is_new_at_each_tap_is_turned_away(town: Town) -> None:
    """tagreader #76; nfcpy #145; pretix PR #3494: phones and bank cards show a new UID at each tap.

    Such a badge is refused with a light that everybody understands, is no badge of nobody that waits to be assigned,
    cannot be enrolled, and other badges work as before.
    """
    kiosk = await town.kiosk(driver="pcsc", reader_of=None)
    directory = kiosk.built.kiosk.directory
    for number in range(20):
        badge = f"08{number:02X}B2C3"
        assert is_unstable(badge)
        assert await kiosk.tap_badge(badge) == "refused"
    assert await directory.unknown() == []
    assert await kiosk.tap("Anna", "Mon 08:00") == "clocked_in"
    await asyncio.sleep(60)
    assert town.sheet() == ["Anna Mon 08:00:00 - open"]


@told_in_town()
async def test_a_badge_is_enrolled_by_holding_it_to_the_reader(town: Town) -> None:
    """pyzk #107: cards cannot be enrolled from outside the terminal.

    A new person taps before anybody knows them; their badge is then given to them by their next tap, and the morning's
    tap becomes their clock-in, at its second.
    """
    town.sandbox.company.add_user("109", "New")
    town.ids["New"] = "109"
    kiosk = await town.kiosk()
    directory = kiosk.built.kiosk.directory
    assert await kiosk.tap_badge("04FFEEDDCCBBAA", "Mon 08:00") == "unknown_badge"
    await town.until("Mon 08:20")
    enrolling = asyncio.create_task(directory.enroll("109", by="test", timeout_s=60))
    assert await kiosk.tap_badge("04FFEEDDCCBBAA", "Mon 08:20:30") == "enrolled"
    assert (await enrolling).user_id == "109"
    assert await kiosk.tap_badge("04FFEEDDCCBBAA", "Mon 16:00") == "clocked_out"
    await asyncio.sleep(HOUR)
    assert town.sheet("New") == ["New Mon 08:00:00 - Mon 16:00:00"]
