"""From a card on an NFC reader to a row on the timesheet: real pcscd, real punchd, virtual cards."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox.tally import Meaning, Tapped
from tests.support.door import QUICK, Control, disagreements, door, rows, second
from tests.support.pcscd import PrivatePcscd
from tests.support.punchd_process import Kiosk, Punchd
from tests.support.sandbox_process import SandboxProcess, sandbox_process
from tests.support.virtual_card import VirtualCard

ANNA, BADGE = "7", "04A2B3C4D5E680"
STRANGER, UNKNOWN = "8", "04FFEEDDCCBB80"
#: A minute at a real door. Here it must outlast a second presentation on a busy machine.
REPEAT_S = 4
#: What comes of a card, as punchd tells it, by what it meant.
EVENTS = {
    "comes": "punch.committed",
    "leaves": "punch.committed",
    "again": "tap.repeated",
    "unknown": "tap.unknown",
}


@dataclass
class Scene:
    """Everything there is, and what was held to the reader."""

    pcscd: PrivatePcscd
    sandbox: SandboxProcess
    kiosk: Kiosk
    punchd: Punchd
    control: Control
    taps: list[Tapped]

    def present(self, card: VirtualCard, user_id: str, meaning: Meaning) -> None:
        """Hold a card to the reader until something came of it, then take it away."""
        self.taps.append(self.put_on(card, user_id, meaning))
        card.take_away()

    def put_on(self, card: VirtualCard, user_id: str, meaning: Meaning) -> Tapped:
        """Hold a card to the reader until something came of it; the tap."""
        earliest = second()
        event = self.control.after(lambda: card.put_on(self.pcscd.ports[0]), *EVENTS.values())
        assert event["event"] == EVENTS["unknown" if user_id == STRANGER else meaning.value]
        return Tapped(user_id, user_id, meaning, earliest, second())

    def taps_seen(self) -> int:
        """How many taps the reader has had."""
        return int(self.control.get("readers")[0]["taps"])

    def until_reader(self, state: str) -> None:
        """Wait until the reader is `open` or `lost`."""
        self.control.until(lambda status: status["readers"][0]["state"] == state)

    def until_later(self, tap: Tapped) -> None:
        """Let the repeat time pass. It is the real clock's, and nothing else happens until then."""
        time.sleep(tap.latest + REPEAT_S + 1 - time.time())

    def judged(self) -> list[str]:
        """What the timesheet says otherwise than the list, once everything has arrived."""
        self.control.settled()
        return disagreements(self.taps, rows(self.sandbox.admin.timesheet()))


@pytest.fixture
def scene(pcscd_home: Path) -> Iterator[Scene]:
    """A kiosk with one virtual NFC reader, and Anna, whom it knows."""
    with (
        tempfile.TemporaryDirectory(prefix="nfc") as name,
        sandbox_process(Path(name) / "sandbox", "--empty") as sandbox,
    ):
        for user in (ANNA, STRANGER):
            sandbox.admin.post("/users", user_id=int(user), name=f"Person {user}")
        pcscd = PrivatePcscd(pcscd_home)
        pcscd.start()
        kiosk = door(Path(name) / "kiosk", sandbox.url, more=QUICK, attendance=f"repeat_tap_seconds = {REPEAT_S}")
        kiosk.config.write_text(kiosk.config.read_text().replace('"simulated"', '"pcsc"'))
        try:
            with kiosk.running() as punchd:
                punchd.heard("READY=1")
                with Control(kiosk) as control:
                    made = Scene(pcscd, sandbox, kiosk, punchd, control, [])
                    made.until_reader("open")
                    control.post("employees", user_id=ANNA, name="Anna", badge=BADGE)
                    yield made
                    assert punchd.stopped() == 0
        finally:
            pcscd.stop()


def test_cards_become_rows_with_the_seconds_they_were_held_up(scene):
    """In (twice, out of impatience), out after the repeat time, in after pcscd was killed and started: true seconds."""
    card = VirtualCard(BADGE)
    scene.present(card, ANNA, Meaning.COMES)
    first = scene.taps[-1]
    scene.present(card, ANNA, Meaning.AGAIN)
    assert scene.judged() == []
    scene.until_later(first)
    scene.present(card, ANNA, Meaning.LEAVES)
    assert scene.judged() == []
    scene.until_later(scene.taps[-1])
    scene.pcscd.kill()
    scene.until_reader("lost")
    scene.pcscd.start()
    scene.until_reader("open")
    scene.present(card, ANNA, Meaning.COMES)
    assert scene.judged() == []


def test_a_card_left_on_the_reader_is_one_tap(scene):
    """It rests there beyond the repeat time while others tap beside it; only put on again it is a second tap."""
    card = VirtualCard(BADGE)
    resting = scene.put_on(card, ANNA, Meaning.COMES)
    scene.taps.append(resting)
    scene.until_later(resting)
    other = VirtualCard(UNKNOWN)
    scene.control.after(lambda: other.put_on(scene.pcscd.ports[1]), "tap.unknown")
    other.take_away()
    assert scene.judged() == []
    assert scene.taps_seen() == 2
    card.take_away()
    scene.present(card, ANNA, Meaning.LEAVES)
    assert scene.taps_seen() == 3
    assert scene.judged() == []


def test_an_unknown_card_is_kept_and_keeps_its_second(scene):
    """Nobody owns it, so nothing is sent; assigned later it is a punch of the second at which it was held up."""
    scene.present(VirtualCard(UNKNOWN), STRANGER, Meaning.COMES)
    unknown: list[dict[str, Any]] = scene.control.get("badges/unknown")
    assert [one["badge"] for one in unknown] == [UNKNOWN]
    assert scene.sandbox.admin.timesheet() == []
    scene.until_later(scene.taps[-1])
    scene.control.post("employees", user_id=STRANGER, name="New here")
    scene.control.post("badges", badge=UNKNOWN, user_id=STRANGER)
    assert scene.judged() == []
    assert second() > scene.taps[-1].latest, "it was assigned in another second than it was held up"
