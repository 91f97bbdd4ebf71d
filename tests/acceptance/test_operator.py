"""What an operator holds in their hands, on a real punchd: numbers, group, key, export, doctor."""

from __future__ import annotations

import csv
import grp
import io
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.support.punchd_process import PATIENCE_S, Kiosk
from tests.support.sandbox_process import sandbox_process

ANNA, BADGE = "9170357", "04A1B2C3D4E580"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run(kiosk: Kiosk, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "daemon.control.cli", "--socket", str(kiosk.runtime / "control.sock")]
    return subprocess.run([*command, *arguments], capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def numbers(port: int) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S) as response:
        text = response.read().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_kiosk_in_an_operators_hands(tmp_path: Path) -> None:
    """With a port and a group: a tap shows in the numbers up to its request, the key is good, all is well."""
    port, own = free_port(), grp.getgrgid(os.getgid()).gr_name
    with sandbox_process(tmp_path / "service") as sandbox:
        kiosk = Kiosk(tmp_path)
        kiosk.key.write_text(sandbox.key_file.read_text())
        kiosk.write(base_url=sandbox.url)
        text = kiosk.config.read_text().replace("[kiosk]", f'[kiosk]\nadmin_group = "{own}"', 1)
        kiosk.config.write_text(f'{text}[metrics]\nlisten = "127.0.0.1:{port}"\n')
        with kiosk.running() as punchd:
            punchd.heard("READY=1")
            control = (kiosk.runtime / "control.sock").stat()
            assert (stat.S_IMODE(control.st_mode), control.st_gid) == (0o660, os.getgid())
            kiosk.ctl("employees", "add", ANNA, "Anna Visser", "--badge", BADGE)
            punch = kiosk.ctl("tap", BADGE, "--reader", "front")["punch"]
            while kiosk.ctl("punches", "show", punch["id"])["state"] != "delivered":
                pass
            found = numbers(port)
            assert found["punchd_taps_total", (("reason", ""), ("result", "accepted"))] == 1
            assert found["punchd_punch_moves_total", (("reason", ""), ("state", "delivered"))] == 1
            assert found["punchd_requests_total", (("outcome", "done"), ("step", "open_shift"))] == 1
            assert found["punchd_reader_taps_total", (("driver", "simulated"), ("reader", "front"))] == 1
            assert kiosk.ctl("key", "check")["valid"] is True
            looked = json.loads(run(kiosk, "doctor", "--json").stdout)
            assert [one["code"] for one in looked if one["severity"] == "problem"] == [
                "database_volatile"
            ] * on_memory()
            assert str(kiosk.config) in " ".join(one["text"] for one in looked)
            assert punchd.stopped() == 0


def on_memory() -> bool:
    """Whether this machine's folder for tests is in memory; then doctor says so of the database, and is right."""
    told = subprocess.run(["stat", "-f", "-c", "%T", "/tmp"], capture_output=True, text=True, check=True).stdout
    return told.strip() in ("tmpfs", "ramfs")


def test_a_dying_box_is_carried_off(tmp_path: Path) -> None:
    """Killed while the service was away: doctor names what is wrong and what waits, and the export has every punch."""
    kiosk = Kiosk(tmp_path)
    with kiosk.running() as punchd:
        punchd.heard("READY=1")
        kiosk.ctl("employees", "add", ANNA, "Anna Visser", "--badge", BADGE)
        punch = kiosk.ctl("tap", BADGE, "--reader", "front")["punch"]
        kiosk.ctl("tap", "99887766", "--reader", "front")
        punchd.process.kill()
        punchd.ended()
    database = kiosk.state / "punchd.db"
    kept = {path.name: path.read_bytes() for path in kiosk.state.iterdir() if not path.name.endswith("-shm")}
    looked = run(kiosk, "doctor", "--config", str(kiosk.config), "--json")
    assert looked.returncode == 1
    assert {"daemon_unreachable", "unknown_taps"} <= {one["code"] for one in json.loads(looked.stdout)}
    assert "database_damaged" not in looked.stdout
    out = tmp_path / "rescue.csv"
    done = run(kiosk, "export", "--undelivered", "--database", str(database), "--output", str(out))
    assert (done.returncode, done.stderr) == (0, "")
    (row,) = csv.DictReader(io.StringIO(out.read_text(), newline=""))
    assert (row["punch_id"], row["occurred_at"], row["name"]) == (punch["id"], punch["occurred_at"], "Anna Visser")
    assert {path.name: path.read_bytes() for path in kiosk.state.iterdir() if not path.name.endswith("-shm")} == kept
    with kiosk.running() as punchd:
        punchd.heard("READY=1")
        assert [one["id"] for one in kiosk.ctl("punches", "list")] == [punch["id"]]
        assert punchd.stopped() == 0


def test_the_service_on_status_sock_is_enough_for_curl(tmp_path: Path) -> None:
    """Everything here that reads, as curl reads it without a client of ours."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed (apt-get install curl)")
    kiosk = Kiosk(tmp_path)
    with kiosk.running() as punchd:
        punchd.heard("READY=1")
        for target, begins in (
            ("/metrics", b"# TYPE punchd_build info"),
            ("/v1/export", b"user_id,name"),
            ("/v1/openapi.json", b'{"openapi"'),
        ):
            command = ["curl", "-sSf", "--unix-socket", str(kiosk.runtime / "status.sock"), f"http://punchd{target}"]
            done = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=True)
            assert done.stdout.startswith(begins)
        assert punchd.stopped() == 0
