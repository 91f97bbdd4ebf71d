"""Nobody is told of success before the disk was told to keep it: seen in the system calls of a running punchd.

The punch is written to the WAL, a sync of the WAL returns, and only then the answer is sent; the same for the command
that lights up an NFC reader. The control runs the same punchd with the sync turned off: the same eye sees it missing.
"""

from __future__ import annotations

import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.door import Control
from tests.support.pcscd import PrivatePcscd
from tests.support.punchd_process import PATIENCE_S, Kiosk
from tests.support.virtual_card import VirtualCard, telling

BADGE = "04A2B3C4"
TAPS = 5
ACR122 = "ACS ACR122U PICC Interface"
SETS_LIGHTS = b"\xff\x00\x40"
#: The same as strace writes it.
LIGHTS = r"\377\0@"
CALLS = "trace=pwrite64,fdatasync,fsync,sendto,sendmsg,write,writev"
#: Starts the same punchd without its syncs.
WEAKENED = """
import sys
from daemon import cli
from tests.support.weakened import weaken

weaken()
cli.main(sys.argv[sys.argv.index('run'):])
"""

pytestmark = pytest.mark.usefixtures("may_trace")


@pytest.fixture
def kiosk() -> Iterator[Kiosk]:
    with tempfile.TemporaryDirectory(prefix="sync") as name:
        yield Kiosk(Path(name))


class Trace:
    """The system calls of one punchd, in the order in which they happened."""

    def __init__(self, folder: Path, *, weakened: bool = False) -> None:
        self._file = folder / "trace"
        # -D: the tracer is no parent of punchd, so that signals reach punchd itself. The weakened one ignores the
        # words that would start it otherwise.
        strace = ("strace", "-D", "-f", "-yy", "-s", "1100", "-e", CALLS, "-o", str(self._file))
        self.prefix = (*strace, sys.executable, "-c", WEAKENED) if weakened else strace

    def seen(self) -> list[str]:
        """`wal CONTENT` (written), `sync` (of the WAL, returned), `sent CONTENT` (on any socket)."""
        seen: list[str] = []
        syncing: set[str] = set()
        for line in self._file.read_text(errors="replace").splitlines():
            pid = line.split()[0]
            if sync := re.search(r"sync\(\d+<[^>]*punchd\.db-wal>(.*)", line):
                if "unfinished" in sync[1]:
                    syncing.add(pid)
                else:
                    seen.append("sync")
            elif "sync resumed" in line and pid in syncing:
                syncing.remove(pid)
                seen.append("sync")
            elif wrote := re.search(r'pwrite64\(\d+<[^>]*punchd\.db-wal>, "(.*)', line):
                seen.append(f"wal {wrote[1]}")
            elif sent := re.search(r"(?:sendto|sendmsg|write|writev)\(\d+<\w*(?:UNIX|STREAM|socket).*?>, (.*)", line):
                seen.append(f"sent {sent[1]}")
        return seen


def synced_before(seen: list[str], punch_id: str, told: int) -> bool:
    """Whether all of the punch was in the WAL, and the WAL synced, when the call at `told` was made."""
    wrote = [place for place, what in enumerate(seen[:told]) if what.startswith("wal ") and punch_id in what]
    return bool(wrote) and "sync" in seen[wrote[0] : told]


def answers(kiosk: Kiosk, *, weakened: bool = False) -> list[bool]:
    """For each of some taps on the control socket, whether its punch was synced when its answer left."""
    trace, ids = Trace(kiosk.folder, weakened=weakened), []
    with kiosk.running(prefix=trace.prefix) as punchd:
        punchd.heard("READY=1")
        with Control(kiosk) as control:
            for number in range(TAPS):
                control.post("employees", user_id=str(number), name=f"Person {number}", badge=f"{BADGE}{number:02}")
            # Delivery syncs as well: what it does must not be taken for the tap's.
            control.post("sync/pause")
            for number in range(TAPS):
                ids.append(control.tap(f"{BADGE}{number:02}")["punch"]["id"])
        assert punchd.stopped() == 0
    seen = trace.seen()
    told = [next(n for n, what in enumerate(seen) if what.startswith("sent ") and one in what) for one in ids]
    return [synced_before(seen, one, place) for one, place in zip(ids, told, strict=True)]


def test_the_answer_leaves_after_the_sync_has_returned(kiosk):
    """When an answer to a tap leaves, its punch is in the WAL and a sync after that has returned."""
    assert answers(kiosk) == [True] * TAPS


def test_without_the_setting_the_same_eye_sees_no_sync(kiosk):
    """The control: with synchronous = NORMAL the answers leave unsynced, and it shows."""
    assert answers(kiosk, weakened=True) == [False] * TAPS


@pytest.mark.parametrize("weakened", [False, True])
def test_a_reader_lights_up_after_the_sync_has_returned(kiosk, pcscd_home, weakened):
    """A card on an ACR122: green comes after the sync; with the sync turned off it comes without, and it shows."""
    pcscd = PrivatePcscd(pcscd_home, (ACR122,))
    pcscd.start()
    try:
        kiosk.config.write_text(kiosk.config.read_text() + '[[readers]]\nname = "nfc"\ndriver = "pcsc"\n')
        trace = Trace(kiosk.folder, weakened=weakened)
        lit_up, tells = threading.Event(), telling("04A2B3C4D5E680")

        def answer(command: bytes) -> bytes:
            if command.startswith(SETS_LIGHTS):
                lit_up.set()
            return tells(command)

        card = VirtualCard(answer)
        with kiosk.running(prefix=trace.prefix) as punchd:
            punchd.heard("READY=1")
            with Control(kiosk) as control:
                control.post("employees", user_id="7", name="Anna", badge="04A2B3C4D5E680")
                control.post("sync/pause")
                control.until(lambda status: all(reader["state"] == "open" for reader in status["readers"]))
                with card.on(pcscd.ports[0]):
                    assert lit_up.wait(PATIENCE_S)
                punch = control.get("punches")[0]["id"]
            assert punchd.stopped() == 0
    finally:
        pcscd.stop()
    seen = trace.seen()
    lit = next(n for n, what in enumerate(seen) if what.startswith("sent ") and LIGHTS in what)
    assert synced_before(seen, punch, lit) is not weakened
