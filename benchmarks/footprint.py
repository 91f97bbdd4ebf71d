"""What the running service takes: memory, wake-ups, syncs and bytes; and how fast its command answers."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measuring import Figure, Scale, quantile
from benchmarks.rigs import over_socket
from tests.support.punchd_process import Kiosk, Punchd
from tests.support.sandbox_process import SandboxProcess, sandbox_process

#: What the service cannot do without, however it were written.
SERVICE_LIBRARIES = "aiohttp.web, aiosqlite, asyncio, click, ctypes, httpx, json, sqlite3, ssl, structlog, zoneinfo"
#: The same of `punchctl status`.
COMMAND_LIBRARIES = "click, http.client, json, urllib.parse, zoneinfo"
SETTLED_S = 3.0
PATIENCE_S = 60.0


def _connected(folder: Path, service: SandboxProcess) -> Kiosk:
    """A kiosk whose service is a sandbox."""
    kiosk = Kiosk(folder, base_url=service.url)
    kiosk.write(base_url=service.url, more="requests_per_minute = 1000")
    kiosk.key.write_text(service.key_file.read_text())
    return kiosk


def _started(process: Punchd, kiosk: Kiosk, people_file: Path) -> None:
    process.heard("READY=1")
    kiosk.ctl("employees", "import", str(people_file))
    _until(kiosk, lambda status: status["state"] == "online")


def _until(kiosk: Kiosk, holds: Callable[[dict[str, Any]], bool]) -> None:
    with over_socket(kiosk.runtime / "status.sock") as client:
        end = time.monotonic() + PATIENCE_S
        while not holds(client.get("/v1/status").json()):
            assert time.monotonic() < end, "it did not come about"
            time.sleep(0.1)


# --- memory


def _status_kb(pid: int, field: str) -> float:
    found = re.search(rf"^{field}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return float(found[1])


def memory(scale: Scale) -> list[Figure]:
    """Resident memory of the service, a moment after it went online, against a Python that imported its libraries."""
    ratios, kilobytes = [], []
    for _ in range(scale.rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with sandbox_process(folder / "sandbox") as service:
                kiosk = _connected(folder, service)
                with kiosk.running() as process:
                    _started(process, kiosk, service.people_file)
                    time.sleep(min(SETTLED_S, scale.idle_s))
                    ours = _status_kb(process.process.pid, "VmRSS")
                    process.stopped()
        ratios.append(ours / _bare_memory())
        kilobytes.append(ours / 1024)
    return [
        Figure("resident memory / bare imports of its libraries", ratios, aim=1.3),
        Figure("  of which the service's own figure, on this machine", kilobytes, unit="MB"),
    ]


def _bare_memory() -> float:
    code = f"import {SERVICE_LIBRARIES}\nprint('there', flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as bare:
        assert bare.stdout is not None
        bare.stdout.readline()
        size = _status_kb(bare.pid, "VmRSS")
        bare.communicate(b"\n")
    return size


# --- wake-ups


def wake_ups(scale: Scale) -> list[Figure]:
    """Voluntary context switches a second of all threads of an idle service, online, with its watchdog."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with sandbox_process(folder / "sandbox") as service:
            kiosk = _connected(folder, service)
            with kiosk.running(prefix=("env", "WATCHDOG_USEC=180000000")) as process:
                _started(process, kiosk, service.people_file)
                time.sleep(min(SETTLED_S, scale.idle_s))
                rates = []
                for _ in range(min(3, scale.rounds)):
                    before = _switches(process.process.pid)
                    time.sleep(scale.idle_s)
                    rates.append((_switches(process.process.pid) - before) / scale.idle_s)
                process.stopped()
    return [
        Figure("idle wake-ups, all threads, watchdog on", rates, aim=1.0, unit="/s", note=f"over {scale.idle_s:g} s")
    ]


def _switches(pid: int) -> int:
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        found = re.search(r"^voluntary_ctxt_switches:\s+(\d+)", (task / "status").read_text(), re.MULTILINE)
        assert found is not None
        total += int(found[1])
    return total


# --- syncs and bytes


def whole_life(scale: Scale) -> list[Figure]:
    """Syncs and bytes to the disk from a tap to `delivered`, a punch; each round a service of its own."""
    if shutil.which("strace") is None:
        print("  strace is not installed (apt-get install strace): syncs are not counted")
        return []
    syncs, written = [], []
    for _ in range(min(3, scale.rounds)):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with sandbox_process(folder / "sandbox") as service:
                sync, wrote = _lived(folder, service, shifts=max(1, min(4, scale.taps // 20)))
        syncs.append(sync)
        written.append(wrote)
    return [
        Figure("syncs over a punch's whole life", syncs, aim=4.0, note="1 is the least: the tap's own"),
        Figure("bytes to the disk over a punch's whole life", written, unit="KB", note="/proc/PID/io write_bytes"),
    ]


def _lived(folder: Path, service: SandboxProcess, shifts: int) -> tuple[float, float]:
    kiosk, trace = _connected(folder, service), folder / "trace"
    badges = [line.split(",")[2] for line in service.people_file.read_text().splitlines()[1:]]
    strace = ("strace", "-f", "-qq", "-e", "trace=fsync,fdatasync,sync_file_range", "-o", str(trace))
    with kiosk.running(prefix=strace) as process:
        _started(process, kiosk, service.people_file)
        pid = int(Path(f"/proc/{process.process.pid}/task/{process.process.pid}/children").read_text().split()[0])
        time.sleep(1.0)  # what the start itself writes is no punch's
        syncs, wrote = _syncs(trace), _written(pid)
        count, now = 0, int(time.time())
        with over_socket(kiosk.runtime / "control.sock") as client:
            for number in range(2 * shifts):
                for badge in badges:
                    # Stated times, younger than what is read first and further apart than a repeat.
                    tap = {"badge": badge, "reader": "front", "at": now - 800 + number * 90}
                    answer = client.post("/v1/taps", json=tap)
                    assert answer.is_success, answer.text
                    assert answer.json()["result"] == "accepted", answer.text
                    count += 1
        _until(kiosk, lambda status: not any(status["queue"][state] for state in ("pending", "held", "in_flight")))
        spent = (_syncs(trace) - syncs) / count, (_written(pid) - wrote) / count / 1024
        os.kill(pid, signal.SIGTERM)  # strace itself passes no signal on
        process.ended()
    return spent


def _syncs(trace: Path) -> int:
    return sum("sync" in line and "resumed" not in line for line in trace.read_text(errors="replace").splitlines())


def _written(pid: int) -> int:
    found = re.search(r"^write_bytes: (\d+)", Path(f"/proc/{pid}/io").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


# --- the command


def command(scale: Scale) -> list[Figure]:
    """`punchctl status` from its start to its end, against a Python that only imports its libraries."""
    ratios = []
    with tempfile.TemporaryDirectory() as name:
        kiosk = Kiosk(Path(name))
        with kiosk.running() as process:
            process.heard("READY=1")
            asked = ["-m", "daemon.control.cli", "--socket", str(kiosk.runtime / "status.sock"), "status"]
            for _ in range(scale.rounds):
                ours, bare = [], []
                for _pair in range(max(1, min(9, scale.taps // 10))):
                    ours.append(_ran(asked))
                    bare.append(_ran(["-c", f"import {COMMAND_LIBRARIES}"]))
                ratios.append(quantile(ours, 0.5) / quantile(bare, 0.5))
            process.stopped()
    return [Figure("punchctl status / importing its own libraries", ratios, aim=2.0)]


def _ran(arguments: Sequence[str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began
