"""A real service whose disk turns on it: it comes back by itself, with everything that was acknowledged."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import cycle
from pathlib import Path

import httpx
import pytest

from tests.crashes.disk import why_not
from tests.support.door import Control, people_csv
from tests.support.punchd_process import PATIENCE_S, Kiosk

BADGES = {f"04A1B2C3D4E5{number:02}": str(number) for number in range(6)}


@pytest.fixture
def kiosk(tmp_path: Path) -> Kiosk:
    return Kiosk(tmp_path)


def tapped(kiosk: Kiosk) -> set[str]:
    """Everybody taps once; the ids that were acknowledged."""
    with Control(kiosk) as control:
        control.import_csv(people_csv([(user, f"Person {user}", badge) for badge, user in BADGES.items()]))
        return {control.tap(badge)["punch"]["id"] for badge in BADGES}


def there(kiosk: Kiosk) -> set[str]:
    with Control(kiosk) as control:
        return {punch["id"] for punch in control.get("punches")}


def alarms(kiosk: Kiosk) -> dict[str, str]:
    with Control(kiosk) as control:
        return {alarm["code"]: alarm["text"] for alarm in control.get("status")["alarms"]}


@pytest.mark.parametrize("damage", ["garbage", "log deleted", "all deleted"])
def test_it_starts_with_everything_after_the_card_failed(kiosk, damage):
    """Killed, its files ruined: the next start salvages, takes taps, and tells in an alarm where the old files lie."""
    with kiosk.running() as punchd:
        punchd.heard("READY=1")
        acknowledged = tapped(kiosk)
        punchd.signal(signal.SIGKILL)
        punchd.ended()
    database = kiosk.state / "punchd.db"
    for file in kiosk.state.glob("punchd.db*"):
        if damage == "all deleted" or (damage == "log deleted" and file != database):
            file.unlink()
    if damage == "garbage":
        database.write_bytes(random.Random(1).randbytes(50_000))
    with kiosk.running() as punchd:
        punchd.heard("READY=1")
        with Control(kiosk) as control:
            assert there(kiosk) == acknowledged
            assert {punch["state"] for punch in control.get("punches")} <= {"in_flight", "held"}
            text = alarms(kiosk)["database_salvaged"]
            assert "No punch is known to be lost" in text
            (folder,) = kiosk.state.glob("damaged-*")
            assert str(folder) in text
            verified = control.get("verify")
            assert (verified["sound"], verified["punches"], verified["copy_trouble"]) == (True, 6, None)
            assert control.tap(next(iter(BADGES)))["result"] in ("accepted", "repeat")
        assert punchd.stopped() == 0
    if damage == "garbage":
        assert (folder / "punchd.db").read_bytes() == random.Random(1).randbytes(50_000)


def test_on_a_read_only_file_system_it_says_so_and_is_tried_again(kiosk):
    """What the kernel does to a disk after an error: exit 75, so that it comes back by itself once that is mended."""
    if (reason := why_not()) is not None:
        pytest.skip(reason)
    with kiosk.running() as punchd:
        punchd.heard("READY=1")
        acknowledged = tapped(kiosk)
        punchd.signal(signal.SIGKILL)
        punchd.ended()
    before = {file.name: file.read_bytes() for file in kiosk.state.iterdir()}
    bound = f"mount --bind {kiosk.state} {kiosk.state} && mount -o remount,ro,bind {kiosk.state}"
    start = f"{bound} && exec {sys.executable} -m daemon.cli run --config {kiosk.config}"
    ended = subprocess.run(["unshare", "--mount", "sh", "-c", start], capture_output=True, text=True, check=False)
    assert ended.returncode == 75, ended.stderr
    assert "file system is read-only" in ended.stderr
    assert {file.name: file.read_bytes() for file in kiosk.state.iterdir()} == before
    with kiosk.running() as punchd:
        punchd.heard("READY=1")
        assert there(kiosk) == acknowledged
        assert "database_salvaged" not in alarms(kiosk)
        assert punchd.stopped() == 0


@pytest.mark.usefixtures("may_trace")
def test_a_medium_that_hangs_is_noticed_and_nobody_is_told_a_success(kiosk, monkeypatch):
    """A sync that does not come back: the tap has no answer, the watchdog withholds its sign, a fresh start has all."""
    monkeypatch.setenv("WATCHDOG_USEC", "2000000")
    log = kiosk.state.parent / "log"
    with log.open("w") as stderr, kiosk.running(stderr=stderr) as punchd:
        punchd.heard("READY=1")
        acknowledged = tapped(kiosk)
        punchd.heard("WATCHDOG=1")
        hang = ("-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_enter=600s")
        command = ["strace", "-f", "-p", str(punchd.process.pid), *hang, "-o", "/dev/null"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer, ThreadPoolExecutor(1) as tapping:
            assert tracer.stderr is not None
            said = tracer.stderr.readline()
            if "attached" not in said:
                pytest.skip(f"this machine allows no tracing: {said.strip()}")
            late = tapping.submit(kiosk.ctl, "tap", "--reader", "front", "04A1B2C3D4E599")
            until = time.monotonic() + PATIENCE_S
            while "watchdog.withheld" not in log.read_text() and time.monotonic() < until:
                time.sleep(0.05)
            answered = late.done()
            punchd.signal(signal.SIGKILL)  # as systemd does when it has heard nothing for long enough
            tracer.kill()
            punchd.ended()
        assert re.search(r"watchdog\.withheld.*stuck=\"?database", log.read_text())
        assert not answered
        assert late.exception() is not None
    with kiosk.running() as punchd:
        punchd.heard("READY=1")
        assert there(kiosk) >= acknowledged
        assert punchd.stopped() == 0


# It may go while it is asked: a connection that is refused leaves its socket to the collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_damage_under_a_running_service_makes_it_start_afresh(kiosk):
    """Taps are refused honestly, the service stops to be started again, and has everything then."""
    with kiosk.running() as punchd:
        punchd.heard("READY=1")
        acknowledged = tapped(kiosk)
        punchd.stopped()
    with kiosk.running() as punchd:
        punchd.heard("READY=1")
        database = kiosk.state / "punchd.db"
        size = database.stat().st_size
        with database.open("r+b") as file:  # all but the page of the header and of the schema's beginning
            file.seek(4096)
            file.write(random.Random(2).randbytes(size - 4096))
        # It says once that it cannot store, or is gone before it could say so; until then it works from memory.
        with Control(kiosk) as control, suppress(httpx.HTTPError):
            for badge in cycle(BADGES):
                answer = control.tap(badge)
                if answer["result"] == "accepted":
                    acknowledged.add(answer["punch"]["id"])
                elif answer["reason"] in ("cannot_store", "stopping"):
                    break
                else:
                    assert answer["reason"] == "repeat_tap", answer
        assert punchd.ended() == 70
        assert "database" in punchd.log
    with kiosk.running() as punchd:
        punchd.heard("READY=1")
        with Control(kiosk) as control:
            assert there(kiosk) >= acknowledged
            assert "database_salvaged" in alarms(kiosk)
            assert control.get("verify")["sound"] is True
        assert punchd.stopped() == 0
