"""What others did with a clock that was wrong, and with days that are no calendar days."""

from __future__ import annotations

import asyncio
import datetime

from sandbox.faults import Kind
from tests.support.museum import HOUR, told_in_town
from tests.support.town import Town


@told_in_town()
async def test_a_wrong_clock_is_known_to_be_wrong(town: Town) -> None:
    """biometric-attendance-sync-tool #80; pyzk #211: after a power cut punches have a wrong date, and nothing tells
    them from good ones.

    A tap before the clock is right says that its time is not known, is sent to nobody, and stands on the timesheet at
    its true second once the clock is right.
    """
    kiosk = await town.kiosk()
    await kiosk.tap("Bob", "Mon 07:00")
    await kiosk.crash()
    kiosk.clock.reboot(behind_s=3 * HOUR)
    kiosk.offline()
    await kiosk.start()
    await kiosk.tap("Anna", "Mon 08:00")
    good, doubtful = sorted(await kiosk.punches(), key=lambda punch: punch.name, reverse=True)
    assert (good.time_known, doubtful.time_known) == (True, False)
    assert doubtful.raw_at < good.raw_at
    kiosk.online()
    await town.until("Mon 08:30")
    assert town.sheet("Anna") == []
    kiosk.clock.synchronise()
    await asyncio.sleep(HOUR)
    assert town.sheet() == ["Anna Mon 08:00:00 - open", "Bob Mon 07:00:00 - open"]


@told_in_town()
async def test_the_clock_begins_before_the_shutdown_and_the_shift_still_ends_after_it_began(town: Town) -> None:
    """OctoPi #606; OctoPrint #3266: after an outage a Pi's clock starts before the time of its shutdown, with the
    programs already running.

    Somebody comes before the outage and leaves after it, at an earlier time by that clock: one shift of six hours.
    """
    kiosk = await town.kiosk()
    assert await kiosk.tap("Anna", "Mon 10:00") == "clocked_in"
    await town.until("Mon 10:30")
    await kiosk.crash()
    kiosk.clock.reboot(behind_s=9 * HOUR)
    await kiosk.start()
    shown = await kiosk.tap("Anna", "Mon 16:00")
    assert shown in ("accepted", "clocked_out")
    assert kiosk.clock.now().wall_s < town.unix("Mon 10:00")
    await town.until("Mon 16:30")
    kiosk.clock.synchronise()
    await asyncio.sleep(HOUR)
    assert town.sheet() == ["Anna Mon 10:00:00 - Mon 16:00:00"]


@told_in_town()
async def test_the_same_minutes_come_again_at_each_boot(town: Town) -> None:
    """systemd #11008, #5097, #25457: time-sync.target is reached before the time is right, and the time that was saved
    is not written, so that the same minutes come again at each boot.

    Three boots that begin at the same minute, and no network: nothing is sent, the order is that of the taps, and what
    no clock can ever tell waits for a person instead of being guessed.
    """
    kiosk = await town.kiosk()
    await town.until("Mon 07:00")
    kiosk.offline()
    for hour in ("08", "12", "16"):
        await kiosk.crash()
        kiosk.clock.reboot(behind_s=town.now + kiosk.clock.ahead_s - town.unix("Mon 06:00"))
        await kiosk.start()
        assert await kiosk.tap("Anna", f"Mon {hour}:00") in ("clocked_in", "accepted")
    taps = await kiosk.punches()
    assert len(taps) == 3
    assert len({int(punch.raw_at / HOUR) for punch in taps}) < 3
    assert not any(punch.time_known for punch in taps)
    kiosk.clock.synchronise()
    kiosk.online()
    await asyncio.sleep(HOUR)
    assert town.sheet() == []
    stuck = await kiosk.stuck()
    assert [line.split(": ")[1] for line in stuck] == ["held clock_untrusted"] * 2 + ["held earlier_punch_undecided"]
    lane = sorted(await kiosk.punches(), key=lambda punch: punch.seq)
    assert [punch.time_known for punch in lane] == [False, False, True]


