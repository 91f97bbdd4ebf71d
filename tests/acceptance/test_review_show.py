"""`punchctl review show` on a real punchd: what was tapped, and what the service shows now, or showed last."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.support.punchd_process import PATIENCE_S, Kiosk
from tests.support.sandbox_process import SandboxAdmin, sandbox_process

ANNA, BADGE = "9170357", "04A1B2C3D4E580"


def punchctl(kiosk: Kiosk, *arguments: str, socket: str = "control.sock") -> str:
    command = [sys.executable, "-m", "daemon.control.cli", "--socket", str(kiosk.runtime / socket), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def shown(kiosk: Kiosk, punch_id: str, *options: str, socket: str = "control.sock") -> dict[str, Any]:
    told: dict[str, Any] = json.loads(punchctl(kiosk, "review", "show", punch_id, *options, "--json", socket=socket))
    return told


def lists(admin: SandboxAdmin) -> int:
    """How often the list of shifts was asked for."""
    return sum(entry["path"].endswith("/time-activities") for entry in admin.requests())


def test_a_review_shows_both_sides(tmp_path: Path) -> None:
    """Fresh where it can be; from status.sock, with the service gone or silent, what was last read and why."""
    with sandbox_process(tmp_path / "service") as sandbox:
        admin = sandbox.admin
        kiosk = Kiosk(tmp_path)
        kiosk.key.write_text(sandbox.key_file.read_text())
        kiosk.write(base_url=sandbox.url)
        with kiosk.running() as punchd:
            punchd.heard("READY=1")
            kiosk.ctl("employees", "add", ANNA, "Anna Visser", "--badge", BADGE)
            start = int(time.time()) - 7200
            admin.edit("add_shift", user_id=ANNA, start=start, end=start + 3600)
            admin.edit("phone_clock_in", user_id=ANNA, at=start + 7140)  # in one second it would be this punch
            punch = kiosk.ctl("tap", BADGE, "--reader", "front")["punch"]
            while kiosk.ctl("punches", "show", punch["id"])["state"] != "review":
                pass  # the phone was faster: already open
            before = lists(admin)

            plain = shown(kiosk, punch["id"], socket="status.sock")
            assert plain["timesheet"]["fresh"] is False
            assert lists(admin) == before  # nothing was asked for it

            now = shown(kiosk, punch["id"])
            assert lists(admin) == before + 1
            assert [one["id"] for one in now["tapped"]] == [punch["id"]]
            assert now["timesheet"]["fresh"] is True
            assert [shift["end_at"] is None for shift in now["timesheet"]["shifts"]] == [False, True]
            assert [shift["started_by"] for shift in now["timesheet"]["shifts"]] == ["admin", "mobile"]
            screen = punchctl(kiosk, "review", "show", punch["id"])
            assert "On the timesheet, read just now" in screen
            assert "Tapped here" in screen
            assert max(map(len, screen.splitlines())) <= 80

            admin.fault(kind="hang", count=1)
            began = time.monotonic()
            silent = shown(kiosk, punch["id"])
            assert "no answer within 4 s" in silent["timesheet"]["why"]
            assert silent["timesheet"]["fresh"] is False
            assert silent["timesheet"]["age_s"] is not None  # the look-up that put it in review is what is left
            assert time.monotonic() - began < PATIENCE_S / 2  # far from the client's own patience with a service

            admin.cable("refusing")
            gone = shown(kiosk, punch["id"])
            assert gone["timesheet"]["why"].startswith("Cannot read")
            assert [shift["id"] for shift in gone["timesheet"]["shifts"]] == [
                shift["id"] for shift in silent["timesheet"]["shifts"]
            ]
            assert "as read" in punchctl(kiosk, "review", "show", punch["id"])
            assert punchd.stopped() == 0


def test_a_paused_kiosk_reads_nothing_and_says_so(tmp_path: Path) -> None:
    """Nothing was ever read: the answer says that, and why; --no-read asks for nothing and needs no reason."""
    with sandbox_process(tmp_path / "service") as sandbox:
        kiosk = Kiosk(tmp_path)
        kiosk.key.write_text(sandbox.key_file.read_text())
        kiosk.write(base_url=sandbox.url)
        with kiosk.running() as punchd:
            punchd.heard("READY=1")
            kiosk.ctl("employees", "add", "777", "Nobody There", "--badge", BADGE)
            punch = kiosk.ctl("tap", BADGE, "--reader", "front")["punch"]
            while kiosk.ctl("punches", "show", punch["id"])["state"] != "review":
                pass
            kiosk.ctl("sync", "pause")
            before = len(sandbox.admin.requests())
            told = shown(kiosk, punch["id"])["timesheet"]
            assert (told["fresh"], told["read_at"], told["shifts"]) == (False, None, [])
            assert "paused" in told["why"]
            assert shown(kiosk, punch["id"], "--no-read")["timesheet"]["why"] is None
            assert len(sandbox.admin.requests()) == before
            assert punchd.stopped() == 0
