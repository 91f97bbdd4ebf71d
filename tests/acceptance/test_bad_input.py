"""What is wrong is refused with a clear word and the right exit code, and changes nothing: on a running punchd."""

from __future__ import annotations

import json
import os
import random
import resource
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest

from sandbox.tally import Meaning, Tapped
from tests.support.door import Control, disagreements, door, rows, second
from tests.support.punchd_process import PATIENCE_S, Kiosk, Punchd
from tests.support.sandbox_process import sandbox_process

HEADER = b"user_id,name,badge,job_id\n"
ANNA = b"7,Anna,04A2B3C4,\n"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, because sockets are in it."""
    with tempfile.TemporaryDirectory(prefix="bad") as name:
        yield Path(name)


@pytest.fixture
def kiosk(folder: Path) -> Kiosk:
    return Kiosk(folder)


def ran(*words: str) -> subprocess.CompletedProcess[str]:
    """A command to its end."""
    command = [sys.executable, "-m", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def punchctl(kiosk: Kiosk, *words: str) -> subprocess.CompletedProcess[str]:
    """punchctl to its end."""
    return ran("daemon.control.cli", "--json", "--socket", str(kiosk.runtime / "control.sock"), *words)


def content(kiosk: Kiosk) -> list[str]:
    """All that the database holds."""
    with closing(sqlite3.connect(f"file:{kiosk.state / 'punchd.db'}?mode=ro", uri=True)) as conn:
        return list(conn.iterdump())


@contextmanager
def open_kiosk(kiosk: Kiosk) -> Iterator[tuple[Punchd, Control]]:
    """A running punchd that knows Anna, and its control socket."""
    with kiosk.running() as punchd, Control(kiosk) as control:
        punchd.heard("READY=1")
        control.post("employees", user_id="7", name="Anna", badge="04A2B3C4")
        yield punchd, control


# --- lists of employees ---------------------------------------------------------------------------

LISTS = {
    "an open quotation mark": (HEADER + b'8,"Bram,04A2B3C5,\n', "quotation"),
    "too few fields": (HEADER + b"8,Bram\n9,Chidi,04A2B3C6,\n", "line 2: 2 fields instead of 4"),
    "semicolons": (b"user_id;name;badge;job_id\n8;Bram;;\n", "semicolons"),
    "no badge column": (b"user_id,name,job_id\n8,Bram,\n", "column badge is missing"),
    "one badge for two": (HEADER + b"8,Bram,04A2B3C5,\n9,Chidi,04A2B3C5,\n", "04A2B3C5 stands in line 2 already"),
    "the same row twice": (HEADER + b"8,Bram,04A2B3C5,\n8,Bram,04A2B3C5,\n", "stands in line 2 already"),
    "somebody else's badge": (HEADER + b"9,Chidi,04A2B3C6,\n8,Bram,04A2B3C4,\n", "04A2B3C4"),
    "two names for one": (HEADER + b"8,Bram,,\n8,Chidi,,\n", "line 3"),
    "an impossible badge": (HEADER + b"8,Bram," + b"F" * 500 + b",\n", "line 2: badge 'FFF"),
    "Latin-1": (HEADER + "8,Zoë,,\n".encode("latin-1"), "is not UTF-8"),
    "UTF-16": ((HEADER + b"8,Bram,,\n").decode().encode("utf-16"), "UTF-16"),
    "a NUL byte": (HEADER + b"8,Br\0am,,\n", "NUL"),
    "too many bytes": (HEADER + b"8,Bram,,\n" * (5 * 1024 * 1024 // 9 + 1), "more than 5,242,880; split it"),
    "too many rows": (HEADER + b"".join(b"%d,A,,\n" % n for n in range(100_001)), "more than 100,000 rows"),
    "nothing": (b"", "column user_id is missing"),
    "noise": (random.Random(1).randbytes(4000), "line 1"),
}


def test_a_wrong_list_of_employees_changes_nothing(kiosk, folder):
    """Whatever is wrong with one row or with the file: exit 1, what and where in words, and the database as it was."""
    with open_kiosk(kiosk) as (punchd, control):
        before = content(kiosk)
        for what, (data, words) in LISTS.items():
            (folder / "staff.csv").write_bytes(data)
            done = punchctl(kiosk, "employees", "import", str(folder / "staff.csv"))
            assert done.returncode == 1, what
            assert words in json.loads(done.stdout)["detail"], what
            assert "Traceback" not in done.stderr, what
            assert content(kiosk) == before, what
        assert control.tap("04A2B3C4")["result"] == "accepted"
        assert punchd.stopped() == 0
    assert "Traceback" not in punchd.log


# --- configurations -------------------------------------------------------------------------------


def replaced(old: str, new: str) -> Callable[[Kiosk], object]:
    """A configuration in which something else stands."""
    return lambda kiosk: kiosk.config.write_text(kiosk.config.read_text().replace(old, new))


CONFIGURATIONS: dict[str, tuple[Callable[[Kiosk], object], str, str]] = {
    "an unknown key": (replaced("[attendance]", "[attendance]\nrepeat_tap_secs = 9"), "repeat_tap_secs", "tap_seconds"),
    "an unknown table": (replaced("[attendance]", "[atendance]"), "atendance", "attendance"),
    "a number as text": (replaced("12345", '"12345"'), "connecteam.time_clock_id", "number"),
    "a text as number": (replaced('name = "front-door"', "name = 5"), "kiosk.name", "text"),
    "no zone": (replaced('timezone = "Europe/Amsterdam"', ""), "kiosk.timezone", "timezone"),
    "no such zone": (replaced("Europe/Amsterdam", "Europe/Amsterdm"), "kiosk.timezone", "Europe/Amsterdm"),
    "a key for everybody": (lambda kiosk: kiosk.key.chmod(0o644), "connecteam.api_key_file", "chmod"),
    "no key": (lambda kiosk: kiosk.key.unlink(), "connecteam.api_key_file", "does not exist"),
    "http to the world": (replaced("http://127.0.0.1:9", "http://192.0.2.1"), "connecteam.base_url", "https"),
    "no TOML": (replaced("[attendance]", "[attendance"), "", "line"),
    "not UTF-8": (lambda kiosk: kiosk.config.write_bytes(b'[kiosk]\nname = "\xff"\n'), "", "UTF-8"),
}  # fmt: skip


@pytest.mark.parametrize("what", CONFIGURATIONS)
def test_a_wrong_configuration_starts_nothing(kiosk, what):
    """`check` and `run` end with 78 and name file, key and remedy; not even the state directory is made."""
    spoil, key, words = CONFIGURATIONS[what]
    spoil(kiosk)
    checked = ran("daemon.cli", "check", "--config", str(kiosk.config), "--json")
    (problem,) = json.loads(checked.stdout)["problems"]
    assert checked.returncode == 78
    assert key in (problem["key"] or "")
    assert words in f"{problem['problem']} {problem['remedy']}"
    assert problem["file"]
    assert problem["remedy"]
    run = ran("daemon.cli", "run", "--config", str(kiosk.config))
    assert run.returncode == 78
    assert problem["problem"] in run.stderr
    assert "Traceback" not in checked.stderr + run.stderr
    assert "a-key-for-tests-1" not in checked.stdout + run.stderr
    assert not kiosk.state.exists()


# --- bytes on the sockets -------------------------------------------------------------------------

NOISE = [
    random.Random(2).randbytes(3000),
    b"\0" * 100_000,
    b"GET " + b"/" * 200_000 + b" HTTP/1.1\r\n\r\n",
    b"GET /v1/status HTTP/1.1\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
    b"POST /v1/taps HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n{",
    b"POST /v1/taps HTTP/1.1\r\nContent-Length: -5\r\n\r\n{}",
    b"POST /v1/taps HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /v1/taps HTTP/1.1\r\nContent-Length: 4\r\n\r\n\xff\xfe\xfd\xfc",
    b"POST /v1/taps HTTP/1.1\r\nContent-Length: 60000\r\n\r\n" + b"[" * 60000,
    b'POST /v1/taps HTTP/1.1\r\nContent-Length: 51\r\n\r\n{"badge":"04A2B3C4","reader":"front","at":1e400   }',
    b"DELETE /v1/employees/%00%ff HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]


def shout(path: Path, noise: bytes) -> bytes:
    """Send bytes to a socket and hang up; what came back first."""
    with socket.socket(socket.AF_UNIX) as to:
        to.settimeout(PATIENCE_S)
        to.connect(str(path))
        try:
            to.sendall(noise)
            to.shutdown(socket.SHUT_WR)
            return to.recv(4096)
        except (BrokenPipeError, ConnectionResetError):
            return b""  # it had heard enough


def test_noise_on_the_sockets_stops_nobody(kiosk):
    """Bytes that are no requests, or far too large ones, on both sockets: no tap fails, nothing is changed by them."""
    with open_kiosk(kiosk) as (punchd, control):
        for number in range(10):
            control.post("employees", user_id=str(100 + number), name=f"P {number}", badge=f"04A2B3C40{number}")
        before = content(kiosk)
        paths = [kiosk.runtime / name for name in ("status.sock", "control.sock")]
        for path in paths:
            for noise in NOISE:
                answer = shout(path, noise)
                assert not answer.startswith((b"HTTP/1.1 2", b"HTTP/1.1 5")), (noise[:60], answer)
        assert content(kiosk) == before
        # The same beside taps, with noisy ones that never end their request.
        endless = []
        for path in paths * 10:
            endless.append(socket.socket(socket.AF_UNIX))
            endless[-1].connect(str(path))
            endless[-1].sendall(b"POST /v1/taps HTTP/1.1\r\nContent-Length: 500\r\n\r\n{")
        with ThreadPoolExecutor(4) as noisy:
            shouting = [noisy.submit(shout, path, noise) for path in paths for noise in NOISE * 2]
            results = [control.tap(f"04A2B3C40{number}")["result"] for number in range(10)]
            assert all(shouted.exception() is None for shouted in shouting)
        assert results == ["accepted"] * 10
        for one in endless:
            one.close()
        assert sorted(punch["user_id"] for punch in control.get("punches")) == [str(100 + n) for n in range(10)]
        assert punchd.stopped() == 0
    assert "Traceback" not in punchd.log


def test_status_sock_changes_nothing(kiosk):
    """Whatever acts is refused there, with exit 1 and the reason, and the database stays as it was."""
    with open_kiosk(kiosk) as (punchd, _):
        before = content(kiosk)
        for words in (("tap", "04A2B3C4", "--reader", "front"), ("employees", "remove", "7"), ("sync", "pause")):
            done = ran("daemon.control.cli", "--json", "--socket", str(kiosk.runtime / "status.sock"), *words)
            assert done.returncode == 1
            assert json.loads(done.stdout)["code"] == "read_only"
        assert content(kiosk) == before
        assert punchd.stopped() == 0


# --- disks ----------------------------------------------------------------------------------------


@contextmanager
def no_file_grows(kiosk: Kiosk, punchd: Punchd) -> Iterator[None]:
    """Every write beyond the end of the WAL fails, as on a disk that is full."""
    size = (kiosk.state / "punchd.db-wal").stat().st_size
    limit = resource.RLIMIT_FSIZE
    resource.prlimit(punchd.process.pid, limit, (size, resource.RLIM_INFINITY))
    yield
    resource.prlimit(punchd.process.pid, limit, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@contextmanager
def filled(kiosk: Kiosk) -> Iterator[None]:
    """The small file system under the state directory is filled to its last byte."""
    path = kiosk.state / "ballast"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass
    yield
    path.unlink()


def ballast(kiosk: Kiosk, punchd: Punchd) -> AbstractContextManager[None]:
    """The disk is full while the service runs."""
    return filled(kiosk)


def on_small_disk(kiosk: Kiosk) -> Callable[[], object]:
    """Put the state directory on a file system of one megabyte; how to undo it."""
    kiosk.state.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=1M,mode=0700", "tmpfs", str(kiosk.state)]
    mounted = subprocess.run(words, capture_output=True, text=True, check=False) if os.geteuid() == 0 else None
    if mounted is None or mounted.returncode:
        pytest.skip(f"cannot mount a small disk here: {mounted.stderr.strip() if mounted else 'not root'}")
    return lambda: subprocess.run(["umount", "--lazy", str(kiosk.state)], check=True)


Full = Callable[[Kiosk, Punchd], AbstractContextManager[None]]


@pytest.fixture(params=[no_file_grows, ballast])
def full(request: pytest.FixtureRequest, kiosk: Kiosk) -> Iterator[Full]:
    """A way in which the disk of this kiosk can be full."""
    undo = on_small_disk(kiosk) if request.param is ballast else lambda: None
    yield request.param
    undo()


def test_a_full_disk_refuses_and_recovers(kiosk, full):
    """Full: `cannot_store`, exit 1, an alarm, nothing stored. Room again: accepted, and the alarm is gone."""
    with open_kiosk(kiosk) as (punchd, control):
        before = [row for row in content(kiosk) if not row.startswith('INSERT INTO "journal"')]
        with full(kiosk, punchd):
            for _ in range(3):
                done = punchctl(kiosk, "tap", "04A2B3C4", "--reader", "front")
                assert done.returncode == 1
                assert json.loads(done.stdout) == {"result": "refused", "reason": "cannot_store", "punch": None}
            assert "cannot_store" in [alarm["code"] for alarm in control.get("status")["alarms"]]
            # That somebody asked is journalled where just that still fits.
            assert [row for row in content(kiosk) if not row.startswith('INSERT INTO "journal"')] == before
        assert control.tap("04A2B3C4")["result"] == "accepted"
        assert "cannot_store" not in [alarm["code"] for alarm in control.get("status")["alarms"]]
        assert len(control.get("punches")) == 1
        assert punchd.stopped() == 0


def test_a_disk_that_fills_while_a_request_is_out_doubles_nothing(folder, kiosk, full):
    """The service has recorded a clock-in whose answer cannot be written down: it stands on the timesheet once."""
    with sandbox_process(folder / "sandbox", "--empty") as sandbox:
        sandbox.admin.post("/users", user_id=7, name="Anna")
        # The harsher reading (facts 5, U9): a request sent twice becomes two shifts.
        sandbox.admin.post("/behaviour", second_clock_in="second_shift")
        door(kiosk.folder, sandbox.url)
        with open_kiosk(kiosk) as (punchd, control):
            sandbox.admin.fault(path="*/clock-in", hold=True, when="after", count=1)
            came = second() - 3600
            assert control.tap("04A2B3C4", came)["result"] == "accepted"
            sandbox.admin.wait(path="*/clock-in", state="held")
            with full(kiosk, punchd):
                control.after(sandbox.admin.release, "alarm.raised")
            left = second()
            assert control.tap("04A2B3C4", left - 60)["result"] == "accepted"
            control.settled()
            assert punchd.stopped() == 0
        taps = [
            Tapped("7", "Anna", Meaning.COMES, came, came),
            Tapped("7", "Anna", Meaning.LEAVES, left - 60, left - 60),
        ]
        assert disagreements(taps, rows(sandbox.admin.timesheet())) == []


def test_a_start_on_a_full_disk_is_tried_again(kiosk):
    """Exit 75, after which systemd starts it again and again: nobody is near when the disk has room once more."""
    undo = on_small_disk(kiosk)
    try:
        with filled(kiosk), kiosk.running() as punchd:
            assert punchd.ended() == 75
            assert "free some space" in punchd.log or "leave room" in punchd.log
            assert "Traceback" not in punchd.log
        with kiosk.running() as punchd:
            punchd.heard("READY=1")
            assert punchd.stopped() == 0
    finally:
        undo()
