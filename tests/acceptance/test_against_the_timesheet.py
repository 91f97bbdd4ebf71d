"""`punchctl employees sync` and `punchctl audit` as an owner types them: real processes, sockets, HTTP, a sandbox."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.punchd_process import PATIENCE_S, Kiosk
from tests.support.sandbox_process import SandboxAdmin, sandbox_process

ANNA, BRAM, CHIDI = "9170357", "9170358", "9170359"
FIELD = 'badge_field = "Badge number"'


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[Kiosk, SandboxAdmin]]:
    """A kiosk that runs against a sandbox of five people, whose badges stand in a custom field."""
    with sandbox_process(tmp_path / "sandbox") as sandbox:
        kiosk = Kiosk(tmp_path)
        kiosk.key.write_text(sandbox.key_file.read_text())
        kiosk.write(base_url=sandbox.url, more=FIELD)
        for number, user_id in enumerate((ANNA, BRAM)):
            sandbox.admin.edit("set_field", user_id=user_id, name="Badge number", value=f"04:A1:B2:0{number}")
        with kiosk.running() as punchd:
            punchd.heard("READY=1")
            yield kiosk, sandbox.admin
            assert punchd.stopped() == 0


def run(kiosk: Kiosk, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "daemon.control.cli", "--socket", str(kiosk.runtime / "control.sock")]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def audit(kiosk: Kiosk, *more: str) -> tuple[int, list[dict[str, Any]]]:
    done = run(kiosk, "--json", "audit", "--since", "2026-01-01T00:00:00Z", *more)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def tapped(kiosk: Kiosk, admin: SandboxAdmin, badge: str, path: str) -> dict[str, Any]:
    """A tap that has arrived on the timesheet."""
    since = len(admin.requests())
    answer = kiosk.ctl("tap", badge, "--reader", "front")
    assert answer["result"] == "accepted", answer
    admin.wait(path=f"*/{path}", state="finished", since=since)
    punch: dict[str, Any] = answer["punch"]
    while kiosk.ctl("punches", "show", punch["id"])["state"] != "delivered":
        pass
    return punch


def test_the_directory_is_filled_and_followed(service):
    """Names and badges arrive, who left goes, who may not punch is told; what was decided here stands."""
    kiosk, admin = service
    admin.edit("unassign", user_id=BRAM)
    kiosk.ctl("employees", "add", "777", "Ghost", "--badge", "04FF")
    report = kiosk.ctl("employees", "sync")
    assert (report["added"], report["badges"], report["conflicts"]) == (5, 2, [])
    assert report["unknown"] == [{"user_id": "777", "name": "Ghost"}]
    assert [one["user_id"] for one in report["not_assigned"]] == [BRAM]
    assert (report["unchecked"], report["unchecked_because"]) == (0, None)
    people = {one["user_id"]: one for one in kiosk.ctl("employees", "list")}
    assert (people[ANNA]["name"], people[ANNA]["badges"]) == ("Anna Visser", ["04A1B200"])

    kiosk.ctl("badges", "block", "04A1B201")
    admin.edit("archive", user_id=CHIDI)
    admin.edit("rename", user_id=ANNA, name="Anna de Vries")
    told = run(kiosk, "employees", "sync")
    assert told.returncode == 0
    assert "0 added, 1 changed, 3 unchanged, 1 removed" in told.stdout
    assert "04A1B201" in told.stdout
    assert "it is blocked" in told.stdout
    people = {one["user_id"]: one["name"] for one in kiosk.ctl("employees", "list")}
    assert people[ANNA] == "Anna de Vries"
    assert CHIDI not in people


def test_the_audit_finds_what_a_manager_changed(service):
    """ok while nobody touched it, exit 0; then changed, missing, deleted, extra, not_delivered, each named, exit 1."""
    kiosk, admin = service
    kiosk.ctl("employees", "sync", "--assignments", "none")
    tapped(kiosk, admin, "04A1B200", "clock-in")
    tapped(kiosk, admin, "04A1B201", "clock-in")
    code, lines = audit(kiosk)
    assert (code, [line["verdict"] for line in lines]) == (0, ["ok", "ok"])
    before = len(admin.requests())
    text = run(kiosk, "audit", "--since", "2026-01-01T00:00:00Z", "--differences")
    assert (text.returncode, text.stdout) == (0, "2 ok\n")

    shifts = {row["user_id"]: row for row in admin.timesheet()}
    admin.edit("edit_shift", shift_id=shifts[ANNA]["id"], start=shifts[ANNA]["start"] - 600)
    admin.edit("delete_shift", shift_id=shifts[BRAM]["id"])
    start = shifts[ANNA]["start"] - 86400
    admin.edit("add_shift", user_id=BRAM, start=start, end=start + 3600)
    kiosk.ctl("sync", "pause")
    code, lines = 1, []
    refused = run(kiosk, "--json", "audit", "--since", "2026-01-01T00:00:00Z")
    assert (refused.returncode, json.loads(refused.stdout)["code"]) == (1, "paused")
    kiosk.ctl("sync", "resume")
    code, lines = audit(kiosk)
    found = sorted((line["user_id"], line["verdict"], line["off_s"]) for line in lines if line["user_id"] == BRAM)
    assert code == 1
    assert found == [(BRAM, "deleted", None), (BRAM, "extra", None), (BRAM, "extra", None)]
    (anna,) = [line for line in lines if line["user_id"] == ANNA]
    assert (anna["verdict"], anna["off_s"], anna["state"]) == ("changed", -600, "delivered")
    text = run(kiosk, "audit", "--since", "2026-01-01T00:00:00Z", "--employee", ANNA)
    assert "10 min earlier there" in text.stdout
    assert text.stdout.endswith("1 changed\n")
    assert {request["method"] for request in admin.requests(since=before)} == {"GET"}


def test_whose_shifts_are_hidden_is_not_accused(service):
    """Taken off the time clock, a person's shifts are not listed: unread, with what mends it, never deleted."""
    kiosk, admin = service
    kiosk.ctl("employees", "sync", "--assignments", "none")
    tapped(kiosk, admin, "04A1B200", "clock-in")
    admin.edit("unassign", user_id=ANNA)
    code, (line,) = audit(kiosk)
    assert (code, line["verdict"]) == (1, "unread")
    assert "assign them" in line["detail"]


def test_without_a_service_both_say_so(tmp_path):
    """Exit 1 with the reason and what mends it; the directory is as it was."""
    kiosk = Kiosk(tmp_path)
    with kiosk.running() as punchd:
        punchd.heard("READY=1")
        kiosk.ctl("employees", "add", "7", "Ada", "--badge", "04A2")
        for command in (("employees", "sync"), ("audit", "--since", "2026-01-01T00:00:00Z")):
            done = run(kiosk, *command)
            assert done.returncode == 1
            assert "can be reached" in done.stderr
        assert len(kiosk.ctl("employees", "list")) == 1
        assert run(kiosk, "audit").returncode == 2
        assert "exit code 0 when all is ok" in " ".join(run(kiosk, "audit", "--help").stdout.lower().split())
        assert punchd.stopped() == 0
