"""What others sent twice, in the wrong order, or not at all because of somebody else."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from daemon.keeping import RetentionWatch
from sandbox.connecteam.behaviour import SecondClockIn
from sandbox.faults import Kind
from tests.support.between import Between, answer
from tests.support.museum import DAY, HOUR, told_in_town
from tests.support.town import Town

MANY = tuple(f"P{number:02d}" for number in range(30))


def posts(town: Town) -> int:
    """How many writing requests reached the service."""
    return sum(entry.request.method != "GET" for entry in town.sandbox.log.entries)


# --- twice


@told_in_town()
async def test_syncing_again_records_nothing_again(town: Town) -> None:
    """horilla #1227, #492; biometric-attendance-sync-tool PR #30: a second synchronisation makes duplicate attendances.

    "Sync now" ten times, among lost answers and before and after a restart: each shift stands there once.
    """
    town.sandbox.company.behaviour.second_clock_in = SecondClockIn.SECOND_SHIFT
    kiosk = await town.kiosk()
    await town.until("Mon 07:59")
    town.sandbox.faults.set(kind=Kind.DROP, processed=True, method="POST", count=2)
    await kiosk.tap("Anna", "Mon 08:00")
    await kiosk.tap("Bob", "Mon 08:00:05")
    for _ in range(10):
        await asyncio.sleep(2)
        await kiosk.delivery.sync_now()
    await kiosk.stop()
    await kiosk.start()
    await kiosk.delivery.sync_now()
    await asyncio.sleep(HOUR)
    assert town.sheet() == ["Anna Mon 08:00:00 - open", "Bob Mon 08:00:05 - open"]
    assert posts(town) == 2


@told_in_town()
async def test_a_lost_answer_is_looked_up_before_anything_is_sent(town: Town) -> None:
    """ras: when the answer to a punch is lost, the same punch is posted again.

    A service that would record it twice, and three kinds of lost answers in a row: once, and one request.
    """
    town.sandbox.company.behaviour.second_clock_in = SecondClockIn.SECOND_SHIFT
    kiosk = await town.kiosk()
    await town.until("Mon 07:59")
    for kind in (Kind.DROP, Kind.HANG, Kind.TORN):
        town.sandbox.faults.set(kind=kind, processed=True, method="POST", count=1)
    for name in ("Anna", "Bob", "Carl"):
        await kiosk.tap(name)
    await asyncio.sleep(HOUR)
    assert [line.partition(" - ")[0] for line in town.sheet()] == [f"{n} Mon 07:59:00" for n in ("Anna", "Bob", "Carl")]
    assert posts(town) == 3


@told_in_town()
async def test_a_crash_between_the_sending_and_the_noting(town: Town) -> None:
    """pi-time: a crash between the request and the deletion from the queue sends the punch twice, and nothing in it
    tells that it is the same one.

    Killed at ten moments of a request's life, from its leaving to after its answer: one shift, to the second.
    """
    town.sandbox.company.behaviour.second_clock_in = SecondClockIn.SECOND_SHIFT
    kiosk = await town.kiosk()
    days = ("Mon", "Tue", "Wed", "Thu", "Fri")
    for number, day in enumerate(days):
        for hour in ("08", "16"):
            await kiosk.tap("Anna", f"{day} {hour}:00")
            await asyncio.sleep(1.45 + number * 0.08)  # it leaves after 1.5 s, and takes 0.15 s each way
            await kiosk.crash()
            await kiosk.start()
            await asyncio.sleep(600)
    assert town.sheet() == [f"Anna {day} 08:00:00 - {day} 16:00:00" for day in days]
    assert await kiosk.stuck() == []


@told_in_town()
async def test_unfinished_work_is_taken_up_and_not_done_again(town: Town) -> None:
    """persist-queue: at a start all items that were not acknowledged are queued again, whatever had become of them.

    A completed shift was recorded and its answer lost with the power: after the restart it is found by its mark, and
    not recorded again.
    """
    kiosk = await town.kiosk()
    kiosk.offline()
    await kiosk.tap("Anna", "Mon 08:00")
    await kiosk.tap("Anna", "Mon 16:00")
    await town.until("Tue 12:00")
    town.sandbox.faults.set(kind=Kind.HANG, processed=True, method="POST", count=1)
    kiosk.online()
    await asyncio.sleep(8)
    assert town.sheet() == ["Anna Mon 08:00:00 - Mon 16:00:00"]
    await kiosk.crash()
    await kiosk.start()
    await asyncio.sleep(HOUR)
    assert town.sheet() == ["Anna Mon 08:00:00 - Mon 16:00:00"]
    assert posts(town) == 1
    assert await kiosk.stuck() == []


@told_in_town(names=MANY)
async def test_what_is_done_stays_done_among_many(town: Town) -> None:
    """pi-time: the list of what may be deleted is appended to by many goroutines without a lock; lost entries are sent
    again.

    Thirty people's punches, a fifth of the answers lost, people asking for lists and syncs meanwhile: each was written
    once, and each is marked as delivered.
    """
    kiosk = await town.kiosk()
    kiosk.offline()
    for number, name in enumerate(MANY):
        await kiosk.tap(name, f"Mon 08:00:{number:02d}")
    town.sandbox.faults.set(kind=Kind.DROP, processed=True, method="POST", probability=0.2)
    kiosk.online()
    for _ in range(40):
        await asyncio.sleep(3)
        await kiosk.delivery.sync_now()
        await kiosk.punches()
    await asyncio.sleep(2 * HOUR)
    assert town.sheet() == [f"{name} Mon 08:00:{number:02d} - open" for number, name in enumerate(MANY)]
    assert {punch.state.value for punch in await kiosk.punches()} == {"delivered"}
    assert posts(town) == 30


@told_in_town()
async def test_a_month_later_nothing_goes_again(town: Town) -> None:
    """nfc-attendance-kit: the monthly synchronisation posts all records of the month once more, without a key.

    Ten days of shifts, then restarts, syncs and days without a tap: not one more writing request.
    """
    kiosk = await town.kiosk(readers={"in": "clock_in", "out": "clock_out"})
    days = [f"{day}{week}" for week in ("", "2") for day in ("Mon", "Tue", "Wed", "Thu", "Fri")]
    for day in days:
        await kiosk.tap("Anna", f"{day} 08:00", reader="in")
        await kiosk.tap("Anna", f"{day} 16:00", reader="out")
    await asyncio.sleep(HOUR)
    before = posts(town)
    for _ in range(3):
        await kiosk.stop()
        await kiosk.start()
        await kiosk.delivery.sync_now()
        await asyncio.sleep(7 * DAY)
    assert posts(town) == before == 20
    assert town.sheet() == [f"Anna {day} 08:00:00 - {day} 16:00:00" for day in days]


@told_in_town()
async def test_forgetting_the_past_repeats_nothing(town: Town) -> None:
    """biometric-attendance-sync-tool: it finds its place by the last line of a log that is rotated away; then all is
    sent again.

    What is delivered is pruned as early as can be: the next restart sends nothing of it, and a shift of 35 hours that
    is still open then keeps its beginning and gets its end.
    """
    kiosk = await town.kiosk(readers={"in": "clock_in", "out": "clock_out"}, attendance={"max_shift_s": 36 * HOUR})
    await kiosk.tap("Anna", "Mon 08:00", reader="in")
    await kiosk.tap("Anna", "Mon 16:00", reader="out")
    await kiosk.tap("Bob", "Thu 06:00", reader="in")
    await town.until("Fri 12:00")
    part = kiosk.built.kiosk
    pruning = asyncio.create_task(RetentionWatch(1, database=part.database, timekeeper=part.timekeeper).run())
    await asyncio.sleep(60)
    assert not pruning.done()
    pruning.cancel()
    assert [punch.name for punch in await kiosk.punches()] == ["Bob"]
    await kiosk.crash()
    await kiosk.start()
    await kiosk.tap("Bob", "Fri 17:00", reader="out")
    await asyncio.sleep(HOUR)
    assert town.sheet() == ["Anna Mon 08:00:00 - Mon 16:00:00", "Bob Thu 06:00:00 - Fri 17:00:00"]
    assert posts(town) == 4


# --- in which order


@told_in_town(names=MANY)
async def test_one_request_at_a_time_and_nobody_leaves_before_they_came(town: Town) -> None:
    """pi-time: all that waits is posted at the same time, so that a clock-out can arrive before its clock-in.

    Thirty people in and out during an outage, requests of all lengths: never two at a time, and each person's arrive
    in their order.
    """
    kiosk = await town.kiosk()
    kiosk.offline()
    for hour in ("08", "09"):
        for number, name in enumerate(MANY):
            await kiosk.tap(name, f"Mon {hour}:00:{number:02d}")
    for delay_s in (1.0, 0.0, 3.0):
        town.sandbox.faults.set(kind=Kind.NONE, delay_s=delay_s, probability=0.3)
    between = Between(kiosk)
    kiosk.online()
    await asyncio.sleep(HOUR)
    assert between.out_max == 1
    arrived = [
        (entry.user_ids[0], entry.request.path.rsplit("/", 1)[1])
        for entry in town.sandbox.log.entries
        if entry.request.method == "POST"
    ]
    for user_id in town.ids.values():
        assert [what for who, what in arrived if who == user_id] == ["clock-in", "clock-out"]
    assert await kiosk.stuck() == []


@told_in_town(names=("Carl", "Bob", "Anna", "Eve", "Dan"))
async def test_the_oldest_goes_first(town: Town) -> None:
    """libpretixsync: what is queued is read without an order.

    Five people tap in an order that is neither that of their names, nor of their ids, nor of their badges: the service
    hears of them in the order in which they tapped.
    """
    kiosk = await town.kiosk()
    kiosk.offline()
    tapped = ("Bob", "Eve", "Carl", "Dan", "Anna")
    for number, name in enumerate(tapped):
        await kiosk.tap(name, f"Mon 08:0{number}")
    for number, name in enumerate(reversed(tapped)):
        await kiosk.tap(name, f"Mon 08:1{number}")
    kiosk.online()
    await asyncio.sleep(HOUR)
    people = {user_id: name for name, user_id in town.ids.items()}
    arrived = [people[e.user_ids[0]] for e in town.sandbox.log.entries if e.request.method == "POST"]
    assert arrived == [*tapped, *reversed(tapped)]


@told_in_town()
async def test_two_taps_in_one_second_are_two(town: Town) -> None:
    """pi-time: the key of a punch is its person and second, so that the second of two overwrites the first.

    Two people at two doors in one second, and one person at both doors in one second: all four taps are kept, and none
    takes another's place.
    """
    kiosk = await town.kiosk(readers={"in": "clock_in", "out": "clock_out"})
    await town.until("Mon 08:00")
    await asyncio.gather(kiosk.tap("Bob", reader="in"), kiosk.tap("Carl", reader="in"))
    await kiosk.tap("Anna", reader="in")
    await asyncio.sleep(0.2)
    await kiosk.tap("Anna", reader="out")
    kept = await kiosk.punches()
    assert len({punch.id for punch in kept}) == len(kept) == 4
    await asyncio.sleep(HOUR)
    assert town.sheet() == [f"{name} Mon 08:00:00 - open" for name in ("Anna", "Bob", "Carl")]
    assert await kiosk.stuck() == ["Anna Mon 08:00:00 clock_out: review same_second"]


# --- somebody else's trouble


@told_in_town()
async def test_one_refused_record_stops_nobody_else(town: Town) -> None:
    """biometric-attendance-sync-tool #21: one rejected record stops the whole import.

    The service refuses one person's punches: the others' arrive in the same minute, and hers say why they did not.
    """
    kiosk = await town.kiosk()
    town.manager.unassign(town.ids["Anna"])
    kiosk.offline()
    for number, name in enumerate(("Anna", "Bob", "Carl")):
        await kiosk.tap(name, f"Mon 08:0{number}")
    kiosk.online()
    await asyncio.sleep(60)
    assert town.sheet() == ["Bob Mon 08:01:00 - open", "Carl Mon 08:02:00 - open"]
    assert await kiosk.stuck() == ["Anna Mon 08:00:00 clock_in: review not_assigned"]


@told_in_town()
async def test_an_error_nobody_knows_is_one_persons(town: Town) -> None:
    """biometric-attendance-sync-tool: an error that it does not know ends the work on that terminal; everything behind
    it waits.

    A refusal in words that nobody has ever seen: one punch needs a person, who is shown the words, and the queue goes
    on.
    """
    kiosk = await town.kiosk()
    await town.until("Mon 07:00")
    words = "the flux capacitor is not charged"
    town.sandbox.faults.set(kind=Kind.ERROR, status=409, text=words, user_id=town.ids["Anna"], method="POST")
    await kiosk.tap("Anna", "Mon 08:00")
    await kiosk.tap("Bob", "Mon 08:01")
    await kiosk.tap("Carl", "Mon 08:02")
    await asyncio.sleep(60)
    assert town.sheet() == ["Bob Mon 08:01:00 - open", "Carl Mon 08:02:00 - open"]
    (punch,) = [punch for punch in await kiosk.punches() if punch.state.value == "review"]
    assert words in str(punch.detail)


@told_in_town()
async def test_a_page_that_is_no_answer_blocks_only_its_own(town: Town) -> None:
    """libpretixsync: a 404 that is no JSON (a portal, an address that moved) is caught outside the loop; the round ends
    as a success, and the same row stays first and blocks all others each time.

    One person's requests meet such a page for hours: everybody else's arrive within the hour, and hers once it is gone.
    """
    kiosk = await town.kiosk()
    await town.until("Mon 07:00")
    page = town.sandbox.faults.set(kind=Kind.PORTAL, status=404, user_id=town.ids["Anna"], method="POST")
    await kiosk.tap("Anna", "Mon 08:00")
    await kiosk.tap("Bob", "Mon 08:01")
    await kiosk.tap("Carl", "Mon 08:02")
    await town.until("Mon 09:00")
    assert town.sheet() == ["Bob Mon 08:01:00 - open", "Carl Mon 08:02:00 - open"]
    await kiosk.tap("Bob", "Mon 10:00")
    await town.until("Mon 10:30")
    assert town.sheet("Bob") == ["Bob Mon 08:01:00 - Mon 10:00:00"]
    town.sandbox.faults.clear(page.id)
    await asyncio.sleep(HOUR)
    assert town.sheet("Anna") == ["Anna Mon 08:00:00 - open"]


@pytest.mark.parametrize("status", [400, 404])
@told_in_town()
async def test_a_refusal_deletes_nothing(town: Town, status: int) -> None:
    """libpretixsync: an answer of 400 or 404 with JSON deletes the row; what was refused is nowhere on the device.

    Refused with either, a punch is kept with the service's words; taken up again by a person it arrives, to the second.
    """
    kiosk = await town.kiosk()
    await town.until("Mon 07:00")
    no = town.sandbox.faults.set(kind=Kind.ERROR, status=status, text="User 101 does not exist", method="POST", count=1)
    await kiosk.tap("Anna", "Mon 08:00")
    await town.until("Mon 09:00")
    assert town.sheet() == []
    (punch,) = await kiosk.punches()
    assert punch.state.value == "review"
    assert "does not exist" in str(punch.detail)
    town.sandbox.faults.clear(no.id)
    await kiosk.delivery.retry([punch.id], by="test")
    await asyncio.sleep(HOUR)
    assert town.sheet() == ["Anna Mon 08:00:00 - open"]


@told_in_town()
async def test_a_forbidding_page_ends_no_round(town: Town) -> None:
    """libpretixsync: a 403 ends the round for all that waits.

    A proxy forbids one person's request in its own words, which are not the service's: nothing is halted, the others'
    arrive, and hers as soon as the proxy lets it through.
    """
    kiosk = await town.kiosk()
    await town.until("Mon 07:00")
    town.sandbox.faults.set(kind=Kind.STATUS, status=403, user_id=town.ids["Anna"], method="POST", count=2)
    await kiosk.tap("Anna", "Mon 08:00")
    await kiosk.tap("Bob", "Mon 08:01")
    await asyncio.sleep(30)
    assert kiosk.delivery.status().state != "halted"
    await asyncio.sleep(HOUR)
    assert town.sheet() == ["Anna Mon 08:00:00 - open", "Bob Mon 08:01:00 - open"]


@told_in_town()
async def test_a_throttle_that_names_a_date(town: Town) -> None:
    """libpretixsync: a 429 sleeps as long as Retry-After says and tries once; a Retry-After that is a date crashes it.

    Four 429s in a row, with a date, a wrong date, nothing and a number in that header: taps are taken meanwhile, and
    all arrives without a single further refusal.
    """
    kiosk = await town.kiosk()
    await town.until("Mon 07:00")
    tellings = ["Mon, 23 Nov 2026 07:05:00 GMT", "in a while", None, "30"]

    def meet(request: httpx.Request) -> httpx.Response | None:
        if request.method != "POST" or not tellings:
            return None
        told = tellings.pop(0)
        headers = {} if told is None else {"retry-after": told}
        return answer(429, b'{"detail": "Too many requests"}', headers)

    Between(kiosk, meet)
    await kiosk.tap("Anna", "Mon 08:00")
    await asyncio.sleep(30)
    assert await kiosk.tap("Bob", "Mon 08:01") == "clocked_in"
    await asyncio.sleep(HOUR)
    assert tellings == []
    assert town.sheet() == ["Anna Mon 08:00:00 - open", "Bob Mon 08:01:00 - open"]


@told_in_town(names=MANY)
async def test_gates_that_reconnect_do_not_stampede(town: Town) -> None:
    """libpretixsync: the pause after a failure is thirty seconds for everybody; after an outage all gates come back in
    the same moment.

    Eight kiosks behind one line: when it is back their first requests are spread, and when it fails the tries are too.
    """
    kiosks = []
    for number in range(8):
        kiosks.append(await town.kiosk(f"door-{number}"))
    await town.until("Mon 08:00")
    for kiosk in kiosks:
        kiosk.offline()
    await asyncio.gather(*(kiosk.tap(name) for kiosk, name in zip(kiosks, MANY, strict=False)))
    await asyncio.sleep(20 * 60)
    tries = {round(kiosk.delivery.status().next_try_at, 1) for kiosk in kiosks}
    assert len(tries) >= 7
    before = town.sandbox.log.arrived
    for kiosk in kiosks:
        kiosk.online()
    await asyncio.sleep(60)
    first = [entry.at for entry in town.sandbox.log.entries[before:]][:8]
    assert len({round(at, 2) for at in first}) >= 7
    assert len(town.sheet()) == 8
