"""What others lost when a reader, its service or its cable did what such things do."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox.handle import Sandbox
from tests.support.door import QUICK, Control, door
from tests.support.museum import HOUR, told_in_town
from tests.support.nursery import Newborn, Nursery
from tests.support.pcscd import PrivatePcscd
from tests.support.reader_rigs import FIRST_BADGE, ScannerRig, typed
from tests.support.sandbox_process import SandboxAdmin, sandbox_thread
from tests.support.town import Town
from tests.support.virtual_card import VirtualCard

ANNA, BADGE = "7", "04A2B3C4D5E680"


# --- NFC readers: a real pcscd, a real punchd


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """Starts one punchd after another, each quickly."""
    made = Nursery()
    yield made
    made.close()


@dataclass
class Scene:
    """A kiosk with an NFC reader whose pcscd is in the test's hands, and the service behind it."""

    pcscd: PrivatePcscd
    punchd: Newborn
    control: Control
    admin: SandboxAdmin

    def reader(self) -> dict[str, Any]:
        """The reader as status shows it."""
        told: dict[str, Any] = self.control.get("readers")[0]
        return told

    def until_reader(self, state: str) -> None:
        """Wait until the reader is `open` or `lost`."""
        self.control.until(lambda status: status["readers"][0]["state"] == state)

    def comes(self, card: VirtualCard) -> None:
        """Hold a card to the reader until it has become a punch."""
        self.control.after(lambda: card.put_on(self.pcscd.ports[0]), "punch.committed")

    def sheet(self) -> list[str]:
        """Whose shifts stand on the timesheet, once nothing is on its way any more."""
        self.control.settled()
        return [row["user_id"] for row in self.admin.timesheet()]


@contextmanager
def scene(pcscd_home: Path, nursery: Nursery, *, pcscd_runs: bool) -> Iterator[Scene]:
    """Switch the kiosk on, with or without a pcscd."""
    sandbox = Sandbox()
    sandbox.company.add_user(ANNA, "Anna")
    pcscd = PrivatePcscd(pcscd_home)
    with tempfile.TemporaryDirectory(prefix="nfc") as name, sandbox_thread(sandbox) as server:
        if pcscd_runs:
            pcscd.start()
        kiosk = door(Path(name) / "kiosk", server.url, more=QUICK)
        kiosk.config.write_text(kiosk.config.read_text().replace('"simulated"', '"pcsc"'))
        punchd, admin = nursery.start(kiosk.config, Path(name) / "log"), SandboxAdmin(server.admin_url)
        try:
            with Control(kiosk) as control:
                control.post("employees", user_id=ANNA, name="Anna", badge=BADGE)
                yield Scene(pcscd, punchd, control, admin)
            assert punchd.stopped() == 0
            assert "Traceback" not in (Path(name) / "log").read_text()
        finally:
            punchd.killed()
            admin.close()
            pcscd.stop()


def test_a_reader_that_is_late_at_boot_is_found_without_replugging(pcscd_home: Path, nursery: Nursery) -> None:
    """PCSC #77, #93; pcsc-tools #59, #81; nfc-pcsc #116: after a reboot the reader is invisible until somebody replugs
    it, and undervoltage takes it away.

    At the kiosk's start neither pcscd nor the reader is there, and status says what to do; when they come nobody
    touches anything, and the first card held to the reader is on the timesheet.
    """
    with scene(pcscd_home, nursery, pcscd_runs=False) as at:
        assert at.reader()["state"] != "open"
        at.control.until(lambda status: "pcscd" in str(at.reader()["detail"]))
        at.pcscd.start()
        at.until_reader("open")
        card = VirtualCard(BADGE)
        at.comes(card)
        card.take_away()
        assert at.sheet() == [ANNA]


def test_a_restart_of_pcscd_is_noticed(pcscd_home: Path, nursery: Nursery) -> None:
    """pyscard #27; pcsc-rust #21: a client never notices that pcscd was restarted, and waits on a context that is dead.

    pcscd is killed while nobody taps, and started again: the reader is lost, then open, and the next card is on the
    timesheet.
    """
    with scene(pcscd_home, nursery, pcscd_runs=True) as at:
        at.until_reader("open")
        at.pcscd.kill()
        at.until_reader("lost")
        at.pcscd.start()
        at.until_reader("open")
        card = VirtualCard(BADGE)
        at.comes(card)
        card.take_away()
        assert at.sheet() == [ANNA]


def test_no_watching_thread_ends_for_good(pcscd_home: Path, nursery: Nursery) -> None:
    """pyscard 2.3: CardMonitor's thread ends for good when pcscd says that it is going, ReaderMonitor's on any error.

    pcscd is stopped in order twice, once with a card on the reader: no second tap is made of that card, the reader is
    back each time, and the next presentation is taken.
    """
    with scene(pcscd_home, nursery, pcscd_runs=True) as at:
        at.until_reader("open")
        card = VirtualCard(BADGE)
        at.comes(card)
        for _ in range(2):
            at.pcscd.stop()
            at.until_reader("lost")
            card.take_away()
            at.pcscd.start()
            at.until_reader("open")
        assert at.reader()["taps"] == 1
        at.control.after(lambda: card.put_on(at.pcscd.ports[0]), "tap.repeated")
        card.take_away()
        assert at.sheet() == [ANNA]


