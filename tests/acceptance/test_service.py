"""`punchd run` and `punchd check` as systemd and an administrator meet them: a real process, signals, exit codes."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.punchd_process import PATIENCE_S, Kiosk

NOBODY = 65534


@pytest.fixture
def kiosk(tmp_path: Path) -> Kiosk:
    return Kiosk(tmp_path)


def check(kiosk: Kiosk, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "daemon.cli", "check", "--config", str(kiosk.config), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def test_start_and_stop_as_systemd_sees_it(kiosk):
    """READY=1 when taps are taken, a status line, STOPPING=1 at SIGTERM, exit 0, no sockets left behind."""
    with kiosk.running() as punchd:
        punchd.heard("READY=1")
        assert (kiosk.runtime / "control.sock").is_socket()
        punchd.until_status("offline, 0 pending")
        punchd.signal(signal.SIGTERM)
        punchd.heard("STOPPING=1")
        assert punchd.ended() == 0
        assert "service.stopped" in punchd.log
    assert list(kiosk.runtime.iterdir()) == []


def test_sigint_stops_in_order_too(kiosk):
    """Ctrl-C in a terminal is an ordinary stop."""
    with kiosk.running() as punchd:
        punchd.heard("READY=1")
        punchd.signal(signal.SIGINT)
        assert punchd.ended() == 0
        assert "service.stopped" in punchd.log


def test_a_second_sigterm_does_no_harm(kiosk):
    """Impatience does not cut the stop short: the exit is still 0, the stop in order, the next start clean."""
    with kiosk.running() as punchd:
        punchd.heard("READY=1")
        for _ in range(5):
            punchd.signal(signal.SIGTERM)
        assert punchd.ended() == 0
        assert "service.stopped" in punchd.log
    with kiosk.running() as punchd:
        punchd.heard("READY=1")
        assert punchd.stopped() == 0
        assert "database.checked" not in punchd.log


def test_what_was_acknowledged_is_there_after_a_restart(kiosk):
    """A tap answered before the stop is a punch after the next start, still pending with its time."""
    with kiosk.running() as punchd:
        punchd.heard("READY=1")
        kiosk.ctl("employees", "add", "7", "Anna", "--badge", "04A2B3C4")
        answer = kiosk.ctl("tap", "04A2B3C4", "--reader", "front")
        assert answer["result"] == "accepted"
        assert punchd.stopped() == 0
    with kiosk.running() as punchd:
        punchd.heard("READY=1")
        (punch,) = kiosk.ctl("punches", "list")
        assert (punch["id"], punch["occurred_at"]) == (answer["punch"]["id"], answer["punch"]["occurred_at"])
        assert punchd.stopped() == 0


def test_a_kill_is_survived_and_noticed(kiosk):
    """After SIGKILL the lock is free, the tap is there, and the database is checked in the background."""
    with kiosk.running() as punchd:
        punchd.heard("READY=1")
        kiosk.ctl("employees", "add", "7", "Anna", "--badge", "04A2B3C4")
        kiosk.ctl("tap", "04A2B3C4", "--reader", "front")
        punchd.signal(signal.SIGKILL)
        punchd.ended()
    with kiosk.running() as punchd:
        punchd.heard("READY=1")
        assert len(kiosk.ctl("punches", "list")) == 1
        line = next(line for line in punchd.process.stderr if "database.checked" in line)
        assert "level=info" in line
        assert punchd.stopped() == 0


def test_a_second_instance_is_refused(kiosk):
    """Exit 1 with the other's process, and the first one goes on."""
    with kiosk.running() as punchd:
        punchd.heard("READY=1")
        second = subprocess.run(
            [sys.executable, "-m", "daemon.cli", "run", "--config", str(kiosk.config)],
            capture_output=True, text=True, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        assert second.returncode == 1
        assert str(punchd.process.pid) in second.stderr
        assert "Traceback" not in second.stderr
        assert kiosk.ctl("status")["queue"]["pending"] == 0
        assert punchd.stopped() == 0


def test_sighup_reloads_and_says_what_needs_a_restart(kiosk):
    """RELOADING=1, then READY=1; the log names what took effect and what did not; a wrong file changes nothing."""
    with kiosk.running() as punchd:
        punchd.heard("READY=1")
        kiosk.ctl("employees", "add", "7", "Anna", "--badge", "04A2B3C4")
        assert kiosk.ctl("tap", "04A2B3C4", "--reader", "front")["result"] == "accepted"
        assert kiosk.ctl("tap", "04A2B3C4", "--reader", "front")["result"] == "repeat"
        kiosk.write(attendance="repeat_tap_seconds = 0", more="timeout_seconds = 7")
        punchd.signal(signal.SIGHUP)
        assert "MONOTONIC_USEC=" in punchd.heard("RELOADING=1")
        punchd.heard("READY=1")
        assert kiosk.ctl("tap", "04A2B3C4", "--reader", "front")["result"] == "accepted"
        assert kiosk.ctl("status")["needs_restart"] == ["connecteam.timeout_seconds"]
        kiosk.write(attendance="repeat_tap_secs = 9")
        punchd.signal(signal.SIGHUP)
        punchd.heard("RELOADING=1")
        punchd.heard("READY=1")
        assert punchd.stopped() == 0
    reloaded = next(line for line in punchd.log.splitlines() if "config.reloaded" in line)
    assert "changed=attendance.repeat_tap_seconds" in reloaded
    assert "needs_restart=connecteam.timeout_seconds" in reloaded
    refused = next(line for line in punchd.log.splitlines() if "config.refused" in line)
    assert "repeat_tap_seconds" in refused


def test_the_key_never_stands_in_the_log(kiosk, monkeypatch):
    """Not even with everything logged."""
    monkeypatch.setenv("PUNCHD_LOG_LEVEL", "debug")
    with kiosk.running() as punchd:
        punchd.heard("READY=1")
        punchd.until_status("offline, 0 pending")
        assert punchd.stopped() == 0
    assert "a-key-for-tests-1" not in punchd.log


# --- what cannot start ----------------------------------------------------------------------------


def test_a_bad_configuration_ends_with_78_and_all_problems(kiosk):
    """`run` and `check` both name every problem with its key; nothing was created."""
    kiosk.write(attendance="max_shift_hours = 99\nrepeat = 1", more='after = "x"')
    keys = ["attendance.max_shift_hours", "attendance.repeat", "connecteam.after"]
    with kiosk.running() as punchd:
        assert punchd.ended() == 78
        assert all(key in punchd.log for key in keys)
        assert "Traceback" not in punchd.log
    assert not kiosk.state.exists()
    checked = check(kiosk)
    assert checked.returncode == 78
    assert all(key in checked.stdout for key in keys)
    told = json.loads(check(kiosk, "--json").stdout)
    assert sorted(problem["key"] for problem in told["problems"]) == keys
    assert all(problem["file"] and problem["remedy"] for problem in told["problems"])


def test_check_accepts_a_good_configuration(kiosk):
    """Exit 0, in words and in JSON."""
    assert check(kiosk).returncode == 0
    done = check(kiosk, "--json")
    assert (done.returncode, json.loads(done.stdout)["problems"]) == (0, [])


def test_a_state_directory_that_cannot_be_made(kiosk):
    """Exit 78 with the path and what to do, without a traceback."""
    kiosk.state = kiosk.folder / "missing" / "state"
    kiosk.write()
    with kiosk.running() as punchd:
        assert punchd.ended() == 78
        assert str(kiosk.state) in punchd.log
        assert "Traceback" not in punchd.log


def test_a_state_directory_that_cannot_be_written(kiosk):
    """Exit 78 with the path where the service's user may not write there."""
    kiosk.state.mkdir(mode=0o500)
    if os.geteuid() == 0:
        os.chown(kiosk.state, NOBODY, NOBODY)
    # Root may write everywhere, so it goes without that power.
    prefix = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
    with kiosk.running(prefix=prefix) as punchd:
        assert punchd.ended() == 78
        assert f"cannot write in {kiosk.state}" in punchd.log
        assert "Traceback" not in punchd.log


def test_a_database_of_a_newer_version_is_left_alone(kiosk):
    """Exit 78, and not a byte of it is changed."""
    with kiosk.running() as punchd:
        punchd.heard("READY=1")
        assert punchd.stopped() == 0
    database = kiosk.state / "punchd.db"
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA user_version = 99")
    connection.commit()
    connection.close()
    before = database.read_bytes()
    with kiosk.running() as punchd:
        assert punchd.ended() == 78
        assert "newer" in punchd.log
        assert "Traceback" not in punchd.log
    assert database.read_bytes() == before


def test_a_damaged_database_is_set_aside(kiosk):
    """The service starts, says what it found and where the old file lies, and keeps every byte of it."""
    kiosk.state.mkdir()
    garbage = b"not a database at all " * 1000
    (kiosk.state / "punchd.db").write_bytes(garbage)
    with kiosk.running() as punchd:
        punchd.heard("READY=1")
        assert punchd.stopped() == 0
        assert "database_salvaged" in punchd.log
        assert "Traceback" not in punchd.log
    (aside,) = kiosk.state.glob("damaged-*")
    assert aside.name in punchd.log
    assert (aside / "punchd.db").read_bytes() == garbage


def test_sockets_that_cannot_be_bound(kiosk):
    """A runtime directory that is none ends with 78, and the database was closed in order."""
    kiosk.runtime = kiosk.folder / ("long" * 30)
    kiosk.write()
    with kiosk.running() as punchd:
        assert punchd.ended() == 78
        assert "runtime_dir" in punchd.log
        assert "Traceback" not in punchd.log
    assert not (kiosk.state / "punchd.db-wal").exists()


def test_usage_errors_are_2(kiosk):
    """A missing option is a matter of usage, not of configuration."""
    done = subprocess.run(
        [sys.executable, "-m", "daemon.cli", "run"], capture_output=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 2


def test_a_missing_driver_library_is_one_reader_s_trouble(kiosk):
    """A configured scanner that is not there shows as lost with its remedy; the other reader takes taps."""
    kiosk.config.write_text(kiosk.config.read_text() + '[[readers]]\nname = "scan"\ndriver = "evdev"\nmatch = "none"\n')
    with kiosk.running() as punchd:
        punchd.heard("READY=1")
        next(line for line in punchd.process.stderr if "reader.lost" in line and "scan" in line)
        readers = {reader["name"]: reader for reader in kiosk.ctl("readers")}
        assert readers["scan"]["state"] == "lost"
        assert readers["scan"]["detail"]
        assert kiosk.ctl("tap", "04A2B3C4", "--reader", "front")["result"] == "unknown_badge"
        assert punchd.stopped() == 0