@told_in_town()
async def test_1970_ends_when_the_network_comes_and_no_tap_waits_for_it(town: Town) -> None:
    """esp-rfid #626: booted without Wi-Fi the time stays 1970 also when the network is there later, and the look-up of
    a time server stalls every tap for ten seconds.

    In 1970 each tap is taken at once; when the time comes, hours later, each stands at its true second.
    """
    kiosk = await town.kiosk()
    await kiosk.crash()
    kiosk.clock.reboot(behind_s=town.now + kiosk.clock.ahead_s - 12.0)
    kiosk.offline()
    await kiosk.start()
    for name, clock in (("Anna", "08:00"), ("Bob", "08:01"), ("Carl", "12:00")):
        await kiosk.tap(name, f"Mon {clock}")
        assert town.now - town.unix(f"Mon {clock}") < 1
    assert max(punch.raw_at for punch in await kiosk.punches()) < 365 * 24 * HOUR
    kiosk.online()
    await town.until("Mon 13:00")
    assert town.sheet() == []
    kiosk.clock.synchronise()
    await asyncio.sleep(HOUR)
    assert town.sheet() == ["Anna Mon 08:00:00 - open", "Bob Mon 08:01:00 - open", "Carl Mon 12:00:00 - open"]


@told_in_town()
async def test_the_timesheet_shows_the_tap_and_not_the_sending(town: Town) -> None:
    """Uni-Event PR #248: the time of the synchronisation replaces the time of the event.

    Tapped from 06:00 to 09:30, sent at 10:00, and one of them again after a lost request: the timesheet shows the taps.
    """
    kiosk = await town.kiosk()
    kiosk.offline()
    await kiosk.tap("Anna", "Mon 06:00")
    await kiosk.tap("Bob", "Mon 06:00:59")
    await kiosk.tap("Anna", "Mon 09:30")
    await town.until("Mon 10:00")
    town.sandbox.faults.set(kind=Kind.DROP, processed=False, method="POST", count=1)
    kiosk.online()
    await asyncio.sleep(HOUR)
    assert town.sheet() == ["Anna Mon 06:00:00 - Mon 09:30:00", "Bob Mon 06:00:59 - open"]


@told_in_town()
async def test_a_night_is_one_shift_of_the_evening_it_began(town: Town) -> None:
    """hrms #3298; horilla #358: a shift over midnight is booked on the wrong day.

    22:00 to 06:00, sent live, and the same in an outage: one shift each, from evening to morning.
    """
    kiosk = await town.kiosk()
    await kiosk.tap("Anna", "Mon 22:00")
    await kiosk.tap("Anna", "Tue 06:00")
    await town.until("Tue 12:00")
    kiosk.offline()
    await kiosk.tap("Bob", "Tue 22:00")
    await kiosk.tap("Bob", "Wed 06:00")
    await town.until("Thu 12:00")
    kiosk.online()
    await asyncio.sleep(HOUR)
    assert town.sheet() == ["Anna Mon 22:00:00 - Tue 06:00:00", "Bob Tue 22:00:00 - Wed 06:00:00"]
    assert await kiosk.stuck() == []


@told_in_town(monday=datetime.date(2026, 11, 30))
async def test_a_night_over_the_end_of_a_month_and_of_the_process(town: Town) -> None:
    """nfc-attendance-kit: its state is read from the current month's file alone, so that a night shift over the end of
    a month is turned round.

    In on 30 November, a restart after midnight, out on 1 December: the tap is a clock-out, and the shift is one.
    """
    kiosk = await town.kiosk()
    assert await kiosk.tap("Anna", "Mon 22:00") == "clocked_in"
    await town.until("Tue 01:00")
    await kiosk.crash()
    kiosk.clock.reboot(synchronised=True)
    await kiosk.start()
    assert await kiosk.tap("Anna", "Tue 06:00") == "clocked_out"
    await asyncio.sleep(HOUR)
    assert town.sheet() == ["Anna Mon 22:00:00 - Tue 06:00:00"]


@told_in_town()
async def test_night_after_night_needs_nobody(town: Town) -> None:
    """nfc-attendance-kit: each night shift is an error, because the day changes within it.

    Three nights in a row: three shifts, and nothing for a person to look at.
    """
    kiosk = await town.kiosk()
    nights = list(zip(("Mon", "Tue", "Wed"), ("Tue", "Wed", "Thu"), strict=True))
    for evening, morning in nights:
        assert await kiosk.tap("Anna", f"{evening} 21:30") == "clocked_in"
        assert await kiosk.tap("Anna", f"{morning} 06:15") == "clocked_out"
    await asyncio.sleep(HOUR)
    assert town.sheet() == [f"Anna {evening} 21:30:00 - {morning} 06:15:00" for evening, morning in nights]
    assert await kiosk.stuck() == []


