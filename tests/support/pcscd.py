"""A real pcscd of the test's own, with virtual readers: started, killed and started again at will.

It is started as systemd would (it inherits a listening socket), on a socket of its own: neither a system's pcscd nor
other test runs see it, and no root is needed. Clients find it by PCSCLITE_CSOCK_NAME. libpcsclite reads that once a
process: set it (`environment`) before the first use, and keep one path a process.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

DRIVER = Path("/usr/lib/pcsc/drivers/serial/libifdvpcd.so")
SOCKET_VARIABLE = "PCSCLITE_CSOCK_NAME"
READY = "daemon ready"
#: Becomes the program it is given, which finds its socket as systemd hands sockets over: descriptor 3, and its own pid.
AS_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.execve(sys.argv[2], sys.argv[2:], {**os.environ, "LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"})
"""
#: Where virtual readers listen.
PORTS = range(15000, 31000)
#: A wait for something that will happen; reached only when something is broken.
PATIENCE_S = 60.0


def missing() -> str | None:
    """Why no private pcscd can run on this machine, or None."""
    if _pcscd() is None:
        return "pcscd is not installed (Debian: pcscd)"
    if not DRIVER.exists():
        return "the virtual card reader is not installed (Debian: vsmartcard-vpcd)"
    return None


class PrivatePcscd:
    """One pcscd with two virtual slots for each of `names`; `ports[i]` is where cards are held to slot i.

    Slots are named `NAME 0i 00` and `NAME 0i 01` by pcscd. `start` returns once it serves.
    """

    def __init__(self, directory: Path, names: Sequence[str] = ("Virtual PCD",)) -> None:
        self.socket_path = directory / "pcscd.comm"
        self.environment = {SOCKET_VARIABLE: str(self.socket_path)}
        self.ports: list[int] = []
        self.log: list[str] = []
        self._config = directory / "reader.conf"
        self._process: subprocess.Popen[str] | None = None
        self._entries: list[str] = []
        for name in names:
            self._add(name)

    @property
    def pid(self) -> int:
        """Its process id while it runs."""
        assert self._process is not None, "pcscd is not running"
        return self._process.pid

    def start(self) -> None:
        """Start it; its readers are there when this returns."""
        assert self._process is None, "pcscd runs already"
        binary = _pcscd()
        assert binary is not None, "pcscd is not installed"
        self.socket_path.unlink(missing_ok=True)
        self._config.write_text("\n".join(self._entries))
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.socket_path))
            listener.listen()
            arguments = [binary, "--foreground", "--info", "--config", str(self._config)]
            self._process = subprocess.Popen(
                [sys.executable, "-c", AS_SYSTEMD, str(listener.fileno()), *arguments],
                pass_fds=(listener.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
        assert self._process.stdout is not None
        ready = threading.Event()
        threading.Thread(target=self._listen, args=(self._process.stdout, ready), daemon=True).start()
        if not ready.wait(PATIENCE_S) or self._process.poll() is not None:
            raise RuntimeError("pcscd did not start:\n" + "".join(self.log))

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it in order; safe to repeat."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.wait(PATIENCE_S)
            self.socket_path.unlink(missing_ok=True)

    def _listen(self, output: IO[str], ready: threading.Event) -> None:
        with output:
            for line in output:
                self.log.append(line)
                if READY in line:
                    ready.set()
        ready.set()

    def _add(self, name: str) -> list[int]:
        first = _free_pair(taken=self.ports)
        self.ports += [first, first + 1]
        self._entries.append(
            f'FRIENDLYNAME "{name}"\nDEVICENAME /dev/null:0x{first:X}\nLIBPATH {DRIVER}\nCHANNELID 0x{first:X}\n'
        )
        return [first, first + 1]


def _pcscd() -> str | None:
    return shutil.which("pcscd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def _free_pair(taken: Sequence[int]) -> int:
    """A port that is free together with the next one: a virtual reader has two slots.

    Below the range that the kernel gives to outgoing connections, and begun elsewhere by each process: nobody takes it
    before pcscd does.
    """
    # Far from where a run beside this one begins, whose process has one of the next numbers.
    start = os.getpid() * 512 % len(PORTS)
    for offset in range(0, len(PORTS), 2):
        port = PORTS[(start + offset) % len(PORTS)]
        if port in taken:
            continue
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("", port))
                second.bind(("", port + 1))
            except OSError:
                continue
            return port
    raise RuntimeError("no two free ports in a row")
