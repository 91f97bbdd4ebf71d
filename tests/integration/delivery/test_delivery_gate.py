"""What keeps everything from moving, or one feature: a disputed clock, a certificate, a key that may not read."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from daemon.timesheets.timesheet import CertificateTime, Reply
from sandbox.connecteam.limits import SMALL_BUSINESS
from sandbox.faults import Kind
from tests.support.delivery_bench import ANNA, BOB, CARL, Bench, on_bench

HOUR = 3600


def codes(bench: Bench) -> list[str]:
    """The alarms that stand."""
    return sorted(alarm.code for alarm in bench.alarms.standing())


def test_a_date_far_from_ours_is_doubt_whatever_ntp_says(tmp_path: Path) -> None:
    """Synchronised, and yet a minute ahead of the service: nothing more is sent, what waits is held for the clock.

    Set right, it sends what is tapped then, and never the second that it had wrong.
    """

    async def story(bench: Bench) -> None:
        bench.clock.step(60)
        first = await bench.punch(ANNA, "clock_in", ago_s=70)
        await asyncio.sleep(30)
        assert bench.timekeeper.doubt is not None
        await bench.punch(BOB, "clock_in")
        await asyncio.sleep(HOUR)
        assert set(bench.requests()) == {"GET me"}
        assert {p.reason for p in await bench.punches()} == {"clock_untrusted"}
        bench.clock.step(-60)
        bench.timekeeper.forget_doubt()
        later = await bench.punch(CARL, "clock_in")
        await asyncio.sleep(HOUR)
        assert await bench.state(first) == ("review", "time_disputed")
        assert await bench.state(later) == ("delivered", None)

    on_bench(tmp_path, story)


def test_a_doubt_ends_by_itself_though_nothing_waits(tmp_path: Path) -> None:
    """Nobody taps, and the clock is right again: a rare probe sees it, within the reads that nothing waits for."""

    async def story(bench: Bench) -> None:
        await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(120)
        assert await bench.all_delivered()
        bench.clock.step(60)
        await bench.delivery.check_key()
        await asyncio.sleep(20 * HOUR)
        assert bench.timekeeper.doubt is not None
        assert 20 <= bench.requests().count("GET me") <= 100  # the sandbox's day has 10,000
        bench.clock.step(-60)
        await asyncio.sleep(HOUR)
        assert bench.timekeeper.doubt is None
        asked = len(bench.requests())
        await asyncio.sleep(10 * HOUR)
        assert len(bench.requests()) == asked

    on_bench(tmp_path, story)


def test_an_offline_start_with_nothing_to_send_does_not_stay_offline(tmp_path: Path) -> None:
    """Nobody taps for days: the greeting that reached nobody is said again, ever later, until somebody answers."""

    async def story(bench: Bench) -> None:
        await bench.crash()
        bench.sandbox.cable.cut()
        await bench.start()
        await asyncio.sleep(HOUR)
        assert bench.delivery.status().state == "offline"
        assert bench.delivery.status().next_try_at is not None
        before = len(bench.requests())
        bench.sandbox.cable.restore()
        await asyncio.sleep(HOUR)
        assert bench.delivery.status().state == "online"
        assert len(bench.requests()) - before == 1

    on_bench(tmp_path, story)


def test_an_offline_start_gets_its_trust_though_nothing_waits(tmp_path: Path) -> None:
    """Nothing vouches for the clock and the greeting reached nobody: trust comes with the network, not with a tap."""

    async def story(bench: Bench) -> None:
        bench.clock.reboot()
        bench.sandbox.cable.cut()
        await asyncio.sleep(6 * HOUR)
        assert not bench.timekeeper.trusted
        bench.sandbox.cable.restore()
        await asyncio.sleep(2 * HOUR)
        assert bench.timekeeper.trusted

    on_bench(tmp_path, story)


def test_a_certificate_out_of_its_time_on_an_untrusted_clock_is_a_clock_alarm(tmp_path: Path) -> None:
    """Not "offline, who knows why": the alarm says that the clock is probably wrong, and goes when a request does."""

    async def story(bench: Bench) -> None:
        bench.clock.reboot(behind_s=3)
        carry_out = bench.timesheet.carry_out

        async def too_early(step):  # type: ignore[no-untyped-def]
            return Reply(CertificateTime("certificate is not yet valid"))

        bench.timesheet.carry_out = too_early  # type: ignore[method-assign]
        punch = await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(60)
        assert "certificate_time" in codes(bench)
        bench.timesheet.carry_out = carry_out  # type: ignore[method-assign]
        await asyncio.sleep(HOUR)
        assert "certificate_time" not in codes(bench)
        assert (await bench.state(punch))[0] == "delivered"

    on_bench(tmp_path, story)


def test_a_key_that_may_not_read_still_punches(tmp_path: Path) -> None:
    """403 on a look-up disables look-ups, with an alarm; live punches go, what needs a read is held and says so."""

    async def story(bench: Bench) -> None:
        fault = bench.sandbox.faults.set(
            kind=Kind.ERROR, path="*/time-activities", method="GET", status=403, text="Forbidden"
        )
        old = await bench.punch(CARL, "clock_in", ago_s=HOUR)
        await asyncio.sleep(60)
        assert codes(bench) == ["look_up_refused"]
        await bench.punch(ANNA, "clock_in")
        foreign = await bench.punch(BOB, "clock_out")
        await asyncio.sleep(60)
        assert (await bench.state(old))[0] == "delivered"
        assert await bench.state(foreign) == ("held", "look_up_refused")
        assert [row[0] for row in bench.sheet()] == [ANNA, CARL]
        assert bench.delivery.status().state == "online"
        bench.sandbox.faults.clear(fault.id)
        bench.sandbox.manager.phone_clock_in(BOB, bench.second(2 * HOUR))
        await bench.delivery.sync_now()
        await asyncio.sleep(60)
        assert await bench.all_delivered()
        assert codes(bench) == []

    on_bench(tmp_path, story)


def test_a_key_that_may_not_read_is_found_out_at_one_request_a_minute_too(tmp_path: Path) -> None:
    """The refused read took the minute's only request: the greeting that tells a key from its scope goes all the same,
    and the punch does not wait for a read for ever."""

    async def story(bench: Bench) -> None:
        await asyncio.sleep(120)
        bench.sandbox.faults.set(kind=Kind.ERROR, path="*/time-activities", method="GET", status=403, text="Forbidden")
        old = await bench.punch(ANNA, "clock_in", ago_s=HOUR)
        await asyncio.sleep(300)
        assert await bench.state(old) == ("delivered", None)
        assert codes(bench) == ["look_up_refused"]

    on_bench(tmp_path, story, per_minute=1)


def test_one_persons_write_that_is_forbidden_halts_everything(tmp_path: Path) -> None:
    """403 as JSON on a punch call is the key's trouble: halted, and nothing moves to review."""

    async def story(bench: Bench) -> None:
        bench.sandbox.faults.set(kind=Kind.ERROR, path="*/clock-in", status=403, text="Forbidden", count=1)
        punch = await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(60)
        assert (await bench.state(punch))[0] == "pending"
        assert bench.delivery.status().state == "halted"
        await asyncio.sleep(HOUR)
        assert await bench.all_delivered()

    on_bench(tmp_path, story)


