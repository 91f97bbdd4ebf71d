"""What the clocks' evidence is worth: trust, doubt, and the best known time of a moment. Times are Unix seconds."""

from __future__ import annotations

import pytest

from daemon.clock import SystemClock, Timekeeper
from drivers.reader import Evidence
from tests.support.fake_clock import START, FakeClock

HOUR = 3600.0


def keeper(*, synchronised: bool) -> tuple[Timekeeper, FakeClock]:
    """A kiosk that has just started."""
    clock = FakeClock(synchronised=synchronised)
    return Timekeeper(clock), clock


def answered(timekeeper: Timekeeper, clock: FakeClock, off_s: float) -> None:
    """The service answers at once; its clock is so far ahead of ours."""
    seen = clock.now()
    timekeeper.note_server_date(int(clock.wall + off_s), seen, seen)


def test_a_clock_that_nothing_vouches_for_is_not_trusted():
    """Neither is its time known, however often it is asked; once synchronised both are, and stay so in this boot."""
    timekeeper, clock = keeper(synchronised=False)
    assert [timekeeper.trusted for _ in range(3)] == [False] * 3
    assert not timekeeper.best(clock.now()).known
    clock.synchronised = True
    assert timekeeper.trusted
    clock.synchronised = False
    assert timekeeper.trusted


@pytest.mark.parametrize(
    ("off_s", "trusted", "doubted"),
    [(0, True, False), (9, True, False), (-9, True, False), (20, False, False), (45, False, True), (-45, False, True)],
)
def test_a_verified_date_vouches_or_disputes(off_s, trusted, doubted):
    """Within 10 s of ours it makes the clock trusted, beyond 30 s doubted; in between it says nothing."""
    timekeeper, clock = keeper(synchronised=False)
    answered(timekeeper, clock, off_s)
    assert (timekeeper.trusted, timekeeper.doubt is not None) == (trusted, doubted)


def test_a_disputed_clock_is_not_trusted_whatever_ntp_says():
    """Synchronised and an hour from the service: doubt, until a Date agrees."""
    timekeeper, clock = keeper(synchronised=True)
    assert timekeeper.trusted
    answered(timekeeper, clock, HOUR)
    assert not timekeeper.trusted
    answered(timekeeper, clock, 0)
    assert timekeeper.trusted


def test_a_slow_answer_proves_nothing():
    """The Date of an answer that took a minute may be of any moment of it."""
    timekeeper, clock = keeper(synchronised=False)
    sent = clock.now()
    clock.advance(60)
    timekeeper.note_server_date(int(clock.wall), sent, clock.now())
    assert (timekeeper.trusted, timekeeper.doubt) == (False, None)


def dated(timekeeper: Timekeeper, clock: FakeClock, date: float) -> None:
    """The service answers at once that it is so late."""
    seen = timekeeper.evidence()
    timekeeper.note_server_date(int(date), seen, seen)


@pytest.mark.parametrize(("ntp", "waits_s"), [(True, 0.0), (False, 0.629)])
def test_a_clock_that_only_a_date_vouches_for_may_be_ahead_by_a_part_of_a_second(ntp, waits_s):
    """What the service says to wait for is waited by the earliest moment that its whole seconds can mean."""
    timekeeper, clock = keeper(synchronised=ntp)
    clock.wall += 0.629
    dated(timekeeper, clock, START)
    assert timekeeper.apart_s == pytest.approx(-waits_s)
    assert timekeeper.server_ahead_s == 0


def test_a_clock_set_right_by_hand_ends_the_doubt_that_asked_for_it():
    """NTP was wrong by 100 s and is turned off; nothing vouches for the clock then but the next Date."""
    timekeeper, clock = keeper(synchronised=True)
    dated(timekeeper, clock, START - 100)
    assert timekeeper.doubt is not None
    clock.wall, clock.synchronised = START - 100, False
    assert not timekeeper.trusted
    dated(timekeeper, clock, START - 100)
    assert timekeeper.trusted
    assert timekeeper.now() == pytest.approx(START - 100)
    assert timekeeper.apart_s == pytest.approx(0, abs=1)
    clock.step(HOUR)
    assert timekeeper.now() == pytest.approx(START - 100)


def test_a_date_that_agrees_with_the_boot_clock_vouches_for_no_other_time():
    """The service was wrong for a while, and somebody set our clock by it: the hand-set time is nobody's."""
    timekeeper, clock = keeper(synchronised=True)
    dated(timekeeper, clock, START + HOUR)
    assert timekeeper.doubt is not None
    clock.wall, clock.synchronised = START + HOUR, False
    clock.advance(60)
    dated(timekeeper, clock, START + 60)
    assert timekeeper.trusted
    assert timekeeper.now() == pytest.approx(START + 60)


def test_a_tap_before_the_clock_was_set_right_gets_its_time_from_the_boot_clock():
    """Two hours behind at the tap, then synchronised: the tap was as long ago as the boot clock says."""
    timekeeper, clock = keeper(synchronised=False)
    clock.wall = START - 2 * HOUR
    tapped = clock.now()
    clock.advance(90)
    clock.wall, clock.synchronised = START, True
    assert timekeeper.trusted
    assert timekeeper.best(tapped).at == pytest.approx(START - 90)
    assert timekeeper.best(tapped).known


def test_another_boots_time_is_known_by_that_boots_trust_alone():
    """What this boot is worth says nothing of the one before it."""
    timekeeper, _ = keeper(synchronised=True)
    assert timekeeper.trusted
    earlier = Evidence(START - HOUR, 5.0, "another boot", True)
    assert not timekeeper.best(earlier).known


def test_the_boot_id_is_the_kernels_also_where_only_systemd_tells_it(tmp_path):
    """From its file; where that is closed, as `%b` writes it: one boot has one form. Without either nothing starts."""
    file, boot = tmp_path / "boot_id", "8dab3880-a730-4122-a285-0b85bcc359a8"
    told = {"PUNCHD_BOOT_ID": boot.replace("-", "")}
    assert SystemClock(file, told).now().boot_id == boot
    file.write_text("11111111-2222-3333-4444-555555555555\n")
    assert SystemClock(file, told).now().boot_id == "11111111-2222-3333-4444-555555555555"
    file.unlink()
    with pytest.raises(FileNotFoundError):
        SystemClock(file, {})
    with pytest.raises(ValueError, match="badly formed"):
        SystemClock(file, {"PUNCHD_BOOT_ID": "%b"})