def test_a_tap_starts_no_program(pcscd_home: Path, nursery: Nursery) -> None:
    """nfc-attendance-kit: a program is started for each tap, and five times a second while a card rests.

    A card rests on the reader while others are looked at: punchd has no child, and asks the card for its number once.
    """
    with scene(pcscd_home, nursery, pcscd_runs=True) as at:
        at.until_reader("open")
        card = VirtualCard(BADGE)
        at.comes(card)
        stranger = VirtualCard("04FFEEDDCCBB80")
        at.control.after(lambda: stranger.put_on(at.pcscd.ports[1]), "tap.unknown")
        stranger.take_away()
        assert at.sheet() == [ANNA]
        children = [Path(f"/proc/{at.punchd.pid}/task/{task}/children") for task in at.punchd.threads()]
        assert [one.read_text() for one in children] == [""] * len(children)
        assert len(card.commands) == 1
        card.take_away()


# --- scanners that type, on real descriptors, in virtual time


@told_in_town()
async def test_a_scanner_that_is_pulled_out_costs_no_processor_and_comes_back(town: Town) -> None:
    """python-evdev #64; vocalinux #241; keyboard #397: a scanner that is unplugged raises an exception, or a dead
    descriptor takes all of the processor.

    Pulled out during the day: the loop does not spin on it (virtual time would stand still), an alarm stands after ten
    seconds, and when it is plugged in again the next line that it types is on the timesheet.
    """
    rigs: list[ScannerRig] = []

    def reader_of(name, evidence):
        rigs.append(ScannerRig(evidence, lambda: evidence().boottime_s))
        return rigs[-1].reader

    kiosk = await town.kiosk(driver="evdev", reader_of=reader_of)
    directory, alarms = kiosk.built.kiosk.directory, kiosk.built.kiosk.alarms
    await directory.assign(FIRST_BADGE, town.ids["Anna"], by="test")
    (rig,) = rigs
    await town.until("Mon 08:00")
    await rig.present(FIRST_BADGE)
    await town.until("Mon 12:00")
    assert rig.device is not None
    gone = rig.device.fd
    await rig.unplug()
    await asyncio.sleep(HOUR)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(gone)
    assert [alarm.code for alarm in alarms.standing()] == ["reader_lost:front"]
    await rig.replug()
    await town.until("Mon 16:00")
    assert alarms.standing() == []
    rig.write(typed(FIRST_BADGE, town.now - town.unix("Mon 16:00") + kiosk.clock.now().boottime_s - 0.5))
    await asyncio.sleep(HOUR)
    assert town.sheet() == ["Anna Mon 08:00:00 - Mon 16:00:00"]
    await rig.unplug()


# --- any reader


@told_in_town()
async def test_a_reader_that_falls_silent_is_opened_anew(town: Town) -> None:
    """esphome #3281; tagreader #54, #178; pyscard #94: after hours a reader stops without a word, and only
    switching it off and on helps.

    The driver's stream of taps just ends, six times in a day, without any error: it is opened anew each time, within
    half a minute, and people's taps go on counting.
    """
    kiosk = await town.kiosk()
    for hour in range(8, 14):
        assert await kiosk.tap("Anna", f"Mon {hour:02d}:00") == ("clocked_in", "clocked_out")[hour % 2]
        await asyncio.sleep(600)
        await kiosk.reader.close()  # and nobody asked it to
        await asyncio.sleep(30)
        (status,) = kiosk.built.kiosk.readers.status()
        assert (status.state, status.detail) == ("open", None)
    await asyncio.sleep(HOUR)
    assert town.sheet() == [f"Anna Mon {h:02d}:00:00 - Mon {h + 1:02d}:00:00" for h in (8, 10, 12)]


@told_in_town()
async def test_an_error_of_one_reader_ends_nothing_else(town: Town) -> None:
    """nfc-attendance-kit: an error of the reader ends the process.

    A driver fails with an error that nobody foresaw, again and again: the other door goes on, the alarm names the
    first, and it works once its trouble is over.
    """
    kiosk = await town.kiosk(readers={"front": "toggle", "back": "toggle"})
    await town.until("Mon 08:00")
    healthy = type(kiosk.reader).open

    async def fails() -> None:
        raise RuntimeError("a cosmic ray")

    kiosk.reader.open = fails  # type: ignore[method-assign]
    await kiosk.reader.close()
    await town.until("Mon 08:30")
    assert await kiosk.tap("Anna", reader="back") == "clocked_in"
    codes = {alarm.code for alarm in kiosk.built.kiosk.alarms.standing()}
    assert codes == {"reader_front_failing", "reader_lost:front"}
    kiosk.reader.open = healthy.__get__(kiosk.reader)  # type: ignore[method-assign]
    await town.until("Mon 09:00")
    assert await kiosk.tap("Anna", reader="front") == "clocked_out"
    await asyncio.sleep(HOUR)
    assert town.sheet() == ["Anna Mon 08:30:00 - Mon 09:00:00"]


@told_in_town()
async def test_nobody_asks_an_idle_reader_anything(town: Town) -> None:
    """ras, pyscard, persist-queue: they look for news every 0.6 seconds, every second, every ten.

    In eight hours of an idle night the whole service wakes up once a minute, to look at its own clock.
    """
    kiosk = await town.kiosk(readers={"in": "clock_in"})
    await kiosk.tap("Anna", "Mon 08:00")
    await town.until("Mon 22:00")
    wakes = 0
    jump = town.loop._jump

    def counted(timeout: float | None) -> None:
        nonlocal wakes
        wakes += 1
        jump(timeout)

    town.loop._selector.jump = counted  # type: ignore[attr-defined]
    await town.until("Tue 06:00")
    assert wakes < 8 * 60 + 10