def test_a_network_that_goes_while_halted_is_tried_with_growing_pauses(tmp_path: Path) -> None:
    """Two things in the way at once: the quarter of an hour passes, nothing answers, and it is no reason to hurry."""

    async def story(bench: Bench) -> None:
        tries = 0
        carry_out = bench.timesheet.carry_out

        async def counted(step):  # type: ignore[no-untyped-def]
            nonlocal tries
            tries += 1
            return await carry_out(step)

        bench.timesheet.carry_out = counted  # type: ignore[method-assign]
        await asyncio.sleep(60)
        refused = bench.sandbox.faults.set(kind=Kind.ERROR, status=401)
        punch = await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(60)
        assert codes(bench) == ["halted"]
        bench.sandbox.cable.cut()
        tries = 0
        await asyncio.sleep(6 * HOUR)
        assert 6 < tries < 200
        bench.sandbox.faults.clear(refused.id)
        bench.sandbox.cable.restore()
        await asyncio.sleep(HOUR)
        assert (await bench.state(punch))[0] == "delivered"
        assert codes(bench) == []

    on_bench(tmp_path, story)


@pytest.mark.parametrize("slewed", [False, True], ids=["steady", "slewed"])
def test_a_disputed_clock_leaves_waiting_punches_their_budget(tmp_path: Path, slewed: bool) -> None:
    """A tap waits, the clock is a minute off, and the plan has 100 requests a day: a tenth of them asks about the
    clock, and five at the beginning. Set right it is believed at once, however much was asked before."""

    async def story(bench: Bench) -> None:
        bench.sandbox.company.limits.plan = SMALL_BUSINESS
        await asyncio.sleep(60)
        bench.clock.step(60)
        await bench.delivery.check_key()
        await bench.punch(ANNA, "clock_in", known=False)
        for _ in range(230):
            await asyncio.sleep(360)
            if slewed:
                bench.clock.step(0.2 if bench.clock.ahead_s < 60.1 else -0.2)
                assert bench.timekeeper.evidence() is not None  # as somebody looks every few seconds
        assert bench.timekeeper.doubt is not None
        asked = bench.requests().count("GET me")
        assert 12 <= asked <= 2 + 5 + 10
        bench.clock.step(-bench.clock.ahead_s)
        assert bench.timekeeper.evidence() is not None
        await asyncio.sleep(120)
        assert bench.timekeeper.doubt is None

    on_bench(tmp_path, story)