@told_in_town(monday=datetime.date(2027, 10, 25))
async def test_the_hour_that_comes_twice_is_two_hours(town: Town) -> None:
    """biometric-attendance-sync-tool: times are local and name no zone, so that the hour which comes twice in October
    is lost or paid twice.

    From 01:30 to 02:30 the second time is two hours, live and as a completed shift after an outage.
    """
    await town.until("Sat 20:00")
    kiosk, cut_off = await town.kiosk(), await town.kiosk("back-door")
    cut_off.offline()
    await kiosk.tap("Anna", "Sun 01:30")
    await cut_off.tap("Bob", "Sun 01:31")
    await kiosk.tap("Anna", "Sun 02:30 CET")
    await cut_off.tap("Bob", "Sun 02:31 CET")
    await town.until("Mon2 08:00")
    cut_off.online()
    await asyncio.sleep(HOUR)
    assert town.sheet() == ["Anna Sun 01:30:00 - Sun 02:30:00 CET", "Bob Sun 01:31:00 - Sun 02:31:00 CET"]
    assert [(row.end or 0) - row.start for row in town.sandbox.timesheet()] == [2 * HOUR, 2 * HOUR]


@told_in_town()
async def test_a_clock_that_steps_back_turns_nobody_away(town: Town) -> None:
    """ras: the guard against double taps uses the wall clock; after a step back every tap of that badge is refused
    until the clock has caught up.

    The clock steps an hour back between coming and going: the tap counts, and its second is the true one.
    """
    kiosk = await town.kiosk()
    await kiosk.tap("Anna", "Mon 08:00")
    await town.until("Mon 08:10")
    kiosk.offline()  # nobody disputes the step
    kiosk.clock.synchronised = False
    kiosk.clock.step(-HOUR)
    assert await kiosk.tap("Anna", "Mon 08:20") == "clocked_out"
    assert await kiosk.tap("Anna", "Mon 08:20:30") == "repeat"
    kiosk.clock.synchronise()
    kiosk.online()
    await asyncio.sleep(HOUR)
    assert town.sheet() == ["Anna Mon 08:00:00 - Mon 08:20:00"]


@told_in_town()
async def test_a_clock_that_steps_forward_lets_no_double_tap_through(town: Town) -> None:
    """nfc-attendance-kit: its guard of five minutes is the wall clock's, so that a step forward makes one tap two.

    NTP sets the clock ten minutes on between a tap and its impatient repetition: it is a repeat, and one clock-in.
    """
    kiosk = await town.kiosk()
    kiosk.clock.ahead_s, kiosk.clock.synchronised = -600.0, False
    kiosk.offline()
    await kiosk.crash()
    kiosk.clock.reboot()
    await kiosk.start()
    await kiosk.tap("Anna", "Mon 08:00")
    kiosk.clock.synchronise()
    assert await kiosk.tap("Anna", "Mon 08:00:20") == "repeat"
    kiosk.online()
    await asyncio.sleep(HOUR)
    assert town.sheet() == ["Anna Mon 08:00:00 - open"]


@told_in_town()
async def test_a_restart_with_an_earlier_clock_keeps_the_order_of_the_taps(town: Town) -> None:
    """litequeue: items are ordered by an id of the wall clock, so that a step back across a restart breaks the order.

    In, then out after a restart six hours behind, then in again once the clock is right: the last tap is not taken for
    the end of the first shift.
    """
    kiosk = await town.kiosk()
    await kiosk.tap("Anna", "Mon 12:00")
    await town.until("Mon 12:30")
    kiosk.offline()
    await kiosk.crash()
    kiosk.clock.reboot(behind_s=6 * HOUR)
    await kiosk.start()
    await kiosk.tap("Anna", "Mon 15:00")
    await kiosk.crash()
    kiosk.clock.reboot(synchronised=True)
    await kiosk.start()
    assert await kiosk.tap("Anna", "Mon 16:00") == "accepted"
    lane = sorted(await kiosk.punches(), key=lambda punch: punch.seq)
    assert [punch.direction and punch.direction.value for punch in lane] == ["clock_in", None, None]
    out = lane[1]
    assert out.raw_at < lane[0].raw_at
    await kiosk.built.kiosk.decisions.resolve(out.id, time=town.unix("Mon 15:00"), by="test")
    kiosk.online()
    await asyncio.sleep(HOUR)
    assert town.sheet() == ["Anna Mon 12:00:00 - Mon 15:00:00", "Anna Mon 16:00:00 - open"]
