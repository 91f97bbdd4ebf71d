"""Nothing that keeps delivery waiting makes it turn in circles: an hour in every state, and in every pair of them.

A loop that spins until a pause is over costs a small machine its processor, and one that asks meanwhile its account's
day. `make spins` tries every three of them, and hundreds of larger combinations.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest

from daemon.timesheets.timesheet import Budget, Reply, Step
from sandbox.faults import Kind
from tests.support.delivery_bench import ANNA, BOB, CARL, Bench, on_bench

HOUR, DAY = 3600, 86400
#: While the service refuses the key its file is looked at 240 times an hour; nothing else may come near that.
TURNS_MAX = 400
#: A link that changes each minute is a reason to try, once each time, and a few times more once in five minutes;
#: everything else asks less. Where a read is refused each try is two: a probe tells whether the key is good.
REQUESTS_MAX = 280


async def something_waits(bench: Bench) -> None:
    """One that may go live, one that waits for its other half, and a pair that has expired."""
    await bench.punch(ANNA, "clock_out", ago_s=30)
    await bench.punch(BOB, "clock_in", ago_s=20 * HOUR)
    await bench.punch(BOB, "clock_out", ago_s=15 * HOUR)
    await bench.punch(BOB, "clock_in", ago_s=13 * HOUR)


async def paused(bench: Bench) -> None:
    """A person paused it."""
    await bench.delivery.pause("uid:0")


async def halted(bench: Bench) -> None:
    """The service refuses the key."""
    bench.sandbox.company.access.revoke_all()


async def offline(bench: Bench) -> None:
    """No network."""
    bench.sandbox.cable.cut()


async def spent(bench: Bench) -> None:
    """The day's requests are used up."""
    ends_at = bench.timekeeper.now() + 9 * HOUR
    bench.delivery.pacer.note_budget(Budget(day_limit=100, day_remaining=0, day_reset_at=ends_at), 0.0)


async def nearly_spent(bench: Bench) -> None:
    """Only the reserve for live punches is left of it."""
    ends_at = bench.timekeeper.now() + 9 * HOUR
    bench.delivery.pacer.note_budget(Budget(day_limit=100, day_remaining=10, day_reset_at=ends_at), 0.0)


async def untrusted(bench: Bench) -> None:
    """Nothing vouches for the clock."""
    bench.clock.reboot()


async def disputed(bench: Bench) -> None:
    """The clock is two minutes off, whatever the kernel says, and that is known."""
    bench.clock.step(120)
    await bench.delivery.check_key()


async def in_review(bench: Bench) -> None:
    """A manager must unlock a day, and does not."""
    bench.sandbox.manager.lock_day(CARL, bench.second())
    await bench.punch(CARL, "clock_in")
    await asyncio.sleep(30)


async def sent_again(bench: Bench) -> None:
    """What was absent from two looks and went again is to be read once more, and stands there twice."""
    now = bench.timekeeper.now()
    bench.delivery._planning.sent_again[ANNA] = (now - 14 * 60, now - HOUR)
    (first, *_) = await bench.punches()
    bench.sandbox.manager.add_shift(ANNA, first.second, source="api")


async def toggling(bench: Bench) -> None:
    """The timesheet is read now and then for a reader that toggles."""
    planning = bench.delivery._planning
    planning.policy = replace(planning.policy, snapshots=True)
    bench.delivery.wake()


async def reads_refused(bench: Bench) -> None:
    """The key may punch and not read."""
    bench.sandbox.faults.set(kind=Kind.ERROR, path="*/time-activities", method="GET", status=403, text="Forbidden")


async def unreadable(bench: Bench) -> None:
    """A record of somebody's cannot be read, and something of theirs needs a look."""
    shift = bench.sandbox.manager.add_shift(CARL, bench.second(20 * HOUR), bench.second(19 * HOUR))
    assert shift.end is not None
    shift.end = replace(shift.end, at=0)
    await bench.punch(CARL, "clock_out", ago_s=1200)
    await asyncio.sleep(30)


async def greetings_refused(bench: Bench) -> None:
    """What the greeting is refused for, nobody knows."""
    bench.sandbox.faults.set(kind=Kind.ERROR, path="*/me", status=402, text="No idea")


async def writes_lost(bench: Bench) -> None:
    """What writes is lost on the way, and reads are answered."""
    bench.sandbox.faults.set(kind=Kind.DROP, method="POST", processed=False)


async def garbled(bench: Bench) -> None:
    """A portal answers everything."""
    bench.sandbox.faults.set(kind=Kind.PORTAL)


async def throttled(bench: Bench) -> None:
    """The service refuses for its budget, without saying until when."""
    bench.sandbox.faults.set(kind=Kind.THROTTLE_200)


async def flapping(bench: Bench) -> None:
    """Links come and go, one change a minute."""

    async def flap() -> None:
        while True:
            await asyncio.sleep(60)
            bench.delivery.network_changed()

    bench.flapping = asyncio.create_task(flap())  # type: ignore[attr-defined]


State = Callable[[Bench], Awaitable[None]]
#: In the order in which they come about: what needs the service to work is first.
STATES: tuple[State, ...] = (
    in_review, sent_again, toggling, nearly_spent, spent, unreadable, reads_refused, greetings_refused, writes_lost,
    throttled, garbled, halted, offline, disputed, untrusted, paused, flapping,
)  # fmt: skip
LONG = os.environ.get("PUNCHD_SPINS") == "long"
SOME = [some for count in range(4 if LONG else 3) for some in combinations(STATES, count)]
if LONG:
    chance = random.Random(1)
    SOME += [tuple(state for state in STATES if chance.random() < 0.5) for _ in range(400)]
#: Found by the long run: the late look, failing, was repeated with every request that could leave.
SOME.append((in_review, sent_again, reads_refused, garbled, halted, flapping))
#: Each with something that waits, and alone or in the long run also without.
COMBINED = [(*some, something_waits) for some in SOME] + [some for some in SOME if LONG or len(some) != 2]


@pytest.mark.parametrize("states", COMBINED, ids=lambda states: "+".join(state.__name__ for state in states) or "none")
def test_an_hour_costs_few_turns_and_few_requests(tmp_path: Path, states: tuple[State, ...]) -> None:
    """Whatever stands, and whatever stands beside it."""

    async def story(bench: Bench) -> None:
        bench.sandbox.company.limits.with_headers = False
        await bench.punch(ANNA, "clock_in", ago_s=60)
        await asyncio.sleep(30)
        for state in states:
            await state(bench)
        turns = requests = 0
        turn, carry_out = bench.delivery._turn, bench.timesheet.carry_out

        async def counted() -> float | None:
            nonlocal turns
            turns += 1
            bench.delivery._stopping |= turns > TURNS_MAX
            return await turn()

        async def asked(step: Step) -> Reply:
            nonlocal requests
            requests += 1
            return await carry_out(step)

        bench.delivery._turn = counted  # type: ignore[method-assign]
        bench.timesheet.carry_out = asked  # type: ignore[method-assign]
        await asyncio.sleep(HOUR)
        if flapping in states:
            bench.flapping.cancel()  # type: ignore[attr-defined]
        assert (turns <= TURNS_MAX, requests <= REQUESTS_MAX) == (True, True), (turns, requests)
        assert bench.running

    on_bench(tmp_path, story)