def test_a_person_who_asks_gets_an_answer_about_the_clock(tmp_path: Path) -> None:
    """It was the service's clock that was wrong, and the day's share is spent: sync now asks all the same."""

    async def story(bench: Bench) -> None:
        bench.sandbox.company.limits.plan = SMALL_BUSINESS
        await asyncio.sleep(60)
        bench.sandbox.clock.move(90)
        await bench.delivery.check_key()
        punch = await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(600)
        assert await bench.state(punch) == ("held", "clock_untrusted")
        bench.sandbox.clock.move(-90)
        asked = len(bench.requests())
        await asyncio.sleep(HOUR)
        assert len(bench.requests()) == asked
        await bench.delivery.sync_now()
        await asyncio.sleep(60)
        assert await bench.state(punch) == ("delivered", None)

    on_bench(tmp_path, story)


@pytest.mark.parametrize("left", [None, "", "half a\nkey"])
def test_a_key_file_that_cannot_be_read_while_halted_is_waited_for(tmp_path: Path, left: str | None) -> None:
    """Whoever replaces a refused key removes it first, or saves half of it: still halted, and the good one is seen."""

    async def story(bench: Bench) -> None:
        key = bench.key_file.read_text()
        del bench.sandbox.company.access.keys[key]
        await bench.punch(ANNA, "clock_in")
        await asyncio.sleep(60)
        assert bench.delivery.status().state == "halted"
        bench.key_file.unlink()
        if left is not None:
            bench.key_file.write_text(left)
        await asyncio.sleep(HOUR)
        assert bench.running
        assert bench.delivery.status().state == "halted"
        bench.sandbox.company.access.keys["another-key-0123456789"] = None
        bench.key_file.write_text("another-key-0123456789")
        await asyncio.sleep(60)
        assert await bench.all_delivered()

    on_bench(tmp_path, story)
